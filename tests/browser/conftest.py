"""A real Chromium for every test in this folder; console errors and requests to another host fail the test."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Request, expect

# A machine at work on other things too may take this long; what people wait for is measured by `make ux`.
expect.set_options(timeout=20_000)

LOCAL_SCHEMES = ("data:", "blob:", "about:")


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.browser)
    # Two processors share servers, browsers and the rest of the suite. What fails is tried once more and named at
    # the end of the run; what fails twice fails.
    item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("Chromium is missing, so no page can be tried. Install Debian's package chromium.")
    return {
        **browser_type_launch_args,
        "executable_path": chromium,
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ],
    }


@pytest.fixture(scope="session")
def base_url(live_server: Any) -> str:
    return live_server.url


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_context_args,
        "viewport": {"width": 1280, "height": 800},
        "locale": "en-US",
        "timezone_id": "America/New_York",
    }


@pytest.fixture
def browser_problems() -> list[str]:
    """What went wrong in any page of this test; a test that provokes a problem on purpose looks at it and clears it."""
    return []


@pytest.fixture
def new_context(
    new_context: Callable[..., BrowserContext], live_server: Any, browser_problems: list[str]
) -> Iterator[Callable[..., BrowserContext]]:
    """pytest-playwright's own factory, so `page`, `context` and every context a test makes are watched alike."""

    def note_foreign(request: Request) -> None:
        if not request.url.startswith((live_server.url + "/", *LOCAL_SCHEMES)):
            browser_problems.append(f"asked another host: {request.url}")

    def make(**kwargs: Any) -> BrowserContext:
        context = new_context(**kwargs)
        context.on("request", note_foreign)
        context.on("weberror", lambda error: browser_problems.append(f"script error: {error.error}"))
        context.on(
            "console",
            lambda message: browser_problems.append(f"console: {message.text}") if message.type == "error" else None,
        )
        return context

    yield make
    assert browser_problems == []


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """Asserts that a page has no accessibility violation that axe can see."""

    def check(page: Page) -> None:
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()

    return check
