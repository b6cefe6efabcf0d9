"""An approval read back: the facts, the lines and the rules as they stood when it was given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from infusion.models import Approval
from infusion.services import facts
from infusion.services.findings import Finding, Severity
from infusion.services.lines import Because, NdcQuantity, ServiceLine, Statement
from infusion.services.wire import parse_encounter
from payers.policy import BASELINE, PARAMETERS, Layer, PayerPolicy, Reading, Scope, jsonable


@dataclass(frozen=True, slots=True)
class Approved:
    """What an approval covers. Nothing in it is calculated again."""

    facts: facts.Encounter
    statement: Statement


def approved_content(approval: Approval) -> Approved:
    """The stored texts as values."""
    readings = [_reading(each) for each in json.loads(approval.policy) if each["parameter"] in PARAMETERS]
    return Approved(
        recorded_in(approval),
        _statement(json.loads(approval.statement), readings),
    )


def recorded_in(approval: Approval) -> facts.Encounter:
    """What was recorded when it was approved."""
    return recorded_as(approval.input)


def recorded_as(text: str) -> facts.Encounter:
    """The record that the input of an approval holds."""
    recorded = json.loads(text)
    return parse_encounter(recorded, recorded["time_zone"]).encounter


def policy_of(statement: Statement) -> PayerPolicy:
    """The rules that an approval rests on, as far as it read them: the baseline and what departed from it."""
    layers = [reading.layer for reading in statement.policy.values()]
    return PayerPolicy((BASELINE, *sorted(layers, key=lambda layer: layer.name != BASELINE.name)))


def _reading(document: Mapping[str, Any]) -> Reading:
    name = document["parameter"]
    value = PARAMETERS[name].clean(document["value"])
    setting, drug = document["scope"]
    layer = Layer(
        name=document["layer"],
        values={name: value},
        scope=Scope(setting=setting, drug=drug),
        source=document["source"],
        status=document["status"],
        effective_from=_day(document["from"]),
        effective_until=_day(document["until"]),
        override_id=document["override"],
    )
    return Reading(name, document["drug"], value, layer)


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _statement(document: Mapping[str, Any], readings: Sequence[Reading]) -> Statement:
    return Statement(
        encounter_id=document["id"],
        date_of_service=_day(document["date_of_service"]),
        lines=tuple(_line(each, readings) for each in document["lines"]),
        findings=tuple(_finding(each) for each in document["findings"]),
        policy={(reading.name, reading.drug): reading for reading in readings},
        reference_version=document["reference"],
    )


def _finding(document: Mapping[str, Any]) -> Finding:
    return Finding(
        document["code"],
        Severity(document["severity"]),
        document["message"],
        document["administration"] or "",
        document["field"] or "",
    )


def _line(document: Mapping[str, Any], readings: Sequence[Reading]) -> ServiceLine:
    return ServiceLine(
        code=document["code"],
        units=document["units"],
        kind=document["kind"],
        administrations=tuple(document["administrations"]),
        because=tuple(_because(each, readings) for each in document["because"]),
        modifiers=tuple(document["modifiers"]),
        minutes=document["minutes"],
        ndcs=tuple(NdcQuantity(each["ndc"], Decimal(each["quantity"]), each["unit"]) for each in document["ndcs"]),
        charge=Decimal(document["charge"]) if "charge" in document else None,
        date_of_service=_day(document.get("date_of_service")),
    )


def _because(document: Mapping[str, Any], readings: Sequence[Reading]) -> Because:
    """The reason with the reading it rested on: the one of its rule, value and layer."""
    found = None
    if "from" in document:
        found = next(
            (
                reading
                for reading in readings
                if reading.name == document["rule"]
                and reading.layer.name == document["from"]
                and reading.source == document["source"]
                and jsonable(reading.value) == document["value"]
            ),
            None,
        )
    return Because(document["rule"], document["text"], document["source"], found)
