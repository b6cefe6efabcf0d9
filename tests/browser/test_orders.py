"""An order in a real Chromium: few taps, no scrolling sideways, nothing for axe to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from playwright.sync_api import BrowserContext, Page, expect

from infusion.models import Order, User
from payers.models import Payer

WIDTHS = (360, 1280)
NO_SCROLL = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SMALL = """() => [...document.querySelectorAll('main :is(button, input:not([type=hidden]), select, summary, .btn)')]
  .map((each) => [each, (each.closest('label') || each).getBoundingClientRect()])
  .filter(([each, box]) => !each.matches('.first-submit') && box.width > 0 && box.height < 43.9)
  .map(([each]) => each.textContent.trim().slice(0, 30) || each.id)"""


@pytest.fixture(autouse=True)
def on_march_10() -> Iterator[None]:
    with time_machine.travel("2026-03-10T11:00:00Z"):
        yield


@pytest.fixture
def signed_in(new_context: Callable[..., BrowserContext], password: str, nurse: User) -> Callable[..., Page]:
    def enter(**context: Any) -> Page:
        page = new_context(**context).new_page()
        page.goto("/accounts/login/")
        page.get_by_label("Username").fill(nurse.username)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/encounters/")
        return page

    return enter


@pytest.mark.parametrize("scripts", [True, False])
def test_an_order_is_kept_and_taken_off_the_day(
    signed_in: Callable[..., Page], medicare: Payer, axe: Callable[[Page], None], scripts: bool
) -> None:
    page = signed_in(java_script_enabled=scripts)
    page.get_by_role("link", name="Orders", exact=True).click()
    page.get_by_role("link", name="New order").click()
    page.get_by_label("Patient reference").fill("MRN-1001")
    page.get_by_label("Drug", exact=True).fill("Ocrelizumab")
    page.get_by_label("Dose (mg)").fill("600")
    page.get_by_label("Time").fill("0900")
    page.get_by_label("Payer").select_option(label="Medicare")
    if scripts:
        expect(page.locator("#vials-note")).to_contain_text("2 vials of 300 mg: nothing is left over.")
        expect(page.get_by_role("region", name="From the drug’s label")).to_contain_text("splits the first dose")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(NO_SCROLL)
            assert page.evaluate(SMALL) == []
            axe(page)
    page.get_by_role("button", name="The usual set").click()
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(3)
    page.get_by_role("button", name="Keep the order").click()
    expect(page.get_by_role("status")).to_have_text("Ordered for Tuesday, March 10, 2026 at 09:00.")
    assert Order.objects.get().vials == [["300", 2]]
    page.get_by_text("Take off the day").first.click()
    if scripts:
        axe(page)
        assert page.evaluate(NO_SCROLL)
        assert page.evaluate(SMALL) == []
    page.get_by_label("Why").fill("Fever")
    page.get_by_role("button", name="Take off the day").click()
    expect(page.get_by_role("status")).to_have_text("Taken off the day.")
    expect(page.get_by_text("Nothing is ordered for today.")).to_be_visible()
