"""Encounters in and out: a program saves drafts and hands them over, and reads what its clinic has."""

from __future__ import annotations

import re
from datetime import date
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Query, Router
from pydantic import Field

from infusion import readings
from infusion.actions import Refused, Stale, hand_to_billing, save_encounter
from infusion.api import shapes
from infusion.api.bodies import MOST_OF_ONE, body_of, document_of, table_of
from infusion.api.errors import CODES, Problem, reply, unlike
from infusion.api.keys import once
from infusion.api.stored import (
    approval_of,
    encounter_at,
    etag,
    head_of,
    record_in,
    statement_of,
    stored_document,
    tell_reading,
)
from infusion.api.tokens import Token, program_of
from infusion.exchange.incoming import Incoming, NotMapped, recorded_from
from infusion.incoming import destination, recorded
from infusion.models import ApiClient, Encounter
from infusion.repeats import is_same
from infusion.selectors import encounters_of, with_record
from infusion.services.dose_limits import QUOTING
from infusion.services.wire import DAY
from payers.models import Payer

READ, WRITE = "encounters:read", "encounters:write"
VERSION = re.compile(r'"([0-9]{1,9})"|([0-9]{1,9})')
CURSOR = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})_([0-9a-f]{32})")
ON_A_PAGE, MOST_ON_A_PAGE = 100, 500
PARAMETERS = ("date_of_service_from", "date_of_service_to", "after", "limit")
EARLIER = "What was given at earlier visits bears on this. Someone who may read the record sees how."
HELD_UP = "A finding here or a question of billing holds it up. Someone who may read the record sees which."
State = Encounter.State

router = Router(tags=["encounters"])
Day = Annotated[str | None, Field(pattern=f"^{DAY.pattern}$", json_schema_extra={"format": "date"})]


# Saving ---------------------------------------------------------------------------------------------------------------


@router.put(
    "/encounters/{uuid:encounter_id}", operation_id="save_encounter", url_name="encounter", auth=Token(WRITE),
    response=shapes.answers(shapes.Saved, 404, 413, 422, others={201: shapes.Saved, 409: shapes.Conflict,
                                                                 412: shapes.Conflict}),
    summary="Save a draft", openapi_extra=shapes.body(shapes.Draft) | shapes.headers("Idempotency-Key", "If-Match"),
)  # fmt: skip
def save(request: HttpRequest, encounter_id: UUID) -> HttpResponse:
    """Save a draft under an id that you choose: the same request twice is one encounter.

    To change one, send the version that you have as `If-Match`. Nothing is ever approved here; with `hand_over` a draft
    without errors goes to billing.
    """
    client, body = program_of(request), body_of(request, MOST_OF_ONE)
    return once(client, request, body, lambda: _saved(request, client, encounter_id, document_of(body)))


def _saved(request: HttpRequest, client: ApiClient, client_id: UUID, document: object) -> HttpResponse:
    table = {**table_of(document)}
    hand_over, said_id = table.pop("hand_over", None), table.pop("id", None)
    stored = with_record(encounters_of(client.clinic)).filter(client_id=client_id).first()
    if said_id not in (None, str(client_id), str(stored.public_id) if stored else None):
        raise unlike("id", said_id, "The address names another encounter. Leave the id out here.")
    if not isinstance(hand_over, bool | None):
        raise unlike("hand_over", hand_over, "true or false is expected here.")
    payers = {payer.slug: payer for payer in Payer.objects.all()}
    try:
        incoming = recorded_from(table, destination(client.clinic, payers))
        said = recorded(incoming, client.clinic, payers, stored)
    except NotMapped as problem:
        raise Problem(422, *CODES[422], problem.problems) from None
    draft = _Draft(client, client_id, incoming, said, stored)
    saved = draft.saved(version_of(request))
    return draft.handed_over(saved) if hand_over else draft.answer(saved)


