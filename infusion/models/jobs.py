"""Long work that goes on behind the pages, and how far it is."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from infusion.models.approval import Approval
from infusion.models.people import Clinic


class Job(models.Model):
    """One piece of long work. Its position is written in the transaction of what the work has done up to there.

    `subject` names what it is about by a public number or a code, never a patient. `turn` says which task may go on
    with it: one that was thought dead and is not finds another number, and stops.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Stopped"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20)
    subject = models.CharField(max_length=64)
    position = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    failure = models.TextField(blank=True)
    reference = models.CharField(max_length=9, blank=True)
    begun_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    begun_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    turn = models.PositiveIntegerField(default=0)
    stalls = models.PositiveSmallIntegerField(default=0)
    task = models.CharField(max_length=36, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(position__lte=F("total")), name="a_job_ends_at_its_total"),
            models.UniqueConstraint(
                fields=["clinic", "kind", "subject"], condition=~Q(state="done"), name="one_open_job_of_a_subject"
            ),
        )
        indexes = (models.Index(fields=["state", "heartbeat_at"], name="job_heartbeat"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    @property
    def is_open(self) -> bool:
        return self.state in (self.State.WAITING, self.State.RUNNING)


class Recheck(models.Model):
    """What today's rules would answer to encounters that were approved up to now. `after` is the last one looked at.

    It follows from approvals that never change, so that no more of it than its beginning is a record.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="+")
    since = models.DateField()
    until = models.DateField()
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    last_approval = models.BigIntegerField()
    after = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.since} to {self.until}"


class RecheckDifference(models.Model):
    """An approval that would be answered otherwise today: each line with its units as approved and now."""

    recheck = models.ForeignKey(Recheck, models.CASCADE, related_name="differences")
    approval = models.ForeignKey(Approval, models.PROTECT, related_name="+")
    lines = models.JSONField()

    class Meta:
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(fields=["recheck", "approval"], name="one_difference_of_an_approval"),)

    def __str__(self) -> str:
        return f"{self.recheck_id} {self.approval_id}"
