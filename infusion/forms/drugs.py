"""Forms of the drug pages: a drug row with its containers, how sure it is, and why one goes or comes back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from django import forms
from django.forms import BoundField

from infusion.actions.drugs import DrugEntry
from infusion.services.drug import DOSINGS
from infusion.services.drug_document import FORMS, LINE_ROUTES, problems_of
from infusion.services.reference import Drug
from infusion.services.words import plain
from payers.forms import DayField, PageForm, TextField

ROWS_AT_LEAST, SPARE_ROWS, MOST_ROWS = 3, 2, 20
CHECK = {"class": "form-check-input"}
AMOUNTS = ("billing_unit", "concentration")
Columns = dict[str, Any]


class ContainerFields(NamedTuple):
    """The fields of one size, as the page draws them."""

    amount: BoundField
    volume: BoundField
    ndc: BoundField
    multi: BoundField


class DrugsOnForm(PageForm):
    """The day on which the list of drugs looks."""

    on = DayField(label="Billable on")


class DrugForm(PageForm):
    """One row of a drug: what it is, how it is billed, its days, its sizes and its source."""

    code = TextField(label="Code", limit=5, autocapitalize="characters", help_text="As on a claim: J2350.")
    name = TextField(label="Name", limit=80, help_text="The drug, without its brand.")
    brands = TextField(label="Brands", limit=200, help_text="Several by comma. People look for a drug by them.")
    billing_unit = TextField(label="Billing unit", limit=12, inputmode="decimal", help_text="Milligrams of one unit.")
    routes = forms.MultipleChoiceField(
        label="Routes", required=False, choices=list(LINE_ROUTES.items()), widget=forms.CheckboxSelectMultiple(CHECK),
        error_messages=dict.fromkeys(("invalid_choice", "invalid_list"), "Routes: choose among those of the list."),
    )  # fmt: skip
    form = forms.ChoiceField(
        label="Form", required=False, choices=list(FORMS.items()), widget=forms.RadioSelect(CHECK),
        error_messages={"invalid_choice": "Form: choose liquid or powder."},
    )  # fmt: skip
    concentration = TextField(
        label="Concentration", limit=12, inputmode="decimal", help_text="Milligrams in one mL. Blank for a powder."
    )
    first_day = DayField(label="First day", help_text="First date of service it holds for.")
    last_day = DayField(label="Last day", help_text="Last date of service. Blank: no end.")
    replaced_by = TextField(label="Replaced by", limit=5, help_text="The code that follows, if one does.")
    dosing = forms.ChoiceField(
        label="Dosing", required=False, widget=forms.Select({"class": "form-select"}),
        choices=[("", "Not said"), *((key, words.capitalize()) for key, words in DOSINGS.items())],
        error_messages={"invalid_choice": "Dosing: choose one of the list."},
    )  # fmt: skip
    usual_minutes = TextField(
        label="Usual minutes", limit=4, inputmode="numeric", help_text="Of an infusion. Nothing is billed by it."
    )
    hospital_packaged = forms.BooleanField(
        label="A hospital is not paid for it apart", required=False, widget=forms.CheckboxInput(CHECK)
    )
    may_be_complex = forms.BooleanField(
        label="Some payers take its infusion as complex", required=False, widget=forms.CheckboxInput(CHECK)
    )
    label_notes = TextField(label="Notes for the nurse", limit=1000, rows=2, help_text="One a line.")
    source_document = TextField(label="Source document", limit=200, help_text="What says so: a label, a CMS file.")
    source_address = TextField(label="Address", limit=300, inputmode="url", help_text="Where it can be read again.")
    source_read_on = DayField(label="Read on", help_text="When someone last read it there.")
    note = TextField(label="Note", limit=2000, rows=2, help_text="What was not checked, for example.")

    def __init__(self, data: Mapping[str, Any] | None = None, *, drug: Columns | None = None, **kwargs: Any) -> None:
        begin = entries_of(drug) if drug else {}
        super().__init__(data, initial=begin, **kwargs)
        filled = len(drug["containers"]) if drug else 0
        if data is not None:
            typed = [int(found[1]) for name in data if (found := re.fullmatch(r"c([0-9]{1,2})-amount", name))]
            filled = max([filled, *(number + 1 - SPARE_ROWS for number in typed)])
        self.rows = min(max(ROWS_AT_LEAST, filled + SPARE_ROWS), MOST_ROWS)
        for row in range(self.rows):
            self.fields[f"c{row}-amount"] = TextField(label=f"Milligrams, size {row + 1}", limit=12)
            self.fields[f"c{row}-volume"] = TextField(label=f"mL, size {row + 1}", limit=12)
            self.fields[f"c{row}-ndc"] = TextField(label=f"NDC, size {row + 1}", limit=13)
            self.fields[f"c{row}-multi"] = forms.BooleanField(
                label=f"Multi-dose, size {row + 1}", required=False, widget=forms.CheckboxInput(CHECK)
            )

    @property
    def containers(self) -> list[ContainerFields]:
        return [
            ContainerFields(*(self[f"c{row}-{name}"] for name in ContainerFields._fields)) for row in range(self.rows)
        ]

    def clean(self) -> Columns:
        found = super().clean() or self.cleaned_data
        self.columns, rows = self._columns(found)
        for problem in problems_of(self.columns):
            name = field_of(problem.field, rows)
            if name not in self.errors:
                self.add_error(name, problem.message)
        for name, sentence in (
            ("source_document", "Source document: enter the document that says so. A drug needs its source."),
            ("source_read_on", "Read on: enter the day on which the source was read, because sources change."),
        ):
            if name not in self.errors and not found.get(name):
                self.add_error(name, sentence)
        return found

    def _columns(self, found: Columns) -> tuple[Columns, list[int]]:
        """What was typed as the columns of a drug, and which row of the page each of its sizes stands in."""
        columns: Columns = {
            "code": found.get("code", "").upper(),
            "name": " ".join(found.get("name", "").split()),
            "brands": words_of(found.get("brands", "").split(",")),
            "billing_unit": found.get("billing_unit", ""),
            "routes": found.get("routes", []),
            "form": found.get("form", ""),
            "hospital_packaged": bool(found.get("hospital_packaged")),
            "may_be_complex": bool(found.get("may_be_complex")),
            "label_notes": words_of(found.get("label_notes", "").splitlines()),
        }
        optional = ("concentration", "first_day", "last_day", "dosing")
        columns.update({name: found[name] for name in optional if found.get(name)})
        if found.get("replaced_by"):
            columns["replaced_by"] = found["replaced_by"].upper()
        if minutes := found.get("usual_minutes"):
            columns["usual_minutes"] = int(minutes) if re.fullmatch("[0-9]{1,4}", minutes) else 0
        columns["containers"], rows = [], []
        for row in range(self.rows):
            texts = {name: found.get(f"c{row}-{name}", "") for name in ("amount", "volume", "ndc")}
            if any(texts.values()):
                rows.append(row)
                size = {"amount": texts["amount"], "single_dose": not found.get(f"c{row}-multi")}
                columns["containers"].append({**size, **{name: text for name, text in texts.items() if text}})
        return columns, rows

    def entry(self) -> DrugEntry:
        """The row as the actions take it."""
        found = self.cleaned_data
        return DrugEntry(
            columns=self.columns, source_document=found["source_document"], source_read_on=found["source_read_on"],
            source_address=found["source_address"], note=found["note"],
        )  # fmt: skip


class SendDrugForm(PageForm):
    """How sure a draft is, for the admin who publishes it."""

    prefix_of_ids = "send-"

    status = forms.ChoiceField(
        label="Publish as", required=False, initial="unverified", widget=forms.RadioSelect(CHECK),
        choices=[("unverified", "Unverified: every line that rests on it says so"),
                 ("verified", "Verified: read in the source, which others can read too")],
        error_messages={"invalid_choice": "Publish as: choose one of the two."},
    )  # fmt: skip
    reason = TextField(
        label="Reason", limit=500, help_text="Only where days that are past change: say why. What was approved stays."
    )


def words_of(texts: Iterable[str]) -> list[str]:
    """What is left of texts without blanks around and between."""
    return [" ".join(text.split()) for text in texts if text.strip()]


def field_of(problem: str, rows: list[int]) -> str:
    """The name of the field on the page that a problem of a document belongs to."""
    if problem == "containers":
        return "c0-amount"
    if found := re.fullmatch(r"containers\.([0-9]+)\.(amount|volume|ndc)", problem):
        return f"c{rows[int(found[1])]}-{found[2]}"
    return problem


def entries_of(columns: Columns) -> dict[str, Any]:
    """The columns of a drug, and its source, as the form shows them."""
    entries = {
        **columns, "brands": ", ".join(columns["brands"]), "label_notes": "\n".join(columns.get("label_notes", ())),
        **{name: day.isoformat() for name in ("first_day", "last_day", "source_read_on")
           if isinstance(day := columns.get(name), date)},
    }  # fmt: skip
    for row, size in enumerate(columns["containers"]):
        entries.update({f"c{row}-{name}": size.get(name, "") for name in ("amount", "volume", "ndc")})
        entries[f"c{row}-multi"] = not size["single_dose"]
    return entries


def columns_of_drug(drug: Drug) -> Columns:
    """A row of the tables as plain columns."""
    columns: Columns = {
        name: getattr(drug, name)
        for name in ("code", "name", "form", "first_day", "last_day", "replaced_by", "dosing", "usual_minutes", "note",
                     "hospital_packaged", "may_be_complex")
    }  # fmt: skip
    columns |= {name: list(getattr(drug, name)) for name in ("brands", "routes", "label_notes")}
    columns |= {name: plain(amount) for name in AMOUNTS if (amount := getattr(drug, name)) is not None}
    columns["containers"] = [
        {
            "amount": plain(each.amount), "single_dose": each.single_dose, "ndc": each.ndc,
            "volume": "" if each.volume is None else plain(each.volume),
        }
        for each in drug.containers
    ]  # fmt: skip
    return {name: value for name, value in columns.items() if value is not None}
