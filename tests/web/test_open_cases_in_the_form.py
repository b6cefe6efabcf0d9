"""Every open case that the calculator's form can express gives the same lines there; the others are named."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

CASES = [json.loads(line) for line in (Path(__file__).parents[1] / "rules/cases/open.jsonl").read_text().splitlines()]
BEYOND_THE_FORM = {
    "dst-fall-back": "times with an offset; the form asks for the first or the second hour instead",
    "too-long": "a stop more than a day after its start; the form knows the next day and no later one",
    "line-residual-payer": "a list as a rule; the page offers rules with one value",
    "complex-first-in-hospital": "a rule for one drug alone; the page offers rules for all",
}


def clock(entries: dict[str, str], name: str, moment: str | None, day: str) -> None:
    """A moment as a person types it, with the answer "next day" where it is on the day after."""
    if moment:
        entries[name] = moment[11:16]
        if moment[:10] > day:
            entries[f"{name}-day"] = "next"


def as_entries(case: dict[str, Any]) -> dict[str, str]:
    asked = case["input"]
    starts = [given["start"][:10] for given in asked["administrations"] if given.get("start")]
    day = asked.get("date_of_service") or min(starts, default="2026-03-10")
    entries = {"date": day, "setting": asked["setting"], "diagnosis": " ".join(asked.get("diagnoses", []))}
    entries |= {f"rule-{name}": str(value) for name, value in asked.get("policy", {}).items()}
    for end, moment in asked.get("visit", {}).items():
        clock(entries, f"visit_{end}", moment, day)
    orders: list[str] = []
    for number, given in enumerate(asked["administrations"], 1):
        prefix = f"d{number}"
        for name in ("drug", "route", "ordered", "administered", "purpose", "acquired", "access"):
            entries[f"{prefix}-{name}"] = str(given.get(name, ""))
        if given.get("order"):
            orders += [given["order"]] * (given["order"] not in orders)
            entries[f"{prefix}-order"] = "ABCD"[orders.index(given["order"])]
        if given.get("access_reason"):
            entries[f"{prefix}-access_reason"] = "incompatible"
        if given.get("primary"):
            entries[f"{prefix}-primary"] = "yes"
        clock(entries, f"{prefix}-start", given.get("start"), day)
        clock(entries, f"{prefix}-stop", given.get("stop"), (given.get("start") or day)[:10])
        for part, pause in enumerate(given.get("pauses", []), 1):
            clock(entries, f"{prefix}-p{part}-start", pause.get("start"), given["start"][:10])
            clock(entries, f"{prefix}-p{part}-stop", pause.get("stop"), (pause.get("start") or given["start"])[:10])
        for part, vial in enumerate(given.get("vials", []), 1):
            entries[f"{prefix}-v{part}-size"], entries[f"{prefix}-v{part}-count"] = vial["amount"], str(vial["count"])
            if "single_dose" in vial:
                entries[f"{prefix}-container"] = "single" if vial["single_dose"] else "multi"
        for part, discard in enumerate(given.get("discards", []), 1):
            entries[f"{prefix}-w{part}-amount"], entries[f"{prefix}-w{part}-reason"] = (
                discard["amount"],
                discard["reason"],
            )
    return {name: value for name, value in entries.items() if value}


EXPRESSIBLE = [case for case in CASES if case["id"] not in BEYOND_THE_FORM]


@pytest.mark.parametrize("case", EXPRESSIBLE, ids=[case["id"] for case in EXPRESSIBLE])
def test_the_form_gives_the_lines_of_the_case(client: Client, case):
    response = client.get("/", as_entries(case))
    shown = [
        [line.code, line.modifiers.split(", ") if line.modifiers else [], line.units]
        for line in response.context["preview"].lines
    ]
    expected = case["expect"]
    if "lines" in expected:
        assert sorted(shown) == sorted(expected["lines"])
    assert bool(response.context["preview"].missing) == (expected["status"] == "blocked")


def test_the_cases_left_out_exist():
    assert set(BEYOND_THE_FORM) <= {case["id"] for case in CASES}
    assert len(EXPRESSIBLE) == len(CASES) - len(BEYOND_THE_FORM)
