"""Administered and discarded amounts -> drug lines, with JW and JZ.

Pooled per code: administered rounds up to whole billing units, billable discard rounds down, and together they never
exceed the labelled content that was opened [CGSJW]. JW and JZ never stand together [NORJW]. Containers have to add up
before a line exists.

Not handled: sharing a single-dose container between patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import partial
from math import gcd

from infusion.services.facts import Administration, Discard, Vial
from infusion.services.findings import Findings
from infusion.services.lines import Because, ServiceLine
from infusion.services.ndc import NdcShares
from infusion.services.record import Given
from infusion.services.reference import Drug, Reference
from infusion.services.words import counted, plain
from payers.policy import DISCARD_REASONS, Reading, Rules

NOTHING = Decimal(0)
NOMINAL_CHARGE = Decimal("0.01")
MOST_SIZES_TRIED = 20_000
SINGLE_DOSE = frozenset({True})
REASONS = tuple(DISCARD_REASONS)
OUT_OF_THE_VIALS = tuple(reason for reason in REASONS if reason != "overfill")
DOSINGS = {"fixed": "has a fixed dose", "weight": "is dosed by weight", "variable": "is dosed by need"}


@dataclass(slots=True)
class Pool:
    """All that was recorded of one drug code, bought or supplied, in one encounter. Amounts in mg.

    `smallest` is the least that a container opened holds, None where none was. `kinds` says whether the containers are
    single-dose: {True}, {False}, both, or the drug's own kind without containers.
    """

    drug: Drug
    supplied: bool
    given: tuple[Given, ...]
    ids: tuple[str, ...]
    vials: list[Vial]
    discards: list[Discard]
    ordered: Decimal
    administered: Decimal
    opened: Decimal
    smallest: Decimal | None
    kinds: set[bool]
    units: int

    @classmethod
    def of(cls, drug: Drug, supplied: bool, given: Sequence[Given]) -> Pool:
        ordered = administered = opened = NOTHING
        smallest = None
        kinds: set[bool] = set()
        records = [each.administration for each in given]
        for record in records:
            dose = record.administered or NOTHING
            administered += dose
            ordered += dose if record.ordered is None else record.ordered
            for vial in record.vials:
                if vial.count:
                    kinds.add(drug.single_dose if vial.single_dose is None else vial.single_dose)
                    opened += vial.amount * vial.count
                    smallest = vial.amount if smallest is None else min(smallest, vial.amount)
        return cls(
            drug,
            supplied,
            tuple(given),
            tuple([record.id for record in records]),
            [vial for record in records for vial in record.vials],
            [discard for record in records for discard in record.discards],
            ordered,
            administered,
            opened,
            smallest,
            kinds or {drug.single_dose},
            units_up(administered, drug),
        )

    def discarded(self, reasons: Sequence[str]) -> Decimal:
        """What was discarded for one of these reasons."""
        amount = NOTHING
        for each in self.discards:
            if each.reason in reasons:
                amount += each.amount
        return amount


@dataclass(slots=True)
class Portion:
    """Units of one drug that are still to be put on lines, with the milligrams behind them."""

    units: int
    amount: Decimal
    shares: NdcShares

    def next_line(self, most: int, drug: Drug) -> tuple[int, Decimal]:
        """Take off what fits on a line: its units, and its milligrams."""
        on_line = min(self.units, most)
        self.units -= on_line
        share = min(self.amount, on_line * drug.billing_unit) if self.units else self.amount
        self.amount -= share
        return on_line, share


@dataclass(slots=True)
class DrugRules:
    """Reads one encounter's drugs into lines."""

    rules: Rules
    reference: Reference
    findings: Findings
    jz_in_use: bool

    def lines(self, given: Sequence[Given]) -> list[ServiceLine]:
        pools: dict[tuple[str, bool], tuple[Drug, list[Given]]] = {}
        unsound = {each.administration.drug for each in given if not each.known}
        for each in given:
            if each.drug is not None:
                supplied = each.administration.acquired == "supplied"
                pools.setdefault((each.drug.code, supplied), (each.drug, []))[1].append(each)
        lines: list[ServiceLine] = []
        for (code, supplied), (drug, group) in pools.items():
            found = self._pool_lines(Pool.of(drug, supplied, group))
            lines += found if code not in unsound else []
        return lines

    def _pool_lines(self, pool: Pool) -> list[ServiceLine]:
        if not self._amounts_can_be_read(pool) or [each for each in pool.given if not each.administration.administered]:
            return []
        if pool.supplied:
            return self._supplied_lines(pool)
        packaged = pool.drug.hospital_packaged and self.rules.setting == "hospital_outpatient"
        if not self._adds_up(pool, vials_needed=not packaged):
            return []
        billable = self._billable_reasons(pool)
        if pool.discards:
            self._tell_what_is_not_billed(pool, billable)
        if packaged:
            return self._plain_line(
                pool, "packaged_drug", f"In a hospital the payment for {pool.drug.name} is packaged"
            )
        if pool.kinds != SINGLE_DOSE:
            if len(pool.kinds) > 1:
                self.findings.add("vials.kinds_mixed", administration=pool.ids[0], field="vials", what=pool.drug.label)
            return self._multi_dose_lines(pool, pool.discarded(billable))
        return self._single_dose_lines(pool, pool.discarded(billable))

    # Does the record hold together? ---------------------------------------------------------------------------------

    def _amounts_can_be_read(self, pool: Pool) -> bool:
        before = len(self.findings.found)
        for each in pool.given:
            record = each.administration
            if record.administered is None:
                self.findings.add("amount.missing", administration=each.id, field="administered", what=pool.drug.label)
            for field, amount in _below_zero(record):
                self.findings.add(
                    "amount.negative", administration=each.id, field=field, what=pool.drug.label, amount=amount
                )
        return len(self.findings.found) == before

    def _adds_up(self, pool: Pool, *, vials_needed: bool) -> bool:
        """Given + discarded = opened, from no more vials than the dose needed."""
        if pool.smallest is None:
            if vials_needed:
                self.findings.add("vials.missing", administration=pool.ids[0], field="vials", what=pool.drug.label)
            return not vials_needed
        before = len(self.findings.found)
        used = pool.administered + pool.discarded(OUT_OF_THE_VIALS)
        if used > pool.opened:
            self._tell_sum(pool, "vials.exceeded", "vials", used)
        if pool.kinds == SINGLE_DOSE:
            if used < pool.opened:
                self._tell_sum(pool, "waste.unaccounted", "discards", used)
            needed = max(pool.ordered, pool.administered)
            if pool.opened - pool.smallest >= needed:
                self.findings.add(
                    "vials.more_than_needed",
                    administration=pool.ids[0],
                    field="vials",
                    what=pool.drug.name,
                    needed=plain(needed),
                )
        sound = len(self.findings.found) == before
        self._look_at_vials(pool, sound=sound)
        return sound

    def _tell_sum(self, pool: Pool, code: str, field: str, used: Decimal) -> None:
        self.findings.add(
            code,
            administration=pool.ids[0],
            field=field,
            what=pool.drug.name,
            used=plain(used),
            opened=plain(pool.opened),
            missing=plain(pool.opened - used),
        )

    def _look_at_vials(self, pool: Pool, *, sound: bool) -> None:
        for each in pool.given:
            for n, vial in enumerate(each.administration.vials):
                if vial.amount not in pool.drug.sizes:
                    self.findings.add(
                        "vials.size_unknown",
                        administration=each.id,
                        field=f"vials.{n}.amount",
                        amount=plain(vial.amount),
                        what=pool.drug.name,
                    )
        needed = max(pool.ordered, pool.administered)
        if not sound or pool.kinds != SINGLE_DOSE or pool.opened == needed:
            return
        best = smallest_total(needed, pool.drug.sizes)
        if best is not None and best < pool.opened:
            self.findings.add(
                "vials.smaller_available",
                administration=pool.ids[0],
                field="vials",
                what=pool.drug.label,
                best=plain(best),
                opened=plain(pool.opened),
            )

    def _tell_what_is_not_billed(self, pool: Pool, billable: Sequence[str]) -> None:
        for each in pool.given:
            for n, discard in enumerate(each.administration.discards):
                if discard.amount <= 0 or (discard.reason in billable and discard.reason != "stopped_early"):
                    continue
                words = {"amount": plain(discard.amount), "what": pool.drug.name}
                code = "waste.not_billed"
                if discard.reason == "line_residual" or (
                    discard.reason == "stopped_early" and discard.reason in billable
                ):
                    code = f"waste.{discard.reason}"
                self.findings.add(
                    code,
                    administration=each.id,
                    field=f"discards.{n}",
                    reason=DISCARD_REASONS[discard.reason].lower(),
                    **words,
                )

    # Lines ----------------------------------------------------------------------------------------------------------

    def _billable_reasons(self, pool: Pool) -> tuple[str, ...]:
        reasons = self.rules.read("billable_discard_reasons", pool.drug.code).value
        return reasons if isinstance(reasons, tuple) else ()

    def _rule(self, key: str, text: str | Callable[[], str]) -> Because:
        return Because(key, text, self.reference.rules[key].source)

    def _supplied_lines(self, pool: Pool) -> list[ServiceLine]:
        reading = self.rules.read("supplied_drug_line", pool.drug.code)
        nominal = reading.value == "nominal_charge"
        line = "it appears at a nominal charge" if nominal else "it is not charged; its administration is"
        self.findings.add(
            "drug.supplied", administration=pool.ids[0], field="acquired", what=pool.drug.label, line=line
        )
        if not nominal:
            return []
        text = f"{reading.whose} wants a drug that the site did not buy on the claim at a nominal charge."
        because = [self._administered(pool), _from(reading, text)]
        return self._split(pool, pool.units, (), because, pool.administered, NOMINAL_CHARGE)

    def _plain_line(self, pool: Pool, rule: str, text: str) -> list[ServiceLine]:
        because = [self._administered(pool), self._rule(rule, f"{text}: no JW, no JZ, and discard is not billed.")]
        return self._split(pool, pool.units, (), because, pool.administered)

    def _multi_dose_lines(self, pool: Pool, discard: Decimal) -> list[ServiceLine]:
        units = _discarded_units(pool, discard)
        if units and len(pool.kinds) == 1:
            reading = self.rules.read("billable_discard_containers", pool.drug.code)
            if reading.value == "all":
                text = f"{reading.whose} takes discarded drug from multi-dose containers too."
                return self._lines_with_discard(pool, discard, units, [_from(reading, text)])
        return self._plain_line(pool, "multi_dose", f"{pool.drug.label} came from a multi-dose vial")

    def _single_dose_lines(self, pool: Pool, discard: Decimal) -> list[ServiceLine]:
        units = _discarded_units(pool, discard)
        if not units:
            return self._nothing_discarded(pool, discard)
        return self._lines_with_discard(pool, discard, units, [])

    def _lines_with_discard(
        self, pool: Pool, discard: Decimal, discarded_units: int, why: list[Because]
    ) -> list[ServiceLine]:
        reading = self.rules.read("discarded_drug", pool.drug.code)
        administered = self._administered(pool)
        how = [*self._kinds_that_count(pool, discard), *why]
        billed = reading.value != "not_billed"
        if billed:
            billed, scope = self._dosing_that_counts(pool)
            how += scope
        if not billed:
            if reading.value == "not_billed":
                text = (
                    f"{plain(discard)} mg were discarded, and {reading.whose} does not bill discarded drug, so there "
                    "is no JW line and no modifier."
                )
                how.append(_from(reading, text))
            return self._split(pool, pool.units, (), [administered, *how], pool.administered)
        wasted = self._discarded(pool, discard, discarded_units)
        capped_units, cap = self._capped(pool, discarded_units)
        if capped_units < discarded_units:
            discard, discarded_units = capped_units * pool.drug.billing_unit, capped_units
        if reading.value == "combined_line":
            text = f"{reading.whose} takes the dose and the discarded drug together on one line, without modifier."
            why = [administered, wasted, *how, *cap, _from(reading, text)]
            return self._split(pool, pool.units + discarded_units, (), why, pool.administered + discard)
        text = f"{reading.whose} takes discarded drug on its own line with JW, and the dose then without modifier."
        how.append(_from(reading, text))
        return [
            *self._split(pool, pool.units, (), [administered, *how], pool.administered),
            *self._split(pool, discarded_units, ("JW",), [wasted, *cap, *how], discard, after=pool.administered),
        ]

    def _dosing_that_counts(self, pool: Pool) -> tuple[bool, list[Because]]:
        """Whether the payer takes discard of a drug dosed in this way, and why."""
        reading = self.rules.read("billable_discard_drugs", pool.drug.code)
        if reading.value == "all":
            return True, []
        dosing = DOSINGS.get(pool.drug.dosing, "has no dosing in the tables")
        takes = f"{reading.whose} takes discard of a drug without a fixed dose alone"
        if pool.drug.dosing in ("weight", "variable"):
            return True, [_from(reading, f"{takes}, and {pool.drug.name} {dosing}.")]
        self.findings.add(
            "waste.fixed_dose" if pool.drug.dosing else "waste.dosing_unknown",
            administration=pool.ids[0],
            field="discards",
            what=pool.drug.name if pool.drug.dosing else pool.drug.label,
            payer=reading.whose,
        )
        return False, [_from(reading, f"{takes}; {pool.drug.name} {dosing}, so there is no JW line and no modifier.")]

    def _capped(self, pool: Pool, units: int) -> tuple[int, list[Because]]:
        """The discarded units that the payer takes, and why they are fewer."""
        reading = self.rules.read("maximum_discarded_units", pool.drug.code)
        smallest = pool.drug.sizes[0]
        most = units_down(smallest, pool.drug)
        if reading.value == "none" or units <= most:
            return units, []
        self.findings.add(
            "waste.above_limit",
            administration=pool.ids[0],
            field="discards",
            units=units - most,
            what=pool.drug.name,
            payer=reading.whose,
            most=most,
        )
        text = f"{reading.whose} takes no more discard than the smallest vial of {plain(smallest)} mg holds: "
        return most, [_from(reading, f"{text}{counted(most, 'unit')} of the {units}.")]

    def _nothing_discarded(self, pool: Pool, discard: Decimal) -> list[ServiceLine]:
        reading = self.rules.read("zero_discard_modifier", pool.drug.code)
        left = (
            f"{plain(discard)} mg are less than one unit, so nothing counts as discarded"
            if discard
            else ("Nothing billable was discarded")
        )
        required = reading.value == "required"
        modifiers = ("JZ",) if required and self.jz_in_use else ()
        if modifiers:
            text = f"{left}, and the line says so with JZ."
        elif required:
            text = f"{left}. JZ is carried only from {self.reference.modifiers['JZ'].required_from} on."
        else:
            text = f"{left}. {reading.whose} does not use JZ."
        because = [
            self._administered(pool),
            *self._kinds_that_count(pool, discard),
            _from(reading, text),
        ]
        return self._split(pool, pool.units, modifiers, because, pool.administered)

    def _kinds_that_count(self, pool: Pool, discard: Decimal) -> list[Because]:
        """Why so much of what was discarded may be billed; nothing to say where nothing was discarded."""
        recorded = pool.discarded(REASONS)
        if not recorded:
            return []
        reading = self.rules.read("billable_discard_reasons", pool.drug.code)
        text = (
            f"Of {plain(recorded)} mg discarded {plain(discard)} may be billed: {reading.whose} takes this kind of "
            f"discard alone: {reading.words.lower()}."
        )
        return [_from(reading, text)]

    def _administered(self, pool: Pool) -> Because:
        text = partial(_administered_text, pool.administered, pool.drug.billing_unit, pool.units)
        return self._rule("administered_units", text)

    def _discarded(self, pool: Pool, discard: Decimal, units: int) -> Because:
        text = (
            f"{plain(discard)} mg of what was opened were discarded. At {plain(pool.drug.billing_unit)} mg a unit, "
            f"rounded down and within the {plain(pool.opened)} mg on the labels, that is {counted(units, 'unit')}."
        )
        return self._rule("discarded_units", text)

    def _split(
        self,
        pool: Pool,
        units: int,
        modifiers: tuple[str, ...],
        because: Sequence[Because],
        amount: Decimal,
        charge: Decimal | None = None,
        after: Decimal = NOTHING,
    ) -> list[ServiceLine]:
        """One line, or several when the payer limits the units on one or wants one for each NDC."""
        shares = NdcShares.of(pool.drug, pool.vials)
        if after:
            shares.skip(after)
        whole = [Portion(units, amount, shares)]
        portions, why_apart = self._by_ndc(pool, whole[0])
        most, why_limited = self._most_on_a_line(pool, max([each.units for each in portions]))
        if (why_apart or why_limited) and "JW" not in modifiers:
            reading = self.rules.read("administered_lines_per_day", pool.drug.code)
            if reading.value == "one":
                text = f"{reading.whose} pays one line a day of a drug that was given, so all units stay on this one."
                portions, most, why_apart, why_limited = whole, units, [], [_from(reading, text)]
        because = (*because, *why_apart, *why_limited)
        lines = []
        for portion in portions:
            while portion.units > 0:
                on_line, share = portion.next_line(most, pool.drug)
                lines.append(
                    ServiceLine(
                        code=pool.drug.code,
                        modifiers=modifiers,
                        units=on_line,
                        kind="drug",
                        administrations=pool.ids,
                        because=because,
                        ndcs=portion.shares.take(share),
                        charge=charge,
                    )
                )
        return lines

    def _most_on_a_line(self, pool: Pool, units: int) -> tuple[int, list[Because]]:
        reading = self.rules.read("maximum_units_per_line", pool.drug.code)
        most = reading.value if isinstance(reading.value, int) else units
        if units <= most:
            return most, []
        text = f"{reading.whose} takes at most {counted(most, 'unit')} on a line; the rest follows on further ones."
        return most, [_from(reading, text)]

    def _by_ndc(self, pool: Pool, whole: Portion) -> tuple[list[Portion], list[Because]]:
        """A portion for each NDC, where the payer wants that. Units are counted off as the milligrams add up."""
        if whole.shares.ndcs < 2:
            return [whole], []
        by_ndc = whole.shares.apart(whole.amount)
        if len(by_ndc) < 2:
            return [whole], []
        reading = self.rules.read("separate_ndc_lines", pool.drug.code)
        if reading.value is not True:
            return [whole], []
        portions: list[Portion] = []
        units_so_far, amount_so_far = 0, NOTHING
        for amount, shares in by_ndc:
            amount_so_far += amount
            units = min(whole.units, units_up(amount_so_far, pool.drug)) - units_so_far
            units_so_far += units
            if units:
                portions.append(Portion(units, amount, shares))
            else:
                portions[-1].amount += amount
                portions[-1].shares.left += shares.left
        portions[-1].units += whole.units - units_so_far
        text = (
            f"{reading.whose} takes a line for each NDC. One without a whole unit of its own stays with the one before."
        )
        return portions, [_from(reading, text)]


