"""What is one minute or one milligram away: each claim is checked against a record that really has it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infusion.services.away import LineChange, Margin, Near, Neighbourhood, changed_lines
from infusion.services.calculate import calculate, national_baseline, shipped_reference
from infusion.services.facts import Encounter
from infusion.services.reference import Reference
from infusion.services.wire import parse_encounter
from tests.rules.random_encounters import encounters
from tests.rules.shorthand import ZONE, Document, clock, encounter, infused, injected, pushed

BASELINE = national_baseline()


def around(document: Document, reference: Reference | None = None, **policy: Any) -> Neighbourhood:
    recorded = parse_encounter(document, ZONE).encounter
    rules, tables = BASELINE.with_inline(policy), reference or shipped_reference()
    return Neighbourhood(recorded, rules, tables, calculate(recorded, rules, tables))


def nearest(document: Document, measure: str, **policy: Any) -> list[tuple[int, list[str]]]:
    """How far each way, and what the lines would then be: [(1, ["96366 1->2"])]."""
    return [
        (int(near.by), [written(change) for change in near.changes])
        for near in around(document, **policy).nearest()
        if near.measure == measure
    ]


def written(change: LineChange) -> str:
    return " ".join([change.code, *change.modifiers, f"{change.was}->{change.now}"])


# Minutes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        # 60 + 30 past: one more minute reaches 31; 75 fewer leave 15, which is a push (16 - 1).
        (90, [(1, ["96366 0->1"]), (-75, ["96365 1->0", "96374 0->1"])]),
        (91, [(60, ["96366 1->2"]), (-1, ["96366 1->0"])]),
        (150, [(1, ["96366 1->2"]), (-60, ["96366 1->0"])]),
        (16, [(75, ["96366 0->1"]), (-1, ["96365 1->0", "96374 0->1"])]),
        (15, [(1, ["96365 0->1", "96374 1->0"])]),
    ],
)
def test_the_minute_that_changes_the_lines(minutes: int, expected: list[tuple[int, list[str]]]) -> None:
    found = nearest(encounter(infused("J1745", 0, minutes)), "minutes")
    assert [(by, sorted(changes)) for by, changes in found] == expected


def test_it_follows_the_rule_of_the_payer() -> None:
    """Under 30 minutes a second unit stands at 150, and one fewer takes it away."""
    found = nearest(encounter(infused("J1745", 0, 150)), "minutes", additional_hour_minimum_minutes=30)
    assert found == [(60, ["96366 2->3"]), (-1, ["96366 2->1"])]


def test_pauses_stay_as_they_are() -> None:
    """200 minutes less a pause of 20 are 180; a stop before the pause's end cannot be, and 29 fewer are 151."""
    found = nearest(encounter(infused("J1745", 0, 200, (100, 120))), "minutes")
    assert found == [(31, ["96366 2->3"]), (-30, ["96366 2->1"])]
    # 110 less 40 are 70; the pause ends at 105, so only 5 minutes can go, and they change nothing.
    assert nearest(encounter(infused("J1745", 0, 110, (65, 105))), "minutes") == [(21, ["96366 0->1"])]


def test_the_last_minute_that_can_go_may_be_the_one_that_counts() -> None:
    """114 less 40 are 74; the pause ends at 109, and with the 5 minutes after it the further hour goes."""
    found = nearest(encounter(infused("J1745", 0, 114, (69, 109))), "minutes", additional_hour_minimum_minutes=10)
    assert found == [(56, ["96366 1->2"]), (-5, ["96366 1->0"])]


def test_the_minutes_of_a_home_visit() -> None:
    visit = {"start": "2026-03-10T09:00", "stop": "2026-03-10T11:30"}
    found = nearest(encounter(infused("J1745", 0, 60), setting="home", visit=visit), "minutes")
    assert found == [(1, ["99602 0->1"])]


def test_a_night_on_which_the_clocks_change_is_counted_in_minutes_that_ran() -> None:
    """From 00:30 to 03:00 are 90 minutes: 02:00 to 03:00 does not exist."""
    times = {"start": "2026-03-08T00:30", "stop": "2026-03-08T03:00"}
    found = nearest(encounter(infused("J1745", 0, 1) | times, date_of_service="2026-03-08"), "minutes")
    assert found[0] == (1, ["96366 0->1"])


def test_each_time_is_told_of_by_its_own_record() -> None:
    """The second infusion at 15 minutes is a push; a visit is moved as a whole and belongs to no record."""
    found = around(encounter(infused("J1745", 0, 91), infused("J2323", 91, 106))).nearest()
    by_record = {(near.administration, int(near.by)) for near in found if near.measure == "minutes"}
    assert by_record == {("a1", 60), ("a1", -1), ("a2", 1)}
    visit = {"start": clock(0), "stop": clock(151)}
    found = around(encounter(infused("J1745", 0, 60), setting="home", visit=visit)).nearest()
    assert [(near.administration, int(near.by)) for near in found if near.measure == "minutes"] == [("", 60), ("", -1)]


