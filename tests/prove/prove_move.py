"""R50: the move from SQLite to PostgreSQL keeps every row under its number, and is whole or not at all."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import Error, OperationalError, connection

from infusion.models import Clinic, Encounter, User
from infusion.operations import moving
from infusion.operations.archive import Unsound
from infusion.operations.elsewhere import instead, sqlite_file
from infusion.operations.moving import digest_of, move, tables
from tests.prove import releases
from tests.prove.conftest import Prove
from tests.prove.elsewhere import empty
from tests.prove.many import multiply
from tests.prove.table import size

pytestmark = pytest.mark.django_db(transaction=True)
of_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="moves to PostgreSQL")


def a_site(file: Path, encounters: int) -> int:
    """An SQLite site with a clinic of invented patients, and so many encounters."""
    with instead(sqlite_file(file)):
        releases.fill(releases.read(releases.releases()[-1]))
        call_command("migrate", verbosity=0)
        return multiply(encounters)


@of_postgresql
@pytest.mark.both
@pytest.mark.alone
@pytest.mark.proves("R50")
def test_everything_arrives(tmp_path: Path, prove: Prove) -> None:
    file = tmp_path / "site.sqlite3"
    there = a_site(file, size(40, 100_000))
    with instead(sqlite_file(file)):
        before = {model._meta.db_table: digest_of(model) for model in tables()}
    began = time.monotonic()
    with empty(tmp_path):
        moved, head = move(file)
        seconds = time.monotonic() - began
        same = sum(moved[table] == before[table] for table in before)
        last = Clinic.objects.latest("pk").pk
        numbered = Clinic.objects.create(name="Later").pk == last + 1
        with pytest.raises(Error, match="append-only"), connection.cursor() as cursor:
            cursor.execute("DELETE FROM infusion_approval")
    prove(
        "R50", "100,000 encounters: every table and the head of the audit identical",
        f"{there:,} encounters, {sum(count for count, _ in before.values()):,} rows in {same} of {len(before)} tables "
        f"identical, audit to {head.split()[1]}, in {seconds:.0f} s; the next row gets a new number",
        same == len(before) and numbered,
    )  # fmt: skip


@of_postgresql
@pytest.mark.both
def test_a_move_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "site.sqlite3"
    a_site(file, 1)
    of_module = moving.copy_table

    def without_vials(there: Any, cursor: Any, model: Any) -> None:
        if model._meta.model_name != "vial":
            of_module(there, cursor, model)

    with empty(tmp_path):
        monkeypatch.setattr(moving, "copy_table", without_vials)
        with pytest.raises(
            CommandError, match=r"^No record was moved\. .*infusion_vial.* Drop that database, create it"
        ):
            call_command("move_to_postgres", file)
        assert Encounter.objects.count() == User.objects.count() == 0
        with pytest.raises(CommandError, match=r"^Nothing was moved\. .*not empty.*drop it and create it"):
            call_command("move_to_postgres", file)
        monkeypatch.undo()
    with empty(tmp_path):
        call_command("move_to_postgres", file, stdout=StringIO())
        assert Encounter.objects.exists()


@of_postgresql
@pytest.mark.both
@pytest.mark.parametrize("problem", [OperationalError("gone"), psycopg.OperationalError("gone"), OSError("gone")])
def test_a_move_that_breaks_off_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def broken(*_: object) -> None:
        raise problem

    a_site(tmp_path / "site.sqlite3", 1)
    monkeypatch.setattr(moving, "copy_table", broken)
    with empty(tmp_path), pytest.raises(CommandError, match=r"^No record was moved\. gone\. .*Drop that database"):
        call_command("move_to_postgres", tmp_path / "site.sqlite3")


@of_postgresql
@pytest.mark.both
def test_what_is_written_meanwhile_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, of_module = tmp_path / "site.sqlite3", moving.copy_table
    a_site(file, 1)

    def beside_a_nurse(there: Any, cursor: Any, model: Any) -> None:
        of_module(there, cursor, model)
        if model._meta.db_table == tables()[-1]._meta.db_table:
            with closing(sqlite3.connect(file)) as theirs, theirs:
                theirs.execute("UPDATE infusion_clinic SET city = 'Albany'")

    monkeypatch.setattr(moving, "copy_table", beside_a_nurse)
    with empty(tmp_path):
        with pytest.raises(CommandError, match=r"^No record was moved\. Someone has written to site\.sqlite3"):
            call_command("move_to_postgres", file)
        assert not Encounter.objects.exists()


@of_postgresql
@pytest.mark.both
def test_a_file_that_a_server_has_open_is_not_moved(tmp_path: Path) -> None:
    file = tmp_path / "site.sqlite3"
    a_site(file, 1)
    with subprocess.Popen(["sleep", "60"], stdin=file.open()) as server, empty(tmp_path):
        try:
            with pytest.raises(CommandError, match=rf"^Nothing was moved\. .*open in process {server.pid}"):
                call_command("move_to_postgres", file)
        finally:
            server.kill()


def test_only_an_empty_postgresql_is_moved_to(tmp_path: Path) -> None:
    if connection.vendor == "sqlite":
        with pytest.raises(Unsound, match="does not name the PostgreSQL"):
            move(tmp_path / "none")
    else:
        with pytest.raises(Unsound, match="no file"):
            move(tmp_path / "none")
        (tmp_path / "some").touch()
        with pytest.raises(Unsound, match="not empty"):
            move(tmp_path / "some")
