"""A claim as frozen values, its canonical document, and what it still needs before a payer would take it.

Every format is a pure function of these values. Money is dollars, exact; a date is a day of the clinic's calendar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from infusion.exchange.checks import illegible, unsendable, unsound
from infusion.services.words import plain

Where = Literal["patient", "coverage", "clinic", "provider", "payer", "charges", "authorization", "batch", "encounter"]
SELF = "18"


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    family: str
    given: str = ""

    def __str__(self) -> str:
        return f"{self.given} {self.family}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    address: str = ""
    city: str = ""
    state_code: str = ""
    postal_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A patient or a subscriber. `sex` is F, M or U."""

    name: Name
    birth_date: date | None = None
    sex: str = ""
    address: Address = Address()


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who bills: an organization."""

    name: str
    npi: str = ""
    tax_id: str = ""
    taxonomy: str = ""
    address: Address = Address()
    contact_name: str = ""
    contact_phone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Practitioner:
    """Who answers for the treatment: the attending on an institutional claim, the rendering on a professional one."""

    name: Name
    npi: str = ""
    taxonomy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Insurer:
    name: str
    electronic_id: str = ""
    filing_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The patient's membership. With relationship 18 the subscriber is the patient, and only the patient is read."""

    member_id: str
    group_number: str = ""
    relationship: str = SELF
    subscriber: Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Ndc:
    """An 11-digit NDC and how much of it: mL (`ML`) or vials (`UN`). `strength` is the mg in one of these, if known."""

    ndc: str
    quantity: Decimal
    unit: str
    strength: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLine:
    """One approved line. `charge` is for all its units, in dollars; `diagnosis_pointers` count from 1.

    `ndc_required` is the payer's rule for a drug: without it, a drug that has no NDC may stand on a claim.
    """

    position: int
    code: str
    units: int
    kind: Literal["administration", "drug", "visit"]
    modifiers: tuple[str, ...] = ()
    charge: Decimal | None = None
    minutes: int | None = None
    ndcs: tuple[Ndc, ...] = ()
    ndc_required: bool = True
    diagnosis_pointers: tuple[int, ...] = ()
    description: str = ""

    def __str__(self) -> str:
        return "-".join((self.code, *self.modifiers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim of a batch. Frequency 1 is an original, 7 replaces and 8 voids the claim `original_number`.

    `charges` are what is asked for now; `credits` are the lines of the earlier claim that these take the place of.
    """

    number: str
    frequency: Literal["1", "7", "8"]
    form: Literal["professional", "institutional"]
    encounter_id: str
    patient_reference: str
    patient: Person
    membership: Membership
    insurer: Insurer
    provider: Party
    attending: Practitioner | None = None
    date_of_service: date
    place_of_service: str
    diagnoses: tuple[str, ...] = ()
    authorization_number: str = ""
    original_number: str = ""
    original_reference: str = ""
    trial_number: str = ""
    charges: tuple[ClaimLine, ...] = ()
    credits: tuple[ClaimLine, ...] = ()

    @property
    def subscriber(self) -> Person:
        return self.patient if self.membership.relationship == SELF else self.membership.subscriber

    @property
    def lines(self) -> tuple[ClaimLine, ...]:
        """The lines that an electronic claim lists: a void repeats what it takes back."""
        return self.credits if self.frequency == "8" else self.charges


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends the file and to whom: the identifiers agreed with the clearinghouse or the payer.

    `test` marks a file that nobody may pay.
    """

    sender_id: str = ""
    receiver_name: str = ""
    receiver_id: str = ""
    name: str = ""
    contact_name: str = ""
    contact_phone: str = ""
    test: bool = False


# As a document ------------------------------------------------------------------------------------------------------


def claim_document(claim: Claim) -> dict[str, Any]:
    """Every field in its place, decimals and dates as texts: the same claim, the same document."""
    document: dict[str, Any] = _out(claim)
    return document


def _out(value: Any) -> Any:
    if is_dataclass(value):
        return {each.name: _out(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [_out(each) for each in value]
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date) else value


def parse_claim(document: Mapping[str, Any]) -> Claim:
    """The claim of a document. Raises ValueError with the path of a field that is unknown, absent or misshapen."""
    claim: Claim = _in(Claim, document, "claim")
    return claim


@cache
def _kinds(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _in(kind: Any, value: Any, path: str) -> Any:
    origin = get_origin(kind)
    if origin in (UnionType, Union):
        return None if value is None else _in(get_args(kind)[0], value, path)
    if origin is Literal and value in get_args(kind):
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_in(get_args(kind)[0], each, f"{path}.{at}") for at, each in enumerate(value))
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, Mapping):
        kinds = _kinds(kind)
        if odd := sorted(kinds.keys() ^ value.keys()):
            raise ValueError(f"{path}: {', '.join(odd)} stands on one side only.")
        return kind(**{name: _in(each, value[name], f"{path}.{name}") for name, each in kinds.items()})
    if kind in (Decimal, date) and isinstance(value, str):
        try:
            known = date.fromisoformat(value) if kind is date else Decimal(value)
        except (ArithmeticError, ValueError):
            known = Decimal("NaN")
        if isinstance(known, date) or known.is_finite():
            return known
    elif kind in (str, int, bool) and type(value) is kind:
        return value
    raise ValueError(f"{path}: {value!r} is not what is kept there.")


# What it still needs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A sentence that names what is missing and what to do, and where it is entered."""

    item: str
    where: Where


def npi_holds(npi: str) -> bool:
    """Whether ten digits pass the check digit of a National Provider Identifier: Luhn, after the prefix 80840.

    >>> npi_holds("1234567893"), npi_holds("1234567890")
    (True, False)
    """
    if not re.fullmatch(r"[12][0-9]{9}", npi):
        return False
    doubled = "0123456789", "0246813579"
    return sum(int(doubled[at % 2][int(digit)]) for at, digit in enumerate(reversed("80840" + npi))) % 10 == 0


def missing(claim: Claim, sender: Sender) -> tuple[Missing, ...]:
    """What keeps an electronic claim from leaving, all of it at once. Empty when nothing does."""
    return tuple(
        Missing(item=item, where=where)
        for part in (
            _of_people(claim),
            _of_the_payer(claim),
            _of_the_clinic(claim.provider),
            _of_the_practitioner(claim),
            _of_the_sender(sender),
            _of_the_lines(claim),
            _of_the_letters(claim, sender),
            ((item, "encounter") for item in (*unsound(claim), *unsendable(claim))),
        )
        for item, where in part
    )


Needs = Iterator[tuple[str, Where]]


def _of_people(claim: Claim) -> Needs:
    yield from ((f"The patient has no {what}. Enter it on the patient.", "patient") for what in _unnamed(claim.patient))
    if claim.membership.relationship != SELF:
        # Of a subscriber who is not the patient only the name is sent (005010X222A1 and X223A2, 2010BA).
        for what, value in (("family name", claim.subscriber.name.family), ("given name", claim.subscriber.name.given)):
            if not value:
                yield f"The subscriber has no {what}. Enter it on the patient's coverage.", "coverage"
    if len(claim.membership.member_id) < 2:
        yield "The coverage has no member number. Enter it as it stands on the card.", "coverage"


def _unnamed(person: Person) -> Iterator[str]:
    parts = {
        "family name": person.name.family,
        "given name": person.name.given,
        "birth date": person.birth_date,
        "sex": person.sex,
    }
    yield from (what for what, value in parts.items() if not value)
    yield from _unaddressed(person.address, r"[0-9]{5}(-?[0-9]{4})?", "ZIP code of 5 or 9 digits")


def _unaddressed(address: Address, zip_code: str, zip_words: str) -> Iterator[str]:
    if not address.address:
        yield "street address"
    if len(address.city) < 2:
        yield "city of two letters or more"
    if not re.fullmatch("[A-Z]{2}", address.state_code):
        yield "state of two letters"
    if not re.fullmatch(zip_code, address.postal_code):
        yield zip_words


def _of_the_payer(claim: Claim) -> Needs:
    insurer = claim.insurer
    if len(insurer.electronic_id) < 2:
        yield f"{insurer.name} has no electronic payer number. Enter it on the payer.", "payer"
    if not insurer.filing_code:
        yield f"{insurer.name} has no kind of plan. Choose it on the payer.", "payer"


def _of_the_clinic(party: Party) -> Needs:
    what = [] if party.name else ["legal name"]
    if not re.fullmatch(r"[0-9]{2}-?[0-9]{7}", party.tax_id):
        what.append("tax number of 9 digits")
    if not re.fullmatch(r"[0-9A-Z]{10}", party.taxonomy):
        what.append("taxonomy code of 10 characters")
    # A billing provider's ZIP code has all nine digits; a patient's may have five (005010X222A1, 2010AA N403).
    what += _unaddressed(party.address, r"[0-9]{5}-?[0-9]{4}", "ZIP code of 9 digits")
    yield from ((f"The clinic has no {each}. Enter it on the clinic.", "clinic") for each in what)
    if not party.npi:
        yield "The clinic has no NPI. Enter it on the clinic.", "clinic"
    elif not npi_holds(party.npi):
        yield f"The clinic's NPI {party.npi} fails its check digit. Compare it with the registry's letter.", "clinic"


def _of_the_practitioner(claim: Claim) -> Needs:
    who, person = "attending" if claim.form == "institutional" else "rendering", claim.attending
    if person is None:
        yield f"The claim names no {who} practitioner. Choose one on the encounter.", "provider"
        return
    if not person.name.family:
        yield f"The {who} practitioner has no family name. Enter it on the provider.", "provider"
    if not person.npi:
        yield f"{person.name} has no NPI. Enter it on the provider.", "provider"
    elif not npi_holds(person.npi):
        yield f"The NPI {person.npi} of {person.name} fails its check digit. Correct it on the provider.", "provider"
    if person.taxonomy and not re.fullmatch(r"[0-9A-Z]{10}", person.taxonomy):
        yield f"The taxonomy {person.taxonomy} of {person.name} has not 10 characters. Correct it.", "provider"


def _of_the_sender(sender: Sender) -> Needs:
    parts = {
        "sender number": sender.sender_id,
        "sender name": sender.name,
        "receiver number": sender.receiver_id,
        "receiver name": sender.receiver_name,
        "contact name": sender.contact_name,
        "contact telephone": sender.contact_phone,
    }
    for what, value in parts.items():
        if not value:
            yield f"The clinic has no {what} for electronic claims. Enter it on the clinic.", "clinic"
    for what, value in (("sender", sender.sender_id), ("receiver", sender.receiver_id)):
        if value and not 2 <= len(value) <= 15:
            yield f"The {what} number {value} has not 2 to 15 characters. Correct it on the clinic.", "clinic"
    if sender.contact_phone and len(re.sub(r"\D", "", sender.contact_phone)) != 10:
        yield f"The contact telephone {sender.contact_phone} has not 10 digits. Correct it on the clinic.", "clinic"


def _of_the_letters(claim: Claim, sender: Sender) -> Needs:
    texts: dict[Where, dict[str, str]] = {
        "patient": _written_of(claim.patient),
        "coverage": {
            "member number": claim.membership.member_id,
            "group number": claim.membership.group_number,
            "subscriber's name": str(claim.subscriber.name),
        },
        "payer": {"payer's name": claim.insurer.name, "payer's electronic number": claim.insurer.electronic_id},
        "clinic": {
            "clinic's name": claim.provider.name,
            "clinic's address": f"{claim.provider.address.address} {claim.provider.address.city}",
            "sender's name": sender.name,
            "sender number": sender.sender_id,
            "receiver's name": sender.receiver_name,
            "receiver number": sender.receiver_id,
            "contact name": sender.contact_name,
        },
        "provider": {"practitioner's name": str(claim.attending.name) if claim.attending else ""},
        "authorization": {"authorization number": claim.authorization_number},
        "batch": {"payer's number of the earlier claim": claim.original_reference, "claim number": claim.number},
    }
    for where, each in texts.items():
        yield from ((item, where) for item in illegible(each))


def _written_of(person: Person) -> dict[str, str]:
    return {
        "patient's name": str(person.name),
        "patient's address": f"{person.address.address} {person.address.city}",
    }


def _of_the_lines(claim: Claim) -> Needs:
    if not claim.diagnoses:
        yield "The claim has no diagnosis. Correct the encounter and enter one.", "encounter"
    for code in sorted({line.code for line in claim.lines if line.charge is None}):
        yield f"{code} has no charge on {claim.date_of_service}. Enter it in the fee schedule.", "charges"
    if claim.frequency != "1" and not claim.original_reference:
        yield (
            f"Claim {claim.number} takes the place of {claim.original_number or 'an earlier claim'}, whose number at "
            f"{claim.insurer.name} is not recorded. Enter the number from the payer's answer on the batch.",
            "batch",
        )
