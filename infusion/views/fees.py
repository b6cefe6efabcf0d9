"""Fee schedules: what is in force when, a file looked at before it is loaded, and what was withdrawn. Admins change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from django.contrib import messages
from django.core import signing
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from infusion.access import ADMIN, BILLING, allow, roles_of
from infusion.actions import FeesInTheWay, NewFees, Refused, load_fees, withdraw_fees
from infusion.actions.fees import Difference, check_fees, differences, figures_of, judged
from infusion.arriving import UnreadableFile
from infusion.fee_file import MOST_BYTES, read_fee_file
from infusion.forms.fees import OWN, FeeFileForm, FeesOnForm
from infusion.models import Clinic, Fee, FeeSchedule
from infusion.money import CHARGES, day_before, holds, rate_of, schedules_of
from infusion.reference_now import current_reference
from infusion.services.payment import Rate, standing_of
from infusion.services.reference import in_force
from infusion.services.words import counted, dollars
from infusion.spreadsheet import spreadsheet_bytes
from infusion.views.review import person
from payers.models import Payer
from payers.selectors import day_in_words
from payers.views import today_at

SALT = "infusion.fees"
OPEN_FOR_SECONDS = 3600
FEES_ON_A_PAGE = 200
MOST_SHOWN = 200
MOST_PROBLEMS_KEPT = 1000
COLUMNS = ("Code", "Rate", "P25", "Median", "P75")


@dataclass(frozen=True, slots=True)
class FeeView:
    """A code's figures in words."""

    code: str
    label: str
    figures: tuple[str, ...]
    standing: str
    implausible: str


@dataclass(frozen=True, slots=True)
class DifferenceView:
    """What changes for a code against the schedule before."""

    code: str
    label: str
    was: str
    now: str
    change: str


@dataclass(slots=True)
class Whose:
    """One payer's schedules, and the one in force on the day asked for."""

    name: str
    in_force: FeeSchedule | None = None
    next: FeeSchedule | None = None
    all: list[FeeSchedule] = field(default_factory=list)


@require_safe
@allow(BILLING, ADMIN)
def fees(request: HttpRequest) -> HttpResponse:
    """What is in force on a day, payer by payer, and every schedule there ever was."""
    today = today_at(request)
    chooser = FeesOnForm({"on": request.GET.get("on") or today.isoformat()})
    on = (chooser.cleaned_data["on"] if chooser.is_valid() else None) or today
    context = {
        "on": on,
        "today": today,
        "chooser": chooser,
        "issues": chooser.issues,
        "checked": bool(chooser.issues),
        "groups": whose_fees(list(schedules_of(clinic_of(request))), on),
        "can_edit": ADMIN in roles_of(request.user),
    }
    return render(request, "infusion/money/list.html", context)


def clinic_of(request: HttpRequest) -> Clinic:
    """The person's own clinic, whose fees these are."""
    clinic = person(request).clinic
    assert clinic is not None  # noqa: S101  narrows the type; only a person with a clinic has a role
    return clinic


def whose_fees(schedules: Iterable[FeeSchedule], on: date) -> list[Whose]:
    """The clinic's own charges first, then every payer, those without any schedule too."""
    groups: dict[int | None, Whose] = {None: Whose(CHARGES)}
    groups |= {payer.pk: Whose(payer.name) for payer in Payer.objects.all()}
    for each in schedules:
        group = groups[each.payer_id]
        group.all.append(each)
        if each.withdrawn_at is None and holds(each, on):
            group.in_force = each
        elif each.withdrawn_at is None and each.effective_from > on:
            group.next = each
    return list(groups.values())


