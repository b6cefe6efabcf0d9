"""Two people at once on PostgreSQL, where one waits for the other's row and not for the whole database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from infusion.actions import (
    Ordered,
    OtherOrder,
    Recorded,
    correct_patient,
    hand_to_billing,
    place_order,
    save_encounter,
)
from infusion.actions.claim_data import shown_digest
from infusion.actions.encounters import keep_patient
from infusion.audit import AuditEvent
from infusion.collisions import collided
from infusion.models import Clinic, Encounter, Order, Patient, User
from payers.models import Payer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]
NINE = datetime(2026, 3, 10, 13, 0, tzinfo=UTC)


def meanwhile(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """What both answer, when `first` is done but not committed until `second` waits for a row of it."""
    told: list[Any] = []

    def on_its_own_connection() -> None:
        try:
            with transaction.atomic():
                told.append(second())
        except Exception as problem:
            told.append(problem)
        finally:
            connection.close()

    other = threading.Thread(target=on_its_own_connection)
    with transaction.atomic():
        answer = first()
        other.start()
        until = time.monotonic() + 30
        while not waits() and time.monotonic() < until and other.is_alive():
            time.sleep(0.02)
        assert waits(), f"the second one never waited: {told}"
    other.join(30)
    return answer, told[0]


def waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


@pytest.fixture
def patient(clinic: Clinic) -> Patient:
    return Patient.objects.create(clinic=clinic, reference="MRN-1001")


def an_order(patient: Patient, payer: Payer) -> Ordered:
    return Ordered(
        patient=patient, payer=payer, scheduled_at=NINE, setting="office", drug="J2350", route="iv_infusion",
        ordered=Decimal(600), vials=((Decimal(300), 2),),
    )  # fmt: skip


@pytest.mark.parametrize("known", [True, False])
def test_a_form_sent_twice_at_once_is_one_order(
    nurse: User, clinic: Clinic, medicare: Payer, patient: Patient, *, known: bool
) -> None:
    who = patient if known else Patient(clinic=clinic, reference="MRN-1002", name="Ada Novak")
    once, ordered = uuid4(), an_order(who, medicare)

    def place() -> Order:
        return place_order(by=nurse, clinic=clinic, client_id=once, ordered=ordered)

    first, second = meanwhile(place, place)
    assert first == second == Order.objects.get()
    assert AuditEvent.objects.filter(action="order.place").count() == 1


def test_another_dose_sent_at_once_is_refused(nurse: User, clinic: Clinic, medicare: Payer, patient: Patient) -> None:
    once, ordered = uuid4(), an_order(patient, medicare)
    first, second = meanwhile(
        lambda: place_order(by=nurse, clinic=clinic, client_id=once, ordered=ordered),
        lambda: place_order(by=nurse, clinic=clinic, client_id=once, ordered=replace(ordered, ordered=Decimal(300))),
    )
    assert isinstance(second, OtherOrder)
    assert second.current == first


def test_completing_a_patient_writes_nothing_over_a_correction(
    nurse: User, biller: User, clinic: Clinic, patient: Patient
) -> None:
    corrected = {"family_name": "Novak", "given_name": "Ada", "sex": "F", "city": "Albany"}
    _, kept = meanwhile(
        lambda: correct_patient(by=biller, patient=patient, shown=shown_digest(patient), values=corrected),
        lambda: keep_patient(nurse, clinic, "MRN-1001", name="Ada Novak", sex="M"),
    )
    assert isinstance(kept, Patient)
    stored = Patient.objects.get()
    assert {name: getattr(stored, name) for name in corrected} == corrected
    assert stored.name == "Ada Novak"
    told = AuditEvent.objects.filter(action="patient.save").latest("sequence")
    assert told.before is not None
    assert told.before["sex"] == (told.after or {})["sex"] == "F"


def test_a_new_record_and_a_tap_at_another_chair_pass_each_other(nurse: User, clinic: Clinic, sarah: Recorded) -> None:
    """A record is checked against its clinic and payer as it is committed, which nobody else's change may hold."""
    other = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    added = replace(sarah, patient_reference="MRN-1002")
    saved, handed = meanwhile(
        lambda: save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=added),
        lambda: hand_to_billing(by=nurse, encounter=other, version=other.version),
    )
    assert isinstance(handed, Encounter), handed
    assert set(Encounter.objects.all()) == {saved, handed}


def test_of_two_who_wait_for_each_other_one_collided(clinic: Clinic, other_clinic: Clinic) -> None:
    both, problems = threading.Barrier(2), list[Exception]()

    def write(first: Clinic, second: Clinic) -> None:
        try:
            with transaction.atomic():
                Clinic.objects.filter(pk=first.pk).update(city="Albany")
                both.wait(30)
                Clinic.objects.filter(pk=second.pk).update(city="Albany")
        except Exception as problem:
            problems.append(problem)
        finally:
            connection.close()

    orders = ((clinic, other_clinic), (other_clinic, clinic))
    threads = [threading.Thread(target=write, args=order) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [collided(each) for each in problems] == [True], problems
