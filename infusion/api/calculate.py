"""Lines from what is sent: nothing is kept, and the answer is the one of `manage.py calculate`."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from infusion.answers import answer, encoded
from infusion.api import shapes
from infusion.api.bodies import MOST_ENCOUNTERS, MOST_OF_MANY, MOST_OF_ONE, body_of, document_of, elements_of
from infusion.api.bodies import not_understood as refused
from infusion.api.errors import reply
from infusion.api.tokens import Token, program_of
from infusion.models import ApiClient
from infusion.reference_now import current_reference
from infusion.services.wire import Unreadable, unreadable_document
from payers.policy import PayerPolicy

router = Router(tags=["calculate"], auth=Token("calculate"))


@router.post(
    "/calculate", response=shapes.answers(shapes.Answer, 413, 422), operation_id="calculate", url_name="calculate",
    summary="Calculate the lines of one encounter", openapi_extra=shapes.body(shapes.Encounter),
)  # fmt: skip
def calculate_one(request: HttpRequest) -> HttpResponse:
    """The service lines of one encounter, each with its reasons, and what is missing. Nothing is saved."""
    body = body_of(request, MOST_OF_ONE)
    document = answered(body, program_of(request), {})
    if document["status"] == "invalid":
        findings: list[dict[str, Any]] = document["findings"]  # type: ignore[assignment]
        raise refused(document_of(body), ((each["field"] or "", each["message"]) for each in findings))
    return reply(document)


@router.post(
    "/calculate/many", response=shapes.answers(list[shapes.AnswerOrNot], 413, 422), operation_id="calculate_many",
    url_name="calculate-many", summary=f"Calculate the lines of up to {MOST_ENCOUNTERS:,} encounters",
    openapi_extra=shapes.body(list[shapes.Encounter], most=MOST_ENCOUNTERS),
)  # fmt: skip
def calculate_many(request: HttpRequest) -> HttpResponse:
    """An answer for each encounter, in their order. One that cannot be read has the status `invalid` and says why."""
    known: dict[str, PayerPolicy] = {}
    client = program_of(request)
    elements = elements_of(body_of(request, MOST_OF_MANY))
    texts = ",".join(encoded(answered(each, client, known)) for each in elements)
    return HttpResponse(f"[{texts}]", content_type="application/json")


def answered(body: bytes, client: ApiClient, known: dict[str, PayerPolicy]) -> dict[str, object]:
    if len(body) > MOST_OF_ONE:
        return unreadable_document(None, Unreadable((("", f"One encounter has {MOST_OF_ONE:,} bytes at most."),)))
    return answer(body, known, current_reference(), client.clinic.time_zone)
