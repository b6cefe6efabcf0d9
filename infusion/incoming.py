"""What arrives as a document, between the clinic's rows and the draft that is saved of it."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone

from infusion.actions import Recorded
from infusion.exchange.incoming import Destination, Incoming, NotMapped, Unmapped
from infusion.models import Clinic, Encounter, Patient
from infusion.reference_now import current_reference
from infusion.selectors import patient_named
from infusion.services.clock import zone_named
from payers.models import Payer


def destination(clinic: Clinic, payers: Mapping[str, Payer]) -> Destination:
    """The clinic as a document meets it, with the payers by their slugs."""
    return Destination(
        time_zone=clinic.time_zone,
        today=timezone.now().astimezone(zone_named(clinic.time_zone)).date(),
        payers=payers.keys(),
        reference=current_reference(),
        hospital_department=clinic.hospital_department,
    )


def recorded(
    incoming: Incoming, clinic: Clinic, payers: Mapping[str, Payer], stored: Encounter | None = None
) -> Recorded:
    """What `save_encounter` takes, for a new draft or in place of a stored one.

    Raises NotMapped where the record number is someone else's. What a document cannot say (the documentation,
    who saw a discard, answers to billing) stays as it is stored.
    """
    return recorded_of(patient_named(clinic, incoming.patient_reference), incoming, clinic, payers, stored)


def recorded_of(
    known: Patient | None, incoming: Incoming, clinic: Clinic, payers: Mapping[str, Payer],
    stored: Encounter | None = None,
) -> Recorded:  # fmt: skip
    """The same, where it has been looked up already whether the patient is on record."""
    _refuse_another_person(known, incoming)
    return Recorded(
        patient_reference=incoming.patient_reference,
        patient_name=incoming.patient_name,
        birth_date=incoming.birth_date,
        sex=incoming.sex,
        payer=payers[incoming.payer],
        facts=incoming.facts,
        date_of_service=incoming.date_of_service,
        place_of_service=_place_of_service(incoming.facts.setting, clinic, stored),
        late_reasons=incoming.late_reasons,
        bought_340b=incoming.bought_340b,
    )


def _refuse_another_person(known: Patient | None, incoming: Incoming) -> None:
    """What is said of a patient and stored otherwise. What is stored is not told: a program need not know it."""
    said = {"name": incoming.patient_name, "birth_date": incoming.birth_date, "sex": incoming.sex}
    problems = []
    for what, value in said.items():
        stored = getattr(known, what, None)
        if value and stored and str(stored).casefold() != str(value).casefold():
            words = f"Another {what.replace('_', ' ')} is on record for {incoming.patient_reference}. Check both."
            problems.append(Unmapped(f"patient.{what}", str(value), words))
    if problems:
        raise NotMapped(problems)


def _place_of_service(setting: str, clinic: Clinic, stored: Encounter | None) -> str:
    if stored is not None and stored.setting == setting:
        return stored.place_of_service
    return clinic.place_of_service if clinic.setting == setting else ""
