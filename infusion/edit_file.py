"""The quarterly files of CMS as they are published: medically unlikely units (MUE) and code pairs (NCCI).

Read whole or not at all. What is accepted:

- CSV, or text separated by tabs, in UTF-8 or Excel's own coding, with a notice of any length above the headings. The
  headings may be spread over several rows, as they are when a workbook is saved as CSV.
- MUE: a column with HCPCS in its heading, one with MUE Value (its words name the kind of claims), one with
  Adjudication Indicator, of which the first digit counts; others are not read.
- NCCI: Column 1, Column 2, Effective Date, Deletion Date (* or blank while in force), Modifier (0 not allowed,
  1 allowed, 9 no longer an edit). Days as 20260101 or 1/1/2026. A deletion date is the last day in force; a pair
  deleted on the day on which it began never was.

Only codes that an infusion claim can carry are kept: drug administration, home visits, and drugs. Pairs that ended
before the quarter are left out. The rest of a file is counted and not kept.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import zip_longest
from typing import IO

from infusion.arriving import Arriving, UnreadableFile, lines_of

MUE, NCCI = "mue", "ncci"
PRACTITIONER, OUTPATIENT = "practitioner", "outpatient"
MOST_BYTES = 80_000_000
MOST_ROWS = 3_000_000
MOST_PROBLEMS = 5
HEADING_ROWS = 60
CODE = re.compile(r"[0-9A-Z][0-9]{3}[0-9A-Z]")
CARRIED = re.compile(r"96[345][0-9]{2}|9960[12]|[JQ][0-9]{4}|[CS]9[0-9]{3}")
QUARTER = re.compile(r"(20[0-9]{2})\s*-?\s*Q([1-4])", re.IGNORECASE)
PACKED_DAY = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
US_DAY = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
# What the heading of a column contains, in lower case, by what it is read as.
HEADS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    MUE: {"code": ("hcpcs", "cpt code"), "units": ("mue value",), "indicator": ("adjudication indicator",)},
    NCCI: {
        "first": ("column 1", "column1"),
        "second": ("column 2", "column2"),
        "from": ("effective",),
        "deleted": ("deletion",),
        "modifier": ("modifier",),
    },
}
LABELS = {
    "code": "HCPCS/CPT Code", "units": "MUE Values", "indicator": "MUE Adjudication Indicator", "first": "Column 1",
    "second": "Column 2", "from": "Effective Date", "deleted": "Deletion Date", "modifier": "Modifier",
}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class LimitRow:
    """The most units of a code in a day. `indicator` says how it is applied: 1, 2, 3, or empty."""

    code: str
    units: int
    indicator: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.code,)


@dataclass(frozen=True, slots=True, order=True)
class PairRow:
    """Two codes of which the second is denied. Not in force from `deleted_from` on."""

    first: str
    second: str
    effective_from: date
    deleted_from: date | None
    modifier_allowed: bool

    @property
    def key(self) -> tuple[str, ...]:
        return self.first, self.second, self.effective_from.isoformat()


EditRow = LimitRow | PairRow


@dataclass(slots=True)
class EditFile:
    """What a table says. `rows_read` counts every row of it, kept or not."""

    kind: str
    checksum: str = ""
    rows_read: int = 0
    rows: dict[tuple[str, ...], EditRow] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Changes:
    """A table against the one before it."""

    added: tuple[EditRow, ...]
    removed: tuple[EditRow, ...]
    changed: tuple[tuple[EditRow, EditRow], ...]
    """As it was, and as it is."""

    @property
    def count(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed)


def compare(before: Iterable[EditRow], now: Iterable[EditRow]) -> Changes:
    """Rows by their codes: which are new, which are gone, which say something else."""
    was, here = ({row.key: row for row in rows} for rows in (before, now))
    return Changes(
        added=tuple(here[key] for key in sorted(set(here) - set(was))),
        removed=tuple(was[key] for key in sorted(set(was) - set(here))),
        changed=tuple((was[key], here[key]) for key in sorted(set(was) & set(here)) if was[key] != here[key]),
    )


def quarter_named(text: str) -> str:
    """
    >>> quarter_named("2026 q4"), quarter_named("2026-Q1")
    ('2026Q4', '2026Q1')

    Raises ValueError for anything else.
    """
    found = QUARTER.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text.strip() or 'Nothing'} is not a quarter. Write it like 2026Q4.")
    return f"{found[1]}Q{found[2]}"


def days_of(quarter: str) -> tuple[date, date]:
    """
    >>> days_of("2026Q4")
    (datetime.date(2026, 10, 1), datetime.date(2026, 12, 31))
    """
    year, number = int(quarter[:4]), int(quarter[5])
    after = date(year + number // 4, number % 4 * 3 + 1, 1)
    return date(year, number * 3 - 2, 1), after - timedelta(days=1)


def read_edit_files(kind: str, claims: str, quarter: str, files: Iterable[IO[bytes]]) -> EditFile:
    """One table out of its parts. Raises UnreadableFile, with the first rows that cannot be read."""
    table, whole = EditFile(kind), hashlib.sha256()
    for file in files:
        arriving = Arriving(
            file, whole, MOST_BYTES, "The file is empty. Choose the CSV or the text file of the quarter.",
            f"The file is larger than {MOST_BYTES // 1_000_000} MB, which no part of a table is.",
        )  # fmt: skip
        _read_part(table, claims, days_of(quarter), arriving)
    if table.problems:
        raise UnreadableFile("Nothing of it is loaded. " + " ".join(table.problems[:MOST_PROBLEMS]))
    if not table.rows:
        raise UnreadableFile(
            f"None of its {table.rows_read:,} rows is about a code that an infusion claim carries, such as 96365 or "
            "J2350. It may be another part of the table."
        )
    table.checksum = whole.hexdigest()
    return table


def _read_part(table: EditFile, claims: str, days: tuple[date, date], file: Arriving) -> None:
    # Codes, days and numbers are plain ASCII; only a rationale, which is not read, could hold anything else.
    text = io.TextIOWrapper(io.BufferedReader(file), "utf-8-sig", "replace", newline="")  # type: ignore[type-var]
    records = _records(text)
    columns, first = _headings(table.kind, claims, records)
    code_at = columns["code" if table.kind == MUE else "first"]
    for row, cells in _after(first, records):
        if not any(cell.strip() for cell in cells):
            continue
        table.rows_read += 1
        if table.rows_read > MOST_ROWS:
            raise UnreadableFile(f"The file has more than {MOST_ROWS:,} rows, which no table has.")
        try:
            if _is_carried(cells, code_at):
                texts = {name: cells[at].strip() if at < len(cells) else "" for name, at in columns.items()}
                _keep(table, _limit(texts) if table.kind == MUE else _pair(texts, days))
        except ValueError as problem:
            table.problems.append(f"Row {row}: {problem}")
            if len(table.problems) >= MOST_PROBLEMS:
                return


def _is_carried(cells: Sequence[str], code_at: int) -> bool:
    """Whether the row is about a code that is kept. Most of the hundreds of thousands are not, so it is asked first."""
    return bool(CARRIED.fullmatch(_code(cells[code_at].strip() if code_at < len(cells) else "")))


def _records(text: io.TextIOWrapper) -> Iterator[tuple[int, list[str]]]:
    """The rows, numbered as a spreadsheet numbers them. Tabs or commas: whichever the first row of codes has."""
    lines = lines_of(text, "row of a table")
    above: list[str] = []
    for line in lines:
        above.append(line)
        if len(above) > HEADING_ROWS or _codes_at_front(line):
            break
    delimiter = "\t" if above and above[-1].count("\t") > above[-1].count(",") else ","

    def every() -> Iterator[str]:
        yield from above
        yield from lines

    reader = csv.reader(every(), delimiter=delimiter)
    row = 0
    try:
        for row, cells in enumerate(reader, start=1):
            yield row, cells
    except csv.Error:
        raise UnreadableFile(
            f"From row {row + 1} on the file cannot be read: a quotation mark is not closed."
        ) from None


def _codes_at_front(line: str) -> bool:
    return bool(re.match(r'\W*[0-9A-Z][0-9]{3}[0-9A-Z]"?\s*[,\t]', line))


def _headings(
    kind: str, claims: str, records: Iterator[tuple[int, list[str]]]
) -> tuple[dict[str, int], tuple[int, list[str]]]:
    """Where each column stands, and the first row below the headings."""
    words: list[str] = []
    columns: dict[str, int] = {}
    for row, cells in records:
        code_at = columns.get("code", columns.get("first"))
        if code_at is not None and code_at < len(cells) and CODE.fullmatch(cells[code_at].strip().upper()):
            _refuse_other_claims(claims, " ".join(words))
            missing = [LABELS[name] for name in HEADS[kind] if name not in columns]
            if missing:
                break
            return columns, (row, cells)
        if row > HEADING_ROWS:
            break
        # A notice stands in one cell; a heading in several.
        if sum(bool(cell.strip()) for cell in cells) > 1 or columns:
            words = [" ".join(both).casefold() for both in zip_longest(words, cells, fillvalue="")]
            columns = _columns(kind, words)
    asked = ", ".join(LABELS[name] for name in HEADS[kind])
    raise UnreadableFile(f"No row of headings was found that names {asked}. Check that it is the {kind.upper()} table.")


def _columns(kind: str, words: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, parts in HEADS[kind].items():
        for at, text in enumerate(" ".join(each.split()) for each in words):
            if any(part in text for part in parts) and at not in found.values():
                found[name] = at
                break
    return found


def _refuse_other_claims(claims: str, words: str) -> None:
    """The heading of an MUE table says whose it is."""
    said = {
        OUTPATIENT: "outpatient" in words,
        PRACTITIONER: "practitioner" in words,
        "supplier": "supplier" in words or "dme" in words,
    }
    others = [name for name, is_said in said.items() if is_said]
    if others and not said[claims]:
        raise UnreadableFile(f"By its headings this is the table for {others[0]} claims, not for {claims} ones.")


def _after(first: tuple[int, list[str]], records: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from records


def _keep(table: EditFile, row: EditRow | None) -> None:
    if row is None:
        return
    if row.key in table.rows and table.rows[row.key] != row:
        raise ValueError(f"{' and '.join(row.key[:2])} stands there twice, with different values.")
    table.rows[row.key] = row


def _limit(texts: Mapping[str, str]) -> LimitRow:
    code = _code(texts["code"])
    units = texts["units"].replace(",", "")
    if not re.fullmatch(r"[0-9]{1,7}", units):
        raise ValueError(f"{texts['units'] or 'nothing'} is not a number of units of {code}.")
    indicator = texts["indicator"][:1]
    if indicator not in ("", "1", "2", "3"):
        raise ValueError(f"the indicator of {code} is {texts['indicator'][:40]}, and 1, 2 or 3 is known.")
    return LimitRow(code, int(units), indicator)


def _pair(texts: Mapping[str, str], days: tuple[date, date]) -> PairRow | None:
    first, second = _code(texts["first"]), _code(texts["second"])
    if not CARRIED.fullmatch(second):
        return None
    modifier = texts["modifier"][:1]
    if modifier not in ("0", "1", "9"):
        raise ValueError(f"the modifier indicator of {first} and {second} is {modifier or 'missing'}, not 0, 1 or 9.")
    begins, ends = _day(texts["from"]), _day(texts["deleted"])
    if begins is None:
        raise ValueError(f"{first} and {second} have no effective date.")
    if modifier == "9" or begins > days[1] or (ends is not None and (ends < days[0] or ends == begins)):
        return None
    return PairRow(first, second, begins, ends and ends + timedelta(days=1), modifier == "1")


def _code(text: str) -> str:
    code = text.upper()
    if not CODE.fullmatch(code):
        raise ValueError(f"{text[:20] or 'nothing'} is not a code of five characters.")
    return code


def _day(text: str) -> date | None:
    if text in ("", "*"):
        return None
    try:
        if found := PACKED_DAY.fullmatch(text):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if found := US_DAY.fullmatch(text):
            return date(int(found[3]), int(found[1]), int(found[2]))
    except ValueError:
        pass
    raise ValueError(f"{text[:20]} is not a day.")


def name_of(row: EditRow) -> str:
    """ "J2350" or "96365 and 96374"."""
    return row.code if isinstance(row, LimitRow) else f"{row.first} and {row.second}"


def value_of(row: EditRow) -> str:
    """What a row says of its codes, in words."""
    if isinstance(row, LimitRow):
        applied = {"1": " on a line", "2": " a day, without exception", "3": " a day"}
        return f"{row.units}{applied.get(row.indicator, '')}"
    modifier = "with a modifier" if row.modifier_allowed else "never together"
    return f"{modifier}, until {row.deleted_from - timedelta(days=1)}" if row.deleted_from else modifier
