"""Billing looks at one encounter: its lines, why they are so, and what has to be acknowledged before approval."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from infusion import actions
from infusion.access import ADMIN, BILLING, allow, roles_of
from infusion.approved import approved_content, policy_of
from infusion.claim_review import claim_findings_of
from infusion.documentation import checklist_of
from infusion.models import Approval, Encounter, User
from infusion.reference_now import current_reference
from infusion.selectors import Review, encounter_for, payers, review_of
from infusion.services import facts
from infusion.services.away import LineChange, changed_lines
from infusion.services.calculate import calculate
from infusion.services.clock import length, running_periods, whole_minutes, zone_named
from infusion.services.findings import Finding
from infusion.services.lines import Statement
from infusion.services.words import counted, plain
from infusion.timeline import Timeline, draw_timeline
from infusion.views.expected import expected_view
from infusion.views.home import DESK, SEARCHES, Row, View, drug_label, drugs_of, row_of, strip, worklist_of
from infusion.views.issues import Around, issues_of, plain_words
from infusion.views.preview import Figure, LineView, line_view
from infusion.views.story import given_of, history_of
from infusion.views.was_now import Past, answers_of, sent_views, was_now, will_be_sent
from infusion.views.why import Told, whys_of
from infusion.worklist import ALL, APPROVED, ASKED, WITH_BILLING, Listing, Place, listing_of
from payers.policy import PARAMETERS, SETTINGS, PayerPolicy, Reading, Rules
from payers.selectors import policy_for

State = Encounter.State
DISCARDED_UNITS = "discarded_units"
REFUSED = {
    "return": "Not returned", "hold": "Not put on hold", "release": "Not released", "skip": "Not skipped",
    "correct": "Not taken up", "void": "Not made void",
}  # fmt: skip


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
    names: dict[str, str] = field(default_factory=dict)

    @property
    def policy(self) -> PayerPolicy:
        """The rules it is read under: those known now, or those that the approval rests on."""
        return self.review.policy if self.review else policy_of(self.statement)


@dataclass(frozen=True, slots=True)
class Tried:
    """What someone sent and was refused, so that nothing of it is lost. `fold` is the form it was sent from."""

    refusal: str = ""
    acknowledged: frozenset[str] = frozenset()
    fold: str = ""
    text: str = ""
    about: str = ""
    status: int = 200

    @property
    def title(self) -> str:
        return REFUSED.get(self.fold.split("-")[0], "Not approved")


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
    """Return the encounter to the nurse with a question, about one administration or all of it."""
    question, about = request.POST.get("question", ""), request.POST.get("about", "")

    def write(encounter: Encounter) -> str:
        actions.return_to_nurse(
            by=person(request), encounter=encounter, version=version_of(request), question=question,
            administration=int(about) if about.isdecimal() and about.isascii() and len(about) < 4 else None,
        )  # fmt: skip
        return f"{encounter.patient.reference} is back with the nurse, together with your question."

    return tried(request, public_id, write, Tried(fold="return", text=question, about=about))


def tried(request: HttpRequest, public_id: UUID, write: Callable[[Encounter], str], sent: Tried) -> HttpResponse:
    """Write and show the outcome; where it is refused, show why beside all that was sent."""
    encounter = found(request, public_id)
    try:
        messages.success(request, write(encounter))
    except actions.Refused as refused:
        status = 409 if isinstance(refused, actions.Stale) else 422
        return page(request, found(request, public_id), replace(sent, refusal=str(refused), status=status))
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
    issues = issues_of(findings_of(encounter, shown), around_of(encounter, shown, sent.acknowledged))
    acknowledgements = [each for each in issues if each.to_acknowledge] if shown.review else []
    billing = BILLING in roles_of(request.user)
    past = Past.of(encounter)
    context = {
        "encounter": encounter,
        "patient": encounter.patient,
        "heading": drugs_of_facts(shown.facts, encounter),
        "setting": SETTINGS[encounter.setting].lower(),
        "zone": encounter.clinic.time_zone,
        "shown": shown,
        "preview": shown,
        "whys": whys_of(told_of(encounter, shown)),
        "errors": shown.statement.errors,
        "told": [finding for finding in shown.statement.findings if finding.severity == "info"],
        "issues": [each for each in issues if each.skip is None and each.weight != "info"],
        "skipped": [each for each in issues if each.skip is not None],
        "acknowledgements": acknowledgements,
        "left": sum(not each.checked for each in acknowledgements),
        "is_billing": billing,
        "may_decide": billing and encounter.state == State.WITH_BILLING,
        "hold": encounter.holds.filter(released_at__isnull=True).select_related("placed_by").first(),
        "given": [given_of(each, encounter) for each in shown.facts.administrations],
        "documentation": checklist_of(encounter, shown.facts),
        "answers": answers_of(encounter),
        "correction": past.open_correction,
        "was_now": was_now(encounter, past, shown.facts, shown.statement),
        "approvals": past.approvals,
        "claims": sent_views(past.claims),
        "will_be_sent": will_be_sent(encounter, past, shown.statement),
        "payers": payers().exclude(pk=encounter.payer_id) if billing and encounter.state == State.APPROVED else (),
        "expected": expected_view(encounter, shown.statement),
        "history": history_of(encounter),
        "rules_url": reverse("payers:detail", args=[encounter.payer.slug]),
        "sent": sent,
        **surroundings(request, encounter),
    }
    return render(request, "infusion/review/page.html", context, status=sent.status)


def findings_of(encounter: Encounter, shown: Shown) -> list[Finding]:
    """What the rules found in the record, and what would send the claim back by the rules known now."""
    review = shown.review or Review(shown.facts, policy_for(encounter.payer), shown.statement)
    return [*shown.statement.findings, *claim_findings_of(encounter, review)]


def around_of(encounter: Encounter, shown: Shown, checked: frozenset[str]) -> Around:
    def in_words(finding: Finding) -> tuple[str, str, str]:
        reading = unverified_reading(finding, shown.statement)
        if reading is None:
            return plain_words(finding)
        title = f"the rule on {in_sentence(reading)} is unverified"
        return title, without_rule(shown.review, reading) if shown.review else "", reading.name

    return Around(encounter, shown.names, current_reference(), in_words, checked)


def told_of(encounter: Encounter, shown: Shown) -> Told:
    return Told(
        shown.facts, shown.statement, shown.policy, shown.rules, shown.names, zone_named(encounter.clinic.time_zone)
    )


def surroundings(request: HttpRequest, encounter: Encounter) -> dict[str, object]:
    """The strip above the page: the lists, the neighbours, and the film of those around."""
    worklist, name = worklist_of(person(request), request.session.get(SEARCHES)), view_of(request, encounter)
    asked = listing_of(request.GET, DESK, worklist.today)
    listing = asked if request.GET.get("view") == name else Listing(name, {})
    place: Place = worklist.place(encounter, listing)
    film: list[Row] = [row_of(item, listing, frozenset()) for item in worklist.items(place.film)]
    views: list[View] = strip(worklist, DESK, name)
    return {"view": name, "listing": listing, "views": views, "place": place, "film": film}


def shown_of(encounter: Encounter) -> Shown:
    """The stored approval where there is one; else the lines under the rules known now."""
    if encounter.state in (State.APPROVED, State.VOID):
        shown = approved_as(encounter.approvals.select_related("approved_by").latest("encounter_version"))
    else:
        review = review_of(encounter)
        on = review.statement.date_of_service
        rules = review.policy.on(on, encounter.setting) if on else None
        shown = Shown(review.facts, review.statement, rules=rules, review=review)
    return drawn(shown, encounter)


def approved_as(approval: Approval) -> Shown:
    """What an approval covers, as it was."""
    content = approved_content(approval)
    return Shown(content.facts, content.statement, approval=approval)


def drawn(shown: Shown, encounter: Encounter) -> Shown:
    """The same with its lines, figures and time line."""
    reference = current_reference()
    shown.lines = [line_view(line, reference, shown.rules) for line in shown.statement.lines]
    shown.figures = figures_of(shown.facts, shown.statement)
    shown.names = {each.id: drug_label(each.route, each.drug, encounter) for each in shown.facts.administrations}
    shown.timeline = draw_timeline(shown.facts, shown.names, shown.statement)
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
    other = calculate(review.facts, review.policy.without(reading.layer), current_reference())
    differences = units_apart(changed_lines(review.statement.lines, other.lines))
    if not differences:
        return "If it does not hold, the units and modifiers are the same."
    return f"If it does not hold: {'; '.join(differences)}."


def units_apart(changes: Iterable[LineChange]) -> list[str]:
    """How one set of lines differs from another, line by line."""
    words = []
    for change in changes:
        name = " ".join((change.code, *change.modifiers))
        if change.was and change.now:
            words.append(f"{name} has {counted(change.now, 'unit')} instead of {change.was}")
        elif change.now:
            words.append(f"{name} with {counted(change.now, 'unit')} is missing here")
        else:
            words.append(f"{name} with {counted(change.was, 'unit')} falls away")
    return words
