"""Long work behind the pages: in portions, each of them done exactly once, whatever dies meanwhile.

A kind of work is a function that does the next portion of a job and says how far it is then:

    @jobs.kind("import", title="Import of encounters")
    def portion(job: Job) -> int: ...

It is called inside a transaction that holds the job's row, and the new position is written in that transaction: what a
portion did and how far the job is are both there or neither. A portion ought to take about a second, because on SQLite
everyone else who writes waits for it. It raises `Refused` with words for people where it cannot go on.

`begin` writes the job and puts its task into the queue in one transaction. A task works for some seconds and puts the
next one into the queue, so that a short job need not wait for the end of a long one, and a worker that is asked to end
does so soon. A job whose worker has died is put into the queue again by `requeue_stalled`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from uuid import UUID

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django_tasks import TaskResultStatus, default_task_backend, task
from django_tasks.exceptions import TaskResultDoesNotExist
from django_tasks_db.models import DBTaskResult

from infusion import audit
from infusion.access import ADMIN, BILLING, roles_of
from infusion.actions.encounters import Refused
from infusion.logs import new_reference
from infusion.metrics import portions
from infusion.models import Job, User
from infusion.reference_now import looked_up_once

log = logging.getLogger(__name__)

State = Job.State
OPEN = (State.WAITING, State.RUNNING)
SECONDS_OF_A_TURN = 10.0
"""After so long a task ends and the next one waits in the queue like any other."""
PAUSE_SECONDS = 0.05
"""Between two portions on SQLite, where someone else who wants to write would otherwise hardly ever get to it."""
MOST_STALLS = 5
"""So often work is taken up again that gets no further."""
QUIET = timedelta(minutes=2)
BROKE = "Something broke on our side. What was done so far is kept, and nothing is done twice."
STUCK = "The work was taken up again {count} times and got no further. What was done so far is kept."

Portion = Callable[[Job], int]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a job can be: how it is called, what does it, who may see it and go on with it, and where its result is."""

    title: str
    portion: Portion
    roles: frozenset[str]
    page: Callable[[Job], str] | None


KINDS: dict[str, Kind] = {}


def kind(
    name: str, *, title: str, roles: Iterable[str] = (BILLING, ADMIN), page: Callable[[Job], str] | None = None
) -> Callable[[Portion], Portion]:
    """Register what does the next portion. Its module is imported by `infusion.apps`, so that every worker has it."""

    def register(portion: Portion) -> Portion:
        KINDS[name] = Kind(title, portion, frozenset(roles), page)
        return portion

    return register


# Beginning, and going on ----------------------------------------------------------------------------------------------


@transaction.atomic
def begin(kind: str, subject: object, total: int, by: User) -> Job:
    """Write a job and put it into the queue. One that is not done yet for the same subject is that job."""
    if by.clinic is None:
        raise Refused("Only someone of a clinic begins such work.")
    if kind not in KINDS:
        raise LookupError(kind)
    now = timezone.now()
    job = Job(
        clinic=by.clinic, kind=kind, subject=str(subject), total=total, begun_by=by, begun_at=now, heartbeat_at=now
    )
    try:
        with transaction.atomic():
            job.save()
    except IntegrityError:
        open_already = Job.objects.exclude(state=State.DONE).filter(kind=kind, subject=str(subject), clinic=by.clinic)
        if (there := open_already.first()) is None:
            raise
        return there
    _queue(job)
    _tell("job.begin", by, job)
    return job


@transaction.atomic
def go_on(*, by: User, job: Job) -> Job:
    """Take up again what had stopped, from where it is."""
    stored = Job.objects.select_for_update(of=("self",), no_key=True).get(pk=job.pk)
    if stored.state != State.FAILED:
        raise Refused("This work has not stopped, so there is nothing to take up again.")
    stored.state, stored.failure, stored.reference = State.WAITING, "", ""
    stored.ended_at, stored.stalls, stored.heartbeat_at = None, 0, timezone.now()
    _queue(stored)
    _tell("job.go_on", by, stored)
    return stored


def _queue(job: Job) -> None:
    """Put the next turn into the queue, in the transaction of what asks for it."""
    job.turn += 1
    job.task = str(work.enqueue(str(job.public_id), job.turn).id)
    job.save()


def _tell(action: str, by: User, job: Job) -> None:
    audit.record(
        action, by=by, subject="job", subject_id=job.public_id, clinic_id=job.clinic_id, before=None,
        after={"kind": job.kind, "subject": job.subject, "position": job.position, "total": job.total},
    )  # fmt: skip


# Working --------------------------------------------------------------------------------------------------------------


@task()
def work(public_id: str, turn: int) -> None:
    """Portion after portion for a while. No exception leaves: the queue would keep its message."""
    until = monotonic() + SECONDS_OF_A_TURN
    while next_portion(UUID(public_id), turn, last=monotonic() >= until):
        if connection.vendor == "sqlite":
            time.sleep(PAUSE_SECONDS)


