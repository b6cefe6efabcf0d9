"""What a claim needs beside its lines, and the batches in which lines leave.

A batch is frozen when it is made: the database refuses to change or remove its claims, lines and files.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from infusion.models.approval import Approval
from infusion.models.encounter import Encounter
from infusion.models.fields import DollarField, MilligramField
from infusion.models.people import SEXES, Address, Clinic, Patient
from payers.models import Payer


class Provider(models.Model):
    """A person whose National Provider Identifier stands on claims."""

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="providers")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    family_name = models.CharField(max_length=60)
    given_name = models.CharField(max_length=35)
    npi = models.CharField(max_length=10)
    taxonomy = models.CharField(max_length=10, blank=True)
    left_on = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ("family_name", "given_name")
        constraints = (models.UniqueConstraint(fields=["clinic", "npi"], name="provider_npi_unique_in_clinic"),)

    def __str__(self) -> str:
        return f"{self.given_name} {self.family_name}"


class Dated(models.Model):
    """In force from a first day to a last day, or without an end."""

    effective_from = models.DateField()
    effective_until = models.DateField(null=True, blank=True)

    class Meta:
        abstract = True
        constraints = (
            models.CheckConstraint(
                condition=Q(effective_until__isnull=True) | Q(effective_until__gte=F("effective_from")),
                name="%(class)s_ends_after_it_begins",
            ),
        )


class Coverage(Dated, Address):
    """A patient's membership with a payer. The name, birth date, sex and address are the subscriber's."""

    class Relationship(models.TextChoices):
        SELF = "18", "The patient"
        SPOUSE = "01", "The patient's spouse"
        PARENT = "19", "The patient's parent"
        OTHER = "G8", "Someone else"

    patient = models.ForeignKey(Patient, models.PROTECT, related_name="coverages")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    payer = models.ForeignKey(Payer, models.PROTECT, related_name="+")
    member_id = models.CharField(max_length=30)
    group_number = models.CharField(max_length=30, blank=True)
    relationship = models.CharField(max_length=2, choices=Relationship.choices, default=Relationship.SELF)
    family_name = models.CharField(max_length=60, blank=True)
    given_name = models.CharField(max_length=35, blank=True)
    birth_date = models.DateField(null=True, blank=True)
    sex = models.CharField(max_length=1, blank=True, choices=SEXES)

    class Meta(Dated.Meta):
        ordering = ("-effective_from", "pk")


class Authorization(Dated):
    """A prior authorization: its number, for which drug, from when to when, and up to how much."""

    patient = models.ForeignKey(Patient, models.PROTECT, related_name="authorizations")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    payer = models.ForeignKey(Payer, models.PROTECT, related_name="+")
    drug = models.CharField(max_length=10)
    number = models.CharField(max_length=30)
    dose_limit = MilligramField(null=True, blank=True)

    class Meta(Dated.Meta):
        ordering = ("-effective_from", "pk")


class Batch(models.Model):
    """Approved lines that leave together. `client_id` makes a repeated press one batch."""

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="batches")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    client_id = models.UUIDField()
    number = models.PositiveIntegerField()
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()

    class Meta:
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(fields=["clinic", "number"], name="batch_number_unique_in_clinic"),
            models.UniqueConstraint(fields=["clinic", "client_id"], name="batch_client_id_unique_in_clinic"),
        )

    def __str__(self) -> str:
        return f"Batch {self.number}"


class BatchFilling(models.Model):
    """How far a batch of everything that was ready got: the row of the encounter it looked at last, and of the last."""

    batch = models.OneToOneField(Batch, models.PROTECT, primary_key=True, related_name="filling")
    after = models.BigIntegerField(default=0)
    until = models.BigIntegerField()


class BatchClaim(models.Model):
    """One claim of a batch: an original, the replacement of an earlier one, or its void.

    `content` is the whole claim as canonical text, from which every format is written.
    """

    class Frequency(models.TextChoices):
        ORIGINAL = "1", "Original"
        REPLACEMENT = "7", "Replacement"
        VOID = "8", "Void"

    batch = models.ForeignKey(Batch, models.PROTECT, related_name="claims")
    encounter = models.ForeignKey(Encounter, models.PROTECT, related_name="claims")
    approval = models.ForeignKey(Approval, models.PROTECT, related_name="claims")
    payer = models.ForeignKey(Payer, models.PROTECT, related_name="+")
    number = models.CharField(max_length=20, unique=True)
    frequency = models.CharField(max_length=1, choices=Frequency.choices)
    replaces = models.OneToOneField("self", models.PROTECT, null=True, related_name="replaced_by")
    content = models.TextField()
    content_hash = models.CharField(max_length=64)

    class Meta:
        ordering = ("number",)
        constraints = (
            models.CheckConstraint(
                condition=Q(frequency="1", replaces__isnull=True) | Q(frequency__in=("7", "8"), replaces__isnull=False),
                name="claim_replaces_what_it_says",
            ),
        )

    def __str__(self) -> str:
        return self.number


class BatchLine(models.Model):
    """One line of an approval in the one batch that charges it, and later in the one that credits it."""

    class Kind(models.TextChoices):
        CHARGE = "charge", "Charge"
        CREDIT = "credit", "Credit"

    claim = models.ForeignKey(BatchClaim, models.PROTECT, related_name="lines")
    approval = models.ForeignKey(Approval, models.PROTECT, related_name="batch_lines")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=6, choices=Kind.choices)
    code = models.CharField(max_length=5)
    modifiers = models.CharField(max_length=20, blank=True)
    units = models.PositiveIntegerField()
    charge = DollarField(null=True)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=["approval", "position", "kind"], name="a_line_leaves_once"),
            models.CheckConstraint(condition=Q(units__gt=0), name="batch_line_units_positive"),
        )


class BatchFile(models.Model):
    """A batch written in one format, kept byte for byte so that it can be downloaded again."""

    batch = models.ForeignKey(Batch, models.PROTECT, related_name="files")
    format = models.CharField(max_length=16)
    content = models.BinaryField()
    checksum = models.CharField(max_length=64)
    written_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    written_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["batch", "format"], name="one_file_of_a_format"),)


class PayerReference(models.Model):
    """The number that the payer gave a claim: what a replacement or void refers to."""

    claim = models.OneToOneField(BatchClaim, models.PROTECT, related_name="payer_reference")
    number = models.CharField(max_length=50)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
