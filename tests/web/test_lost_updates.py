"""Several processes save the same encounters at once, and no edit is lost."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest

from infusion.actions import Recorded, save_encounter
from infusion.audit import AuditEvent, AuditHead
from infusion.models import Administration, Clinic, Encounter, User
from tests.processes import together
from tests.web.lost_updates import edit
from tests.web.test_audit import first_flaw

PROCESSES = 4
EDITS, ENCOUNTERS = 25, 4


def edited(
    nurse: User,
    clinic: Clinic,
    sarah: Recorded,
    edits: int,
    encounters: int,
    *,
    careful: bool,
    processes: int = PROCESSES,
) -> tuple[Decimal, int]:
    """How many mg processes added in all, 1 mg with each of their edits, and how often SQLite was too busy."""
    client_ids = [uuid4() for _ in range(encounters)]
    for client_id in client_ids:
        save_encounter(by=nurse, clinic=clinic, client_id=client_id, recorded=sarah)
    busy = together(edit, processes, [str(each) for each in client_ids], edits, careful, seconds=600)
    amounts = Administration.objects.values_list("ordered", flat=True)
    return sum((amount - 600 for amount in amounts if amount is not None), Decimal(0)), sum(busy)


@pytest.mark.django_db(transaction=True)
def test_no_edit_is_lost(nurse: User, clinic: Clinic, sarah: Recorded) -> None:
    assert edited(nurse, clinic, sarah, EDITS, ENCOUNTERS, careful=True) == (PROCESSES * EDITS, 0)
    assert sum(Encounter.objects.values_list("version", flat=True)) == PROCESSES * EDITS + ENCOUNTERS
    assert AuditEvent.objects.filter(action="encounter.save").count() == PROCESSES * EDITS
    assert first_flaw(AuditEvent.objects.order_by("sequence"), AuditHead.objects.get(pk=AuditHead.WRITES)) is None


@pytest.mark.django_db(transaction=True)
def test_edits_are_lost_without_the_check_of_the_version(nurse: User, clinic: Clinic, sarah: Recorded) -> None:
    """The same processes, or the test above would not be one of doing things at once."""
    assert edited(nurse, clinic, sarah, 10, 1, careful=False)[0] < PROCESSES * 10
