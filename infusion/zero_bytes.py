"""No zero byte gets in: no keyboard makes one, and PostgreSQL keeps none in a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase


class NoZeroBytes:
    """Middleware before whatever looks something up. What programs send as JSON is looked at where it is read."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        refuse(request.path_info, *request.COOKIES.values(), *texts(request.GET.lists()))
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        if request.method == "POST" and not getattr(view, "csrf_exempt", False):
            refuse(*texts(request.POST.lists()))


def texts(fields: Iterable[tuple[str, list[str]]]) -> Iterable[str]:
    for name, values in fields:
        yield name
        yield from values


def refuse(*found: str) -> None:
    if any("\x00" in text for text in found):
        raise BadRequest("a zero byte")
