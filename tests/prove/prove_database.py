"""R07, R08: a database without its safeguards is refused, and the write-ahead log where it could be damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from infusion import safe_database
from infusion.safe_database import refuse_unsafe, unsafe
from infusion.settings import sqlite_journal
from tests.prove.conftest import Prove
from tests.prove.elsewhere import empty

SAFE = {"journal_mode": "delete", "synchronous": 2, "foreign_keys": 1, "recursive_triggers": 1, "mmap_size": 0}
ON = {"fsync": "on", "synchronous_commit": "on"}
OLD, NEW = (3, 40, 1), (3, 51, 3)
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("sqlite", {**SAFE, "synchronous": 1}),
    ("sqlite", {**SAFE, "foreign_keys": 0}),
    ("sqlite", {**SAFE, "recursive_triggers": 0}),
    ("sqlite", {**SAFE, "mmap_size": 268_435_456}),
    ("sqlite", {**SAFE, "journal_mode": "wal"}),
    ("postgresql", {**ON, "fsync": "off"}),
    ("postgresql", {**ON, "synchronous_commit": "off"}),
]
# Whether the log is whole there: the fault came with 3.7.0 and went with 3.51.3.
VERSIONS = {
    (3, 7, 0): False, (3, 22, 0): False, (3, 31, 1): False, (3, 37, 2): False, (3, 40, 1): False, (3, 45, 1): False,
    (3, 46, 1): False, (3, 50, 4): False, (3, 51, 2): False, (3, 51, 3): True, (3, 53, 4): True, (4, 0, 0): True,
}  # fmt: skip


@pytest.mark.proves("R07")
@pytest.mark.django_db
def test_a_database_without_its_safeguards_is_refused(
    tmp_path: Path, prove: Prove, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = sum(len(unsafe(vendor, found, OLD)) == 1 for vendor, found in WRONG)
    assert unsafe("sqlite", SAFE, OLD) == unsafe("postgresql", ON) == []
    assert unsafe("sqlite", {**SAFE, "journal_mode": "wal"}, NEW) == []
    refused = 0
    refuse_unsafe(None, connection)
    if connection.vendor == "sqlite":
        with empty(tmp_path) as there:
            for name, wrong in (("recursive_triggers", "OFF"), ("mmap_size", "4096")):
                with there.cursor() as cursor:
                    cursor.execute(f"PRAGMA {name} = {wrong}")
                try:
                    refuse_unsafe(None, there)
                except ImproperlyConfigured as problem:
                    refused += name in str(problem)
    prove(
        "R07", "each of 6 wrong configurations refused",
        f"{seen} of {len(WRONG)} wrong configurations refused, {refused} of them tried on a connection",
        seen == len(WRONG) and (refused == 2 or connection.vendor != "sqlite"),
    )  # fmt: skip
    monkeypatch.setattr(safe_database, "unsafe", lambda *_: [])
    refuse_unsafe(None, connection)


@pytest.mark.proves("R08")
def test_the_log_is_used_only_where_it_is_whole(prove: Prove) -> None:
    right = sum((sqlite_journal(version) == "WAL") == whole for version, whole in VERSIONS.items())
    prove("R08", "right for 12 versions", f"right for {right} of {len(VERSIONS)} versions", right == len(VERSIONS))


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_refused_connection_is_not_used_by_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with empty(tmp_path) as there:
        there.close()
        with monkeypatch.context() as patched:
            patched.setattr(settings, "PRODUCTION", True)
            patched.setattr(safe_database, "unsafe", lambda *_: ["synchronous is below full."])
            for _ in range(2):
                with pytest.raises(ImproperlyConfigured, match="below full"), there.cursor() as cursor:
                    cursor.execute("CREATE TABLE anything (id integer)")
        assert there.introspection.table_names() == []
