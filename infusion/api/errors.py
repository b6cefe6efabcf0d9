"""What a program is told when something does not go: one shape, plain words, a code that stays.

A status that Django or a package answers with before or behind the operations gets the same shape here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from ninja.errors import ValidationError

from infusion.answers import ENCODE
from infusion.exchange.incoming import Unmapped

PREFIX = "/api/"
LONGEST_SHOWN = 80
CODES = {
    400: ("not_readable", "This request cannot be read. Send it anew."),
    401: ("no_token", "Send a token that holds: Authorization: Bearer, a space, and the token. An admin makes one."),
    403: ("not_allowed", "This token may not do that. An admin makes one that may."),
    404: ("not_here", "There is nothing at this address in the clinic of this token."),
    405: ("no_such_method", "This address does not answer that method. Its methods are in the Allow header."),
    413: ("too_large", "This is larger than one request may be. Send less at once."),
    422: ("not_understood", "Something in this request cannot be understood. Nothing was saved."),
    503: ("out_of_reach", "The records are out of reach at the moment. Nothing was saved; ask again shortly."),
}
BROKEN = ("broken", "Something broke here, and nothing was saved. Tell us the reference: the log has it.")
PARAMETERS = {
    "string_pattern_mismatch": "This is not written as expected: a day is 2026-03-10, and what comes after is the "
    "text of `next`.",
    "int_parsing": "A whole number is expected here.",
    "greater_than_equal": "This number is too small.",
    "less_than_equal": "This number is too large.",
}


class Problem(Exception):
    """What keeps a request from being done. `more` stands beside `error` in the reply.

    `told` is done with the reply, when what was begun for the request is undone: it records what `more` shows.
    """

    def __init__(
        self, status: int, code: str, message: str, fields: Iterable[Unmapped] = (), *,
        headers: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None,
        told: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, tuple(fields)
        self.headers, self.more, self.told = dict(headers or {}), dict(more or {}), told


def unlike(path: str, value: object, reason: str) -> Problem:
    """One thing of a request that cannot be understood."""
    return Problem(422, *CODES[422], [Unmapped(path, str(value)[:LONGEST_SHOWN], reason)])


def reply(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(ENCODE(document), content_type="application/json", status=status, headers=dict(headers or {}))


def error_document(code: str, message: str, fields: Iterable[Unmapped] = (), reference: str | None = None) -> Any:
    told = [{"path": each.path, "value": each.value, "reason": each.reason} for each in fields]
    return {"error": {"code": code, "message": message, "fields": told, "reference": reference}}


def of_problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    if problem.told is not None:
        problem.told()
    document = error_document(problem.code, problem.message, problem.fields) | problem.more
    return reply(document, problem.status, problem.headers)


def of_parameters(request: HttpRequest, problem: ValidationError) -> HttpResponse:
    """A parameter of an address that cannot be read."""
    fields = [
        Unmapped(
            str(each["loc"][-1]),
            request.GET.get(str(each["loc"][-1]), "")[:LONGEST_SHOWN],
            PARAMETERS.get(each["type"], "This cannot be read."),
        )
        for each in problem.errors
    ]
    return of_problem(request, Problem(422, *CODES[422], fields))


class ForPrograms:
    """Middleware: under /api/ no cookie is read or set, no reply is cached, and each error has the one shape."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        request.META.pop("HTTP_COOKIE", None)
        response = self.get_response(request)
        if response.status_code >= 400 and isinstance(response, HttpResponse):
            put_in_shape(response)
        response.cookies.clear()
        response.headers.pop("Vary", None)
        response.headers["Cache-Control"] = "no-store"
        return response


def put_in_shape(response: HttpResponse) -> None:
    """A page that tells of an error, as a program reads it. The reply stays the one that the log knows of already."""
    if response.headers.get("Content-Type") == "application/json":
        return
    code, message = CODES.get(response.status_code, BROKEN)
    response.content = ENCODE(error_document(code, message, reference=response.headers.get("X-Reference"))).encode()
    response.headers["Content-Type"] = "application/json"
    if "Content-Length" in response.headers:
        response.headers["Content-Length"] = str(len(response.content))
