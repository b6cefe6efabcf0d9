"""Which drug of a saved record is which of those before: removing one of them renumbers those after it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from infusion.models import Administration


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _start(row: Administration) -> datetime | None:
    return row.started_at and minute_of(row.started_at)


def _stop(row: Administration) -> datetime | None:
    return row.stopped_at and minute_of(row.stopped_at)


ALIKE: Sequence[Callable[[Administration], tuple[Any, ...]]] = (
    lambda row: (row.drug, row.route, row.ordered, _start(row), _stop(row)),
    lambda row: (row.drug, row.route, _start(row)),
    lambda row: (row.drug, row.route),
    # The drug or its route was corrected. What has not started is known by its place.
    lambda row: (_start(row) or row.position, _stop(row)),
    lambda row: (_start(row) or row.position,),
)


def _in_place(row: Administration) -> tuple[Any, ...]:
    """Tells rows apart where none was taken out, so that none moved up."""
    return (row.position, row.drug, row.route)


def same_drugs(stored: Sequence[Administration], saved: Sequence[Administration]) -> Mapping[int, Administration]:
    """By the place of each saved row, the stored one that it goes on from; where that is in doubt, none."""
    same: dict[int, Administration] = {}
    for alike in (*ALIKE, _in_place) if len(saved) >= len(stored) else ALIKE:
        before, after = defaultdict[Any, list[Administration]](list), defaultdict[Any, list[Administration]](list)
        for row in stored:
            if row not in same.values():
                before[alike(row)].append(row)
        for row in saved:
            if row.position not in same:
                after[alike(row)].append(row)
        for key, rows in after.items():
            if len(rows) == len(before[key]):
                same.update((row.position, old) for row, old in zip(rows, before[key], strict=True))
    return same
