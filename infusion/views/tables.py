"""CMS's tables: which quarters are loaded, what changed between two, and a file looked at before it is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core import signing
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from infusion.access import ADMIN, BILLING, allow, roles_of
from infusion.actions import NewEdits, Refused, load_edits, withdraw_edits
from infusion.actions.tables import before, changes_of, check_edits, rows_of
from infusion.arriving import UnreadableFile
from infusion.edit_file import Changes, EditRow, LimitRow, PairRow, compare, name_of, read_edit_files, value_of
from infusion.forms.tables import EditFileForm
from infusion.models import EditTable
from infusion.views.review import person
from payers.views import today_at

SALT = "infusion.edits"
OPEN_FOR_SECONDS = 3600
LARGEST_SEAL = 900_000
ROWS_ON_A_PAGE = 200
MOST_SHOWN = 200
Kind, Claims = EditTable.Kind, EditTable.Claims


@dataclass(slots=True)
class Group:
    """One of the four tables: the load in force on a day, and every load there was."""

    kind: str
    claims: str
    title: str
    in_force: EditTable | None = None
    all: list[EditTable] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, in words."""

    code: str
    was: str
    now: str


@require_safe
@allow(BILLING, ADMIN)
def tables(request: HttpRequest) -> HttpResponse:
    """The four tables, what is in force today, and every load."""
    today = today_at(request)
    found = groups(today)
    context = {
        "groups": found, "loaded": any(group.all for group in found), "today": today,
        "can_edit": ADMIN in roles_of(request.user),
    }  # fmt: skip
    return render(request, "infusion/tables/list.html", context)


def groups(today: date) -> list[Group]:
    titles = {Kind.UNLIKELY_UNITS: "Unlikely units (MUE)", Kind.CODE_PAIRS: "Code pairs (NCCI)"}
    made = {
        (kind.value, claims.value): Group(kind.value, claims.value, f"{titles[kind]}, {claims.label.lower()} claims")
        for kind in Kind
        for claims in Claims
    }
    for table in every_table():
        group = made[table.kind, table.claims]
        group.all.append(table)
        holds = table.withdrawn_at is None and table.effective_from <= today and holds_until(table, today)
        if holds and group.in_force is None:
            group.in_force = table
    return list(made.values())


def holds_until(table: EditTable, day: date) -> bool:
    return table.effective_until is None or day <= table.effective_until


def every_table() -> QuerySet[EditTable]:
    """All loads, the newest quarter and the latest load first, with how many rows each has."""
    counted = EditTable.objects.annotate(
        limit_count=Count("limits", distinct=True), pair_count=Count("pairs", distinct=True)
    )
    return counted.select_related("loaded_by").order_by("-effective_from", "-loaded_at", "-pk")


def found(public_id: UUID) -> EditTable:
    table = every_table().filter(public_id=public_id).first()
    if table is None:
        raise Http404
    return table


