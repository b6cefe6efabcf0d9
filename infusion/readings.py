"""Who saw what names a patient: one row for each page opened or printed, each search, and each file taken out.

A list is no reading of a chart: it names who is there, and what is opened from it is told. Nor is it one when the chair
page renews itself: it brings back a proof that it was told when that person opened it. A page that comes back whole
with what was refused is one, since it can show what others wrote meanwhile; the lines beside what is typed are none. A
page is shown even where its reading cannot be kept, because nobody beside a patient may lose sight of an infusion to a
full disk; the log then says who opened what.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from django.core.signing import Signer
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.crypto import constant_time_compare

from infusion import audit
from infusion.idle import BEGAN, is_sent_by_a_timer

log = logging.getLogger(__name__)

CHART, BATCH = ("encounter.open", "encounter"), ("batch.open", "batch")
SHOWN_AGAIN = (200, 409, 422)

# By the name of a page, what looking at it is called, and what it is about.
OPENED = {
    "encounter": CHART,
    "chair": CHART,
    "review": CHART,
    "review-payers": CHART,
    "approval": CHART,
    "void": CHART,
    "claim-facts": CHART,
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
    "batch": BATCH,
    "import": ("import.open", "import"),
    # Refused, these show the page that they were sent from.
    **dict.fromkeys(("approve", "return", "hold", "release", "skip", "end-skip", "correct"), CHART),
    **dict.fromkeys(("batch-write", "batch-reference"), BATCH),
}
RENEWS_ITSELF = "chair"
LOOKED_UP, MOST_LOOKED_UP = "looked_up", 50
SALT = "infusion.readings"
TAKEN_OUT = {
    "batch-file": ("batch.export", "batch"),
    "import-problems": ("import.export", "import"),
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
        if not request.user.is_authenticated:
            return response
        if chart := getattr(response, "shows_chart", ""):
            keep(request, *CHART, {"page": name}, chart)
        elif not is_shown(request, response) or (name == RENEWS_ITSELF and is_renewal(request)):
            return response
        elif name in OPENED:
            keep(request, *OPENED[name], {"page": name})
        elif name in TAKEN_OUT:
            take_out(request, response, *TAKEN_OUT[name])
        return response


def is_shown(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether a page or a file went out, and neither a fragment for what is typed nor only where to go next."""
    if request.method == "POST":
        whole = isinstance(response, HttpResponse) and response.content.lstrip()[:9].lower() == b"<!doctype"
        return whole and response.status_code in SHOWN_AGAIN
    return (request.method, response.status_code) == ("GET", 200)


def showing(response: HttpResponse, encounter: Any) -> HttpResponse:
    """Says of a reply, be it a fragment, that it shows what is stored of an encounter, whatever its address."""
    response.shows_chart = str(encounter.public_id)  # type: ignore[attr-defined]
    return response


def tell_looked_up(request: HttpRequest, form: UUID, patient: Any) -> None:
    """A form shows whose the typed reference is. Told once for each form and patient, however often it is shown."""
    pair, told = f"{form} {patient.public_id}", request.session.get(LOOKED_UP, [])
    if pair not in told:
        page = request.resolver_match.view_name if request.resolver_match else ""
        if keep(request, "patient.open", "patient", {"page": page}, str(patient.public_id)):
            request.session[LOOKED_UP] = [*told, pair][-MOST_LOOKED_UP:]


def proof_of_telling(request: HttpRequest) -> str:
    """Goes out with a page that is told, and comes back with what renews it: of one subject, person and sign-in."""
    parts = (request.session.get(BEGAN), request.user.pk, _subject_id(request))
    return Signer(salt=SALT).signature(":".join(map(str, parts)))


def is_renewal(request: HttpRequest) -> bool:
    """Whether a page that was told asks for itself again. A header alone says nothing: anyone can send one."""
    if request.method != "GET" or not is_sent_by_a_timer(request) or BEGAN not in request.session:
        return False
    return constant_time_compare(request.GET.get("told", ""), proof_of_telling(request))


def keep(request: HttpRequest, action: str, subject: str, detail: dict[str, Any], subject_id: str = "") -> bool:
    """What the person of a request was shown, by the id in its address where no other is told. Whether it was kept."""
    person = request.user
    named = subject_id or _subject_id(request)
    return keep_of(person, action, subject, named, getattr(person, "clinic_id", None), detail)


def keep_of(
    person: Any, action: str, subject: str, subject_id: str, clinic_id: int | None, detail: dict[str, Any]
) -> bool:
    """One row, or a line in the log where none can be written. Whether there is a row."""
    try:
        audit.record_reading(
            action, by=person, subject=subject, subject_id=subject_id, clinic_id=clinic_id, detail=detail
        )
    except Error as problem:
        log.error(
            "A reading was not kept: %s of %s %s by person %s (%s)",
            action, subject, subject_id, person.pk, type(problem).__name__,
        )  # fmt: skip
        if not connection.in_atomic_block:
            connection.close()  # SQLite's would stay read-only for good when it was opened so
        return False
    return True


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


def _subject_id(request: HttpRequest) -> str:
    return str(request.resolver_match.kwargs.get("public_id", "")) if request.resolver_match else ""


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
