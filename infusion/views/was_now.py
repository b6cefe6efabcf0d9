"""Was and now: what a correction or an answer changed in the record and in the lines, and what will be sent of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from infusion.approved import approved_content
from infusion.audit import AuditEvent
from infusion.batches import standing_claim, takes_a_replacement
from infusion.models import Approval, BatchClaim, Correction, Encounter, Patient, Question
from infusion.reference_now import current_reference
from infusion.services import facts
from infusion.services.away import units_of
from infusion.services.calculate import calculate
from infusion.services.clock import ClockChange, instant, zone_named
from infusion.services.facts import ACQUIRED, PURPOSES, ROUTES
from infusion.services.lines import ServiceLine, Statement
from infusion.services.wire import parse_encounter
from infusion.services.words import plain
from infusion.views.home import drug_label
from infusion.views.why import answer_of
from payers.models import Payer
from payers.policy import DISCARD_REASONS, SETTINGS, PayerPolicy
from payers.selectors import day_in_words, policy_for

State = Encounter.State
EMPTY = "nothing"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of the record that says something else now."""

    label: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class LineWasNow:
    """One code with its modifiers: how many units it had and has. `kind` is added, removed, changed or same."""

    code: str
    modifiers: str
    was: int
    now: int
    kind: str
    because: str

    @property
    def words(self) -> str:
        """The change for those who do not see two columns."""
        if self.kind == "added":
            return f"was not there, now {self.now}"
        if self.kind == "removed":
            return f"was {self.was}, now gone"
        return f"was {self.was}, now {self.now}"


@dataclass(frozen=True, slots=True)
class WasNow:
    """A correction as a page shows it."""

    correction: Correction | None
    approval: Approval
    number: int
    record: tuple[FieldChange, ...]
    lines: tuple[LineWasNow, ...]

    @property
    def changed(self) -> bool:
        return bool(self.record) or any(line.kind != "same" for line in self.lines)


