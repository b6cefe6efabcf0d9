"""Forms of the fee pages: which schedules a page shows, a schedule to be loaded, and why one is withdrawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from infusion.money import CHARGES
from payers.forms import DayField, PageForm, TextField
from payers.models import Payer

OWN = "*"  # no payer's slug


def whose_field(label: str, *, blank: str) -> forms.ChoiceField:
    """A payer, or the clinic's own charges."""
    choices = [("", blank), (OWN, CHARGES), *((payer.slug, payer.name) for payer in Payer.objects.all())]
    return forms.ChoiceField(
        label=label,
        required=False,
        choices=choices,
        widget=forms.Select({"class": "form-select"}),
        error_messages={"invalid_choice": f"{label}: choose one of the list."},
    )


class FeesOnForm(PageForm):
    """The day on which a list of schedules looks."""

    on = DayField(label="In force on")


class FeeFileForm(PageForm):
    """A schedule and its file."""

    name = TextField(label="Name", limit=120, help_text="For example: Fee schedule 2026. Blank takes the file’s name.")
    source = TextField(label="Source", limit=200, help_text="The contract, bulletin or price file it comes from.")
    effective_from = DayField(label="First day", help_text="First date of service.")
    effective_until = DayField(label="Last day", help_text="Last date of service. Blank: no end.")
    file = forms.FileField(
        label="File",
        required=False,
        allow_empty_file=True,
        help_text="CSV with the columns Code and Rate, for one unit; P25, Median and P75 may follow. Up to 2 MB.",
        widget=forms.FileInput({"class": "form-control", "accept": ".csv,text/csv"}),
        error_messages={"invalid": "File: nothing arrived. Choose the file again."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(data, files=files, **kwargs)
        self.fields["payer"] = whose_field("Whose", blank="Choose")
        self.order_fields(["payer", "name", "source", "effective_from", "effective_until", "file"])

    def clean_payer(self) -> Payer | None:
        chosen = self.cleaned_data["payer"]
        if not chosen:
            raise ValidationError("Whose: choose the payer, or what the clinic charges.")
        return None if chosen == OWN else Payer.objects.get(slug=chosen)

    def clean_source(self) -> str:
        source = str(self.cleaned_data["source"]).strip()
        if not source:
            raise ValidationError("Source: say where the figures come from, so that they can be looked up again.")
        return source

    def clean_effective_from(self) -> Any:
        if not self.cleaned_data["effective_from"]:
            raise ValidationError("First day: enter the first date of service for which the rates hold.")
        return self.cleaned_data["effective_from"]

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if not file:
            raise ValidationError("File: choose the CSV file with the rates.")
        return file
