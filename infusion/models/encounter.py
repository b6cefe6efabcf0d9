"""An infusion visit as it was recorded: what was given, when, from which vials, and what was thrown away.

Every time is an instant twice over: when it happened and when it was entered, so that a late entry shows.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from infusion.models.fields import MilligramField
from infusion.models.people import Clinic, Patient
from infusion.services.facts import ACQUIRED, PURPOSES, ROUTES
from payers.models import Payer
from payers.policy import DISCARD_REASONS, SETTINGS


class Encounter(models.Model):
    """One visit of one patient. `version` grows with each write; `client_id` makes a repeated submission harmless.

    `documentation` holds the answers to the clinic's checklist, by item; `trial_number` the eight digits of a clinical
    trial whose sponsor supplies the drug; `bought_340b` says that what was bought for it was bought at the 340B price.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        WITH_BILLING = "with_billing", "With billing"
        APPROVED = "approved", "Approved"
        VOID = "void", "Void"

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="encounters")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    client_id = models.UUIDField()
    version = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    patient = models.ForeignKey(Patient, models.PROTECT, related_name="encounters")
    payer = models.ForeignKey(Payer, models.PROTECT, related_name="+")
    setting = models.CharField(max_length=32, choices=tuple(SETTINGS.items()))
    place_of_service = models.CharField(max_length=2, blank=True)
    date_of_service = models.DateField()
    diagnoses = models.JSONField(default=list)
    visit_started_at = models.DateTimeField(null=True)
    visit_stopped_at = models.DateTimeField(null=True)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    entered_at = models.DateTimeField()
    handed_over_at = models.DateTimeField(null=True)
    handed_over_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    chair = models.ForeignKey("infusion.Chair", models.PROTECT, null=True, related_name="encounters")
    documentation = models.JSONField(default=dict)
    attending = models.ForeignKey("infusion.Provider", models.PROTECT, null=True, related_name="+")
    trial_number = models.CharField(max_length=8, blank=True)
    bought_340b = models.BooleanField(default=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["clinic", "client_id"], name="encounter_client_id_unique_in_clinic"),
        )
        indexes = (
            models.Index(fields=["clinic", "state", "-date_of_service"], name="encounter_worklist"),
            models.Index(fields=["clinic", "date_of_service"], name="encounter_by_date"),
        )

    def __str__(self) -> str:
        return str(self.public_id)


class Administration(models.Model):
    """One bag, push, injection or tablet."""

    encounter = models.ForeignKey(Encounter, models.CASCADE, related_name="administrations")
    position = models.PositiveSmallIntegerField()
    drug = models.CharField(max_length=60, blank=True)
    route = models.CharField(max_length=16, choices=tuple(ROUTES.items()))
    order_label = models.CharField(max_length=40, blank=True)
    access = models.CharField(max_length=40, default="1")
    access_reason = models.CharField(max_length=200, blank=True)
    purpose = models.CharField(max_length=16, blank=True, choices=tuple(PURPOSES.items()))
    primary = models.BooleanField(default=False)
    acquired = models.CharField(max_length=16, choices=tuple(ACQUIRED.items()), default="purchased")
    started_at = models.DateTimeField(null=True)
    started_entered_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True)
    stopped_entered_at = models.DateTimeField(null=True)
    late_reason = models.CharField(max_length=200, blank=True)
    ordered = MilligramField(null=True)
    administered = MilligramField(null=True)

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(fields=["encounter", "position"], name="administration_position_unique"),
            models.CheckConstraint(
                condition=Q(administered__isnull=True) | Q(administered__gte=0), name="administered_not_negative"
            ),
            models.CheckConstraint(condition=Q(ordered__isnull=True) | Q(ordered__gte=0), name="ordered_not_negative"),
        )


class Pause(models.Model):
    """A stretch in which nothing ran."""

    administration = models.ForeignKey(Administration, models.CASCADE, related_name="pauses")
    position = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField(null=True)
    started_entered_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True)
    stopped_entered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("position",)
        constraints = (models.UniqueConstraint(fields=["administration", "position"], name="pause_position_unique"),)


class Vial(models.Model):
    """Opened containers of one size."""

    administration = models.ForeignKey(Administration, models.CASCADE, related_name="vials")
    position = models.PositiveSmallIntegerField()
    amount = MilligramField()
    count = models.PositiveSmallIntegerField(default=1)
    single_dose = models.BooleanField(null=True)
    ndc = models.CharField(max_length=14, blank=True)
    lot = models.CharField(max_length=40, blank=True)
    expires = models.DateField(null=True)

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(fields=["administration", "position"], name="vial_position_unique"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="vial_amount_positive"),
        )


class Discard(models.Model):
    """Drug that reached nobody, and why."""

    administration = models.ForeignKey(Administration, models.CASCADE, related_name="discards")
    position = models.PositiveSmallIntegerField()
    amount = MilligramField()
    reason = models.CharField(max_length=20, choices=tuple(DISCARD_REASONS.items()))
    witness = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(fields=["administration", "position"], name="discard_position_unique"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="discard_amount_not_negative"),
        )


class Question(models.Model):
    """What billing asked the nurse when it gave an encounter back, about one administration or the whole of it.

    `administration` is its place in the record. The answer is attested by name: `attested` is the sentence agreed to.
    """

    encounter = models.ForeignKey(Encounter, models.PROTECT, related_name="questions")
    administration = models.PositiveSmallIntegerField(null=True)
    text = models.TextField()
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    answer = models.TextField(blank=True)
    attested = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("asked_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(answered_at__isnull=True) | Q(answered_at__gte=F("asked_at")),
                name="question_answered_after_asked",
            ),
        )
