"""Signing in and out in a real Chromium."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from infusion.models import User


def sign_in(page: Page, username: str, password: str) -> None:
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("width", [360, 1280])
def test_errors_are_told_at_the_top_and_lead_to_their_field(
    page: Page, nurse: User, width: int, axe: Callable[[Page], None]
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/accounts/login/")
    axe(page)
    sign_in(page, "nurse", "")
    expect(page).to_have_title("Error: Sign in – Infusion Units")
    expect(page.locator("#error-summary")).to_be_focused()
    expect(page.get_by_label("Username")).to_have_value("nurse")
    axe(page)
    page.get_by_role("link", name="Password: enter your password.").click()
    expect(page.get_by_label("Password")).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_going_back_after_signing_out_shows_nothing(page: Page, nurse: User, password: str) -> None:
    page.goto("/accounts/login/")
    sign_in(page, "nurse", password)
    expect(page.get_by_role("link", name="L. Ames, RN")).to_be_visible()
    page.goto("/encounters/new/")
    expect(page.get_by_label("Patient reference")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_label("Patient reference")).to_have_count(0)
    expect(page.get_by_text("L. Ames, RN")).to_have_count(0)


def test_the_pages_for_people_keep_to_the_strict_policy(page: Page, db: None, password: str) -> None:
    """A script or style that the policy stops would be told in the console, which the watch reads."""
    User.objects.create_superuser("root", password=password)
    page.goto("/admin/")
    sign_in(page, "root", password)
    expect(page).to_have_url("/admin/")
    for address in ("infusion/user/", "infusion/user/add/", "infusion/clinic/add/", "auth/group/"):
        page.goto(f"/admin/{address}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
