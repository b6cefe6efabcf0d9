"""Empty databases beside the one of the test, of its own kind, for what copies, moves and migrates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import psycopg
from django.db import connection, transaction

from infusion import audit
from infusion.operations.elsewhere import instead, sqlite_file


@contextmanager
def empty(folder: Path) -> Iterator[Any]:
    """Inside, whatever reads or writes means a new and empty database; gone at the end."""
    name = f"beside_{uuid4().hex[:12]}"
    if connection.vendor == "sqlite":
        with instead(sqlite_file(folder / f"{name}.sqlite3")) as there:
            yield there
        return
    settings = connection.settings_dict
    parameters = {**connection.get_connection_params(), "dbname": "postgres"}
    known = {each: parameters[each] for each in ("host", "port", "user", "password", "dbname") if each in parameters}
    with psycopg.connect(**known, autocommit=True) as aside:
        aside.execute(f"CREATE DATABASE {name}")
        try:
            with instead({**settings, "NAME": name}) as there:
                yield there
        finally:
            aside.execute(f"DROP DATABASE {name} WITH (FORCE)")


def answer_for_fixtures() -> None:
    """What fixtures wrote, each row in a transaction of its own, gets an event, as an action would have written it."""
    left = audit.AuditChange.objects.filter(event__isnull=True)
    with transaction.atomic(), patch.object(audit, "unclaimed", lambda: left):
        audit.record("fixtures.add", by=None, subject="site", subject_id=1, before=None, after={})
