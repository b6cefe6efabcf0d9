"""A nurse records an infusion in a real Chromium: by typing, by keys alone, without JavaScript, beside a colleague."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from playwright.sync_api import BrowserContext, Locator, Page, expect

from infusion.actions import Recorded, save_encounter
from infusion.models import Clinic, Encounter, User
from payers.actions import add_payer
from payers.models import Payer

WIDTHS = (360, 1280)
LINES = [("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600")]
CONFLICT = "console: Failed to load resource: the server responded with a status of 409 (Conflict)"
NO_SCROLL = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SMALL = """() => [...document.querySelectorAll('main :is(button, input:not([type=hidden]), select)')]
  .filter((each) => !each.matches('.first-submit, .btn-undo'))
  .map((each) => [each.textContent.trim().slice(0, 30) || each.id, each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && Math.min(box.width, box.height) < 43.9).map(([words]) => words)"""
HIDDEN_FOCUS = """() => {
  const element = document.activeElement, box = element.getBoundingClientRect();
  const hit = document.elementFromPoint(box.left + Math.min(box.width / 2, 20), box.top + box.height / 2);
  return element === document.body || element === hit || element.contains(hit) ? '' : element.id;
}"""
Axe = Callable[[Page], None]


@pytest.fixture(autouse=True)
def on_march_10() -> Iterator[None]:
    with time_machine.travel("2026-03-10T16:00:00Z"):
        yield


@pytest.fixture
def drafted(live_server: Any, clinic: Clinic, nurse: User, sarah: Recorded) -> Encounter:
    return save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)


@pytest.fixture
def signed_in(new_context: Callable[..., BrowserContext], password: str) -> Callable[..., Page]:
    """A page of its own for someone who has signed in."""

    def enter(user: User, **context: Any) -> Page:
        page = new_context(**context).new_page()
        page.goto("/accounts/login/")
        page.get_by_label("Username").fill(user.username)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/encounters/")
        return page

    return enter


def address(encounter: Encounter) -> str:
    return f"/encounters/{encounter.public_id}/"


def drug(page: Page, number: int = 1) -> Locator:
    return page.get_by_role("group", name=f"Drug {number}", exact=True)


def field(place: Page | Locator, label: str) -> Locator:
    return place.get_by_label(label, exact=True).first


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def enter_sarah(page: Page) -> None:
    field(page, "Patient reference").fill("MRN-1001")
    field(page, "Payer").select_option(label="Medicare")
    field(page, "Diagnosis").fill("G35.A")
    one = drug(page)
    for label, value in (
        ("Drug", "Ocrelizumab"), ("Start", "0900"), ("Stop", "1130"), ("Ordered (mg)", "600"),
        ("Administered (mg)", "600"),
    ):  # fmt: skip
        field(one, label).fill(value)
    field(one, "Vial size (mg)").select_option("300")
    field(one, "Vials (count)").fill("2")


def service_lines(page: Page) -> list[tuple[str, ...]]:
    rows = page.get_by_role("table", name="Service lines").locator("tbody tr")
    return [tuple(cell.strip() for cell in row.get_by_role("cell").all_inner_texts()[:3]) for row in rows.all()]


def test_sarah_under_medicare_is_recorded_saved_and_handed_over(
    signed_in: Any, nurse: User, medicare: Payer, axe: Axe
) -> None:
    page = signed_in(nurse)
    page.get_by_role("link", name="New encounter").first.click()
    expect(field(page, "Patient reference")).to_be_focused()
    enter_sarah(page)
    preview = page.get_by_role("region", name="Preview")
    expect(preview.get_by_role("status")).to_have_text("Nothing missing")
    expect(preview).not_to_contain_text("Why?")
    assert service_lines(page) == LINES
    band = page.get_by_role("region", name="Patient")
    expect(band).to_contain_text("Record MRN-1001")
    page.get_by_text("Name and birth date").click()
    field(page, "Patient name").fill("Sarah Lindqvist")
    field(page, "Birth date").fill("6/2/1984")
    expect(band).to_contain_text("Sarah Lindqvist")
    expect(band).to_contain_text("Born June 2, 1984")

    button(page, "Save draft").click()
    expect(page.get_by_role("status").first).to_have_text("Saved as a draft.")
    expect(page).to_have_title("Encounter – Infusion Units")
    assert service_lines(page) == LINES
    axe(page)

    button(page, "Hand to billing").click()
    page.wait_for_url("**/encounters/")
    expect(page.get_by_role("status")).to_have_text("Handed to billing.")
    page.get_by_role("link", name="MRN-1001").click()
    expect(page.get_by_role("main")).to_contain_text("With billing")
    expect(page.get_by_role("textbox")).to_have_count(0)
    assert Encounter.objects.get().state == "with_billing"


def test_a_whole_visit_takes_thirty_six_keys_and_no_mouse(
    signed_in: Any, nurse: User, clinic: Clinic, medicare: Payer
) -> None:
    add_payer(by=None, slug="medicaid", name="Medicaid")
    clinic.drug = "J2350"
    clinic.save()
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    expect(field(page, "Patient reference")).to_be_focused()
    keys = [*"100001", "Tab", "m", "m", *["Tab"] * 7, *"0900", "Tab", *"1130", *["Tab"] * 3, *"600", "Tab", "Tab", "2"]
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status").first).to_have_text("Saved as a draft.")
    assert service_lines(page) == LINES
    assert Encounter.objects.get().payer == medicare
    assert len(keys) + 1 <= 36


def test_the_whole_flow_works_without_javascript(signed_in: Any, nurse: User, medicare: Payer) -> None:
    page = signed_in(nurse, java_script_enabled=False)
    page.goto("/encounters/new/")
    enter_sarah(page)
    field(drug(page), "Administered (mg)").fill("575")
    button(page, "Add pause").click()
    pause = drug(page).get_by_role("group", name="Pause 1", exact=True)
    field(pause, "Start").fill("1000")
    field(pause, "Stop").fill("1020")
    button(page, "Hand to billing").click()
    expect(page.get_by_text("Saved as a draft. Before billing can have it:")).to_be_visible()
    button(page, "Stopped early: 25 mg discarded").first.click()
    button(page, "Hand to billing").click()
    expect(page.get_by_role("status")).to_have_text("Handed to billing.")
    row = Encounter.objects.get().administrations.get()
    assert (row.pauses.count(), row.discards.get().amount) == (1, 25)


def test_typing_is_answered_calmly(signed_in: Any, nurse: User, medicare: Payer) -> None:
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    field(page, "Patient reference").fill("MRN-1001")
    start = field(drug(page), "Start")
    start.press_sequentially("9:6")
    expect(page.get_by_role("region", name="Still missing")).to_contain_text("Start: ")
    expect(start).to_be_focused()
    assert start.evaluate("element => element.selectionStart") == 3
    expect(page.locator(".wrong-text")).to_have_count(0)
    expect(page.get_by_text("There is a problem")).to_have_count(0)
    assert not Encounter.objects.exists()


def test_what_blocks_is_listed_first_and_leads_to_its_field(signed_in: Any, nurse: User, medicare: Payer) -> None:
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    button(page, "Save draft").click()
    expect(page).to_have_title("Error: New encounter – Infusion Units")
    expect(page.get_by_role("region", name="There is a problem")).to_be_focused()
    enter_sarah(page)
    field(drug(page), "Stop").fill("")
    button(page, "Hand to billing").click()
    summary = page.get_by_role("region", name="There is a problem")
    expect(summary).to_contain_text("Saved as a draft. Before billing can have it:")
    expect(summary).to_be_focused()
    summary.get_by_role("link", name="no stop time").click()
    expect(field(drug(page), "Stop")).to_be_focused()
    page.keyboard.type("2:30p")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status").first).to_have_text("Saved as a draft.")
    assert Encounter.objects.get().version == 2


def test_three_taps_on_save_are_one_encounter(signed_in: Any, nurse: User, medicare: Payer) -> None:
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    enter_sarah(page)
    page.route("**/encounters/new/", lambda route: (page.wait_for_timeout(300), route.continue_()))
    button(page, "Save draft").click(click_count=3, no_wait_after=True)
    page.wait_for_url(re.compile(r"/encounters/[0-9a-f-]{36}/"))
    assert Encounter.objects.get().version == 1
    page.go_back()
    page.go_forward()
    button(page, "Save draft").click()
    expect(page.get_by_role("status").first).to_have_text("Saved as a draft.")
    assert Encounter.objects.count() == 1


# Beside a colleague --------------------------------------------------------------------------------------------------


@pytest.fixture
def colleague(person: Callable[..., User], clinic: Clinic) -> User:
    return person("nurse3", "nurse", clinic, first_name="R.", last_name="Ito", credentials="RN")


def test_two_people_see_both_versions_and_choose_by_keys(
    signed_in: Any, nurse: User, colleague: User, drafted: Encounter, browser_problems: list[str], axe: Axe
) -> None:
    mine, theirs = signed_in(nurse), signed_in(colleague)
    for page in (mine, theirs):
        page.goto(address(drafted))
    field(drug(theirs), "Stop").fill("1145")
    button(theirs, "Save draft").click()
    expect(theirs.get_by_role("status").first).to_have_text("Saved as a draft.")

    field(drug(mine), "Ordered (mg)").fill("650")
    mine.keyboard.press("Control+Enter")
    versions = mine.get_by_role("table", name="Both versions")
    expect(versions.get_by_role("row")).to_have_count(3)
    stop = versions.get_by_role("row").filter(has_text="Drug 1, Stop")
    expect(stop.get_by_role("cell")).to_contain_text(["11:30 (11:30am)", "11:45 (11:45am)"])
    expect(mine.get_by_text("R. Ito, RN saved it on March 10, 2026")).to_be_visible()
    expect(field(drug(mine), "Ordered (mg)")).to_have_value("650")
    axe(mine)
    assert browser_problems == [CONFLICT]
    browser_problems.clear()

    for keys in (["Tab", "Enter"], ["Tab", "Tab", "Enter"]):  # Use theirs: Stop. Then, past Ordered: Keep mine.
        expect(mine.get_by_role("region", name="Two versions of this encounter")).to_be_focused()
        with mine.expect_navigation():
            for key in keys:
                mine.keyboard.press(key)
    expect(mine.get_by_role("status").first).to_have_text("Saved as a draft.")
    row = Encounter.objects.get().administrations.get()
    assert (f"{row.stopped_at:%H:%M}", row.ordered) == ("15:45", 650)


def test_saving_at_the_same_moment_loses_nothing(
    signed_in: Any, nurse: User, drafted: Encounter, browser_problems: list[str]
) -> None:
    page = signed_in(nurse)
    page.goto(address(drafted))
    send = """async () => {
      const one = document.getElementById('encounter-form');
      const post = (stop) => {
        const body = new URLSearchParams(new FormData(one));
        body.set('d1-stop', stop);
        body.set('act', 'save');
        return fetch(one.action, { method: 'POST', body });
      };
      const answers = await Promise.all(['1140', '1150'].map(post));
      return Promise.all(answers.map(async (each) => [each.status, await each.text()]));
    }"""
    answers = page.evaluate(send)
    assert sorted(status for status, _ in answers) == [200, 409]
    refused = next(text for status, text in answers if status == 409)
    assert "11:40 (11:40am)" in refused
    assert "11:50 (11:50am)" in refused
    assert Encounter.objects.get().version == 2
    assert browser_problems == [CONFLICT]
    browser_problems.clear()


# Every width ---------------------------------------------------------------------------------------------------------


def test_every_state_at_every_width(
    signed_in: Any, nurse: User, drafted: Encounter, browser_problems: list[str], axe: Axe
) -> None:
    page = signed_in(nurse)

    def look() -> None:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate(NO_SCROLL), (width, page.url)
            assert page.evaluate(SMALL) == []
            axe(page)

    page.goto("/encounters/new/")
    look()
    button(page, "Hand to billing").click()
    expect(page).to_have_title(re.compile("^Error: "))
    look()
    page.goto(address(drafted))
    stale = page.locator("input[name=version]").get_attribute("value")
    look()
    field(drug(page), "Stop").fill("1145")
    button(page, "Save draft").click()
    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    page.locator("input[name=version]").evaluate("(element, value) => { element.value = value }", stale)
    field(drug(page), "Stop").fill("1150")
    button(page, "Save draft").click()
    expect(button(page, "Take theirs")).to_be_visible()
    look()
    assert browser_problems == [CONFLICT]
    browser_problems.clear()
    button(page, "Take theirs").click()
    expect(button(page, "Take theirs")).to_have_count(0)
    button(page, "Hand to billing").click()
    page.wait_for_url(re.compile("/encounters/$"))
    page.goto(address(drafted))
    look()


def test_the_patient_stays_in_sight_and_hides_no_focus(signed_in: Any, nurse: User, drafted: Encounter) -> None:
    page = signed_in(nurse)
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(address(drafted))
    band = page.get_by_role("region", name="Patient")
    button(page, "Hand to billing").scroll_into_view_if_needed()
    expect(band).to_be_in_viewport()
    assert band.bounding_box()["height"] <= 740 / 5
    page.mouse.wheel(0, -10000)
    field(page, "Patient reference").focus()
    for key in ["Tab"] * 24 + ["Shift+Tab"] * 24:
        page.keyboard.press(key)
        assert page.evaluate(HIDDEN_FOCUS) == ""
