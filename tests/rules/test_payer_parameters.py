"""What payers decide beyond the common rules: each parameter on both sides of its threshold, and of its first day.

The last table has one row for each of them: what an override from that day on changes, and that the day before stays.
"""

from datetime import date, timedelta
from typing import Any

import pytest

from payers.policy import BASELINE, Layer, PayerPolicy
from tests.rules.shorthand import (
    DAY,
    claimed,
    encounter,
    found,
    hydrated,
    infused,
    line_of,
    on,
    read,
    reasons,
    services,
)

Document = dict[str, Any]


def under(policy: Document, *administrations: Document, **fields: Any) -> Document:
    return encounter(*administrations, policy=policy, **fields)


# Bag changes --------------------------------------------------------------------------------------------------------


def two_bags(gap: int, **more: Any) -> list[Document]:
    """A bag of 60 minutes and one of 30: 90 without the gap between them."""
    return [infused("J2350", 0, 60, **more), infused("J2350", 60 + gap, 90 + gap, **more)]


@pytest.mark.parametrize(
    ("longest", "gap", "lines"),
    [
        (0, 1, ["96365 x1"]),
        (0, 5, ["96365 x1"]),
        (1, 1, ["96365 x1", "96366 x1"]),  # 91 minutes
        (5, 4, ["96365 x1", "96366 x1"]),
        (5, 5, ["96365 x1", "96366 x1"]),
        (5, 6, ["96365 x1"]),
        (30, 30, ["96365 x1", "96366 x1"]),
        (30, 31, ["96365 x1"]),
    ],
)
def test_minutes_of_a_bag_change(longest: int, gap: int, lines: list[str]) -> None:
    assert services(under({"bag_change_minutes": longest}, *two_bags(gap))) == lines


def test_the_reason_says_which_minutes_were_a_bag_change() -> None:
    statement = read(under({"bag_change_minutes": 5}, *two_bags(5)))
    said = "5 minutes between bags count as running: Given with this encounter counts a change of bags of up to 5"
    for line in ("96365 x1", "96366 x1"):
        assert said in reasons(statement, line)
        assert "Without that it ran 90 minutes" in reasons(statement, line)
    assert line_of(statement, "96365").minutes == 95
    assert "between bags" not in reasons(read(under({"bag_change_minutes": 4}, *two_bags(5))), "96365 x1")


def test_a_bag_change_may_make_an_infusion_of_a_push() -> None:
    bags = [infused("J2350", 0, 7), infused("J2350", 10, 18)]
    assert services(encounter(*bags)) == ["96374 x1"]
    assert services(under({"bag_change_minutes": 3}, *bags)) == ["96365 x1"]
    short = [infused("J2350", 0, 7), infused("J2350", 9, 13)]
    statement = read(under({"bag_change_minutes": 3}, *short))
    assert "2 minutes between bags count as running" in reasons(statement, "96374 x1")


@pytest.mark.parametrize("pause", [(55, 60), (0, 5)])
def test_a_gap_that_a_pause_touches_is_no_bag_change(pause: tuple[int, int]) -> None:
    one, other = infused("J2350", 0, 60), infused("J2350", 65, 160)
    paused = infused("J2350", 0, 60, pause) if pause[0] else infused("J2350", 65, 160, (65, 70))
    bags = [paused, other] if pause[0] else [one, paused]
    assert line_of(read(under({"bag_change_minutes": 30}, *bags)), "96365").minutes == 150


@pytest.mark.parametrize(("beside", "minutes"), [((44, 60), 95), ((44, 61), 90), ((64, 85), 90), ((65, 85), 95)])
def test_a_gap_in_which_another_drug_ran_is_no_bag_change(beside: tuple[int, int], minutes: int) -> None:
    bags = [infused("J2350", 0, 60), infused("J2350", 65, 95)]
    statement = read(under({"bag_change_minutes": 5}, *bags, infused("J2323", *beside)))
    assert line_of(statement, "96365").minutes == minutes


