"""What a change of a rule or of a drug would have done: part by part while someone waits, as a list, and as a file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core import signing
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from infusion.access import ADMIN, allow
from infusion.impact import (
    AnyQuestion,
    DrugQuestion,
    EncounterChange,
    Forecast,
    LineChange,
    Question,
    all_changes,
    forecast_part,
)
from infusion.models import Clinic, DrugRow, User
from infusion.selectors import encounters_of
from infusion.services.words import dollars
from infusion.views.home import clinic_today
from payers.models import PolicyOverride
from payers.whatif import DATED, HELD

USUAL_DAYS = 90
ROWS_ON_A_PAGE = 50
SHOWN = 3
SAMPLES = "impact"
MOST_QUESTIONS = 20


@dataclass(frozen=True, slots=True)
class CodeLine:
    """What a code gains or loses over all encounters."""

    name: str
    more: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A forecast in words."""

    forecast: Forecast
    question: AnyQuestion

    @property
    def share(self) -> int:
        """How much of it is looked at, in percent."""
        return 100 * self.forecast.looked_at // self.forecast.of if self.forecast.of else 100

    @property
    def codes(self) -> list[CodeLine]:
        changed = sorted(self.forecast.lines.items(), key=lambda item: -abs(item[1]))
        return [CodeLine(" ".join((code, *modifiers)), signed(more)) for (code, modifiers), more in changed if more]

    @property
    def money(self) -> str:
        more = self.forecast.more_expected
        return f"{'+' if more > 0 else '−' if more < 0 else ''}{dollars(abs(more))}"

    @property
    def caption(self) -> str:
        shown = min(SHOWN, self.forecast.changed)
        return f"{shown} of the {self.forecast.changed}" if shown < self.forecast.changed else "Each of them"

    @property
    def rows(self) -> list[Row]:
        return rows_of(self.forecast.samples[:SHOWN], self.question.clinic)


def rows_of(changes: Sequence[EncounterChange], clinic: Clinic) -> list[Row]:
    """With the patient's record number, which no address may carry and so is read here."""
    mine = encounters_of(clinic).filter(public_id__in=[change.public_id for change in changes])
    references = dict(mine.values_list("public_id", "patient__reference"))
    return [Row(change, references[change.public_id]) for change in changes]


@dataclass(frozen=True, slots=True)
class Row:
    """One encounter that would change, in words."""

    change: EncounterChange
    reference: str

    @property
    def lines(self) -> list[tuple[str, int, int]]:
        return [(line.name, line.now, line.then) for line in self.change.lines]

    @property
    def money(self) -> str:
        more = self.change.more_expected
        return "" if more is None else f"{'+' if more > 0 else '−' if more < 0 else ''}{dollars(abs(more))}"


def signed(more: int) -> str:
    return f"+{more}" if more > 0 else f"−{-more}" if more < 0 else "0"


