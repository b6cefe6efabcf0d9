"""Encounters out of a CSV file: one row an administration, joined by the patient and the number of the encounter.

The columns are in `docs/import.md`. Pauses, vials and discards have numbered columns, so that every value has a cell of
its own that a problem can name. Times are the clinic's unless the row names a zone or the time its offset.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, Any

from infusion.amount_entry import read_amount, read_whole_number
from infusion.arriving import Arriving, UnreadableFile, lines_of
from infusion.exchange.coming_in import MOST_BYTES, Arrived, At, FileRead, kept_time, known_zone, patient_of
from infusion.services.facts import ACQUIRED, PURPOSES, ROUTES
from infusion.services.reference import diagnosis_code
from infusion.services.wire import MOST_VIALS, TIME
from infusion.services.words import plain
from infusion.time_entry import EntryProblem, TimeOfDay, plain_text, read_time
from payers.policy import DISCARD_REASONS, SETTINGS

MOST_ROWS, MOST_COLUMNS, LONGEST_CELL = 100_000, 64, 10_000
BETWEEN = "\x1f"
# What a column may be called beside its own name.
OF_ENCOUNTER: Mapping[str, tuple[str, ...]] = {
    "source": ("source system",),
    "patient": ("patient reference", "mrn", "medical record number", "patient id", "record number"),
    "patient_name": ("name",),
    "birth_date": ("date of birth", "dob"),
    "sex": (),
    "encounter": ("encounter number", "visit number", "csn"),
    "payer": ("payer name",),
    "date_of_service": ("service date",),
    "time_zone": (),
    "setting": (),
    "place_of_service": ("pos",),
    "diagnoses": ("diagnosis", "icd 10"),
    "visit_start": (),
    "visit_stop": (),
}
OF_ADMINISTRATION: Mapping[str, tuple[str, ...]] = {
    "drug": ("drug code", "hcpcs", "j code"),
    "route": (),
    "order": (),
    "access": (),
    "access_reason": (),
    "purpose": (),
    "primary": (),
    "acquired": (),
    "start": ("started",),
    "stop": ("stopped",),
    "ordered": ("ordered mg",),
    "administered": ("administered mg", "given mg"),
}
NUMBERED = re.compile(
    r"(?P<what>pause) (?:(?P<p>[0-9]{1,2}) )?(?P<pause>start|stop)"
    r"|(?P<vials>vial) (?:(?P<v>[0-9]{1,2}) )?(?P<vial>mg|count|single dose|ndc|lot|expires)"
    r"|(?P<discards>discard) (?:(?P<d>[0-9]{1,2}) )?(?P<discard>mg|reason)"
)
# A column that is not read may hold anything but these.
BORNE_ON = re.compile(r"\b(pause|paused|vial|vials|discard|discarded|waste|wasted|start|stop|drug|dose|route)\b")
# How the numbered columns are called where they have other names than the contract's fields.
COLUMNS = {
    "vials.amount": "vial_{}_mg",
    "discards.amount": "discard_{}_mg",
    "patient.reference": "patient",
    "patient.name": "patient_name",
    "patient.birth_date": "birth_date",
    "patient.sex": "sex",
}
NEEDED = ("patient", "encounter", "drug", "route")
DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
US_DAY = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
SECONDS = re.compile(r"([0-9]{1,2}:[0-9]{2}):([0-9]{2})((?: ?[AaPp][Mm])?)")
FLAGS = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}
CALLED = {"reference": "patient", "name": "patient_name", "sex": "sex"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The columns of a file by their field, as the first row has them, and the names of those that are not read."""

    heads: Sequence[str]
    columns: Mapping[str, int]
    not_read: tuple[str, ...]

    def name(self, field: str) -> str:
        at = self.columns.get(field)
        return field.replace(" ", "_") if at is None else self.heads[at].strip()


