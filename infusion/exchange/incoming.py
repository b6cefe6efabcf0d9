"""An encounter that arrives as the contract's document, as what a draft of a clinic can hold.

The document is the contract's encounter with `patient` (reference, and for a new one name, birth_date and sex) and, by
administration, `late_reasons`. What a draft holds otherwise than the contract is named with its path, its value and a
sentence: an inline policy, earlier doses, another clock. Nothing is guessed, and nothing is left out in silence.

Not handled here: what is wrong with the encounter itself. A draft may be incomplete, and the rules say what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import cast
from zoneinfo import ZoneInfo

from infusion.services import facts
from infusion.services.clock import ClockChange, instant, zone_named
from infusion.services.findings import Findings
from infusion.services.record import date_of_service
from infusion.services.reference import Reference
from infusion.services.wire import DAY, ENCOUNTER_FIELDS, Unreadable, parse_encounter

Document = Mapping[str, object]

PATIENT_FIELDS = ("reference", "name", "birth_date", "sex")
OWN_FIELDS = ("patient", "late_reasons")
FIELDS = ENCOUNTER_FIELDS | set(OWN_FIELDS)
SEXES = ("F", "M", "U")
OLDEST_BIRTH_YEAR = 1900
DRUG_CODE = re.compile(r"[A-Z][0-9]{4}")
DIAGNOSIS = re.compile(r"[A-Z][0-9][0-9A-Z](?:\.[0-9A-Z]{1,4})?")
MICROGRAM = Decimal("0.001")
# What one encounter holds at most: as much as its form shows.
MOST = {"administrations": 12, "diagnoses": 12, "pauses": 12, "vials": 4, "discards": 6}
MOST_OF_ONE_VIAL = 200
LONGEST = {
    "reference": 40, "name": 120, "drug": 60, "order": 40, "access": 40, "access_reason": 200, "late_reason": 200,
    "ndc": 14, "lot": 40,
}  # fmt: skip
LONGEST_SHOWN = 80
TWICE_OR_NEVER = {
    "time.ambiguous": "This happens twice that night, when the clocks go back. Send it with its offset, as in -04:00.",
    "time.nonexistent": "This does not exist that night, when the clocks go forward. Check the time.",
}


@dataclass(frozen=True, slots=True)
class Unmapped:
    """One thing that a draft cannot hold: where it stands in the document, what stands there, and why not."""

    path: str
    value: str
    reason: str


class NotMapped(ValueError):
    """Why a document is no draft: everything that was found, in the order of the document as far as it was read."""

    def __init__(self, problems: Sequence[Unmapped]) -> None:
        super().__init__(" ".join(f"{each.path}: {each.reason}" for each in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The clinic that a document arrives at: its clock, its day, the payers and tables known there."""

    time_zone: str
    today: date
    payers: Collection[str]
    reference: Reference
    hospital_department: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A document as a draft holds it. Times are instants; administrations are named by their place, a1, a2 and on.

    `payer` is a slug. `bought_340b` is None where the document does not say at which price was bought.
    """

    patient_reference: str
    patient_name: str
    birth_date: date | None
    sex: str
    payer: str
    facts: facts.Encounter
    date_of_service: date
    late_reasons: Mapping[str, str]
    bought_340b: bool | None


def recorded_from(document: object, to: Destination) -> Incoming:
    """What a draft of that clinic holds of a document. Raises NotMapped naming everything that it cannot hold."""
    reader = _Reader(document, to, [])
    incoming = reader.incoming()
    if reader.problems or incoming is None:
        raise NotMapped(reader.problems)
    return incoming


@dataclass(slots=True)
class _Reader:
    """Reads by path and goes on after a problem, so that all of them are told at once."""

    document: object
    to: Destination
    problems: list[Unmapped]

    def problem(self, path: str, reason: str) -> None:
        self.problems.append(Unmapped(path, shown(self.document, path), reason))

    def incoming(self) -> Incoming | None:
        if not isinstance(self.document, Mapping):
            self.problem("", "An object with named fields is expected here.")
            return None
        patient = self._patient(self.document.get("patient"))
        contract = {name: value for name, value in self.document.items() if name not in OWN_FIELDS}
        try:
            asked = parse_encounter(contract, self.to.time_zone)
        except Unreadable as unreadable:
            for path, message in unreadable.problems:
                self.problem(path, message)
            return None
        reasons = self._late_reasons(self.document.get("late_reasons"), asked.encounter)
        self._head(asked.encounter, asked.payer, asked.policy)
        on = date_of_service(asked.encounter, self.to.reference, Findings({}))
        if on is None:
            self.problem("date_of_service", "Say the day of the visit, or when the first drug was started.")
        for position, each in enumerate(asked.encounter.administrations):
            self._administration(f"administrations.{position}", each, on or self.to.today)
        price = self._price(asked.encounter)
        kept = self._kept(asked.encounter, on)
        if self.problems or on is None:
            return None
        return Incoming(
            patient_reference=patient["reference"], patient_name=patient["name"], sex=patient["sex"],
            birth_date=date.fromisoformat(patient["birth_date"]) if patient["birth_date"] else None,
            payer=asked.payer, facts=kept, date_of_service=on, late_reasons=reasons, bought_340b=price,
        )  # fmt: skip

    # Who it is about ------------------------------------------------------------------------------------------------

    def _patient(self, table: object) -> dict[str, str]:
        found = dict.fromkeys(PATIENT_FIELDS, "")
        table = {} if table is None else table
        if not isinstance(table, Mapping):
            self.problem("patient", "An object with named fields is expected here.")
            return found
        for name, value in table.items():
            if name not in PATIENT_FIELDS:
                self.problem(f"patient.{name}", f"{name} is not a field here.")
            elif value is not None and not isinstance(value, str):
                self.problem(f"patient.{name}", "A text in quotes is expected here.")
            else:
                found[name] = " ".join((value or "").split())
        for name in ("reference", "name"):
            self._text(f"patient.{name}", found[name], LONGEST[name])
        if not str(table.get("reference") or "").strip():
            self.problem("patient.reference", "Say whose visit this was: the clinic's own record number.")
        if found["sex"] and found["sex"] not in SEXES:
            self.problem("patient.sex", f"This is not one of {', '.join(SEXES)}.")
        if found["birth_date"] and not self._was_born(found["birth_date"]):
            found["birth_date"] = ""
        return found

    def _was_born(self, text: str) -> bool:
        try:
            born = date.fromisoformat(text) if DAY.fullmatch(text) else None
        except ValueError:
            born = None
        if born is None:
            self.problem("patient.birth_date", "This is not a date such as 1984-06-02.")
        elif born > self.to.today:
            self.problem("patient.birth_date", "This day is still to come. Check the year.")
        elif born.year < OLDEST_BIRTH_YEAR:
            self.problem("patient.birth_date", f"{born.year} is too long ago. Check the year.")
        return born is not None

    # What holds for the whole visit ---------------------------------------------------------------------------------

    def _head(self, encounter: facts.Encounter, payer: str, policy: Document) -> None:
        if not payer:
            self.problem("payer", "Say who pays. What is billed hangs on it.")
        elif payer not in self.to.payers:
            self.problem("payer", "No payer has this short name here. An admin adds payers.")
        if policy:
            self.problem("policy", "A payer's rules are entered by an admin, with their source, not with a visit.")
        if encounter.time_zone != self.to.time_zone:
            self.problem(
                "time_zone", f"The clinic's clock is {self.to.time_zone}. Send times of that clock or with an offset."
            )
        if encounter.past_doses is not None:
            self.problem("past_doses", "Earlier doses are those that the clinic has on record. Leave them out here.")
        if encounter.hospital_department not in ("", self.to.hospital_department):
            self.problem("hospital_department", "The clinic is recorded otherwise. An admin changes it there.")
        self._few("diagnoses", encounter.diagnoses)
        for position, code in enumerate(encounter.diagnoses):
            if not DIAGNOSIS.fullmatch(code):
                self.problem(f"diagnoses.{position}", "This has not the shape of a code with its point, as in G35.A.")
        self._few("administrations", encounter.administrations)
        if encounter.visit is not None:
            self._moment("visit.start", encounter.visit.start)
            self._moment("visit.stop", encounter.visit.stop)

    def _late_reasons(self, table: object, encounter: facts.Encounter) -> dict[str, str]:
        """Why something was entered late, by the place of its administration."""
        if table is None:
            return {}
        if not isinstance(table, Mapping):
            self.problem("late_reasons", "An object with a text by administration is expected here.")
            return {}
        places = {each.id: f"a{position}" for position, each in enumerate(encounter.administrations, 1)}
        found = {}
        for name, text in table.items():
            if name not in places:
                self.problem(f"late_reasons.{name}", "No administration has this id.")
            elif not isinstance(text, str):
                self.problem(f"late_reasons.{name}", "A text in quotes is expected here.")
            else:
                self._text(f"late_reasons.{name}", text, LONGEST["late_reason"])
                found[places[name]] = text.strip()
        return found

    # One administration ---------------------------------------------------------------------------------------------

    def _administration(self, path: str, each: facts.Administration, on: date) -> None:
        for name in ("drug", "order", "access", "access_reason"):
            self._text(f"{path}.{name}", getattr(each, name), LONGEST[name])
        self._drug(path, each, on)
        for name in ("start", "stop"):
            self._moment(f"{path}.{name}", getattr(each, name))
        for name in ("ordered", "administered"):
            self._amount(f"{path}.{name}", getattr(each, name))
        for name in ("pauses", "vials", "discards"):
            self._few(f"{path}.{name}", getattr(each, name))
        for position, pause in enumerate(each.pauses):
            self._moment(f"{path}.pauses.{position}.start", pause.start)
            self._moment(f"{path}.pauses.{position}.stop", pause.stop)
        for position, vial in enumerate(each.vials):
            where = f"{path}.vials.{position}"
            if self._amount(f"{where}.amount", vial.amount) and not vial.amount:
                self.problem(f"{where}.amount", "A vial holds more than nothing. Send its labelled milligrams.")
            if not 1 <= vial.count <= MOST_OF_ONE_VIAL:
                self.problem(f"{where}.count", f"A whole number from 1 to {MOST_OF_ONE_VIAL} is expected here.")
            for name in ("ndc", "lot"):
                self._text(f"{where}.{name}", getattr(vial, name), LONGEST[name])
        for position, discard in enumerate(each.discards):
            self._amount(f"{path}.discards.{position}.amount", discard.amount)

    def _drug(self, path: str, each: facts.Administration, on: date) -> None:
        """A code, known or not, or what was taken by mouth. A name is told with the code it may stand for."""
        if each.route == "hydration" and each.drug:
            self.problem(f"{path}.drug", "Hydration has no drug. Send a drug with the route by which it was given.")
        if each.route in ("hydration", "oral") or not each.drug or each.drug in self.to.reference.drugs:
            return
        if not DRUG_CODE.fullmatch(each.drug):
            meant = self.to.reference.find_drug(each.drug[: LONGEST["drug"]], on)
            advice = f"The code of {meant.name} is {meant.code}." if meant else "Send the code of a drug."
            self.problem(f"{path}.drug", f"No drug has this code here. {advice}")

    def _price(self, encounter: facts.Encounter) -> bool | None:
        """Whether the drugs of the visit were bought at the 340B price: it is recorded of all of them together."""
        raw = cast(list[Document], cast(Document, self.document).get("administrations") or [])
        said: dict[str, bool | None] = {}
        for position, each in enumerate(encounter.administrations):
            path, flag = f"administrations.{position}.bought_340b", raw[position].get("bought_340b")
            if flag and each.acquired != "purchased":
                self.problem(path, "A drug that was supplied was bought at no price. Correct one of them.")
            elif each.route not in ("hydration", "oral") and each.acquired == "purchased":
                said[path] = cast("bool | None", flag)
        if any(said.values()):
            for path, flag in said.items():
                if not flag:
                    self.problem(path, "All drugs of a visit are recorded at one price, and another one says 340B.")
            return True
        return False if False in said.values() else None

    # Single values --------------------------------------------------------------------------------------------------

    def _text(self, path: str, text: str, most: int) -> None:
        if not text.isprintable():
            self.problem(path, "This holds a character that cannot be seen. Send it without.")
        elif len(text) > most:
            self.problem(path, f"Only {most} characters are kept. Shorten it.")

    def _few(self, path: str, items: Sequence[object]) -> None:
        most = MOST[path.rpartition(".")[2]]
        if len(items) > most:
            self.problem(path, f"One visit holds {most} of these at most, and here are {len(items)}.")

    def _amount(self, path: str, amount: Decimal | None) -> bool:
        """Whether an amount can be kept exactly."""
        if amount is None:
            return True
        if amount < 0:
            self.problem(path, "Less than nothing cannot be. Send the milligrams.")
        elif amount % MICROGRAM:
            self.problem(path, "Amounts are kept to a thousandth of a mg. Three decimals are enough.")
        return amount >= 0 and not amount % MICROGRAM

    def _moment(self, path: str, moment: datetime | None) -> None:
        if moment is not None:
            try:
                instant(moment, self._zone)
            except ClockChange as change:
                self.problem(path, TWICE_OR_NEVER[change.code])

    @property
    def _zone(self) -> ZoneInfo:
        return zone_named(self.to.time_zone)

    # What is kept ---------------------------------------------------------------------------------------------------

    def _kept(self, encounter: facts.Encounter, on: date | None) -> facts.Encounter:
        """The same facts with every time an instant, and each administration named by its place."""

        def at(moment: datetime | None) -> datetime | None:
            try:
                return moment and instant(moment, self._zone).astimezone(UTC)
            except ClockChange:
                return None  # told already

        visit = encounter.visit and facts.Visit(start=at(encounter.visit.start), stop=at(encounter.visit.stop))
        return replace(
            encounter,
            id="",
            time_zone=self.to.time_zone,
            date_of_service=on,
            diagnoses=tuple(dict.fromkeys(encounter.diagnoses)),
            visit=visit,
            administrations=tuple(_places(encounter.administrations, at)),
        )


def _places(
    administrations: Sequence[facts.Administration], at: Callable[[datetime | None], datetime | None]
) -> Iterator[facts.Administration]:
    for position, each in enumerate(administrations, 1):
        yield replace(
            each,
            id=f"a{position}",
            start=at(each.start),
            stop=at(each.stop),
            pauses=tuple(facts.Pause(start=at(pause.start), stop=at(pause.stop)) for pause in each.pauses),
        )


def shown(document: object, path: str) -> str:
    """What stands at a path of a document, shortened; nothing where nothing stands there."""
    found = document
    for name in path.split(".") if path else ():
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return ""
    return "" if found is None else str(found)[:LONGEST_SHOWN]
