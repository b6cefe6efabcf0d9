"""What is said when a page breaks: whether the place where records lie is away or full, or the fault is ours."""

from __future__ import annotations

import errno
import sys

from django.db import InterfaceError, OperationalError, connections
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import escape
from django.views.decorators.csrf import requires_csrf_token

from infusion.collisions import collided
from infusion.logs import reference_of

NO_ROOM = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
READ_ONLY = "25006"
"""How PostgreSQL says that it takes no writes, as one that stands by does."""
TRY_AGAIN_SECONDS = 10


REFERENCE, WAY_OUT = "0000-0000", '<a href="/">Go to the start</a>'
"""What stands in the pages in place of the number and of the way back: they need nothing to be shown."""


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """The page for an exception that nobody caught, with the number under which the log has it."""
    out_of_reach, reference = is_out_of_reach(sys.exc_info()[1]), reference_of(request)
    back = "" if out_of_reach else kept_typed(request)
    if out_of_reach:
        connect_afresh()
    page = render_to_string("503.html" if out_of_reach else "500.html").replace(REFERENCE, reference)
    if back:
        page = page.replace(WAY_OUT, f'<a href="{escape(back)}">Go back to what you typed: it is kept</a>')
    headers = {"X-Reference": reference, **({"Retry-After": str(TRY_AGAIN_SECONDS)} if out_of_reach else {})}
    return HttpResponse(page, status=503 if out_of_reach else 500, headers=headers)


def kept_typed(request: HttpRequest) -> str:
    """Where a form that was sent is found again; empty where it cannot be kept."""
    match = request.resolver_match
    keep = getattr(match.func, "keep_typed", None) if match and request.method == "POST" else None
    try:
        return str(keep(request, **match.kwargs)) if keep and match else ""
    except Exception:  # whatever broke the page may break this too
        return ""


def is_out_of_reach(problem: BaseException | None) -> bool:
    """Whether the database is away, full, locked or not to be written, or a disk is, and not a fault in the program."""
    while problem is not None:
        if isinstance(problem, (OperationalError, InterfaceError)):
            return not collided(problem)
        if isinstance(problem, OSError) and problem.errno in NO_ROOM:
            return True
        if getattr(problem, "sqlstate", "") == READ_ONLY:
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def connect_afresh() -> None:
    """The next request opens its own connection: SQLite's stays read-only for good when it was opened so."""
    for each in connections.all(initialized_only=True):
        if not each.in_atomic_block:
            each.close()
