"""The order form: who, when, which drug and dose, from which vials, and what is given before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django import forms

from infusion.forms.encounter import Issue, Surroundings, known_sizes, prepare
from infusion.forms.fields import AmountField, DateField, DiagnosisField, DrugField, EntryField, SelectField, TimeField
from infusion.forms.parts import Part
from infusion.forms.patient import BirthDateField, PatientForm, WordsField
from infusion.forms.record import MICROGRAM, TOO_FINE, drug_for_nurses
from infusion.forms.structure import Entries
from infusion.forms.times import Echo
from infusion.models import Patient
from infusion.premedication import ITEMS
from infusion.services import facts
from infusion.services.reference import Drug
from infusion.services.words import plain
from infusion.time_entry import EntryProblem, TimeOfDay, date_in_words, occurrences, plain_text
from infusion.vials import Rows, in_words, opened, proposed_vials, read_rows
from payers.selectors import day_in_words

BEFORE = "before-"
"""What the names of the premedication's checkboxes begin with."""
ROUTES = {"": "As this drug is given", **{key: words for key, words in facts.ROUTES.items() if key != "hydration"}}


class VialsField(EntryField):
    """Vials as text: ``2 x 300``, ``1 x 500, 1 x 125``."""

    def read(self, text: str) -> Rows | EntryProblem | None:
        entry = plain_text(text)
        if not entry:
            return None
        rows = read_rows(entry[:80])
        if rows is None:
            return EntryProblem("vials_shape", f"{self.label}: write how many and of which size, for example 2 x 300.")
        return rows


class OrderForm(Part):
    """What is ordered."""

    payer = SelectField(label="Payer", choices=[])
    date = DateField(label="Date")
    time = TimeField(label="Time")
    chair = SelectField(label="Chair", choices=[])
    drug = DrugField(label="Drug", attrs={"list": "drugs"})
    ordered = AmountField(label="Dose (mg)")
    route = SelectField(label="Route", choices=list(ROUTES.items()))
    diagnosis = DiagnosisField(label="Diagnosis", attrs={"list": "diagnoses", "autocapitalize": "characters"})
    vials = VialsField(label="Vials")
    prescriber = WordsField(label="Prescriber", most=120)

    def __init__(self, entries: Mapping[str, str], payers: Mapping[str, str], chairs: Mapping[str, str]) -> None:
        super().__init__(entries)
        drug = self.fields["drug"]
        assert isinstance(drug, DrugField)  # noqa: S101  narrows the type
        drug.advice = "Choose one of the list."
        for name, choices in (("payer", payers), ("chair", {"": "No chair yet", **chairs})):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101  narrows the type
            field.choices = list(choices.items())


