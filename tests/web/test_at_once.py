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

from infusion.actions import Ordered, OtherOrder, correct_patient, place_order
from infusion.actions.claim_data import shown_digest
from infusion.actions.encounters import keep_patient
from infusion.audit import AuditEvent
from infusion.models import Clinic, Order, Patient, User
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
