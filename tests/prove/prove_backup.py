"""R48: a backup is taken while people write, holds one moment of it, and what is not sound is never restored."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from infusion import checks
from infusion.actions import Recorded, Refused, save_encounter
from infusion.actions.sign_in import choose_pin, make_emergency_code, remember_browser, use_emergency_code
from infusion.audit import AuditEvent
from infusion.models import Clinic, EmergencyCode, Encounter, KnownBrowser, User
from infusion.operations import archive, doctor, restoring, unfinished
from infusion.operations.archive import Unsound
from infusion.operations.elsewhere import instead
from infusion.operations.restoring import Occupied, restore
from infusion.replay import differences
from payers.models import Payer
from tests.processes import together
from tests.prove.conftest import Prove
from tests.prove.elsewhere import answer_for_fixtures, empty
from tests.prove.many import multiply
from tests.prove.prove_migrations import Killer, killed
from tests.prove.stored import stored
from tests.prove.table import share, size

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("answered")]
WRITERS = 16


@pytest.fixture
def answered(clinic: Clinic, nurse: User, biller: User, sarah: Recorded) -> None:
    answer_for_fixtures()


def write_or_back_up(number: int, barrier: Any, folder: Path, rounds: int, sarah: Recorded) -> list[str]:
    """The first takes backups, the others save new encounters until it is done."""
    nurse = User.objects.get(username="nurse")
    done, made = folder / "done", []
    barrier.wait(120)
    if number == 0:
        try:
            for turn in range(rounds):
                time.sleep(0.3)
                file, _ = archive.make(folder / f"{turn}")
                made.append(str(file))
        finally:
            done.touch()
    while not done.exists():
        save_encounter(by=nurse, clinic=nurse.clinic, client_id=uuid4(), recorded=sarah)
    return made


def prefix_of_ours(head: str, ours: dict[int, str]) -> bool:
    _, sequence, hashed = head.partition(";")[0].split()  # of the writes
    return ours[int(sequence)] == hashed


@pytest.mark.both
@pytest.mark.alone
@pytest.mark.proves("R48")
def test_backups_under_load_restore(nurse: User, clinic: Clinic, sarah: Recorded, tmp_path: Path, prove: Prove) -> None:
    save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    rounds, writers = size(1, 20), WRITERS if share() else 3
    answers = together(write_or_back_up, writers + 1, tmp_path, rounds, sarah, seconds=3600)
    files = [Path(name) for each in answers for name in each]
    ours = dict(AuditEvent.objects.values_list("sequence", "hash"))
    good, during = 0, set()
    for file in files:
        with empty(tmp_path):
            head, rows, _ = restore(file)
            told = AuditEvent.objects.filter(action="encounter.add").count()
            during.add(rows["infusion_encounter"])
            good += prefix_of_ours(head, ours) and told == Encounter.objects.count() == rows["infusion_encounter"]
        good -= stat.S_IMODE(file.stat().st_mode) != 0o600
    prove(
        "R48", "20 of 20 backups under 16 writers restore to one moment of it",
        f"{good} of {len(files)} backups under {writers} writers restored to one moment, {len(during)} different ones "
        f"of {min(during):,} to {max(during):,} encounters",
        good == len(files) == rounds and (not share() or 2 * len(during) > rounds),
    )  # fmt: skip


@pytest.mark.both
@pytest.mark.alone
@pytest.mark.proves("R48")
def test_a_large_site_is_backed_up_and_restored_in_time(
    visited: Callable[..., Encounter], medicare: Payer, tmp_path: Path, prove: Prove
) -> None:
    visited(150, medicare)
    wanted = size(40, 100_000)
    small, _ = archive.make(tmp_path / "small")
    with empty(tmp_path):
        restore(small)
        there = multiply(wanted)
        began = time.monotonic()
        file, record = archive.make(tmp_path / "large")
        backed_up = time.monotonic() - began
        digests = stored() if not share() else {}
    with empty(tmp_path):
        began = time.monotonic()
        head, rows, _ = restore(file)
        restored = time.monotonic() - began
        assert not digests or stored() == digests
    prove(
        "R48", "100,000 encounters backed up within 60 s and restored within 5 min",
        f"{there:,} encounters, {sum(rows.values()):,} rows, {file.stat().st_size / 1e6:.0f} MB backed up in "
        f"{backed_up:.0f} s and restored in {restored:.0f} s",
        there >= wanted and head == record.head and (not share() or (backed_up <= 60 and restored <= 300)),
    )  # fmt: skip


# What is not sound ----------------------------------------------------------------------------------------------------


def changed_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def with_record_of(file: Path, **changed: Any) -> None:
    record = json.loads(archive.record_beside(file).read_text())
    record.update(changed)
    archive.record_beside(file).write_text(json.dumps(record))


def in_the_file(sql: str) -> Callable[[Path], None]:
    """The backup itself changed by someone who also writes its record anew."""

    def change(file: Path) -> None:
        with sqlite3.connect(file) as there:
            for [name] in there.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                there.execute(f"DROP TRIGGER {name}")
            there.execute(sql)
        there.close()
        with_record_of(file, sha256=archive.digest_of(file))

    return change


TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a byte": (changed_byte, "changed or cut off"),
    "cut off": (cut_off, "changed or cut off"),
    "a record of something else": (lambda file: with_record_of(file, head="writes 1 abc"), "ends elsewhere"),
    "a record that is none": (lambda file: archive.record_beside(file).write_text("{}") and None, "not the record"),
}
TAMPERED_SQLITE: dict[str, tuple[Callable[[Path], None], str]] = {
    "an event": (in_the_file("UPDATE infusion_auditevent SET by_name = 'x' WHERE sequence = 1"), "Write 1 is not as"),
    "an event gone": (in_the_file("DELETE FROM infusion_auditevent WHERE sequence = 1"), "does not hold"),
    "a row gone": (in_the_file("DELETE FROM infusion_vial"), "does not hold"),
    "a newer version": (
        in_the_file("UPDATE django_migrations SET name = '9999_later' WHERE app = 'payers'"), "newer version",
    ),
}  # fmt: skip


@pytest.mark.both
@pytest.mark.proves("R48")
def test_a_backup_that_is_not_sound_is_not_restored(
    nurse: User, clinic: Clinic, sarah: Recorded, tmp_path: Path, prove: Prove
) -> None:
    save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    ways = TAMPERED | (TAMPERED_SQLITE if connection.vendor == "sqlite" else {})
    refused, wrong = 0, []
    for number, (name, (tamper, words)) in enumerate(ways.items()):
        file, _ = archive.make(tmp_path / f"{number}")
        tamper(file)
        with empty(tmp_path):
            try:
                restore(file)
                wrong.append(f"{name}: restored")
            except Unsound as problem:
                refused += words in str(problem)
                if words not in str(problem):
                    wrong.append(f"{name}: {problem}")
            if not restoring.is_empty():
                wrong.append(f"{name}: something is left")
    prove(
        "R48", "a backup that was changed is refused",
        f"{refused} of {len(ways)} changed backups refused{'; ' + '; '.join(wrong) if wrong else ''}",
        refused == len(ways) and not wrong,
    )  # fmt: skip


@pytest.mark.both
def test_a_restored_site_is_the_one_that_was_backed_up(
    nurse: User, clinic: Clinic, sarah: Recorded, tmp_path: Path
) -> None:
    encounter = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    Session.objects.create(session_key="k" * 32, session_data="", expire_date=timezone.now() + timedelta(days=1))
    file, _ = archive.make(tmp_path / "folder")
    before = stored()
    with empty(tmp_path):
        restore(file)
        assert stored() == before
        assert not Session.objects.exists()
        by = User.objects.get(pk=nurse.pk)
        again = save_encounter(by=by, clinic=Clinic.objects.get(), client_id=uuid4(), recorded=sarah)
        assert again.pk > encounter.pk
        with pytest.raises(Occupied, match="--replace"):
            restore(file)
        assert Encounter.objects.count() == 2
        _, _, kept = restore(file, replace=True)
        assert stored() == before
        assert "before" in kept
        archive.record_beside(file).unlink()
        restore(file, replace=True)  # the audit and the file are looked at without a record too
        assert stored() == before


@pytest.mark.both
def test_a_restored_site_keeps_no_way_in_that_ended_after_the_backup(
    admin_user: User, nurse: User, clinic: Clinic, tmp_path: Path
) -> None:
    """A code that is spent since, or a PIN that was taken away, counts in the backup still."""
    answer_for_fixtures()
    make_emergency_code(person=admin_user, reason="Ended by the next", lasts=timedelta(days=300))
    code, _ = make_emergency_code(person=admin_user, reason="Sealed", lasts=timedelta(days=300))
    remember_browser(person=nurse, browser=(tablet := uuid4()))
    choose_pin(by=nurse, browser=tablet, pin="8140")
    file, record = archive.make(tmp_path / "folder")
    use_emergency_code(username="admin", code=code, password="four plain words here")
    with empty(tmp_path):
        out = StringIO()
        call_command("restore", file, stdout=out)
        assert "Make new sealed codes with manage.py break_glass." in out.getvalue()
        assert "Batches made after this backup are unknown here" in out.getvalue()
        assert archive.end_of_audit() in out.getvalue()
        assert archive.end_of_audit() != record.head
        with pytest.raises(Refused, match="do not belong together"):
            use_emergency_code(username="admin", code=code, password="four plain words here")
        assert not KnownBrowser.objects.exists()
        [told] = AuditEvent.objects.filter(action="break_glass.end")
        assert (told.subject_id, told.by) == (str(admin_user.pk), None)
        [told] = AuditEvent.objects.filter(action="pin.remove")
        assert (told.subject_id, told.by, told.reason) == (str(nurse.pk), None, "A backup was restored.")
        assert not EmergencyCode.objects.filter(expires_at__gt=timezone.now()).exists()
        assert not list(differences())
        assert EmergencyCode.objects.count() == 2, "the record of each stays"


def test_a_closed_backup_opens_with_its_key_alone(clinic: Clinic, tmp_path: Path) -> None:
    public, other = archive.new_key(tmp_path / "key"), archive.new_key(tmp_path / "other")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    file, _ = archive.make(tmp_path / "folder", public)
    assert public != other
    assert b"Riverside Infusion" not in file.read_bytes()
    with empty(tmp_path):
        with pytest.raises(Unsound, match="--key-file"):
            restore(file)
        with pytest.raises(Unsound, match="does not open"):
            restore(file, key_file=tmp_path / "other")
        restore(file, key_file=tmp_path / "key")
        assert Clinic.objects.get().name == "Riverside Infusion Center"
    assert [each.name for each in sorted((tmp_path / "folder").iterdir())] == [file.name, f"{file.name}.json"]


def test_what_fails_leaves_no_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(there: Any) -> None:
        raise Unsound("SQLite finds it damaged: page 7.")

    monkeypatch.setattr(archive, "state_of", fail)
    with pytest.raises(CommandError, match=r"There is no new backup\. SQLite finds it damaged"):
        call_command("backup", to=tmp_path, stdout=StringIO())
    assert list(tmp_path.iterdir()) == []


def test_a_flawed_audit_is_backed_up_and_told(tmp_path: Path) -> None:
    call_command("backup", to=tmp_path / "folder", keep=1, stdout=StringIO())
    Clinic.objects.create(name="Nobody answers for it")
    with (
        time_machine.travel(timezone.now() + timedelta(seconds=2), tick=False),
        pytest.raises(CommandError, match=r"was written, and no older one removed.*nobody answers for"),
    ):
        call_command("backup", to=tmp_path / "folder", keep=1, stdout=StringIO())
    [newest, _] = archive.backups_in(tmp_path / "folder")
    with empty(tmp_path):
        with pytest.raises(Unsound, match="--flawed"):
            restore(newest)
        assert restoring.is_empty()
        restore(newest, flawed=True)
        assert Clinic.objects.filter(name="Nobody answers for it").exists()


def test_thirty_are_kept(clinic: Clinic, tmp_path: Path) -> None:
    for day in range(4):
        with time_machine.travel(timezone.now() - timedelta(days=9 - day), tick=False):
            call_command("backup", to=tmp_path, keep=3, stdout=StringIO())
    files = archive.backups_in(tmp_path)
    assert len(files) == 3
    assert len(list(tmp_path.iterdir())) == 6
    assert timedelta(days=5) < (archive.age_of(tmp_path) or timedelta()) < timedelta(days=7)


# SQLite's own traps ---------------------------------------------------------------------------------------------------

of_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="what SQLite keeps beside a file")


def stop_in_the_middle(file: Path) -> None:
    """A process that dies while it writes, and leaves a journal with what was there before."""
    if (child := os.fork()) == 0:
        writer = sqlite3.connect(file, isolation_level=None)
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE django_content_type SET model = model || hex(zeroblob(3000))")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert Path(f"{file}-journal").stat().st_size > 0


def restored_over_a_journal(file: Path, folder: Path) -> bool:
    """Whether the restored file is whole when it is opened beside what the dead process left."""
    with empty(folder) as there:
        name = Path(there.settings_dict["NAME"])
        restore(file)
        with there.cursor() as cursor:  # so that no page lies where it lies in the backup
            cursor.execute("CREATE TABLE another AS SELECT app, hex(randomblob(9000)) FROM django_migrations")
            cursor.execute("VACUUM")
        there.close()
        stop_in_the_middle(name)
        restore(file, replace=True)
    with sqlite3.connect(name) as opened:
        try:
            whole = opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return whole and bool(opened.execute("SELECT count(*) FROM infusion_clinic").fetchone()[0])
        except sqlite3.DatabaseError:
            return False


@of_sqlite
def test_a_journal_of_before_is_not_played_into_what_is_restored(
    clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = archive.make(tmp_path / "folder")
    assert restored_over_a_journal(file, tmp_path)
    monkeypatch.setattr(restoring, "BESIDE", ())
    assert not restored_over_a_journal(file, tmp_path)


@of_sqlite
def test_a_file_in_use_is_not_replaced(clinic: Clinic, tmp_path: Path) -> None:
    file, _ = archive.make(tmp_path / "folder")
    with empty(tmp_path) as there:
        restore(file)
        there.close()
        if (child := os.fork()) == 0:
            sqlite3.connect(there.settings_dict["NAME"]).execute("SELECT count(*) FROM infusion_clinic")
            signal.pause()
        try:
            ends = time.monotonic() + 20
            while not restoring.processes_with(Path(there.settings_dict["NAME"])) and time.monotonic() < ends:
                time.sleep(0.01)
            with pytest.raises(Occupied, match=f"open in process {child}"):
                restore(file, replace=True)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@of_sqlite
def test_at_no_moment_there_is_no_file(clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = archive.make(tmp_path / "folder")
    with empty(tmp_path) as there:
        restore(file)
        there.close()
        rename, place, missing = Path.replace, Path(there.settings_dict["NAME"]), []

        def watched(old: Path, new: Any) -> Path:
            missing.append(not place.exists())
            return rename(old, new)

        monkeypatch.setattr(Path, "replace", watched)
        _, _, kept = restore(file, replace=True)
        assert missing == [False]
        assert Path(kept).stat().st_size == place.stat().st_size > 0


# Cut off on PostgreSQL ------------------------------------------------------------------------------------------------

of_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="where it takes more than one step")


@pytest.fixture
def replaced(clinic: Clinic, tmp_path: Path) -> Iterator[Path]:
    """A backup that is to take the place of a site which has one clinic more."""
    file, _ = archive.make(tmp_path / "folder")
    with empty(tmp_path):
        restore(file)
        Clinic.objects.create(name="Since then")
        answer_for_fixtures()
        yield file


def schemas() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'before%%' OR nspname = 'public' ORDER BY 1"
        )
        return [name for [name] in cursor.fetchall()]


@of_postgresql
@pytest.mark.both
@pytest.mark.parametrize("at", ["SELECT extname", "obj_description", "django_migrations", "DELETE", "COMMENT ON"])
def test_a_restore_that_was_killed_is_no_database(at: str, replaced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nth = {"obj_description": 2, "COMMENT ON": 2}.get(at, 1)
    assert killed(Killer(nth, at), lambda: restore(replaced, replace=True))
    sentence = unfinished.told()
    if at in ("SELECT extname", "obj_description"):
        assert (sentence, schemas()) == ("", ["public"]), "nothing was begun"
        return
    [kept, _] = schemas()
    assert kept in sentence
    for command in ("migrate", "work", "backup"):
        with pytest.raises(CommandError, match=r"restore was cut off.*--replace"):
            call_command(command, stdout=StringIO())
    assert [each.id for each in checks.the_database_is_safe_and_whole(None)] == ["infusion.E009"]
    assert "was cut off" in {name: told for name, _, told in doctor.examined()}["Restore"]
    changed_byte(replaced)
    with pytest.raises(Unsound, match="not the file"):
        restore(replaced, replace=True)
    assert (unfinished.told(), schemas(), Clinic.objects.count()) == ("", ["public"], 2), "what was there is back"
    changed_byte(replaced)
    restore(replaced, replace=True)
    assert (unfinished.told(), len(schemas()), Clinic.objects.count()) == ("", 2, 1)
    assert checks.the_database_is_safe_and_whole(None) == []


@of_postgresql
@pytest.mark.both
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_restore_that_is_told_to_end_puts_back_what_was_there(
    number: int, replaced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # whoever began the tests may have it ignored
    try:
        monkeypatch.setattr(restoring, "end_ways_in", lambda **_: os.kill(os.getpid(), number))
        with pytest.raises(CommandError, match=rf"still there\. It was stopped by {signal.Signals(number).name}"):
            call_command("restore", replaced, replace=True)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert (unfinished.told(), schemas(), Clinic.objects.count()) == ("", ["public"], 2)


@of_postgresql
@pytest.mark.both
def test_a_database_in_use_is_not_replaced(replaced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "SECONDS_TO_LEAVE", 0.2)
    with instead(connection.settings_dict) as other:
        other.ensure_connection()
        pid = other.connection.info.backend_pid
        with instead(connection.settings_dict), pytest.raises(Occupied, match=f"session {pid} of"):
            restore(replaced, replace=True)
    assert (schemas(), Clinic.objects.count()) == (["public"], 2)


@pytest.mark.both
def test_a_role_that_does_not_own_the_schema_is_told_what_to_do(nurse: User) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("about PostgreSQL")
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE infusion_guest")
        cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO infusion_guest")
        try:
            cursor.execute("SET ROLE infusion_guest")
            with pytest.raises(Unsound, match="Make it the owner"):
                restoring.step_aside()
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute("DROP OWNED BY infusion_guest")
            cursor.execute("DROP ROLE infusion_guest")
