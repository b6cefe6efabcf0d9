"""A backup: one file that was looked at after it was written, and beside it a record of what it holds.

SQLite is copied by its own backup interface, PostgreSQL by pg_dump, both while people work. The record names the rows
of each table and the end of the audit, and no patient.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from psycopg import IsolationLevel
from psycopg.conninfo import make_conninfo

from infusion.chain import check, heads
from infusion.operations import unfinished
from infusion.operations.elsewhere import instead, rows_by_table, sqlite_file

ENDS = {"sqlite": "sqlite3", "postgresql": "dump"}
NAME = re.compile(r"infusion-\d{8}T\d{6}Z\.(?:sqlite3|dump)(?:\.age)?")
PATIENCE_SECONDS = 60
State = dict[str, Any]
# What PostgreSQL's own programs, which may be older than the driver, understand of a connection.
CONNECTED_BY = ("service", "host", "port", "dbname", "user", "sslmode", "sslrootcert", "sslcert", "sslkey", "passfile")


class Unsound(Exception):
    """What keeps a backup from being one, in a sentence."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a backup holds, as it was when it was made."""

    made_at: str
    vendor: str
    sha256: str
    head: str
    rows: dict[str, int]
    flaw: str = ""
    """What was wrong with the audit already. Such a backup is better than none, and says so."""

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.made_at)


def record_beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def record_of(file: Path) -> Record | None:
    """None where the record was not kept beside the file."""
    try:
        record = Record(**json.loads(record_beside(file).read_text(encoding="utf-8")))
        if record.when.tzinfo is None:
            raise ValueError(record.made_at)
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as problem:
        raise Unsound(f"{record_beside(file)} is not the record of a backup.") from problem
    return record


def backups_in(folder: Path) -> list[Path]:
    """The newest first, by their names."""
    if not folder.is_dir():
        return []
    return sorted((each for each in folder.iterdir() if NAME.fullmatch(each.name)), reverse=True)


# Looking at it --------------------------------------------------------------------------------------------------------


def look_at(there: BaseDatabaseWrapper) -> None:
    """Raises Unsound for a file that SQLite finds damaged. PostgreSQL looks at its own pages as it reads them."""
    if there.vendor != "sqlite":
        return
    with there.cursor() as cursor:
        try:
            found = [row[0] for row in cursor.execute("PRAGMA integrity_check").fetchall()]
            loose = cursor.execute("PRAGMA foreign_key_check").fetchall()
        except Exception as problem:
            raise Unsound(f"SQLite cannot read it: {problem}.") from problem
    if found != ["ok"]:
        raise Unsound(f"SQLite finds it damaged: {found[0]}.")
    if loose:
        raise Unsound(f"{len(loose)} rows name others that are not there, the first in {loose[0][0]}.")


def end_of_audit() -> str:
    """Where the audit ends. Raises Unsound where it is not what was written."""
    if (found := check()).flaws:
        raise Unsound(found.flaws[0])
    return found.head


# Making it ------------------------------------------------------------------------------------------------------------


def make(folder: Path, recipient: str = "") -> tuple[Path, Record]:
    """Write a backup, look at it, and only then give it its name. `recipient` is a public key to close it to."""
    if sentence := unfinished.told():
        raise Unsound(sentence)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = timezone.now()
    file = folder / f"infusion-{now:%Y%m%dT%H%M%SZ}.{ENDS[connection.vendor]}{'.age' if recipient else ''}"
    with private(folder / f".{file.name}.part") as part:
        copy = copied_from_sqlite if connection.vendor == "sqlite" else dumped_from_postgresql
        state = copy(part)
        if recipient:
            with private(folder / f".{file.name}.open") as opened:
                part.replace(opened)
                pyrage.encrypt_file(str(opened), str(part), [pyrage.x25519.Recipient.from_str(recipient)])
                part.chmod(0o600)
        record = Record(now.isoformat(), connection.vendor, digest_of(part), **state)
        with private(folder / f".{file.name}.json.part") as beside:
            beside.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
            settle(beside, record_beside(file))
        settle(part, file)
    return file, record


