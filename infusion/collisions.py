"""Two who wait for each other's rows: PostgreSQL ends one of them, and that one's request begins again.

Nothing of it was written, so whoever pressed a button need not know. SQLite has one writer at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import OperationalError
from django.http import HttpRequest, HttpResponseBase

DEADLOCK, NOT_SERIALIZABLE = "40P01", "40001"
"""How PostgreSQL says that a transaction was ended for another's sake and may be made again."""
TRIES = 3


class BeginsAgain:
    """Middleware: calls a view again whose transaction was ended. What it did in one before that stays done."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, problem: BaseException) -> HttpResponseBase | None:
        asked = request.resolver_match
        for _ in range(TRIES - 1):
            if asked is None or not collided(problem):
                break
            try:
                reply: HttpResponseBase = asked.func(request, *asked.args, **asked.kwargs)
            except OperationalError as again:
                problem = again
            else:
                return reply
        return None


def collided(problem: BaseException) -> bool:
    """Whether it was another transaction, and not the database, that stood in the way."""
    return getattr(problem.__cause__, "sqlstate", "") in (DEADLOCK, NOT_SERIALIZABLE)
