"""What payers decide beyond the common rules: each parameter on both sides of its threshold, and of its first day.

The last table has one row for each of them: what an override from that day on changes, and that the day before stays.
"""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from infusion.services.reference import shipped_reference
from infusion.services.wire import statement_document
from payers.policy import BASELINE, Layer, PayerPolicy
from tests.rules.shorthand import (
    DAY,
    claimed,
    clock,
    drugs,
    encounter,
    errors,
    found,
    hydrated,
    infused,
    injected,
    line_of,
    on,
    pushed,
    read,
    reasons,
    services,
    told,
    written,
)
from tests.rules.test_findings import check_sentence

Document = dict[str, Any]
HOSPITAL = "hospital_outpatient"


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
    said = "counts a change of bags of up to 5 minutes as running: here 5 minutes in all"
    for line in ("96365 x1", "96366 x1"):
        assert said in reasons(statement, line)
        assert "Without them it ran 90 minutes" in reasons(statement, line)
    assert line_of(statement, "96365").minutes == 95
    assert "change of bags" not in reasons(read(under({"bag_change_minutes": 4}, *two_bags(5))), "96365 x1")


def test_a_bag_change_may_make_an_infusion_of_a_push() -> None:
    bags = [infused("J2350", 0, 7), infused("J2350", 10, 18)]
    assert services(encounter(*bags)) == ["96374 x1"]
    assert services(under({"bag_change_minutes": 3}, *bags)) == ["96365 x1"]
    short = [infused("J2350", 0, 7), infused("J2350", 9, 13)]
    statement = read(under({"bag_change_minutes": 3}, *short))
    assert "here 2 minutes in all" in reasons(statement, "96374 x1")


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
    longer = read(under({"bag_change_minutes": 5}, hydrated(0, 141), *bags))
    assert "counts for the drug, and not as hydration" in reasons(longer, "96361 x1")
    rules = [because.rule for because in line_of(longer, "96361").because]
    hour = "additional_hour_minimum_minutes"
    assert rules == ["hydration_minimum_minutes", "bag_change_minutes", "hydration_beside_drug", hour]


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
        assert f"asks for {needed} shared minutes, and they share {shared}" in reasons(read(document), "96368 x1")
    if not reported:
        message = found(read(document), "infusion.concurrent_too_short").message
        assert f"asks for {needed} shared minutes" in message
        assert f"shares {shared}, so" in message


def test_a_drug_that_shares_enough_is_reported_beside_one_that_does_not() -> None:
    given = [infused("J2350", 0, 120), infused("J2323", 0, 20), infused("J3380", 40, 55), infused("J3380", 110, 125)]
    document = under({"concurrent_minimum_minutes": 20, "drugs": {"J3380": {"concurrent_minimum_minutes": 26}}}, *given)
    [line] = [line for line in read(document).lines if line.code == "96368"]
    assert (line.units, line.administrations) == (1, ("a2",))


# Discarded drug -----------------------------------------------------------------------------------------------------


def part_of(drug: str, given: str, vials: list[str], rest: str, **more: Any) -> Document:
    """A dose out of these vials, and what was thrown away of the rest."""
    discards = [{"amount": rest, "reason": "vial_remainder"}] if rest != "0" else []
    opened = [{"amount": size} | more for size in vials]
    return infused(drug, 0, 60, administered=given, vials=opened, discards=discards)


@pytest.mark.parametrize(
    ("drug", "given", "vial", "rest", "lines"),
    [
        ("J2350", "280", "300", "20", ["J2350 x280"]),  # one dose for everybody
        ("J2350", "299.5", "300", "0.5", ["J2350 JZ x300"]),  # no unit, so nothing to leave out
        ("J2350", "300", "300", "0", ["J2350 JZ x300"]),
        ("J1745", "80", "100", "20", ["J1745 JW x2", "J1745 x8"]),  # by weight
        ("J2919", "100", "125", "25", ["J2919 JW x5", "J2919 x20"]),  # by need
    ],
)
def test_discard_of_a_fixed_dose_may_be_left_out(drug: str, given: str, vial: str, rest: str, lines: list[str]) -> None:
    policy = {"billable_discard_drugs": "variable_dose"}
    assert drugs(under(policy, part_of(drug, given, [vial], rest))) == lines
    for treatment in ("combined_line", "not_billed"):
        left_out = under(policy | {"discarded_drug": treatment}, part_of("J2350", "280", ["300"], "20"))
        assert drugs(left_out) == ["J2350 x280"]


def test_the_reason_says_how_the_drug_is_dosed() -> None:
    policy = {"billable_discard_drugs": "variable_dose"}
    fixed = read(under(policy, part_of("J2350", "280", ["300"], "20")))
    assert "ocrelizumab has a fixed dose, so there is no JW line" in reasons(fixed, "J2350 x280")
    by_weight = read(under(policy, part_of("J1745", "80", ["100"], "20")))
    assert "infliximab is dosed by weight" in reasons(by_weight, "J1745 JW x2")
    by_need = read(under(policy, part_of("J2919", "100", ["125"], "25")))
    assert "methylprednisolone sodium succinate is dosed by need" in reasons(by_need, "J2919 JW x5")


