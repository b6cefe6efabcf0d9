"""Files of encounters, between what their readers find and the drafts that are saved of them. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.utils import timezone

from infusion.actions.encounters import Recorded
from infusion.exchange.coming_in import Arrived, FileRead, Problem
from infusion.exchange.encounter_csv import read_csv
from infusion.exchange.fhir_in import is_bundle, read_fhir
from infusion.exchange.hl7_in import is_messages, read_hl7
from infusion.exchange.incoming import Destination, Incoming, NotMapped, Unmapped, recorded_from
from infusion.models import Clinic, Import, Patient
from infusion.reference_now import current_reference
from infusion.services.clock import zone_named
from payers.models import Payer

Kind = Import.Kind
SAID_OF_A_PATIENT = {"name": "name", "birth_date": "birth date", "sex": "sex"}


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

    `otherwise` pays where the file names nobody.
    """

    clinic: Clinic
    otherwise: Payer | None = None
    payers: dict[str, Payer] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)
    destination: Destination = field(init=False)

    def __post_init__(self) -> None:
        for payer in Payer.objects.all():
            self.payers[payer.slug] = payer
            for name in filter(None, (payer.slug, payer.name, payer.electronic_id)):
                self.by_name.setdefault(name.casefold(), payer.slug)
        self.destination = Destination(
            time_zone=self.clinic.time_zone,
            today=timezone.now().astimezone(zone_named(self.clinic.time_zone)).date(),
            payers=self.payers.keys(),
            reference=current_reference(),
            hospital_department=self.clinic.hospital_department,
        )

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

    def known(self, documents: Iterable[Mapping[str, Any]]) -> dict[str, Patient]:
        """Those of the documents' patients who are on record, by their reference."""
        references = {each["patient"]["reference"] for each in documents}
        return {each.reference: each for each in Patient.objects.filter(clinic=self.clinic, reference__in=references)}

    def recorded(self, document: Mapping[str, Any], known: Mapping[str, Patient]) -> Recorded:
        """What a draft of a document holds. Raises NotMapped naming all that it cannot hold."""
        contract = {name: value for name, value in document.items() if name != "place_of_service"}
        incoming = recorded_from(contract, self.destination)
        self._refuse_another_person(incoming, known.get(incoming.patient_reference))
        return Recorded(
            patient_reference=incoming.patient_reference,
            patient_name=incoming.patient_name,
            birth_date=incoming.birth_date,
            sex=incoming.sex,
            payer=self.payers[incoming.payer],
            facts=incoming.facts,
            date_of_service=incoming.date_of_service,
            place_of_service=self._place_of_service(document["place_of_service"], incoming),
            late_reasons=incoming.late_reasons,
            bought_340b=incoming.bought_340b,
        )

    def _refuse_another_person(self, incoming: Incoming, known: Patient | None) -> None:
        said = {"name": incoming.patient_name, "birth_date": incoming.birth_date, "sex": incoming.sex}
        problems = [
            Unmapped(f"patient.{name}", str(value), f"Another {words} is on record for this number. Check both.")
            for name, words in SAID_OF_A_PATIENT.items()
            if (value := said[name])
            and (stored := getattr(known, name, None))
            and str(stored).casefold() != str(value).casefold()
        ]
        if problems:
            raise NotMapped(problems)

    def _place_of_service(self, said: str, incoming: Incoming) -> str:
        if said and said not in self.destination.reference.places:
            raise NotMapped([Unmapped("place_of_service", said, "This is not a place of service that is known here.")])
        return said or (self.clinic.place_of_service if self.clinic.setting == incoming.facts.setting else "")


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