def _below_zero(record: Administration) -> list[tuple[str, str]]:
    """What of a record cannot be, with its field."""
    wrong = []
    if record.ordered is not None and record.ordered < NOTHING:
        wrong.append(("ordered", f"{plain(record.ordered)} mg"))
    if record.administered is not None and record.administered < NOTHING:
        wrong.append(("administered", f"{plain(record.administered)} mg"))
    for n, discard in enumerate(record.discards):
        if discard.amount < NOTHING:
            wrong.append((f"discards.{n}.amount", f"{plain(discard.amount)} mg"))
    for n, vial in enumerate(record.vials):
        if vial.amount <= NOTHING:
            wrong.append((f"vials.{n}.amount", f"{plain(vial.amount)} mg"))
        if vial.count < 0:
            wrong.append((f"vials.{n}.count", counted(vial.count, "vial")))
    return wrong


def _from(reading: Reading, text: str) -> Because:
    return Because(reading.name, text, reading.source, reading)


def _administered_text(amount: Decimal, unit: Decimal, units: int) -> str:
    return (
        f"{plain(amount)} mg were given. At {plain(unit)} mg a unit, rounded up, that is {counted(units, 'unit')}. "
        f"{_milligrams_away(units * unit - amount, unit)}"
    )


def _discarded_units(pool: Pool, discard: Decimal) -> int:
    """Billable discard in whole units, never more than the labels leave beside the dose."""
    if not discard:
        return 0
    room = units_down(pool.opened, pool.drug) - pool.units
    return max(0, min(units_down(discard, pool.drug), room))


