"""Sheets to print: an encounter's charge sheet on one page, and a blank one for a day without computers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from infusion.access import ADMIN, BILLING, NURSE, allow, roles_of
from infusion.documentation import ITEMS, asked_of, checklist_of, prescriber_of
from infusion.late import late_words
from infusion.models import Administration, Encounter
from infusion.selectors import encounter_for, last_write
from infusion.services.facts import ROUTES
from infusion.services.lines import ServiceLine, Statement
from infusion.services.words import plain
from infusion.timeline import draw_timeline
from infusion.views.encounters import clinic_of, private
from infusion.views.home import drug_label
from infusion.views.review import Shown, shown_of
from infusion.views.was_now import Past, was_now
from payers.policy import DISCARD_REASONS, SETTINGS
from payers.selectors import day_in_words

SENTENCE = re.compile(r"(?<=[.])\s+(?=[A-Z0-9])")
NDC_UNITS = {"ML": "mL", "UN": "vials"}
BLANK_DRUGS = range(1, 4)


@dataclass(frozen=True, slots=True)
class SheetLine:
    """A service line with its reason in a sentence or two."""

    code: str
    modifiers: str
    units: int
    reason: str
    charge: str


@dataclass(frozen=True, slots=True)
class SheetRow:
    """What was recorded: a name, a value, and what is to be said beside it."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class SheetDrug:
    """One drug with its times and its amounts."""

    title: str
    times: tuple[SheetRow, ...]
    amounts: tuple[SheetRow, ...]
    late: str


@dataclass(frozen=True, slots=True)
class Signed:
    """Who stands for the sheet, and since when."""

    role: str
    who: str = ""
    when: str = ""


