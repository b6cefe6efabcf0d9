"""What reports show: figures by month, and the pictures of them.

Coordinates across are percentages and those down are pixels, so that the browser stretches a picture and leaves its
text alone. Everything is a value here and an attribute in the template; nothing needs a style of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil

from infusion.services.words import counted, plain

MOST_MONTHS = 24
PLOT_TOP, AXIS_HEIGHT = 22, 40
WIDEST_BAR, SHARE_OF_SLOT = 7.0, 0.64
STEPS = (1, 2, 5)
MANY_MONTHS = 7
HOUR, DAY = 60, 1440


# What was read ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Units:
    """Units of one drug code at one payer in one month; `discarded_units` are those of them under JW."""

    month: date
    payer: str
    code: str
    units: int
    discarded_units: int


@dataclass(frozen=True, slots=True)
class Drugs:
    """Units that were approved, and milligrams that were discarded, by month, payer and drug."""

    units: tuple[Units, ...]
    discarded: Mapping[tuple[date, str, str], Decimal]

    @property
    def codes(self) -> tuple[str, ...]:
        """The drugs, those with the most lines of months and payers first."""
        counts: dict[str, int] = {}
        for each in self.units:
            counts[each.code] = counts.get(each.code, 0) + 1
        for _, _, code in self.discarded:
            counts.setdefault(code, 0)
        return tuple(sorted(counts, key=lambda code: (-counts[code], code)))

    def by_month(self, code: str, months: Sequence[date]) -> tuple[DrugFigures, ...]:
        return tuple(self._figures(f"{month:%b %Y}", code, month=month) for month in months)

    def by_payer(self, code: str) -> tuple[DrugFigures, ...]:
        payers = {each.payer for each in self.units if each.code == code}
        payers |= {payer for _, payer, drug in self.discarded if drug == code}
        return tuple(self._figures(payer, code, payer=payer) for payer in sorted(payers))

    def every(self) -> tuple[tuple[date, str, str, int, int, Decimal], ...]:
        """Month, payer, code, units, discarded units and discarded milligrams, for a file."""
        rows = {
            (each.month, each.payer, each.code): (each.units, each.discarded_units) for each in self.units
        }  # fmt: skip
        keys = sorted({*rows, *self.discarded}, key=lambda key: (key[0], key[2], key[1]))
        return tuple((*key, *rows.get(key, (0, 0)), self.discarded.get(key, Decimal(0))) for key in keys)

    def _figures(self, name: str, code: str, *, month: date | None = None, payer: str = "") -> DrugFigures:
        def wanted(each_month: date, each_payer: str, each_code: str) -> bool:
            return each_code == code and month in (None, each_month) and payer in ("", each_payer)

        rows = [each for each in self.units if wanted(each.month, each.payer, each.code)]
        amounts = [amount for key, amount in self.discarded.items() if wanted(*key)]
        return DrugFigures(
            name, sum(each.units for each in rows), sum(each.discarded_units for each in rows), sum(amounts, Decimal(0))
        )


@dataclass(frozen=True, slots=True)
class DrugFigures:
    """One row of a drug's table."""

    name: str
    units: int
    discarded_units: int
    discarded: Decimal

    @property
    def units_words(self) -> str:
        return f"{self.units:,}"

    @property
    def discarded_units_words(self) -> str:
        return f"{self.discarded_units:,}" if self.discarded_units else ""

    @property
    def discarded_words(self) -> str:
        return f"{Decimal(plain(self.discarded)):,f}" if self.discarded else ""


@dataclass(frozen=True, slots=True)
class Stops:
    """A month's infusions that began: how many have no stop, and how many got theirs late."""

    month: date
    infusions: int
    missing: int
    late: int


@dataclass(frozen=True, slots=True)
class Warned:
    """Approved encounters by month, those with any warning, and those with each."""

    approved: Mapping[date, int]
    some: Mapping[date, int]
    codes: Mapping[str, Mapping[date, int]]

    @property
    def total(self) -> int:
        return sum(self.approved.values())

    def often(self) -> tuple[str, ...]:
        """The warnings, the most frequent first."""
        return tuple(sorted(self.codes, key=lambda code: (-sum(self.codes[code].values()), code)))

    def shares(self, counts: Mapping[date, int], months: Sequence[date]) -> tuple[int, ...]:
        """Whole percent of each month's encounters; none where nothing was approved."""
        return tuple(percent(counts.get(month, 0), self.approved.get(month, 0)) for month in months)


@dataclass(frozen=True, slots=True)
class Waits:
    """Minutes from stop to approval, month by month."""

    minutes: Mapping[date, Sequence[int]]

    def rank(self, month: date, share: int) -> int | None:
        return nearest_rank(self.minutes.get(month, ()), share)

    def overall(self, share: int) -> int | None:
        return nearest_rank([each for minutes in self.minutes.values() for each in minutes], share)


