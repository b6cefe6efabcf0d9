"""What is done to encounters from the list: to one by a key, to many after a look at what can and cannot be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from infusion import actions
from infusion.access import BILLING, allow, roles_of
from infusion.actions.worklist import Choice
from infusion.models import Selected, Selection
from infusion.views.home import ROWS_ON_A_PAGE, SEARCHES, Row, row_of, unfit_for_approval, views_of, worklist_of
from infusion.views.review import found, person, version_of
from infusion.worklist import Item, Listing, Worklist, listing_of

Act, Outcome = Selection.Act, Selected.Outcome
ITEMS_AT_ONCE = 500
MOST_CHOSEN = 5_000
NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Group:
    """Encounters of a selection that share a reason."""

    reason: str
    rows: list[Row]


@require_POST
@allow(BILLING)
def choose(request: HttpRequest) -> HttpResponse:
    """Fix what was ticked, or all that match, and lead to the page that says what would be done."""
    user = person(request)
    asked = QueryDict(request.POST.get("query", "")[:1000])
    worklist = worklist_of(user, request.session.get(SEARCHES))
    listing = listing_of(asked, views_of(user), worklist.today)
    act = Act.HOLD if request.POST.get("act") == Act.HOLD else Act.APPROVE
    if request.POST.get("everything"):
        rows = list(worklist.encounters(listing).values_list("pk", flat=True)[: MOST_CHOSEN + 1])
        if len(rows) > MOST_CHOSEN:
            messages.warning(request, f"More than {MOST_CHOSEN:,} match. Nothing was changed: set a filter first.")
            return HttpResponseRedirect(f"{reverse('encounters')}?{listing.query}")
    else:
        rows = ticked(worklist, request.POST.getlist("chosen"))
    try:
        selection = actions.choose(by=user, act=act, choices=choices_of(worklist, rows, act), query=listing.query)
    except actions.Refused:
        return HttpResponseRedirect(f"{reverse('encounters')}?{listing.query}&said={NOTHING}")
    return HttpResponseRedirect(reverse("chosen", args=[selection.public_id]))


def ticked(worklist: Worklist, chosen: Sequence[str]) -> list[int]:
    """The rows of what was ticked, each once, and of this clinic alone."""
    ids = [UUID(each) for each in dict.fromkeys(chosen) if is_an_id(each)]
    return worklist.rows_of(ids)


def is_an_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def choices_of(worklist: Worklist, rows: Sequence[int], act: str) -> list[Choice]:
    """Each encounter as it is now, and why nothing can be done to it, if so."""
    choices = []
    for start in range(0, len(rows), ITEMS_AT_ONCE):
        for item in worklist.items(rows[start : start + ITEMS_AT_ONCE]):
            judgement = item.judgement
            content = judgement.content_hash if judgement else ""
            choices.append(Choice(item.encounter.pk, item.encounter.version, content, unfit_for(act, item)))
    return choices


def unfit_for(act: str, item: Item) -> str:
    if act == Act.APPROVE:
        return unfit_for_approval(item)
    if item.hold is not None:
        return "On hold already."
    return "Void." if item.encounter.state == "void" else ""


# The selection's own page ---------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING)
def chosen(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """What would be done, what was done, and the way back."""
    user = person(request)
    selection = Selection.objects.filter(public_id=public_id, clinic=user.clinic, person=user).first()
    if selection is None:
        raise Http404
    refusal = ""
    if request.method == "POST":
        try:
            if request.POST.get("act") == "undo":
                actions.undo(by=user, selection=selection)
            else:
                actions.work_through(by=user, selection=selection, reason=request.POST.get("reason", selection.reason))
            return HttpResponseRedirect(reverse("chosen", args=[public_id]))
        except actions.Refused as refused:
            refusal = str(refused)
    return render(
        request, "infusion/home/chosen.html", page_of(request, selection, refusal), status=422 if refusal else 200
    )


def page_of(request: HttpRequest, selection: Selection, refusal: str) -> dict[str, object]:
    """A selection before anything is done, on its way, or done."""
    user = person(request)
    worklist = worklist_of(user)
    outcomes: dict[str, list[Selected]] = {str(outcome): [] for outcome in Outcome.values}
    for row in selection.rows.all():
        outcomes[row.outcome].append(row)
    waiting, done = outcomes[Outcome.WAITING], outcomes[Outcome.DONE]
    begun = any(outcomes[each] for each in (Outcome.DONE, Outcome.FAILED, Outcome.UNDONE, Outcome.KEPT))
    shown = waiting if not begun else [*done, *outcomes[Outcome.UNDONE]]
    page = Paginator(shown, ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    total = sum(len(rows) for rows in outcomes.values())
    return {
        "selection": selection,
        "approving": selection.act == Act.APPROVE,
        "total": total,
        "waiting": len(waiting),
        "done": len(done),
        "undone": len(outcomes[Outcome.UNDONE]),
        "begun": begun,
        "worked": total - len(waiting) - len(outcomes[Outcome.UNFIT]),
        "fit": total - len(outcomes[Outcome.UNFIT]),
        "page": page,
        "rows": rows_of(worklist, list(page.object_list)),
        "unfit": groups_of(worklist, outcomes[Outcome.UNFIT]),
        "failed": groups_of(worklist, outcomes[Outcome.FAILED]),
        "kept": groups_of(worklist, outcomes[Outcome.KEPT]),
        "back": f"{reverse('encounters')}?{selection.query}",
        "refusal": refusal,
        "reason": request.POST.get("reason", ""),
        "today": worklist.today,
        "roles": roles_of(user),
    }


def rows_of(worklist: Worklist, selected: Sequence[Selected]) -> list[Row]:
    items = worklist.items([row.encounter_id for row in selected])
    return [row_of(item, Listing("all", {}), frozenset(), worklist.today) for item in items]


def groups_of(worklist: Worklist, selected: Sequence[Selected]) -> list[Group]:
    """The encounters by reason, the reason that most of them share first."""
    by_reason = sorted(selected, key=lambda row: row.reason)
    groups = [Group(reason, rows_of(worklist, list(rows))) for reason, rows in groupby(by_reason, lambda r: r.reason)]
    return sorted(groups, key=lambda group: -len(group.rows))


# One encounter by a key -----------------------------------------------------------------------------------------------


@require_POST
@allow(BILLING)
def approve_shown(request: HttpRequest, public_id: UUID) -> JsonResponse:
    """Approve one encounter of the list, in the version and with the lines that the list showed."""
    encounter = found(request, public_id)
    try:
        actions.approve(
            by=person(request), encounter=encounter, version=version_of(request),
            content_hash=request.POST.get("content", ""), acknowledged=(),
        )  # fmt: skip
    except actions.Refused as refused:
        return JsonResponse({"said": str(refused)}, status=409)
    return JsonResponse(
        {"said": f"{encounter.patient.reference} is approved.", "version": encounter.version + 1, "state": "Approved"}
    )


@require_POST
@allow(BILLING)
def take_back(request: HttpRequest, public_id: UUID) -> JsonResponse:
    """Undo an approval that has not left in a batch."""
    encounter = found(request, public_id)
    try:
        now = actions.take_back(by=person(request), encounter=encounter, version=version_of(request))
    except actions.Refused as refused:
        return JsonResponse({"said": str(refused)}, status=409)
    return JsonResponse(
        {"said": f"{now.patient.reference} is with billing again.", "version": now.version, "state": "With billing"}
    )
