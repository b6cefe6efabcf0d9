"""A claim as a document and back, and what it says is missing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from infusion.exchange.claim import Address, Membership, Name, claim_document, missing, npi_holds, parse_claim
from tests.exchange.sample import PATIENT, SENDER, claim, institutional, replacement, void


@pytest.mark.parametrize("each", [claim(), institutional(attending=None), replacement(), void()])
def test_a_claim_survives_its_document(each) -> None:  # type: ignore[no-untyped-def]
    document = json.loads(json.dumps(claim_document(each)))
    assert parse_claim(document) == each
    assert claim_document(parse_claim(document)) == document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("number", 7),
        ("frequency", "2"),
        ("date_of_service", "10 March"),
        ("charges", [{"code": "J2350"}]),
        ("more", ""),
    ],
)
def test_another_document_is_refused_with_the_field_named(path: str, value: object) -> None:
    with pytest.raises(ValueError, match=path):
        parse_claim({**claim_document(claim()), path: value})


@pytest.mark.parametrize("amount", [412.5, "NaN", "-Infinity", "1,000", True])
def test_only_an_exact_number_is_an_amount(amount: object) -> None:
    document = claim_document(claim())
    document["charges"][0]["charge"] = amount
    with pytest.raises(ValueError, match=r"claim\.charges\.0\.charge"):
        parse_claim(document)


def test_nothing_is_missing_from_the_whole_example() -> None:
    for each in (claim(), institutional(), replacement(), void()):
        assert missing(each, SENDER) == ()


def said(each, sender=SENDER) -> dict[str, str]:  # type: ignore[no-untyped-def]
    return {need.item: need.where for need in missing(each, sender)}


def test_each_missing_part_is_named_with_where_to_enter_it() -> None:
    bare = claim(patient=replace(PATIENT, birth_date=None, address=Address()), diagnoses=(), attending=None)
    assert said(bare) == {
        "The patient has no birth date. Enter it on the patient.": "patient",
        "The patient has no street address. Enter it on the patient.": "patient",
        "The patient has no city of two letters or more. Enter it on the patient.": "patient",
        "The patient has no state of two letters. Enter it on the patient.": "patient",
        "The patient has no ZIP code of 5 or 9 digits. Enter it on the patient.": "patient",
        "The claim names no rendering practitioner. Choose one on the encounter.": "provider",
        "The claim has no diagnosis. Correct the encounter and enter one.": "encounter",
    }


def test_a_spouse_s_coverage_needs_the_spouse() -> None:
    spouse = Membership(member_id="A1", relationship="01", subscriber=replace(PATIENT, name=Name(family="Lindqvist")))
    assert said(claim(membership=spouse)) == {
        "The subscriber has no given name. Enter it on the patient's coverage.": "coverage"
    }


def test_the_clinic_needs_all_nine_digits_of_its_zip_code() -> None:
    party = replace(claim().provider, address=replace(claim().provider.address, postal_code="12207"))
    assert said(claim(provider=party)) == {"The clinic has no ZIP code of 9 digits. Enter it on the clinic.": "clinic"}


def test_a_replacement_needs_the_payer_s_number_and_an_original_does_not() -> None:
    (item,) = said(replacement(original_reference=""))
    assert "Claim 8-1 takes the place of 7-1, whose number at Medicare is not recorded." in item
    assert said(claim(original_reference="")) == {}


def test_a_line_without_a_charge_is_named_once_by_its_code() -> None:
    lines = tuple(replace(line, charge=None) for line in claim().charges[2:])
    assert said(claim(charges=lines)) == {"J2350 has no charge on 2026-03-10. Enter it in the fee schedule.": "charges"}


def test_the_sender_is_named_part_by_part() -> None:
    assert list(said(claim(), replace(SENDER, sender_id="", contact_phone="0142"))) == [
        "The clinic has no sender number for electronic claims. Enter it on the clinic.",
        "The contact telephone 0142 has not 10 digits. Correct it on the clinic.",
    ]


@pytest.mark.parametrize("npi", ["1234567893", "1003000126"])
def test_a_true_npi(npi: str) -> None:
    assert npi_holds(npi)


@pytest.mark.parametrize(
    "npi", ["1234567890", "1234567983", "123456789", "12345678931", "3234567893", "123456789x", ""]
)
def test_no_npi(npi: str) -> None:
    assert not npi_holds(npi)
