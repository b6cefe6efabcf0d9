"""HL7 charge messages, read back and held against the standard's tables by a maintained library."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

from infusion.exchange import dft
from infusion.exchange.claim import Claim, Name, Ndc
from tests.exchange.sample import PATIENT, SENDER, WRITTEN_AT, claim, drug_line, institutional, replacement, void


def messages(*claims: Claim) -> list[Any]:
    """Each message, once the library has found nothing against it."""
    text = dft.write(claims, SENDER, 7, WRITTEN_AT).decode("utf-8")
    parsed = [
        parse_message(f"MSH|{each}", validation_level=VALIDATION_LEVEL.STRICT) for each in text.split("MSH|") if each
    ]
    assert all(each.validate() for each in parsed)
    return parsed


def transactions(message: Any) -> list[Any]:
    return [group.ft1 for group in message.dft_p03_financial]


@pytest.mark.parametrize("each", [claim(), institutional(), replacement(), void(), claim(attending=None)])
def test_the_library_finds_nothing_against_any_kind_of_claim(each: Claim) -> None:
    (message,) = messages(each)
    assert message.msh.msh_9.to_er7() == "DFT^P03^DFT_P03"
    assert len(transactions(message)) == len(each.charges) + len(each.credits)


def test_one_message_a_claim() -> None:
    assert [each.msh.msh_10.to_er7() for each in messages(claim(), replacement())] == ["7-7-1", "7-8-1"]


def test_credits_name_the_earlier_lines_and_stand_before_the_charges() -> None:
    (message,) = messages(replacement())
    told = [
        (each.ft1_6.to_er7(), each.ft1_2.to_er7(), each.ft1_10.to_er7(), each.ft1_11.to_er7(), each.ft1_26.to_er7())
        for each in transactions(message)
    ]
    assert told == [
        ("CR", "7-1L1", "1", "412.50&USD", ""), ("CR", "7-1L2", "2", "180.25&USD", ""),
        ("CR", "7-1L3", "520", "41600.00&USD", ""), ("CR", "7-1L4", "80", "6400.00&USD", "JW"),
        ("CG", "8-1L1", "1", "412.50&USD", ""), ("CG", "8-1L2", "2", "180.25&USD", ""),
        ("CG", "8-1L3", "500", "40000.00&USD", ""), ("CG", "8-1L4", "100", "8000.00&USD", "JW"),
    ]  # fmt: skip


def test_a_drug_has_its_ndc_and_the_note_its_quantity() -> None:
    (message,) = messages(claim())
    group = message.dft_p03_financial[2]
    assert group.ft1.ft1_29.to_er7() == "50242015001^^NDC"
    assert group.nte.nte_3.to_er7() == "NDC 50242015001 ML 17.333"


def test_two_ndcs_stay_one_charge_with_both_in_the_note() -> None:
    ndcs = tuple(Ndc(ndc=each, quantity=Decimal(1), unit="UN") for each in ("00009003928", "00009003932"))
    (message,) = messages(claim(charges=(drug_line(1, 33, ndcs=ndcs),)))
    (group,) = message.dft_p03_financial
    assert group.ft1.ft1_10.to_er7() == "33"
    assert group.ft1.ft1_29.to_er7() == ""
    assert group.nte.nte_3.to_er7() == "NDC 00009003928 UN 1; NDC 00009003932 UN 1"


def test_separators_in_a_name_stay_in_the_name() -> None:
    name = Name(family="O|Hara^Smith & ~Söhne\\\rFT1|9", given="A")
    (message,) = messages(claim(patient=replace(PATIENT, name=name)))
    assert len(transactions(message)) == 4
    assert message.pid.pid_5.to_er7() == "O\\F\\Hara\\S\\Smith \\T\\ \\R\\Söhne\\E\\ FT1\\F\\9^A"


def test_a_test_sender_s_message_says_that_it_is_a_test() -> None:
    text = dft.write([claim()], replace(SENDER, test=True), 7, WRITTEN_AT).decode()
    assert text.split("|")[10] == "T"


def test_the_library_would_see_a_message_without_its_transaction_type(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dft._segment
    monkeypatch.setattr(dft, "_segment", lambda name, **fields: whole(name, **{**fields, "f6": ""}))
    with pytest.raises(HL7apyException, match=r"FT1\.FT1_6"):
        messages(claim())
