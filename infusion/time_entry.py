"""Reads clock times and dates as people type them in an infusion centre.

Accepts the 24-hour clock (``0915``, ``21:15``), the 12-hour clock (``9:15a``) and a few words (``noon``, ``now``).
What can be read one way only is read; everything else is refused with a sentence of its own, and a time that seems
to lie before the one it should follow is answered with offers, never moved in silence.

Not handled here: which instant a local time is. That needs a zone, and :func:`occurrences` answers it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LONGEST_ENTRY = 24


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time on the clock, and whether the person said which half of the day it is in."""

    hour: int
    minute: int
    half_day_said: bool = field(default=False, compare=False)

    @property
    def minutes(self) -> int:
        """Minutes since midnight."""
        return self.hour * 60 + self.minute

    @property
    def clock(self) -> str:
        """The time on 24 hours, as in ``09:15``."""
        return f"{self.hour:02d}:{self.minute:02d}"

    @property
    def spoken(self) -> str:
        """The time on 12 hours, as in ``9:15am``; noon and midnight by name."""
        if self.minute == 0 and self.hour in (0, 12):
            return "noon" if self.hour else "midnight"
        return f"{self.hour % 12 or 12}:{self.minute:02d}{'am' if self.hour < 12 else 'pm'}"

    @property
    def echo(self) -> str:
        """Both clocks side by side, so that a wrong half of the day is seen at once."""
        return f"{self.clock} ({self.spoken})"

    def as_time(self) -> time:
        """The same as a plain ``datetime.time``."""
        return time(self.hour, self.minute)


@dataclass(frozen=True, slots=True)
class EntryProblem:
    """Why a typed text was not taken: ``code`` for tests and counting, ``message`` for the person."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Offer:
    """One answer to a question about a time: a button's words, and the text or choice that it sets."""

    label: str
    text: str = ""
    day: str = ""
    turn: str = ""


NOON = TimeOfDay(12, 0, half_day_said=True)
MIDNIGHT = TimeOfDay(0, 0, half_day_said=True)
_WORDS = {"noon": NOON, "midday": NOON, "midnight": MIDNIGHT}

# Full-width forms come from Japanese and Chinese keyboards and mean exactly the same character.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SPACES = dict.fromkeys((0x00A0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000, 0x09), " ")
_UNSEEN = dict.fromkeys((0x200B, 0x2060, 0xFEFF))
_CHARACTERS: dict[int, int | str | None] = {**_FULL_WIDTH, **_SPACES, **_UNSEEN}

_SHAPE = re.compile(
    r"(?P<hour>[0-9]{1,2})"
    r"(?:(?: ?[:.h] ?| )(?P<apart>[0-9]{1,3})|(?P<joined>[0-9]{2}))?"
    r"(?P<hours_mark> ?h)?"
    r"(?: ?(?P<half>[ap])(?:\.?m)?\.?)?"
)
_SECONDS = re.compile(r"[0-9]{1,2}[:.][0-9]{2}[:.][0-9]{2}.*")


def plain_text(text: str) -> str:
    """One rule for odd characters: full-width forms and typographic spaces become plain, unseen ones go.

    Every other character outside ASCII stays, and whoever reads the text refuses it: digits of other scripts and
    marks that reverse the reading order could show the person one time and give the program another.
    """
    return " ".join(text.translate(_CHARACTERS).split(" ")).strip(" ")


def read_time(text: str, now: TimeOfDay | None = None) -> TimeOfDay | EntryProblem | None:
    """The time that was typed, the reason it was not taken, or ``None`` for an empty field.

    >>> read_time("915").echo
    '09:15 (9:15am)'
    >>> read_time("9:15p").clock
    '21:15'
    >>> read_time("9:60").code
    'minutes'
    """
    entry = re.sub(" +", " ", plain_text(text)).lower()
    if not entry:
        return None
    if not entry.isascii():
        return EntryProblem("characters", "Write the time with the digits 0 to 9, for example 0915 or 9:15pm.")
    if len(entry) > LONGEST_ENTRY:
        return EntryProblem("long", "This is too long for a time. Write it like 0915 or 9:15pm.")
    if entry in _WORDS:
        return _WORDS[entry]
    if entry in ("n", "now"):
        return now or EntryProblem("now", "The present time is not known here. Write it like 0915 or 9:15pm.")
    return _read_digits(entry)


def _read_digits(entry: str) -> TimeOfDay | EntryProblem:
    if _SECONDS.fullmatch(entry):
        return EntryProblem("seconds", "Leave the seconds out: infusion times are counted in minutes, as in 09:15.")
    if re.fullmatch("[0-9]{5,}", entry):
        return EntryProblem("digits", f"{entry} has too many digits for a time. Four are enough, as in 0915.")
    shape = _SHAPE.fullmatch(entry)
    if not shape or (shape["hours_mark"] and shape["half"]):
        return EntryProblem("shape", f"“{entry}” does not read as a time. Write it like 0915 or 9:15pm.")
    minute_digits = shape["apart"] or shape["joined"] or "00"
    hour_digits = shape["hour"]
    if shape["joined"] is None and shape["apart"] is None and len(hour_digits) > 2:
        return EntryProblem("shape", f"“{entry}” does not read as a time. Write it like 0915 or 9:15pm.")
    if len(minute_digits) != 2:
        return EntryProblem("minute_digits", f"Write the minutes with two digits, as in {int(hour_digits)}:05.")
    return _check_range(entry, hour_digits, int(minute_digits), shape["half"] or "")


