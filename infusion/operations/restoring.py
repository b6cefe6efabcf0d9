"""A backup takes the place of the database, once it has been looked at, and what was there is kept aside.

A backup of an earlier version is brought up to this one on the way. Everyone signs in again by password or passkey: a
code that was used since, or a PIN that was taken away, would count once more.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, ProgrammingError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone
from psycopg.errors import InsufficientPrivilege

from infusion.actions.programs import revoke_all_programs
from infusion.actions.sign_in import end_ways_in
from infusion.chain import heads
from infusion.operations.archive import (
    ENDS,
    Record,
    Unsound,
    compared,
    end_of_audit,
    look_at,
    on_disk,
    opened,
    private,
    record_of,
    run,
    run_on_postgresql,
)
from infusion.operations.elsewhere import instead, rows_by_table, sqlite_file
from infusion.operations.unfinished import mark, marked, unmark

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file, and would play into another that takes its place."""


SECONDS_TO_LEAVE = 5
"""A session that has just ended is seen for a moment."""


class Occupied(Unsound):
    """Something is there already, or in use."""


class Stopped(Unsound):
    """Whoever asked for it, or the machine, ends it."""


def restore(
    file: Path, *, key_file: Path | None = None, replace: bool = False, flawed: bool = False
) -> tuple[str, dict[str, int], str]:
    """The end of the audit, the rows of each table, and where that what was there is kept.

    `flawed`: even where the audit was not whole when the backup was made.
    """
    if connection.vendor == "postgresql":
        nobody_else()
        step_back()
    if not file.is_file():
        raise Unsound(f"There is no file {file}.")
    record = record_of(file)
    compared(record, file)
    vendor = "postgresql" if file.name.removesuffix(".age").endswith(ENDS["postgresql"]) else "sqlite"
    if vendor != connection.vendor:
        raise Unsound(
            f"{file.name} is of another kind of database than DATABASE_URL names. Restore it into its own kind first, "
            "then use manage.py move_to_postgres."
        )
    if not replace and not is_empty():
        raise Occupied("There is a database already. Say --replace to put the backup in its place and keep it aside.")
    if record is not None and record.flaw and not flawed:
        raise Unsound(f"Its audit was not whole when it was made: {record.flaw} Say --flawed to restore it even so.")
    connection.close()
    place = into_sqlite if vendor == "sqlite" else into_postgresql
    return place(file, record, key_file)


def is_empty() -> bool:
    """Whether nothing is there. A file that SQLite cannot read is something."""
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        return not path.exists() or path.stat().st_size == 0
    return not connection.introspection.table_names()


def brought_up(there: BaseDatabaseWrapper, record: Record | None) -> tuple[str, dict[str, int]]:
    """Look at what was restored, bring it up to this version, and end every sign-in and short way in."""
    look_at(there)
    rows = rows_by_table(there)
    if record is not None and rows != record.rows:
        differing = sorted({table for table, _ in rows.items() ^ record.rows.items()})
        raise Unsound(f"It does not hold what its record says: {', '.join(differing)}.")
    loader = MigrationLoader(there)
    if unknown := sorted(set(loader.applied_migrations or ()) - set(loader.disk_migrations or ())):
        raise Unsound(f"It was made by a newer version, which knows {'.'.join(unknown[0])}. Install that one first.")
    if record is not None and heads() != record.head:
        raise Unsound("Its audit ends elsewhere than its record says.")
    call_command("migrate", verbosity=0, restoring=True)
    Session.objects.all().delete()
    end_ways_in(reason="A backup was restored.")
    revoke_all_programs(reason="A backup was restored.")
    head = heads() if record is not None and record.flaw else end_of_audit()
    return head, rows


# SQLite ---------------------------------------------------------------------------------------------------------------


def into_sqlite(file: Path, record: Record | None, key_file: Path | None) -> tuple[str, dict[str, int], str]:
    """Looked at beside the place where it goes, so that one renaming puts it there."""
    place = Path(connection.settings_dict["NAME"])
    unused(place)
    with private(place.with_name(f".{place.name}.part")) as part:
        plain = opened(file, key_file, part)
        if plain != part:
            part.write_bytes(b"")
            copied(plain, part)
        with instead(sqlite_file(part)) as there:
            head, rows = brought_up(there, record)
            with there.cursor() as cursor:
                cursor.execute("PRAGMA journal_mode=DELETE")
        Path(f"{part}.migrating").unlink(missing_ok=True)
        on_disk(part)
        unused(place)  # a server that looks in now and then may have come meanwhile
        kept = aside(place)
        part.replace(place)
        on_disk(place.parent)
    return head, rows, kept


def copied(plain: Path, part: Path) -> None:
    with plain.open("rb") as source, part.open("wb") as target:
        while block := source.read(1 << 20):
            target.write(block)


