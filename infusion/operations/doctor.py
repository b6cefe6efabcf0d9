"""What is wrong with a site, each thing with its remedy. Looks at everything, whatever it finds first."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from infusion.audit import AuditEvent, AuditHead
from infusion.checks import OF_ONE_PROCESS
from infusion.models import Job
from infusion.operations import unfinished
from infusion.operations.archive import Unsound, age_of, end_of_audit
from infusion.services.words import counted
from infusion.settings import sqlite_journal

LEAST_FREE_PERCENT = 10
OLDEST_BACKUP = timedelta(hours=48)
LARGEST_DIFFERENCE = timedelta(seconds=30)
LONGEST_STANDSTILL = timedelta(minutes=10)
WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
"""This program is no older, so no right clock shows an earlier day."""


class Ill(Exception):
    """What is wrong, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}")


Check = Callable[[], str]


def database_writes() -> str:
    """A row is written and taken back."""
    try:
        with transaction.atomic():
            AuditHead.objects.create(pk=0)
            transaction.set_rollback(True)
    except (Error, ImproperlyConfigured) as problem:
        raise Ill(
            f"The database takes no writes: {str(problem).strip()}.",
            "See whether its disk is full, whether this user may write its file and folder, and whether it runs.",
        ) from problem
    return "takes writes"


def journal_is_sound() -> str:
    if connection.vendor != "sqlite":
        return "of SQLite alone"
    with connection.cursor() as cursor:
        [journal] = cursor.execute("PRAGMA journal_mode").fetchone()
    wanted = sqlite_journal(sqlite3.sqlite_version_info)
    if journal.upper() != wanted:
        raise Ill(
            f"The journal is {journal}, and SQLite {sqlite3.sqlite_version} is safe with {wanted.lower()}.",
            "Stop the server and start it again; it sets the journal when nobody else has the file open.",
        )
    return f"SQLite {sqlite3.sqlite_version} with journal {journal}"


def disk_has_room() -> str:
    found = []
    for place in sorted({folder_of_records(), nearest(settings.INFUSION_BACKUPS)}):
        usage = shutil.disk_usage(place)
        free = usage.free * 100 // usage.total
        if free < LEAST_FREE_PERCENT:
            raise Ill(f"{free}% of the disk under {place} is free.", "Make room: old backups first, or a larger disk.")
        found.append(f"{free}% free under {place}")
    return "; ".join(found)


def folder_of_records() -> Path:
    """Where the records lie, or this program where they lie on another machine."""
    return Path(connection.settings_dict["NAME"]).parent if connection.vendor == "sqlite" else settings.BASE_DIR


def nearest(folder: Path) -> Path:
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


def backup_is_young() -> str:
    remedy = "Run manage.py backup now, and see why the daily one does not."
    try:
        age = age_of(settings.INFUSION_BACKUPS)
    except Unsound as problem:
        raise Ill(str(problem), f"{remedy} Do not count on the backup beside it.") from problem
    if age is None or age > OLDEST_BACKUP:
        told = "There is no backup" if age is None else f"The last backup is {age // timedelta(hours=1)} hours old"
        raise Ill(f"{told} in {settings.INFUSION_BACKUPS}.", remedy)
    return f"{age // timedelta(hours=1)} hours old"


def clock_is_right() -> str:
    """Not before what it has recorded already, and the same as the database's."""
    now = timezone.now()
    last = AuditEvent.objects.order_by("-sequence").values_list("at", flat=True).first() or WRITTEN
    if now < max(last, WRITTEN) - LARGEST_DIFFERENCE:
        raise Ill(
            f"The clock shows {now:%Y-%m-%d %H:%M} UTC, and records were made at {max(last, WRITTEN):%Y-%m-%d %H:%M}.",
            "Set it by a time service, such as systemd-timesyncd or chrony.",
        )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            [theirs] = cursor.fetchone()
        if abs(theirs - timezone.now()) > LARGEST_DIFFERENCE:
            raise Ill(f"The database's clock differs by {abs(theirs - now)}.", "Set both by a time service.")
    return f"{now:%Y-%m-%d %H:%M} UTC"


