"""The demo's fee schedules: invented figures but for a few, loaded from the CSV files beside this module.

J2350 at Medicare is what a third party quotes for the third quarter of 2026. Its figures at Cigna and UnitedHealthcare
are what a public page gives for one milligram, and cannot be: they are there to be doubted.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from infusion.actions import NewFees, load_fees
from infusion.fee_file import read_fee_file
from infusion.models import Clinic, FeeSchedule, User
from payers.models import Payer

FOLDER = Path(__file__).with_name("fees")
OWN = "charges"
FIRST_DAY = date(2024, 1, 1)
SOURCE = "Sample figures, invented"
QUOTED = {
    "medicare": "Sample figures, invented but for J2350 (third quarter of 2026, as a third party quotes it)",
    "cigna": "Sample figures, invented but for J2350, as a public page gives it for one milligram",
    "unitedhealthcare": "Sample figures, invented but for J2350, as a public page gives it for one milligram",
}


def load_demo_fees(by: User | None, clinic: Clinic) -> int:
    """Load what the clinic has no schedule of yet, and tell how many schedules that were."""
    loaded = 0
    for path in sorted(FOLDER.glob("*.csv")):
        payer = None if path.stem == OWN else Payer.objects.filter(slug=path.stem).first()
        if (payer is None and path.stem != OWN) or FeeSchedule.objects.filter(clinic=clinic, payer=payer).exists():
            continue
        file = read_fee_file(path.read_bytes())
        fees = NewFees(
            payer=payer, name=f"{payer.name} sample fees" if payer else "Sample charges",
            source=QUOTED.get(path.stem, SOURCE), effective_from=FIRST_DAY, effective_until=None,
            checksum=file.checksum, rates=tuple(file.rates),
        )  # fmt: skip
        load_fees(by=by, clinic=clinic, fees=fees)
        loaded += 1
    return loaded
