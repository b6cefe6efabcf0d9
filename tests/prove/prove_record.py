"""R44, R45, R46: the record tells every write and every reading, gives the tables, and shows whoever touches it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import time_machine
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from infusion import audit, readings
from infusion.actions import Recorded
from infusion.audit import AuditChange, AuditEvent, AuditHead, Reading, record_reading
from infusion.chain import check
from infusion.models import Clinic, Patient
from infusion.replay import differences
from tests.prove.conftest import Prove
from tests.prove.table import share, size
from tests.prove.virtual import BEGINS, Virtual
from tests.web.access_table import ADMIN, BILLING, NURSE, SUPERUSER
from tests.web.conftest import House
from tests.web.page import Page
from tests.web.routes import Route
from tests.web.test_audit import GUARDED, got_past, lift_the_guards, run
from tests.web.test_readings import TOLD, views_of

STEPS_OF_A_WALK = 200


@pytest.fixture(autouse=True)
def morning() -> Iterator[None]:
    """The clinic is furnished before its first deed."""
    with time_machine.travel(BEGINS.replace(hour=9), tick=False):
        yield


@pytest.fixture
def open_clinic(house: House, rules: dict[str, Any]) -> House:
    """It feeds a billing system, so that batches lack nothing; and what fixtures wrote past the record is told."""
    Clinic.objects.filter(pk=house.clinic.pk).update(sends_claims=False)
    audit.record("clinic.save", by=None, subject="clinic", subject_id=house.clinic.pk, before=None, after={})
    house.clinic.refresh_from_db()
    return house


# R44 ------------------------------------------------------------------------------------------------------------------


def by_other_paths(house: House, folder: Path) -> int:
    """Writes through pages, the admin and commands, as people send them. How many there were."""
    before = AuditEvent.objects.count()
    nurse, root, biller = Client(), Client(), Client()
    for client, role in ((nurse, NURSE), (root, SUPERUSER), (biller, BILLING)):
        client.force_login(house.people[role])
    address = reverse("encounter", args=[house.draft.public_id])
    form = Page(nurse.get(address).content).form_to(address)
    assert nurse.post(address, {**form.fields, "act": "save", "d1-ordered": "599"}).status_code == 302
    clinic = {"name": "Riverside", "time_zone": "America/New_York", "place_of_service": "11", "setting": "office"}
    address = f"/admin/infusion/clinic/{house.clinic.pk}/change/"
    clinic["shown"] = root.get(address).content.decode().partition('name="shown" value="')[2].partition('"')[0]
    assert root.post(address, clinic).status_code == 302
    kim = {"username": "kim", "usable_password": "false", "clinic": house.clinic.pk, "credentials": "RN"}
    assert root.post("/admin/infusion/user/add/", kim).status_code == 302
    biller.post(reverse("view-save"), {"name": "By form", "query": "view=all"})
    (folder / "charges.csv").write_text("Code,Rate\nJ2350,128\n96365,70\n")
    given = ("--clinic", "Riverside", "--from", "2031-01-01", "--source", "Contract")
    call_command("import_fees", str(folder / "charges.csv"), *given)
    call_command("load_payers", "--adopt")
    with patch.dict(os.environ, {"DJANGO_SUPERUSER_PASSWORD": "four plain words here"}):
        call_command("createsuperuser", "--no-input", "--username", "second", "--email", "")
    return AuditEvent.objects.count() - before


def walked(house: House, sarah: Recorded, seed: int, steps: int) -> tuple[int, int]:
    """Random deeds with their faults: how many were done, and how many writes nobody told of."""
    clinic, untold = Virtual(house, sarah, seed), 0
    for _ in range(steps):
        clinic.step()
        untold += AuditChange.objects.filter(event__isnull=True).count()
    return sum(count for name, count in clinic.did.items() if name.endswith(("done", "twice"))), untold


@pytest.mark.both
@pytest.mark.proves("R44")
def test_the_record_replayed_from_empty_gives_the_tables(
    open_clinic: House, sarah: Recorded, tmp_path: Path, prove: Prove, capsys: pytest.CaptureFixture[str]
) -> None:
    operations = size(100, 10_000)
    done = untold = rows = other = 0
    wrong: list[str] = []
    for seed in range(-(-operations // STEPS_OF_A_WALK)):
        with transaction.atomic():
            if seed % 10 == 0:
                other += by_other_paths(open_clinic, tmp_path)  # while the draft is surely one
            steps, missed = walked(open_clinic, sarah, seed, min(STEPS_OF_A_WALK, operations))
            done, untold = done + steps, untold + missed
            wrong += [str(each) for each in differences()] + check().flaws
            rows += AuditChange.objects.count()
            transaction.set_rollback(True)
    prove(
        "R44", "every table rebuilt exactly after 10,000 random operations by all paths, 0 writes that nobody told of",
        f"{operations:,} random operations with faults ({done:,} of them done) and {other} writes by pages, admin and "
        f"commands: {len(wrong)} differences in {rows:,} written rows replayed, {untold} writes that nobody told of"
        + "".join(f"; {each}" for each in wrong[:3]),
        not wrong and not untold and other > 10,
    )  # fmt: skip


def test_an_action_that_forgets_to_tell_is_found(open_clinic: House, sarah: Recorded) -> None:
    with patch("infusion.actions.desk._tell"):
        _, untold = walked(open_clinic, sarah, 1, 80)
    assert untold, "until the next event of the same transaction takes them"


def test_one_write_past_the_record_is_found_after_many_deeds(open_clinic: House, sarah: Recorded) -> None:
    walked(open_clinic, sarah, 2, 40)
    assert list(differences()) == []
    lift_the_guards("infusion_patient")
    Patient.objects.filter(pk=open_clinic.draft.patient_id).update(sex="M")
    assert [(each.relation, each.key) for each in differences()] == [("infusion_patient", open_clinic.draft.patient_id)]


# R45 ------------------------------------------------------------------------------------------------------------------

Tampering = Callable[[random.Random, int], tuple[str, int]]
"""Does something to the record and says of which chain and which number the first bad row is then."""


def set_value(table: str, column: str, value: Any, where: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = %s WHERE {where}", [value])


def event_column(chance: random.Random, last: int) -> tuple[str, int]:
    number = chance.randint(1, last)
    column, value = chance.choice(
        (("by_name", "someone"), ("reason", "because"), ("action", "nothing"), ("subject_id", "7"), ("clinic_id", 99),
         ("at", "2020-01-01 00:00:00+00:00"), ("after", '{"state": "else"}'), ("before", '{"x": 1}'),
         ("changes_hash", "0" * 64), ("hash", "f" * 64), ("previous_hash", "e" * 64), ("changes", 99))
    )  # fmt: skip
    set_value("infusion_auditevent", column, value, f"sequence = {number}")
    return "Write", number


def event_gone(chance: random.Random, last: int) -> tuple[str, int]:
    number = chance.randint(1, last)
    run(f"DELETE FROM infusion_auditevent WHERE sequence = {number}")
    return "Write", number


def tail_gone(chance: random.Random, last: int) -> tuple[str, int]:
    number = chance.randint(2, last)
    run(f"DELETE FROM infusion_auditevent WHERE sequence >= {number}")
    run(f"DELETE FROM infusion_auditchange WHERE event >= {number}")
    return "Write", number


def events_swapped(chance: random.Random, last: int) -> tuple[str, int]:
    one, two = sorted(chance.sample(range(1, last + 1), 2))
    for old, new in ((one, last + 1), (two, one), (last + 1, two)):
        run(f"UPDATE infusion_auditevent SET sequence = {new} WHERE sequence = {old}")
    return "Write", one


def event_forged(chance: random.Random, last: int) -> tuple[str, int]:
    """One more at the end, hashed as it should be, by someone who cannot write the head."""
    head = AuditHead.objects.get(pk=AuditHead.WRITES)
    event = AuditEvent(
        sequence=last + 1, at=datetime(2026, 3, 10, 12, tzinfo=UTC), by_name="nobody", action="encounter.save",
        subject="encounter", subject_id=str(chance.random()), before=None, after={}, previous_hash=head.hash,
    )  # fmt: skip
    event.hash = event.expected_hash()
    event.save(force_insert=True)
    return "Write", last + 1


def head_moved(chance: random.Random, last: int) -> tuple[str, int]:
    set_value("infusion_audithead", "hash", f"{chance.getrandbits(64):064x}", "id = 1")
    return "Write", last + 1


def taken_rows() -> list[tuple[int, int]]:
    rows = AuditChange.objects.filter(event__isnull=False).order_by("event", "pk")
    return [(pk, event) for pk, event in rows.values_list("pk", "event") if event is not None]


def row_changed(chance: random.Random, last: int) -> tuple[str, int]:
    pk, event = chance.choice(taken_rows())
    column, value = chance.choice((("written", '{"units": 2}'), ("relation", "payers_nobody"), ("key", 10_007)))
    set_value("infusion_auditchange", column, value, f"id = {pk}")
    return "Write", event


def row_gone(chance: random.Random, last: int) -> tuple[str, int]:
    pk, event = chance.choice(taken_rows())
    run(f"DELETE FROM infusion_auditchange WHERE id = {pk}")
    return "Write", event


def row_added(chance: random.Random, last: int) -> tuple[str, int]:
    number = chance.randint(1, last)
    AuditChange.objects.create(relation="infusion_patient", key=1, written="{}", event=number)
    return "Write", number


def reading_column(chance: random.Random, last: int) -> tuple[str, int]:
    number = chance.randint(1, Reading.objects.count())
    column, value = chance.choice((("by_name", "someone"), ("subject_id", "7"), ("detail", '{"page": "x"}')))
    set_value("infusion_reading", column, value, f"sequence = {number}")
    return "Reading", number


def reading_gone(chance: random.Random, last: int) -> tuple[str, int]:
    number = chance.randint(1, Reading.objects.count())
    run(f"DELETE FROM infusion_reading WHERE sequence = {number}")
    return "Reading", number


TAMPERINGS: tuple[Tampering, ...] = (
    event_column, event_column, event_column, event_gone, tail_gone, events_swapped, event_forged, head_moved,
    row_changed, row_changed, row_gone, row_added, reading_column, reading_gone,
)  # fmt: skip


@pytest.mark.both
@pytest.mark.proves("R45")
def test_whatever_is_done_to_the_record_is_found(open_clinic: House, prove: Prove) -> None:
    for _ in range(20):
        record_reading(
            "encounter.open", by=open_clinic.people[NURSE], subject="encounter", clinic_id=open_clinic.clinic.pk,
            subject_id=open_clinic.draft.public_id, detail={"page": "chair"},
        )  # fmt: skip
    last, rounds, chance = AuditHead.objects.get(pk=1).sequence, size(42, 1000), random.Random(45)
    assert check().flaws == []
    missed = []
    for number in range(rounds):
        tampering = TAMPERINGS[number % len(TAMPERINGS)]
        with transaction.atomic():
            for table in ("infusion_auditevent", "infusion_auditchange", "infusion_reading"):
                lift_the_guards(table)
            chain, first = tampering(chance, last)
            told = check().flaws[:1]
            if not told or not told[0].startswith(f"{chain} {first} "):
                missed.append(f"{tampering.__name__} of {chain} {first}: {told}")
            transaction.set_rollback(True)
    prove(
        "R45", "1,000 of 1,000 tamperings found, the first bad row named",
        f"{rounds - len(missed):,} of {rounds:,} tamperings found with the first bad row named"
        + "".join(f"; {each}" for each in missed[:3]),
        not missed,
    )  # fmt: skip


def test_a_tampering_is_missed_by_a_check_that_trusts_what_is_stored(open_clinic: House) -> None:
    lift_the_guards("infusion_auditevent")
    set_value("infusion_auditevent", "reason", "because", "sequence = 3")
    kept = dict(AuditEvent.objects.order_by("sequence").values_list("sequence", "hash"))
    contents = iter(kept.values())
    with patch("infusion.chain.digest", lambda text: next(contents)):
        assert check().first is None
    assert check().first == 3


ATTACKED = {
    **GUARDED,
    "infusion_auditchange": (AuditChange, "written"),
    "infusion_reading": (Reading, "by_name"),
}


@pytest.mark.both
@pytest.mark.proves("R45")
def test_the_database_refuses_every_attempt(open_clinic: House, monkeypatch: pytest.MonkeyPatch, prove: Prove) -> None:
    monkeypatch.setattr("tests.web.test_audit.GUARDED", ATTACKED)
    record_reading("encounter.open", by=open_clinic.people[NURSE], subject="x", subject_id=1, clinic_id=None)
    through = {table: got_past(table) for table in ATTACKED}
    found = [statement for each in through.values() for statement in each]
    ways = "UPDATE, DELETE, REPLACE" if connection.vendor == "sqlite" else "UPDATE, DELETE, ON CONFLICT, TRUNCATE"
    prove(
        "R45", "100% of raw SQL attempts refused",
        f"{ways} refused on {len(ATTACKED)} tables, {len(found)} got past" + "".join(f"; {each}" for each in found[:3]),
        not found,
    )  # fmt: skip
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditChange.objects.filter(event=3).update(event=None)


@pytest.mark.proves("R45")
def test_verifying_is_quick(open_clinic: House, prove: Prove) -> None:
    """The events of a clinic at work with the rows they took, many times over."""
    many = size(200, 30_000)
    sample = list(AuditEvent.objects.order_by("sequence"))
    rows = {each.sequence: list(AuditChange.objects.filter(event=each.sequence).order_by("pk")) for each in sample}
    head = AuditHead.objects.get(pk=AuditHead.WRITES)
    events, changes = [], []
    for number in range(many):
        like = sample[number % len(sample)]
        event = AuditEvent(**{name: getattr(like, name) for name in AuditEvent.COVERED})
        event.sequence, event.previous_hash = head.sequence + 1, head.hash
        event.hash = event.expected_hash()
        head.sequence, head.hash = event.sequence, event.hash
        events.append(event)
        changes += [
            AuditChange(relation=row.relation, key=row.key, written=row.written, event=event.sequence)
            for row in rows[like.sequence]
        ]
    AuditEvent.objects.bulk_create(events, batch_size=500)
    AuditChange.objects.bulk_create(changes, batch_size=2000)
    head.save()
    began = time.process_time()
    found = check()
    per_second = (found.events + found.changes) / (time.process_time() - began)
    assert found.flaws == []
    prove(
        "R45", "verified at 50,000 rows a second or more",
        f"{found.events + found.changes:,} rows verified at {per_second:,.0f} a second of processor time",
        share() < 1 or per_second >= 50_000,
    )  # fmt: skip


# R46 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("R46")
def test_each_view_of_a_chart_is_told_once(
    house: House, values: Callable[[Route], dict[str, object]], as_role: Callable[..., Client], prove: Prove
) -> None:
    views, right = 0, 0
    for _ in range(size(1, 10)):
        for role in (NURSE, BILLING, ADMIN):
            client = as_role(role)
            for route, status, _, rows in views_of(client, role, values):
                if route.name in TOLD and status == 200:
                    views += 1
                    right += [(each.action, each.by_id) for each in rows] == [
                        (TOLD[route.name][0], house.people[role].pk)
                    ]
    prove("R46", "1 row for each view, 100%", f"{right:,} of {views:,} views left their one row", right == views > 30)


def test_a_view_that_is_not_told_is_counted(
    house: House, values: Callable[[Route], dict[str, object]], as_role: Callable[..., Client]
) -> None:
    with patch.dict(readings.OPENED, clear=True):
        assert not [rows for route, _, _, rows in views_of(as_role(NURSE), NURSE, values) if rows]
