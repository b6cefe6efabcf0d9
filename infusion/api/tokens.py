"""Who asks: the program of a token, what it may do, and how often.

An operation names the scope that it needs; one without a scope is closed to everyone.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, cast

from django.core.cache import cache
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from infusion.actions.programs import token_hash
from infusion.api.errors import CODES, Problem
from infusion.models import ApiClient
from infusion.models.programs import SCOPES

PER_MINUTE = 600
WINDOW_SECONDS = 60
LONGEST_TOKEN = 100
TOUCHED_EVERY = timedelta(minutes=1)


class Token(HttpBearer):
    """`Authorization: Bearer`, with a scope. Shown in the description as the one way in."""

    def __init__(self, scope: str = "") -> None:
        self.scope = scope
        super().__init__()

    def __call__(self, request: HttpRequest) -> ApiClient:
        client: ApiClient | None = super().__call__(request)
        if client is None:
            raise Problem(401, *CODES[401], headers={"WWW-Authenticate": "Bearer"})
        count(client)
        if not self.scope or self.scope not in client.scopes:
            words = f"This token may not do that: it takes the scope {self.scope}. An admin makes one that may."
            raise Problem(403, CODES[403][0], words if self.scope in SCOPES else CODES[403][1])
        touch(client)
        request.program = client  # type: ignore[attr-defined]
        return client

    def authenticate(self, request: HttpRequest, token: str) -> ApiClient | None:
        if not token or len(token) > LONGEST_TOKEN:
            return None
        known = ApiClient.objects.filter(token_hash=token_hash(token), revoked_at=None)
        return known.select_related("clinic", "person").first()


def program_of(request: HttpRequest) -> ApiClient:
    return cast(ApiClient, cast(Any, request).program)


def count(client: ApiClient) -> None:
    """One request more of this minute. Counted in the cache that all workers share."""
    window, passed = divmod(int(time.time()), WINDOW_SECONDS)
    key = f"api:{client.pk}:{window}"
    asked = 1
    if not cache.add(key, 1, 2 * WINDOW_SECONDS):
        try:
            asked = cache.incr(key)
        except ValueError:  # a cache that keeps nothing counts nothing
            asked = 1
    if asked > PER_MINUTE:
        wait = WINDOW_SECONDS - passed
        words = f"A token may ask {PER_MINUTE} times a minute. Ask again in {wait} seconds."
        raise Problem(429, "too_often", words, headers={"Retry-After": str(wait)})


def touch(client: ApiClient) -> None:
    """When it last asked, to the minute."""
    now = timezone.now()
    mine = ApiClient.objects.filter(pk=client.pk)
    if client.last_used_at is None or now - client.last_used_at >= TOUCHED_EVERY:
        mine.filter(Q(last_used_at=None) | Q(last_used_at__lt=now)).update(last_used_at=now)
