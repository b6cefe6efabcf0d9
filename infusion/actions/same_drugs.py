"""Which drug of a saved record is which of those before: removing one of them renumbers those after it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from infusion.models import Administration


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _times(row: Administration) -> tuple[datetime | None, ...]:
    return tuple(at and minute_of(at) for at in (row.started_at, row.stopped_at))


ALIKE: Sequence[Callable[[Administration], tuple[Any, ...]]] = (
    lambda row: (row.drug, row.route, row.ordered, _times(row)),
    lambda row: (row.drug, row.route),
    lambda row: (row.position, _times(row)),  # the drug or its route was corrected
)


def same_drugs(stored: Sequence[Administration], saved: Sequence[Administration]) -> Mapping[int, Administration]:
    """By the place of each saved row, the stored one that it goes on from; where that is in doubt, none."""
    same: dict[int, Administration] = {}
    for alike in ALIKE:
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
