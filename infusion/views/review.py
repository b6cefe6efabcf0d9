"""Billing looks at one encounter: its lines, why they are so, and what has to be acknowledged before approval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from infusion import actions
from infusion.access import ADMIN, BILLING, allow, roles_of
from infusion.approved import approved_content
from infusion.audit import AuditEvent
from infusion.documentation import checklist_of
from infusion.late import late_words
from infusion.models import Approval, Encounter, User
from infusion.selectors import Review, encounter_for, review_of
from infusion.services import facts
from infusion.services.calculate import calculate, shipped_reference
from infusion.services.clock import length, running_periods, whole_minutes, zone_named
from infusion.services.facts import ROUTES
from infusion.services.findings import Finding
from infusion.services.lines import Statement
from infusion.services.words import counted, plain
from infusion.timeline import Timeline, draw_timeline
from infusion.views.expected import expected_view
from infusion.views.few_words import ACKNOWLEDGED
from infusion.views.home import DESK, Row, View, drug_label, drugs_of, row_of, strip, worklist_of
from infusion.views.preview import Figure, LineView, line_view
from infusion.worklist import ALL, APPROVED, ASKED, WITH_BILLING, Place
from payers.policy import DISCARD_REASONS, PARAMETERS, SETTINGS, Reading, Rules

State = Encounter.State
DONE = {
    "encounter.add": "recorded the encounter",
    "encounter.save": "changed the record",
    "encounter.hand_over": "handed it to billing",
    "encounter.return": "returned it to the nurse with a question",
    "encounter.approve": "approved it",
    "encounter.claim": "said what its claim carries",
}
DISCARDED_UNITS = "discarded_units"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A warning as its checkbox: what is wrong, in the rules' words, and what it costs."""

    key: str
    title: str
    message: str
    cost: str
    parameter: str
    checked: bool


@dataclass(frozen=True, slots=True)
class Given:
    """One administration as it was recorded, in words."""

    name: str
    facts: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Shown:
    """What a review page shows of an encounter: as it would be approved, or as it was."""

    facts: facts.Encounter
    statement: Statement
    rules: Rules | None = None
    review: Review | None = None
    approval: Approval | None = None
    lines: list[LineView] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    timeline: Timeline | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What someone sent and was refused, so that nothing of it is lost."""

    refusal: str = ""
    acknowledged: frozenset[str] = frozenset()
    question: str | None = None
    status: int = 200

    @property
    def asked(self) -> bool:
        """Whether it was the question that was refused."""
        return self.question is not None


@require_safe
@allow(BILLING, ADMIN)
def review(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The encounter as it would be approved now, or as it was approved."""
    return page(request, found(request, public_id), Tried())


