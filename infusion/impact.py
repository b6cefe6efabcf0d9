"""What a change of a payer's rules, or of a drug, would have done to past encounters. Nothing is written.

Each encounter is calculated with the rules and tables as they are and as they would be; where the change is to a value
that the first calculation never read, the second would be the same and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from uuid import UUID

from django.db.models import QuerySet

from infusion.approved import recorded_as
from infusion.judgements import Policies, policies_of_payers
from infusion.models import Approval, Clinic, DrugRow, Encounter
from infusion.money import expected_of_many
from infusion.reference_now import as_if, current_reference
from infusion.selectors import encounters_of, facts_of, with_record
from infusion.services.calculate import calculate
from infusion.services.facts import Encounter as Record
from infusion.services.lines import Statement
from infusion.services.reference import Reference
from payers.models import PolicyOverride
from payers.policy import PayerPolicy, national_baseline
from payers.whatif import HELD, policies

PART = 500
SAMPLES = 20
# Telling that a rule or a drug is unverified is not what it does.
NOT_AN_EFFECT = frozenset({"policy.unverified", "reference.unverified"})
# What the check of a whole claim alone reads; no line and no warning of a line hangs on it.
OF_WHOLE_CLAIMS = frozenset({"maximum_claim_charge", "split_claim_modifier"})
LineKey = tuple[str, tuple[str, ...]]
Pair = tuple[Statement, Statement]
# Both answers to a record, where they differ.
Answer = Callable[[Encounter, Record], Pair | None]


@dataclass(frozen=True, slots=True)
class LineChange:
    """One code with its modifiers, in units; 0 where there is no such line."""

    code: str
    modifiers: tuple[str, ...]
    now: int
    then: int

    @property
    def more(self) -> int:
        return self.then - self.now

    @property
    def name(self) -> str:
        return " ".join((self.code, *self.modifiers))


@dataclass(frozen=True, slots=True)
class EncounterChange:
    """One encounter that would change. `more_expected` is in dollars, None where no rate tells."""

    public_id: UUID
    date_of_service: date
    minutes: int | None
    lines: tuple[LineChange, ...]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    more_expected: Decimal | None


@dataclass(slots=True)
class Forecast:
    """What was found so far. `after` is the last row looked at, for the next part to go on from."""

    of: int = 0
    looked_at: int = 0
    after: int = 0
    changed: int = 0
    lines: dict[LineKey, int] = field(default_factory=dict)
    more_expected: Decimal = Decimal(0)
    without_rate: int = 0
    samples: list[EncounterChange] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.looked_at >= self.of

    @property
    def more_units(self) -> int:
        return sum(more for more in self.lines.values() if more > 0)

    @property
    def fewer_units(self) -> int:
        return -sum(more for more in self.lines.values() if more < 0)

    def add(self, changes: Iterable[EncounterChange]) -> None:
        for change in changes:
            self.changed += 1
            for line in change.lines:
                key = line.code, line.modifiers
                self.lines[key] = self.lines.get(key, 0) + line.more
            if change.more_expected is None:
                self.without_rate += 1
            else:
                self.more_expected += change.more_expected
            if len(self.samples) < SAMPLES:
                self.samples.append(change)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: which change, over which clinic's encounters and days, and whether it keeps its own days."""

    override: PolicyOverride
    clinic: Clinic
    since: date | None
    until: date
    days: str
    route = "impact"

    @property
    def id(self) -> UUID:
        return self.override.public_id

    @property
    def about(self) -> str:
        return f"encounters of {self.override.payer.name}"

    @property
    def not_counted(self) -> str:
        """What the change does that is not looked at here."""
        if self.override.parameter not in OF_WHOLE_CLAIMS:
            return ""
        return (
            "This rule is about whole claims, which are not looked at here: lines alone are. It may keep claims back."
        )

    def encounters(self) -> list[int]:
        """The rows looked at, oldest first."""
        return _rows(past_encounters(self).filter(payer=self.override.payer))

    def answer(self) -> Answer:
        """How each record is answered, with what is the same for all of them made ready once."""
        now, then = policies(self.override, self.days)
        return partial(_under_another_policy, now, then, self.override.parameter, current_reference())


@dataclass(frozen=True, slots=True)
class DrugQuestion:
    """The same of a drug: a draft published, or a published row withdrawn."""

    row: DrugRow
    clinic: Clinic
    since: date | None
    until: date
    days: str
    route = "drug-impact"

    @property
    def id(self) -> UUID:
        return self.row.public_id

    @property
    def about(self) -> str:
        return f"encounters with {self.row.code}"

    @property
    def not_counted(self) -> str:
        return ""

    def encounters(self) -> list[int]:
        """The rows looked at, oldest first."""
        return _rows(past_encounters(self).filter(administrations__drug=self.row.code))

    def answer(self) -> Answer:
        withdrawn = self.row.status != DrugRow.Status.DRAFT
        then = as_if(self.row, held=self.days == HELD, withdrawn=withdrawn)
        return partial(_with_another_drug, policies_of_payers(), current_reference(), then)


AnyQuestion = Question | DrugQuestion


def past_encounters(question: AnyQuestion) -> QuerySet[Encounter]:
    """Those of the clinic and the days that billing has or had."""
    mine = encounters_of(question.clinic).filter(date_of_service__lte=question.until)
    if question.since is not None:
        mine = mine.filter(date_of_service__gte=question.since)
    return mine.filter(state__in=(Encounter.State.WITH_BILLING, Encounter.State.APPROVED))


