"""What stands on the next batch: approved lines that have not left, what takes back those that have, and why not yet.

Let L be the newest claim of an encounter. Approved and nothing sent (or L is a void): an original. Sent under another
approval: a replacement of L, with credits for the lines of L. Another payer, patient, day or form: a void of L as L
was, then an original. Made void after it was sent, or approved without a line: a void. A claim is written from what was
approved and sent, and nothing in it is calculated again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count, F, OuterRef, Prefetch, Q, QuerySet, Subquery

from infusion.approved import Approved, approved_content
from infusion.claim_review import claim_findings_of_many
from infusion.exchange.checks import unsound
from infusion.exchange.claim import (
    SELF,
    Address,
    Claim,
    ClaimLine,
    Insurer,
    Membership,
    Missing,
    Name,
    Ndc,
    Party,
    Person,
    Practitioner,
    Sender,
    missing,
    parse_claim,
)
from infusion.exchange.formats import FORMATS, Format
from infusion.logs import new_reference
from infusion.models import Approval, Batch, BatchClaim, BatchFile, Clinic, Coverage, Encounter, Fee, Patient, Provider
from infusion.money import charges_for_many
from infusion.reference_now import current_reference
from infusion.selectors import Review, encounters_of
from infusion.services.facts import Administration
from infusion.services.findings import Finding, Severity
from infusion.services.lines import NdcQuantity, ServiceLine, Statement
from infusion.services.payment import amount_of
from infusion.services.reference import eleven_digits, in_force
from infusion.skips import unskipped
from payers.models import Payer
from payers.policy import PARAMETERS
from payers.selectors import day_in_words, policy_for

log = logging.getLogger(__name__)
State = Encounter.State
Frequency = BatchClaim.Frequency
HOSPITAL = "hospital_outpatient"
MOST_POINTERS, MOST_DIAGNOSES = 4, 12
NOT_NUMBERED = "new"
FAULT = (
    "The program failed at its claim. Give the number {reference} to whoever runs it, who finds the rest in the log."
)
NO_DATABASE = (InterfaceError, OperationalError)
# What a claim that a site sends itself cannot do without, whatever was set aside: `missing` says it.
ASKED_ANYWAY = ("claim.diagnosis_missing", "claim.coverage_missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One claim that stands on the next batch, and what keeps it from being on it. Its number is not given yet.

    `findings` are the errors of the claim that nobody has set aside.
    """

    encounter: Encounter
    kind: str
    approval: Approval
    payer: Payer
    replaces: BatchClaim | None
    claim: Claim
    missing: tuple[Missing, ...]
    findings: tuple[Finding, ...]
    hold: str

    @property
    def ready(self) -> bool:
        return not (self.missing or self.findings or self.hold)

    @property
    def kind_words(self) -> str:
        return Frequency(self.kind).label

    @property
    def total(self) -> Decimal:
        """Dollars that it asks for, less those that it gives back."""
        return total_of(self.claim)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of one encounter, in the order in which it leaves: all of it or nothing, so that no void is lost.

    `fault` says that the program failed at it, which keeps nothing else back.
    """

    encounter: Encounter
    candidates: tuple[Candidate, ...]
    fault: str = ""

    @property
    def ready(self) -> bool:
        return not self.fault and all(each.ready for each in self.candidates)


def total_of(claim: Claim) -> Decimal:
    """Dollars of the charges less those of the credits; a line without a charge counts for nothing."""
    asked, given = (
        sum((line.charge or Decimal(0) for line in lines), Decimal(0)) for lines in (claim.charges, claim.credits)
    )
    return asked - given


# Which encounters -----------------------------------------------------------------------------------------------------


def waiting(clinic: Clinic) -> QuerySet[Encounter]:
    """The encounters of which something has still to leave, oldest first."""
    newest = BatchClaim.objects.filter(encounter=OuterRef("pk")).order_by("-pk")
    approvals = Approval.objects.filter(encounter=OuterRef("pk")).order_by("-encounter_version")
    found = encounters_of(clinic).annotate(
        approval_now=Subquery(approvals.values("pk")[:1]),
        sent_approval=Subquery(newest.values("approval")[:1]),
        sent_frequency=Subquery(newest.values("frequency")[:1]),
    )
    unsent = Q(sent_approval__isnull=True) | Q(sent_frequency=Frequency.VOID) | ~Q(sent_approval=F("approval_now"))
    taken_back = Q(sent_approval__isnull=False) & ~Q(sent_frequency=Frequency.VOID)
    wanted = (Q(state=State.APPROVED) & unsent) | (Q(state=State.VOID) & taken_back)
    return found.filter(wanted).order_by("date_of_service", "pk")


def with_claims(encounters: QuerySet[Encounter]) -> QuerySet[Encounter]:
    """The same encounters with all that their claims are written from, in a fixed number of queries."""
    return encounters.select_related("clinic", "attending").prefetch_related(
        Prefetch("approvals", Approval.objects.order_by("encounter_version")),
        Prefetch("claims", BatchClaim.objects.select_related("payer_reference", "payer", "approval").order_by("pk")),
        Prefetch("patient__coverages", Coverage.objects.select_related("payer")),
        "patient__authorizations", "holds", "skips",
    )  # fmt: skip


def standing_of(clinic: Clinic, encounters: QuerySet[Encounter]) -> list[Standing]:
    """What stands of these encounters, which are among the waiting ones; where one of them fails, each on its own."""
    rows = list(with_claims(encounters))
    try:
        with transaction.atomic():
            return _standing_of(clinic, rows)
    except NO_DATABASE:
        raise
    except Exception as problem:
        if len(rows) == 1:
            return [Standing(rows[0], (), failed_at(rows[0], problem))]
    return [each for row in rows for each in standing_of(clinic, encounters_of(clinic).filter(pk=row.pk))]


def failed_at(encounter: Encounter, problem: Exception) -> str:
    """Log what the program failed at, and say under which number."""
    reference = new_reference()
    told = {"reference": reference}
    log.error("no claim could be made of encounter %s", encounter.public_id, exc_info=problem, extra=told)
    return FAULT.format(reference=reference)


def _standing_of(clinic: Clinic, rows: Sequence[Encounter]) -> list[Standing]:
    contents = {row.pk: approved_content(newest_approval(row)) for row in rows if row.state == State.APPROVED}
    days = {day_of(row, contents[row.pk].statement) for row in rows if row.pk in contents}
    charges = charges_for_many(clinic, days)
    findings = errors_of(rows, contents)
    sender = sender_of(clinic)
    found = []
    for row in rows:
        content = contents.get(row.pk)
        on = charges[day_of(row, content.statement)] if content else {}
        found.append(Standing(row, tuple(candidates_of(row, content, on, findings.get(row.pk, ()), sender))))
    return [each for each in found if each.candidates]


def ready(clinic: Clinic) -> list[Candidate]:
    """Every claim that could be on a batch made now."""
    return [each for standing in standing_of(clinic, waiting(clinic)) if standing.ready for each in standing.candidates]


def newest_approval(encounter: Encounter) -> Approval:
    return list(encounter.approvals.all())[-1]


def day_of(encounter: Encounter, statement: Statement) -> date:
    return statement.date_of_service or encounter.date_of_service


def errors_of(rows: Sequence[Encounter], contents: Mapping[int, Approved]) -> dict[int, tuple[Finding, ...]]:
    """What would send a claim back and was not set aside, by the encounter's row."""
    payers = {row.payer_id: row.payer for row in rows}
    policies = {key: policy_for(payer) for key, payer in payers.items()}
    reviewed = [
        (
            row,
            Review(contents[row.pk].facts, policies[row.payer_id], contents[row.pk].statement),
        )
        for row in rows
        if row.pk in contents
    ]
    found = claim_findings_of_many(reviewed)

    def keeps_back(row: Encounter, finding: Finding) -> bool:
        said_already = row.clinic.sends_claims and finding.code in ASKED_ANYWAY
        return finding.severity is Severity.ERROR and not said_already

    return {
        row.pk: tuple(each for each in unskipped(row, found[row.pk]) if keeps_back(row, each)) for row, _ in reviewed
    }


