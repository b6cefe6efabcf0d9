"""Files of encounters that were brought in, kept as what was read of them: nothing depends on a file on one machine."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from infusion.models.encounter import Encounter
from infusion.models.people import Clinic


class Import(models.Model):
    """One file as it was read. Until it is confirmed it is one person's look at it, and goes when that is over.

    `ready` counts the encounters that can be brought in; `problems` is what belongs to no encounter. `told` is what was
    understood and is not brought in: column, reason, how often, and the first row with its value.
    """

    class Kind(models.TextChoices):
        CSV = "csv", "CSV"
        FHIR = "fhir", "FHIR R4 bundle"
        HL7 = "hl7", "HL7 v2 messages"

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="imports")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=4, choices=Kind.choices)
    file_name = models.CharField(max_length=120)
    checksum = models.CharField(max_length=64)
    rows = models.PositiveIntegerField()
    ready = models.PositiveIntegerField(default=0)
    not_read = models.JSONField(default=list)
    problems = models.JSONField(default=list)
    told = models.JSONField(default=list)
    read_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    read_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-read_at",)
        indexes = (models.Index(fields=["clinic", "checksum"], name="import_checksum"),)

    def __str__(self) -> str:
        return str(self.public_id)


class Arrival(models.Model):
    """One encounter of a file, as a text, and what became of it.

    `number` counts those that can be brought in from 1; the others have none. `problems` is what keeps it out, or that
    it differs from what is here: row, column, value and reason.
    """

    class Outcome(models.TextChoices):
        WAITING = "", "Ready"
        MEND = "mend", "To mend"
        HERE = "here", "Is here already"
        DONE = "done", "Brought in"

    imported = models.ForeignKey(Import, models.CASCADE, related_name="arrivals")
    number = models.PositiveIntegerField(null=True)
    row = models.PositiveIntegerField()
    client_id = models.UUIDField()
    document = models.TextField()
    problems = models.JSONField(default=list)
    outcome = models.CharField(max_length=4, choices=Outcome.choices, blank=True)
    encounter = models.ForeignKey(Encounter, models.PROTECT, null=True, related_name="arrivals")

    class Meta:
        ordering = ("row", "pk")
        constraints = (models.UniqueConstraint(fields=["imported", "number"], name="an_arrival_has_its_own_number"),)
        indexes = (models.Index(fields=["imported", "outcome", "row"], name="arrival_outcome"),)

    def __str__(self) -> str:
        return f"{self.imported_id} row {self.row}"
