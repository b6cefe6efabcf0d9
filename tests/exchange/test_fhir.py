"""FHIR bundles, read back by the maintained R4B models."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from infusion.exchange import Unwritable, fhir
from infusion.exchange.claim import Claim
from tests.exchange.sample import PATIENT, SENDER, WRITTEN_AT, claim, drug_line, institutional, replacement, void


def text(*claims: Claim) -> str:
    return fhir.write(claims, SENDER, 7, WRITTEN_AT).decode("utf-8")


def resources(*claims: Claim) -> list[Any]:
    bundle = Bundle.model_validate_json(text(*claims))
    return [entry.resource for entry in bundle.entry]


def of_type(name: str, *claims: Claim) -> list[Any]:
    return [each for each in resources(*claims) if each.get_resource_type() == name]


@pytest.mark.parametrize("each", [claim(), institutional(), replacement(), void(), claim(attending=None)])
def test_the_models_read_back_every_kind_of_claim(each: Claim) -> None:
    (read,) = of_type("Claim", each)
    assert [item.quantity.value for item in read.item] == [line.units for line in each.lines]
    assert [item.net.value for item in read.item] == [line.charge for line in each.lines]
    assert read.status == ("cancelled" if each.frequency == "8" else "active")
    assert read.type.coding[0].code == each.form


def test_a_line_has_its_code_modifier_and_ndc() -> None:
    (read,) = of_type("Claim", claim())
    discarded = read.item[3]
    assert discarded.productOrService.coding[0].code == "J2350"
    assert [each.coding[0].code for each in discarded.modifier] == ["JW"]
    assert (discarded.detail[0].quantity.value, discarded.detail[0].quantity.code) == (Decimal("2.667"), "mL")
    assert read.item[0].productOrService.coding[0].system == fhir.CPT
    assert discarded.productOrService.coding[0].system == fhir.HCPCS


def test_a_replacement_points_at_what_it_replaces() -> None:
    (read,) = of_type("Claim", replacement())
    (prior,) = read.related
    assert (prior.claim.identifier.value, prior.reference.value) == ("7-1", "1426070123456")


def test_a_credit_is_the_earlier_line_and_a_charge_is_a_new_one() -> None:
    told = [(each.identifier[0].value, each.status) for each in of_type("ChargeItem", replacement())]
    assert told == [
        *((f"7-1L{at}", "entered-in-error") for at in range(1, 5)),
        *((f"8-1L{at}", "billable") for at in range(1, 5)),
    ]


def test_every_reference_stands_in_the_bundle() -> None:
    document = json.loads(text(claim(), replacement()))
    urls = [entry["fullUrl"] for entry in document["entry"]]
    pointed = [each.split('"')[0] for each in json.dumps(document).split('"reference": "')[1:]]
    assert len(set(urls)) == len(urls)
    assert pointed
    assert set(pointed) <= set(urls)


def test_money_is_written_digit_by_digit() -> None:
    """The models' own writer would turn this one into 12345678901234568."""
    large = drug_line(charge=Decimal("12345678901234567.89"))
    assert '"net":{"value":12345678901234567.89,' in text(claim(charges=(large,)))
    assert '"value":0.1,' in text(claim(charges=(replace(large, charge=Decimal("0.10")),)))


def test_what_the_models_refuse_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir, "_provider", lambda claim: {"resourceType": "Organization", "nme": "x"})
    with pytest.raises(Unwritable, match=r"The validator refuses entry\.4\.resource\.nme \(Organization\)"):
        text(claim())


def test_what_is_not_known_is_left_out() -> None:
    bare = claim(
        patient=replace(PATIENT, birth_date=None), charges=tuple(replace(x, charge=None) for x in claim().charges)
    )
    (patient,), (read,) = of_type("Patient", bare), of_type("Claim", bare)
    assert patient.birthDate is None
    assert read.total is None
    assert read.item[0].net is None
