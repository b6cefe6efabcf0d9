"""Long work whose effects can be counted: a row of Django's own admin log for each step of it."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django_tasks_db.management.commands import db_worker

from infusion import jobs
from infusion.models import Job

COUNTING = "counting"


def count_on(job: Job, steps: int = 100) -> int:
    """The next steps of a job, each leaving one row."""
    until, kind = min(job.position + steps, job.total), ContentType.objects.get_for_model(Job)
    LogEntry.objects.bulk_create(
        LogEntry(user=job.begun_by, content_type=kind, object_id=str(step), action_flag=ADDITION, object_repr="")
        for step in range(job.position, until)
    )
    return until


def count_with(monkeypatch: Any, portion: jobs.Portion = count_on, **more: Any) -> None:
    """Make it a kind of work for as long as a test runs."""
    monkeypatch.setattr(jobs, "PAUSE_SECONDS", 0)
    # A test that is one transaction has one connection.
    monkeypatch.setattr(db_worker, "close_old_connections", lambda: None)
    jobs.kind(COUNTING, title="Counting", **more)(portion)
    counting = jobs.KINDS.pop(COUNTING)
    monkeypatch.setitem(jobs.KINDS, COUNTING, counting)


def steps_done() -> list[int]:
    return sorted(int(step) for step in LogEntry.objects.values_list("object_id", flat=True))


def worker(**more: Any) -> db_worker.Worker:
    """One that ends when the queue is empty."""
    return db_worker.Worker(
        queue_names=["default"], interval=0, batch=True, backend_name="default", startup_delay=False,
        worker_id="test", excluded_queue_names=[], **{"max_tasks": None, **more},
    )  # fmt: skip