def next_portion(public_id: UUID, turn: int, *, last: bool = False) -> bool:
    """Do one portion. Whether this turn goes on; after the `last` one the next turn waits in the queue."""
    try:
        with transaction.atomic(), looked_up_once():
            job = _mine(public_id, turn)
            if job is None:
                return False
            _advance(job)
            if job.state == State.RUNNING and last:
                _queue(job)
            job.save()
        return job.state == State.RUNNING and not last
    except (OperationalError, InterfaceError) as problem:
        _lost_the_database(public_id, turn, problem)
    except Exception as problem:  # whatever a portion may raise
        _stop(public_id, turn, problem)
    return False


def _mine(public_id: UUID, turn: int) -> Job | None:
    """The job with its row locked, where this turn is still the one that works on it."""
    jobs = Job.objects.select_for_update(of=("self",), no_key=True).select_related("clinic", "begun_by")
    return jobs.filter(public_id=public_id, turn=turn, state__in=OPEN).first()


def _advance(job: Job) -> None:
    before = job.position
    if before < job.total:
        with portions.labels(job.kind).time():
            job.position = KINDS[job.kind].portion(job)
        if not before < job.position <= job.total:
            raise ValueError(f"a portion of {job.kind} leads from {before} to {job.position} of {job.total}")
    now = timezone.now()
    job.state, job.heartbeat_at, job.stalls = State.RUNNING, now, 0
    if job.position == job.total:
        job.state, job.ended_at = State.DONE, now


@transaction.atomic
def _stop(public_id: UUID, turn: int, problem: Exception) -> None:
    """Say why it stopped, in the portion's own words or with the number under which the log has it."""
    job = _mine(public_id, turn)
    if job is None:
        return
    job.state, job.ended_at = State.FAILED, timezone.now()
    if isinstance(problem, Refused):
        job.failure = str(problem)
    else:
        job.failure, job.reference = BROKE, new_reference()
        told = {"reference": job.reference}
        log.error("a portion of %s stopped at %d", job.kind, job.position, exc_info=problem, extra=told)
    job.save()


def _lost_the_database(public_id: UUID, turn: int, problem: Exception) -> None:
    """Try once more after others; where not even that can be written down, `requeue_stalled` finds it."""
    log.warning("the database refused a portion of job %s", public_id, exc_info=problem)
    if not connection.in_atomic_block:
        connection.close()
    with suppress(OperationalError, InterfaceError), transaction.atomic():
        job = _mine(public_id, turn)
        if job is not None:
            _take_up(job)


# Taking up what a dead worker has left --------------------------------------------------------------------------------


def requeue_stalled(older_than: timedelta) -> list[Job]:
    """Put those into the queue again that nobody has worked on for so long. Safe at any time, beside any worker."""
    limit, found = timezone.now() - older_than, []
    for pk in Job.objects.filter(state__in=OPEN, heartbeat_at__lt=limit).values_list("pk", flat=True):
        with transaction.atomic():
            # One whose row is locked is being worked on just now.
            stalled = Job.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
            job = stalled.filter(pk=pk, state__in=OPEN, heartbeat_at__lt=limit).first()
            if job is not None and not _waits_in_the_queue(job):
                DBTaskResult.objects.filter(pk=job.task, status=TaskResultStatus.RUNNING).update(
                    status=TaskResultStatus.FAILED, finished_at=timezone.now()
                )
                _take_up(job)
                found.append(job)
    return found


def _waits_in_the_queue(job: Job) -> bool:
    try:
        return default_task_backend.get_result(job.task).status == TaskResultStatus.READY
    except TaskResultDoesNotExist:
        return False


def _take_up(job: Job) -> None:
    """Once more from where it is, unless that was tried often enough: a portion may be what kills its worker."""
    job.stalls, job.heartbeat_at = job.stalls + 1, timezone.now()
    if job.stalls <= MOST_STALLS:
        _queue(job)
        return
    job.state, job.ended_at, job.reference = State.FAILED, timezone.now(), new_reference()
    job.failure = STUCK.format(count=MOST_STALLS)
    log.error("job %s got no further", job.public_id, extra={"reference": job.reference})
    job.save()


# Seeing ---------------------------------------------------------------------------------------------------------------


def jobs_of(user: User) -> QuerySet[Job]:
    """The jobs that someone may see: those of the clinic, of kinds that one of the person's roles works with."""
    mine = [name for name, each in KINDS.items() if each.roles & roles_of(user)]
    return Job.objects.filter(clinic=user.clinic_id, kind__in=mine).select_related("begun_by", "clinic")


@dataclass(frozen=True, slots=True)
class Shown:
    """A job as a page shows it."""

    job: Job

    @property
    def title(self) -> str:
        return KINDS[self.job.kind].title

    @property
    def address(self) -> str:
        return reverse("job", args=[self.job.public_id])

    @property
    def result(self) -> str:
        """Where what it made is seen; empty when that is nowhere else."""
        page = KINDS[self.job.kind].page
        return page(self.job) if page else ""

    @property
    def total(self) -> str:
        return f"{self.job.total:,}"

    @property
    def words(self) -> str:
        return f"{self.job.position:,} of {self.total}"

    @property
    def is_quiet(self) -> bool:
        """Whether so long nothing has moved that people would wonder."""
        return self.job.is_open and timezone.now() - self.job.heartbeat_at > QUIET