@contextmanager
def private(path: Path) -> Iterator[Path]:
    """A new file of nobody else's, gone at the end where it was not given another name."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def settle(part: Path, file: Path) -> None:
    """Have it on the disk, then under its name, and the name on the disk too."""
    on_disk(part)
    part.replace(file)
    on_disk(file.parent)


def on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def copied_from_sqlite(part: Path) -> State:
    """One state of the file, whoever writes meanwhile."""
    copy_sqlite(part)
    with instead(sqlite_file(part)) as there:
        look_at(there)
        return state_of(there)


def copy_sqlite(part: Path) -> None:
    name = connection.settings_dict["NAME"]
    with (
        closing(sqlite3.connect(name, timeout=PATIENCE_SECONDS)) as source,
        closing(sqlite3.connect(part)) as copy,
    ):
        # A copy that fails is begun anew, and it is on the disk before it gets its name.
        copy.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # all of it in one file


def dumped_from_postgresql(part: Path) -> State:
    """What is dumped and what is looked at is the same state: one transaction holds it still."""
    with held_still_on_postgresql() as there:
        with there.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            [snapshot] = cursor.fetchone()
        run_on_postgresql(
            there, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}",
            "--exclude-schema=before_*", f"--file={part}",
        )  # fmt: skip  # what a restoring set aside is not part of the site
        run("pg_restore", f"--file={os.devnull}", str(part))  # reads all of it
        return state_of(there)


@contextmanager
def held_still_on_postgresql() -> Iterator[BaseDatabaseWrapper]:
    settings = connection.settings_dict
    options = {**settings["OPTIONS"], "isolation_level": IsolationLevel.REPEATABLE_READ}
    with instead({**settings, "OPTIONS": options}) as there, transaction.atomic():
        yield there


@contextmanager
def held_still() -> Iterator[None]:
    """Inside, whatever reads sees one moment of the database, whoever writes meanwhile.

    Of SQLite that is a copy, beside the file so that it is no less protected: a long look at the file itself would keep
    every writer waiting.
    """
    if connection.vendor == "postgresql":
        with held_still_on_postgresql():
            yield
        return
    place = Path(connection.settings_dict["NAME"])
    with private(place.with_name(f".{place.name}.look-{os.getpid()}")) as copy:
        copy_sqlite(copy)
        with instead(sqlite_file(copy)):
            yield


def state_of(there: BaseDatabaseWrapper) -> State:
    return {"head": heads(), "rows": rows_by_table(there), "flaw": next(iter(check().flaws), "")}


def run_on_postgresql(there: BaseDatabaseWrapper, program: str, *arguments: str) -> None:
    """One of PostgreSQL's programs on this database. The password goes by the environment, unseen by others."""
    parameters = there.get_connection_params()
    password = {"PGPASSWORD": parameters["password"]} if parameters.get("password") else {}
    named = make_conninfo(**{name: parameters[name] for name in CONNECTED_BY if parameters.get(name)})
    run(program, *arguments, f"--dbname={named}", **password)


def run(program: str, *arguments: str, **environment: str) -> None:
    try:
        subprocess.run(  # noqa: S603  names of PostgreSQL's programs, and arguments of our own
            [program, *arguments], check=True, capture_output=True, text=True, env={**os.environ, **environment}
        )
    except FileNotFoundError as problem:
        raise Unsound(f"{program} is not installed. Install PostgreSQL's client programs.") from problem
    except subprocess.CalledProcessError as problem:
        raise Unsound(f"{program} says: {problem.stderr.strip()}") from problem


def forget_all_but(folder: Path, keep: int) -> list[Path]:
    """Remove the oldest, so that so many are left. What was removed."""
    removed = backups_in(folder)[keep:]
    for file in removed:
        file.unlink()
        record_beside(file).unlink(missing_ok=True)
    return removed


# Opening it -----------------------------------------------------------------------------------------------------------


def new_key(file: Path) -> str:
    """Make a pair of keys: the one that opens goes into a new file, the one that closes is the answer."""
    pair = pyrage.x25519.Identity.generate()
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as kept:
        kept.write(f"# public key: {pair.to_public()}\n{pair}\n")
    return str(pair.to_public())


def opened(file: Path, key_file: Path | None, into: Path) -> Path:
    """The backup as it was before it was closed."""
    if file.suffix != ".age":
        return file
    if key_file is None:
        raise Unsound(f"{file.name} is encrypted. Name the key that opens it with --key-file.")
    lines = key_file.read_text(encoding="utf-8").splitlines()
    keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-")]
    try:
        pyrage.decrypt_file(str(file), str(into), keys)
    except pyrage.DecryptError as problem:
        raise Unsound(f"{key_file.name} does not open {file.name}, or the file is not whole.") from problem
    into.chmod(0o600)
    return into


def compared(record: Record | None, file: Path) -> None:
    """Raises Unsound for a file that is not the one that was written."""
    if record is not None and digest_of(file) != record.sha256:
        raise Unsound(f"{file.name} is not the file that its record tells of: it was changed or cut off.")


def age_of(folder: Path) -> timedelta | None:
    """Of the newest backup; None where there is none."""
    for file in backups_in(folder):
        if record := record_of(file):
            return timezone.now() - record.when
    return None
