"""The worked example's arithmetic alone, by three others: plain Decimal code, business-rules and zen-engine.

Each is written as someone would write it who wants these lines and no reasons: minutes -> units of the infusion codes,
milligrams and vials -> units of the drug, given and discarded. None of them checks a record, resolves a payer's policy,
dates a unit or looks up a table. Thresholds stand where the tool wants them: in conditions, in a table, in the code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import Any

import zen
from business_rules import run_all
from business_rules.actions import BaseActions, rule_action
from business_rules.fields import FIELD_NUMERIC, FIELD_TEXT
from business_rules.variables import BaseVariables, numeric_rule_variable


@dataclass(frozen=True, slots=True)
class Line:
    code: str
    modifiers: tuple[str, ...]
    units: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the others are given: minutes that ran, milligrams given, and one size of vial."""

    minutes: int
    dose: Decimal
    vial: Decimal
    vials: int
    billing_unit: Decimal = Decimal(1)


# Plain Decimal --------------------------------------------------------------------------------------------------------


def plain_decimal(facts: Facts) -> list[Line]:
    """The plainest code that gets the lines right."""
    if facts.minutes >= 16:
        lines = [Line("96365", (), 1)]
        hours, rest = divmod(max(0, facts.minutes - 60), 60)
        further = hours + (rest >= 31)
        if further:
            lines.append(Line("96366", (), further))
    else:
        lines = [Line("96374", (), 1)]
    given = int((facts.dose / facts.billing_unit).to_integral_value(ROUND_CEILING))
    discarded = facts.vial * facts.vials - facts.dose
    wasted = int((discarded / facts.billing_unit).to_integral_value(ROUND_FLOOR))
    if wasted:
        return [*lines, Line("J2350", (), given), Line("J2350", ("JW",), wasted)]
    return [*lines, Line("J2350", ("JZ",), given)]


# business-rules -------------------------------------------------------------------------------------------------------


