"""What is on a vial beside its size, typed or scanned, and who saw the rest of it thrown away."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal

from infusion.forms.fields import EntryField, SelectField
from infusion.forms.parts import DiscardForm, VialForm
from infusion.forms.patient import WordsField
from infusion.forms.structure import MOST_PARTS, Entries, count_drugs, count_parts
from infusion.scanning import Scan, Unscanned, read_scan
from infusion.services.reference import Drug, Reference, eleven_digits
from infusion.services.words import plain
from infusion.time_entry import EntryProblem, plain_text
from payers.selectors import day_in_words

_ISO = re.compile(r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})(?:-(?P<day>[0-9]{1,2}))?")
_US = re.compile(r"(?P<month>[0-9]{1,2})/(?:(?P<day>[0-9]{1,2})/)?(?P<year>[0-9]{4})")
ON_THE_VIAL = ("ndc", "lot", "expires")
STAMPED = "|"


class ExpiryField(EntryField):
    """The last day on which a vial may be used; a month alone means its last day."""

    def read(self, text: str) -> date | EntryProblem | None:
        entry = plain_text(text)
        if not entry:
            return None
        found = _ISO.fullmatch(entry) or _US.fullmatch(entry)
        if not found:
            return EntryProblem("date_shape", f"{self.label}: write it like 2027-01-31, 1/31/2027 or 1/2027.")
        year, month = int(found["year"]), int(found["month"])
        try:
            day = int(found["day"] or calendar.monthrange(year, month)[1])
            return date(year, month, day)
        except (ValueError, calendar.IllegalMonthError):
            return EntryProblem("date_missing", f"{self.label}: there is no such day as {entry}. Check it.")


class ScanField(EntryField):
    """Whatever a scanner types; what it means is found out by `take_scans`."""

    def read(self, text: str) -> str | None:
        return text.strip() or None


class RecordedVialForm(VialForm):
    """Opened containers of one size, with what is printed on them."""

    ndc = WordsField(label="NDC", most=14)
    lot = WordsField(label="Lot", most=40)
    expires = ExpiryField(label="Expires")

    @property
    def marked(self) -> bool:
        return any(self.text(name) for name in ON_THE_VIAL)


class RecordedDiscardForm(DiscardForm):
    """A discard, with a witness where the clinic asks for one. Whoever is on record stays among the choices."""

    def __init__(
        self, entries: Mapping[str, str], prefix: str, witnesses: Iterable[tuple[str, str]],
        before: Iterable[tuple[str, str]] = (),
    ) -> None:  # fmt: skip
        super().__init__(entries, prefix)
        people = list(witnesses)
        if people:
            people += [each for each in before if each[0] == self.text("witness") and each not in people]
            described = {"aria-describedby": f"{prefix}-witness-note"}
            choices = [("", "Nobody yet"), *people]
            self.fields["witness"] = SelectField(label="Who saw it", choices=choices, attrs=described)


# Scans ----------------------------------------------------------------------------------------------------------------


def scan_problem(text: str, code: str, reference: Reference, on: date) -> str:
    """Why a scanned vial cannot be taken for a drug on that day; empty when it can."""
    try:
        scan = read_scan(text, reference)
    except Unscanned as problem:
        return f"Scan: {str(problem)[:1].lower()}{str(problem)[1:]}"
    if scan.drugs and code and code not in scan.drugs:
        other, drug = name_of(sorted(scan.drugs)[0], reference, on), name_of(code, reference, on)
        return f"Scan: this vial holds {other}, and the drug here is {drug}. Check which one was given."
    if scan.expires and scan.expires < on:
        return f"Scan: this vial expired on {day_in_words(scan.expires)}. Set it aside, and scan the one that is used."
    return ""


def name_of(code: str, reference: Reference, on: date) -> str:
    drug = reference.drug(code, on)
    return drug.name if drug else code


def take_scans(entries: Entries, reference: Reference, on: date) -> tuple[Entries, str, dict[str, str]]:
    """The entries with every readable scan put into its fields, the field for the next scan, and what to say there."""
    focus, said = "", {}
    for number in range(1, count_drugs(entries) + 1):
        name = f"d{number}-scan"
        text = entries.get(name, "").strip()
        drug = reference.find_drug(entries.get(f"d{number}-drug", "")[:80], on)
        code = drug.code if drug else ""
        if not text:
            continue
        focus = name
        if not scan_problem(text, code, reference, on):
            entries, said[name] = _taken(entries, number, read_scan(text, reference), reference, on)
    return entries, focus, said


def _taken(entries: Entries, number: int, scan: Scan, reference: Reference, on: date) -> tuple[Entries, str]:
    taken, d = {**entries, f"d{number}-scan": ""}, f"d{number}"
    if scan.drugs and not taken.get(f"{d}-drug", "").strip():
        taken[f"{d}-drug"] = _drug_text(sorted(scan.drugs)[0], reference, on)
    size = size_of(scan.ndc, reference, on)
    print_on = {"ndc": scan.ndc, "lot": scan.lot, "expires": scan.expires.isoformat() if scan.expires else ""}
    rows = [f"{d}-v{n}" for n in range(1, count_parts(taken, number, "v") + 1)]
    known = any(_says(taken, row, print_on) for row in rows)
    if known and any(print_on.values()):
        return taken, "This vial’s NDC, lot and expiry are on record already. Count it under Vials."
    free = next((row for row in rows if _takes(taken, row, size, print_on)), "")
    if not free and len(rows) >= MOST_PARTS["v"]:
        return entries, "One drug takes 4 rows of vials. Join some of them, then scan again."
    row = free or f"{d}-v{len(rows) + 1}"
    taken |= {f"{row}-{name}": text for name, text in print_on.items() if text}
    taken[f"{row}-size"] = size or taken.get(f"{row}-size", "")
    return taken, _said(scan, new_row=not free)


def _says(entries: Entries, row: str, print_on: Mapping[str, str]) -> bool:
    """Whether a row says what is printed on a vial, however it was typed."""
    return all(_plain_print(name, entries.get(f"{row}-{name}", "")) == text for name, text in print_on.items())


def _takes(entries: Entries, row: str, size: str, print_on: Mapping[str, str]) -> bool:
    """Whether a row says nothing else of its print than a vial, and has no other size."""
    said = {name: text for name, text in print_on.items() if entries.get(f"{row}-{name}", "").strip()}
    return _says(entries, row, said) and entries.get(f"{row}-size", "") in ("", size or entries.get(f"{row}-size", ""))


def _plain_print(name: str, typed: str) -> str:
    """What was typed of a vial's print, as a scan would say it."""
    text = " ".join(plain_text(typed).split())
    if name == "expires":
        day = ExpiryField(label="Expires").read(text)
        return day.isoformat() if isinstance(day, date) else text
    if name == "ndc":
        try:
            return eleven_digits(text)
        except ValueError:
            return text
    return text


