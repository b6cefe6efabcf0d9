"""A second reading of clocks, written from words: no zone data and no pattern.

Spellings: every text that may stand for a time is written out beforehand, and a text is looked up among them.
Zones: the standard offset of each zone of the United States, and the law that moves its clocks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import product

# How people type a time ----------------------------------------------------------------------------------------------

APART = [before + mark + after for before, mark, after in product(("", " "), ":.h", ("", " "))] + [" "]
HALVES = [gap + half + rest + end for gap, half, rest, end in product(("", " "), "ap", ("", "m", ".m"), ("", "."))]
UNSEEN = "\u200b\u2060\ufeff"


def hour_spellings(hour: int) -> list[str]:
    return [f"{hour:02d}"] if hour > 9 else [str(hour), f"0{hour}"]


def with_minutes(hour: int) -> Iterator[tuple[str, int]]:
    """An hour alone, and with each minute joined to it or apart from it."""
    for written in hour_spellings(hour):
        yield written, 0
        for minute in range(60):
            yield f"{written}{minute:02d}", minute
            for mark in APART:
                yield f"{written}{mark}{minute:02d}", minute


@cache
def spellings() -> dict[str, tuple[int, int]]:
    """Every text that is one time, in small letters: on 24 hours as it stands, on 12 with its half of the day said."""
    found = {"noon": (12, 0), "midday": (12, 0), "midnight": (0, 0)}
    for hour in range(24):
        for text, minute in with_minutes(hour):
            for end in ("", "h", " h"):
                found[text + end] = hour, minute
    for hour in range(1, 13):
        for text, minute in with_minutes(hour):
            for half in HALVES:
                found[text + half] = hour % 12 + (12 if "p" in half else 0), minute
    return found


def second_reading(typed: str, now: tuple[int, int]) -> tuple[int, int] | None:
    """Hour and minute of a text; None for one that is refused, or empty."""
    letters = []
    for letter in typed:
        if letter in UNSEEN:
            continue
        if letter == "\t" or unicodedata.category(letter) == "Zs":
            letter = " "
        elif 0xFF01 <= ord(letter) <= 0xFF5E:
            letter = chr(ord(letter) - 0xFEE0)
        letters.append(letter)
    words = "".join(letters).split(" ")
    plain = " ".join(word for word in words if word).lower()
    return now if plain in ("n", "now") else spellings().get(plain)


# How the clocks go ----------------------------------------------------------------------------------------------------

STANDARD_HOURS = {
    -5: "New_York Detroit Kentucky/Louisville Kentucky/Monticello Indiana/Indianapolis Indiana/Vincennes "
        "Indiana/Winamac Indiana/Marengo Indiana/Petersburg Indiana/Vevay",
    -6: "Chicago Indiana/Tell_City Indiana/Knox Menominee North_Dakota/Center North_Dakota/New_Salem "
        "North_Dakota/Beulah",
    -7: "Denver Boise",
    -8: "Los_Angeles",
    -9: "Anchorage Juneau Sitka Metlakatla Yakutat Nome",
    -10: "Adak",
}  # fmt: skip
CHANGING = {f"America/{name}": hours for hours, names in STANDARD_HOURS.items() for name in names.split()}
STEADY = {
    "America/Phoenix": -7, "Pacific/Honolulu": -10, "America/Puerto_Rico": -4, "America/St_Thomas": -4,
    "Pacific/Guam": 10, "Pacific/Saipan": 10, "Pacific/Pago_Pago": -11,
}  # fmt: skip


def sunday(year: int, month: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))


def changes(zone: str, year: int) -> tuple[datetime, datetime]:
    """When the clocks go forward and back: at two in the morning, second Sunday of March, first of November."""
    standard = timedelta(hours=CHANGING[zone])
    forward = datetime.combine(sunday(year, 3, 2), datetime.min.time(), UTC) + timedelta(hours=2) - standard
    back = datetime.combine(sunday(year, 11, 1), datetime.min.time(), UTC) + timedelta(hours=1) - standard
    return forward, back


def wall_clock(zone: str, moment: datetime) -> datetime:
    """What the clocks of a zone show at an instant, without a zone."""
    if zone in STEADY:
        return (moment + timedelta(hours=STEADY[zone])).replace(tzinfo=None)
    forward, back = changes(zone, moment.year)
    summer = timedelta(hours=1 if forward <= moment < back else 0)
    return (moment + timedelta(hours=CHANGING[zone]) + summer).replace(tzinfo=None)