def read_csv(file: IO[bytes], zone: str) -> FileRead:
    """All encounters of a CSV file. Raises UnreadableFile where nothing of it can be read."""
    whole = hashlib.sha256()
    arriving = Arriving(
        file, whole, MOST_BYTES, "The file is empty. Choose the one with the encounters.",
        f"The file is larger than {MOST_BYTES // 1_000_000} MB. Bring it in by months.",
    )  # fmt: skip
    text = io.TextIOWrapper(io.BufferedReader(arriving), "utf-8-sig", newline="")  # type: ignore[type-var]
    gathered: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
    rows = 0
    try:
        sheet, records = _sheet(text)
        for row, cells in records:
            rows += 1
            if rows > MOST_ROWS:
                raise UnreadableFile(f"The file has more than {MOST_ROWS:,} rows. Bring it in by months.")
            one = {name: _cell(cells, at) for name, at in sheet.columns.items()}
            key = (one.get("source", ""), one["patient"], one["encounter"])
            # A row that names no patient or no encounter is nobody else's.
            key = key if all(key[1:]) else (*key[:2], f"{key[2]}{BETWEEN}{row}")
            gathered.setdefault(key, []).append((row, BETWEEN.join(cells)))
    except UnicodeDecodeError:
        raise UnreadableFile("The file is not in UTF-8. In Excel, save it as CSV UTF-8 (comma delimited).") from None
    if not rows:
        raise UnreadableFile("The file has headings and no row below them.")
    encounters = (_encounter(sheet, key, gathered.pop(key), zone) for key in list(gathered))
    return FileRead(encounters, rows, whole.hexdigest(), COLUMNS, sheet.not_read)


def _cell(cells: Sequence[str], at: int) -> str:
    return cells[at].strip() if at < len(cells) else ""


# The sheet ----------------------------------------------------------------------------------------------------------


def _sheet(text: io.TextIOBase) -> tuple[Sheet, Iterator[tuple[int, list[str]]]]:
    lines = lines_of(text, "row of encounters")
    above: list[str] = []
    for line in lines:
        above.append(line)
        if line.strip():
            break
    delimiter = max((",", ";", "\t"), key=(above[-1] if above else "").count)

    def every() -> Iterator[str]:
        yield from above
        yield from lines

    records = _records(csv.reader(every(), delimiter=delimiter, strict=True))
    first = next(records, None)
    if first is None:
        raise UnreadableFile("The file is empty. Choose the one with the encounters.")
    sheet = _columns(first[1])
    return sheet, _no_wider(records, len(first[1]))


