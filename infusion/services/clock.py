"""Instants and running minutes.

Wall clocks are turned into instants before anything is subtracted, because a night on which the clocks change has
more or fewer minutes than its wall clock shows (rule `instants`). Running time is the union of the periods in
which a drug ran, less pauses, floored to whole minutes once at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from infusion.services.facts import Administration

Period = tuple[datetime, datetime]
NOTHING = timedelta(0)
LONGEST = timedelta(hours=24)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
MOMENT = timedelta(microseconds=1)
# One moment as a wall clock in UTC and as an instant. Adding to it is several times quicker than `replace(tzinfo=UTC)`.
WALL, INSTANT = datetime(2000, 1, 1), datetime(2000, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)
def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone. Raises ZoneInfoNotFoundError or ValueError for a name that does not exist."""
    if name == "localtime":
        raise ValueError("localtime is another zone on every machine")
    return ZoneInfo(name)


class ClockChange(ValueError):
    """A wall-clock time that happens twice (`time.ambiguous`) or never (`time.nonexistent`) on that night."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def instant(moment: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a recorded time. An explicit offset wins over the zone.

    >>> instant(datetime(2026, 3, 10, 9, 0), ZoneInfo("America/New_York")).isoformat()
    '2026-03-10T13:00:00+00:00'
    """
    if moment.tzinfo is not None or _no_change_near(moment, zone):
        return either_instant(moment, zone)
    first = moment.replace(tzinfo=zone, fold=0)
    if first.utcoffset() == moment.replace(tzinfo=zone, fold=1).utcoffset():
        return first.astimezone(UTC)
    there_and_back = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    raise ClockChange("time.ambiguous" if there_and_back == moment.replace(fold=0) else "time.nonexistent")


def _no_change_near(moment: datetime, zone: ZoneInfo) -> bool:
    """Whether the clocks show the same a day before and a day after. No zone changes them there and back within two."""
    try:
        return zone.utcoffset(moment - DAY) == zone.utcoffset(moment + DAY)
    except OverflowError:  # the first or the last day of all
        return False


def either_instant(moment: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a recorded time, one of the two where the clock change leaves it open."""
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    return INSTANT + (moment - (zone.utcoffset(moment) or NOTHING) - WALL)


def on_one_day(start: datetime, stop: datetime | None, day: date, zone: ZoneInfo) -> bool:
    """Whether all of it lies on that day, with the same clock from start to stop."""
    first = start.astimezone(zone)
    if stop is None:
        return first.date() == day
    last = (stop - MOMENT).astimezone(zone)
    return first.date() == day == last.date() and first.utcoffset() == last.utcoffset()


def merged(periods: Iterable[Period]) -> list[Period]:
    """The union of periods, in order, without overlap."""
    union: list[Period] = []
    for start, stop in sorted(periods):
        if stop <= start:
            continue
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(stop, union[-1][1]))
        else:
            union.append((start, stop))
    return union


def without(periods: Sequence[Period], taken: Sequence[Period]) -> list[Period]:
    """What is left of `periods` outside `taken`."""
    left = merged(periods)
    for away_start, away_stop in taken:
        left = [
            piece
            for start, stop in left
            for piece in ((start, min(stop, away_start)), (max(start, away_stop), stop))
            if piece[0] < piece[1]
        ]
    return left


def length(periods: Iterable[Period]) -> timedelta:
    """The time that periods without overlap last."""
    total = NOTHING
    for start, stop in periods:
        total += stop - start
    return total


def whole_minutes(duration: timedelta) -> int:
    """Whole minutes, the rest dropped.

    >>> whole_minutes(timedelta(minutes=90, seconds=59))
    90
    """
    return duration // MINUTE


def running_periods(administration: Administration, zone: ZoneInfo) -> tuple[Period, ...]:
    """When the drug ran, pauses taken out; empty when the recorded times cannot be used."""
    if administration.start is None or administration.stop is None:
        return ()
    try:
        whole = (instant(administration.start, zone), instant(administration.stop, zone))
        pauses = [
            (instant(pause.start, zone), instant(pause.stop, zone))
            for pause in administration.pauses
            if pause.start is not None and pause.stop is not None
        ]
    except ClockChange:
        return ()
    return tuple(without([whole], merged(pauses)))
