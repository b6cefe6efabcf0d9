"""The only writers. Each is one transaction with its audit row, and refuses what it cannot do whole.

`by` is the person who acts; what they may touch is checked by the caller through `infusion.access` and the clinic
look-ups of `infusion.selectors`.
"""

from infusion.actions.chair import (
    Late,
    Ordered,
    begin_order,
    cancel_order,
    confirm_dose,
    document_item,
    place_order,
    tap,
    undo_tap,
)
from infusion.actions.claim_data import (
    Changed,
    add_authorization,
    add_coverage,
    add_provider,
    change_authorization,
    change_clinic_claims,
    change_coverage,
    change_provider,
    correct_patient,
    keep_claim_facts,
)
from infusion.actions.desk import correct, end_skip, hold, release, skip_finding, void
from infusion.actions.encounters import (
    Recorded,
    Refused,
    Stale,
    approve,
    attestation,
    document_of,
    hand_to_billing,
    return_to_nurse,
    save_encounter,
    warning_key,
)
from infusion.actions.fees import FeesInTheWay, NewFees, load_fees, withdraw_fees
from infusion.actions.tables import NewEdits, load_edits, withdraw_edits
from infusion.actions.working_copy import drop_copies_of, drop_copy, keep_copy

__all__ = [
    "Changed",
    "FeesInTheWay",
    "Late",
    "NewEdits",
    "NewFees",
    "Ordered",
    "Recorded",
    "Refused",
    "Stale",
    "add_authorization",
    "add_coverage",
    "add_provider",
    "approve",
    "attestation",
    "begin_order",
    "cancel_order",
    "change_authorization",
    "change_clinic_claims",
    "change_coverage",
    "change_provider",
    "confirm_dose",
    "correct",
    "correct_patient",
    "document_item",
    "document_of",
    "drop_copies_of",
    "drop_copy",
    "end_skip",
    "hand_to_billing",
    "hold",
    "keep_claim_facts",
    "keep_copy",
    "load_edits",
    "load_fees",
    "place_order",
    "release",
    "return_to_nurse",
    "save_encounter",
    "skip_finding",
    "tap",
    "undo_tap",
    "void",
    "warning_key",
    "withdraw_edits",
    "withdraw_fees",
]
