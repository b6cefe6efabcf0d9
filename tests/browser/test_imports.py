"""Billing brings in a file in a real Chromium: a look, what is to be mended, confirmed, and how far it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from infusion.models import Encounter, User
from payers.models import Payer
from tests.counting import worker
from tests.exchange.arriving import EXAMPLES

NO_SCROLL = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
PICTURES = os.environ.get("PICTURES_OF_IMPORTS", "")


def sign_in(page: Page, password: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill("billing")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/encounters/**")


def look_at(page: Page, axe: Callable[[Page], None], name: str) -> None:
    """The page at every width, for everyone."""
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(NO_SCROLL), f"{name} at {width}"
        if PICTURES:
            page.screenshot(path=f"{PICTURES}/{name}-{width}.png", full_page=True)
    axe(page)


@pytest.mark.parametrize("javascript", [True, False], ids=["with script", "without script"])
def test_a_file_is_looked_at_confirmed_and_brought_in(
    new_context: Any, axe: Callable[[Page], None], javascript: bool, transactional_db: None, biller: User,
    medicare: Payer, password: str, tmp_path: Path,
) -> None:  # fmt: skip
    page = new_context(java_script_enabled=javascript).new_page()
    sign_in(page, password)
    page.get_by_role("link", name="Bring in encounters from a file").click()
    file = tmp_path / "may.csv"
    text = (EXAMPLES / "encounters.csv").read_text()
    file.write_text(f"{text}EMR,MRN-1003,,,,V-102,medicare,2026-03-10,,,J2350,iv,soon,,,600\n")
    page.get_by_label("File", exact=True).set_input_files(file)
    if javascript:
        look_at(page, axe, "choose")
    page.get_by_role("button", name="Read the file").click()
    expect(page.get_by_role("row", name="5 start soon")).to_contain_text("does not read as a time")
    expect(page.get_by_text("No encounter is saved yet.")).to_be_visible()
    if javascript:
        look_at(page, axe, "look")
    page.get_by_role("button", name="Confirm: bring in 2 encounters").click()
    expect(page.get_by_role("alert")).to_contain_text("Agree that the rest comes in without it")
    page.get_by_label("Bring in those that are ready without the 1 to mend").check()
    page.get_by_role("button", name="Confirm: bring in 2 encounters").click()
    expect(page.get_by_text("Waiting to begin: 0 of 2")).to_be_visible()
    assert page.get_by_role("progressbar").count() == 1
    assert not Encounter.objects.exists()
    worker().run()
    if not javascript:
        page.reload()
    expect(page.get_by_role("heading", name="Encounters")).to_be_visible()
    if javascript:
        look_at(page, axe, "result")
    page.get_by_role("link", name="Lindqvist, Sarah").click()
    expect(page).to_have_url(re.compile(str(Encounter.objects.get(patient__reference="MRN-1001").public_id)))
    assert Encounter.objects.count() == 2
