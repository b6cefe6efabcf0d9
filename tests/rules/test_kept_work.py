"""What is worked out once and kept, or not at all until it is read: nothing of it may show."""

import random
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest

from infusion.services.clock import ClockChange, either_instant, instant, on_one_day
from infusion.services.dose_limits import LIMITS
from infusion.services.lines import Because
from infusion.services.payer_checks import COVERAGE
from infusion.services.reference import shipped_reference
from infusion.services.wire import statement_document
from payers import policy as policies
from payers.policy import PARAMETERS, Layer, PayerPolicy, Reading, Rules, Scope, national_baseline
from tests.rules.random_encounters import encounters
from tests.rules.shorthand import encounter, infused, read

NEW_YORK = ZoneInfo("America/New_York")
ON = date(2026, 3, 10)
NAME = "additional_hour_minimum_minutes"

# The clock ------------------------------------------------------------------------------------------------------------


def slowly(moment: datetime, zone: ZoneInfo) -> datetime | None:
    """The instant of a wall clock by trying both readings of it, None where they differ."""
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    return first.astimezone(UTC) if first.utcoffset() == second.utcoffset() else None


def quickly(moment: datetime, zone: ZoneInfo) -> datetime | None:
    try:
        return instant(moment, zone)
    except ClockChange:
        return None


def test_a_wall_clock_is_the_same_instant_however_near_a_change_of_clocks_is() -> None:
    dice = random.Random(3)
    changing = 0
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for _ in range(40):
            moment = datetime(1960, 1, 1) + timedelta(minutes=dice.randrange(80 * 366 * 24 * 60))
            assert quickly(moment, zone) == slowly(moment, zone), (name, moment)
            assert either_instant(moment, zone) == moment.replace(tzinfo=zone).astimezone(UTC), (name, moment)
    for hour in range(-60, 60):
        for change in (datetime(2026, 3, 8, 2, 30), datetime(2026, 11, 1, 1, 30)):
            moment = change + timedelta(hours=hour)
            assert quickly(moment, NEW_YORK) == slowly(moment, NEW_YORK)
            changing += quickly(moment, NEW_YORK) is None
    assert changing == 2


@pytest.mark.parametrize("moment", [datetime(1, 1, 1), datetime(9999, 12, 31)])
def test_the_first_and_the_last_day_of_all_have_instants(moment: datetime) -> None:
    assert instant(moment, NEW_YORK) == moment.replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("start", "stop", "stays"),
    [
        (datetime(2026, 3, 10, 9), datetime(2026, 3, 10, 10), True),
        (datetime(2026, 3, 10, 9), datetime(2026, 3, 11), True),
        (datetime(2026, 3, 10, 9), datetime(2026, 3, 11, 0, 1), False),
        (datetime(2026, 3, 9, 9), datetime(2026, 3, 9, 10), False),
        (datetime(2026, 3, 10, 9), None, True),
        (datetime(2026, 3, 9, 9), None, False),
    ],
)
def test_what_stays_within_the_day(start: datetime, stop: datetime | None, stays: bool) -> None:
    ends = [moment and moment.replace(tzinfo=NEW_YORK).astimezone(UTC) for moment in (start, stop)]
    assert ends[0] is not None
    assert on_one_day(ends[0], ends[1], ON, NEW_YORK) is stays


def test_a_day_on_which_the_clocks_change_is_looked_at_hour_by_hour() -> None:
    start, stop = datetime(2026, 11, 1, 4, 30, tzinfo=UTC), datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert on_one_day(start, stop, date(2026, 11, 1), NEW_YORK) is False


# Policies -------------------------------------------------------------------------------------------------------------


def layer(value: int, first: str = "", last: str = "", **more: Any) -> Layer:
    begins, ends = (date.fromisoformat(text) if text else None for text in (first, last))
    return Layer("A payer", {NAME: value}, effective_from=begins, effective_until=ends, **more)


