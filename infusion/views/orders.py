"""Orders: what is to be given on a day, entered in a few taps, and taken off the day with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import cast
from uuid import UUID, uuid4

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.middleware import HtmxDetails

from infusion.access import NURSE, allow
from infusion.actions import Ordered, OtherOrder, Refused, cancel_order, place_order
from infusion.cautions import CautionView, cautions_for
from infusion.forms.encounter import Surroundings
from infusion.forms.order import BEFORE, OrderEntry
from infusion.forms.stored import drug_text
from infusion.forms.structure import Entries
from infusion.models import Chair, Clinic, Encounter, Order, Patient, User
from infusion.premedication import ITEMS, USUAL
from infusion.readings import tell_looked_up
from infusion.reference_now import current_reference
from infusion.selectors import encounters_of, order_for, orders_of, patient_named, payers
from infusion.services.reference import in_force
from infusion.services.words import plain
from infusion.time_entry import date_in_words
from infusion.vials import Rows, as_text
from infusion.views.encounters import clinic_now, clinic_of, private
from infusion.views.public import pressed
from payers.models import Payer
from payers.policy import national_baseline
from payers.selectors import day_in_words

PLACE, SAME, USUAL_SET, CHECK = "place", "same", "usual", "check"
OWN_NAMES = ("client_id", "csrfmiddlewaretoken", "act")
LONGEST_VALUE, MOST_VALUES = 200, 40
LONGEST_REASON = 200
TAKEN_OFF = "Taken off the day."
NO_REASON = "Write why it is taken off the day, so that the next person knows. Nothing was changed."
NOTHING_BEFORE = "No earlier order or visit is on record for this patient here. Enter the order below."
WHO_FIRST = "Patient reference: enter the record number first, then take over what was ordered last time."


@dataclass(slots=True)
class OrderSheet:
    """An order on its way through a request."""

    request: HttpRequest
    clinic: Clinic
    entries: Entries
    client_id: UUID
    focus: str = ""
    notice: str = ""
    refusal: str = ""

    payers: dict[str, Payer] = field(init=False)
    chairs: dict[str, Chair] = field(init=False)
    entry: OrderEntry = field(init=False)

    def __post_init__(self) -> None:
        self.payers = {payer.slug: payer for payer in payers()}
        self.chairs = {str(chair.pk): chair for chair in Chair.objects.filter(clinic=self.clinic)}
        self.read()

    def read(self) -> None:
        names = {"": "Choose the payer", **{slug: payer.name for slug, payer in self.payers.items()}}
        around = Surroundings(current_reference(), clinic_now(self.clinic), names, national_baseline())
        chairs = {key: chair.label for key, chair in self.chairs.items()}
        self.entry = OrderEntry(self.entries, around, chairs, partial(patient_named, self.clinic))

    def take(self, more: Entries, focus: str) -> None:
        """Lay entries over what is there; the boxes of the premedication are all set anew."""
        kept = {name: text for name, text in self.entries.items() if not name.startswith(BEFORE)}
        self.entries, self.focus = {**kept, **more}, focus
        self.read()

    def cautions(self) -> list[CautionView]:
        return cautions_for(self.entry.planned(self.clinic.time_zone, self.clinic.setting), self.entry.patient)

    def ordered(self) -> Ordered:
        """What is kept. Only for a form without obstacles."""
        entry, form = self.entry, self.entry.form
        assert entry.moment is not None  # noqa: S101  an obstacle otherwise
        assert entry.dose is not None  # noqa: S101  an obstacle otherwise
        patient = entry.patient_form
        return Ordered(
            patient=Patient(
                clinic=self.clinic, reference=entry.reference, name=patient.value("patient_name") or "",
                birth_date=patient.value("birth_date"),
            ),
            payer=self.payers[form.choice("payer")],
            scheduled_at=entry.moment,
            setting=self.clinic.setting,
            drug=entry.code,
            route=entry.route,
            ordered=entry.dose,
            diagnoses=form.value("diagnosis") or (),
            vials=entry.vials,
            premedication=entry.before,
            chair=self.chairs.get(form.choice("chair")),
            prescriber=form.value("prescriber") or "",
        )  # fmt: skip


# The day --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order in the list of a day, in words."""

    order: Order
    at: str
    what: str
    before: str


