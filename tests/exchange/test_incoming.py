"""A document that arrives: what a draft holds of it, and each thing that it cannot hold by path, value and sentence."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from infusion.exchange import incoming
from infusion.exchange.incoming import Destination, Incoming, NotMapped, recorded_from
from infusion.forms import fields, parts, structure
from infusion.forms.stored import normal
from infusion.models.people import SEXES
from infusion.services.reference import shipped_reference
from infusion.services.wire import encounter_document, parse_encounter
from tests.rules.random_encounters import encounters

HERE = Destination(
    time_zone="America/New_York",
    today=date(2026, 3, 11),
    payers=("medicare",),
    reference=shipped_reference(),
    hospital_department="on_campus",
)
SARAH: dict[str, Any] = {
    "patient": {"reference": " MRN-1001 ", "name": "Sarah Lindqvist", "birth_date": "1984-06-02", "sex": "F"},
    "payer": "medicare",
    "setting": "office",
    "diagnoses": ["G35.A"],
    "late_reasons": {"bag": "Downtime"},
    "administrations": [
        {
            "id": "bag", "drug": "J2350", "route": "iv_infusion", "start": "2026-03-10T09:00",
            "stop": "2026-03-10T11:30", "pauses": [{"start": "2026-03-10T10:00", "stop": "2026-03-10T10:10"}],
            "ordered": "600", "administered": "580.5",
            "vials": [{"amount": "300", "count": 2, "ndc": "50242-0150-01", "lot": "L1", "expires": "2027-01-31"}],
            "discards": [{"amount": "19.5", "reason": "vial_remainder"}],
        }
    ],
}  # fmt: skip


def put(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The document with something else at a path."""
    changed = deepcopy(document)
    *way, last = path.split(".")
    table: Any = changed
    for name in way:
        table = table[int(name)] if isinstance(table, list) else table.setdefault(name, {})
    if isinstance(table, list):
        table[int(last)] = value
    else:
        table[last] = value
    return changed


def refused(document: object, to: Destination = HERE) -> list[tuple[str, str, str]]:
    with pytest.raises(NotMapped) as told:
        recorded_from(document, to)
    return [(each.path, each.value, each.reason) for each in told.value.problems]


def test_the_worked_example_is_what_a_draft_holds() -> None:
    found = recorded_from(SARAH, HERE)
    assert (found.patient_reference, found.patient_name, found.sex) == ("MRN-1001", "Sarah Lindqvist", "F")
    assert (found.birth_date, found.payer) == (date(1984, 6, 2), "medicare")
    assert (found.date_of_service, found.late_reasons) == (date(2026, 3, 10), {"a1": "Downtime"})
    [given] = found.facts.administrations
    assert given.id == "a1"
    # 9:00 to 11:30 on the clinic's clock, which is four hours behind after the clock change of March 8.
    assert (given.start, given.stop) == (
        datetime(2026, 3, 10, 13, tzinfo=UTC),
        datetime(2026, 3, 10, 15, 30, tzinfo=UTC),
    )
    assert given.pauses[0].start == datetime(2026, 3, 10, 14, tzinfo=UTC)
    assert found.bought_340b is None


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("patient", None, "whose visit"),
        ("patient", [], "object"),
        ("patient.reference", "", "whose visit"),
        ("patient.reference", "x" * 41, "Only 40"),
        ("patient.reference", "a\u0000b", "cannot be seen"),
        ("patient.reference", 7, "text in quotes"),
        ("patient.birth_date", "2026-13-01", "not a date"),
        ("patient.birth_date", "2026-03-12", "still to come"),
        ("patient.birth_date", "1899-12-31", "too long ago"),
        ("patient.sex", "female", "not one of F, M, U"),
        ("patient.shoe_size", "38", "not a field"),
        ("shoe_size", "38", "not a field"),
        ("payer", None, "who pays"),
        ("payer", "nobody", "short name"),
        ("policy", {"infusion_minimum_minutes": 1}, "entered by an admin"),
        ("past_doses", [], "on record"),
        ("time_zone", "America/Chicago", "America/New_York"),
        ("hospital_department", "off_campus_excepted", "recorded otherwise"),
        ("diagnoses.0", "MS", "shape of a code"),
        ("late_reasons", "Downtime", "object"),
        ("late_reasons.a2", "Downtime", "No administration"),
        ("late_reasons.bag", 1, "text in quotes"),
        ("late_reasons.bag", "x" * 201, "Only 200"),
        ("administrations.0.drug", "Ocrevus", "The code of ocrelizumab is J2350."),
        ("administrations.0.drug", "Panacea", "Send the code"),
        ("administrations.0.route", "hydration", "Hydration has no drug"),
        ("administrations.0.route", "nasal", "not one of"),
        ("administrations.0.order", "x" * 41, "Only 40"),
        ("administrations.0.access", "left\u200barm", "cannot be seen"),
        ("administrations.0.access_reason", "x" * 201, "Only 200"),
        ("administrations.0.administered", "580.5001", "thousandth"),
        ("administrations.0.ordered", "-1", "Less than nothing"),
        ("administrations.0.start", "2025-11-02T01:30", "happens twice"),
        ("administrations.0.stop", "2026-03-08T02:30", "does not exist"),
        ("administrations.0.pauses.0.stop", "2025-11-02T01:30", "happens twice"),
        ("visit", {"start": "2025-11-02T01:30"}, "happens twice"),
        ("administrations.0.vials.0.amount", "0", "more than nothing"),
        ("administrations.0.vials.0.amount", "-300", "Less than nothing"),
        ("administrations.0.vials.0.count", 0, "from 1 to 200"),
        ("administrations.0.vials.0.count", 201, "from 1 to 200"),
        ("administrations.0.vials.0.ndc", "50242-0150-01-77", "Only 14"),
        ("administrations.0.vials.0.lot", "x" * 41, "Only 40"),
        ("administrations.0.discards.0.amount", "0.0001", "thousandth"),
    ],
)
def test_what_a_draft_cannot_hold_is_named(path: str, value: object, words: str) -> None:
    [(where, what, reason)] = refused(put(SARAH, path, value))
    expected = {"patient": "patient.reference" if value is None else path, "visit": "visit.start"}
    assert where == ("administrations.0.drug" if value == "hydration" else expected.get(path, path))
    assert words in reason
    if isinstance(value, str) and value != "hydration":
        assert what == value[:80].strip()


