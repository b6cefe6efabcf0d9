"""What a person sets about the worklist: a search, lists under a name, and whether single keys work."""

from __future__ import annotations

from secrets import token_hex
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_POST

from infusion import actions
from infusion.access import ADMIN, BILLING, allow
from infusion.models import SavedView
from infusion.readings import keep as keep_reading
from infusion.views.home import SEARCHES, views_of
from infusion.views.review import person
from infusion.worklist import ALL, Listing, listing_of

MOST_SEARCHES = 8
LONGEST_SEARCH = 40


@require_POST
@allow(BILLING, ADMIN)
def search(request: HttpRequest) -> HttpResponse:
    """Look for a patient reference in every encounter. The text stays with the session; the address says which one."""
    text = " ".join(request.POST.get("reference", "").split())[:LONGEST_SEARCH]
    if not text:
        return HttpResponseRedirect(f"{reverse('encounters')}?{Listing(ALL, {}).query}")
    keep_reading(request, "search", "worklist", {"for": text})
    token = token_hex(4)
    earlier = list(request.session.get(SEARCHES, {}).items())
    request.session[SEARCHES] = dict([*earlier[-(MOST_SEARCHES - 1) :], (token, text)])
    return HttpResponseRedirect(f"{reverse('encounters')}?{Listing(ALL, {}, search=token).query}")


@require_POST
@allow(BILLING, ADMIN)
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep the list that is shown under a name. A search is not part of it: it names a patient."""
    listing = shown(request)
    listing = listing.without("search")
    try:
        view = actions.save_view(
            by=person(request), name=request.POST.get("name", ""), query=listing.query,
            shared=request.POST.get("shared") == "yes",
        )  # fmt: skip
        messages.success(request, f"The list is saved as {view.name}.")
    except actions.Refused as refused:
        messages.warning(request, str(refused))
    return HttpResponseRedirect(f"{reverse('encounters')}?{listing.query}")


@require_POST
@allow(BILLING, ADMIN)
def change_view(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Rename, share or delete one's own list."""
    user = person(request)
    view = SavedView.objects.filter(clinic=user.clinic, owner=user, public_id=public_id).first()
    if view is None:
        raise Http404
    try:
        if request.POST.get("act") == "delete":
            actions.delete_view(by=user, view=view)
            messages.success(request, f"The list {view.name} is deleted. Its encounters are where they were.")
        else:
            shared = request.POST.get("shared") == "yes"
            changed = actions.change_view(by=user, view=view, name=request.POST.get("name", ""), shared=shared)
            messages.success(request, f"The list is called {changed.name}{', and shared' if shared else ''}.")
    except actions.Refused as refused:
        messages.warning(request, str(refused))
    return HttpResponseRedirect(f"{reverse('encounters')}?{shown(request).query}")


@require_POST
@allow(BILLING, ADMIN)
def keys(request: HttpRequest) -> HttpResponse:
    """Turn the single keys on or off for oneself."""
    user = actions.set_single_keys(by=person(request), on=request.POST.get("on") == "yes")
    messages.success(request, f"The keys of the list are {'on' if user.single_keys else 'off'} for you.")
    return HttpResponseRedirect(f"{reverse('encounters')}?{shown(request).query}")


def shown(request: HttpRequest) -> Listing:
    """The listing that a form was sent from."""
    return listing_of(QueryDict(request.POST.get("query", "")[:1000]), views_of(person(request)))