def aside(place: Path) -> str:
    """Give what is there another name, with whatever SQLite keeps beside it: left, it would be played into the new."""
    stamp = f"{timezone.now():%Y%m%dT%H%M%SZ}"
    ends = [end for end in ("", *BESIDE) if Path(f"{place}{end}").exists()]
    kept = f"{place}.before-{stamp}"
    if ends == [""]:
        with suppress(OSError):  # not every kind of disk knows two names of one file
            os.link(place, kept)
            return kept  # and the old name is taken over, so that at no moment there is no file
    for end in ends:
        Path(f"{place}{end}").replace(f"{kept}{end}")
    return kept if ends else ""


def unused(place: Path) -> None:
    """Raises Occupied where another process has the file open."""
    if users := processes_with(place):
        raise Occupied(f"{place} is open in process {', '.join(users)}. Stop the server first.")


def processes_with(place: Path) -> list[str]:
    """Processes other than this one that have the file open, as far as this one may see."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if folder.parent.name == str(os.getpid()):
            continue
        try:
            if any(os.path.realpath(each) == str(place.resolve()) for each in folder.iterdir()):
                found.append(folder.parent.name)
        except OSError:  # another person's, or gone meanwhile
            continue
    return found


# PostgreSQL -----------------------------------------------------------------------------------------------------------


def into_postgresql(file: Path, record: Record | None, key_file: Path | None) -> tuple[str, dict[str, int], str]:
    """What is there steps aside as a schema of another name, and comes back where the backup is no good."""
    with TemporaryDirectory() as folder:
        plain = opened(file, key_file, Path(folder) / "plain.dump")
        run("pg_restore", f"--file={os.devnull}", str(plain))  # all of it can be read
        with endings_as_errors() as ignore_them:
            try:
                kept = step_aside()
                run_on_postgresql(
                    connections[DEFAULT_DB_ALIAS], "pg_restore", "--no-owner", "--no-privileges", "--no-comments",
                    "--single-transaction", "--exit-on-error", str(plain),
                )  # fmt: skip
                head, rows = brought_up(connections[DEFAULT_DB_ALIAS], record)
                ignore_them()
                with connection.cursor() as cursor:
                    unmark(cursor)
            except BaseException:
                ignore_them()
                connection.close()
                step_back()
                raise
    return head, rows, kept and f"the schema {kept}"


@contextmanager
def endings_as_errors() -> Iterator[Callable[[], None]]:
    """Inside, a signal that would end the process is an error, once, until what it gives is called."""
    signals = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]

    def ignore_them() -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)

    def stop(number: int, frame: object) -> None:
        ignore_them()
        raise Stopped(f"It was stopped by {signal.Signals(number).name}.")

    before = [signal.signal(each, stop) for each in signals]
    try:
        yield ignore_them
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def nobody_else() -> None:
    """Raises Occupied while another session has the database."""
    ends = time.monotonic() + SECONDS_TO_LEAVE
    while others := sessions():
        if time.monotonic() > ends:
            raise Occupied(f"The database is in use by {', '.join(others)}. Stop every server and worker first.")
        time.sleep(0.1)


def sessions() -> list[str]:
    """Those of other people and programs in this database, by their numbers; PostgreSQL's own have no user."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, usename FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND usename IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend' ORDER BY pid"
        )
        return [f"session {pid} of {name}" for pid, name in cursor.fetchall()]


def step_aside() -> str:
    """Marked in the same transaction. The name of what was there, which is none where that was nothing."""
    kept = "" if is_empty() else f"before_{timezone.now():%Y%m%dt%H%M%S%fz}"
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            if kept:
                cursor.execute(f"ALTER SCHEMA public RENAME TO {kept}")
                cursor.execute("CREATE SCHEMA public")
                move_extensions(cursor, kept, "public")
            mark(cursor, kept)
    except ProgrammingError as refused:
        if not isinstance(refused.__cause__, InsufficientPrivilege):
            raise
        raise Unsound(
            "PostgreSQL lets this role neither rename nor mark the schema public. Make it the owner: "
            "ALTER SCHEMA public OWNER TO the role that DATABASE_URL names."
        ) from refused
    return kept


def step_back() -> None:
    """What a restoring began goes, and what was there comes back. Nothing happens where none has begun."""
    if (kept := marked()) is None:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        if kept:
            move_extensions(cursor, "public", kept)
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute(f"ALTER SCHEMA {kept} RENAME TO public" if kept else "CREATE SCHEMA public")


def move_extensions(cursor: Any, old: str, new: str) -> None:
    """There is one of each in a database, and the tables of the backup ask for it too."""
    cursor.execute("SELECT extname FROM pg_extension WHERE extnamespace = %s::regnamespace", [old])
    for [name] in cursor.fetchall():
        cursor.execute(f'ALTER EXTENSION "{name}" SET SCHEMA {new}')