@require_safe
@allow(NURSE)
def orders(request: HttpRequest) -> HttpResponse:
    """What is ordered for today."""
    clinic = clinic_of(request)
    now = clinic_now(clinic)
    begins = datetime.combine(now.date(), time(), tzinfo=now.tzinfo)
    found = orders_of(clinic).filter(scheduled_at__gte=begins, scheduled_at__lt=begins + timedelta(days=1))
    later = orders_of(clinic).filter(scheduled_at__gte=begins + timedelta(days=1)).count()
    rows = [row_of(order, now) for order in found]
    context = {"rows": rows, "today": now.date(), "later": later}
    return private(render(request, "infusion/orders/day.html", context))


def row_of(order: Order, now: datetime) -> OrderRow:
    local = order.scheduled_at.astimezone(now.tzinfo)
    rows = current_reference().drugs.get(order.drug, ())
    drug = in_force(rows, local.date())
    name = drug.label if drug else order.drug
    before = [ITEMS[key].label for key in order.premedication if key in ITEMS]
    return OrderRow(order, f"{local:%H:%M}", f"{name} {plain(order.ordered)} mg", "; ".join(before))


@require_POST
@allow(NURSE)
def take_off(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Take an order off the day, with a reason."""
    order = order_for(request.user, public_id)
    if order is None:
        raise Http404
    reason = " ".join(request.POST.get("reason", "").split())[:LONGEST_REASON]
    if not reason:
        messages.warning(request, NO_REASON)
        return redirect("orders")
    try:
        cancel_order(by=cast(User, request.user), order=order, reason=reason)
        messages.success(request, TAKEN_OFF)
    except Refused as refusal:
        messages.warning(request, str(refusal))
    return redirect("orders")


# The form -------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@allow(NURSE)
def new_order(request: HttpRequest) -> HttpResponse:
    """A blank order for today, or what was typed into it."""
    clinic = clinic_of(request)
    if request.method != "POST":
        today = clinic_now(clinic).date()
        entries = {"date": today.isoformat()}
        if clinic.drug:
            entries["drug"] = drug_text(clinic.drug, current_reference(), today)
        return form_page(OrderSheet(request, clinic, entries, uuid4(), focus="patient_reference"))
    sheet = typed_sheet(request, clinic)
    action = pressed(request, request.POST)
    if action == SAME:
        same_as_last_time(sheet)
    elif action == USUAL_SET:
        sheet.take({BEFORE + key: "on" for key in USUAL}, "usual-set")
    elif action == PLACE:
        return place(sheet)
    return form_page(sheet, checked=action == CHECK)


def typed_sheet(request: HttpRequest, clinic: Clinic) -> OrderSheet:
    names = [name for name in request.POST if name not in OWN_NAMES][:MOST_VALUES]
    try:
        client = UUID(request.POST.get("client_id", ""))
    except ValueError:
        client = uuid4()
    return OrderSheet(request, clinic, {name: request.POST[name][:LONGEST_VALUE] for name in names}, client)


def place(sheet: OrderSheet) -> HttpResponse:
    """Keep the order. The same form sent twice is one order."""
    if sheet.entry.obstacles:
        return form_page(sheet, checked=True)
    now = clinic_now(sheet.clinic)
    try:
        order = place_order(
            by=cast(User, sheet.request.user), clinic=sheet.clinic, client_id=sheet.client_id, ordered=sheet.ordered()
        )
    except OtherOrder as other:
        sheet.refusal = words_of_other(other.current, sheet.entry.reference, now)
        if other.current.cancelled_at is not None or other.current.patient.reference != sheet.entry.reference:
            sheet.client_id = uuid4()
        return form_page(sheet)
    local = order.scheduled_at.astimezone(now.tzinfo)
    messages.success(sheet.request, f"Ordered for {date_in_words(local.date())} at {local:%H:%M}.")
    return redirect("orders")


def words_of_other(order: Order, reference: str, now: datetime) -> str:
    """What the form has kept before, and what to do where something else is meant."""
    if order.cancelled_at is not None:
        return "What this form had ordered was taken off the day, so nothing is ordered. Press again to order it anew."
    row, on = row_of(order, now), date_in_words(order.scheduled_at.astimezone(now.tzinfo).date())
    stands = f"This form has ordered {row.what} for {order.patient} already, for {on} at {row.at}. That order stands"
    if order.patient.reference != reference:
        return f"{stands}. Press again to order what you see here as well, for {reference}."
    instead = "take that order off the day first, then press again"
    if order.encounter_id is not None:
        instead = "change it in the encounter, because it has begun"
    return f"{stands} and nothing was changed. If you mean what you see here, {instead}."


def same_as_last_time(sheet: OrderSheet) -> None:
    """Fill in what the patient was ordered or given last; when and where stay as they are."""
    if sheet.entry.patient is None:
        sheet.focus = "patient_reference"
        sheet.notice = NOTHING_BEFORE if sheet.entry.reference else WHO_FIRST
        return
    found = last_time(sheet.clinic, sheet.entry.patient)
    if found is None:
        sheet.focus, sheet.notice = "payer", NOTHING_BEFORE
        return
    entries, on = found
    sheet.take(entries, "time")
    sheet.notice = f"Taken over from {on}. Check the dose and the time, then keep the order."


def last_time(clinic: Clinic, patient: Patient) -> tuple[Entries, str] | None:
    """What the patient's last order or visit says, as entries of the form, and when that was."""
    zone = clinic_now(clinic).tzinfo
    order = orders_of(clinic).filter(patient=patient).order_by("-scheduled_at", "-pk").first()
    visit = encounters_of(clinic).filter(patient=patient).prefetch_related("administrations__vials").first()
    ordered_on = order.scheduled_at.astimezone(zone).date() if order else None
    if order and ordered_on and (visit is None or ordered_on >= visit.date_of_service):
        return entries_of_order(order), f"the order for {day_in_words(ordered_on)}"
    if visit is not None and (entries := entries_of_visit(visit)):
        return entries, f"the visit of {day_in_words(visit.date_of_service)}"
    return None


def entries_of_order(order: Order) -> Entries:
    on = order.scheduled_at.date()
    rows = tuple((Decimal(amount), int(count)) for amount, count in order.vials)
    return {
        "payer": order.payer.slug,
        "drug": drug_text(order.drug, current_reference(), on),
        "ordered": plain(order.ordered),
        "route": order.route,
        "diagnosis": ", ".join(order.diagnoses),
        "vials": as_text(rows),
        "prescriber": order.prescriber,
        **{BEFORE + key: "on" for key in order.premedication if key in ITEMS},
    }


def entries_of_visit(visit: Encounter) -> Entries:
    """The main drug of a visit: the first that is no premedication."""
    given = list(visit.administrations.all())
    before = {key for key, item in ITEMS.items() for row in given if (row.drug, row.route) == (item.drug, item.route)}
    usual = {(ITEMS[key].drug, ITEMS[key].route) for key in before}
    main = next((row for row in given if row.drug and (row.drug, row.route) not in usual), None)
    if main is None:
        return {}
    dose = main.ordered if main.ordered is not None else main.administered
    rows: Rows = tuple((vial.amount, vial.count) for vial in main.vials.all())
    return {
        "payer": visit.payer.slug,
        "drug": drug_text(main.drug, current_reference(), visit.date_of_service),
        "ordered": plain(dose) if dose is not None else "",
        "route": main.route,
        "diagnosis": ", ".join(visit.diagnoses),
        "vials": as_text(rows),
        **{BEFORE + key: "on" for key in before},
    }


def form_page(sheet: OrderSheet, *, checked: bool = False) -> HttpResponse:
    """The form, whole or as what changes while someone types."""
    entry, htmx = sheet.entry, cast(HtmxDetails, sheet.request.htmx)  # type: ignore[attr-defined]
    issues = entry.obstacles if checked else []
    on = entry.on or entry.around.today
    reference = entry.around.reference
    context = {
        "entry": entry,
        "form_url": reverse("order-new"),
        "form_method": "post",
        "issues": issues,
        "errors": {issue.field: issue.message for issue in issues},
        "checked": checked,
        "focus": sheet.focus,
        "notice": sheet.notice,
        "refusal": sheet.refusal,
        "client_id": sheet.client_id,
        "items": [(BEFORE + key, item.label, key in entry.before) for key, item in ITEMS.items()],
        "cautions": sheet.cautions(),
        "unread": entry.issues,
        "drug_choices": sorted({row.label for rows in reference.drugs.values() if (row := in_force(rows, on))}),
        "diagnosis_choices": sorted(
            (found.code, found.label) for rows in reference.diagnoses.values() if (found := in_force(rows, on))
        ),
    }
    if entry.patient is not None:
        tell_looked_up(sheet.request, sheet.client_id, entry.patient)
    part = "#live" if htmx and htmx.target == "preview-body" else ""
    status = 422 if sheet.refusal else 200
    return private(render(sheet.request, f"infusion/orders/new.html{part}", context, status=status))
