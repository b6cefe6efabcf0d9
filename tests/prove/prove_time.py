"""R15-R18: nights on which the clocks change, times as people type them, running minutes, and whose clock is right."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django.utils.http import http_date
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infusion import time_entry
from infusion.actions import Late, tap
from infusion.actions import chair as chair_actions
from infusion.forms import times
from infusion.forms.times import Outcome, Placed, Slot
from infusion.models import Encounter, User
from infusion.services import clock
from infusion.services.clock import ClockChange, instant, length, running_periods, whole_minutes
from infusion.services.facts import Administration, Pause
from infusion.time_entry import EntryProblem, TimeOfDay, occurrences, read_time
from infusion.views import chairs as chair_views
from tests.prove.conftest import Prove
from tests.prove.second_clock import CHANGING, HALVES, STEADY, changes, second_reading, spellings, wall_clock
from tests.prove.table import size
from tests.rules.shorthand import encounter, infused, line_of, read, services
from tests.web.test_chairs import chairs as chairs
from tests.web.test_chairs import place as place
from tests.web.test_chairs import run as run

MINUTE = timedelta(minutes=1)
AROUND = 180

# R15 ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Night:
    """One change of the clocks: each minute of three hours before and after it, and what the wall clock shows then."""

    zone: str
    change: datetime

    def minutes(self) -> list[tuple[datetime, datetime]]:
        moments = [self.change + MINUTE * each for each in range(-AROUND, AROUND + 1)]
        return [(moment, wall_clock(self.zone, moment)) for moment in moments]


def nights() -> list[Night]:
    zones = list(CHANGING) if size(0, 1) else ["America/New_York", "America/Adak"]
    years = range(2020, 2036) if size(0, 1) else (2026,)
    return [Night(zone, change) for zone in zones for year in years for change in changes(zone, year)]


def typed(slot: str, wall: datetime, zone: ZoneInfo, turn: str, after: Placed | None, next_day: bool) -> Outcome:
    """What the form makes of a time that is typed as the wall clock shows it, with what its buttons were told."""
    said = {f"{slot}-turn": turn, f"{slot}-day": "next" if next_day else ""}
    at = read_time(f"{wall:%H%M}")
    assert isinstance(at, TimeOfDay)
    return times.place(Slot(slot, slot.title(), said), at, None if after else wall.date(), zone, after)


def told_apart(night: Night) -> tuple[list[str], dict[datetime, str]]:
    """Wrong answers about single minutes, and which turn each instant is of the ones that come twice."""
    zone, wrong, turns = ZoneInfo(night.zone), [], {}
    at: dict[datetime, list[datetime]] = defaultdict(list)
    for moment, wall in night.minutes():
        at[wall].append(moment)
    for wall, moments in at.items():
        found = occurrences(wall.date(), TimeOfDay(wall.hour, wall.minute), zone)
        if [each.astimezone(UTC) for each in found] != moments:
            wrong.append(f"{night.zone} {wall}: {len(found)} instants")
        first = typed("start", wall, zone, "", None, False)
        asked = bool(first.echo.question) and len(first.echo.answers) == 2
        if (len(moments) == 2) != asked or (len(moments) == 1) != (first.placed is not None):
            wrong.append(f"{night.zone} {wall}: {'not ' if not asked else ''}asked about")
        if len(moments) == 2:
            turns |= dict(zip(moments, ("first", "second"), strict=True))
        try:
            instant(wall, zone)
        except ClockChange as change:
            if change.code != "time.ambiguous" or len(moments) != 2:
                wrong.append(f"{night.zone} {wall}: {change.code}")
    return wrong, turns


def skipped_but_taken(night: Night) -> list[str]:
    """Minutes of the hour that does not come, and are not refused with a sentence."""
    zone, before = ZoneInfo(night.zone), wall_clock(night.zone, night.change - MINUTE)
    if wall_clock(night.zone, night.change) - before == MINUTE * -59:
        return []
    wrong = []
    for each in range(1, 61):
        wall = before + MINUTE * each
        told = typed("start", wall, zone, "", None, False)
        try:
            instant(wall, zone)
        except ClockChange as change:
            code = change.code
        else:
            code = "taken"
        if told.placed or "skip that hour" not in told.problem or code != "time.nonexistent":
            wrong.append(f"{night.zone} {wall}: {code}")
    return wrong


def wrong_minutes(night: Night, turns: dict[datetime, str]) -> tuple[int, int, list[str]]:
    """Of each start with the last stop and the first start with each stop: how many, impossible ones, wrong ones."""
    zone, all_of_them = ZoneInfo(night.zone), night.minutes()
    begin, end = all_of_them[0], all_of_them[-1]
    pairs = [(begin, each) for each in all_of_them[1:]] + [(each, end) for each in all_of_them[:-1]]
    refused, wrong = 0, []
    for (began, start), (ended, stop) in pairs:
        first = typed("start", start, zone, turns.get(began, ""), None, False).placed
        then = first and typed("stop", stop, zone, turns.get(ended, ""), first, stop.date() > start.date()).placed
        if not first or not then:
            refused += 1
            continue
        run = Administration(id="a1", route="iv_infusion", start=first.moment, stop=then.moment)
        minutes = whole_minutes(length(running_periods(run, zone)))
        if minutes != (ended - began) // MINUTE:
            wrong.append(f"{night.zone} {start} to {stop}: {minutes}")
    return len(pairs), refused, wrong


def wrong_lines(night: Night, turns: dict[datetime, str]) -> tuple[int, list[str]]:
    """Of every half hour's infusion to the end: how many, and whose line is of other minutes."""
    zone, all_of_them, wrong = ZoneInfo(night.zone), night.minutes(), []
    ended, stop = all_of_them[-1]
    begins = all_of_them[:-30:30]
    for began, start in begins:
        first = typed("start", start, zone, turns.get(began, ""), None, False).placed
        then = first and typed("stop", stop, zone, turns.get(ended, ""), first, stop.date() > start.date()).placed
        if first is None or then is None or first.moment is None or then.moment is None:
            wrong.append(f"{night.zone} {start} to {stop}: not to be entered")
            continue
        times = {"start": first.moment.isoformat(), "stop": then.moment.isoformat()}
        record = encounter(infused("J2350", 0, 60) | times, time_zone=night.zone, date_of_service=f"{start:%Y-%m-%d}")
        minutes = line_of(read(record), "96365").minutes
        if minutes != (ended - began) // MINUTE:
            wrong.append(f"{night.zone} {start} to {stop}: a line of {minutes} minutes")
    return len(begins), wrong


