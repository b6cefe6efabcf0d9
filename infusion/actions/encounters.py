"""Writers of encounters: a draft saved, handed to billing, returned, approved.

A question of billing is answered by an attested late entry: the record corrected, a reason, and a sentence signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from infusion import audit, judgements
from infusion.actions.same_drugs import minute_of, same_drugs
from infusion.models import (
    Administration,
    Approval,
    Chair,
    Clinic,
    Discard,
    Encounter,
    Patient,
    Pause,
    Question,
    RuleUse,
    User,
    Vial,
)
from infusion.rule_use import rule_uses
from infusion.selectors import encounters_of, facts_of, patient_named, review_of, with_record
from infusion.services import facts
from infusion.services.clock import ClockChange, instant, zone_named
from infusion.services.wire import encounter_document
from infusion.skips import finding_key as warning_key
from infusion.skips import unskipped
from payers.models import Payer
from payers.selectors import day_in_words

State = Encounter.State


class Refused(ValueError):
    """Why something was not written, in a sentence for the person who asked."""


class Stale(Refused):
    """Someone else has written meanwhile. `current` is what is stored now."""

    def __init__(self, current: Encounter) -> None:
        super().__init__("Someone else has changed this encounter meanwhile. Nothing of yours is lost; compare both.")
        self.current = current


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a form hands over to be saved. `facts` has no stray identity; times in it are instants or local.

    `witnesses` are people by administration and place of the discard; without any, those on record stay. `answers` are
    what is written to billing's open questions, by their rows; they are kept with the draft until they are attested.
    `bought_340b` is None where nothing is said of the price, and then what is stored stays.
    """

    patient_reference: str
    payer: Payer
    facts: facts.Encounter
    date_of_service: date
    patient_name: str = ""
    birth_date: date | None = None
    sex: str = ""
    place_of_service: str = ""
    late_reasons: Mapping[str, str] | None = None
    witnesses: Mapping[tuple[str, int], int] | None = None
    documentation: Mapping[str, str] | None = None
    answers: Mapping[int, str] | None = None
    bought_340b: bool | None = None


@transaction.atomic
def save_encounter(
    *,
    by: User,
    clinic: Clinic,
    client_id: UUID,
    recorded: Recorded,
    public_id: UUID | None = None,
    version: int | None = None,
    chair: Chair | None = None,
    source: Mapping[str, Any] | None = None,
) -> Encounter:
    """Write a draft. The same `client_id` twice is one encounter; a version that is not the stored one is Stale.

    The `chair` is where a new one begins; what is written later leaves it. `source` is told with a new one that was
    brought in.
    """
    existing = _locked(clinic, public_id=public_id, client_id=client_id)
    if existing is None and public_id is not None:
        raise Refused("This encounter does not exist here.")
    if existing is None:
        return _create(by, clinic, client_id, recorded, chair, source)
    if public_id is None:
        return existing
    if existing.version != version:
        raise Stale(existing)
    if existing.state != State.DRAFT:
        raise Refused("This encounter is with billing. Ask for it back before changing it.")
    before = document_of(existing)
    existing.version += 1
    _check_witnesses(by, clinic, recorded, existing)
    _fill(existing, by, clinic, recorded)
    existing.save()
    _replace_administrations(existing, recorded, timezone.now())
    for question in existing.questions.filter(answered_at__isnull=True, pk__in=recorded.answers or {}):
        question.answer = (recorded.answers or {})[question.pk].strip()
        question.save()
    return told("encounter.save", by, existing, before)


def _create(
    by: User, clinic: Clinic, client_id: UUID, recorded: Recorded, chair: Chair | None, source: Mapping[str, Any] | None
) -> Encounter:
    _check_witnesses(by, clinic, recorded)
    encounter = Encounter(clinic=clinic, client_id=client_id, recorded_by=by, entered_at=timezone.now(), chair=chair)
    _fill(encounter, by, clinic, recorded)
    try:
        with transaction.atomic():
            encounter.save(force_insert=True)
    except IntegrityError:
        twin = _locked(clinic, client_id=client_id)
        if twin is None:
            raise
        return twin
    write_rows([rows_of_record(encounter, recorded, encounter.entered_at)])
    return told("encounter.add", by, encounter, None, **told_of_source(source))


