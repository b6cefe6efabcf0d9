"""The record of every write: who, when, what it was before and what it is after, in the order it happened.

A row is written in the transaction of the change itself, is never changed (the database refuses), and carries the hash
of the row before it, so that a missing or altered row shows. Below it lie the rows as the database saw them written
(`infusion.capture`): an event takes those of its own transaction, and its hash covers them. Imports nothing else of the
project: everything that writes may use it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from django.utils import timezone

Document = Mapping[str, Any]


class AuditHead(models.Model):
    """The end of a chain, locked while its next row is written, so that no number is given twice."""

    WRITES, READINGS = 1, 2
    sequence = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")

    class Meta:
        app_label = "infusion"


class AuditChange(models.Model):
    """One row as the database saw it written: all of a new one, what changed of an old one, null for one removed.

    Written by triggers, whoever writes and however. `event` is the number of the event that tells of it; one without an
    event is a write that nobody answers for. `xid` is PostgreSQL's number of the transaction.
    """

    relation = models.CharField(max_length=63)
    key = models.BigIntegerField()
    written = models.TextField(null=True)  # noqa: DJ001  null is a row removed, and no text stands for it
    xid = models.BigIntegerField(null=True)
    event = models.PositiveBigIntegerField(null=True)

    class Meta:
        app_label = "infusion"
        indexes = (
            models.Index(fields=["event", "id"], name="audit_change_event"),
            models.Index(fields=["relation", "event", "id"], name="audit_change_relation"),
        )

    def __str__(self) -> str:
        return f"{self.relation} {self.key}"


class AuditEvent(models.Model):
    """One write. `before` is null for something new, `after` for something taken away.

    `changes` counts the rows that the database saw written, and `changes_hash` is their digest.
    """

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
    changes = models.PositiveIntegerField(null=True)
    changes_hash = models.CharField(max_length=64, null=True)  # noqa: DJ001
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    class Meta:
        app_label = "infusion"
        ordering = ("sequence",)
        indexes = (models.Index(fields=["subject", "subject_id", "sequence"], name="audit_subject"),)

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} {self.subject} {self.subject_id}"

    COVERED = (
        "sequence", "at", "by_id", "by_name", "action", "subject", "subject_id", "clinic_id", "reason", "before",
        "after", "previous_hash", "changes", "changes_hash",
    )  # fmt: skip

    def content(self) -> str:
        """What the hash covers, as one canonical text."""
        return event_content(*(getattr(self, name) for name in self.COVERED))

    def expected_hash(self) -> str:
        return digest(self.content())


def event_content(
    sequence: int, at: datetime, by: int | None, by_name: str, action: str, subject: str, subject_id: str,
    clinic: int | None, reason: str, before: Document | None, after: Document | None, previous: str,
    changes: int | None, changes_hash: str | None,
) -> str:  # fmt: skip
    """All that an event says, as one canonical text."""
    content: dict[str, Any] = {
        "sequence": sequence, "at": at.isoformat(), "by": by, "by_name": by_name, "action": action, "subject": subject,
        "subject_id": subject_id, "clinic": clinic, "reason": reason, "before": before, "after": after,
        "previous": previous,
    }  # fmt: skip
    if changes is not None:
        content["changes"] = [changes, changes_hash]
    return canonical(content)


class Reading(models.Model):
    """Someone saw what names a patient: a page opened or printed, a search, a file taken out.

    `detail` says what was asked for and what left. A chain of its own, so that who reads waits for no one's writing.
    """

    sequence = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    by_name = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=60)
    subject_id = models.CharField(max_length=64)
    clinic_id = models.PositiveBigIntegerField(null=True)
    detail = models.JSONField(null=True)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    class Meta:
        app_label = "infusion"
        ordering = ("sequence",)
        indexes = (models.Index(fields=["subject", "subject_id", "sequence"], name="reading_subject"),)

    COVERED = (
        "sequence", "at", "by_id", "by_name", "action", "subject", "subject_id", "clinic_id", "detail",
        "previous_hash",
    )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} {self.subject} {self.subject_id}"

    def content(self) -> str:
        """What the hash covers, as one canonical text."""
        return reading_content(*(getattr(self, name) for name in self.COVERED))

    def expected_hash(self) -> str:
        return digest(self.content())


def reading_content(
    sequence: int, at: datetime, by: int | None, by_name: str, action: str, subject: str, subject_id: str,
    clinic: int | None, detail: Document | None, previous: str,
) -> str:  # fmt: skip
    """All that a reading says, as one canonical text."""
    content = {
        "sequence": sequence, "at": at.isoformat(), "by": by, "by_name": by_name, "action": action, "subject": subject,
        "subject_id": subject_id, "clinic": clinic, "detail": detail, "previous": previous,
    }  # fmt: skip
    return canonical(content)


_spelling = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(document: object) -> str:
    """JSON with one spelling for one content."""
    return _spelling.encode(document)


def digest(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def changes_digest(changes: Iterable[tuple[str, int, str | None]]) -> tuple[int, str]:
    """How many rows were written, and one digest of them."""
    count, hashed = 0, hashlib.sha256()
    for relation, key, written in changes:
        hashed.update(f"{relation} {key} {written}\n".encode())
        count += 1
    return count, hashed.hexdigest()


def unclaimed() -> models.QuerySet[AuditChange]:
    """What this transaction has written and no event tells of yet.

    What an earlier one left behind is not among them, or the next event would answer for it unseen.
    """
    connection, left = transaction.get_connection(), AuditChange.objects.filter(event__isnull=True)
    if connection.vendor == "postgresql":
        return left.filter(xid=models.Func(function="txid_current", output_field=models.BigIntegerField()))
    return left.filter(pk__gt=getattr(connection, "changes_before", 0))


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
    head = _head(AuditHead.WRITES)
    written = unclaimed().order_by("pk").values_list("relation", "key", "written")
    changes, changes_hash = changes_digest(written.iterator())
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
        changes=changes or None,
        changes_hash=changes_hash if changes else None,
        previous_hash=head.hash,
    )
    event.hash = event.expected_hash()
    event.save(force_insert=True)
    if changes:
        unclaimed().update(event=event.sequence)
    AuditHead.objects.filter(pk=head.pk).update(sequence=event.sequence, hash=event.hash)
    return event


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event of many that are written together. `rows` are the tables and keys of what it tells of."""

    action: str
    subject: str
    subject_id: str
    before: Document | None
    after: Document | None
    rows: Collection[tuple[str, int]]


