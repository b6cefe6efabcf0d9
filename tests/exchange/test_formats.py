"""What holds for every format, and the charge sheet."""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import replace

import pytest

from infusion.exchange import Unwritable
from infusion.exchange.claim import Claim, Name
from infusion.exchange.formats import FORMATS, Format
from tests.exchange.sample import PATIENT, SENDER, WRITTEN_AT, claim, drug_line, institutional, replacement, void

EVERY = pytest.mark.parametrize("each", FORMATS.values(), ids=FORMATS)


def batch(each: Format) -> list[Claim]:
    made = institutional if each.form == "institutional" else claim
    return [made(), made(number="7-2")]


def test_the_formats_are_as_promised() -> None:
    assert list(FORMATS) == ["csv", "csv-spreadsheet", "837p", "837i", "fhir", "dft", "pdf"]
    assert not FORMATS["837i"].takes([claim()])
    assert FORMATS["837i"].takes([claim(), institutional(number="7-2")])
    assert all(each.takes([claim()]) for name, each in FORMATS.items() if name != "837i")


@EVERY
def test_the_same_batch_is_the_same_bytes(each: Format) -> None:
    claims = batch(each)
    assert each.write(claims, SENDER, 7, WRITTEN_AT) == each.write(claims, SENDER, 7, WRITTEN_AT)
    assert each.write(claims, SENDER, 7, WRITTEN_AT) != each.write(claims, SENDER, 8, WRITTEN_AT)


@EVERY
def test_no_format_writes_a_line_that_is_none(each: Format) -> None:
    one, two = batch(each)
    with pytest.raises(Unwritable) as refusal:
        each.write([one, replace(two, charges=(drug_line(units=0),))], SENDER, 7, WRITTEN_AT)
    assert refusal.value.sentences == (
        "Claim 7-2: Line 1 (J2350): it has 0 units, and a line has one or more whole units. Correct the encounter.",
    )


@EVERY
def test_no_format_writes_an_empty_batch_or_a_claim_twice(each: Format) -> None:
    with pytest.raises(Unwritable):
        each.write([], SENDER, 7, WRITTEN_AT)
    with pytest.raises(Unwritable, match=r"Claim 7-1 stands in the batch twice\."):
        each.write([batch(each)[0]] * 2, SENDER, 7, WRITTEN_AT)


@pytest.mark.parametrize("name", ["csv", "csv-spreadsheet", "dft", "fhir", "pdf"])
def test_a_clinic_that_sends_no_claims_still_gets_its_charges(name: str) -> None:
    """Two makers' vials without sizes, no charge, no NPI: a billing system knows the rest."""
    bare = claim(
        patient=replace(PATIENT, name=Name(family=""), birth_date=None, sex=""),
        provider=replace(claim().provider, npi="", tax_id=""),
        attending=None,
        charges=tuple(replace(line, charge=None) for line in claim().charges),
    )
    assert FORMATS[name].write([bare], replace(SENDER, sender_id=""), 7, WRITTEN_AT)


def words(pdf: bytes) -> list[str]:
    """The texts that are drawn, in their order."""
    drawn = []
    for packed in re.findall(rb"stream\r?\n(.+?)endstream", pdf, re.DOTALL):
        page = zlib.decompress(base64.a85decode(b"<~" + packed.strip(), adobe=True))
        drawn += [each.decode("cp1252") for each in re.findall(rb"\(((?:[^()\\]|\\.)*)\) Tj", page)]
    return drawn


def sheet(*claims: Claim) -> list[str]:
    return words(FORMATS["pdf"].write(claims, SENDER, 7, WRITTEN_AT))


def test_the_charge_sheet_shows_each_line_and_what_they_come_to() -> None:
    drawn = sheet(replacement())
    for text in (
        "Charge sheet of batch 7",
        "Claim 8-1 \\267 Replaces claim 7-1",
        "J2350-JW",
        "-$41,600.00",
        "$40,000.00",
        "-520",
        "500",
        "$0.00",
    ):
        assert text in drawn, drawn
    assert "-$48,592.75" in sheet(void())


def test_the_charge_sheet_says_which_charges_it_does_not_know() -> None:
    unknown = claim(number="7-2", charges=(drug_line(charge=None),))
    assert "All claims together: $48,592.75, without 1 claim whose charges are not known" in sheet(claim(), unknown)


def test_a_name_is_text_to_the_charge_sheet() -> None:
    drawn = sheet(claim(patient=replace(PATIENT, name=Name(family="<b>Łuczak</b>", given="Li"))))
    assert "Li <b>Luczak</b>" in "".join(drawn)


def test_letters_that_the_sheet_s_font_lacks_leave_the_patient_s_reference() -> None:
    drawn = sheet(claim(patient=replace(PATIENT, name=Name(family="Ли", given="王"))))
    assert "MRN-1001" in "".join(drawn)


def test_a_long_charge_sheet_has_more_pages() -> None:
    drawn = sheet(*(claim(number=f"7-{at}") for at in range(12)))
    assert "Page 3" in drawn
    assert sum(each == "J2350-JW" for each in drawn) == 12
