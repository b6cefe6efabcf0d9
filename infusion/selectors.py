"""Reads: rows -> facts, and what a person may see. Every look-up stays within one clinic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from infusion import audit
from infusion.models import (
    Administration,
    Authorization,
    Batch,
    Clinic,
    Coverage,
    Encounter,
    Order,
    Patient,
    Provider,
    User,
    WorkingCopy,
)
from infusion.reference_now import current_reference
from infusion.services import facts
from infusion.services.calculate import calculate
from infusion.services.lines import Statement
from infusion.services.wire import encounter_document, statement_document
from payers.models import Payer, PolicyOverride
from payers.policy import PayerPolicy, Reading, jsonable
from payers.selectors import policy_for

# The payer parameters that look at earlier doses of the patient.
READ_HISTORY = ("maximum_units_per_period", "minimum_days_between_doses")


def encounters_of(clinic: Clinic) -> QuerySet[Encounter]:
    """The clinic's encounters with what a list shows, newest first."""
    return (
        Encounter.objects.filter(clinic=clinic)
        .select_related("patient", "payer", "recorded_by", "chair")
        .order_by("-date_of_service", "-pk")
    )


def with_record(encounters: QuerySet[Encounter]) -> QuerySet[Encounter]:
    """The same encounters with all that `facts_of` reads, in a fixed number of queries."""
    needs_history = Exists(_rules_on_history().filter(payer=OuterRef("payer")))
    return (
        encounters.annotate(needs_history=needs_history)
        .select_related("clinic", "patient")
        .prefetch_related(
            Prefetch("administrations", Administration.objects.prefetch_related("pauses", "vials", "discards")),
            "questions__asked_by",
        )
    )


def encounter_for(user: Any, public_id: UUID) -> Encounter | None:
    """The encounter of that id in the person's own clinic, or None."""
    return with_record(encounters_of(user.clinic)).filter(public_id=public_id).first()


def last_write(encounter: Encounter) -> audit.AuditEvent | None:
    """The latest write to an encounter: who it was, and when."""
    writes = audit.AuditEvent.objects.filter(subject="encounter", subject_id=str(encounter.public_id))
    return writes.select_related("by").order_by("-sequence").first()


def patient_named(clinic: Clinic, reference: str) -> Patient | None:
    return Patient.objects.filter(clinic=clinic, reference=reference.strip()).first()


def patient_for(user: Any, public_id: UUID) -> Patient | None:
    """The patient of that id in the person's own clinic, or None."""
    return Patient.objects.filter(clinic=user.clinic, public_id=public_id).first()


def coverage_for(user: Any, public_id: UUID) -> Coverage | None:
    """The membership of that id of a patient of the person's own clinic, or None."""
    mine = Coverage.objects.filter(patient__clinic=user.clinic)
    return mine.select_related("patient", "payer").filter(public_id=public_id).first()


def authorization_for(user: Any, public_id: UUID) -> Authorization | None:
    """The prior authorization of that id of a patient of the person's own clinic, or None."""
    mine = Authorization.objects.filter(patient__clinic=user.clinic)
    return mine.select_related("patient", "payer").filter(public_id=public_id).first()


def providers_of(clinic: Clinic) -> QuerySet[Provider]:
    """Whose numbers stand on the clinic's claims, by name; also those who have left."""
    return Provider.objects.filter(clinic=clinic)


def provider_for(user: Any, public_id: UUID) -> Provider | None:
    """The provider of that id in the person's own clinic, or None."""
    return Provider.objects.filter(clinic=user.clinic, public_id=public_id).first()


def batch_for(user: Any, public_id: UUID) -> Batch | None:
    """The batch of that id of the person's own clinic, or None."""
    return Batch.objects.filter(clinic=user.clinic, public_id=public_id).select_related("made_by").first()


def copies_of(user: Any, encounter: Encounter | None = None) -> QuerySet[WorkingCopy]:
    """What a person typed and did not save, of an encounter or of ones that were never saved, newest first."""
    mine = WorkingCopy.objects.filter(person=user).order_by("-kept_at")
    if encounter is not None:
        return mine.filter(client_id=encounter.client_id)
    saved = Encounter.objects.filter(clinic=user.clinic, client_id=OuterRef("client_id"))
    return mine.filter(~Exists(saved), encounter__isnull=True)


def colleagues(clinic: Clinic) -> QuerySet[User]:
    """Who works at the clinic now, by name."""
    return User.objects.filter(clinic=clinic, is_active=True).order_by("last_name", "first_name", "username")


def past_doses(patient: Patient | None, except_for: Encounter | None = None) -> tuple[facts.PastDose, ...]:
    """What a patient was given at earlier visits to the clinic, one dose for each visit and drug; at no void one."""
    if patient is None or patient.pk is None:
        return ()
    rows = Administration.objects.filter(
        encounter__patient=patient, encounter__clinic=patient.clinic_id, administered__gt=0
    ).exclude(encounter__state=Encounter.State.VOID)
    if except_for is not None:
        rows = rows.exclude(encounter=except_for)
    doses: dict[tuple[int, date, str], Decimal] = {}
    for visit, on, drug, amount in rows.values_list(
        "encounter_id", "encounter__date_of_service", "drug", "administered"
    ):
        doses[visit, on, drug] = doses.get((visit, on, drug), Decimal(0)) + (amount or Decimal(0))
    return tuple(facts.PastDose(on, drug, amount) for (_, on, drug), amount in doses.items())