DATED = national_baseline().with_layers(
    [
        layer(20, last="2026-03-09"),
        layer(21, "2026-03-10", "2026-03-10"),
        layer(22, "2026-03-12"),
        layer(23, "2026-03-12", "9999-12-31", scope=Scope(setting="home")),
        layer(24, "2026-03-14", "2026-03-20", scope=Scope(drug="J2350")),
    ]
)


def test_every_day_has_the_layers_that_hold_on_it_in_whatever_order_days_are_asked_for() -> None:
    days = [date(2026, 3, 1) + timedelta(days=each) for each in range(30)] + [date.min, date.max]
    random.Random(1).shuffle(days)
    policy = PayerPolicy(DATED.layers)
    for day in days * 2:
        for setting in ("office", "home"):
            expected = Rules(tuple(each for each in DATED.layers if each.in_force(day)), setting)
            rules = policy.on(day, setting)
            assert rules.layers == expected.layers
            for drug in ("J2350", ""):
                assert rules.read(NAME, drug) == expected.look_up(NAME, drug)


def test_what_one_encounter_read_does_not_count_as_read_by_the_next() -> None:
    first, second = DATED.on(ON, "office"), DATED.on(ON, "office")
    assert first.read(NAME) is first.read(NAME)
    assert first.asks_nothing("J2350", COVERAGE)
    assert second.readings == {}
    assert second.read(NAME) is first.read(NAME)
    assert list(second.readings) == [(NAME, "")]


def test_not_every_text_that_is_typed_for_a_drug_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "MOST_KEPT", 3)
    rules = PayerPolicy((layer(30),)).on(ON, "office")
    for drug in ("a text as long as one likes", "nine char", "A", "eight ch", "C", "D"):
        assert rules.read(NAME, drug).value == 30
    assert len(rules.readings) == 6
    assert [drug for _, drug in rules.resolved] == ["A", "eight ch", "C"]


@pytest.mark.parametrize("name", [*COVERAGE, *LIMITS])
def test_a_value_of_its_own_is_never_taken_for_silence(name: str) -> None:
    parameter = PARAMETERS[name]
    names = COVERAGE if name in COVERAGE else LIMITS
    value: Any = {"flag": False, "choice": "always", "count": 1, "text": "Another drug", "codes": ("G35.A",)}[
        parameter.kind
    ]
    rules = PayerPolicy((Layer("A payer", {name: value}, Scope(drug="J2350")),)).on(ON, "office")
    assert not rules.asks_nothing("J2350", names)
    assert rules.readings == {}
    assert rules.asks_nothing("J1745", names)
    assert list(rules.readings) == [(each, "J1745") for each in names]


def test_an_encounter_is_answered_alike_under_a_policy_that_was_used_before_and_a_new_one() -> None:
    used = PayerPolicy(DATED.layers)
    for document in encounters(11, 400):
        document.pop("policy", None)
        assert statement_document(read(document, used)) == statement_document(read(document, PayerPolicy(DATED.layers)))


# Reasons --------------------------------------------------------------------------------------------------------------


def test_a_reason_made_when_it_is_read_is_the_same_as_one_that_was_written_down() -> None:
    written, made = Because("rule", "31 minutes", "source"), Because("rule", partial("{} minutes".format, 31), "source")
    assert made.text == "31 minutes"
    assert written == made
    assert len({written, made}) == 1
    assert written != Because("rule", partial("{} minutes".format, 32), "source")
    reading = Reading(NAME, "", 31, DATED.layers[0])
    assert written != written._replace(reading=reading)
    assert written != ("rule", "31 minutes", "source", None)


def test_reasons_say_the_same_at_each_reading_and_of_equal_encounters() -> None:
    document = encounter(infused("J2350", 0, 150))
    one, other = read(document), read(document)
    assert one == other
    assert hash(one.lines) == hash(other.lines)
    assert statement_document(one) == statement_document(one)
    assert one.reference_version == shipped_reference().version
