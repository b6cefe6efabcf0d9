"""A fee schedule as a CSV file: read whole or not at all, each row that cannot be read told with its reason.

Nothing is guessed: where a comma could be a decimal point or a thousands separator, the row is refused.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from infusion.arriving import UnreadableFile
from infusion.services.payment import Rate

MOST_BYTES, MOST_ROWS, MOST_COLUMNS, LONGEST_CELL = 2_000_000, 20_000, 64, 10_000
LARGEST = Decimal("9999999.9999")
# What a column may be called, in lower case with single spaces.
HEADS = {
    "code": ("code", "hcpcs", "cpt", "hcpcs code", "cpt code", "hcpcs/cpt", "procedure code"),
    "rate": ("rate", "rate per unit", "fee", "amount", "allowed", "allowed amount", "charge"),
    "lower_quartile": ("p25", "lower quartile", "25th percentile", "q1"),
    "median": ("median", "p50", "50th percentile"),
    "upper_quartile": ("p75", "upper quartile", "75th percentile", "q3"),
}
LABELS = {"code": "Code", "rate": "Rate", "lower_quartile": "P25", "median": "Median", "upper_quartile": "P75"}
AMOUNTS = ("rate", "lower_quartile", "median", "upper_quartile")
CODE = re.compile(r"[A-Z][0-9]{4}|[0-9]{4}[0-9A-Z]")
PLAIN = re.compile(r"\$?\s?([0-9]{1,9}(?:\.[0-9]+)?|\.[0-9]+)")
GROUPED = re.compile(r"\$?\s?([0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?)")
MOST_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with one cell: the row as a spreadsheet numbers it, the column, what stands there, and why not."""

    row: int
    column: str
    value: str
    reason: str


@dataclass(slots=True)
class FeeFile:
    """What a file says. `not_read` names its other columns."""

    checksum: str
    not_read: tuple[str, ...] = ()
    rates: list[Rate] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)
    rows: int = 0


def read_fee_file(content: bytes) -> FeeFile:
    """The rates of a CSV file, and every row that cannot be read. Raises UnreadableFile where nothing of it can."""
    text = _decoded(content)
    file = FeeFile(hashlib.sha256(content).hexdigest())
    delimiter = _delimiter(text)
    records = _records(text, delimiter)
    first = next(records, None)
    if first is None:
        raise UnreadableFile("The file is empty. Choose the one with the rates.")
    heads = first[1]
    columns = _columns(heads)
    file.not_read = tuple(head.strip() for at, head in enumerate(heads) if head.strip() and at not in columns.values())
    seen: dict[str, int] = {}
    for row, cells in records:
        file.rows += 1
        if file.rows > MOST_ROWS:
            raise UnreadableFile(f"The file has more than {MOST_ROWS:,} rows. Leave out the codes that you never bill.")
        rate = _read_row(file, row, cells, columns, len(heads), decimal_comma=delimiter == ";")
        if rate is None:
            continue
        if rate.code in seen:
            told = f"{rate.code} stands in row {seen[rate.code]} already. Keep one of them."
            file.problems.append(RowProblem(row, "Code", rate.code, told))
        seen.setdefault(rate.code, row)
        file.rates.append(rate)
    if not file.rows:
        raise UnreadableFile("The file has a heading and no row below it. Add a row for each code.")
    return file