def test_discard_of_a_drug_whose_dosing_nobody_stated_is_not_billed_and_told() -> None:
    reference = shipped_reference()
    [row] = reference.drugs["J1745"]
    silent = reference.with_drugs([replace(row, dosing="", dosing_source="")])
    document = under({"billable_discard_drugs": "variable_dose"}, part_of("J1745", "80", ["100"], "20"))
    statement = read(document, reference=silent)
    assert [written(line) for line in statement.lines if line.kind == "drug"] == ["J1745 x8"]
    assert "have the drug's row completed" in found(statement, "waste.dosing_unknown").message
    check_sentence(found(statement, "waste.dosing_unknown").message)
    assert "waste.dosing_unknown" not in {finding.code for finding in read(document).findings}


@pytest.mark.parametrize(
    ("given", "rest", "baseline", "all_containers"),
    [
        ("300", "0", ["J2350 x300"], ["J2350 x300"]),  # never JZ
        ("299.5", "0.5", ["J2350 x300"], ["J2350 x300"]),
        ("299", "1", ["J2350 x299"], ["J2350 JW x1", "J2350 x299"]),
        ("280", "20", ["J2350 x280"], ["J2350 JW x20", "J2350 x280"]),
        ("280", "10", ["J2350 x280"], ["J2350 JW x10", "J2350 x280"]),  # 10 mg still in the vial
    ],
)
def test_discard_from_a_multi_dose_container(
    given: str, rest: str, baseline: list[str], all_containers: list[str]
) -> None:
    dose = part_of("J2350", given, ["300"], rest, single_dose=False)
    assert drugs(encounter(dose)) == baseline
    taken = under({"billable_discard_containers": "all"}, dose)
    assert drugs(taken) == all_containers
    if len(all_containers) > 1:
        assert "from multi-dose containers too" in reasons(read(taken), all_containers[0])


def test_discard_from_two_kinds_of_containers_is_not_told_apart() -> None:
    mixed = infused("J2350", 0, 60, administered="580", discards=[{"amount": "20", "reason": "vial_remainder"}],
                    vials=[{"amount": "300"}, {"amount": "300", "single_dose": False}])  # fmt: skip
    document = under({"billable_discard_containers": "all"}, mixed)
    assert drugs(document) == ["J2350 x580"]
    assert found(read(document), "vials.kinds_mixed")