def units_up(amount: Decimal, drug: Drug) -> int:
    """Billing units of an administered amount in mg, rounded up."""
    whole, rest = divmod(amount, drug.billing_unit)
    return int(whole) + (rest > 0)


def units_down(amount: Decimal, drug: Drug) -> int:
    """Billing units of a discarded or labelled amount in mg, rounded down."""
    return int(amount // drug.billing_unit)


def smallest_total(needed: Decimal, sizes: Sequence[Decimal]) -> Decimal | None:
    """The least that can be opened to give `needed` mg from these vial sizes; None when it is not worth knowing.

    >>> smallest_total(Decimal(100), [Decimal(40), Decimal(125)])
    Decimal('120')
    """
    if not sizes or needed <= 0:
        return None
    decimals = max(len(f"{size:f}".partition(".")[2]) for size in sizes)
    whole = [int(size.scaleb(decimals)) for size in sizes]
    step = gcd(*whole)
    goal = int((needed.scaleb(decimals) / step).to_integral_value(ROUND_CEILING))
    if goal > MOST_SIZES_TRIED:
        return None
    jumps = [size // step for size in whole]
    reachable = [False] * (goal + max(jumps))
    reachable[0] = True
    for total in range(goal):
        if reachable[total]:
            for jump in jumps:
                reachable[total + jump] = True
    best = next(total for total in range(goal, len(reachable)) if reachable[total])
    return Decimal(best * step).scaleb(-decimals)


def _milligrams_away(spare: Decimal, unit: Decimal) -> str:
    if spare:
        return f"Up to {plain(spare)} mg more would not change it."
    if unit == 1:
        return "One milligram more would add one unit, one less would take one away."
    return f"One milligram more would add one unit; {plain(unit)} mg less would take one away."
