"""Second factors, passkeys, a shared tablet and emergencies in a real Chromium."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import BrowserContext, Page, Route, expect

from infusion.access import NURSE
from infusion.audit import AuditEvent
from infusion.models import Clinic, Encounter, User
from tests.browser.test_sign_in import sign_in
from tests.web.test_second_factor import code_of

Axe = Callable[[Page], None]
WIDTHS = (360, 1280)
NO_SCROLL = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
PIN = "286194"


@pytest.fixture
def looked_at(axe: Axe) -> Callable[[Page, str], None]:
    """Each page at both widths: axe, no sideways scroll, and a picture where DOOR_PICTURES names a folder."""

    def look(page: Page, name: str) -> None:
        axe(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(NO_SCROLL), f"{name} at {width}"
            if folder := os.environ.get("DOOR_PICTURES"):
                page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)

    return look


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def enter(page: Page, username: str, password: str) -> None:
    page.goto("/accounts/login/")
    sign_in(page, username, password)


def set_up_app(page: Page) -> str:
    """The key that the page shows, after a code of it was entered."""
    page.get_by_role("link", name="Set up an app").click()
    secret = page.locator(".secret").inner_text()
    page.get_by_label("Code that the app shows").fill(code_of(secret))
    button(page, "Set up").click()
    return secret


def test_an_app_is_set_up_and_asked_for(page: Page, biller: User, password: str, settings: Any, looked_at: Any) -> None:
    settings.SECOND_FACTOR_NEEDED = True
    page.goto("/accounts/login/")
    looked_at(page, "sign-in")
    sign_in(page, "billing", password)
    expect(page.get_by_text("Set up a second factor to go on.")).to_be_visible()
    looked_at(page, "needed")
    page.get_by_role("link", name="Set up an app").click()
    looked_at(page, "app")
    page.get_by_label("Code that the app shows").fill("000000")
    button(page, "Set up").click()
    expect(page.locator("#error-summary")).to_be_focused()
    looked_at(page, "app-wrong")
    secret = page.locator(".secret").inner_text()
    page.get_by_label("Code that the app shows").fill(code_of(secret))
    button(page, "Set up").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    expect(page.locator(".codes li")).to_have_count(10)
    looked_at(page, "codes")
    recovery = page.locator(".codes li").first.inner_text()
    page.get_by_role("link", name="Make new codes").click()
    looked_at(page, "codes-new")
    page.get_by_role("link", name="Back").click()
    looked_at(page, "you")
    page.goto("/encounters/")
    expect(page).to_have_url(re.compile("/encounters/$"))
    button(page, "Sign out").click()
    enter(page, "billing", password)
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    looked_at(page, "step")
    page.goto("/encounters/")
    expect(page.get_by_label("Code")).to_be_visible()
    page.get_by_label("Code").fill(recovery)
    button(page, "Sign in").click()
    expect(page).to_have_url(re.compile("/encounters/$"))


def with_passkeys(page: Page) -> Any:
    """A device in the browser that answers for its owner."""
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    return device, device.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]


def test_a_passkey_is_added_used_and_removed(page: Page, nurse: User, password: str, looked_at: Any) -> None:
    device, authenticator = with_passkeys(page)
    enter(page, "nurse", password)
    page.get_by_role("link", name="L. Ames, RN").click()
    page.get_by_role("link", name="Add a passkey").click()
    expect(page.get_by_label("Name of this passkey")).to_have_value("Passkey 1")
    looked_at(page, "passkey-add")
    page.get_by_label("Name of this passkey").fill("Ward telephone")
    button(page, "Add a passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("Ward telephone", exact=True)).to_be_visible()
    looked_at(page, "you-passkey")
    button(page, "Sign out").click()
    page.goto("/accounts/login/")
    button(page, "Use a passkey").click()
    expect(page).to_have_url(re.compile("/encounters/$"))
    button(page, "Sign out").click()
    enter(page, "nurse", password)
    button(page, "Use a passkey").click()
    expect(page).to_have_url(re.compile("/encounters/$"))
    told = AuditEvent.objects.filter(action="sign_in.in").order_by("sequence")
    assert [event.after and event.after["with"] for event in told] == [
        ["password"], ["webauthn"], ["password", "webauthn"],
    ]  # fmt: skip
    page.goto("/accounts/you/")
    page.get_by_role("link", name="Remove Ward telephone").click()
    looked_at(page, "passkey-remove")
    button(page, "Remove the passkey").click()
    expect(page.get_by_text("Ward telephone", exact=True)).to_have_count(0)
    assert device.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    button(page, "Sign out").click()
    page.goto("/accounts/login/")
    button(page, "Use a passkey").click()
    expect(page.get_by_text("The passkey was not recognized here.")).to_be_visible()


def test_a_passkey_that_the_owner_breaks_off_is_told(page: Page, nurse: User, password: str) -> None:
    page.add_init_script("navigator.credentials.get = () => Promise.reject(new Error('broken off'))")
    page.goto("/accounts/login/")
    button(page, "Use a passkey").click()
    expect(page.get_by_text("No passkey came back.")).to_be_visible()


def test_two_nurses_share_a_tablet(
    new_context: Callable[..., BrowserContext], nurse: User, person: Any, clinic: Clinic, password: str, medicare: Any,
    looked_at: Any, browser_problems: list[str],
) -> None:  # fmt: skip
    person("second", NURSE, clinic, first_name="B.", last_name="Okoro", credentials="RN")
    page = new_context().new_page()
    for username in ("nurse", "second"):
        enter(page, username, password)
        page.goto("/accounts/pin/")
        page.get_by_label("New PIN", exact=True).fill("111111")
        page.get_by_label("New PIN again").fill("111111")
        button(page, "Set PIN").click()
        expect(page.locator("#error-summary")).to_be_visible()
        looked_at(page, "pin")
        page.get_by_label("New PIN", exact=True).fill(PIN)
        page.get_by_label("New PIN again").fill(PIN)
        button(page, "Set PIN").click()
        expect(page.get_by_text("Your PIN is set on this tablet.")).to_be_visible()
        button(page, "Switch person").click()
    expect(page.get_by_role("heading", name="Who is next?")).to_be_visible()
    looked_at(page, "switch")
    come_in(page, "L. Ames, RN")
    page.goto("/encounters/new/")
    page.get_by_label("Patient reference").fill("MRN-77")
    button(page, "Switch person").click()  # at once, before anything else could keep it
    page.get_by_role("link", name="B. Okoro, RN").click()
    looked_at(page, "switch-pin")
    page.get_by_label("PIN").fill("000000")
    button(page, "Go on").click()
    expect(page.get_by_role("link", name="PIN: this is not the one you set. 4 tries are left.")).to_be_visible()
    looked_at(page, "switch-wrong")
    page.get_by_label("PIN").fill(PIN)
    button(page, "Go on").click()
    expect(page.get_by_role("link", name="B. Okoro, RN")).to_be_visible()
    page.goto("/encounters/new/")
    expect(page.get_by_text("that was not saved")).to_have_count(0)
    page.get_by_label("Patient reference").fill("MRN-88")
    page.get_by_label("Payer").select_option(label="Medicare")
    button(page, "Save draft").click()
    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    button(page, "Switch person").click()
    come_in(page, "L. Ames, RN")
    page.goto("/encounters/new/")
    page.get_by_role("link", name="Take it up again").click()
    expect(page.get_by_label("Patient reference")).to_have_value("MRN-77")
    assert Encounter.objects.get().recorded_by.username == "second"
    # The preview that was asked for just before the switch may be answered after it.
    browser_problems[:] = [each for each in browser_problems if "401" not in each]


def test_a_preview_that_comes_too_late_does_not_lead_away(
    page: Page, nurse: User, password: str, medicare: Any, browser_problems: list[str]
) -> None:
    """Asked for before Switch person, it is answered with the end of the sign-in while the next page is on its way."""
    enter(page, "nurse", password)
    page.goto("/encounters/new/")
    late: list[Route] = []
    page.route("**/encounters/new/", lambda route: late.append(route))

    def switch(route: Route) -> None:
        answer = route.fetch(max_redirects=0)
        with page.expect_response("**/encounters/new/") as previewed:
            late[0].continue_()
        assert previewed.value.status == 401
        page.wait_for_timeout(500)  # time enough for the page to be led away
        route.fulfill(response=answer)

    page.route("**/accounts/switch/", switch, times=1)
    with page.expect_request("**/encounters/new/"):
        page.get_by_label("Patient reference").fill("MRN-77")
    button(page, "Switch person").click()
    expect(page.get_by_role("heading", name="Who is next?")).to_be_visible()
    assert len(late) == 1
    browser_problems[:] = [each for each in browser_problems if "401" not in each]


def come_in(page: Page, name: str) -> None:
    page.get_by_role("link", name=name).click()
    page.get_by_label("PIN").fill(PIN)
    button(page, "Go on").click()
    expect(page.get_by_role("heading", name="Who is next?")).to_have_count(0)
    expect(page.get_by_role("link", name=name)).to_be_visible()


def test_an_emergency_is_an_alarm(
    page: Page, admin_user: User, admin2: User, password: str, looked_at: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("break_glass", person="admin", reason="Telephone lost")
    found = re.search(r"[A-Z2-9]{4}(?:-[A-Z2-9]{4}){4}", capsys.readouterr().out)
    assert found
    page.goto("/accounts/login/")
    page.get_by_role("link", name="I have an emergency code").click()
    button(page, "Sign in").click()
    expect(page.locator("#error-summary")).to_be_focused()
    looked_at(page, "emergency")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Emergency code").fill(found[0])
    page.get_by_label("New password", exact=True).fill("four plain words here")
    page.get_by_label("New password again").fill("four plain words here")
    button(page, "Sign in").click()
    expect(page.get_by_role("heading", name="Your sign-in")).to_be_visible()
    set_up_app(page)
    button(page, "Sign out").click()
    enter(page, "admin2", password)
    expect(page.get_by_text("signed in with an emergency code")).to_be_visible()
    looked_at(page, "alarm-banner")
    page.goto("/people/")
    looked_at(page, "people")
    page.get_by_role("link", name="Reset the second factor of M. Osei").click()
    looked_at(page, "reset")
    page.get_by_role("link", name="Answer the alarm").click()
    looked_at(page, "alarm")
    page.get_by_label("What happened").fill("Rang her: it was her")
    button(page, "Answer the alarm").click()
    expect(page.get_by_text("the alarm is off")).to_be_visible()
    expect(page.get_by_text("signed in with an emergency code")).to_have_count(0)
