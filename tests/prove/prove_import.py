"""R06: an import of any size leaves each encounter once, whoever is killed in the middle of it."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections

from infusion import jobs
from infusion.actions import imports
from infusion.actions.imports import IMPORT, confirm_import, look_at
from infusion.audit import AuditEvent
from infusion.jobs import requeue_stalled
from infusion.models import Clinic, Encounter, Import, Job, User
from payers.models import Payer
from tests.counting import worker
from tests.processes import handles, with_connections_of_its_own
from tests.prove.conftest import Prove
from tests.prove.table import size

pytestmark = pytest.mark.django_db(transaction=True)
HEAD = "patient,encounter,payer,drug,route,start,stop,administered,vial_1_mg,vial_1_count"
KILLS = 3


def csv_of(count: int) -> io.BytesIO:
    """As many encounters, each of a patient of its own."""
    row = "medicare,J2350,iv_infusion,2026-03-10 09:00,2026-03-10 11:30,600,300,2"
    return io.BytesIO("\n".join((HEAD, *(f"P{each},V{each},{row}" for each in range(count)))).encode())


def confirmed(by: User, clinic: Clinic, count: int) -> Import:
    look = look_at(by=by, clinic=clinic, file=csv_of(count), name="years.csv", payer=None)
    return confirm_import(by=by, look=look, without_the_others=False)


def dies_before_its_commit(job: Job, at: int) -> int:
    """A portion that has written all it had to write, and whose process is killed then."""
    until = imports.portion(job)
    if job.position >= at:
        os.kill(os.getpid(), signal.SIGKILL)
    return until


def dies_after_its_position(job: Job, at: int) -> int:
    """The same without the safeguard: the position is committed by itself, and the process is killed then."""
    until = min(job.position + imports.SAVED_AT_ONCE, job.total)
    Job.objects.filter(pk=job.pk).update(position=until)
    connection.connection.commit()
    if job.position >= at:
        os.kill(os.getpid(), signal.SIGKILL)
    return imports.portion(job)


def work(taken_along: dict[str, Any], dying: Any, at: int) -> None:
    with_connections_of_its_own(taken_along)
    jobs.kind(IMPORT, title="Import")(lambda job: dying(job, at))
    worker().run()


def killed_on_the_way(job: Job, dying: Any) -> int:
    """Workers that are killed one after the other on the way, and one that lives. How many were."""
    fork, died = multiprocessing.get_context("fork"), 0
    for at in [job.total * kill // (KILLS + 1) for kill in range(1, KILLS + 1)] + [job.total + 1]:
        requeue_stalled(timedelta(0))
        connections.close_all()
        one = fork.Process(target=work, args=(handles(), dying, at))
        one.start()
        one.join(3600)
        died += one.exitcode == -signal.SIGKILL
    return died


def brought_in(by: User, clinic: Clinic, count: int, dying: Any) -> tuple[int, int, int, float]:
    """How many workers died, and how many encounters and events of them there are then; and how long it took."""
    confirmed(by, clinic, count)
    job, begun = Job.objects.get(kind=IMPORT), time.monotonic()
    died = killed_on_the_way(job, dying)
    job.refresh_from_db()
    assert job.state == Job.State.DONE
    events = AuditEvent.objects.filter(action="encounter.add").values("subject_id").distinct().count()
    return died, Encounter.objects.count(), events, time.monotonic() - begun


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the quick size there are portions enough to die between; at the full one they are as large as ever."""
    monkeypatch.setattr(imports, "SAVED_AT_ONCE", size(10, imports.SAVED_AT_ONCE))
    monkeypatch.setattr(jobs, "PAUSE_SECONDS", 0)


@pytest.mark.both
@pytest.mark.proves("R06")
def test_each_encounter_of_a_file_is_there_once_whoever_is_killed(
    biller: User, clinic: Clinic, medicare: Payer, prove: Prove
) -> None:
    count = size(100, 100_000)
    died, encounters, events, seconds = brought_in(biller, clinic, count, dies_before_its_commit)
    prove(
        "R06", "an import of 100,000 rows with workers killed in the middle leaves 100,000 encounters",
        f"{encounters:,} encounters and {events:,} events of {count:,} rows, {died} workers killed, "
        f"{count / seconds:,.0f} a second",
        died == KILLS and encounters == events == count,
    )  # fmt: skip


@pytest.mark.both
@pytest.mark.proves("R06")
def test_encounters_are_lost_where_the_position_is_written_apart(
    biller: User, clinic: Clinic, medicare: Payer, prove: Prove
) -> None:
    count = size(100, 2000)
    died, encounters, _, _ = brought_in(biller, clinic, count, dies_after_its_position)
    prove("R06", "", f"with the position committed apart, {count - encounters:,} of {count:,} lost", encounters < count)
    assert died == KILLS
