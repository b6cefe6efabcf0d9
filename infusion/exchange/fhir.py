"""Claims as a FHIR R4 bundle: a Claim each, a ChargeItem for each line, and those they speak of.

A void is a cancelled claim. A credit is the earlier line's own ChargeItem, marked as entered in error. Resources are
held together by names made from the claim's number, so the same batch is the same text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from fhir.resources.R4B.bundle import Bundle
from pydantic import ValidationError

from infusion.exchange import Unwritable
from infusion.exchange.checks import unsound_batch
from infusion.exchange.claim import Address, Claim, ClaimLine, Name, Ndc, Person, Sender
from infusion.services.words import plain

CPT, HCPCS = "http://www.ama-assn.org/go/cpt", "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
DIAGNOSES, NDC = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/ndc"
NPI, TAX = "http://hl7.org/fhir/sid/us-npi", "urn:oid:2.16.840.1.113883.4.4"
PLACES = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
OURS = "urn:infusion-units:"
GENDERS = {"F": "female", "M": "male"}
RELATIONSHIPS = {"18": "self", "01": "spouse", "19": "child"}
VOLUME = {"ML": ("mL", "mL"), "GR": ("g", "g"), "ME": ("mg", "mg")}

Document = dict[str, Any]


def write(claims: Sequence[Claim], sender: Sender, batch_number: int, written_at: datetime) -> bytes:
    """A Bundle of type collection as UTF-8 JSON with exact numbers. Raises Unwritable."""
    if problems := unsound_batch(claims):
        raise Unwritable(problems)
    batch = f"{claims[0].number.partition('-')[0]}-{batch_number}"  # each clinic counts its batches from one
    bundle = {
        "resourceType": "Bundle",
        "id": str(uuid5(NAMESPACE_URL, f"{OURS}batch:{sender.sender_id}:{batch}")),
        "identifier": {"system": f"{OURS}batch", "value": batch},
        "type": "collection",
        "timestamp": written_at.isoformat(),
        "entry": [entry for claim in claims for entry in _entries(claim, written_at)],
    }
    try:
        Bundle.model_validate(bundle)
    except ValidationError as problem:
        raise Unwritable([_sentence(bundle, each) for each in problem.errors()]) from None
    return _json(bundle).encode("utf-8")


def _sentence(bundle: Document, error: Any) -> str:
    path = [str(each) for each in error["loc"]]
    at = next((int(each) for each in path if each.isdigit()), None)
    owner = "" if at is None else f" ({bundle['entry'][at]['resource']['resourceType']})"
    return f"The validator refuses {'.'.join(path)}{owner}: {error['msg']}. Correct what it names."


def _json(value: Any) -> str:
    """JSON with decimals as they are: a library's own writer would put them through binary fractions."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_json(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    return plain(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _filled(document: Document) -> Document:
    """Without what is not known: FHIR has no empty values."""
    return {name: each for name, each in document.items() if each not in ("", None, [], {})}


def _entries(claim: Claim, written_at: datetime) -> Iterator[Document]:
    resources = {
        "claim": _claim(claim, written_at),
        "patient": _patient(claim),
        "coverage": _coverage(claim),
        "insurer": _organization(claim.insurer.name, f"{OURS}payer", claim.insurer.electronic_id),
        "provider": _provider(claim),
    }
    if claim.attending:
        resources["practitioner"] = _practitioner(claim.attending.name, claim.attending.npi)
    for line in claim.credits:
        resources[f"credit{line.position}"] = _charge_item(claim, line, claim.original_number, "entered-in-error")
    for line in claim.charges:
        resources[f"charge{line.position}"] = _charge_item(claim, line, claim.number, "billable")
    for name, resource in resources.items():
        yield {"fullUrl": _url(claim, name), "resource": resource}


def _url(claim: Claim, name: str) -> str:
    return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{OURS}{claim.number}:{name}')}"


def _reference(claim: Claim, name: str) -> Document:
    return {"reference": _url(claim, name)}


def _code(system: str, code: str, display: str = "") -> Document:
    return {"coding": [_filled({"system": system, "code": code, "display": display})]}


def _identified(system: str, value: str) -> list[Document]:
    return [{"system": system, "value": value}] if value else []


def _money(amount: Decimal | None) -> Document:
    return {} if amount is None else {"value": amount, "currency": "USD"}


# Those it speaks of -------------------------------------------------------------------------------------------------


def _patient(claim: Claim) -> Document:
    return _person(claim.patient) | {
        "resourceType": "Patient",
        "identifier": _identified(f"{OURS}patient", claim.patient_reference),
    }


def _person(person: Person) -> Document:
    return _filled(
        {
            "name": _name(person.name),
            "birthDate": person.birth_date.isoformat() if person.birth_date else "",
            "gender": GENDERS.get(person.sex, "unknown"),
            "address": _address(person.address),
        }
    )


def _name(name: Name) -> list[Document]:
    parts = _filled({"family": name.family, "given": [name.given] if name.given else []})
    return [parts] if parts else []


def _address(address: Address) -> list[Document]:
    parts = _filled(
        {
            "line": [address.address] if address.address else [],
            "city": address.city,
            "state": address.state_code,
            "postalCode": address.postal_code,
        }
    )
    return [parts] if parts else []


