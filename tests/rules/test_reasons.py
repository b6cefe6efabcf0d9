"""What a line says of itself: why it is there, which records and how many minutes it rests on, and its NDCs."""

from __future__ import annotations

from typing import Any

import pytest

from infusion.services.lines import ServiceLine, Statement
from tests.rules.shorthand import (
    Document,
    clock,
    encounter,
    hydrated,
    infused,
    injected,
    line_of,
    pushed,
    read,
    reasons,
    vial,
    written,
)

HOSPITAL = "hospital_outpatient"
SECOND = {"access": "2", "access_reason": "the first one was lost"}
COMPLEX = {"administration_family": "complex"}


def rules_of(line: ServiceLine) -> list[str]:
    return [because.rule for because in line.because]


def rests_on(statement: Statement) -> dict[str, tuple[tuple[str, ...], int | None]]:
    """Records and minutes behind each line for giving a drug."""
    return {written(line): (line.administrations, line.minutes) for line in statement.lines if line.kind != "drug"}


# Hours --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "line", "said"),
    [
        (59, "96365 x1", "59 running minutes. The first 60 are the initial hour; nothing is left beyond them"),
        (60, "96365 x1", "60 running minutes. The first 60 are the initial hour; nothing is left beyond them"),
        (61, "96365 x1", "61 running minutes. The first 60 are the initial hour; 1 more are 0 full hours and 1 minute"),
        (120, "96366 x1", "the initial hour; 60 more are 1 full hour and 0 minutes"),
        (181, "96366 x2", "the initial hour; 121 more are 2 full hours and 1 minute"),
    ],
)
def test_minutes_are_divided_into_hours_in_words(minutes: int, line: str, said: str) -> None:
    text = reasons(read(encounter(infused("J2350", 0, minutes))), line)
    assert f"{said}, and 31 past a full hour earn another unit." in text
    assert ("take one away" in text) == line.startswith("96366")


def test_an_hour_that_is_not_earned_is_told_on_the_line_it_would_follow() -> None:
    """Who reads the first line alone sees how far the next unit is; where there is one, it says so itself."""
    hour = "additional_hour_minimum_minutes"
    for minutes, on_the_first_line in ((90, True), (91, False)):
        given = [infused("J2350", 0, minutes), infused("J2323", 100, 100 + minutes), hydrated(200, 200 + minutes)]
        lines = {line.code: rules_of(line) for line in read(encounter(*given)).lines}
        assert (hour in lines["96365"], hour in lines["96367"]) == (on_the_first_line, on_the_first_line)
        assert hour in lines["96361"]
        alone = {line.code: rules_of(line) for line in read(encounter(given[2])).lines}
        assert (hour in alone["96360"]) == on_the_first_line
        visit = {"start": clock(0), "stop": clock(60 + minutes)}
        at_home = {line.code: rules_of(line) for line in read(encounter(given[0], setting="home", visit=visit)).lines}
        assert (hour in at_home["99601"]) == on_the_first_line


def test_another_drug_says_that_its_own_first_hour_is_in_its_code() -> None:
    statement = read(encounter(infused("J2350", 0, 120), infused("J1200", 120, 210)))
    line = line_of(statement, "96367")
    assert rules_of(line) == [
        "infusion_minimum_minutes", "sequential_infusion", "additional_hour_minimum_minutes",
    ]  # fmt: skip
    assert "The first 60 are its own first hour; 30 more are 0 full hours and 30 minutes" in line.because[2].text


def test_fluid_says_that_its_first_hour_is_the_first_unit() -> None:
    said = reasons(read(encounter(hydrated(0, 91))), "96361 x1")
    assert "91 running minutes. The first 60 are the first unit; 31 more are 0 full hours and 31 minutes" in said


def test_a_later_order_says_that_it_counts_from_zero() -> None:
    orders = [infused("J2350", 0, 60, order="A"), infused("J2350", 100, 162, order="B")]
    line = line_of(read(encounter(*orders)), "96366")
    assert (line.administrations, line.minutes) == (("a2",), 62)
    assert rules_of(line) == ["additional_hour_minimum_minutes", "repeat_infusion"]
    assert "counted from zero; 62 are 1 full hour and 2 minutes" in line.because[0].text


