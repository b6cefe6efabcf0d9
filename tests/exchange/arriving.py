"""What the examples of every kind tell of, typed as the contract writes it, and how a file is read in tests."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infusion.exchange.coming_in import Arrived, FileRead
from infusion.services.calculate import calculate
from infusion.services.reference import shipped_reference
from infusion.services.wire import parse_encounter, statement_document
from payers.policy import national_baseline

EXAMPLES = Path(__file__).with_name("examples")
ZONE = "America/New_York"
REFERENCE = shipped_reference()
VIALS = {"a1": [{"amount": "300", "count": 2, "ndc": "50242-0150-01"}], "a2": [{"amount": "125"}]}


def typed(*, pauses: bool = False) -> dict[str, Any]:
    """The encounter of the examples as a nurse would type it."""
    pause = [{"start": "2026-03-10T10:00", "stop": "2026-03-10T10:15"}] if pauses else []
    return {
        "date_of_service": "2026-03-10",
        "setting": "office",
        "diagnoses": ["G35.A"],
        "administrations": [
            {
                "id": "a1", "drug": "J2350", "route": "iv_infusion", "start": "2026-03-10T09:00",
                "stop": "2026-03-10T11:45", "pauses": pause, "administered": "600", "vials": VIALS["a1"],
            },
            {
                "id": "a2", "drug": "J2919", "route": "iv_push", "start": "2026-03-10T08:30", "administered": "125",
                "vials": VIALS["a2"],
            },
        ],
    }  # fmt: skip


def units(document: dict[str, Any]) -> list[tuple[str, tuple[str, ...], int]]:
    """The lines of a document in an office: code, modifiers, units."""
    asked = parse_encounter({**document, "setting": document.get("setting") or "office"}, ZONE)
    answer = statement_document(calculate(asked.encounter, national_baseline(), REFERENCE))
    lines: Any = answer["lines"]
    return [(each["code"], tuple(each["modifiers"]), each["units"]) for each in lines]


def with_vials(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the vials that neither FHIR nor HL7 tells of, as a nurse adds them to the draft."""
    given = [{**each, "vials": VIALS[each["id"]]} for each in document["administrations"]]
    return {**document, "diagnoses": ["G35.A"], "administrations": given}


def stream(text: str) -> io.BytesIO:
    return io.BytesIO(text.encode())


def told(file: FileRead, arrived: Sequence[Arrived]) -> list[tuple[int, str, str]]:
    """Where something stands that keeps an encounter out, and what stands there."""
    every = [*file.problems, *(each for one in arrived for each in one.problems)]
    return [(each.row, each.column, each.value) for each in every if not each.told]