@dataclass(frozen=True, slots=True)
class AnswerView:
    """A question with its answer, and what answering it changed."""

    question: Question
    about: str
    record: tuple[FieldChange, ...]
    lines: tuple[LineWasNow, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """What an encounter has behind it, each kind read once: approvals and corrections from the first, claims from the
    last."""

    approvals: tuple[Approval, ...]
    corrections: tuple[Correction, ...]
    claims: tuple[BatchClaim, ...]

    @classmethod
    def of(cls, encounter: Encounter) -> Past:
        approvals = tuple(encounter.approvals.select_related("approved_by").order_by("encounter_version"))
        if not approvals:
            return cls((), (), ())
        return cls(
            approvals,
            tuple(encounter.corrections.select_related("opened_by")),
            tuple(encounter.claims.select_related("batch", "payer").order_by("-pk")),
        )

    @property
    def open_correction(self) -> Correction | None:
        return next((each for each in self.corrections if each.closed_at is None), None)


@dataclass(frozen=True, slots=True)
class Sent:
    """A claim that has left, and in which batch."""

    number: str
    kind: str
    batch: int
    batch_id: object
    payer: str
    lines: int


# The record -----------------------------------------------------------------------------------------------------------


def record_changes(was: facts.Encounter, now: facts.Encounter, encounter: Encounter) -> tuple[FieldChange, ...]:
    """Field by field, in the order of the record."""
    before, after = dict(_said(was, encounter)), dict(_said(now, encounter))
    return tuple(
        FieldChange(label, before.get(label, EMPTY), after.get(label, EMPTY))
        for label in dict.fromkeys((*before, *after))
        if before.get(label) != after.get(label)
    )


def _said(recorded: facts.Encounter, encounter: Encounter) -> Iterator[tuple[str, str]]:
    zone = zone_named(recorded.time_zone)
    if recorded.date_of_service:
        yield "Date of service", day_in_words(recorded.date_of_service)
    yield "Setting", SETTINGS[recorded.setting]
    if recorded.diagnoses:
        yield "Diagnosis", ", ".join(recorded.diagnoses)
    if recorded.visit is not None:
        yield "Visit", f"{_clock(recorded.visit.start, zone)} to {_clock(recorded.visit.stop, zone)}"
    seen: dict[str, int] = {}
    for each in recorded.administrations:
        name = drug_label(each.route, each.drug, encounter)
        seen[name] = seen.get(name, 0) + 1
        title = name if seen[name] == 1 else f"{name}, number {seen[name]}"
        for label, words in _said_of(each, zone):
            yield f"{title}, {label}", words


def _said_of(each: facts.Administration, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    yield "given as", ROUTES[each.route]
    for label, moment in (("start", each.start), ("stop", each.stop)):
        if moment is not None:
            yield label, _clock(moment, zone)
    for number, pause in enumerate(each.pauses, 1):
        yield f"pause {number}", f"{_clock(pause.start, zone)} to {_clock(pause.stop, zone)}"
    for label, amount in (("ordered", each.ordered), ("given", each.administered)):
        if amount is not None:
            yield label, f"{plain(amount)} mg"
    for number, vial in enumerate(each.vials, 1):
        print_on_it = [f"NDC {vial.ndc}" if vial.ndc else "", f"lot {vial.lot}" if vial.lot else ""]
        kind = "" if vial.single_dose is None else "single-dose" if vial.single_dose else "multi-dose"
        parts = [f"{vial.count} of {plain(vial.amount)} mg", kind, *print_on_it]
        parts += [f"expires {day_in_words(vial.expires)}"] if vial.expires else []
        yield f"vials {number}", ", ".join(part for part in parts if part)
    for number, discard in enumerate(each.discards, 1):
        yield f"discard {number}", f"{plain(discard.amount)} mg, {DISCARD_REASONS[discard.reason].lower()}"
    others = (
        ("access site", each.access if each.access != "1" else ""), ("reason for the second site", each.access_reason),
        ("order", each.order), ("purpose", PURPOSES.get(each.purpose, "")),
        ("reason for the visit", "yes" if each.primary else ""),
        ("where it came from", ACQUIRED[each.acquired] if each.acquired != "purchased" else ""),
    )  # fmt: skip
    yield from ((label, words) for label, words in others if words)


def _clock(moment: datetime | None, zone: ZoneInfo) -> str:
    if moment is None:
        return "not recorded"
    try:
        local = instant(moment, zone).astimezone(zone)
    except ClockChange:
        local = moment
    return f"{local:%H:%M}, {day_in_words(local.date())}"


# The lines ------------------------------------------------------------------------------------------------------------


def line_changes(was: Iterable[ServiceLine], now: Iterable[ServiceLine]) -> tuple[LineWasNow, ...]:
    """Every line of before and after, with its reason as it is now, or as it was where the line is gone."""
    old, new = list(was), list(now)
    before, after = units_of(old), units_of(new)
    reasons: dict[tuple[str, tuple[str, ...]], str] = {}
    for line in (*new, *old):
        reasons.setdefault((line.code, line.modifiers), answer_of(line))
    found = []
    for key in {**after, **before}:
        here, there = before.get(key, 0), after.get(key, 0)
        kind = "same" if here == there else "added" if not here else "removed" if not there else "changed"
        found.append(LineWasNow(key[0], ", ".join(key[1]), here, there, kind, reasons[key]))
    return tuple(found)


# Corrections ----------------------------------------------------------------------------------------------------------


def was_now(encounter: Encounter, past: Past, now: facts.Encounter, statement: Statement) -> WasNow | None:
    """The open correction beside what was approved, or the newest approval beside the one before it."""
    approvals, correction = past.approvals, past.corrections[-1] if past.corrections else None
    if correction is None:
        return None
    if correction.closed_at is not None and approvals[-1].pk == correction.approval_id:
        return None
    number = next(n for n, each in enumerate(approvals, 1) if each.pk == correction.approval_id)
    before = approved_content(approvals[number - 1])
    changes = (*beside_the_record(encounter, correction), *record_changes(before.facts, now, encounter))
    return WasNow(
        correction, approvals[number - 1], number, changes, line_changes(before.statement.lines, statement.lines)
    )


def beside_the_record(encounter: Encounter, correction: Correction) -> Iterator[FieldChange]:
    """What a claim says beside the record: who was treated, who pays and where, against when it was taken up again."""
    opened = events_of(encounter, "encounter.correct").filter(at__gte=correction.opened_at).first()
    before: dict[str, str] = (opened.before if opened else None) or {}
    patients = Patient.objects.filter(public_id__in={before["patient"]} if before else ())
    found = (
        ("Patient", patients.values_list("reference", flat=True).first(), encounter.patient.reference),
        ("Payer", Payer.objects.filter(slug=before.get("payer", "")).values_list("name", flat=True).first(),
         encounter.payer.name),
        ("Place of service", before.get("place_of_service"), encounter.place_of_service),
    )  # fmt: skip
    yield from (FieldChange(label, was or EMPTY, now or EMPTY) for label, was, now in found if was not in (None, now))


def events_of(encounter: Encounter, *actions: str) -> Any:
    """The encounter's own audit rows of some kinds, in their order."""
    return AuditEvent.objects.filter(
        subject="encounter", subject_id=str(encounter.public_id), action__in=actions
    ).order_by("sequence")


def sent_views(claims: Iterable[BatchClaim]) -> list[Sent]:
    return [
        Sent(
            each.number, each.get_frequency_display().lower(), each.batch.number, each.batch.public_id,
            each.payer.name, each.lines.count(),
        )
        for each in claims
    ]  # fmt: skip


def will_be_sent(encounter: Encounter, past: Past, statement: Statement) -> str:
    """What the next batch carries because of what became of the encounter; empty when that is nothing special."""
    if not past.approvals:
        return ""
    last = standing_claim(past.claims[::-1])
    corrected = encounter.state in (State.DRAFT, State.WITH_BILLING)
    if encounter.state == State.VOID:
        if last is None:
            return "Nothing of it stands with a payer, so nothing is sent."
        return (
            f"The next batch takes claim {last.number} back: a credit for each of its lines, and in an 837 a void "
            "(frequency 8)."
        )
    if last is None:
        return "Nothing of it was exported, so only what is approved anew will be sent." if corrected else ""
    if not corrected and last.approval_id == past.approvals[-1].pk:
        return ""
    when = "Once it is approved anew, the next batch" if corrected else "The next batch"
    if not takes_a_replacement(last, encounter, statement):
        new = (
            f"{encounter.payer.name} gets an original claim with the new lines."
            if statement.lines
            else "There is no new line, so nothing takes its place."
        )
        return (
            f"{when} takes claim {last.number} back from {last.payer.name}: a credit for each of its lines, and in an "
            f"837 a void (frequency 8). {new}"
        )
    return (
        f"{when} carries a credit for each line of claim {last.number} and a charge for each new one; in an 837 that "
        "is a replacement claim (frequency 7) which refers to it."
    )


# Questions ------------------------------------------------------------------------------------------------------------


def answers_of(encounter: Encounter) -> list[AnswerView]:
    """Every question, what it was about, and what answering it changed."""
    questions = list(encounter.questions.select_related("asked_by", "answered_by"))
    if not questions:
        return []
    events = list(events_of(encounter, "encounter.return", "encounter.hand_over"))
    asked = [event for event in events if event.action == "encounter.return"]
    policy = policy_for(encounter.payer)
    return [
        _answer_view(question, asked[n] if n < len(asked) else None, events, encounter, policy)
        for n, question in enumerate(questions)
    ]


def _answer_view(
    question: Question, asked: AuditEvent | None, events: list[AuditEvent], encounter: Encounter, policy: PayerPolicy
) -> AnswerView:
    about = about_words(question, encounter)
    handed = next(
        (each for each in events if asked and each.sequence > asked.sequence and each.action == "encounter.hand_over"),
        None,
    )
    if asked is None or handed is None or question.answered_at is None:
        return AnswerView(question, about, (), ())
    was, now = (_recorded(event.after or {}) for event in (asked, handed))
    if was is None or now is None:
        return AnswerView(question, about, (), ())
    lines = line_changes(*(calculate(each, policy, current_reference()).lines for each in (was, now)))
    return AnswerView(
        question, about, record_changes(was, now, encounter), tuple(each for each in lines if each.kind != "same")
    )


def about_words(question: Question, encounter: Encounter) -> str:
    """The drug that a question is about; empty for the whole encounter."""
    if question.administration is None:
        return ""
    rows = [row for row in encounter.administrations.all() if row.position == question.administration]
    return drug_label(rows[0].route, rows[0].drug, encounter) if rows else "a drug that is no longer in the record"


def _recorded(document: Mapping[str, Any]) -> facts.Encounter | None:
    record = document.get("record")
    return parse_encounter(record, record["time_zone"]).encounter if record else None