def orders_of(clinic: Clinic) -> QuerySet[Order]:
    """The clinic's orders that were not taken off the day, in the order of their times."""
    mine = Order.objects.filter(clinic=clinic, cancelled_at__isnull=True)
    return mine.select_related("patient", "payer", "chair", "encounter", "placed_by")


def order_for(user: Any, public_id: UUID) -> Order | None:
    """The order of that id in the person's own clinic, or None."""
    return Order.objects.filter(clinic=user.clinic, public_id=public_id).first()


def todays_encounters(clinic: Clinic, today: date) -> QuerySet[Encounter]:
    """Today's encounters, and every older one that is still a draft: an unfinished visit does not disappear."""
    mine = encounters_of(clinic)
    return mine.filter(date_of_service=today) | mine.filter(state=Encounter.State.DRAFT)


def payers() -> QuerySet[Payer]:
    return Payer.objects.all()


def facts_of(encounter: Encounter) -> facts.Encounter:
    """The stored encounter as the rules read it; nothing in it names the patient."""
    visit = None
    if encounter.visit_started_at or encounter.visit_stopped_at:
        visit = facts.Visit(start=encounter.visit_started_at, stop=encounter.visit_stopped_at)
    return facts.Encounter(
        id=str(encounter.public_id),
        time_zone=encounter.clinic.time_zone,
        setting=encounter.setting,
        date_of_service=encounter.date_of_service,
        diagnoses=tuple(encounter.diagnoses),
        visit=visit,
        administrations=tuple(
            _administration(row, bought_340b=encounter.bought_340b) for row in encounter.administrations.all()
        ),
        hospital_department=encounter.clinic.hospital_department,
        past_doses=past_doses(encounter.patient, encounter) if _needs_history(encounter) else None,
    )


def _needs_history(encounter: Encounter) -> bool:
    """Whether a rule of the payer looks at earlier doses; without one, what happens at other visits changes nothing."""
    known = getattr(encounter, "needs_history", None)
    if known is None:
        return _rules_on_history().filter(payer=encounter.payer_id).exists()
    return bool(known)


def _rules_on_history() -> QuerySet[PolicyOverride]:
    rows = PolicyOverride.objects.filter(known_until__isnull=True, parameter__in=READ_HISTORY)
    return rows.exclude(status=PolicyOverride.Status.DRAFT)


def _administration(row: Administration, *, bought_340b: bool) -> facts.Administration:
    return facts.Administration(
        id=f"a{row.position + 1}",
        route=row.route,
        drug=row.drug,
        order=row.order_label,
        access=row.access,
        access_reason=row.access_reason,
        purpose=row.purpose,
        primary=row.primary,
        acquired=row.acquired,
        bought_340b=bought_340b and row.acquired == "purchased",
        start=row.started_at,
        stop=row.stopped_at,
        pauses=tuple(facts.Pause(start=each.started_at, stop=each.stopped_at) for each in row.pauses.all()),
        ordered=row.ordered,
        administered=row.administered,
        vials=tuple(
            facts.Vial(
                amount=each.amount,
                count=each.count,
                single_dose=each.single_dose,
                ndc=each.ndc,
                lot=each.lot,
                expires=each.expires,
            )
            for each in row.vials.all()
        ),
        discards=tuple(facts.Discard(amount=each.amount, reason=each.reason) for each in row.discards.all()),
    )


@dataclass(frozen=True, slots=True)
class Review:
    """An encounter read under its payer's rules: what is shown is what would be approved."""

    facts: facts.Encounter
    policy: PayerPolicy
    statement: Statement

    @property
    def input_text(self) -> str:
        return audit.canonical(encounter_document(self.facts))

    @property
    def policy_text(self) -> str:
        """Every value that was read and where it came from."""
        return audit.canonical([_reading(reading) for _, reading in sorted(self.statement.policy.items())])

    @property
    def statement_text(self) -> str:
        return audit.canonical(statement_document(self.statement))

    @property
    def content_hash(self) -> str:
        """Changes with any byte of the input, the rules read, the tables or the answer."""
        parts = (self.input_text, self.policy_text, self.statement.reference_version, self.statement_text)
        return audit.digest("\n".join(parts))


def _reading(reading: Reading) -> dict[str, object]:
    layer = reading.layer
    return {
        "parameter": reading.name,
        "drug": reading.drug,
        "value": jsonable(reading.value),
        "layer": layer.name,
        "override": layer.override_id,
        "scope": [layer.scope.setting, layer.scope.drug],
        "status": layer.status,
        "source": reading.source,
        "from": layer.effective_from and layer.effective_from.isoformat(),
        "until": layer.effective_until and layer.effective_until.isoformat(),
    }


def review_of(encounter: Encounter) -> Review:
    """The encounter's lines and findings under the rules known now."""
    recorded = facts_of(encounter)
    policy = policy_for(encounter.payer)
    return Review(recorded, policy, calculate(recorded, policy, current_reference()))


def review_of_facts(recorded: facts.Encounter, payer: Payer | None) -> Review:
    """What is typed, read under a payer's rules before anything is saved."""
    policy = policy_for(payer) if payer else PayerPolicy()
    recorded = replace(recorded, id="")
    return Review(recorded, policy, calculate(recorded, policy, current_reference()))