@pytest.mark.parametrize(
    ("given", "rest", "units", "above"),
    [
        ("410", "90", 9, 0),
        ("400", "100", 10, 0),  # the smallest vial holds 100 mg, 10 units
        ("391", "109", 10, 0),
        ("390", "110", 10, 1),
        ("300", "200", 10, 10),
    ],
)
def test_discarded_units_up_to_the_smallest_vial(given: str, rest: str, units: int, above: int) -> None:
    document = under({"maximum_discarded_units": "smallest_vial"}, part_of("J9312", given, ["500"], rest))
    statement = read(document)
    line = line_of(statement, "J9312", ["JW"])
    assert line.units == units
    said = [finding.message for finding in statement.findings if finding.code == "waste.above_limit"]
    assert len(said) == bool(above)
    if above:
        assert f"takes 10 discarded units of rituximab at most, so {above} more" in said[0]
        assert f"10 units of the {units + above}" in reasons(statement, f"J9312 JW x{units}")
    together = dict(document["policy"], discarded_drug="combined_line")
    dose = -(-int(given) // 10)
    assert drugs(document | {"policy": together}) == [f"J9312 x{dose + units}"]


def test_discard_above_the_limit_has_no_quantity_either() -> None:
    dose = part_of("J9312", "300", ["500"], "200", ndc="50242-0053-06")
    statement = read(under({"maximum_discarded_units": "smallest_vial"}, dose))
    assert [str(each.quantity) for each in line_of(statement, "J9312", ["JW"]).ndcs] == ["10.000"]  # 100 mg at 10 mg/mL


# Lines of one drug --------------------------------------------------------------------------------------------------

ONE, OTHER = "11111-1111-11", "22222-2222-22"


def from_vials(given: str, rest: str, *vials: tuple[str, str]) -> Document:
    """Infliximab, 10 mg a unit, from 100 mg vials with these amounts and NDCs."""
    opened = [{"amount": size, "ndc": ndc} for size, ndc in vials]
    discards = [{"amount": rest, "reason": "vial_remainder"}] if rest != "0" else []
    return infused("J1745", 0, 60, administered=given, vials=opened, discards=discards)


def listed(document: Document) -> list[str]:
    """Each drug line with its NDCs: "J1745 JZ x10 of 11111111111"."""
    lines = [line for line in read(document).lines if line.kind == "drug"]
    return [" and ".join([f"{written(line)} of", *(each.ndc for each in line.ndcs)]).replace("of and", "of")
            for line in lines]  # fmt: skip


A, B = "11111111111", "22222222222"


@pytest.mark.parametrize(
    ("given", "rest", "vials", "lines"),
    [
        ("200", "0", [("100", ONE), ("100", ONE)], [f"J1745 JZ x20 of {A}"]),
        ("200", "0", [("100", ONE), ("100", OTHER)], [f"J1745 JZ x10 of {A}", f"J1745 JZ x10 of {B}"]),
        # listed again after the other one, and still one line
        ("300", "0", [("100", ONE), ("100", OTHER), ("100", ONE)], [f"J1745 JZ x20 of {A}", f"J1745 JZ x10 of {B}"]),
        # 20.1 units are 21, of which the first 10 are of one vial
        ("201", "99", [("100", ONE), ("100", ONE), ("100", OTHER)],
         [f"J1745 x20 of {A}", f"J1745 x1 of {B}", f"J1745 JW x9 of {B}"]),
        ("150", "50", [("100", ONE), ("100", OTHER)],
         [f"J1745 x10 of {A}", f"J1745 x5 of {B}", f"J1745 JW x5 of {B}"]),
        # 95 mg are 10 units already, so the 5 mg of the other vial have none of their own
        ("100", "0", [("95", ONE), ("5", OTHER)], [f"J1745 JZ x10 of {A} and {B}"]),
        ("101", "0", [("95", ONE), ("6", OTHER)], [f"J1745 JZ x10 of {A}", f"J1745 JZ x1 of {B}"]),
        # an NDC that is not known is a portion as well
        ("200", "0", [("100", ""), ("100", OTHER)], ["J1745 JZ x10 of", f"J1745 JZ x10 of {B}"]),
    ],
)  # fmt: skip
def test_a_line_for_each_ndc(given: str, rest: str, vials: list[tuple[str, str]], lines: list[str]) -> None:
    document = encounter(from_vials(given, rest, *vials))
    apart = document | {"policy": {"separate_ndc_lines": True}}
    assert listed(apart) == lines
    for modifiers in {line.modifiers for line in read(document).lines if line.kind == "drug"}:
        [together] = [line for line in read(document).lines if (line.code, line.modifiers) == ("J1745", modifiers)]
        parts = [line for line in read(apart).lines if (line.code, line.modifiers) == ("J1745", modifiers)]
        assert sum(line.units for line in parts) == together.units
        quantities = [each.quantity for line in parts for each in line.ndcs]
        assert sum(quantities) == sum(each.quantity for each in together.ndcs)
        if len(parts) > 1:
            assert "takes a line for each NDC" in " ".join(because.text for because in parts[0].because)


def test_units_that_no_recorded_vial_holds_stay_with_the_last_ndc() -> None:
    """Of a drug that the site did not buy not every vial has to be recorded."""
    dose = from_vials("300", "0", ("100", ONE), ("100", OTHER)) | {"acquired": "supplied"}
    policy = {"separate_ndc_lines": True, "supplied_drug_line": "nominal_charge"}
    assert listed(under(policy, dose)) == [f"J1745 x10 of {A}", f"J1745 x20 of {B}"]


def test_overfill_that_is_billed_stays_with_the_last_ndc() -> None:
    """What no vial's label holds has no NDC of its own."""
    dose = from_vials("200", "0", ("100", ONE), ("100", OTHER))
    dose["discards"] = [{"amount": "30", "reason": "overfill"}]
    dose |= {"administered": "150", "discards": [*dose["discards"], {"amount": "50", "reason": "vial_remainder"}]}
    policy = {"separate_ndc_lines": True, "discarded_drug": "combined_line",
              "billable_discard_reasons": ["vial_remainder", "overfill"]}  # fmt: skip
    assert listed(under(policy, dose)) == [f"J1745 x10 of {A}", f"J1745 x10 of {B}"]
    quantities = [each.quantity for line in read(under(policy, dose)).lines for each in line.ndcs]
    assert quantities == [1, 1]


@pytest.mark.parametrize(
    ("how", "most", "lines", "denied"),
    [
        ("any", 10, [f"J1745 x10 of {A}", f"J1745 x5 of {B}"], None),
        ("one", 10, [f"J1745 x15 of {A} and {B}"], None),
        ("one_paid", 10, [f"J1745 x10 of {A}", f"J1745 x5 of {B}"], 5),
        ("one_paid", 9, [f"J1745 x9 of {A}", f"J1745 x1 of {A}", f"J1745 x5 of {B}"], 6),
        ("one", 9, [f"J1745 x15 of {A} and {B}"], None),
    ],
)
def test_lines_of_what_was_given_on_one_day(how: str, most: int, lines: list[str], denied: int | None) -> None:
    policy = {"separate_ndc_lines": True, "maximum_units_per_line": most, "administered_lines_per_day": how}
    document = under(policy, from_vials("150", "50", ("100", ONE), ("100", OTHER)))
    # Discarded drug is not counted: its line may follow, and may be split.
    assert listed(document) == [*lines, f"J1745 JW x5 of {B}"]
    messages = [each.message for each in read(document).findings if each.code == "drug.lines_denied"]
    assert len(messages) == (denied is not None)
    if denied:
        assert f"{denied} units of J1745 will be denied" in messages[0]
    if how == "one":
        assert "all units stay on this one" in reasons(read(document), "J1745 x15")


def test_one_line_of_what_was_given_may_have_several_of_what_was_discarded() -> None:
    policy = {"maximum_units_per_line": 3, "administered_lines_per_day": "one"}
    document = under(policy, from_vials("150", "50", ("200", ONE)))
    assert drugs(document) == ["J1745 JW x2", "J1745 JW x3", "J1745 x15"]


@pytest.mark.parametrize(("most", "lines"), [(15, ["J1745 JZ x15"]), (14, ["J1745 JZ x1", "J1745 JZ x14"])])
def test_one_line_is_told_of_only_where_there_would_be_more(most: int, lines: list[str]) -> None:
    dose = from_vials("150", "0", ("150", ONE))
    assert drugs(under({"maximum_units_per_line": most}, dose)) == lines
    merged = read(under({"maximum_units_per_line": most, "administered_lines_per_day": "one"}, dose))
    assert ("pays one line a day" in reasons(merged, "J1745 JZ x15")) == (most < 15)


# Earlier doses ------------------------------------------------------------------------------------------------------


def earlier(*doses: tuple[str, str, str]) -> list[Document]:
    return [{"date_of_service": on, "drug": drug, "administered": given} for on, drug, given in doses]


def warned(document: Document) -> list[str]:
    return [code for code in told(document) if code.startswith(("dose.", "units.above_dose", "units.above_period"))]


@pytest.mark.parametrize(("most", "above"), [(301, False), (300, False), (299, True)])
def test_units_of_one_dose(most: int, above: bool) -> None:
    document = under({"maximum_units_per_dose": most}, infused("J2350", 0, 60))
    assert warned(document) == (["units.above_dose_limit"] if above else [])
    if above:
        assert (
            "takes 299 units of ocrelizumab for one dose at most, and 300 were"
            in found(read(document), "units.above_dose_limit").message
        )


def test_discarded_units_and_supplied_drug_are_no_part_of_a_dose() -> None:
    policy = {"maximum_units_per_dose": 280, "maximum_units_per_period": 280, "minimum_days_between_doses": 300}
    dose = part_of("J2350", "280", ["300"], "20")
    assert warned(under(policy, dose, past_doses=[])) == []
    supplied = infused("J2350", 0, 60, acquired="supplied")
    assert warned(under(policy, supplied)) == []


@pytest.mark.parametrize(
    ("most", "on_day", "above"),
    [
        (600, "2025-09-11", False),  # 300 + 300
        (599, "2025-09-11", True),
        (599, "2025-09-10", False),  # the same day six months ago has dropped out
        (599, "2025-09-09", False),
        (599, "2026-03-10", True),  # earlier that day
        (599, "2026-03-11", False),  # later, so not an earlier dose
        (300, "2020-01-01", False),
        (299, "2020-01-01", True),
    ],
)
def test_units_over_some_months(most: int, on_day: str, above: bool) -> None:
    past = earlier((on_day, "J2350", "300"), ("2026-03-01", "J1745", "300"))
    document = under({"maximum_units_per_period": most}, infused("J2350", 0, 60), past_doses=past)
    assert warned(document) == (["units.above_period_limit"] if above else [])


@pytest.mark.parametrize(("months", "above"), [(5, False), (6, False), (7, True), (36, True)])
def test_months_over_which_units_are_added_up(months: int, above: bool) -> None:
    past = earlier(("2025-09-10", "J2350", "299.5"))
    policy = {"maximum_units_per_period": 599, "units_period_months": months}
    document = under(policy, infused("J2350", 0, 60), past_doses=past)
    assert warned(document) == (["units.above_period_limit"] if above else [])
    if above:
        message = found(read(document), "units.above_period_limit").message
        assert "With 300 of earlier doses there are 600" in message


def test_a_month_without_that_day_ends_on_its_last() -> None:
    past = earlier(("2025-08-31", "J2350", "300"))
    policy = {"maximum_units_per_period": 300}
    assert warned(on("2026-02-27", infused("J2350", 0, 60), policy=policy, past_doses=past)) != []
    assert warned(on("2026-02-28", infused("J2350", 0, 60), policy=policy, past_doses=past)) == []


@pytest.mark.parametrize(
    ("days", "last", "soon"),
    [
        (14, "2026-02-25", True),  # 13 days
        (14, "2026-02-24", False),
        (14, "2026-02-23", False),
        (1, "2026-03-10", True),
        (1, "2026-03-09", False),
        (999, "2026-03-11", False),
    ],
)
def test_days_between_two_doses(days: int, last: str, soon: bool) -> None:
    past = earlier(("2025-01-01", "J2350", "300"), (last, "J2350", "300"), ("2026-03-09", "J1745", "300"))
    if last > DAY:
        past = past[1:]
    document = under({"minimum_days_between_doses": days}, infused("J2350", 0, 60), past_doses=past)
    assert warned(document) == (["dose.too_soon"] if soon else [])
    if soon:
        assert f"The last one was on {last}" in found(read(document), "dose.too_soon").message


def test_a_missing_history_names_who_limits_the_doses() -> None:
    both = {"maximum_units_per_period": 400, "minimum_days_between_doses": 14}
    for policy in (both, {"minimum_days_between_doses": 14}):
        message = found(read(under(policy, infused("J2350", 0, 60))), "dose.history_missing").message
        assert message.startswith("Given with this encounter limits how often ocrelizumab is given")


@pytest.mark.parametrize("name", ["maximum_units_per_period", "minimum_days_between_doses"])
def test_doses_that_nobody_told_of_are_asked_about_where_they_matter(name: str) -> None:
    document = under({name: 400}, infused("J2350", 0, 60))
    assert warned(document) == ["dose.history_missing"]
    assert warned(document | {"past_doses": []}) == []
    assert warned(under({"maximum_units_per_dose": 400}, infused("J2350", 0, 60))) == []


# Midnight -----------------------------------------------------------------------------------------------------------

NIGHT = 15 * 60  # minutes from 09:00 to midnight
PER_DAY = {"infusion_past_midnight": "per_day"}


def dated(document: Document) -> list[str]:
    """The lines for giving the drugs, those of the next day with their date."""
    return [f"{written(line)}{f' on {line.date_of_service}' if line.date_of_service else ''}"
            for line in read(document).lines if line.kind == "administration"]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "minutes", "lines", "cut"),
    [
        (-60, 60, ["96365 x1"], False),
        (-60, 90, ["96365 x1"], False),  # 30 minutes of the next day earn nothing
        (-60, 91, ["96365 x1", "96366 x1 on 2026-03-11"], False),  # 60 + 31, begun at midnight
        (-61, 92, ["96365 x1", "96366 x1"], True),  # begun at 23:59
        (-59, 91, ["96365 x1", "96366 x1 on 2026-03-11"], True),  # the first hour ends at 00:01
        (-120, 240, ["96365 x1", "96366 x1", "96366 x2 on 2026-03-11"], False),
        (-90, 240, ["96365 x1", "96366 x1", "96366 x2 on 2026-03-11"], True),
        (-10, 15, ["96374 x1"], False),
        (-10, 16, ["96365 x1"], True),
    ],
)
def test_units_after_midnight_are_dated_by_their_day(start: int, minutes: int, lines: list[str], cut: bool) -> None:
    given = infused("J2350", NIGHT + start, NIGHT + start + minutes)
    document = under(PER_DAY, given)
    assert dated(document) == lines
    together: dict[str, int] = {}
    for line in read(document).lines:
        together[line.code] = together.get(line.code, 0) + line.units
    assert together == {line.code: line.units for line in read(encounter(given)).lines}, "no unit is lost or won"
    assert ("time.hour_over_midnight" in told(document)) == cut
    assert ("time.dated_by_day" in told(document)) == (start + minutes > 0)
    assert not {"time.hour_over_midnight", "time.dated_by_day"} & set(told(encounter(given)))
    after = [line for line in read(document).lines if line.date_of_service]
    assert all("this began on 2026-03-11" in " ".join(why.text for why in line.because) for line in after)


