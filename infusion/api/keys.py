"""A request that was sent before is answered as it was then, where it carries a key.

A PUT is harmless twice by itself. The key adds that the first answer comes again to the letter, and that a key which is
used for something else by mistake is noticed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from infusion.api.errors import Problem, unlike
from infusion.models import ApiAnswer, ApiClient

HEADER = "Idempotency-Key"
KEY = re.compile(r"[!-~]{1,200}")
KEPT = timedelta(days=1)
AGAIN = ("ETag", "Location")


def once(client: ApiClient, request: HttpRequest, body: bytes, write: Callable[[], HttpResponse]) -> HttpResponse:
    """Do it, or give the answer that it had the first time. What did not go is not kept: it may be tried again."""
    key = request.headers.get(HEADER)
    if key is None:
        return write()
    if not KEY.fullmatch(key):
        raise unlike(HEADER, key, "A key is 1 to 200 letters, digits and signs, without spaces.")
    digest = _digest(request, body)
    with transaction.atomic():
        now = timezone.now()
        ApiAnswer.objects.filter(kept_at__lt=now - KEPT).delete()
        try:
            with transaction.atomic():
                row = ApiAnswer.objects.create(client=client, key=key, request_hash=digest, kept_at=now)
        except IntegrityError:
            return _again(ApiAnswer.objects.get(client=client, key=key), digest)
        response = write()
        row.status, row.content = response.status_code, response.content.decode()
        row.headers = {name: response.headers[name] for name in AGAIN if name in response.headers}
        row.save()
        return response


def _again(kept: ApiAnswer, digest: str) -> HttpResponse:
    if kept.request_hash != digest:
        words = "This key was sent with another request within a day. Nothing was saved; send a new key."
        raise Problem(422, "key_used", words)
    return HttpResponse(kept.content, content_type="application/json", status=kept.status, headers=kept.headers)


def _digest(request: HttpRequest, body: bytes) -> str:
    head = "\n".join((request.method or "", request.path, request.headers.get("If-Match", ""), ""))
    return hashlib.sha256(head.encode() + body).hexdigest()
