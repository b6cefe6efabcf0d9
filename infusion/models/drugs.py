"""Drugs that a site lays over the shipped tables, each row dated and cited."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q


class DrugRow(models.Model):
    """A drug code in one stretch of time. Belongs to the installation, not to a clinic.

    `document` holds the other columns of a drug in drugs.toml, written as there. A row is never changed: a new one
    takes its place, and the old one only learns until when it was known. A draft names the published row it `follows`.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        UNVERIFIED = "unverified", "Unverified"
        VERIFIED = "verified", "Verified"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    thread = models.UUIDField(default=uuid.uuid4, editable=False)
    code = models.CharField(max_length=5)
    first_day = models.DateField()
    last_day = models.DateField(null=True)
    document = models.JSONField()
    source_document = models.CharField(max_length=200)
    source_address = models.CharField(max_length=300, blank=True)
    source_read_on = models.DateField()
    note = models.TextField(blank=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.DRAFT)
    follows = models.ForeignKey("self", models.PROTECT, null=True, related_name="+")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    publisher = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    known_from = models.DateTimeField()
    known_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ("code", "first_day", "known_from")
        constraints = (
            models.CheckConstraint(
                condition=Q(last_day__isnull=True) | Q(last_day__gte=F("first_day")), name="drug_ends_after_it_begins"
            ),
            models.CheckConstraint(
                condition=Q(known_until__isnull=True) | Q(known_until__gte=F("known_from")),
                name="drug_known_until_after_from",
            ),
        )
        indexes = (models.Index(fields=["known_until", "code"], name="drug_current"),)

    def __str__(self) -> str:
        return f"{self.code} from {self.first_day}"


class DrugProposal(models.Model):
    """What one admin wants of a drug row and another decides on: a draft published, or a published row withdrawn."""

    class Kind(models.TextChoices):
        PUBLISH = "publish", "Publish"
        WITHDRAW = "withdraw", "Withdraw"

    class Outcome(models.TextChoices):
        OPEN = "", "Waiting for a second admin"
        PUBLISHED = "published", "Published"
        RETURNED = "returned", "Returned"
        TAKEN_BACK = "taken_back", "Taken back"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    row = models.ForeignKey(DrugRow, models.PROTECT, related_name="proposals")
    status = models.CharField(max_length=12, blank=True, choices=DrugRow.Status.choices)
    reason = models.CharField(max_length=500, blank=True)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    outcome = models.CharField(max_length=12, blank=True, choices=Outcome.choices)
    outcome_reason = models.CharField(max_length=500, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("proposed_at",)
        constraints = (
            models.UniqueConstraint(fields=["row"], condition=Q(outcome=""), name="one_open_proposal_of_a_drug"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(outcome="published") | ~Q(decided_by=F("proposed_by")),
                name="drug_published_by_another_admin",
            ),
        )
