"""Many encounters that come in together: drafts as `save_encounter` writes them, a portion in a few statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from infusion import audit, judgements
from infusion.actions.encounters import (
    Recorded,
    document_of,
    fill_visit,
    keep_patient,
    patient_document,
    rows_of_record,
    told_of_source,
    write_rows,
)
from infusion.models import Administration, Clinic, Discard, Encounter, Patient, Pause, User, Vial
from infusion.selectors import encounters_of, with_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An encounter that was brought in. `source` says out of what, and is told with it."""

    client_id: UUID
    recorded: Recorded
    source: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of many drafts, by their client id: those that are new, and those that were here already."""

    new: Mapping[UUID, Encounter]
    here: Mapping[UUID, Encounter]


@transaction.atomic
def save_new_encounters(*, by: User, clinic: Clinic, drafts: Sequence[Draft]) -> Saved:
    """Write new drafts, each with an audit event of its own. One that is here already stays as it is."""
    here = _here(clinic, drafts)
    left = [each for each in drafts if each.client_id not in here]
    try:
        with transaction.atomic():
            new = _write(by, clinic, left) if left else {}
    except IntegrityError:
        new = {}
        for each in left:
            _save_beside_others(by, clinic, each, new, here)
    return Saved(new, here)


def _here(clinic: Clinic, drafts: Iterable[Draft]) -> dict[UUID, Encounter]:
    client_ids = [each.client_id for each in drafts]
    return {each.client_id: each for each in Encounter.objects.filter(clinic=clinic, client_id__in=client_ids)}


def _save_beside_others(
    by: User, clinic: Clinic, draft: Draft, new: dict[UUID, Encounter], here: dict[UUID, Encounter]
) -> None:
    """Write one draft while someone else records the same patient or the same encounter: what is theirs stays here."""
    for last in (False, False, True):
        if theirs := _here(clinic, [draft]):
            here |= theirs
            return
        try:
            with transaction.atomic():
                new |= _write(by, clinic, [draft])
            return
        except IntegrityError:
            if last:
                raise


def _write(by: User, clinic: Clinic, drafts: Sequence[Draft]) -> dict[UUID, Encounter]:
    patients, new_patients = _patients(by, clinic, [each.recorded for each in drafts])
    now, encounters, records = timezone.now(), [], []
    for each in drafts:
        encounter = Encounter(clinic=clinic, client_id=each.client_id, recorded_by=by, entered_at=now)
        encounter.patient = patients[each.recorded.patient_reference.strip()]
        fill_visit(encounter, clinic, each.recorded)
        encounters.append(encounter)
    Encounter.objects.bulk_create(encounters)
    for encounter, each in zip(encounters, drafts, strict=True):
        records.append(rows_of_record(encounter, each.recorded, now))
    write_rows(records)
    sources = {each.client_id: each.source for each in drafts}
    stored = with_record(encounters_of(clinic)).filter(pk__in=[each.pk for each in encounters])
    by_client = {each.client_id: each for each in stored}
    events = [_told_of_patient(each) for each in new_patients]
    events += [_told_of(by_client[each.client_id], sources[each.client_id]) for each in encounters]
    audit.record_each(events, by=by, clinic_id=clinic.pk)
    new = {each.pk for each in new_patients}
    _forget_those_beside([each for each in encounters if each.patient_id not in new], encounters)
    return by_client


def _patients(by: User, clinic: Clinic, recorded: Iterable[Recorded]) -> tuple[dict[str, Patient], list[Patient]]:
    """Whose encounters these are, by their references, and those who are new."""
    said: dict[str, Patient] = {}
    for each in recorded:
        reference = each.patient_reference.strip()
        patient = said.setdefault(reference, Patient(clinic=clinic, reference=reference))
        patient.name = patient.name or each.patient_name
        patient.birth_date = patient.birth_date or each.birth_date
        patient.sex = patient.sex or each.sex
    known = {each.reference: each for each in Patient.objects.filter(clinic=clinic, reference__in=said)}
    for reference, patient in known.items():
        more = said[reference]
        if any(getattr(more, name) and not getattr(patient, name) for name in ("name", "birth_date", "sex")):
            known[reference] = keep_patient(
                by, clinic, reference, name=more.name, birth_date=more.birth_date, sex=more.sex
            )
    new = [patient for reference, patient in said.items() if reference not in known]
    Patient.objects.bulk_create(new)
    return {**said, **known}, new


def _told_of_patient(patient: Patient) -> audit.Told:
    return audit.Told(
        action="patient.save", subject="patient", subject_id=str(patient.public_id), before=None,
        after=patient_document(patient), rows={(Patient._meta.db_table, patient.pk)},
    )  # fmt: skip


def _told_of(encounter: Encounter, source: Mapping[str, Any]) -> audit.Told:
    rows = {(Encounter._meta.db_table, encounter.pk)}
    for row in encounter.administrations.all():
        rows.add((Administration._meta.db_table, row.pk))
        rows.update((Pause._meta.db_table, each.pk) for each in row.pauses.all())
        rows.update((Vial._meta.db_table, each.pk) for each in row.vials.all())
        rows.update((Discard._meta.db_table, each.pk) for each in row.discards.all())
    return audit.Told(
        action="encounter.add", subject="encounter", subject_id=str(encounter.public_id), before=None,
        after={**document_of(encounter), **told_of_source(source)}, rows=rows,
    )  # fmt: skip


def _forget_those_beside(of_known_patients: Sequence[Encounter], written: Sequence[Encounter]) -> None:
    """What a visit bears on is judged anew, on its own day and on others."""
    if of_known_patients:
        patients = {each.patient_id for each in of_known_patients}
        beside = Encounter.objects.filter(patient__in=patients)
        judgements.forget(beside.exclude(pk__in=[each.pk for each in written]))