def test_a_visit_counts_at_home_alone_and_with_both_its_times() -> None:
    given = infused("J1745", 0, 90)
    for visit in (None, {"start": clock(0)}, {"stop": clock(150)}):
        assert nearest(encounter(given, setting="home", visit=visit), "minutes") == []
    both = {"start": clock(0), "stop": clock(150)}
    in_an_office = nearest(encounter(given, visit=both), "minutes")
    assert in_an_office == nearest(encounter(given), "minutes")


def test_only_the_record_that_holds_up_the_lines_can_let_them_through() -> None:
    """25 hours are too long, an hour less is not; the other infusion changes nothing, however long it runs."""
    found = around(encounter(infused("J1745", 0, 60), infused("J2323", 0, 1500))).nearest()
    assert [(near.administration, near.by) for near in found if near.measure == "minutes"] == [("a2", -60)]


def test_what_has_no_times_has_no_neighbours() -> None:
    unclear = infused("J1745", 0, 60) | {"start": "2026-03-08T01:30", "stop": "2026-03-08T02:30"}
    assert nearest(encounter(unclear, date_of_service="2026-03-08"), "minutes") == []
    assert nearest(encounter(pushed("J1200")), "minutes") == []
    assert nearest(encounter(pushed("J1200", 0)), "minutes") == []
    undated = encounter(ocrelizumab("580", ("20", "vial_remainder"))) | {"date_of_service": None}
    for name in ("start", "stop"):
        del undated["administrations"][0][name]
    assert around(undated).nearest() == around(undated).margins() == ()
    assert nearest(encounter(injected("J1745", administered=None)), "mg") == []


# Milligrams -----------------------------------------------------------------------------------------------------------


def ocrelizumab(administered: str, *discards: tuple[str, str], vials: int = 2, **more: Any) -> Document:
    return infused("J2350", 0, 150) | {
        "ordered": administered, "administered": administered, "vials": [{"amount": "300", "count": vials}],
        "discards": [{"amount": amount, "reason": reason} for amount, reason in discards],
    } | more  # fmt: skip


def test_the_milligram_that_changes_the_lines() -> None:
    found = nearest(encounter(ocrelizumab("580", ("20", "vial_remainder"))), "mg")
    assert found == [(1, ["J2350 580->581", "J2350 JW 20->19"]), (-1, ["J2350 580->579", "J2350 JW 20->21"])]


def test_the_last_milligram_of_a_vial_may_be_given() -> None:
    found = nearest(encounter(ocrelizumab("599", ("1", "vial_remainder"))), "mg")
    assert found[0] == (1, ["J2350 599->0", "J2350 JW 1->0", "J2350 JZ 0->600"])


def test_vials_that_hold_no_more_have_no_milligram_above() -> None:
    assert nearest(encounter(ocrelizumab("600")), "mg") == [(-1, ["J2350 JZ 600->0", "J2350 0->599", "J2350 JW 0->1"])]


def test_a_unit_of_ten_milligrams_is_reached_in_whole_milligrams() -> None:
    """395 mg of 10 mg a unit are 40 units; 400 in all, so 5 discarded are none. 6 more would be too much."""
    document = infused("J1745", 0, 120) | {
        "ordered": "395", "administered": "395", "vials": [{"amount": "100", "count": 4}],
        "discards": [{"amount": "5", "reason": "vial_remainder"}],
    }  # fmt: skip
    # 390 are 39 units, and the 10 discarded are one.
    assert nearest(encounter(document), "mg") == [(-5, ["J1745 JZ 40->0", "J1745 0->39", "J1745 JW 0->1"])]


@pytest.mark.parametrize(
    ("given", "rest", "expected"),
    [
        ("0.5", "299.5", [(1, ["J2350 1->2", "J2350 JW 299->298"])]),  # half a milligram is one unit, as is the whole
        ("1", "299", [(1, ["J2350 1->2", "J2350 JW 299->298"])]),
        ("2", "298", [(1, ["J2350 2->3", "J2350 JW 298->297"]), (-1, ["J2350 2->1", "J2350 JW 298->299"])]),
        ("0", "300", []),  # what was not given has no line, and no milligram is near one
    ],
)
def test_the_smallest_doses(given: str, rest: str, expected: list[tuple[int, list[str]]]) -> None:
    dose = ocrelizumab(given, (rest, "vial_remainder"), vials=1, ordered="300")
    assert nearest(encounter(dose), "mg") == expected
    # beside a drug of which nothing was given, a dose of nothing is no neighbour either
    nothing = infused("J2323", 200, 300, administered="0", discards=[{"amount": "300", "reason": "vial_remainder"}])
    assert nearest(encounter(dose, nothing), "mg") == expected


