"""Files of encounters: looked at before anything is saved, brought in as drafts, and what came of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from infusion.access import ADMIN, BILLING, allow
from infusion.actions import Refused
from infusion.actions.imports import IMPORT, confirm_import, drop_look, left_out, look_at
from infusion.arriving import UnreadableFile
from infusion.forms.imports import EncounterFileForm
from infusion.jobs import Shown, jobs_of
from infusion.models import Arrival, Import
from infusion.readings import holding
from infusion.spreadsheet import spreadsheet_bytes
from infusion.views.fees import attached, clinic_of
from infusion.views.review import person

MOST_SHOWN = 200
ON_A_PAGE = 100
COLUMNS = ("Row", "Column", "Value", "Reason")
Outcome = Arrival.Outcome


@dataclass(frozen=True, slots=True)
class Told:
    """What was understood and is not brought in."""

    column: str
    reason: str
    count: int
    row: int
    value: str


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def imports(request: HttpRequest) -> HttpResponse:
    """Choose a file, and those that were brought in. A file that is chosen is read and shown."""
    if request.method != "POST":
        return list_page(request, EncounterFileForm())
    form = EncounterFileForm(request.POST, request.FILES)
    if not form.is_valid():
        return list_page(request, form)
    given = form.cleaned_data
    try:
        look = look_at(
            by=person(request), clinic=clinic_of(request), file=given["file"], name=given["file"].name,
            payer=given["payer"],
        )  # fmt: skip
    except UnreadableFile as problem:
        form.add_error("file", f"File: {str(problem)[:1].lower()}{str(problem)[1:]}")
        return list_page(request, form)
    return redirect("import", look.public_id)


def list_page(request: HttpRequest, form: EncounterFileForm) -> HttpResponse:
    brought = imports_of(request).filter(confirmed_at__isnull=False).order_by("-confirmed_at")
    context = {
        "form": form,
        "issues": form.issues,
        "checked": form.is_bound,
        "page": Paginator(counted_out(brought), ON_A_PAGE).get_page(request.GET.get("page")),
        "clinic": clinic_of(request),
    }
    return render(request, "infusion/imports/list.html", context)


def imports_of(request: HttpRequest) -> QuerySet[Import]:
    """The clinic's imports, and of those that are only looked at the person's own."""
    mine = Q(confirmed_at__isnull=False) | Q(read_by=person(request))
    return Import.objects.filter(mine, clinic=clinic_of(request)).select_related("read_by", "clinic")


def counted_out(imported: QuerySet[Import]) -> QuerySet[Import]:
    of = {outcome.name.lower(): Count("arrivals", Q(arrivals__outcome=outcome)) for outcome in Outcome}
    return imported.annotate(**of)


def found(request: HttpRequest, public_id: UUID) -> Import:
    chosen = counted_out(imports_of(request)).filter(public_id=public_id).first()
    if chosen is None:
        raise Http404
    return chosen


@require_safe
@allow(BILLING, ADMIN)
def one(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """What a file says, and once it is confirmed how far it is and what came of it."""
    return import_page(request, found(request, public_id))


def import_page(request: HttpRequest, chosen: Import, refusal: str = "") -> HttpResponse:
    problems = list(problem_rows(chosen, MOST_SHOWN + 1))
    job = jobs_of(person(request)).filter(kind=IMPORT, subject=str(chosen.public_id)).order_by("-pk").first()
    came = chosen.arrivals.exclude(encounter=None).select_related("encounter__patient").order_by("row", "pk")
    context = {
        "import": chosen,
        "left_out": left_out(chosen),
        "before": same_file(request, chosen),
        "otherwise": chosen.arrivals.filter(outcome=Outcome.HERE).exclude(problems=[]).count(),
        "problems": problems[:MOST_SHOWN],
        "more": len(problems) > MOST_SHOWN,
        "told": [Told(*each) for each in chosen.told],
        "row_word": {"csv": "Row", "fhir": "Entry", "hl7": "Message"}[chosen.kind],
        "shown": Shown(job) if job else None,
        "page": Paginator(came, ON_A_PAGE).get_page(request.GET.get("page")),
        "refusal": refusal,
    }
    return render(request, "infusion/imports/import.html", context)


def same_file(request: HttpRequest, chosen: Import) -> Import | None:
    """The latest time that this very file was brought in, apart from this one."""
    same = imports_of(request).filter(checksum=chosen.checksum, confirmed_at__isnull=False).exclude(pk=chosen.pk)
    return same.order_by("-confirmed_at").first()


def problem_rows(chosen: Import, most: int | None = None) -> Iterator[tuple[int, str, str, str]]:
    """What keeps encounters out or differs from what is here, in the order of the file as far as it is known."""
    count = 0
    of_encounters = chosen.arrivals.exclude(problems=[]).order_by("row", "pk").values_list("problems", flat=True)
    groups: Iterable[Any] = (chosen.problems, *(of_encounters[:most] if most else of_encounters.iterator()))
    for problems in groups:
        for row, column, value, reason in problems:
            if most is not None and count >= most:
                return
            count += 1
            yield row, column, value, reason


@require_POST
@allow(BILLING, ADMIN)
def confirm(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Bring in what is ready."""
    chosen = found(request, public_id)
    try:
        confirm_import(by=person(request), look=chosen, without_the_others="without_the_others" in request.POST)
    except Refused as refused:
        return import_page(request, chosen, refusal=str(refused))
    return redirect("import", public_id)


@require_POST
@allow(BILLING, ADMIN)
def throw_away(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Nothing of what was only looked at stays."""
    drop_look(look=found(request, public_id))
    return redirect("imports")


@require_safe
@allow(BILLING, ADMIN)
def problems_file(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Everything that keeps encounters out, as a file for whoever mends it."""
    rows = list(problem_rows(found(request, public_id)))
    return holding(attached(spreadsheet_bytes(COLUMNS, rows), "encounters-to-mend.csv"), len(rows))
