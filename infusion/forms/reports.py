"""Which encounters the reports are about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django import forms

from infusion.reference_now import current_reference
from infusion.reports import MOST_MONTHS, month_after, months_between
from payers.forms import DayField, PageForm
from payers.models import Payer

MONTHS_AT_FIRST = 6


class ReportForm(PageForm):
    """A period of dates of service, a payer and a drug; blank is all of them."""

    first = DayField(label="From")
    last = DayField(label="Until")

    def __init__(self, data: Mapping[str, Any], *, today: date) -> None:
        begin = {"first": month_after(today, 1 - MONTHS_AT_FIRST).isoformat(), "last": today.isoformat()}
        super().__init__({**begin, **{name: value for name, value in data.items() if value}})
        payers = [(payer.slug, payer.name) for payer in Payer.objects.all()]
        rows = current_reference().drugs.values()
        drugs = sorted((row[-1].label + f" ({row[-1].code})", row[-1].code) for row in rows)
        self.fields["payer"] = choice("Payer", [("", "All payers"), *payers])
        self.fields["drug"] = choice("Drug", [("", "All drugs"), *((code, name) for name, code in drugs)])

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        first, last = found.get("first"), found.get("last")
        if first and last and last < first:
            self.add_error("last", "Until: this day lies before the first. Correct one of them.")
        elif first and last and len(months_between(first, last)) > MOST_MONTHS:
            self.add_error("first", f"From: a report shows at most {MOST_MONTHS} months. Choose a later day.")
        return found


def choice(label: str, choices: list[tuple[str, str]]) -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label,
        required=False,
        choices=choices,
        widget=forms.Select({"class": "form-select"}),
        error_messages={"invalid_choice": f"{label}: choose one of the list."},
    )
