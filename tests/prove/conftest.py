"""Gathers what the tests here measure into one table, from every worker.

The same tests run in the ordinary suite at a small size, and under `make prove` (INFUSION_PROVE=1) at their full one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.prove.table import (
    REQUIREMENTS,
    Row,
    Run,
    Told,
    keep,
    kept,
    plain_table,
    rows_of,
    seconds_of,
    share,
    this_commit,
    time_table,
)
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
    order,
    program,
    recheck,
    rules,
    stopped_job,
    values,
)

__all__ = [
    "House", "alarm", "as_role", "brought_in", "claim_rows", "drug_rows", "fee_schedule", "house", "mark", "next_door",
    "no_touch_is_written", "order", "program", "recheck", "rules", "stopped_job",
    "values",
]  # fmt: skip

STOPPED = "the test stopped: "
Prove = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--proof", default="", help="write down there what was measured, for docs/proof.md, and leave out what passed"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves(requirement): which row of the table a test fills")
    if share() and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Gather(config), "gather proofs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what has passed before. A worker is told by the process that started it, since the file grows."""
    gather = config.pluginmanager.get_plugin("gather proofs")
    passed = set(gather.passed if gather else getattr(config, "workerinput", {}).get("passed", ()))
    if left_out := [item for item in items if item.nodeid in passed]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid not in passed]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    report.proves = [each.args[0] for each in item.iter_markers("proves")]
    report.proved_on = connection.vendor


class Gather:
    """Reads the figures out of the tests' reports, which reach the process that prints them from every worker."""

    def __init__(self, config: pytest.Config) -> None:
        written = config.getoption("--proof", "")
        self.path = Path(written) if written else None
        before = kept(self.path) if self.path else {}
        self.run = {test: told for test, told in before.items() if told.stands}
        self.under_way: Run = {}  # a test that is cut short is not kept, though another worker's ends meanwhile
        self.skipped: set[str] = set()
        self.passed = list(self.run)
        self.commit = this_commit()

    def expect(self, tests: Iterable[str]) -> None:
        """Until they end, these have not passed: a run that is cut short is not taken for a whole one."""
        for test in tests:
            self.run.setdefault(test, Told([], False, 0, self.commit, [], share()))
        if self.path:
            keep(self.path, self.run)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.expect(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Iterable[str]) -> None:
        self.expect(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["passed"] = self.passed

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.skipped:
            self.skipped.add(report.nodeid)
        proves = getattr(report, "proves", [])
        told = self.under_way.get(report.nodeid) or Told(proves, True, 0, self.commit, [], share())
        rows = list(told.rows)
        if report.when == "teardown":
            rows += [Row(*value) for name, value in report.user_properties if name == "proof"]
        elif report.failed:
            words = str(report.longrepr).strip().splitlines()
            why = next((line[2:].strip() for line in words if line.startswith("E ")), words[-1] if words else "")
            rows += [Row(each, "", STOPPED + why[:160], False, "", report.proved_on) for each in proves]
        passed = told.passed and not report.failed
        told = replace(told, passed=passed, seconds=told.seconds + report.duration, rows=rows)
        self.under_way[report.nodeid] = told
        if report.when != "teardown":
            return
        del self.under_way[report.nodeid]
        if report.nodeid in self.skipped:
            self.run.pop(report.nodeid, None)
        else:
            self.run[report.nodeid] = told
        if self.path:
            keep(self.path, self.run)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("Proved")
        terminalreporter.write_line(plain_table(rows_of(self.run)))
        terminalreporter.write_line(time_table(seconds_of(self.run)))


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
