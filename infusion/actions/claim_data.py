"""Writers of what a claim needs beside its lines: patients, memberships, authorizations, providers, the clinic.

A form names what it was shown by a digest of it; where something else is stored by then, nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Model

from infusion import audit, judgements
from infusion.actions.encounters import Refused
from infusion.models import Authorization, Clinic, Coverage, Encounter, Patient, Provider, User
from infusion.services.words import plain
from payers.models import Payer
from payers.selectors import day_in_words

ADDRESS = ("address", "city", "state_code", "postal_code")
PERSON = ("family_name", "given_name", "birth_date", "sex", *ADDRESS)
DAYS = ("effective_from", "effective_until")
COLUMNS: Mapping[type[Model], tuple[str, ...]] = {
    Patient: ("name", *PERSON),
    Coverage: ("payer", "member_id", "group_number", "relationship", *DAYS, *PERSON),
    Authorization: ("payer", "drug", "number", "dose_limit", *DAYS),
    Provider: ("family_name", "given_name", "npi", "taxonomy", "left_on"),
    Clinic: (
        "sends_claims", "hospital_department", "legal_name", "npi", "tax_id", "taxonomy", *ADDRESS, "contact_name",
        "contact_phone",
        "sender_id", "receiver_name", "receiver_id",
    ),
    Encounter: ("attending", "trial_number", "bought_340b"),
}  # fmt: skip
Row = TypeVar("Row", Patient, Coverage, Authorization, Provider, Clinic, Encounter)
Membership = TypeVar("Membership", Coverage, Authorization)


class Changed(Refused):
    """Someone else has written what the form was made of. `current` is what is stored now."""

    def __init__(self, current: Model) -> None:
        super().__init__("Someone else has changed this meanwhile. Nothing of yours is lost: compare both, then save.")
        self.current = current


def recorded(row: Model) -> dict[str, Any]:
    """What is stored of a row, as the audit keeps it."""
    return {name: _text(getattr(row, name)) for name in COLUMNS[type(row)]}


def _text(value: Any) -> Any:
    if isinstance(value, Payer):
        return value.slug
    if isinstance(value, Provider):
        return str(value.public_id)
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date) else value


def shown_digest(row: Model) -> str:
    """A short name of what a form shows of a row."""
    return audit.digest(audit.canonical(recorded(row)))[:16]


@transaction.atomic
def correct_patient(*, by: User, patient: Patient, shown: str, values: Mapping[str, Any]) -> Patient:
    """Put right who a patient is. Columns that `values` does not name stay."""
    return _changed(by, patient, shown, values, "patient.correct", "patient", patient.clinic_id)


@transaction.atomic
def add_coverage(*, by: User, patient: Patient, values: Mapping[str, Any]) -> Coverage:
    """A membership of the patient. The same one sent twice is one; one payer has one membership on a day."""
    return _added(by, Coverage(patient=patient), values, "coverage")


@transaction.atomic
def change_coverage(*, by: User, coverage: Coverage, shown: str, values: Mapping[str, Any]) -> Coverage:
    """Correct a membership, or end it. A claim that has left in a batch stays as it is."""
    _lock(coverage.patient)
    changed = _changed(by, coverage, shown, values, "coverage.change", "coverage", coverage.patient.clinic_id)
    _refuse_overlap(changed)
    return changed


@transaction.atomic
def add_authorization(*, by: User, patient: Patient, values: Mapping[str, Any]) -> Authorization:
    """A prior authorization of one drug. The same one sent twice is one."""
    return _added(by, Authorization(patient=patient), values, "authorization")


@transaction.atomic
def change_authorization(
    *, by: User, authorization: Authorization, shown: str, values: Mapping[str, Any]
) -> Authorization:
    """Correct a prior authorization, or end it."""
    _lock(authorization.patient)
    clinic = authorization.patient.clinic_id
    changed = _changed(by, authorization, shown, values, "authorization.change", "authorization", clinic)
    _refuse_overlap(changed)
    return changed


@transaction.atomic
def add_provider(*, by: User, clinic: Clinic, values: Mapping[str, Any]) -> Provider:
    """Someone whose number stands on the clinic's claims. The same one sent twice is one."""
    _lock(clinic)
    twin = Provider.objects.filter(clinic=clinic, npi=values["npi"]).first()
    provider = _filled(Provider(clinic=clinic), values)
    if twin is not None and recorded(twin) == recorded(provider):
        return twin
    return _saved(by, provider, None, "provider.add", "provider", clinic.pk)


