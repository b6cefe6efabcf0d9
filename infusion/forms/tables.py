"""Forms of the pages of CMS's tables: a file to be looked at, and with what a table is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from infusion.edit_file import quarter_named
from infusion.models import EditTable
from payers.forms import PageForm, TextField


def chosen(label: str, choices: list[tuple[str, str]]) -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label,
        required=False,
        choices=[("", "Choose"), *choices],
        widget=forms.Select({"class": "form-select"}),
        error_messages={"invalid_choice": f"{label}: choose one of the list."},
    )


class EditFileForm(PageForm):
    """A quarter's table and its file."""

    kind = chosen("Table", EditTable.Kind.choices)
    claims = chosen("Claims", EditTable.Claims.choices)
    quarter = TextField(label="Quarter", limit=10, help_text="For example 2026Q4.", placeholder="YYYYQn")
    source = TextField(label="Source", limit=200, help_text="The page and the name of the file, to look it up again.")
    file = forms.FileField(
        label="File",
        required=False,
        allow_empty_file=True,
        help_text="CSV or tab-separated text out of CMS’s archive, up to 80 MB.",
        widget=forms.FileInput({"class": "form-control", "accept": ".csv,.txt,text/csv,text/plain"}),
        error_messages={"invalid": "File: nothing arrived. Choose the file again."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(data, files=files, **kwargs)

    def clean_kind(self) -> str:
        return self._said("kind", "Table: choose unlikely units or code pairs.")

    def clean_claims(self) -> str:
        return self._said("claims", "Claims: choose whose claims the table is for.")

    def clean_quarter(self) -> str:
        try:
            return quarter_named(self.cleaned_data["quarter"])
        except ValueError as problem:
            raise ValidationError(f"Quarter: {problem}") from None

    def clean_source(self) -> str:
        return self._said("source", "Source: say where the file comes from, so that it can be looked up again.").strip()

    def clean_file(self) -> Any:
        if not self.cleaned_data["file"]:
            raise ValidationError("File: choose the file of the quarter.")
        return self.cleaned_data["file"]

    def _said(self, name: str, otherwise: str) -> str:
        value = str(self.cleaned_data[name])
        if not value.strip():
            raise ValidationError(otherwise)
        return value
