"""Pages that need no sign-in: the calculator, and the rules with their sources."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails

from infusion.contradictions import contradictions
from infusion.forms.encounter import EncounterEntry, Surroundings
from infusion.forms.structure import ACT, SHOWN_ERRORS, Entries, TooMuch, act, known_entries
from infusion.reference_now import current_reference
from infusion.selectors import payers
from infusion.services.reference import Reference, in_force
from infusion.views.preview import Preview, balance_of, issues_of, preview_of
from payers.models import Payer
from payers.policy import PARAMETERS, PayerPolicy, national_baseline
from payers.selectors import policy_for

CHECK = "check"
LIVE = "preview-body"
FRAGMENTS = {LIVE: "#live", "calculator": "#calculator"}
EXAMPLE = {
    "date": "2026-03-10", "diagnosis": "G35.A", "d1-drug": "Ocrelizumab", "d1-start": "0900", "d1-stop": "1130",
    "d1-ordered": "600", "d1-administered": "600", "d1-v1-size": "300", "d1-v1-count": "2",
}  # fmt: skip


def payers_to_choose() -> dict[str, Payer]:
    """The payers a visitor may choose besides the national baseline, by slug. Without a database there are none."""
    try:
        return {payer.slug: payer for payer in payers()}
    except DatabaseError:
        return {}


def policy_of(payer: Payer | None) -> PayerPolicy:
    """The published rules of a payer, or the national baseline."""
    return policy_for(payer) if payer else national_baseline()


def clinic_now() -> datetime:
    return timezone.now().astimezone(ZoneInfo(settings.INFUSION_DEFAULT_TIME_ZONE))


def surroundings(payer: str) -> Surroundings:
    reference = current_reference()
    # Last, because PostgreSQL answers nothing more in a transaction in which a table was missing.
    known = payers_to_choose()
    names = {"": "National baseline", **{slug: each.name for slug, each in known.items()}}
    return Surroundings(reference, clinic_now(), names, policy_of(known.get(payer)))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants: the entries, the focus after a button, and whether errors are to be shown."""

    entries: Entries
    focus: str
    checked: bool
    shown: frozenset[str]
    problem: str = ""


def pressed(request: HttpRequest, sent: QueryDict) -> str:
    """The button that was pressed. What is sent while someone types names a button that merely has the focus."""
    htmx = cast(HtmxDetails, request.htmx)  # type: ignore[attr-defined]
    return "" if htmx and htmx.target == LIVE else sent.get(ACT, "")


def read_request(request: HttpRequest) -> Asked:
    pairs = [(name, request.GET[name]) for name in request.GET]
    action = pressed(request, request.GET)
    shown = frozenset(request.GET.get(SHOWN_ERRORS, "")[:2000].split())
    try:
        entries = known_entries(pairs)
    except TooMuch as problem:
        return Asked({}, "", True, shown, str(problem))
    if not request.GET:
        entries = {"date": clinic_now().date().isoformat()}
    acted = act(entries, action)
    return Asked(acted.entries, acted.focus, action == CHECK, shown)


@login_not_required
@require_safe
def calculator(request: HttpRequest) -> HttpResponse:
    """The calculator, whole or as the fragment that htmx asked for: one view, one template."""
    asked = read_request(request)
    entry = EncounterEntry(asked.entries, surroundings(asked.entries.get("payer", "")))
    preview = preview_of(entry, entry.around.policy.with_inline(entry.rules.document()))
    context = calculator_context(entry, preview, asked)
    htmx = cast(HtmxDetails, request.htmx)  # type: ignore[attr-defined]
    part = FRAGMENTS.get(htmx.target or "", "") if htmx else ""
    if part == "#live":
        context["changed_drug"] = changed_drug(htmx.trigger_name or "", entry)
    response = render(request, f"infusion/calculator.html{part}", context)
    if part:
        response["HX-Replace-Url"] = str(context["permalink"])
    response["Vary"] = "HX-Request, HX-Target"
    response["Cache-Control"] = "no-store" if part else "no-cache"
    return response


