"""Measures, in the same Chromium and server as tests/browser, and gathers every figure into one table at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.test import Client
from playwright.sync_api import BrowserContext, Page

from infusion.models import User
from tests.browser.conftest import (
    base_url,
    browser_context_args,
    browser_problems,
    browser_type_launch_args,
    new_context,
)
from tests.ux.keys import Keys
from tests.ux.table import Row, keep, kept, passes, plain_table, write
from tests.web.conftest import (
    House,
    alarm,
    brought_in,
    claim_rows,
    drug_rows,
    fee_schedule,
    house,
    mark,
    next_door,
    order,
    program,
    recheck,
    rules,
    stopped_job,
    values,
)

__all__ = [
    "House",
    "alarm",
    "base_url",
    "brought_in",
    "browser_context_args",
    "browser_problems",
    "browser_type_launch_args",
    "claim_rows",
    "drug_rows",
    "fee_schedule",
    "house",
    "mark",
    "new_context",
    "next_door",
    "order",
    "program",
    "recheck",
    "rules",
    "stopped_job",
    "values",
]  # fmt: skip

ROWS = pytest.StashKey[list[Row]]()
STOPPED = "the test stopped: "
Enter = Callable[..., Page]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", default="", help="write the table of figures here, and fail if a row is missing")
    parser.addoption("--rows", default="", help="keep the figures here too, after those of the runs before")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "measures(requirement): which row of the table a test fills")
    config.stash[ROWS] = kept(Path(config.getoption("--rows")))
    if any("ux" in each for each in config.args):  # a run of all tests only passes by
        config.pluginmanager.register(Gather(config), "gather figures")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    report.requirements = [each.args[0] for each in item.iter_markers("measures")]


class Gather:
    """Reads the figures out of the tests' reports, which reach the process that prints them from every worker."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @property
    def rows(self) -> list[Row]:
        return self.config.stash[ROWS]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "teardown":
            self.rows.extend(Row(*value) for name, value in report.user_properties if name == "figure")
        if report.failed:
            words = str(report.longrepr).strip().splitlines()
            why = next((line[2:].strip() for line in words if line.startswith("E ")), words[-1] if words else "")
            for requirement in getattr(report, "requirements", []):
                self.rows.append(Row(requirement, "", STOPPED + why[:160], False))
        if report.when == "teardown":
            self.write()  # a run that is cut short leaves what it measured, and the rest as missing

    def write(self) -> None:
        if hasattr(self.config, "workerinput"):
            return
        if path := self.config.getoption("--rows"):
            keep(Path(path), self.rows)
        if path := self.config.getoption("--table"):
            write(Path(path), self.rows, f"{datetime.now().astimezone():%B %-d, %Y}{machine()}")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("Using it, measured")
        terminalreporter.write_line(plain_table(self.rows))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.config.getoption("--table") or hasattr(self.config, "workerinput"):
            return
        self.write()
        if not passes(self.rows):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def machine() -> str:
    """How busy the machine was: times are as good as that."""
    return f" (load {os.getloadavg()[1]:.1f} on {os.cpu_count()} processors)"


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str, str, bool], None]:
    """Hands over one measured figure; the test goes on, so that the table tells every shortfall at once."""

    def hand_over(requirement: str, goal: str, measured: str, ok: bool) -> None:
        request.node.user_properties.append(("figure", (requirement, goal, measured, bool(ok))))

    return hand_over


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    """The server's clock: noon in New York on the day of the worked example. `clock.shift` moves it on."""
    with time_machine.travel("2026-03-10T16:00:00Z") as traveller:
        yield traveller


@pytest.fixture
def enter(new_context: Callable[..., BrowserContext], live_server: Any) -> Enter:
    """A page of its own for someone who is signed in already, or for a visitor."""

    def make(user: User | None, size: tuple[int, int] = (1280, 800), **context: Any) -> Page:
        opened = new_context(**context)
        if user is not None:
            client = Client()
            client.force_login(user)
            cookie = client.cookies["sessionid"]
            opened.add_cookies([{"name": "sessionid", "value": cookie.value, "url": live_server.url}])
        page = opened.new_page()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        return page

    return make


@pytest.fixture
def keys() -> Callable[[Page], Keys]:
    return Keys
