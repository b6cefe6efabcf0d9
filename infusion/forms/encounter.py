"""The encounter form: a head, numbered drugs, each with pauses, vials and discards, read into facts.

The calculator and the nurse's encounter are this one form. It bills nothing and keeps nothing: it says what it could
not read and what it has to ask, and the rules say the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from infusion.forms.fields import DateField, DrugField
from infusion.forms.parts import (
    ACCESS_REASONS,
    DiscardForm,
    DrugForm,
    HeadForm,
    Part,
    PauseForm,
    VialForm,
)
from infusion.forms.rules import RulesForm
from infusion.forms.structure import Entries, count_drugs, count_parts, written_out
from infusion.forms.times import Echo, Placed, Slot, place
from infusion.services import facts
from infusion.services.reference import Drug, Reference, in_force
from infusion.services.words import plain
from infusion.time_entry import date_in_words, plain_text, read_date
from payers.policy import PayerPolicy

OF_A_DRUG = ("drug", "ordered", "administered", "scan")
"""Fields that are out of sight where only fluid is given, as the rows of vials are."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What has to be known to read the form: the tables, the clinic's clock, the payers and their policies.

    `witnesses` are those who may have seen drug thrown away, where the clinic asks for one; `witnesses_before` are on
    record as having seen it, also when they no longer work there.
    """

    reference: Reference
    now: datetime
    payers: dict[str, str]
    policy: PayerPolicy
    witnesses: tuple[tuple[str, str], ...] = ()
    witnesses_before: tuple[tuple[str, str], ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        zone = self.now.tzinfo
        assert isinstance(zone, ZoneInfo)  # noqa: S101  the clinic's clock always carries its zone
        return zone

    @property
    def today(self) -> date:
        return self.now.date()


@dataclass(frozen=True, slots=True)
class Issue:
    """What the form could not read or has to ask. `field` is the id of the element that mends it."""

    field: str
    message: str


@dataclass(slots=True)
class Numbered:
    """A pause, a row of vials or a discard, with its number in its drug."""

    number: int
    form: Part
    remove: str
    word: str

    @property
    def remove_words(self) -> str:
        return f"Remove {self.word} {self.number}"


class DrugEntry:
    """One drug of the form with all its parts."""

    form_class: type[DrugForm] = DrugForm

    def __init__(self, number: int, entries: Entries, around: Surroundings, on: date) -> None:
        self.number, self.id, self.entries, self.around = number, f"d{number}", entries, around
        self.form = self.form_class(entries, self.id)
        prepare(self.form, around, on)
        found = self.form.value("drug")
        self.drug: Drug | None = found if isinstance(found, Drug) else None
        sizes = known_sizes(around.reference, self.drug, on)
        self.pauses = [Numbered(n, PauseForm(entries, p), f"remove-{p}", "pause") for n, p in self._numbered("p")]
        self.vials = [Numbered(n, self._vial_form(p, sizes), f"remove-{p}", "vials") for n, p in self._numbered("v")]
        self.discards = [Numbered(n, self._discard_form(p), f"remove-{p}", "discard") for n, p in self._numbered("w")]
        for pause in self.pauses:
            prepare(pause.form, around, on)
        self.start: Placed | None = None
        self.stop: Placed | None = None
        self.pause_times: list[tuple[Placed | None, Placed | None]] = []

    def _vial_form(self, prefix: str, sizes: list[Decimal]) -> VialForm:
        return VialForm(self.entries, prefix, sizes)

    def _discard_form(self, prefix: str) -> DiscardForm:
        return DiscardForm(self.entries, prefix)

    def _numbered(self, part: str) -> list[tuple[int, str]]:
        return [(n, f"{self.id}-{part}{n}") for n in range(1, count_parts(self.entries, self.number, part) + 1)]

    @property
    def title(self) -> str:
        return f"Drug {self.number}"

    @property
    def remove_words(self) -> str:
        return f"Remove drug {self.number}"

    @property
    def remove(self) -> str:
        return f"remove-{self.id}"

    @property
    def parts(self) -> list[Part]:
        return [self.form, *(each.form for each in (*self.pauses, *self.vials, *self.discards))]

    @property
    def is_blank(self) -> bool:
        return not self.pauses and not self.discards and all(part.is_blank for part in self.parts)

    @property
    def route(self) -> str:
        return self.form.choice("route")

    @property
    def access_reason(self) -> str:
        """Why a second site was needed, in the words that are recorded."""
        key = self.form.choice("access_reason")
        return ACCESS_REASONS.get(key, key) if key else ""

    @property
    def more_open(self) -> bool:
        """Whether something under "More about this drug" was set and so has to be seen."""
        names = ("order", "access", "access_reason", "acquired", "container", "primary")
        return any(self.form.choice(name) != self.form.default(name) for name in names)

    def unasked(self, name: str) -> bool:
        """Whether the route asks nothing of a field. What is taken by mouth is not billed, so any name will do."""
        drug, _, field = name.partition("-")
        if drug != self.id:
            return False
        if self.route == "oral":
            return field == "drug"
        return self.route == "hydration" and (field in OF_A_DRUG or field.startswith("v"))

    @property
    def code(self) -> str:
        found = self.form.value("drug")
        return found.code if isinstance(found, Drug) else str(found or "")

    # Amounts --------------------------------------------------------------------------------------------------------

    def vial_facts(self) -> tuple[facts.Vial, ...]:
        single_dose = {"single": True, "multi": False}.get(self.form.choice("container"))
        rows = ((Decimal(row.form.choice("size") or 0), row.form.value("count")) for row in self.vials)
        return tuple(
            facts.Vial(amount=size, count=count, single_dose=single_dose) for size, count in rows if size and count
        )

    def discard_facts(self) -> tuple[facts.Discard, ...]:
        rows = ((row.form.value("amount"), row.form.choice("reason")) for row in self.discards)
        return tuple(
            facts.Discard(amount=amount, reason=reason) for amount, reason in rows if amount is not None and reason
        )

    @property
    def opened(self) -> Decimal:
        return sum((vial.amount * vial.count for vial in self.vial_facts()), Decimal(0))

    @property
    def discarded(self) -> Decimal:
        amounts = (row.form.value("amount") for row in self.discards)
        return sum((amount for amount in amounts if amount is not None), Decimal(0))

    @property
    def discarded_of_label(self) -> Decimal:
        """Discarded amounts that count against the label: overfill lies beyond it."""
        rows = (row.form for row in self.discards if row.form.choice("reason") != "overfill")
        return sum((amount for form in rows if (amount := form.value("amount")) is not None), Decimal(0))

    def fact(self) -> facts.Administration:
        choice = self.form.choice
        return facts.Administration(
            id=self.id,
            route=self.route,
            drug="" if self.route == "hydration" else self.code,
            order=choice("order"),
            access=choice("access"),
            access_reason=self.access_reason,
            purpose=choice("purpose") if self.route == "hydration" else "",
            primary=choice("primary") == "yes",
            acquired=choice("acquired"),
            start=self.start.moment if self.start else None,
            stop=self.stop.moment if self.stop else None,
            pauses=tuple(
                facts.Pause(start=start.moment if start else None, stop=stop.moment if stop else None)
                for start, stop in self.pause_times
            ),
            ordered=self.form.value("ordered"),
            administered=self.form.value("administered"),
            vials=self.vial_facts(),
            discards=self.discard_facts(),
        )


class EncounterEntry:
    """All that was typed, and what was understood of it."""

    drug_class: type[DrugEntry] = DrugEntry

    def __init__(self, entries: Entries, around: Surroundings) -> None:
        entries, self.read_at = written_out(entries, around.now)
        self.entries, self.around = entries, around
        self.head = HeadForm(entries, around.payers.items())
        prepare(self.head, around, around.today)
        self.date_of_service: date | None = self.head.value("date")
        on = self.date_of_service or around.today
        self.rules = RulesForm(entries, around.policy, on, self.setting)
        numbers = range(1, count_drugs(entries) + 1)
        self.drugs = [self.drug_class(number, entries, around, on) for number in numbers]
        self.echoes: dict[str, Echo] = {}
        self.issues: list[Issue] = []
        self.visit: tuple[Placed | None, Placed | None] = (None, None)
        self._read_head(on)
        for drug in self.drugs:
            self._read_drug(drug, on)
        self._leave_out_unasked()

    @property
    def setting(self) -> str:
        return self.head.choice("setting")

    @property
    def parts(self) -> Iterator[Part]:
        yield self.head
        yield self.rules
        for drug in self.drugs:
            yield from drug.parts

    @property
    def names(self) -> Iterator[str]:
        """The names of all fields on the page, in order."""
        for part in self.parts:
            yield from (part.add_prefix(name) for name in part.fields)

    @property
    def given(self) -> list[DrugEntry]:
        """The drugs in which anything was entered."""
        return [drug for drug in self.drugs if not drug.is_blank]

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to calculate yet."""
        return not self.given

    def encounter(self) -> facts.Encounter:
        start, stop = self.visit
        at_home = self.setting == "home" and (start or stop)
        return facts.Encounter(
            time_zone=self.around.zone.key,
            setting=self.setting,
            date_of_service=self.date_of_service,
            diagnoses=self.head.value("diagnosis") or (),
            visit=facts.Visit(start=start.moment if start else None, stop=stop.moment if stop else None)
            if at_home
            else None,
            administrations=tuple(drug.fact() for drug in self.given),
        )

    def query(self) -> list[tuple[str, str]]:
        """The pairs an address needs: what was understood, without what an untouched form shows, and no words."""
        unread = {issue.field for issue in self.issues if not self.echoes.get(issue.field, Echo()).question}
        pairs = []
        for part in self.parts:
            for name in part.fields:
                full, text = part.add_prefix(name), self._kept_text(part, name)
                if text and full not in unread and name not in part.errors and text != part.default(name):
                    pairs.append((full, text))
                pairs += self.echoes.get(full, Echo()).kept
        return pairs

    def _kept_text(self, part: Part, name: str) -> str:
        """A date is written in one way, however it was typed."""
        found = part.value(name)
        return found.isoformat() if isinstance(found, date) else part.text(name)

    def finding_field(self, administration: str, field: str) -> str:
        """The id of the element that mends a finding of the rules."""
        first, *rest = field.split(".")
        if not administration:
            known = {"date_of_service": "date", "diagnoses": "diagnosis", "administrations": "d1-drug"}
            return f"visit_{rest[0]}" if first == "visit" and rest else known.get(first, "d1-drug")
        letter = {"pauses": "p", "vials": "v", "discards": "w"}.get(first)
        if letter is None:
            name = first if first in DrugForm.base_fields else "drug"
            return f"{administration}-{name}"
        number = int(rest[0]) + 1 if rest and rest[0].isdigit() else 1
        name = {"p": "start", "v": "size", "w": "amount"}[letter]
        if letter == "p" and rest[1:] == ["stop"]:
            name = "stop"
        wanted = f"{administration}-{letter}{number}-{name}"
        return wanted if wanted in set(self.names) else f"{administration}-administered"

    # Reading --------------------------------------------------------------------------------------------------------

    def _unread(self, part: Part) -> None:
        self.issues += [Issue(part.add_prefix(name), str(messages[0])) for name, messages in part.errors.items()]

    def _leave_out_unasked(self) -> None:
        """What a route does not ask for keeps nobody from going on."""
        self.issues = [issue for issue in self.issues if not any(drug.unasked(issue.field) for drug in self.drugs)]

    def _place(
        self, part: Part, name: str, words: str, day: date | None, after: Placed | None, *,
        insist: bool = True, or_at: bool = False,
    ) -> Placed | None:  # fmt: skip
        full, at = part.add_prefix(name), part.value(name)
        if at is None:
            return None
        outcome = place(Slot(full, words, self.entries), at, day, self.around.zone, after, insist=insist, or_at=or_at)
        self.echoes[full] = outcome.echo
        if outcome.problem:
            self.issues.append(Issue(full, outcome.problem))
        return outcome.placed

    def _read_head(self, on: date) -> None:
        self._unread(self.head)
        self._unread(self.rules)
        if self.date_of_service:
            self.echoes["date"] = Echo(date_in_words(self.date_of_service))
        counted_from = read_date(self.entries.get("date-day", ""), self.around.today)
        if isinstance(counted_from, date):
            kept = (("date-day", counted_from.isoformat()),)
            self.echoes["date"] = replace(self.echoes.get("date", Echo()), kept=kept)
        codes = self.head.value("diagnosis") or ()
        rows = [in_force(self.around.reference.diagnoses.get(code, ()), on) for code in codes]
        self.echoes["diagnosis"] = Echo("; ".join(row.label for row in rows if row))
        for name in self.rules.inherited:
            words = self.rules.inherited[name]
            text = f"Instead of {words[:1].lower()}{words[1:]}" if name in self.rules.changed else words
            self.echoes[self.rules.add_prefix(name)] = Echo(text)
        if self.setting == "home":
            start = self._place(self.head, "visit_start", "Visit start", self.date_of_service, None)
            self.visit = (start, self._place(self.head, "visit_stop", "Visit stop", self.date_of_service, start))

    def _read_drug(self, drug: DrugEntry, on: date) -> None:
        for part in drug.parts:
            self._unread(part)
        form, day = drug.form, self.date_of_service
        first = next((each.start for each in self.drugs if each.start), None)
        drug.start = self._place(form, "start", "Start", day, first, insist=False)
        drug.stop = self._place(form, "stop", "Stop", day, drug.start)
        for pause in drug.pauses:
            words = f"Pause {pause.number}"
            begin = self._place(pause.form, "start", f"{words} start", day, drug.start, or_at=True)
            # Stored with its seconds, it may end in the minute in which it began; typed, it may not.
            at, within = pause.form.value("stop"), self.entries.get(pause.form.add_prefix("within"))
            stored = at is not None and within == f"{at.as_time():%H%M}"
            end = self._place(pause.form, "stop", f"{words} stop", day, begin or drug.start, or_at=stored)
            drug.pause_times.append((begin, end))
        self._check_rows(drug)
        self.echoes[f"{drug.id}-drug"] = Echo(drug_in_words(drug.drug, drug.form.text("drug")))

    def _check_rows(self, drug: DrugEntry) -> None:
        """Half a row of vials or half a discard cannot be passed on, and may not be dropped in silence."""
        for row in drug.vials:
            name = f"{drug.id}-v{row.number}"
            if row.form.value("count") and not row.form.choice("size"):
                self.issues.append(
                    Issue(f"{name}-size", "Vial size (mg): choose the size, so that the vials can add up.")
                )
            if row.number > 1 and row.form.text("size") and not row.form.text("count"):
                self.issues.append(Issue(f"{name}-count", "Vials (count): enter how many of this size were opened."))
        for row in drug.discards:
            name, words = f"{drug.id}-w{row.number}", f"Discard {row.number}"
            if not row.form.text("amount"):
                self.issues.append(
                    Issue(f"{name}-amount", f"{words} has no amount. Enter the milligrams, or remove it.")
                )
            if not row.form.choice("reason"):
                message = f"{words} has no reason, which decides whether it is billed. Choose one."
                self.issues.append(Issue(f"{name}-reason", message))


def prepare(form: Part, around: Surroundings, on: date) -> None:
    """Tells the fields of a form what they need to know of the day and the tables."""
    for field in form.fields.values():
        if isinstance(field, DateField):
            field.today = around.today
        elif isinstance(field, DrugField):
            field.reference, field.on = around.reference, on


def known_sizes(reference: Reference, drug: Drug | None, on: date) -> list[Decimal]:
    """The sizes a drug is sold in; every size there is while no drug is known."""
    if drug is not None:
        return sorted({container.amount for container in drug.containers})
    rows = (in_force(rows, on) for rows in reference.drugs.values())
    return sorted({container.amount for row in rows if row for container in row.containers})


def drug_in_words(drug: Drug | None, typed: str) -> str:
    """What a drug's code stands for, as in ``J2350, 1 mg a unit, single-dose vial``."""
    if drug is None:
        return ""
    container = "single-dose vial" if drug.single_dose else "multi-dose vial"
    name = "" if plain_text(typed).casefold() == drug.name.casefold() else f"{drug.label}, "
    return f"{name}{drug.code}, {plain(drug.billing_unit)} mg a unit, {container}"