def test_everything_is_told_at_once_and_what_is_no_object_too() -> None:
    document = put(put(SARAH, "payer", "nobody"), "administrations.0.drug", "Panacea")
    assert [path for path, _, _ in refused(document)] == ["payer", "administrations.0.drug"]
    assert refused([])[0][0] == ""
    assert [path for path, _, _ in refused({**SARAH, "administrations": []} | {"late_reasons": None})] == [
        "date_of_service"
    ]


def test_an_unknown_code_and_what_is_missing_are_left_to_the_rules() -> None:
    bare = {
        "patient": {"reference": "1"}, "payer": "medicare", "setting": "home", "date_of_service": "2026-03-10",
        "administrations": [{"route": "iv_push", "drug": "J9999"}, {"route": "oral", "drug": "Acetaminophen"}],
    }  # fmt: skip
    assert [each.drug for each in recorded_from(bare, HERE).facts.administrations] == ["J9999", "ACETAMINOPHEN"]


def many(name: str, count: int) -> dict[str, Any]:
    item = SARAH["administrations"][0]
    if name == "administrations":
        return {**SARAH, "late_reasons": None, name: [{**item, "id": str(n)} for n in range(count)]}
    if name == "diagnoses":
        return {**SARAH, name: [f"G35.{n:02}" for n in range(count)]}
    return put(SARAH, f"administrations.0.{name}", item[name] * count)


@pytest.mark.parametrize("name", incoming.MOST)
def test_as_many_as_the_form_shows_and_no_more(name: str) -> None:
    most = incoming.MOST[name]
    assert recorded_from(many(name, most), HERE)
    [(path, _, reason)] = refused(many(name, most + 1))
    assert path.endswith(name)
    assert f"here are {most + 1}" in reason


def test_the_bounds_are_those_of_the_form() -> None:
    shows = {"administrations": structure.MOST_DRUGS, "diagnoses": fields.MOST_DIAGNOSES}
    shows |= {
        name: structure.MOST_PARTS[letter] for name, letter in (("pauses", "p"), ("vials", "v"), ("discards", "w"))
    }
    assert shows == incoming.MOST
    assert parts.MOST_VIALS == incoming.MOST_OF_ONE_VIAL
    assert (fields.DRUG_CODE, fields.DIAGNOSIS) == (incoming.DRUG_CODE, incoming.DIAGNOSIS)
    assert tuple(letter for letter, _ in SEXES) == incoming.SEXES


def priced(*flags: object, supplied: bool = False) -> dict[str, Any]:
    item = {**SARAH["administrations"][0], "acquired": "supplied" if supplied else "purchased"}
    fluid = {"route": "hydration", "purpose": "keep_open"}
    given = [{**item, "id": f"d{n}", "bought_340b": flag} for n, flag in enumerate(flags)]
    return {**SARAH, "late_reasons": None, "administrations": [*given, fluid]}


def test_the_price_is_one_for_the_visit() -> None:
    assert recorded_from(priced(True, True), HERE).bought_340b is True
    assert recorded_from(priced(False, None), HERE).bought_340b is False
    assert recorded_from(priced(None), HERE).bought_340b is None
    assert [path for path, _, _ in refused(priced(True, None))] == ["administrations.1.bought_340b"]
    assert [path for path, _, _ in refused(priced(True, supplied=True))] == ["administrations.0.bought_340b"]


def test_what_was_read_reads_again_and_nothing_of_a_made_up_encounter_is_lost() -> None:
    """Each of 400 is either held whole, to the minute, or refused with a sentence; none breaks anything."""
    outcomes: Counter[str] = Counter()
    for document in encounters(7, 400):
        document = {name: value for name, value in document.items() if name not in ("policy", "past_doses")}
        sent = {**document, "patient": {"reference": "MRN-1"}, "payer": "medicare"}
        here = Destination(
            time_zone=document.get("time_zone", HERE.time_zone), today=HERE.today, payers=HERE.payers,
            reference=HERE.reference,
        )  # fmt: skip
        try:
            found = recorded_from(sent, here)
        except NotMapped:
            outcomes["refused"] += 1
            continue
        outcomes["held"] += 1
        said = parse_encounter(document, here.time_zone).encounter
        whole = replace(said, date_of_service=found.date_of_service, diagnoses=tuple(dict.fromkeys(said.diagnoses)))
        assert normal(found.facts) == normal(whole)
        again = recorded_from(json.loads(json.dumps(as_sent(found))), here)
        assert replace(again, bought_340b=found.bought_340b) == found
    assert outcomes["held"] > 250
    assert outcomes["refused"] > 5


def as_sent(found: Incoming) -> dict[str, Any]:
    document = encounter_document(found.facts)
    return {**document, "payer": found.payer, "patient": {"reference": found.patient_reference}}