def candidates_of(
    encounter: Encounter, content: Approved | None, charges: Mapping[str, Fee], findings: tuple[Finding, ...],
    sender: Sender,
) -> Iterable[Candidate]:  # fmt: skip
    """The claims that stand of one encounter, by the rules at the top of this file."""
    last = standing_claim(list(encounter.claims.all()))
    held = next((each.reason for each in encounter.holds.all() if each.released_at is None), "")
    leaves = content is not None and (last is None or bool(content.statement.lines))
    if last is not None and (content is None or not takes_a_replacement(last, encounter, content.statement)):
        taken_back = void_of(last, encounter, sender)
        yield candidate(encounter, Frequency.VOID, last.approval, last.payer, last, taken_back, (), held, sender)
        last = None
    if content is None or not leaves:
        return
    kind = Frequency.ORIGINAL if last is None else Frequency.REPLACEMENT
    claim = claim_of(encounter, content, charges, kind, last)
    approval = newest_approval(encounter)
    found = candidate(encounter, kind, approval, encounter.payer, last, claim, findings, held, sender)
    yield replace(found, missing=(*found.missing, *of_another_day(content.statement, claim)))


def standing_claim(oldest_first: Sequence[BatchClaim]) -> BatchClaim | None:
    """The claim of an encounter that stands with a payer, if one does."""
    return oldest_first[-1] if oldest_first and oldest_first[-1].frequency != Frequency.VOID else None


