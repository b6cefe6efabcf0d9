"""Who saw what names a patient: one row for each page opened or printed, each search, and each file taken out.

A list is no reading of a chart: it names who is there, and what is opened from it is told. Nor is what a timer asks
for: the page was told when a person opened it. A page is shown even where its reading cannot be kept, because nobody
beside a patient may lose sight of an infusion to a full disk; the log then says who opened what.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from infusion import audit
from infusion.idle import is_sent_by_a_timer

log = logging.getLogger(__name__)

# By the name of a page, what looking at it is called, and what it is about.
OPENED = {
    "encounter": ("encounter.open", "encounter"),
    "chair": ("encounter.open", "encounter"),
    "review": ("encounter.open", "encounter"),
    "review-payers": ("encounter.open", "encounter"),
    "approval": ("encounter.open", "encounter"),
    "void": ("encounter.open", "encounter"),
    "claim-facts": ("encounter.open", "encounter"),
    "encounter-record": ("encounter.record", "encounter"),
    "sheet": ("encounter.print", "encounter"),
    "claim-checklist": ("encounter.print", "encounter"),
    "order-begin": ("order.open", "order"),
    "patient": ("patient.open", "patient"),
    "coverage-add": ("patient.open", "patient"),
    "authorization-add": ("patient.open", "patient"),
    "patient-record": ("patient.record", "patient"),
    "coverage": ("coverage.open", "coverage"),
    "authorization": ("authorization.open", "authorization"),
    "batch": ("batch.open", "batch"),
}
TAKEN_OUT = {
    "batch-file": ("batch.export", "batch"),
    "report-file": ("report.export", "report"),
    "impact-file": ("impact.export", "override"),
    "drug-impact-file": ("impact.export", "drug"),
}
# Pages that name patients in a list and are not told; what is opened from them is.
LISTS = frozenset(
    {"encounters", "chairs", "orders", "chosen", "batches", "impact-encounters", "drug-impact-encounters"}
)


class EachReadingKept:
    """Middleware: tells of what a signed-in person was shown."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        name = request.resolver_match.view_name if request.resolver_match else ""
        asked_by_a_person = request.method == "GET" and not is_sent_by_a_timer(request)
        if response.status_code != 200 or not asked_by_a_person or not request.user.is_authenticated:
            return response
        if name in OPENED and "HX-Request" not in request.headers:
            keep(request, *OPENED[name], {"page": name})
        elif name in TAKEN_OUT:
            take_out(request, response, *TAKEN_OUT[name])
        return response


def keep(request: HttpRequest, action: str, subject: str, detail: dict[str, Any]) -> None:
    """One row, or a line in the log where none can be written."""
    match, person = request.resolver_match, request.user
    chosen = match.kwargs if match else {}
    subject_id = str(chosen.get("public_id", ""))
    try:
        audit.record_reading(
            action, by=person, subject=subject, subject_id=subject_id,
            clinic_id=getattr(person, "clinic_id", None), detail=detail,
        )  # fmt: skip
    except DatabaseError as problem:
        log.error(
            "A reading was not kept: %s of %s %s by person %s (%s)",
            action, subject, subject_id, person.pk, type(problem).__name__,
        )  # fmt: skip
        if not connection.in_atomic_block:
            connection.close()  # SQLite's would stay read-only for good when it was opened so


def take_out(request: HttpRequest, response: HttpResponseBase, action: str, subject: str) -> None:
    """What was asked for, how much left, and its SHA-256, once the last of it is on its way."""
    detail: dict[str, Any] = {"filter": {**request.GET.dict(), **_chosen(request)}}
    if isinstance(response, StreamingHttpResponse):
        parts: Iterator[bytes] = iter(response.streaming_content)  # type: ignore[arg-type]
        response.streaming_content = _told_at_the_end(request, parts, action, subject, detail)
    elif isinstance(response, HttpResponse):
        told = _measured(response.content, getattr(response, "rows_out", None))
        keep(request, action, subject, {**detail, **told})


def holding(response: HttpResponse, rows: int) -> HttpResponse:
    """Says of a file that leaves how many things are in it, where its lines do not."""
    response.rows_out = rows  # type: ignore[attr-defined]
    return response


def _chosen(request: HttpRequest) -> dict[str, str]:
    chosen = request.resolver_match.kwargs if request.resolver_match else {}
    return {name: str(value) for name, value in chosen.items() if name == "format"}


def _measured(content: bytes, rows: int | None) -> dict[str, Any]:
    lines = max(0, content.count(b"\n") - 1)
    return {"count": lines if rows is None else rows, "bytes": len(content), "sha256": _sha256(content)}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _told_at_the_end(
    request: HttpRequest, parts: Iterator[bytes], action: str, subject: str, detail: dict[str, Any]
) -> Iterator[bytes]:
    """The same bytes. One that breaks off half-way is told as far as it got."""
    hashed, lines, size = hashlib.sha256(), 0, 0
    try:
        for part in parts:
            hashed.update(part)
            lines, size = lines + part.count(b"\n"), size + len(part)
            yield part
    finally:
        told = {"count": max(0, lines - 1), "bytes": size, "sha256": hashed.hexdigest()}
        keep(request, action, subject, {**detail, **told})
