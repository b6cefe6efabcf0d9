"""Long work: how far it is, what it made, why it stopped, and the button that takes it up again."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from infusion.access import ADMIN, BILLING, allow
from infusion.actions import Refused
from infusion.jobs import Shown, go_on, jobs_of
from infusion.views.review import person


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def job(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A page, and for a page's own timer the part of it that moves."""
    found, refusal = get_object_or_404(jobs_of(person(request)), public_id=public_id), ""
    if request.method == "POST":
        try:
            go_on(by=person(request), job=found)
            return redirect("job", public_id)
        except Refused as refused:
            refusal = str(refused)
    shown, htmx = Shown(found), request.htmx  # type: ignore[attr-defined]
    fragment = htmx and request.method == "GET"
    template = "infusion/jobs/_job.html" if fragment else "infusion/jobs/page.html"
    reply = render(request, template, {"shown": shown, "refusal": refusal}, status=409 if refusal else 200)
    if fragment and not found.is_open and htmx.current_url_abs_path == shown.result:
        reply["HX-Refresh"] = "true"  # the page around it was drawn before there was a result
    return reply
