"""Encounters out of a FHIR R4 bundle of MedicationAdministration, joined by the patient and the Encounter they name.

What each element is taken for is in `docs/import.md`. R4 has no element for a pause, a vial or a discard, so a draft
made of a bundle asks for them as any draft does. Each MedicationAdministration is held against FHIR's own model first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, cast

from fhir.resources.R4B.medicationadministration import MedicationAdministration
from pydantic import ValidationError

from infusion.arriving import UnreadableFile
from infusion.exchange.coming_in import (
    INPATIENT,
    NO_PLACE,
    Arrived,
    At,
    FileRead,
    Problem,
    drug_with_ndc,
    kept_time,
    lettered,
    milligrams,
    patient_of,
)
from infusion.exchange.fhir import DIAGNOSES, HCPCS, NDC, OURS, TERMINOLOGY
from infusion.services.reference import Reference, diagnosis_code
from infusion.services.wire import DAY, TIME, Unreadable, decode

Document = Mapping[str, Any]

MOST_BYTES, MOST_ENTRIES = 20_000_000, 50_000
# Each may begin an object in memory. A bundle of drugs given has 1,100,000 of them in 20 MB.
MOST_PARTS = 1_200_000
UNITS_OF_MEASURE, SNOMED, ICD10 = (
    "http://unitsofmeasure.org",
    "http://snomed.info/sct",
    "http://hl7.org/fhir/sid/icd-10",
)
HCPCS_TOO = (HCPCS, "urn:oid:2.16.840.1.113883.6.285")
# SNOMED CT says IV alone, HL7 v3 says which way, and HL7 v2's table 0165 is the method beside either.
INTRAVENOUS = "iv"
ROUTES = {
    (SNOMED, "47625008"): INTRAVENOUS, (SNOMED, "34206005"): "subcutaneous", (SNOMED, "78421000"): "intramuscular",
    (SNOMED, "26643006"): "oral",
} | {
    (f"{TERMINOLOGY}v3-RouteOfAdministration", code): route
    for route, codes in {
        "iv_infusion": ("IV", "IVC", "IVCC", "IVCI"), "iv_push": ("IVPUSH", "IVSPUSH", "IVRPUSH"),
        "subcutaneous": ("SQ",), "intramuscular": ("IM",), "oral": ("PO",),
    }.items()
    for code in codes
}  # fmt: skip
METHODS = {(f"{TERMINOLOGY}v2-0165", "IVP"): "iv_push", (f"{TERMINOLOGY}v2-0165", "IVPB"): "iv_infusion"}
GIVEN = ("completed", "stopped")
INPATIENT_CLASSES = ("IMP", "ACUTE", "NONAC")
READ = ("MedicationAdministration", "Patient", "Encounter", "Medication", "Coverage", "Organization")
FIELDS = {
    "drug": "medication", "route": "dosage.route", "start": "effectivePeriod.start", "stop": "effectivePeriod.end",
    "administered": "dosage.dose", "payer": "Coverage.payor", "patient.reference": "Patient.identifier",
    "patient.name": "Patient.name", "patient.birth_date": "Patient.birthDate",
}  # fmt: skip
COLUMNS = {"reference": "Patient.identifier", "name": "Patient.name", "sex": "Patient.gender"}
# Elements that bear on what is recorded here and have no place in it.
BEARING = ("reasonCode", "reasonReference", "device", "note", "eventHistory", "partOf", "performer")


@dataclass(slots=True)
class _Visit:
    arrived: Arrived
    administrations: list[dict[str, Any]] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)


def is_bundle(beginning: bytes) -> bool:
    return beginning.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def read_fhir(file: IO[bytes], zone: str, reference: Reference) -> FileRead:
    """All encounters of a bundle. Raises UnreadableFile where nothing of it can be read."""
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UnreadableFile(f"The bundle is larger than {MOST_BYTES // 1_000_000} MB. Bring it in by weeks.")
    if sum(map(content.count, (b"[", b"{", b","))) > MOST_PARTS:
        raise UnreadableFile(f"The bundle has more than {MOST_PARTS:,} brackets and commas. Bring it in by weeks.")
    if b"\\u0000" in content:
        raise UnreadableFile("The bundle holds a zero byte, which is part of no text. Have it written without.")
    try:
        bundle = cast(Any, decode(content.removeprefix(b"\xef\xbb\xbf")))
    except Unreadable as problem:
        raise UnreadableFile(problem.problems[0][1].replace("This line", "The file")) from None
    except UnicodeDecodeError:
        raise UnreadableFile("The file is not in UTF-8, which FHIR asks for.") from None
    if not isinstance(bundle, Mapping) or bundle.get("resourceType") != "Bundle":
        raise UnreadableFile("This is JSON and no FHIR bundle: its resourceType has to be Bundle.")
    entries = bundle.get("entry") or []
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        raise UnreadableFile("The entries of the bundle are not a list of objects.")
    if not entries or len(entries) > MOST_ENTRIES:
        raise UnreadableFile(f"The bundle has {len(entries):,} entries; from 1 to {MOST_ENTRIES:,} are read.")
    problems: list[Problem] = []
    reader = _Reader(zone, reference, _by_address(entries), problems)
    for row, entry in enumerate(entries, start=1):
        reader.entry(row, entry)
    return FileRead(reader.finished(), len(entries), hashlib.sha256(content).hexdigest(), FIELDS, problems=problems)


def _by_address(entries: list[Document]) -> dict[str, Document]:
    """Each resource by its full address and by its type and id. An address of two different ones is nobody's."""
    found: dict[str, Document] = {}
    of_two = set()
    for entry in entries:
        resource = entry.get("resource")
        if isinstance(resource, Mapping):
            for address in (entry.get("fullUrl"), f"{resource.get('resourceType')}/{resource.get('id')}"):
                if isinstance(address, str) and found.setdefault(address, resource) != resource:
                    of_two.add(address)
    return {address: resource for address, resource in found.items() if address not in of_two}


