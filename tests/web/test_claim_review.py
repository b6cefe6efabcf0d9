"""What is read around an encounter when its claim is checked, and with how many queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from infusion.actions import Recorded, approve, hand_to_billing, save_encounter
from infusion.claim_review import Surroundings, claim_findings_of, claim_findings_of_many
from infusion.models import (
    Authorization,
    CodePair,
    Coverage,
    EditTable,
    Encounter,
    Fee,
    FeeSchedule,
    UnlikelyUnits,
)
from infusion.reference_now import looked_up_once
from infusion.selectors import encounters_of, review_of, with_record
from infusion.services.claim_checks import ClaimContext
from payers.actions import Departure, add_payer, publish_override
from payers.models import Payer
from tests.web.access_table import ADMIN, BILLING, NURSE
from tests.web.conftest import House

DAY = date(2026, 3, 10)
Record = Callable[..., Encounter]


@pytest.fixture
def record(house: House, sarah: Recorded) -> Record:
    """An encounter with billing; the patient's reference and the start in minutes after 09:00 may be said."""

    def made(reference: str = "One", minutes: int = 0, setting: str = "office", place: str = "11") -> Encounter:
        later = timedelta(minutes=minutes)
        given = tuple(
            replace(each, start=each.start + later, stop=each.stop + later)  # type: ignore[operator]
            for each in sarah.facts.administrations
        )
        said = replace(
            sarah, patient_reference=reference, place_of_service=place,
            facts=replace(sarah.facts, setting=setting, administrations=given),
        )  # fmt: skip
        nurse = house.people[NURSE]
        stored = save_encounter(by=nurse, clinic=house.clinic, client_id=uuid4(), recorded=said)
        return hand_to_billing(by=nurse, encounter=stored, version=stored.version)

    return made


def codes(encounter: Encounter) -> list[str]:
    return [finding.code for finding in claim_findings_of(encounter, review_of(encounter))]


def context(encounter: Encounter) -> ClaimContext:
    review = review_of(encounter)
    return Surroundings.of([(encounter, review)]).context_of(encounter, review.statement)


def member(encounter: Encounter, **more: Any) -> Coverage:
    return Coverage.objects.create(
        **{
            "patient": encounter.patient, "payer": encounter.payer, "member_id": "M1", "effective_from": DAY, **more,
        }
    )  # fmt: skip


def table(kind: str, claims: str = "practitioner", **more: Any) -> EditTable:
    return EditTable.objects.create(
        **{
            "kind": kind, "claims": claims, "quarter": "2026Q1", "effective_from": date(2026, 1, 1),
            "effective_until": date(2026, 3, 31), "source": "a file", "checksum": "c", "loaded_at": timezone.now(),
            **more,
        }
    )  # fmt: skip


# The patient ----------------------------------------------------------------------------------------------------------


def test_a_membership_is_the_patients_with_this_payer_on_that_day(record: Record) -> None:
    encounter = record()
    assert codes(encounter) == ["claim.coverage_missing"]
    member(encounter, payer=Payer.objects.create(slug="other", name="Other"))
    member(encounter, effective_from=DAY + timedelta(days=1))
    member(encounter, effective_from=DAY - timedelta(days=9), effective_until=DAY - timedelta(days=1))
    member(record("Two"))
    member(encounter, member_id="")
    assert codes(encounter) == ["claim.coverage_missing"]
    member(encounter)
    assert codes(encounter) == []


def test_who_sends_no_claims_is_asked_for_no_membership(record: Record, house: House) -> None:
    encounter = record()
    encounter.clinic.sends_claims = False
    assert context(encounter).has_membership is None
    assert codes(encounter) == []


def test_an_authorization_is_the_patients_with_this_payer(record: Record) -> None:
    encounter = record()
    said = {"drug": "J2350", "number": "PA-1", "effective_from": DAY, "dose_limit": Decimal("600.5")}
    Authorization.objects.create(patient=record("Two").patient, payer=encounter.payer, **said)
    Authorization.objects.create(
        patient=encounter.patient, payer=Payer.objects.create(slug="other", name="Other"), **said
    )
    assert context(encounter).authorizations == ()
    Authorization.objects.create(patient=encounter.patient, payer=encounter.payer, **said)
    [held] = context(encounter).authorizations
    assert (held.number, held.dose_limit, held.effective_until) == ("PA-1", Decimal("600.5"), None)


def test_the_place_and_the_trial_are_the_encounters_own(record: Record) -> None:
    encounter = record(place="22")
    Encounter.objects.filter(pk=encounter.pk).update(trial_number="01234567")
    encounter.refresh_from_db()
    assert (context(encounter).place_of_service, context(encounter).trial_number) == ("22", "01234567")
    assert {"claim.place_facility", "claim.trial_drug_charged"} <= set(codes(encounter))