@require_safe
@allow(BILLING, ADMIN)
def schedule(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Every rate of a schedule."""
    return schedule_page(request, found(request, public_id))


@require_POST
@allow(ADMIN)
def withdraw(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Take a schedule out of force."""
    chosen = found(request, public_id)
    try:
        withdraw_fees(by=person(request), schedule=chosen, reason=request.POST.get("reason", ""))
    except Refused as refused:
        return schedule_page(request, chosen, refusal=str(refused))
    messages.success(request, f"Withdrawn: {chosen.name}. What was exported under it stays as it was written.")
    return redirect("fees")


def found(request: HttpRequest, public_id: UUID) -> FeeSchedule:
    chosen = schedules_of(clinic_of(request)).filter(public_id=public_id).first()
    if chosen is None:
        raise Http404
    return chosen


def schedule_page(request: HttpRequest, chosen: FeeSchedule, refusal: str = "") -> HttpResponse:
    rows = chosen.fees.order_by("code")
    code = request.GET.get("code", "").strip().upper()[:5]
    page = Paginator(rows.filter(code__startswith=code) if code else rows, FEES_ON_A_PAGE)
    shown = page.get_page(request.GET.get("page"))
    context = {
        "schedule": chosen,
        "whose": chosen.payer.name if chosen.payer else CHARGES,
        "page": shown,
        "fees": [fee_view(fee, chosen.effective_from) for fee in shown.object_list],
        "code": code,
        "columns": COLUMNS,
        "today": today_at(request),
        "holds_today": chosen.withdrawn_at is None and holds(chosen, today_at(request)),
        "can_edit": ADMIN in roles_of(request.user),
        "refusal": refusal,
    }
    return render(request, "infusion/money/schedule.html", context)


def fee_view(fee: Fee | Rate, on: date) -> FeeView:
    rate = rate_of(fee) if isinstance(fee, Fee) else fee
    figures = tuple("" if each is None else dollars(each) for each in figures_of(rate))
    return FeeView(rate.code, code_label(rate.code, on), figures, standing_of(rate), rate.implausible)


def code_label(code: str, on: date) -> str:
    """Our own short words for a code, as far as it is in the tables."""
    reference = current_reference()
    if code in reference.administration:
        return reference.administration[code].label
    rows = reference.drugs.get(code, ())
    row = in_force(rows, on) or (rows[-1] if rows else None)
    return f"{row.label}, {row.billing_unit.normalize():f} mg a unit" if row else ""


# Loading a file -----------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN)
def load(request: HttpRequest) -> HttpResponse:
    """Look at a file; load it once it is confirmed. Between the two nothing is kept here."""
    act = request.POST.get("act", "")
    if request.method != "POST":
        return load_page(request, FeeFileForm())
    if act == "errors":
        return problems_file(request)
    if act == "confirm":
        return confirm(request)
    form = FeeFileForm(request.POST, request.FILES)
    return look_at(request, form) if form.is_valid() else load_page(request, form)


def look_at(request: HttpRequest, form: FeeFileForm) -> HttpResponse:
    """The preview of a file, or why it cannot be read."""
    given = form.cleaned_data
    try:
        file = read_fee_file(given["file"].read(MOST_BYTES + 1))
    except UnreadableFile as problem:
        form.add_error("file", f"File: {str(problem)[:1].lower()}{str(problem)[1:]}")
        return load_page(request, form)
    if file.problems:
        kept = [[each.row, each.column, each.value, each.reason] for each in file.problems[:MOST_PROBLEMS_KEPT]]
        return load_page(
            request, form, problems=file.problems[:MOST_SHOWN], problem_count=len(file.problems), rows=file.rows,
            kept=signing.dumps(kept, salt=SALT, compress=True),
        )  # fmt: skip
    new = NewFees(
        payer=given["payer"],
        name=(given["name"] or PurePath(given["file"].name).stem)[:120],
        source=given["source"],
        effective_from=given["effective_from"],
        effective_until=given["effective_until"],
        checksum=file.checksum,
        rates=judged(file.rates, given["effective_from"]),
        public_id=uuid4(),
    )
    return preview(request, form, new, file.not_read)


def preview(
    request: HttpRequest, form: FeeFileForm, new: NewFees, not_read: tuple[str, ...] = (), refusal: str = ""
) -> HttpResponse:
    """What would be loaded and what would change; the button that loads it, unless it cannot be."""
    clinic = clinic_of(request)
    to_end = None
    try:
        to_end = check_fees(clinic, new)
    except Refused as refused:
        return load_page(request, form, refusal=str(refused))
    previous, all_changed = differences(clinic, new)
    changed = [each for each in all_changed if each.now is not None]
    gone = [each.code for each in all_changed if each.now is None]
    doubted = [fee_view(rate, new.effective_from) for rate in new.rates if rate.implausible]
    return load_page(
        request, form, refusal=refusal, new=new, to_end=to_end, ends_on=day_before(new.effective_from),
        previous=previous, not_read=not_read, doubted=doubted,
        differences=[difference_view(each, new.effective_from) for each in changed[:MOST_SHOWN]],
        changed=len(changed), gone=gone, same=len(new.rates) - len(changed),
        first=[fee_view(rate, new.effective_from) for rate in new.rates[:MOST_SHOWN]],
        kept=sealed(request, new),
    )  # fmt: skip


def difference_view(each: Difference, on: date) -> DifferenceView:
    was, now = (None if rate is None else rate.rate for rate in (each.was, each.now))
    change = "new" if was is None or now is None else change_in_words(was, now)
    return DifferenceView(
        each.code, code_label(each.code, on), "" if was is None else dollars(was), "" if now is None else dollars(now),
        change,
    )  # fmt: skip


def change_in_words(was: Decimal, now: Decimal) -> str:
    """How far a rate moves, in percent of what it was."""
    if was == now:
        return "same rate, other quartiles"
    percent = (abs(now - was) / was * 100).quantize(Decimal("0.1"))
    if not percent:
        return f"{'up' if now > was else 'down'} less than 0.1%"
    return f"{'+' if now > was else '−'}{percent:,}%"


def confirm(request: HttpRequest) -> HttpResponse:
    """Load what was looked at."""
    try:
        new = unsealed(request)
    except signing.BadSignature:
        told = "What was looked at is more than an hour old, or not yours. Choose the file again."
        return load_page(request, FeeFileForm(), refusal=told)
    by = person(request)
    try:
        loaded = load_fees(by=by, clinic=clinic_of(request), fees=new, end_previous="end_previous" in request.POST)
    except FeesInTheWay as asked:
        return preview(request, entries_of(new), new, refusal=str(asked))
    except Refused as refused:
        return load_page(request, entries_of(new), refusal=str(refused))
    messages.success(
        request, f"Loaded: {loaded.name} for {new.whose}, {counted(len(new.rates), 'code')} from "
        f"{day_in_words(loaded.effective_from)}.",
    )  # fmt: skip
    return redirect("fee-schedule", loaded.public_id)


def entries_of(new: NewFees) -> FeeFileForm:
    """A form that shows what was entered, without the file."""
    return FeeFileForm(
        initial={
            "payer": new.payer.slug if new.payer else OWN, "name": new.name, "source": new.source,
            "effective_from": new.effective_from.isoformat(),
            "effective_until": new.effective_until.isoformat() if new.effective_until else "",
        }
    )  # fmt: skip


def problems_file(request: HttpRequest) -> HttpResponse:
    """The rows that could not be read, as a file."""
    try:
        rows = signing.loads(request.POST.get("kept", ""), salt=SALT, max_age=OPEN_FOR_SECONDS)
    except signing.BadSignature:
        return load_page(request, FeeFileForm(), refusal="The list of problems is gone. Choose the file again.")
    content = spreadsheet_bytes(("Row", "Column", "Value", "Reason"), rows)
    return attached(content, "rows-to-correct.csv")


def attached(content: bytes, name: str) -> HttpResponse:
    """A CSV file to be saved."""
    return HttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"},
    )