def test_milligrams_are_counted_in_units_where_those_are_smaller() -> None:
    [row] = shipped_reference().drugs["J2350"]
    halves = shipped_reference().with_drugs([replace(row, billing_unit=Decimal("0.5"))])
    document = encounter(ocrelizumab("580", ("20", "vial_remainder")))
    found = [near.by for near in around(document, halves).nearest() if near.measure == "mg"]
    assert found == [Decimal("0.5"), Decimal("-0.5")]
    authorization = [margin.mg for margin in around(document, halves, **limited("580.4")).margins()]
    assert authorization[0] == 0
    authorization = [margin.mg for margin in around(document, halves, **limited("580.5")).margins()]
    assert authorization[0] == Decimal("0.5")


@pytest.mark.parametrize(
    ("reason", "may_be_given"),
    [
        ("vial_remainder", True), ("stopped_early", True), ("broken_or_spilled", True), ("line_residual", True),
        ("overfill", False), ("prepared_not_given", False),
    ],
)  # fmt: skip
def test_what_was_drawn_up_for_the_dose_could_have_been_given(reason: str, may_be_given: bool) -> None:
    """Two discards of 5 mg: giving 6 takes all of one and a part of the other."""
    opened = {} if reason != "overfill" else {"vials": [{"amount": "290"}, {"amount": "300"}]}
    document = encounter(ocrelizumab("590", ("5", reason), ("5", reason)) | opened)
    more = [int(near.by) for near in around(document).nearest() if near.measure == "mg" and near.by > 0]
    assert more == ([1] if may_be_given else [])
    policy = {"drugs": {"J2350": {"prior_authorization": "above_dose", "prior_authorization_dose_limit": "596"}}}
    assert margins(document, **policy)[0] == ("authorization.required", Decimal(6))
    daily = [mg for finding, mg in margins(document) if finding == "units.above_mue"]
    assert daily == [Decimal(10)]


def test_what_was_discarded_for_another_reason_gives_way_as_well() -> None:
    document = ocrelizumab("590", ("4", "overfill"), ("10", "broken_or_spilled"))
    assert nearest(encounter(document), "mg") == [
        (1, ["J2350 JZ 590->591"]),
        (-1, ["J2350 JZ 590->0", "J2350 0->589", "J2350 JW 0->1"]),
    ]
    assert nearest(encounter(ocrelizumab("600", ("4", "overfill"))), "mg")[0][0] == -1


# Limits ---------------------------------------------------------------------------------------------------------------


def margins(document: Document, **policy: Any) -> list[tuple[str, Decimal]]:
    return [(margin.finding, margin.mg) for margin in around(document, **policy).margins()]


def limited(amount: str) -> Document:
    return {"drugs": {"J2350": {"prior_authorization": "above_dose", "prior_authorization_dose_limit": amount}}}


def test_how_much_is_left_until_an_authorization_is_asked_for() -> None:
    """480 of 600: 120 mg away; at 600 itself nothing is left, and above it the finding stands already."""
    document = encounter(ocrelizumab("480", ("120", "vial_remainder")))
    assert margins(document, **limited("600"))[0] == ("authorization.required", Decimal(120))
    assert margins(document, **limited("599"))[0] == ("authorization.required", Decimal(119))
    assert margins(encounter(ocrelizumab("600")), **limited("600"))[0] == ("authorization.required", Decimal(0))
    assert [finding for finding, _ in margins(document, **limited("479"))] == ["units.above_mue"]


def test_an_authorization_that_is_always_asked_for_has_no_margin() -> None:
    policy = {"drugs": {"J2350": {"prior_authorization": "always", "prior_authorization_dose_limit": "900"}}}
    found = margins(encounter(ocrelizumab("480", ("120", "vial_remainder"))), **policy)
    assert [finding for finding, _ in found] == ["units.above_mue"]


def test_how_much_is_left_until_the_usual_daily_limit() -> None:
    """600 units a day: 300 given in an office leave 300 mg, in a hospital as well."""
    for setting in ("office", "hospital_outpatient"):
        document = encounter(ocrelizumab("300", vials=1), setting=setting)
        assert margins(document) == [("units.above_mue", Decimal(300))]


def test_a_margin_says_what_would_be_said_beyond_it() -> None:
    [margin] = around(encounter(ocrelizumab("300", vials=1))).margins()
    assert margin == Margin("J2350", "units.above_mue", Decimal(300), margin.message)
    assert margin.message.startswith("601 units of J2350 are above")