def takes_a_replacement(sent: BatchClaim, encounter: Encounter, statement: Statement) -> bool:
    """Whether a payer finds the claim that left by what a replacement says; else it is taken back as it was."""
    claim = content_of(sent)
    was = sent.payer_id, claim.patient_reference, claim.date_of_service, claim.form
    now = encounter.payer_id, encounter.patient.reference, day_of(encounter, statement), form_of(encounter)
    return was == now and bool(statement.lines)


def candidate(
    encounter: Encounter, kind: str, approval: Approval, payer: Payer, replaces: BatchClaim | None, claim: Claim,
    findings: tuple[Finding, ...], held: str, sender: Sender,
) -> Candidate:  # fmt: skip
    return Candidate(
        encounter=encounter, kind=kind, approval=approval, payer=payer, replaces=replaces, claim=claim,
        missing=tuple(lacking(encounter, claim, sender)), findings=findings, hold=held,
    )  # fmt: skip


def lacking(encounter: Encounter, claim: Claim, sender: Sender) -> Iterable[Missing]:
    """What the claim still needs; where a billing system knows the rest, only lines that are lines."""
    if claim.credits and not claim.lines:
        yield Missing(item="It replaces a claim and has no line of its own. Make it void.", where="encounter")
    if not encounter.clinic.sends_claims:
        yield from (Missing(item=item, where="encounter") for item in unsound(claim))
        return
    on, payer = claim.date_of_service, encounter.payer
    covered = claim.frequency == Frequency.VOID or coverage_on(encounter.patient, payer, on) is not None
    for each in missing(claim, sender):
        if each.where == "batch":
            yield Missing(item=without_reference(claim), where="batch")
        elif each.where == "coverage" and not covered:
            day = day_in_words(on)
            item = f"No coverage with {claim.insurer.name} is recorded for {day}. Add it to the patient."
            yield Missing(item=item, where="coverage")
        else:
            yield each


def of_another_day(statement: Statement, claim: Claim) -> Iterable[Missing]:
    """The lines of a night that have a day of their own, which a claim here has no place for."""
    for line in statement.lines:
        if line.date_of_service not in (None, claim.date_of_service):
            item = (
                f"{line.code} is of {day_in_words(line.date_of_service)} and the claim of "
                f"{day_in_words(claim.date_of_service)}. Hold it, and enter this claim with both days by hand."
            )
            yield Missing(item=item, where="encounter")


def without_reference(claim: Claim) -> str:
    return (
        f"The number that {claim.insurer.name} gave claim {claim.original_number} is not recorded. Enter it from the "
        "payer's answer, on the batch of that claim."
    )


# The claim ------------------------------------------------------------------------------------------------------------


def void_of(sent: BatchClaim, encounter: Encounter, sender: Sender) -> Claim:
    """What takes a claim back: its own content, with its lines as credits."""
    claim = content_of(sent)
    void = replace(
        claim, number=NOT_NUMBERED, frequency="8", original_number=sent.number,
        original_reference=reference_of(sent), charges=(), credits=claim.charges,
    )  # fmt: skip
    return completed(void, sent.payer, encounter, sender) if encounter.clinic.sends_claims else void


def completed(void: Claim, payer: Payer, encounter: Encounter, sender: Sender) -> Claim:
    """The same with what the claim did not have to name when a billing system sent it, as it is known now.

    Nobody can enter it in what has left, so the money would never be given back.
    """
    lacks = {each.where for each in missing(void, sender)}
    patient, on = encounter.patient, void.date_of_service
    if patient.reference != void.patient_reference:
        patient = Patient.objects.get(clinic=encounter.clinic, reference=void.patient_reference)
    if "patient" in lacks:
        void = replace(void, patient=person_of(patient))
    if "coverage" in lacks:
        void = replace(void, membership=membership_of(patient, payer, on))
    if "payer" in lacks:
        void = replace(void, insurer=insurer_of(payer))
    if "clinic" in lacks:
        void = replace(void, provider=party_of(encounter.clinic))
    if "provider" in lacks:
        void = replace(void, attending=practitioner_of(encounter.attending))
    if "charges" in lacks:
        fees = charges_for_many(encounter.clinic, {on})[on]
        void = replace(void, credits=tuple(charged(line, fees) for line in void.credits))
    return void


