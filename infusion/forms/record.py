"""The nurse's encounter form: the calculator's form about a patient.

What is stored and has no field of its own (an NDC, why a time was entered late) travels through the form in hidden
entries, so that saving an encounter as it was opened changes none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import cast

from django import forms

from infusion.documentation import Item
from infusion.forms.documentation import LATE_REASONS, DocumentationForm
from infusion.forms.encounter import DrugEntry, EncounterEntry, Issue, Surroundings
from infusion.forms.fields import AmountField, DrugField, SelectField
from infusion.forms.parts import DiscardForm, DrugForm, Part, VialForm
from infusion.forms.patient import BirthDateField, PatientForm
from infusion.forms.recorded_vials import (
    ON_THE_VIAL,
    STAMPED,
    RecordedDiscardForm,
    RecordedVialForm,
    ScanField,
    ndc_in_words,
    scan_problem,
    stamp,
)
from infusion.forms.rules import PREFIX as RULES
from infusion.forms.structure import Entries
from infusion.forms.times import Echo
from infusion.models import Patient
from infusion.services import facts
from infusion.services.reference import Drug
from infusion.time_entry import plain_text
from payers.selectors import day_in_words

MICROGRAM = Decimal("0.001")
LONGEST_DRUG = 60
TOO_FINE = "{label}: amounts are kept to a thousandth of a mg. Three decimals are enough."
SINGLE_DOSE = {"single": True, "multi": False}
CONTAINER = {True: "single", False: "multi", None: ""}
LABELS = {"order": 40, "access": 40, "access_reason": 200, "late_reason": 200}
"""Selects that also take a label which came with a stored record, and how long it may be."""

Choices = list[tuple[str, str]]
PatientLookup = Callable[[str], Patient | None]


def without_rules(entries: Entries) -> Entries:
    """A nurse sets no payer's rule, whatever was sent."""
    return {name: value for name, value in entries.items() if not name.startswith(f"{RULES}-")}


class RecordedDrugForm(DrugForm):
    """A drug by its name. A label of a stored record stays among the choices."""

    scan = ScanField(label="Scan a vial")
    late_reason = SelectField(label="Entered late, because", choices=list(LATE_REASONS.items()))

    def __init__(self, entries: Mapping[str, str], prefix: str) -> None:
        super().__init__(entries, prefix)
        drug = self.fields["drug"]
        assert isinstance(drug, DrugField)  # noqa: S101  narrows the type
        drug.advice = "Choose one of the list."
        for name, most in LABELS.items():
            field, typed = self.fields[name], self.text(name)
            assert isinstance(field, forms.ChoiceField)  # noqa: S101  narrows the type
            if typed and not field.valid_value(typed) and typed.isprintable() and len(typed) <= most:
                field.choices = [*cast(Choices, field.choices), (typed, typed)]


class RecordedDrug(DrugEntry):
    """One drug, with what is kept about it and its vials beside the fields."""

    form_class = RecordedDrugForm
    just_scanned = False

    def __init__(self, number: int, entries: Entries, around: Surroundings, on: date) -> None:
        self.on = on
        super().__init__(number, entries, around, on)

    def vial_facts(self) -> tuple[facts.Vial, ...]:
        found = []
        for row in self.vials:
            size, count = Decimal(row.form.choice("size") or 0), row.form.value("count")
            if size and count:
                found.append(self._vial(row.number, size, count))
        return tuple(found)

    def _vial(self, number: int, size: Decimal, count: int) -> facts.Vial:
        """The vials of a row. What is printed on a vial belongs to one drug and size, and is dropped with them."""
        form = self.vials[number - 1].form
        same = self.is_of(number, size)
        container = self.entries.get(f"{self.id}-v{number}-container", "")
        return facts.Vial(
            amount=size,
            count=count,
            single_dose=SINGLE_DOSE.get(self.form.choice("container") or container),
            ndc=(form.value("ndc") or "") if same else "",
            lot=(form.value("lot") or "") if same else "",
            expires=form.value("expires") if same else None,
        )

    def is_of(self, number: int, size: Decimal) -> bool:
        """Whether the print of a row is about the drug and size beside it. What was typed anew is."""
        known = self.entries.get(f"{self.id}-v{number}-belongs", "")
        about, _, text = known.partition(STAMPED)
        now, _, typed = self.stamp(number, size).partition(STAMPED)
        return not known or about == now or text != typed

    def stamp(self, number: int, size: Decimal) -> str:
        """What the print of a row is about, and the print."""
        form = self.vials[number - 1].form
        return stamp(self.code, size, *(form.text(name) for name in ON_THE_VIAL))

    def _vial_form(self, prefix: str, sizes: list[Decimal]) -> VialForm:
        return RecordedVialForm(self.entries, prefix, sizes)

    def _discard_form(self, prefix: str) -> DiscardForm:
        return RecordedDiscardForm(self.entries, prefix, self.around.witnesses, self.around.witnesses_before)

    @property
    def code(self) -> str:
        """The drug's code; what is taken by mouth is told by its name, whatever that is."""
        typed = " ".join(plain_text(self.form.text("drug")).split())
        by_name = self.route == "oral" and self.drug is None and typed.isprintable() and len(typed) <= LONGEST_DRUG
        return typed if by_name else super().code

    @property
    def more_open(self) -> bool:
        rows = [row.form for row in self.vials if isinstance(row.form, RecordedVialForm)]
        scanned = bool(self.form.text("scan")) or self.just_scanned
        return super().more_open or scanned or any(form.marked for form in rows)

    @property
    def awaits_dose(self) -> bool:
        """Whether a dose was ordered, and nobody has said yet what was given."""
        return bool(self.form.text("ordered") and not self.form.text("administered")) and self.route != "hydration"

    @property
    def scan_problem(self) -> str:
        """Why what was scanned cannot be taken; empty when there is nothing or it can."""
        text = self.form.value("scan") or ""
        return scan_problem(text, self.code, self.around.reference, self.on) if text else ""

    def witnesses(self) -> dict[tuple[str, int], int]:
        """Who saw which of the discards that are recorded."""
        found = {}
        rows = [row.form for row in self.discards if row.form.value("amount") is not None and row.form.choice("reason")]
        for position, form in enumerate(rows):
            chosen = form.value("witness") if "witness" in form.fields else None
            if chosen:
                found[self.id, position] = int(chosen)
        return found

    @property
    def late_reason(self) -> str:
        text = self.entries.get(f"{self.id}-late_reason", "")
        return text if text.isprintable() else ""

    def kept(self) -> Iterator[tuple[str, str]]:
        """The hidden entries of this drug."""
        for pause in self.pauses:
            name = pause.form.add_prefix("within")
            if self.entries.get(name):
                yield name, self.entries[name]
        for row in self.vials:
            name = f"{self.id}-v{row.number}"
            if self.entries.get(f"{name}-container"):
                yield f"{name}-container", self.entries[f"{name}-container"]
            size = Decimal(row.form.choice("size") or 0)
            if isinstance(row.form, RecordedVialForm) and row.form.marked and size:
                # What is not of this drug and size keeps its old stamp, so that it stays left out.
                known = self.entries.get(f"{name}-belongs", "")
                yield f"{name}-belongs", self.stamp(row.number, size) if self.is_of(row.number, size) else known