def _coverage(claim: Claim) -> Document:
    member = claim.membership
    group = [{"type": _code(f"{TERMINOLOGY}coverage-class", "group"), "value": member.group_number}]
    return _filled(
        {
            "resourceType": "Coverage",
            "status": "active",
            "subscriberId": member.member_id,
            "beneficiary": _reference(claim, "patient"),
            "relationship": _code(
                f"{TERMINOLOGY}subscriber-relationship", RELATIONSHIPS.get(member.relationship, "other")
            ),
            "payor": [_reference(claim, "insurer")],
            "class": group if member.group_number else [],
        }
    )


def _organization(name: str, system: str, number: str) -> Document:
    return _filled({"resourceType": "Organization", "identifier": _identified(system, number), "name": name})


def _provider(claim: Claim) -> Document:
    party = claim.provider
    numbers = [*_identified(NPI, party.npi), *_identified(TAX, party.tax_id)]
    return _filled(
        {
            "resourceType": "Organization",
            "identifier": numbers,
            "name": party.name,
            "address": _address(party.address),
        }
    )


def _practitioner(name: Name, npi: str) -> Document:
    return _filled({"resourceType": "Practitioner", "identifier": _identified(NPI, npi), "name": _name(name)})


# Claim and charge items ---------------------------------------------------------------------------------------------


def _claim(claim: Claim, written_at: datetime) -> Document:
    known = [line.charge for line in claim.lines if line.charge is not None]
    care_team = [{"sequence": 1, "provider": _reference(claim, "practitioner")}] if claim.attending else []
    return _filled(
        {
            "resourceType": "Claim",
            "identifier": _identified(f"{OURS}claim", claim.number),
            "status": "cancelled" if claim.frequency == "8" else "active",
            "type": _code(f"{TERMINOLOGY}claim-type", claim.form),
            "use": "claim",
            "patient": _reference(claim, "patient"),
            "billablePeriod": {"start": str(claim.date_of_service), "end": str(claim.date_of_service)},
            "created": written_at.isoformat(),
            "insurer": _reference(claim, "insurer"),
            "provider": _reference(claim, "provider"),
            "priority": _code(f"{TERMINOLOGY}processpriority", "normal"),
            "related": _related(claim),
            "careTeam": care_team,
            "diagnosis": [
                {"sequence": at, "diagnosisCodeableConcept": _code(DIAGNOSES, code)}
                for at, code in enumerate(claim.diagnoses, start=1)
            ],
            "insurance": [
                _filled(
                    {
                        "sequence": 1,
                        "focal": True,
                        "coverage": _reference(claim, "coverage"),
                        "preAuthRef": [claim.authorization_number] if claim.authorization_number else [],
                    }
                )
            ],
            "item": [_item(claim, at, line) for at, line in enumerate(claim.lines, start=1)],
            "total": _money(sum(known, Decimal(0)) if len(known) == len(claim.lines) else None),
        }
    )


def _related(claim: Claim) -> list[Document]:
    if claim.frequency == "1":
        return []
    payers = _identified(f"{OURS}payer-claim", claim.original_reference)
    return [
        _filled(
            {
                "claim": {"identifier": {"system": f"{OURS}claim", "value": claim.original_number}},
                "relationship": _code(f"{TERMINOLOGY}ex-relatedclaimrelationship", "prior"),
                "reference": payers[0] if payers else {},
            }
        )
    ]


def _service(line: ClaimLine) -> Document:
    return _code(CPT if line.code[:4].isdigit() else HCPCS, line.code, line.description)


def _item(claim: Claim, at: int, line: ClaimLine) -> Document:
    care_team = [1] if claim.attending else []
    return _filled(
        {
            "sequence": at,
            "careTeamSequence": care_team,
            "diagnosisSequence": list(line.diagnosis_pointers),
            "productOrService": _service(line),
            "modifier": [_code(HCPCS, modifier) for modifier in line.modifiers],
            "servicedDate": claim.date_of_service.isoformat(),
            "locationCodeableConcept": _code(PLACES, claim.place_of_service),
            "quantity": {"value": line.units},
            "net": _money(line.charge),
            "detail": [_drug(at, each) for at, each in enumerate(line.ndcs, start=1)],
        }
    )


def _drug(at: int, each: Ndc) -> Document:
    unit, code = VOLUME.get(each.unit, ("unit", "{unit}"))
    quantity = {"value": each.quantity, "unit": unit, "system": "http://unitsofmeasure.org", "code": code}
    return {"sequence": at, "productOrService": _code(NDC, each.ndc), "quantity": quantity}


def _charge_item(claim: Claim, line: ClaimLine, number: str, status: str) -> Document:
    only = line.ndcs[0].ndc if len(line.ndcs) == 1 else ""
    codes = _service(line)["coding"] + [_code(HCPCS, modifier)["coding"][0] for modifier in line.modifiers]
    return _filled(
        {
            "resourceType": "ChargeItem",
            "identifier": _identified(f"{OURS}line", f"{number}L{line.position}"),
            "status": status,
            "code": {"coding": codes},
            "subject": _reference(claim, "patient"),
            "context": {"identifier": {"system": f"{OURS}encounter", "value": claim.encounter_id}},
            "occurrenceDateTime": claim.date_of_service.isoformat(),
            "quantity": {"value": line.units},
            "priceOverride": _money(line.charge),
            "productCodeableConcept": _code(NDC, only) if only else {},
        }
    )
