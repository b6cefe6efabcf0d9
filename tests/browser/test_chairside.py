"""A visit at the chair on a tablet: five taps, a pause, a mistaken tap, three left running, and room for a thumb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django import Settings

from infusion.actions import Ordered, begin_order, place_order, tap
from infusion.models import Chair, Clinic, Encounter, Order, Patient, User
from infusion.selectors import review_of
from payers.models import Payer

NINE = datetime(2026, 3, 10, 13, 0, tzinfo=UTC)  # 09:00 in New York
HEIGHTS = {360: 780, 768: 1024, 1280: 800}
LINES = [("96365", (), 1), ("96366", (), 1), ("J2350", ("JZ",), 600)]
NO_SCROLL = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
# Links within a sentence and the page's footer are text, not targets [WCAG 2.5.8].
TARGETS = """() => [...document.querySelectorAll('main :is(a, button, summary, input:not([type=hidden]), select)')]
  .map((each) => [each.textContent.trim().replace(/\\s+/g, ' ').slice(0, 40) || each.id, each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0)
  .map(([name, box]) => ({name, left: box.left, top: box.top, right: box.right, bottom: box.bottom}))"""
Axe = Callable[[Page], None]


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "viewport": {"width": 768, "height": 1024}, "has_touch": True}


class Clock:
    """The clinic's time, which the tests move on."""

    def __init__(self, travelled: Any) -> None:
        self.travelled = travelled

    def at(self, minutes: int, page: Page | None = None) -> None:
        moment = NINE + timedelta(minutes=minutes)
        self.travelled.move_to(moment)
        if page is not None:
            page.clock.set_system_time(moment)


@pytest.fixture(autouse=True)
def clock(settings: Settings) -> Iterator[Clock]:
    settings.INFUSION_IDLE_MINUTES_SHARED = 600
    with time_machine.travel(NINE, tick=False) as travelled:
        yield Clock(travelled)


@pytest.fixture
def chairs(live_server: Any, clinic: Clinic) -> list[Chair]:
    return [Chair.objects.create(clinic=clinic, label=str(n + 1), position=n) for n in range(6)]


@pytest.fixture
def ordered(clinic: Clinic, nurse: User, medicare: Payer, chairs: list[Chair]) -> Callable[..., Order]:
    def make(chair: int, name: str, minutes: int = 0, **more: Any) -> Order:
        patient = Patient.objects.create(clinic=clinic, reference=f"WH-{name}", name=name)
        asked = {"ordered": Decimal(600), "vials": ((Decimal(300), 2),), "diagnoses": ("G35.A",), **more}
        return place_order(
            by=nurse, clinic=clinic, client_id=uuid4(),
            ordered=Ordered(
                patient=patient, payer=medicare, scheduled_at=NINE + timedelta(minutes=minutes), setting="office",
                drug="J2350", route="iv_infusion", chair=chairs[chair - 1], **asked,
            ),
        )  # fmt: skip

    return make


@pytest.fixture
def tablet(new_context: Callable[..., BrowserContext], nurse: User, password: str) -> Callable[..., Page]:
    """The nurse's own page, signed in, whose clock is the clinic's."""

    def enter(**context: Any) -> Page:
        page = new_context(**context).new_page()
        page.clock.set_system_time(NINE)
        page.goto("/accounts/login/")
        page.get_by_label("Username").fill(nurse.username)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/encounters/")
        return page

    return enter


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).tap()


def lines_of(encounter: Encounter) -> list[tuple[str, tuple[str, ...], int]]:
    encounter.refresh_from_db()
    return [(line.code, line.modifiers, line.units) for line in review_of(encounter).statement.lines]


@pytest.mark.parametrize("scripted", [True, False])
def test_a_visit_takes_five_taps(
    tablet: Callable[..., Page], ordered: Callable[..., Order], clock: Clock, *, scripted: bool
) -> None:
    ordered(3, "Sarah Whitfield")
    page = tablet(java_script_enabled=scripted)
    page.goto("/chairs/")
    page.get_by_role("button", name="Sarah Whitfield").tap()
    expect(page.get_by_role("region", name="Patient")).to_contain_text("Sarah Whitfield")
    press(page, "Start")
    expect(page.locator("#live")).to_contain_text("Started at 09:00")
    clock.at(150, page if scripted else None)
    press(page, "Stop")
    expect(page.locator("#clock")).to_have_text("2\u00a0h\u00a030\u00a0min")
    expect(page.locator("#given")).to_contain_text("nothing discarded")
    press(page, "600\u00a0mg given, all of it")
    press(page, "Hand to billing")
    expect(page.get_by_role("status").first).to_have_text("Handed to billing.")
    encounter = Encounter.objects.get()
    assert lines_of(encounter) == LINES
    assert encounter.state == "with_billing"


