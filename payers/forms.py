"""The forms of an admin: a payer, a rule, its end, its withdrawal.

A field's value is read as typed and given back as typed; what cannot be read is said at the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import slugify

from payers.actions import Departure
from payers.models import Payer, PolicyOverride
from payers.policy import PARAMETERS, SETTINGS, Parameter, Reading, Value

DRUG_CODE = re.compile(r"[A-Z][0-9]{4}")
DIAGNOSIS = re.compile(r"[A-Z][0-9][0-9A-Z](?:\.[0-9A-Z]{1,4})?")
ISO_DAY = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
US_DAY = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
ELECTRONIC_ID = re.compile(r"[0-9A-Z]{2,20}")
EARLIEST, LATEST = 1990, 2100
TAKEN_SLUGS = ("add", "pack")
LARGEST_PACK = 1_000_000
UNITS = {"minutes": "minutes", "prior_authorization_dose_limit": "mg", "maximum_claim_charge": "dollars",
         "maximum_units_per_line": "units", "maximum_units_per_dose": "units", "maximum_units_per_period": "units",
         "units_period_months": "months", "minimum_days_between_doses": "days",
         "home_per_diem_units": "units"}  # fmt: skip
NOTHING = {"count": "No limit", "amount": "No limit", "codes": "Any diagnosis", "choices": "None of these",
           "text": "Nothing"}  # fmt: skip

Choices = list[tuple[str, str]]


class TextField(forms.CharField):
    """One line of text; too much of it is said in a sentence that names the field."""

    def __init__(self, *, label: str, limit: int, rows: int = 0, help_text: str = "", **attrs: str) -> None:
        shown = {"class": "form-control", "autocomplete": "off", **attrs}
        widget = forms.Textarea({**shown, "rows": str(rows)}) if rows else forms.TextInput(shown)
        super().__init__(
            label=label,
            required=False,
            help_text=help_text,
            max_length=limit,
            widget=widget,
            error_messages={"max_length": f"{label}: {limit} characters are the most. Shorten it."},
        )


class DayField(TextField):
    """A calendar day, typed like 2026-03-10; None when left blank."""

    def __init__(self, *, label: str, help_text: str = "") -> None:
        super().__init__(label=label, limit=40, help_text=help_text, inputmode="numeric", placeholder="YYYY-MM-DD")

    def clean(self, value: Any) -> date | None:
        text = super().clean(value)
        if not text:
            return None
        if found := ISO_DAY.fullmatch(text):
            year, month, day = (int(part) for part in found.groups())
        elif found := US_DAY.fullmatch(text):
            month, day, year = (int(part) for part in found.groups())
        else:
            raise ValidationError(f"{self.label}: write the day like 2026-03-10.")
        try:
            read = date(year, month, day)
        except ValueError:
            raise ValidationError(f"{self.label}: there is no such day as {text}. Check month and day.") from None
        if not EARLIEST <= year <= LATEST:
            raise ValidationError(f"{self.label}: the year {year} is outside {EARLIEST} to {LATEST}. Check it.")
        return read


class DrugCodeField(TextField):
    """A drug by its code; blank means every drug."""

    def __init__(self, *, label: str) -> None:
        super().__init__(label=label, limit=40, list="drugs", autocapitalize="characters", placeholder="All drugs")

    def clean(self, value: Any) -> str:
        code = str(super().clean(value) or "").upper()
        if code and not DRUG_CODE.fullmatch(code):
            raise ValidationError(f"{self.label}: enter the drug's code, for example J2350. The list finds it by name.")
        return code


def setting_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        label="Setting",
        required=False,
        choices=[("", "All settings"), *SETTINGS.items()],
        widget=forms.Select({"class": "form-select"}),
        error_messages={"invalid_choice": "Setting: choose one of the list."},
    )


class PageForm(forms.Form):
    """A form whose ids are its names, so that a line of the error summary can lead to its field."""

    use_required_attribute = False
    prefix_of_ids = ""

    def __init__(self, data: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data, auto_id=f"{self.prefix_of_ids}%s", **kwargs)

    def anchor(self, name: str) -> str:
        """The id of the control of a field; the first one of several."""
        several = isinstance(self.fields[name].widget, forms.RadioSelect | forms.CheckboxSelectMultiple)
        return f"{self.prefix_of_ids}{name}" + ("_0" if several else "")

    @property
    def issues(self) -> list[dict[str, str]]:
        """What is to be said in the summary, in the order of the fields."""
        names = [name for name in self.fields if name in self.errors]
        return [
            {"field": self.anchor(name), "message": str(message)} for name in names for message in self.errors[name]
        ]


class ChooserForm(PageForm):
    """Which policy a page shows: a day and a scope."""

    on = DayField(label="Policy on")
    setting = setting_field()
    drug = DrugCodeField(label="Drug")


class PayerForm(PageForm):
    """A payer's name; its address on this site follows from it."""

    name = TextField(label="Name", limit=80, help_text="As it stands on your claims and remittances.")

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if not name:
            raise ValidationError("Name: enter what the payer is called on your claims.")
        slug = slugify(name)[:40].strip("-")
        if not slug or slug in TAKEN_SLUGS:
            raise ValidationError("Name: use at least one letter from A to Z or digit, and not the word add alone.")
        if Payer.objects.filter(name__iexact=name).exists() or Payer.objects.filter(slug=slug).exists():
            raise ValidationError(f"Name: a payer called {name} or much like it is there already. Use another name.")
        self.slug = slug
        return name


