"""What was approved, kept as it was: the database refuses to change or remove a row."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from infusion.models.encounter import Encounter


class Approval(models.Model):
    """One approval: the input, policy and answer it covers, as canonical texts, and their common hash."""

    encounter = models.ForeignKey(Encounter, models.PROTECT, related_name="approvals")
    encounter_version = models.PositiveIntegerField()
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    approved_at = models.DateTimeField()
    acknowledged = models.JSONField(default=list)
    input = models.TextField()
    policy = models.TextField()
    reference_version = models.CharField(max_length=64)
    statement = models.TextField()
    content_hash = models.CharField(max_length=64)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["encounter", "encounter_version"], name="one_approval_of_a_version"),
        )


class RuleUse(models.Model):
    """How many approved lines rest on one override, so that its page can say so. Follows from the approval."""

    approval = models.ForeignKey(Approval, models.PROTECT, related_name="rule_uses")
    override = models.UUIDField()
    lines = models.PositiveSmallIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["approval", "override"], name="one_use_of_a_rule"),)
        indexes = (models.Index(fields=["override"], name="rule_use_override"),)
