"""What a period looked like: drug, missing stops, warnings, and how long approval took. Pictures with their tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from infusion import report_rows
from infusion.access import ADMIN, BILLING, allow
from infusion.forms.reports import ReportForm
from infusion.report_rows import Asked
from infusion.reports import (
    DrugFigures,
    Drugs,
    Picture,
    Series,
    Stops,
    Waits,
    Warned,
    draw_columns,
    draw_spans,
    month_after,
    months_between,
    percent,
    time_in_words,
)
from infusion.services.words import plain
from infusion.spreadsheet import spreadsheet_bytes
from infusion.views.fees import attached, clinic_of, code_label
from infusion.views.few_words import ACKNOWLEDGED
from payers.models import Payer
from payers.views import today_at

MONTHS_OFFERED = (3, 6, 12)
SMALL = 116


@dataclass(frozen=True, slots=True)
class DrugReport:
    """One drug: its picture, its months and its payers."""

    code: str
    label: str
    picture: Picture
    months: tuple[DrugFigures, ...]
    payers: tuple[DrugFigures, ...]
    total: DrugFigures


@dataclass(frozen=True, slots=True)
class WarningReport:
    """One warning: in how many of all encounters, and its months."""

    code: str
    title: str
    count: int
    share: int
    picture: Picture
    months: tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A period to choose at once."""

    label: str
    query: str
    here: bool


@require_safe
@allow(BILLING, ADMIN)
def reports(request: HttpRequest) -> HttpResponse:
    """All four reports of one period."""
    today = today_at(request)
    form, asked = asked_of(request, today)
    context: dict[str, Any] = {
        "form": form,
        "issues": form.issues,
        "checked": bool(form.issues),
        "offers": offers(request, today, asked),
        "asked": asked,
    }
    if asked is not None:
        months = months_between(asked.first, asked.last)
        context |= {
            "query": query_of(asked),
            "clinic": asked.clinic,
            "drugs": drug_reports(report_rows.drugs(asked), months),
            **stop_report(report_rows.stops(asked), months),
            **warning_reports(report_rows.warned(asked), months),
            **wait_report(report_rows.waits(asked), months),
        }
    return render(request, "infusion/reports/page.html", context)


@require_safe
@allow(BILLING, ADMIN)
def report_file(request: HttpRequest) -> HttpResponse:
    """One report as a file for a spreadsheet."""
    _, asked = asked_of(request, today_at(request))
    name = request.GET.get("report", "drugs")
    if asked is None or name not in FILES:
        raise Http404
    heads, rows = FILES[name](asked)
    return attached(spreadsheet_bytes(heads, rows), f"{name}-{asked.first}-to-{asked.last}.csv")


def asked_of(request: HttpRequest, today: date) -> tuple[ReportForm, Asked | None]:
    """What was asked for, or None where it cannot be read."""
    form = ReportForm(request.GET.dict(), today=today)
    if not form.is_valid():
        return form, None
    given = form.cleaned_data
    payer = Payer.objects.get(slug=given["payer"]) if given["payer"] else None
    return form, Asked(
        clinic=clinic_of(request), first=given["first"], last=given["last"], payer=payer, drug=given["drug"]
    )  # fmt: skip


def query_of(asked: Asked) -> str:
    given = {"first": asked.first.isoformat(), "last": asked.last.isoformat()}
    given |= {"payer": asked.payer.slug} if asked.payer else {}
    return urlencode(given | ({"drug": asked.drug} if asked.drug else {}))


def offers(request: HttpRequest, today: date, asked: Asked | None) -> list[Offer]:
    """The latest months, with the payer and the drug that are chosen."""
    kept = {name: request.GET[name] for name in ("payer", "drug") if request.GET.get(name)}
    found = []
    for count in MONTHS_OFFERED:
        first = month_after(today, 1 - count)
        here = asked is not None and (asked.first, asked.last) == (first, today)
        query = urlencode({"first": first.isoformat(), "last": today.isoformat(), **kept})
        found.append(Offer(f"Latest {count} months", query, here))
    return found


# Units and discarded milligrams --------------------------------------------------------------------------------------


def drug_reports(found: Drugs, months: Sequence[date]) -> list[DrugReport]:
    return [drug_report(found, code, months) for code in found.codes]


def drug_report(found: Drugs, code: str, months: Sequence[date]) -> DrugReport:
    figures = found.by_month(code, months)
    payers = found.by_payer(code)
    label = code_label(code, months[-1]) or code
    series = (
        Series("units given", "run", tuple(each.units - each.discarded_units for each in figures)),
        Series("units discarded (JW)", "waste", tuple(each.discarded_units for each in figures)),
    )
    total = DrugFigures(
        "Total", sum(each.units for each in figures), sum(each.discarded_units for each in figures),
        sum((each.discarded for each in figures), start=figures[0].discarded * 0),
    )  # fmt: skip
    picture = draw_columns(f"drug-{code}", f"{label}: units by month", months, series)
    return DrugReport(
        code, label, picture, tuple(each for each in figures if each.units or each.discarded), payers, total
    )


# Missing stop times ---------------------------------------------------------------------------------------------------