def percent(part: int, whole: int) -> int:
    """Whole percent, rounded half up; but what is there never reads as none, nor what is short of all as all.

    >>> percent(1, 3), percent(1, 1000), percent(999, 1000), percent(0, 0)
    (33, 1, 99, 0)
    """
    if not part or not whole:
        return 0
    rounded = (200 * part + whole) // (2 * whole)
    return 100 if part == whole else min(max(rounded, 1), 99)


def nearest_rank(values: Iterable[int], share: int) -> int | None:
    """The smallest value that at least `share` percent of all values do not exceed, or None of nothing.

    >>> nearest_rank([10, 20, 30, 40], 50), nearest_rank([10, 20, 30, 40], 90), nearest_rank([], 50)
    (20, 40, None)
    """
    ordered = sorted(values)
    return ordered[max(0, -(-share * len(ordered) // 100) - 1)] if ordered else None


def months_between(first: date, last: date) -> tuple[date, ...]:
    """The first day of every month that has a day in a period.

    >>> [f"{month:%Y-%m}" for month in months_between(date(2025, 11, 30), date(2026, 1, 1))]
    ['2025-11', '2025-12', '2026-01']
    """
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    return tuple(month_after(first, number) for number in range(count))


def month_after(day: date, number: int) -> date:
    """The first day of the month so many months later; below zero, earlier."""
    months = day.year * 12 + day.month - 1 + number
    return date(months // 12, months % 12 + 1, 1)


def time_in_words(minutes: int | None) -> str:
    """
    >>> time_in_words(45), time_in_words(60 * 5 + 10), time_in_words(1440 * 3), time_in_words(5000), time_in_words(None)
    ('45 min', '5 h', '3 days', '3.5 days', '')
    """
    if minutes is None:
        return ""
    if minutes < HOUR:
        return f"{minutes} min"
    if minutes < 2 * DAY:
        return f"{half_up(minutes, HOUR)} h"
    days, tenths = divmod(half_up(minutes * 10, DAY), 10)
    return f"{days}.{tenths} days" if tenths else counted(days, "day")


def half_up(part: int, whole: int) -> int:
    return (2 * part + whole) // (2 * whole)


# Pictures -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Series:
    """What a part of each column stands for. `kind` is its pattern."""

    name: str
    kind: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a column."""

    kind: str
    x: str
    y: int
    width: str
    height: int


@dataclass(frozen=True, slots=True)
class Tick:
    """The name of a month under its column, and its year where it changes. `minor` ones give way on a narrow screen."""

    x: str
    label: str
    year: str
    minor: bool


@dataclass(frozen=True, slots=True)
class Guide:
    """A line across at a round figure."""

    y: int
    label: str


@dataclass(frozen=True, slots=True)
class Label:
    """A figure above the tallest column."""

    x: str
    y: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Span:
    """From the median, a dot, to the ninetieth percentile, a bar."""

    x: str
    left: str
    right: str
    low_y: int
    high_y: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Columns or spans by month with their axis."""

    id: str
    title: str
    description: str
    height: int
    floor: int
    parts: tuple[Part, ...]
    spans: tuple[Span, ...]
    ticks: tuple[Tick, ...]
    guides: tuple[Guide, ...]
    labels: tuple[Label, ...]
    key: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """From a figure to pixels from the top."""

    top: int
    floor: int
    highest: int

    def y(self, value: int) -> int:
        if value == 0:
            return self.floor
        # What is there is seen: two pixels at least.
        return self.floor - max(2, round((self.floor - self.top) * value / self.highest))


def round_scale(highest: int, *, lines: int = 3) -> tuple[int, ...]:
    """Round figures from above zero to at least the highest one, about `lines` of them.

    >>> round_scale(17), round_scale(3), round_scale(4120)
    ((10, 20), (1, 2, 3), (2000, 4000, 6000))
    """
    highest = max(highest, 1)
    power = 1
    while True:
        for step in STEPS:
            if ceil(highest / (step * power)) <= lines:
                size = step * power
                return tuple(range(size, size * ceil(highest / size) + 1, size))
        power *= 10


def draw_columns(
    identity: str, title: str, months: Sequence[date], series: Sequence[Series], *, height: int = 0,
    suffix: str = "", highest: int = 0, lines: int = 3,
) -> Picture:  # fmt: skip
    """Columns by month, the series on top of each other. `highest` makes pictures share a scale."""
    height = height or height_beside(months)
    totals = [sum(values) for values in zip(*(each.values for each in series), strict=True)]
    figures = round_scale(highest or max(totals, default=0), lines=lines)
    scale = Scale(PLOT_TOP, height - AXIS_HEIGHT, figures[-1])
    parts: list[Part] = []
    for at in range(len(months)):
        left, width = slot(at, len(months))
        reached = 0
        for each in series:
            value = each.values[at]
            if value:
                floor = scale.y(reached)
                top = min(scale.y(reached + value), floor - 2)
                parts.append(Part(each.kind, f"{left:.3f}%", top, f"{width:.3f}%", floor - top))
            reached += value
    return Picture(
        id=identity, title=title, description=in_sentences(months, series, suffix), height=height,
        floor=scale.floor, parts=tuple(parts), spans=(), ticks=ticks_of(months),
        guides=tuple(Guide(scale.y(figure), compact(figure) + suffix) for figure in figures),
        labels=tallest(months, totals, scale, suffix), key=tuple((each.kind, each.name) for each in series),
    )  # fmt: skip


def draw_spans(identity: str, title: str, months: Sequence[date], waits: Waits) -> Picture:
    """From median to ninetieth percentile by month."""
    height = height_beside(months)
    pairs = [(waits.rank(month, 50), waits.rank(month, 90)) for month in months]
    highest = max((high for _, high in pairs if high is not None), default=0)
    unit, suffix = (DAY, " d") if highest > 2 * DAY else (HOUR, " h")
    figures = round_scale(ceil(highest / unit))
    scale = Scale(PLOT_TOP, height - AXIS_HEIGHT, figures[-1] * unit)
    spans, sentences = [], []
    for at, (month, (low, high)) in enumerate(zip(months, pairs, strict=True)):
        if low is None or high is None:
            continue
        left, width = slot(at, len(months))
        middle = left + width / 2
        spans.append(
            Span(
                f"{middle:.3f}%",
                f"{left + width / 5:.3f}%",
                f"{left + width * 4 / 5:.3f}%",
                scale.y(low),
                scale.y(high),
            )
        )
        sentences.append(f"{month:%B %Y}: half within {time_in_words(low)}, nine of ten within {time_in_words(high)}.")
    return Picture(
        id=identity, title=title, description=" ".join(sentences) or "Nothing was approved in this period.",
        height=height, floor=scale.floor, parts=(), spans=tuple(spans), ticks=ticks_of(months),
        guides=tuple(Guide(scale.y(figure * unit), f"{figure:,}{suffix}") for figure in figures),
        labels=(), key=(("dot", "half are approved by then"), ("bar", "nine of ten are")),
    )  # fmt: skip


def compact(figure: int) -> str:
    """A round figure, short enough to stand beside a picture.

    >>> compact(500), compact(5000), compact(150000), compact(2000000), compact(2500000)
    ('500', '5,000', '150k', '2M', '2500k')
    """
    if figure >= 10_000 and figure % 1000 == 0:
        return f"{figure // 1_000_000}M" if figure % 1_000_000 == 0 else f"{figure // 1000}k"
    return f"{figure:,}"


def height_beside(months: Sequence[date]) -> int:
    """As tall as the table beside it, within reason."""
    return min(max(200, 80 + 20 * len(months)), 320)


def slot(at: int, count: int) -> tuple[float, float]:
    """Where a month's column begins and how wide it is, in percent."""
    room = 100 / count
    width = min(room * SHARE_OF_SLOT, WIDEST_BAR)
    return at * room + (room - width) / 2, width


def ticks_of(months: Sequence[date]) -> tuple[Tick, ...]:
    """The months' short names; the year below the first and below each January."""
    step = 3 if len(months) > 12 else 2 if len(months) >= MANY_MONTHS else 1
    # A January keeps its name on a narrow screen, because the year stands below it.
    january = next((at for at, month in enumerate(months) if month.month == 1), 0)
    ticks = []
    for at, month in enumerate(months):
        left, width = slot(at, len(months))
        soon = any(each.month == 1 for each in months[1:4])
        year = f"{month.year}" if month.month == 1 or (at == 0 and not soon) else ""
        ticks.append(Tick(f"{left + width / 2:.3f}%", f"{month:%b}", year, (at - january) % step != 0))
    return tuple(ticks)


def tallest(months: Sequence[date], totals: Sequence[int], scale: Scale, suffix: str) -> tuple[Label, ...]:
    """The figure of the tallest column, above it."""
    highest = max(totals, default=0)
    if not highest:
        return ()
    at = totals.index(highest)
    left, width = slot(at, len(months))
    middle = left + width / 2
    # A wide figure over the first or last column stays within the picture.
    x, anchor = (left, "start") if middle < 6 else (left + width, "end") if middle > 94 else (middle, "middle")
    return (Label(f"{x:.3f}%", scale.y(highest) - 6, f"{highest:,}{suffix}", anchor),)


def in_sentences(months: Sequence[date], series: Sequence[Series], suffix: str) -> str:
    """The same as the picture, month by month."""
    parts = []
    for at, month in enumerate(months):
        figures = ", ".join(f"{each.values[at]:,}{suffix} {each.name}" for each in series)
        parts.append(f"{month:%B %Y}: {figures}.")
    return " ".join(parts)
