"""A vial that is new on the market: one admin drafts it, another publishes it, and a nurse opens it from its day on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import time_machine
from playwright.sync_api import BrowserContext, Locator, Page, expect

from infusion.models import Encounter, User
from infusion.selectors import review_of
from payers.models import Payer


@pytest.fixture(autouse=True)
def on_march_10() -> Iterator[None]:
    with time_machine.travel("2026-03-10T20:00:00Z"):
        yield


@pytest.fixture
def signed_in(new_context: Callable[..., BrowserContext], password: str) -> Callable[..., Page]:
    def enter(user: User, width: int = 1280) -> Page:
        page = new_context().new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("/accounts/login/")
        page.get_by_label("Username").fill(user.username)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/encounters/")
        return page

    return enter


def field(place: Page | Locator, label: str) -> Locator:
    return place.get_by_label(label, exact=True).first


def draft_a_vial(page: Page) -> None:
    page.get_by_role("link", name="Drugs", exact=True).click()
    page.get_by_role("link", name="Ocrelizumab", exact=True).click()
    page.get_by_role("link", name="Change it or add an NDC").click()
    field(page, "First day").fill("2026-03-10")
    field(page, "Milligrams, size 2").fill("600")
    field(page, "mL, size 2").fill("20")
    field(page, "NDC, size 2").fill("50242-0150-86")
    field(page, "Source document").fill("Label of 2026")
    field(page, "Read on").fill("2026-03-09")
    page.get_by_role("button", name="Save as a draft").click()


def sizes_offered(page: Page, day: str) -> Locator:
    """The vials that the nurse's form offers for ocrelizumab on a day."""
    page.goto("/encounters/new/")
    field(page, "Patient reference").fill("MRN-1001")
    field(page, "Payer").select_option(label="Medicare")
    field(page, "Date of service").fill(day)
    field(page, "Diagnosis").fill("G35.A")
    drug = page.get_by_role("group", name="Drug 1", exact=True)
    for label, value in (
        ("Drug", "Ocrelizumab"), ("Start", "0900"), ("Stop", "1130"), ("Ordered (mg)", "600"),
        ("Administered (mg)", "600"),
    ):  # fmt: skip
        field(drug, label).fill(value)
    return field(drug, "Vial size (mg)")


@pytest.mark.parametrize("width", [360])
def test_a_new_vial_is_drafted_published_and_opened(
    signed_in: Callable[..., Page], admin_user: User, admin2: User, nurse: User, biller: User, medicare: Payer,
    axe: Callable[[Page], None], width: int,
) -> None:  # fmt: skip
    office = signed_in(admin_user, width)
    draft_a_vial(office)
    expect(office.locator("#impact")).to_contain_text("0 of 0 encounters change")
    axe(office)
    office.get_by_role("button", name="Send to a second admin").click()
    expect(office.get_by_role("button", name="Publish", exact=True)).to_have_count(0)

    chair = signed_in(nurse)
    size = sizes_offered(chair, "2026-03-10")
    expect(size.locator("option[value='300']")).to_have_count(1)
    expect(size.locator("option[value='600']")).to_have_count(0)

    second = signed_in(admin2, width)
    second.goto(office.url)
    axe(second)
    second.get_by_role("button", name="Publish", exact=True).click()
    expect(second.get_by_role("status")).to_contain_text("Published as unverified: J2350 from March 10, 2026.")
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    for address in ("/drugs/", "/drugs/J2350/", "/drugs/add/", second.url):
        second.goto(address)
        assert second.evaluate(fits), address
        axe(second)

    size = sizes_offered(chair, "2026-03-09")
    expect(size.locator("option[value='300']")).to_have_count(1)
    expect(size.locator("option[value='600']")).to_have_count(0)
    size = sizes_offered(chair, "2026-03-10")
    size.select_option("600")
    field(chair.get_by_role("group", name="Drug 1", exact=True), "Vials (count)").fill("1")
    chair.get_by_role("button", name="Save draft").click()
    expect(chair.get_by_role("status").first).to_have_text("Saved as a draft.")
    encounter = Encounter.objects.get()
    [line] = [line for line in review_of(encounter).statement.lines if line.code == "J2350"]
    assert (line.units, [(each.ndc, each.quantity) for each in line.ndcs]) == (600, [("50242015086", 20)])
    chair.get_by_role("button", name="Hand to billing", exact=True).click()
    chair.wait_for_url("**/encounters/")

    desk = signed_in(biller)
    desk.goto(f"/encounters/{encounter.public_id}/review/")
    row = desk.get_by_role("table", name="Service lines").get_by_role("row").filter(has_text="J2350")
    expect(row).to_contain_text("600")
