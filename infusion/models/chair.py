"""The day at the chairs: where patients sit, what was ordered, each tap, and what is typed but not yet saved."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q

from infusion.models.encounter import Administration, Encounter
from infusion.models.fields import MilligramField
from infusion.models.people import Clinic, Patient
from infusion.services.facts import ROUTES
from payers.models import Payer
from payers.policy import SETTINGS


class Chair(models.Model):
    """A place at which a patient is infused."""

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="chairs")
    label = models.CharField(max_length=12)
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ("position",)
        constraints = (models.UniqueConstraint(fields=["clinic", "label"], name="chair_label_unique_in_clinic"),)

    def __str__(self) -> str:
        return self.label


class Order(models.Model):
    """What a prescriber ordered for one visit. The encounter that carries it out begins with its values."""

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="orders")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    client_id = models.UUIDField()
    patient = models.ForeignKey(Patient, models.PROTECT, related_name="orders")
    payer = models.ForeignKey(Payer, models.PROTECT, related_name="+")
    encounter = models.OneToOneField(Encounter, models.PROTECT, null=True, related_name="order")
    scheduled_at = models.DateTimeField()
    chair = models.ForeignKey(Chair, models.PROTECT, null=True, related_name="orders")
    setting = models.CharField(max_length=32, choices=tuple(SETTINGS.items()))
    diagnoses = models.JSONField(default=list)
    drug = models.CharField(max_length=10)
    route = models.CharField(max_length=16, choices=tuple(ROUTES.items()))
    ordered = MilligramField()
    vials = models.JSONField(default=list)
    premedication = models.JSONField(default=list)
    prescriber = models.CharField(max_length=120, blank=True)
    placed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    placed_at = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("scheduled_at", "pk")
        constraints = (
            models.UniqueConstraint(fields=["clinic", "client_id"], name="order_client_id_unique_in_clinic"),
            models.CheckConstraint(condition=Q(ordered__gt=0), name="order_dose_positive"),
        )
        indexes = (models.Index(fields=["clinic", "scheduled_at"], name="order_schedule"),)

    def __str__(self) -> str:
        return str(self.public_id)


class Tap(models.Model):
    """One press of a button at the chair. `client_id` makes a double press one tap; an undone one keeps its row."""

    class Kind(models.TextChoices):
        START = "start", "Start"
        PAUSE = "pause", "Pause"
        RESUME = "resume", "Resume"
        STOP = "stop", "Stop"
        NEW_BAG = "new_bag", "New bag"

    encounter = models.ForeignKey(Encounter, models.PROTECT, related_name="taps")
    client_id = models.UUIDField()
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    happened_at = models.DateTimeField()
    entered_at = models.DateTimeField()
    late_reason = models.CharField(max_length=200, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    undone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("entered_at", "pk")
        constraints = (models.UniqueConstraint(fields=["encounter", "client_id"], name="tap_client_id_unique"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.happened_at:%H:%M}"

    def stands_on(self, row: Administration) -> bool:
        """Whether a drug still has the time that this tap recorded. A new bag records none of its own."""
        pauses = row.pauses.all()
        times: dict[str, list[datetime | None]] = {
            self.Kind.START: [row.started_at],
            self.Kind.PAUSE: [pause.started_at for pause in pauses],
            self.Kind.RESUME: [pause.stopped_at for pause in pauses],
            self.Kind.STOP: [row.stopped_at],
        }
        return row.position == self.position and self.happened_at in times.get(self.kind, [self.happened_at])


class WorkingCopy(models.Model):
    """What a person has typed into an encounter form and not saved: kept so that nothing is lost."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="working_copies")
    client_id = models.UUIDField()
    encounter = models.ForeignKey(Encounter, models.CASCADE, null=True, related_name="working_copies")
    version = models.PositiveIntegerField(default=0)
    entries = models.JSONField(default=dict)
    kept_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["person", "client_id"], name="one_working_copy_of_a_form"),)
