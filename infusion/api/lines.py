"""Service lines out: what was approved, bound to its approval, or a calculation of now that says so."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router

from infusion.api import shapes
from infusion.api.errors import reply
from infusion.api.stored import approval_of, encounter_at, etag, head_of, statement_of, tell_reading
from infusion.api.tokens import Token, program_of
from infusion.models import Encounter

router = Router(tags=["lines"], auth=Token("lines:read"))


@router.get(
    "/encounters/{uuid:encounter_id}/lines", operation_id="read_lines", url_name="lines",
    response=shapes.answers(shapes.Lines, 404), summary="Read the lines of one encounter",
)  # fmt: skip
def read(request: HttpRequest, encounter_id: UUID) -> HttpResponse:
    """The lines with their reasons and sources. `bound` ones are those that were approved and change no more; anything
    else is what would be calculated now. One that was made void has no lines.
    """
    client = program_of(request)
    encounter = encounter_at(client, encounter_id)
    approval = approval_of(encounter)
    statement = statement_of(encounter, approval)
    tell_reading(client, encounter, "api-lines")
    head = head_of(encounter)
    told = approval and {
        "version": approval.encounter_version,
        "at": approval.approved_at.isoformat(),
        "by": approval.approved_by.signature,
        "content_hash": approval.content_hash,
    }
    lines = [] if encounter.state == Encounter.State.VOID else statement["lines"]
    document = {
        **{name: head[name] for name in ("id", "version", "state")}, "bound": approval is not None, "approval": told,
        **{name: statement[name] for name in ("status", "date_of_service", "findings", "policy", "reference")},
        "lines": lines,
    }  # fmt: skip
    return reply(document, headers=etag(encounter))