def test_the_day_is_told_in_the_answer() -> None:
    answer: Any = statement_document(read(under(PER_DAY, infused("J2350", NIGHT - 60, NIGHT + 60))))
    days = {line["code"]: line.get("date_of_service") for line in answer["lines"]}
    assert days == {"96365": None, "96366": "2026-03-11", "J2350": None}


def test_everything_given_after_midnight_has_that_day() -> None:
    given = [
        infused("J2350", NIGHT - 60, NIGHT + 60),
        infused("J2323", NIGHT + 60, NIGHT + 160),
        infused("J3380", NIGHT + 60, NIGHT + 70),
        infused("J1745", NIGHT + 100, NIGHT + 120),
        pushed("J1200", NIGHT + 5),
        pushed("J1200", NIGHT + 40),
        pushed("J2919"),
        injected("J2919", "intramuscular", start=clock(NIGHT + 5)),
        hydrated(NIGHT + 160, NIGHT + 260),
        infused("J2323", NIGHT + 300, NIGHT + 340, order="later"),
    ]
    document = under(PER_DAY, *given, setting=HOSPITAL)
    tomorrow = " on 2026-03-11"
    assert sorted(dated(document)) == sorted(
        ["96365 x1", "96375 x1"]
        + [f"{line}{tomorrow}" for line in
           ("96366 x3", "96367 x1", "96368 x1", "96375 x2", "96376 x1", "96372 x1", "96361 x2")]
    )  # fmt: skip


