"""One infusion through all three roles in a real Chromium, each person in a browser of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import time_machine
from playwright.sync_api import BrowserContext, Locator, Page, expect

from infusion.models import Approval, Encounter, User
from payers.models import Payer, PolicyOverride


@pytest.fixture(autouse=True)
def on_march_10() -> Iterator[None]:
    with time_machine.travel("2026-03-10T16:00:00Z"):
        yield


@pytest.fixture
def signed_in(new_context: Callable[..., BrowserContext], password: str) -> Callable[[User], Page]:
    def enter(user: User) -> Page:
        page = new_context().new_page()
        page.goto("/accounts/login/")
        page.get_by_label("Username").fill(user.username)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/encounters/")
        return page

    return enter


def field(place: Page | Locator, label: str) -> Locator:
    return place.get_by_label(label, exact=True).first


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def expect_units_of_96366(page: Page, units: str) -> None:
    table = page.get_by_role("table", name="Service lines")
    row = table.get_by_role("row").filter(has=page.get_by_role("cell", name="96366", exact=True))
    expect(row.get_by_role("cell").nth(2)).to_have_text(units)


def enter_sarah(page: Page, reference: str, day: str = "2026-03-10") -> None:
    page.get_by_role("link", name="New encounter").first.click()
    field(page, "Patient reference").fill(reference)
    field(page, "Payer").select_option(label="Medicare")
    field(page, "Date of service").fill(day)
    field(page, "Diagnosis").fill("G35.A")
    drug = page.get_by_role("group", name="Drug 1", exact=True)
    for label, value in (
        ("Drug", "Ocrelizumab"), ("Start", "0900"), ("Stop", "1130"), ("Ordered (mg)", "600"),
        ("Administered (mg)", "600"),
    ):  # fmt: skip
        field(drug, label).fill(value)
    field(drug, "Vial size (mg)").select_option("300")
    field(drug, "Vials (count)").fill("2")


def thirty_minutes_from_next_month(page: Page, second: Page) -> None:
    page.get_by_role("link", name="Payers").first.click()
    page.get_by_role("link", name="Medicare").click()
    page.get_by_role("link", name="Minutes that earn another hour", exact=True).click()
    field(page, "Value").fill("30")
    field(page, "From").fill("2026-04-01")
    field(page, "Source document").fill("Provider bulletin 12")
    field(page, "Read on").fill("2026-03-09")
    button(page, "Save as a draft").click()
    button(page, "Send to a second admin").click()
    expect(page.get_by_role("heading", name="What is proposed")).to_be_visible()
    second.goto(page.url)
    button(second, "Publish").click()
    expect(second.get_by_role("status")).to_contain_text("Today’s policy stays as it is.")


def test_sarah_is_recorded_reviewed_and_approved_while_next_months_rule_waits(
    signed_in: Callable[[User], Page], nurse: User, biller: User, admin_user: User, admin2: User, medicare: Payer
) -> None:
    chair, desk, office = signed_in(nurse), signed_in(biller), signed_in(admin_user)

    enter_sarah(chair, "MRN-1001")
    expect_units_of_96366(chair, "1")
    button(chair, "Save draft").click()
    expect(chair.get_by_role("status").first).to_have_text("Saved as a draft.")
    button(chair, "Hand to billing").click()
    chair.wait_for_url("**/encounters/")

    thirty_minutes_from_next_month(office, signed_in(admin2))
    assert PolicyOverride.objects.get(known_until=None).effective_from.isoformat() == "2026-04-01"

    desk.reload()
    desk.get_by_role("link", name="MRN-1001", exact=True).click()
    expect_units_of_96366(desk, "1")
    expect(desk.get_by_role("checkbox", name="Acknowledge")).to_have_count(0)
    button(desk, "Approve").click()
    expect(desk.get_by_role("heading", name="Approved")).to_be_visible()

    approval = Approval.objects.get()
    assert '"code":"96366"' in approval.statement
    assert approval.approved_by == biller
    for page in (chair, office):
        page.goto("/encounters/?view=all")
        row = page.get_by_role("listitem").or_(page.get_by_role("row")).filter(has_text="MRN-1001").first
        expect(row).to_contain_text("Approved")

    enter_sarah(chair, "MRN-1002", day="2026-04-01")
    expect_units_of_96366(chair, "2")
    field(chair, "Date of service").fill("2026-03-31")
    expect_units_of_96366(chair, "1")
    assert Encounter.objects.count() == 1
