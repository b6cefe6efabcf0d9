"""The charge sheet and the downtime sheet: what stands on them, and what does not at the chair."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from infusion.audit import AuditEvent
from infusion.models import Encounter, User
from tests.web.access_table import ADMIN, BILLING, NURSE
from tests.web.conftest import House


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def words(user: User, encounter: Encounter) -> str:
    page = client_of(user).get(f"/encounters/{encounter.public_id}/sheet/").content.decode()
    text = re.sub(r"<[^>]*>", " ", page.partition('<article class="paper"')[2].partition("</article>")[0])
    return " ".join(text.split())


def test_it_says_what_was_approved_and_by_whom(house: House) -> None:
    text = words(house.people[BILLING], house.approved)
    last = AuditEvent.objects.filter(subject_id=str(house.approved.public_id)).order_by("sequence").last()
    assert last
    for part in (
        "Approved", "by D. Reyes", "Name 4", "Born June 2, 1984", "Chart4", "March 10, 2026", "Medicare", "G35.A",
        "96365 1 Ocrelizumab ran 150 minutes.", "J2350 JZ 600 600 mg were given.", "Started 09:00", "Stopped 11:30",
        "Opened 600 mg 2 of 300 mg", "Given 600 mg", "Discarded 0 mg", "L. Ames, RN", "Order on file not documented",
        f"Audit {last.sequence} / {last.hash[:8]}",
    ):  # fmt: skip
        assert part in text, part
    assert "Not approved" not in text


@pytest.mark.parametrize("state", ["draft", "with_billing", "returned"])
def test_what_is_not_approved_says_so(house: House, state: str) -> None:
    text = words(house.people[BILLING], getattr(house, state))
    assert "Not approved" in text
    assert "Service lines, not approved" in text


def test_the_approved_lines_stay_when_a_rule_changes(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr("infusion.views.review.review_of", lambda encounter: pytest.fail("calculated again"))
    assert "96366 1" in words(house.people[ADMIN], house.approved)


def test_at_the_chair_nothing_tells_how_long_an_hour_still_is(house: House) -> None:
    desk, chair = (words(house.people[role], house.with_billing) for role in (BILLING, NURSE))
    hints = ("31 past a full hour", "31 needed", "First hour")
    assert all(hint in desk for hint in hints)
    assert not [hint for hint in hints if hint in chair]
    assert "would" not in desk
    assert "96366 1 Ocrelizumab: 150 running minutes." in chair


def test_the_title_and_the_address_name_nobody(house: House) -> None:
    page = client_of(house.people[NURSE]).get(f"/encounters/{house.draft.public_id}/sheet/")
    assert b"<title>Charge sheet" in page.content
    assert page.headers["Cache-Control"].startswith("no-store") or "no-store" in page.headers["Cache-Control"]


def test_a_blank_sheet_holds_no_patient(house: House) -> None:
    for role in (NURSE, BILLING, ADMIN):
        page = client_of(house.people[role]).get("/downtime-sheet/").content.decode()
        assert "Chart" not in page
        for part in ("Patient", "Start", "Pause", "Resume", "Stop", "NDC", "Discarded (mg)", "Reaction", "Downtime"):
            assert part in page, part
