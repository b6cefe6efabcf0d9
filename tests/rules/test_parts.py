"""The parts of the rules by themselves: clock, policy, reference and the document of an encounter."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from infusion.services.clock import instant, length, merged, on_one_day, running_periods, without
from infusion.services.days import instant_after
from infusion.services.drug import smallest_total
from infusion.services.drug_document import FORMS, LINE_ROUTES
from infusion.services.facts import ACQUIRED, DEPARTMENTS, PURPOSES, ROUTES, Administration, Pause, Vial
from infusion.services.reference import DATA, drug_row, load_reference, shipped_reference
from infusion.services.wire import encounter_document, parse_encounter, statement_document
from payers.policy import (
    BASELINE,
    GROUPS,
    PARAMETERS,
    SETTINGS,
    Layer,
    PayerPolicy,
    PolicyProblem,
    Scope,
    inline_layers,
    jsonable,
    national_baseline,
)
from tests.rules.random_encounters import encounters
from tests.rules.shorthand import DAY, ZONE, encounter, hydrated, infused, injected, read

NEW_YORK = ZoneInfo(ZONE)
ON = date.fromisoformat(DAY)


# Clock --------------------------------------------------------------------------------------------------------------


def at(minute: int) -> datetime:
    return datetime(2026, 3, 10, 9, tzinfo=UTC) + timedelta(minutes=minute)


def periods(*pairs: tuple[int, int]) -> list[tuple[datetime, datetime]]:
    return [(at(start), at(stop)) for start, stop in pairs]


@pytest.mark.parametrize(
    ("given", "union"),
    [
        ([(0, 10), (10, 20)], [(0, 20)]),
        ([(5, 20), (0, 10)], [(0, 20)]),
        ([(0, 30), (5, 10)], [(0, 30)]),
        ([(0, 10), (11, 20)], [(0, 10), (11, 20)]),
        ([(10, 10), (20, 15)], []),
        ([(10, 10), (20, 30)], [(20, 30)]),
        ([(5, 20), (0, 10), (15, 25)], [(0, 25)]),
    ],
)
def test_union_of_periods(given: list[tuple[int, int]], union: list[tuple[int, int]]) -> None:
    assert merged(periods(*given)) == periods(*union)


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ([], [(0, 60)]),
        ([(0, 60)], []),
        ([(-5, 5)], [(5, 60)]),
        ([(50, 70)], [(0, 50)]),
        ([(20, 30), (25, 40)], [(0, 20), (40, 60)]),
        ([(60, 70)], [(0, 60)]),
    ],
)
def test_what_is_left_of_an_hour(taken: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    assert without(periods((0, 60)), periods(*taken)) == periods(*left)
    assert length(without(periods((0, 60)), periods(*taken))) == sum(
        (timedelta(minutes=stop - start) for start, stop in left), timedelta(0)
    )


@pytest.mark.parametrize(
    ("elapsed", "minute"), [(0, 0), (9, 9), (10, 20), (11, 21), (14, 24), (15, 40), (20, 45), (25, 60), (29, 64)]
)
def test_the_instant_after_so_much_running(elapsed: int, minute: int) -> None:
    running = periods((0, 10), (20, 25), (40, 50), (60, 65))
    assert instant_after(running, timedelta(minutes=elapsed)) == at(minute)


@pytest.mark.parametrize(
    ("start", "stop", "lies_there"),
    [
        (datetime(2026, 3, 10, 0, 0), datetime(2026, 3, 11, 0, 0), True),  # it stops with the day
        (datetime(2026, 3, 10, 0, 0), datetime(2026, 3, 11, 0, 1), False),
        (datetime(2026, 3, 9, 23, 59), datetime(2026, 3, 10, 9, 0), False),
        (datetime(2026, 3, 9, 8, 0), datetime(2026, 3, 9, 9, 0), False),
        (datetime(2026, 3, 10, 9, 0), None, True),
        (datetime(2026, 3, 9, 9, 0), None, False),
    ],
)
def test_what_lies_on_one_day(start: datetime, stop: datetime | None, lies_there: bool) -> None:
    given = (start.replace(tzinfo=NEW_YORK), stop and stop.replace(tzinfo=NEW_YORK))
    assert on_one_day(*given, date(2026, 3, 10), NEW_YORK) is lies_there


def test_a_day_with_two_clocks_is_not_one_day() -> None:
    night, later = (datetime(2026, 3, 8, hour, tzinfo=NEW_YORK) for hour in (1, 4))
    assert not on_one_day(night, later, date(2026, 3, 8), NEW_YORK)
    assert on_one_day(night, night + timedelta(minutes=30), date(2026, 3, 8), NEW_YORK)


def test_a_pause_is_no_running_time_and_one_that_has_not_ended_takes_nothing_away() -> None:
    nine, half_past, ten, eleven = (datetime(2026, 3, 10, 9) + timedelta(minutes=each) for each in (0, 30, 60, 120))
    paused = (Pause(start=half_past, stop=ten), Pause(start=ten), Pause(stop=half_past))
    given = Administration(id="a1", route="iv_infusion", start=nine, stop=eleven, pauses=paused)
    assert [(stop - start) // timedelta(minutes=1) for start, stop in running_periods(given, NEW_YORK)] == [30, 60]


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (None, datetime(2026, 3, 10, 9)),
        (datetime(2026, 3, 10, 9), None),
        (datetime(2026, 3, 10, 9), datetime(2026, 3, 10, 8)),
        (datetime(2025, 11, 2, 1, 30), datetime(2025, 11, 2, 3)),
        (datetime(2026, 3, 8, 1, 30), datetime(2026, 3, 8, 2, 30)),
    ],
)
def test_times_that_cannot_be_used_run_no_minute(start: datetime | None, stop: datetime | None) -> None:
    given = Administration(id="a1", route="iv_infusion", start=start, stop=stop)
    assert running_periods(given, NEW_YORK) == ()


def test_an_open_pause_is_left_to_the_findings() -> None:
    start, stop = datetime(2026, 3, 10, 9), datetime(2026, 3, 10, 10)
    given = Administration(id="a1", route="iv_infusion", start=start, stop=stop, pauses=(Pause(start=start),))
    [(first, last)] = running_periods(given, NEW_YORK)
    assert last - first == timedelta(hours=1)


def test_an_offset_wins_over_the_zone() -> None:
    assert instant(datetime.fromisoformat("2025-11-02T01:30-04:00"), NEW_YORK).hour == 5
    assert instant(datetime.fromisoformat("2025-11-02T01:30-05:00"), NEW_YORK).hour == 6


# Policy -------------------------------------------------------------------------------------------------------------


def minutes(policy: PayerPolicy, setting: str = "office", drug: str = "J2350", on: date = ON) -> Any:
    return policy.on(on, setting).read("additional_hour_minimum_minutes", drug).value


def layer(value: int, *, setting: str = "", drug: str = "", name: str = "Example Mutual", **dates: date) -> Layer:
    return Layer(name, {"additional_hour_minimum_minutes": value}, Scope(setting, drug), **dates)  # type: ignore[arg-type]


SCOPES = [
    layer(1),
    layer(2, setting="office"),
    layer(3, drug="J2350"),
    layer(4, setting="office", drug="J2350"),
]


@pytest.mark.parametrize(
    ("setting", "drug", "value"), [("home", "J1745", 1), ("office", "J1745", 2), ("home", "J2350", 3),
                                   ("office", "J2350", 4)]
)  # fmt: skip
def test_the_narrower_scope_wins_in_whatever_order_it_stands(setting: str, drug: str, value: int) -> None:
    for layers in (SCOPES, SCOPES[::-1]):
        assert minutes(national_baseline().with_layers(layers), setting, drug) == value


def test_within_a_scope_the_encounter_wins_over_the_payer_and_the_payer_over_the_baseline() -> None:
    payer = national_baseline().with_layers([layer(30)])
    assert minutes(national_baseline()) == 31
    assert minutes(payer) == 30
    assert minutes(payer.with_inline({"additional_hour_minimum_minutes": 15})) == 15


def test_a_wide_value_of_the_encounter_does_not_win_over_a_narrow_one_of_the_payer() -> None:
    payer = national_baseline().with_layers([layer(30, drug="J2350")])
    assert minutes(payer.with_inline({"additional_hour_minimum_minutes": 15})) == 30
    narrow = {"drugs": {"j2350": {"additional_hour_minimum_minutes": 15}}}
    assert minutes(payer.with_inline(narrow)) == 15


def test_scopes_are_told_apart_parameter_by_parameter() -> None:
    policy = national_baseline().with_inline(
        {"discarded_drug": "not_billed", "settings": {"office": {"additional_hour_minimum_minutes": 15}}}
    )
    rules = policy.on(ON, "office")
    assert rules.read("additional_hour_minimum_minutes").value == 15
    assert rules.read("discarded_drug").value == "not_billed"
    assert minutes(policy, "home") == 31


@pytest.mark.parametrize(
    ("day", "value"),
    [("2026-02-28", 31), ("2026-03-01", 30), ("2026-03-31", 30), ("2026-04-01", 31)],
)
def test_an_override_holds_from_its_first_to_its_last_day(day: str, value: int) -> None:
    dated = layer(30, effective_from=date(2026, 3, 1), effective_until=date(2026, 3, 31))
    assert minutes(national_baseline().with_layers([dated]), on=date.fromisoformat(day)) == value


def test_an_override_without_an_end_goes_on() -> None:
    assert minutes(national_baseline().with_layers([layer(30, effective_from=ON)]), on=date(2999, 1, 1)) == 30
    assert minutes(national_baseline().with_layers([layer(30, effective_until=ON)]), on=date(1990, 1, 1)) == 30


def test_every_layer_that_speaks_is_told_and_the_last_one_decides() -> None:
    other = Layer("Example Mutual", {"drug_covered": False})
    rules = national_baseline().with_layers([*SCOPES[::-1], other]).on(ON, "office")
    for drug, values in {"J2350": [31, 1, 2, 3, 4], "J1745": [31, 1, 2]}.items():
        spoken = rules.speaking("additional_hour_minimum_minutes", drug)
        assert [reading.value for reading in spoken] == values
        assert spoken[-1] == rules.look_up("additional_hour_minimum_minutes", drug)
    at_home = national_baseline().with_layers(SCOPES).on(ON, "home").speaking("additional_hour_minimum_minutes")
    assert [reading.value for reading in at_home] == [31, 1]


def test_a_policy_without_one_layer_is_the_rest() -> None:
    wide, narrow = layer(30), layer(15, drug="J2350")
    policy = national_baseline().with_layers([wide, narrow])
    assert policy.without(narrow).layers == (BASELINE, wide)
    assert minutes(policy.without(narrow)) == 30


def test_looking_a_value_up_is_not_using_it() -> None:
    rules = national_baseline().on(ON, "office")
    rules.look_up("drug_covered")
    assert rules.readings == {}
    assert rules.read("drug_covered") is rules.read("drug_covered")
    assert list(rules.readings) == [("drug_covered", "")]


def test_every_parameter_has_a_source_a_group_and_a_default_it_would_accept() -> None:
    reference = shipped_reference()
    for name, row in PARAMETERS.items():
        assert row.source in reference.sources
        assert row.clean(row.default) == row.default
        assert BASELINE.values[name] == row.default
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(PARAMETERS)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("infusion_minimum_minutes", 1, "1 minute"),
        ("infusion_minimum_minutes", 16, "16 minutes"),
        ("maximum_units_per_line", None, "no limit"),
        ("maximum_units_per_line", 400, "400"),
        ("drug_covered", True, "yes"),
        ("drug_covered", False, "no"),
        ("discarded_drug", "not_billed", "Not billed"),
        (
            "billable_discard_reasons",
            ("overfill", "stopped_early"),
            "Overfill beyond the label, Infusion stopped early",
        ),
        ("billable_discard_reasons", (), "none"),
        ("accepted_diagnoses", (), "any"),
        ("accepted_diagnoses", ("G35.A",), "G35.A"),
        ("step_therapy", "", "none"),
        ("maximum_claim_charge", Decimal("99999.99"), "99999.99"),
    ],
)
def test_a_value_in_words(name: str, value: Any, words: str) -> None:
    assert PARAMETERS[name].words(value) == words


@pytest.mark.parametrize(
    ("value", "plain"), [(Decimal("600.0"), "600.0"), (("a",), ["a"]), (None, None), (31, 31), (True, True)]
)
def test_a_value_as_json_keeps_it(value: Any, plain: Any) -> None:
    assert jsonable(value) == plain


# parameter: the lowest and the highest number that it takes
BOUNDS = {
    "infusion_minimum_minutes": (1, 60),
    "hydration_minimum_minutes": (1, 120),
    "additional_hour_minimum_minutes": (1, 60),
    "bag_change_minutes": (0, 30),
    "concurrent_minimum_minutes": (0, 60),
    "home_per_diem_units": (1, 9),
    "maximum_units_per_dose": (1, 99_999),
    "maximum_units_per_period": (1, 99_999),
    "units_period_months": (1, 36),
    "minimum_days_between_doses": (1, 999),
    "maximum_units_per_line": (1, 99_999),
}
CHOICES = {
    "infusion_past_midnight": ["start_date", "per_day"],
    "administration_family": ["therapeutic", "complex"],
    "missing_stop_time": ["hold", "push"],
    "discarded_drug": ["separate_line", "combined_line", "not_billed"],
    "zero_discard_modifier": ["required", "not_used"],
    "billable_discard_reasons": [
        "vial_remainder", "stopped_early", "line_residual", "overfill", "broken_or_spilled", "prepared_not_given",
    ],
    "billable_discard_drugs": ["all", "variable_dose"],
    "billable_discard_containers": ["single_dose", "all"],
    "maximum_discarded_units": ["none", "smallest_vial"],
    "supplied_drug_line": ["none", "nominal_charge"],
    "distinct_site_modifier": ["59", "XS", "XE", "XP", "XU"],
    "modifier_340b": ["none", "by_date", "TB", "JG", "UD", "U8"],
    "off_campus_modifier": ["not_used", "required"],
    "route_modifier": ["not_used", "required"],
    "home_administration": ["visit", "infusion"],
    "home_per_diem": ["none", "S9379"],
    "prior_authorization": ["none", "always", "above_dose"],
    "administered_lines_per_day": ["any", "one", "one_paid"],
    "split_claim_modifier": ["not_said", "59", "76", "note"],
}  # fmt: skip
# Where nothing at all may be said instead, which is no limit.
OPTIONAL = {
    "prior_authorization_dose_limit",
    "maximum_units_per_dose",
    "maximum_units_per_period",
    "minimum_days_between_doses",
    "maximum_units_per_line",
    "maximum_claim_charge",
}


def takes(name: str, raw: object) -> bool:
    try:
        return PARAMETERS[name].clean(raw) == raw
    except ValueError:
        return False


def test_a_number_of_a_policy_lies_within_its_bounds() -> None:
    assert list(BOUNDS) == [name for name, row in PARAMETERS.items() if row.kind in ("minutes", "count")]
    for name, (lowest, highest) in BOUNDS.items():
        numbers = (lowest - 1, lowest, highest, highest + 1)
        assert [takes(name, number) for number in numbers] == [False, True, True, False], name


def test_a_choice_of_a_policy_is_one_of_its_list() -> None:
    assert {name: list(row.choices) for name, row in PARAMETERS.items() if row.choices} == CHOICES
    for name, choices in CHOICES.items():
        if PARAMETERS[name].kind == "choice":
            assert all(takes(name, choice) for choice in choices), name
            assert not takes(name, "otherwise")


def test_no_value_is_taken_where_there_may_be_no_limit_and_nowhere_else() -> None:
    assert {name for name in PARAMETERS if takes(name, None)} == OPTIONAL


def test_what_people_read_of_a_policy_is_words() -> None:
    choices = [words for row in PARAMETERS.values() for words in row.choices.values()]
    labels = [word for row in PARAMETERS.values() for word in (row.label, row.meaning)]
    for words in [*choices, *labels, *GROUPS, *SETTINGS.values()]:
        assert words[0].isupper() or words[0].isdigit()
        assert "_" not in words


def test_a_problem_of_a_policy_reads_as_its_sentence() -> None:
    with pytest.raises(PolicyProblem, match=r"^No longer is not a policy parameter\.$"):
        inline_layers({"No longer": 1})


def test_the_wider_scope_has_the_smaller_width() -> None:
    assert [Scope(setting, drug).width for drug in ("", "J2350") for setting in ("", "home")] == [0, 1, 2, 3]


def test_a_value_says_where_in_an_encounter_it_would_stand_and_whose_it_is() -> None:
    drug = {"drug_covered": False, "settings": {"home": {"step_therapy": "an interferon"}}}
    document = {"ndc_required": True, "settings": {"home": {"discarded_drug": "not_billed"}}, "drugs": {"J2350": drug}}
    rules = national_baseline().with_inline(document).on(ON, "home")
    for name, path in {
        "ndc_required": "policy.ndc_required",
        "discarded_drug": "policy.settings.home.discarded_drug",
        "drug_covered": "policy.drugs.J2350.drug_covered",
        "step_therapy": "policy.drugs.J2350.settings.home.step_therapy",
    }.items():
        reading = rules.read(name, "J2350")
        assert (reading.path, reading.whose) == (path, "Given with this encounter")


def test_a_layer_holds_everywhere_and_is_verified_unless_it_says_otherwise() -> None:
    said = Layer("A payer", {"drug_covered": False})
    assert (said.status, said.scope, said.in_force(date.min), said.in_force(date.max)) == (
        "verified", Scope(), True, True,
    )  # fmt: skip


def test_a_policy_is_its_layers_whatever_was_read_of_it() -> None:
    used, unused = PayerPolicy((BASELINE,)), PayerPolicy((BASELINE,))
    reading = used.on(ON, "office").read("drug_covered")
    assert used == unused
    assert len({used, unused, reading, unused.on(ON, "office").read("drug_covered")}) == 2


@pytest.mark.parametrize("amount", ["0", "0.5", "99999.99", 600, Decimal("0.000001"), "999999999.999999"])
def test_an_amount_of_a_policy_is_exact(amount: Any) -> None:
    [found] = inline_layers({"maximum_claim_charge": amount})
    assert found.values["maximum_claim_charge"] == Decimal(amount)


# Reference ----------------------------------------------------------------------------------------------------------


def test_the_version_changes_with_any_byte(tmp_path: Path) -> None:
    for file in DATA.glob("*.toml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert load_reference(tmp_path).version == shipped_reference().version
    with (tmp_path / "rules.toml").open("a") as rules:
        rules.write("\n")
    changed = load_reference(tmp_path)
    assert changed.version != shipped_reference().version
    own = changed.with_drugs(changed.drugs["J2350"])
    assert own.version != changed.version
    assert len(changed.version) == len(own.version) == 16
    assert changed.diagnosis_families == ("G35", "G37.8")


@pytest.mark.parametrize(
    ("text", "on", "code"),
    [
        ("J2350", ON, "J2350"),
        (" ocrelizumab ", ON, "J2350"),
        ("OCREVUS", ON, "J2350"),
        ("Ocrevus  Zunovo", ON, "J2351"),
        ("Solu-Medrol", date(2024, 4, 1), "J2919"),
        ("Solu-Medrol", date(2024, 3, 31), "J2930"),
        ("eculizumab", date(2025, 3, 31), "J1300"),
        ("eculizumab", date(2025, 4, 1), "J1299"),
        ("eculizumab", date(2000, 1, 1), "J1299"),
        ("ocre", ON, None),
        ("", ON, None),
    ],
)
def test_a_drug_is_found_by_code_name_or_brand(text: str, on: date, code: str | None) -> None:
    found = shipped_reference().find_drug(text, on)
    assert (found and found.code) == code


def test_a_site_s_own_row_takes_the_place_of_the_one_that_begins_that_day() -> None:
    [row] = shipped_reference().drugs["J2350"]
    later = replace(row, name="another", first_day=date(2030, 1, 1))
    reference = shipped_reference().with_drugs([replace(row, name="the same"), later])
    assert [each.name for each in reference.drugs["J2350"]] == ["the same", "another"]
    assert [each.name for each in shipped_reference().drugs["J2350"]] == ["ocrelizumab"]


def test_a_site_s_own_row_that_begins_on_the_last_day_of_another_ends_it_the_day_before() -> None:
    [row] = shipped_reference().drugs["J2930"]
    own = replace(row, name="another", first_day=date(2024, 3, 31), last_day=None)
    first, second = shipped_reference().with_drugs([own]).drugs["J2930"]
    assert (first.last_day, second.name) == (date(2024, 3, 30), "another")


def test_what_follows_from_the_columns_of_a_drug() -> None:
    boxes = [{"amount": "500", "ndc": "11111-0001-01"}, {"amount": "500", "ndc": "11111-0001-02"},
             {"amount": "100", "ndc": "22222-001-01"}, {"amount": "100", "ndc": "22222-0001-01"}]  # fmt: skip
    columns = {
        "code": "J9312", "name": "rituximab", "billing_unit": "10", "routes": ["iv_infusion"], "first_day": ON,
        "hospital_packaged": False, "may_be_complex": True, "form": "powder", "source": "expert",
        "status": "unverified",
    }  # fmt: skip
    drug = drug_row(columns | {"containers": boxes})
    assert (drug.label, drug.single_dose, drug.sizes) == ("Rituximab", True, (Decimal(100), Decimal(500)))
    assert drug.ndcs == {Decimal(100): "22222000101"}
    assert not drug_row(columns | {"containers": [*boxes, {"amount": "50", "single_dose": False}]}).single_dose
    assert drug_row(columns | {"containers": boxes}) in {drug}
    assert not re.search("label=|sizes=|ndcs=|single_dose=", repr(replace(drug, containers=())))


def test_jz_is_not_carried_where_no_day_says_so() -> None:
    reference = shipped_reference()
    never = replace(reference, modifiers={"JZ": replace(reference.modifiers["JZ"], required_from=None)})
    assert reference.carries_jz(ON)
    assert not never.carries_jz(ON)


@pytest.mark.parametrize(
    ("needed", "sizes", "least"),
    [
        ("100", ["40", "125"], "120"),
        ("120.1", ["40", "125"], "125"),
        ("0.3", ["0.25", "1"], "0.50"),
        ("300", ["300"], "300"),
        ("1", [], None),
        ("0", ["40"], None),
        ("20000", ["1"], "20000"),
        ("20001", ["1"], None),  # not worth knowing
        ("999999999", ["1"], None),
    ],
)
def test_the_least_that_can_be_opened(needed: str, sizes: list[str], least: str | None) -> None:
    found = smallest_total(Decimal(needed), [Decimal(size) for size in sizes])
    assert found == (None if least is None else Decimal(least))


# Documents -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_an_encounter_written_out_reads_back_the_same(seed: int) -> None:
    for document in encounters(300 + seed, 100):
        asked = parse_encounter(document, ZONE).encounter
        assert parse_encounter(encounter_document(asked), "UTC").encounter == asked


def test_every_field_is_written_out() -> None:
    vial = {"amount": "300", "count": 2, "single_dose": False, "ndc": "50242-0150-01", "lot": "L", "expires": DAY}
    given = infused("J2350", 0, 60, (5, 10), vials=[vial], discards=[{"amount": "1", "reason": "overfill"}],
                    ordered="600", order="A", access="2", access_reason="both arms", primary=True,
                    acquired="supplied")  # fmt: skip
    document = encounter(
        given,
        hydrated(60, 120),
        visit={"start": None, "stop": None},
        diagnoses=["G35.A"],
        hospital_department="off_campus_excepted",
        past_doses=[{"date_of_service": "2025-09-10", "drug": "J2350", "administered": "600"}],
    )
    document["administrations"][0] |= {"bought_340b": True}
    asked = parse_encounter(document, ZONE).encounter
    assert asked.administrations[0].bought_340b
    [read_vial] = asked.administrations[0].vials
    assert (read_vial.lot, asked.administrations[0].access_reason) == ("L", "both arms")
    assert asked.past_doses is not None
    assert parse_encounter(encounter_document(asked), "UTC").encounter == asked


def test_what_came_later_is_written_only_where_it_was_said() -> None:
    written_out = encounter_document(parse_encounter(encounter(infused("J2350", 0, 60)), ZONE).encounter)
    assert not {"past_doses", "hospital_department"} & set(written_out)
    assert "bought_340b" not in written_out["administrations"][0]  # type: ignore[index]


def answered(*administrations: Any, **policy: Any) -> Any:
    return statement_document(read(encounter(*administrations, policy=policy)))


def test_what_is_not_said_of_an_administration_is_the_usual() -> None:
    """No field but its id, its route and the milligrams of a vial has to be there."""
    vial = Vial(amount=Decimal(300), count=1, single_dose=None, ndc="", lot="", expires=None)
    usual = Administration(
        id="a1", route="iv_push", drug="", order="", access="1", access_reason="", purpose="", primary=False,
        acquired="purchased", bought_340b=False, vials=(vial,),
    )  # fmt: skip
    said = encounter({"route": "iv_push", "vials": [{"amount": "300"}]})
    assert parse_encounter(said, ZONE).encounter.administrations == (usual,)
    assert Administration(id="a1", route="iv_push", vials=(Vial(amount=Decimal(300)),)) == usual


def test_an_answer_has_these_fields_and_no_others() -> None:
    vials, rest = [{"amount": "300", "ndc": "50242-0150-01"}], [{"amount": "20", "reason": "stopped_early"}]
    given = infused("J2350", 0, 60, administered="280", vials=vials, discards=rest)
    statement = read(encounter(given, policy={"infusion_minimum_minutes": 15}))
    answer: Any = statement_document(statement)
    assert answer["policy"].pop("infusion_minimum_minutes") == {"value": 15, "from": "inline", "source": "CAS16"}
    assert all(set(each) == {"value", "from", "source"} for each in answer.pop("policy").values())
    lines = answer.pop("lines")
    finding = statement.findings[0]
    assert answer == {
        "id": "test",
        "status": "ready",
        "date_of_service": DAY,
        "findings": [
            {"code": "waste.stopped_early", "severity": "warning", "administration": "a1", "field": "discards.0",
             "message": finding.message},
        ],
        "reference": shipped_reference().version,
    }  # fmt: skip
    because = [line.pop("because") for line in lines]
    assert because[0][0] == {
        "rule": "infusion_minimum_minutes", "source": "CAS16", "value": 15, "from": "inline",
        "text": statement.lines[0].because[0].text,
    }  # fmt: skip
    assert {"rule", "text", "source"} == set(because[1][0]), "a rule that no payer may change"
    drug = {"code": "J2350", "kind": "drug", "administrations": ["a1"], "minutes": None}
    assert lines == [
        {"code": "96365", "modifiers": [], "units": 1, "kind": "administration", "administrations": ["a1"],
         "minutes": 60, "ndcs": []},
        drug | {"modifiers": [], "units": 280, "ndcs": [{"ndc": "50242015001", "quantity": "9.333", "unit": "ML"}]},
        drug | {"modifiers": ["JW"], "units": 20, "ndcs": [{"ndc": "50242015001", "quantity": "0.667", "unit": "ML"}]},
    ]  # fmt: skip


def test_an_answer_names_no_place_where_there_is_none() -> None:
    answer: Any = statement_document(read({"setting": "office"}))
    assert (answer["status"], answer["date_of_service"], answer["lines"], answer["policy"]) == ("blocked", None, [], {})
    nothing: Any = statement_document(read(encounter(injected("J2351"), policy={"administration_paid": False})))
    [finding] = [each for each in nothing["findings"] if each["code"] == "administration.not_paid"]
    assert (finding["administration"], finding["field"]) == (None, None)


def test_what_is_not_paid_apart_from_a_drug_may_be_said_of_that_drug() -> None:
    unpaid = {"drugs": {"J2350": {"administration_paid": False}}}
    given = encounter(infused("J2350", 0, 60), injected("J2351"))
    told = {each.code: each.message for each in read(given | {"policy": unpaid}).findings}
    assert "96365 will be denied" in told["administration.not_paid"]
    paid = unpaid | {"administration_paid": False, "drugs": {"J2350": {"administration_paid": True}}}
    told = {each.code: each.message for each in read(given | {"policy": paid}).findings}
    assert "96372 will be denied" in told["administration.not_paid"]


def test_of_two_that_pay_nothing_the_first_by_name_is_told() -> None:
    first, second = (
        Layer(whose, {"administration_paid": False}, Scope(drug=drug))
        for whose, drug in (("Plan B", "J2350"), ("Plan A", "J2351"))
    )
    policy = national_baseline().with_layers([first, second])
    statement = read(encounter(infused("J2350", 0, 60), injected("J2351")), policy)
    [told] = [each.message for each in statement.findings if each.code == "administration.not_paid"]
    assert told.startswith("Plan A ")
    assert "96365, 96372 will be denied" in told


def test_a_drug_that_was_not_given_once_has_no_injection_either() -> None:
    twice = encounter(injected("J2919"), injected("J2919", administered="0"))
    statement = read(twice)
    assert "drug.not_given" in [each.code for each in statement.errors]
    assert [line.code for line in statement.lines] == []


def test_the_kinds_of_a_record_are_told_in_words() -> None:
    for words in (ROUTES, PURPOSES, DEPARTMENTS, ACQUIRED, FORMS):
        assert all(word[0].isupper() and "_" not in word for word in words.values())
    assert set(LINE_ROUTES) == set(ROUTES) - {"hydration", "oral"}


def test_a_nominal_charge_is_written_out_and_no_other() -> None:
    drug, supplied = infused("J2350", 0, 60), infused("J2323", 60, 120, acquired="supplied")
    lines = answered(drug, supplied, supplied_drug_line="nominal_charge")["lines"]
    assert {line["code"]: line.get("charge") for line in lines if line["kind"] == "drug"} == {
        "J2350": None,
        "J2323": "0.01",
    }
    assert [line["code"] for line in lines if "charge" in line] == ["J2323"]


def test_a_drug_s_own_value_is_shown_under_that_drug() -> None:
    own = {"J1745": {"additional_hour_minimum_minutes": 30}}
    policy = answered(infused("J1745", 0, 60), infused("J2350", 60, 120), drugs=own)["policy"]
    assert policy["additional_hour_minimum_minutes"] == {"value": 31, "from": "baseline", "source": "IFR96415"}
    assert policy["drugs"] == {
        "J1745": {"additional_hour_minimum_minutes": {"value": 30, "from": "inline", "source": "IFR96415"}}
    }


def test_a_policy_without_exceptions_names_no_drug() -> None:
    assert "drugs" not in answered(infused("J1745", 0, 60), infused("J2350", 60, 120))["policy"]
