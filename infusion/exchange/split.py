"""One NDC a line: a line of two NDCs becomes two, whose units, charges and quantities add up to what it was.

Whole units are shared out by the milligrams behind each NDC, the largest remainders first, and each line keeps at
least one. Quantities in mL of one drug stand in for milligrams. Vials of a size that is not known do not: sharing by
them would bill one NDC for what another held.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from infusion.services.words import counted

if TYPE_CHECKING:
    from infusion.exchange.claim import Claim, ClaimLine


def unsplittable(line: ClaimLine) -> str:
    """Why a line's NDCs cannot stand on lines of their own, as a sentence; empty when they can."""
    if len(line.ndcs) < 2:
        return ""
    if len({each.ndc for each in line.ndcs}) < len(line.ndcs):
        return "it names an NDC twice. Correct the encounter."
    if line.units < len(line.ndcs):
        return (
            f"it has {len(line.ndcs)} NDCs and {counted(line.units, 'unit')}, and a line cannot carry less than one. "
            "Hold it and ask the payer which NDC it wants."
        )
    if any(each.quantity <= 0 for each in line.ndcs):
        return "it lists an NDC of which there is nothing. Correct the encounter."
    by_strength = all(each.strength and each.strength > 0 for each in line.ndcs)
    if not by_strength and {each.unit for each in line.ndcs} != {"ML"}:
        return "how its units divide between its NDCs is not certain. Record the size of each vial."
    return ""


def service_lines(claim: Claim) -> tuple[tuple[str, ClaimLine], ...]:
    """Each line as it is written, with at most one NDC and the control number that comes back with the payment."""
    written = []
    for line in claim.lines:
        control = f"{claim.number}L{line.position}"
        if len(line.ndcs) < 2:
            written.append((control, line))
        else:
            written += [(f"{control}P{at}", part) for at, part in enumerate(_parts(line), start=1)]
    return tuple(written)


def _parts(line: ClaimLine) -> list[ClaimLine]:
    by_strength = all(each.strength for each in line.ndcs)
    weights = [Fraction(each.quantity) * Fraction(each.strength or 1 if by_strength else 1) for each in line.ndcs]
    units = _shared_out(line.units, weights)
    cents = None if line.charge is None else _shared_out_cents(int(line.charge * 100), units)
    return [
        replace(line, ndcs=(each,), units=units[at], charge=None if cents is None else Decimal(cents[at]) / 100)
        for at, each in enumerate(line.ndcs)
    ]


def _shared_out(whole: int, weights: list[Fraction]) -> list[int]:
    """Whole numbers of at least one that add up to `whole`, as near to the weights as that allows.

    >>> _shared_out(33, [Fraction(125), Fraction(40)]), _shared_out(3, [Fraction(1000), Fraction(1), Fraction(1)])
    ([25, 8], [1, 1, 1])
    """
    exact = [whole * weight / sum(weights) for weight in weights]
    shares = [int(each) for each in exact]
    by_remainder = sorted(range(len(exact)), key=lambda at: (shares[at] - exact[at], at))
    for at in by_remainder[: whole - sum(shares)]:
        shares[at] += 1
    for at, share in enumerate(shares):
        if share == 0:
            shares[shares.index(max(shares))] -= 1
            shares[at] = 1
    return shares


def _shared_out_cents(cents: int, units: list[int]) -> list[int]:
    """The charge by units, the odd cents on the first line."""
    shares = [cents * each // sum(units) for each in units]
    shares[0] += cents - sum(shares)
    return shares