def test_fluid_alone_is_dated_by_its_hours() -> None:
    fluid = hydrated(NIGHT - 90, NIGHT + 120)
    assert dated(under(PER_DAY, fluid)) == ["96360 x1", "96361 x1", "96361 x1 on 2026-03-11"]
    assert found(read(under(PER_DAY, fluid)), "time.hour_over_midnight").message.startswith("An hour of the hydration")


@pytest.mark.parametrize(("minutes", "cut"), [(90, False), (91, True)])
def test_only_an_hour_that_is_earned_can_be_cut_by_midnight(minutes: int, cut: bool) -> None:
    """The hour that begins at 23:45 is one from its 31st minute on."""
    for given in (hydrated(NIGHT - 75, NIGHT - 75 + minutes), infused("J2350", NIGHT - 75, NIGHT - 75 + minutes)):
        assert ("time.hour_over_midnight" in told(under(PER_DAY, given))) == cut
    minutes -= 60
    orders = [infused("J2350", 0, 60, order="A"), infused("J2350", NIGHT - 15, NIGHT - 15 + minutes, order="B")]
    document = under(PER_DAY, *orders)
    assert ("time.hour_over_midnight" in told(document)) == cut
    if cut:
        assert found(read(document), "time.hour_over_midnight").administration == "a2"


