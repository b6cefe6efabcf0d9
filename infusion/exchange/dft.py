"""Claims as HL7 v2.5.1 DFT^P03, one message a claim: credits of the earlier lines first, then the charges.

A credit is transaction type CR with the units and the amount that were charged, a charge is CG. The transaction's
number is the line's, so that a credit names what it takes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from infusion.exchange import Unwritable
from infusion.exchange.checks import unsound_batch
from infusion.exchange.claim import Claim, ClaimLine, Name, Person, Sender
from infusion.services.words import plain

VERSION = "2.5.1"
ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "~": "\\R\\", "&": "\\T\\", "\r": " ", "\n": " "}
RELATIONSHIPS = {"18": "SEL", "01": "SPO", "19": "CHD"}


def write(claims: Sequence[Claim], sender: Sender, batch_number: int, written_at: datetime) -> bytes:
    """The messages one after the other, in UTF-8, segments ended by a carriage return. Raises Unwritable."""
    if problems := unsound_batch(claims):
        raise Unwritable(problems)
    segments = [segment for claim in claims for segment in _segments(claim, sender, batch_number, written_at)]
    return "".join(f"{segment}\r" for segment in segments).encode("utf-8")


# Building blocks ----------------------------------------------------------------------------------------------------


def _escaped(text: str) -> str:
    return "".join(ESCAPES.get(each, each) for each in text)


def _parts(*texts: str) -> str:
    """Components, each escaped, without empty ones at the end."""
    return "^".join(map(_escaped, texts)).rstrip("^")


def _segment(name: str, **fields: str) -> str:
    """A segment of numbered fields: f3="…" is its third."""
    numbered = {int(key[1:]): value for key, value in fields.items()}
    return "|".join([name, *(numbered.get(at, "") for at in range(1, max(numbered) + 1))]).rstrip("|")


def _day(day: date | None) -> str:
    return f"{day:%Y%m%d}" if day else ""


def _name(name: Name) -> str:
    return _parts(name.family, name.given)


def _address(person: Person) -> str:
    where = person.address
    return _parts(where.address, "", where.city, where.state_code, where.postal_code)


def _practitioner(claim: Claim) -> str:
    person = claim.attending
    return _parts(person.npi, person.name.family, person.name.given) if person else ""


# Segments -----------------------------------------------------------------------------------------------------------


def _segments(claim: Claim, sender: Sender, batch_number: int, written_at: datetime) -> Iterator[str]:
    at = f"{written_at:%Y%m%d%H%M%S%z}"
    header = ("MSH", "^~\\&", "INFUSION UNITS", _parts(sender.sender_id or sender.name), "", _parts(sender.receiver_id))
    processing = "T" if sender.test else "P"
    control = _escaped(f"{batch_number}-{claim.number}")
    yield "|".join(
        (*header, at, "", "DFT^P03^DFT_P03", control, processing, VERSION, "", "", "", "", "", "UNICODE UTF-8")
    )
    yield _segment("EVN", f1="P03", f2=at)
    patient = claim.patient
    yield _segment(
        "PID",
        f1="1",
        f3=_parts(claim.patient_reference),
        f5=_name(patient.name),
        f7=_day(patient.birth_date),
        f8=patient.sex,
        f11=_address(patient),
        f18=_parts(claim.encounter_id),
    )
    yield _segment("PV1", f1="1", f2="O", f7=_practitioner(claim), f19=_parts(claim.encounter_id))
    transactions = [("CR", claim.original_number, line) for line in claim.credits]
    transactions += [("CG", claim.number, line) for line in claim.charges]
    for number, (kind, owner, line) in enumerate(transactions, start=1):
        yield from _transaction(claim, number, kind, f"{owner}L{line.position}", line, batch_number)
    for number, code in enumerate(claim.diagnoses, start=1):
        yield _segment("DG1", f1=str(number), f3=_parts(code, "", "I10"), f6="F")
    yield _insurance(claim)


def _transaction(
    claim: Claim, number: int, kind: str, identity: str, line: ClaimLine, batch_number: int
) -> Iterator[str]:
    """One line. FT1 has room for one NDC and none for its quantity, so a note holds them all."""
    code = _parts(line.code, line.description, "C4" if line.code[:4].isdigit() else "HCPCS")
    listed = [claim.diagnoses[at - 1] for at in line.diagnosis_pointers if 0 < at <= len(claim.diagnoses)]
    yield _segment(
        "FT1",
        f1=str(number),
        f2=_parts(identity),
        f3=str(batch_number),
        f4=_day(claim.date_of_service),
        f6=kind,
        f7=code,
        f10=str(line.units),
        f11="" if line.charge is None else f"{line.charge:.2f}&USD",
        f14=_parts(claim.insurer.electronic_id, claim.insurer.name),
        f19="~".join(_parts(each, "", "I10") for each in listed),
        f20=_practitioner(claim),
        f25=code,
        f26="~".join(_parts(each) for each in line.modifiers),
        f29=_parts(line.ndcs[0].ndc, "", "NDC") if len(line.ndcs) == 1 else "",
    )
    if line.ndcs:
        quantities = "; ".join(f"NDC {each.ndc} {each.unit} {plain(each.quantity)}" for each in line.ndcs)
        yield _segment("NTE", f1="1", f3=_escaped(quantities))


def _insurance(claim: Claim) -> str:
    member, subscriber, insurer = claim.membership, claim.subscriber, claim.insurer
    return _segment(
        "IN1",
        f1="1",
        f2=_parts(insurer.filing_code or "ZZ"),
        f3=_parts(insurer.electronic_id or insurer.name),
        f4=_parts(insurer.name),
        f8=_parts(member.group_number),
        f14=_parts(claim.authorization_number),
        f16=_name(subscriber.name),
        f17=RELATIONSHIPS.get(member.relationship, "OTH"),
        f18=_day(subscriber.birth_date),
        f19=_address(subscriber),
        f36=_parts(member.member_id),
    )
