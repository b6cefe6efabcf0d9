"""What is typed and not saved, and how long a sign-in still lasts: small answers for the page that is open."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from infusion.access import ADMIN, BILLING, NURSE, allow
from infusion.actions import KeptElsewhere, drop_copy, keep_copy
from infusion.idle import seconds_left
from infusion.models import Encounter, User
from infusion.repeats import is_same
from infusion.selectors import encounter_for, encounters_of
from infusion.views import encounters
from infusion.views.asked import answer_names
from infusion.views.taken_up import (
    COPY,
    INSTEAD,
    TOLD,
    UNKEPT,
    Kept,
    kept_otherwise,
    page_of,
    uuid_of,
    when_kept,
)


@require_POST
@allow(NURSE)
def keep(request: HttpRequest) -> HttpResponse:
    """Keep what stands in a form. Nothing is checked, and what is saved already is not kept twice.

    The answer says in its head whether nothing is left to be kept. What the page tells already is not told again.
    """
    kept = kept_of(request)
    if kept.other and request.POST.get(TOLD) == kept.other:
        return encounters.private(HttpResponse(status=204))
    response = encounters.private(render(request, "infusion/encounter/_kept.html", {"line": kept}))
    if kept.is_kept:
        response["X-Kept"] = "yes"
    return response


@require_POST
@allow(NURSE)
def throw_away(request: HttpRequest) -> HttpResponse:
    """Forget one's own copy that was offered, and open the form without it. One that was kept since stays."""
    client_id = uuid_of(request.POST.get("client_id", ""))
    if client_id is None:
        return redirect("encounter-new")
    drop_copy(by=cast(User, request.user), client_id=client_id, page=page_of(request))
    stored = stored_of(request, client_id)
    return redirect(encounters.address_of(stored) if stored else reverse("encounter-new"))


@require_http_methods(["GET", "HEAD", "POST"])
@allow(NURSE, BILLING, ADMIN)
def session(request: HttpRequest) -> HttpResponse:
    """The seconds that are left; a POST is someone who says that they are still there."""
    return JsonResponse({"seconds_left": max(0, round(seconds_left(request)))})


def kept_of(request: HttpRequest) -> Kept:
    """Keep a form that was sent, and say what came of it."""
    client_id = uuid_of(request.POST.get("client_id", ""))
    sheet = sheet_as_typed(request, stored_of(request, client_id), client_id) if client_id else None
    if sheet is None:
        return Kept(too_long=True)
    try:
        return kept_as_typed(sheet)
    except KeptElsewhere as elsewhere:
        return kept_otherwise(elsewhere.copy, sheet.stored, sheet.clinic)


def kept_as_typed(sheet: encounters.Sheet) -> Kept:
    """Raises KeptElsewhere."""
    by = cast(User, sheet.request.user)
    if is_nothing(sheet):
        drop_copy(by=by, client_id=sheet.client_id, page=sheet.page)
        return sheet.kept()
    copy = keep_copy(
        by=by, client_id=sheet.client_id, encounter=sheet.stored, version=sheet.version, entries=own_names(sheet),
        page=sheet.page,
    )  # fmt: skip
    if copy is None:
        return Kept(too_long=True)
    return Kept(
        when=when_kept(copy, sheet.clinic), instead_of=copy.client_id if INSTEAD in sheet.request.POST else None
    )


def sheet_as_typed(request: HttpRequest, stored: Encounter | None, client_id: UUID) -> encounters.Sheet | None:
    """The form exactly as it stands: no button is pressed, and half a scan stays half a scan."""
    pairs = [(name, request.POST[name]) for name in request.POST if name not in encounters.OWN_NAMES]
    entries, refusal = encounters.sent_entries(pairs, stored)
    if refusal:
        return None
    version = request.POST.get("version", "")
    number = int(version) if version.isdecimal() and version.isascii() and len(version) < 10 else 0
    return encounters.Sheet(request, encounters.clinic_of(request), entries, client_id, number, stored)


def kept_at_the_end(request: HttpRequest, **_: Any) -> str:
    """For a form that arrives after the sign-in has ended: keeps it, and says where it is found again."""
    kept = kept_of(request)
    if not kept.is_kept:
        return f"{request.path}?{UNKEPT}=1"
    return f"{request.path}?{COPY}={request.POST['client_id']}" if kept.when else request.path


def is_nothing(sheet: encounters.Sheet) -> bool:
    """Whether a form says no more than what is stored, or nothing at all."""
    if sheet.stored is None:
        typed = (sheet.entry.patient_form, sheet.entry.documentation)
        return sheet.entry.is_blank and all(part.is_blank for part in typed)
    return not sheet.entry.obstacles and is_same(sheet.stored, sheet.recorded())


def own_names(sheet: encounters.Sheet) -> dict[str, str]:
    """The entries that the form has fields for, and the answers to its questions."""
    names = {*sheet.entry.names, *(name for name, _ in sheet.entry.kept), *answer_names(sheet.stored)}
    return {
        name: text
        for name, text in sheet.entries.items()
        if name in names or name.removesuffix("-day") in names or name.removesuffix("-turn") in names
    }


def stored_of(request: HttpRequest, client_id: UUID) -> Encounter | None:
    """The encounter that a form became, in the person's own clinic."""
    found = encounters_of(encounters.clinic_of(request)).filter(client_id=client_id).first()
    return encounter_for(request.user, found.public_id) if found else None


# A form that was sent too late is kept before its sign-in ends.
for view in (encounters.new_encounter, encounters.encounter):
    view.keep_typed = kept_at_the_end  # type: ignore[attr-defined]
