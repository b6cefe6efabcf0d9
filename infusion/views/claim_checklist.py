"""The list of what is looked at before a claim leaves, to print and put with the papers."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from infusion.access import ADMIN, BILLING, allow
from infusion.claim_checklist import (
    CLAIM,
    FEES,
    LOOK,
    MET,
    MISSING,
    NOT_HERE,
    PATIENT,
    PAYER,
    RECORD,
    TABLES,
    Row,
    claim_checklist,
    counts_of,
)
from infusion.models import Encounter
from infusion.selectors import encounter_for
from infusion.views.encounters import private
from payers.policy import SETTINGS

SIGNS = {MET: ("ok", "Met"), MISSING: ("bad", "Missing"), LOOK: ("warn", "Look"), NOT_HERE: ("todo", "Not applicable")}
PLACES = {
    RECORD: "Mend in the record", PATIENT: "Mend with the patient", CLAIM: "Mend in claim data",
    PAYER: "See the payer’s rules", FEES: "Mend in fees", TABLES: "See the tables of CMS",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RowView:
    """A row with its sign, and the page on which it is mended."""

    label: str
    sign: str
    state: str
    words: str
    where: str
    address: str


@require_safe
@allow(BILLING, ADMIN)
def checklist(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Every item with its state: met, missing, to be looked at, or not applicable."""
    encounter = encounter_for(request.user, public_id)
    if encounter is None:
        raise Http404
    groups = claim_checklist(encounter)
    counts = counts_of(groups)
    context = {
        "encounter": encounter,
        "patient": encounter.patient,
        "setting": SETTINGS[encounter.setting].lower(),
        "groups": {title: [row_view(row, encounter) for row in rows] for title, rows in groups.items()},
        "counts": [(SIGNS[state][1], count) for state, count in counts.items()],
        "open": counts[MISSING] + counts[LOOK],
    }
    return private(render(request, "infusion/review/checklist.html", context))


def row_view(row: Row, encounter: Encounter) -> RowView:
    sign, state = SIGNS[row.state]
    address = addresses_of(encounter)[row.where] if row.where else ""
    return RowView(row.label, sign, state, row.words, PLACES.get(row.where, ""), address)


def addresses_of(encounter: Encounter) -> dict[str, str]:
    """Where each kind of item is mended."""
    return {
        RECORD: reverse("encounter", args=[encounter.public_id]),
        PATIENT: reverse("patient", args=[encounter.patient.public_id]),
        CLAIM: reverse("claim-facts", args=[encounter.public_id]),
        PAYER: reverse("payers:detail", args=[encounter.payer.slug]),
        FEES: reverse("fees"),
        TABLES: reverse("tables"),
    }
