"""An admin keeps a payer's rules in a real Chromium, with and without JavaScript."""

from collections.abc import Callable
from datetime import date

import pytest
import time_machine
from playwright.sync_api import Locator, Page, expect

from infusion.access import ADMIN
from payers import actions
from payers.actions import Departure
from payers.models import Payer
from payers.proposals import Wanted, propose
from payers.selectors import overrides_known, policy_for

CITED = {"source_document": "Payer summary 001", "source_read_on": date(2026, 1, 12)}
NO_SCROLL = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SMALL = """() => [...document.querySelectorAll('main :is(a, button, input:not([type=hidden]), select, textarea)')]
  .filter((each) => getComputedStyle(each).display !== 'inline')
  .map((each) => [each.textContent.trim(), each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && Math.min(box.width, box.height) < 24).map(([words]) => words)"""


@pytest.fixture(autouse=True)
def on_march_10():
    with time_machine.travel("2026-03-10T15:00:00Z"):
        yield


@pytest.fixture
def anthem(transactional_db, admin_user) -> Payer:
    payer = actions.add_payer(by=admin_user, slug="anthem-bcbs", name="Anthem BCBS")
    rule = Departure(parameter="discarded_drug", value="not_billed", effective_from=date(2024, 1, 1), **CITED)
    actions.publish_override(by=admin_user, payer=payer, departure=rule, status="unverified")
    draft = Departure(
        parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2026, 4, 1), drug="J2350", **CITED
    )
    actions.draft_override(by=admin_user, payer=payer, departure=draft)
    return payer