@transaction.atomic
def change_provider(*, by: User, provider: Provider, shown: str, values: Mapping[str, Any]) -> Provider:
    """Correct a provider, or say when they left."""
    return _changed(by, provider, shown, values, "provider.change", "provider", provider.clinic_id)


@transaction.atomic
def change_clinic_claims(*, by: User, clinic: Clinic, shown: str, values: Mapping[str, Any]) -> Clinic:
    """Who sends the clinic's claims, and to whom."""
    return _changed(by, clinic, shown, values, "clinic.claims", "clinic", clinic.pk)


@transaction.atomic
def keep_claim_facts(*, by: User, encounter: Encounter, shown: str, values: Mapping[str, Any]) -> Encounter:
    """Who treated, for which trial, and at which price the drugs were bought.

    No line hangs on the first two, so an approval stands; modifiers hang on the price, so it has to be corrected first.
    """
    current = Encounter.objects.select_for_update(no_key=True).get(pk=encounter.pk)
    before = current.bought_340b
    if values.get("bought_340b", before) != before and current.state == Encounter.State.APPROVED:
        raise Refused("The lines are approved, and a modifier hangs on the price. Correct the encounter first.")
    changed = _changed(by, encounter, shown, values, "encounter.claim", "encounter", encounter.clinic_id)
    judgements.forget(Encounter.objects.filter(pk=changed.pk))
    return changed


# Rows -----------------------------------------------------------------------------------------------------------------


def _lock(row: Patient | Clinic) -> None:
    type(row)._default_manager.select_for_update(no_key=True).get(pk=row.pk)


def _filled(row: Row, values: Mapping[str, Any]) -> Row:
    for name, value in values.items():
        if name not in COLUMNS[type(row)]:
            raise KeyError(name)
        setattr(row, name, value)
    return row


def _changed(
    by: User, row: Row, shown: str, values: Mapping[str, Any], action: str, subject: str, clinic_id: int
) -> Row:
    current = type(row)._default_manager.select_for_update(no_key=True).get(pk=row.pk)
    if shown_digest(current) != shown:
        raise Changed(current)
    before, columns = recorded(current), list(values)
    changed = _filled(current, values)
    if recorded(changed) == before:
        return changed
    if isinstance(changed, Encounter) and changed.bought_340b != before["bought_340b"]:
        changed.version += 1
        columns.append("version")
    return _saved(by, changed, before, action, subject, clinic_id, columns)


def _saved(
    by: User, row: Row, before: dict[str, Any] | None, action: str, subject: str, clinic_id: int,
    columns: list[str] | None = None,
) -> Row:  # fmt: skip
    try:
        with transaction.atomic():
            row.save(update_fields=columns)
    except IntegrityError:
        if not isinstance(row, Provider):
            raise
        raise Refused(f"NPI: {row.npi} is on record here for someone else. Change that one instead.") from None
    audit.record(
        action, by=by, subject=subject, subject_id=row.pk if isinstance(row, Clinic) else row.public_id,
        clinic_id=clinic_id, before=before, after=recorded(row),
    )  # fmt: skip
    return row


def _added(by: User, row: Membership, values: Mapping[str, Any], subject: str) -> Membership:
    _lock(row.patient)
    _filled(row, values)
    twin: Membership | None = next((each for each in _of_the_same(row) if recorded(each) == recorded(row)), None)
    if twin is not None:
        return twin
    _refuse_overlap(row)
    return _saved(by, row, None, f"{subject}.add", subject, row.patient.clinic_id)


def _of_the_same(row: Coverage | Authorization) -> list[Any]:
    """The patient's others of the same payer, and of the same drug where it names one."""
    beside = {"drug": row.drug} if isinstance(row, Authorization) else {}
    rows: Any = type(row)._default_manager.filter(patient=row.patient, payer=row.payer)
    return list(rows.filter(**beside).exclude(pk=row.pk).select_related("payer"))


def _refuse_overlap(row: Coverage | Authorization) -> None:
    """A claim has one membership and a drug one authorization, so on no day may there be two to choose from."""
    for other in _of_the_same(row):
        apart = (row.effective_until and row.effective_until < other.effective_from) or (
            other.effective_until and other.effective_until < row.effective_from
        )
        if not apart:
            what = f"authorization {other.number}" if isinstance(other, Authorization) else f"member {other.member_id}"
            until = f" to {day_in_words(other.effective_until)}" if other.effective_until else " on, without an end"
            raise Refused(
                f"{other.payer.name} has {what} for this patient from {day_in_words(other.effective_from)}{until}. "
                "End that one first, or choose days outside it."
            )
