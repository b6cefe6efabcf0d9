"""A biller records what a claim lacks, makes a batch, and downloads its file, in a real Chromium."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from infusion.models import BatchFile, Coverage
from tests.browser.test_rule_ledger import sign_in
from tests.web.test_batches import Site, site

__all__ = ["site"]

Axe = Callable[[Page], None]


def test_a_biller_records_a_coverage_makes_a_batch_and_downloads_its_file(
    page: Page, site: Site, password: str, axe: Axe, browser_problems: list[str]
) -> None:
    site.approved()
    Coverage.objects.all().delete()
    sign_in(page, site.biller, password)
    page.get_by_role("link", name="Batches", exact=True).click()
    lacks = page.get_by_role("region", name="Not ready yet")
    expect(lacks).to_contain_text("No coverage with Medicare is recorded for March 10, 2026.")
    expect(page.get_by_role("button", name="Make a batch")).to_have_count(0)
    axe(page)

    lacks.get_by_role("link", name="Open the coverages").click()
    page.get_by_role("link", name="Add a coverage").click()
    expect(page.get_by_role("group", name="The member")).to_be_hidden()
    page.get_by_label("Member is").select_option(label="The patient's spouse")
    expect(page.get_by_role("group", name="The member")).to_be_visible()
    page.get_by_label("Member is").select_option(label="The patient")
    page.get_by_label("Payer").select_option(label="Medicare")
    page.get_by_label("Member ID").fill("1eg4-te5-mk73")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("First day: enter the day from which it covers.").first).to_be_visible()
    assert "422" in browser_problems.pop()
    axe(page)
    page.get_by_label("First day").fill("1/1/2026")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("region", name="Coverages")).to_contain_text("Member 1EG4TE5MK73")
    axe(page)

    page.get_by_role("link", name="Batches", exact=True).click()
    expect(page.get_by_role("checkbox", name="Take MRN-1001, March 10, 2026")).to_be_checked()
    page.get_by_role("button", name="Make a batch").click()
    expect(page.get_by_role("heading", name="Batch 1")).to_be_visible()
    page.get_by_role("button", name="Write Professional claims (837P)").click()
    kept = BatchFile.objects.get()
    expect(page.get_by_role("region", name="Files")).to_contain_text(kept.checksum)
    axe(page)
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download Professional claims (837P)").click()
    content = Path(begun.value.path()).read_bytes()
    assert begun.value.suggested_filename == "batch-1-837p.x12"
    assert hashlib.sha256(content).hexdigest() == kept.checksum
    assert content.startswith(b"ISA*")
