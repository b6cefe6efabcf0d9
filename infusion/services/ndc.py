"""Which NDC a line lists, and how much of it: from the milligrams, never from the rounded units.

Liquids are counted in mL by their concentration, powders in vials as a share of one [NDCL, GEN]. At most three
decimals, half up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from infusion.services.facts import Vial
from infusion.services.lines import NdcQuantity
from infusion.services.reference import Drug, eleven_digits

THOUSANDTH = Decimal("0.001")
NOTHING = Decimal(0)


@dataclass(slots=True)
class NdcShares:
    """Hands out the milligrams of the opened vials in the order in which they were recorded.

    `left` is what has not been handed out: NDC, size of the vial and milligrams.
    """

    drug: Drug
    left: list[tuple[str, Decimal, Decimal]] = field(default_factory=list)

    @classmethod
    def of(cls, drug: Drug, vials: Sequence[Vial]) -> NdcShares:
        return cls(drug, [(_ndc(drug, vial), vial.amount, vial.amount * vial.count) for vial in vials])

    def skip(self, amount: Decimal) -> None:
        """Leave out milligrams that another line has listed."""
        self._draw(amount)

    @property
    def ndcs(self) -> int:
        """Of how many NDCs something is left."""
        return len({ndc for ndc, _, _ in self.left})

    def apart(self, amount: Decimal) -> list[tuple[Decimal, NdcShares]]:
        """The next `amount` mg by NDC, in the order in which they were recorded. Takes nothing away."""
        rest = NdcShares(self.drug, list(self.left))
        parts: dict[str, tuple[Decimal, NdcShares]] = {}
        for ndc, size, share in rest._draw(amount):
            total, part = parts.get(ndc, (NOTHING, NdcShares(self.drug)))
            part.left.append((ndc, size, share))
            parts[ndc] = (total + share, part)
        return list(parts.values())

    def take(self, amount: Decimal) -> tuple[NdcQuantity, ...]:
        """The NDCs of the next `amount` mg."""
        drawn: dict[tuple[str, Decimal], Decimal] = {}
        for ndc, size, share in self._draw(amount):
            drawn[ndc, size] = drawn.get((ndc, size), NOTHING) + share
        quantities: dict[str, Decimal] = {}
        for (ndc, size), share in drawn.items():
            if ndc:
                quantity = share / (self.drug.concentration or size)
                quantities[ndc] = quantities.get(ndc, NOTHING) + quantity
        unit = "ML" if self.drug.concentration else "UN"
        return tuple([NdcQuantity(ndc, _three_decimals(quantity), unit) for ndc, quantity in quantities.items()])

    def _draw(self, amount: Decimal) -> list[tuple[str, Decimal, Decimal]]:
        drawn = []
        for position, (ndc, size, rest) in enumerate(self.left):
            share = min(rest, amount)
            if share > NOTHING:
                drawn.append((ndc, size, share))
                self.left[position] = (ndc, size, rest - share)
                amount -= share
        return drawn


def _ndc(drug: Drug, vial: Vial) -> str:
    """The recorded NDC, else the only one the reference has for this size; empty when there is none to trust."""
    if vial.ndc:
        try:
            return eleven_digits(vial.ndc)
        except ValueError:
            return ""
    return drug.ndcs.get(vial.amount, "")


def _three_decimals(quantity: Decimal) -> Decimal:
    return quantity.quantize(THOUSANDTH, ROUND_HALF_UP)
