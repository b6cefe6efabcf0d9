"""Claims of the worked example with an invented patient, for the tests of every format."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from infusion.exchange.claim import (
    Address,
    Claim,
    ClaimLine,
    Insurer,
    Membership,
    Name,
    Ndc,
    Party,
    Person,
    Practitioner,
    Sender,
)

WRITTEN_AT = datetime(2026, 3, 12, 14, 30, tzinfo=UTC)
SENDER = Sender(
    sender_id="RIVERSIDE",
    receiver_name="Example Clearinghouse",
    receiver_id="CLEARING",
    name="Riverside Infusion Center",
    contact_name="Dana Reyes",
    contact_phone="555-010-0142",
)
PATIENT = Person(
    name=Name(family="Lindqvist", given="Sarah"),
    birth_date=date(1984, 6, 2),
    sex="F",
    address=Address(address="12 Elm Street", city="Albany", state_code="NY", postal_code="12207"),
)
OCRELIZUMAB = "50242015001"


def drug_line(position: int = 1, units: int = 520, quantity: str = "17.333", *modifiers: str, **more: Any) -> ClaimLine:
    return ClaimLine(
        **{  # type: ignore[arg-type]
            "position": position,
            "code": "J2350",
            "modifiers": modifiers,
            "units": units,
            "kind": "drug",
            "charge": Decimal(units) * 80,
            "ndcs": (Ndc(ndc=OCRELIZUMAB, quantity=Decimal(quantity), unit="ML"),),
            "diagnosis_pointers": (1,),
            "description": "Ocrelizumab",
            **more,
        }
    )


def hours(position: int, code: str, units: int, charge: str, **more: Any) -> ClaimLine:
    return ClaimLine(
        **{  # type: ignore[arg-type]
            "position": position,
            "code": code,
            "units": units,
            "kind": "administration",
            "charge": Decimal(charge),
            "minutes": 150,
            "diagnosis_pointers": (1,),
            "description": "First hour of infusion" if code == "96365" else "Each further hour of infusion",
            **more,
        }
    )


LINES = (
    hours(1, "96365", 1, "412.50"),
    hours(2, "96366", 2, "180.25"),
    drug_line(3),
    drug_line(4, 80, "2.667", "JW"),
)


def claim(**more: Any) -> Claim:
    """A professional claim: 520 mg given, 80 mg thrown away, 150 minutes."""
    return Claim(
        **{  # type: ignore[arg-type]
            "number": "7-1",
            "frequency": "1",
            "form": "professional",
            "encounter_id": "5f0c1d6e",
            "patient_reference": "MRN-1001",
            "patient": PATIENT,
            "membership": Membership(member_id="1EG4TE5MK73", subscriber=PATIENT),
            "insurer": Insurer(name="Medicare", electronic_id="12345", filing_code="MB"),
            "provider": Party(
                name="Riverside Infusion LLC",
                npi="1234567893",
                tax_id="12-3456789",
                taxonomy="261QI0500X",
                address=Address(address="1 River Road", city="Albany", state_code="NY", postal_code="12207-0001"),
                contact_name="Dana Reyes",
                contact_phone="555-010-0142",
            ),
            "attending": Practitioner(
                name=Name(family="Okafor", given="Ngozi"), npi="1003000126", taxonomy="2084N0400X"
            ),
            "date_of_service": date(2026, 3, 10),
            "place_of_service": "11",
            "diagnoses": ("G35.A",),
            "charges": LINES,
            **more,
        }
    )


def institutional(**more: Any) -> Claim:
    return claim(**{"form": "institutional", "place_of_service": "22", **more})


def replacement(**more: Any) -> Claim:
    """500 mg given after all, in the place of claim 7-1."""
    return claim(
        **{
            "number": "8-1",
            "frequency": "7",
            "original_number": "7-1",
            "original_reference": "1426070123456",
            "charges": (*LINES[:2], drug_line(3, 500, "16.667"), drug_line(4, 100, "3.333", "JW")),
            "credits": LINES,
            **more,
        }
    )


def void(**more: Any) -> Claim:
    return claim(
        **{
            "number": "9-1",
            "frequency": "8",
            "original_number": "7-1",
            "original_reference": "1426070123456",
            "charges": (),
            "credits": LINES,
            **more,
        }
    )


def with_lines(*lines: ClaimLine, **more: Any) -> Claim:
    return replace(claim(), charges=lines, **more)
