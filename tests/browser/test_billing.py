"""A biller's day in a real Chromium: the list, the reasons, the warnings, the approval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from infusion.actions import Recorded, hand_to_billing, return_to_nurse, save_encounter
from infusion.models import Clinic, Encounter, User
from infusion.services.facts import Discard
from payers.actions import Departure, add_payer, publish_override
from payers.models import Payer

WIDTHS = (360,)
WASTE = {"administered": Decimal(580), "discards": (Discard(amount=Decimal(20), reason="vial_remainder"),)}
Axe = Callable[[Page], None]


@pytest.fixture
def payer(db: None) -> Callable[..., Payer]:
    """Makes a payer with one unverified rule."""

    def make(slug: str, name: str, parameter: str, value: object) -> Payer:
        made = add_payer(by=None, slug=slug, name=name)
        departure = Departure(
            parameter=parameter, value=value, effective_from=date(2024, 1, 1),
            source_document="Payer summary 001", source_read_on=date(2026, 1, 12),
        )  # fmt: skip
        publish_override(by=None, payer=made, departure=departure, status="unverified")
        return made

    return make


@pytest.fixture
def make(clinic: Clinic, nurse: User, sarah: Recorded) -> Callable[..., Encounter]:
    """Sarah's encounter with what a test changes, handed to billing."""

    def write(reference: str = "MRN-1001", payer: Payer | None = None, **given: Any) -> Encounter:
        administration = replace(sarah.facts.administrations[0], **given)
        recorded = replace(
            sarah, patient_reference=reference, payer=payer or sarah.payer,
            facts=replace(sarah.facts, administrations=(administration,)),
        )  # fmt: skip
        encounter = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
        return hand_to_billing(by=nurse, encounter=encounter, version=encounter.version)

    return write


@pytest.fixture
def sign_in(password: str) -> Callable[[Page, User], None]:
    def enter(page: Page, user: User) -> None:
        page.goto("/accounts/login/")
        page.get_by_label("Username").fill(user.username)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url("/encounters/")

    return enter


def service_lines(page: Page) -> list[tuple[str, str, str]]:
    table = page.get_by_role("table", name="Service lines")
    rows = table.locator("> tbody > tr")
    return [
        tuple(row.get_by_role("cell").nth(n).inner_text().strip() for n in range(3))  # type: ignore[misc]
        for row in rows.all()
    ]


def warnings(page: Page) -> Locator:
    return page.get_by_role("checkbox", name="Acknowledge")


def open_review(page: Page, reference: str) -> None:
    page.get_by_role("table", name="Encounters").get_by_role("link", name=reference, exact=True).click()


def approve(page: Page) -> None:
    page.get_by_role("button", name="Approve", exact=True).click()


