"""MedicationAdministration in: the same units as the same encounter typed, and a path for what cannot be mapped."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from infusion.arriving import UnreadableFile
from infusion.exchange.coming_in import Arrived, FileRead
from infusion.exchange.fhir_in import read_fhir
from tests.exchange.arriving import EXAMPLES, REFERENCE, ZONE, stream, told, typed, units, with_vials

EXAMPLE = json.loads((EXAMPLES / "bundle.json").read_text())
PATIENT, ENCOUNTER, COVERAGE, INFUSION, PUSH = range(5)
NOTHING = object()


def read(bundle: Any) -> tuple[FileRead, list[Arrived]]:
    file = read_fhir(stream(json.dumps(bundle)), ZONE, REFERENCE)
    return file, list(file.encounters)


def changed(entry: int, path: str, value: Any) -> Any:
    """The example with another value at a path of one resource, or without it."""
    bundle = copy.deepcopy(EXAMPLE)
    *way, last = (int(each) if each.isdecimal() else each for each in path.split("."))
    owner = bundle["entry"][entry]["resource"]
    for each in way:
        owner = owner[each]
    if value is NOTHING:
        del owner[last]
    else:
        owner[last] = value
    return bundle


def test_administrations_of_one_encounter_bring_the_units_of_the_same_one_typed() -> None:
    file, (one,) = read(EXAMPLE)
    assert (file.rows, told(file, [one]), one.rows) == (5, [], [4, 5])
    assert (one.source, one.number, one.payer) == ("urn:riverside:visits", "V-100", "Medicare")
    assert one.patient == {
        "reference": "MRN-1001", "name": "Lindqvist, Sarah", "birth_date": "1984-06-02", "sex": "F",
    }  # fmt: skip
    assert one.document["diagnoses"] == ["G35.A"]
    assert units(with_vials(one.document)) == units(typed())


def test_what_has_no_place_here_is_told_and_keeps_nothing_out() -> None:
    bundle = changed(INFUSION, "device", [{"display": "Pump 7"}])
    bundle["entry"].append({"resource": {"resourceType": "Observation", "id": "o1"}})
    file, (one,) = read(bundle)
    assert one.is_ready
    assert [(each.row, each.column, each.value) for each in (*file.problems, *one.problems)] == [
        (6, "Observation", "o1"), (4, "device", ""), (5, "note", "Tolerated well."),
    ]  # fmt: skip


def test_an_entry_that_stands_there_again_is_read_once_and_another_of_its_id_is_named() -> None:
    again = {**EXAMPLE, "entry": [*EXAMPLE["entry"], EXAMPLE["entry"][PUSH]]}
    file, (one,) = read(again)
    assert (one.is_ready, len(one.document["administrations"])) == (True, 2)
    assert [(each.row, each.column, each.told) for each in file.problems] == [(6, "id", True)]
    other = changed(PUSH, "dosage.dose.value", 1)["entry"][PUSH]
    file, (one,) = read({**EXAMPLE, "entry": [*EXAMPLE["entry"], other]})
    assert told(file, [one]) == [(6, "id", "m2")]


def test_two_patients_of_one_number_in_one_encounter_are_named() -> None:
    bundle = changed(PUSH, "subject.reference", "Patient/other")
    other = copy.deepcopy(EXAMPLE["entry"][PATIENT])
    other |= {"fullUrl": "urn:other", "resource": other["resource"] | {"id": "other", "birthDate": "1999-01-01"}}
    file, (one,) = read({**bundle, "entry": [*bundle["entry"], other]})
    assert told(file, [one]) == [(5, "subject", "Lindqvist, Sarah")]


def test_an_address_of_two_patients_is_nobodys() -> None:
    other = changed(PATIENT, "identifier.0.value", "MRN-7")["entry"][PATIENT]
    _, (one,) = read({**EXAMPLE, "entry": [*EXAMPLE["entry"], other]})
    assert not one.is_ready
    assert "record number is missing" in one.problems[0].reason


def test_the_same_drug_of_two_orders_has_two_letters() -> None:
    bundle = changed(
        PUSH,
        "medicationCodeableConcept.coding.0",
        {**EXAMPLE["entry"][INFUSION]["resource"]["medicationCodeableConcept"]["coding"][0]},
    )
    _, (one,) = read(bundle)
    assert [each["order"] for each in one.document["administrations"]] == ["A", "B"]


def test_a_visit_at_home_has_its_setting_and_its_times() -> None:
    bundle = changed(ENCOUNTER, "class", {"code": "HH"})
    bundle["entry"][ENCOUNTER]["resource"]["period"] = {"start": "2026-03-10T08:00:00-04:00"}
    _, (one,) = read(bundle)
    assert one.document["setting"] == "home"
    assert one.document["visit"] == {"start": "2026-03-10T08:00:00-04:00", "stop": None}


@pytest.mark.parametrize(
    ("entry", "path", "value", "column", "reason"),
    [
        (ENCOUNTER, "class.code", "IMP", "Encounter.class", "a stay in a hospital"),
        (PUSH, "status", "in-progress", "status", "Only what is completed"),
        (PUSH, "status", NOTHING, "status", "own model refuses"),
        (PUSH, "dosage.dose.value", "much", "dosage.dose.value", "own model refuses"),
        (PUSH, "dosage.dose", NOTHING, "dosage.dose", "dose is missing"),
        (PUSH, "dosage.dose.code", "[iU]", "dosage.dose", "cannot be turned into milligrams"),
        (PUSH, "dosage.dose.comparator", "<", "dosage.dose", "this one is not"),
        (PUSH, "dosage.route", NOTHING, "dosage.route", "No code of one route"),
        (PUSH, "dosage.route.coding.0.code", "IVINJ", "dosage.route", "No code of one route"),
        (INFUSION, "dosage.rateRatio", NOTHING, "dosage.method", "IV alone"),
        (PUSH, "medicationCodeableConcept.coding.0.system", "urn:local", "medication", "No HCPCS code"),
        (INFUSION, "medicationCodeableConcept.coding.0.code", "50242015001x", "medication", "no NDC"),
        (PUSH, "effectiveDateTime", "2026-03-10", "effectiveDateTime", "with its minutes"),
        (PUSH, "context", NOTHING, "context", "No encounter is named"),
        (PATIENT, "identifier.0.type", {}, "Patient.identifier", "Mark it with the type MR"),
        (PATIENT, "identifier", [], "Patient.identifier", "record number is missing"),
    ],
)
def test_what_cannot_be_mapped_is_named_with_its_entry_and_path(
    entry: int, path: str, value: Any, column: str, reason: str
) -> None:
    file, arrived = read(changed(entry, path, value))
    every = [*file.problems, *(each for one in arrived for each in one.problems)]
    found = [(each.row, each.column) for each in every if reason in each.reason and not each.told]
    row = INFUSION + 1 if entry in (PATIENT, ENCOUNTER) else entry + 1
    assert found[0] == (row, column)
    assert not any(each.is_ready for each in arrived if row in (*each.rows, each.row) or len(arrived) == 1)


def test_one_that_was_not_given_is_no_administration() -> None:
    _, (one,) = read(changed(PUSH, "status", "not-done"))
    assert (one.is_ready, len(one.document["administrations"])) == (True, 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not JSON"), ("[]", "no FHIR bundle"), ('{"resourceType": "Patient"}', "has to be Bundle"),
        ('{"resourceType": "Bundle"}', "0 entries"), ('{"resourceType": "Bundle", "entry": [1]}', "list of objects"),
        ('{"entry":[' + "[]," * 601_000 + "[]]}", "more than 1,200,000 brackets and commas"),
        ('{"resourceType": "Bundle", "resourceType": "Bundle"}', "given twice"),
        ('{"resourceType": "Bundle", "entry": [{"a\\u0000": 1}]}', "zero byte"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused_as_a_whole(text: str, sentence: str) -> None:
    with pytest.raises(UnreadableFile, match=sentence):
        read_fhir(stream(text), ZONE, REFERENCE)
