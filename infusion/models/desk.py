"""What billing staff keep beside an encounter: holds, skipped rules, corrections, saved lists, and how ready it is."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from infusion.models.approval import Approval
from infusion.models.encounter import Encounter
from infusion.models.people import Clinic


class Hold(models.Model):
    """Why an encounter waits although nothing is missing. It cannot be approved or exported until released."""

    encounter = models.ForeignKey(Encounter, models.PROTECT, related_name="holds")
    reason = models.CharField(max_length=300)
    placed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    placed_at = models.DateTimeField()
    released_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    released_at = models.DateTimeField(null=True)
    release_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("placed_at",)
        constraints = (
            models.UniqueConstraint(fields=["encounter"], condition=Q(released_at__isnull=True), name="one_open_hold"),
        )


class Skip(models.Model):
    """One check that does not apply to one encounter, and why. Never one that holds up a line: units need a record."""

    encounter = models.ForeignKey(Encounter, models.PROTECT, related_name="skips")
    finding = models.CharField(max_length=60)
    message = models.TextField()
    reason = models.CharField(max_length=300)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ("at",)
        constraints = (
            models.UniqueConstraint(
                fields=["encounter", "finding"], condition=Q(ended_at__isnull=True), name="one_skip_of_a_finding"
            ),
        )


class Correction(models.Model):
    """An approved encounter taken up again: why, and the approval that it departs from. Open until approved anew."""

    encounter = models.ForeignKey(Encounter, models.PROTECT, related_name="corrections")
    approval = models.ForeignKey(Approval, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300)
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("opened_at",)
        constraints = (
            models.UniqueConstraint(
                fields=["encounter"], condition=Q(closed_at__isnull=True), name="one_open_correction"
            ),
        )


class SavedView(models.Model):
    """A worklist with its filters under a name. `query` holds opaque ids only, as the address does."""

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="saved_views")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000)
    shared = models.BooleanField(default=False)

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=["owner", "name"], name="saved_view_name_unique"),)

    def __str__(self) -> str:
        return self.name


class Judgement(models.Model):
    """How ready an encounter is, under one version of its record and of the rules: a list of thousands reads this.

    `rules` is a digest of the rules and tables it was read under; a row whose version or digest is not the current one
    is calculated again before anyone sees it. `findings` are codes, `lines` code, modifiers and units as a list shows
    them; `content_hash` is the one that an approval from the list is bound to.
    """

    encounter = models.OneToOneField(Encounter, models.CASCADE, primary_key=True, related_name="judgement")
    encounter_version = models.PositiveIntegerField()
    rules = models.CharField(max_length=64)
    errors = models.PositiveSmallIntegerField()
    warnings = models.PositiveSmallIntegerField()
    claim_findings = models.PositiveSmallIntegerField(default=0)
    findings = models.JSONField(default=list)
    lines = models.JSONField(default=list)
    content_hash = models.CharField(max_length=64, blank=True)

    class Meta:
        indexes = (models.Index(fields=["errors", "warnings"], name="judgement_readiness"),)


class Selection(models.Model):
    """Encounters that one person chose in a list, to do one thing to all of them. Fixed when it is made."""

    class Act(models.TextChoices):
        APPROVE = "approve", "Approve"
        HOLD = "hold", "Hold"

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="+")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    act = models.CharField(max_length=8, choices=Act.choices)
    query = models.CharField(max_length=1000, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    made_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.public_id)


class Selected(models.Model):
    """One encounter of a selection as it was shown, and what became of it. `hold` is the one that the list placed."""

    class Outcome(models.TextChoices):
        WAITING = "", "Waiting"
        UNFIT = "unfit", "Left out"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        UNDONE = "undone", "Taken back"
        KEPT = "kept", "Not taken back"

    selection = models.ForeignKey(Selection, models.CASCADE, related_name="rows")
    encounter = models.ForeignKey(Encounter, models.PROTECT, related_name="+")
    position = models.PositiveIntegerField()
    version = models.PositiveIntegerField()
    content_hash = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, blank=True)
    reason = models.TextField(blank=True)
    hold = models.ForeignKey(Hold, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ("position",)
        constraints = (models.UniqueConstraint(fields=["selection", "encounter"], name="an_encounter_is_chosen_once"),)
        indexes = (models.Index(fields=["selection", "outcome", "position"], name="selected_outcome"),)