def _decoded(content: bytes) -> str:
    if not content.strip():
        raise UnreadableFile("The file is empty. Choose the one with the rates.")
    if len(content) > MOST_BYTES:
        raise UnreadableFile("The file is larger than 2 MB. Leave out the codes that you never bill.")
    if content[:2] == b"PK" or content[:4] == b"\xd0\xcf\x11\xe0":
        raise UnreadableFile("This is a workbook and not a CSV file. In Excel, save it as CSV UTF-8 (comma delimited).")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnreadableFile("The file is written in UTF-16. In Excel, save it as CSV UTF-8 (comma delimited).")
    if b"\x00" in content:
        raise UnreadableFile("The file holds a zero byte, so it is not a text. Save it as CSV UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Excel's plain CSV. Codes and amounts are the same there; only a column that is not read could differ.
        return content.decode("cp1252", errors="replace")


def _delimiter(text: str) -> str:
    heading = next((line for line in text.splitlines() if line.strip()), "")
    return max((",", ";", "\t"), key=heading.count)


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, numbered as a spreadsheet numbers them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    row = 0
    try:
        for row, cells in enumerate(reader, start=1):
            if len(cells) > MOST_COLUMNS or any(len(cell) > LONGEST_CELL for cell in cells):
                raise UnreadableFile(
                    f"Row {row} has more than {MOST_COLUMNS} columns or a cell beyond any code or amount. A quotation "
                    "mark may not be closed."
                )
            if any(cell.strip() for cell in cells):
                yield row, cells
    except csv.Error:
        raise UnreadableFile(
            f"From row {row + 1} on the file cannot be read: a quotation mark is not closed, or stands inside a cell."
        ) from None


def _columns(heads: Sequence[str]) -> dict[str, int]:
    """Where each column stands, by its field."""
    found: dict[str, int] = {}
    names = [" ".join(head.casefold().split()) for head in heads]
    for name, spellings in HEADS.items():
        places = [at for at, head in enumerate(names) if head in spellings]
        if len(places) > 1:
            twice = " and ".join(heads[at].strip() for at in places[:2])
            raise UnreadableFile(f"Two columns could be the {LABELS[name]}: {twice}. Remove one of them.")
        if places:
            found[name] = places[0]
    for name in ("code", "rate"):
        if name not in found:
            raise UnreadableFile(
                f"The first row names no column {LABELS[name]}. It has to say Code and Rate; P25, Median and P75 may "
                "follow."
            )
    return found


def _read_row(
    file: FeeFile, row: int, cells: Sequence[str], columns: dict[str, int], width: int, *, decimal_comma: bool
) -> Rate | None:
    """The rate of a row, or None with its problems told."""
    before = len(file.problems)

    def problem(name: str, value: str, reason: str) -> None:
        file.problems.append(RowProblem(row, LABELS[name], value[:80], reason))

    if any(cell.strip() for cell in cells[width:]):
        told = "There are more cells than headings. An amount with a thousands separator needs quotation marks."
        problem("rate", " ".join(cell.strip() for cell in cells[width - 1 :]), told)
        return None
    texts = {name: cells[at].strip() if at < len(cells) else "" for name, at in columns.items()}
    code = texts["code"].upper()
    if not CODE.fullmatch(code):
        problem("code", texts["code"], _why_no_code(code))
    amounts: dict[str, Decimal | None] = {}
    for name in AMOUNTS:
        try:
            amounts[name] = read_dollars(texts.get(name, ""), decimal_comma=decimal_comma)
        except ValueError as reason:
            problem(name, texts[name], str(reason))
    if "rate" in amounts and amounts["rate"] is None:
        problem(
            "rate", "", "The rate is missing. Enter it, or leave the row out: a code without a rate is told as such."
        )
    quartiles = [amounts.get(name) for name in AMOUNTS[1:]]
    known = [each for each in quartiles if each is not None]
    if known != sorted(known):
        problem("median", texts.get("median", ""), "P25, median and P75 have to grow in this order. Check the columns.")
    rate = amounts.get("rate")
    if rate is None or len(file.problems) > before:
        return None
    return Rate(code=code, rate=rate, lower_quartile=quartiles[0], median=quartiles[1], upper_quartile=quartiles[2])


def _why_no_code(text: str) -> str:
    if not text:
        return "The code is missing. Enter it, or clear the row."
    if re.fullmatch(r"[0-9]{1,4}", text):
        return "A code has five characters. The spreadsheet may have taken away a zero at its beginning."
    return "A code has five characters, such as 96365 or J2350, and no modifier."


def read_dollars(text: str, *, decimal_comma: bool = False) -> Decimal | None:
    """Dollars for one unit, or None where nothing stands. Raises ValueError with a sentence.

    `decimal_comma`: the file separates its columns by semicolons, as where a comma is the decimal mark.

    >>> read_dollars("$1,234.50"), read_dollars(" 60.97 "), read_dollars("")
    (Decimal('1234.50'), Decimal('60.97'), None)
    """
    if not text.strip():
        return None
    text = text.strip()
    found = PLAIN.fullmatch(text) or (None if decimal_comma else GROUPED.fullmatch(text))
    if found is None:
        raise ValueError(_why_no_amount(text, decimal_comma=decimal_comma))
    amount = Decimal(found[1].replace(",", ""))
    if amount == 0:
        raise ValueError("A rate of 0 would say that nothing is paid. Leave the row out, or the cell empty.")
    if amount > LARGEST:
        raise ValueError("This is beyond any rate for one unit. Check it.")
    if -int(amount.as_tuple().exponent) > MOST_DECIMALS and amount != round(amount, MOST_DECIMALS):
        raise ValueError("A rate has at most four decimals. Round it as the payer's contract says.")
    return amount


def _why_no_amount(text: str, *, decimal_comma: bool) -> str:
    if text[0] in "=+@":
        return "This is a formula. Copy the sheet as values before you save it."
    if re.fullmatch(r"-\s?\$?[0-9.,]+|\$-[0-9.,]+|\([^)]*\)", text):
        return "A rate cannot be below zero."
    if "," in text and decimal_comma:
        return "In a file with semicolons a comma could be either mark. Write the amount with a point and no comma."
    if re.fullmatch(r"\$?[0-9.]*,[0-9]+", text):
        return "The comma stands where no thousands end. Write cents after a point, as in 663.67."
    if re.search(r"[eE][+-]?[0-9]", text):
        return "The spreadsheet has shortened this number. Show the column as a number and save it again."
    return "This is not an amount in dollars such as 60.97 or $1,234.50."