def test_sarah_under_medicare_is_approved_without_a_warning(
    page: Page, make: Callable[..., Encounter], biller: User, sign_in: Any, axe: Axe
) -> None:
    make()
    sign_in(page, biller)
    row = page.get_by_role("row").filter(has_text="MRN-1001")
    expect(row).to_contain_text("With billing")
    expect(row).to_contain_text("Ready")
    open_review(page, "MRN-1001")

    expect(page.get_by_role("heading", name="Ocrelizumab, March 10, 2026")).to_be_visible()
    assert service_lines(page) == [("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600")]
    expect(warnings(page)).to_have_count(0)
    page.get_by_role("table", name="Service lines").get_by_text("Why?").nth(1).click()
    near = "1 more minute, a stop at 11:31, would have earned another hour: 96366 with 2 units instead of 1."
    expect(page.get_by_text(near)).to_be_visible()
    page.get_by_text("How it was reckoned").nth(1).click()
    expect(page.get_by_role("row", name="Running start to stop, less pauses 150 minutes")).to_be_visible()
    axe(page)
    approve(page)

    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    expect(page.get_by_text("MRN-1001 is approved.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert service_lines(page) == [("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600")]
    axe(page)
    page.goto("/encounters/?view=approved")
    expect(page.get_by_role("row").filter(has_text="MRN-1001")).to_contain_text("Approved")


def test_the_thirty_minute_plan_names_its_rule_and_wants_it_acknowledged(
    page: Page, make: Callable[..., Encounter], payer: Callable[..., Payer], biller: User, sign_in: Any,
    axe: Axe, browser_problems: list[str],
) -> None:  # fmt: skip
    make(payer=payer("thirty", "30-Minute Plan", "additional_hour_minimum_minutes", 30))
    sign_in(page, biller)
    open_review(page, "MRN-1001")
    assert service_lines(page)[1] == ("96366", "", "2")
    warning = page.get_by_role("checkbox", name="Acknowledge: the rule on minutes that earn another hour is unverified")
    expect(warning).to_have_accessible_description(
        "Minutes that earn another hour: 30 minutes, by a rule of 30-Minute Plan that nobody has verified (Payer "
        "summary 001, read January 12, 2026). Check it before approving 96366. If it does not hold: 96366 has 1 unit "
        "instead of 2."
    )
    page.get_by_role("table", name="Service lines").get_by_text("Why?").nth(1).click()
    layers = page.get_by_role("list", name="Minutes that earn another hour: who says what").get_by_role("listitem")
    expect(layers).to_have_text(
        [
            "National baseline 31 minutes Verified",
            "30-Minute Plan 30 minutes Unverified",
        ]
    )

    approve(page)
    refusal = page.get_by_role("alert")
    expect(refusal).to_be_focused()
    expect(refusal).to_contain_text("left to acknowledge")
    assert len(browser_problems) == 1
    assert "422" in browser_problems.pop()
    axe(page)

    expect(page.get_by_text("1 warning is left to acknowledge.")).to_be_visible()
    warning.check()
    expect(page.get_by_text("All warnings are acknowledged.")).to_be_visible()
    approve(page)
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    assert service_lines(page)[1] == ("96366", "", "2")
    expect(page.get_by_role("complementary")).to_contain_text("by a rule of 30-Minute Plan that nobody has verified")


def test_anthem_discards_without_jw_and_names_the_rule(
    page: Page, make: Callable[..., Encounter], payer: Callable[..., Payer], biller: User, sign_in: Any
) -> None:
    make(payer=payer("anthem-bcbs", "Anthem BCBS", "discarded_drug", "not_billed"), **WASTE)
    sign_in(page, biller)
    page.get_by_role("link", name="Warnings 1").click()
    open_review(page, "MRN-1001")
    assert service_lines(page) == [("96365", "", "1"), ("96366", "", "1"), ("J2350", "", "580")]
    expect(page.get_by_text("mg discarded, not billed")).to_be_visible()
    warning = page.get_by_role("checkbox", name="Acknowledge: the rule on discarded drug is unverified")
    expect(page.get_by_text("If it does not hold: J2350 JW with 20 units is missing here.")).to_be_visible()
    warning.check()
    approve(page)
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    assert "JW" not in page.get_by_role("table", name="Service lines").inner_text()


def test_by_keyboard_alone(
    page: Page, make: Callable[..., Encounter], payer: Callable[..., Payer], biller: User, sign_in: Any
) -> None:
    make("MRN-1", payer=payer("thirty", "30-Minute Plan", "additional_hour_minimum_minutes", 30))
    make("MRN-2")
    sign_in(page, biller)

    def tab_to(target: Locator) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                covered = target.evaluate(
                    """element => { const box = element.getBoundingClientRect();
                    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
                    return !(element === top || element.contains(top) || top?.contains(element)); }"""
                )
                assert not covered, "the focused element lies under something"
                return
        raise AssertionError("Tab never reached it")

    tab_to(page.get_by_role("link", name="MRN-1", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Before you approve")).to_be_visible()
    tab_to(page.locator("summary", has_text="Each further hour"))
    page.keyboard.press("Enter")
    tab_to(page.locator("summary", has_text="How it was reckoned").nth(1))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Payer summary 001, read January 12, 2026").nth(1)).to_be_visible()
    tab_to(warnings(page).first)
    page.keyboard.press("Space")
    tab_to(page.get_by_role("button", name="Approve", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    tab_to(page.get_by_role("link", name="Next encounter"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Patient")).to_contain_text("Record MRN-2")
    tab_to(page.locator("summary", has_text="Return to nurse with a question"))
    page.keyboard.press("Enter")
    tab_to(page.get_by_label("What should the nurse answer?"))
    page.keyboard.type("Was there a pause?")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("MRN-2 is back with the nurse, together with your question.")).to_be_visible()
    expect(page.get_by_role("heading", name="Still with the nurse")).to_be_visible()


def test_without_a_script(
    new_context: Callable[..., BrowserContext], make: Callable[..., Encounter], payer: Callable[..., Payer],
    biller: User, sign_in: Any,
) -> None:  # fmt: skip
    make(payer=payer("thirty", "30-Minute Plan", "additional_hour_minimum_minutes", 30))
    page = new_context(java_script_enabled=False).new_page()
    sign_in(page, biller)
    open_review(page, "MRN-1001")
    expect(page.get_by_text("1 warning is left to acknowledge.")).to_be_visible()
    warnings(page).first.check()
    approve(page)
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_passes_axe(
    page: Page, make: Callable[..., Encounter], payer: Callable[..., Payer], biller: User, nurse: User,
    admin_user: User, sign_in: Any, axe: Axe, width: int,
) -> None:  # fmt: skip
    plan = payer("thirty", "30-Minute Plan", "additional_hour_minimum_minutes", 30)
    first, asked = make("MRN-1", payer=plan), make("MRN-2", payer=plan, **WASTE)
    return_to_nurse(by=biller, encounter=asked, version=asked.version, question="Was there a pause?")
    page.set_viewport_size({"width": width, "height": 800})
    for user, paths in (
        (nurse, ["/encounters/"]),
        (admin_user, ["/encounters/?view=all", f"/encounters/{first.public_id}/review/"]),
        (biller, ["/encounters/", "/encounters/?view=asked", "/encounters/?view=approved",
                  f"/encounters/{asked.public_id}/review/", f"/encounters/{first.public_id}/review/"]),
    ):  # fmt: skip
        page.context.clear_cookies()
        sign_in(page, user)
        for path in paths:
            page.goto(path)
            for summary in page.locator("main summary").all():
                summary.click()
            axe(page)
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, f"{path} is {overflow} px too wide at {width}"
    for button in (page.get_by_role("button", name="Approve", exact=True), page.get_by_text("Return to nurse with a")):
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44


def test_the_patient_stays_in_sight(page: Page, make: Callable[..., Encounter], biller: User, sign_in: Any) -> None:
    make()
    page.set_viewport_size({"width": 360, "height": 640})
    sign_in(page, biller)
    open_review(page, "MRN-1001")
    page.get_by_role("button", name="Approve", exact=True).scroll_into_view_if_needed()
    page.mouse.wheel(0, 600)
    band = page.get_by_role("region", name="Patient")
    expect(band).to_contain_text("Sarah Lindqvist")
    expect(band).to_contain_text("Born June 2, 1984")
    expect(band).to_be_in_viewport(ratio=1)
    box = band.bounding_box()
    assert box is not None
    assert box["height"] <= 0.2 * 640
    expect(page.get_by_role("link", name="Previous")).to_have_count(0)
    expect(page.get_by_text("1 of 1")).to_have_count(1)


def test_a_stop_corrected_after_approval_shows_was_and_now(
    page: Page, make: Callable[..., Encounter], biller: User, sign_in: Any, axe: Axe
) -> None:
    """150 minutes were approved with one further hour; 151 have two."""
    encounter = make()
    sign_in(page, biller)
    open_review(page, "MRN-1001")
    approve(page)
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    page.locator("summary", has_text="Correct this encounter").click()
    page.get_by_label("What was wrong").fill("The pump log says 11:31.")
    page.get_by_role("button", name="Open a correction").click()
    expect(page.get_by_role("heading", name="Being corrected")).to_be_visible()
    expect(page.get_by_role("button", name="Approve", exact=True)).to_have_count(0)
    page.get_by_role("link", name="Change the record").click()
    page.get_by_label("Stop", exact=True).first.fill("1131")
    page.get_by_role("button", name="Hand to billing").click()

    expect(page.get_by_role("heading", name="A correction: was and now")).to_be_visible()
    record, lines = (page.get_by_role("table", name=f"{which}, was and now") for which in ("Record", "Lines"))
    expect(record.get_by_role("row").filter(has_text="Ocrelizumab, stop")).to_contain_text("11:31, March 10, 2026")
    changed = lines.get_by_role("row").filter(has_text="96366")
    expect(changed).to_contain_text("Changed")
    expect(changed).to_contain_text("was 1, now 2")
    expect(page.get_by_text("The pump log says 11:31.").first).to_be_visible()
    axe(page)
    approve(page)

    expect(page.get_by_role("heading", name="Corrected: was and now")).to_be_visible()
    expect(page.get_by_role("heading", name="Approved", exact=True)).to_be_visible()
    assert service_lines(page)[1] == ("96366", "", "2")
    page.get_by_role("link", name="Approval 1", exact=True).click()
    expect(page).to_have_url(f"/encounters/{encounter.public_id}/review/approvals/1/")
    assert service_lines(page)[1] == ("96366", "", "1")
    axe(page)
    page.goto(f"/encounters/{encounter.public_id}/review/payers/")
    axe(page)
