"""What is stored of an encounter, as a program reads it, and the reading that it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import Q

from infusion import readings
from infusion.api.errors import CODES, Problem
from infusion.exchange.incoming import Incoming
from infusion.models import ApiClient, Approval, Encounter
from infusion.selectors import encounters_of, facts_of, review_of, with_record
from infusion.services import facts
from infusion.services.wire import encounter_document, statement_document

State = Encounter.State


def encounter_at(client: ApiClient, encounter_id: UUID) -> Encounter:
    """The encounter of the client's clinic by our id or by the one it was saved under. Problem where there is none."""
    mine = with_record(encounters_of(client.clinic))
    found = list(mine.filter(Q(public_id=encounter_id) | Q(client_id=encounter_id))[:2])
    if not found:
        raise Problem(404, *CODES[404])
    return min(found, key=lambda each: each.public_id != encounter_id)


def tell_reading(client: ApiClient, encounter: Encounter, page: str) -> None:
    readings.keep_of(
        client.person, "encounter.open", "encounter", str(encounter.public_id), client.clinic_id, {"page": page}
    )


def head_of(encounter: Encounter) -> dict[str, Any]:
    return {
        "id": str(encounter.public_id),
        "client_id": str(encounter.client_id),
        "version": encounter.version,
        "state": encounter.state,
    }


def approval_of(encounter: Encounter) -> Approval | None:
    """The approval that holds. A record that was taken up again has none, though it had one before."""
    if encounter.state not in (State.APPROVED, State.VOID):
        return None
    return encounter.approvals.select_related("approved_by").order_by("-pk").first()


def statement_of(encounter: Encounter, approval: Approval | None) -> dict[str, Any]:
    """The lines and findings that were approved, or those of now."""
    if approval is not None:
        approved: dict[str, Any] = json.loads(approval.statement)
        return approved
    return statement_document(review_of(encounter).statement)


def record_of(encounter: Encounter) -> dict[str, Any]:
    """An encounter as it could be sent again."""
    patient = encounter.patient
    reasons = {f"a{row.position + 1}": row.late_reason for row in encounter.administrations.all() if row.late_reason}
    who = {
        "reference": patient.reference,
        "name": patient.name or None,
        "birth_date": patient.birth_date and patient.birth_date.isoformat(),
        "sex": patient.sex or None,
    }
    return _record(facts_of(encounter), encounter.payer.slug, who, reasons)


def record_in(incoming: Incoming) -> dict[str, Any]:
    """The same of what was sent."""
    who = {
        "reference": incoming.patient_reference,
        "name": incoming.patient_name or None,
        "birth_date": incoming.birth_date and incoming.birth_date.isoformat(),
        "sex": incoming.sex or None,
    }
    return _record(incoming.facts, incoming.payer, who, incoming.late_reasons)


def _record(recorded: facts.Encounter, payer: str, who: Any, late_reasons: Mapping[str, str]) -> dict[str, Any]:
    document = encounter_document(replace(recorded, past_doses=None))
    del document["id"]
    return {**document, "payer": payer, "patient": who, "late_reasons": dict(late_reasons)}


def stored_document(encounter: Encounter) -> dict[str, Any]:
    statement = statement_of(encounter, approval_of(encounter))
    readiness = {"status": statement["status"], "findings": statement["findings"]}
    return {**head_of(encounter), "record": record_of(encounter), **readiness}


def etag(encounter: Encounter) -> dict[str, str]:
    return {"ETag": f'"{encounter.version}"'}