@require_POST
@allow(BILLING)
def approve(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Approve exactly what was shown."""
    acknowledged = frozenset(request.POST.getlist("acknowledge"))

    def write(encounter: Encounter) -> str:
        actions.approve(
            by=person(request), encounter=encounter, version=version_of(request),
            content_hash=request.POST.get("content", ""), acknowledged=acknowledged,
        )  # fmt: skip
        return f"{encounter.patient.reference} is approved."

    return tried(request, public_id, write, Tried(acknowledged=acknowledged))


@require_POST
@allow(BILLING)
def send_back(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Return the encounter to the nurse with a question."""
    question = request.POST.get("question", "")

    def write(encounter: Encounter) -> str:
        actions.return_to_nurse(by=person(request), encounter=encounter, version=version_of(request), question=question)
        return f"{encounter.patient.reference} is back with the nurse, together with your question."

    return tried(request, public_id, write, Tried(question=question))


def tried(request: HttpRequest, public_id: UUID, write: Callable[[Encounter], str], sent: Tried) -> HttpResponse:
    """Write and show the outcome; where it is refused, show why beside all that was sent."""
    encounter = found(request, public_id)
    try:
        messages.success(request, write(encounter))
    except actions.Refused as refused:
        status = 409 if isinstance(refused, actions.Stale) else 422
        again = Tried(str(refused), sent.acknowledged, sent.question, status)
        return page(request, found(request, public_id), again)
    return HttpResponseRedirect(f"{reverse('review', args=[public_id])}?view={view_of(request, encounter)}")


def person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101  narrows the type; the view is closed to anyone else
    return request.user


def found(request: HttpRequest, public_id: UUID) -> Encounter:
    encounter = encounter_for(request.user, public_id)
    if encounter is None:
        raise Http404
    return encounter


def version_of(request: HttpRequest) -> int:
    """The version that was shown; one that cannot be read is no version at all, and so refused as changed."""
    sent = request.POST.get("version", "")
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 10 else -1


def view_of(request: HttpRequest, encounter: Encounter) -> str:
    """The list that someone came from, or the one that the encounter is in."""
    asked = request.POST.get("view") or request.GET.get("view") or ""
    if asked in DESK:
        return asked
    if encounter.state == State.DRAFT:
        return ASKED if any(each.answered_at is None for each in encounter.questions.all()) else ALL
    return WITH_BILLING if encounter.state == State.WITH_BILLING else APPROVED


def page(request: HttpRequest, encounter: Encounter, sent: Tried) -> HttpResponse:
    shown = shown_of(encounter)
    acknowledgements = acknowledgements_of(shown, sent.acknowledged)
    may_decide = BILLING in roles_of(request.user)
    context = {
        "encounter": encounter,
        "patient": encounter.patient,
        "heading": drugs_of_facts(shown.facts, encounter),
        "setting": SETTINGS[encounter.setting].lower(),
        "zone": encounter.clinic.time_zone,
        "shown": shown,
        "preview": shown,
        "errors": shown.statement.errors,
        "told": [finding for finding in shown.statement.findings if finding.severity == "info"],
        "acknowledgements": acknowledgements,
        "left": sum(not each.checked for each in acknowledgements),
        "may_decide": may_decide and encounter.state == State.WITH_BILLING,
        "given": [given_of(each, encounter) for each in shown.facts.administrations],
        "documentation": checklist_of(encounter, shown.facts),
        "questions": encounter.questions.all(),
        "expected": expected_view(encounter, shown.statement),
        "history": history_of(encounter),
        "rules_url": reverse("payers:detail", args=[encounter.payer.slug]),
        "sent": sent,
        **surroundings(request, encounter),
    }
    return render(request, "infusion/review/page.html", context, status=sent.status)


def surroundings(request: HttpRequest, encounter: Encounter) -> dict[str, object]:
    """The strip above the page: the lists, the neighbours, and the film of those around."""
    worklist, name = worklist_of(person(request)), view_of(request, encounter)
    place: Place = worklist.place(encounter, name)
    film: list[Row] = [row_of(item, name, frozenset()) for item in worklist.named(place.film)]
    views: list[View] = strip(worklist, DESK, name)
    return {"view": name, "views": views, "place": place, "film": film}


def shown_of(encounter: Encounter) -> Shown:
    """The stored approval where there is one; else the lines under the rules known now."""
    if encounter.state == State.APPROVED:
        approval = encounter.approvals.select_related("approved_by").latest("encounter_version")
        content = approved_content(approval)
        shown = Shown(content.facts, content.statement, approval=approval)
    else:
        review = review_of(encounter)
        on = review.statement.date_of_service
        rules = review.policy.on(on, encounter.setting) if on else None
        shown = Shown(review.facts, review.statement, rules=rules, review=review)
    reference = shipped_reference()
    shown.lines = [line_view(line, reference, shown.rules) for line in shown.statement.lines]
    shown.figures = figures_of(shown.facts, shown.statement)
    names = {each.id: drug_label(each.route, each.drug, encounter) for each in shown.facts.administrations}
    shown.timeline = draw_timeline(shown.facts, names, shown.statement)
    return shown


def drugs_of_facts(recorded: facts.Encounter, encounter: Encounter) -> str:
    names = dict.fromkeys(drug_label(each.route, each.drug, encounter) for each in recorded.administrations)
    return ", ".join(names) or drugs_of(encounter)


def figures_of(recorded: facts.Encounter, statement: Statement) -> list[Figure]:
    """Running minutes, and the milligrams of one drug; of several drugs, how many they are."""
    zone = zone_named(recorded.time_zone)
    periods = [running_periods(each, zone) for each in recorded.administrations]
    time = Figure(str(sum(whole_minutes(length(each)) for each in periods)) if any(periods) else "–", "running minutes")
    drugs = [each for each in recorded.administrations if each.route != "hydration"]
    if len({each.drug for each in drugs}) != 1:
        return [time, Figure(str(len(drugs)), "drugs given")] if drugs else [time]
    given = [each.administered for each in drugs if each.administered is not None]
    ordered = sum((each.ordered for each in drugs if each.ordered is not None), Decimal(0))
    discarded = sum((discard.amount for each in drugs for discard in each.discards), Decimal(0))
    billed = any(reason.rule == DISCARDED_UNITS for line in statement.lines for reason in line.because)
    total = plain(sum(given, Decimal(0))) if given else "–"
    of_ordered = f"of {plain(ordered)} mg given" if ordered else "mg given"
    return [
        time,
        Figure(total, of_ordered),
        Figure(plain(discarded), f"mg discarded{', not billed' if discarded and not billed else ''}"),
    ]


# What has to be acknowledged ----------------------------------------------------------------------------------------


def acknowledgements_of(shown: Shown, checked: Iterable[str]) -> list[Acknowledgement]:
    """One checkbox for each warning; nothing once it is approved."""
    if shown.review is None:
        return []
    return [acknowledgement(finding, shown.review, frozenset(checked)) for finding in shown.statement.warnings]


def acknowledgement(finding: Finding, review: Review, checked: frozenset[str]) -> Acknowledgement:
    title, cost = ACKNOWLEDGED.get(finding.code, ("", ""))
    reading = unverified_reading(finding, review.statement)
    if reading is not None:
        title, cost = f"the rule on {in_sentence(reading)} is unverified", without_rule(review, reading)
    key = actions.warning_key(finding)
    return Acknowledgement(
        key, title or "a warning", finding.message, cost, reading.name if reading else "", key in checked
    )


def in_sentence(reading: Reading) -> str:
    """A parameter's name inside a sentence: "discarded drug", "NDC on every drug line"."""
    label = PARAMETERS[reading.name].label
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


def unverified_reading(finding: Finding, statement: Statement) -> Reading | None:
    """The unverified value that such a finding tells of."""
    if finding.code != "policy.unverified":
        return None
    readings = (reading for reading in statement.policy.values() if reading.unverified)
    return next((reading for reading in readings if reading.path == finding.field), None)


def without_rule(review: Review, reading: Reading) -> str:
    """What the lines would be if a rule did not hold."""
    other = calculate(review.facts, review.policy.without(reading.layer), shipped_reference())
    differences = units_apart(units_of(review.statement), units_of(other))
    if not differences:
        return "If it does not hold, the units and modifiers are the same."
    return f"If it does not hold: {'; '.join(differences)}."


Units = Mapping[tuple[str, tuple[str, ...]], int]


def units_of(statement: Statement) -> Units:
    units: dict[tuple[str, tuple[str, ...]], int] = {}
    for line in statement.lines:
        units[line.code, line.modifiers] = units.get((line.code, line.modifiers), 0) + line.units
    return units


def units_apart(now: Units, otherwise: Units) -> list[str]:
    """How one set of lines differs from another, line by line."""
    words = []
    for key in {**now, **otherwise}:
        name, here, there = " ".join((key[0], *key[1])), now.get(key, 0), otherwise.get(key, 0)
        if here and there and here != there:
            words.append(f"{name} has {counted(there, 'unit')} instead of {here}")
        elif there and not here:
            words.append(f"{name} with {counted(there, 'unit')} is missing here")
        elif here and not there:
            words.append(f"{name} with {counted(here, 'unit')} falls away")
    return words


# The record and its story -------------------------------------------------------------------------------------------


def given_of(each: facts.Administration, encounter: Encounter) -> Given:
    """What was recorded of one administration, as rows of name and value."""
    zone = zone_named(encounter.clinic.time_zone)

    def clock(moment: datetime | None) -> str:
        if moment is None:
            return "not recorded"
        local = moment.astimezone(zone)
        day = "" if local.date() == encounter.date_of_service else f"{local:%B} {local.day}, "
        return f"{day}{local:%H:%M}"

    rows = [("Given as", ROUTES[each.route] + (f", access {each.access}" if each.access != "1" else ""))]
    if each.start or each.stop:
        rows.append(("Time", f"{clock(each.start)} to {clock(each.stop)}"))
    rows += [("Paused", f"{clock(pause.start)} to {clock(pause.stop)}") for pause in each.pauses]
    amounts = (("Ordered", each.ordered), ("Given", each.administered))
    rows += [(name, f"{plain(amount)} mg") for name, amount in amounts if amount is not None]
    rows += [("Vials", vial_words(vial)) for vial in each.vials]
    rows += [
        ("Discarded", f"{plain(discard.amount)} mg: {DISCARD_REASONS[discard.reason].lower()}")
        for discard in each.discards
    ]
    late = {f"a{row.position + 1}": late_words(row, zone) for row in encounter.administrations.all()}.get(each.id)
    if late:
        rows.append(("Entered late", late))
    return Given(drug_label(each.route, each.drug, encounter), tuple(rows))


def vial_words(vial: facts.Vial) -> str:
    """Opened vials with what is known of them: "2 of 300 mg, NDC 50242-150-01, lot L7"."""
    parts = [f"{vial.count} of {plain(vial.amount)} mg"]
    parts += [f"NDC {vial.ndc}"] if vial.ndc else []
    parts += [f"lot {vial.lot}"] if vial.lot else []
    parts += [f"expires {vial.expires:%Y-%m-%d}"] if vial.expires else []
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Deed:
    """One row of the story: who did what, when."""

    at: datetime
    who: str
    what: str


def history_of(encounter: Encounter) -> list[Deed]:
    """Who did what, from the audit, without the documents it keeps."""
    events = (
        AuditEvent.objects.filter(subject="encounter", subject_id=str(encounter.public_id))
        .select_related("by")
        .defer("before", "after")
    )
    return [
        Deed(event.at, event.by.signature if event.by else "The program", DONE.get(event.action, event.action))
        for event in events
    ]