@pytest.mark.proves("R15")
def test_minutes_are_right_when_the_clocks_change(prove: Prove) -> None:
    pairs = refused = billed = 0
    wrong: list[str] = []
    for night in nights():
        amiss, turns = told_apart(night)
        count, not_taken, different = wrong_minutes(night, turns)
        number, lines = wrong_lines(night, turns)
        wrong += [*amiss, *skipped_but_taken(night), *different, *lines]
        pairs, refused, billed = pairs + count, refused + not_taken, billed + number
    prove(
        "R15",
        "all US zones, every change of 2020-2035, each minute of 3 h around: 0 wrong minutes, 0 impossible to enter",
        f"{len(wrong)} wrong and {refused} impossible to enter of {pairs:,} infusions on {len(nights())} nights, "
        f"{billed:,} of them to their lines"
        + "".join(f"; {each}" for each in wrong[:3]),
        not wrong and not refused,
    )  # fmt: skip


@pytest.mark.proves("R15")
def test_the_law_and_the_zones_agree(prove: Prove) -> None:
    """At each change and around it, and once a month where there is none."""
    wrong = asked = 0
    for zone in (*CHANGING, *STEADY):
        days = [datetime(year, month, 15, 12, tzinfo=UTC) for year in range(2020, 2036) for month in range(1, 13)]
        if zone in CHANGING:
            days += [each + MINUTE * by for year in range(2020, 2036) for each in changes(zone, year) for by in (-1, 0)]
        for moment in days:
            asked += 1
            wrong += moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != wall_clock(zone, moment)
    prove(
        "R15", "",
        f"{wrong} of {asked:,} wall clocks in {len(CHANGING) + len(STEADY)} zones differ from the law's",
        not wrong,
    )  # fmt: skip