def test_separate_orders_have_no_bag_change_between_them() -> None:
    orders = [infused("J2350", 0, 60, order="A"), infused("J2350", 65, 95, order="B")]
    assert services(under({"bag_change_minutes": 30}, *orders)) == ["96365 x1"]


def test_fluid_loses_the_minutes_of_a_bag_change() -> None:
    fluid = hydrated(0, 121)  # 26 before and after the bags, and 5 between them
    bags = [infused("J2350", 10, 70), infused("J2350", 75, 105)]
    assert "96361 x1" in services(encounter(fluid, *bags))
    assert "96361 x1" not in services(under({"bag_change_minutes": 5}, fluid, *bags))


# Drugs at the same time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needed", "shared", "reported"),
    [(0, 1, True), (16, 15, False), (16, 16, True), (16, 17, True), (60, 59, False), (60, 60, True)],
)
def test_minutes_that_two_drugs_have_to_share(needed: int, shared: int, reported: bool) -> None:
    # The other drug ran 15 minutes more by itself, which are too few for an infusion of its own.
    given = [infused("J2350", 0, 120), infused("J2323", 120 - shared, 120 + 15)]
    document = under({"concurrent_minimum_minutes": needed}, *given)
    assert services(document) == ["96365 x1", "96366 x1", *(["96368 x1"] if reported else [])]
    if needed and reported:
        assert f"asks for {needed}" in reasons(read(document), "96368 x1")
    if not reported:
        message = found(read(document), "infusion.concurrent_too_short").message
        assert f"ran {shared} minutes beside another drug" in message
        assert f"under {needed}." in message


def test_a_drug_that_shares_enough_is_reported_beside_one_that_does_not() -> None:
    given = [infused("J2350", 0, 120), infused("J2323", 0, 20), infused("J3380", 40, 55), infused("J3380", 110, 125)]
    document = under({"concurrent_minimum_minutes": 20, "drugs": {"J3380": {"concurrent_minimum_minutes": 26}}}, *given)
    [line] = [line for line in read(document).lines if line.code == "96368"]
    assert (line.units, line.administrations) == (1, ("a2",))


# Days of an override ------------------------------------------------------------------------------------------------

FIRST_DAY = date.fromisoformat(DAY)


def from_that_day(name: str, value: Any) -> PayerPolicy:
    layer = Layer("Example Mutual", {name: value}, source="their manual, page 4", effective_from=FIRST_DAY)
    return PayerPolicy((BASELINE, layer))


# parameter, value, encounter fields, administrations, lines of the day before, lines of the first day
DATED: list[tuple[str, Any, Document, list[Document], list[str], list[str]]] = [
    ("bag_change_minutes", 5, {}, two_bags(5), ["96365 x1", "J2350 JZ x600"],
     ["96365 x1", "96366 x1", "J2350 JZ x600"]),
    ("concurrent_minimum_minutes", 16, {}, [infused("J2350", 0, 60), infused("J2323", 55, 72)],
     ["96365 x1", "96368 x1", "J2323 JZ x300", "J2350 JZ x300"], ["96365 x1", "J2323 JZ x300", "J2350 JZ x300"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "fields", "given", "before", "after"), DATED, ids=[row[0] for row in DATED])
def test_an_override_changes_lines_from_its_first_day_on(
    name: str, value: Any, fields: Document, given: list[Document], before: list[str], after: list[str]
) -> None:
    policy = from_that_day(name, value)
    assert before != after
    assert claimed(on(str(FIRST_DAY - timedelta(days=1)), *given, **fields), policy) == before
    assert claimed(on(DAY, *given, **fields), policy) == after
    statement = read(on(DAY, *given, **fields), policy)
    theirs = [because for line in statement.lines for because in line.because if because.reading]
    said = {because.rule for because in theirs if because.reading and because.reading.whose == "Example Mutual"}
    assert name in said or any("Example Mutual" in finding.message for finding in statement.findings)