def _records(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, numbered as a spreadsheet numbers them."""
    row = 0
    try:
        for row, cells in enumerate(reader, start=1):
            if len(cells) > MOST_COLUMNS or any(len(cell) > LONGEST_CELL for cell in cells):
                raise UnreadableFile(
                    f"Row {row} has more than {MOST_COLUMNS} columns or a cell beyond any value. A quotation mark may "
                    "not be closed."
                )
            if any(cell.strip() for cell in cells):
                yield row, [cell.replace(BETWEEN, " ") for cell in cells]
    except csv.Error:
        raise UnreadableFile(
            f"From row {row + 1} on the file cannot be read: a quotation mark is not closed, or stands inside a cell."
        ) from None


def _no_wider(records: Iterable[tuple[int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for row, cells in records:
        if any(cell.strip() for cell in cells[width:]):
            raise UnreadableFile(
                f"Row {row} has more cells than there are headings, so its values may stand in other columns. A value "
                "with a comma needs quotation marks."
            )
        yield row, cells


def _columns(heads: Sequence[str]) -> Sheet:
    found: dict[str, int] = {}
    not_read = []
    for at, head in enumerate(heads):
        words = " ".join(re.sub(r"[_\-()]+", " ", head.casefold()).split())
        field = _field(words)
        if field in found:
            raise UnreadableFile(f"Two columns could be {field}: {heads[found[field]].strip()} and {head.strip()}.")
        if field:
            found[field] = at
        elif BORNE_ON.search(words):
            raise UnreadableFile(
                f"{head.strip()} is not a column that is known here, and may bear on what is billed. Name it as in the "
                "list of columns, or take it out."
            )
        elif words:
            not_read.append(head.strip())
    if missing := [name for name in NEEDED if name not in found]:
        raise UnreadableFile(f"The first row names no column {', '.join(missing)}. Name the columns as in the list.")
    return Sheet(heads, found, tuple(not_read))


def _field(words: str) -> str:
    """The field of a heading, or empty. Numbered ones are as `vial 2 mg`."""
    for fields in (OF_ENCOUNTER, OF_ADMINISTRATION):
        for name, others in fields.items():
            if words == name.replace("_", " ") or words in others:
                return name
    if found := NUMBERED.fullmatch(words):
        what = found["what"] or found["vials"] or found["discards"]
        number = int(found["p"] or found["v"] or found["d"] or 1)
        return f"{what} {number} {found['pause'] or found['vial'] or found['discard']}"
    return ""


# Encounters ---------------------------------------------------------------------------------------------------------


def _encounter(sheet: Sheet, key: tuple[str, str, str], rows: Sequence[tuple[int, str]], zone: str) -> Arrived:
    first = rows[0][0]
    texts = [(row, dict(_texts(sheet, joined))) for row, joined in rows]
    arrived = Arrived(source=key[0], number=texts[0][1].get("encounter", ""), row=first, patient={})
    said = _Row(sheet, At(first, arrived.problems), _agreed(sheet, texts, arrived), "")
    if not arrived.number:
        said.at.problem(sheet.name("encounter"), "", "The number of the encounter is missing. Rows are joined by it.")
    said.zone = known_zone(said.at, sheet.name("time_zone"), said.text("time_zone"), zone)
    arrived.patient = patient_of(
        said.at, {name: sheet.name(field) for name, field in CALLED.items()}, reference=said.text("patient"),
        name=said.text("patient_name"), birth_date=said.iso_day("birth_date"), sex=said.text("sex"),
    )  # fmt: skip
    arrived.payer, arrived.place_of_service = said.text("payer"), said.text("place_of_service")
    day = said.day("date_of_service")
    document: dict[str, Any] = {
        "date_of_service": day and day.isoformat(),
        "setting": said.choice("setting", SETTINGS) or None,
        "diagnoses": [diagnosis_code(each) for each in re.split(r"[\s;,|]+", said.text("diagnoses")) if each],
        "administrations": [],
    }
    visit = {end: said.moment(f"visit_{end}", day) for end in ("start", "stop")}
    document["visit"] = visit if any(visit.values()) else None
    _refuse_repeated(rows, arrived)
    for row, cells in texts:
        one = _Row(sheet, At(row, arrived.problems), cells, said.zone)
        document["administrations"].append(_administration(one, day, len(arrived.rows) + 1))
        arrived.rows.append(row)
    arrived.document = document
    return arrived


def _refuse_repeated(rows: Sequence[tuple[int, str]], arrived: Arrived) -> None:
    """The same row twice would be the same drug twice."""
    seen: dict[str, int] = {}
    for row, joined in rows:
        if seen.setdefault(joined, row) != row:
            told = f"This row says the same as row {seen[joined]}. Take one of them out, or tell them apart."
            At(row, arrived.problems).problem("", "", told)


def _texts(sheet: Sheet, joined: str) -> Iterator[tuple[str, str]]:
    cells = joined.split(BETWEEN)
    for field, at in sheet.columns.items():
        yield field, plain_text(_cell(cells, at))


def _agreed(sheet: Sheet, rows: Sequence[tuple[int, dict[str, str]]], arrived: Arrived) -> dict[str, str]:
    """What the rows of one encounter say of it together; a row that says something else is told."""
    agreed: dict[str, tuple[int, str]] = {}
    for row, cells in rows:
        for field in OF_ENCOUNTER:
            text = cells.get(field, "")
            if text and agreed.setdefault(field, (row, text))[1] != text:
                other = agreed[field]
                At(row, arrived.problems).problem(
                    sheet.name(field), text, f"Row {other[0]} of the same encounter says {other[1][:40]}."
                )
    return {field: text for field, (_, text) in agreed.items()}


def _administration(one: _Row, day: date | None, number: int) -> dict[str, Any]:
    vials, discards, pauses = [], [], []
    for at in one.numbers("vial"):
        amount = one.amount(f"vial {at} mg", needed="The labelled milligrams of the vial are missing.")
        vials.append(
            {
                "amount": amount,
                "count": one.count(f"vial {at} count"),
                "single_dose": one.flag(f"vial {at} single dose"),
                "ndc": one.text(f"vial {at} ndc"),
                "lot": one.text(f"vial {at} lot"),
                "expires": one.iso_day(f"vial {at} expires") or None,
            }
        )
    for at in one.numbers("discard"):
        discards.append(
            {
                "amount": one.amount(f"discard {at} mg", needed="The milligrams that were thrown away are missing."),
                "reason": one.choice(f"discard {at} reason", DISCARD_REASONS, needed="The reason is missing."),
            }
        )
    for at in one.numbers("pause"):
        pauses.append({end: one.moment(f"pause {at} {end}", day) for end in ("start", "stop")})
    return {
        "id": f"a{number}",
        "drug": " ".join(one.text("drug").upper().split()),
        "route": one.choice("route", ROUTES, needed="The route is missing."),
        "order": one.text("order"),
        "access": one.text("access") or "1",
        "access_reason": one.text("access_reason"),
        "purpose": one.choice("purpose", PURPOSES) or None,
        "primary": one.flag("primary") or False,
        "acquired": one.choice("acquired", ACQUIRED) or "purchased",
        "start": one.moment("start", day),
        "stop": one.moment("stop", day),
        "pauses": pauses,
        "ordered": one.amount("ordered"),
        "administered": one.amount("administered"),
        "vials": vials,
        "discards": discards,
    }


@dataclass(slots=True)
class _Row:
    """The texts of one row by their field, read one by one."""

    sheet: Sheet
    at: At
    texts: Mapping[str, str]
    zone: str

    def text(self, field: str) -> str:
        return self.texts.get(field, "")

    def problem(self, field: str, reason: str) -> None:
        self.at.problem(self.sheet.name(field), self.text(field), reason)

    def numbers(self, what: str) -> list[int]:
        """Which of the numbered pauses, vials or discards say anything."""
        return sorted(
            {int(each.split()[1]) for each, text in self.texts.items() if text and each.startswith(f"{what} ")}
        )

    def choice(self, field: str, choices: Mapping[str, str], needed: str = "") -> str:
        """One of the names of the contract, or the words for it on the screen."""
        text = self.text(field)
        if not text:
            if needed:
                self.problem(field, needed)
            return ""
        names = {each.casefold().replace("_", " "): name for name, words in choices.items() for each in (name, words)}
        if (found := names.get(text.casefold().replace("_", " "))) is None:
            self.problem(field, f"This is not one of {', '.join(choices)}.")
        return found or ""

    def flag(self, field: str) -> bool | None:
        text = self.text(field)
        if text and text.casefold() not in FLAGS:
            self.problem(field, "This is neither yes nor no.")
        return FLAGS.get(text.casefold())

    def amount(self, field: str, needed: str = "") -> str | None:
        found = read_amount(self.text(field), self.sheet.name(field))
        if isinstance(found, EntryProblem):
            self.problem(field, found.message)
        elif found is None and needed:
            self.problem(field, needed)
        return plain(found) if isinstance(found, Decimal) else None

    def count(self, field: str) -> int:
        found = read_whole_number(self.text(field), self.sheet.name(field), 1, MOST_VIALS)
        if isinstance(found, EntryProblem):
            self.problem(field, found.message)
        return found if isinstance(found, int) else 1

    def day(self, field: str) -> date | None:
        text = self.text(field)
        if not text:
            return None
        if (found := _day(text)) is None:
            self.problem(field, "This is not a day such as 2026-03-10 or 3/10/2026.")
        return found

    def iso_day(self, field: str) -> str:
        found = self.day(field)
        return found.isoformat() if found else ""

    def moment(self, field: str, day: date | None) -> str | None:
        """A day and a time, or a time alone on the date of service."""
        text = self.text(field)
        if not text:
            return None
        try:
            moment = _moment(text, day)
        except ValueError as problem:
            self.problem(field, str(problem))
            return None
        return kept_time(self.at, self.sheet.name(field), moment, text, self.zone)


def _day(text: str) -> date | None:
    try:
        if found := DAY.fullmatch(text):
            return _in_our_time(date(int(found[1]), int(found[2]), int(found[3])))
        if found := US_DAY.fullmatch(text):
            return _in_our_time(date(int(found[3]), int(found[1]), int(found[2])))
    except ValueError:
        pass
    return None


def _in_our_time(day: date) -> date:
    if not 1900 <= day.year <= 2100:
        raise ValueError
    return day


def _moment(text: str, day: date | None) -> datetime:
    """Raises ValueError with a sentence.

    >>> _moment("3/10/2026 9:00 AM", None), _moment("21:15", date(2026, 3, 10))
    (datetime.datetime(2026, 3, 10, 9, 0), datetime.datetime(2026, 3, 10, 21, 15))
    """
    contract = text.replace(" ", "T", 1)
    if TIME.fullmatch(contract):
        try:
            moment = datetime.fromisoformat(contract)
            _in_our_time(moment.date())
        except ValueError:
            raise ValueError(f"There is no such time as {text}.") from None
        return moment
    first, _, rest = text.partition(" ")
    on = _day(first)
    if on is None and ("/" in first or "-" in first):
        raise ValueError("This is not a time such as 2026-03-10 09:00 or 3/10/2026 9:00.")
    clock, seconds = (rest if on else text), 0
    if found := SECONDS.fullmatch(clock):
        clock, seconds = f"{found[1]}{found[3]}", int(found[2])
    at = read_time(clock)
    if at is None or seconds > 59:
        raise ValueError("The time of day is missing: a day alone has no minutes to count.")
    if isinstance(at, EntryProblem):
        raise ValueError(at.message)
    if on is None and day is None:
        raise ValueError("The day is missing. Write it before the time, or in a column date_of_service.")
    return _combined(on or day, at, seconds)


def _combined(day: date | None, at: TimeOfDay, seconds: int) -> datetime:
    assert day is not None  # noqa: S101  narrows the type
    return datetime.combine(day, time(at.hour, at.minute, seconds))
