"""Long work behind the pages: each portion once, taken up again where it was left, and told in words."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import OperationalError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_tasks import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from infusion import jobs
from infusion.actions import Refused
from infusion.audit import AuditEvent
from infusion.jobs import MOST_STALLS, begin, go_on, next_portion, requeue_stalled
from infusion.models import Job, User
from tests.counting import COUNTING, count_on, count_with, steps_done, worker
from tests.web.access_table import ADMIN, BILLING, NURSE
from tests.web.conftest import House

NOW = timedelta(0)


def on(job: Job) -> Job:
    job.refresh_from_db()
    return job


def test_it_is_worked_through_in_portions(biller: User, monkeypatch: pytest.MonkeyPatch) -> None:
    positions = []

    def portion(job: Job) -> int:
        positions.append(job.position)
        return count_on(job)

    count_with(monkeypatch, portion)
    job = begin(COUNTING, uuid4(), 250, biller)
    assert (job.state, job.position) == ("waiting", 0)
    worker().run()
    assert positions == [0, 100, 200]
    assert (on(job).state, job.position, job.ended_at is not None) == ("done", 250, True)
    assert steps_done() == list(range(250))
    assert AuditEvent.objects.get(action="job.begin").after == {
        "kind": COUNTING, "subject": job.subject, "position": 0, "total": 250,
    }  # fmt: skip


def test_it_is_begun_with_what_asks_for_it_or_not_at_all(biller: User, monkeypatch: pytest.MonkeyPatch) -> None:
    count_with(monkeypatch)
    with transaction.atomic():
        begin(COUNTING, "1", 5, biller)
        transaction.set_rollback(True)
    assert (Job.objects.count(), DBTaskResult.objects.count()) == (0, 0)


def test_pressed_twice_it_is_one(biller: User, other_biller: User, monkeypatch: pytest.MonkeyPatch) -> None:
    count_with(monkeypatch)
    job = begin(COUNTING, "1", 5, biller)
    assert begin(COUNTING, "1", 5, biller) == job
    assert begin(COUNTING, "1", 5, other_biller) != job, "of another clinic"
    worker().run()
    assert begin(COUNTING, "1", 5, biller) != job, "done, so it may be done again"


def test_nothing_to_do_is_done(biller: User, monkeypatch: pytest.MonkeyPatch) -> None:
    count_with(monkeypatch)
    job = begin(COUNTING, "1", 0, biller)
    worker().run()
    assert (on(job).state, steps_done()) == ("done", [])


def test_a_turn_ends_and_the_next_one_waits_behind_others(biller: User, monkeypatch: pytest.MonkeyPatch) -> None:
    count_with(monkeypatch)
    monkeypatch.setattr(jobs, "SECONDS_OF_A_TURN", 0)
    long, short = begin(COUNTING, "long", 300, biller), begin(COUNTING, "short", 100, biller)
    worker(max_tasks=2).run()
    assert (on(long).position, on(short).state) == (100, "done")
    worker().run()
    assert (on(long).state, len(steps_done())) == ("done", 400)


# What stops it --------------------------------------------------------------------------------------------------------


def stopped_at_100(monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    """Its second portion does its part of the work and fails then, until the table says otherwise."""

    def portion(job: Job) -> int:
        until = count_on(job)
        if job.position == 100:
            raise problem
        return until

    count_with(monkeypatch, portion)


def test_what_a_portion_refuses_is_told_in_its_words_and_goes_on(biller: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_at_100(monkeypatch, Refused("The payer has no rules for 2019. Add them, then go on."))
    job = begin(COUNTING, "1", 300, biller)
    worker().run()
    assert (on(job).state, job.position, job.reference) == ("failed", 100, "")
    assert job.failure == "The payer has no rules for 2019. Add them, then go on."
    assert steps_done() == list(range(100)), "what the failed portion did is taken back"
    count_with(monkeypatch)
    go_on(by=biller, job=job)
    worker().run()
    assert (on(job).state, job.failure, steps_done()) == ("done", "", list(range(300)))
    with pytest.raises(Refused, match="has not stopped"):
        go_on(by=biller, job=job)


def test_an_unexpected_failure_has_a_number_and_quotes_nothing(
    biller: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopped_at_100(monkeypatch, KeyError("Zzcanary"))
    job = begin(COUNTING, "1", 300, biller)
    with caplog.at_level(logging.ERROR, "infusion.jobs"):
        worker().run()
    assert (on(job).state, job.position, job.failure) == ("failed", 100, jobs.BROKE)
    (record,) = [each for each in caplog.records if each.name == "infusion.jobs"]
    assert record.reference == job.reference != ""
    kept = DBTaskResult.objects.values_list("status", "traceback")
    assert list(kept) == [(TaskResultStatus.SUCCESSFUL, "")], "the queue would keep the message"


@pytest.mark.parametrize("position", [100, 99, 301])
def test_a_portion_that_leads_nowhere_is_a_failure(
    biller: User, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    count_with(monkeypatch, lambda job: 100 if job.position == 0 else position)
    job = begin(COUNTING, "1", 300, biller)
    worker().run()
    assert (on(job).state, job.position) == ("failed", 100)


def test_a_database_that_refuses_is_asked_again_and_not_for_ever(biller: User, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = 2

    def portion(job: Job) -> int:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise OperationalError("database is locked")
        return count_on(job)

    count_with(monkeypatch, portion)
    job = begin(COUNTING, "1", 100, biller)
    worker().run()
    assert (on(job).state, job.stalls, steps_done()) == ("done", 0, list(range(100)))
    refusals = MOST_STALLS + 1
    job = begin(COUNTING, "2", 100, biller)
    worker().run()
    assert (on(job).state, job.failure) == ("failed", jobs.STUCK.format(count=MOST_STALLS))


# A worker that dies ---------------------------------------------------------------------------------------------------


def claimed(job: Job) -> None:
    """A worker has taken its task and is never heard of again."""
    DBTaskResult.objects.get(pk=on(job).task).claim("dead")


def test_what_a_dead_worker_left_is_taken_up_where_it_was(biller: User, monkeypatch: pytest.MonkeyPatch) -> None:
    count_with(monkeypatch)
    job = begin(COUNTING, "1", 300, biller)
    claimed(job)
    assert next_portion(job.public_id, job.turn)
    assert requeue_stalled(timedelta(minutes=1)) == [], "it moved just now"
    assert requeue_stalled(NOW) == [job]
    assert requeue_stalled(NOW) == [], "it waits in the queue"
    assert not next_portion(job.public_id, job.turn), "the one that was thought dead goes no further"
    worker().run()
    assert (on(job).state, steps_done()) == ("done", list(range(300)))
    assert not DBTaskResult.objects.filter(status=TaskResultStatus.RUNNING).exists()
    assert requeue_stalled(NOW) == [], "it is done"


def test_work_that_kills_its_workers_is_given_up(biller: User, monkeypatch: pytest.MonkeyPatch) -> None:
    count_with(monkeypatch)
    job = begin(COUNTING, "1", 300, biller)
    for _ in range(MOST_STALLS + 1):
        claimed(job)
        requeue_stalled(NOW)
    assert (on(job).state, job.failure) == ("failed", jobs.STUCK.format(count=MOST_STALLS))
    assert job.reference


def test_the_command_says_what_it_did(
    biller: User, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count_with(monkeypatch)
    claimed(begin(COUNTING, "1", 300, biller))
    call_command("requeue_stalled")
    call_command("requeue_stalled", "--minutes", "0")
    assert capsys.readouterr().out == "0 stalled jobs queued again.\n1 stalled job queued again.\n"


# The page -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def half_done(house: House, monkeypatch: pytest.MonkeyPatch) -> Job:
    count_with(monkeypatch, page=lambda job: "/reports/")
    job = begin(COUNTING, "1", 5000, house.people[BILLING])
    Job.objects.filter(pk=job.pk).update(position=1200, state=Job.State.RUNNING)
    return on(job)


def seen(client: Client, job: Job, **headers: str) -> str:
    reply = client.get(reverse("job", args=[job.public_id]), headers=headers)
    assert reply.status_code == 200
    return " ".join(reply.content.decode().split())


def test_the_page_and_its_fragment_say_how_far_it_is(half_done: Job, as_role: Callable[..., Client]) -> None:
    page = seen(as_role(BILLING), half_done)
    fragment = seen(as_role(ADMIN), half_done, **{"HX-Request": "true", "X-Idle": "1"})
    for text in (page, fragment):
        assert '<p class="mb-1" id="job-words">1,200 of 5,000</p>' in text
        assert '<progress class="how-far" max="5000" value="1200"' in text
        assert 'hx-trigger="every 2s"' in text
        assert """hx-headers='{"X-Idle": "1"}'""" in text
        assert f'<a class="hit" href="{reverse("job", args=[half_done.public_id])}">' in text
    assert fragment in page
    assert not fragment.startswith("<!doctype")


def test_at_its_end_it_asks_no_more_and_leads_to_what_it_made(half_done: Job, as_role: Callable[..., Client]) -> None:
    Job.objects.update(state=Job.State.DONE, position=5000)
    page = seen(as_role(BILLING), half_done)
    assert "hx-trigger" not in page.partition("<main")[2]
    assert "5,000 of 5,000" in page
    assert '<a class="btn btn-primary" href="/reports/">' in page


def test_what_stopped_says_why_and_goes_on_by_a_press(half_done: Job, as_role: Callable[..., Client]) -> None:
    Job.objects.update(state=Job.State.FAILED, failure=jobs.BROKE, reference="ABCD-2345")
    client, address = as_role(BILLING), reverse("job", args=[half_done.public_id])
    page = seen(client, half_done)
    assert jobs.BROKE in page
    assert "<strong>ABCD-2345</strong>" in page
    assert "It stopped at 1,200 of 5,000" in page
    assert client.post(address).status_code == 302
    assert on(half_done).state == "waiting"
    again = client.post(address)
    assert again.status_code == 409
    assert b"has not stopped" in again.content
    assert AuditEvent.objects.get(action="job.go_on").by == half_done.begun_by


def test_silence_is_told(half_done: Job, as_role: Callable[..., Client]) -> None:
    Job.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=3))
    assert "Nothing has moved since" in seen(as_role(BILLING), half_done)


def test_it_is_seen_by_its_roles_in_its_clinic(
    half_done: Job, as_role: Callable[..., Client], next_door: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = reverse("job", args=[half_done.public_id])
    neighbour = Client()
    neighbour.force_login(next_door.people[BILLING])
    assert neighbour.get(address).status_code == 404
    assert as_role(NURSE).get(address).status_code == 403
    count_with(monkeypatch, roles=[ADMIN])
    assert as_role(BILLING).get(address).status_code == 404
    assert as_role(ADMIN).get(address).status_code == 200