# The day --------------------------------------------------------------------------------------------------------------


def test_the_later_visit_of_a_day_is_the_one_set_apart(record: Record) -> None:
    """Recorded first, begun last."""
    evening, morning = record(minutes=600), record(minutes=0)
    assert "claim.second_visit" in codes(evening)
    assert "claim.second_visit" not in codes(morning)
    assert [visit.earlier for visit in context(morning).others] == [False]
    assert context(evening).others[0].units == {"96365": 1, "96366": 1, "J2350": 600}


def test_another_day_another_payer_another_patient_and_a_void_are_no_second_visit(record: Record) -> None:
    first, second = record(), record(minutes=600)
    assert "claim.second_visit" in codes(second)
    for change in (
        {"date_of_service": DAY + timedelta(days=1)},
        {"payer": Payer.objects.create(slug="other", name="Other")},
        {"patient": record("Two").patient},
        {"state": Encounter.State.VOID},
    ):
        was = {name: getattr(first, name) for name in change}
        Encounter.objects.filter(pk=first.pk).update(**change)
        assert "claim.second_visit" not in codes(second), change
        Encounter.objects.filter(pk=first.pk).update(**was)
    assert "claim.second_visit" in codes(second)


@pytest.mark.parametrize(("minutes", "twice"), [(0, True), (149, True), (150, False), (400, False)])
def test_a_dose_that_stands_on_two_visits_at_one_time_was_recorded_twice(
    record: Record, minutes: int, twice: bool
) -> None:
    first, second = record(), record(minutes=minutes)
    other = add_payer(by=None, slug="other", name="Other Plan")
    for each in (first, second):
        assert ("claim.recorded_twice" in codes(each)) is twice
    Encounter.objects.filter(pk=second.pk).update(payer=other)
    assert ("claim.recorded_twice" in codes(first)) is twice, "a claim to another payer is one dose too many as well"
    for change in ({"date_of_service": DAY + timedelta(days=1)}, {"state": Encounter.State.VOID}):
        Encounter.objects.filter(pk=second.pk).update(**change)
        assert "claim.recorded_twice" not in codes(first), change
        Encounter.objects.filter(pk=second.pk).update(date_of_service=DAY, state=Encounter.State.WITH_BILLING)


def test_without_a_time_the_amount_tells(record: Record) -> None:
    first, second = record(), record(minutes=400)
    second.administrations.update(started_at=None, stopped_at=None)
    assert "claim.recorded_twice" in codes(first)
    second.administrations.update(administered=Decimal(300))
    assert "claim.recorded_twice" not in codes(first)
    second.administrations.update(administered=Decimal(600), drug="J1745")
    assert "claim.recorded_twice" not in codes(first)


def test_an_approved_visit_counts_as_it_was_approved(record: Record, house: House, medicare: Payer) -> None:
    """Under a later rule it would have one more hour."""
    first, second = record(), record(minutes=600)
    approve(
        by=house.people[BILLING], encounter=first, version=first.version, acknowledged=(),
        content_hash=review_of(first).content_hash,
    )  # fmt: skip
    said = Departure(
        parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2020, 1, 1),
        source_document="Handbook", source_read_on=DAY,
    )  # fmt: skip
    publish_override(by=house.people[ADMIN], payer=medicare, departure=said, status="verified")
    assert context(second).others[0].units["96366"] == 1
    first.refresh_from_db()
    assert context(first).others[0].units["96366"] == 2


def test_visits_without_a_start_stand_in_the_order_of_their_entry(record: Record) -> None:
    first, second = record(minutes=600), record()
    for encounter in (first, second):
        encounter.administrations.update(started_at=None, stopped_at=None)
    assert [visit.earlier for visit in context(encounters_of(first.clinic).get(pk=first.pk)).others] == [False]
    assert [visit.earlier for visit in context(encounters_of(first.clinic).get(pk=second.pk)).others] == [True]
    second.visit_started_at = datetime(2026, 3, 10, 9, tzinfo=first.entered_at.tzinfo)
    second.save()
    assert [visit.earlier for visit in context(encounters_of(first.clinic).get(pk=second.pk)).others] == [False]


# The tables of CMS --------------------------------------------------------------------------------------------------