def test_minutes_of_the_wall_clock_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night("America/New_York", changes("America/New_York", 2026)[1])
    _, turns = told_apart(night)
    assert turns
    assert not wrong_minutes(night, turns)[2]

    def on_the_wall(moment: datetime, zone: ZoneInfo) -> datetime:
        return moment.astimezone(zone).replace(tzinfo=UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    monkeypatch.setattr(clock, "instant", on_the_wall)
    assert len(wrong_minutes(night, turns)[2]) > AROUND


# R16 ------------------------------------------------------------------------------------------------------------------

NOW = TimeOfDay(18, 10)
LETTERS = "0123456789:.h apmnow-x\u00a0\t\uff11\uff1a\u0661\u200b\u202f"
SLOWEST_SECONDS = 0.001


@cache
def known() -> list[str]:
    return [*spellings(), "n", "now"]


def spoken(dice: random.Random) -> str:
    """One that is a time, in any case, with blanks around it and now and then a full-width letter."""
    text = dice.choice(known())
    if dice.random() < 0.3:
        text = text.upper()
    if dice.random() < 0.2:
        text = "".join(chr(ord(each) + 0xFEE0) if each != " " and dice.random() < 0.3 else each for each in text)
    return dice.choice(["", "", " ", "\u00a0", "\u2009 "]) + text + dice.choice(["", "", " ", "\u200b"])


def spoilt(dice: random.Random) -> str:
    letters = list(spoken(dice))
    for _ in range(dice.randint(1, 3)):
        at = dice.randint(0, len(letters))
        letters[at : at + dice.randint(0, 1)] = dice.choice(LETTERS)
    return "".join(letters)


def digits(dice: random.Random) -> str:
    return dice.choice(["", "-", " "]) + str(dice.randrange(100_000)) + dice.choice(["", *HALVES[::5]])


def anything(dice: random.Random) -> str:
    ranges = [(0, 0x80), (0, 0xD800), (0xE000, 0x110000)]
    return "".join(chr(dice.randrange(*dice.choice(ranges))) for _ in range(dice.randint(0, 8)))


def texts(seed: int, count: int) -> list[str]:
    dice = random.Random(seed)
    ways = [spoken, spoken, spoilt, spoilt, spoilt, digits, anything]
    return [dice.choice(ways)(dice) for _ in range(count)]


def disagreements(asked: list[str]) -> tuple[int, list[str], list[str]]:
    """How many were read, which the two readings disagree on, and which took long, at the best of three."""
    read, different, slow = 0, [], []
    for text in asked:
        began = time.perf_counter()
        try:
            found: object = read_time(text, NOW)
        except Exception as problem:  # what must not happen is counted
            found = problem
        if time.perf_counter() - began > SLOWEST_SECONDS:
            slow.append(text)
        mine = (found.hour, found.minute) if isinstance(found, TimeOfDay) else None
        read += mine is not None
        if mine != second_reading(text, (NOW.hour, NOW.minute)) or isinstance(found, Exception):
            different.append(f"{text!a}: {found}")
        elif isinstance(found, EntryProblem) and not found.message:
            different.append(f"{text!a}: refused without a word")
    return read, different, [text for text in slow if seconds_to_read(text) > SLOWEST_SECONDS]


def seconds_to_read(text: str) -> float:
    taken = []
    for _ in range(3):
        began = time.process_time()
        read_time(text, NOW)
        taken.append(time.process_time() - began)
    return min(taken)


@pytest.mark.proves("R16")
def test_two_readings_of_a_typed_time_agree(prove: Prove) -> None:
    count, portion, read = size(5_000, 1_000_000), 50_000, 0
    different: list[str] = []
    slow: list[str] = []
    for begin in range(0, count, portion):
        number, wrong, long = disagreements(texts(16 + begin, min(portion, count - begin)))
        read, different, slow = read + number, different + wrong, slow + long
    prove(
        "R16", "0 disagreements of two readings, 0 exceptions, at most 1 ms each, in 1,000,000 texts",
        f"{len(different)} disagreements in {count:,} texts, {read:,} of them times, {len(slow)} over 1 ms"
        + "".join(f"; {each}" for each in different[:4]),
        not different and not slow and count // 4 < read < count * 3 // 4,
    )  # fmt: skip


@pytest.mark.proves("R16")
def test_every_spelling_is_read_as_it_is_meant(prove: Prove) -> None:
    every = known()[:: 1 if size(0, 1) else 199]
    _, different, _ = disagreements(every)
    prove("R16", "", f"{len(different)} of {len(every):,} spellings read otherwise", not different)


def test_a_guessed_half_of_the_day_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = time_entry._check_range

    def guessing(entry: str, hour: str, minute: int, half: str) -> TimeOfDay | EntryProblem:
        found = honest(entry, hour, minute, half)
        if isinstance(found, TimeOfDay) and not half and found.hour < 7:
            return TimeOfDay(found.hour + 12, found.minute)
        return found

    monkeypatch.setattr(time_entry, "_check_range", guessing)
    assert disagreements(texts(1, 300))[1]


# R17 ------------------------------------------------------------------------------------------------------------------

MIDNIGHT = datetime(2026, 3, 10)
Span = tuple[int, int]


def by_the_minute(run: Span, pauses: list[Span]) -> int:
    """Running minutes, counted one after another."""
    paused = {minute for begin, end in pauses for minute in range(begin, end)}
    return sum(minute not in paused for minute in range(*run))


def by_the_rules(run: Span, pauses: list[Span], day: datetime = MIDNIGHT) -> int:
    given = Administration(
        id="a1", route="iv_infusion", start=day + MINUTE * run[0], stop=day + MINUTE * run[1],
        pauses=tuple(Pause(start=day + MINUTE * begin, stop=day + MINUTE * end) for begin, end in pauses),
    )  # fmt: skip
    return whole_minutes(length(running_periods(given, ZoneInfo("America/Phoenix"))))


def unlike(run: Span, pauses: list[Span], dice: random.Random) -> list[str]:
    """What does not hold of one infusion: its minutes, and the same minutes told in other words."""
    minutes, wrong = by_the_minute(run, pauses), []
    if by_the_rules(run, pauses) != minutes:
        wrong.append("the minutes")
    split = [part for begin, end in pauses for part in cut(begin, end, dice)]
    shuffled = [*pauses, *pauses[:1]]
    dice.shuffle(shuffled)
    beside = [*pauses, (run[0] - 30, run[0]), (run[1], run[1] + 30)]
    told = {"split": split, "shuffled and doubled": shuffled, "with pauses beside it": beside}
    wrong += [name for name, other in told.items() if by_the_rules(run, other) != minutes]
    if by_the_rules(run, pauses, MIDNIGHT + timedelta(hours=17)) != minutes:
        wrong.append("at another time of day")
    if run[1] > run[0] and by_the_rules((run[1], run[0]), pauses) != 0:
        wrong.append("backwards")
    if not 0 <= minutes <= max(0, run[1] - run[0]):
        wrong.append("more than the run")
    return wrong


def cut(begin: int, end: int, dice: random.Random) -> list[Span]:
    """A pause in two that touch or overlap."""
    at = dice.randint(begin, end)
    return [each for each in ((begin, min(end, at + dice.randint(0, 9))), (at, end)) if each[0] < each[1]]


@pytest.mark.proves("R17")
def test_running_minutes_are_counted_once_and_wholly(prove: Prove) -> None:
    wrong: list[str] = []
    asked = 0
    pause = st.tuples(st.integers(-60, 1500), st.integers(0, 200)).map(lambda each: (each[0], each[0] + each[1]))

    @settings(
        max_examples=size(100, 100_000),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 1440), st.integers(0, 1440), st.lists(pause, max_size=6), st.integers(0, 2**32))
    def each(start: int, lasting: int, pauses: list[Span], seed: int) -> None:
        nonlocal asked
        asked += 1
        found = unlike((start, start + lasting), pauses, random.Random(seed))
        wrong.extend(f"{start}+{lasting} without {pauses}: {what}" for what in found)

    each()
    prove(
        "R17", "0 violations in 100,000 examples, each told in five other ways",
        f"{len(wrong)} in {asked:,} examples" + "".join(f"; {each}" for each in wrong[:3]),
        not wrong and asked >= size(100, 100_000),
    )  # fmt: skip


