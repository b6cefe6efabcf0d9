import os
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "infusion.settings")

SILENT_SECONDS = 5
"""A sender who is silent for so long is cut off: each one that never ends its request would hold a thread for good."""

answer = get_wsgi_application()
import_module("infusion.checks").refuse_an_unsafe_start()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django behind gunicorn, whose threads wait for a body without end unless its socket is told not to."""
    if sender := environ.get("gunicorn.socket"):
        sender.settimeout(SILENT_SECONDS)
    return answer(environ, start_response)
