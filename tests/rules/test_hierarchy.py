"""Which service is initial, which access comes first, and what every other service is beside them."""

from __future__ import annotations

import pytest

from tests.rules.shorthand import (
    Document,
    encounter,
    found,
    hydrated,
    infused,
    line_of,
    pushed,
    read,
    services,
    told,
)

HOSPITAL = "hospital_outpatient"
REASON = {"access_reason": "the first vein was lost"}
COMPLEX = {"administration_family": "complex"}


def without(record: Document, name: str) -> Document:
    return {key: value for key, value in record.items() if key != name}


# Accesses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["office", HOSPITAL])
@pytest.mark.parametrize(
    ("first_listed", "second_listed", "lines"),
    [
        # fluid comes after every drug, whatever it ran and wherever it is listed
        (hydrated(0, 100), infused("J2350", 0, 60), ["96360 59 x1", "96361 x1", "96365 x1"]),
        (hydrated(0, 60), pushed("J1200", 0), ["96360 59 x1", "96374 x1"]),
        (pushed("J1200", 0), infused("J2350", 0, 60), ["96365 x1", "96374 59 x1"]),
        # of two the longer one; of two as long the first listed
        (infused("J2323", 0, 60), infused("J2350", 0, 151), ["96365 59 x1", "96365 x1", "96366 x2"]),
        (infused("J2350", 0, 151), infused("J2323", 0, 60), ["96365 59 x1", "96365 x1", "96366 x2"]),
    ],
)
def test_the_access_whose_first_service_ranks_highest_has_no_modifier(
    setting: str, first_listed: Document, second_listed: Document, lines: list[str]
) -> None:
    document = encounter(first_listed, second_listed | {"access": "2"} | REASON, setting=setting)
    assert services(document) == lines


@pytest.mark.parametrize(("minutes", "first"), [(59, "a2"), (60, "a2"), (61, "a3")])
def test_of_two_accesses_with_fluid_alone_the_longer_one_comes_first(minutes: int, first: str) -> None:
    """Of two as long it is the one whose ordered fluid is listed first; what kept the line open is not counted."""
    given = [
        hydrated(0, 30, purpose="keep_open"),
        hydrated(0, 60, access="2", **REASON),
        hydrated(30, 30 + minutes),
    ]
    statement = read(encounter(*given))
    assert line_of(statement, "96360").administrations == (first,)
    assert line_of(statement, "96360", ["59"]).administrations == ("a3" if first == "a2" else "a2",)


def test_in_an_office_the_access_with_the_reason_for_the_visit_comes_first() -> None:
    given = [infused("J2350", 0, 151), pushed("J1200", 0, access="2", primary=True, **REASON)]
    assert services(encounter(*given)) == ["96365 59 x1", "96366 x2", "96374 x1"]
    assert services(encounter(*given, setting=HOSPITAL)) == ["96365 x1", "96366 x2", "96374 59 x1"]
    # one bag of two is enough
    fluid = [hydrated(0, 40, access="2", **REASON), hydrated(40, 80, access="2", primary=True)]
    assert services(encounter(given[0], *fluid)) == ["96360 x1", "96365 59 x1", "96366 x2"]


def test_an_access_without_a_reason_is_counted_on_the_first_one() -> None:
    given = [infused("J2350", 0, 60), pushed("J1200", 0), infused("J2323", 60, 120, access="2")]
    assert services(encounter(*given)) == ["96365 x1", "96367 x1", "96375 x1"]
    later = [*given, pushed("J2919", 70, access="2"), infused("J3380", 0, 60, access="3", **REASON)]
    assert services(encounter(*later)) == ["96365 59 x1", "96365 x1", "96367 x1", "96375 x2"]
    assert told(encounter(*later)).count("access.reason_missing") == 1


# The reason for the visit ---------------------------------------------------------------------------------------------


def test_one_bag_marked_as_the_reason_is_enough() -> None:
    given = [infused("J2323", 0, 120), infused("J2350", 120, 150), infused("J2350", 150, 180, primary=True)]
    statement = read(encounter(*given))
    assert line_of(statement, "96365").administrations == ("a2", "a3")
    assert line_of(read(encounter(*given, setting=HOSPITAL)), "96365").administrations == ("a1",)


SHORT_COMPLEX = infused("J3380", 200, 210)


