"""Whether the record is what was written: every row follows the one before it, and every hash is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection, models

from infusion.audit import (
    AuditChange,
    AuditEvent,
    AuditHead,
    Reading,
    changes_digest,
    digest,
    event_content,
    reading_content,
)
from infusion.capture import outdated

ROWS_AT_ONCE = 2000
Change = tuple[int | None, str, int, str | None]


@dataclass(slots=True)
class Checked:
    """What was looked at, and the first thing that is wrong in each chain, in a sentence."""

    events: int = 0
    changes: int = 0
    readings: int = 0
    flaws: list[str] = field(default_factory=list)
    first: int | None = None
    """The number of the first event, or else reading, that is not as it was written."""


def check() -> Checked:
    """Read the whole record. Memory stays the same however long it is."""
    found = Checked()
    events = _rows(AuditEvent, AuditEvent.COVERED)
    found.events = _follow(found, AuditHead.WRITES, "write", events, event_content, _rows_written(found))
    readings = _rows(Reading, Reading.COVERED)
    found.readings = _follow(found, AuditHead.READINGS, "reading", readings, reading_content)
    left = AuditChange.objects.filter(event__isnull=True).order_by("pk")
    if (first := left.first()) is not None:
        found.flaws.append(f"{left.count():,} rows were written that nobody answers for. The first: {first}.")
    if unguarded := sorted(outdated(connection)):
        found.flaws.append(f"What is written is not kept of {', '.join(unguarded)}. Run manage.py migrate.")
    return found


def heads() -> str:
    """Where both chains end, to be kept elsewhere: with it a record that was cut off shows."""
    ends = {head.pk: head for head in AuditHead.objects.all()}
    names = {AuditHead.WRITES: "writes", AuditHead.READINGS: "readings"}
    return "; ".join(f"{name} {ends[pk].sequence} {ends[pk].hash}" for pk, name in names.items() if pk in ends)


def _rows(model: type[models.Model], columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    rows: Any = model._default_manager.order_by("sequence").values_list(*columns, "hash")
    return iter(rows.iterator(ROWS_AT_ONCE))


def _follow(
    found: Checked, chain: int, name: str, rows: Iterator[tuple[Any, ...]], content_of: Callable[..., str],
    rows_are: Callable[..., bool] | None = None,
) -> int:  # fmt: skip
    """Walk along one chain to its end or its first flaw. How many rows it passed."""
    previous_at = {"reading": 9, "write": 11}[name]
    sequence, previous = 0, ""
    for *covered, kept in rows:
        sound = covered[0] == sequence + 1 and covered[previous_at] == previous and digest(content_of(*covered)) == kept
        if not sound or (rows_are is not None and not rows_are(covered[0], *covered[-2:])):
            return _tell(found, name, sequence, f"{name} {sequence + 1} is not as it was written.")
        sequence, previous = covered[0], kept
    if rows_are is not None and not rows_are(None, None, None):
        return _tell(found, name, sequence, f"{name} {sequence + 1} is gone, and rows that it wrote are left.")
    head = AuditHead.objects.filter(pk=chain).first()
    if head is not None and head.sequence < sequence:
        return _tell(found, name, head.sequence, f"{name} {head.sequence + 1} stands after the head of the record.")
    if (head.sequence, head.hash) != (sequence, previous) if head else sequence:
        return _tell(found, name, sequence, f"{name} {sequence + 1} is gone: the record ends before its head.")
    return sequence


def _tell(found: Checked, name: str, sequence: int, what: str) -> int:
    found.flaws.append(what[0].upper() + what[1:])
    found.first = found.first or sequence + 1
    return sequence


def _rows_written(found: Checked) -> Callable[[int | None, int | None, str | None], bool]:
    """Asks, event after event, whether the rows that it took are the ones that its hash covers."""
    taken = AuditChange.objects.filter(event__isnull=False).order_by("event", "pk")
    rows = taken.values_list("event", "relation", "key", "written").iterator(ROWS_AT_ONCE)
    groups = groupby(rows, key=itemgetter(0))
    waiting: list[tuple[int | None, Iterator[Change]]] = []

    def of(sequence: int | None, count: int | None, digest: str | None) -> bool:
        if not waiting:
            waiting.append(next(groups, (None, iter(()))))
        event, group = waiting[0]
        if event is None or event != sequence:
            return count is None and (event is None or (sequence is not None and event > sequence))
        waiting.clear()
        there, hashed = changes_digest(row[1:] for row in group)
        found.changes += there
        return (there, hashed) == (count, digest)

    return of
