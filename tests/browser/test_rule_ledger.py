"""Two admins change what a payer counts: one drafts and sees what would change, the other publishes it."""

from collections.abc import Callable
from datetime import date

import pytest
import time_machine
from playwright.sync_api import Locator, Page, expect

from infusion.models import Encounter, User
from payers.models import Payer

FRIDAY, MONDAY = date(2026, 3, 13), date(2026, 3, 16)
# Running minutes and the units of 96366 before and after: 150 = 60 + 60 + 30.
VISITS = ((90, 0, 1), (91, 1, 1), (149, 1, 1), (150, 1, 2), (151, 2, 2))


def sign_in(page: Page, user: User, password: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/encounters/**")


def line(page: Page, encounter: Encounter) -> Locator:
    """The further-hour line of an encounter's review, with its reasons."""
    page.goto(f"/encounters/{encounter.public_id}/review/")
    return page.get_by_role("main")


def draft_thirty_minutes(page: Page) -> None:
    page.goto("/payers/")
    page.get_by_role("link", name="Medicare").click()
    page.get_by_role("link", name="Minutes that earn another hour", exact=True).click()
    page.get_by_label("Value", exact=True).fill("30")
    page.get_by_label("From", exact=True).fill("2026-03-16")
    page.get_by_label("Source document", exact=True).fill("Bulletin 12")
    page.get_by_label("Read on", exact=True).fill("2026-03-09")
    page.get_by_role("button", name="Save as a draft").click()


def test_a_rule_from_next_monday(
    page: Page, new_context, transactional_db, visited: Callable[..., Encounter], medicare: Payer, biller: User,
    admin_user: User, admin2: User, password: str, axe: Callable[[Page], None],
) -> None:  # fmt: skip
    with time_machine.travel("2026-03-10T15:00:00Z"):
        for minutes, _, _ in VISITS:
            visited(minutes, medicare)
        sign_in(page, admin_user, password)
        draft_thirty_minutes(page)
        expect(page.locator("#impact")).to_contain_text("2 of 5 encounters change")
        expect(page.locator("#impact")).to_contain_text("+2 units of 96366")
        expect(page.locator(".impact-rows tbody")).to_have_count(2)
        expect(page.get_by_role("row", name="P-90-9 March 9, 2026 90 96366 0 1")).to_be_visible()
        expect(page.get_by_role("row", name="P-150-9 March 9, 2026 150 96366 1 2")).to_be_visible()
        axe(page)
        page.get_by_role("button", name="Send to a second admin").click()
        expect(page.get_by_role("button", name="Publish", exact=True)).to_have_count(0)
        proposal = page.url

        second = new_context().new_page()
        sign_in(second, admin2, password)
        second.goto(proposal)
        expect(second.locator("#impact")).to_contain_text("2 of 5 encounters change")
        axe(second)
        second.get_by_role("button", name="Publish", exact=True).click()
        expect(second.get_by_role("status")).to_contain_text("Today’s policy stays as it is.")

    with time_machine.travel("2026-03-17T15:00:00Z"):
        before = visited(150, medicare, FRIDAY, until="with billing")
        after = visited(150, medicare, MONDAY, until="with billing")
        desk = new_context().new_page()
        sign_in(desk, biller, password)
        expect(line(desk, before)).to_contain_text("31 past a full hour earn another unit")
        expect(line(desk, after)).to_contain_text("30 past a full hour earn another unit")
        expect(line(desk, after)).to_contain_text("Bulletin 12, read March 9, 2026")


@pytest.mark.parametrize("width", [360])
def test_what_would_change_fits_and_is_accessible(
    page: Page, transactional_db, visited, medicare: Payer, admin_user: User, password: str, axe, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    with time_machine.travel("2026-03-10T15:00:00Z"):
        visited(90, medicare)
        sign_in(page, admin_user, password)
        draft_thirty_minutes(page)
        impact = page.locator("a", has_text="See all 1")
        address = impact.get_attribute("href") or ""
        for each in (page.url, address, "/rules/disagreements/", "/payers/medicare/compare/", "/payers/pack/"):
            page.goto(each)
            fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert page.evaluate(fits), each
            axe(page)
