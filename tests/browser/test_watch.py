"""The watch that every browser test stands under sees what it is there to see."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page


def test_a_script_error_is_noted(page: Page, browser_problems: list[str]) -> None:
    page.goto("data:text/html,<title>x</title><script>missing()</script>")
    page.wait_for_function("document.readyState === 'complete'")
    assert any("missing is not defined" in problem for problem in browser_problems)
    browser_problems.clear()


def test_a_request_to_another_host_is_noted(page: Page, browser_problems: list[str]) -> None:
    page.goto("data:text/html,<title>x</title><img src='http://127.0.0.1:9/pixel.png'>")
    assert any(problem == "asked another host: http://127.0.0.1:9/pixel.png" for problem in browser_problems)
    browser_problems.clear()


def test_a_picture_without_words_is_seen_by_axe(
    page: Page, axe: Callable[[Page], None], browser_problems: list[str]
) -> None:
    picture = "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"
    page.goto(f"data:text/html,<html lang=en><title>x</title><main><h1>x</h1>{picture}</main>")
    with pytest.raises(AssertionError, match="image-alt"):
        axe(page)
    browser_problems.clear()