def test_drugs_at_the_same_time_are_dated_by_the_first_of_them() -> None:
    """96368 is reported once, on the day on which the first of them began to run beside another."""
    long = infused("J2350", NIGHT - 100, NIGHT + 80)
    before, after = infused("J2323", NIGHT - 10, NIGHT + 10), infused("J3380", NIGHT + 20, NIGHT + 40)
    assert "96368 x1" in dated(under(PER_DAY, long, before))
    assert "96368 x1 on 2026-03-11" in dated(under(PER_DAY, long, after))
    document = under(PER_DAY, long, after, infused("J1745", NIGHT + 40, NIGHT + 60))
    assert "96368 x1 on 2026-03-11" in dated(document)
    assert line_of(read(document), "96368").administrations == ("a2", "a3")


def test_local_midnight_decides() -> None:
    """In Los Angeles it is three hours later."""
    given = infused("J2350", 0, 120) | {"start": f"{DAY}T23:00-04:00", "stop": "2026-03-11T01:00-04:00"}
    assert dated(under(PER_DAY, given)) == ["96365 x1", "96366 x1 on 2026-03-11"]
    assert dated(under(PER_DAY, given, time_zone="America/Los_Angeles")) == ["96365 x1", "96366 x1"]


def test_units_of_two_days_are_held_against_the_limit_of_each() -> None:
    long = infused("J2350", NIGHT - 6 * 60, NIGHT + 7 * 60)  # 13 hours: 12 further ones, 5 and 7
    assert "units.above_mue" in told(encounter(long))
    assert "units.above_mue" not in told(under(PER_DAY, long))


# A day at home ------------------------------------------------------------------------------------------------------


def at_home(*given: Document, **policy: Any) -> Document:
    visit = {"start": clock(0), "stop": clock(120)}
    return encounter(*given, setting="home", visit=visit, policy=policy)


@pytest.mark.parametrize(("units", "line"), [(1, "S9379 x1"), (2, "S9379 x2"), (9, "S9379 x9")])
def test_a_day_of_home_infusion_is_a_line_where_the_payer_takes_it(units: int, line: str) -> None:
    given = [infused("J2350", 0, 60), infused("J2323", 60, 120)]
    document = at_home(*given, home_per_diem="S9379", home_per_diem_units=units)
    assert claimed(document) == ["99601 x1", "J2323 JZ x300", "J2350 JZ x300", line]
    assert line_of(read(document), "S9379").administrations == ("a1", "a2")
    assert line_of(read(document), "S9379").kind == "visit"
    assert f"A day is {units} unit" in reasons(read(document), line)
    by_time = at_home(*given, home_per_diem="S9379", home_administration="infusion")
    assert "S9379 x1" in claimed(by_time)
    assert "S9379 x1" not in claimed(at_home(*given, home_per_diem_units=2))
    assert "S9379 x1" not in claimed(document | {"setting": "office"})


def test_a_day_without_a_drug_is_no_day_of_infusion() -> None:
    assert claimed(at_home(hydrated(0, 60), home_per_diem="S9379")) == ["99601 x1"]
    nothing = at_home(infused("J2350", 0, 60, administered="0"), home_per_diem="S9379")
    assert "S9379" not in {line.code for line in read(nothing).lines}


def test_a_day_may_be_taken_for_one_drug_alone() -> None:
    own = {"J2323": {"home_per_diem": "S9379", "home_per_diem_units": 2}}
    given = [infused("J2350", 0, 60), infused("J2323", 60, 120)]
    assert "S9379 x2" in claimed(at_home(*given, drugs=own))
    assert not [line for line in claimed(at_home(given[0], drugs=own)) if line.startswith("S")]


# Modifiers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "day", "modifier"),
    [
        ("by_date", "2024-12-30", "JG"),
        ("by_date", "2024-12-31", "JG"),
        ("by_date", "2025-01-01", "TB"),
        ("by_date", "2025-01-02", "TB"),
        ("TB", "2024-12-31", "TB"),
        ("JG", "2025-01-01", "JG"),
        ("UD", DAY, "UD"),
        ("U8", DAY, "U8"),
        ("none", DAY, ""),
    ],
)
def test_a_drug_bought_at_the_340b_price_says_so(value: str, day: str, modifier: str) -> None:
    policy = {"modifier_340b": value}
    dose = part_of("J2350", "280", ["300"], "20") | {"bought_340b": True}
    lines = {(line.units, line.modifiers) for line in read(on(day, dose, policy=policy)).lines if line.kind == "drug"}
    added = (modifier,) if modifier else ()
    assert lines == {(280, added), (20, ("JW", *added))}
    assert ("modifier.not_in_force" in told(on(day, dose, policy=policy))) == (value == "JG")
    assert all("340B" not in text for text in (reasons(read(on(day, dose)), "J2350 x280"),))
    if modifier:
        assert f"wants that said with {modifier}" in reasons(
            read(on(day, dose, policy=policy)), f"J2350 {modifier} x280"
        )


@pytest.mark.parametrize(
    ("code", "day", "in_force"),
    [
        ("TB", "2017-12-31", False),
        ("TB", "2018-01-01", True),
        ("TB", DAY, True),
        ("JG", "2017-12-31", False),
        ("JG", "2018-01-01", True),
        ("JG", "2024-12-31", True),
        ("JG", "2025-01-01", False),
    ],
)
def test_a_modifier_is_asked_about_outside_its_days(code: str, day: str, in_force: bool) -> None:
    """It stays on the line: the payer asked for it."""
    document = on(day, infused("J1745", 0, 60, bought_340b=True), policy={"modifier_340b": code})
    assert f" {code} " in drugs(document)[0]
    assert ("modifier.not_in_force" in told(document)) == (not in_force)


