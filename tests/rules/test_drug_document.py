"""A site's own drug: what the shipped file could not hold is refused at its field, and the rest is laid over it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from infusion.services.drug_document import amount_of, drug_of, problems_of
from infusion.services.reference import Drug, Source, shipped_reference

LIQUID: dict[str, Any] = {
    "code": "J2350", "name": "ocrelizumab", "brands": ["Ocrevus"], "billing_unit": "1", "routes": ["iv_infusion"],
    "first_day": date(2026, 4, 1), "form": "liquid", "concentration": "30", "hospital_packaged": False,
    "may_be_complex": True, "source": "expert", "status": "unverified",
    "containers": [{"amount": "300", "volume": "10", "single_dose": True, "ndc": "50242-0150-01"}],
}  # fmt: skip
POWDER = {name: value for name, value in LIQUID.items() if name != "concentration"} | {
    "form": "powder", "containers": [{"amount": "100", "single_dose": True}],
}  # fmt: skip
VIAL = LIQUID["containers"][0]


@pytest.mark.parametrize(
    "document",
    [
        LIQUID,
        POWDER,
        LIQUID | {"last_day": date(2026, 4, 1), "replaced_by": "J2351", "dosing": "fixed", "usual_minutes": 1439},
        LIQUID | {"usual_minutes": 1, "routes": ["iv_infusion", "iv_push", "subcutaneous", "intramuscular"]},
        LIQUID | {"containers": [VIAL, VIAL | {"amount": "600", "volume": "20", "ndc": "50242015086"}]},
    ],
)
def test_a_sound_document_is_a_drug(document: dict[str, Any]) -> None:
    assert problems_of(document) == []
    assert drug_of(document).code == "J2350"


def test_a_document_says_what_the_row_says() -> None:
    drug = drug_of(LIQUID)
    assert (drug.billing_unit, drug.concentration, drug.brands) == (Decimal(1), Decimal(30), ("Ocrevus",))
    [container] = drug.containers
    assert (container.amount, container.volume, container.ndc) == (Decimal(300), Decimal(10), "50242-0150-01")


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"code": "j2350"}, ["code"]),
        ({"code": "96365"}, ["code"]),
        ({"name": ""}, ["name"]),
        ({"brands": []}, ["brands"]),
        ({"brands": ["Ocrevus", ""]}, ["brands"]),
        ({"billing_unit": "0"}, ["billing_unit"]),
        ({"billing_unit": "0.00001"}, ["billing_unit"]),
        ({"billing_unit": 1}, ["billing_unit"]),
        ({"routes": []}, ["routes"]),
        ({"routes": ["oral"]}, ["routes"]),
        ({"dosing": "guessed"}, ["dosing"]),
        ({"usual_minutes": 0}, ["usual_minutes"]),
        ({"usual_minutes": 1440}, ["usual_minutes"]),
        ({"first_day": None}, ["first_day"]),
        ({"last_day": date(2026, 3, 31)}, ["last_day"]),
        ({"replaced_by": "J2351"}, ["last_day"]),
        ({"replaced_by": "next", "last_day": date(2026, 5, 1)}, ["replaced_by"]),
        ({"replaced_by": "J2350", "last_day": date(2026, 5, 1)}, ["replaced_by"]),
        ({"form": "gas", "containers": [VIAL]}, ["form"]),
        ({"concentration": None}, ["concentration"]),
        ({"concentration": "31"}, ["containers.0.volume"]),
        ({"containers": []}, ["containers"]),
        ({"containers": [VIAL | {"amount": "many"}]}, ["containers.0.amount"]),
        ({"containers": [{"amount": "300", "single_dose": True}]}, ["containers.0.volume"]),
        ({"containers": [VIAL | {"ndc": "50242-150-1"}]}, ["containers.0.ndc"]),
        ({"containers": [VIAL, VIAL | {"ndc": "50242-150-01"}]}, ["containers.1.ndc"]),
        (
            {"containers": [VIAL | {"ndc": "50242-150-1"}, {"amount": "0"}]},
            ["containers.0.ndc", "containers.1.amount", "containers.1.volume"],
        ),
        ({"form": "powder"}, ["concentration", "containers.0.volume"]),
    ],
)
def test_what_no_row_can_be_is_said_at_its_field(change: dict[str, Any], fields: list[str]) -> None:
    document = LIQUID | change
    found = problems_of(document)
    assert [problem.field for problem in found] == fields
    with pytest.raises(ValueError, match=found[0].message.split(":")[0]):
        drug_of(document)


@pytest.mark.parametrize("row", [row for rows in shipped_reference().drugs.values() for row in rows])
def test_every_shipped_drug_could_be_written_so(row: Drug) -> None:
    document: dict[str, Any] = {
        name: getattr(row, name)
        for name in ("code", "name", "brands", "routes", "first_day", "last_day", "form", "replaced_by", "dosing",
                     "usual_minutes")
    }  # fmt: skip
    document |= {"billing_unit": str(row.billing_unit)}
    if row.concentration is not None:
        document |= {"concentration": str(row.concentration)}
    document["containers"] = [
        {"amount": str(each.amount), "ndc": each.ndc} | ({"volume": str(each.volume)} if each.volume else {})
        for each in row.containers
    ]
    assert problems_of(document) == []


@pytest.mark.parametrize(
    ("text", "amount"), [("99999.9999", "99999.9999"), ("100000", None), ("-1", None), (None, None)]
)
def test_an_amount_has_a_ceiling_and_no_sign(text: object, amount: str | None) -> None:
    assert amount_of(text) == (None if amount is None else Decimal(amount))


# Laid over the shipped rows -------------------------------------------------------------------------------------------

REFERENCE = shipped_reference()
[SHIPPED] = REFERENCE.drugs["J2350"]  # from 2018-01-01 without an end
OWN = drug_of(LIQUID)


def days(*own: Drug) -> list[tuple[date, date | None]]:
    return [(row.first_day, row.last_day) for row in REFERENCE.with_drugs(own).drugs["J2350"]]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        # It takes the place of the one that begins that day, and ends it where it ends.
        (date(2018, 1, 1), None, [(date(2018, 1, 1), None)]),
        (date(2018, 1, 1), date(2026, 3, 31), [(date(2018, 1, 1), date(2026, 3, 31))]),
        # A later one: the shipped row ends the day before.
        (date(2026, 4, 1), None, [(date(2018, 1, 1), date(2026, 3, 31)), (date(2026, 4, 1), None)]),
        # An earlier one that ends before the shipped row begins leaves it, one that reaches into it does not.
        (date(2017, 1, 1), date(2017, 12, 31), [(date(2017, 1, 1), date(2017, 12, 31)), (date(2018, 1, 1), None)]),
        (date(2017, 1, 1), date(2018, 1, 1), [(date(2017, 1, 1), date(2018, 1, 1))]),
    ],
)
def test_an_own_row_stands_alone_from_its_first_day(
    first: date, last: date | None, expected: list[tuple[date, date | None]]
) -> None:
    assert days(replace(OWN, first_day=first, last_day=last)) == expected


def test_a_shipped_row_that_has_ended_before_is_left() -> None:
    [old] = REFERENCE.drugs["J2930"]  # until 2024-03-31
    own = replace(old, first_day=date(2024, 4, 1), last_day=None, name="again")
    assert [row.name for row in REFERENCE.with_drugs([own]).drugs["J2930"]] == [old.name, "again"]


def test_exactly_one_row_holds_on_either_side() -> None:
    reference = REFERENCE.with_drugs([replace(OWN, name="own")])
    held = [reference.drug("J2350", day) for day in (date(2026, 3, 31), date(2026, 4, 1))]
    assert [row and row.name for row in held] == ["ocrelizumab", "own"]


def test_the_version_tells_what_is_laid_over() -> None:
    assert REFERENCE.with_drugs([]) is REFERENCE
    once, again = REFERENCE.with_drugs([OWN]), REFERENCE.with_drugs([OWN])
    other = REFERENCE.with_drugs([replace(OWN, last_day=date(2030, 1, 1))])
    source = Source(title="Label", address="", kind="read", confidence="", read=None)
    cited = REFERENCE.with_drugs([OWN], {"SITE": source})
    assert once.version == again.version
    assert len({REFERENCE.version, once.version, other.version, cited.version}) == 4
    assert (cited.sources["SITE"], "SITE" in REFERENCE.sources) == (source, False)


def test_an_ndc_of_an_own_row_belongs_to_its_code() -> None:
    vial = replace(OWN.containers[0], ndc="50242-0150-99")
    reference = REFERENCE.with_drugs([replace(OWN, containers=(vial,))])
    assert reference.ndc_owners["50242015099"] == {"J2350"}
    assert reference.ndc_owners["50242015001"] == {"J2350"}, "of the days before"
    assert "50242015099" not in REFERENCE.ndc_owners
