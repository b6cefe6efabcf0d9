"""How far an encounter is from other lines: one minute, one milligram, one limit.

Nothing here knows a threshold. The record is changed by a little and calculated again by the same rules, so what is
said to be one minute away is what the rules would have said of that minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from infusion.services.calculate import calculate
from infusion.services.clock import LONGEST, ClockChange, instant, zone_named
from infusion.services.facts import Administration, Discard, Encounter, Vial, Visit
from infusion.services.lines import ServiceLine, Statement
from infusion.services.reference import Reference, in_force
from payers.policy import PayerPolicy, Reading

LineKey = tuple[str, tuple[str, ...]]
MOST_MILLIGRAMS = Decimal(1_048_576)  # one, doubled so often that no dose is meant any more
ONE = Decimal(1)
NOTHING = Decimal(0)
OF_THE_DOSE = ("vial_remainder", "stopped_early", "broken_or_spilled", "line_residual")


@dataclass(frozen=True, slots=True)
class LineChange:
    """The units of one code with its modifiers, before and after; 0 where there is no such line."""

    code: str
    modifiers: tuple[str, ...]
    was: int
    now: int


@dataclass(frozen=True, slots=True)
class Near:
    """The least change of one time or dose that changes the lines. `by` is minutes or mg, negative for less."""

    administration: str
    measure: Literal["minutes", "mg"]
    by: Decimal
    changes: tuple[LineChange, ...]


@dataclass(frozen=True, slots=True)
class Margin:
    """How many mg more may be given or ordered before a limit of the payer or of the day speaks."""

    code: str
    finding: str
    mg: Decimal
    message: str


def units_of(lines: Iterable[ServiceLine]) -> dict[LineKey, int]:
    """Units by code and modifiers, lines that were split added up again."""
    units: dict[LineKey, int] = {}
    for line in lines:
        units[line.code, line.modifiers] = units.get((line.code, line.modifiers), 0) + line.units
    return units


def changed_lines(was: Iterable[ServiceLine], now: Iterable[ServiceLine]) -> tuple[LineChange, ...]:
    """What differs, in the order of the lines."""
    before, after = units_of(was), units_of(now)
    return tuple(
        LineChange(*key, before.get(key, 0), after.get(key, 0))
        for key in {**before, **after}
        if before.get(key, 0) != after.get(key, 0)
    )


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """One encounter and the rules it is read under, to ask what would be otherwise."""

    encounter: Encounter
    policy: PayerPolicy
    reference: Reference
    statement: Statement

    def nearest(self) -> tuple[Near, ...]:
        """For each time and dose, the least that is more and the least that is less and changes the lines."""
        return tuple(self._minutes()) + tuple(self._milligrams())

    def margins(self) -> tuple[Margin, ...]:
        """For each drug, the mg until an authorization or the usual daily limit is spoken of."""
        return tuple(margin for code, finding in self._limits() for margin in self._margin(code, finding))

    # Minutes --------------------------------------------------------------------------------------------------------

    def _minutes(self) -> Iterator[Near]:
        for position, each in enumerate(self.encounter.administrations):
            if each.start is not None and each.stop is not None:
                yield from self._either_way(each.id, "minutes", ONE, self._moved(position, each, each.stop))
        visit = self.encounter.visit
        if self.encounter.setting == "home" and visit is not None and visit.start and visit.stop:
            yield from self._either_way("", "minutes", ONE, self._visit_moved(visit, visit.stop))

    def _moved(self, position: int, each: Administration, stop: datetime) -> Callable[[Decimal], Encounter | None]:
        def later(minutes: Decimal) -> Encounter | None:
            moved = self._shifted(stop, minutes)
            return None if moved is None else self._with(position, replace(each, stop=moved))

        return later

    def _visit_moved(self, visit: Visit, stop: datetime) -> Callable[[Decimal], Encounter | None]:
        def later(minutes: Decimal) -> Encounter | None:
            moved = self._shifted(stop, minutes)
            return None if moved is None else replace(self.encounter, visit=replace(visit, stop=moved))

        return later

    def _shifted(self, moment: datetime, minutes: Decimal) -> datetime | None:
        """So many running minutes later, whatever the clocks do that night."""
        further = timedelta(minutes=int(minutes))
        if abs(further) > LONGEST:
            return None
        try:
            return instant(moment, zone_named(self.encounter.time_zone)) + further
        except ClockChange:
            return None

    # Milligrams -----------------------------------------------------------------------------------------------------

    def _milligrams(self) -> Iterator[Near]:
        for position, each in enumerate(self.encounter.administrations):
            if each.administered is not None and each.administered > 0 and each.vials:
                step = min(ONE, self._billing_unit(each.drug))
                yield from self._either_way(each.id, "mg", step, self._redosed(position, each))

    def _redosed(self, position: int, each: Administration) -> Callable[[Decimal], Encounter | None]:
        """More or less given out of the same vials, the difference taken from or added to what was discarded."""

        def given(more: Decimal) -> Encounter | None:
            administered = (each.administered or NOTHING) + more
            if administered <= 0 or more > _discarded_dose(each):
                return None
            discards = _discards_less(each.discards, more)
            return self._with(position, replace(each, administered=administered, discards=discards))

        return given

    def _billing_unit(self, code: str) -> Decimal:
        on = self.statement.date_of_service
        row = in_force(self.reference.drugs.get(code, ()), on) if on else None
        return row.billing_unit if row else ONE

    # The search -----------------------------------------------------------------------------------------------------

    def _either_way(
        self, administration: str, measure: Literal["minutes", "mg"], step: Decimal,
        changed: Callable[[Decimal], Encounter | None],
    ) -> Iterator[Near]:  # fmt: skip
        for direction in (step, -step):
            near = self._nearest(direction, changed)
            if near is not None:
                yield Near(administration, measure, near[0], near[1])

    def _nearest(
        self, step: Decimal, changed: Callable[[Decimal], Encounter | None]
    ) -> tuple[Decimal, tuple[LineChange, ...]] | None:
        """The least multiple of a step that changes the lines: doubled until it does, then halved in between."""
        far = 1
        while (outcome := self._outcome(changed(step * far))) == ():
            far *= 2
        same = far // 2
        if outcome is None:
            far, outcome = self._last_possible(step, changed, same, far)
            if not outcome:
                return None
        while far - same > 1:
            middle = (same + far) // 2
            between = self._outcome(changed(step * middle))
            if between:
                far, outcome = middle, between
            else:
                same = middle
        return step * far, outcome

    def _last_possible(
        self, step: Decimal, changed: Callable[[Decimal], Encounter | None], possible: int, impossible: int
    ) -> tuple[int, tuple[LineChange, ...] | None]:
        """The farthest that the record can be changed at all, and what it would be then."""
        while impossible - possible > 1:
            middle = (possible + impossible) // 2
            if self._outcome(changed(step * middle)) is None:
                impossible = middle
            else:
                possible = middle
        return possible, self._outcome(changed(step * possible)) if possible else None

    def _outcome(self, encounter: Encounter | None) -> tuple[LineChange, ...] | None:
        """What such a record would change; None for one that cannot be or that would hold up a line."""
        if encounter is None:
            return None
        other = calculate(encounter, self.policy, self.reference)
        if {each.code for each in other.errors} - {each.code for each in self.statement.errors}:
            return None
        return changed_lines(self.statement.lines, other.lines)

    def _with(self, position: int, administration: Administration) -> Encounter:
        rows = list(self.encounter.administrations)
        rows[position] = administration
        return replace(self.encounter, administrations=tuple(rows))

    # Limits ---------------------------------------------------------------------------------------------------------

    def _limits(self) -> Iterator[tuple[str, str]]:
        """The drugs of the lines, each with what could be spoken of it."""
        on = self.statement.date_of_service
        if on is None:
            return
        for code in dict.fromkeys(line.code for line in self.statement.lines if line.kind == "drug"):
            match self.statement.policy.get(("prior_authorization", code)):
                case Reading(value="above_dose"):
                    yield code, "authorization.required"
            if in_force(self.reference.daily_limits.get(code, ()), on) is not None:
                yield code, "units.above_mue"

    def _margin(self, code: str, finding: str) -> Iterator[Margin]:
        """The most that changes nothing of it: doubled until the finding is there, then halved in between."""
        if self._said(self.statement, code, finding):
            return
        step = min(ONE, self._billing_unit(code))
        spoken = 1
        while not (message := self._told(code, finding, step * spoken)):
            if step * spoken >= MOST_MILLIGRAMS:
                return
            spoken *= 2
        silent = spoken // 2
        while spoken - silent > 1:
            middle = (silent + spoken) // 2
            said = self._told(code, finding, step * middle)
            if said:
                spoken, message = middle, said
            else:
                silent = middle
        yield Margin(code, finding, step * silent, message)

    def _told(self, code: str, finding: str, more: Decimal) -> str:
        """What the finding would say if so many mg more were ordered, opened and given."""
        position = next(n for n, each in enumerate(self.encounter.administrations) if each.drug == code)
        each = self.encounter.administrations[position]
        used = min(more, _discarded_dose(each))
        opened = Vial(amount=more - used, single_dose=each.vials[0].single_dose if each.vials else None)
        other = replace(
            each,
            ordered=None if each.ordered is None else each.ordered + more,
            administered=(each.administered or NOTHING) + more,
            discards=_discards_less(each.discards, used),
            vials=(*each.vials, opened) if more > used else each.vials,
        )
        return self._said(calculate(self._with(position, other), self.policy, self.reference), code, finding)

    def _said(self, statement: Statement, code: str, finding: str) -> str:
        """What a statement says of this drug in such a finding: of one administration of it, or of its code."""
        given = {each.id for each in self.encounter.administrations if each.drug == code}
        return next(
            (
                each.message
                for each in statement.findings
                if each.code == finding and (each.administration in given or code in each.message)
            ),
            "",
        )


def _discarded_dose(each: Administration) -> Decimal:
    """What was discarded and could have been given out of the same vials."""
    return sum((discard.amount for discard in each.discards if discard.reason in OF_THE_DOSE), NOTHING)


def _discards_less(discards: tuple[Discard, ...], less: Decimal) -> tuple[Discard, ...]:
    """The discards with so much less in them. Less than nothing is added."""
    if less < 0:
        return (*discards, Discard(amount=-less, reason="vial_remainder"))
    left, kept = less, []
    for each in discards:
        taken = min(left, each.amount) if each.reason in OF_THE_DOSE else NOTHING
        left -= taken
        kept.append(replace(each, amount=each.amount - taken))
    return tuple(kept)