class _Draft:
    """One draft on its way into the record."""

    def __init__(
        self, client: ApiClient, client_id: UUID, incoming: Incoming, said: Any, stored: Encounter | None
    ) -> None:
        self.client, self.client_id, self.incoming, self.said, self.stored = client, client_id, incoming, said, stored

    def saved(self, version: int | None) -> Encounter:
        """The encounter as it is stored now. A repeated request finds what the first one did."""
        if self.stored is None and version is not None:
            raise self.conflict(412, "Nothing is stored under this id, so there is no version to change.", None)
        if self.stored is not None and version is None:
            if is_same(self.stored, self.said):
                return self.stored
            words = f"Something else is stored under this id. To change it, send If-Match: {etag(self.stored)['ETag']}."
            raise self.conflict(409, words, self.stored)
        try:
            saved = save_encounter(
                by=self.client.person, clinic=self.client.clinic, client_id=self.client_id, recorded=self.said,
                public_id=self.stored.public_id if self.stored else None, version=version,
            )  # fmt: skip
        except Stale as stale:
            return self.same_or_stale(stale.current)
        except Refused as refused:
            raise Problem(409, "refused", str(refused)) from None
        # Someone else may have taken the id at this very moment.
        return saved if self.stored is not None else self.same_or_stale(saved, 409)

    def same_or_stale(self, current: Encounter, status: int = 412) -> Encounter:
        current = encounter_at(self.client, current.public_id)
        if is_same(current, self.said):
            return current
        words = f"This encounter has the version {current.version} by now. Compare both, then send that version."
        raise self.conflict(status, words, current)

    def conflict(self, status: int, words: str, current: Encounter | None) -> Problem:
        """Both versions, for a program that may read."""
        stored = told = None
        if current is not None and READ in self.client.scopes:
            stored, told = stored_document(current), partial(tell_reading, self.client, current, "api")
        headers = etag(current) if current else {}
        more = {"stored": stored, "sent": record_in(self.incoming)}
        code = "stale" if status == 412 else "stored_otherwise"
        return Problem(status, code, words, headers=headers, more=more, told=told)

    def handed_over(self, saved: Encounter) -> HttpResponse:
        if saved.state != State.DRAFT:
            return self.answer(saved)
        try:
            return self.answer(hand_to_billing(by=self.client.person, encounter=saved, version=saved.version))
        except Stale as stale:
            raise self.conflict(412, str(stale), stale.current) from None
        except Refused as refused:
            return self.answer(saved, str(refused))

    def answer(self, saved: Encounter, not_handed_over: str | None = None) -> HttpResponse:
        """Nothing of the record: whoever may only write learns nothing about a patient.

        Of what it did not send itself, such a program learns only that it is there.
        """
        statement = statement_of(saved, approval_of(saved))
        if READ not in self.client.scopes:
            for each in statement["findings"]:
                each["message"] = EARLIER if each["code"] in QUOTING else each["message"]
            not_handed_over = not_handed_over and HELD_UP
        document = {
            **head_of(saved), "status": statement["status"], "findings": statement["findings"],
            "not_handed_over": not_handed_over,
        }  # fmt: skip
        headers = {**etag(saved), "Location": reverse("api:encounter", args=[saved.public_id])}
        return reply(document, 200 if self.stored else 201, headers)


def version_of(request: HttpRequest) -> int | None:
    text = request.headers.get("If-Match")
    if text is None:
        return None
    found = VERSION.fullmatch(text.strip())
    if found is None:
        raise unlike("If-Match", text, 'A version is expected, as the ETag has it: "3".')
    return int(found[1] or found[2])


# Reading --------------------------------------------------------------------------------------------------------------


@router.get(
    "/encounters/{uuid:encounter_id}", operation_id="read_encounter", url_name="encounter", auth=Token(READ),
    response=shapes.answers(shapes.Stored, 404), summary="Read one encounter",
)  # fmt: skip
def read(request: HttpRequest, encounter_id: UUID) -> HttpResponse:
    """An encounter of the clinic, by our id or by the one it was saved under. `record` can be sent again as it is."""
    client = program_of(request)
    encounter = encounter_at(client, encounter_id)
    tell_reading(client, encounter, "api")
    return reply(stored_document(encounter), headers=etag(encounter))


@router.get(
    "/encounters", operation_id="list_encounters", url_name="encounters", auth=Token(READ),
    response=shapes.answers(shapes.Page, 422), summary="List the clinic's encounters",
)  # fmt: skip
def page(
    request: HttpRequest,
    date_of_service_from: Day = None,
    date_of_service_to: Day = None,
    after: Annotated[str | None, Field(pattern=f"^{CURSOR.pattern}$")] = None,
    limit: int = Query(ON_A_PAGE, ge=1, le=MOST_ON_A_PAGE),
) -> HttpResponse:
    """By date of service, oldest first. `next` of one page is `after` of the following; nobody is named."""
    for name in request.GET:
        if name not in PARAMETERS:
            raise unlike(name, request.GET[name], f"This is not one of {', '.join(PARAMETERS)}.")
    client = program_of(request)
    first, last = day_of("date_of_service_from", date_of_service_from), day_of("date_of_service_to", date_of_service_to)
    found = encounters_of(client.clinic).order_by("date_of_service", "public_id")
    if first is not None:
        found = found.filter(date_of_service__gte=first)
    if last is not None:
        found = found.filter(date_of_service__lte=last)
    if after is not None:
        day, beyond = day_of("after", after[:10]), UUID(after[11:])
        later = Q(date_of_service__gt=day) | Q(date_of_service=day, public_id__gt=beyond)
        found = found.filter(later, date_of_service__gte=day)
    rows = list(found[: limit + 1])
    shown = rows[:limit]
    asked = {name: request.GET[name] for name in request.GET}
    readings.keep_of(
        client.person, "encounter.list", "clinic", str(client.clinic_id), client.clinic_id,
        {"filter": asked, "count": len(shown)},
    )  # fmt: skip
    following = f"{shown[-1].date_of_service.isoformat()}_{shown[-1].public_id.hex}" if len(rows) > limit else None
    return reply({"encounters": [brief(each) for each in shown], "next": following})


def day_of(name: str, text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise unlike(name, text, "There is no such day.") from None


def brief(encounter: Encounter) -> dict[str, Any]:
    return {
        **head_of(encounter),
        "date_of_service": encounter.date_of_service.isoformat(),
        "payer": encounter.payer.slug,
        "patient_reference": encounter.patient.reference,
    }
