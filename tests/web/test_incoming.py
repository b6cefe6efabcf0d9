"""A document that arrives becomes the draft that a form would have made of it, or says what stands against that."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import uuid4

import pytest

from infusion.actions import Recorded, save_encounter
from infusion.exchange.incoming import NotMapped, recorded_from
from infusion.forms.stored import normal
from infusion.incoming import destination, recorded
from infusion.models import Clinic, Encounter, User
from infusion.repeats import is_same
from infusion.selectors import facts_of
from infusion.services.wire import encounter_document
from payers.models import Payer

pytestmark = pytest.mark.django_db


def document_of(sarah: Recorded, **patient: str) -> dict[str, Any]:
    said = {"reference": sarah.patient_reference, **patient}
    return {**encounter_document(sarah.facts), "payer": sarah.payer.slug, "patient": said}


def arrived(clinic: Clinic, document: dict[str, Any], stored: Encounter | None = None) -> Recorded:
    payers = {payer.slug: payer for payer in Payer.objects.all()}
    return recorded(recorded_from(document, destination(clinic, payers)), clinic, payers, stored)


def save(by: User, clinic: Clinic, said: Recorded) -> Encounter:
    return save_encounter(by=by, clinic=clinic, client_id=uuid4(), recorded=said)


def test_a_document_is_saved_as_the_form_would_save_it(clinic: Clinic, nurse: User, sarah: Recorded) -> None:
    document = document_of(sarah, name="Sarah Lindqvist", birth_date="1984-06-02", sex="F")
    document["administrations"][0]["bought_340b"] = True
    document["late_reasons"] = {"a1": "Downtime"}
    stored = save(nurse, clinic, arrived(clinic, document))
    by_form = save(nurse, clinic, sarah)
    assert normal(facts_of(by_form)).administrations[0].start == normal(facts_of(stored)).administrations[0].start
    stored.refresh_from_db()
    assert stored.bought_340b
    assert stored.place_of_service == clinic.place_of_service
    assert [row.late_reason for row in stored.administrations.all()] == ["Downtime"]
    assert stored.patient == by_form.patient
    document["setting"] = "home"
    assert arrived(clinic, document, stored).place_of_service == ""
    stored.place_of_service = "19"
    assert arrived(clinic, document_of(sarah), stored).place_of_service == "19"
    assert arrived(clinic, document_of(sarah)).bought_340b is None


def test_a_record_number_of_someone_else_is_named_without_saying_who_that_is(
    clinic: Clinic, nurse: User, sarah: Recorded
) -> None:
    save(nurse, clinic, sarah)
    arrived(clinic, document_of(sarah, name="sarah lindqvist"))
    with pytest.raises(NotMapped) as told:
        arrived(clinic, document_of(sarah, name="Nora Quist", birth_date="1990-01-01", sex="M"))
    assert [each.path for each in told.value.problems] == ["patient.name", "patient.birth_date", "patient.sex"]
    assert sarah.patient_name not in str(told.value)
    assert date(1984, 6, 2).isoformat() not in str(told.value)


def test_what_is_stored_already_is_known_again_also_where_the_clinic_adds_to_the_record(
    clinic: Clinic, nurse: User, sarah: Recorded
) -> None:
    """A clinic's department and a visit's price stand in the facts of what is stored, and in nothing that is typed."""
    Clinic.objects.filter(pk=clinic.pk).update(hospital_department="on_campus")
    clinic.refresh_from_db()
    stored = save(nurse, clinic, sarah)
    assert facts_of(stored) != sarah.facts
    assert is_same(stored, sarah)
    assert not is_same(stored, replace(sarah, facts=replace(sarah.facts, diagnoses=())))
    Encounter.objects.filter(pk=stored.pk).update(bought_340b=True)
    stored.refresh_from_db()
    assert is_same(stored, sarah), "nothing was said of the price"
    assert not is_same(stored, replace(sarah, bought_340b=False))