def _said(scan: Scan, *, new_row: bool) -> str:
    words = ["Taken."]
    if not scan.ndc:
        words.append(f"This product, {scan.digits}, is not in the tables here: type its NDC as it stands on the vial.")
    if scan.lot_unclear:
        words.append("The lot cannot be told apart from what follows it: type it from the vial.")
    if scan.expires is None:
        words.append("The barcode names no expiry date: type it from the vial.")
    if new_row:
        words.append("It is another lot, so it has its own row: say how many were opened of each.")
    return " ".join(words)


def size_of(ndc: str, reference: Reference, on: date) -> str:
    """The size of the vial that an NDC names, as it is typed; empty when it is not known."""
    for code in sorted(reference.ndc_owners.get(ndc, ())):
        drug = reference.drug(code, on)
        for container in drug.containers if drug else ():
            if container.ndc and eleven_digits(container.ndc) == ndc:
                return plain(container.amount)
    return ""


def _drug_text(code: str, reference: Reference, on: date) -> str:
    drug: Drug | None = reference.drug(code, on)
    return drug.label if drug else code


def ndc_in_words(text: str) -> str:
    """How an NDC was understood."""
    try:
        digits = eleven_digits(text)
    except ValueError:
        return "Write it with its hyphens, as on the vial, or as 11 digits. As it is, no claim can carry it."
    return f"{digits[:5]}-{digits[5:9]}-{digits[9:]}"


def stamp(code: str, size: Decimal, *print_on: str) -> str:
    """What the print of a row is about, and the print. It stays behind when drug or size are changed under it."""
    return f"{code} {plain(size)}{STAMPED}{' '.join(print_on)}"
