"""The sheets on paper: one page of Letter and of A4, no navigation, readable in grey."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from playwright.sync_api import BrowserContext, Page, expect

from infusion.actions import Recorded, approve, hand_to_billing, save_encounter
from infusion.models import Clinic, Encounter, User
from infusion.selectors import review_of
from tests.browser.test_nothing_lost import sign_in

WIDTHS = (360, 1280)
PAGE_OF_PDF = re.compile(rb"/Type\s*/Page\b")
NO_SCROLL = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
# The luminance of every text on the sheet against white, or against the bar that it stands on.
GREY = """() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((each) => each / 255);
    const line = (each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * line(r) + 0.7152 * line(g) + 0.0722 * line(b);
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const found = [];
  for (const each of document.querySelectorAll('.paper, .paper *')) {
    if (![...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
    const style = getComputedStyle(each), box = each.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const ink = each instanceof SVGElement ? style.fill : style.color;
    const bar = each.matches('.on-run') ? light(getComputedStyle(document.querySelector('.timeline .run')).fill) : 1;
    found.push([each.textContent.trim().slice(0, 30), contrast(light(ink), bar)]);
  }
  return found;
}"""
SEEN = (
    """(selector) => [...document.querySelectorAll(selector)].filter((each) => each.getClientRects().length).length"""
)


@pytest.fixture(autouse=True)
def on_march_10() -> Iterator[None]:
    with time_machine.travel("2026-03-10T16:00:00Z"):
        yield


@pytest.fixture
def approved(live_server: Any, clinic: Clinic, nurse: User, biller: User, sarah: Recorded) -> Encounter:
    encounter = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    encounter = hand_to_billing(by=nurse, encounter=encounter, version=encounter.version)
    approve(
        by=biller, encounter=encounter, version=encounter.version, acknowledged=(),
        content_hash=review_of(encounter).content_hash,
    )  # fmt: skip
    return encounter


@pytest.fixture
def signed_in(new_context: Callable[..., BrowserContext], password: str) -> Callable[..., Page]:
    def enter(user: User) -> Page:
        page = new_context().new_page()
        page.goto("/accounts/login/")
        sign_in(page, user, password)
        return page

    return enter


def pages_of(page: Page, paper: str) -> int:
    return len(PAGE_OF_PDF.findall(page.pdf(format=paper)))


@pytest.mark.parametrize("sheet", ["charge", "downtime"])
def test_a_sheet_is_one_page_without_navigation_and_readable_in_grey(
    sheet: str, signed_in: Any, nurse: User, biller: User, approved: Encounter, axe: Callable[[Page], None]
) -> None:
    for user in (nurse, biller):
        page = signed_in(user)
        page.goto("/downtime-sheet/" if sheet == "downtime" else f"/encounters/{approved.public_id}/sheet/")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            axe(page)
            assert page.evaluate(NO_SCROLL), width
        expect(page.get_by_role("button", name="Print")).to_be_visible()
        assert page.evaluate(SEEN, "nav, .masthead, .colophon, .paper-actions") > 2
        assert {paper: pages_of(page, paper) for paper in ("Letter", "A4")} == {"Letter": 1, "A4": 1}
        page.emulate_media(media="print")
        axe(page)
        assert page.evaluate(SEEN, "nav, .masthead, .skip, .colophon, .paper-actions, form, button, dialog") == 0
        texts = page.evaluate(GREY)
        assert len(texts) > 20
        assert [text for text, contrast in texts if contrast < 7] == []


def test_two_pages_are_counted(page: Page) -> None:
    page.set_content("<p>one</p><p style='break-before: page'>two</p>")
    assert pages_of(page, "A4") == 2