def charged(line: ClaimLine, fees: Mapping[str, Fee]) -> ClaimLine:
    fee = fees.get(line.code)
    return line if line.charge is not None or fee is None else replace(line, charge=amount_of(fee.rate, line.units))


def claim_of(
    encounter: Encounter, content: Approved, charges: Mapping[str, Fee], kind: str = Frequency.ORIGINAL,
    replaces: BatchClaim | None = None,
) -> Claim:  # fmt: skip
    """The claim of an approval, with the clinic's own charges for one unit of each code, in dollars.

    A replacement carries the lines of the claim that it replaces as credits.
    """
    statement, patient = content.statement, encounter.patient
    on = day_of(encounter, statement)
    frequency: Literal["1", "7"] = "1" if kind == Frequency.ORIGINAL else "7"
    diagnoses = tuple(content.facts.diagnoses[:MOST_DIAGNOSES])
    return Claim(
        number=NOT_NUMBERED,
        frequency=frequency,
        form=form_of(encounter),
        encounter_id=str(encounter.public_id),
        patient_reference=patient.reference,
        patient=person_of(patient),
        membership=membership_of(patient, encounter.payer, on),
        insurer=insurer_of(encounter.payer),
        provider=party_of(encounter.clinic),
        attending=practitioner_of(encounter.attending),
        date_of_service=on,
        place_of_service=encounter.place_of_service,
        diagnoses=diagnoses,
        authorization_number=authorization_of(encounter, statement, on),
        original_number=replaces.number if replaces else "",
        original_reference=reference_of(replaces) if replaces else "",
        trial_number=encounter.trial_number,
        charges=tuple(
            line_of(position, line, content, charges, len(diagnoses), on)
            for position, line in enumerate(statement.lines, start=1)
        ),
        credits=content_of(replaces).charges if replaces else (),
    )


def form_of(encounter: Encounter) -> Literal["professional", "institutional"]:
    return "institutional" if encounter.setting == HOSPITAL else "professional"


def content_of(sent: BatchClaim) -> Claim:
    """A claim as it left."""
    return parse_claim(json.loads(sent.content))


def reference_of(sent: BatchClaim) -> str:
    """The number that the payer gave a claim; empty while nobody has recorded it."""
    found = getattr(sent, "payer_reference", None)
    return found.number if found else ""


def person_of(row: Patient | Coverage) -> Person:
    return Person(
        name=Name(family=row.family_name, given=row.given_name), birth_date=row.birth_date, sex=row.sex,
        address=address_of(row),
    )  # fmt: skip


def address_of(row: Any) -> Address:
    return Address(address=row.address, city=row.city, state_code=row.state_code, postal_code=row.postal_code)


def coverage_on(patient: Patient, payer: Payer, on: date) -> Coverage | None:
    """The patient's membership with a payer on a day. There are never two."""
    mine = (each for each in patient.coverages.all() if each.payer_id == payer.pk)
    return next((each for each in mine if holds_on(each, on)), None)


def holds_on(row: Any, on: date) -> bool:
    return bool(row.effective_from <= on and (row.effective_until is None or on <= row.effective_until))


def membership_of(patient: Patient, payer: Payer, on: date) -> Membership:
    row = coverage_on(patient, payer, on)
    if row is None:
        return Membership(member_id="", subscriber=person_of(patient))
    own = row.relationship == SELF
    return Membership(
        member_id=row.member_id, group_number=row.group_number, relationship=row.relationship,
        subscriber=person_of(patient if own else row),
    )  # fmt: skip


def authorization_of(encounter: Encounter, statement: Statement, on: date) -> str:
    """The number for the first of the drugs that has one. A claim carries one."""
    mine = [each for each in encounter.patient.authorizations.all() if each.payer_id == encounter.payer_id]
    numbers = {each.drug: each.number for each in mine if holds_on(each, on)}
    return next((numbers[line.code] for line in statement.lines if line.code in numbers), "")


def insurer_of(payer: Payer) -> Insurer:
    return Insurer(name=payer.name, electronic_id=payer.electronic_id, filing_code=payer.filing_code)


