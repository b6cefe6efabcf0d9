"""The picture of an encounter's times: one lane for each drug, in percent of the width, and the same as table rows.

Coordinates across are percentages, so that the browser stretches the picture and leaves its text alone. Everything is
a value here and an attribute in the template; nothing needs a style of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from textwrap import shorten
from zoneinfo import ZoneInfo

from infusion.services.clock import Period, length, running_periods, whole_minutes
from infusion.services.facts import Administration, Encounter
from infusion.services.lines import Statement

HOUR = timedelta(hours=1)
HOUR_RULE = "additional_hour_minimum_minutes"
AXIS_HEIGHT, LANE_HEADING, BAR_HEIGHT, BRACKET_HEIGHT, LANE_GAP = 28, 22, 32, 56, 14
NARROWEST_GAP_OF_MARKS, NARROWEST_ON_NARROW_SCREEN = 16.0, 24.0
LONGEST_NAME_ON_NARROW_SCREEN = 22
NARROWEST_WITH_TITLE, LAST_WITH_TITLE, LAST_ON_NARROW_SCREEN = 18.0, 66.0, 45.0
LABEL_OF_RUN, SHORT_LABEL_OF_RUN = 42.0, 15.0
STEPS = (60, 120, 180, 240, 360)
ROOM_FOR_HOURS = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A time on the axis. `minor` ones give way on a narrow screen."""

    x: str
    label: str
    anchor: str
    minor: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of a lane in which the drug ran, or in which it was paused."""

    kind: str
    x: str
    width: str
    label: str
    starts: str
    stops: str
    minutes: int


@dataclass(frozen=True, slots=True)
class Bracket:
    """Running minutes that make an hour, or the rest that does not."""

    x: str
    width: str
    text_x: str
    anchor: str
    title: str
    note: str
    part: bool
    minor: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """One drug's times. `y` values are pixels from the top."""

    name: str
    y: int
    bar_y: int
    label_y: int
    bracket_y: int
    title_y: int
    note_y: int
    stretches: tuple[Stretch, ...]
    brackets: tuple[Bracket, ...]
    running_minutes: int
    paused_minutes: int

    @property
    def short_name(self) -> str:
        """The name as far as a narrow screen has room for it: whole words, then a sign that there is more."""
        return shorten(self.name, LONGEST_NAME_ON_NARROW_SCREEN, placeholder="\u2026")


@dataclass(frozen=True, slots=True)
class Timeline:
    """All lanes and their axis."""

    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    height: int
    description: str

    @property
    def has_pause(self) -> bool:
        return any(lane.paused_minutes for lane in self.lanes)

    @property
    def has_brackets(self) -> bool:
        return any(lane.brackets for lane in self.lanes)

    @property
    def paused_minutes(self) -> int:
        return sum(lane.paused_minutes for lane in self.lanes)


@dataclass(frozen=True, slots=True)
class Span:
    """The time that the whole picture covers."""

    start: datetime
    stop: datetime

    def at(self, moment: datetime) -> float:
        return (moment - self.start) / (self.stop - self.start) * 100

    def percent(self, moment: datetime) -> str:
        return f"{self.at(moment):.3f}%"

    def width(self, period: Period) -> str:
        return f"{self.at(period[1]) - self.at(period[0]):.3f}%"


def draw_timeline(encounter: Encounter, names: dict[str, str], statement: Statement | None = None) -> Timeline | None:
    """The picture of all infusions whose times can be used, or None. A statement adds the hours that count."""
    zone = ZoneInfo(encounter.time_zone)
    drawn = [(each, periods) for each in encounter.administrations if (periods := running_periods(each, zone))]
    if not drawn:
        return None
    span = Span(min(periods[0][0] for _, periods in drawn), max(periods[-1][1] for _, periods in drawn))
    lanes: list[Lane] = []
    top = AXIS_HEIGHT
    for each, periods in drawn:
        brackets = _brackets(each, periods, span, statement)
        lane = _lane(each, periods, span, zone, names.get(each.id, each.id), top, brackets, headed=len(drawn) > 1)
        lanes.append(lane)
        top = lane.bar_y + BAR_HEIGHT + (BRACKET_HEIGHT if brackets else 0) + LANE_GAP
    return Timeline(tuple(lanes), _marks(span, zone), top - LANE_GAP + 4, _description(lanes))


def _lane(
    each: Administration, periods: Sequence[Period], span: Span, zone: ZoneInfo, name: str, top: int,
    brackets: tuple[Bracket, ...], *, headed: bool,
) -> Lane:  # fmt: skip
    bar = top + (LANE_HEADING if headed else 0)
    stretches: list[Stretch] = []
    gaps = zip((stop for _, stop in periods), (start for start, _ in periods[1:]), strict=False)
    for kind, period in sorted(
        [*(("run", p) for p in periods), *(("pause", gap) for gap in gaps)], key=lambda pair: pair[1]
    ):
        minutes = whole_minutes(period[1] - period[0])
        label = (
            _label(minutes, span.at(period[1]) - span.at(period[0]), alone=len(periods) == 1) if kind == "run" else ""
        )
        starts, stops = (f"{moment.astimezone(zone):%H:%M}" for moment in period)
        stretches.append(Stretch(kind, span.percent(period[0]), span.width(period), label, starts, stops, minutes))
    return Lane(
        name=name, y=top + 14, bar_y=bar, label_y=bar + 21, bracket_y=bar + 42, title_y=bar + 70, note_y=bar + 87,
        stretches=tuple(stretches), brackets=brackets,
        running_minutes=whole_minutes(length(periods)),
        paused_minutes=sum(stretch.minutes for stretch in stretches if stretch.kind == "pause"),
    )  # fmt: skip


