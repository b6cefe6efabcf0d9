"""Tables as CSV that a spreadsheet opens and does not obey: a cell that would be a formula is kept a text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from infusion.exchange.charge_csv import defused


def spreadsheet_bytes(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """UTF-8 with the mark by which Excel knows it, and a line for each row."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([safe_cell(head) for head in heads])
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def safe_cell(value: object) -> str:
    """
    >>> safe_cell('=HYPERLINK("x")'), safe_cell("-12.50"), safe_cell("-1+1"), safe_cell(None)
    ('\\'=HYPERLINK("x")', '-12.50', "'-1+1", '')
    """
    return defused("" if value is None else str(value))