def _check_range(entry: str, hour_digits: str, minute: int, half: str) -> TimeOfDay | EntryProblem:
    hour = int(hour_digits)
    if half:
        if minute > 59:
            return EntryProblem("minutes", f"Minutes go from 00 to 59, and {minute} is past that.")
        return _twelve_hours(hour, minute, half)
    if hour == 24 and minute == 0:
        message = "For midnight at the end of the day, enter 0000 and choose the next day."
        return EntryProblem("end_of_day", message)
    if hour > 23 and minute > 59:
        message = f"{entry} is past the end of the clock: hours go from 00 to 23 and minutes from 00 to 59."
        return EntryProblem("hours_and_minutes", message)
    if hour > 23:
        return EntryProblem("hours", f"A day has the hours 00 to 23, and {hour} is past that.")
    if minute > 59:
        return EntryProblem("minutes", f"Minutes go from 00 to 59, and {minute} is past that.")
    return TimeOfDay(hour, minute)


def _twelve_hours(hour: int, minute: int, half: str) -> TimeOfDay | EntryProblem:
    letter = "pm" if half == "p" else "am"
    if hour == 0:
        message = (
            f"An hour of 0 takes no {letter}: write 12:{minute:02d}pm after noon, or 00{minute:02d} after midnight."
        )
        return EntryProblem("zero_with_half", message)
    if 12 < hour < 24:
        message = (
            f"{hour}:{minute:02d} is already on the 24-hour clock. Leave {letter} out, or write the hour as 1 to 12."
        )
        return EntryProblem("half_not_needed", message)
    if hour > 23:
        return EntryProblem("hours", f"With {letter} the hour goes from 1 to 12, and {hour} is past that.")
    return TimeOfDay(hour % 12 + (12 if half == "p" else 0), minute, half_day_said=True)


def offers_after(earlier: TimeOfDay, later: TimeOfDay) -> tuple[Offer, ...]:
    """What a time that is not after the one before it could have meant; nothing when it is after.

    >>> [offer.label for offer in offers_after(TimeOfDay(9, 15), TimeOfDay(2, 30))]
    ['2:30pm (14:30)', 'Next day, 02:30']
    """
    if later.minutes > earlier.minutes:
        return ()
    next_day = Offer(label=f"Next day, {later.clock}", day="next")
    if later.half_day_said:
        return (next_day,)
    if later.hour == 12:
        night = f"00:{later.minute:02d}"
        return (Offer(label=f"Next day, 12:{later.minute:02d}am ({night})", text=night, day="next"), next_day)
    if later.hour < 12 and later.minutes + 720 > earlier.minutes:
        afternoon = TimeOfDay(later.hour + 12, later.minute)
        return (Offer(label=f"{afternoon.spoken} ({afternoon.clock})", text=afternoon.clock), next_day)
    return (next_day,)


def occurrences(day: date, at: TimeOfDay, zone: ZoneInfo) -> tuple[datetime, ...]:
    """The instants at which a local time happens: one, none in the hour a zone skips, two in the hour it repeats."""
    local = datetime.combine(day, at.as_time())
    found: list[datetime] = []
    for fold in (0, 1):
        aware = local.replace(tzinfo=zone, fold=fold)
        back = aware.astimezone(UTC).astimezone(zone)
        if back.replace(tzinfo=None) == local and all(back.utcoffset() != other.utcoffset() for other in found):
            found.append(aware)
    return tuple(found)


_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
_US_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})(?:/([0-9]{4}|[0-9]{2}))?")


def read_date(text: str, today: date) -> date | EntryProblem | None:
    """The date that was typed: ``2026-03-10``, ``3/10/2026``, ``3/10`` (this year), ``today`` or ``yesterday``.

    >>> read_date("3/10", date(2026, 6, 1))
    datetime.date(2026, 3, 10)
    """
    entry = plain_text(text).lower()
    if not entry:
        return None
    if entry in ("today", "t"):
        return today
    if entry in ("yesterday", "y"):
        return today - timedelta(days=1)
    if found := _ISO_DATE.fullmatch(entry):
        year, month, day = (int(part) for part in found.groups())
    elif found := _US_DATE.fullmatch(entry):
        month, day = int(found[1]), int(found[2])
        year = today.year if found[3] is None else int(found[3]) + (2000 if len(found[3]) == 2 else 0)
    else:
        return EntryProblem("date_shape", "Write the day like 2026-03-10 or 3/10/2026.")
    try:
        day_found = date(year, month, day)
    except ValueError:
        return EntryProblem("date_missing", f"There is no such day as {entry}. Check the month and the day.")
    if not 2000 <= day_found.year <= 2100:
        return EntryProblem("date_year", f"The year {year} is outside 2000 to 2100. Check the year.")
    return day_found


def date_in_words(day: date) -> str:
    """A date that cannot be misread, as in ``Tuesday, March 10, 2026``."""
    return f"{day:%A}, {day:%B} {day.day}, {day.year}"
