"""Typing an infusion: how many keys it takes, and that every time is read as people type it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from infusion.actions import Ordered, begin_order, place_order
from infusion.models import Clinic, Encounter, Patient, User
from payers.actions import add_payer
from payers.models import Payer

LINES = [("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600")]
MOUSE = """() => {
  window.mouse = 0;
  for (const kind of ['pointerdown', 'mousedown', 'touchstart'])
    addEventListener(kind, () => { window.mouse += 1; }, true);
}"""
ACCEPTED = {
    "09:15 (9:15am)": (
        "0915", "915", "9:15", "09.15", "9 15", "9h15", "0915h", "9:15a", "915am", "9:15 A.M.", " 0915 ",
        "\u00a00915\u00a0", "09\uff1a15", "\uff19\uff1a\uff11\uff15",
    ),
    "21:15 (9:15pm)": ("9:15p", "915pm", "2115", "21:15"),
    "09:00 (9:00am)": ("9", "9a"),
    "00:00 (midnight)": ("12a", "12:00am", "midnight", "0000"),
    "12:00 (noon)": ("12p", "noon", "1200", "midday"),
    "12:30 (12:30pm)": ("n", "now"),
}  # fmt: skip
REFUSED = {
    "24:00": "For midnight at the end of the day, enter 0000 and choose the next day.",
    "2400": "For midnight at the end of the day, enter 0000 and choose the next day.",
    "9:60": "Minutes go from 00 to 59, and 60 is past that.",
    "2460": "2460 is past the end of the clock: hours go from 00 to 23 and minutes from 00 to 59.",
    "13:00p": "13:00 is already on the 24-hour clock.",
    "0:15p": "An hour of 0 takes no pm",
    "99": "A day has the hours 00 to 23, and 99 is past that.",
    "\u0660\u0669\u0661\u0665": "Write the time with the digits 0 to 9",
}


@pytest.fixture(autouse=True)
def on_march_10() -> Iterator[None]:
    with time_machine.travel("2026-03-10T16:30:00Z"):
        yield


@pytest.fixture
def signed_in(new_context: Callable[..., BrowserContext], password: str, nurse: User) -> Page:
    page = new_context().new_page()
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(nurse.username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/encounters/")
    return page


class Keys:
    """Presses keys, and counts them; a chord is one."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, 0
        page.evaluate(MOUSE)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.count += 1


def field(place: Page | Locator, label: str) -> Locator:
    return place.get_by_label(label, exact=True).first


def service_lines(page: Page) -> list[tuple[str, ...]]:
    rows = page.get_by_role("table", name="Service lines").locator("tbody tr")
    return [tuple(cell.strip() for cell in row.get_by_role("cell").all_inner_texts()[:3]) for row in rows.all()]


def saved(page: Page) -> None:
    expect(page.get_by_role("status").first).to_have_text("Saved as a draft.")


def test_from_an_order_a_visit_takes_twelve_keys(
    signed_in: Page, nurse: User, clinic: Clinic, medicare: Payer, record_property: Any
) -> None:
    patient = Patient.objects.create(clinic=clinic, reference="MRN-1001", name="Sarah Lindqvist")
    ordered = Ordered(
        patient=patient, payer=medicare, scheduled_at=datetime(2026, 3, 10, 13, tzinfo=UTC), setting="office",
        drug="J2350", route="iv_infusion", ordered=Decimal(600), diagnoses=("G35.A",), vials=((Decimal(300), 2),),
    )  # fmt: skip
    order = place_order(by=nurse, clinic=clinic, client_id=uuid4(), ordered=ordered)
    encounter = begin_order(by=nurse, order=order)
    page = signed_in
    page.goto(f"/encounters/{encounter.public_id}/")
    expect(field(page, "Start")).to_be_focused()
    keys = Keys(page)
    keys.press(*"0900", "Tab", *"1130", "Tab")
    expect(page.get_by_role("button", name="Given as ordered")).to_be_focused()
    keys.press("Enter")
    expect(field(page, "Administered (mg)")).to_have_value("600")
    expect(field(page, "Administered (mg)")).to_be_focused()
    assert page.evaluate("window.mouse") == 0
    keys.press("Control+Enter")
    saved(page)
    assert service_lines(page) == LINES
    record_property("keys from an order", keys.count)
    assert keys.count <= 12


def test_from_a_blank_form_a_visit_takes_thirty_six_keys(
    signed_in: Page, clinic: Clinic, medicare: Payer, record_property: Any
) -> None:
    add_payer(by=None, slug="medicaid", name="Medicaid")
    clinic.drug = "J2350"
    clinic.save()
    page = signed_in
    page.goto("/encounters/new/")
    expect(field(page, "Patient reference")).to_be_focused()
    keys = Keys(page)
    keys.press(
        *"100001", "Tab", "m", "m", *["Tab"] * 7, *"0900", "Tab", *"1130", *["Tab"] * 3, *"600", "Tab", "Tab", "2"
    )
    assert page.evaluate("window.mouse") == 0
    keys.press("Control+Enter")
    saved(page)
    assert service_lines(page) == LINES
    assert Encounter.objects.get().payer == medicare
    record_property("keys from a blank form", keys.count)
    assert keys.count <= 36


