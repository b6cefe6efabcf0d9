"""Payer rules that a visitor may set for one calculation; what is left blank is inherited."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from django import forms

from infusion.forms.fields import SelectField, WholeNumberField
from infusion.forms.parts import Part
from payers.policy import PARAMETERS, PayerPolicy

PREFIX = "rule"
OFFERED = (
    "additional_hour_minimum_minutes",
    "infusion_minimum_minutes",
    "discarded_drug",
    "zero_discard_modifier",
    "administration_family",
    "missing_stop_time",
    "home_administration",
    "maximum_units_per_line",
    "hydration_minimum_minutes",
    "distinct_site_modifier",
)


class RulesForm(Part):
    """One field for each rule on offer, with the inherited value beside it."""

    def __init__(self, entries: Mapping[str, str], policy: PayerPolicy, on: date, setting: str) -> None:
        super().__init__(entries, PREFIX)
        rules = policy.on(on, setting)
        self.inherited: dict[str, str] = {}
        for name in OFFERED:
            parameter, reading = PARAMETERS[name], rules.look_up(name)
            self.inherited[name] = f"{reading.whose}: {reading.words}"
            attrs = {"aria-describedby": f"{PREFIX}-{name}-note"}
            field: forms.Field
            if parameter.kind == "choice":
                choices = [("", "As inherited"), *parameter.choices.items()]
                field = SelectField(label=parameter.label, choices=choices, attrs=attrs)
            else:
                field = WholeNumberField(
                    label=parameter.label, least=parameter.lowest, most=parameter.highest, attrs=attrs
                )
            self.fields[name] = field

    @property
    def changed(self) -> list[str]:
        """The names of the rules set here."""
        return [name for name in OFFERED if self.value(name) is not None]

    def document(self) -> dict[str, object]:
        """The rules set here, as the engine takes them inline."""
        return {name: self.value(name) for name in self.changed}