def calculator_context(entry: EncounterEntry, preview: Preview, asked: Asked) -> dict[str, object]:
    issues = issues_of(entry, preview) if asked.checked or asked.shown else []
    if not asked.checked:
        issues = [issue for issue in issues if issue.field in asked.shown]
    query = urlencode(entry.query())
    return {
        "entry": entry,
        "preview": preview,
        "form_url": reverse("calculator"),
        "issues": issues,
        "errors": {issue.field: issue.message for issue in issues},
        "refusal": asked.problem,
        "balances": {drug.id: balance_of(drug) for drug in entry.drugs},
        "permalink": reverse("calculator") + (f"?{query}" if query else ""),
        "checked": asked.checked,
        "focus": asked.focus,
        "drug_choices": drug_choices(entry),
        "diagnosis_choices": diagnosis_choices(entry),
        "example": f"{reverse('calculator')}?{urlencode(EXAMPLE)}",
    }


def changed_drug(trigger: str, entry: EncounterEntry) -> object:
    """The drug whose name was just typed: its vial sizes are then offered anew."""
    return next((drug for drug in entry.drugs if trigger == f"{drug.id}-drug"), None)


def drug_choices(entry: EncounterEntry) -> list[tuple[str, str]]:
    """Name and code of every drug in force on the date of service, by name."""
    on = entry.date_of_service or entry.around.today
    rows = [in_force(rows, on) for rows in entry.around.reference.drugs.values()]
    return sorted((row.label, row.code) for row in rows if row)


def diagnosis_choices(entry: EncounterEntry) -> list[tuple[str, str]]:
    on = entry.date_of_service or entry.around.today
    rows = [in_force(rows, on) for rows in entry.around.reference.diagnoses.values()]
    return sorted((row.code, row.label) for row in rows if row)


@login_not_required
@require_safe
def rules_page(request: HttpRequest) -> HttpResponse:
    """Every payer parameter with its meaning and baseline, every settled rule, and where each is written."""
    reference = current_reference()
    response = render(
        request,
        "infusion/rules.html",
        {
            "parameters": [parameter_row(name, reference) for name in PARAMETERS],
            "rules": rule_rows(reference),
            "sources": sorted(reference.sources.items()),
            "version": reference.version,
        },
    )
    response["Cache-Control"] = "no-cache"
    return response


def parameter_row(name: str, reference: Reference) -> dict[str, object]:
    parameter = PARAMETERS[name]
    return {
        "name": name,
        "label": parameter.label,
        "meaning": parameter.meaning,
        "baseline": parameter.words(parameter.default),
        "key": parameter.source,
        "source": reference.sources.get(parameter.source),
    }


def rule_rows(reference: Reference) -> list[dict[str, object]]:
    return [
        {"key": key, "rule": rule, "source": reference.sources.get(rule.source)}
        for key, rule in reference.rules.items()
    ]


@login_not_required
@require_safe
def contradictions_page(request: HttpRequest) -> HttpResponse:
    """Two sources side by side wherever they disagree, and which of them holds here."""
    reference = current_reference()
    rows = [
        {
            "key": key,
            "found": found,
            "sides": [
                {"says": side.says, "key": side.source, "source": reference.sources[side.source], "holds": holds}
                for side, holds in ((found.first, found.chosen == "first"), (found.second, found.chosen == "second"))
            ],
            "rule": rule_named(found.rule, reference),
        }
        for key, found in contradictions().items()
    ]
    response = render(request, "infusion/contradictions.html", {"rows": rows})
    response["Cache-Control"] = "no-cache"
    return response


def rule_named(key: str, reference: Reference) -> dict[str, str] | None:
    """A settled rule or a parameter as a link on the page of rules."""
    if key in PARAMETERS:
        return {"anchor": f"parameter-{key}", "title": PARAMETERS[key].label}
    return {"anchor": f"rule-{key}", "title": reference.rules[key].title} if key else None
