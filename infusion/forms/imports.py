"""The form of a file of encounters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from payers.forms import PageForm
from payers.models import Payer


class EncounterFileForm(PageForm):
    """A file, and who pays where it names nobody."""

    file = forms.FileField(
        label="File",
        required=False,
        allow_empty_file=True,
        help_text="CSV or HL7 v2 messages up to 80 MB, or a FHIR R4 bundle up to 20 MB. Its kind is recognised.",
        widget=forms.FileInput({"class": "form-control", "accept": ".csv,.txt,.json,.hl7,text/csv,application/json"}),
        error_messages={"invalid": "File: nothing arrived. Choose the file again."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(data, files=files, **kwargs)
        label = "Payer where the file names none"
        self.fields["payer"] = forms.ChoiceField(
            label=label,
            required=False,
            choices=[("", "None: such encounters stay out"), *((each.slug, each.name) for each in Payer.objects.all())],
            widget=forms.Select({"class": "form-select"}),
            error_messages={"invalid_choice": f"{label}: choose one of the list."},
        )

    def clean_payer(self) -> Payer | None:
        chosen = self.cleaned_data["payer"]
        return Payer.objects.get(slug=chosen) if chosen else None

    def clean_file(self) -> Any:
        if not self.cleaned_data["file"]:
            raise ValidationError("File: choose the file with the encounters.")
        return self.cleaned_data["file"]
