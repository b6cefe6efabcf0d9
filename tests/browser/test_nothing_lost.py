"""Nothing that was typed is lost: on leaving, at the end of a sign-in, by a triple click, beside a colleague."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from playwright.sync_api import BrowserContext, Page, Route, expect

from infusion.actions import Recorded, save_encounter
from infusion.models import Clinic, Encounter, User, WorkingCopy
from payers.models import Payer
from tests.browser.test_nurse import CONFLICT, NO_SCROLL, SMALL, WIDTHS, address, button, drug, enter_sarah, field

Axe = Callable[[Page], None]
SIGN_IN_ENDED = "console: Failed to load resource: the server responded with a status of 401 (Unauthorized)"
OFFER = re.compile("You typed something here at 12:0[0-9] that was not saved")


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with time_machine.travel("2026-03-10T16:00:00Z") as traveller:
        yield traveller


@pytest.fixture
def signed_in(new_context: Callable[..., BrowserContext], password: str) -> Callable[..., Page]:
    def enter(user: User, **context: Any) -> Page:
        page = new_context(**context).new_page()
        page.goto("/accounts/login/")
        sign_in(page, user, password)
        return page

    return enter


@pytest.fixture
def drafted(live_server: Any, clinic: Clinic, nurse: User, sarah: Recorded) -> Encounter:
    return save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)


def sign_in(page: Page, user: User, password: str) -> None:
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password", exact=True).fill(password)
    button(page, "Sign in").click()
    page.wait_for_url(re.compile("/encounters/"))


# Drafts that save themselves ------------------------------------------------------------------------------------------


def test_what_is_typed_is_kept_offered_and_taken_up(signed_in: Any, nurse: User, medicare: Payer, axe: Axe) -> None:
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    enter_sarah(page)
    field(drug(page), "Stop").fill("11")
    expect(page.locator("#kept")).to_have_text(re.compile("Kept at 12:0"))
    page.goto("/encounters/new/")
    expect(page.get_by_role("heading", name=OFFER)).to_be_visible()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        axe(page)
        assert page.evaluate(NO_SCROLL)
        assert page.evaluate(SMALL) == []
    page.get_by_role("link", name="Take it up again").click()
    expect(field(drug(page), "Stop")).to_have_value("11")
    expect(field(page, "Patient reference")).to_have_value("MRN-1001")
    expect(field(drug(page), "Vials (count)")).to_have_value("2")
    axe(page)
    field(drug(page), "Stop").fill("1130")
    button(page, "Save draft").click()
    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    assert not WorkingCopy.objects.exists()


def test_now_stays_the_time_at_which_it_was_typed(signed_in: Any, nurse: User, medicare: Payer, clock: Any) -> None:
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    enter_sarah(page)
    stop, note = field(drug(page), "Stop"), page.locator("#d1-stop-note")
    stop.fill("n")
    expect(note).to_contain_text("12:0")
    clock.shift(120)
    field(drug(page), "Administered (mg)").fill("599")
    expect(page.locator("#d1-balance")).to_contain_text("599 mg given")
    expect(note).to_contain_text("12:00")
    stop.fill("n")
    expect(note).to_contain_text("12:02")
    clock.shift(120)
    button(page, "Save draft").click()
    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    expect(stop).to_have_value("1202")


def test_leaving_at_once_keeps_it_too(signed_in: Any, nurse: User, medicare: Payer) -> None:
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    field(page, "Patient reference").fill("MRN-77")
    page.get_by_role("link", name="Today").click()
    page.wait_for_url("**/encounters/")
    page.goto("/encounters/new/")
    expect(page.get_by_text("It is about record MRN-77.")).to_be_visible()
    page.get_by_role("button", name="Throw it away").click()
    expect(page.get_by_text("It is about record MRN-77.")).to_have_count(0)
    expect(field(page, "Patient reference")).to_have_value("")


def test_saving_leaves_no_copy_behind(signed_in: Any, nurse: User, medicare: Payer) -> None:
    """The page is left by the button, and what leaving sends must not come after it."""
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    enter_sarah(page)
    button(page, "Save draft").click()
    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    page.goto("/encounters/new/")
    expect(page.get_by_role("heading", name="New encounter")).to_be_visible()
    expect(page.get_by_text("that was not saved")).to_have_count(0)


KEPT_NOW = re.compile("Kept at 12:0")
KEPT_URL = "**/encounters/kept/"


def no_keeper(status: int, route: Route) -> None:
    route.fulfill(status=status, body="Something else")


def leave_and_return(page: Page, encounter: Encounter) -> None:
    page.get_by_role("link", name="Today").click()
    page.wait_for_url("**/encounters/")
    page.goto(address(encounter))


def test_of_two_pages_none_writes_over_what_the_other_keeps(
    signed_in: Any, nurse: User, drafted: Encounter, axe: Axe
) -> None:
    one, two = signed_in(nurse), signed_in(nurse)
    one.goto(address(drafted))
    field(drug(one), "Stop").fill("1145")
    expect(one.locator("#kept")).to_have_text(KEPT_NOW)
    two.goto(address(drafted))
    line = two.locator("#kept")
    expect(line).to_contain_text("What you type here is not kept until it is saved.")
    with two.expect_response(lambda reply: reply.url.endswith("/encounters/kept/") and reply.status == 204):
        field(drug(two), "Stop").fill("1150")
    for width in WIDTHS:
        two.set_viewport_size({"width": width, "height": 900})
        axe(two)
        assert two.evaluate(NO_SCROLL)
        assert two.evaluate(SMALL) == []
    assert WorkingCopy.objects.get().entries["d1-stop"] == "1145"
    button(two, "Keep this and drop that").click()
    expect(line).to_have_text(KEPT_NOW)
    expect(two.get_by_role("heading", name=OFFER)).to_have_count(0)
    assert WorkingCopy.objects.get().entries["d1-stop"] == "1150"
    field(drug(one), "Stop").fill("1146")
    expect(one.locator("#kept")).to_contain_text("What you type here is not kept until it is saved.")
    one.get_by_role("link", name="Take that up and drop this").click()
    expect(field(drug(one), "Stop")).to_have_value("1150")


def test_a_key_pressed_while_what_was_typed_is_on_its_way_is_kept_on_leaving(
    signed_in: Any, nurse: User, drafted: Encounter
) -> None:
    page = signed_in(nurse)
    page.goto(address(drafted))
    page.evaluate(
        """() => document.addEventListener("htmx:beforeRequest", function late(event) {
            if (event.detail.target.id !== "kept") return;
            document.removeEventListener("htmx:beforeRequest", late);
            const stop = document.getElementById("d1-stop");
            stop.value = "1146";
            stop.dispatchEvent(new Event("input", { bubbles: true }));
        })"""
    )
    field(drug(page), "Stop").fill("1145")
    expect(page.locator("#kept")).to_have_text(KEPT_NOW)
    assert WorkingCopy.objects.get().entries["d1-stop"] == "1145"
    leave_and_return(page, drafted)
    assert WorkingCopy.objects.get().entries["d1-stop"] == "1146"


def test_an_answer_that_keeps_nothing_is_not_taken_for_kept(
    signed_in: Any, nurse: User, drafted: Encounter, browser_problems: list[str]
) -> None:
    page = signed_in(nurse)
    page.goto(address(drafted))
    for status in (500, 200):  # a page of another kind says 200 as well
        page.route(KEPT_URL, partial(no_keeper, status))
        field(drug(page), "Stop").fill(f"114{status // 100}")
        with page.expect_response(KEPT_URL):
            page.evaluate("document.dispatchEvent(new Event('infusion:keep'))")
        page.unroute(KEPT_URL)
    leave_and_return(page, drafted)
    assert WorkingCopy.objects.get().entries["d1-stop"] == "1142"
    browser_problems[:] = [each for each in browser_problems if "500" not in each]


def test_nothing_can_be_typed_into_a_form_that_is_about_to_go(
    signed_in: Any, nurse: User, drafted: Encounter, browser_problems: list[str]
) -> None:
    page = signed_in(nurse)
    page.goto(address(drafted))
    page.evaluate(
        """() => document.addEventListener("htmx:beforeRequest", (event) => {
            if (event.detail.target.id !== "encounter-page") return;
            window.inertThen = Boolean(document.querySelector("[inert] #d1-stop"));
        })"""
    )
    button(page, "Add drug").click()
    expect(page.locator("#d2-drug")).to_be_focused()
    assert page.evaluate("window.inertThen") is True
    assert page.locator("[inert]").count() == 0
    page.route(f"**{address(drafted)}", lambda route: route.abort())
    add = button(page, "Add drug")
    add.click()
    expect(add).to_be_focused()
    assert page.locator("[inert]").count() == 0
    browser_problems.clear()


# The end of a sign-in -------------------------------------------------------------------------------------------------


def pass_time(page: Page, clock: Any, seconds: int) -> None:
    """What was typed before reaches the server before: sent later, it would be a touch of that later time."""
    expect(page.locator(".htmx-request")).to_have_count(0)
    clock.shift(seconds)
    page.clock.fast_forward(seconds * 1000)


def test_a_warning_comes_first_and_a_tap_makes_it_last(
    signed_in: Any, nurse: User, medicare: Payer, clock: Any, axe: Axe
) -> None:
    page = signed_in(nurse)
    page.clock.install()
    page.goto("/encounters/new/")
    pass_time(page, clock, 520)
    warning = page.get_by_role("alertdialog", name="Are you still there?")
    expect(warning).to_have_count(0)
    pass_time(page, clock, 16)
    expect(warning).to_be_visible()
    expect(warning).to_contain_text(re.compile("ends in (75|60) seconds"))
    expect(button(page, "Stay signed in")).to_be_focused()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        axe(page)
        assert page.evaluate(NO_SCROLL)
    with page.expect_response(lambda reply: "/accounts/session/" in reply.url and reply.request.method == "POST"):
        page.keyboard.press("Enter")
    expect(warning).to_have_count(0)
    pass_time(page, clock, 300)
    page.goto("/encounters/")
    expect(page.get_by_role("link", name="L. Ames, RN")).to_be_visible()


def test_after_the_end_no_patient_is_seen_and_signing_in_brings_it_all_back(
    signed_in: Any, nurse: User, medicare: Payer, clock: Any, password: str, browser_problems: list[str]
) -> None:
    page = signed_in(nurse)
    page.clock.install()
    page.goto("/encounters/new/")
    enter_sarah(page)
    field(drug(page), "Stop").fill("11")
    page.clock.run_for(4000)
    expect(page.locator("#kept")).to_have_text(re.compile("Kept at 12:0"))
    pass_time(page, clock, 530)
    expect(page.get_by_role("alertdialog")).to_be_visible()
    pass_time(page, clock, 100)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("Your sign-in has ended")).to_be_visible()
    expect(page.get_by_text("MRN-1001")).to_have_count(0)
    browser_problems[:] = [each for each in browser_problems if each != SIGN_IN_ENDED]
    page.go_back()
    expect(page.get_by_text("MRN-1001")).to_have_count(0)
    page.go_forward()
    sign_in(page, nurse, password)
    page.wait_for_url(re.compile("/encounters/new/"))
    expect(field(page, "Patient reference")).to_have_value("MRN-1001")
    expect(field(drug(page), "Stop")).to_have_value("11")
    expect(field(drug(page), "Vials (count)")).to_have_value("2")


# Double taps, Back, and a colleague -----------------------------------------------------------------------------------


def test_a_triple_click_is_one_save(signed_in: Any, nurse: User, medicare: Payer) -> None:
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    enter_sarah(page)
    save = button(page, "Save draft")
    page.evaluate("() => { const save = document.getElementById('update'); for (let n = 0; n < 3; n++) save.click(); }")
    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    expect(save).to_have_count(1)
    assert Encounter.objects.get().version == 1


def test_back_and_save_again_is_the_same_encounter(signed_in: Any, nurse: User, medicare: Payer) -> None:
    page = signed_in(nurse)
    page.goto("/encounters/new/")
    enter_sarah(page)
    button(page, "Save draft").click()
    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    there = page.url
    page.goto("/encounters/")
    page.go_back()
    expect(field(drug(page), "Stop")).to_have_value("1130")
    button(page, "Save draft").click()
    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    assert page.url == there
    assert Encounter.objects.count() == 1


def test_one_field_of_two_versions_is_settled_in_ten_keys(
    signed_in: Any, nurse: User, person: Any, clinic: Clinic, drafted: Encounter, browser_problems: list[str]
) -> None:
    mine, theirs = signed_in(nurse), signed_in(person("colleague", "nurse", clinic))
    mine.goto(address(drafted))
    theirs.goto(address(drafted))
    field(drug(theirs), "Stop").fill("1140")
    button(theirs, "Save draft").click()
    expect(theirs.get_by_text("Saved as a draft.")).to_be_visible()
    field(drug(mine), "Stop").fill("1145")
    button(mine, "Save draft").click()
    expect(mine.locator("#conflict")).to_be_focused()
    assert browser_problems == [CONFLICT]
    browser_problems.clear()
    keys = 0
    while mine.evaluate("document.activeElement.textContent.trim()") != "Use theirs":
        mine.keyboard.press("Tab")
        keys += 1
        assert keys < 10
    mine.keyboard.press("Enter")
    expect(field(drug(mine), "Stop")).to_have_value("1140")
    mine.wait_for_function("document.activeElement !== document.body")
    mine.keyboard.press("Control+Enter")
    keys += 2
    expect(mine.get_by_text("Saved as a draft.")).to_be_visible()
    assert keys <= 10
    drafted.refresh_from_db()
    stopped = drafted.administrations.get().stopped_at
    assert stopped is not None
    assert f"{stopped:%H:%M}" == "15:40"
