"""What a payer's draft would have done to 10,000 past encounters, and how long that takes: `make bench`, on SQLite."""

from __future__ import annotations

from datetime import date
from time import perf_counter

import pytest
from django.db.models import Max
from django.utils import timezone

from infusion.audit import AuditEvent
from infusion.impact import Question, forecast
from infusion.management.demo_years import Year
from infusion.models import Clinic, Encounter, User
from infusion.reference_now import looked_up_once
from payers.actions import Departure, draft_override
from payers.models import Payer
from payers.whatif import HELD

MANY, MOST_SECONDS = 10_000, 10


@pytest.mark.django_db
def test_ten_thousand_encounters_take_ten_seconds(
    clinic: Clinic, nurse: User, biller: User, admin_user: User, medicare: Payer
) -> None:
    Year(clinic, [nurse], biller, MANY).add()
    draft = draft_override(
        by=admin_user, payer=medicare,
        departure=Departure(
            parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2027, 1, 1),
            source_document="Bulletin", source_read_on=date(2026, 1, 2),
        ),
    )  # fmt: skip
    before = Encounter.objects.aggregate(Max("version")), AuditEvent.objects.count()
    began = perf_counter()
    with looked_up_once():
        found = forecast(Question(draft, clinic, None, timezone.localdate(), HELD))
    took = perf_counter() - began
    print(f"\n{found.of} encounters looked at in {took:.1f} s, {found.changed} would change: {found.lines}")  # noqa: T201
    assert found.of > MANY * 0.8
    assert 0 < found.changed < found.of
    assert (Encounter.objects.aggregate(Max("version")), AuditEvent.objects.count()) == before
    assert took <= MOST_SECONDS
