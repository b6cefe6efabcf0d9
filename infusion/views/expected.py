"""What an encounter's lines should bring, in words for the review page."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from infusion.models import Encounter, FeeSchedule
from infusion.money import FeeBook, day_of, days_of
from infusion.services.lines import Statement
from infusion.services.payment import Expected, ExpectedLine
from infusion.services.words import counted, dollars


@dataclass(frozen=True, slots=True)
class ExpectedRow:
    """One line: its rate and amount, how it lies beside the median, and what is to be said of it."""

    code: str
    modifiers: str
    units: str
    rate: str
    amount: str
    variance: str
    kind: str
    note: str


@dataclass(frozen=True, slots=True)
class ExpectedView:
    """All lines, the total, and what the total leaves out."""

    payer: str
    rows: tuple[ExpectedRow, ...]
    total: str
    variance: str
    left_out: str
    schedule: FeeSchedule | None


def expected_view(encounter: Encounter, statement: Statement) -> ExpectedView:
    """Under the payer's schedule on the date of service. Two queries."""
    day = day_of(encounter, statement)
    book = FeeBook(encounter.clinic, days_of(encounter, statement))
    found = book.expected(encounter, statement)
    return ExpectedView(
        payer=encounter.payer.name,
        rows=tuple(expected_row(each) for each in found.lines),
        total="" if found.total is None else dollars(found.total),
        variance=beside_median(found.variance, found.benchmark),
        left_out=left_out(found),
        schedule=book.schedule(encounter.payer_id, day),
    )


def expected_row(each: ExpectedLine) -> ExpectedRow:
    kind, note = "", ""
    if each.supplied:
        note = "The site did not buy it, so nobody pays it."
    elif each.amount is None:
        kind, note = "todo", "No rate is in force."
    elif each.implausible:
        kind, note = "warn", each.implausible
    elif each.standing == "below":
        kind, note = "warn", "Below the lower quartile."
    elif each.standing == "above":
        note = "Above the upper quartile."
    return ExpectedRow(
        code=each.line.code,
        modifiers=" ".join(each.line.modifiers),
        units=f"{each.line.units:,}",
        rate="" if each.rate is None else dollars(each.rate),
        amount="" if each.amount is None else dollars(each.amount),
        variance="" if each.variance is None or each.implausible else signed(each.variance),
        kind=kind,
        note=note,
    )


def signed(amount: Decimal) -> str:
    return f"+{dollars(amount)}" if amount > 0 else dollars(amount)


def beside_median(variance: Decimal | None, benchmark: Decimal | None) -> str:
    """How the total lies beside what the median would bring."""
    if variance is None or benchmark is None:
        return ""
    if variance == 0:
        return f"the median of others, {dollars(benchmark)}"
    return f"{dollars(abs(variance))} {'above' if variance > 0 else 'below'} the median of others, {dollars(benchmark)}"


def left_out(found: Expected) -> str:
    """What the total does not hold, in a sentence."""
    parts = []
    if found.without_rate:
        parts.append(f"{in_a_row(found.without_rate)} without a rate")
    if found.doubted:
        codes = in_a_row(tuple(dict.fromkeys(each.line.code for each in found.doubted)))
        parts.append(f"{codes}, whose rate is not believed")
    if not parts:
        return ""
    return (
        f"The total leaves out {' and '.join(parts)}."
        if found.total is not None
        else f"Not told: {' and '.join(parts)}."
    )


def in_a_row(codes: tuple[str, ...]) -> str:
    """
    >>> in_a_row(("96365", "J1200", "J2350")), in_a_row(tuple(str(n) for n in range(10000, 10009)))
    ('96365, J1200 and J2350', '9 codes')
    """
    if len(codes) > 6:
        return counted(len(codes), "code")
    return codes[0] if len(codes) == 1 else f"{', '.join(codes[:-1])} and {codes[-1]}"