@require_safe
@allow(NURSE, BILLING, ADMIN)
def sheet(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The charge sheet: as approved where it is, else as it stands, and marked so."""
    encounter = encounter_for(request.user, public_id)
    if encounter is None:
        raise Http404
    shown, at_a_desk = shown_of(encounter), bool(roles_of(request.user) & {BILLING, ADMIN})
    context = {
        "encounter": encounter,
        "clinic": encounter.clinic,
        "patient": encounter.patient,
        "setting": SETTINGS[encounter.setting].lower(),
        "shown": shown,
        "lines": sheet_lines(shown.statement, at_a_desk=at_a_desk),
        "with_charges": at_a_desk and any(line.charge is not None for line in shown.statement.lines),
        "missing": [finding.message for finding in shown.statement.errors],
        "timeline": timeline_of(shown, encounter, hours=at_a_desk),
        "drugs": [sheet_drug(row, encounter) for row in encounter.administrations.all()],
        "documentation": checklist_of(encounter, shown.facts),
        "skips": list(encounter.skips.filter(ended_at__isnull=True).select_related("by")) if at_a_desk else [],
        "corrections": list(encounter.corrections.select_related("opened_by")) if at_a_desk else [],
        "changes": was_now(encounter, Past.of(encounter), shown.facts, shown.statement) if at_a_desk else None,
        "signatures": signatures(shown, encounter),
        "last": last_write(encounter),
    }
    return private(render(request, "infusion/paper/sheet.html", context))


@require_safe
@allow(NURSE, BILLING, ADMIN)
def downtime_sheet(request: HttpRequest) -> HttpResponse:
    """A blank sheet, for what is entered later."""
    clinic = clinic_of(request)
    items = [item for item in asked_of(clinic) if item not in (ITEMS["vials"], ITEMS["diagnosis"])]
    context = {"clinic": clinic, "items": items, "numbers": BLANK_DRUGS}
    return render(request, "infusion/paper/downtime.html", context)


def sheet_lines(statement: Statement, *, at_a_desk: bool) -> list[SheetLine]:
    return [
        SheetLine(
            line.code, ", ".join(line.modifiers), line.units, short_reason(line, at_a_desk=at_a_desk),
            "" if line.charge is None or not at_a_desk else f"${line.charge:,.2f}",
        )
        for line in statement.lines
    ]  # fmt: skip


def short_reason(line: ServiceLine, *, at_a_desk: bool) -> str:
    """The first reason without what would change it; at the chair nothing that tells how long an hour still is."""
    sentences = [text for text in SENTENCE.split(line.because[0].text) if " would " not in text] if line.because else []
    said = sentences if at_a_desk or line.kind == "drug" else sentences[:1]
    said += [f"NDC {each.ndc}, {plain(each.quantity)} {NDC_UNITS.get(each.unit, each.unit)}." for each in line.ndcs]
    return " ".join(said)


def timeline_of(shown: Shown, encounter: Encounter, *, hours: bool) -> object:
    if hours:
        return shown.timeline
    names = {each.id: drug_label(each.route, each.drug, encounter) for each in shown.facts.administrations}
    return draw_timeline(shown.facts, names, None)


# What was recorded ----------------------------------------------------------------------------------------------------


def sheet_drug(row: Administration, encounter: Encounter) -> SheetDrug:
    zone = ZoneInfo(encounter.clinic.time_zone)
    title = f"{drug_label(row.route, row.drug, encounter)}, {ROUTES[row.route]}"
    return SheetDrug(title, tuple(times_of(row, encounter)), tuple(amounts_of(row, encounter)), late_words(row, zone))


def times_of(row: Administration, encounter: Encounter) -> list[SheetRow]:
    zone = ZoneInfo(encounter.clinic.time_zone)

    def clock(moment: datetime | None) -> str:
        if moment is None:
            return "not recorded"
        local = moment.astimezone(zone)
        return (
            f"{local:%H:%M}" if local.date() == encounter.date_of_service else f"{local:%b} {local.day}, {local:%H:%M}"
        )

    if row.started_at is None and row.stopped_at is None:
        return []
    rows = [SheetRow("Started", clock(row.started_at))]
    for pause in row.pauses.all():
        rows += [SheetRow("Paused", clock(pause.started_at)), SheetRow("Resumed", clock(pause.stopped_at))]
    return [*rows, SheetRow("Stopped", clock(row.stopped_at))]


def amounts_of(row: Administration, encounter: Encounter) -> list[SheetRow]:
    rows = []
    if row.ordered is not None:
        rows.append(SheetRow("Ordered", f"{plain(row.ordered)} mg", prescriber_of(encounter)))
    for vial in row.vials.all():
        known = [f"NDC {vial.ndc}" if vial.ndc else "", f"lot {vial.lot}" if vial.lot else ""]
        note = ", ".join([f"{vial.count} of {plain(vial.amount)} mg", *(each for each in known if each)])
        rows.append(SheetRow("Opened", f"{plain(vial.amount * vial.count)} mg", note))
    if row.administered is not None:
        rows.append(SheetRow("Given", f"{plain(row.administered)} mg"))
    for discard in row.discards.all():
        seen = f", seen by {discard.witness.signature}" if discard.witness else ""
        reason = f"{DISCARD_REASONS[discard.reason].lower()}{seen}"
        rows.append(SheetRow("Discarded", f"{plain(discard.amount)} mg", reason))
    if row.administered is not None and row.vials.all() and not row.discards.all():
        rows.append(SheetRow("Discarded", "0 mg"))
    return rows


def signatures(shown: Shown, encounter: Encounter) -> list[Signed]:
    zone = ZoneInfo(encounter.clinic.time_zone)

    def when(at: datetime) -> str:
        local = at.astimezone(zone)
        return f"{day_in_words(local.date())}, {local:%H:%M}"

    nurse, billing = Signed("Nurse"), Signed("Billing")
    if encounter.handed_over_by is not None and encounter.handed_over_at is not None:
        role = "Nurse" if NURSE in roles_of(encounter.handed_over_by) else "Handed over, corrected"
        nurse = Signed(role, encounter.handed_over_by.signature, when(encounter.handed_over_at))
    if shown.approval is not None:
        billing = Signed("Billing", shown.approval.approved_by.signature, when(shown.approval.approved_at))
    return [nurse, billing, Signed("Signature on paper, where asked for")]
