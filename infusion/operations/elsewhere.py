"""Looking at another database with what looks at this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from infusion.settings import sqlite_options

SQLITE = "django.db.backends.sqlite3"


@contextmanager
def instead(database: Mapping[str, Any]) -> Iterator[BaseDatabaseWrapper]:
    """Inside, whatever reads or writes means this database."""
    own = connections[DEFAULT_DB_ALIAS]
    settings = connections.configure_settings({DEFAULT_DB_ALIAS: dict(database)})[DEFAULT_DB_ALIAS]
    other: BaseDatabaseWrapper = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, DEFAULT_DB_ALIAS)
    connections[DEFAULT_DB_ALIAS] = other
    try:
        yield other
    finally:
        other.close()
        connections[DEFAULT_DB_ALIAS] = own


def sqlite_file(path: Path) -> dict[str, Any]:
    return {"ENGINE": SQLITE, "NAME": str(path), "OPTIONS": sqlite_options()}


def rows_by_table(connection: BaseDatabaseWrapper) -> dict[str, int]:
    """How many rows each table has."""
    found = {}
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")  # noqa: S608  its own name
            found[table] = cursor.fetchone()[0]
    return found