def test_a_pause_and_a_mistaken_stop(
    tablet: Callable[..., Page], ordered: Callable[..., Order], nurse: User, clock: Clock
) -> None:
    encounter = begin_order(by=nurse, order=ordered(3, "Sarah Whitfield"))
    page = tablet()
    page.goto(f"/encounters/{encounter.public_id}/live/")
    for minutes, name, state in ((0, "Start", "Running"), (65, "Pause", "Paused"), (80, "Resume", "Running")):
        clock.at(minutes, page)
        press(page, name)
        expect(page.locator("#clock-of-main .state")).to_contain_text(state)
    clock.at(100, page)
    press(page, "Stop")
    expect(page.get_by_role("heading", name="Given and discarded")).to_be_visible()
    page.get_by_role("button", name="Undo").tap()
    expect(page.locator("#clock-of-main .state")).to_have_text("Running")
    expect(page.locator("#clock")).to_have_text("1\u00a0h\u00a025\u00a0min")
    clock.at(137, page)
    page.reload()
    expect(page.locator("#clock")).to_have_text("2\u00a0h\u00a002\u00a0min")
    expect(page.locator(".facts")).to_contain_text("10:05 to 10:20, 15\u00a0min")
    expect(page.locator(".timeline .pause")).to_have_count(1)
    expect(page.locator(".timeline text").last).to_be_visible()
    expect(page.locator(".timeline")).to_contain_text("Now")


def test_a_triple_tap_is_one(
    tablet: Callable[..., Page], ordered: Callable[..., Order], nurse: User, clock: Clock
) -> None:
    encounter = begin_order(by=nurse, order=ordered(3, "Sarah Whitfield"))
    page = tablet()
    page.goto(f"/encounters/{encounter.public_id}/live/")
    page.locator("#tap-start-0").click(click_count=3, delay=5)
    expect(page.locator("#tap-stop-0")).to_be_visible()
    assert encounter.taps.count() == 1
    page.go_back()
    expect(page.locator("#tap-stop-0")).to_be_visible()
    assert encounter.taps.count() == 1


def test_three_left_running_cannot_hide(
    tablet: Callable[..., Page], ordered: Callable[..., Order], nurse: User, clock: Clock, axe: Axe
) -> None:
    left = []
    for name in ("Ann One", "Bea Two", "Cyd Three"):
        left.append(begin_order(by=nurse, order=ordered(1, name)))
        tap(by=nurse, encounter=left[-1], position=0, kind="start", tap_id=uuid4())
    clock.at(24 * 60)
    page = tablet()
    clock.at(24 * 60, page)
    page.goto("/chairs/")
    expect(page.get_by_text("3 waiting for a stop")).to_be_visible()
    waiting = page.get_by_role("link", name="No stop since")
    expect(waiting).to_have_count(3)
    assert sorted(each.get_attribute("href") or "" for each in waiting.all()) == sorted(
        f"/encounters/{each.public_id}/live/" for each in left
    )
    axe(page)
    waiting.first.tap()
    expect(page.locator("#tasks")).to_contain_text("Stop time")
    expect(page.get_by_role("button", name="Hand to billing")).to_have_count(0)


def test_a_time_is_entered_late_by_keys_alone(
    tablet: Callable[..., Page],
    ordered: Callable[..., Order],
    nurse: User,
    clock: Clock,
    axe: Axe,
    browser_problems: list[str],
) -> None:
    encounter = begin_order(by=nurse, order=ordered(3, "Sarah Whitfield"))
    page = tablet()
    clock.at(21, page)
    page.goto(f"/encounters/{encounter.public_id}/live/")
    page.locator("#late-summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Time", exact=True)).to_be_visible()
    page.get_by_label("Time", exact=True).focus()
    page.keyboard.type("0900")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Say why the time is entered late")).to_be_visible()
    assert [each for each in browser_problems if "422" not in each] == []
    browser_problems.clear()
    axe(page)
    expect(page.get_by_label("Time", exact=True)).to_have_value("0900")
    page.get_by_label("Why it is entered late").fill("At the bedside")
    page.keyboard.press("Enter")
    expect(page.locator("#recorded")).to_contain_text("Late entry at 09:21, L. Ames, RN: At the bedside")
    expect(page.locator("#clock")).to_have_text("21\u00a0min")