def stop_report(found: Sequence[Stops], months: Sequence[date]) -> dict[str, Any]:
    by_month = {each.month: each for each in found}
    rows = [by_month.get(month, Stops(month, 0, 0, 0)) for month in months]
    series = (
        Series("entered late", "run", tuple(each.late for each in rows)),
        Series("still missing", "missing", tuple(each.missing for each in rows)),
    )
    picture = draw_columns("stops", "Stop times that are missing or late, by month", months, series)
    shown = [each for each in rows if each.infusions]
    return {
        "stops": [(each, percent(each.missing, each.infusions)) for each in shown],
        "stops_picture": picture,
        "infusions": f"{sum(each.infusions for each in rows):,}",
        "stops_missing": f"{sum(each.missing for each in rows):,}",
        "stops_late": f"{sum(each.late for each in rows):,}",
    }


# Warnings -------------------------------------------------------------------------------------------------------------


def warning_reports(found: Warned, months: Sequence[date]) -> dict[str, Any]:
    shares = found.shares(found.some, months)
    picture = draw_columns(
        "warned", "Share of approved encounters with a warning, by month", months,
        (Series("with a warning", "run", shares),), suffix="%",
    )  # fmt: skip
    some = sum(found.some.values())
    return {
        "warned": [
            (f"{month:%b %Y}", found.approved[month], found.some.get(month, 0), share)
            for month, share in zip(months, shares, strict=True)
            if found.approved.get(month)
        ],
        "warned_picture": picture,
        "approved": f"{found.total:,}" if found.total else "",
        "warned_share": percent(some, found.total),
        "warnings": warnings_of(found, months),
    }


def warnings_of(found: Warned, months: Sequence[date]) -> list[WarningReport]:
    """Each warning, all on one scale, so that they can be compared."""
    highest = max((max(found.shares(counts, months)) for counts in found.codes.values()), default=0)
    return [warning_report(found, code, months, highest) for code in found.often()]


def warning_report(found: Warned, code: str, months: Sequence[date], highest: int) -> WarningReport:
    counts = found.codes[code]
    shares = found.shares(counts, months)
    count = sum(counts.values())
    title = ACKNOWLEDGED.get(code, ("", ""))[0]
    name = title[:1].upper() + title[1:] if title else code
    picture = draw_columns(
        f"warning-{code.replace('.', '-')}", f"{name}: share of approved encounters by month", months,
        (Series("of encounters", "run", shares),), suffix="%", height=SMALL, highest=highest, lines=1,
    )  # fmt: skip
    rows = tuple(
        (f"{month:%b %Y}", found.approved[month], counts.get(month, 0), share)
        for month, share in zip(months, shares, strict=True)
        if found.approved.get(month)
    )
    return WarningReport(code, name, count, percent(count, found.total), picture, rows)


# From stop to approval ------------------------------------------------------------------------------------------------


def wait_report(found: Waits, months: Sequence[date]) -> dict[str, Any]:
    rows = [
        (f"{month:%b %Y}", len(found.minutes[month]), *(time_in_words(found.rank(month, share)) for share in (50, 90)))
        for month in months
        if month in found.minutes
    ]
    return {
        "waits": rows,
        "waits_picture": draw_spans("waits", "Time from the last stop to approval, by month", months, found),
        "wait_median": time_in_words(found.overall(50)),
        "wait_p90": time_in_words(found.overall(90)),
    }


# Files ----------------------------------------------------------------------------------------------------------------

Table = tuple[Sequence[str], Iterable[Sequence[object]]]


def drugs_table(asked: Asked) -> Table:
    heads = ("Clinic", "Month", "Payer", "Code", "Drug", "Units", "Discarded units (JW)", "Discarded mg")
    return heads, (
        (asked.clinic.name, f"{month:%Y-%m}", payer, code, code_label(code, month), units, waste, plain(amount))
        for month, payer, code, units, waste, amount in report_rows.drugs(asked).every()
    )


def stops_table(asked: Asked) -> Table:
    heads = ("Clinic", "Month", "Infusions", "Stop missing", "Stop entered late")
    return heads, (
        (asked.clinic.name, f"{each.month:%Y-%m}", each.infusions, each.missing, each.late)
        for each in report_rows.stops(asked)
    )


def warnings_table(asked: Asked) -> Table:
    heads = ("Clinic", "Month", "Warning", "Approved encounters", "With it", "Percent")
    found = report_rows.warned(asked)
    counted = [("any", found.some), *((code, found.codes[code]) for code in found.often())]
    return heads, (
        (asked.clinic.name, f"{month:%Y-%m}", code, whole, counts.get(month, 0), percent(counts.get(month, 0), whole))
        for month, whole in sorted(found.approved.items())
        for code, counts in counted
    )


def approval_table(asked: Asked) -> Table:
    heads = ("Clinic", "Month", "Encounters", "Median minutes", "90th percentile minutes")
    found = report_rows.waits(asked)
    return heads, (
        (asked.clinic.name, f"{month:%Y-%m}", len(found.minutes[month]), found.rank(month, 50), found.rank(month, 90))
        for month in sorted(found.minutes)
    )


FILES = {"drugs": drugs_table, "stops": stops_table, "warnings": warnings_table, "approval": approval_table}
