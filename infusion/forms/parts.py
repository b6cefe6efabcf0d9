"""The Django forms that an encounter form is made of: its head, a drug, a pause, a row of vials, a discard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, cast

from django import forms

from infusion.forms.fields import (
    AmountField,
    DateField,
    DiagnosisField,
    DrugField,
    SelectField,
    TimeField,
    WholeNumberField,
)
from infusion.services.facts import ACQUIRED, PURPOSES, ROUTES
from infusion.services.words import plain
from payers.policy import SETTINGS

ACCESS_REASONS = {
    "": "No medical reason recorded",
    "incompatible": "The drugs may not share a line",
    "both_ordered": "Two sites at once were ordered",
    "volume": "One site could not take the volume",
}
DISCARD_REASONS = {
    "": "Choose why",
    "vial_remainder": "Vial remainder",
    "stopped_early": "Stopped early",
    "line_residual": "Left in the line",
    "overfill": "Overfill",
    "broken_or_spilled": "Broken or spilled",
    "prepared_not_given": "Prepared but not given",
}
CONTAINERS = {"": "As the drug is sold", "single": "Single-dose", "multi": "Multi-dose"}
ORDERS = {"": "One order", "A": "Order A", "B": "Order B", "C": "Order C", "D": "Order D"}
ACCESSES = {"1": "First site", "2": "Second site", "3": "Third site"}
MOST_VIALS = 200


def first_choice(field: forms.Field) -> str:
    """The value a select shows at first; nothing for other fields."""
    if not isinstance(field, forms.ChoiceField):
        return ""
    choices = cast("list[tuple[str, str]]", field.choices)
    return str(choices[0][0])


class Part(forms.Form):
    """One part of the form. Ids equal names, so that a link to a field is its name."""

    use_required_attribute = False

    def __init__(self, entries: Mapping[str, str], prefix: str | None = None) -> None:
        super().__init__(data=dict(entries), prefix=prefix, auto_id="%s")
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"{self.add_prefix(name)}-note"

    def text(self, name: str) -> str:
        """What was typed or chosen, as it came."""
        return str(self.data.get(self.add_prefix(name), "")).strip()

    def value(self, name: str) -> Any:
        """What was understood; None for an empty or unread field."""
        self.errors  # noqa: B018  reads the form
        found = self.cleaned_data.get(name)
        return None if found == "" else found

    def choice(self, name: str) -> str:
        """The chosen value of a select, or its first one."""
        return str(self.value(name) or first_choice(self.fields[name]))

    @property
    def is_blank(self) -> bool:
        """Whether nothing departs from what an untouched part shows."""
        return all(self.text(name) in ("", self.default(name)) for name in self.fields)

    def default(self, name: str) -> str:
        """What an untouched field sends."""
        return first_choice(self.fields[name])


class HeadForm(Part):
    """What holds for the whole encounter."""

    payer = SelectField(label="Payer", choices=[("", "National baseline")])
    setting = SelectField(label="Setting", choices=list(SETTINGS.items()))
    date = DateField(label="Date of service")
    diagnosis = DiagnosisField(label="Diagnosis", attrs={"list": "diagnoses", "autocapitalize": "characters"})
    visit_start = TimeField(label="Visit start")
    visit_stop = TimeField(label="Visit stop")

    def __init__(self, entries: Mapping[str, str], payers: Iterable[tuple[str, str]]) -> None:
        super().__init__(entries)
        payer = self.fields["payer"]
        assert isinstance(payer, forms.ChoiceField)  # noqa: S101  narrows the type
        payer.choices = list(payers)


class DrugForm(Part):
    """One drug given one way. Its pauses, vials and discards are parts of their own."""

    drug = DrugField(label="Drug", attrs={"list": "drugs"})
    route = SelectField(label="Route", choices=list(ROUTES.items()))
    start = TimeField(label="Start")
    stop = TimeField(label="Stop")
    ordered = AmountField(label="Ordered (mg)")
    administered = AmountField(label="Administered (mg)")
    purpose = SelectField(label="Purpose of the fluid", choices=[("", "Choose its purpose"), *PURPOSES.items()])
    order = SelectField(label="Order", choices=list(ORDERS.items()))
    access = SelectField(label="Access site", choices=list(ACCESSES.items()))
    access_reason = SelectField(label="Why a second site was needed", choices=list(ACCESS_REASONS.items()))
    acquired = SelectField(label="Where the drug came from", choices=list(ACQUIRED.items()))
    container = SelectField(label="Container", choices=list(CONTAINERS.items()))
    primary = SelectField(label="Reason for the visit", choices=[("", "Not marked"), ("yes", "This drug")])


class PauseForm(Part):
    """A stretch in which nothing ran."""

    start = TimeField(label="Start")
    stop = TimeField(label="Stop")


class VialForm(Part):
    """Opened containers of one size."""

    size = SelectField(label="Vial size (mg)", choices=[])
    count = WholeNumberField(label="Vials (count)", least=1, most=MOST_VIALS)

    def __init__(self, entries: Mapping[str, str], prefix: str, sizes: Iterable[Decimal]) -> None:
        super().__init__(entries, prefix)
        known = [plain(size) for size in sizes]
        typed = self.text("size")
        if (
            typed
            and typed not in known
            and typed.replace(".", "", 1).isdecimal()
            and typed.isascii()
            and len(typed) < 9
        ):
            known.append(typed)
        size = self.fields["size"]
        assert isinstance(size, forms.ChoiceField)  # noqa: S101  narrows the type
        size.choices = (
            [(each, each) for each in known] if len(known) == 1 else [("", "Choose"), *((each, each) for each in known)]
        )

    def default(self, name: str) -> str:
        """Nothing: a size is always named in an address, also when the drug has only one."""
        return ""


class DiscardForm(Part):
    """Drug that reached nobody, and why."""

    amount = AmountField(label="Discarded (mg)")
    reason = SelectField(label="Reason", choices=list(DISCARD_REASONS.items()))