def _rows(encounters: QuerySet[Encounter]) -> list[int]:
    return list(encounters.order_by("pk").values_list("pk", flat=True).distinct())


def forecast(question: AnyQuestion) -> Forecast:
    """The whole answer at once."""
    found, rows = Forecast(), question.encounters()
    while True:
        found = _with_next_part(question, found, rows, PART)
        if found.done:
            return found


def forecast_part(question: AnyQuestion, so_far: Forecast, size: int = PART) -> Forecast:
    """The answer with the next encounters added."""
    return _with_next_part(question, so_far, question.encounters(), size)


def _with_next_part(question: AnyQuestion, so_far: Forecast, rows: Sequence[int], size: int) -> Forecast:
    part = [pk for pk in rows if pk > so_far.after][:size]
    so_far.of = len(rows)
    so_far.add(changes_of(question, part))
    so_far.looked_at = so_far.of if len(part) < size else so_far.looked_at + len(part)
    so_far.after = part[-1] if part else so_far.after
    return so_far


def all_changes(question: AnyQuestion) -> Iterator[EncounterChange]:
    """Every encounter that would change, oldest first."""
    rows = question.encounters()
    for first in range(0, len(rows), PART):
        yield from changes_of(question, rows[first : first + PART])


def changes_of(question: AnyQuestion, rows: Sequence[int]) -> list[EncounterChange]:
    answer = question.answer()
    touched = []
    for encounter, record in _recorded(rows):
        pair = answer(encounter, record)
        if pair is not None:
            touched.append((encounter, *pair))
    before = expected_of_many(question.clinic, [(encounter, one) for encounter, one, _ in touched])
    after = expected_of_many(question.clinic, [(encounter, other) for encounter, _, other in touched])
    changes = []
    for (encounter, one, other), paid, would in zip(touched, before, after, strict=True):
        known = paid.total is not None and would.total is not None
        more = would.total - paid.total if known else None  # type: ignore[operator]
        changes.append(_change(encounter, one, other, more))
    return changes


def _recorded(rows: Sequence[int]) -> Iterator[tuple[Encounter, Record]]:
    """Approved ones as they were approved, which is quicker to read than the record; the others with the record.

    Of an approved one no more is read than an answer is made of.
    """
    found = Encounter.objects.filter(pk__in=rows)
    approved = found.filter(state=Encounter.State.APPROVED).only("public_id", "state", "payer", "date_of_service")
    approvals = Approval.objects.filter(encounter__in=rows, encounter__state=Encounter.State.APPROVED)
    # Of several the latest comes last, and stays.
    inputs = dict(approvals.order_by("encounter_version").values_list("encounter", "input"))
    others = with_record(found.exclude(state=Encounter.State.APPROVED))
    for encounter in sorted((*approved, *others), key=lambda encounter: encounter.pk):
        text = inputs.get(encounter.pk)
        yield encounter, facts_of(encounter) if text is None else recorded_as(text)


def _under_another_policy(
    now: PayerPolicy, then: PayerPolicy, name: str, reference: Reference, encounter: Encounter, record: Record
) -> Pair | None:
    one = calculate(record, now, reference)
    if one.date_of_service is None or not _reads_it_differently(one, record, then, name):
        return None
    return _where_they_differ(one, calculate(record, then, reference))


def _with_another_drug(
    policies: Policies, now: Reference, then: Reference, encounter: Encounter, record: Record
) -> Pair | None:
    policy = policies.get(encounter.payer_id) or national_baseline()
    return _where_they_differ(calculate(record, policy, now), calculate(record, policy, then))


def _where_they_differ(one: Statement, other: Statement) -> Pair | None:
    return None if _effect(one) == _effect(other) else (one, other)


def _reads_it_differently(one: Statement, record: Record, then: PayerPolicy, name: str) -> bool:
    assert one.date_of_service is not None  # noqa: S101  narrows the type
    rules = then.on(one.date_of_service, record.setting)
    drugs = [drug for parameter, drug in one.policy if parameter == name]
    return any(rules.look_up(name, drug).value != one.policy[name, drug].value for drug in drugs)


def _effect(statement: Statement) -> object:
    lines = [(line.code, line.modifiers, line.units, line.charge, line.ndcs) for line in statement.lines]
    return lines, [finding for finding in statement.findings if finding.code not in NOT_AN_EFFECT]


def _change(encounter: Encounter, one: Statement, other: Statement, more: Decimal | None) -> EncounterChange:
    before, after = _units(one), _units(other)
    lines = tuple(
        LineChange(*key, before.get(key, 0), after.get(key, 0))
        for key in sorted({**before, **after})
        if before.get(key, 0) != after.get(key, 0)
    )
    had, has = _codes(one), _codes(other)
    return EncounterChange(
        public_id=encounter.public_id,
        date_of_service=one.date_of_service or encounter.date_of_service,
        minutes=max((line.minutes for line in one.lines if line.minutes is not None), default=None),
        lines=lines,
        gained=tuple(sorted(has - had)),
        lost=tuple(sorted(had - has)),
        more_expected=more,
    )


def _units(statement: Statement) -> dict[LineKey, int]:
    units: dict[LineKey, int] = {}
    for line in statement.lines:
        units[line.code, line.modifiers] = units.get((line.code, line.modifiers), 0) + line.units
    return units


def _codes(statement: Statement) -> set[str]:
    return {finding.code for finding in statement.findings if finding.code not in NOT_AN_EFFECT}
