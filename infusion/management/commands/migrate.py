"""Django's migrate, one at a time, and so that it can be started again whenever it was stopped."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.core.management import CommandError
from django.core.management.commands import migrate
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.migration import Migration

from infusion.operations import unfinished

ONE_AT_A_TIME = 7_466_341
"""The number of PostgreSQL's lock. Any other would do, as long as it stays."""


class RecordedWithin(MigrationExecutor):
    """Writes down that a migration is done in the transaction of the migration itself.

    Django does so only where nothing is left for the transaction's end, such as an index; whoever was stopped between
    the two could never start again. Both databases here undo tables as they undo rows.
    """

    def apply_migration(self, state: Any, migration: Migration, fake: bool = False, fake_initial: bool = False) -> Any:
        if fake or fake_initial or not migration.atomic:
            return super().apply_migration(state, migration, fake, fake_initial)
        if self.progress_callback:
            self.progress_callback("apply_start", migration, fake)
        with self.connection.schema_editor(atomic=True) as editor:
            state = migration.apply(state, editor)
            self.record_migration(migration)  # type: ignore[arg-type, call-arg]  # the stubs name another Django's
        if self.progress_callback:
            self.progress_callback("apply_success", migration, fake)
        return state


@contextmanager
def alone(alias: str) -> Iterator[None]:
    """Wait for whoever else migrates this database. The lock goes with the process, however that ends."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [ONE_AT_A_TIME])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [ONE_AT_A_TIME])
        return
    name = str(connection.settings_dict["NAME"])
    if ":memory:" in name or "mode=memory" in name:  # nobody else can open it
        yield
        return
    # SQLite gives its journal the permissions of the file, so that neither is anybody else's.
    os.close(os.open(name, os.O_RDWR | os.O_CREAT, 0o600))
    with Path(f"{name}.migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Command(migrate.Command):
    stealth_options = ("restoring",)  # of the restore itself, which brings a backup up to this version

    def execute(self, *args: Any, **options: Any) -> Any:
        """All of it, because the checks before it open the database already."""
        restoring = options.pop("restoring", False)
        with alone(options["database"]), patch.object(migrate, "MigrationExecutor", RecordedWithin):
            if not restoring and (sentence := unfinished.told()):
                raise CommandError(sentence)
            return super().execute(*args, **options)
