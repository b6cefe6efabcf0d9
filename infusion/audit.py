"""The record of every write: who, when, what it was before and what it is after, in the order it happened.

A row is written in the transaction of the change itself, is never changed (the database refuses), and carries the hash
of the row before it, so that a missing or altered row shows. Imports nothing else of the project: everything that
writes may use it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from django.utils import timezone

Document = Mapping[str, Any]


class AuditHead(models.Model):
    """The end of the chain. One row, locked while the next event is written, so that no number is given twice."""

    sequence = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")

    class Meta:
        app_label = "infusion"


class AuditEvent(models.Model):
    """One write. `before` is null for something new, `after` for something taken away."""

    sequence = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    by_name = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=60)
    subject_id = models.CharField(max_length=64)
    clinic_id = models.PositiveBigIntegerField(null=True)
    reason = models.TextField(blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    class Meta:
        app_label = "infusion"
        ordering = ("sequence",)
        indexes = (models.Index(fields=["subject", "subject_id", "sequence"], name="audit_subject"),)

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} {self.subject} {self.subject_id}"

    def content(self) -> str:
        """What the hash covers, as one canonical text."""
        return canonical(
            {
                "sequence": self.sequence,
                "at": self.at.isoformat(),
                "by": self.by_id,
                "by_name": self.by_name,
                "action": self.action,
                "subject": self.subject,
                "subject_id": self.subject_id,
                "clinic": self.clinic_id,
                "reason": self.reason,
                "before": self.before,
                "after": self.after,
                "previous": self.previous_hash,
            }
        )

    def expected_hash(self) -> str:
        return digest(self.content())


def canonical(document: object) -> str:
    """JSON with one spelling for one content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def record(
    action: str,
    *,
    by: Any,
    subject: str,
    subject_id: object,
    before: Document | None,
    after: Document | None,
    clinic_id: int | None = None,
    reason: str = "",
) -> AuditEvent:
    """Append one event. `by` is a user, or None for the program itself. Must run inside the change's transaction."""
    if not transaction.get_connection().in_atomic_block:
        raise ImproperlyConfigured("An audit event is written in the transaction of the change it tells of.")
    AuditHead.objects.get_or_create(pk=1)
    head = AuditHead.objects.select_for_update().get(pk=1)
    event = AuditEvent(
        sequence=head.sequence + 1,
        at=timezone.now(),
        by=by,
        by_name=by.get_username() if by else "",
        action=action,
        subject=subject,
        subject_id=str(subject_id),
        clinic_id=clinic_id,
        reason=reason,
        before=before,
        after=after,
        previous_hash=head.hash,
    )
    event.hash = event.expected_hash()
    event.save(force_insert=True)
    AuditHead.objects.filter(pk=1).update(sequence=event.sequence, hash=event.hash)
    return event
