"""Payers and their departures from the national baseline, each dated and cited."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from payers.policy import SETTINGS


class Payer(models.Model):
    """Someone who pays claims. Belongs to the installation, not to a clinic.

    `electronic_id` is the name it has on an electronic claim, `filing_code` the kind of plan there.
    """

    class Filing(models.TextChoices):
        MEDICARE = "MB", "Medicare Part B"
        MEDICARE_A = "MA", "Medicare Part A"
        MEDICAID = "MC", "Medicaid"
        BLUES = "BL", "Blue Cross or Blue Shield"
        COMMERCIAL = "CI", "Commercial"
        HMO = "HM", "Health maintenance organization"
        OTHER = "ZZ", "Other"

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80, unique=True)
    electronic_id = models.CharField(max_length=20, blank=True)
    filing_code = models.CharField(max_length=2, choices=Filing.choices, default=Filing.COMMERCIAL)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class PolicyOverride(models.Model):
    """One parameter's value for one payer and scope, between two dates of service.

    A row is never changed: a new one takes its place, and the old one only learns until when it was known. `thread`
    holds the rows of one override together. A draft of a change names the published row that it `follows`. A verified
    rule is to be read again at its source by `review_by`.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        UNVERIFIED = "unverified", "Unverified"
        VERIFIED = "verified", "Verified"

    payer = models.ForeignKey(Payer, models.PROTECT, related_name="overrides")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    thread = models.UUIDField(default=uuid.uuid4, editable=False)
    parameter = models.CharField(max_length=60)
    setting = models.CharField(max_length=32, blank=True, choices=tuple(SETTINGS.items()))
    drug = models.CharField(max_length=10, blank=True)
    value = models.JSONField(null=True)
    effective_from = models.DateField()
    effective_until = models.DateField(null=True, blank=True)
    source_document = models.CharField(max_length=200)
    source_address = models.CharField(max_length=300, blank=True)
    source_read_on = models.DateField()
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.DRAFT)
    note = models.TextField(blank=True)
    review_by = models.DateField(null=True)
    follows = models.ForeignKey("self", models.PROTECT, null=True, related_name="+")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    publisher = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    known_from = models.DateTimeField()
    known_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ("parameter", "setting", "drug", "effective_from", "known_from")
        constraints = (
            models.CheckConstraint(
                condition=Q(effective_until__isnull=True) | Q(effective_until__gte=F("effective_from")),
                name="override_ends_after_it_begins",
            ),
            models.CheckConstraint(
                condition=Q(known_until__isnull=True) | Q(known_until__gte=F("known_from")),
                name="override_known_until_after_from",
            ),
        )
        indexes = (models.Index(fields=["payer", "known_until"], name="override_current"),)

    def __str__(self) -> str:
        return f"{self.payer}: {self.parameter}"


class Proposal(models.Model):
    """A change that one admin wants and another decides on: once, and never the one who wants it.

    `override` is the draft to publish, or the published rule to end or withdraw; `in_the_way` a published rule that
    makes room for the draft.
    """

    class Kind(models.TextChoices):
        PUBLISH = "publish", "Publish"
        END = "end", "End"
        WITHDRAW = "withdraw", "Withdraw"

    class Outcome(models.TextChoices):
        OPEN = "", "Waiting for a second admin"
        PUBLISHED = "published", "Published"
        RETURNED = "returned", "Returned"
        TAKEN_BACK = "taken_back", "Taken back"

    payer = models.ForeignKey(Payer, models.PROTECT, related_name="proposals")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    override = models.ForeignKey(PolicyOverride, models.PROTECT, related_name="proposals")
    in_the_way = models.ForeignKey(PolicyOverride, models.PROTECT, null=True, related_name="+")
    status = models.CharField(max_length=12, blank=True, choices=PolicyOverride.Status.choices)
    review_by = models.DateField(null=True)
    last_day = models.DateField(null=True)
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
            models.UniqueConstraint(fields=["override"], condition=Q(outcome=""), name="one_open_proposal_of_a_rule"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(outcome="published") | ~Q(decided_by=F("proposed_by")),
                name="published_by_another_admin",
            ),
        )
