"""A day of billing worked by keyboard, on a year of invented encounters.

`make bench` runs the same on 10,000 of them; the suite is content with a few hundred.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from infusion.management.demo_years import Year
from infusion.models import Approval, Clinic, Encounter, User
from payers.actions import Departure, publish_override
from payers.models import Payer
from tests.ux.keys import Keys

ENCOUNTERS, FEWER = int(os.environ.get("WORKLIST_ENCOUNTERS", "1200")), 260
VISITS, MOST_KEYS = 20, 60
Axe = Callable[[Page], None]


@pytest.fixture
def year(request: pytest.FixtureRequest, clinic: Clinic, nurse: User, biller: User, medicare: Payer) -> Clinic:
    """A year at the clinic, all of it billed to Medicare, so that most of it is ready."""
    Year(clinic, [nurse], biller, getattr(request, "param", FEWER)).add()
    return clinic


@pytest.fixture
def at_the_list(page: Page, year: Clinic, biller: User, password: str) -> Page:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(biller.username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url("/encounters/")
    page.wait_for_load_state()  # the keys are listened to from then on
    return page


def rows_ready(page: Page) -> Any:
    return page.locator("tr[data-unfit='']")


@pytest.mark.parametrize("year", [ENCOUNTERS], indirect=True)
def test_a_day_of_billing_by_keyboard(at_the_list: Page, axe: Axe) -> None:
    page, keys = at_the_list, Keys(at_the_list)
    before = Approval.objects.count()
    page.goto("/encounters/?view=with-billing&drug=J2350&drug=J2323&drug=J0490&hold=no&sort=findings")
    axe(page)
    said = page.locator("[data-said]")

    # Ten, one key each: a row that is approved moves on to the next.
    keys.press("j")
    for number in range(VISITS // 2):
        row = page.locator("tr.here")
        reference = row.locator(".reference").inner_text()
        keys.press("a")
        expect(said).to_have_text(f"{reference} is approved.")
        expect(page.locator("tr .state", has_text="Approved")).to_have_count(number + 1)
    # Ten more, selected and looked at before they are approved.
    for _ in range(VISITS // 2):
        keys.press("x", "j")
    expect(page.locator("[data-selected]")).to_contain_text(f"{VISITS // 2} selected.")
    keys.press("a")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Approve {VISITS // 2} of {VISITS // 2} selected")
    assert Approval.objects.count() == before + VISITS // 2, "nothing of the selection is done yet"
    axe(page)
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{VISITS // 2} approved")
    assert Approval.objects.count() == before + VISITS
    assert keys.count <= MOST_KEYS
    assert keys.mouse_events == 0
    print(f"{VISITS} visits among {ENCOUNTERS} encounters approved with {keys.count} keys")  # noqa: T201

    keys.press("Enter")
    expect(page).to_have_url(re.compile("view=with-billing.*drug=J2350"))
    assert rows_ready(page).count() > 0


def test_what_has_a_warning_is_not_approved_by_a_key(at_the_list: Page, year: Clinic) -> None:
    page = at_the_list
    publish_override(
        by=None, payer=Payer.objects.get(slug="medicare"), status="unverified",
        departure=Departure(
            parameter="infusion_minimum_minutes", value=16, effective_from=date(2020, 1, 1),
            source_document="Bulletin", source_read_on=date(2026, 1, 2),
        ),
    )  # fmt: skip
    page.goto("/encounters/?view=warnings")
    before = Approval.objects.count()
    page.keyboard.press("a")
    expect(page.locator("[data-said]")).to_contain_text("Press j to go to the first one.")
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator("[data-said]")).to_contain_text("is not approved. Warnings to acknowledge:")
    assert Approval.objects.count() == before
    page.keyboard.press("e")
    expect(page.get_by_role("heading", name="Before you approve")).to_be_visible()


def test_an_approval_is_taken_back_in_its_row(at_the_list: Page) -> None:
    page = at_the_list
    page.goto("/encounters/?view=with-billing&sort=findings&hold=no")
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.get_by_role("button", name="Take the approval of").click()
    expect(page.locator("[data-said]")).to_contain_text("is with billing again.")
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("With billing")
    expect(row.get_by_role("checkbox")).to_be_enabled()


def test_keys_leave_text_fields_alone_and_can_be_turned_off(at_the_list: Page) -> None:
    page = at_the_list
    page.keyboard.press("/")
    search = page.get_by_label("Patient reference", exact=True)
    expect(search).to_be_focused()
    page.keyboard.type("ric-1000/jkxea?")
    expect(search).to_have_value("ric-1000/jkxea?")
    expect(page.locator("tr.here")).to_have_count(0)
    search.fill("RIC-1000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Filters that are set")).to_contain_text("Reference with RIC-1000")
    assert "1000" not in page.url
    page.keyboard.press("?")
    expect(page.get_by_text("Search by patient reference")).to_be_visible()
    page.get_by_role("button", name="Turn the keys off for me").click()
    expect(page.get_by_text("The keys of the list are off for you.")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator("tr.here")).to_have_count(0)


def test_all_that_match_are_offered_and_counted(at_the_list: Page) -> None:
    page = at_the_list
    page.goto("/encounters/?view=all")
    total = Encounter.objects.count()
    everything = page.get_by_role("checkbox", name=f"All {total} that match")
    expect(everything).to_be_hidden()
    page.get_by_role("checkbox", name="All on this page").check()
    expect(page.locator("[data-selected]")).to_have_text(f"50 selected. Select all {total} that match?")
    everything.check()
    expect(page.locator("[data-selected]")).to_have_text(f"All {total} that match are selected.")
    page.get_by_role("button", name="Approve selected").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"of {total} selected")
    expect(page.get_by_role("heading", name="Left out, and why")).to_be_visible()


@pytest.mark.parametrize("width", [360])
def test_the_list_fits_and_passes_axe(at_the_list: Page, axe: Axe, width: int) -> None:
    page = at_the_list
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/encounters/?view=all&payer=medicare&from=2020-01-01", "/encounters/?view=with-billing"):
        page.goto(path)
        for summary in page.locator("main summary").all():
            summary.click()
        axe(page)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{path} is {overflow} px too wide at {width}"


def test_without_a_script(
    new_context: Callable[..., BrowserContext], year: Clinic, biller: User, password: str
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/accounts/login/?next=/encounters/%3Fview=with-billing%26drug=J2323%26sort=findings%26hold=no")
    page.get_by_label("Username").fill(biller.username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("checkbox", name="Select RIC").first.check()
    page.get_by_role("button", name="Approve selected").click()
    page.get_by_role("button", name="Approve 1").click()
    expect(page.get_by_role("heading", name="1 approved")).to_be_visible()
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("heading", name="1 taken back")).to_be_visible()
