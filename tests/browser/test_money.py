"""An admin loads a fee schedule and billing reads the reports in a real Chromium, with and without JavaScript."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from infusion.actions import Recorded, approve, hand_to_billing, save_encounter
from infusion.models import Encounter, FeeSchedule, User
from infusion.selectors import review_of

NO_SCROLL = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SMALL = """() => [...document.querySelectorAll('main :is(a, button, input:not([type=hidden]), select, summary)')]
  .filter((each) => getComputedStyle(each).display !== 'inline')
  .map((each) => [each.textContent.trim(), each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && Math.min(box.width, box.height) < 24).map(([words]) => words)"""


@pytest.fixture
def approved(transactional_db: None, nurse: User, biller: User, sarah: Recorded) -> Encounter:
    clinic = nurse.clinic
    assert clinic is not None
    encounter = save_encounter(by=nurse, clinic=clinic, client_id=UUID(int=1), recorded=sarah)
    encounter = hand_to_billing(by=nurse, encounter=encounter, version=encounter.version)
    approve(
        by=biller, encounter=encounter, version=encounter.version, acknowledged=(),
        content_hash=review_of(encounter).content_hash,
    )  # fmt: skip
    return encounter


def sign_in(page: Page, username: str, password: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/encounters/**")


def choose(page: Page, file: Path) -> None:
    page.get_by_label("Whose").select_option(label="Medicare")
    page.get_by_label("Source").fill("Contract 7")
    page.get_by_label("First day").fill("2026-01-01")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Read the file").click()


@pytest.mark.parametrize("javascript", [True, False], ids=["with script", "without script"])
def test_a_schedule_is_looked_at_before_it_is_loaded(
    new_context: Any, javascript: bool, approved: Encounter, admin_user: User, password: str, tmp_path: Path
) -> None:
    page = new_context(java_script_enabled=javascript).new_page()
    sign_in(page, "admin", password)
    page.get_by_role("link", name="Fees").click()
    page.get_by_role("link", name="Load a schedule").click()
    wrong, right = tmp_path / "wrong.csv", tmp_path / "right.csv"
    wrong.write_text('Code,Rate\n96365,"68,50"\nJ2350,60.97\n')
    right.write_text("Code,Rate,P25,Median,P75\n96365,68.50,60,70,80\nJ2350,60.97,55,62,80\n")
    choose(page, wrong)
    expect(page.get_by_role("heading", name="1 cell cannot be read")).to_be_visible()
    expect(page.get_by_role("row", name="2 Rate 68,50")).to_contain_text("Write cents after a point")
    choose(page, right)
    expect(page.get_by_text("Nothing is saved yet.")).to_be_visible()
    assert not FeeSchedule.objects.exists()
    page.get_by_role("button", name="Confirm and load").click()
    expect(page.get_by_role("status")).to_contain_text("Loaded: right for Medicare, 2 codes from January 1, 2026.")
    page.goto(f"/encounters/{approved.public_id}/review/")
    # 68.50 + 600 x 60.97 = 36650.50
    expect(page.get_by_role("region", name="Expected payment")).to_contain_text("$36,650.50")


@pytest.mark.parametrize("width", [360])
def test_fees_and_reports_can_be_read_by_everyone(
    new_context: Any, axe: Callable[[Page], None], width: int, approved: Encounter, admin_user: User, password: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    page = new_context().new_page()
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(page, "admin", password)
    file = tmp_path / "new.csv"
    file.write_text("Code,Rate,P25,Median,P75\n96365,68.50,60,70,80\nJ2350,2429.16,,,\nJ1745,x,,,\n")

    def check() -> None:
        axe(page)
        assert page.evaluate(NO_SCROLL)
        assert page.evaluate(SMALL) == []

    page.goto("/fees/load/")
    check()
    choose(page, file)
    check()
    file.write_text(file.read_text().replace("J1745,x,,,\n", ""))
    choose(page, file)
    check()
    page.get_by_role("button", name="Confirm and load").click()
    expect(page.get_by_text("Not believed")).to_be_visible()
    check()
    for address in (
        "/fees/",
        "/reports/?first=2026-01-01&last=2026-12-31",
        f"/encounters/{approved.public_id}/review/",
    ):
        page.goto(address)
        check()


def test_the_reports_of_a_period_and_their_file(new_context: Any, approved: Encounter, password: str) -> None:
    page = new_context(java_script_enabled=False).new_page()
    sign_in(page, "billing", password)
    page.get_by_role("link", name="Reports").click()
    page.get_by_label("From", exact=True).fill("2026-03-01")
    page.get_by_label("Until", exact=True).fill("2026-03-31")
    page.get_by_role("button", name="Show").click()
    picture = page.get_by_role("img", name="Ocrelizumab, 1 mg a unit: units by month")
    expect(picture).to_be_visible()
    expect(page.get_by_role("table", name="Ocrelizumab, 1 mg a unit by month")).to_contain_text("Mar 2026")
    expect(page.get_by_role("row", name="Total 600")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save as CSV of units and discarded drug").click()
    assert saved.value.suggested_filename == "drugs-2026-03-01-to-2026-03-31.csv"
    assert "J2350" in Path(saved.value.path()).read_text(encoding="utf-8-sig")