def test_a_limit_of_another_code_is_not_that_of_the_drug() -> None:
    """Ten hours are nine further ones, above eight a day; of the drug 300 units more would do."""
    document = encounter(infused("J2350", 0, 600))
    assert margins(document) == [("units.above_mue", Decimal(300))]
    policy = {"prior_authorization": "above_dose", "prior_authorization_dose_limit": "320"}
    two = encounter(ocrelizumab("300", vials=1), infused("J2323", 200, 300))
    own = {"drugs": {"J2350": policy | {"prior_authorization_dose_limit": "299"}, "J2323": policy}}
    assert ("authorization.required", Decimal(20)) in margins(two, **own)


def test_more_is_opened_from_containers_of_the_same_kind() -> None:
    """From a multi-dose container whose discard this payer takes: 200 given and 100 discarded, 300 until 600."""
    vials = [{"amount": "300", "single_dose": False}]
    document = encounter(ocrelizumab("200", ("100", "prepared_not_given")) | {"vials": vials})
    policy = {"billable_discard_containers": "all", "billable_discard_reasons": ["prepared_not_given"]}
    assert margins(document, **policy) == [("units.above_mue", Decimal(300))]


def test_a_limit_is_of_what_was_ordered_where_that_is_more() -> None:
    document = encounter(ocrelizumab("480", ("120", "stopped_early"), ordered="600"))
    assert margins(document, **limited("700"))[0] == ("authorization.required", Decimal(100))


def test_two_bags_of_one_drug_share_a_limit() -> None:
    later = ocrelizumab("300", vials=1) | {"start": "2026-03-10T12:00", "stop": "2026-03-10T13:00"}
    assert margins(encounter(ocrelizumab("300", vials=1), later)) == [("units.above_mue", Decimal(0))]


def test_a_limit_that_is_passed_has_no_margin() -> None:
    later = ocrelizumab("600") | {"start": "2026-03-10T12:00", "stop": "2026-03-10T13:00"}
    assert margins(encounter(ocrelizumab("600"), later)) == []


def test_what_was_discarded_is_given_before_another_vial_counts() -> None:
    """480 given and 120 discarded are 600 units: giving the 120 adds none, and one more makes 601."""
    assert margins(encounter(ocrelizumab("480", ("120", "vial_remainder")))) == [("units.above_mue", Decimal(120))]


def test_nothing_more_is_opened_while_there_is_something_left_to_give() -> None:
    """590 of 900 mg were given, and what was left is not billed: 601 units are reached out of the same vials."""
    document = encounter(ocrelizumab("590", ("310", "stopped_early"), vials=3, ordered="900"))
    assert margins(document, discarded_drug="not_billed") == [("units.above_mue", Decimal(10))]


def test_a_limit_that_nothing_reaches_has_no_margin() -> None:
    """No dose that anyone could give is above a million milligrams."""
    document = encounter(ocrelizumab("300", vials=1))
    assert margins(document, **limited("999999999")) == [("units.above_mue", Decimal(300))]
    assert margins(document, **limited("1048875"))[0] == ("authorization.required", Decimal(1_048_575))
    assert margins(document, **limited("1048876")) == [("units.above_mue", Decimal(300))]


def test_a_vial_may_be_missing() -> None:
    """A drug without a line has no limits to tell of; a supplied one at a nominal charge has."""
    document = encounter(ocrelizumab("480") | {"vials": [], "acquired": "supplied"})
    assert margins(document, **limited("600")) == []
    policy = {"drugs": {"J2350": limited("600")["drugs"]["J2350"] | {"supplied_drug_line": "nominal_charge"}}}
    assert margins(document, **policy)[0] == ("authorization.required", Decimal(120))


# Any encounter --------------------------------------------------------------------------------------------------------


def with_stop(recorded: Encounter, near: Near) -> Encounter:
    """The record with the stop that many minutes later, written by hand."""
    rows = []
    for each in recorded.administrations:
        if each.id == near.administration and each.stop is not None:
            stop: datetime = each.stop + timedelta(minutes=int(near.by))
            each = replace(each, stop=stop)
        rows.append(each)
    return replace(recorded, administrations=tuple(rows))


@pytest.mark.parametrize("document", list(encounters(seed=5, count=60)), ids=lambda document: str(document["id"]))
def test_what_is_said_to_be_away_is_what_the_rules_say_there(document: Document) -> None:
    asked = parse_encounter(document, ZONE)
    rules = BASELINE.with_inline(asked.policy)
    neighbourhood = Neighbourhood(
        asked.encounter, rules, shipped_reference(), calculate(asked.encounter, rules, shipped_reference())
    )
    for near in neighbourhood.nearest():
        assert near.changes
        if near.measure == "minutes" and near.administration and asked.encounter.date_of_service:
            there = calculate(with_stop(asked.encounter, near), rules, shipped_reference())
            assert changed_lines(neighbourhood.statement.lines, there.lines) == near.changes
    neighbourhood.margins()
