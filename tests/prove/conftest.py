"""Gathers what the tests here measure into one table, from every worker.

The same tests run in the ordinary suite at a small size, and under `make prove` (INFUSION_PROVE=1) at their full one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.prove.table import REQUIREMENTS, Row, keep, plain_table, share, suite_rows, time_table
from tests.web.conftest import (
    House,
    alarm,
    as_role,
    brought_in,
    claim_rows,
    drug_rows,
    fee_schedule,
    house,
    mark,
    next_door,
    no_touch_is_written,
    program,
    recheck,
    rules,
    stopped_job,
    values,
)

__all__ = [
    "House", "alarm", "as_role", "brought_in", "claim_rows", "drug_rows", "fee_schedule", "house", "mark", "next_door",
    "no_touch_is_written", "program", "recheck", "rules", "stopped_job",
    "values",
]  # fmt: skip

STOPPED = "the test stopped: "
Prove = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proof", default="", help="write down there what was measured, for docs/proof.md")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves(requirement): which row of the table a test fills")
    if share() and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Gather(config), "gather proofs")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    report.proves = [each.args[0] for each in item.iter_markers("proves")]
    report.proved_on = connection.vendor


class Gather:
    """Reads the figures out of the tests' reports, which reach the process that prints them from every worker."""

    def __init__(self, config: pytest.Config) -> None:
        self.path = config.getoption("--proof", "")
        self.measured: list[Row] = []
        self.outcomes: dict[str, dict[str, bool]] = defaultdict(dict)
        self.seconds: Counter[str] = Counter()

    @property
    def rows(self) -> list[Row]:
        told = {file: list(tests.values()) for file, tests in self.outcomes.items()}
        return self.measured + suite_rows(told)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[", ".join(getattr(report, "proves", [])) or report.nodeid.partition("::")[0]] += report.duration
        if report.skipped:
            return
        if report.when == "teardown":
            self.measured.extend(Row(*value) for name, value in report.user_properties if name == "proof")
        file = report.nodeid.partition("::")[0]
        self.outcomes[file][report.nodeid] = self.outcomes[file].get(report.nodeid, True) and not report.failed
        if report.failed and report.when != "teardown":
            words = str(report.longrepr).strip().splitlines()
            why = next((line[2:].strip() for line in words if line.startswith("E ")), words[-1] if words else "")
            for requirement in getattr(report, "proves", []):
                self.measured.append(Row(requirement, "", STOPPED + why[:160], False, "", report.proved_on))
        if self.path and report.when == "teardown":
            keep(Path(self.path), self.rows, self.seconds)  # a run that is cut short leaves what it measured

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("Proved")
        terminalreporter.write_line(plain_table(self.rows))
        terminalreporter.write_line(time_table(self.seconds))


@pytest.fixture
def prove(request: pytest.FixtureRequest) -> Iterator[Prove]:
    """Hands over one measured figure: prove("R01", "0 lost", "0 lost of 10,000", lost == 0).

    The test goes on, so that the table tells every shortfall at once, and fails at its end. `elsewhere` is for a
    figure that one machine cannot measure: why, and what was checked instead.
    """
    short: list[str] = []

    def hand_over(requirement: str, goal: str, measured: str, ok: bool, elsewhere: str = "") -> None:
        assert requirement in REQUIREMENTS, requirement
        row = (requirement, goal, measured, bool(ok), elsewhere, connection.vendor)
        request.node.user_properties.append(("proof", row))
        if not ok:
            short.append(f"{requirement} is short: {measured}; to reach: {goal}")

    yield hand_over
    if short:
        pytest.fail("\n".join(short))