@require_safe
@allow(BILLING, ADMIN)
def table(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """One load: where it comes from, how it differs from another, and its rows."""
    return table_page(request, found(public_id))


@require_POST
@allow(ADMIN)
def withdraw(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Take a load out of force."""
    chosen = found(public_id)
    try:
        withdraw_edits(by=person(request), table=chosen, reason=request.POST.get("reason", ""))
    except Refused as refused:
        return table_page(request, chosen, refusal=str(refused))
    messages.success(request, f"Withdrawn: {chosen}. Its rows are kept, and what was sent under it stays as it was.")
    return redirect("tables")


def table_page(request: HttpRequest, chosen: EditTable, refusal: str = "") -> HttpResponse:
    others = [each for each in every_table() if (each.kind, each.claims) == (chosen.kind, chosen.claims)]
    others = [each for each in others if each.pk != chosen.pk]
    against = compared_with(request, chosen, others)
    changes = compare(rows_of(against), rows_of(chosen)) if against else None
    code = request.GET.get("code", "").strip().upper()[:5]
    rows = rows_beginning(chosen, code)
    context = {
        "table": chosen, "others": others, "against": against, "changes": changes, "refusal": refusal, "code": code,
        "differences": differences(changes) if changes else [],
        "page": Paginator(rows, ROWS_ON_A_PAGE).get_page(request.GET.get("page")),
        "can_edit": ADMIN in roles_of(request.user),
        "today": today_at(request),
    }  # fmt: skip
    return render(request, "infusion/tables/table.html", context, status=422 if refusal else 200)


def compared_with(request: HttpRequest, chosen: EditTable, others: Iterable[EditTable]) -> EditTable | None:
    """The load that was asked for, else the newest that came before this one."""
    asked = request.GET.get("against", "")
    for each in others:
        if str(each.public_id) == asked:
            return each
    earlier = (each for each in others if (each.effective_from, each.pk) < (chosen.effective_from, chosen.pk))
    return next(earlier, None)


def rows_beginning(chosen: EditTable, code: str) -> list[tuple[str, str]]:
    """The rows in words, in the order of their codes; those of a code, where one is asked for."""
    rows = sorted(rows_of(chosen), key=lambda row: row.key)
    return [
        (name_of(row), value_of(row)) for row in rows if any(part.startswith(code) for part in row.key[:2]) or not code
    ]


def differences(changes: Changes) -> list[Change]:
    """The first differences: what changed, what is new, what is gone."""
    found = [Change(name_of(was), value_of(was), value_of(now)) for was, now in changes.changed]
    found += [Change(name_of(row), "", value_of(row)) for row in changes.added]
    found += [Change(name_of(row), value_of(row), "") for row in changes.removed]
    return found[:MOST_SHOWN]


# Loading --------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN)
def load(request: HttpRequest) -> HttpResponse:
    """Choose a file, look at what it changes, and put it in force."""
    if request.method != "POST":
        return load_page(request, EditFileForm())
    if request.POST.get("act") == "confirm":
        return confirm(request)
    form = EditFileForm(request.POST, request.FILES)
    return look_at(request, form) if form.is_valid() else load_page(request, form)


def look_at(request: HttpRequest, form: EditFileForm) -> HttpResponse:
    """What the file would change, or why it cannot be read."""
    said = form.cleaned_data
    try:
        file = read_edit_files(said["kind"], said["claims"], said["quarter"], [said["file"]])
    except UnreadableFile as problem:
        form.add_error("file", f"File: {str(problem)[:1].lower()}{str(problem)[1:]}")
        return load_page(request, form)
    new = NewEdits(
        kind=said["kind"], claims=said["claims"], quarter=said["quarter"], source=said["source"],
        checksum=file.checksum, rows=tuple(file.rows.values()), rows_read=file.rows_read,
    )  # fmt: skip
    try:
        replaced = check_edits(new)
        kept = sealed(request, new)
    except Refused as refused:
        return load_page(request, form, refusal=str(refused))
    changes = changes_of(new)
    return load_page(
        request, form, new=new, previous=before(new), replaced=replaced, changes=changes,
        differences=differences(changes), same=len(new.rows) - len(changes.added) - len(changes.changed),
        kind=Kind(new.kind).label, claims=Claims(new.claims).label, kept=kept,
    )  # fmt: skip


def confirm(request: HttpRequest) -> HttpResponse:
    """Load what was looked at."""
    try:
        loaded = load_edits(by=person(request), new=unsealed(request))
    except signing.BadSignature:
        told = "What was looked at is more than an hour old, or not yours. Choose the file again."
        return load_page(request, EditFileForm(), refusal=told)
    except Refused as refused:
        return load_page(request, EditFileForm(), refusal=str(refused))
    messages.success(request, f"Loaded: {loaded}. It holds for dates of service in {loaded.quarter}.")
    return redirect("table", loaded.public_id)


def load_page(request: HttpRequest, form: EditFileForm, **more: Any) -> HttpResponse:
    context: Mapping[str, Any] = {"form": form, "issues": form.issues, "checked": form.is_bound, **more}
    wrong = bool(form.issues or more.get("refusal"))
    return render(request, "infusion/tables/load.html", context, status=422 if wrong else 200)


def sealed(request: HttpRequest, new: NewEdits) -> str:
    """What was looked at, signed and bound to the person, so that exactly that is loaded and nothing is kept here."""
    document = {
        "by": person(request).pk,
        "said": [new.kind, new.claims, new.quarter, new.source, new.checksum, new.rows_read],
        "rows": [row_document(row) for row in new.rows],
    }
    kept = signing.dumps(document, salt=SALT, compress=True)
    if len(kept) > LARGEST_SEAL:
        raise Refused("This table is too large for the browser. Load it with the command manage.py load_edits.")
    return kept


def row_document(row: EditRow) -> list[Any]:
    if isinstance(row, LimitRow):
        return [row.code, row.units, row.indicator]
    deleted = row.deleted_from and row.deleted_from.isoformat()
    return [row.first, row.second, row.effective_from.isoformat(), deleted, row.modifier_allowed]


def unsealed(request: HttpRequest) -> NewEdits:
    """Raises BadSignature for what was not looked at by this person within the hour."""
    document = signing.loads(request.POST.get("kept", ""), salt=SALT, max_age=OPEN_FOR_SECONDS)
    if document["by"] != person(request).pk:
        raise signing.BadSignature
    kind, claims, quarter, source, checksum, rows_read = document["said"]
    rows: list[EditRow] = []
    for each in document["rows"]:
        if len(each) == 3:
            rows.append(LimitRow(*each))
        else:
            first, second, begins, deleted, modifier = each
            ends = date.fromisoformat(deleted) if deleted else None
            rows.append(PairRow(first, second, date.fromisoformat(begins), ends, modifier))
    return NewEdits(
        kind=kind, claims=claims, quarter=quarter, source=source, checksum=checksum, rows=tuple(rows),
        rows_read=rows_read,
    )  # fmt: skip