# What a line rests on -----------------------------------------------------------------------------------------------


def test_every_line_names_its_records_and_their_minutes() -> None:
    given = [
        infused("J2350", 0, 151),
        infused("J2323", 160, 220),
        infused("J3380", 200, 225),
        pushed("J1200", 5, stop=clock(10)),
        pushed("J1200", 50),
        hydrated(230, 270),
        injected("J2919", "intramuscular"),
    ]
    assert rests_on(read(encounter(*given, setting=HOSPITAL))) == {
        "96365 x1": (("a1",), 151),
        "96366 x2": (("a1",), 151),
        "96367 x1": (("a2",), 60),
        "96368 x1": (("a3",), 25),
        "96375 x1": (("a4",), 5),
        "96376 x1": (("a5",), None),
        "96361 x1": (("a6",), 40),
        "96372 x1": (("a7",), None),
    }


def test_units_of_one_code_rest_on_all_their_records() -> None:
    given = [
        infused("J2350", 0, 91),
        infused("J2323", 100, 191),
        infused("J3380", 110, 130),
        infused("J1745", 130, 150),
    ]
    assert rests_on(read(encounter(*given))) == {
        "96365 x1": (("a1",), 91),
        "96366 x2": (("a1", "a2"), 182),
        "96367 x1": (("a2",), 91),
        "96368 x1": (("a3", "a4"), 40),
    }


def test_what_was_not_timed_has_no_minutes() -> None:
    assert rests_on(read(encounter(pushed("J1200"), pushed("J2919"), infused("J2350", 0, 20)))) == {
        "96365 x1": (("a3",), 20),
        "96375 x2": (("a1", "a2"), None),
    }
    injections = read(encounter(injected("J1200", "intramuscular"), injected("J1200", "intramuscular")))
    assert rests_on(injections) == {"96372 x2": (("a1", "a2"), None)}


def test_a_reason_is_said_once() -> None:
    line = line_of(read(encounter(*[injected("J1200", "intramuscular")] * 3)), "96372")
    assert rules_of(line) == ["injection"]
    bags = [infused("J2350", 0, 30), infused("J2350", 33, 60)]
    statement = read(encounter(*bags, policy={"bag_change_minutes": 3}))
    assert reasons(statement, "96365 x1").count("counts a change of bags") == 1


# Why a code -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "beside",
    [
        [infused("J2323", 60, 90)],
        [infused("J2323", 50, 60)],
        [pushed("J1200", 5)],
        [hydrated(60, 100)],
        [infused("J2323", 60, 90), pushed("J1200", 5)],
        [infused("J2323", 60, 90), infused("J3380", 40, 50)],
        [pushed("J1200", 5), hydrated(60, 100)],
    ],
    ids=[
        "sequential",
        "concurrent",
        "push",
        "fluid",
        "sequential and push",
        "sequential and concurrent",
        "push and fluid",
    ],
)
def test_why_it_is_the_initial_one_is_said_where_something_else_could_be(beside: list[Document]) -> None:
    assert "ranks highest on this access" in reasons(read(encounter(infused("J2350", 0, 60), *beside)), "96365 x1")
    assert "ranks highest" not in reasons(read(encounter(infused("J2350", 0, 60))), "96365 x1")


