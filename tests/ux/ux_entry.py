"""Recording by typing: keys counted, times echoed, errors that keep what was typed, two people, no script."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from playwright.sync_api import Page, TimeoutError, expect

from infusion.actions import Ordered, Recorded, begin_order, place_order, save_encounter
from infusion.models import Clinic, Encounter, Patient, User
from infusion.time_entry import read_time
from payers.actions import add_payer
from payers.models import Payer
from tests.browser.test_nurse import CONFLICT, LINES, address, button, drug, enter_sarah, field, service_lines
from tests.web.test_time_entry import ACCEPTED, REFUSED

Figure = Callable[[str, str, str, bool], None]
Enter = Callable[..., Page]
BANNED = re.compile(r"\b(invalid|please|sorry|required|forbidden)\b", re.IGNORECASE)
NOW = ("n", "now")
SAVED = "Saved as a draft."
SHOWN = """async ([selector, text]) => {
  const began = performance.now();
  while (!document.querySelector(selector).textContent.includes(text)) {
    if (performance.now() - began > 5000) return 5000;
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - began;
}"""
CARET = "element => [document.activeElement === element, element.selectionStart]"


@pytest.fixture
def colleague(person: Callable[..., User], clinic: Clinic) -> User:
    return person("nurse3", "nurse", clinic, first_name="R.", last_name="Ito", credentials="RN")


@pytest.fixture
def drafted(live_server: Any, clinic: Clinic, nurse: User, sarah: Recorded) -> Encounter:
    return save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)


@pytest.mark.measures("U01a")
def test_a_visit_from_an_order_by_keys(
    figure: Figure, enter: Enter, keys: Any, nurse: User, clinic: Clinic, medicare: Payer
) -> None:
    patient = Patient.objects.create(clinic=clinic, reference="MRN-1001", name="Sarah Lindqvist")
    ordered = Ordered(
        patient=patient, payer=medicare, scheduled_at=datetime(2026, 3, 10, 9, 0, tzinfo=ZoneInfo("America/New_York")),
        setting="office", route="iv_infusion", drug="J2350", ordered=Decimal(600), vials=((Decimal(300), 2),),
        diagnoses=("G35.A",),
    )  # fmt: skip
    order = place_order(by=nurse, clinic=clinic, client_id=uuid4(), ordered=ordered)
    encounter = begin_order(by=nurse, order=order)
    page = enter(nurse)
    page.goto("/encounters/")
    page.locator(f"a[href^='{address(encounter)}']").first.focus()
    board = keys(page)
    board.press("Enter")
    page.wait_for_url(f"**{address(encounter)}*")
    expect(field(drug(page), "Start")).to_be_focused()
    board.type("900")
    board.press("Tab")
    board.type("1130")
    board.press("Tab", "Enter")
    expect(field(drug(page), "Administered (mg)")).to_have_value("600")
    board.press("Control+Enter")
    expect(page.get_by_role("status").filter(has_text=SAVED)).to_be_visible()
    right = service_lines(page) == LINES
    figure(
        "U01a", "≤ 12 keys, 0 mouse",
        f"{board.count} keys with the Enter that opens it from the list, 9:00 typed as 900 (0900 is one more); "
        f"{board.mouse_events} mouse" + ("" if right else f"; lines are {service_lines(page)}"),
        right and board.count <= 12 and board.mouse_events == 0,
    )  # fmt: skip


@pytest.mark.measures("U01b")
def test_a_visit_from_a_blank_form_by_keys(
    figure: Figure, enter: Enter, keys: Any, nurse: User, clinic: Clinic, medicare: Payer
) -> None:
    add_payer(by=None, slug="medicaid", name="Medicaid")
    clinic.drug = "J2350"
    clinic.save()
    page = enter(nurse)
    page.goto("/encounters/new/")
    board = keys(page)
    board.type("100001")
    board.press("Tab", "m", "m", *["Tab"] * 7)
    board.type("0900")
    board.press("Tab")
    board.type("1130")
    board.press(*["Tab"] * 3)
    board.type("600")
    board.press("Tab", "Tab", "2", "Control+Enter")
    expect(page.get_by_role("status").filter(has_text=SAVED)).to_be_visible()
    right = service_lines(page) == LINES and Encounter.objects.get().payer == medicare
    wrong = "" if right else f"; lines are {service_lines(page)}"
    ok = right and board.count <= 36 and board.mouse_events == 0
    figure("U01b", "≤ 36 keys, 0 mouse", f"{board.count} keys, {board.mouse_events} mouse{wrong}", ok)


@pytest.mark.measures("U02")
def test_every_time_of_the_table(figure: Figure, enter: Enter, nurse: User, medicare: Payer) -> None:
    page = enter(nurse)
    page.goto("/encounters/new/")
    start, note = field(drug(page), "Start"), page.locator("#d1-start-note")
    read, missed = 0, []
    heard: set[str] = set()
    accepted = [(text, clock) for clock, texts in ACCEPTED.items() for text in texts]
    accepted = [("12:00" if clock == "18:10" else clock, text) for text, clock in accepted]  # now is noon
    kinds: dict[str, set[str]] = {}

    def typed(text: str) -> None:
        start.fill("")
        expect(note).to_have_text("")
        start.fill(text)
        page.keyboard.press("Tab")

    for clock, text in accepted:
        typed(text)
        try:
            expect(note).to_contain_text(
                re.compile(r"^\s*12:0\d \(" if text.strip().lower() in NOW else rf"^\s*{clock} \("), timeout=2500
            )
            read += 1
        except AssertionError:
            missed.append(f"{text!r} → {note.inner_text().strip()!r}")
    missing = page.get_by_role("region", name="Still missing").get_by_role("listitem").filter(has_text="Start")
    for text, code in REFUSED.items():
        typed("0915")
        expect(note).to_contain_text("09:15")
        typed(text)
        try:
            expect(missing).to_contain_text(read_time(text).message[:30], timeout=2500, ignore_case=True)
            heard.add(text)
            kinds.setdefault(code, set()).add(missing.inner_text().split(":", 1)[1].strip()[:30])
        except AssertionError:
            missed.append(f"{text!r} → {missing.all_inner_texts()!r}")
    figures = re.compile(r"[\d:]+")
    distinct = len({figures.sub("", next(iter(words))) for words in kinds.values()})
    every = len(set(REFUSED.values()))
    ok = read == len(accepted) and len(heard) == len(REFUSED) and distinct == every
    figure(
        "U02", "100% read or refused, each kind of refusal in its own words",
        f"{read} of {len(accepted)} spellings read; {len(heard)} of {len(REFUSED)} refused, {distinct} of {every} "
        "kinds in words of their own" + (f"; {missed[:2]}" if missed else ""), ok,
    )  # fmt: skip


@pytest.mark.alone
@pytest.mark.measures("U03")
def test_the_echo_and_the_question(figure: Figure, enter: Enter, nurse: User, medicare: Payer) -> None:
    page = enter(nurse)
    page.goto("/encounters/new/")
    enter_sarah(page)
    page.wait_for_timeout(600)
    took = []
    for minute in range(12):
        stop = field(drug(page), "Stop")
        stop.fill("")
        stop.press_sequentially(f"11{minute + 10}", delay=100)
        page.wait_for_timeout(100)
        page.keyboard.press("Tab")
        took.append(page.evaluate(SHOWN, ["#d1-stop-note", f"11:{minute + 10} ("]))
    silent = 0
    for start, stop, offer in (("9:15", "2:30", "2:30pm (14:30)"), ("1230", "1", "1:00pm (13:00)")):
        field(drug(page), "Start").fill(start)
        field(drug(page), "Stop").fill(stop)
        expect(button(page, offer).first).to_be_visible()
        button(page, "Hand to billing").click()
        expect(page.get_by_role("region", name="There is a problem")).to_be_visible()
        if Encounter.objects.filter(administrations__stopped_at__isnull=False).exists():
            silent += 1
        if Encounter.objects.exclude(state="draft").exists():
            silent += 1
        page.goto("/encounters/new/")
        enter_sarah(page)
    worst = max(took)
    figure(
        "U03", "echo ≤ 300 ms after Tab, 0 silent shifts",
        f"typed at 100 ms a key, echo after {statistics.median(took):.0f} ms (median of {len(took)}), "
        f"{worst:.0f} ms at most; {silent} silent shifts, 2 asked with a button", worst <= 300 and silent == 0,
    )  # fmt: skip


@pytest.mark.alone
@pytest.mark.measures("U06")
def test_the_preview_is_fast_and_calm(
    figure: Figure, enter: Enter, nurse: User, medicare: Payer, drafted: Encounter
) -> None:
    page = enter(nurse)
    page.goto(address(drafted))
    stop = field(drug(page), "Stop")
    seen, lost = [], 0
    for minute in range(8):
        stop.press("End")
        stop.press("Backspace")
        stop.press(str(minute))
        began = time.perf_counter()
        stop.press("ArrowLeft")
        where = stop.evaluate(CARET)
        page.evaluate(SHOWN, ["#d1-stop-note", f"11:3{minute} ("])
        seen.append((time.perf_counter() - began) * 1000)
        lost += stop.evaluate(CARET) != where
        stop.press("End")
    red = page.locator(".wrong-text").count()
    client = Client()
    client.force_login(nurse)
    page_of_it = client.get(address(drafted)).content.decode()
    sent = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page_of_it))
    sent |= {"d1-drug": "J2350", "payer": "medicare"}
    headers = {"HX-Request": "true", "HX-Target": "preview-body"}

    worked: list[float] = []

    def timed(call: Callable[[], Any]) -> float:
        began, processor = time.perf_counter(), time.thread_time()
        assert call().status_code == 200
        worked.append((time.thread_time() - processor) * 1000)
        return (time.perf_counter() - began) * 1000

    previews = [
        timed(lambda n=n: client.post(address(drafted), {**sent, "d1-stop": f"11{n % 60:02d}"}, headers=headers))
        for n in range(200)
    ]
    processor = statistics.quantiles(worked, n=20)[-1]
    empty = [timed(lambda: client.get("/accounts/password/change/")) for _ in range(50)]
    p95 = statistics.quantiles(previews, n=20)[-1]
    plain = statistics.median(empty)
    ok = p95 <= 150 and max(seen) <= 600 and lost == 0 and red == 0
    figure(
        "U06", "server p95 ≤ 150 ms, visible ≤ 600 ms after the last key, 0 focus moves, no red",
        f"measured in this run: server p95 {p95:.0f} ms over 200 previews one after the other, "
        f"{processor:.0f} ms of it work and the rest waiting for the machine "
        f"(median {statistics.median(previews) / plain:.1f} times an empty signed-in page, {plain:.0f} ms); visible "
        f"after {max(seen):.0f} ms at most; {lost} focus moves, {red} red", ok,
    )  # fmt: skip


EMPTY_OR_WRONG = (
    ("nurse", "/encounters/new/", "Save draft"),
    ("nurse", "/encounters/new/", "Hand to billing"),
    ("nurse", "/orders/new/", "Keep the order"),
    ("admin", "/payers/new/", ""),
    ("admin", "rule", ""),
    ("visitor", "/accounts/login/", "Sign in"),
    ("visitor", "/?d1-start=9:6&d1-administered=6,00&act=check", ""),
)
SUMMARY = """() => {
  const box = document.querySelector('#error-summary, .error-summary, [aria-labelledby$=problem], main [role=alert]');
  return box ? [box.contains(document.activeElement), box.innerText] : [false, ''];
}"""


@pytest.mark.measures("U08")
def test_the_summary_of_errors(
    figure: Figure, enter: Enter, nurse: User, admin_user: User, medicare: Payer, browser_problems: list[str]
) -> None:
    people = {"nurse": nurse, "admin": admin_user, "visitor": None}
    links = good = titles = focused = 0
    short = []
    for role, path, press in EMPTY_OR_WRONG:
        page = enter(people[role])
        if path == "rule":
            page.goto("/payers/medicare/")
            page.get_by_role("link", name="Discarded drug", exact=True).click()
        elif role == "admin":
            page.goto("/payers/")
            page.get_by_role("link", name="Add a payer").first.click()
        else:
            page.goto(path)
        if press:
            button(page, press).click()
        elif role == "admin":
            page.locator("main form[method=post] button[type=submit]").last.click()
        page.wait_for_load_state()
        page.wait_for_timeout(150)
        titles += page.title().startswith("Error: ")
        inside, _ = page.evaluate(SUMMARY)
        focused += inside
        if not (inside and page.title().startswith("Error: ")):
            short.append(f"{page.url.partition('//')[2].partition('/')[2]}: {page.title()!r}, focus in it: {inside}")
        summary = page.get_by_role("region", name="There is a problem").or_(page.locator("#error-summary")).first
        for link in summary.locator("a[href^='#']").all():
            links += 1
            words = link.inner_text().strip()
            target = (link.get_attribute("href") or "#")[1:]
            note = page.locator(f"[id='{target}-note'], [id='{target}_error']")
            same = note.count() > 0 and words in note.first.inner_text()
            link.click()
            there = page.evaluate("document.activeElement.id") == target
            good += same and there
            if not (same and there):
                short.append(f"{target}: same words {same}, focus {there}")
    browser_problems.clear()  # a refused form is answered with 422
    n = len(EMPTY_OR_WRONG)
    figure(
        "U08", "title begins “Error: ”, focus in the summary, each link to its field, the same words: 100%",
        f"title {titles} of {n} forms, focus {focused} of {n}, links {good} of {links}"
        + (f"; {'; '.join(short[:3])}" if short else ""), titles == focused == n and links > 0 and good == links,
    )  # fmt: skip


WRONG = {
    "d1-start": ["9:60", "2460", "13:00p", "0:15p", "99", "24:00", "9:5", "9:155", "9:15:30", "quarter past", "-915",
                 "9:"],
    "d1-stop": ["2400", "1260p", "2530", "2115a", "0015am", "09150", "9:15x", ":15", "9 15h p", "24", "9:1a5", "x"],
    "d1-ordered": ["1,000", "1,5", "-5", ".5", "5.", "6e2", "NaN", "12345678", "0.1234567", "600 mcg", "six", "0x10"],
    "d1-administered": ["2,5", "-1", ".25", "7.", "1e3", "inf", "99999999", "1.1234567", "5 g", "all", "½", "1/2"],
    "date": ["2026-02-29", "13/1/2026", "10.03.2026", "March", "1826-03-10", "3/10/026", "0000-01-01", "31", "2026",
             "tomorrow?", "2026-13-01", "2026/3"],
}  # fmt: skip
NAMES = {"d1-start": "Start", "d1-stop": "Stop", "d1-ordered": "Ordered", "d1-administered": "Administered",
         "date": "Date of service"}  # fmt: skip


@pytest.mark.measures("U09")
def test_wrong_values_stay_and_are_explained(
    figure: Figure, enter: Enter, nurse: User, medicare: Payer, browser_problems: list[str]
) -> None:
    page = enter(nurse)
    page.goto("/encounters/new/")
    enter_sarah(page)
    cleared, unnamed, rude, tried = [], [], 0, 0
    for each in zip(*WRONG.values(), strict=True):
        for name, value in zip(WRONG, each, strict=True):
            page.locator(f"#{name}").fill(value)
        button(page, "Save draft").click()
        summary = page.get_by_role("region", name="There is a problem")
        expect(summary).to_be_visible()
        for name, value in zip(WRONG, each, strict=True):
            tried += 1
            if page.locator(f"#{name}").input_value() != value:
                cleared.append(f"{name} {value!r}")
            link = summary.locator(f"a[href='#{name}']")
            words = link.first.inner_text() if link.count() else ""
            if NAMES[name] not in words:
                unnamed.append(f"{value!r} as “{words}”")
        rude += len(BANNED.findall(summary.inner_text()))
    browser_problems.clear()
    kept = field(page, "Patient reference").input_value() == "MRN-1001"
    figure(
        "U09", "0 of 60 cleared, each names its field, 0 of “invalid, please, sorry, required, forbidden”",
        f"{tried} wrong values: {len(cleared)} cleared, {tried - len(unnamed)} named, {rude} such words"
        + (f"; not named: {', '.join(unnamed[:4])}" if unnamed else "")
        + (f"; cleared: {', '.join(cleared[:4])}" if cleared else ""),
        tried >= 60 and not cleared and not unnamed and not rude and kept,
    )  # fmt: skip


@pytest.mark.measures("U11")
def test_double_taps_and_back(figure: Figure, enter: Enter, nurse: User, medicare: Payer) -> None:
    page = enter(nurse)
    page.goto("/encounters/new/")
    enter_sarah(page)
    page.wait_for_timeout(500)
    page.route("**/encounters/new/", lambda route: (page.wait_for_timeout(2000), route.continue_()))
    save = page.locator("#update")
    page.evaluate(
        "() => addEventListener('submit', (event) => setTimeout("
        "() => sessionStorage.setItem('said', event.submitter.textContent), 100))"
    )
    save.click(click_count=3, no_wait_after=True)
    page.wait_for_url(re.compile(r"/encounters/[0-9a-f-]{36}/"))
    landed = page.url
    said = page.evaluate("sessionStorage.getItem('said')")
    page.unroute_all(behavior="ignoreErrors")
    after_save = Encounter.objects.count()
    page.go_back()
    page.locator("#update").click()
    page.wait_for_timeout(300)
    with suppress(TimeoutError):
        page.wait_for_url(re.compile(r"/encounters/[0-9a-f-]{36}/"), timeout=8000)
    replay = page.url.split("?")[0] == landed.split("?")[0]
    page.reload()
    records = Encounter.objects.count()
    figure(
        "U11", "1 record, “Saving…” meanwhile, a repetition lands on the same page",
        f"three clicks under 2 s of delay: {after_save} record, button says “{said}”; Back, Save and reload: {records} "
        f"record, same page: {'yes' if replay else 'no, ' + page.url.rpartition('/encounters')[2]}",
        records == after_save == 1 and said == "Saving…" and replay,
    )  # fmt: skip


@pytest.mark.measures("U12")
def test_two_people_choose_by_keys(
    figure: Figure, enter: Enter, keys: Any, nurse: User, colleague: User, drafted: Encounter,
    browser_problems: list[str],
) -> None:  # fmt: skip
    mine, theirs = enter(nurse), enter(colleague)
    for page in (mine, theirs):
        page.goto(address(drafted))
    field(drug(theirs), "Stop").fill("1145")
    button(theirs, "Save draft").click()
    expect(theirs.get_by_role("status").filter(has_text=SAVED)).to_be_visible()
    field(drug(mine), "Ordered (mg)").fill("650")
    mine.keyboard.press("Control+Enter")
    expect(mine.get_by_role("table", name="Both versions").get_by_role("row")).to_have_count(3)
    counted, most = keys(mine), 0
    for presses in (["Tab", "Enter"], ["Tab", "Tab", "Enter"]):
        expect(mine.get_by_role("region", name="Two versions of this encounter")).to_be_focused()
        before = counted.count
        with mine.expect_navigation():
            counted.press(*presses)
        most = max(most, counted.count - before)
    expect(mine.get_by_role("status").filter(has_text=SAVED)).to_be_visible()
    row = Encounter.objects.get().administrations.get()
    lost = (f"{row.stopped_at:%H:%M}" != "15:45") + (row.ordered != 650)
    assert browser_problems == [CONFLICT]
    browser_problems.clear()
    figure(
        "U12", "0 lost fields, ≤ 10 keys to resolve one field", f"{lost} lost, {most} keys at most for a field",
        lost == 0 and most <= 10,
    )  # fmt: skip


@pytest.mark.measures("U17")
def test_without_javascript(
    figure: Figure, enter: Enter, nurse: User, biller: User, clinic: Clinic, medicare: Payer
) -> None:
    done = []
    page = enter(nurse, java_script_enabled=False)
    page.goto("/encounters/new/")
    enter_sarah(page)
    button(page, "Save draft").click()
    expect(page.get_by_text(SAVED).first).to_be_visible()
    done.append("record" if service_lines(page) == LINES else "")
    button(page, "Add pause").click()
    button(page, "Remove pause 1").click()
    button(page, "Hand to billing").click()
    expect(page.get_by_text("Handed to billing.")).to_be_visible()
    done.append("hand over" if Encounter.objects.get().state == "with_billing" else "")

    desk = enter(biller, java_script_enabled=False)
    desk.goto("/encounters/")
    desk.get_by_role("navigation", name="Lists").get_by_role(
        "link", name=re.compile("^With billing|^All")
    ).first.click()
    done.append("filter" if desk.get_by_role("link", name="MRN-1001", exact=True).count() else "")
    desk.get_by_role("link", name="MRN-1001", exact=True).first.click()
    desk.locator("summary", has_text="Why?").first.click()
    answer, reckoned = desk.locator(".reasons .answer").first, desk.get_by_text("How it was reckoned").first
    reckoned.click()
    done.append("reasons" if answer.is_visible() and desk.locator(".reckoning").first.is_visible() else "")
    button(desk, "Approve").click()
    expect(desk.get_by_role("heading", name="Approved")).to_be_visible()
    done.append("approve" if Encounter.objects.get().state == "approved" else "")

    patient = Patient.objects.create(clinic=clinic, reference="MRN-2")
    ordered = Ordered(
        patient=patient, payer=medicare, scheduled_at=datetime(2026, 3, 10, 12, 0, tzinfo=ZoneInfo("America/New_York")),
        setting="office", route="iv_infusion", drug="J2350", ordered=Decimal(600), vials=((Decimal(300), 2),),
        diagnoses=("G35.A",),
    )  # fmt: skip
    place_order(by=nurse, clinic=clinic, client_id=uuid4(), ordered=ordered)
    page.goto("/orders/")
    page.get_by_role("button", name=re.compile("^Begin")).click()
    button(page, "Start").click()
    button(page, "Pause").click()
    button(page, "Resume").click()
    button(page, "Stop").click()
    taps = Encounter.objects.get(patient=patient).taps.count()
    done.append("chair" if taps == 4 else "")
    asked = ["record", "hand over", "filter", "reasons", "approve", "chair"]
    left = [step for step in asked if step not in done]
    figure(
        "U17", f"{len(asked)} of {len(asked)}: {', '.join(asked)}",
        f"{len(asked) - len(left)} of {len(asked)}" + (f"; not {', '.join(left)}" if left else ""), not left,
    )  # fmt: skip