def no_restore_is_unfinished() -> str:
    if sentence := unfinished.told():
        what, _, remedy = sentence.partition(". ")
        raise Ill(f"{what}.", remedy)
    return "none is unfinished"


def nothing_to_migrate() -> str:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        raise Ill(f"{len(waiting)} migrations were not applied.", "Take a backup, then run manage.py migrate.")
    return "all applied"


def audit_is_whole() -> str:
    try:
        head = end_of_audit()
    except Unsound as problem:
        raise Ill(
            str(problem), "Keep this database as it is, restore the last backup beside it, and find out who had access."
        ) from problem
    return f"whole; head {head}"


def rest_is_encrypted() -> str:
    """Seen on the volume itself, or declared by whoever set it up."""
    if connection.vendor == "sqlite" and on_encrypted_volume(folder_of_records()):
        return "on an encrypted volume"
    if not settings.INFUSION_AT_REST:
        raise Ill(
            "Nobody says that the disk of the records is encrypted.",
            "Put them on an encrypted volume (LUKS, or the provider's), then say so in INFUSION_AT_REST.",
        )
    return f"declared: {settings.INFUSION_AT_REST}"


def on_encrypted_volume(folder: Path) -> bool:
    """What Linux says of the device under a folder, or of what that one lies on."""
    device = os.stat(folder).st_dev
    start = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not start.exists():
        return False
    kinds = [start / "dm/uuid", *start.glob("slaves/*/dm/uuid"), *start.glob("slaves/*/slaves/*/dm/uuid")]
    return any(kind.exists() and kind.read_text().startswith("CRYPT-") for kind in kinds)


def cache_is_shared() -> str:
    backend = settings.CACHES["default"]["BACKEND"]
    remedy = "Use django.core.cache.backends.db.DatabaseCache in CACHES, and run manage.py migrate."
    if backend.endswith(OF_ONE_PROCESS):
        raise Ill("Attempts to sign in are counted by each process for itself.", remedy)
    try:
        cache.set("doctor", "well", 10)
        kept = cache.get("doctor") == "well"
    except Error as problem:
        raise Ill(f"The cache does not answer: {str(problem).strip()}.", remedy) from problem
    if not kept:
        raise Ill("The cache forgets at once.", remedy)
    return backend.rpartition(".")[2]


def jobs_go_on() -> str:
    """Long work is being worked on, and none of it has stopped."""
    unfinished = Job.objects.filter(state__in=(Job.State.WAITING, Job.State.RUNNING))
    standing = unfinished.filter(heartbeat_at__lt=timezone.now() - LONGEST_STANDSTILL).count()
    minutes = LONGEST_STANDSTILL // timedelta(minutes=1)
    if standing:
        raise Ill(
            f"{counted(standing, 'job')} stood still for more than {minutes} minutes.",
            "See that a worker runs (manage.py work), then run manage.py requeue_stalled.",
        )
    stopped = list(Job.objects.filter(state=Job.State.FAILED).order_by("pk"))
    if stopped:
        references = ", ".join(job.reference for job in stopped if job.reference)
        raise Ill(
            f"{counted(len(stopped), 'job')} stopped{f' ({references})' if references else ''}.",
            "The page of each says why and goes on with it, once that is mended; the log has more under a reference.",
        )
    return "none waits for long, and none has stopped"


CHECKS: dict[str, Check] = {
    "Database": database_writes,
    "Journal": journal_is_sound,
    "Disk": disk_has_room,
    "Backup": backup_is_young,
    "Clock": clock_is_right,
    "Restore": no_restore_is_unfinished,
    "Migrations": nothing_to_migrate,
    "Audit": audit_is_whole,
    "At rest": rest_is_encrypted,
    "Cache": cache_is_shared,
    "Jobs": jobs_go_on,
}


def examined() -> Iterator[tuple[str, bool, str]]:
    """Each thing by name, whether it is well, and what was found."""
    for name, check in CHECKS.items():
        try:
            yield name, True, check()
        except Ill as ill:
            yield name, False, str(ill)
        except (Error, ImproperlyConfigured, OSError) as problem:
            yield name, False, f"This could not be looked at: {str(problem).strip()}. See to what is said above first."