def test_a_second_access_says_why_it_has_an_initial_code() -> None:
    statement = read(encounter(infused("J2350", 0, 120), pushed("J1200", 5, **SECOND)))
    assert rules_of(line_of(statement, "96374", ["59"])) == ["first_push", "initial_service", "distinct_site_modifier"]
    assert "initial_service" not in rules_of(line_of(statement, "96365"))
    fluid = read(encounter(infused("J2350", 0, 60), hydrated(0, 90, **SECOND)))
    assert rules_of(line_of(fluid, "96360", ["59"])) == [
        "hydration_minimum_minutes", "distinct_site_modifier", "additional_hour_minimum_minutes",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "primary", "why"),
    [
        ("office", True, "is marked as the reason for this visit"),
        ("office", False, "ranks highest on this access"),
        (HOSPITAL, True, "ranks highest on this access"),
    ],
)
def test_only_an_office_goes_by_the_reason_for_the_visit(setting: str, primary: bool, why: str) -> None:
    given = [infused("J2350", 0, 120, primary=primary), infused("J2323", 120, 180)]
    assert f"Ocrelizumab {why}" in reasons(read(encounter(*given, setting=setting)), "96365 x1")


def test_a_short_infusion_says_first_that_it_is_a_push() -> None:
    line = line_of(read(encounter(infused("J2350", 0, 12))), "96374")
    assert rules_of(line) == ["infusion_minimum_minutes", "first_push", "administration_family"]
    assert line.because[0].text == (
        "Ocrelizumab ran 12 minutes, and under 16 it is a push. 4 more minutes would make it an infusion."
    )


def test_each_family_has_codes_of_its_own() -> None:
    given = [
        infused("J2350", 0, 151), infused("J2323", 160, 260), infused("J3380", 270, 280), injected("J2351"),
        infused("J2350", 300, 331, order="later"),
    ]  # fmt: skip
    for policy, codes in (
        ({}, {"96365": 1, "96366": 4, "96367": 1, "96375": 1, "96372": 1}),
        (COMPLEX, {"96413": 1, "96415": 4, "96417": 1, "96411": 1, "96401": 1}),
    ):
        statement = read(encounter(*given, policy=policy))
        assert {line.code: line.units for line in statement.lines if line.kind != "drug"} == codes
        for line in statement.lines:
            if line.kind != "drug" and line.code not in ("96366", "96415"):
                assert "in this family of administration codes" in " ".join(why.text for why in line.because)
    assert "96409" in {line.code for line in read(encounter(infused("J2350", 0, 15), policy=COMPLEX)).lines}


def test_what_a_family_says_names_the_drug_it_is_of() -> None:
    """Of a drug that is never complex nothing has to be said."""
    assert "administration_family" not in rules_of(
        line_of(read(encounter(injected("J1200", "intramuscular"))), "96372")
    )
    assert "takes ocrelizumab in this family" in reasons(read(encounter(infused("J2350", 0, 60))), "96365 x1")


# Drugs ----------------------------------------------------------------------------------------------------------------


def part_of(given: str, *discards: tuple[str, str], drug: str = "J2350", vials: int = 1, **more: Any) -> Document:
    """A dose out of whole vials of the first size, and what became of the rest."""
    return infused(drug, 0, 60, administered=given, **{
        "vials": [{"amount": vial(drug), "count": vials}],
        "discards": [{"amount": amount, "reason": reason} for amount, reason in discards],
    } | more)  # fmt: skip


