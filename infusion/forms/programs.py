"""A program that may ask: its name, and what it may do."""

from __future__ import annotations

from django import forms

from infusion.models.programs import SCOPES

LONGEST_NAME = 60


class NewProgram(forms.Form):
    use_required_attribute = False

    name = forms.CharField(
        label="Name of the program", max_length=LONGEST_NAME,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "aria-describedby": "name-note"}),
        error_messages={
            "required": "Name of the program: enter what it is, as its doings will be signed.",
            "max_length": f"Name of the program: {LONGEST_NAME} letters at most.",
        },
    )  # fmt: skip
    scopes = forms.MultipleChoiceField(
        label="What it may do", choices=list(SCOPES.items()), widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": "What it may do: tick what it needs, and nothing more.",
            "invalid_choice": "What it may do: choose of the list.",
        },
    )  # fmt: skip
    public_id = forms.UUIDField(widget=forms.HiddenInput)

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if not name.isprintable():
            raise forms.ValidationError("Name of the program: this holds a character that cannot be seen. Retype it.")
        return name
