"""One page at a time is made in a process: two that are made side by side are both ready only when both are done.

Threads share one interpreter, so no work is lost by waiting, and on a busy day most people have their page sooner. What
takes long, or waits for something itself, holds up nobody: after `LONGEST_WAIT_SECONDS` the next ones go on beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock

from django.http import HttpRequest, HttpResponseBase

LONGEST_WAIT_SECONDS: float = 0.25
free = Lock()


class OneAtATime:
    """Middleware: a view has its turn. What was sent has been read by then, however slowly it came."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return self.get_response(request)
        finally:
            if getattr(request, "has_its_turn", False):
                free.release()

    def process_view(
        self, request: HttpRequest, view: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> None:
        request.has_its_turn = free.acquire(timeout=LONGEST_WAIT_SECONDS)  # type: ignore[attr-defined]
