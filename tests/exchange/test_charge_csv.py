"""Rows for a billing system, and rows that a spreadsheet may open."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infusion.exchange.charge_csv import COLUMNS, defused, restored, write, write_for_spreadsheet
from infusion.exchange.claim import Claim, Name
from tests.exchange.sample import PATIENT, SENDER, WRITTEN_AT, claim, replacement, void


def rows(*claims: Claim) -> Sequence[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(write(claims, SENDER, 7, WRITTEN_AT).decode("utf-8"), newline="")))


def test_a_row_is_an_approved_line() -> None:
    (*_, given_, discarded) = rows(claim(diagnoses=("G35.A", "Z79.899"), authorization_number="PA-1"))
    assert given_ == {
        "batch": "7", "claim": "7-1", "replaces": "", "kind": "charge", "encounter": "5f0c1d6e", "patient": "MRN-1001",
        "family_name": "Lindqvist", "given_name": "Sarah", "birth_date": "1984-06-02", "payer": "Medicare",
        "payer_number": "12345", "member": "1EG4TE5MK73", "date_of_service": "2026-03-10", "place_of_service": "11",
        "position": "3", "code": "J2350", "modifiers": "", "units": "520", "charge": "41600.00",
        "ndcs": "50242015001 ML17.333", "diagnoses": "G35.A Z79.899", "authorization": "PA-1", "trial": "",
        "practitioner_npi": "1003000126", "clinic_npi": "1234567893", "description": "Ocrelizumab",
    }  # fmt: skip
    assert (discarded["code"], discarded["modifiers"], discarded["units"]) == ("J2350", "JW", "80")


def test_a_corrected_claim_takes_back_and_charges_anew() -> None:
    told = [(row["kind"], row["claim"], row["replaces"], row["code"], row["units"]) for row in rows(replacement())]
    assert told == [
        ("credit", "8-1", "7-1", "96365", "-1"), ("credit", "8-1", "7-1", "96366", "-2"),
        ("credit", "8-1", "7-1", "J2350", "-520"), ("credit", "8-1", "7-1", "J2350", "-80"),
        ("charge", "8-1", "7-1", "96365", "1"), ("charge", "8-1", "7-1", "96366", "2"),
        ("charge", "8-1", "7-1", "J2350", "500"), ("charge", "8-1", "7-1", "J2350", "100"),
    ]  # fmt: skip


def test_after_a_void_nothing_is_left() -> None:
    units: Counter[str] = Counter()
    money = Decimal(0)
    for row in rows(claim(), void()):
        units[row["code"]] += int(row["units"])
        money += Decimal(row["charge"])
    assert set(units.values()) == {0}
    assert money == 0


def test_a_charge_that_is_not_known_is_left_empty() -> None:
    lines = tuple(replace(line, charge=None) for line in claim().charges)
    assert {row["charge"] for row in rows(claim(charges=lines))} == {""}


def spreadsheet(each: Claim) -> tuple[list[str], list[list[str]]]:
    text = write_for_spreadsheet([each], SENDER, 7, WRITTEN_AT).decode("utf-8-sig")
    head, *body = csv.reader(io.StringIO(text, newline=""))
    return head, body


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\tx", "\rx", "\0x", "＝1", "＋1", " =1", "|x", "%x"]
)
def test_no_cell_of_the_spreadsheet_one_is_a_formula(name: str) -> None:
    each = claim(patient=replace(PATIENT, name=Name(family=name, given="'Sarah")))
    head, body = spreadsheet(each)
    assert {row[head.index("family_name")] for row in body} == {f"'{name}"}
    assert {restored(row[head.index("family_name")]) for row in body} == {name}
    assert rows(each)[0]["family_name"] == name


def test_numbers_of_the_spreadsheet_one_still_add_up() -> None:
    head, body = spreadsheet(void())
    assert sum(Decimal(row[head.index("charge")]) for row in body) == Decimal("-48592.75")
    assert write_for_spreadsheet([void()], SENDER, 7, WRITTEN_AT).startswith(b"\xef\xbb\xbfbatch,")


@given(st.text())
@example("'=x")
@example("-1.")
@example("−1")
def test_any_cell_is_defused_and_comes_back(cell: str) -> None:
    safe = defused(cell)
    first = unicodedata.normalize("NFKC", safe.lstrip())[:1]
    assert first not in tuple("=+-@") or safe.removeprefix("-").replace(".", "", 1).isdecimal()
    assert restored(safe) == cell


def test_the_columns_are_as_promised() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS) == 26
