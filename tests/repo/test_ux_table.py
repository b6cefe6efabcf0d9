"""The table of `make ux` fails for a row that is short, for one that is missing, and for one part of a row."""

from __future__ import annotations

from tests.ux.table import REQUIREMENTS, Row, complete, document, passes

ALL_OK = [Row(name, "at most 5 taps", "4 taps", True) for name in REQUIREMENTS]


def test_a_table_whose_rows_all_reach_their_figure_passes() -> None:
    assert passes(ALL_OK)
    assert "**short**" not in document(ALL_OK, "March 10, 2026")


def test_one_short_row_fails_the_table_and_is_named() -> None:
    rows = [Row("U04", "at most 5 taps", "6 taps", False), *ALL_OK[5:], *ALL_OK[:4]]
    assert not passes(rows)
    page = document(rows, "March 10, 2026")
    assert "1 of 26 rows fall short" in page
    assert "| at most 5 taps | 6 taps | **short** |" in page


def test_a_missing_row_fails_the_table_and_stays_in_it() -> None:
    rows = [row for row in ALL_OK if row.requirement != "U28"]
    assert not passes(rows)
    assert next(row for row in complete(rows) if row.requirement == "U28").measured == "not measured"
    assert not passes([])


def test_one_short_part_makes_its_row_short() -> None:
    assert not passes([*ALL_OK, Row("U14", "no overflow", "12 px too wide", False)])


def test_a_row_of_no_requirement_proves_nothing() -> None:
    assert not passes([Row("U99", "", "", True), *ALL_OK[1:]])