def test_only_a_drug_bought_at_that_price_carries_the_modifier() -> None:
    policy = {"modifier_340b": "TB", "supplied_drug_line": "nominal_charge"}
    given = [infused("J2350", 0, 60), infused("J2323", 60, 120, bought_340b=True),
             infused("J3380", 120, 180, acquired="supplied")]  # fmt: skip
    assert drugs(under(policy, *given)) == ["J2323 JZ TB x300", "J2350 JZ x300", "J3380 x300"]


def test_a_drug_packaged_into_the_hospital_payment_has_no_price_to_tell() -> None:
    given = [pushed("J1200", 0, bought_340b=True), pushed("J1200", 60)]
    assert drugs(under({"modifier_340b": "TB"}, *given, setting=HOSPITAL)) == ["J1200 x2"]
    assert errors(under({"modifier_340b": "TB"}, *given)) == ["drug.price_mixed"]
    assert errors(encounter(*given)) == []


def test_a_drug_at_two_prices_has_no_line_until_that_is_settled() -> None:
    given = [infused("J2350", 0, 60, bought_340b=True), infused("J2350", 60, 120), infused("J2323", 120, 180)]
    document = under({"modifier_340b": "TB"}, *given)
    assert errors(document) == ["drug.price_mixed"]
    assert [line.code for line in read(document).lines if line.kind == "drug"] == ["J2323"]


def test_a_supplied_drug_bought_at_the_340b_price_is_neither() -> None:
    both = infused("J2350", 0, 60, acquired="supplied", bought_340b=True)
    assert errors(encounter(both)) == ["drug.price_contradictory"]
    assert read(encounter(both)).lines == ()
    assert set(errors(encounter(both | {"drug": "J0000"}))) == {"drug.unknown", "drug.price_contradictory"}


@pytest.mark.parametrize(
    ("department", "lines"),
    [
        ("on_campus", ["96365 x1", "J2350 JZ x300"]),
        ("off_campus_excepted", ["96365 PO x1", "J2350 JZ PO x300"]),
        ("off_campus_not_excepted", ["96365 PN x1", "J2350 PN JZ x300"]),  # PN moves the price, JZ does not
        (None, ["96365 x1", "J2350 JZ x300"]),
    ],
)
def test_lines_of_a_department_off_the_campus(department: str | None, lines: list[str]) -> None:
    document = encounter(infused("J2350", 0, 60), setting=HOSPITAL, hospital_department=department)
    assert claimed(document) == ["96365 x1", "J2350 JZ x300"]
    required = document | {"policy": {"off_campus_modifier": "required"}}
    assert claimed(required) == lines
    assert ("department.missing" in told(required)) == (department is None)
    assert claimed(required | {"setting": "office"}) == ["96365 x1", "J2350 JZ x300"]
    if department == "off_campus_excepted":
        assert "and is excepted, which" in reasons(read(required), "96365 PO x1")
    if department == "off_campus_not_excepted":
        assert "and is not excepted, which" in reasons(read(required), "96365 PN x1")


def test_the_route_is_said_on_what_was_given_and_not_on_discard() -> None:
    policy = {"route_modifier": "required"}
    given = [part_of("J2350", "280", ["300"], "20"), injected("J2351"), injected("J1200", "intramuscular")]
    document = under(policy, *given)
    assert drugs(document) == ["J1200 JZ x1", "J2350 JA x280", "J2350 JW x20", "J2351 JZ JB x920"]
    assert "given under the skin" in reasons(read(document), "J2351 JZ JB x920")
    assert "given into a vein" in reasons(read(document), "J2350 JA x280")
    push = under(policy, pushed("J1200", 0))
    assert drugs(push) == ["J1200 JZ JA x1"]


def test_modifiers_that_move_the_price_come_first() -> None:
    policy = {"modifier_340b": "by_date", "off_campus_modifier": "required", "route_modifier": "required"}
    fields = {"setting": HOSPITAL, "hospital_department": "off_campus_not_excepted", "policy": policy}
    dose = part_of("J2350", "280", ["300"], "20") | {"bought_340b": True}
    assert drugs(encounter(dose, **fields)) == ["J2350 JW PN TB x20", "J2350 PN TB JA x280"]
    assert drugs(on("2024-12-31", dose, **fields)) == ["J2350 JW PN JG x20", "J2350 PN JG JA x280"]


# Days of an override ------------------------------------------------------------------------------------------------

FIRST_DAY = date.fromisoformat(DAY)


def from_that_day(name: str, value: Any) -> PayerPolicy:
    layer = Layer("Example Mutual", {name: value}, source="their manual, page 4", effective_from=FIRST_DAY)
    return PayerPolicy((BASELINE, layer))


HOME = {"setting": "home", "policy": {"home_administration": "infusion"}}

