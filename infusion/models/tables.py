"""Tables that a site loads from files: fee schedules, and the quarterly edits of CMS. An older one is kept."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from infusion.models.claims import Dated
from infusion.models.fields import DollarField
from infusion.models.people import Clinic
from payers.models import Payer


class Loaded(models.Model):
    """Where a table comes from, and who loaded it."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    source = models.CharField(max_length=200)
    checksum = models.CharField(max_length=64)
    loaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    loaded_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


class FeeSchedule(Dated, Loaded):
    """What one payer is expected to pay; without a payer, what the clinic itself charges."""

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="fee_schedules")
    payer = models.ForeignKey(Payer, models.PROTECT, null=True, related_name="+")
    name = models.CharField(max_length=120)

    class Meta(Dated.Meta):
        ordering = ("payer", "-effective_from")

    def __str__(self) -> str:
        return self.name


class Fee(models.Model):
    """Dollars for one unit of a code; the quartiles of what others are paid, and why a figure is not believed."""

    schedule = models.ForeignKey(FeeSchedule, models.CASCADE, related_name="fees")
    code = models.CharField(max_length=5)
    rate = DollarField()
    lower_quartile = DollarField(null=True)
    median = DollarField(null=True)
    upper_quartile = DollarField(null=True)
    implausible = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["schedule", "code"], name="one_fee_of_a_code"),)


class EditTable(Dated, Loaded):
    """One quarter of one of the CMS tables: unlikely units (MUE) or code pairs (NCCI), by kind of claim."""

    class Kind(models.TextChoices):
        UNLIKELY_UNITS = "mue", "Medically unlikely units (MUE)"
        CODE_PAIRS = "ncci", "Code pairs (NCCI)"

    class Claims(models.TextChoices):
        PRACTITIONER = "practitioner", "Practitioner"
        OUTPATIENT = "outpatient", "Outpatient hospital"

    kind = models.CharField(max_length=4, choices=Kind.choices)
    claims = models.CharField(max_length=12, choices=Claims.choices)
    quarter = models.CharField(max_length=6)

    class Meta(Dated.Meta):
        ordering = ("kind", "claims", "-effective_from")

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.get_claims_display().lower()}, {self.quarter}"


class UnlikelyUnits(models.Model):
    """The most units of a code that one patient plausibly has in a day. `indicator` says how CMS applies it (MAI)."""

    table = models.ForeignKey(EditTable, models.CASCADE, related_name="limits")
    code = models.CharField(max_length=5)
    units = models.PositiveIntegerField()
    indicator = models.CharField(max_length=1, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["table", "code"], name="one_limit_of_a_code"),)


class CodePair(models.Model):
    """Two codes that are not paid together: the second is denied, unless a modifier is allowed and present."""

    table = models.ForeignKey(EditTable, models.CASCADE, related_name="pairs")
    first = models.CharField(max_length=5)
    second = models.CharField(max_length=5)
    effective_from = models.DateField()
    deleted_from = models.DateField(null=True)
    modifier_allowed = models.BooleanField()

    class Meta:
        indexes = (models.Index(fields=["table", "first", "second"], name="code_pair"),)