def question_of(request: HttpRequest, public_id: UUID, *, drug: bool) -> AnyQuestion:
    """The change and the days that the address names; what it does not name is the last 90 days, as if it had held."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101  narrows the type; a role is only given with a clinic
    assert user.clinic is not None  # noqa: S101
    today = clinic_today(user.clinic)
    days = DATED if request.GET.get("days") == DATED else HELD
    since = None if request.GET.get("since") == "all" else today - timedelta(days=USUAL_DAYS)
    if drug:
        row = get_object_or_404(DrugRow, public_id=public_id, known_until__isnull=True)
        return DrugQuestion(row=row, clinic=user.clinic, since=since, until=today, days=days)
    overrides = PolicyOverride.objects.select_related("payer")
    override = get_object_or_404(overrides, public_id=public_id, known_until__isnull=True)
    return Question(override=override, clinic=user.clinic, since=since, until=today, days=days)


def address_of(question: AnyQuestion, part: str = "", **more: str) -> str:
    """The address of the question, or of a part of its answer."""
    asked = {"since": "all" if question.since is None else "", "days": DATED if question.days == DATED else "", **more}
    query = urlencode({key: value for key, value in asked.items() if value})
    return reverse(f"{question.route}{part}", args=[question.id]) + (f"?{query}" if query else "")


def asked_at(question: AnyQuestion) -> tuple[str, str, str]:
    """The page on which the change is worked on, its name, and the part of the site that it belongs to."""
    if isinstance(question, DrugQuestion):
        return reverse("drug-row", args=[question.id]), f"{question.row.code}: the drug", "Drugs"
    payer = question.override.payer
    return reverse("payers:rule", args=[payer.slug, question.id]), f"{payer.name}: the rule", "Payers"


@require_safe
@allow(ADMIN)
def impact(request: HttpRequest, public_id: UUID, *, drug: bool = False) -> HttpResponse:
    """One part more of the answer. The counts so far come along, signed; the encounters shown stay with the session."""
    question = question_of(request, public_id, drug=drug)
    found = forecast_part(question, taken_up(request, question))
    so_far = "" if found.done else signing.dumps(_counts(found), salt=_name_of(question), compress=True)
    _keep_samples(request, question, found)
    context = {
        "question": question,
        "asked_at": asked_at(question),
        "shown": Shown(found, question),
        "next": address_of(question, so_far=so_far) if so_far else "",
        "all_url": address_of(question, "-encounters"),
        "csv_url": address_of(question, "-file"),
        "since_all_url": address_of(replace(question, since=None)) if question.since else "",
        "dated_url": address_of(replace(question, days=DATED)) if question.days == HELD else "",
    }
    template = "infusion/impact/_panel.html" if request.htmx else "infusion/impact/page.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_safe
@allow(ADMIN)
def impact_encounters(request: HttpRequest, public_id: UUID, *, drug: bool = False) -> HttpResponse:
    """Every encounter that would change, page by page."""
    question = question_of(request, public_id, drug=drug)
    page = Paginator(list(all_changes(question)), ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "question": question,
        "asked_at": asked_at(question),
        "page": page,
        "rows": rows_of(list(page.object_list), question.clinic),
        "csv_url": address_of(question, "-file"),
        "question_url": address_of(question),
    }
    return render(request, "infusion/impact/encounters.html", context)


@require_safe
@allow(ADMIN)
def impact_file(request: HttpRequest, public_id: UUID, *, drug: bool = False) -> StreamingHttpResponse:
    """The same list as CSV, a row for each line that would change."""
    question = question_of(request, public_id, drug=drug)
    response = StreamingHttpResponse(_rows_of_file(question), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="impact-{question.id}.csv"'
    return response


class Echo:
    """What a csv writer writes to, so that each row can be sent as it comes."""

    def write(self, row: str) -> str:
        return row


def _rows_of_file(question: AnyQuestion) -> Iterator[str]:
    writer = csv.writer(Echo())
    yield writer.writerow(("encounter", "date_of_service", "code", "modifiers", "units_now", "units_then"))
    for change in all_changes(question):
        for line in change.lines:
            day, modifiers = change.date_of_service.isoformat(), " ".join(line.modifiers)
            yield writer.writerow((change.public_id, day, line.code, modifiers, line.now, line.then))


def taken_up(request: HttpRequest, question: AnyQuestion) -> Forecast:
    """What was found before. Without its encounters, or with counts of another question or clinic, it begins anew."""
    samples = request.session.get(SAMPLES, {}).get(_name_of(question))
    try:
        plain = signing.loads(request.GET.get("so_far", ""), salt=_name_of(question), max_age=3600)
    except signing.BadSignature:
        plain = None
    if plain is None or samples is None:
        return Forecast()
    return Forecast(
        of=plain["of"], looked_at=plain["looked_at"], after=plain["after"], changed=plain["changed"],
        lines={(code, tuple(modifiers)): more for code, modifiers, more in plain["lines"]},
        more_expected=Decimal(plain["more_expected"]), without_rate=plain["without_rate"],
        samples=[_sample(each) for each in samples],
    )  # fmt: skip


def _name_of(question: AnyQuestion) -> str:
    """What no other question has, nor the same one of another clinic or on another day."""
    return f"{question.route} {question.id} {question.clinic.pk} {question.since} {question.until} {question.days}"


def _counts(found: Forecast) -> dict[str, Any]:
    return {
        "of": found.of, "looked_at": found.looked_at, "after": found.after, "changed": found.changed,
        "lines": [[code, list(modifiers), more] for (code, modifiers), more in found.lines.items()],
        "more_expected": str(found.more_expected), "without_rate": found.without_rate,
    }  # fmt: skip


def _keep_samples(request: HttpRequest, question: AnyQuestion, found: Forecast) -> None:
    """The encounters shown, until the answer is whole: a day of service may stand in no address."""
    name = _name_of(question)
    others = [each for each in request.session.get(SAMPLES, {}).items() if each[0] != name]
    if not found.done:
        request.session[SAMPLES] = dict([*others[-(MOST_QUESTIONS - 1) :], (name, _plain(found.samples[:SHOWN]))])
    elif SAMPLES in request.session:
        request.session[SAMPLES] = dict(others)


def _plain(samples: Sequence[EncounterChange]) -> list[dict[str, Any]]:
    return [
        asdict(each) | {
            "public_id": str(each.public_id), "date_of_service": each.date_of_service.isoformat(),
            "more_expected": None if each.more_expected is None else str(each.more_expected),
        }
        for each in samples
    ]  # fmt: skip


def _sample(plain: dict[str, Any]) -> EncounterChange:
    more = plain["more_expected"]
    return EncounterChange(
        public_id=UUID(plain["public_id"]),
        date_of_service=date.fromisoformat(plain["date_of_service"]),
        minutes=plain["minutes"],
        lines=tuple(LineChange(line["code"], tuple(line["modifiers"]), line["now"], line["then"])
                    for line in plain["lines"]),
        gained=tuple(plain["gained"]),
        lost=tuple(plain["lost"]),
        more_expected=None if more is None else Decimal(more),
    )  # fmt: skip
