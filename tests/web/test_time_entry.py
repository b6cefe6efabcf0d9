"""Times, dates and amounts as people type them."""

import random
import re
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from infusion.amount_entry import read_amount, read_whole_number
from infusion.services.words import plain
from infusion.time_entry import EntryProblem, Offer, TimeOfDay, occurrences, offers_after, read_date, read_time

TEN_PAST_SIX = TimeOfDay(18, 10, half_day_said=True)

ACCEPTED = {
    "09:15": ["0915", "915", "9:15", "09.15", "9 15", "9h15", "0915h", "9:15a", "915am", "9:15 A.M.", " 0915 "]
    + [
        "\u00a00915\u00a0",
        "09\uff1a15",
        "\uff19\uff1a\uff11\uff15",
        "9:15\u202fAM",
        "\u200b0915",
        "9:15 a",
        "09:15 am.",
    ],
    "21:15": ["9:15p", "915pm", "2115", "21:15", "9:15 p.m.", "0915pm", "21h15", "21.15"],
    "09:00": ["9", "9a", "09", "9h", "0900", "9 am"],
    "00:00": ["12a", "12:00am", "midnight", "0000", "0", "00:00", "Midnight"],
    "12:00": ["12p", "noon", "1200", "midday", "12", "NOON"],
    "18:10": ["n", "now", "N", " Now "],
    "01:00": ["1"],
    "01:30": ["130", "1:30"],
    "23:59": ["2359", "11:59p", "1159pm"],
}
REFUSED = {
    "24:00": "end_of_day",
    "2400": "end_of_day",
    "24": "end_of_day",
    "9:60": "minutes",
    "1260p": "minutes",
    "2460": "hours_and_minutes",
    "99": "hours",
    "2530": "hours",
    "13:00p": "half_not_needed",
    "2115a": "half_not_needed",
    "0:15p": "zero_with_half",
    "0015am": "zero_with_half",
    "9:5": "minute_digits",
    "9:155": "minute_digits",
    "9:15:30": "seconds",
    "09150": "digits",
    "\u0660\u0669\u0661\u0665": "characters",
    "\u202e0915": "characters",
    "09\u066b15": "characters",
    "-915": "shape",
    "9:15x": "shape",
    "quarter past": "shape",
    "9:": "shape",
    ":15": "shape",
    "9 15h p": "shape",
    "9:15 in the very early morning": "long",
}


@pytest.mark.parametrize(("text", "clock"), [(text, clock) for clock, texts in ACCEPTED.items() for text in texts])
def test_a_time_is_read_as_people_type_it(text, clock):
    read = read_time(text, TEN_PAST_SIX)
    assert isinstance(read, TimeOfDay)
    assert read.clock == clock


@pytest.mark.parametrize(("text", "code"), REFUSED.items())
def test_what_cannot_be_one_time_is_refused_with_its_own_reason(text, code):
    read = read_time(text)
    assert isinstance(read, EntryProblem)
    assert read.code == code
    assert not re.search(r"\b(invalid|please|sorry|required|forbidden)\b", read.message, re.IGNORECASE)


def test_each_kind_of_refusal_has_its_own_words():
    messages = {code: read_time(text).message for text, code in REFUSED.items()}
    assert len(set(messages.values())) == len(messages) == 12


def test_an_empty_field_is_neither_a_time_nor_a_problem():
    assert read_time("") is None
    assert read_time(" \u00a0 ") is None


def test_the_echo_shows_both_clocks():
    assert [read_time(text).echo for text in ("0915", "9:15p", "noon", "0000", "1205a")] == [
        "09:15 (9:15am)",
        "21:15 (9:15pm)",
        "12:00 (noon)",
        "00:00 (midnight)",
        "00:05 (12:05am)",
    ]


def test_every_minute_of_the_day_reads_the_same_in_every_spelling():
    for minute_of_day in range(1440):
        hour, minute = divmod(minute_of_day, 60)
        letter, twelve = ("a" if hour < 12 else "p"), hour % 12 or 12
        for text in (
            f"{hour:02d}{minute:02d}", f"{hour}:{minute:02d}", f"{hour:02d}.{minute:02d}", f"{hour}h{minute:02d}",
            f"{twelve}:{minute:02d}{letter}", f"{twelve}{minute:02d} {letter.upper()}M",
            f"{twelve:02d}:{minute:02d}{letter}.m.",
        ):  # fmt: skip
            assert read_time(text) == TimeOfDay(hour, minute), text


def second_reader(text):
    """Another way to the same answer: digits and the letter, taken apart by hand. None when it is not a time."""
    kept = re.sub(r"\s+", " ", text.strip().lower())
    if kept in ("noon", "midday"):
        return 12, 0
    if kept == "midnight":
        return 0, 0
    half = next(
        (
            mark
            for mark in ("a.m.", "p.m.", "am.", "pm.", "a.m", "p.m", "am", "pm", "a.", "p.", "a", "p")
            if kept.endswith(mark)
        ),
        "",
    )
    kept = kept[: len(kept) - len(half)].rstrip(" ") if half else kept
    digits = [part for part in re.split(r"[ :.h]+", kept) if part]
    if not digits or not all(part.isdigit() for part in digits) or len(digits) > 2:
        return None
    if len(digits) == 1:
        one = digits[0]
        digits = [one, "00"] if len(one) < 3 else [one[:-2], one[-2:]]
    hour, minute = int(digits[0]), int(digits[1])
    if len(digits[0]) > 2 or len(digits[1]) != 2 or minute > 59 or hour > 23:
        return None
    if not half:
        return hour, minute
    return (hour % 12 + (12 if half[0] == "p" else 0), minute) if 1 <= hour <= 12 else None


