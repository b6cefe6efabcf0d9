"""Which day a unit belongs to when an infusion runs past midnight.

All units are dated at the start, or, where the payer wants it, each by the day on which its hour began [RCAMID]. How
many there are does not change: the infusion is continuous, and its hours are counted through the night.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from infusion.services.clock import MOMENT, Period, length
from infusion.services.findings import Findings
from infusion.services.lines import Because
from payers.policy import Rules

HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Days:
    """Dates the units of one encounter. None stands for the encounter's own day.

    Where all of it lies on that one day, nothing of the kind has to be asked.
    """

    on: date
    zone: ZoneInfo
    rules: Rules
    findings: Findings
    one_day: bool = False

    def day(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def of(self, begin: datetime | None, drug: str) -> tuple[date | None, list[Because]]:
        """The day of what began at that moment, and why it is another one than the encounter's."""
        if begin is None or self.day(begin) == self.on:
            return None, []
        reading = self.rules.read("infusion_past_midnight", drug)
        if reading.value == "start_date":
            return None, []
        text = f"{reading.whose} wants each unit dated by its day, and this began on {self.day(begin)}."
        return self.day(begin), [Because(reading.name, text, reading.source, reading)]

    def tell_of_hours(self, running: Sequence[Period], units: int, drug: str, what: str, administration: str) -> None:
        """Name each earned hour that midnight cuts in two: which day takes it is not settled."""
        if self.one_day or self.day(running[0][0]) == self.day(running[-1][1] - MOMENT):
            return
        reading = self.rules.read("infusion_past_midnight", drug)
        if reading.value == "start_date":
            return
        for begin in range(units):
            first = self.day(instant_after(running, HOUR * begin))
            end = min(HOUR * (begin + 1), length(running))
            if first < self.day(instant_after(running, end - MOMENT)):
                self.findings.add(
                    "time.hour_over_midnight",
                    administration=administration,
                    field="stop",
                    what=what,
                    on=first,
                    payer=reading.whose,
                )

    def hour_begins(self, running: Sequence[Period], first_hour: int, units: int) -> tuple[datetime, ...]:
        """When each of so many hours of running time began, the first one after `first_hour` hours, if it matters."""
        if self.one_day:
            return ()
        return tuple(instant_after(running, HOUR * (first_hour + unit)) for unit in range(units))


def instant_after(running: Sequence[Period], elapsed: timedelta) -> datetime:
    """The instant at which something had run for that long, which is less than it ran in all."""
    for start, stop in running[:-1]:
        if elapsed < stop - start:
            return start + elapsed
        elapsed -= stop - start
    return running[-1][0] + elapsed
