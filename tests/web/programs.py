"""Programs with a token for tests, and what they send and are told."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.test import Client

from infusion.actions import Recorded
from infusion.actions.programs import make_program
from infusion.models import ApiClient, User
from infusion.models.programs import SCOPES
from infusion.services.wire import encounter_document

API = "/api/v1"
EVERYTHING = tuple(SCOPES)


class Program:
    """Sends requests with one token, and nothing else that a browser would send."""

    def __init__(self, token: str, client: ApiClient | None = None) -> None:
        self.token, self.row = token, client
        self.http = Client(raise_request_exception=False)

    def ask(self, method: str, address: str, document: object = None, **headers: str) -> Any:
        """The reply. A document is sent as JSON, bytes as they are; a header is named with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        body = document if isinstance(document, bytes) else b"" if document is None else as_json(document)
        address = address if address.startswith("/") else f"{API}/{address}"
        return self.http.generic(method, address, body, content_type="application/json", headers=sent)


def as_json(document: object) -> bytes:
    return json.dumps(document, default=lambda each: str(each) if isinstance(each, Decimal) else each).encode()


def a_program(admin: User, scopes: Iterable[str] = EVERYTHING, name: str = "Front desk system") -> Program:
    client, token = make_program(by=admin, public_id=uuid4(), name=name, scopes=scopes)
    return Program(token, client)


def a_draft(sarah: Recorded, **more: Any) -> dict[str, Any]:
    """The worked example as a program sends it."""
    who = {
        "reference": sarah.patient_reference,
        "name": sarah.patient_name,
        "birth_date": sarah.birth_date and sarah.birth_date.isoformat(),
        "sex": sarah.sex,
    }
    document = encounter_document(sarah.facts)
    del document["id"]
    return {**document, "payer": sarah.payer.slug, "patient": who, **more}


def error_of(reply: Any) -> dict[str, Any]:
    found: dict[str, Any] = reply.json()["error"]
    assert set(found) == {"code", "message", "fields", "reference"}, found
    return found