def party_of(clinic: Clinic) -> Party:
    return Party(
        name=clinic.legal_name, npi=clinic.npi, tax_id=clinic.tax_id, taxonomy=clinic.taxonomy,
        address=address_of(clinic), contact_name=clinic.contact_name, contact_phone=clinic.contact_phone,
    )  # fmt: skip


def practitioner_of(provider: Provider | None) -> Practitioner | None:
    if provider is None:
        return None
    name = Name(family=provider.family_name, given=provider.given_name)
    return Practitioner(name=name, npi=provider.npi, taxonomy=provider.taxonomy)


def sender_of(clinic: Clinic) -> Sender:
    """Who sends the clinic's claims and to whom, as it is now."""
    return Sender(
        sender_id=clinic.sender_id, receiver_name=clinic.receiver_name, receiver_id=clinic.receiver_id,
        name=clinic.legal_name, contact_name=clinic.contact_name, contact_phone=clinic.contact_phone,
    )  # fmt: skip


def line_of(
    position: int, line: ServiceLine, content: Approved, charges: Mapping[str, Fee], diagnoses: int, on: date
) -> ClaimLine:
    """An approved line with its charge in dollars: its own where it has one, else units times the clinic's fee."""
    fee = charges.get(line.code)
    charge = line.charge if line.charge is not None else amount_of(fee.rate, line.units) if fee else None
    return ClaimLine(
        position=position,
        code=line.code,
        units=line.units,
        kind=line.kind,
        modifiers=line.modifiers,
        charge=charge,
        minutes=line.minutes,
        ndcs=tuple(ndc_of(each, line, content, on) for each in line.ndcs),
        ndc_required=ndc_required(line, content.statement),
        diagnosis_pointers=tuple(range(1, min(diagnoses, MOST_POINTERS) + 1)),
        description=label_of(line, on),
    )


def ndc_of(each: NdcQuantity, line: ServiceLine, content: Approved, on: date) -> Ndc:
    """With the mg in one of its units, where the record or the reference knows: a split of the line goes by them."""
    strength = None
    if each.unit == "UN":
        sizes = {vial.amount for given in given_in(line, content) for vial in given.vials if is_of(vial.ndc, each.ndc)}
        strength = sizes.pop() if len(sizes) == 1 else None
    else:
        drug = current_reference().drug(line.code, on)
        strength = drug.concentration if drug else None
    return Ndc(ndc=each.ndc, quantity=each.quantity, unit=each.unit, strength=strength)


def given_in(line: ServiceLine, content: Approved) -> Sequence[Administration]:
    return [each for each in content.facts.administrations if each.id in line.administrations]


def is_of(recorded: str, ndc: str) -> bool:
    """Whether an NDC as it was recorded is this one of eleven digits."""
    try:
        return eleven_digits(recorded) == ndc
    except ValueError:
        return False


def ndc_required(line: ServiceLine, statement: Statement) -> bool:
    """Whether the payer sends the line back without an NDC, by the rule that was read at the approval."""
    readings = [statement.policy.get(("ndc_required", drug)) for drug in (line.code, "")]
    reading = next((each for each in readings if each is not None), None)
    return bool(reading.value if reading else PARAMETERS["ndc_required"].default)


def label_of(line: ServiceLine, on: date) -> str:
    """Our own short label of a code."""
    reference = current_reference()
    if line.code in reference.administration:
        return reference.administration[line.code].label
    rows = reference.drugs.get(line.code, ())
    row = in_force(rows, on) or (rows[-1] if rows else None)
    return row.label if row else ""


# A batch that was made ------------------------------------------------------------------------------------------------


def batches_of(clinic: Clinic) -> QuerySet[Batch]:
    """The clinic's batches, newest first, with what a list says of them and nothing of what is in them."""
    formats = Prefetch("files", BatchFile.objects.only("batch", "format"))
    mine = Batch.objects.filter(clinic=clinic).annotate(claim_count=Count("claims"))
    return mine.select_related("made_by").prefetch_related(formats).order_by("-number")


def claims_of(batch: Batch) -> list[tuple[BatchClaim, Claim]]:
    """The claims of a batch in their order, as they left."""
    rows = batch.claims.select_related("payer", "replaces", "replaced_by__batch", "payer_reference__recorded_by")
    found = rows.select_related("encounter").order_by("pk")
    return [(row, content_of(row)) for row in found]


def formats_for(claims: Sequence[Claim]) -> dict[str, Format]:
    """The formats in which a batch of these claims can leave."""
    return {name: each for name, each in FORMATS.items() if each.takes(claims)}