# parameter, value, encounter fields, administrations, lines of the day before, lines of the first day
DATED: list[tuple[str, Any, Document, list[Document], list[str], list[str]]] = [
    ("bag_change_minutes", 5, {}, two_bags(5), ["96365 x1", "J2350 JZ x600"],
     ["96365 x1", "96366 x1", "J2350 JZ x600"]),
    ("concurrent_minimum_minutes", 16, {}, [infused("J2350", 0, 60), infused("J2323", 55, 72)],
     ["96365 x1", "96368 x1", "J2323 JZ x300", "J2350 JZ x300"], ["96365 x1", "J2323 JZ x300", "J2350 JZ x300"]),
    ("billable_discard_drugs", "variable_dose", {}, [part_of("J2350", "280", ["300"], "20")],
     ["96365 x1", "J2350 JW x20", "J2350 x280"], ["96365 x1", "J2350 x280"]),
    ("billable_discard_containers", "all", {}, [part_of("J2350", "280", ["300"], "20", single_dose=False)],
     ["96365 x1", "J2350 x280"], ["96365 x1", "J2350 JW x20", "J2350 x280"]),
    ("maximum_discarded_units", "smallest_vial", {}, [part_of("J9312", "300", ["500"], "200")],
     ["96365 x1", "J9312 JW x20", "J9312 x30"], ["96365 x1", "J9312 JW x10", "J9312 x30"]),
    ("separate_ndc_lines", True, {}, [from_vials("200", "0", ("100", ONE), ("100", OTHER))],
     ["96365 x1", "J1745 JZ x20"], ["96365 x1", "J1745 JZ x10", "J1745 JZ x10"]),
    ("home_per_diem", "S9379", HOME, [infused("J2350", 0, 60)],
     ["96365 x1", "J2350 JZ x300"], ["96365 x1", "J2350 JZ x300", "S9379 x1"]),
    ("home_per_diem_units", 2, HOME | {"policy": HOME["policy"] | {"home_per_diem": "S9379"}},
     [infused("J2350", 0, 60)],
     ["96365 x1", "J2350 JZ x300", "S9379 x1"], ["96365 x1", "J2350 JZ x300", "S9379 x2"]),
    ("modifier_340b", "TB", {}, [infused("J2350", 0, 60, bought_340b=True)],
     ["96365 x1", "J2350 JZ x300"], ["96365 x1", "J2350 JZ TB x300"]),
    ("off_campus_modifier", "required", {"setting": HOSPITAL, "hospital_department": "off_campus_excepted"},
     [infused("J2350", 0, 60)], ["96365 x1", "J2350 JZ x300"], ["96365 PO x1", "J2350 JZ PO x300"]),
    ("route_modifier", "required", {}, [infused("J2350", 0, 60)],
     ["96365 x1", "J2350 JZ x300"], ["96365 x1", "J2350 JZ JA x300"]),
    ("administered_lines_per_day", "one", {"policy": {"separate_ndc_lines": True}},
     [from_vials("200", "0", ("100", ONE), ("100", OTHER))],
     ["96365 x1", "J1745 JZ x10", "J1745 JZ x10"], ["96365 x1", "J1745 JZ x20"]),
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


@pytest.mark.parametrize(("first", "next_day", "dated_by_day"), [("09", "10", False), ("10", "11", True)])
def test_the_night_that_an_override_begins_on_is_the_first_it_divides(
    first: str, next_day: str, dated_by_day: bool
) -> None:
    """The date of service decides, which is the day of the start."""
    given = infused("J2350", 0, 60) | {"start": f"2026-03-{first}T22:00", "stop": f"2026-03-{next_day}T02:00"}
    document = encounter(given, date_of_service=f"2026-03-{first}")
    lines = read(document, from_that_day("infusion_past_midnight", "per_day")).lines
    assert {line.date_of_service for line in lines} == (
        {None, FIRST_DAY + timedelta(days=1)} if dated_by_day else {None}
    )
    assert sum(line.units for line in lines if line.code == "96366") == 3


# parameter, value, encounter fields, administrations, what is told from the first day on and not before
TOLD_FROM: list[tuple[str, Any, Document, list[Document], str]] = [
    ("maximum_units_per_dose", 299, {}, [infused("J2350", 0, 60)], "units.above_dose_limit"),
    ("maximum_units_per_period", 599, {"past_doses": earlier(("2026-01-01", "J2350", "300"))},
     [infused("J2350", 0, 60)], "units.above_period_limit"),
    ("units_period_months", 7,
     {"past_doses": earlier(("2025-09-01", "J2350", "300")), "policy": {"maximum_units_per_period": 599}},
     [infused("J2350", 0, 60)], "units.above_period_limit"),
    ("minimum_days_between_doses", 168, {"past_doses": earlier(("2026-01-01", "J2350", "300"))},
     [infused("J2350", 0, 60)], "dose.too_soon"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "fields", "given", "code"), TOLD_FROM, ids=[row[0] for row in TOLD_FROM])
def test_an_override_warns_from_its_first_day_on(
    name: str, value: Any, fields: Document, given: list[Document], code: str
) -> None:
    policy = from_that_day(name, value)
    day_before = read(on(str(FIRST_DAY - timedelta(days=1)), *given, **fields), policy)
    assert code not in {finding.code for finding in day_before.findings}
    assert code in {finding.code for finding in read(on(DAY, *given, **fields), policy).findings}