def test_times_are_read_as_people_type_them(signed_in: Page, medicare: Payer) -> None:
    """One spelling of each time: it is typed, left with Tab, and its note read. `make ux` types every spelling."""
    page = signed_in
    page.goto("/encounters/new/")
    start, note = field(page, "Start"), page.locator("#d1-start-note")
    missing = page.get_by_role("region", name="Still missing")
    for echo, texts in ACCEPTED.items():
        for text in texts[-1:]:
            start.fill("")
            expect(note).to_have_text("")
            start.fill(text)
            start.press("Tab")
            expect(note, f"{text!r} is read").to_have_text(echo)
    for text, words in REFUSED.items():
        start.fill("")
        expect(missing).not_to_contain_text("Start: ")
        start.fill(text)
        start.press("Tab")
        expect(missing, f"{text!r} is refused").to_contain_text(f"Start: {words[:1].lower()}{words[1:]}")
        expect(note).to_have_text("")
        expect(start).to_have_value(text)


def test_a_stop_before_its_start_is_asked_about_and_never_moved(
    signed_in: Page, clinic: Clinic, medicare: Payer
) -> None:
    clinic.drug = "J2350"
    clinic.save()
    page = signed_in
    page.goto("/encounters/new/")
    field(page, "Patient reference").fill("MRN-1001")
    field(page, "Payer").select_option(label="Medicare")
    field(page, "Start").fill("9:15")
    field(page, "Stop").fill("2:30")
    field(page, "Stop").press("Tab")
    answer = page.get_by_role("button", name="2:30pm (14:30)", exact=True)
    expect(answer).to_be_visible()
    expect(page.get_by_role("button", name="Next day, 02:30", exact=True)).to_be_visible()
    page.get_by_role("button", name="Save draft").click()
    expect(page).to_have_title("Error: New encounter – Infusion Units")
    assert not Encounter.objects.exists()
    expect(field(page, "Stop")).to_have_value("2:30")
    answer.click()
    expect(page.locator("#d1-stop-note")).to_have_text("14:30 (2:30pm)")
    page.get_by_role("button", name="Save draft").click()
    saved(page)
    assert f"{Encounter.objects.get().administrations.get().stopped_at:%H:%M}" == "18:30"


def test_what_half_a_time_would_ask_is_not_asked_of_the_whole(signed_in: Page, clinic: Clinic, medicare: Payer) -> None:
    """Someone types slowly, so that the first digit alone is answered before or after the next ones are typed."""
    clinic.drug = "J2350"
    clinic.save()
    page = signed_in
    page.goto("/encounters/new/")
    field(page, "Start").fill("0900")
    stop = field(page, "Stop")
    half = page.get_by_role("button", name="1:00pm (13:00)", exact=True)
    stop.press("1")
    expect(half).to_be_visible()
    page.route("**/encounters/new/", lambda route: None)  # no answer comes any more
    stop.press("1")
    expect(half).to_have_count(0)
    page.unroute("**/encounters/new/")

    stop.fill("")
    expect(page.locator("#d1-stop-note")).to_have_text("")
    waiting: list[Route] = []
    page.route("**/encounters/new/", lambda route: waiting.append(route))
    with page.expect_request("**/encounters/new/"):
        stop.press("1")
    with page.expect_response("**/encounters/kept/"):  # what is kept meanwhile has the whole of it
        for key in "130":
            stop.press(key)
    with page.expect_response("**/encounters/new/"):
        waiting[0].continue_()
    expect(page.get_by_role("region", name="Still missing")).to_contain_text("Stop 01:00 is not after Start 09:00.")
    stop.press("Tab")
    expect(page.get_by_role("button", name="Add pause")).to_be_focused()
    page.unroute("**/encounters/new/")


def test_a_scanner_types_a_vial_and_enter_takes_it(signed_in: Page, clinic: Clinic, medicare: Payer) -> None:
    clinic.drug = "J2350"
    clinic.save()
    page = signed_in
    page.goto("/encounters/new/")
    page.get_by_text("More about this drug").click()
    scan = field(page, "Scan a vial")
    scan.press_sequentially("01003502421500191726113010H1234")
    scan.press("Enter")
    expect(page.locator("#d1-scan-note")).to_have_text("Taken.")
    expect(field(page, "Scan a vial")).to_be_focused()
    expect(field(page, "NDC")).to_have_value("50242015001")
    expect(field(page, "Lot")).to_have_value("H1234")
    expect(field(page, "Expires")).to_have_value("2026-11-30")
    field(page, "Scan a vial").press_sequentially("01003502421500191726022810H1234")
    field(page, "Scan a vial").press("Enter")
    expect(page.locator("#d1-scan-note")).to_contain_text("expired on February 28, 2026")


def test_a_button_pressed_while_an_answer_is_on_its_way_is_not_lost(signed_in: Page, medicare: Payer) -> None:
    """On a slow network: the preview of the stop is asked for, more is typed, and a pause is added at once."""
    page = signed_in
    page.route("**/encounters/kept/", lambda route: route.fulfill(status=204))
    page.goto("/encounters/new/")
    page.context.new_cdp_session(page).send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 1500, "downloadThroughput": -1, "uploadThroughput": -1},
    )
    with page.expect_request(lambda request: request.method == "POST"):
        field(page, "Stop").fill("1130")
    field(page, "Administered (mg)").fill("600")
    page.get_by_role("button", name="Add pause").press("Enter")
    expect(page.get_by_role("group", name="Pause 1", exact=True)).to_be_visible()
    expect(field(page, "Administered (mg)")).to_have_value("600")