def sign_in(page: Page, username: str, password: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/encounters/")


def field(page: Page, label: str) -> Locator:
    return page.get_by_label(label, exact=True)


def row(page: Page, label: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("link", name=label, exact=True))


def show_policy_on(page: Page, day: str) -> None:
    field(page, "Policy on").fill(day)
    page.get_by_role("button", name="Show").click()


def change_discarded_drug_from_next_month(page: Page) -> None:
    page.goto("/payers/")
    page.get_by_role("link", name="Anthem BCBS").click()
    expect(row(page, "Discarded drug")).to_contain_text("Not billed")
    page.get_by_role("link", name="Discarded drug", exact=True).click()
    field(page, "Value").select_option(label="On its own line, with JW")
    field(page, "From").fill("2026-04-01")
    field(page, "Source document").fill("Provider bulletin 12")
    field(page, "Read on").fill("2026-03-09")
    field(page, "Address").fill("https://payer.example/bulletin-12")
    page.get_by_role("button", name="Save as a draft").click()
    page.get_by_label("Verified: read in the source").check()
    field(page, "Read again by").fill("2027-03-09")
    page.get_by_role("button", name="Send to a second admin").click()
    expect(page.get_by_role("status")).to_contain_text("Until it is published, everything stays as it is.")


@pytest.mark.parametrize("javascript", [True, False], ids=["with script", "without script"])
def test_a_rule_from_next_month_leaves_today_as_it_is(new_context, javascript, anthem, admin2, password):
    page = new_context(java_script_enabled=javascript).new_page()
    sign_in(page, "admin", password)
    change_discarded_drug_from_next_month(page)
    expect(page.get_by_role("button", name="Publish", exact=True)).to_have_count(0)
    proposal = page.url

    page = new_context(java_script_enabled=javascript).new_page()
    sign_in(page, "admin2", password)
    page.goto(proposal)
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Today’s policy stays as it is.")
    page.get_by_role("link", name="Anthem BCBS").click()
    today = row(page, "Discarded drug")
    expect(today).to_contain_text("Not billed")
    expect(today).to_contain_text("Unverified")
    expect(today).to_contain_text("From April 1, 2026: On its own line, with JW")

    show_policy_on(page, "2026-04-15")
    later = row(page, "Discarded drug")
    expect(later).to_contain_text("On its own line, with JW")
    expect(later).to_contain_text("Verified")
    expect(later).to_contain_text("read March 9, 2026. From April 1, 2026. Read again by March 9, 2027.")

    rules = policy_for(anthem)
    assert rules.on(date(2026, 3, 31), "office").look_up("discarded_drug", "J2350").value == "not_billed"
    assert rules.on(date(2026, 4, 1), "office").look_up("discarded_drug", "J2350").value == "separate_line"

    page.get_by_role("link", name="History of changes").click()
    expect(page.get_by_role("main")).to_contain_text("End set")
    expect(page.get_by_role("main")).to_contain_text("March 31, 2026")


def test_an_overlap_is_said_first_and_its_line_leads_to_the_field(page: Page, anthem, password, axe):
    sign_in(page, "admin", password)
    page.goto("/payers/anthem-bcbs/discarded_drug/new/")
    field(page, "Value").select_option(label="On its own line, with JW")
    field(page, "From").fill("2026-04-01")
    field(page, "Source document").fill("Provider bulletin 12")
    field(page, "Read on").fill("2026-03-09")
    page.get_by_role("button", name="Save as a draft").click()
    page.get_by_role("button", name="Send to a second admin").click()

    expect(page).to_have_title("Error: Discarded drug – Anthem BCBS – Payers – Infusion Units")
    summary = page.get_by_role("region", name="There is a problem")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("Discarded drug already has a rule from January 1, 2024")
    expect(field(page, "Source document")).to_have_value("Provider bulletin 12")
    axe(page)

    page.get_by_role("button", name="End that one on March 31, 2026 and send").click()
    expect(page.get_by_role("main")).to_contain_text("Makes room")
    axe(page)
    assert overrides_known(anthem).filter(parameter="discarded_drug").count() == 2


def test_two_admins_at_one_rule(page: Page, new_context, anthem, admin2, person, password):
    person("admin3", ADMIN, admin2.clinic)
    sign_in(page, "admin", password)
    other = new_context().new_page()
    sign_in(other, "admin2", password)
    for each in (page, other):
        each.goto("/payers/anthem-bcbs/")
        each.get_by_role("link", name="Discarded drug", exact=True).click()
    field(other, "Last day").fill("2026-06-30")
    other.get_by_role("button", name="Propose the end").click()
    proposal = other.url
    third = new_context().new_page()
    sign_in(third, "admin3", password)
    third.goto(proposal)
    third.get_by_role("button", name="Publish", exact=True).click()
    expect(third.get_by_role("status")).to_contain_text("inherits again from July 1, 2026")

    field(page, "Note").fill("Read to me on the telephone")
    page.get_by_role("button", name="Save as a draft").click()
    expect(page.get_by_role("region", name="There is a problem")).to_contain_text("Someone else has changed this rule")
    expect(page.get_by_role("region", name="What is there now")).to_contain_text("until June 30, 2026")
    expect(field(page, "Note")).to_have_value("Read to me on the telephone")


@pytest.mark.parametrize("width", [320])
def test_every_payer_page_fits_and_is_accessible(page: Page, anthem, password, axe: Callable[[Page], None], width):
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(page, "admin", password)
    rule = anthem.overrides.get(parameter="discarded_drug")
    draft = anthem.overrides.get(status="draft")
    wanted = Wanted(kind="end", override=rule, last_day=date(2026, 6, 30))
    proposal = propose(by=draft.author, payer=anthem, wanted=wanted, today=date(2026, 3, 10))
    for address in (
        "", "add/", "anthem-bcbs/", "anthem-bcbs/?on=never", "anthem-bcbs/?drug=J2350&setting=office",
        "anthem-bcbs/history/", "anthem-bcbs/discarded_drug/", f"anthem-bcbs/rules/{rule.public_id}/",
        "anthem-bcbs/billable_discard_reasons/new/", "anthem-bcbs/drug_covered/new/",
        "anthem-bcbs/maximum_claim_charge/new/", f"anthem-bcbs/rules/{draft.public_id}/",
        f"anthem-bcbs/proposals/{proposal.public_id}/",
    ):  # fmt: skip
        page.goto(f"/payers/{address}")
        assert page.evaluate(NO_SCROLL), address
        assert page.evaluate(SMALL) == [], address
        axe(page)
