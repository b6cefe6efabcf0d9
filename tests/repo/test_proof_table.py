"""The table of `make prove` fails for a row that is short, missing, or measured on one database of two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.prove.conftest import Gather
from tests.prove.table import (
    BOTH,
    REQUIREMENTS,
    SUITE,
    Row,
    Told,
    complete,
    document,
    keep,
    kept,
    main,
    passes,
    suite_rows,
)

ALL_OK = [
    Row(name, "0 lost", "0 lost", True, "", engine)
    for name in REQUIREMENTS
    for engine in (("sqlite", "postgresql") if name in BOTH else ("sqlite",))
]


AT = {"abc1234": 60}


def state(rows: list[Row], requirement: str) -> str:
    return next(line.state for line in complete(rows) if line.requirement == requirement)


def test_a_table_whose_rows_all_reach_their_figure_passes() -> None:
    assert len(REQUIREMENTS) == 60
    assert passes(ALL_OK)
    assert "**short**" not in document(ALL_OK, "March 10, 2026", AT)


def test_a_short_part_makes_its_row_short_and_the_table_names_it() -> None:
    rows = [*ALL_OK, Row("R20", "at most 1 s", "3 s", False)]
    assert not passes(rows)
    assert "| at most 1 s" in (page := document(rows, "March 10, 2026", AT)) or "; at most 1 s" in page
    assert "1 of 60 rows fall short" in page


def test_a_missing_row_is_short_and_stays_in_the_table() -> None:
    rows = [row for row in ALL_OK if row.requirement != "R41"]
    assert not passes(rows)
    assert state(rows, "R41") == "short"
    assert not passes([])


def test_a_row_of_both_databases_is_short_with_one() -> None:
    rows = [row for row in ALL_OK if (row.requirement, row.engine) != ("R01", "postgresql")]
    assert state(rows, "R01") == "short"
    assert "not measured on PostgreSQL" in document(rows, "March 10, 2026", AT)


def test_a_row_that_one_machine_cannot_measure_says_why() -> None:
    rows = [*ALL_OK, Row("R58", "", "the settings", True, "no certificate here")]
    assert passes(rows)
    assert state(rows, "R58") == "not here"
    assert "no certificate here" in document(rows, "March 10, 2026", AT)


def test_a_failing_test_of_the_suite_makes_its_row_short() -> None:
    [file, *_] = SUITE["R27"]
    assert all(row.ok for row in suite_rows({file: [True, True]}))
    assert [row.requirement for row in suite_rows({file: [True, False]}) if not row.ok] == ["R26", "R27", "R35", "R38"]


def test_the_files_that_hold_a_row_exist() -> None:
    root = Path(__file__).resolve().parents[2]
    assert [file for files in SUITE.values() for file in files if not (root / file).exists()] == []


def told(seconds: float, *rows: Row, commit: str = "abc1234") -> Told:
    return Told([], True, seconds, commit, list(rows))


def test_what_took_how_long_is_told_of_all_runs_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path / "1.json", {"a.py::one": told(60, *ALL_OK), "a.py::two": told(600), "b.py::one": told(90)})
    keep(tmp_path / "2.json", {"b.py::one": told(20, commit="def5678")})
    assert main([str(tmp_path / name) for name in ("page.md", "1.json", "2.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:3]] == [["660", "s", "a.py"], ["110", "s", "b.py"]]
    assert lines[3].startswith("     770 s")
    assert "at commit abc1234 (3 tests) and commit def5678 (1 test)" in (tmp_path / "page.md").read_text()


def test_a_run_that_falls_short_is_kept_to_go_on_with_and_a_complete_one_is_not(tmp_path: Path) -> None:
    page, run = tmp_path / "page.md", tmp_path / "1.json"
    keep(run, {"a.py::one": told(60, *ALL_OK[1:])})
    assert main([str(page), str(run)]) == 1
    assert kept(run)["a.py::one"].rows == ALL_OK[1:]
    keep(run, {"a.py::one": told(60, *ALL_OK)})
    assert main([str(page), str(run)]) == 0
    assert kept(run) == {}


def test_a_run_that_is_not_whole_falls_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row may have a figure already, though another test of it has not ended, or a control of it failed."""
    page, run, other = tmp_path / "page.md", tmp_path / "1.json", tmp_path / "2.json"
    keep(run, {"a.py::one": told(60, *ALL_OK), "a.py::two": replace(told(0), passed=False)})
    assert main([str(page), str(run)]) == 1
    assert "a.py::two has not ended, or failed." in capsys.readouterr().out
    assert "This run is not whole: 1 of its tests" in page.read_text()
    keep(run, {"a.py::one": told(60, *ALL_OK)})
    assert main([str(page), str(run), str(other)]) == 1
    assert f"all of {other} has not ended" in capsys.readouterr().out
    assert main([str(page), str(run)]) == 0


def test_what_was_measured_at_a_smaller_size_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    small, full, failed = (
        Told([], passed, 1, "abc1234", [], share) for passed, share in ((True, 0.1), (True, 1), (False, 1))
    )
    monkeypatch.setenv("INFUSION_PROVE", "1")
    assert [small.stands, full.stands, failed.stands] == [False, True, False]
    monkeypatch.setenv("INFUSION_PROVE", "0.1")
    assert [small.stands, full.stands] == [True, False]


def test_a_test_has_passed_once_it_ended(tmp_path: Path) -> None:
    run = tmp_path / "1.json"
    gather = Gather(SimpleNamespace(getoption=lambda *_: str(run)))  # type: ignore[arg-type]

    def reported(test: str, when: str, outcome: str = "passed") -> None:
        gather.pytest_runtest_logreport(
            SimpleNamespace(
                nodeid=test, when=when, skipped=outcome == "skipped", failed=outcome == "failed",
                longrepr="E   it broke", proves=["R01"], proved_on="sqlite", duration=1.5, user_properties=[],
            )
        )  # fmt: skip

    gather.expect(["a.py::cut_short", "b.py::whole", "b.py::skipped"])
    reported("a.py::cut_short", "setup")
    for when in ("setup", "call", "teardown"):
        reported("b.py::whole", when)
        reported("b.py::fails", when, "failed" if when == "call" else "passed")
        reported("b.py::skipped", when, "skipped" if when == "call" else "passed")
    assert {test: (told.passed, told.seconds) for test, told in kept(run).items()} == {
        "a.py::cut_short": (False, 0),
        "b.py::whole": (True, 4.5),
        "b.py::fails": (False, 4.5),
    }
    assert [row.measured for row in kept(run)["b.py::fails"].rows] == ["the test stopped: it broke"]
