"""The record: who read and who changed what is kept of a patient or an encounter. For admins of the clinic."""

from __future__ import annotations

from itertools import groupby
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_safe

from infusion.access import ADMIN, allow
from infusion.models import Clinic, Encounter, Patient, User
from infusion.record_of import MOST_PAGES, Asked, entries, people_of, subjects_of_encounters, subjects_of_patient
from infusion.selectors import encounter_for, patient_for

FIRST_YEAR, LAST_YEAR = 1900, 2999


@require_safe
@allow(ADMIN)
def of_encounter(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Of one encounter."""
    encounter = encounter_for(request.user, public_id)
    if encounter is None:
        raise Http404
    subjects = subjects_of_encounters(Encounter.objects.filter(pk=encounter.pk))
    return page(request, encounter.clinic, encounter.patient, subjects, {"encounter": encounter})


@require_safe
@allow(ADMIN)
def of_patient(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Of a patient with every encounter, coverage and order."""
    patient = patient_for(request.user, public_id)
    if patient is None:
        raise Http404
    return page(request, patient.clinic, patient, subjects_of_patient(patient), {})


def page(
    request: HttpRequest, clinic: Clinic, patient: Patient, subjects: set[str], more: dict[str, Any]
) -> HttpResponse:
    people = people_of(clinic, subjects)
    asked, day, problem = asked_of(request, people)
    found, further = entries(clinic, subjects, asked)
    zone = ZoneInfo(clinic.time_zone)
    chosen = {"person": str(asked.person.public_id) if asked.person else "", "day": day}
    context = {
        **more,
        "patient": patient,
        "zone": clinic.time_zone,
        "days": [(on, list(rows)) for on, rows in groupby(found, key=lambda each: each.at.astimezone(zone).date())],
        "people": people,
        "asked": asked,
        "day": day,
        "problem": problem,
        "newer": urlencode({**chosen, "page": asked.page - 1}) if asked.page > 1 else "",
        "older": urlencode({**chosen, "page": asked.page + 1}) if further else "",
    }
    return render(request, "infusion/record/page.html", context, status=422 if problem else 200)


def asked_of(request: HttpRequest, people: list[User]) -> tuple[Asked, str, str]:
    """What is asked for, the day as it was typed, and what is wrong with it."""
    person = next((each for each in people if str(each.public_id) == request.GET.get("person")), None)
    text = request.GET.get("day", "").strip()[:10]
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    problem = "Day: write it as 2026-03-10, or leave it empty for every day." if text and day is None else ""
    if day is not None and not FIRST_YEAR <= day.year <= LAST_YEAR:
        day, problem = None, f"Day: choose one from {FIRST_YEAR} to {LAST_YEAR}, or leave it empty for every day."
    number = request.GET.get("page", "")
    number_is_sound = number.isascii() and number.isdigit() and len(number) < 4
    at = min(max(int(number), 1), MOST_PAGES) if number_is_sound else 1
    return Asked(person, day, at), text, problem
