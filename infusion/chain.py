"""Whether the record is what was written: every row follows the one before it, and every hash is right.

People work meanwhile: the heads are read first, and what is written after them is left to the next check. Rows are read
a page at a time, so that on SQLite nobody waits for the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection, models
from django.db.models import Min, Subquery
from django.db.models.functions import Coalesce

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
NAMES = {AuditHead.WRITES: "write", AuditHead.READINGS: "reading"}
Change = tuple[int | None, int, str, int, str | None]


@dataclass(slots=True)
class Checked:
    """What was looked at, and the first thing that is wrong in each chain, in a sentence."""

    head: str
    """Where both chains ended when it began."""
    events: int = 0
    changes: int = 0
    readings: int = 0
    flaws: list[str] = field(default_factory=list)
    first: int | None = None
    """The number of the first event, or else reading, that is not as it was written."""


def check() -> Checked:
    """Read the whole record. Memory stays the same however long it is."""
    ends = _ends()
    found = Checked(head=_named(ends))
    writes, readings = (ends.get(pk) or AuditHead(pk=pk) for pk in NAMES)
    found.events = _follow(found, writes, AuditEvent, event_content, _rows_written(found, writes.sequence))
    found.readings = _follow(found, readings, Reading, reading_content)
    left = AuditChange.objects.filter(event__isnull=True).order_by("pk")
    if (first := left.first()) is not None:
        found.flaws.append(f"{left.count():,} rows were written that nobody answers for. The first: {first}.")
    if unguarded := sorted(outdated(connection)):
        found.flaws.append(f"What is written is not kept of {', '.join(unguarded)}. Run manage.py migrate.")
    return found


def heads() -> str:
    """Where both chains end, to be kept elsewhere: with it a record that was cut off shows."""
    return _named(_ends())


def _ends() -> dict[int, AuditHead]:
    return {end.pk: end for end in AuditHead.objects.order_by("pk") if end.pk in NAMES}


def _named(ends: dict[int, AuditHead]) -> str:
    return "; ".join(f"{NAMES[pk]}s {end.sequence} {end.hash}" for pk, end in ends.items())


def _follow(
    found: Checked, end: AuditHead, model: type[AuditEvent] | type[Reading], content_of: Callable[..., str],
    rows_are: Callable[..., bool] | None = None,
) -> int:  # fmt: skip
    """Walk along one chain to the end that was read or its first flaw. How many rows it passed."""
    name, previous_at = NAMES[end.pk], model.COVERED.index("previous_hash")
    sequence, previous = 0, ""
    for *covered, kept in _rows(model, end.sequence):
        sound = covered[0] == sequence + 1 and covered[previous_at] == previous and digest(content_of(*covered)) == kept
        if not sound or (rows_are is not None and not rows_are(covered[0], *covered[-2:])):
            return _tell(found, name, sequence, f"{name} {sequence + 1} is not as it was written.")
        sequence, previous = covered[0], kept
    if rows_are is not None and not rows_are(None, None, None):
        return _tell(found, name, sequence, f"{name} {sequence + 1} is gone, and rows that it wrote are left.")
    if (sequence, previous) != (end.sequence, end.hash):
        return _tell(found, name, sequence, f"{name} {sequence + 1} is gone: the record ends before its head.")
    if (beyond := _beyond_the_head(end.pk, model, "sequence")) is not None:
        return _tell(found, name, beyond - 1, f"{name} {beyond} stands after the head of the record.")
    if rows_are is not None and (beyond := _beyond_the_head(end.pk, AuditChange, "event")) is not None:
        return _tell(found, name, beyond - 1, f"{name} {beyond} is gone, and rows that it wrote are left.")
    return sequence


def _rows(model: type[AuditEvent] | type[Reading], end: int) -> Iterator[tuple[Any, ...]]:
    """In the order of their numbers, the first column, to the last one that is wanted."""
    wanted = model._default_manager.filter(sequence__lte=end).order_by("sequence").values_list(*model.COVERED, "hash")
    following = wanted
    while (last := (yield from _page(following))) is not None:
        following = wanted.filter(sequence__gt=last[0])


def _page(rows: models.QuerySet[Any, Any]) -> Generator[Any, None, Any]:
    """The first of these rows, for which the database is done before one is looked at; gives the last of them."""
    last = None
    for last in rows[:ROWS_AT_ONCE].iterator(ROWS_AT_ONCE + 1):
        yield last
    return last


def _beyond_the_head(chain: int, model: type[models.Model], number: str) -> int | None:
    """The first number that stands after its head. One statement: a row written meanwhile moves the head too."""
    head = Coalesce(Subquery(AuditHead.objects.filter(pk=chain).values("sequence")), 0)
    beyond = model._default_manager.filter(**{f"{number}__gt": head}).aggregate(first=Min(number))
    first: int | None = beyond["first"]
    return first


def _tell(found: Checked, name: str, sequence: int, what: str) -> int:
    found.flaws.append(what[0].upper() + what[1:])
    found.first = found.first or sequence + 1
    return sequence


def _rows_written(found: Checked, end: int) -> Callable[[int | None, int | None, str | None], bool]:
    """Asks, event after event, whether the rows that it took are the ones that its hash covers."""
    groups = groupby(_taken(end), key=itemgetter(0))
    waiting: list[tuple[int | None, Iterator[Change]]] = []

    def of(sequence: int | None, count: int | None, digest: str | None) -> bool:
        if not waiting:
            waiting.append(next(groups, (None, iter(()))))
        event, group = waiting[0]
        if event is None or event != sequence:
            return count is None and (event is None or (sequence is not None and event > sequence))
        waiting.clear()
        there, hashed = changes_digest(row[2:] for row in group)
        found.changes += there
        return (there, hashed) == (count, digest)

    return of


def _taken(end: int) -> Iterator[Change]:
    """The rows that events took, in their order. One event may have taken more than a page holds."""
    rows = AuditChange.objects.filter(event__lte=end).order_by("event", "pk")
    wanted = rows.values_list("event", "pk", "relation", "key", "written")
    following = wanted
    while (last := (yield from _page(following))) is not None:
        while (more := (yield from _page(wanted.filter(event=last[0], pk__gt=last[1])))) is not None:
            last = more
        following = wanted.filter(event__gt=last[0])
