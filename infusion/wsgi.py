import os
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from infusion.senders import WholeBody, cut_off_after

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "infusion.settings")

SILENT_SECONDS = 5
"""A sender who is silent for so long is cut off: each one that never ends its request would hold a thread for good."""
BODY_SECONDS, SLOWEST_BYTES_A_SECOND = 20, 50_000
"""And so is one whose body is not whole in this time, and in what its announced length, if it is taken at all, takes at
this pace."""

answer = get_wsgi_application()
import_module("infusion.checks").refuse_an_unsafe_start()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django behind gunicorn, whose threads wait for a body without end unless its socket is told not to."""
    sender = environ.get("gunicorn.socket")
    if sender is None:
        return answer(environ, start_response)
    sender.settimeout(SILENT_SECONDS)
    if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        return answer(environ, start_response)
    environ["wsgi.input"] = WholeBody(environ["wsgi.input"])
    announced = environ.get("CONTENT_LENGTH") or "0"
    most = min(int(announced), settings.LARGEST_UPLOAD_BYTES) if announced.isdecimal() else 0
    deadline = cut_off_after(BODY_SECONDS + most / SLOWEST_BYTES_A_SECOND, sender)
    try:
        return answer(environ, start_response)
    finally:
        deadline.cancel()
