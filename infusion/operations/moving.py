"""From SQLite to PostgreSQL, with every row under the number it has, and nothing written that was not there.

The rows go in one transaction, after the tables were made: PostgreSQL holds all rows or, where the move fails, empty
tables, and is dropped and created before another try. What was moved is read back and compared, table by table.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import DEFAULT_DB_ALIAS, Error, connection, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from infusion.operations.archive import Unsound, end_of_audit, look_at
from infusion.operations.elsewhere import instead, sqlite_file
from infusion.operations.restoring import unused

ROWS_AT_ONCE = 2000
Rows = Iterator[tuple[Any, ...]]


class Unfinished(Unsound):
    """What broke off a move after the tables were made."""


def tables() -> list[type[models.Model]]:
    """Everything that is kept as rows, with the tables between two others."""
    found = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True) if model._meta.managed}
    return [found[name] for name in sorted(found)]


def fields_of(model: type[models.Model]) -> list[Any]:
    return list(model._meta.concrete_fields)


def rows_of(model: type[models.Model]) -> Rows:
    """In the order of their keys, as Python's own values."""
    names = [field.attname for field in fields_of(model)]
    return iter(model._base_manager.order_by("pk").values_list(*names).iterator(ROWS_AT_ONCE))


def digest_of(model: type[models.Model]) -> tuple[int, str]:
    """How many rows, and one digest of what they say, the same in both databases."""
    count, digest = 0, hashlib.sha256()
    for row in rows_of(model):
        digest.update(repr([plain(value) for value in row]).encode())
        count += 1
    return count, digest.hexdigest()


def plain(value: Any) -> Any:
    """A value as one text for one meaning: PostgreSQL keeps the names in a document in an order of its own."""
    if isinstance(value, dict):
        return {name: plain(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return bytes(value) if isinstance(value, memoryview) else value


def move(file: Path) -> tuple[dict[str, tuple[int, str]], str]:
    """Count and digest of each table, and the end of the audit."""
    if connection.vendor != "postgresql":
        raise Unsound("DATABASE_URL does not name the PostgreSQL to move to.")
    if not file.is_file():
        raise Unsound(f"There is no file {file}.")
    if connection.introspection.table_names():
        raise Unsound(
            "The PostgreSQL is not empty. Name a new database, so that nothing is mixed. If all it holds is the tables "
            "of a move that failed, drop it and create it again."
        )
    unused(file)
    with closing(sqlite3.connect(file)) as watch:
        with instead(sqlite_file(file)) as source:
            look_at(source)
            before = writes_seen_by(watch)
            loader = MigrationLoader(source)
            if set(loader.applied_migrations or ()) ^ set(loader.disk_migrations or ()):
                raise Unsound(f"{file.name} is not of this version. Run manage.py migrate on it first.")
            head = end_of_audit()
            told = {model._meta.db_table: digest_of(model) for model in tables()}
            kept = numbers_of(source)
        try:
            call_command("migrate", verbosity=0)
            with transaction.atomic():
                there = filled(file, told, head, kept)
                if writes_seen_by(watch) != before:
                    raise Unsound(f"Someone has written to {file.name} meanwhile. Stop the server and the workers.")
        except (Unsound, CommandError, Error, psycopg.Error, OSError) as problem:
            raise Unfinished(
                f"{str(problem).strip().rstrip('.')}. The PostgreSQL has empty tables now. Drop that database, create "
                "it again and move once more; the SQLite file is as it was."
            ) from problem
    return there, head


def writes_seen_by(watch: sqlite3.Connection) -> int:
    """Another number once any other connection has written to the file."""
    return int(watch.execute("PRAGMA data_version").fetchone()[0])


def filled(file: Path, told: dict[str, tuple[int, str]], head: str, kept: dict[str, int]) -> dict[str, tuple[int, str]]:
    """Count and digest of each table, once they are the same as in the file."""
    fill(file)
    set_numbers(kept)
    there = {model._meta.db_table: digest_of(model) for model in tables()}
    if differing := sorted(table for table in told if told[table] != there[table]):
        raise Unsound(f"These tables would not be the same: {', '.join(differing)}.")
    if end_of_audit() != head:
        raise Unsound("The audit would end elsewhere.")
    return there


def fill(file: Path) -> None:
    """Copy each table. Triggers rest meanwhile: they would record as new what was recorded when it happened."""
    with connection.cursor() as cursor:
        for model in tables():
            cursor.execute(f'ALTER TABLE "{model._meta.db_table}" DISABLE TRIGGER USER')
        for model in tables():
            cursor.execute(f'DELETE FROM "{model._meta.db_table}"')  # noqa: S608  what migrations put there
        there = connections[DEFAULT_DB_ALIAS]
        with instead(sqlite_file(file)):
            for model in tables():
                copy_table(there, cursor, model)
        # What one row says of another is looked at now: no table is altered while that is still to be done.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for model in tables():
            cursor.execute(f'ALTER TABLE "{model._meta.db_table}" ENABLE TRIGGER USER')


def copy_table(there: BaseDatabaseWrapper, cursor: Any, model: type[models.Model]) -> None:
    """From the database that is read just now into another."""
    fields = fields_of(model)
    columns = ", ".join(there.ops.quote_name(field.column) for field in fields)
    with cursor.copy(f'COPY "{model._meta.db_table}" ({columns}) FROM STDIN') as copy:
        for row in rows_of(model):
            copy.write_row([field.get_db_prep_save(each, there) for field, each in zip(fields, row, strict=True)])


def numbers_of(source: BaseDatabaseWrapper) -> dict[str, int]:
    """The last number that SQLite gave in each table, so that none is given twice."""
    with source.cursor() as cursor:
        cursor.execute("SELECT name, seq FROM sqlite_sequence")
        return dict(cursor.fetchall())


def set_numbers(kept: dict[str, int]) -> None:
    with connection.cursor() as cursor:
        for model in tables():
            table, key = model._meta.db_table, model._meta.pk
            if isinstance(key, models.AutoField):
                last = kept.get(table, 0)
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)",
                    [f'"{table}"', key.column, max(1, last), last > 0],
                )
