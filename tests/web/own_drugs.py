"""A drug of the site, as its tests and those of the audit write it down."""

from __future__ import annotations

from datetime import date
from typing import Any

from infusion.actions.drugs import DrugEntry

# Ocrelizumab as it ships, and a vial of 600 mg beside the one of 300.
COLUMNS: dict[str, Any] = {
    "code": "J2350", "name": "ocrelizumab", "brands": ["Ocrevus"], "billing_unit": "1", "routes": ["iv_infusion"],
    "first_day": date(2026, 4, 1), "form": "liquid", "concentration": "30", "hospital_packaged": False,
    "may_be_complex": True, "dosing": "fixed",
    "containers": [
        {"amount": "300", "volume": "10", "single_dose": True, "ndc": "50242-0150-01"},
        {"amount": "600", "volume": "20", "single_dose": True, "ndc": "50242-0150-86"},
    ],
}  # fmt: skip


def an_entry(**columns: Any) -> DrugEntry:
    cited = {"source_document": "Label of 2026", "source_read_on": date(2026, 3, 9)}
    return DrugEntry(columns={**COLUMNS, **columns}, **cited)