class OrderEntry:
    """All that was typed of an order, and what was understood of it."""

    def __init__(
        self,
        entries: Entries,
        around: Surroundings,
        chairs: Mapping[str, str],
        patient_named: Callable[[str], Patient | None],
    ) -> None:
        self.entries, self.around = entries, around
        self.patient_form = PatientForm(entries)
        birth_date = self.patient_form.fields["birth_date"]
        assert isinstance(birth_date, BirthDateField)  # noqa: S101  narrows the type
        birth_date.today = around.today
        self.form = OrderForm(entries, around.payers, chairs)
        prepare(self.form, around, around.today)
        self.on: date | None = self.form.value("date")
        if self.on:
            prepare(self.form, around, self.on)
        self.reference: str = self.patient_form.value("patient_reference") or ""
        self.patient = patient_named(self.reference) if self.reference else None
        found = self.form.value("drug")
        self.drug: Drug | None = found if isinstance(found, Drug) else None
        self.dose: Decimal | None = self.form.value("ordered")
        self.before = tuple(key for key in ITEMS if entries.get(BEFORE + key))
        self.issues: list[Issue] = []
        for part in self.parts:
            self.issues += [Issue(part.add_prefix(name), str(messages[0])) for name, messages in part.errors.items()]
        self.moment = self._moment()
        self._check()
        self.echoes = self._echoes()

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.patient_form, self.form

    @property
    def names(self) -> Iterator[str]:
        for part in self.parts:
            yield from (part.add_prefix(name) for name in part.fields)

    @property
    def names_typed(self) -> bool:
        return bool(self.patient_form.text("patient_name") or self.patient_form.text("birth_date"))

    @property
    def code(self) -> str:
        found = self.form.value("drug")
        return found.code if isinstance(found, Drug) else str(found or "")

    @property
    def route(self) -> str:
        """The chosen way, or the one in which the drug is given first of all."""
        chosen = str(self.form.value("route") or "")
        return chosen or (self.drug.routes[0] if self.drug else "iv_infusion")

    @property
    def proposal(self) -> Rows:
        """The vials that leave the least of the drug's known sizes."""
        if self.drug is None or self.dose is None:
            return ()
        return proposed_vials(known_sizes(self.around.reference, self.drug, self.on or self.around.today), self.dose)

    @property
    def vials(self) -> Rows:
        """What was typed; the proposal where nothing was."""
        typed: Rows | None = self.form.value("vials")
        return self.proposal if typed is None else typed

    def planned(self, time_zone: str, setting: str) -> facts.Encounter:
        """The visit as it is ordered, for the label's cautions."""
        dose = facts.Administration(id="order", route=self.route, drug=self.code, ordered=self.dose)
        return facts.Encounter(
            time_zone=time_zone,
            setting=setting,
            date_of_service=self.on,
            administrations=(dose,) if self.code else (),
        )

    @property
    def obstacles(self) -> list[Issue]:
        """All that keeps the order from being kept, in the order of the page."""
        order = {name: position for position, name in enumerate(self.names)}
        first: dict[str, Issue] = {}
        for issue in (*self._gaps(), *self.issues):
            first.setdefault(issue.field, issue)
        return sorted(first.values(), key=lambda issue: order.get(issue.field, len(order)))

    def _gaps(self) -> Iterator[Issue]:
        if not self.patient_form.text("patient_reference"):
            yield Issue("patient_reference", "Patient reference: enter the record number of whom this is for.")
        sentences = {
            "payer": "Payer: choose who pays. What is billed hangs on it.",
            "date": "Date: enter the day of the infusion.",
            "time": "Time: enter when the patient is expected, for example 0900.",
            "drug": "Drug: choose what is ordered.",
            "ordered": "Dose (mg): enter what was prescribed.",
        }
        for name, message in sentences.items():
            if not self.form.text(name):
                yield Issue(name, message)

    def _check(self) -> None:
        if self.dose is not None and self.dose <= 0:
            self.issues.append(Issue("ordered", "Dose (mg): a dose is more than 0. Check it."))
        elif self.dose is not None and self.dose % MICROGRAM:
            self.issues.append(Issue("ordered", TOO_FINE.format(label="Dose (mg)")))
        elif self.dose is not None and self.vials and opened(self.vials) < self.dose:
            hold, dose = plain(opened(self.vials)), plain(self.dose)
            self.issues.append(Issue("vials", f"Vials: they hold {hold} mg, and {dose} mg are ordered. Add vials."))
        if self.on and self.on < self.around.today:
            message = "Date: this day is past. Enter what was given then as a new encounter."
            self.issues.append(Issue("date", message))
        known = self.patient
        if known is None:
            return
        typed, born = self.patient_form.value("patient_name") or "", self.patient_form.value("birth_date")
        if known.name and typed and typed.casefold() != known.name.casefold():
            message = f"Patient name: {self.reference} belongs to {known.name}. Check the reference."
            self.issues.append(Issue("patient_name", message))
        if known.birth_date and born and born != known.birth_date:
            message = f"Birth date: {self.reference} was born on {day_in_words(known.birth_date)}. Check the reference."
            self.issues.append(Issue("birth_date", message))

    def _moment(self) -> datetime | None:
        at: TimeOfDay | None = self.form.value("time")
        if at is None or self.on is None:
            return None
        found = occurrences(self.on, at, self.zone)
        if not found:
            self.issues.append(Issue("time", f"Time: {at.clock} is skipped when the clocks change that night."))
        return found[0] if found else None

    @property
    def zone(self) -> ZoneInfo:
        return self.around.zone

    def _echoes(self) -> dict[str, Echo]:
        at: TimeOfDay | None = self.form.value("time")
        new = "New here." if self.names_typed else "New here. Enter the name below."
        known = self.patient
        return {
            "patient_reference": Echo((known.name if known else new) if self.reference else ""),
            "date": Echo(date_in_words(self.on) if self.on else ""),
            "time": Echo(at.echo if at else ""),
            "drug": Echo(drug_for_nurses(self.drug, self.form.text("drug"))),
            "route": Echo(ROUTES[self.route] if self.drug and not self.form.value("route") else ""),
            "vials": Echo(self._vials_in_words()),
        }

    def _vials_in_words(self) -> str:
        if self.dose is None or not self.vials or "ordered" in {issue.field for issue in self.issues}:
            return ""
        rest = opened(self.vials) - self.dose
        words = "nothing is left over" if not rest else f"{plain(rest)} mg will be left over"
        left = f"{in_words(self.vials).capitalize()}: {words}."
        return left if self.form.value("vials") else f"{left} Taken unless you write others."