@pytest.mark.proves("R17")
def test_pauses_told_otherwise_leave_the_lines_alone(prove: Prove) -> None:
    """Through the whole of the rules, round each boundary."""
    dice, count, wrong = random.Random(17), size(60, 20_000), []
    for _ in range(count):
        minutes = dice.choice([15, 16, 30, 31, 59, 60, 90, 91, 150, 151, 210, 211])
        begin = dice.randint(1, minutes - 1)
        paused = dice.randint(1, 90)
        whole = encounter(infused("J2350", 0, minutes))
        one = encounter(infused("J2350", 0, minutes + paused, (begin, begin + paused)))
        two = encounter(infused("J2350", 0, minutes + paused, *cut(begin, begin + paused, dice)))
        if not services(whole) == services(one) == services(two):
            wrong.append(f"{minutes} minutes with {paused} paused at {begin}")
    prove("R17", "", f"{len(wrong)} of {count:,} pairs of records have other lines", not wrong)


def test_overlapping_pauses_counted_twice_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "without", lambda whole, pauses: whole)
    assert "the minutes" in unlike((0, 100), [(10, 20)], random.Random(1))


# R18 ------------------------------------------------------------------------------------------------------------------

NINE = datetime(2026, 3, 10, 13, 0, tzinfo=UTC)
NEXT = {"": ["start"], "start": ["pause", "stop"], "pause": ["resume"], "resume": ["pause", "stop"], "stop": []}
CLAIMED = ("at", "time", "now", "when", "started_at", "stopped_at", "happened_at", "entered_at", "client_time")