@pytest.mark.parametrize(
    ("dose", "policy", "line", "said"),
    [
        (part_of("300"), {}, "J2350 JZ x300",
         "300 mg were given. At 1 mg a unit, rounded up, that is 300 units. "
         "One milligram more would add one unit, one less would take one away. "
         "Nothing billable was discarded, and the line says so with JZ."),
        (part_of("299.5", ("0.5", "vial_remainder")), {}, "J2350 JZ x300",
         "0.5 mg are less than one unit, so nothing counts as discarded, and the line says so with JZ."),
        (part_of("300"), {"zero_discard_modifier": "not_used"}, "J2350 x300",
         "Nothing billable was discarded. Given with this encounter does not use JZ."),
        (part_of("280", ("20", "vial_remainder")), {}, "J2350 x280",
         "takes discarded drug on its own line with JW, and the dose then without modifier."),
        (part_of("280", ("20", "vial_remainder")), {}, "J2350 JW x20",
         "20 mg of what was opened were discarded. At 1 mg a unit, rounded down and within the 300 mg on the labels, "
         "that is 20 units."),
        (part_of("280", ("15", "vial_remainder"), ("5", "line_residual")), {}, "J2350 JW x15",
         "Of 20 mg discarded 15 may be billed: National baseline takes this kind of discard alone: "),
        (part_of("280", ("20", "vial_remainder")), {"billable_discard_reasons": []}, "J2350 JZ x280",
         "Of 20 mg discarded 0 may be billed: Given with this encounter takes this kind of discard alone: none."),
        (part_of("280", ("20", "vial_remainder")), {"discarded_drug": "combined_line"}, "J2350 x300",
         "takes the dose and the discarded drug together on one line, without modifier."),
        (part_of("280", ("20", "vial_remainder")), {"discarded_drug": "not_billed"}, "J2350 x280",
         "20 mg were discarded, and Given with this encounter does not bill discarded drug"),
        (part_of("300") | {"vials": [{"amount": "300", "single_dose": False}]}, {},
         "J2350 x300", "Ocrelizumab came from a multi-dose vial: no JW, no JZ, and discard is not billed."),
    ],
)  # fmt: skip
def test_what_a_drug_line_says(dose: Document, policy: Document, line: str, said: str) -> None:
    assert said in reasons(read(encounter(dose, policy=policy)), line)


def test_kinds_of_discard_are_spoken_of_only_where_something_was_discarded() -> None:
    kinds = "billable_discard_reasons"
    assert kinds not in rules_of(line_of(read(encounter(part_of("300"))), "J2350", ["JZ"]))
    for modifiers in ([], ["JW"]):
        some = read(encounter(part_of("280", ("20", "vial_remainder"))))
        assert kinds in rules_of(line_of(some, "J2350", modifiers))


# At home --------------------------------------------------------------------------------------------------------------


def test_at_home_every_line_says_why_it_is_not_the_visit() -> None:
    given = [infused("J2350", 0, 60), hydrated(60, 140), injected("J1200", "intramuscular")]
    by_time = read(encounter(*given, setting="home", policy={"home_administration": "infusion"}))
    lines = [line for line in by_time.lines if line.kind == "administration"]
    assert [written(line) for line in lines] == ["96365 x1", "96361 x1", "96372 x1"]
    assert [rules_of(line)[-1] for line in lines] == ["home_administration"] * 3
    elsewhere = read(encounter(*given, policy={"home_administration": "infusion"}))
    assert "home_administration" not in {rule for line in elsewhere.lines for rule in rules_of(line)}


@pytest.mark.parametrize(
    ("minutes", "line", "said"),
    [
        (120, "99601 x1", "120 visit minutes. The first 120 are the visit code; nothing is left beyond them"),
        (150, "99601 x1", "150 visit minutes. The first 120 are the visit code; 30 more are 0 full hours and 30 min"),
        (151, "99602 x1", "151 visit minutes. The first 120 are the visit code; 31 more are 0 full hours and 31 min"),
    ],
)
def test_the_minutes_of_a_visit_are_divided_as_well(minutes: int, line: str, said: str) -> None:
    visit = {"start": clock(0), "stop": clock(minutes)}
    assert said in reasons(read(encounter(infused("J2350", 0, 60), setting="home", visit=visit)), line)


def test_one_drug_billed_by_the_visit_makes_it_a_visit() -> None:
    given = [infused("J2350", 0, 60), infused("J2323", 60, 120)]
    visit: dict[str, Any] = {"setting": "home", "visit": {"start": clock(0), "stop": clock(150)}}
    own = {"home_administration": "infusion", "drugs": {"J2323": {"home_administration": "visit"}}}
    statement = read(encounter(*given, **visit, policy=own))
    assert rests_on(statement) == {"99601 x1": (("a1", "a2"), 150)}
    [why] = [each for each in line_of(statement, "99601").because if each.rule == "home_administration"]
    assert why.reading is not None
    assert (why.reading.drug, line_of(statement, "99601").kind) == ("J2323", "visit")
    by_time = read(encounter(*given, **visit, policy={"home_administration": "infusion"}))
    assert line_of(by_time, "96365").kind == "administration"