def test_a_loaded_quarter_counts_on_its_own_days_for_its_own_claims(record: Record) -> None:
    office, hospital = record(), record("Two", setting="hospital_outpatient", place="22")
    UnlikelyUnits.objects.create(table=table("mue"), code="J2350", units=599, indicator="2")
    assert context(office).limits["J2350"].table == "MUE 2026Q1, practitioner"
    assert "claim.units_above_absolute" in codes(office)
    assert context(hospital).limits == {}
    later = table("mue", "outpatient", effective_from=date(2026, 4, 1), effective_until=date(2026, 6, 30))
    UnlikelyUnits.objects.create(table=later, code="J2350", units=599)
    assert context(hospital).limits == {}
    EditTable.objects.filter(pk=later.pk).update(effective_from=DAY)
    assert context(hospital).limits["J2350"].units == 599


def test_of_two_loads_of_a_quarter_the_later_counts_unless_it_was_withdrawn(record: Record) -> None:
    encounter = record()
    for units in (599, 700):
        UnlikelyUnits.objects.create(table=table("mue"), code="J2350", units=units)
    assert context(encounter).limits["J2350"].units == 700
    EditTable.objects.filter(limits__units=700).update(withdrawn_at=timezone.now())
    assert context(encounter).limits["J2350"].units == 599


def test_pairs_are_those_of_the_codes_at_hand(record: Record) -> None:
    encounter, loaded = record(), table("ncci")
    said = {"table": loaded, "effective_from": date(2020, 1, 1), "modifier_allowed": False}
    for first, second in (("96365", "96366"), ("96365", "96413"), ("96374", "96413")):
        CodePair.objects.create(first=first, second=second, **said)
    assert [(pair.first, pair.second, pair.table) for pair in context(encounter).pairs] == [
        ("96365", "96366", "NCCI 2026Q1, practitioner")
    ]
    assert "claim.pair_never" in codes(encounter)
    EditTable.objects.update(claims="outpatient")
    assert context(encounter).pairs == ()


# Charges --------------------------------------------------------------------------------------------------------------


def schedule(encounter: Encounter, rate: str, **more: Any) -> FeeSchedule:
    made = FeeSchedule.objects.create(
        **{
            "clinic": encounter.clinic, "payer": None, "name": "Charges", "effective_from": date(2026, 1, 1),
            "source": "a file", "checksum": "c", "loaded_at": timezone.now(), **more,
        }
    )  # fmt: skip
    Fee.objects.create(schedule=made, code="J2350", rate=Decimal(rate))
    return made


def test_charges_are_the_clinics_own_on_that_day(record: Record) -> None:
    encounter = record()
    assert context(encounter).charges == {}
    schedule(encounter, "60.9750")
    position = [line.code for line in review_of(encounter).statement.lines].index("J2350")
    assert context(encounter).charges == {position: Decimal("36585.00")}
    for more in (
        {"payer": encounter.payer},
        {"effective_from": DAY + timedelta(days=1)},
        {"effective_until": DAY - timedelta(days=1)},
        {"withdrawn_at": timezone.now()},
    ):
        FeeSchedule.objects.all().update(**more)
        assert context(encounter).charges == {}, more
        FeeSchedule.objects.all().update(
            payer=None, effective_from=date(2026, 1, 1), effective_until=None, withdrawn_at=None
        )


def test_a_total_above_a_claim_is_told(record: Record) -> None:
    encounter = record()
    schedule(encounter, "166.6667")
    assert "claim.total_too_high" in codes(encounter)


# Lists ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_touch_is_written")
def test_a_list_takes_the_same_queries_however_long(record: Record, house: House) -> None:
    for number in range(6):
        encounter = record(f"P{number}")
        member(encounter)
    UnlikelyUnits.objects.create(table=table("mue"), code="J2350", units=599)
    twins = [record("Twin"), record("Twin", minutes=600)]
    schedule(twins[0], "60")

    def queries(count: int) -> int:
        pks = [*(each.pk for each in twins), *Encounter.objects.order_by("-pk").values_list("pk", flat=True)[:count]]
        listed = [(each, review_of(each)) for each in with_record(encounters_of(house.clinic).filter(pk__in=pks))]
        with looked_up_once(), CaptureQueriesContext(connection) as caught:  # as in a request
            found = claim_findings_of_many(listed)
        assert len(found) == len(listed)
        return len(caught)

    assert queries(1) == queries(8) <= 18


def test_a_list_says_what_one_says(record: Record, house: House) -> None:
    encounters = [record("A"), record("A", minutes=600), record("B", place="22")]
    many = claim_findings_of_many([(each, review_of(each)) for each in encounters])
    assert many == {each.pk: claim_findings_of(each, review_of(each)) for each in encounters}
    assert claim_findings_of_many([]) == {}


def test_a_long_list_is_read_in_parts(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infusion.claim_review.MOST_AT_ONCE", 2)
    encounters = [record(name) for name in ("A", "B", "C")]
    assert set(claim_findings_of_many([(each, review_of(each)) for each in encounters])) == {
        each.pk for each in encounters
    }
