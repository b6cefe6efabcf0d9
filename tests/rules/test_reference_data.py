"""The shipped tables: every row is dated, sourced, and fits the others."""

import re
import tomllib
from collections import defaultdict
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from infusion.services.drug import DOSINGS

FOLDER = Path(__file__).parents[2] / "infusion" / "services" / "reference_data"

Row = dict[str, Any]

TABLES = {
    "drugs": "drug",
    "administration": "code",
    "diagnoses": "diagnosis",
    "modifiers": "modifier",
    "places_of_service": "place",
    "look_alikes": "look_alike",
    "mue": "mue",
    "payment_limits": "limit",
}
ROUTES = {"iv_infusion", "iv_push", "subcutaneous", "intramuscular"}
SETTINGS = {"office", "home", "hospital_outpatient"}
FAMILIES = {"therapeutic", "complex", "hydration", "injection", "home"}
STAND_ALONE_ROLES = {"initial", "push_initial", "injection", "visit", "per_diem"}
ADD_ON_ROLES = {"sequential", "additional_hour", "concurrent", "push_sequential", "push_repeat", "visit_hour"}

# code: name, unit, routes, first day, last day, packaged, complex, form, mg per mL, containers (mg, mL, NDC)
PROMISED_DRUGS: dict[str, tuple[Any, ...]] = {
    "J2350": ("ocrelizumab", "1", {"iv_infusion"}, date(2018, 1, 1), None, False, True, "liquid", "30",
              [("300", "10", "50242-0150-01")]),
    "J2351": ("ocrelizumab and hyaluronidase-ocsq", "1", {"subcutaneous"}, date(2025, 4, 1), None, False, True,
              "liquid", "40", [("920", "23", None)]),
    "J2919": ("methylprednisolone sodium succinate", "5", {"iv_push", "iv_infusion", "intramuscular"},
              date(2024, 4, 1), None, True, False, "powder", None,
              [("40", None, None), ("125", None, None), ("500", None, None), ("1000", None, None)]),
    "J2930": ("methylprednisolone sodium succinate", "125", {"iv_push", "iv_infusion", "intramuscular"},
              date(1990, 1, 1), date(2024, 3, 31), True, False, "powder", None, [("125", None, None)]),
    "J1200": ("diphenhydramine", "50", {"iv_push", "iv_infusion", "intramuscular"}, date(1990, 1, 1), None, True,
              False, "liquid", "50", [("50", "1", None)]),
    "J1745": ("infliximab", "10", {"iv_infusion"}, date(1990, 1, 1), None, False, True, "powder", None,
              [("100", None, None)]),
    "J9312": ("rituximab", "10", {"iv_infusion"}, date(2019, 1, 1), None, False, True, "liquid", "10",
              [("100", "10", None), ("500", "50", None)]),
    "J2323": ("natalizumab", "1", {"iv_infusion"}, date(2008, 1, 1), None, False, True, "liquid", "20",
              [("300", "15", None)]),
    "J3380": ("vedolizumab", "1", {"iv_infusion"}, date(2016, 1, 1), None, False, True, "powder", None,
              [("300", None, None)]),
}  # fmt: skip


