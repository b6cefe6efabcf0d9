"""A form whose token is no longer good, because someone has signed in or out meanwhile: nothing typed is lost.

What was sent comes back with a token that is good, to be sent once more by a press. Only to a page of this site: what
another site sends is refused, and nothing of it is shown.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

NEVER_KEPT = frozenset(
    {
        "csrfmiddlewaretoken", "password", "oldpassword", "password1", "password2", "old_password", "new_password1",
        "new_password2", "pin", "again", "credential",
    }
)  # fmt: skip
AT_THE_DOOR = "/accounts/"
"""Where a field named code is one that lets somebody in. Elsewhere it is a drug's."""


def expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    kept = typed(request) if request.method == "POST" and is_from_here(request) else []
    reply = render(request, "403_csrf.html", {"kept": kept, "address": request.get_full_path()}, status=403)
    reply["Cache-Control"] = "no-store"
    return reply


def is_from_here(request: HttpRequest) -> bool:
    """Whether the browser says that one of our own pages sent it."""
    origin = request.headers.get("Origin") or request.headers.get("Referer", "")
    sent_by = urlsplit(origin)
    return (sent_by.scheme, sent_by.netloc) == (request.scheme, request.get_host())


def is_secret(name: str, path: str) -> bool:
    return name in NEVER_KEPT or (name == "code" and path.startswith(AT_THE_DOOR))


def typed(request: HttpRequest) -> list[tuple[str, str]]:
    """All that was typed, but passwords, PINs, codes and passkeys, which nobody should find on a page."""
    return [
        (name, value)
        for name, values in request.POST.lists()
        if not is_secret(name, request.path)
        for value in values
        if isinstance(value, str)
    ]