class Variables(BaseVariables):  # type: ignore[misc]
    """What a rule may ask about."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @numeric_rule_variable  # type: ignore[untyped-decorator]
    def minutes(self) -> int:
        return self.facts.minutes

    @numeric_rule_variable  # type: ignore[untyped-decorator]
    def full_hours(self) -> int:
        return max(0, self.facts.minutes - 60) // 60

    @numeric_rule_variable  # type: ignore[untyped-decorator]
    def rest_minutes(self) -> int:
        return max(0, self.facts.minutes - 60) % 60

    @numeric_rule_variable  # type: ignore[untyped-decorator]
    def discarded_units(self) -> int:
        discarded = self.facts.vial * self.facts.vials - self.facts.dose
        return int((discarded / self.facts.billing_unit).to_integral_value(ROUND_FLOOR))


class Actions(BaseActions):  # type: ignore[misc]
    """What a rule may do."""

    def __init__(self, variables: Variables) -> None:
        self.variables = variables
        self.lines: list[Line] = []

    @rule_action(params={"code": FIELD_TEXT})  # type: ignore[untyped-decorator]
    def add_one(self, code: str) -> None:
        self.lines.append(Line(code, (), 1))

    @rule_action(params={"code": FIELD_TEXT, "more": FIELD_NUMERIC})  # type: ignore[untyped-decorator]
    def add_hours(self, code: str, more: int) -> None:
        self.lines.append(Line(code, (), self.variables.full_hours() + more))

    @rule_action(params={"modifier": FIELD_TEXT})  # type: ignore[untyped-decorator]
    def add_given(self, modifier: str) -> None:
        facts = self.variables.facts
        units = int((facts.dose / facts.billing_unit).to_integral_value(ROUND_CEILING))
        self.lines.append(Line("J2350", (modifier,) if modifier else (), units))

    @rule_action(params={"modifier": FIELD_TEXT})  # type: ignore[untyped-decorator]
    def add_discarded(self, modifier: str) -> None:
        self.lines.append(Line("J2350", (modifier,), self.variables.discarded_units()))


def _rule(action: str, params: dict[str, Any], *conditions: tuple[str, str, int]) -> dict[str, Any]:
    asked = [{"name": name, "operator": operator, "value": value} for name, operator, value in conditions]
    return {"conditions": {"all": asked}, "actions": [{"name": action, "params": params}]}


INFUSED = ("minutes", "greater_than_or_equal_to", 16)
RULES = [
    _rule("add_one", {"code": "96365"}, INFUSED),
    _rule("add_hours", {"code": "96366", "more": 1}, INFUSED, ("rest_minutes", "greater_than_or_equal_to", 31)),
    _rule(
        "add_hours", {"code": "96366", "more": 0},
        INFUSED, ("rest_minutes", "less_than", 31), ("full_hours", "greater_than", 0),
    ),
    _rule("add_one", {"code": "96374"}, ("minutes", "less_than", 16)),
    _rule("add_given", {"modifier": "JZ"}, ("discarded_units", "equal_to", 0)),
    _rule("add_given", {"modifier": ""}, ("discarded_units", "greater_than", 0)),
    _rule("add_discarded", {"modifier": "JW"}, ("discarded_units", "greater_than", 0)),
]  # fmt: skip


def business_rules(facts: Facts) -> list[Line]:
    variables = Variables(facts)
    actions = Actions(variables)
    run_all(rule_list=RULES, defined_variables=variables, defined_actions=actions)
    return actions.lines


# zen-engine -----------------------------------------------------------------------------------------------------------


def _table(identity: str, inputs: dict[str, str], outputs: dict[str, str], rules: list[dict[str, str]]) -> Any:
    return {
        "id": identity, "type": "decisionTableNode", "name": identity,
        "content": {
            "hitPolicy": "first", "passThrough": True,
            "inputs": [{"id": key, "name": key, "field": name} for key, name in inputs.items()],
            "outputs": [{"id": key, "name": key, "field": name} for key, name in outputs.items()],
            "rules": [{"_id": f"{identity}{number}", **row} for number, row in enumerate(rules)],
        },
    }  # fmt: skip


def _expressions(identity: str, **values: str) -> Any:
    rows = [{"id": f"{identity}-{name}", "key": name, "value": value} for name, value in values.items()]
    content = {"expressions": rows, "passThrough": True}
    return {"id": identity, "type": "expressionNode", "name": identity, "content": content}


NODES = [
    {"id": "in", "type": "inputNode", "name": "in", "content": {}},
    _expressions(
        "amounts",
        hours="floor(max([0, minutes - 60]) / 60)",
        rest="max([0, minutes - 60]) % 60",
        given="ceil(dose / billing_unit)",
        discarded="floor((vial * vials - dose) / billing_unit)",
    ),
    _table(
        "decisions",
        {"i1": "minutes", "i2": "rest", "i3": "discarded"},
        {"o1": "first", "o2": "more", "o3": "modifier"},
        [
            {"i1": "< 16", "i3": "0", "o1": '"96374"', "o2": "0", "o3": '"JZ"'},
            {"i1": "< 16", "o1": '"96374"', "o2": "0", "o3": '"JW"'},
            {"i2": ">= 31", "i3": "0", "o1": '"96365"', "o2": "1", "o3": '"JZ"'},
            {"i2": ">= 31", "o1": '"96365"', "o2": "1", "o3": '"JW"'},
            {"i3": "0", "o1": '"96365"', "o2": "0", "o3": '"JZ"'},
            {"o1": '"96365"', "o2": "0", "o3": '"JW"'},
        ],
    ),
    _expressions("units", further="first == \"96365\" ? hours + more : 0"),
    {"id": "out", "type": "outputNode", "name": "out", "content": {}},
]  # fmt: skip
GRAPH = {
    "nodes": NODES,
    "edges": [
        {"id": f"e{number}", "type": "edge", "sourceId": one["id"], "targetId": other["id"]}
        for number, (one, other) in enumerate(pairwise(NODES))
    ],
}
DECISION = zen.ZenEngine().create_decision(zen.ZenDecisionContent(json.dumps(GRAPH)))


def zen_engine(facts: Facts) -> list[Line]:
    """It counts in floats, so what comes out is turned back into whole units."""
    asked = {
        "minutes": facts.minutes, "dose": float(facts.dose), "vial": float(facts.vial), "vials": facts.vials,
        "billing_unit": float(facts.billing_unit),
    }  # fmt: skip
    found = DECISION.evaluate(asked)["result"]
    lines = [Line(found["first"], (), 1)]
    if found["further"]:
        lines.append(Line("96366", (), int(found["further"])))
    if found["modifier"] == "JZ":
        return [*lines, Line("J2350", ("JZ",), int(found["given"]))]
    return [*lines, Line("J2350", (), int(found["given"])), Line("J2350", ("JW",), int(found["discarded"]))]