def told_of_source(source: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if source is None else {"source": dict(source)}


@transaction.atomic
def hand_to_billing(*, by: User, encounter: Encounter, version: int, attested: bool = False) -> Encounter:
    """Give a complete draft to billing. Refused, with what is missing, while anything blocks.

    While a question of billing is open, it needs its answer in the draft, and `attested`: that `by` agreed to the
    sentence of `attestation`.
    """
    current = current_encounter(encounter, version)
    if current.state != State.DRAFT:
        raise Refused("This encounter is with billing already.")
    errors = review_of(current).statement.errors
    if errors:
        raise Refused(" ".join(finding.message for finding in errors))
    before = document_of(current)
    current.state, current.version = State.WITH_BILLING, current.version + 1
    current.handed_over_at, current.handed_over_by = timezone.now(), by
    current.save()
    _answer(current, by, current.handed_over_at, attested=attested)
    return told("encounter.hand_over", by, current, before)


def _answer(encounter: Encounter, by: User, now: datetime, *, attested: bool) -> None:
    """Close the open questions with the sentence that was agreed to."""
    for question in encounter.questions.filter(answered_at__isnull=True):
        if not question.answer:
            raise Refused(
                f"Billing asks: {question.text} Write the answer in the encounter: what you changed, or why the record "
                "stands as it is."
            )
        if not attested:
            raise Refused("An answer to billing is a late entry, so it is attested. Tick the sentence with your name.")
        question.answered_at, question.answered_by = now, by
        question.attested = attestation(by, encounter.clinic, now)
        question.save()


def attestation(by: User, clinic: Clinic, now: datetime) -> str:
    """The sentence under which a late entry is made, with the clinic's clock."""
    local = now.astimezone(zone_named(clinic.time_zone))
    return (
        f"I, {by.signature[:150]}, made this late entry on {day_in_words(local.date())} at {local:%H:%M} and attest "
        "that it is true to what was done."
    )


@transaction.atomic
def return_to_nurse(
    *, by: User, encounter: Encounter, version: int, question: str, administration: int | None = None
) -> Encounter:
    """Give an encounter back with a question, about one administration (by its position) or about all of it.

    One that is being corrected may be asked about as well; one that is approved has to be taken up first.
    """
    current = current_encounter(encounter, version)
    corrected = current.state == State.DRAFT and current.corrections.filter(closed_at__isnull=True).exists()
    if current.state == State.APPROVED:
        raise Refused("This encounter is approved. Open a correction first; then the nurse can be asked.")
    if current.state != State.WITH_BILLING and not corrected:
        raise Refused("Only an encounter that is with billing can be returned.")
    if not question.strip():
        raise Refused("Write what the nurse should answer.")
    if administration is not None and not current.administrations.filter(position=administration).exists():
        raise Refused("This administration is no longer in the record. Choose what the question is about again.")
    before = document_of(current)
    Question.objects.create(
        encounter=current, text=question.strip(), administration=administration, asked_by=by, asked_at=timezone.now()
    )
    current.state, current.version = State.DRAFT, current.version + 1
    current.save()
    return told("encounter.return", by, current, before, reason=question.strip())


@transaction.atomic
def approve(
    *, by: User, encounter: Encounter, version: int, content_hash: str, acknowledged: Iterable[str]
) -> Approval:
    """Approve exactly what was shown. Refused when anything changed since, or a warning is not acknowledged."""
    current = current_encounter(encounter, version)
    if current.state != State.WITH_BILLING:
        raise Refused("Only an encounter that is with billing can be approved.")
    held = current.holds.filter(released_at__isnull=True).first()
    if held is not None:
        raise Refused(f"This encounter is on hold: {held.reason} Release it before you approve it.")
    review = review_of(current)
    if review.content_hash != content_hash:
        raise Refused("The lines have changed since they were shown, because a rule or the record did. Look again.")
    if review.statement.errors:
        raise Refused(" ".join(finding.message for finding in review.statement.errors))
    seen, warnings = set(acknowledged), unskipped(current, review.statement.warnings)
    left = [finding.message for finding in warnings if warning_key(finding) not in seen]
    if left:
        raise Refused("These warnings are left to acknowledge: " + " ".join(left))
    before, now = document_of(current), timezone.now()
    current.state, current.version = State.APPROVED, current.version + 1
    current.save()
    current.corrections.filter(closed_at__isnull=True).update(closed_at=now)
    approval = Approval.objects.create(
        encounter=current,
        encounter_version=current.version,
        approved_by=by,
        approved_at=now,
        acknowledged=sorted(finding.message for finding in warnings),
        input=review.input_text,
        policy=review.policy_text,
        reference_version=review.statement.reference_version,
        statement=review.statement_text,
        content_hash=review.content_hash,
    )
    RuleUse.objects.bulk_create(rule_uses(approval, review.statement))
    told("encounter.approve", by, current, before, approval=approval.content_hash)
    return approval


# Rows -----------------------------------------------------------------------------------------------------------------


def _locked(clinic: Clinic, *, public_id: UUID | None = None, client_id: UUID | None = None) -> Encounter | None:
    mine = Encounter.objects.filter(clinic=clinic).select_for_update(no_key=True)
    if public_id is not None:
        return mine.filter(public_id=public_id).first()
    return mine.filter(client_id=client_id).first() if client_id is not None else None


def current_encounter(encounter: Encounter, version: int | None = None) -> Encounter:
    """The encounter as it is stored, locked. Raises Stale when it is no longer the version that was shown."""
    rows = Encounter.objects.select_for_update(of=("self",), no_key=True).select_related("clinic", "payer")
    current = rows.get(pk=encounter.pk)
    if version is not None and current.version != version:
        raise Stale(current)
    return current


def _fill(encounter: Encounter, by: User, clinic: Clinic, recorded: Recorded) -> None:
    encounter.patient = keep_patient(
        by, clinic, recorded.patient_reference, name=recorded.patient_name, birth_date=recorded.birth_date,
        sex=recorded.sex,
    )  # fmt: skip
    fill_visit(encounter, clinic, recorded)


def fill_visit(encounter: Encounter, clinic: Clinic, recorded: Recorded) -> None:
    """All of an encounter's own row but the patient."""
    encounter.payer = recorded.payer
    encounter.setting = recorded.facts.setting
    encounter.place_of_service = recorded.place_of_service
    encounter.date_of_service = recorded.date_of_service
    encounter.diagnoses = list(recorded.facts.diagnoses)
    if recorded.documentation is not None:
        encounter.documentation = {item: text for item, text in recorded.documentation.items() if text}
    if recorded.bought_340b is not None:
        encounter.bought_340b = recorded.bought_340b
    visit = recorded.facts.visit or facts.Visit()
    encounter.visit_started_at = _to_the_second(_instant(visit.start, clinic), encounter.visit_started_at)
    encounter.visit_stopped_at = _to_the_second(_instant(visit.stop, clinic), encounter.visit_stopped_at)


def _to_the_second(happened: datetime | None, stored: datetime | None) -> datetime | None:
    """The stored instant where the form, which knows minutes, says the same."""
    return stored if stored is not None and happened == minute_of(stored) else happened


def _instant(moment: datetime | None, clinic: Clinic) -> datetime | None:
    """A recorded time as the instant that is stored; a wall clock is the clinic's."""
    if moment is None:
        return None
    try:
        return instant(moment, zone_named(clinic.time_zone))
    except ClockChange:
        raise Refused(
            f"{moment:%H:%M} happens twice or never on this night, when the clocks change. Say which one it was."
        ) from None


def keep_patient(
    by: User, clinic: Clinic, reference: str, *, name: str = "", birth_date: date | None = None, sex: str = ""
) -> Patient:
    """The patient of that reference, made when new, completed when a name or birth date was empty."""
    said = {each: value for each, value in (("name", name), ("birth_date", birth_date), ("sex", sex)) if value}
    patient, before = patient_named(clinic, reference), None
    if patient is None:
        patient = Patient(clinic=clinic, reference=reference.strip(), **said)
        try:
            with transaction.atomic():
                patient.save(force_insert=True)
        except IntegrityError:
            if patient_named(clinic, reference) is None:
                raise
            # Someone else has just recorded the same new patient, and what they did not say is completed.
            return keep_patient(by, clinic, reference, name=name, birth_date=birth_date, sex=sex)
    else:
        if all(getattr(patient, each) for each in said):
            return patient
        # Read again under the lock: what someone corrects meanwhile stays.
        patient = Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
        before, lacking = patient_document(patient), [each for each in said if not getattr(patient, each)]
        if not lacking:
            return patient
        for attribute in lacking:
            setattr(patient, attribute, said[attribute])
        patient.save(update_fields=lacking)
    audit.record(
        "patient.save", by=by, subject="patient", subject_id=patient.public_id, clinic_id=clinic.pk,
        before=before, after=patient_document(patient),
    )  # fmt: skip
    return patient


def _replace_administrations(encounter: Encounter, recorded: Recorded, now: datetime) -> None:
    """Write the administrations as they are now.

    A drug keeps its row's id, its taps, its questions, and when its times were entered. What was asked of one that is
    gone is asked of the whole.
    """
    stored = list(encounter.administrations.prefetch_related("pauses", "discards"))
    rows = rows_of_record(encounter, recorded, now)
    same = same_drugs(stored, rows.administrations)
    entered, witnesses = _entered_times(same), _witnesses(same)
    rows = rows_of_record(encounter, recorded, now, entered, witnesses)
    for place, old in same.items():
        if (old.drug, old.route) == (rows.administrations[place].drug, rows.administrations[place].route):
            rows.administrations[place].pk = old.pk
    encounter.administrations.all().delete()
    write_rows([rows])
    places = {old.position: place for place, old in same.items()}
    _move_taps(encounter, places, now)
    for question in encounter.questions.all():
        asked = question.administration
        if asked is not None and places.get(asked) != asked:
            question.administration = places.get(asked)
            question.save(update_fields=["administration"])


def _move_taps(encounter: Encounter, places: Mapping[int, int], now: datetime) -> None:
    """Taps go where their drug went, and end with it."""
    for tap in encounter.taps.filter(undone_at__isnull=True):
        place = places.get(tap.position)
        if place is None:
            tap.undone_at = now
        elif place != tap.position:
            tap.position = place
        else:
            continue
        tap.save(update_fields=["undone_at", "position"])


@dataclass(frozen=True, slots=True)
class RecordRows:
    """The rows below an encounter before they are written."""

    administrations: list[Administration] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    vials: list[Vial] = field(default_factory=list)
    discards: list[Discard] = field(default_factory=list)


def write_rows(records: Sequence[RecordRows]) -> None:
    """Write the rows of one encounter or of many, in four statements."""
    Administration.objects.bulk_create([row for each in records for row in each.administrations])
    Pause.objects.bulk_create([row for each in records for row in each.pauses])
    Vial.objects.bulk_create([row for each in records for row in each.vials])
    Discard.objects.bulk_create([row for each in records for row in each.discards])


def rows_of_record(
    encounter: Encounter,
    recorded: Recorded,
    now: datetime,
    entered: EnteredTimes | None = None,
    witnesses: Mapping[Discarded, int] | None = None,
) -> RecordRows:
    """The rows of what was recorded, with when each time was `entered` and who had seen each discard before."""
    entered, witnesses, reasons, rows = entered or {}, witnesses or {}, recorded.late_reasons or {}, RecordRows()
    for position, each in enumerate(recorded.facts.administrations):
        row = Administration(
            encounter=encounter, position=position, drug=each.drug, route=each.route, order_label=each.order,
            access=each.access, access_reason=each.access_reason, purpose=each.purpose, primary=each.primary,
            acquired=each.acquired, ordered=each.ordered, administered=each.administered,
            late_reason=reasons.get(each.id, ""), **_stamped(each, (position,), encounter.clinic, entered, now),
        )  # fmt: skip
        rows.administrations.append(row)
        rows.pauses.extend(
            Pause(administration=row, position=n, **_stamped(pause, (position, n), encounter.clinic, entered, now))
            for n, pause in enumerate(each.pauses)
        )
        rows.vials.extend(
            Vial(
                administration=row, position=n, amount=vial.amount, count=vial.count, single_dose=vial.single_dose,
                ndc=vial.ndc, lot=vial.lot, expires=vial.expires,
            )
            for n, vial in enumerate(each.vials)
        )  # fmt: skip
        rows.discards.extend(
            Discard(
                administration=row,
                position=n,
                amount=discard.amount,
                reason=discard.reason,
                witness_id=witnesses.get((position, n, discard.amount, discard.reason))
                if recorded.witnesses is None
                else recorded.witnesses.get((each.id, n)),
            )
            for n, discard in enumerate(each.discards)
        )
    return rows


def _check_witnesses(by: User, clinic: Clinic, recorded: Recorded, stored: Encounter | None = None) -> None:
    """A witness is someone else, and of this clinic. Whoever saw a discard may save it, unless it is another by now."""
    named = recorded.witnesses or {}
    seen = Discard.objects.filter(administration__encounter=stored, witness=by) if stored else Discard.objects.none()
    before = Counter(seen.values_list("administration__drug", "amount", "reason"))
    mine = Counter(
        (given.drug, discard.amount, discard.reason)
        for given in recorded.facts.administrations
        for n, discard in enumerate(given.discards)
        if named.get((given.id, n)) == by.pk
    )
    if mine - before:
        raise Refused("You cannot be your own witness. Choose the second person who saw the drug being thrown away.")
    people = set(named.values())
    if User.objects.filter(pk__in=people, clinic=clinic).count() != len(people):
        raise Refused("The witness of a discard does not work here. Choose someone of this clinic.")


Place = tuple[int, ...]
ANY_PAUSE = -1
EnteredTimes = dict[tuple[Place, str, datetime], tuple[datetime, datetime]]
Discarded = tuple[int, int, Decimal, str]


def _entered_times(same: Mapping[int, Administration]) -> EnteredTimes:
    """By place and minute, the instant that is stored and when it was entered: a form knows minutes, a tap seconds.

    A pause is known by its minute too, because removing one renumbers those after it.
    """
    times: EnteredTimes = {}
    for position, row in same.items():
        places: list[tuple[Place, Administration | Pause]] = [((position,), row)]
        places += [((position, pause.position), pause) for pause in row.pauses.all()]
        for place, timed in places:
            for end in ("started", "stopped"):
                happened, entered = getattr(timed, f"{end}_at"), getattr(timed, f"{end}_entered_at")
                if happened and entered:
                    times[place, end, minute_of(happened)] = happened, entered
                    if isinstance(timed, Pause):
                        times[(position, ANY_PAUSE), end, minute_of(happened)] = happened, entered
    return times


def _stamped(
    timed: facts.Administration | facts.Pause, place: Place, clinic: Clinic, entered: EnteredTimes, now: datetime
) -> dict[str, datetime | None]:
    stamps: dict[str, datetime | None] = {}
    places = [place, (place[0], ANY_PAUSE)] if place[1:] else [place]
    for end, recorded in (("started", timed.start), ("stopped", timed.stop)):
        happened = _instant(recorded, clinic)
        minute = minute_of(happened) if happened else None
        known = next((found for each in places if minute and (found := entered.get((each, end, minute)))), None)
        same = known is not None and (happened == known[0] or happened == minute_of(known[0]))
        stamps[f"{end}_at"] = known[0] if known and same else happened
        stamps[f"{end}_entered_at"] = (known[1] if known and same else now) if happened else None
    return stamps


def _witnesses(same: Mapping[int, Administration]) -> dict[Discarded, int]:
    """Who saw which discard being thrown away."""
    return {
        (position, discard.position, discard.amount, discard.reason): discard.witness_id
        for position, row in same.items()
        for discard in row.discards.all()
        if discard.witness_id is not None
    }


# Audit ----------------------------------------------------------------------------------------------------------------


def told(
    action: str, by: User, encounter: Encounter, before: dict[str, Any] | None, *, reason: str = "", **more: Any
) -> Encounter:
    """Record the write, keep how ready it leaves the encounter, and hand it back as it is stored now."""
    stored = with_record(encounters_of(encounter.clinic)).get(pk=encounter.pk)
    audit.record(
        action, by=by, subject="encounter", subject_id=stored.public_id, clinic_id=stored.clinic_id, reason=reason,
        before=before, after={**document_of(stored), **more},
    )  # fmt: skip
    judgements.judge(stored)
    return stored


def document_of(encounter: Encounter) -> dict[str, Any]:
    """All that is stored of an encounter, for the audit."""
    rows: Sequence[Administration] = list(encounter.administrations.all())
    return {
        "client_id": str(encounter.client_id),
        "version": encounter.version,
        "state": encounter.state,
        "patient": str(encounter.patient.public_id),
        "payer": encounter.payer.slug,
        "place_of_service": encounter.place_of_service,
        "recorded_by": encounter.recorded_by_id,
        "entered_at": encounter.entered_at.isoformat(),
        "handed_over_at": encounter.handed_over_at and encounter.handed_over_at.isoformat(),
        "handed_over_by": encounter.handed_over_by_id,
        "record": encounter_document(facts_of(encounter)),
        "entered": [_entered_document(row) for row in rows],
        "late_reasons": [row.late_reason for row in rows],
        "witnesses": [[each.witness_id for each in row.discards.all()] for row in rows],
        "chair": encounter.chair.label if encounter.chair else None,
        "documentation": encounter.documentation,
        "questions": [
            {
                "text": each.text,
                "administration": each.administration,
                "asked_by": each.asked_by_id,
                "asked_at": each.asked_at.isoformat(),
                "answered_at": each.answered_at and each.answered_at.isoformat(),
                "answered_by": each.answered_by_id,
                "answer": each.answer,
                "attested": each.attested,
            }
            for each in encounter.questions.all()
        ],
    }


def _entered_document(row: Administration) -> list[list[str | None]]:
    rows: list[Administration | Pause] = [row, *row.pauses.all()]
    return [[_text(timed.started_entered_at), _text(timed.stopped_entered_at)] for timed in rows]


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def patient_document(patient: Patient) -> dict[str, Any]:
    return {
        "reference": patient.reference,
        "name": patient.name,
        "birth_date": patient.birth_date and patient.birth_date.isoformat(),
        "sex": patient.sex,
    }