def test_mutated_texts_never_raise_and_are_never_read_as_another_time():
    rng = random.Random(20260310)
    seeds = [text for texts in ACCEPTED.values() for text in texts if text.isascii()] + list(REFUSED)
    alphabet = "0123456789:.h apm-x\u00a0\uff11\u0661\u200b"
    read_count = 0
    for _ in range(60_000):
        letters = list(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            place = rng.randint(0, len(letters))
            if rng.random() < 0.5:
                letters.insert(place, rng.choice(alphabet))
            elif letters:
                letters[place % len(letters)] = rng.choice(alphabet)
        text = "".join(letters)
        read = read_time(text)
        if isinstance(read, TimeOfDay):
            read_count += 1
            typed = text.replace("\uff11", "1").replace("\u200b", "").replace("\u00a0", " ")
            assert (read.hour, read.minute) == second_reader(typed), repr(text)
    assert read_count > 5_000


def test_a_long_text_is_refused_at_once():
    assert read_time("9" * 100_000).code == "long"
    assert read_time(" " * 100_000 + "9:15").clock == "09:15"


@pytest.mark.parametrize(
    ("start", "stop", "labels"),
    [
        ("9:15", "2:30", ["2:30pm (14:30)", "Next day, 02:30"]),
        ("1230", "1", ["1:00pm (13:00)", "Next day, 01:00"]),
        ("12:30", "130", ["1:30pm (13:30)", "Next day, 01:30"]),
        ("2200", "130", ["Next day, 01:30"]),
        ("9:15", "2:30a", ["Next day, 02:30"]),
        ("1300", "1230", ["Next day, 12:30am (00:30)", "Next day, 12:30"]),
        ("0900", "0900", ["9:00pm (21:00)", "Next day, 09:00"]),
        ("0900", "1130", []),
    ],
)
def test_a_stop_before_its_start_is_asked_about(start, stop, labels):
    assert [offer.label for offer in offers_after(read_time(start), read_time(stop))] == labels


def test_an_offer_says_what_it_sets():
    afternoon, next_day = offers_after(read_time("9:15"), read_time("2:30"))
    assert afternoon == Offer(label="2:30pm (14:30)", text="14:30")
    assert next_day == Offer(label="Next day, 02:30", day="next")


@pytest.mark.parametrize(
    ("day", "text", "count"),
    [
        (date(2026, 11, 1), "1:30", 2),
        (date(2026, 11, 1), "0:59", 1),
        (date(2026, 11, 1), "2:00", 1),
        (date(2026, 3, 8), "2:30", 0),
        (date(2026, 3, 8), "1:59", 1),
        (date(2026, 3, 8), "3:00", 1),
        (date(2026, 3, 10), "1:30", 1),
    ],
)
def test_an_hour_that_repeats_or_never_comes_is_known(day, text, count):
    assert len(occurrences(day, read_time(text), ZoneInfo("America/New_York"))) == count


def test_the_two_instants_of_a_repeated_hour_are_an_hour_apart():
    first, second = occurrences(date(2026, 11, 1), read_time("1:30"), ZoneInfo("America/Chicago"))
    assert (second.timestamp() - first.timestamp()) == 3600


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-10", date(2026, 3, 10)),
        ("3/10/2026", date(2026, 3, 10)),
        ("03/10/26", date(2026, 3, 10)),
        ("3/10", date(2026, 3, 10)),
        ("today", date(2026, 6, 1)),
        ("Yesterday", date(2026, 5, 31)),
        ("\uff12026-03-10", date(2026, 3, 10)),
    ],
)
def test_a_date_is_read_as_people_type_it(text, day):
    assert read_date(text, date(2026, 6, 1)) == day


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-02-29", "date_missing"), ("13/1/2026", "date_missing"), ("10.03.2026", "date_shape"),
        ("March", "date_shape"), ("1826-03-10", "date_year"), ("0000-01-01", "date_missing"),
        ("3/10/026", "date_shape"),
    ],
)  # fmt: skip
def test_a_date_that_is_none_is_refused(text, code):
    assert read_date(text, date(2026, 6, 1)).code == code


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("600", "600"),
        ("600.5", "600.5"),
        (" 600 mg", "600"),
        ("0", "0"),
        ("\uff16\uff10\uff10", "600"),
        ("0.000001", "0.000001"),
    ],
)
def test_an_amount_is_read_exactly(text, amount):
    assert read_amount(text, "Ordered (mg)") == Decimal(amount)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1,000", "comma"), ("1,5", "comma"), ("-5", "negative"), (".5", "bare_point"), ("5.", "amount_shape"),
        ("6e2", "amount_shape"), ("NaN", "amount_shape"), ("12345678", "digits"), ("0.1234567", "digits"),
        ("\u0666\u0660\u0660", "characters"), ("600 mcg", "amount_shape"),
    ],
)  # fmt: skip
def test_an_amount_that_could_mean_two_things_is_refused(text, code):
    problem = read_amount(text, "Ordered (mg)")
    assert problem.code == code
    assert problem.message.startswith("Ordered (mg): ")


def test_amounts_are_written_without_noise():
    assert [plain(Decimal(text)) for text in ("600", "600.50", "0.0", "1E+3")] == ["600", "600.5", "0", "1000"]


def test_a_whole_number_keeps_its_bounds():
    assert read_whole_number("2", "Vials (count)", 1, 99) == 2
    for text in ("0", "100", "1.5", "two", "-1"):
        assert (
            read_whole_number(text, "Vials (count)", 1, 99).message
            == "Vials (count): write a whole number from 1 to 99."
        )
