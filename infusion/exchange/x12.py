"""Claims as X12 837: professional by 005010X222A1, institutional by 005010X223A2. One file, one interchange.

What the guides ask and validators do not see is in `checks`; it is asked of every claim before a segment is written.
Then the text is read back against the claims, and at last by a validator that knows the guides' tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby

from infusion.exchange import Unwritable
from infusion.exchange.checks import unsound_batch
from infusion.exchange.claim import Address, Claim, ClaimLine, Person, Sender, missing
from infusion.exchange.split import service_lines
from infusion.exchange.text import upper_letters
from infusion.exchange.x12_reading import misread, refused
from infusion.services.words import plain

VERSIONS = {"professional": "005010X222A1", "institutional": "005010X223A2"}
# One sender's interchanges are told apart by number alone, so a batch's two forms get two.
CONTROL_DIGITS = {"professional": 1, "institutional": 2}
MOST_CLAIMS = 5000  # of one transaction, as both guides advise
DRUG_REVENUE, INFUSION_REVENUE, COMPLEX_REVENUE, COMPLEX_INJECTION_REVENUE = "0636", "0260", "0335", "0331"

Segment = tuple[str, ...]


def write_professional(claims: Sequence[Claim], sender: Sender, batch_number: int, written_at: datetime) -> bytes:
    """The professional claims of a batch. Raises Unwritable."""
    return _write("professional", claims, sender, batch_number, written_at)


def write_institutional(claims: Sequence[Claim], sender: Sender, batch_number: int, written_at: datetime) -> bytes:
    """The institutional claims of a batch. Raises Unwritable."""
    return _write("institutional", claims, sender, batch_number, written_at)


def _write(form: str, every: Sequence[Claim], sender: Sender, batch_number: int, written_at: datetime) -> bytes:
    claims = [claim for claim in every if claim.form == form]
    if not claims:
        raise Unwritable([f"Batch {batch_number} holds no {form} claim. Choose another format."])
    if problems := unsound_batch(claims):
        raise Unwritable(problems)
    if problems := [f"Claim {each.number}: {need.item}" for each in claims for need in missing(each, sender)]:
        raise Unwritable(problems)
    control = f"{batch_number}{CONTROL_DIGITS[form]}"
    if len(control) > 9:
        raise Unwritable([f"Batch number {batch_number} is longer than an interchange's number can be."])
    text = "".join(
        "*".join(_without_empty_end(segment)) + "~\n"
        for segment in _interchange(form, claims, sender, control, written_at)
    )
    if problems := [*misread(text, claims), *refused(text)]:
        raise Unwritable(problems)
    return text.encode("ascii")


def _without_empty_end(segment: Segment) -> Segment:
    end = len(segment)
    while end and not segment[end - 1]:
        end -= 1
    return segment[:end]


def _composite(*parts: str) -> str:
    return ":".join(_without_empty_end(parts))


# Envelope -----------------------------------------------------------------------------------------------------------


def _interchange(
    form: str, claims: Sequence[Claim], sender: Sender, control: str, written_at: datetime
) -> Iterator[Segment]:
    day, hour, version = written_at.strftime("%Y%m%d"), written_at.strftime("%H%M"), VERSIONS[form]
    ours, theirs = upper_letters(sender.sender_id), upper_letters(sender.receiver_id)
    isa = ("ISA", "00", " " * 10, "00", " " * 10, "ZZ", f"{ours:15}", "ZZ", f"{theirs:15}", day[2:], hour, "^", "00501")
    yield (*isa, control.zfill(9), "0", "T" if sender.test else "P", ":")
    yield ("GS", "HC", ours, theirs, day, hour, control, "X", version)
    parts = [claims[at : at + MOST_CLAIMS] for at in range(0, len(claims), MOST_CLAIMS)]
    for number, part in enumerate(parts, start=1):
        set_control = f"{number:04}"
        segments = [
            ("ST", "837", set_control, version),
            ("BHT", "0019", "00", f"{control}-{set_control}", day, hour, "CH"),
            *_names(sender, ours, theirs),
            *_hierarchy(part),
        ]
        yield from segments
        yield ("SE", str(len(segments) + 1), set_control)
    yield ("GE", str(len(parts)), control)
    yield ("IEA", "1", control.zfill(9))


def _names(sender: Sender, ours: str, theirs: str) -> Iterator[Segment]:
    yield ("NM1", "41", "2", _organization(sender.name), "", "", "", "", "46", ours)
    yield ("PER", "IC", upper_letters(sender.contact_name), "TE", _digits(sender.contact_phone))
    yield ("NM1", "40", "2", _organization(sender.receiver_name), "", "", "", "", "46", theirs)


def _organization(name: str) -> str:
    return upper_letters(name)[:60].rstrip()


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _address(address: Address) -> Iterator[Segment]:
    yield ("N3", upper_letters(address.address))
    yield ("N4", upper_letters(address.city), address.state_code, _digits(address.postal_code))


def _day(day: date | None) -> str:
    return f"{day:%Y%m%d}" if day else ""


def _hierarchy(claims: Sequence[Claim]) -> Iterator[Segment]:
    """Who bills, whose membership, and who was treated, each level numbered and pointing at the one above."""
    level = 0
    for provider, theirs in groupby(claims, key=lambda claim: claim.provider):
        level += 1
        top = str(level)
        yield ("HL", top, "", "20", "1")
        yield ("PRV", "BI", "PXC", provider.taxonomy)
        yield ("NM1", "85", "2", _organization(provider.name), "", "", "", "", "XX", provider.npi)
        yield from _address(provider.address)
        yield ("REF", "EI", _digits(provider.tax_id))
        for claim in theirs:
            level += 1
            own = claim.subscriber is claim.patient
            yield ("HL", str(level), top, "22", "0" if own else "1")
            yield from _membership(claim, own)
            if not own:
                level += 1
                yield ("HL", str(level), str(level - 1), "23", "0")
                yield ("PAT", claim.membership.relationship)
                yield from _person("QC", claim.patient)
            yield from _claim(claim)


def _membership(claim: Claim, own: bool) -> Iterator[Segment]:
    member, insurer = claim.membership, claim.insurer
    group = upper_letters(member.group_number)
    yield ("SBR", "P", "18" if own else "", group, "", "", "", "", "", insurer.filing_code)
    name = claim.subscriber.name
    if own:
        yield from _person("IL", claim.patient, "MI", upper_letters(member.member_id))
    else:
        named = ("NM1", "IL", "1", upper_letters(name.family), upper_letters(name.given), "", "", "")
        yield (*named, "MI", upper_letters(member.member_id))
    payer = upper_letters(insurer.electronic_id)
    yield ("NM1", "PR", "2", _organization(insurer.name), "", "", "", "", "PI", payer)


def _person(role: str, person: Person, *identifier: str) -> Iterator[Segment]:
    yield (
        "NM1",
        role,
        "1",
        upper_letters(person.name.family),
        upper_letters(person.name.given),
        "",
        "",
        "",
        *identifier,
    )
    yield from _address(person.address)
    yield ("DMG", "D8", _day(person.birth_date), person.sex)


# Claim --------------------------------------------------------------------------------------------------------------


def _claim(claim: Claim) -> Iterator[Segment]:
    total = plain(sum((line.charge or Decimal(0) for line in claim.lines), Decimal(0)))
    # Signature on file, assignment accepted, benefits assigned, release signed: what a clinic that sends claims keeps.
    if claim.form == "professional":
        place = _composite(claim.place_of_service, "B", claim.frequency)
        yield ("CLM", claim.number, total, "", "", place, "Y", "A", "Y", "Y")
    else:
        # 13 is a hospital's outpatient bill. Planned, from home and back home: an infusion visit admits nobody.
        yield ("CLM", claim.number, total, "", "", _composite("13", "A", claim.frequency), "", "A", "Y", "Y")
        yield ("DTP", "434", "RD8", f"{_day(claim.date_of_service)}-{_day(claim.date_of_service)}")
        yield ("CL1", "3", "1", "01")
    yield from _references(claim)
    yield from _diagnoses(claim)
    yield from _practitioner(claim)
    for number, (control, line) in enumerate(service_lines(claim), start=1):
        yield ("LX", str(number))
        yield _service(claim, line)
        yield ("DTP", "472", "D8", _day(claim.date_of_service))
        yield ("REF", "6R", control)
        for ndc in line.ndcs:
            yield ("LIN", "", "N4", ndc.ndc)
            yield ("CTP", "", "", "", plain(ndc.quantity), ndc.unit)


def _references(claim: Claim) -> Iterator[Segment]:
    if claim.authorization_number:
        yield ("REF", "G1", upper_letters(claim.authorization_number))
    if claim.frequency != "1":
        yield ("REF", "F8", upper_letters(claim.original_reference))
    if claim.trial_number:
        # The eight digits of the registry's number stand alone here, without its letters.
        yield ("REF", "P4", upper_letters(claim.trial_number).removeprefix("NCT"))


def _diagnoses(claim: Claim) -> Iterator[Segment]:
    first, *others = (code.replace(".", "") for code in claim.diagnoses)
    rest = [_composite("ABF", code) for code in others]
    if claim.form == "professional":
        yield ("HI", _composite("ABK", first), *rest)
        return
    yield ("HI", _composite("ABK", first))
    for at in range(0, len(rest), 12):
        yield ("HI", *rest[at : at + 12])


def _practitioner(claim: Claim) -> Iterator[Segment]:
    person = claim.attending
    if person is None:
        return
    role, specialty = ("82", "PE") if claim.form == "professional" else ("71", "AT")
    name = person.name
    yield ("NM1", role, "1", upper_letters(name.family), upper_letters(name.given), "", "", "", "XX", person.npi)
    if person.taxonomy:
        yield ("PRV", specialty, "PXC", person.taxonomy)


def _service(claim: Claim, line: ClaimLine) -> Segment:
    code = _composite("HC", line.code, *line.modifiers)
    charge, units = plain(line.charge or Decimal(0)), str(line.units)
    if claim.form == "institutional":
        return ("SV2", revenue_code(line), code, charge, "UN", units)
    return ("SV1", code, charge, "UN", units, "", "", _composite(*map(str, line.diagnosis_pointers)))


def revenue_code(line: ClaimLine) -> str:
    """The revenue code of an institutional line: what kind of department earned it (docs/exports.md)."""
    if line.kind == "drug":
        return DRUG_REVENUE
    if not "96401" <= line.code <= "96549":
        return INFUSION_REVENUE
    return COMPLEX_INJECTION_REVENUE if line.code in ("96401", "96402") else COMPLEX_REVENUE
