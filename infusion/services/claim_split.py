"""A claim above the highest charge that one claim may have, as several claims.

Contractors want the charges of such claims to differ, or the second one is taken for a copy of the first [CGSDOLLAR].
A line is divided by whole units, and its parts add up to its charge to the cent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from infusion.services.words import dollars

CENT = Decimal("0.01")
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Charged:
    """A line or a part of one, with its charge in dollars."""

    name: str
    units: int
    charge: Decimal

    def first(self, units: int) -> Decimal:
        """The charge of its first units, to the cent."""
        return (self.charge * units / self.units).quantize(CENT, ROUND_HALF_UP)

    def divided(self, units: int) -> tuple[Charged, Charged]:
        """Its first units and the rest."""
        first = self.first(units)
        return Charged(self.name, units, first), Charged(self.name, self.units - units, self.charge - first)


def total_of(parts: Iterable[Charged]) -> Decimal:
    return sum((part.charge for part in parts), NOTHING)


def split(lines: Iterable[Charged], limit: Decimal) -> list[list[Charged]]:
    """Claims of at most `limit` dollars in the order of the lines, no two with the same total.

    Raises ValueError naming a line of which a single unit is above the limit.
    """
    claims: list[list[Charged]] = []
    waiting = list(lines)
    while waiting:
        claim, waiting = _one_claim(waiting, limit)
        if any(total_of(claim) == total_of(earlier) for earlier in claims):
            claim, waiting = _smaller(claim, waiting, claims)
        claims.append(claim)
    return claims


def _one_claim(waiting: list[Charged], limit: Decimal) -> tuple[list[Charged], list[Charged]]:
    """As much as fits on one claim, and what is left."""
    claim: list[Charged] = []
    room = limit
    for position, line in enumerate(waiting):
        if line.charge <= room:
            claim.append(line)
            room -= line.charge
            continue
        units = _most_units(line, room)
        if not units and not claim:
            raise ValueError(line.name)
        if not units:
            return claim, waiting[position:]
        part, rest = line.divided(units)
        return [*claim, part], [rest, *waiting[position + 1 :]]
    return claim, []


def _most_units(line: Charged, room: Decimal) -> int:
    units = int(line.units * room / line.charge)
    return units - 1 if line.first(units) > room else units


def _smaller(
    claim: list[Charged], waiting: list[Charged], claims: list[list[Charged]]
) -> tuple[list[Charged], list[Charged]]:
    """The claim with so many units less that its total is its own; as it is where that cannot be."""
    taken = {total_of(earlier) for earlier in claims}
    left, put_off = claim, waiting
    while left:
        *others, last = left
        part, rest = last.divided(last.units - 1)
        left, put_off = [*others, part] if part.units else others, _joined(rest, put_off)
        if left and total_of(left) not in taken:
            return left, put_off
    return claim, waiting


def _joined(rest: Charged, waiting: list[Charged]) -> list[Charged]:
    """What was taken off, before what waits: in one piece where the same line goes on there."""
    if waiting and waiting[0].name == rest.name:
        following = waiting[0]
        return [Charged(rest.name, rest.units + following.units, rest.charge + following.charge), *waiting[1:]]
    return [rest, *waiting]


def in_words(claims: Iterable[Iterable[Charged]]) -> str:
    """The plan in a sentence: "1) 96365 x1, J2350 JZ x330: $99,210.00; 2) J2350 JZ x270: $81,000.00"."""
    told = []
    for number, claim in enumerate(claims, start=1):
        parts = list(claim)
        lines = ", ".join(f"{part.name} x{part.units}" for part in parts)
        told.append(f"{number}) {lines}: {dollars(total_of(parts))}")
    return "; ".join(told)