def tapped(encounter: Encounter, nurse: User, dice: random.Random) -> Iterator[tuple[datetime, datetime]]:
    """What the server's clock showed at each tap until the stop, and what is stored of it.

    The tablet's clock is up to a day off, and each request says so in every name that a time could have.
    """
    client, kind, now = Client(), "", NINE
    while NEXT[kind]:
        kind, now = dice.choice(NEXT[kind]), now + timedelta(seconds=dice.randint(61, 3600))
        tablet = now + timedelta(seconds=dice.randint(-86_400, 86_400))
        sent = {**dict.fromkeys(CLAIMED, tablet.isoformat()), "act": kind, "position": "0", "tap": str(uuid4())}
        sent["drug"] = str(encounter.administrations.get().pk)
        with time_machine.travel(now, tick=False):
            client.force_login(nurse)
            address = reverse("chair", args=[encounter.public_id])
            client.post(address, sent, headers={"Date": http_date(tablet.timestamp())})
        stored = encounter.taps.filter(kind=kind).last()
        yield now, stored.happened_at if stored else NINE


@pytest.mark.proves("R18")
def test_a_tap_records_the_servers_time(run: Callable[..., Encounter], nurse: User, prove: Prove) -> None:
    dice, taps = random.Random(18), list[tuple[datetime, datetime]]()
    for number in range(size(3, 300)):
        taps += tapped(run(None, f"Person {number}", 0), nurse, dice)
    right = sum(shown == stored for shown, stored in taps)
    prove(
        "R18", "the stored time is the server's in 100%, whatever the tablet's clock says",
        f"{right:,} of {len(taps):,} taps", right == len(taps),
    )  # fmt: skip


def test_a_time_from_the_tablet_would_be_seen(
    run: Callable[..., Encounter], nurse: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(request: HttpRequest, stored: Encounter, by: User, kind: str) -> None:
        late = Late(datetime.fromisoformat(request.POST["at"]), "x")
        tap(by=by, encounter=stored, position=0, kind=kind, tap_id=UUID(request.POST["tap"]), late=late)

    monkeypatch.setattr(chair_views, "press", press)
    monkeypatch.setattr(chair_actions, "_check_late", lambda *_: None)
    [(shown, stored), *_] = tapped(run(None, "Person", 0), nurse, random.Random(1))
    assert shown != stored