def record_each(events: Sequence[Told], *, by: Any, clinic_id: int | None) -> None:
    """Append many events, each of which takes the rows that it names. Must run inside the changes' transaction.

    What none of them names stays for the event that comes after. One event's rows may lie between another's.
    """
    if not transaction.get_connection().in_atomic_block:
        raise ImproperlyConfigured("An audit event is written in the transaction of the change it tells of.")
    head, now = _head(AuditHead.WRITES), timezone.now()
    owners = {row: at for at, each in enumerate(events) for row in each.rows}
    taken: dict[int, list[tuple[int, str, int, str | None]]] = {}
    written = unclaimed().order_by("pk").values_list("pk", "relation", "key", "written")
    for change in written.iterator():
        if (owner := owners.get(change[1:3])) is not None:
            taken.setdefault(owner, []).append(change)
    rows, previous = [], head.hash
    for at, each in enumerate(events):
        changes, changes_hash = changes_digest(change[1:] for change in taken.get(at, ()))
        row = AuditEvent(
            sequence=head.sequence + 1 + at, at=now, by=by, by_name=by.get_username() if by else "",
            action=each.action, subject=each.subject, subject_id=each.subject_id, clinic_id=clinic_id,
            before=each.before, after=each.after, changes=changes or None,
            changes_hash=changes_hash if changes else None, previous_hash=previous,
        )  # fmt: skip
        row.hash = previous = row.expected_hash()
        rows.append(row)
    AuditEvent.objects.bulk_create(rows)
    numbered = [(rows[at].sequence, change[0]) for at, changes_of in taken.items() for change in changes_of]
    with transaction.get_connection().cursor() as cursor:
        cursor.executemany("UPDATE infusion_auditchange SET event = %s WHERE id = %s", numbered)
    AuditHead.objects.filter(pk=head.pk).update(sequence=head.sequence + len(rows), hash=previous)


@transaction.atomic
def record_reading(
    action: str, *, by: Any, subject: str, subject_id: object, clinic_id: int | None, detail: Document | None = None
) -> Reading:
    """Append one reading, in a transaction of its own that holds its lock for three statements."""
    head = _head(AuditHead.READINGS)
    reading = Reading(
        sequence=head.sequence + 1,
        at=timezone.now(),
        by=by,
        by_name=by.get_username() if by else "",
        action=action,
        subject=subject,
        subject_id=str(subject_id),
        clinic_id=clinic_id,
        detail=detail,
        previous_hash=head.hash,
    )
    reading.hash = reading.expected_hash()
    reading.save(force_insert=True)
    AuditHead.objects.filter(pk=head.pk).update(sequence=reading.sequence, hash=reading.hash)
    return reading


def _head(chain: int) -> AuditHead:
    head = AuditHead.objects.select_for_update(no_key=True).filter(pk=chain).first()
    if head is None:
        AuditHead.objects.get_or_create(pk=chain)
        head = AuditHead.objects.select_for_update(no_key=True).get(pk=chain)
    return head
