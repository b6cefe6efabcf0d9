"""The table of `make prove` fails for a row that is short, missing, or measured on one database of two."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prove.table import BOTH, REQUIREMENTS, SUITE, Row, complete, document, keep, main, passes, suite_rows

ALL_OK = [
    Row(name, "0 lost", "0 lost", True, "", engine)
    for name in REQUIREMENTS
    for engine in (("sqlite", "postgresql") if name in BOTH else ("sqlite",))
]


def state(rows: list[Row], requirement: str) -> str:
    return next(line.state for line in complete(rows) if line.requirement == requirement)


def test_a_table_whose_rows_all_reach_their_figure_passes() -> None:
    assert len(REQUIREMENTS) == 60
    assert passes(ALL_OK)
    assert "**short**" not in document(ALL_OK, "March 10, 2026")


def test_a_short_part_makes_its_row_short_and_the_table_names_it() -> None:
    rows = [*ALL_OK, Row("R20", "at most 1 s", "3 s", False)]
    assert not passes(rows)
    assert "| at most 1 s" in (page := document(rows, "March 10, 2026")) or "; at most 1 s" in page
    assert "1 of 60 rows fall short" in page


def test_a_missing_row_is_short_and_stays_in_the_table() -> None:
    rows = [row for row in ALL_OK if row.requirement != "R41"]
    assert not passes(rows)
    assert state(rows, "R41") == "short"
    assert not passes([])


def test_a_row_of_both_databases_is_short_with_one() -> None:
    rows = [row for row in ALL_OK if (row.requirement, row.engine) != ("R01", "postgresql")]
    assert state(rows, "R01") == "short"
    assert "not measured on PostgreSQL" in document(rows, "March 10, 2026")


def test_a_row_that_one_machine_cannot_measure_says_why() -> None:
    rows = [*ALL_OK, Row("R58", "", "the settings", True, "no certificate here")]
    assert passes(rows)
    assert state(rows, "R58") == "not here"
    assert "no certificate here" in document(rows, "March 10, 2026")


def test_a_failing_test_of_the_suite_makes_its_row_short() -> None:
    [file, *_] = SUITE["R27"]
    assert all(row.ok for row in suite_rows({file: [True, True]}))
    assert [row.requirement for row in suite_rows({file: [True, False]}) if not row.ok] == ["R26", "R27", "R35", "R38"]


def test_the_files_that_hold_a_row_exist() -> None:
    root = Path(__file__).resolve().parents[2]
    assert [file for files in SUITE.values() for file in files if not (root / file).exists()] == []


def test_what_took_how_long_is_told_of_all_runs_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seconds in (("1.json", {"R01": 60.0, "R19": 600.0}), ("2.json", {"R01": 90.0})):
        keep(tmp_path / name, ALL_OK, seconds)
    assert main([str(tmp_path / name) for name in ("page.md", "1.json", "2.json", "3.json")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split() for line in told[1:3]] == [["600", "s", "R19"], ["150", "s", "R01"]]
    assert told[3].startswith("     750 s")
