"""R06: long work is done exactly once, however often its workers are killed."""

from __future__ import annotations

import multiprocessing
import random
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections

from infusion import jobs
from infusion.jobs import begin, requeue_stalled
from infusion.models import Job, User
from tests.counting import COUNTING, count_on, count_with, steps_done, worker
from tests.processes import handles, with_connections_of_its_own
from tests.prove.conftest import Prove
from tests.prove.table import size

pytestmark = pytest.mark.django_db(transaction=True)
STEPS = 25
"""Of one portion: many portions, so that a kill often meets one half-way."""


def slowly(job: Job) -> int:
    """A portion that leaves time to die in the middle of what it does."""
    until = count_on(job, STEPS // 2)
    time.sleep(0.002)
    job.position = until
    return count_on(job, STEPS - STEPS // 2)


def slowly_and_apart(job: Job) -> int:
    """The same without the safeguard: what it does is committed by itself, and the position after it."""
    until = slowly(job)
    connection.connection.commit()
    time.sleep(0.1)
    return until


def work_until_killed(taken_along: dict[str, Any]) -> None:
    with_connections_of_its_own(taken_along)
    worker().run()


def wait_until_it_moves(job: Job) -> None:
    """So that a kill meets the work, however long its workers take to come to it."""
    job.refresh_from_db()
    still, ends = Job.objects.filter(pk=job.pk, position=job.position), time.monotonic() + 30
    while job.is_open and still.exists() and time.monotonic() < ends:
        time.sleep(0.005)


def killed_again_and_again(job: Job, kills: int, dice: random.Random) -> int:
    """Two workers at a time, killed at moments of the dice, until the work is done. How many died at it."""
    fork, died = multiprocessing.get_context("fork"), 0
    ends = time.monotonic() + 600
    while Job.objects.filter(pk=job.pk).exclude(state=Job.State.DONE).exists():
        assert time.monotonic() < ends, "it got no further"
        # What the kills before have left is stalled as soon as nobody is left who could be working on it.
        requeue_stalled(timedelta(0))
        connections.close_all()
        workers = [fork.Process(target=work_until_killed, args=(handles(),)) for _ in range(2)]
        for each in workers:
            each.start()
        if died < kills:
            wait_until_it_moves(job)
            time.sleep(dice.uniform(0, 0.05))
            for each in workers:
                each.kill()
        for each in workers:
            each.join(60)
            died += each.exitcode == -9
    return died


def counted(monkeypatch: pytest.MonkeyPatch, biller: User, portion: jobs.Portion, steps: int, kills: int) -> Any:
    count_with(monkeypatch, portion)
    monkeypatch.setattr(jobs, "MOST_STALLS", 1000)
    monkeypatch.setattr(jobs, "SECONDS_OF_A_TURN", 0.1)
    job = begin(COUNTING, "1", steps, biller)
    died = killed_again_and_again(job, kills, random.Random(8))
    done = steps_done()
    return died, steps - len(set(done)), len(done) - len(set(done))


@pytest.mark.both
@pytest.mark.proves("R06")
def test_each_step_is_done_once_whoever_is_killed(biller: User, monkeypatch: pytest.MonkeyPatch, prove: Prove) -> None:
    steps = size(500, 10_000)
    died, missing, twice = counted(monkeypatch, biller, slowly, steps, size(4, 24))
    prove(
        "R06", "0 steps of long work lost or done twice, 20 or more workers killed",
        f"{missing} lost and {twice} done twice of {steps:,} steps of long work with {died} workers killed",
        missing == twice == 0 and died >= size(2, 20),
    )  # fmt: skip


@pytest.mark.both
@pytest.mark.proves("R06")
def test_steps_are_done_twice_where_the_position_is_written_apart(
    biller: User, monkeypatch: pytest.MonkeyPatch, prove: Prove
) -> None:
    died, _, twice = counted(monkeypatch, biller, slowly_and_apart, size(150, 750), 40)
    prove("R06", "", f"with the position committed apart, {twice} done twice with {died} killed", twice > 0)
