"""Which vials a dose is drawn from: those that leave the least, and of these the fewest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, Decimal

from infusion.services.words import plain

Rows = tuple[tuple[Decimal, int], ...]
FEWER_OF_A_SIZE = 5
"""How many vials of a larger size are tried in exchange for smaller ones."""
MOST_VIALS = 200
_ROW = re.compile(r"(?P<count>[0-9]{1,3}) ?[x×*] ?(?P<size>[0-9]{1,7}(?:\.[0-9]{1,3})?)(?: ?mg)?")


def proposed_vials(sizes: Iterable[Decimal], dose: Decimal) -> Rows:
    """Sizes and counts, the largest size first; nothing where no reasonable number of vials holds the dose.

    >>> proposed_vials([Decimal(300)], Decimal(575))
    ((Decimal('300'), 2),)
    >>> [(int(size), count) for size, count in proposed_vials([Decimal(40), Decimal(125), Decimal(500)], Decimal(165))]
    [(125, 1), (40, 1)]
    """
    known = sorted({size for size in sizes if size > 0}, reverse=True)
    if dose <= 0 or not known:
        return ()
    found = min(_ways(known, dose), key=lambda counts: _cost(known, counts))
    rows = tuple((size, count) for size, count in zip(known, found, strict=True) if count)
    return rows if sum(found) <= MOST_VIALS else ()


def _ways(sizes: Sequence[Decimal], dose: Decimal) -> list[tuple[int, ...]]:
    """Counts for each size that hold the dose."""
    size, *smaller = sizes
    enough = int((dose / size).to_integral_value(ROUND_CEILING)) if dose > 0 else 0
    if not smaller:
        return [(enough,)]
    counts = range(enough, max(-1, enough - FEWER_OF_A_SIZE), -1)
    return [(count, *rest) for count in counts for rest in _ways(smaller, dose - size * count)]


def _cost(sizes: Sequence[Decimal], counts: tuple[int, ...]) -> tuple[Decimal, int]:
    return sum((size * count for size, count in zip(sizes, counts, strict=True)), Decimal(0)), sum(counts)


def opened(rows: Rows) -> Decimal:
    return sum((size * count for size, count in rows), Decimal(0))


def in_words(rows: Rows) -> str:
    """Vials as people say them: ``2 vials of 300 mg``, ``1 vial of 500 mg and 1 of 125 mg``."""
    words = [f"{count} of {plain(size)} mg" for size, count in rows]
    if words:
        first = rows[0][1]
        words[0] = words[0].replace(" of ", " vial of " if first == 1 else " vials of ", 1)
    return " and ".join(words)


def as_text(rows: Rows) -> str:
    """Vials as they are typed: ``2 x 300``.

    >>> as_text(read_rows("1x500, 1 × 125 mg") or ())
    '1 x 500, 1 x 125'
    """
    return ", ".join(f"{count} x {plain(size)}" for size, count in rows)


def read_rows(text: str) -> Rows | None:
    """Vials out of what was typed, or None when it cannot be read."""
    rows = []
    for part in re.split(r"[,+;]", text.lower()):
        found = _ROW.fullmatch(" ".join(part.split()))
        if not found or not 0 < int(found["count"]) <= MOST_VIALS or not Decimal(found["size"]):
            return None
        rows.append((Decimal(found["size"]), int(found["count"])))
    return tuple(rows)