def load_page(request: HttpRequest, form: FeeFileForm, **more: Any) -> HttpResponse:
    context: Mapping[str, Any] = {
        "form": form, "issues": form.issues, "checked": form.is_bound, "columns": COLUMNS, **more,
    }  # fmt: skip
    return render(request, "infusion/money/load.html", context)


def sealed(request: HttpRequest, new: NewFees) -> str:
    """What was looked at, signed and bound to the person, so that exactly that is loaded and nothing is kept here."""
    document = {
        "by": person(request).pk,
        "payer": new.payer.slug if new.payer else None,
        "name": new.name,
        "source": new.source,
        "from": new.effective_from.isoformat(),
        "until": new.effective_until.isoformat() if new.effective_until else None,
        "checksum": new.checksum,
        "id": str(new.public_id),
        "rates": [
            [rate.code, *(None if each is None else str(each) for each in figures_of(rate))] for rate in new.rates
        ],
    }
    return signing.dumps(document, salt=SALT, compress=True)


def unsealed(request: HttpRequest) -> NewFees:
    """Raises BadSignature for what was not looked at by this person within the hour."""
    document = signing.loads(request.POST.get("kept", ""), salt=SALT, max_age=OPEN_FOR_SECONDS)
    if not isinstance(document, dict) or document["by"] != person(request).pk:
        raise signing.BadSignature
    rates = [
        Rate(
            code=code,
            rate=Decimal(rate),
            lower_quartile=exact(lower),
            median=exact(median),
            upper_quartile=exact(upper),
        )
        for code, rate, lower, median, upper in document["rates"]
    ]
    first = date.fromisoformat(document["from"])
    return NewFees(
        payer=Payer.objects.get(slug=document["payer"]) if document["payer"] else None,
        name=document["name"],
        source=document["source"],
        effective_from=first,
        effective_until=date.fromisoformat(document["until"]) if document["until"] else None,
        checksum=document["checksum"],
        rates=judged(rates, first),
        public_id=UUID(document["id"]),
    )


def exact(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
