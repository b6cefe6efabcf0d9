"""Instants and running minutes.

Wall clocks are turned into instants before anything is subtracted, because a night on which the clocks change has
more or fewer minutes than its wall clock shows (rule `instants`). Running time is the union of the periods in
which a drug ran, less pauses, floored to whole minutes once at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from infusion.services.facts import Administration

Period = tuple[datetime, datetime]
NOTHING = timedelta(0)
LONGEST = timedelta(hours=24)


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
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    first = moment.replace(tzinfo=zone, fold=0)
    if first.utcoffset() == moment.replace(tzinfo=zone, fold=1).utcoffset():
        return first.astimezone(UTC)
    there_and_back = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    raise ClockChange("time.ambiguous" if there_and_back == moment.replace(fold=0) else "time.nonexistent")


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
    return sum((stop - start for start, stop in periods), NOTHING)


def whole_minutes(duration: timedelta) -> int:
    """Whole minutes, the rest dropped.

    >>> whole_minutes(timedelta(minutes=90, seconds=59))
    90
    """
    return duration // timedelta(minutes=1)


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
