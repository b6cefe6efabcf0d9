"""Programs that may ask, each with its token and its scopes, and the answers that a repeated request gets again."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from infusion.models.people import Clinic

SCOPES = {
    "calculate": "Calculate lines from what it sends",
    "encounters:read": "Read the clinic’s encounters",
    "encounters:write": "Save drafts, and hand them to billing",
    "lines:read": "Read service lines with their reasons",
}


class ApiClient(models.Model):
    """A program of one clinic. Its token is kept as a digest alone, and never holds again once `revoked_at` is set.

    `person` stands for it where a record names who did something: it has no password, no role and is switched off, so
    nobody signs in as it.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="programs")
    person = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, related_name="program")
    name = models.CharField(max_length=60)
    scopes = models.JSONField(default=list)
    token_hash = models.CharField(max_length=64, unique=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    revoked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-made_at", "-pk")

    def __str__(self) -> str:
        return self.name


class ApiAnswer(models.Model):
    """What was answered to a write that carried a key: the same key with the same request is answered so again."""

    client = models.ForeignKey(ApiClient, models.CASCADE, related_name="answers")
    key = models.CharField(max_length=200)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    content = models.TextField(default="")
    kept_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["client", "key"], name="one_answer_of_a_key"),)
        indexes = (models.Index(fields=["kept_at"], name="api_answer_age"),)
