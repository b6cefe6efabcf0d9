"""Writers of the programs that may ask: a token made, shown once, and revoked."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from infusion import audit
from infusion.actions.encounters import Refused
from infusion.models import ApiClient, User
from infusion.models.programs import SCOPES

MARK = "iu_"
TOKEN_BYTES = 32


def token_hash(token: str) -> str:
    """What is kept of a token. It is 256 random bits, so nobody finds it again from that."""
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def make_program(*, by: User, public_id: UUID, name: str, scopes: Iterable[str]) -> tuple[ApiClient, str]:
    """A program of the admin's clinic and its token; no token where the same form was sent before."""
    known = ApiClient.objects.filter(public_id=public_id, clinic=by.clinic_id).first()
    if known is not None:
        return known, ""
    if by.clinic is None:
        raise Refused("A program belongs to a clinic, and you work at none.")
    wanted = [scope for scope in SCOPES if scope in set(scopes)]
    if not wanted:
        raise Refused("Choose what the program may do.")
    person = User.objects.create_user(
        f"{name} [{public_id.hex[:8]}]", clinic=by.clinic, is_active=False, last_name=name, credentials="program"
    )
    token = MARK + secrets.token_urlsafe(TOKEN_BYTES)
    client = ApiClient.objects.create(
        public_id=public_id, clinic=by.clinic, person=person, name=name, scopes=wanted, token_hash=token_hash(token),
        made_by=by, made_at=timezone.now(),
    )  # fmt: skip
    _tell("program.make", by, client, None)
    return client, token


@transaction.atomic
def revoke_program(*, by: User, client: ApiClient, reason: str) -> None:
    """Its token opens nothing from the next request on. What it recorded stays."""
    current = ApiClient.objects.select_for_update(no_key=True).get(pk=client.pk)
    if current.revoked_at is None:
        _revoke(by, current, reason)


@transaction.atomic
def revoke_all_programs(*, reason: str) -> None:
    """No token holds any more."""
    for client in ApiClient.objects.select_for_update(no_key=True).filter(revoked_at=None):
        _revoke(None, client, reason)


def _revoke(by: User | None, client: ApiClient, reason: str) -> None:
    before = _document(client)
    client.revoked_at, client.revoked_by = timezone.now(), by
    client.save(update_fields=["revoked_at", "revoked_by"])
    client.answers.all().delete()
    _tell("program.revoke", by, client, before, reason)


def _tell(action: str, by: User | None, client: ApiClient, before: dict[str, Any] | None, reason: str = "") -> None:
    audit.record(
        action, by=by, subject="program", subject_id=client.public_id, clinic_id=client.clinic_id, reason=reason,
        before=before, after=_document(client),
    )  # fmt: skip


def _document(client: ApiClient) -> dict[str, Any]:
    return {
        "name": client.name,
        "scopes": client.scopes,
        "person": client.person_id,
        "made_by": client.made_by_id,
        "revoked_at": client.revoked_at and client.revoked_at.isoformat(),
    }
