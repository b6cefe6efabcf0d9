"""What today's rules would answer to approved encounters: all of them, each once, and nothing else is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from django.test import Client
from django.urls import reverse

from infusion import rechecks
from infusion.actions import Refused, take_back
from infusion.models import Approval, Encounter, Job, Recheck, User
from infusion.rechecks import begin_recheck
from payers.actions import publish_override
from payers.models import Payer
from tests.counting import worker
from tests.web.access_table import BILLING
from tests.web.conftest import House
from tests.web.test_impact import VISITS, departure

MARCH = {"since": date(2026, 3, 1), "until": date(2026, 3, 31)}
Visited = Callable[..., Encounter]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_tasks_db.management.commands.db_worker.close_old_connections", lambda: None)
    monkeypatch.setattr("infusion.jobs.PAUSE_SECONDS", 0)


@pytest.fixture
def approved(visited: Visited, medicare: Payer, admin_user: User) -> dict[int, Encounter]:
    """Visits by their minutes, approved before "30 minutes earn a unit" was published for March."""
    made = {minutes: visited(minutes, medicare) for minutes, _, _ in VISITS}
    visited(150, medicare, day=date(2026, 4, 2))
    visited(150, medicare, day=date(2026, 3, 8), until="with billing")
    publish_override(by=admin_user, payer=medicare, departure=departure(date(2026, 3, 1)), status="unverified")
    return made


def found_in(recheck: Recheck) -> dict[str, list[list[object]]]:
    return {str(each.approval.encounter.public_id): each.lines for each in recheck.differences.all()}


@pytest.mark.parametrize("at_once", [1, 2, 4, 5, 200])
def test_those_differ_that_the_rule_would_change(
    approved: dict[int, Encounter], biller: User, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(rechecks, "AT_ONCE", at_once)
    approvals = list(Approval.objects.values())
    recheck, job = begin_recheck(by=biller, **MARCH)
    worker().run()
    job.refresh_from_db()
    assert (job.state, job.position, job.total) == ("done", 6, 6)
    assert found_in(recheck) == {
        str(approved[minutes].public_id): [["96366", [], then, now]] for minutes, then, now in VISITS if then != now
    }
    assert list(Approval.objects.values()) == approvals


def test_one_that_is_open_again_is_left_out(approved: dict[int, Encounter], biller: User) -> None:
    take_back(by=biller, encounter=approved[150], version=approved[150].version)
    recheck, _ = begin_recheck(by=biller, **MARCH)
    worker().run()
    assert str(approved[150].public_id) not in found_in(recheck)


def test_a_clinic_is_asked_about_its_own(approved: dict[int, Encounter], other_biller: User) -> None:
    with pytest.raises(Refused, match="Choose other days"):
        begin_recheck(by=other_biller, **MARCH)
    assert (Recheck.objects.count(), Job.objects.count()) == (0, 0)


def test_it_is_asked_for_and_seen(approved: dict[int, Encounter], client: Client, biller: User) -> None:
    client.force_login(biller)
    reply = client.post(reverse("rechecks"), {"since": "2026-03-01", "until": "03/31/2026"}, follow=True)
    waiting = reply.content.decode()
    assert "Waiting to begin: 0 of 6" in waiting
    worker().run()
    page = " ".join(client.get(reply.redirect_chain[0][0]).content.decode().split())
    assert "<strong>3</strong> of 6 encounters would come out otherwise" in page
    assert '<td>96366 </td><td class="num">1</td><td class="num"><strong>2</strong></td>' in page
    assert reverse("review", args=[approved[150].public_id]) in page
    assert "March 1, 2026 to March 31, 2026" in client.get(reverse("rechecks")).content.decode()


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("", "2026-03-31", "From: enter a date of service."),
        ("2026-03-31", "2026-03-01", "Until: this day lies before the first. Correct one of them."),
        ("2019-01-01", "2019-12-31", "No encounter with a date of service between these days is approved."),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_stays(
    approved: dict[int, Encounter], client: Client, biller: User, since: str, until: str, said: str
) -> None:
    client.force_login(biller)
    reply = client.post(reverse("rechecks"), {"since": since, "until": until})
    assert reply.status_code == 422
    assert said in reply.content.decode()
    assert f'value="{until}"' in reply.content.decode()


def test_next_door_it_is_not_there(house: House, next_door: House) -> None:
    recheck, _ = begin_recheck(by=house.people[BILLING], **MARCH)
    neighbour = Client()
    neighbour.force_login(next_door.people[BILLING])
    assert neighbour.get(reverse("recheck", args=[recheck.public_id])).status_code == 404
    assert str(recheck.public_id) not in neighbour.get(reverse("rechecks")).content.decode()