class RecordEntry(EncounterEntry):
    """All that was typed of an encounter and its patient, and what keeps it from being saved."""

    drug_class = RecordedDrug

    def __init__(
        self, entries: Entries, around: Surroundings, patient_named: PatientLookup, items: Iterable[Item] = ()
    ) -> None:
        super().__init__(entries, around)
        self.documentation = DocumentationForm(entries, items)
        self.patient_form = PatientForm(entries)
        birth_date = self.patient_form.fields["birth_date"]
        assert isinstance(birth_date, BirthDateField)  # noqa: S101  narrows the type
        birth_date.today = around.today
        self.reference: str = self.patient_form.value("patient_reference") or ""
        self.patient = patient_named(self.reference) if self.reference else None
        self._read_patient()
        for drug in self.drugs:
            if isinstance(drug, RecordedDrug):
                self._read_print(drug)
            self.echoes[f"{drug.id}-drug"] = Echo(drug_for_nurses(drug.drug, drug.form.text("drug")))
        self._leave_out_unasked()
        self._read_amounts()

    @property
    def parts(self) -> Iterator[Part]:
        yield self.patient_form
        yield self.head
        for drug in self.drugs:
            yield from drug.parts
        yield self.documentation

    @property
    def next_time(self) -> str:
        """The field of the first time that is still to be typed: a start, then a stop."""
        timed = [drug for drug in self.drugs if drug.route in ("iv_infusion", "hydration")]
        for name in ("start", "stop"):
            for drug in timed:
                if not drug.form.text(name):
                    return f"{drug.id}-{name}"
        return ""

    @property
    def names_typed(self) -> bool:
        """Whether the fold with name and birth date holds something."""
        return bool(self.patient_form.text("patient_name") or self.patient_form.text("birth_date"))

    @property
    def patient_name(self) -> str:
        """The name for the band: the stored one, or the one being typed."""
        return (self.patient.name if self.patient else "") or self.patient_form.value("patient_name") or ""

    @property
    def birth_date(self) -> date | None:
        stored = self.patient.birth_date if self.patient else None
        typed: date | None = self.patient_form.value("birth_date")
        return stored or typed

    @property
    def payer_slug(self) -> str:
        return self.head.choice("payer")

    @property
    def kept(self) -> list[tuple[str, str]]:
        return [pair for drug in self.drugs if isinstance(drug, RecordedDrug) for pair in drug.kept()]

    @property
    def late_reasons(self) -> dict[str, str]:
        return {drug.id: drug.late_reason for drug in self.given if isinstance(drug, RecordedDrug)}

    @property
    def gaps(self) -> list[Issue]:
        """What even a draft cannot do without."""
        gaps = []
        if not self.patient_form.text("patient_reference"):
            gaps.append(Issue("patient_reference", "Patient reference: enter the record number, so that this is kept."))
        if not self.payer_slug and not any(issue.field == "payer" for issue in self.issues):
            gaps.append(Issue("payer", "Payer: choose who pays. What is billed hangs on it."))
        if not self.head.text("date"):
            gaps.append(Issue("date", "Date of service: enter the day the infusion started."))
        return gaps

    @property
    def obstacles(self) -> list[Issue]:
        """All that keeps this from being saved, in the order of the page, one sentence for each field."""
        order = {name: position for position, name in enumerate(self.names)}
        first: dict[str, Issue] = {}
        for issue in (*self.gaps, *self.issues):
            first.setdefault(issue.field, issue)
        return sorted(first.values(), key=lambda issue: order.get(issue.field, len(order)))

    def _check_rows(self, drug: DrugEntry) -> None:
        """A size that was chosen without a count would not be kept, and neither would what is printed on the vials."""
        super()._check_rows(drug)
        first = drug.vials[0].form
        sizes = cast(Choices, cast(forms.ChoiceField, first.fields["size"]).choices)
        if len(sizes) > 1 and first.text("size") and not first.text("count"):
            self.issues.append(Issue(f"{drug.id}-v1-count", "Vials (count): enter how many of this size were opened."))
        for row in drug.vials:
            name = f"{drug.id}-v{row.number}"
            if not isinstance(row.form, RecordedVialForm) or not row.form.marked:
                continue
            if not row.form.text("count"):
                words = "Vials (count): enter how many with this NDC or lot were opened, or take what is printed out."
                self.issues.append(Issue(f"{name}-count", words))
            if not row.form.choice("size"):
                words = "Vial size (mg): choose the size of the vials with this NDC or lot."
                self.issues.append(Issue(f"{name}-size", words))

    def _read_patient(self) -> None:
        self._unread(self.patient_form)
        self._unread(self.documentation)
        form, known = self.patient_form, self.patient
        if self.reference:
            new = "New here." if self.names_typed else "New here. Enter the name below."
            self.echoes["patient_reference"] = Echo("" if known else new)
        born = form.value("birth_date")
        if born:
            self.echoes["birth_date"] = Echo(day_in_words(born))
        if known is None:
            return
        typed = form.value("patient_name") or ""
        if known.name and typed and typed.casefold() != known.name.casefold():
            advice = "Check the reference; if it is right, leave the name out here."
            self.issues.append(
                Issue("patient_name", f"Patient name: {self.reference} belongs to {known.name}. {advice}")
            )
        if known.birth_date and born and born != known.birth_date:
            words = f"{self.reference} was born on {day_in_words(known.birth_date)}"
            self.issues.append(Issue("birth_date", f"Birth date: {words}. Check the reference, or leave this out."))

    def _read_print(self, drug: RecordedDrug) -> None:
        """What is printed on the vials: how it was understood, and a day that is past."""
        if drug.scan_problem:
            self.issues.append(Issue(f"{drug.id}-scan", drug.scan_problem))
        elif drug.form.text("scan"):
            self.echoes[f"{drug.id}-scan"] = Echo("Read. Enter takes it.")
        for row in drug.vials:
            name, size = f"{drug.id}-v{row.number}", Decimal(row.form.choice("size") or 0)
            expires, ndc = row.form.value("expires"), row.form.value("ndc")
            self.echoes[f"{name}-expires"] = Echo(day_in_words(expires) if expires else "")
            self.echoes[f"{name}-ndc"] = Echo(ndc_in_words(ndc) if ndc else "")
            if size and not drug.is_of(row.number, size):
                self.echoes[f"{name}-ndc"] = Echo("Left out: it was recorded for another drug or size.")
            elif expires and expires < drug.on:
                words = f"this vial expired on {day_in_words(expires)}, before it was used. Check the date on the vial."
                self.issues.append(Issue(f"{name}-expires", f"Expires: {words}"))

    @property
    def witnesses(self) -> dict[tuple[str, int], int]:
        """Who saw which discard, by administration and position."""
        drugs = (drug for drug in self.given if isinstance(drug, RecordedDrug))
        return {place: person for drug in drugs for place, person in drug.witnesses().items()}

    def _read_amounts(self) -> None:
        """What is finer than the database keeps is refused here, never rounded in silence."""
        for part in self.parts:
            for name, field in part.fields.items():
                value = part.value(name)
                amount = value if isinstance(field, AmountField) else None
                if name == "size":
                    amount = Decimal(value) if value else None
                    if amount == 0:
                        self.issues.append(Issue(part.add_prefix(name), f"{field.label}: choose one of the list."))
                if amount is not None and amount % MICROGRAM:
                    self.issues.append(Issue(part.add_prefix(name), TOO_FINE.format(label=field.label)))


def drug_for_nurses(drug: Drug | None, typed: str) -> str:
    """What was understood, without a code: ``Ocrelizumab, single-dose vial`` for ``Ocrevus``."""
    if drug is None:
        return ""
    container = "single-dose vial" if drug.single_dose else "multi-dose vial"
    return container.capitalize() if typed.casefold() == drug.name.casefold() else f"{drug.label}, {container}"
