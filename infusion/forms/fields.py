"""Form fields that read times, dates and amounts as people type them.

No field is mandatory: what is missing is said by the rules, which know what hangs on it.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from infusion.amount_entry import read_amount, read_whole_number
from infusion.services.reference import Drug, Reference
from infusion.time_entry import EntryProblem, TimeOfDay, plain_text, read_date, read_time

DIAGNOSIS = re.compile(r"[A-Z][0-9][0-9A-Z](?:\.[0-9A-Z]{1,4})?")
DRUG_CODE = re.compile(r"[A-Z][0-9]{4}")
MOST_DIAGNOSES = 12


class EntryField(forms.CharField):
    """A text field whose value is read by `read`; a problem becomes the field's error and the text stays."""

    inputmode = "text"

    def __init__(self, *, label: str, **kwargs: Any) -> None:
        attrs = {"class": "form-control", "autocomplete": "off", "spellcheck": "false", "inputmode": self.inputmode}
        widget = forms.TextInput(attrs={**attrs, **kwargs.pop("attrs", {})})
        super().__init__(label=label, required=False, max_length=None, strip=False, widget=widget, **kwargs)

    def read(self, text: str) -> Any:
        raise NotImplementedError

    def named(self, problem: EntryProblem) -> EntryProblem:
        """The problem in a sentence that names this field."""
        return EntryProblem(problem.code, f"{self.label}: {problem.message[:1].lower()}{problem.message[1:]}")

    def clean(self, value: Any) -> Any:
        found = self.read(str(value or ""))
        if isinstance(found, EntryProblem):
            raise ValidationError(found.message, code=found.code)
        return found


class TimeField(EntryField):
    """A clock time. The word "now" is no time here: `written_out` has put one in its place."""

    inputmode = "numeric"

    def read(self, text: str) -> TimeOfDay | EntryProblem | None:
        found = read_time(text)
        return self.named(found) if isinstance(found, EntryProblem) else found


class DateField(EntryField):
    """A date of service."""

    today: date = date.min

    def read(self, text: str) -> date | EntryProblem | None:
        found = read_date(text, self.today)
        return self.named(found) if isinstance(found, EntryProblem) else found


class AmountField(EntryField):
    """Milligrams, exactly."""

    inputmode = "decimal"

    def read(self, text: str) -> Decimal | EntryProblem | None:
        return read_amount(text, str(self.label))


class WholeNumberField(EntryField):
    """A whole number within bounds."""

    inputmode = "numeric"

    def __init__(self, *, label: str, least: int, most: int, **kwargs: Any) -> None:
        self.least, self.most = least, most
        super().__init__(label=label, **kwargs)

    def read(self, text: str) -> int | EntryProblem | None:
        return read_whole_number(text, str(self.label), self.least, self.most)


class DrugField(EntryField):
    """A drug by name, brand or code. A text that is no known drug is refused unless it has the form of a code."""

    advice = "Choose one of the list, or enter its code."
    reference: Reference
    on: date

    def read(self, text: str) -> Drug | str | EntryProblem | None:
        entry = plain_text(text)
        if not entry:
            return None
        found = self.reference.find_drug(entry[:80], self.on)
        if found:
            return found
        if DRUG_CODE.fullmatch(entry.upper()):
            return entry.upper()
        return EntryProblem("drug_unknown", f"Drug: no drug of this name is known here. {self.advice}")


class DiagnosisField(EntryField):
    """One diagnosis code or several, by comma or space."""

    def read(self, text: str) -> tuple[str, ...] | EntryProblem | None:
        codes = [code for code in re.split(r"[,; ]+", plain_text(text).upper()) if code]
        if not codes:
            return None
        if len(codes) > MOST_DIAGNOSES:
            return EntryProblem("many", f"Diagnosis: a claim holds {MOST_DIAGNOSES} codes. Leave the others out.")
        if not all(DIAGNOSIS.fullmatch(code) for code in codes):
            return EntryProblem("code_shape", "Diagnosis: enter a code with its point, for example G35.A.")
        return tuple(dict.fromkeys(codes))


class SelectField(forms.ChoiceField):
    """A select; a value that is not among its choices counts as not chosen and is said so."""

    def __init__(self, *, label: str, choices: Any, **kwargs: Any) -> None:
        widget = forms.Select(attrs={"class": "form-select", **kwargs.pop("attrs", {})})
        super().__init__(
            label=label,
            choices=choices,
            required=False,
            widget=widget,
            error_messages={"invalid_choice": f"{label}: choose one of the list."},
            **kwargs,
        )
