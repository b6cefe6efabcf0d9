"""What a payer is expected to pay for service lines: rate times units, beside what others are paid for the same.

A line's amount is exact and rounded half up to the cent once; a total adds up amounts that are rounded already, as a
remittance does [expert]. Discarded drug under JW is paid like the drug itself, so it counts at the same rate
[NORJW]. A code without a rate has no amount, which is not the same as nothing, and a rate that cannot be believed
is shown but stays out of every total.

Not handled: what a patient owes, reductions for several procedures, sequestration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from infusion.services.lines import ServiceLine
from infusion.services.reference import PaymentLimit, in_force
from infusion.services.words import dollars

CENT = Decimal("0.01")
# Hospitals are paid several times what Medicare pays. Beyond five times, other units were meant [expert].
BELIEVABLE_TIMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Dollars for one unit of a code, and the quartiles of what others are paid for one.

    `implausible` says why the figures are not believed.
    """

    code: str
    rate: Decimal
    lower_quartile: Decimal | None = None
    median: Decimal | None = None
    upper_quartile: Decimal | None = None
    implausible: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedLine:
    """What one line should bring, in dollars. `amount` is None where its code has no rate.

    `benchmark` is the line at the median, `variance` the amount less the benchmark, and `standing` where the rate lies
    among the quartiles: below, within or above, or empty where they are not known.
    """

    line: ServiceLine
    rate: Decimal | None = None
    amount: Decimal | None = None
    benchmark: Decimal | None = None
    variance: Decimal | None = None
    standing: str = ""
    implausible: str = ""
    supplied: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """All lines of an encounter. The totals hold believed amounts alone."""

    lines: tuple[ExpectedLine, ...]

    @property
    def total(self) -> Decimal | None:
        """What the believed lines add up to, or None where there is none."""
        return _total(each.amount for each in self._believed)

    @property
    def compared(self) -> Decimal | None:
        """The part of the total that has a benchmark, so that like is compared with like."""
        return _total(each.amount for each in self._believed if each.benchmark is not None)

    @property
    def benchmark(self) -> Decimal | None:
        return _total(each.benchmark for each in self._believed)

    @property
    def variance(self) -> Decimal | None:
        """How far the compared part lies from its benchmark."""
        return _total(each.variance for each in self._believed)

    @property
    def without_rate(self) -> tuple[str, ...]:
        """The codes whose amount nobody can tell."""
        return tuple(dict.fromkeys(each.line.code for each in self.lines if each.amount is None))

    @property
    def doubted(self) -> tuple[ExpectedLine, ...]:
        """The lines that are left out because their rate is not believed."""
        return tuple(each for each in self.lines if each.implausible)

    @property
    def complete(self) -> bool:
        """Whether the total leaves nothing out."""
        return not self.without_rate and not self.doubted

    @property
    def _believed(self) -> tuple[ExpectedLine, ...]:
        return tuple(each for each in self.lines if not each.implausible)


def _total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def amount_of(rate: Decimal, units: int) -> Decimal:
    """Dollars of a line: rounded half up to the cent, once.

    >>> amount_of(Decimal("60.9725"), 600), amount_of(Decimal("0.005"), 1), amount_of(Decimal("0.0049"), 1)
    (Decimal('36583.50'), Decimal('0.01'), Decimal('0.00'))
    """
    return (rate * units).quantize(CENT, ROUND_HALF_UP)


def expected_payment(lines: Sequence[ServiceLine], rates: Mapping[str, Rate]) -> Expected:
    """What lines should bring under the rates in force on their date of service, by code."""
    return Expected(tuple(_expected_line(line, rates.get(line.code)) for line in lines))


def _expected_line(line: ServiceLine, rate: Rate | None) -> ExpectedLine:
    if line.charge is not None:
        # A drug that the site did not buy: the nominal charge is there to show the drug, and nobody pays it.
        return ExpectedLine(line=line, amount=Decimal("0.00"), supplied=True)
    if rate is None:
        return ExpectedLine(line=line)
    amount = amount_of(rate.rate, line.units)
    benchmark = None if rate.median is None else amount_of(rate.median, line.units)
    return ExpectedLine(
        line=line, rate=rate.rate, amount=amount, benchmark=benchmark,
        variance=None if benchmark is None else amount - benchmark,
        standing=standing_of(rate), implausible=rate.implausible,
    )  # fmt: skip


def standing_of(rate: Rate) -> str:
    """Where a rate lies among the quartiles; the quartiles themselves lie within.

    >>> standing_of(Rate(code="J2350", rate=Decimal(60), lower_quartile=Decimal(61), upper_quartile=Decimal(90)))
    'below'
    """
    if rate.lower_quartile is None or rate.upper_quartile is None:
        return ""
    if rate.rate < rate.lower_quartile:
        return "below"
    return "above" if rate.rate > rate.upper_quartile else "within"


# What can be believed -----------------------------------------------------------------------------------------------


def why_implausible(rate: Rate, limits: Sequence[PaymentLimit], on: date) -> str:
    """Why the figures of a code cannot be for one unit, or nothing. `on` is the first day that they hold."""
    yardstick = limit_near(limits, on)
    if yardstick is not None:
        figures = (("a unit", rate.rate), ("in the lower quartile", rate.lower_quartile),
                   ("at the median", rate.median), ("in the upper quartile", rate.upper_quartile))  # fmt: skip
        for name, figure in figures:
            apart = "" if figure is None else times_apart(figure, yardstick.dollars)
            if figure is not None and apart:
                limit = f"{dollars(yardstick.dollars)} that Medicare pays at most ({yardstick.first_day:%B %Y})"
                return f"{dollars(figure)} {name} is {apart} the {limit}. It may be for a vial, a dose or a year."
    if rate.median is not None and (apart := times_apart(rate.rate, rate.median)):
        return f"{dollars(rate.rate)} a unit is {apart} its own median of {dollars(rate.median)}."
    return ""


def times_apart(figure: Decimal, yardstick: Decimal) -> str:
    """How far beyond belief a figure lies from a yardstick above zero, in words; nothing up to five times.

    >>> [times_apart(Decimal(figure), Decimal(60)) for figure in (660, 6, 300)]
    ['11 times', 'less than a fifth of', '']
    """
    if figure > yardstick * BELIEVABLE_TIMES:
        return f"{(figure / yardstick).quantize(Decimal(1), ROUND_HALF_UP)} times"
    return "less than a fifth of" if figure * BELIEVABLE_TIMES < yardstick else ""


def limit_near(limits: Sequence[PaymentLimit], on: date) -> PaymentLimit | None:
    """The limit in force on a day, else the last one before it, else the first one after."""
    found = in_force(limits, on)
    if found is not None:
        return found
    earlier = [each for each in limits if each.first_day <= on]
    if earlier:
        return max(earlier, key=lambda each: each.first_day)
    return min(limits, key=lambda each: each.first_day, default=None)