def load(stem: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{stem}.toml").read_text(encoding="utf-8"))


def rows_of(stem: str) -> list[Row]:
    rows: list[Row] = load(stem)[TABLES[stem]]
    return rows


SOURCES: dict[str, Row] = load("sources")
FAMILY_ROWS: list[Row] = load("diagnoses")["family"]
ALL_ROWS = [(stem, row) for stem in TABLES for row in rows_of(stem)] + [("families", row) for row in FAMILY_ROWS]
EVERY_ROW = pytest.mark.parametrize(
    ("stem", "row"), ALL_ROWS, ids=[f"{stem}-{row.get('code') or row['prefix']}" for stem, row in ALL_ROWS]
)
EVERY_DRUG = pytest.mark.parametrize("row", rows_of("drugs"), ids=lambda row: row["code"])
EVERY_CODE = pytest.mark.parametrize("row", rows_of("administration"), ids=lambda row: row["code"])
EVERY_SOURCE = pytest.mark.parametrize(("key", "source"), SOURCES.items(), ids=list(SOURCES))


def codes(stem: str) -> set[str]:
    return {row["code"] for row in rows_of(stem)}


def positive(text: object) -> Decimal:
    """The amount a table states, refused unless it is exact text for a number above zero."""
    assert isinstance(text, str), f"{text!r} is not text: a binary float would not be exact"
    try:
        amount = Decimal(text)
    except InvalidOperation:
        pytest.fail(f"{text!r} is not a number")
    assert amount.is_finite()
    assert amount > 0
    return amount


def in_force(stem: str, code: str, on: date) -> bool:
    return any(row["first_day"] <= on <= row.get("last_day", date.max) for row in rows_of(stem) if row["code"] == code)


@EVERY_ROW
def test_row_names_a_known_source(stem: str, row: Row) -> None:
    assert row["source"] in SOURCES


@EVERY_ROW
def test_unverified_row_says_why(stem: str, row: Row) -> None:
    assert row["status"] in {"verified", "unverified"}
    if row["status"] == "unverified":
        assert len(row["note"]) > 10


@EVERY_ROW
def test_row_resting_on_general_knowledge_is_unverified(stem: str, row: Row) -> None:
    if SOURCES[row["source"]]["kind"] == "expert":
        assert row["status"] == "unverified"


@EVERY_ROW
def test_sources_named_in_a_note_are_listed(stem: str, row: Row) -> None:
    named = re.findall(r"source-document-\w+|(?<=\bat )[A-Z][A-Z0-9-]{2,}", row.get("note", ""))
    assert set(named) <= set(SOURCES)


@EVERY_ROW
def test_last_day_is_not_before_the_first(stem: str, row: Row) -> None:
    if stem in {"places_of_service", "look_alikes", "families"}:
        assert "first_day" not in row
        return
    assert type(row["first_day"]) is date
    assert row["first_day"] <= row.get("last_day", date.max)
    assert row["first_day"] <= row.get("required_from", date.max)


@pytest.mark.parametrize("stem", ["drugs", "administration", "diagnoses", "modifiers", "mue", "payment_limits"])
def test_intervals_of_one_code_do_not_overlap(stem: str) -> None:
    by_code: dict[str, list[Row]] = defaultdict(list)
    for row in rows_of(stem):
        by_code[row["code"]].append(row)
    for code, rows in by_code.items():
        for one, other in combinations(rows, 2):
            apart = one.get("last_day", date.max) < other["first_day"] or (
                other.get("last_day", date.max) < one["first_day"]
            )
            assert apart, f"two rows of {code} are in force on the same day"


@EVERY_DRUG
def test_amounts_are_exact_and_positive(row: Row) -> None:
    positive(row["billing_unit"])
    assert row["containers"]
    for container in row["containers"]:
        positive(container["amount"])
        assert type(container["single_dose"]) is bool
        if row["form"] == "liquid":
            assert positive(container["amount"]) / positive(container["volume"]) == positive(row["concentration"])
        else:
            assert row["form"] == "powder"
            assert "volume" not in container
            assert "concentration" not in row
        if "ndc" in container:
            assert re.fullmatch(r"\d{5}-\d{4}-\d{2}", container["ndc"])


@EVERY_DRUG
def test_drug_row_is_complete(row: Row) -> None:
    assert re.fullmatch(r"[A-Z]\d{4}", row["code"])
    assert row["name"] == row["name"].lower()
    assert row["brands"]
    assert row["routes"]
    assert set(row["routes"]) <= ROUTES
    assert type(row["hospital_packaged"]) is bool
    assert type(row["may_be_complex"]) is bool
    assert row["dosing"] in DOSINGS
    assert row["dosing_source"] in SOURCES
    assert ("usual_minutes" in row) == ("usual_source" in row)
    assert row.get("usual_source", "expert") in SOURCES
    assert 0 < row.get("usual_minutes", 1) < 24 * 60
    assert all(isinstance(note, str) for note in row.get("label_notes", []))
    assert isinstance(row.get("label_notes", []), list)


@EVERY_DRUG
def test_replaced_drug_code_leads_to_one_in_force_the_next_day(row: Row) -> None:
    assert ("replaced_by" in row) == ("last_day" in row)
    if "replaced_by" in row:
        assert row["replaced_by"] in codes("drugs") | codes("look_alikes")
        starts = [other["first_day"] for other in rows_of("drugs") if other["code"] == row["replaced_by"]]
        assert [(first - row["last_day"]).days for first in starts] == [1]


@pytest.mark.parametrize("code", PROMISED_DRUGS)
def test_promised_drug_has_exactly_these_numbers(code: str) -> None:
    [row] = [row for row in rows_of("drugs") if row["code"] == code]
    stated = (
        row["name"],
        row["billing_unit"],
        set(row["routes"]),
        row["first_day"],
        row.get("last_day"),
        row["hospital_packaged"],
        row["may_be_complex"],
        row["form"],
        row.get("concentration"),
        [(each["amount"], each.get("volume"), each.get("ndc")) for each in row["containers"]],
    )
    assert stated == PROMISED_DRUGS[code]
    assert all(each["single_dose"] for each in row["containers"])


def test_drugs_beyond_the_promised_are_all_there() -> None:
    more = {"J3262", "J2357", "J0490", "J1300", "J1299", "J1301", "J2920", "J2329", "J0202", "Q5134"}
    assert codes("drugs") == set(PROMISED_DRUGS) | more


def test_one_name_means_one_code_on_any_day() -> None:
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows_of("drugs"):
        for name in {row["name"], *(brand.lower() for brand in row["brands"])}:
            by_name[name].append(row)
    shared = {name: {row["code"] for row in rows} for name, rows in by_name.items() if len(rows) > 1}
    # Two codes billed methylprednisolone by the size of the dose; those of eculizumab succeed each other.
    assert shared == {
        "methylprednisolone sodium succinate": {"J2919", "J2930", "J2920"},
        "solu-medrol": {"J2919", "J2930", "J2920"},
        "eculizumab": {"J1300", "J1299"},
        "soliris": {"J1300", "J1299"},
    }


@EVERY_CODE
def test_add_on_code_has_parents_and_they_exist(row: Row) -> None:
    assert row["role"] in STAND_ALONE_ROLES | ADD_ON_ROLES
    assert bool(row["parents"]) == (row["role"] in ADD_ON_ROLES)
    assert set(row["parents"]) <= codes("administration") - {row["code"]}


@EVERY_CODE
def test_every_chain_of_parents_ends_at_a_code_that_stands_alone(row: Row) -> None:
    parents = {other["code"]: set(other["parents"]) for other in rows_of("administration")}
    reached, edge = {row["code"]}, {row["code"]}
    while edge := {parent for code in edge for parent in parents[code]} - reached:
        reached |= edge
    assert any(not parents[code] for code in reached)


@EVERY_CODE
def test_code_belongs_to_a_family_and_a_setting(row: Row) -> None:
    assert row["family"] in FAMILIES
    assert row["settings"]
    assert set(row["settings"]) <= SETTINGS


def test_one_code_per_family_and_role() -> None:
    taken = [(row["family"], row["role"]) for row in rows_of("administration")]
    assert len(taken) == len(set(taken)) == 19


def test_repeated_push_is_for_hospitals_alone() -> None:
    [row] = [row for row in rows_of("administration") if row["code"] == "96376"]
    assert row["settings"] == ["hospital_outpatient"]


@pytest.mark.parametrize("stem", ["administration", "diagnoses", "places_of_service"])
def test_no_two_codes_share_a_label(stem: str) -> None:
    labels = [row["label"].casefold() for row in rows_of(stem)]
    assert len(labels) == len(set(labels))


def sounds_licensed(label: str) -> bool:
    """Whether a label uses a turn of phrase of the licensed code descriptions."""
    telltale = r"prophyla|specify|up to 1 hour|list separately|substance|antineoplastic|intravenous infusion"
    return len(label) > 50 or bool(re.search(telltale, label, re.IGNORECASE))


@EVERY_CODE
def test_label_is_our_own(row: Row) -> None:
    assert not sounds_licensed(row["label"])


@pytest.mark.parametrize("label", ["Infusion (specify drug)", "Thing " * 10])
def test_a_licensed_sounding_label_would_be_seen(label: str) -> None:
    assert sounds_licensed(label)


@pytest.mark.parametrize("row", rows_of("diagnoses"), ids=lambda row: row["code"])
def test_diagnosis_successors_exist_and_follow_on(row: Row) -> None:
    assert bool(row["replaced_by"]) == ("last_day" in row)
    for successor in row["replaced_by"]:
        [first] = [other["first_day"] for other in rows_of("diagnoses") if other["code"] == successor]
        assert (first - row["last_day"]).days == 1


def test_families_are_those_that_were_split() -> None:
    assert {row["prefix"]: row["complete"] for row in FAMILY_ROWS} == {"G35": True, "G37.8": True}
    for family in FAMILY_ROWS:
        [whole] = [row for row in rows_of("diagnoses") if row["code"] == family["prefix"]]
        listed = {code for code in codes("diagnoses") if code.startswith(family["prefix"])}
        assert listed == {whole["code"], *whole["replaced_by"]}


@pytest.mark.parametrize(
    ("stem", "code", "first", "last"),
    [
        ("drugs", "J2351", date(2025, 4, 1), None),
        ("drugs", "J2919", date(2024, 4, 1), None),
        ("drugs", "J2930", None, date(2024, 3, 31)),
        ("drugs", "J2920", None, date(2024, 3, 31)),
        ("drugs", "J1300", None, date(2025, 3, 31)),
        ("diagnoses", "G35", None, date(2025, 9, 30)),
        *[
            ("diagnoses", f"G35.{last}", date(2025, 10, 1), None)
            for last in ["A", "B0", "B1", "B2", "C0", "C1", "C2", "D"]
        ],
        ("diagnoses", "G37.8", None, date(2023, 9, 30)),
        ("diagnoses", "G37.81", date(2023, 10, 1), None),
        ("diagnoses", "G37.89", date(2023, 10, 1), None),
        ("modifiers", "JZ", date(2023, 1, 1), None),
        ("modifiers", "JG", None, date(2024, 12, 31)),
    ],
)
def test_code_starts_and_ends_on_these_days(stem: str, code: str, first: date | None, last: date | None) -> None:
    today = date(2026, 11, 21)
    assert in_force(stem, code, today) == (last is None)
    if first:
        assert not in_force(stem, code, date.fromordinal(first.toordinal() - 1))
        assert in_force(stem, code, first)
    if last:
        assert in_force(stem, code, last)
        assert not in_force(stem, code, date.fromordinal(last.toordinal() + 1))


def test_waste_modifiers_are_asked_for_from_these_days() -> None:
    asked = {row["code"]: row["required_from"] for row in rows_of("modifiers") if "required_from" in row}
    assert asked == {"JW": date(2017, 1, 1), "JZ": date(2023, 7, 1)}


def test_places_of_service_lead_to_these_settings() -> None:
    assert {row["code"]: row["setting"] for row in rows_of("places_of_service")} == {
        "11": "office",
        "12": "home",
        "19": "hospital_outpatient",
        "22": "hospital_outpatient",
        "49": "office",
    }


def test_look_alike_is_told_once_and_leads_elsewhere() -> None:
    pairs = [(row["code"], row["mistaken_for"]) for row in rows_of("look_alikes")]
    assert len(pairs) == len(set(pairs))
    known = codes("drugs") | codes("administration") | codes("look_alikes") | {""}
    for row in rows_of("look_alikes"):
        assert row["use_instead"] in known - {row["code"]}
        assert row["means"] != row["mistaken_for"]


def test_look_alike_for_a_drug_leads_to_that_drug() -> None:
    names = {row["code"]: row["name"] for row in rows_of("drugs")}
    for row in rows_of("look_alikes"):
        if row["use_instead"] in names:
            assert row["mistaken_for"] == names[row["use_instead"]]


@pytest.mark.parametrize("row", rows_of("mue"), ids=lambda row: row["code"])
def test_unlikely_units_are_whole_and_belong_to_a_known_code(row: Row) -> None:
    assert row["code"] in codes("drugs") | codes("administration")
    assert type(row["practitioner"]) is int
    assert type(row["outpatient"]) is int
    assert 0 <= row["practitioner"] <= row["outpatient"]
    assert row["status"] == "unverified"


@EVERY_SOURCE
def test_source_says_what_it_is_and_where(key: str, source: Row) -> None:
    assert set(source) <= {"title", "address", "read", "kind", "confidence"}
    assert source["title"]
    assert source["kind"] in {"found", "expert", "calculation", "source document"}
    assert source["confidence"] in {"high", "medium", "low"}
    if source["kind"] == "found":
        assert re.fullmatch(r"https?://[^\s/]+/\S*", source["address"])
        assert type(source["read"]) is date
    else:
        assert source["address"] == ""
        assert "read" not in source


def test_no_two_sources_share_an_address() -> None:
    addresses = [source["address"] for source in SOURCES.values() if source["address"]]
    assert len(addresses) == len(set(addresses))
