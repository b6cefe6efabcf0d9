"""The log: one event is one line of JSON, whatever it says, and no line names a patient.

An exception is told by its kind and the places it passed. Its message is left out, because it may quote what somebody
typed, except where it comes from a database that could not be reached or written, which quotes no row.
"""

from __future__ import annotations

import json
import logging
import secrets
import traceback
from datetime import UTC, datetime
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Of a reference number: none that is taken for another when it is read out."""
LONGEST = 2000


def reference_of(request: HttpRequest) -> str:
    """The number under which the log has what went wrong in a request."""
    found: str | None = getattr(request, "reference", None)
    if found is None:
        found = request.reference = new_reference()  # type: ignore[attr-defined]
    return found


def new_reference() -> str:
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(2))


class OneLine(logging.Formatter):
    """Everything but plain letters is written as JSON escapes it, so that no text begins a line or colours one."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST],
        }
        if reference := getattr(getattr(record, "request", record), "reference", None):
            told["reference"] = reference
        told.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            told["exceptions"] = [in_short(each) for each in chain_of(record.exc_info[1])]
        return json.dumps(told).replace("\x7f", "\\u007f")


def chain_of(problem: BaseException | None) -> list[BaseException]:
    """An exception and what it came of."""
    found: list[BaseException] = []
    while problem is not None and problem not in found:
        found.append(problem)
        problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
    return found


def in_short(problem: BaseException) -> dict[str, Any]:
    """Its kind and the places it passed, the last one last."""
    frames = traceback.extract_tb(problem.__traceback__)
    told: dict[str, Any] = {
        "kind": f"{type(problem).__module__}.{type(problem).__qualname__}",
        "places": [f"{each.filename}:{each.lineno} {each.name}" for each in frames],
    }
    if isinstance(problem, (OperationalError, InterfaceError)):
        told["message"] = str(problem)[:LONGEST]
    return told