def _label(minutes: int, width: float, *, alone: bool) -> str:
    if width >= LABEL_OF_RUN and alone:
        return f"Running, {minutes} minutes"
    return f"{minutes} min" if width >= SHORT_LABEL_OF_RUN else ""


def _brackets(
    each: Administration, periods: Sequence[Period], span: Span, statement: Statement | None
) -> tuple[Bracket, ...]:
    """The hours of an infusion that counts alone and whole; nothing where minutes are shared or joined."""
    minutes = whole_minutes(length(periods))
    lines = [
        line for line in (statement.lines if statement else ()) if each.id in line.administrations and line.minutes
    ]
    own = [line for line in lines if line.kind == "administration" and line.administrations == (each.id,)]
    readings = (reason.reading for line in own for reason in line.because if reason.rule == HOUR_RULE)
    threshold = next((reading.minutes for reading in readings if reading), 0)
    if each.route != "iv_infusion" or not threshold or not own or any(line.minutes != minutes for line in own):
        return ()
    cuts = [*range(0, minutes, 60), minutes]
    pieces = enumerate(pairwise(cuts))
    brackets = tuple(_bracket(number, piece, periods, span, threshold) for number, piece in pieces)
    return brackets if any(bracket.title for bracket in brackets) else ()


def _bracket(number: int, piece: tuple[int, int], periods: Sequence[Period], span: Span, threshold: int) -> Bracket:
    start, stop = _after(periods, piece[0]), _before(periods, piece[1])
    left, right = span.at(start), span.at(stop)
    minutes = piece[1] - piece[0]
    ends = right > 99.9 and number > 0
    whole = minutes == 60
    title = "First hour" if number == 0 else "Full hour" if whole else f"{minutes} min"
    note = f"{minutes} min" if number == 0 or whole else ("counts" if minutes >= threshold else f"{threshold} needed")
    if not ends and (right - left < NARROWEST_WITH_TITLE or left > LAST_WITH_TITLE):
        title = note = ""
    return Bracket(
        x=f"{left + 0.2:.3f}%", width=f"{max(right - left - 0.4, 0.2):.3f}%",
        text_x=f"{right if ends else left:.3f}%", anchor="end" if ends else "start",
        title=title, note=note, part=not whole and number > 0 and minutes < threshold,
        minor=not ends and left > LAST_ON_NARROW_SCREEN,
    )  # fmt: skip


def _after(periods: Sequence[Period], minutes: int) -> datetime:
    """The moment after so many running minutes; at a pause, its end."""
    left = timedelta(minutes=minutes)
    for start, stop in periods:
        if left < stop - start:
            return start + left
        left -= stop - start
    return periods[-1][1]


def _before(periods: Sequence[Period], minutes: int) -> datetime:
    """The moment at which so many running minutes are complete; at a pause, its start."""
    left = timedelta(minutes=minutes)
    for start, stop in periods:
        if left <= stop - start:
            return start + left
        left -= stop - start
    return periods[-1][1]


def _marks(span: Span, zone: ZoneInfo) -> tuple[Mark, ...]:
    """Start and stop, and whole hours between them where there is room."""
    total = span.stop - span.start
    step = next((minutes for minutes in STEPS if total <= timedelta(minutes=minutes * ROOM_FOR_HOURS)), STEPS[-1])
    marks = [Mark("0%", f"{span.start.astimezone(zone):%H:%M}", "start", minor=False)]
    local = span.start.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    moment = local.astimezone(UTC) + HOUR
    hours = []
    while moment < span.stop:
        wall = moment.astimezone(zone)
        if (wall.hour * 60) % step == 0 and NARROWEST_GAP_OF_MARKS < span.at(moment) < 100 - NARROWEST_GAP_OF_MARKS:
            hours.append(moment)
        moment += HOUR
    for number, moment in enumerate(hours):
        beside_an_end = min(span.at(moment), 100 - span.at(moment)) < NARROWEST_ON_NARROW_SCREEN
        minor = number % 2 == 1 or beside_an_end
        marks.append(Mark(span.percent(moment), f"{moment.astimezone(zone):%H:%M}", "middle", minor=minor))
    marks.append(Mark("100%", f"{span.stop.astimezone(zone):%H:%M}", "end", minor=False))
    return tuple(marks)


def _description(lanes: Sequence[Lane]) -> str:
    sentences = []
    for lane in lanes:
        pauses = f", paused {lane.paused_minutes} minutes in between" if lane.paused_minutes else ", without a pause"
        sentences.append(
            f"{lane.name}: from {lane.stretches[0].starts} to {lane.stretches[-1].stops}{pauses}, "
            f"{lane.running_minutes} running minutes."
        )
    return " ".join(sentences)