@pytest.mark.parametrize(("off", "says"), [(0, ""), (1, ""), (-3, "3 minutes behind"), (60, "60 minutes ahead")])
def test_a_tablet_whose_clock_is_wrong_says_so(
    tablet: Callable[..., Page], ordered: Callable[..., Order], nurse: User, clock: Clock, off: int, says: str
) -> None:
    encounter = begin_order(by=nurse, order=ordered(3, "Sarah Whitfield"))
    page = tablet()
    page.clock.set_system_time(NINE + timedelta(minutes=off))
    page.goto(f"/encounters/{encounter.public_id}/live/")
    expect(page.locator("#clinic-time")).to_have_text("09:00")
    if says:
        expect(page.locator("#tablet")).to_contain_text(says)
    else:
        expect(page.locator("#tablet")).to_be_hidden()
    press(page, "Start")
    expect(page.locator("#live")).to_contain_text("Started at 09:00")
    assert encounter.administrations.get().started_at == NINE


def test_the_page_renews_itself_and_the_focus_stays(
    tablet: Callable[..., Page], ordered: Callable[..., Order], nurse: User, clock: Clock
) -> None:
    encounter = begin_order(by=nurse, order=ordered(3, "Sarah Whitfield"))
    page = tablet()
    page.clock.install(time=NINE)
    page.goto(f"/encounters/{encounter.public_id}/live/")
    page.locator("#late-summary").focus()
    clock.at(1)
    tap(by=nurse, encounter=encounter, position=0, kind="start", tap_id=uuid4())
    with page.expect_response(lambda reply: "seen=" in reply.url) as renewed:
        page.clock.run_for(31_000)
    assert renewed.value.request.headers["x-idle"] == "1"
    expect(page.locator("#tap-stop-0")).to_be_visible()
    expect(page.locator("#late-summary")).to_be_focused()


def room(page: Page) -> list[str]:
    """Targets that are too small for a thumb, or too near to another one."""
    boxes, found = page.evaluate(TARGETS), []
    for n, one in enumerate(boxes):
        if one["right"] - one["left"] < 43.9 or one["bottom"] - one["top"] < 43.9:
            found.append(f"{one['name']} is small")
        for other in boxes[n + 1 :]:
            across = max(one["left"], other["left"]) - min(one["right"], other["right"])
            down = max(one["top"], other["top"]) - min(one["bottom"], other["bottom"])
            if max(across, down) < 7.9:
                found.append(f"{one['name']} and {other['name']} are near")
    return found


@pytest.mark.parametrize("width", HEIGHTS)
def test_every_state_has_room_for_a_thumb_and_no_barrier(
    tablet: Callable[..., Page], ordered: Callable[..., Order], nurse: User, clock: Clock, axe: Axe, width: int
) -> None:
    begin_order(by=nurse, order=ordered(3, "Sarah Whitfield"))
    ordered(5, "Ivy Marsh", -10)
    ordered(6, "Paul Okoro", 240)
    page = tablet()
    page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
    page.goto("/chairs/")
    looked_at(page, axe)
    page.get_by_role("link", name="Sarah Whitfield").tap()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    presses = (("Start", "Pause"), ("Pause", "Resume"), ("Resume", "Pause"), ("Stop", "600"))
    for n, (button, after) in enumerate(presses):
        looked_at(page, axe)
        box = page.locator(f"#tap-{button.lower()}-0").bounding_box()
        assert box is not None
        assert box["height"] >= 87.9
        assert box["y"] + box["height"] <= HEIGHTS[width], "above the fold"
        clock.at(10 * (n + 1), page)
        press(page, button)
        expect(page.get_by_role("button", name=after).first).to_be_visible()
    looked_at(page, axe)
    press(page, "600\u00a0mg given, all of it")
    expect(page.get_by_role("button", name="Hand to billing")).to_be_visible()
    looked_at(page, axe)


def looked_at(page: Page, axe: Axe) -> None:
    page.wait_for_load_state()  # a busy machine shows the words before it has their styles
    assert page.evaluate(NO_SCROLL)
    assert room(page) == []
    axe(page)
