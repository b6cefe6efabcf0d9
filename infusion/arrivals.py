"""Files of encounters, between what their readers find and the drafts that are saved of them. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from infusion.actions.encounters import Recorded
from infusion.exchange.coming_in import Arrived, FileRead, Problem
from infusion.exchange.encounter_csv import read_csv
from infusion.exchange.fhir_in import is_bundle, read_fhir
from infusion.exchange.hl7_in import is_messages, read_hl7
from infusion.exchange.incoming import Destination, NotMapped, Unmapped, recorded_from
from infusion.incoming import destination, recorded_of
from infusion.models import Clinic, Import, Patient
from infusion.reference_now import current_reference
from payers.models import Payer

Kind = Import.Kind


def read_file(file: IO[bytes], clinic: Clinic) -> tuple[str, FileRead]:
    """What kind of file it is, by how it begins, and what is in it. Raises UnreadableFile."""
    beginning = file.read(512)
    file.seek(0)
    if is_bundle(beginning):
        return Kind.FHIR, read_fhir(file, clinic.time_zone, current_reference())
    if is_messages(beginning):
        return Kind.HL7, read_hl7(file, clinic.time_zone, current_reference())
    return Kind.CSV, read_csv(file, clinic.time_zone)


def client_id_of(clinic: Clinic, arrived: Arrived) -> UUID:
    """The same for the same encounter of the same source, whenever it comes again."""
    return uuid5(NAMESPACE_URL, f"urn:infusion-units:arrival:{clinic.pk}:{arrived.identity}")


@dataclass(slots=True)
class Desk:
    """The clinic as a file meets it: its payers by every name, its clock and tables, and who is on record.

    `otherwise` pays where the file names nobody. A name that two payers have is nobody's. `people` are those of the
    file so far, by their reference.
    """

    clinic: Clinic
    otherwise: Payer | None = None
    payers: dict[str, Payer] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)
    people: dict[str, dict[str, str]] = field(default_factory=dict)
    destination: Destination = field(init=False)

    def __post_init__(self) -> None:
        called: dict[str, set[str]] = {}
        for payer in Payer.objects.all():
            self.payers[payer.slug] = payer
            for name in filter(None, (payer.name, payer.electronic_id)):
                called.setdefault(name.casefold(), set()).add(payer.slug)
        self.by_name = {name: slug for name, (slug, *others) in called.items() if not others}
        self.by_name |= {slug: slug for slug in self.payers}
        self.destination = destination(self.clinic, self.payers)

    def document_of(self, arrived: Arrived) -> dict[str, Any]:
        """What is kept of an encounter: the contract's document, with what the file leaves to the clinic."""
        said = arrived.payer
        payer = self.by_name.get(said.casefold(), said) if said else (self.otherwise.slug if self.otherwise else "")
        return {
            **arrived.document,
            "setting": arrived.document.get("setting") or self.clinic.setting,
            "patient": arrived.patient,
            "payer": payer,
            "place_of_service": arrived.place_of_service,
        }

    def contradicted(self, arrived: Arrived) -> list[Unmapped]:
        """What another encounter of the file says otherwise of the same patient."""
        said = self.people.setdefault(arrived.patient["reference"], dict(arrived.patient))
        problems = []
        for name, value in arrived.patient.items():
            said[name] = said[name] or value
            if value and said[name].casefold() != value.casefold():
                told = f"Another encounter of this file says {said[name]} of the same patient. Check both."
                problems.append(Unmapped(f"patient.{name}", value, told))
        return problems

    def known(self, documents: Iterable[Mapping[str, Any]]) -> dict[str, Patient]:
        """Those of the documents' patients who are on record, by their reference."""
        references = {each["patient"]["reference"] for each in documents}
        return {each.reference: each for each in Patient.objects.filter(clinic=self.clinic, reference__in=references)}

    def recorded(self, document: Mapping[str, Any], known: Mapping[str, Patient]) -> Recorded:
        """What a draft of a document holds. Raises NotMapped naming all that it cannot hold."""
        contract = {name: value for name, value in document.items() if name != "place_of_service"}
        incoming = recorded_from(contract, self.destination)
        found = recorded_of(known.get(incoming.patient_reference), incoming, self.clinic, self.payers)
        place = document["place_of_service"]
        if place and place not in self.destination.reference.places:
            raise NotMapped([Unmapped("place_of_service", place, "This is not a place of service that is known here.")])
        return replace(found, place_of_service=place) if place else found


def problems_of(file: FileRead, arrived: Arrived, unmapped: NotMapped) -> list[Problem]:
    """What a draft cannot hold, at the places of the file."""
    return [Problem(*file.place(arrived, each.path), each.value, each.reason) for each in unmapped.problems]


def kept_document(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def portions(file: FileRead, size: int) -> Iterator[Sequence[Arrived]]:
    """The encounters of a file, some at a time."""
    portion: list[Arrived] = []
    for arrived in file.encounters:
        portion.append(arrived)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion
