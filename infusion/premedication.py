"""What is given before an infusion so that it is borne better: named items, and the set that is usual.

An item is planned with its dose, its vials and what will be left of them. What was given is said by whoever gave it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from infusion.services import facts


@dataclass(frozen=True, slots=True)
class Item:
    """One drug of a premedication. Amounts in mg; a tablet has no vial."""

    label: str
    drug: str
    route: str
    ordered: Decimal
    vial: Decimal | None = None

    def planned(self, number: int) -> facts.Administration:
        rest = self.vial - self.ordered if self.vial else Decimal(0)
        return facts.Administration(
            id=f"a{number}",
            route=self.route,
            drug=self.drug,
            ordered=self.ordered,
            vials=(facts.Vial(amount=self.vial),) if self.vial else (),
            discards=(facts.Discard(amount=rest, reason="vial_remainder"),) if rest else (),
        )


ITEMS = {
    "methylprednisolone": Item(
        "Methylprednisolone 100 mg, IV push", "J2919", "iv_push", ordered=Decimal(100), vial=Decimal(125)
    ),
    "diphenhydramine": Item(
        "Diphenhydramine 50 mg, IV push", "J1200", "iv_push", ordered=Decimal(50), vial=Decimal(50)
    ),
    "acetaminophen": Item("Acetaminophen 650 mg, by mouth", "acetaminophen", "oral", ordered=Decimal(650)),
}
USUAL = tuple(ITEMS)
"""The set that is given before most antibody infusions."""


def premedication_for(keys: Iterable[str]) -> tuple[facts.Administration, ...]:
    """The planned administrations of the chosen items, in the order in which they are given.

    >>> [each.drug for each in premedication_for(["acetaminophen", "methylprednisolone"])]
    ['J2919', 'acetaminophen']
    """
    chosen = set(keys)
    return tuple(ITEMS[key].planned(number) for number, key in enumerate((key for key in ITEMS if key in chosen), 1))
