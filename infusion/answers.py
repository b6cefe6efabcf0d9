"""One encounter of the contract in, one statement out: what the command line and programs are answered alike."""

from __future__ import annotations

import json

from django.conf import settings
from django.db import DatabaseError

from infusion.reference_now import current_reference
from infusion.services.calculate import calculate, shipped_reference
from infusion.services.reference import Reference
from infusion.services.wire import (
    Asked,
    Unreadable,
    decode,
    parse_encounter,
    statement_document,
    unreadable_document,
)
from payers.models import Payer
from payers.policy import PayerPolicy, national_baseline
from payers.selectors import policy_for

ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def answer(
    line: bytes, known: dict[str, PayerPolicy] | None = None, reference: Reference | None = None, time_zone: str = ""
) -> dict[str, object]:
    """The statement of one JSON line as a document; `invalid` with field paths when it is not an encounter.

    `known` keeps the policies of payers that were looked up, by slug, for the lines to come. Without a
    `reference` the shipped tables hold, and without a `time_zone` the site's.
    """
    identity: object = None
    try:
        document = decode(line)
        identity = document.get("id") if isinstance(document, dict) else None
        asked = parse_encounter(document, time_zone or settings.INFUSION_DEFAULT_TIME_ZONE)
        policy = policy_of(asked, {} if known is None else known).with_inline(asked.policy)
    except Unreadable as problem:
        return unreadable_document(identity, problem)
    tables = reference or shipped_reference()
    return statement_document(calculate(asked.encounter, policy, tables)) | {"id": identity}


def stored_reference() -> Reference:
    """The site's own drugs over the shipped tables; these alone where there is no database."""
    try:
        return current_reference()
    except DatabaseError:
        return shipped_reference()


def policy_of(asked: Asked, known: dict[str, PayerPolicy]) -> PayerPolicy:
    """The policy of the payer named in the document. Raises Unreadable for a payer that is not there."""
    if not asked.payer:
        return national_baseline()
    if asked.payer not in known:
        known[asked.payer] = stored_policy(asked.payer)
    return known[asked.payer]


def stored_policy(slug: str) -> PayerPolicy:
    """The one place here that asks the database for one payer."""
    try:
        payer = Payer.objects.filter(slug=slug).first()
        if payer is not None:
            return policy_for(payer)
    except DatabaseError:
        reason = "The payers cannot be read, because there is no database with them. Run manage.py migrate first."
        raise Unreadable((("payer", reason),)) from None
    raise Unreadable((("payer", f"There is no payer {slug} here. The end of its page's address is what is expected."),))