class IdentityForm(PageForm):
    """What a payer is called on electronic claims. What was shown comes back, so that nobody's change is lost."""

    electronic_id = TextField(
        label="Electronic payer ID", limit=20, autocapitalize="characters",
        help_text="From the payer list of your clearinghouse.",
    )  # fmt: skip
    filing_code = forms.ChoiceField(
        label="Kind of plan", choices=Payer.Filing.choices, required=False,
        widget=forms.Select({"class": "form-select"}),
        error_messages={"invalid_choice": "Kind of plan: choose one of the list."},
    )  # fmt: skip
    shown_electronic_id = forms.CharField(required=False, widget=forms.HiddenInput)
    shown_filing_code = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_electronic_id(self) -> str:
        code = "".join(str(self.cleaned_data["electronic_id"]).split()).upper()
        if code and not ELECTRONIC_ID.fullmatch(code):
            raise ValidationError("Electronic payer ID: write its letters and digits, for example 60054.")
        return code

    def clean_filing_code(self) -> str:
        if not self.cleaned_data["filing_code"]:
            raise ValidationError("Kind of plan: choose one of the list.")
        return str(self.cleaned_data["filing_code"])


class RuleForm(PageForm):
    """One rule: its value, where it applies, its days and its source. A blank value inherits."""

    def __init__(
        self, reading: Reading, data: Mapping[str, Any] | None = None, *, published: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(data, **kwargs)
        self.parameter = parameter = PARAMETERS[reading.name]
        self.fields["value"] = value_field(parameter, reading)
        if may_be_nothing(parameter):
            self.fields["nothing"] = forms.BooleanField(
                label=NOTHING[parameter.kind], required=False, widget=forms.CheckboxInput({"class": "form-check-input"})
            )
        if not published:
            self.fields["setting"] = setting_field()
            self.fields["drug"] = DrugCodeField(label="Drug")
        first_day = "First date of service."
        if published:
            first_day += " A later day than now keeps the rule as it is until the day before."
        self.fields["effective_from"] = DayField(label="From", help_text=first_day)
        self.fields["effective_until"] = DayField(label="Until", help_text="Last date of service. Blank: no end.")
        self.fields["source_document"] = TextField(
            label="Source document", limit=200, help_text="What the payer published, with its title or number."
        )
        self.fields["source_address"] = TextField(
            label="Address", limit=300, inputmode="url", help_text="Where it can be read again."
        )
        self.fields["source_read_on"] = DayField(label="Read on", help_text="When someone last read it there.")
        self.fields["note"] = TextField(label="Note", limit=2000, rows=3)

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        if "value" in self.errors:
            return found
        typed = found.get("value")
        typed = None if typed in ("", [], ()) else typed
        if found.get("nothing"):
            if typed is not None:
                self.add_error("value", f"{self.parameter.label}: enter a value or tick the box below it, not both.")
            found["value"] = self.parameter.default if self.parameter.optional else empty_value(self.parameter)
            found["inherits"] = False
            return found
        found["inherits"] = typed is None
        if typed is not None:
            try:
                found["value"] = self.parameter.clean(as_entered(self.parameter, typed))
            except ValueError as problem:
                self.add_error("value", str(problem))
        return found

    @property
    def unit(self) -> str:
        """What stands behind a number."""
        return UNITS.get(self.parameter.name) or UNITS.get(self.parameter.kind, "")

    @property
    def inherits(self) -> bool:
        """Whether the value was left blank."""
        return bool(self.cleaned_data.get("inherits"))

    def demand_what_a_rule_needs(self) -> None:
        """Say at each field what a rule cannot do without."""
        if self.inherits:
            self.add_error(
                "value", f"{self.parameter.label}: blank already inherits, so there is nothing to save. Enter a value."
            )
        for name, sentence in (
            ("effective_from", "From: enter the first date of service for which it holds."),
            ("source_document", "Source document: enter the document that says so. A rule needs its source."),
            ("source_read_on", "Read on: enter the day on which the source was read, because sources change."),
        ):
            if name not in self.errors and not self.cleaned_data.get(name):
                self.add_error(name, sentence)

    def departure(self, scope: tuple[str, str]) -> Departure:
        """The rule as the actions take it. `scope` holds where the form does not ask for it."""
        found = self.cleaned_data
        return Departure(
            parameter=self.parameter.name,
            value=found["value"],
            setting=found.get("setting", scope[0]),
            drug=found.get("drug", scope[1]),
            effective_from=found["effective_from"],
            effective_until=found["effective_until"],
            source_document=found["source_document"],
            source_address=found["source_address"],
            source_read_on=found["source_read_on"],
            note=found["note"],
        )


WHY_THE_PAST = "Only for a change of days that are past: say why. What was approved keeps its lines."


class SendForm(PageForm):
    """How sure a draft is, for the admin who publishes it."""

    prefix_of_ids = "send-"

    status = forms.ChoiceField(
        label="Publish as",
        required=False,
        choices=[("unverified", "Unverified: every line that rests on it says so"),
                 ("verified", "Verified: read in the source, which others can read too")],
        initial="unverified",
        widget=forms.RadioSelect({"class": "form-check-input"}),
        error_messages={"invalid_choice": "Publish as: choose one of the two."},
    )  # fmt: skip
    review_by = DayField(label="Read again by", help_text="A verified rule is read again at its source by then.")
    reason = TextField(label="Reason", limit=500, help_text=WHY_THE_PAST)

    def clean_status(self) -> str:
        return str(self.cleaned_data["status"] or "unverified")


class ReturnForm(PageForm):
    """Why a proposal is not published."""

    reason = TextField(label="Why not", limit=500)


class EndForm(PageForm):
    """The last day of a rule."""

    last_day = DayField(label="Last day")
    reason = TextField(label="Reason", limit=500, help_text=WHY_THE_PAST)
    prefix_of_ids = "end-"

    def clean_last_day(self) -> date:
        day = self.cleaned_data["last_day"]
        if day is None:
            raise ValidationError("Last day: enter the last date of service for which the rule holds.")
        assert isinstance(day, date)  # noqa: S101  narrows the type
        return day


class WithdrawForm(PageForm):
    """Why a rule or draft is taken back."""

    prefix_of_ids = "withdraw-"

    reason = TextField(label="Reason", limit=500)

    def clean_reason(self) -> str:
        reason = str(self.cleaned_data["reason"]).strip()
        if not reason:
            raise ValidationError("Reason: say why, for whoever reads the history later.")
        return reason


def may_be_nothing(parameter: Parameter) -> bool:
    """Whether "no limit" or "none" is a value of its own, apart from blank, which inherits."""
    return parameter.optional or parameter.kind in ("codes", "choices", "text")


def empty_value(parameter: Parameter) -> Value:
    return "" if parameter.kind == "text" else ()


def value_field(parameter: Parameter, reading: Reading) -> forms.Field:
    """The control that fits the kind of value, with what it inherits beside it."""
    inherited = reading.words
    hint = f"Blank inherits: {inherited} ({reading.whose})."
    wrong = dict.fromkeys(("invalid_choice", "invalid_list"), f"{parameter.label}: choose one of the list.")
    blank, check = ("", f"Inherit: {inherited}"), {"class": "form-check-input"}
    common: dict[str, Any] = {"label": "Value", "required": False, "help_text": hint, "error_messages": wrong}
    if parameter.kind == "choice":
        widget: forms.Widget = forms.Select({"class": "form-select"})
        return forms.ChoiceField(choices=[blank, *parameter.choices.items()], widget=widget, **common)
    if parameter.kind == "flag":
        answers = [blank, ("yes", "Yes"), ("no", "No")]
        return forms.ChoiceField(choices=answers, widget=forms.RadioSelect(check), **common)
    if parameter.kind == "choices":
        widget = forms.CheckboxSelectMultiple(check)
        return forms.MultipleChoiceField(choices=list(parameter.choices.items()), widget=widget, **common)
    if parameter.kind in ("minutes", "count"):
        hint += f" A whole number from {parameter.lowest} to {parameter.highest}."
    if parameter.kind == "codes":
        hint += " Several codes by comma or space."
    inputmode = {"minutes": "numeric", "count": "numeric", "amount": "decimal"}.get(parameter.kind, "text")
    return TextField(label="Value", limit=400, help_text=hint, inputmode=inputmode)


def as_entered(parameter: Parameter, typed: Any) -> object:
    """What was typed, as the parameter takes it; a text that is no number stays a text and is refused."""
    if parameter.kind == "flag":
        return typed == "yes"
    if parameter.kind in ("minutes", "count"):
        return int(typed) if re.fullmatch("[0-9]{1,9}", typed) else typed
    if parameter.kind == "amount":
        return typed if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", typed) else "unreadable"
    if parameter.kind == "codes":
        codes = [code for code in re.split(r"[,; ]+", typed.upper()) if code]
        wrong = [code for code in codes if not DIAGNOSIS.fullmatch(code)]
        if wrong:
            raise ValueError(f"{parameter.label}: {wrong[0]} is not written like a diagnosis code, for example G35.A.")
        return tuple(dict.fromkeys(codes))
    return typed


def entries_of(row: PolicyOverride) -> dict[str, Any]:
    """A row as its form shows it."""
    parameter = PARAMETERS[row.parameter]
    value = parameter.clean(row.value)
    nothing = may_be_nothing(parameter) and value in (None, "", ())
    shown: object = value
    if isinstance(value, bool):
        shown = "yes" if value else "no"
    elif isinstance(value, tuple):
        shown = list(value) if parameter.kind == "choices" else ", ".join(value)
    return {
        "value": "" if nothing else shown,
        "nothing": nothing,
        "setting": row.setting,
        "drug": row.drug,
        "effective_from": row.effective_from.isoformat(),
        "effective_until": row.effective_until.isoformat() if row.effective_until else "",
        "source_document": row.source_document,
        "source_address": row.source_address,
        "source_read_on": row.source_read_on.isoformat(),
        "note": row.note,
    }


class PackForm(PageForm):
    """A rule pack, as a file or as the text that was looked at before."""

    file = forms.FileField(label="File", required=False, widget=forms.FileInput({"class": "form-control"}))
    text = forms.CharField(required=False, widget=forms.HiddenInput, strip=False)

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        file = found.get("file")
        if file is None and not found.get("text"):
            self.add_error("file", "File: choose the pack that you want to look at.")
        elif file is not None and file.size > LARGEST_PACK:
            self.add_error("file", "File: more than 1 MB is more than a pack of rules. Check which file it is.")
        elif file is not None:
            try:
                found["text"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                self.add_error("file", "File: this is not a text in UTF-8. Choose the .toml file of a rule pack.")
        return found


class CompareForm(ChooserForm):
    """Which two policies stand side by side, on which day."""

    other = forms.ModelChoiceField(
        label="Beside",
        queryset=Payer.objects.all(),
        to_field_name="slug",
        required=False,
        widget=forms.Select({"class": "form-select"}),
        error_messages={"invalid_choice": "Beside: choose a payer of the list."},
    )
