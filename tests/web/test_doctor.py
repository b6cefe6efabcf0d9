"""`manage.py doctor`: each thing that can be wrong with a site is found, and named with what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings
from django.utils import timezone

from infusion.actions import Recorded, save_encounter
from infusion.audit import AuditHead
from infusion.models import Clinic, Job, User
from infusion.operations import archive, doctor, unfinished
from infusion.operations.doctor import CHECKS, examined

SHARED = {"default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache"}}
Breakage = Callable[[Path], AbstractContextManager[object]]


@pytest.fixture
def site(tmp_path: Path, clinic: Clinic, nurse: User, sarah: Recorded) -> Iterator[Path]:
    """A site without a fault."""
    save_encounter(by=nurse, clinic=clinic, client_id="11111111-2222-4333-8444-555555555555", recorded=sarah)
    a_backup(tmp_path, timedelta(hours=3))
    cache = {"default": {**SHARED["default"], "LOCATION": str(tmp_path / "cache")}}
    with override_settings(CACHES=cache, INFUSION_BACKUPS=tmp_path, INFUSION_AT_REST="LUKS on /var"):
        yield tmp_path


def a_backup(folder: Path, age: timedelta) -> None:
    file = folder / f"infusion-{timezone.now() - age:%Y%m%dT%H%M%SZ}.sqlite3"
    file.touch()
    record = archive.Record((timezone.now() - age).isoformat(), "sqlite", "", "", {})
    archive.record_beside(file).write_text(json.dumps(asdict(record)))


@contextmanager
def no_writes(site: Path) -> Iterator[None]:
    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT"):
            raise OperationalError("attempt to write a readonly database")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        yield


@contextmanager
def old_backup(site: Path) -> Iterator[None]:
    for file in archive.backups_in(site):
        file.unlink()
    a_backup(site, timedelta(hours=49))
    yield


@contextmanager
def not_migrated(site: Path) -> Iterator[None]:
    MigrationRecorder(connection).record_unapplied("payers", "0004_second_admin")
    yield


@contextmanager
def changed_audit(site: Path) -> Iterator[None]:
    AuditHead.objects.filter(pk=1).update(hash="0" * 64)
    yield


@contextmanager
def no_worker(site: Path) -> Iterator[None]:
    a_job(Job.State.WAITING, timedelta(minutes=11))
    a_job(Job.State.WAITING, timedelta(minutes=9))
    yield


def a_job(state: Job.State, still: timedelta) -> None:
    then = timezone.now() - still
    Job.objects.create(
        clinic=Clinic.objects.get(), kind="recheck", subject=f"{state} {still}", total=9, state=state, begun_at=then,
        heartbeat_at=then, begun_by=User.objects.get(username="nurse"), reference="B7K2-M9QX",
    )  # fmt: skip


BROKEN: dict[str, tuple[Breakage, str]] = {
    "Database": (no_writes, "See whether its disk is full"),
    "Disk": (
        lambda site: patch.object(doctor.shutil, "disk_usage", lambda place: SimpleNamespace(free=9, total=100)),
        "Make room",
    ),
    "Backup": (old_backup, "49 hours old in"),
    "Clock": (lambda site: time_machine.travel("2026-01-02T00:00:00Z"), "Set it by a time service"),
    "Restore": (
        lambda site: patch.object(unfinished, "marked", lambda: "before_today"),
        "Run manage.py restore FILE --replace: what was there before, in the schema before_today, comes back first",
    ),
    "Migrations": (not_migrated, "Take a backup, then run manage.py migrate."),
    "Audit": (changed_audit, "find out who had access"),
    "At rest": (lambda site: override_settings(INFUSION_AT_REST=""), "say so in INFUSION_AT_REST"),
    "Cache": (
        lambda site: override_settings(
            CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        ),
        "DatabaseCache",
    ),
    "Jobs": (no_worker, "1 job stood still for more than 10 minutes. See that a worker runs (manage.py work)"),
}  # fmt: skip
BROKEN_SQLITE: dict[str, tuple[Breakage, str]] = {
    "Journal": (lambda site: patch.object(doctor, "sqlite_journal", lambda version: "OTHER"), "Stop the server"),
}


def ill() -> dict[str, str]:
    return {name: told for name, well, told in examined() if not well}


def test_a_site_without_a_fault_is_well(site: Path) -> None:
    assert ill() == {}
    out = StringIO()
    call_command("doctor", stdout=out)
    assert len(out.getvalue().splitlines()) == len(CHECKS)


@pytest.mark.parametrize("name", BROKEN | BROKEN_SQLITE)
def test_what_is_wrong_is_found_with_its_remedy(name: str, site: Path) -> None:
    if name in BROKEN_SQLITE and connection.vendor != "sqlite":
        pytest.skip("of SQLite alone")
    breakage, remedy = (BROKEN | BROKEN_SQLITE)[name]
    with breakage(site):
        found = ill()
        assert list(found) == [name], found
        assert remedy in found[name]
        with pytest.raises(CommandError, match="1 of these need you"):
            call_command("doctor", stdout=StringIO())


def test_every_check_has_a_breakage() -> None:
    assert set(BROKEN | BROKEN_SQLITE) == set(CHECKS)


def test_a_database_that_is_away_keeps_nothing_from_being_looked_at(site: Path) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("the server is gone")

    with connection.execute_wrapper(away):
        told = list(examined())
    assert [name for name, *_ in told] == list(CHECKS)
    by_themselves = {"Disk", "Backup", "At rest", "Cache"}
    # What only the other kind of database has to be asked for.
    by_themselves.add("Journal" if connection.vendor == "postgresql" else "Restore")
    assert {name for name, well, _ in told if well} == by_themselves


def test_a_job_that_stopped_is_told_by_its_reference(site: Path) -> None:
    a_job(Job.State.DONE, timedelta(days=1))
    assert ill() == {}
    a_job(Job.State.FAILED, timedelta(seconds=1))
    assert ill()["Jobs"].startswith("1 job stopped (B7K2-M9QX). The page of each says why")
    Job.objects.update(reference="")  # refused in words, of which the log has nothing more
    assert ill()["Jobs"].startswith("1 job stopped. The page of each says why")


def test_no_backup_at_all_is_told(site: Path) -> None:
    for file in archive.backups_in(site):
        file.unlink()
    assert "There is no backup" in ill()["Backup"]


def test_a_damaged_record_of_a_backup_is_told_and_the_rest_looked_at(site: Path) -> None:
    [file] = archive.backups_in(site)
    whole = archive.record_beside(file).read_text()
    undated, without_zone = (re.sub('(?<="made_at": ")[^"]+', text, whole).encode() for text in ("soon", "2026-03-10"))
    for damage in (b"{", b"{}", b"[1]", b'{"made_at": "\xff"}', undated, without_zone):
        archive.record_beside(file).write_bytes(damage)
        found = ill()
        assert list(found) == ["Backup"], found
        assert "is not the record of a backup." in found["Backup"]
        assert "Run manage.py backup now" in found["Backup"]


@pytest.mark.parametrize(("uuid", "encrypted"), [("CRYPT-LUKS2-abc", True), ("LVM-abc", False)])
def test_an_encrypted_volume_is_seen(tmp_path: Path, uuid: str, encrypted: bool) -> None:
    (tmp_path / "slaves/sda/dm").mkdir(parents=True)
    (tmp_path / "slaves/sda/dm/uuid").write_text(uuid)
    with patch.object(doctor, "Path", lambda name: tmp_path):
        assert doctor.on_encrypted_volume(tmp_path) == encrypted
