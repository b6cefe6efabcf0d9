"""The calculator in a real Chromium, found by role and label as a person finds it."""

import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

SARAH = (
    "/?date=2026-03-10&diagnosis=G35.A&d1-drug=Ocrelizumab&d1-start=0900&d1-stop=1130"
    "&d1-ordered=600&d1-administered=600&d1-v1-size=300&d1-v1-count=2"
)


SPACED_WIDE = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: .12em !important;
                         word-spacing: .16em !important }`);
  document.adoptedStyleSheets = [sheet];
}"""
TAB_STOP = """() => {
  if (document.activeElement === document.body) return null;
  const element = document.activeElement, box = element.getClientRects()[0];
  const hit = document.elementFromPoint(box.left + Math.min(box.width / 2, 20), box.top + box.height / 2);
  return [element.id || element.textContent.trim().slice(0, 30), element === hit || element.contains(hit),
          getComputedStyle(element).outlineStyle];
}"""


TOO_SMALL = """() => [...document.querySelectorAll("a, button, input, select, summary")]
  .filter((each) => each.checkVisibility() && !each.closest("p, [aria-hidden=true]") && each.type !== "hidden")
  .filter((each) => { const box = each.getBoundingClientRect(); return box.width < 24 || box.height < 24; })
  .map((each) => each.id || each.textContent.trim())"""


def drug(page: Page, number: int = 1) -> Locator:
    return page.get_by_role("group", name=f"Drug {number}", exact=True)


def field(place: Page | Locator, label: str) -> Locator:
    return place.get_by_label(label, exact=True).first


def enter_sarah(page: Page) -> None:
    field(page, "Date of service").fill("2026-03-10")
    field(page, "Diagnosis").fill("G35.A")
    one = drug(page)
    for label, value in (
        ("Drug", "Ocrelizumab"), ("Start", "0900"), ("Stop", "1130"), ("Ordered (mg)", "600"),
        ("Administered (mg)", "600"),
    ):  # fmt: skip
        field(one, label).fill(value)
    field(one, "Vial size (mg)").select_option("300")
    field(one, "Vials (count)").fill("2")


def service_lines(page: Page) -> list[tuple[str, str, str]]:
    rows = page.get_by_role("table", name="Service lines").locator("tbody tr")
    return [tuple(cell.strip() for cell in row.get_by_role("cell").all_inner_texts()[:3]) for row in rows.all()]


def expect_lines(page: Page, *expected: tuple[str, str, str]) -> None:
    table = page.get_by_role("table", name="Service lines")
    for code, modifiers, units in expected:
        row = table.get_by_role("row").filter(has=page.get_by_role("cell", name=code, exact=True))
        row = row.filter(has=page.get_by_role("cell", name=units, exact=True))
        expect(row).to_have_count(1)
        expect(row.get_by_role("cell").nth(1)).to_have_text(modifiers)
    assert service_lines(page) == list(expected)


def test_sarah_by_typing_alone_and_why(page: Page, axe):
    page.goto("/")
    enter_sarah(page)
    expect_lines(page, ("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600"))
    preview = page.get_by_role("region", name="Preview")
    expect(preview.get_by_role("status")).to_have_text("Nothing missing")
    row = preview.get_by_role("row").filter(has=page.get_by_role("cell", name="96366", exact=True))
    row.get_by_text("Why?").click()
    expect(row).to_contain_text("One more minute would add one unit of 96366")
    expect(row).to_contain_text("Minutes that earn another hour: 31 minutes. National baseline.")
    axe(page)


def test_thirty_minutes_earn_the_second_hour_and_the_reason_says_whose_rule(page: Page):
    page.goto(SARAH)
    page.get_by_text("Payer rules used here").click()
    field(page, "Minutes that earn another hour").fill("30")
    expect_lines(page, ("96365", "", "1"), ("96366", "", "2"), ("J2350", "JZ", "600"))
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="96366", exact=True))
    row.get_by_text("Why?").click()
    expect(row).to_contain_text("Minutes that earn another hour: 30 minutes. Set here for this calculation.")
    expect(page).to_have_url(re.compile("rule-additional_hour_minimum_minutes=30"))


def test_the_address_alone_brings_the_calculation_back(page: Page, new_context):
    page.goto("/")
    enter_sarah(page)
    expect_lines(page, ("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600"))
    link = page.get_by_role("link", name="Link to this calculation").get_attribute("href")
    other = new_context().new_page()
    other.goto(link)
    expect(field(drug(other), "Stop")).to_have_value("1130")
    expect_lines(other, ("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600"))


def test_two_drugs_with_a_pause_and_a_discard(page: Page, axe):
    page.goto(SARAH)
    one = drug(page)
    one.get_by_role("button", name="Add pause").click()
    pause = one.get_by_role("group", name="Pause 1", exact=True)
    expect(field(pause, "Start")).to_be_focused()
    field(pause, "Start").fill("1000")
    field(pause, "Stop").fill("1020")
    one.get_by_role("button", name="Add discard").click()
    discard = one.get_by_role("group", name="Discard 1", exact=True)
    expect(field(discard, "Discarded (mg)")).to_be_focused()
    field(discard, "Discarded (mg)").fill("25")
    field(discard, "Reason").select_option(label="Vial remainder")
    field(one, "Administered (mg)").fill("575")
    page.get_by_role("button", name="Add drug").click()
    two = drug(page, 2)
    expect(field(two, "Drug")).to_be_focused()
    for label, value in (("Drug", "J2919"), ("Start", "0830"), ("Stop", "0850"), ("Administered (mg)", "125")):
        field(two, label).fill(value)
    field(two, "Vial size (mg)").select_option("125")
    field(two, "Vials (count)").fill("1")
    expect_lines(
        page, ("96365", "", "1"), ("96366", "", "1"), ("96367", "", "1"), ("J2350", "", "575"), ("J2350", "JW", "25"),
        ("J2919", "JZ", "25"),
    )  # fmt: skip
    picture = page.get_by_role("img", name="Time line")
    expect(picture).to_contain_text("Ocrelizumab, 130 min")
    page.get_by_text("Show as a table").click()
    expect(page.get_by_role("row", name="Ocrelizumab 10:00 10:20 Paused 20")).to_be_visible()
    axe(page)
    two.get_by_role("button", name="Remove drug 2").click()
    expect(page.get_by_role("group", name="Drug 2", exact=True)).to_have_count(0)
    expect(field(pause, "Start")).to_have_value("1000")


def test_the_preview_is_calm(page: Page):
    """No focus moves, no caret jumps, no red, and the answer of the last key is the one that stays."""
    page.goto(SARAH)
    stop = field(drug(page), "Stop")
    stop.fill("")
    stop.press_sequentially("1133", delay=40)
    stop.press("ArrowLeft")
    expect(page.get_by_role("region", name="Preview")).to_contain_text("153")
    expect(stop).to_be_focused()
    assert stop.evaluate("element => element.selectionStart") == 3
    expect(page.locator(".wrong-text")).to_have_count(0)
    expect_lines(page, ("96365", "", "1"), ("96366", "", "2"), ("J2350", "JZ", "600"))
    expect(page.locator("#d1-stop-note")).to_have_text("11:33 (11:33am)")
    stop.fill("113x")
    expect(page.get_by_role("status").first).to_have_text("1 thing missing")
    expect(page.locator(".wrong-text")).to_have_count(0)


def test_an_earlier_stop_is_asked_about_with_two_buttons(page: Page):
    page.goto(SARAH)
    one = drug(page)
    field(one, "Start").fill("9:15")
    field(one, "Stop").fill("2:30")
    one.get_by_role("button", name="Next day, 02:30").click()
    expect(page.locator("#d1-stop-note")).to_contain_text("02:30 (2:30am), next day, Wednesday, March 11")
    expect(field(one, "Stop")).to_be_focused()
    one.get_by_role("button", name="Same day instead").click()
    one.get_by_role("button", name="2:30pm (14:30)").click()
    expect(field(one, "Stop")).to_have_value("14:30")
    expect_lines(page, ("96365", "", "1"), ("96366", "", "4"), ("J2350", "JZ", "600"))


def test_the_repeated_hour_is_asked_about(page: Page):
    page.goto(SARAH.replace("2026-03-10", "2026-11-01").replace("0900", "0030").replace("1130", "0130"))
    drug(page).get_by_role("button", name="The second 01:30 (EST)").click()
    expect(page.locator("#d1-stop-note")).to_contain_text("the second of that night")
    expect(page.get_by_role("region", name="Preview")).to_contain_text("120")


def test_errors_come_after_update_and_lead_to_their_fields(page: Page, axe):
    page.goto(SARAH)
    field(drug(page), "Administered (mg)").fill("6,00")
    page.get_by_role("button", name="Update preview").click()
    expect(page).to_have_title(re.compile("^Error: "))
    summary = page.get_by_role("region", name="There is a problem")
    expect(summary).to_be_focused()
    axe(page)
    words = summary.get_by_role("link").inner_text()
    expect(page.locator("#d1-administered-note")).to_contain_text(words)
    summary.get_by_role("link").click()
    given = field(drug(page), "Administered (mg)")
    expect(given).to_be_focused()
    expect(given).to_have_value("6,00")
    given.fill("600")
    expect(summary).to_have_count(0)
    expect(page.locator("[aria-invalid=true]")).to_have_count(0)
    expect_lines(page, ("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600"))


def test_by_keyboard_alone(page: Page):
    """Tab from the date on, a pause added and removed, Ctrl+Enter at the end; no mouse."""
    page.goto("/")
    keys = page.keyboard
    keys.press("Tab")
    expect(page.get_by_role("link", name="Skip to main content")).to_be_focused()
    field(page, "Date of service").focus()
    for text in ("2026-03-10", "G35.A"):
        keys.press("ControlOrMeta+A")
        keys.type(text)
        keys.press("Tab")
    keys.press("Tab")
    for text in ("Ocrelizumab", "", "0900", "1130"):
        keys.type(text)
        if text == "1130":
            expect(page.locator("#d1-stop-note")).to_have_text("11:30 (11:30am)")
        keys.press("Tab")
    expect(page.get_by_role("button", name="Add pause")).to_be_focused()
    keys.press("Enter")
    expect(field(page.get_by_role("group", name="Pause 1", exact=True), "Start")).to_be_focused()
    keys.press("Tab")
    keys.press("Tab")
    expect(page.get_by_role("button", name="Remove pause 1")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("button", name="Add pause")).to_be_focused()
    for text in ("", "600", "600", "", "2"):
        keys.type(text)
        keys.press("Tab")
    keys.press("Control+Enter")
    expect(page).to_have_url(re.compile("act=check"))
    expect(page.get_by_role("region", name="Preview")).to_be_focused()
    expect_lines(page, ("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600"))


def test_passing_over_an_answer_by_tab_does_not_give_it(page: Page):
    """The next keystroke's preview carries what was typed, not the button that has the focus."""
    page.goto(SARAH)
    stop = field(drug(page), "Stop")
    stop.fill("0230")
    answer = page.get_by_role("button", name=re.compile("2:30pm")).first
    expect(answer).to_be_visible()
    stop.press("End")
    stop.press("Backspace")
    stop.press("0")
    page.keyboard.press("Tab")
    page.wait_for_timeout(1000)
    expect(stop).to_have_value("0230")
    assert "d1-stop=14" not in page.url


def test_enter_in_a_field_updates_and_adds_nothing(page: Page):
    page.goto(SARAH)
    field(drug(page), "Start").press("Enter")
    expect(page).to_have_url(re.compile("act=check"))
    expect(page.get_by_role("group", name="Pause 1", exact=True)).to_have_count(0)


def test_without_javascript(new_context):
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/")
    enter_sarah(page)
    page.get_by_role("button", name="Update preview").click()
    expect_lines(page, ("96365", "", "1"), ("96366", "", "1"), ("J2350", "JZ", "600"))
    drug(page).get_by_role("button", name="Add pause").click()
    pause = page.get_by_role("group", name="Pause 1", exact=True)
    field(pause, "Start").fill("0930")
    field(pause, "Stop").fill("0945")
    page.get_by_role("button", name="Update preview").click()
    expect(page.get_by_role("region", name="Preview")).to_contain_text("135")
    page.get_by_role("button", name="Remove pause 1").click()
    field(drug(page), "Start").fill("1230")
    field(drug(page), "Stop").fill("130")
    page.get_by_role("button", name="Update preview").click()
    page.get_by_role("button", name="1:30pm (13:30)").click()
    expect_lines(page, ("96365", "", "1"), ("J2350", "JZ", "600"))


def test_what_only_hydration_or_a_home_visit_needs_is_shown_then(page: Page):
    page.goto("/")
    one = drug(page)
    expect(field(one, "Purpose of the fluid")).to_be_hidden()
    field(one, "Route").select_option(label="Hydration")
    expect(field(one, "Purpose of the fluid")).to_be_visible()
    expect(field(one, "Vials (count)")).to_be_hidden()
    expect(field(page, "Visit start")).to_be_hidden()
    field(page, "Setting").select_option(label="Home")
    expect(field(page, "Visit start")).to_be_visible()


def test_a_drug_offers_its_own_sizes_and_keeps_the_one_chosen_meanwhile(page: Page):
    page.goto("/")
    one = drug(page)
    size = field(one, "Vial size (mg)")
    assert size.locator("option[value='300']").count() == 1
    held = []
    page.route("**/*d1-drug=J2919*", lambda route: held.append(route))
    with page.expect_request(lambda request: "d1-drug=J2919" in request.url):
        field(one, "Drug").fill("J2919")
    size.select_option("125")
    field(one, "Vials (count)").focus()
    held[0].continue_()
    expect(size.locator("option")).to_have_text(["Choose", "40", "125", "500", "1000"])
    expect(size).to_have_value("125")
    page.unroute_all(behavior="ignoreErrors")


TWO_AND_ERRORS = SARAH.replace("1130", "2460") + "&d1-p1-start=1000&d2-drug=J2919&d2-w1-amount=5&act=check"


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("address", ["/", SARAH, TWO_AND_ERRORS, "/rules/"], ids=["empty", "sarah", "errors", "rules"])
def test_every_state_fits_and_is_accessible(page: Page, axe, address, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    axe(page)


def test_text_may_be_spaced_wide(page: Page):
    page.set_viewport_size({"width": 320, "height": 800})
    page.goto(SARAH)
    page.evaluate(SPACED_WIDE)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_every_tab_stop_shows_itself_uncovered(page: Page):
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto(SARAH)
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate(TAB_STOP)
        if stop is None:
            break
        seen.append(stop[0])
        assert stop[1], f"{stop[0]} is covered"
        assert stop[2] == "solid", f"{stop[0]} shows no ring"
    assert len(seen) > 25


def test_everything_to_press_is_large_enough(page: Page):
    """24 by 24 pixels, or a link inside a sentence."""
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto(SARAH)
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    small = page.evaluate(TOO_SMALL)
    assert small == []


def test_htmx_is_held_to_its_safe_settings(page: Page):
    page.goto("/")
    live = json.loads(page.evaluate("JSON.stringify(htmx.config)"))
    assert {
        name: live[name]
        for name in ("allowEval", "selfRequestsOnly", "historyCacheSize", "allowScriptTags", "includeIndicatorStyles")
    } == {
        "allowEval": False, "selfRequestsOnly": True, "historyCacheSize": 0, "allowScriptTags": False,
        "includeIndicatorStyles": False,
    }  # fmt: skip
    assert page.locator("style").count() == 0
    assert page.evaluate("htmx.version").startswith("2.")


def test_the_link_is_copied(page: Page, context):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(SARAH)
    page.get_by_role("link", name="Link to this calculation").click()
    expect(page.locator("#copied")).to_have_text("Link copied.")
    assert page.evaluate("navigator.clipboard.readText()").endswith(SARAH)
