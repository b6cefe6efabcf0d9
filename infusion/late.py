"""Times that were entered long after they happened: which drugs are asked about, and how a record says it.

A drug is late by its newest time. Whoever types a long infusion right after its stop enters nothing late.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from infusion.models import Administration, Pause
from infusion.services import facts
from infusion.services.clock import ClockChange, instant, zone_named
from payers.selectors import day_in_words

LATE_AFTER = timedelta(hours=2)


def entered_late(recorded: facts.Encounter, stored: facts.Encounter | None, now: datetime) -> frozenset[str]:
    """The drugs of a form whose newest time is not stored yet and lies more than two hours back."""
    zone = zone_named(recorded.time_zone)
    known = {time for each in (stored.administrations if stored else ()) for time in _instants(each, zone)}
    late = set()
    for each in recorded.administrations:
        new = [time for time in _instants(each, zone) if time not in known]
        if new and max(new) < now - LATE_AFTER:
            late.add(each.id)
    return frozenset(late)


def _instants(each: facts.Administration, zone: ZoneInfo) -> list[datetime]:
    """The minutes that are recorded, as far as they can be told."""
    moments = [each.start, each.stop]
    moments += [moment for pause in each.pauses for moment in (pause.start, pause.stop)]
    found = []
    for moment in moments:
        if moment is not None:
            try:
                found.append(instant(moment, zone).replace(second=0, microsecond=0))
            except ClockChange:
                continue
    return found


def late_words(row: Administration, zone: ZoneInfo) -> str:
    """When a late record was entered, and why; nothing for one that was entered in time."""
    newest = max(_stamps(row), default=None)
    late = newest is not None and newest[1] - newest[0] > LATE_AFTER
    if newest is None or not (late or row.late_reason):
        return ""
    at = newest[1].astimezone(zone)
    return f"{day_in_words(at.date())} at {at:%H:%M}, {row.late_reason or 'no reason given'}"


def _stamps(row: Administration) -> Iterable[tuple[datetime, datetime]]:
    timed: list[Administration | Pause] = [row, *row.pauses.all()]
    for each in timed:
        for happened, entered in (
            (each.started_at, each.started_entered_at), (each.stopped_at, each.stopped_entered_at),
        ):  # fmt: skip
            if happened is not None and entered is not None:
                yield happened, entered
