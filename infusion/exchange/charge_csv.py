"""Charges and credits as rows: one for a billing system to read, and one that a spreadsheet may open.

A row is an approved line. A credit takes back a line of an earlier batch: its units and its charge are negative, so
that a column adds up to what is left.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime

from infusion.exchange import Unwritable
from infusion.exchange.checks import unsound_batch
from infusion.exchange.claim import Claim, ClaimLine, Sender
from infusion.services.words import plain

COLUMNS = (
    "batch", "claim", "replaces", "kind", "encounter", "patient", "family_name", "given_name", "birth_date", "payer",
    "payer_number", "member", "date_of_service", "place_of_service", "position", "code", "modifiers", "units", "charge",
    "ndcs", "diagnoses", "authorization", "trial", "practitioner_npi", "clinic_npi", "description",
)  # fmt: skip
Row = tuple[str, ...]


def write(claims: Sequence[Claim], sender: Sender, batch_number: int, written_at: datetime) -> bytes:
    """For a machine: UTF-8, commas, every value as it is. Raises Unwritable."""
    return _write(_rows(claims, batch_number)).encode("utf-8")


def write_for_spreadsheet(claims: Sequence[Claim], sender: Sender, batch_number: int, written_at: datetime) -> bytes:
    """For a spreadsheet: no cell is taken for a formula, and letters with marks are read as such. Raises Unwritable."""
    return _write(tuple(defused(cell) for cell in row) for row in _rows(claims, batch_number)).encode("utf-8-sig")


def defused(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula, with an apostrophe in front where it might.

    `restored` takes it off again. Plain numbers stay: a negative charge has to add up.

    >>> defused("=1+1"), defused("-41600.00"), defused("'quoted'"), defused("Elm Street")
    ("'=1+1", '-41600.00', "''quoted'", 'Elm Street')
    """
    risky = unicodedata.normalize("NFKC", cell.lstrip())[:1] in ("=", "+", "-", "@", "|", "%")
    return f"'{cell}" if cell[:1] in ("'", "\t", "\r", "\n", "\0") or (risky and not _is_number(cell)) else cell


def restored(cell: str) -> str:
    """What `defused` was given."""
    return cell.removeprefix("'")


def _is_number(cell: str) -> bool:
    whole, _, cents = cell.removeprefix("-").partition(".")
    return whole.isascii() and whole.isdecimal() and (not cents or (cents.isascii() and cents.isdecimal()))


def _write(rows: Iterator[Row]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows((COLUMNS, *rows))
    return text.getvalue()


def _rows(claims: Sequence[Claim], batch_number: int) -> Iterator[Row]:
    if problems := unsound_batch(claims):
        raise Unwritable(problems)
    for claim in claims:
        # What is taken back stands before what takes its place.
        yield from (_row(claim, line, "credit", -1, batch_number) for line in claim.credits)
        yield from (_row(claim, line, "charge", 1, batch_number) for line in claim.charges)


def _row(claim: Claim, line: ClaimLine, kind: str, sign: int, batch_number: int) -> Row:
    patient, born = claim.patient, claim.patient.birth_date
    return (
        str(batch_number),
        claim.number,
        claim.original_number,
        kind,
        claim.encounter_id,
        claim.patient_reference,
        patient.name.family,
        patient.name.given,
        born.isoformat() if born else "",
        claim.insurer.name,
        claim.insurer.electronic_id,
        claim.membership.member_id,
        claim.date_of_service.isoformat(),
        claim.place_of_service,
        str(line.position),
        line.code,
        " ".join(line.modifiers),
        str(sign * line.units),
        "" if line.charge is None else f"{sign * line.charge:.2f}",
        "; ".join(f"{each.ndc} {each.unit}{plain(each.quantity)}" for each in line.ndcs),
        " ".join(claim.diagnoses),
        claim.authorization_number,
        claim.trial_number,
        claim.attending.npi if claim.attending else "",
        claim.provider.npi,
        line.description,
    )
