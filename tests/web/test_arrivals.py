"""Many drafts written together: the same rows, audit and refusals as one after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import Model, QuerySet
from django.test.utils import CaptureQueriesContext

from infusion import chain, replay
from infusion.actions import Recorded, save_encounter
from infusion.actions.arrivals import Draft, save_new_encounters
from infusion.audit import AuditEvent
from infusion.models import Clinic, Encounter, Judgement, Patient, User
from infusion.selectors import review_of

pytestmark = pytest.mark.django_db


def drafts(sarah: Recorded, count: int, patients: int = 1000) -> list[Draft]:
    return [
        Draft(
            client_id=uuid4(), source={"file": "may.csv", "row": number + 2},
            recorded=replace(sarah, patient_reference=f"P{number % patients}", patient_name=f"N {number % patients}"),
        )
        for number in range(count)
    ]  # fmt: skip


def without_ids(document: Any) -> Any:
    moving = ("client_id", "patient", "entered_at", "entered", "id", "source")
    if isinstance(document, dict):
        return {name: without_ids(each) for name, each in document.items() if name not in moving}
    return document


def test_they_are_what_one_after_the_other_would_be(clinic: Clinic, biller: User, sarah: Recorded) -> None:
    one = save_encounter(by=biller, clinic=clinic, client_id=uuid4(), recorded=sarah)
    saved = save_new_encounters(by=biller, clinic=clinic, drafts=drafts(sarah, 3))
    assert (len(saved.new), len(saved.here)) == (3, 0)
    for each in saved.new.values():
        assert review_of(each).statement.lines == review_of(one).statement.lines
    events = AuditEvent.objects.filter(action="encounter.add")
    assert len({str(without_ids(each.after)) for each in events}) == 1
    assert [each.after["source"]["row"] for each in events.order_by("sequence")[1:]] == [2, 3, 4]


def test_the_record_of_them_holds_and_gives_the_tables_again(clinic: Clinic, biller: User, sarah: Recorded) -> None:
    save_new_encounters(by=biller, clinic=clinic, drafts=drafts(sarah, 5, patients=2))
    assert list(replay.differences()) == []
    assert chain.check().flaws == []
    assert AuditEvent.objects.filter(action="encounter.add").count() == 5
    assert AuditEvent.objects.filter(action="patient.save", subject__in=["patient"]).count() >= 2


def test_one_that_is_here_stays_as_it_is(clinic: Clinic, biller: User, sarah: Recorded) -> None:
    first, second = drafts(sarah, 2)
    save_new_encounters(by=biller, clinic=clinic, drafts=[first])
    changed = Draft(client_id=first.client_id, source={}, recorded=replace(first.recorded, place_of_service="22"))
    saved = save_new_encounters(by=biller, clinic=clinic, drafts=[changed, second])
    assert list(saved.here) == [first.client_id]
    assert list(saved.new) == [second.client_id]
    assert Encounter.objects.get(client_id=first.client_id).place_of_service == sarah.place_of_service


def test_a_patient_who_is_known_is_completed_and_not_doubled(clinic: Clinic, biller: User, sarah: Recorded) -> None:
    save_encounter(
        by=biller, clinic=clinic, client_id=uuid4(),
        recorded=replace(sarah, patient_reference="P0", patient_name="", sex=""),
    )  # fmt: skip
    judged = Encounter.objects.get(patient__reference="P0")
    Judgement.objects.create(
        encounter=judged, encounter_version=1, rules="", errors=0, warnings=0, claim_findings=0, findings=[], lines=[],
        content_hash="",
    )  # fmt: skip
    save_new_encounters(by=biller, clinic=clinic, drafts=drafts(sarah, 2, patients=1))
    assert Patient.objects.get(reference="P0").name == "N 0"
    assert not Judgement.objects.filter(encounter=judged).exists()
    assert list(replay.differences()) == []


def test_a_dose_that_is_brought_in_has_the_patients_later_days_judged_anew(
    clinic: Clinic, biller: User, sarah: Recorded
) -> None:
    later, dose = drafts(sarah, 2, patients=1)
    save_new_encounters(by=biller, clinic=clinic, drafts=[later])
    Encounter.objects.update(date_of_service=date(2026, 6, 1))
    Judgement.objects.create(
        encounter=Encounter.objects.get(), encounter_version=1, rules="", errors=0, warnings=0, claim_findings=0,
        findings=[], lines=[], content_hash="",
    )  # fmt: skip
    save_new_encounters(by=biller, clinic=clinic, drafts=[dose])
    assert not Judgement.objects.exists()


def asks_too_early(model: type[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    """As it looks to a portion that asked before someone else had saved."""
    every, asked = model._default_manager, []

    def not_yet(*some: Any, **given: Any) -> QuerySet[Model]:
        asked.append(given)
        return every.none() if len(asked) == 1 else every.get_queryset().filter(*some, **given)

    monkeypatch.setattr(every, "filter", not_yet)


def test_someone_who_records_the_same_patient_meanwhile_leads_to_one_of_each(
    clinic: Clinic, biller: User, sarah: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = drafts(sarah, 3)
    save_encounter(by=biller, clinic=clinic, client_id=uuid4(), recorded=every[0].recorded)
    asks_too_early(Patient, monkeypatch)
    saved = save_new_encounters(by=biller, clinic=clinic, drafts=every)
    assert len(saved.new) == 3
    assert Patient.objects.count() == 3
    assert chain.check().flaws == []


def test_what_someone_else_saves_meanwhile_is_theirs(
    clinic: Clinic, biller: User, sarah: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = drafts(sarah, 3)
    theirs = save_encounter(by=biller, clinic=clinic, client_id=every[1].client_id, recorded=every[1].recorded)
    asks_too_early(Encounter, monkeypatch)
    saved = save_new_encounters(by=biller, clinic=clinic, drafts=every)
    assert list(saved.here.values()) == [theirs]
    assert list(saved.new) == [every[0].client_id, every[2].client_id]
    assert chain.check().flaws == []


def test_the_statements_do_not_grow_with_the_number(clinic: Clinic, biller: User, sarah: Recorded) -> None:
    asked = []
    for count in (10, 20):
        with CaptureQueriesContext(connection) as queries:
            save_new_encounters(by=biller, clinic=clinic, drafts=drafts(sarah, count, patients=5))
        asked.append(len(queries))
    assert asked[1] == asked[0]
