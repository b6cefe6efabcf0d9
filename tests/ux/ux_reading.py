"""What is read: reasons, the time line in every kind of sight, the patient's band, paper, and the end of a sign-in."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from playwright.sync_api import Page, expect

from infusion.actions import Recorded, hand_to_billing, save_encounter
from infusion.models import Clinic, Encounter, User
from payers.models import Payer
from tests.browser.test_nothing_lost import SIGN_IN_ENDED, pass_time
from tests.browser.test_nurse import HIDDEN_FOCUS, address, button, enter_sarah, field
from tests.browser.test_paper import GREY, PAGE_OF_PDF, SEEN
from tests.ux.conftest import House
from tests.ux.ux_every_page import SARAH

Figure = Callable[[str, str, str, bool], None]
Enter = Callable[..., Page]
TYPED = """() => [...new FormData(document.getElementById('encounter-form'))]
  .filter(([name]) => !/csrf|version|shown|client_id/.test(name))"""
SIGHTS = ("none", "protanopia", "deuteranopia", "tritanopia", "achromatopsia")


@pytest.mark.measures("U07")
def test_every_line_explains_itself(
    figure: Figure, enter: Enter, nurse: User, biller: User, clinic: Clinic, sarah: Recorded
) -> None:
    page = enter(None)
    lines = explained = visits = 0
    rows: list[dict[str, Any]] = []
    for number in range(50):
        start, stop = 480 + 7 * number, 480 + 7 * number + 16 + 11 * number
        dose = 300 if number % 3 == 0 else 600 - (number % 2) * 25
        more = "&d2-drug=J2919&d2-route=iv_push&d2-start=0830&d2-administered=125&d2-v1-size=125&d2-v1-count=1"
        page.goto(
            f"/?date=2026-03-10&diagnosis=G35.A&d1-drug=Ocrelizumab&d1-start={start // 60:02d}{start % 60:02d}"
            f"&d1-stop={stop // 60 % 24:02d}{stop % 60:02d}&d1-ordered={dose}&d1-administered={dose}&d1-v1-size=300"
            f"&d1-v1-count={1 if dose == 300 else 2}&setting=office{more if number % 4 == 0 else ''}"
            + ("&d1-w1-amount=25&d1-w1-reason=vial_remainder" if dose == 575 else "")
        )
        found = page.evaluate(
            """() => [...document.querySelectorAll('table[aria-label="Service lines"] tbody tr')]
            .filter((row) => row.querySelector('.code')).map((row) => ({ code: row.querySelector('.code').textContent,
              reasons: [...row.querySelectorAll('.reason')].map((each) => each.textContent.replace(/\\s+/g, ' ')),
              keyboard: row.querySelector('summary') && row.querySelector('summary').tabIndex >= 0 }))"""
        )
        visits += bool(found)
        rows += found
    for row in rows:
        lines += 1
        words = " ".join(row["reasons"])
        explained += bool(row["keyboard"] and len(words) > 40 and re.search(r"\d", words) and "Source" in words)
    opened = page.locator("table[aria-label='Service lines'] summary").first
    opened.focus()
    page.keyboard.press("Enter")
    by_keys = page.locator(".reason").first.is_visible()
    short = sum(
        "One more minute" in " ".join(row["reasons"]) or "minute" in " ".join(row["reasons"])
        for row in rows
        if row["code"] in ("96365", "96366", "96367")
    )
    timed = sum(row["code"] in ("96365", "96366", "96367") for row in rows)
    stored = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    hand_to_billing(by=nurse, encounter=stored, version=stored.version)
    sheet = enter(biller)
    sheet.goto(f"/encounters/{stored.public_id}/sheet/")
    sheet.emulate_media(media="print")
    printed = [
        row.inner_text().strip()
        for row in sheet.locator("table[aria-label='Service lines'] tbody tr td:nth-child(4)").all()
    ]
    in_print = sum(len(each) > 15 for each in printed)
    figure(
        "U07", "a reason with its source on 100% of the lines of 50 visits, by keyboard, and in print",
        f"{explained} of {lines} lines of {visits} visits, minutes on {short} of {timed} timed lines; opened by Enter: "
        f"{'yes' if by_keys else 'no'}; {in_print} of {len(printed)} printed lines",
        visits == 50 and explained == lines and by_keys and in_print == len(printed) == 3 and short == timed,
    )  # fmt: skip


@pytest.mark.measures("U10")
def test_the_end_of_a_sign_in(
    figure: Figure, enter: Enter, nurse: User, medicare: Payer, clock: Any, password: str, browser_problems: list[str]
) -> None:
    page = enter(nurse)
    page.clock.install()
    page.goto("/encounters/new/")
    enter_sarah(page)
    page.clock.run_for(4000)
    typed = page.evaluate(TYPED)
    warning = page.get_by_role("alertdialog", name="Are you still there?")
    extended, notice = 0, 1000
    for _ in range(10):
        pass_time(page, clock, 540)
        expect(warning).to_be_visible()
        notice = min(notice, int(re.search(r"(\d+) seconds", warning.inner_text())[1]))  # type: ignore[index]
        with page.expect_response(lambda reply: "/accounts/session/" in reply.url and reply.request.method == "POST"):
            button(page, "Stay signed in").click()
        expect(warning).to_have_count(0)
        extended += 1
    announced = page.locator("#still-there-left").get_attribute("role") == "status"
    pass_time(page, clock, 540)
    expect(warning).to_be_visible()
    pass_time(page, clock, 100)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    covered = "MRN-1001" not in page.content()
    browser_problems[:] = [each for each in browser_problems if each != SIGN_IN_ENDED]
    page.get_by_label("Username").fill(nurse.username)
    page.get_by_label("Password", exact=True).fill(password)
    button(page, "Sign in").click()
    page.wait_for_url(re.compile("/encounters/new/"))
    expect(field(page, "Patient reference")).to_have_value("MRN-1001")
    back = page.evaluate(TYPED)
    kept = [list(each) for each in typed if each[1]]
    lost = [name for name, value in kept if [name, value] not in [list(each) for each in back]]
    ok = not lost and extended >= 10 and notice >= 60 and covered and announced
    figure(
        "U10", "all values back on the same page, warning ≥ 60 s before and announced, extended ≥ 10 times, covered",
        f"{len(kept) - len(lost)} of {len(kept)} values back; warning {notice} s before, "
        f"{'announced' if announced else 'not announced'}; extended {extended} times; patient "
        f"{'covered' if covered else 'still in the page'}" + (f"; lost: {lost[:4]}" if lost else ""), ok,
    )  # fmt: skip


@pytest.mark.measures("U18")
def test_check_and_change(
    figure: Figure, enter: Enter, nurse: User, clinic: Clinic, sarah: Recorded, live_server: Any
) -> None:
    stored = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    page = enter(nurse)
    page.goto(address(stored))
    page.locator("#documentation > details").evaluate("(fold) => { fold.open = true; }")
    rows = page.locator("#documentation li.task")
    reached, named, retyped, steps = 0, 0, 0, []
    count = rows.count()
    for at in range(count):
        row = page.locator("#documentation li.task").nth(at)
        change = row.locator("summary")
        hidden = change.count() and change.locator(".visually-hidden").count()
        link = row.locator("a.task-name")
        if link.count():
            link.click()
            reached += page.evaluate("document.activeElement.matches('input, select')")
            named += bool(link.inner_text().strip())
        else:
            if change.count():
                change.click()
            named += bool(hidden or row.locator("label").count())
            reached += row.locator("input, select, textarea").first.is_visible()
    before = dict(page.evaluate(TYPED))
    field(page, "Reaction, and what was done").fill("None")
    was = page.url.split("?")[0]
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status").filter(has_text="Saved as a draft.")).to_be_visible()
    steps.append(page.url.split("?")[0] == was)
    after = dict(page.evaluate(TYPED))
    retyped = sum(after.get(name) != value for name, value in before.items() if value and name != "doc_reaction")
    button(page, "Hand to billing").click()
    page.wait_for_url("**/encounters/")
    page.goto(address(stored))
    words = page.get_by_role("main").inner_text()
    signed = bool(re.search(r"Handed to billing by L\. Ames, RN,? .*\d", words))
    groups = page.locator(".record-group").count()
    ok = reached == count == named and all(steps) and retyped == 0 and signed and groups > 1
    figure(
        "U18", "each item of the list leads to its field, saving returns in 1 step, 0 values typed again, signed by "
        "name and time",
        f"{reached} of {count} items lead to their field; back in {'1' if all(steps) else '2 or more'} step; {retyped} "
        f"values typed again; {'signed by name and time' if signed else 'not signed'}; {groups} sections in the record",
        ok,
    )  # fmt: skip


COLOURS = """async ([picture, boxes]) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${picture}`)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return boxes.map(([x, y, width, height]) => {
    const { data } = context.getImageData(x, y, width, height), counts = new Map();
    for (let at = 0; at < data.length; at += 4) {
      const key = `${data[at]},${data[at + 1]},${data[at + 2]}`;
      counts.set(key, (counts.get(key) || 0) + 1);
    }
    return [...counts].sort((a, b) => b[1] - a[1])[0][0].split(',').map(Number);
  });
}"""


def luminance(colour: list[int]) -> float:
    lines = [each / 255 for each in colour]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in lines)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: list[int], other: list[int]) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.measures("U21")
def test_the_time_line_in_every_sight(figure: Figure, enter: Enter) -> None:
    page, canvas = enter(None), enter(None)
    canvas.goto("about:blank")
    page.goto(SARAH)
    drawing = page.get_by_role("img", name="Time line")
    drawing.scroll_into_view_if_needed()
    described = page.locator("#timeline-words").text_content() or ""
    page.get_by_text("Show as a table").click()
    table = [
        [cell.inner_text().strip() for cell in row.locator("td").all()]
        for row in page.locator("figure.times table tbody tr").all()
    ]
    styled = page.locator("figure.times [style]").count()
    session = page.context.new_cdp_session(page)
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('.timeline > rect.run, .timeline > rect.pause')]
        .map((each) => [each.getBoundingClientRect(), each.getAttribute('class')])
        .map(([box, kind]) => [Math.ceil(box.x) + 3, Math.ceil(box.y) + 3, Math.floor(box.width) - 6,
                               Math.floor(box.height) - 6, kind])"""
    )
    worst: dict[str, float] = {}
    patterned = {}
    for sight in SIGHTS:
        session.send("Emulation.setEmulatedVisionDeficiency", {"type": sight})
        page.wait_for_timeout(100)
        picture = base64.b64encode(page.screenshot()).decode()
        found = canvas.evaluate(COLOURS, [picture, [box[:4] for box in boxes]])
        pairs = [contrast(one, other) for one, other in pairwise(found)]
        worst[sight] = min(pairs)
        patterned[sight] = found
    grey = all(max(each) - min(each) <= 2 for each in patterned["achromatopsia"])
    spans = [row[-1] for row in table]
    data = spans == ["60", "20", "70"] and [row[-2] for row in table] == ["Running", "Paused", "Running"]
    pattern = page.locator(".timeline pattern").count() > 0
    label = page.locator("figure.times .key").inner_text()
    ok = (
        min(worst.values()) >= 3
        and data
        and styled == 0
        and grey
        and pattern
        and "paused 20 min" in label
        and described
    )
    figure(
        "U21", "neighbours ≥ 3:1 in 5 kinds of sight, pattern and label too, the table says the same, 0 inline styles",
        ", ".join(f"{'all colours' if sight == 'none' else sight} {ratio:.1f}:1" for sight, ratio in worst.items())
        + f"; table {'the same' if data else table}; {styled} inline styles; "
        f"{'pattern and label' if pattern else 'no pattern'}", bool(ok),
    )  # fmt: skip


@pytest.mark.measures("U28")
def test_paper(figure: Figure, enter: Enter, nurse: User, biller: User, house: House, live_server: Any) -> None:
    page = enter(biller)
    pages: dict[str, int] = {}
    clutter = 0
    least = 100.0
    missing: list[str] = []
    wanted = {
        f"/encounters/{house.approved.public_id}/sheet/": (
            "Name 4", "Chart4", "09:00", "11:30", "600 mg", "300 mg", "96365", "96366", "J2350", "JZ", "[Dd]iscard",
            "L. Ames", "D. Reyes", "Approved", "[Aa]udit|[Rr]eference|SHA|[0-9a-f]{8}",
        ),
        "/downtime-sheet/": ("Start", "Stop", "Pause", "[Vv]ial", "Lot", "[Dd]iscard", "Patient", "Sign|Signature"),
    }  # fmt: skip
    for path, words in wanted.items():
        page.goto(path)
        for paper in ("Letter", "A4"):
            pages[f"{path[-15:]} {paper}"] = len(PAGE_OF_PDF.findall(page.pdf(format=paper)))
        page.emulate_media(media="print")
        clutter += page.evaluate(SEEN, "nav, .masthead, .skip, .colophon, .paper-actions, form, button, dialog")
        text = page.locator(".paper").inner_text()
        missing += [each for each in words if not re.search(each, text)]
        least = min(least, *(ratio for _, ratio in page.evaluate(GREY)))
        page.emulate_media(media="null")
    ok = set(pages.values()) == {1} and clutter == 0 and least >= 4.5 and not missing
    figure(
        "U28", "1 page each on Letter and A4, everything of the visit on it, no navigation, contrast ≥ 4.5:1 in grey",
        f"{'/'.join(map(str, pages.values()))} pages; {clutter} pieces of navigation; {least:.1f}:1 at least"
        + (f"; not found: {', '.join(missing)}" if missing else "; nothing missing"), ok,
    )  # fmt: skip


@pytest.mark.measures("U29")
def test_the_right_patient(
    figure: Figure, enter: Enter, nurse: User, biller: User, house: House, clinic: Clinic, sarah: Recorded,
    browser_problems: list[str],
) -> None:  # fmt: skip
    good, places, tallest, short = 0, set(), 0.0, []
    looked = [
        (nurse, f"/encounters/{house.draft.public_id}/"), (nurse, f"/encounters/{house.draft.public_id}/live/"),
        (nurse, f"/encounters/{house.with_billing.public_id}/"), (nurse, f"/encounters/{house.approved.public_id}/"),
        (biller, f"/encounters/{house.with_billing.public_id}/review/"),
        (biller, f"/encounters/{house.approved.public_id}/review/"),
    ]  # fmt: skip
    covered = 0
    for user, path in looked:
        page = enter(user, size=(360, 740))
        page.goto(path)
        band = page.get_by_role("region", name="Patient", exact=True)
        words = band.first.inner_text() if band.count() else ""
        whole = bool(re.search(r"Name \d.*Born June 2, 1984.*Record Clinic\d+Chart\d", words.replace("\n", " ")))
        if not whole:
            whole = bool(re.search(r"Name \d", words) and "Born" in words and "Record" in words)
        page.mouse.wheel(0, 20000)
        page.wait_for_timeout(200)
        box = band.first.bounding_box() if band.count() else None
        stays = bool(box and box["y"] >= -1 and box["y"] + box["height"] <= 740 + 1)
        share = box["height"] / 740 if box else 1.0
        tallest = max(tallest, share)
        places.add(round(box["y"]) if box else None)
        page.mouse.wheel(0, -20000)
        for _ in range(25):
            page.keyboard.press("Tab")
            covered += bool(page.evaluate(HIDDEN_FOCUS))
        if whole and stays and share <= 0.2:
            good += 1
        else:
            short.append(
                f"{path.split('/')[3] or 'encounter'} as {user.username}: whole {whole}, stays {stays}, {share:.0%}"
            )

    a = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=replace(sarah, patient_reference="TAB-A"))
    b = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=replace(sarah, patient_reference="TAB-B"))
    client = Client()
    client.force_login(nurse)
    crossed = tried = 0
    for number in range(50):
        text_a = client.get(address(a)).content.decode()
        client.get(address(b))  # the other tab, opened after it
        fields = dict(re.findall(r'<input[^>]*?name="([^"]+)"[^>]*?value="([^"]*)"', text_a))
        before = stored_state(b)
        sent = {
            **fields,
            "payer": "medicare",
            "d1-route": "iv_infusion",
            "d1-ordered": str(500 + number),
            "act": "save",
        }
        client.post(address(a), sent)
        tried += 1
        crossed += stored_state(b) != before
        client.post(address(b), sent)  # a form of A that is sent to B's address
        tried += 1
        crossed += stored_state(b) != before
    browser_problems.clear()
    figure(
        "U29", "name, birth date and record on 100% of visit pages, in sight after scrolling at 360 px, ≤ 20% high, no "
        "focus under it; 0 of 100 writes reach the other patient",
        f"{good} of {len(looked)} pages, {tallest:.0%} high at most, {covered} times over the focus; {crossed} of "
        f"{tried} writes crossed" + (f"; {'; '.join(short)}" if short else ""),
        good == len(looked) and crossed == 0 and covered == 0,
    )  # fmt: skip


def stored_state(encounter: Encounter) -> tuple[Any, ...]:
    stored = Encounter.objects.get(pk=encounter.pk)
    row = stored.administrations.get()
    return stored.version, stored.patient.reference, row.ordered, row.administered, row.started_at, row.stopped_at