@pytest.mark.parametrize(
    ("given", "lines", "initial"),
    [
        # a complex infusion beside it takes 96417, which hangs on 96413 alone
        ([pushed("J1200", 0, primary=True), infused("J2350", 0, 60)], ["96375 x1", "96413 x1"], "a2"),
        ([infused("J1200", 100, 140, primary=True), infused("J2350", 0, 60)], ["96367 x1", "96413 x1"], "a2"),
        (
            [SHORT_COMPLEX | {"primary": True}, infused("J2350", 0, 60), pushed("J1200", 0)],
            ["96375 x1", "96411 x1", "96413 x1"],
            "a2",
        ),
        # a complex push beside it takes 96411, which hangs on a complex code
        ([SHORT_COMPLEX, pushed("J1200", 0), pushed("J2919", 0, primary=True)], ["96375 x2", "96409 x1"], "a1"),
        # a complex infusion of its own loses nothing
        (
            [infused("J2323", 60, 90, primary=True), infused("J2350", 0, 60), pushed("J1200", 0)],
            ["96375 x1", "96413 x1", "96417 x1"],
            "a1",
        ),
    ],
)
def test_the_reason_gives_way_to_what_an_add_on_code_needs(
    given: list[Document], lines: list[str], initial: str
) -> None:
    document = encounter(*given, policy=COMPLEX)
    assert services(document) == lines
    [line] = [each for each in read(document).lines if each.code in ("96413", "96409")]
    assert line.administrations == (initial,)


def test_the_reason_gives_way_where_a_later_order_would_hang_on_nothing() -> None:
    """Its further hours are 96366, which needs an infusion code of its family; the complex ones are none."""
    reason, longest = infused("J1745", 130, 150, primary=True), infused("J2350", 0, 130)
    beside, later = infused("J2919", 30, 46), infused("J2919", 150, 190, order="B")
    document = encounter(reason, longest, beside, later, policy=COMPLEX)
    assert line_of(read(document), "96413").administrations == ("a2",)
    alone = encounter(reason, longest, beside, policy=COMPLEX)
    assert line_of(read(alone), "96413").administrations == ("a1",)
    inside = encounter(infused("J1745", 60, 80, primary=True), longest, beside, later, policy=COMPLEX)
    assert [each.code for each in read(inside).errors] == ["time.concurrent_complex"]


# Orders ---------------------------------------------------------------------------------------------------------------


def test_of_two_orders_of_one_drug_the_one_that_began_earlier_comes_first() -> None:
    """However late its last bag ran, and wherever it is listed."""
    one = [infused("J2350", 0, 30, order="A"), infused("J2350", 300, 400, order="A")]
    other = infused("J2350", 100, 160, order="B")
    statement = read(encounter(*one, other))
    assert line_of(statement, "96365").administrations == ("a1", "a2")
    assert services(encounter(*one, other)) == services(encounter(other, *one)) == ["96365 x1", "96366 x2"]


def test_bags_without_a_stop_are_one_push_where_the_payer_says_so() -> None:
    """Nothing is asked about the gap between bags that nobody saw the end of."""
    bags = [without(infused("J2350", at, at + 1), "stop") for at in (0, 100)]
    document = encounter(*bags, policy={"missing_stop_time": "push", "bag_change_minutes": 30})
    assert services(document) == ["96374 x1"]
    assert told(document) == ["time.counted_as_push"]


def test_the_longest_gap_between_bags_is_asked_about() -> None:
    bags = [infused("J2350", 0, 30), infused("J2350", 40, 60), infused("J2350", 100, 130)]
    finding = found(read(encounter(*bags)), "time.repeat_unclear")
    assert finding.administration == "a3"
    assert finding.message.startswith("Ocrelizumab stood still for 40 minutes")


@pytest.mark.parametrize(("times", "repeats"), [((40, 0, 71), ["a1", "a3"]), ((None, 0, 71), ["a2", "a3"])])
def test_pushes_of_one_drug_follow_each_other_by_their_times_where_all_have_one(
    times: tuple[int | None, ...], repeats: list[str]
) -> None:
    """Otherwise in the order in which they are listed."""
    statement = read(encounter(*[pushed("J1200", at) for at in times], setting=HOSPITAL))
    first = line_of(statement, "96374").administrations[0]
    assert sorted({"a1", "a2", "a3"} - {first}) == repeats
