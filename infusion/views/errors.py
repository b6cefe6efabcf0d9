"""What is said when a page breaks: whether the place where records lie is away or full, or the fault is ours."""

from __future__ import annotations

import errno
import sys

from django.db import InterfaceError, OperationalError, connections
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults
from django.views.decorators.csrf import requires_csrf_token

NO_ROOM = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
READ_ONLY = "25006"
"""How PostgreSQL says that it takes no writes, as one that stands by does."""
TRY_AGAIN_SECONDS = 10


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """The page for an exception that nobody caught."""
    if not is_out_of_reach(sys.exc_info()[1]):
        return defaults.server_error(request)
    connect_afresh()
    page = render_to_string("503.html")
    return HttpResponse(page, status=503, headers={"Retry-After": str(TRY_AGAIN_SECONDS)})


def is_out_of_reach(problem: BaseException | None) -> bool:
    """Whether the database is away, full, locked or not to be written, or a disk is, and not a fault in the program."""
    while problem is not None:
        if isinstance(problem, (OperationalError, InterfaceError)):
            return True
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
