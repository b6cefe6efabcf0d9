"""Where everyone lands after signing in: the nurse's day, or the worklist of billing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from infusion.access import ADMIN, BILLING, NURSE, allow, roles_of
from infusion.models import Clinic, Encounter, User
from infusion.selectors import encounters_of
from infusion.services.reference import in_force, shipped_reference
from infusion.services.words import counted
from infusion.views.few_words import lacking
from infusion.worklist import (
    ALL,
    APPROVED,
    ASKED,
    BACK,
    BLOCKED,
    LABELS,
    NO_STOP,
    TODAY,
    WARNINGS,
    WITH_BILLING,
    Item,
    Worklist,
)

State = Encounter.State
ROWS_ON_A_PAGE = 50
ROWS_LATELY = 10
DESK = (WITH_BILLING, WARNINGS, BLOCKED, ASKED, BACK, NO_STOP, APPROVED, ALL)
EMPTY = {
    TODAY: "No infusion is recorded for today, and no older draft is unfinished.",
    WITH_BILLING: "Nothing waits for billing. What nurses hand over appears here.",
    WARNINGS: "No encounter that waits for billing has a warning.",
    BLOCKED: "No encounter that waits for billing is blocked.",
    ASKED: "No question is waiting for a nurse.",
    BACK: "No answered question is waiting for billing.",
    NO_STOP: "Every infusion has its stop time.",
    APPROVED: "Nothing is approved yet.",
    ALL: "No encounter is recorded yet.",
}


@dataclass(frozen=True, slots=True)
class View:
    """One list in the strip above a worklist."""

    name: str
    label: str
    count: int | None
    here: bool


@dataclass(frozen=True, slots=True)
class Sign:
    """A state as mark and word."""

    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """An encounter in a list, in words."""

    encounter: Encounter
    address: str
    drugs: str
    state: Sign
    readiness: Sign | None
    lacking: str
    question: str


@require_safe
@allow(NURSE, BILLING, ADMIN)
def encounters(request: HttpRequest) -> HttpResponse:
    """The person's own list, one page of it."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101  narrows the type; only a person with a clinic has a role
    worklist = worklist_of(user)
    names = views_of(user)
    asked = request.GET.get("view", "")
    name = asked if asked in names else names[0]
    page = Paginator(worklist.encounters(name), ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    items = worklist.items(worklist.with_record(page.object_list))
    lately = [] if asked else worklist.items(worklist.with_record(latest_beside(worklist, items)))
    return render(
        request,
        "infusion/home/page.html",
        {
            "name": name,
            "heading": LABELS[name] if len(names) == 1 or name != ALL else "All encounters",
            "views": strip(worklist, names, name),
            "page": page,
            "rows": [row_of(item, name, roles_of(user)) for item in items],
            "lately": [row_of(item, name, roles_of(user)) for item in lately],
            "empty": EMPTY[name],
            "today": worklist.today,
            "may_record": NURSE in roles_of(user),
            "without_stop": worklist.without_stop if NURSE in roles_of(user) else 0,
        },
    )


def latest_beside(worklist: Worklist, shown: list[Item]) -> QuerySet[Encounter]:
    """The newest encounters that a home does not show already, whatever became of them."""
    others = encounters_of(worklist.clinic).exclude(pk__in=[item.encounter.pk for item in shown])
    return others.order_by("-pk")[:ROWS_LATELY]


def worklist_of(user: User) -> Worklist:
    clinic = user.clinic
    assert clinic is not None  # noqa: S101  narrows the type; a role is only given with a clinic
    return Worklist(clinic, clinic_today(clinic))


def clinic_today(clinic: Clinic) -> date:
    return timezone.now().astimezone(ZoneInfo(clinic.time_zone)).date()


def views_of(user: User) -> tuple[str, ...]:
    """The lists that a person may look at, the first one being where they land."""
    roles = roles_of(user)
    desk = DESK if roles & {BILLING, ADMIN} else ()
    return (TODAY, *desk) if NURSE in roles else desk


def strip(worklist: Worklist, names: tuple[str, ...], here: str) -> list[View]:
    """The lists with how many each has. Nothing for a single list, and no empty list of what should not be."""
    if len(names) == 1:
        return []
    counts = worklist.counts
    return [
        View(name, LABELS[name], counts.get(name), name == here)
        for name in names
        if name != BLOCKED or counts[name] or here == name
    ]


def row_of(item: Item, view: str, roles: frozenset[str]) -> Row:
    encounter, question = item.encounter, item.open_question
    draft = encounter.state == Encounter.State.DRAFT
    for_nurse = NURSE in roles and (view == TODAY or draft)
    missing = lacking(item.review.statement.errors) if draft and item.review else []
    return Row(
        encounter=encounter,
        address=reverse("encounter", args=[encounter.public_id])
        if for_nurse
        else f"{reverse('review', args=[encounter.public_id])}?view={view}",
        drugs=drugs_of(encounter),
        state=state_of(encounter),
        readiness=None if for_nurse else readiness_of(item),
        lacking=", ".join(missing),
        question=question.text if question else "",
    )


def state_of(encounter: Encounter) -> Sign:
    kinds = {State.DRAFT: "todo", State.WITH_BILLING: "sent", State.APPROVED: "ok", State.VOID: "todo"}
    return Sign(kinds[State(encounter.state)], encounter.get_state_display())


def readiness_of(item: Item) -> Sign | None:
    """Whether an encounter with billing can be approved as it is."""
    if item.review is None or item.encounter.state != Encounter.State.WITH_BILLING:
        return None
    if item.review.statement.errors:
        return Sign("bad", "Blocked")
    warnings = len(item.review.statement.warnings)
    return Sign("warn", counted(warnings, "warning")) if warnings else Sign("ok", "Ready")


def drugs_of(encounter: Encounter) -> str:
    """The names of what was given: "Ocrelizumab", "Natalizumab and 1 more"."""
    names = list(
        dict.fromkeys(drug_label(each.route, each.drug, encounter) for each in encounter.administrations.all())
    )
    if not names:
        return "No drug yet"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def drug_label(route: str, code: str, encounter: Encounter) -> str:
    if route == "hydration":
        return "Hydration"
    rows = shipped_reference().drugs.get(code, ())
    row = in_force(rows, encounter.date_of_service) or (rows[-1] if rows else None)
    return row.label if row else code or "No drug yet"
