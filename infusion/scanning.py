"""What a scanner types for a vial: a GS1 barcode with product, lot and expiry, or a plain NDC.

Scanners at a keyboard type the separator between two parts as the character 29, or leave it out. Without it nobody can
tell where a lot ends, so a lot that could hold more than itself is not taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

import biip

from infusion.services.reference import Reference, eleven_digits

SEPARATOR = "\x1d"
US_DRUG = "03"
"""What the product number of a drug begins with in the United States, after its packaging digit."""
LONGEST_SCAN, LONGEST_LOT = 120, 40
_SWALLOWED = re.compile(r"17[0-9]{6}|21.{3,}|10.{3,}")
_PRODUCT, _LOT, _EXPIRY = "01", "10", "17"


class Unscanned(ValueError):
    """Why a text is no barcode of a drug; the message is for the person."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a barcode says. `ndc` has 11 digits, or is empty while only its ten `digits` are known."""

    ndc: str = ""
    digits: str = ""
    lot: str = ""
    expires: date | None = None
    drugs: frozenset[str] = frozenset()
    lot_unclear: bool = False


def read_scan(text: str, reference: Reference) -> Scan:
    """The barcode that was scanned. Raises Unscanned."""
    typed = text.strip(" \t\r\n")
    if len(typed) > LONGEST_SCAN:
        raise Unscanned("This is too long for the barcode of a vial. Scan one barcode at a time.")
    if re.fullmatch(r"[0-9]+-[0-9]+-[0-9]+|[0-9]{10,11}", typed):
        return _plain(typed, reference)
    try:
        result = biip.parse(typed)
    except biip.ParseError:
        raise Unscanned(_unread(typed)) from None
    message = result.gs1_message
    if message is None and result.gtin is not None:
        return _product(result.gtin.value, reference)
    if message is None:
        raise Unscanned(_unread(typed))
    parts = {each.ai.ai: each for each in message.element_strings}
    product = parts.get(_PRODUCT)
    if product is None:
        raise Unscanned("This barcode names no product. Scan the code on the vial, not the one on the carton.")
    if product.gtin is None:
        raise Unscanned("A digit of this barcode was misread: its check digit does not fit. Scan it again.")
    lot = parts[_LOT].value if _LOT in parts else ""
    unclear = SEPARATOR not in typed[1:] and bool(_SWALLOWED.search(lot))
    known = _product(product.gtin.value, reference)
    return Scan(
        ndc=known.ndc,
        digits=known.digits,
        drugs=known.drugs,
        lot="" if unclear else lot[:LONGEST_LOT],
        expires=parts[_EXPIRY].date if _EXPIRY in parts else None,
        lot_unclear=unclear,
    )


def _unread(typed: str) -> str:
    if re.match(r"01[0-9]{14}", typed) and SEPARATOR not in typed:
        return (
            "The parts of this barcode run into each other, because the scanner leaves out what separates them. Type "
            "NDC, lot and expiry below, and have the scanner set to send the character 29."
        )
    return "This is no barcode of a vial. Scan the square code, or type the NDC below."


def _product(number: str, reference: Reference) -> Scan:
    """The NDC in a product number: ten digits after 03, whose hyphens only the reference knows."""
    full = number.zfill(14)
    if full[1:3] != US_DRUG:
        raise Unscanned("This barcode is not that of a drug sold in the United States. Type the NDC of the vial below.")
    digits = full[3:13]
    candidates = {digits.zfill(11), f"{digits[:5]}0{digits[5:]}", f"{digits[:9]}0{digits[9:]}"}
    known = sorted(candidates & set(reference.ndc_owners))
    if len(known) != 1:
        return Scan(digits=digits)
    return Scan(ndc=known[0], digits=digits, drugs=reference.ndc_owners[known[0]])


def _plain(typed: str, reference: Reference) -> Scan:
    if re.fullmatch("[0-9]{10}", typed):
        return _product(f"{US_DRUG}{typed}0".zfill(14), reference)
    try:
        ndc = eleven_digits(typed)
    except ValueError:
        raise Unscanned("An NDC has 10 or 11 digits, as in 50242-150-01. Check what was scanned.") from None
    return Scan(ndc=ndc, digits=ndc, drugs=reference.ndc_owners.get(ndc, frozenset()))