def _items(document: Document, name: str) -> list[Any]:
    """What stands in a list, or in the one object that a profile allows; only objects."""
    found = document.get(name)
    listed = found if isinstance(found, list) else [found]
    return [each for each in listed if isinstance(each, Mapping)]


def _item(document: Document, name: str) -> Document:
    return next(iter(_items(document, name)), {})


def _text(document: Document, name: str) -> str:
    found = document.get(name)
    return found.strip() if isinstance(found, str) else ""


def _codings(concept: Document) -> list[tuple[str, str]]:
    return [(_text(each, "system"), _text(each, "code")) for each in _items(concept, "coding")]


def _shown(concept: Document) -> str:
    coding = _item(concept, "coding")
    return _text(concept, "text") or _text(coding, "display") or _text(coding, "code")


@dataclass(slots=True)
class _Reader:
    zone: str
    reference: Reference
    resources: Mapping[str, Document]
    problems: list[Problem]
    visits: dict[str, _Visit] = field(default_factory=dict)
    seen: dict[str, tuple[int, Document]] = field(default_factory=dict)

    def entry(self, row: int, entry: Document) -> None:
        resource, at = entry.get("resource"), At(row, self.problems)
        if not isinstance(resource, Mapping):
            at.problem("entry.resource", "", "The entry holds no resource.")
            return
        kind = _text(resource, "resourceType")
        if kind not in READ:
            at.told(kind or "resourceType", _text(resource, "id"), f"{NO_PLACE}, and is not brought in.")
        if kind != "MedicationAdministration":
            return
        first, before = self.seen.setdefault(_text(resource, "id") or f"of {row}", (row, resource))
        if first != row and before == resource:
            at.told("id", _text(resource, "id"), f"This is entry {first} once more, and is read once.")
            return
        visit = self._visit(row, resource)
        at = At(row, visit.arrived.problems)
        if first != row:
            at.problem("id", _text(resource, "id"), f"Entry {first} has the same id and says something else.")
        try:
            MedicationAdministration.model_validate(dict(resource))
        except ValidationError as problem:
            # Its encounter stays out as well: without this drug it would be billed short.
            for error in problem.errors()[:5]:
                path = ".".join(str(each) for each in error["loc"]) or kind
                at.problem(path, error.get("input", ""), f"FHIR’s own model refuses this: {error['msg']}.")
            return
        self._administration(at, visit, resource)

    def finished(self) -> Iterator[Arrived]:
        for visit in self.visits.values():
            drugs = [each["drug"] for each in visit.administrations]
            letters = lettered(zip(drugs, visit.orders, strict=True))
            for each, letter in zip(visit.administrations, letters, strict=True):
                each["order"] = letter
            visit.arrived.document["administrations"] = visit.administrations
            yield visit.arrived.close()

    def _resolved(self, owner: Document, reference: Document) -> Document:
        address = _text(reference, "reference")
        if address.startswith("#"):
            contained = (each for each in _items(owner, "contained") if each.get("id") == address[1:])
            return next(contained, {})
        return self.resources.get(address, {})

    # The visit ------------------------------------------------------------------------------------------------------

    def _visit(self, row: int, resource: Document) -> _Visit:
        context, own = _item(resource, "context"), list[Problem]()
        at = At(row, own)
        encounter = self._resolved(resource, context)
        source, number = self._number(context, encounter)
        arrived = Arrived(source, number, row, self._patient(at, resource), problems=own)
        if not number:
            at.problem("context", "", "No encounter is named, and administrations are joined by it.")
        key = arrived.identity if number else f"{arrived.identity}{row}"
        if key in self.visits:
            first = self.visits[key].arrived
            if first.patient != arrived.patient:
                told = f"Entry {first.row} of the same encounter says something else of the patient."
                At(row, first.problems).problem("subject", arrived.patient["name"], told)
            return self.visits[key]
        arrived.payer = self._payer(_item(resource, "subject"))
        arrived.document = {"diagnoses": self._diagnoses(at, encounter)}
        kind = _text(_item(encounter, "class"), "code")
        if kind in INPATIENT_CLASSES:
            at.problem("Encounter.class", kind, INPATIENT)
        if kind == "HH":
            period = _item(encounter, "period")
            ends = {"start": "start", "stop": "end"}
            arrived.document |= {
                "setting": "home",
                "visit": {
                    ours: self._moment(at, f"Encounter.period.{name}", period.get(name)) for ours, name in ends.items()
                },
            }
        self.visits[key] = _Visit(arrived)
        return self.visits[key]

    def _number(self, context: Document, encounter: Document) -> tuple[str, str]:
        """Whose number an encounter has, and which: its only or official identifier, else the address itself."""
        named = _items(encounter, "identifier") or _items(context, "identifier")
        chosen = named if len(named) == 1 else [each for each in named if each.get("use") == "official"]
        if len(chosen) == 1 and _text(chosen[0], "value"):
            return _text(chosen[0], "system"), _text(chosen[0], "value")
        return "", _text(context, "reference")

    def _patient(self, at: At, resource: Document) -> dict[str, str]:
        subject = _item(resource, "subject")
        patient = self._resolved(resource, subject)
        numbers = _items(patient, "identifier") or _items(subject, "identifier")
        records = [
            each for each in numbers
            if "MR" in [code for _, code in _codings(_item(each, "type"))] or _text(each, "system") == f"{OURS}patient"
        ] or numbers  # fmt: skip
        name = next((each for each in _items(patient, "name") if each.get("use") == "official"), _item(patient, "name"))
        given = " ".join(str(each) for each in name.get("given") or [])
        said = {
            "name": ", ".join(filter(None, (_text(name, "family"), given))) or _text(name, "text"),
            "birth_date": _text(patient, "birthDate"),
            "sex": _text(patient, "gender"),
        }
        if said["birth_date"] and not DAY.fullmatch(said["birth_date"]):
            at.told("Patient.birthDate", said["birth_date"], "Part of a day is no birth date, and is not brought in.")
            said["birth_date"] = ""
        if len(records) > 1:
            shown = ", ".join(_text(each, "value") for each in records)
            at.problem("Patient.identifier", shown, "Several could be the record number. Mark it with the type MR.")
            return {"reference": "", "name": said["name"], "birth_date": said["birth_date"], "sex": ""}
        return patient_of(at, COLUMNS, reference=_text(records[0], "value") if records else "", **said)

    def _payer(self, subject: Document) -> str:
        """Who pays, where the bundle has exactly one coverage of the patient in force."""
        address = _text(subject, "reference")
        covers = {
            id(each): each
            for each in self.resources.values()
            if each.get("resourceType") == "Coverage"
            and _text(_item(each, "beneficiary"), "reference") == address
            and each.get("status") == "active"
        }
        if not address or len(covers) != 1:
            return ""
        payor = _item(next(iter(covers.values())), "payor")
        organization = self._resolved({}, payor)
        own = [each for each in _items(organization, "identifier") if _text(each, "system") == f"{OURS}payer"]
        return _text(own[0], "value") if own else _text(organization, "name") or _text(payor, "display")

    def _diagnoses(self, at: At, encounter: Document) -> list[str]:
        found = []
        for concept in _items(encounter, "reasonCode"):
            codes = [code for system, code in _codings(concept) if system in (DIAGNOSES, ICD10)]
            if codes:
                found.append(diagnosis_code(codes[0]))
            else:
                at.told("Encounter.reasonCode", _shown(concept), "This has no ICD-10-CM code, and is not brought in.")
        if encounter.get("diagnosis"):
            told = f"{NO_PLACE}: a diagnosis is read where Encounter.reasonCode has its code."
            at.told("Encounter.diagnosis", "", told)
        return list(dict.fromkeys(found))

    # One administration ---------------------------------------------------------------------------------------------

    def _administration(self, at: At, visit: _Visit, resource: Document) -> None:
        status, dosage = _text(resource, "status"), _item(resource, "dosage")
        if status in ("not-done", "entered-in-error"):
            at.told("status", status, "The drug was not given, so no administration is made of it.")
            return
        if status not in GIVEN:
            at.problem("status", status, "Only what is completed or stopped is brought in.")
            return
        period, on = _item(resource, "effectivePeriod"), resource.get("effectiveDateTime")
        start = self._moment(at, "effectiveDateTime" if on else "effectivePeriod.start", on or period.get("start"))
        dose = _item(dosage, "dose")
        for name in BEARING:
            if resource.get(name):
                at.told(name, _shown(_item(resource, name)), f"{NO_PLACE}, and is not brought in.")
        visit.administrations.append(
            {
                "id": f"a{len(visit.administrations) + 1}",
                "drug": self._drug(at, resource, start),
                "route": self._route(at, dosage),
                "start": start,
                "stop": self._moment(at, "effectivePeriod.end", period.get("end")),
                "administered": self._dose(at, dose),
            }
        )
        visit.orders.append(_text(_item(resource, "request"), "reference"))
        visit.arrived.rows.append(at.row)

    def _dose(self, at: At, dose: Document) -> str | None:
        if dose.get("value") is None:
            at.problem("dosage.dose", "", "The dose is missing, so nothing can be said of how much was given.")
            return None
        if dose.get("comparator"):
            at.problem(
                "dosage.dose", f"{dose['comparator']}{dose['value']}", "An amount is exact, and this one is not."
            )
            return None
        unit = _text(dose, "code") if dose.get("system") == UNITS_OF_MEASURE else _text(dose, "unit")
        return milligrams(at, "dosage.dose", str(dose["value"]), unit)

    def _drug(self, at: At, resource: Document, start: str | None) -> str:
        on = datetime.fromisoformat(start).date() if start else None
        medication = self._resolved(resource, _item(resource, "medicationReference"))
        concept = _item(resource, "medicationCodeableConcept") or _item(medication, "code")
        batch = _item(medication, "batch")
        if batch:
            told = f"{NO_PLACE}: a lot belongs to a vial, and the bundle says nothing of its size and count."
            at.told("Medication.batch", _text(batch, "lotNumber"), told)
        for system, code in _codings(concept):
            if system in HCPCS_TOO:
                return code.upper()
            if system == NDC and (found := drug_with_ndc(self.reference, code, on)):
                return found
        at.problem(
            "medication", _shown(concept), "No HCPCS code stands here, and no NDC that the tables know one drug for."
        )
        return ""

    def _route(self, at: At, dosage: Document) -> str:
        concept, method = _item(dosage, "route"), _item(dosage, "method")
        found = {ROUTES[each] for each in _codings(concept) if each in ROUTES}
        how = {METHODS[each] for each in _codings(method) if each in METHODS}
        if dosage.get("rateRatio") or dosage.get("rateQuantity"):
            how = how or {"iv_infusion"}
        if INTRAVENOUS in found:
            found = (found - {INTRAVENOUS}) | how
            if not found:
                told = "IV alone is an infusion or a push. Send its rate, or the method IVPB or IVP."
                at.problem("dosage.method", _shown(method), told)
                return ""
        if len(found) != 1:
            at.problem("dosage.route", _shown(concept), "No code of one route stands here that is known.")
            return ""
        return found.pop()

    def _moment(self, at: At, column: str, value: Any) -> str | None:
        if value is None:
            return None
        text = str(value)
        try:
            moment = datetime.fromisoformat(re.sub(r"\.[0-9]+", "", text)) if TIME.fullmatch(text) else None
        except ValueError:
            moment = None
        if moment is None:
            at.problem(column, text, "This is not a time with its minutes, such as 2026-03-10T09:00:00-04:00.")
            return None
        return kept_time(at, column, moment, text, self.zone)
