"""The nurse's encounter: the calculator's form about a patient, saved as a draft and handed to billing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from itertools import pairwise
from typing import cast
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_http_methods
from django_htmx.middleware import HtmxDetails

from infusion.access import ADMIN, BILLING, NURSE, allow, roles_of
from infusion.actions import OfPage, Recorded, Refused, Stale, copy_stamp, drop_copy, hand_to_billing, save_encounter
from infusion.audit import AuditEvent
from infusion.cautions import cautions_for
from infusion.documentation import FIELD_PREFIX, Checklist, asked_of, checklist, checklist_of, prescriber_of
from infusion.forms.encounter import Issue, Surroundings
from infusion.forms.record import RecordedDrug, RecordEntry, without_rules
from infusion.forms.recorded_vials import take_scans
from infusion.forms.stored import drug_text, entries_of
from infusion.forms.structure import SHOWN_ERRORS, Entries, TooMuch, act, known_entries
from infusion.forms.times import Echo
from infusion.late import entered_late
from infusion.models import Clinic, Discard, Encounter, User, WorkingCopy
from infusion.readings import showing, tell_looked_up
from infusion.reference_now import current_reference
from infusion.repeats import is_same, said_by_itself
from infusion.selectors import colleagues, encounter_for, encounters_of, facts_of, last_write, patient_named, payers
from infusion.services import facts
from infusion.time_entry import read_date
from infusion.views.asked import ATTEST, Asked, answer_differences, asked, unanswered
from infusion.views.preview import Preview, Remark, issues_of, preview_of
from infusion.views.public import LIVE, changed_drug, diagnosis_choices, drug_choices, pressed
from infusion.views.record_words import DOCUMENTATION, PATIENT, Difference, differences, groups_of
from infusion.views.taken_up import (
    COPY,
    INSTEAD,
    KNOWN,
    PAGE,
    TOLD,
    UNKEPT,
    Kept,
    kept_before,
    offers,
    page_of,
    taken_up,
    uuid_of,
    when_kept,
)
from infusion.views.waste import waste_of
from payers.models import Payer
from payers.policy import PayerPolicy, national_baseline
from payers.selectors import day_in_words, policy_for

State = Encounter.State

SAVE, HAND_OVER, CHECK, TAKE = "save", "hand-over", "check", "take-theirs"
ASKED_LATE = "asked_why_late"
KEEP, TAKE_ONE = re.compile(r"keep-([0-9]{1,9})"), re.compile(r"theirs-([a-z0-9_-]{1,60})")
ANSWERS = ("", "-day", "-turn")
OWN_NAMES = ("client_id", "version", "csrfmiddlewaretoken", ATTEST, PAGE, KNOWN, INSTEAD, TOLD)
FRAGMENTS = {LIVE: "#live", "encounter-page": "#encounter"}
SAVED, HANDED_OVER = "Saved as a draft.", "Handed to billing."
FOR_BILLING = (
    "administration.not_paid", "authorization.", "drug.not_covered", "hydration.too_short", "infusion.repeat", "ndc.",
    "policy.", "push.repeat", "step_therapy.", "units.",
)  # fmt: skip
"""Findings that are a payer's affair, or that tell how much longer would have earned more."""
OF_ANOTHER = (
    "What was typed belongs to another encounter, so nothing of it is saved here: it may be about another patient. "
    "Open that encounter and type it there."
)
NO_LONGER_HERE = "This encounter is with billing, so what you typed cannot be saved over it. Ask for it back first."


@dataclass(slots=True)
class Sheet:
    """An encounter form on its way through a request. `stored` is None until it was saved once."""

    request: HttpRequest
    clinic: Clinic
    entries: Entries
    client_id: UUID
    version: int
    stored: Encounter | None = None
    focus: str = ""
    refusal: str = ""
    handed: bool = False
    inexact: bool = False
    scanned: bool = False
    copy: WorkingCopy | None = None
    late: frozenset[str] = frozenset()
    late_asked: list[str] = field(default_factory=list)

    payers: dict[str, Payer] = field(init=False)
    payer: Payer | None = field(init=False)
    policy: PayerPolicy = field(init=False)
    entry: RecordEntry = field(init=False)
    known: facts.Encounter | None = field(init=False)

    page: OfPage = field(init=False)
    """The one that keeps what is typed: a new one for each form that is opened."""

    def __post_init__(self) -> None:
        if self.request.method == "POST":
            self.page = page_of(self.request)
        else:
            self.page = OfPage(str(uuid4()), frozenset({copy_stamp(self.copy)} if self.copy else ()))
        self.payers = {payer.slug: payer for payer in payers()}
        self.payer = self.payers.get(self.entries.get("payer", ""))
        self.policy = policy_for(self.payer) if self.payer else national_baseline()
        self.entry = read_entries(self.entries, self.clinic, self.payers, self.policy, self.stored)
        self.entries = self.entry.entries
        self.known = facts_of(self.stored) if self.stored else None
        self.late |= entered_late(self.entry.encounter(), self.known, timezone.now())

    @property
    def address(self) -> str:
        return address_of(self.stored) if self.stored else reverse("encounter-new")

    @property
    def is_stale(self) -> bool:
        """Whether someone else has saved since this form was opened."""
        return self.stored is not None and self.stored.version != self.version

    def preview(self) -> Preview:
        """What the nurse sees: what is missing first, and no line while nobody is known to pay."""
        preview = preview_of(self.entry, self.policy, hours=False, stored=self.known)
        preview.missing = [*(Remark("missing", gap.message, gap.field) for gap in self.entry.gaps), *preview.missing]
        if self.payer is None:
            preview.lines = []
        findings = preview.statement.findings if preview.statement else ()
        unsaid = {finding.message for finding in findings if finding.code.startswith(FOR_BILLING)}
        preview.warnings = [remark for remark in preview.warnings if remark.message not in unsaid]
        preview.told = [remark for remark in preview.told if remark.message not in unsaid]
        preview.told += overlapping_pauses(self.entry.encounter())
        return preview

    def recorded(self) -> Recorded:
        """The form as it is saved. Only for one without obstacles."""
        entry, form = self.entry, self.entry.patient_form
        assert self.payer is not None  # noqa: S101  an obstacle otherwise
        assert entry.date_of_service is not None  # noqa: S101  an obstacle otherwise
        return Recorded(
            patient_reference=entry.reference,
            patient_name=form.value("patient_name") or "",
            birth_date=form.value("birth_date"),
            payer=self.payer,
            facts=entry.encounter(),
            date_of_service=entry.date_of_service,
            place_of_service=self._place_of_service(),
            late_reasons=entry.late_reasons,
            witnesses=entry.witnesses if self.clinic.asks_witness else None,
            documentation={**self._documented(), **entry.documentation.answers},
            answers={each.pk: each.answer for each in self.asked} if self.may_answer else None,
        )

    def kept(self) -> Kept:
        """What the page says of keeping. Asked by the template, for a moment's typing does not show it."""
        if self.copy:
            return Kept(when=when_kept(self.copy, self.clinic))
        return kept_before(self.request, self.stored, self.client_id, self.page, self.clinic)

    @property
    def asked(self) -> list[Asked]:
        """What billing asks of this encounter."""
        return asked(self.stored, self.entries, frozenset(drug.id for drug in self.entry.drugs))

    @property
    def may_answer(self) -> bool:
        return NURSE in roles_of(self.request.user)

    @property
    def attested(self) -> bool:
        """Whether the sentence under the answers is ticked."""
        return bool(self.request.POST.get(ATTEST))

    @property
    def unexplained(self) -> list[str]:
        """The drugs that are entered late and do not say why."""
        return sorted(self.late - {name for name, reason in self.entry.late_reasons.items() if reason})

    def checklist(self) -> Checklist:
        """The documentation as it stands in the form."""
        recorded_by = self.stored.recorded_by if self.stored else cast(User, self.request.user)
        return checklist(
            self.clinic, replace(self.entry.encounter(), id=self._id()), self.entry.documentation.answers,
            patient=self.entry.patient, nurse=recorded_by,
            prescriber=prescriber_of(self.stored) if self.stored else "",
        )  # fmt: skip

    def _id(self) -> str:
        return str(self.stored.public_id) if self.stored else ""

    def _documented(self) -> dict[str, str]:
        """Also the answers that the clinic no longer asks for."""
        return dict(self.stored.documentation) if self.stored else {}

    def _place_of_service(self) -> str:
        if self.stored is not None and self.stored.setting == self.entry.setting:
            return self.stored.place_of_service
        return self.clinic.place_of_service if self.clinic.setting == self.entry.setting else ""


def read_entries(
    entries: Entries, clinic: Clinic, known: dict[str, Payer], policy: PayerPolicy, stored: Encounter | None = None
) -> RecordEntry:
    names = {"": "Choose the payer", **{slug: payer.name for slug, payer in known.items()}}
    around = Surroundings(
        current_reference(), clinic_now(clinic), names, policy, witnesses_of(clinic), witnesses_before(clinic, stored)
    )
    return RecordEntry(entries, around, partial(patient_named, clinic), asked_of(clinic))


def witnesses_of(clinic: Clinic) -> tuple[tuple[str, str], ...]:
    """Who may have seen drug thrown away, where the clinic asks for someone."""
    if not clinic.asks_witness:
        return ()
    return tuple((str(person.pk), person.signature) for person in colleagues(clinic))


def witnesses_before(clinic: Clinic, stored: Encounter | None) -> tuple[tuple[str, str], ...]:
    """Who is on record as having seen it, whether they work here now or not."""
    if stored is None or not clinic.asks_witness:
        return ()
    seen = Discard.objects.filter(administration__encounter=stored, witness__isnull=False).select_related("witness")
    people = {discard.witness.pk: discard.witness.signature for discard in seen if discard.witness}
    return tuple((str(key), signature) for key, signature in people.items())


def clinic_now(clinic: Clinic) -> datetime:
    return timezone.now().astimezone(ZoneInfo(clinic.time_zone))


def clinic_of(request: HttpRequest) -> Clinic:
    """The clinic of the person, who has one: the roles of anyone else are empty."""
    clinic = cast(User, request.user).clinic
    if clinic is None:
        raise Http404
    return clinic


def address_of(encounter: Encounter) -> str:
    return reverse("encounter", args=[encounter.public_id])


def saved_from(request: HttpRequest, clinic: Clinic) -> Encounter | None:
    """What the form of this address became: the back button leads to it, and never to a form to save anew."""
    asked = uuid_of(request.GET.get(COPY, ""))
    return encounters_of(clinic).filter(client_id=asked).first() if asked else None


# Pages ---------------------------------------------------------------------------------------------------------------


@allow(NURSE)
@require_http_methods(["GET", "HEAD", "POST"])
def new_encounter(request: HttpRequest) -> HttpResponse:
    """A blank form with the clinic's defaults, or what was typed into it."""
    if request.method == "POST":
        return answer(request, None)
    clinic = clinic_of(request)
    saved = saved_from(request, clinic)
    if saved is not None:
        return redirect(address_of(saved))
    today = clinic_now(clinic).date()
    entries = {"setting": clinic.setting, "date": today.isoformat()}
    if clinic.drug:
        entries["d1-drug"] = drug_text(clinic.drug, current_reference(), today)
    copy = taken_up(request, None)
    if copy is not None:
        return form_page(Sheet(request, clinic, copy.entries, copy.client_id, copy.version, copy=copy))
    sheet = Sheet(request, clinic, entries, uuid4(), 0, focus="patient_reference")
    return form_page(sheet)


@allow(NURSE, BILLING, ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
def encounter(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A stored encounter: the form of a draft, and nothing to type in one that billing has."""
    stored = encounter_for(request.user, public_id)
    if stored is None:
        raise Http404
    may = NURSE in roles_of(request.user) or may_correct(request, stored) or has_overtaken(request, stored)
    if not may:
        return redirect("review", public_id)
    if request.method == "POST":
        return answer(request, stored)
    sheet = sheet_of(request, stored)
    if stored.state != State.DRAFT:
        return recorded_page(sheet)
    copy = taken_up(request, stored)
    if copy is not None:
        return form_page(Sheet(request, stored.clinic, copy.entries, copy.client_id, copy.version, stored, copy=copy))
    if request.session.get(ASKED_LATE, "").startswith(str(stored.public_id)):
        sheet.late = frozenset(request.session.pop(ASKED_LATE).split()[1:])
        sheet.late_asked = [drug.title for drug in sheet.entry.drugs if drug.id in sheet.late]
    shown, known = sheet.entry.encounter(), facts_of(stored)
    sheet.inexact = not sheet.entry.issues and said_by_itself(shown) != said_by_itself(known)
    sheet.handed = request.GET.get(CHECK) == HAND_OVER
    sheet.focus = sheet.entry.next_time if not sheet.handed else ""
    return form_page(sheet, checked=sheet.handed)


def may_correct(request: HttpRequest, stored: Encounter) -> bool:
    """Whether billing may change the record: while one that was approved is being corrected."""
    if BILLING not in roles_of(request.user) or stored.state != State.DRAFT:
        return False
    return stored.corrections.filter(closed_at__isnull=True).exists()


def has_overtaken(request: HttpRequest, stored: Encounter) -> bool:
    """Whether billing sends a correction that someone else has handed over meanwhile: answered with both versions, for
    nothing is saved over what is no draft.
    """
    if request.method != "POST" or BILLING not in roles_of(request.user) or stored.state == State.DRAFT:
        return False
    return stored.corrections.exists()


def overlapping_pauses(encounter: facts.Encounter) -> list[Remark]:
    """Two pauses at the same time are no error, but whoever typed them wants to know how they count."""
    told = []
    for number, each in enumerate(encounter.administrations, 1):
        naive = [(p.start, p.stop) for p in each.pauses if p.start and p.stop and not p.start.tzinfo]
        pairs = pairwise(sorted(pair for pair in naive if not pair[1].tzinfo))
        if any(later[0] < earlier[1] for earlier, later in pairs):
            message = f"Drug {number}: two pauses overlap. The minutes that they share are taken off once."
            told.append(Remark("info", message))
    return told


def sheet_of(request: HttpRequest, stored: Encounter) -> Sheet:
    """The form of an encounter as it is stored."""
    return Sheet(request, stored.clinic, stored_entries(stored), stored.client_id, stored.version, stored)


def stored_entries(stored: Encounter) -> Entries:
    reasons = {f"a{row.position + 1}": row.late_reason for row in stored.administrations.all()}
    entries = entries_of(facts_of(stored), current_reference(), reasons)
    answers = {f"{FIELD_PREFIX}{item}": text for item, text in stored.documentation.items()}
    for row in stored.administrations.all():
        for discard in row.discards.all():
            if discard.witness_id:
                entries[f"d{row.position + 1}-w{discard.position + 1}-witness"] = str(discard.witness_id)
    return {**entries, **answers, "payer": stored.payer.slug, "patient_reference": stored.patient.reference}


def answer(request: HttpRequest, stored: Encounter | None) -> HttpResponse:
    """What a button or a moment's typing asks for."""
    action = pressed(request, request.POST)
    if action == TAKE and stored is not None:
        return redirect(address_of(stored))
    sheet = typed_sheet(request, stored, action)
    kept = KEEP.fullmatch(action)
    if sheet.refusal:
        return form_page(sheet, checked=True)
    if kept:
        sheet.version = int(kept[1])
    if kept or action in (SAVE, HAND_OVER):
        return save(sheet, hand_over=action == HAND_OVER)
    if sheet.scanned and action == CHECK:
        # The Enter at the end of a scan asks for nothing but the scan.
        unread = [issue for issue in sheet.entry.issues if issue.field == sheet.focus]
        return form_page(sheet, issues=unread, checked=bool(unread))
    return form_page(sheet, checked=action == CHECK)


def typed_sheet(request: HttpRequest, stored: Encounter | None, action: str) -> Sheet:
    """The form as it was sent, after what a button does to it."""
    clinic = clinic_of(request)
    pairs = [(name, request.POST[name]) for name in request.POST if name not in OWN_NAMES]
    entries, refusal = sent_entries(pairs, stored)
    focus = ""
    one = TAKE_ONE.fullmatch(action)
    if one and stored is not None:
        entries = take_one(entries, stored_entries(stored), one[1])
    elif not refusal:
        acted = act(entries, action)
        entries, focus = acted.entries, acted.focus
    said: dict[str, str] = {}
    if not is_live(request):
        entries, scanned, said = take_scans(entries, current_reference(), day_typed(entries, clinic))
        focus = scanned or focus
    client_id, version = request.POST.get("client_id", ""), request.POST.get("version", "")
    try:
        client = UUID(client_id)
    except ValueError:
        client = uuid4()
    number = int(version) if version.isdecimal() and version.isascii() and len(version) < 10 else 0
    sheet = Sheet(request, clinic, entries, client, number, stored, focus, refusal)
    sheet.scanned = bool(said) or focus.endswith("-scan")
    for drug in sheet.entry.drugs:
        if isinstance(drug, RecordedDrug) and f"{drug.id}-scan" in said:
            drug.just_scanned = True
            sheet.entry.echoes[f"{drug.id}-scan"] = Echo(said[f"{drug.id}-scan"])
    return sheet


def sent_entries(pairs: list[tuple[str, str]], stored: Encounter | None) -> tuple[Entries, str]:
    """What was sent and the form takes, and why it does not take the rest. It takes as much as is stored."""
    try:
        return without_rules(known_entries(pairs)), ""
    except TooMuch:
        pass  # which only what is stored can tell
    try:
        return without_rules(known_entries(pairs, stored_entries(stored) if stored else None)), ""
    except TooMuch as problem:
        return without_rules(problem.entries), str(problem)


def is_live(request: HttpRequest) -> bool:
    """Whether this is sent while someone types, and may not take a half-typed scan."""
    htmx = cast(HtmxDetails, request.htmx)  # type: ignore[attr-defined]
    return bool(htmx) and htmx.target == LIVE


def day_typed(entries: Entries, clinic: Clinic) -> date:
    today = clinic_now(clinic).date()
    found = read_date(entries.get("date", ""), today)
    return found if isinstance(found, date) else today


def take_one(mine: Entries, theirs: Entries, name: str) -> Entries:
    """My entries with their word in one field."""
    names = [name + answer for answer in ANSWERS]
    taken = {each: theirs[each] for each in names if each in theirs}
    return {**{each: text for each, text in mine.items() if each not in names}, **taken}


# Saving --------------------------------------------------------------------------------------------------------------


def save(sheet: Sheet, *, hand_over: bool) -> HttpResponse:
    """Save the draft, and hand it over if that was asked. What cannot be read is kept in the form and not saved."""
    if sheet.entry.obstacles:
        return form_page(sheet, issues=sheet.entry.obstacles, checked=True)
    recorded, by = sheet.recorded(), cast(User, sheet.request.user)
    try:
        saved = written(sheet, recorded, by)
        drop_copy(by=by, client_id=saved.client_id, page=sheet.page)
        if not hand_over:
            if sheet.unexplained:
                sheet.request.session[ASKED_LATE] = " ".join([str(saved.public_id), *sheet.unexplained])
            messages.success(sheet.request, SAVED)
            return redirect(address_of(saved))
        return handed_over(sheet, saved, by)
    except Stale as stale:
        if is_same(stale.current, recorded) and not answers_besides(sheet, stale.current):
            return repeated(sheet, stale.current, hand_over=hand_over)
        return conflict(sheet, stale.current)
    except Refused as refusal:
        sheet.refusal = str(refusal)
        return form_page(sheet, checked=True)


def written(sheet: Sheet, recorded: Recorded, by: User) -> Encounter:
    """The encounter as it is stored now. A form sent again after it was changed is a second version, not a new one."""
    write = partial(save_encounter, by=by, clinic=sheet.clinic, client_id=sheet.client_id, recorded=recorded)
    if sheet.stored is not None:
        others = encounters_of(sheet.clinic).exclude(pk=sheet.stored.pk)
        if others.filter(client_id=sheet.client_id).exists():
            raise Refused(OF_ANOTHER)
        return write(public_id=sheet.stored.public_id, version=sheet.version)
    saved = write()
    if is_same(saved, recorded):
        return saved
    return write(public_id=saved.public_id, version=1)


def handed_over(sheet: Sheet, saved: Encounter, by: User) -> HttpResponse:
    if saved.state == State.DRAFT:
        try:
            hand_to_billing(by=by, encounter=saved, version=saved.version, attested=sheet.may_answer and sheet.attested)
        except Stale:
            raise
        except Refused:
            return redirect(f"{address_of(saved)}?{CHECK}={HAND_OVER}")
    messages.success(sheet.request, HANDED_OVER)
    missing = checklist_of(saved, facts_of(saved)).still_missing
    unexplained = [drug.title for drug in sheet.entry.drugs if drug.id in sheet.unexplained]
    if unexplained:
        missing = f"{missing} Entered late without a reason: {', '.join(unexplained)}.".strip()
    if missing:
        messages.warning(sheet.request, f"{missing} The lines do not hang on it; a review by the payer may.")
    return redirect("encounters") if sheet.may_answer else redirect("review", saved.public_id)


def repeated(sheet: Sheet, current: Encounter, *, hand_over: bool) -> HttpResponse:
    """The answer to a second tap, whose first one has done the work."""
    if hand_over and current.state == State.DRAFT:
        return handed_over(sheet, current, cast(User, sheet.request.user))
    messages.success(sheet.request, SAVED if current.state == State.DRAFT else HANDED_OVER)
    if current.state == State.DRAFT:
        return redirect(address_of(current))
    return redirect("encounters") if sheet.may_answer else redirect("review", current.public_id)


# What is shown -------------------------------------------------------------------------------------------------------


def conflict(sheet: Sheet, current: Encounter) -> HttpResponse:
    """Both versions, field by field, over the form with all that was typed."""
    sheet.stored = encounter_for(sheet.request.user, current.public_id)
    if sheet.stored is not None and not sheet.is_stale:
        sheet.version = 0
    response = form_page(sheet)
    response.status_code = 409
    return response


def form_page(sheet: Sheet, *, issues: list[Issue] | None = None, checked: bool = False) -> HttpResponse:
    """The form, whole or as the fragment that htmx asked for: one view, one template."""
    request, entry = sheet.request, sheet.entry
    preview = sheet.preview()
    context = form_context(sheet, preview, issues, checked=checked)
    htmx = cast(HtmxDetails, request.htmx)  # type: ignore[attr-defined]
    part = FRAGMENTS.get(htmx.target or "", "") if htmx else ""
    if part == "#live":
        context["changed_drug"] = changed_drug(htmx.trigger_name or "", entry)
    response = private(render(request, f"infusion/encounter/page.html{part}", context))
    stored, patient = sheet.stored, entry.patient
    if patient is not None and (stored is None or stored.patient_id != patient.pk):
        tell_looked_up(request, sheet.client_id, patient)
    return showing(response, stored) if stored is not None and sheet.is_stale and part != "#live" else response


def form_context(sheet: Sheet, preview: Preview, issues: list[Issue] | None, *, checked: bool) -> dict[str, object]:
    entry, stored = sheet.entry, sheet.stored
    shown = set(sheet.request.POST.get(SHOWN_ERRORS, "")[:2000].split())
    if issues is None:
        found = issues_of(entry, preview) if checked or shown else []
        issues = found if checked else [issue for issue in found if issue.field in shown]
    if sheet.handed:
        issues = [*issues, *unanswered(sheet.asked, may_answer=sheet.may_answer, attested=sheet.attested)]
    return {
        "entry": entry,
        "preview": preview,
        "form_url": sheet.address,
        "form_method": "post",
        "form_region": "encounter-page",
        "issues": issues,
        "errors": {issue.field: issue.message for issue in issues},
        "refusal": sheet.refusal,
        "balances": {drug.id: waste_of(drug) for drug in entry.drugs if isinstance(drug, RecordedDrug)},
        "cautions": cautions_for(entry.encounter(), entry.patient, stored),
        "checked": checked,
        "handed": sheet.handed,
        "inexact": sheet.inexact,
        "focus": sheet.focus,
        "drug_choices": drug_choices(entry),
        "diagnosis_choices": diagnosis_choices(entry),
        "client_id": sheet.client_id,
        "version": sheet.version,
        "stored": stored,
        "asked": sheet.asked,
        "may_answer": sheet.may_answer,
        "attested": sheet.attested,
        "correction": stored.corrections.filter(closed_at__isnull=True).first() if stored else None,
        "offers": offers(sheet.request, stored, sheet.clinic) if sheet.request.method != "POST" else [],
        "unkept": UNKEPT in sheet.request.GET,
        "page": sheet.page.name,
        "known_copy": " ".join(sheet.page.known),
        "kept": sheet.kept,
        "late": sheet.late,
        "late_asked": sheet.late_asked,
        "documentation_open": stored is not None,
        "documentation": sheet.checklist(),
        "conflict": conflict_context(sheet) if sheet.is_stale else None,
    }


def conflict_context(sheet: Sheet) -> dict[str, object]:
    theirs = cast(Encounter, sheet.stored)
    write, zone = last_write(theirs), ZoneInfo(sheet.clinic.time_zone)
    other = read_entries(stored_entries(theirs), sheet.clinic, sheet.payers, sheet.policy, theirs)
    return {
        "differences": [*answers_besides(sheet, theirs), *differences(sheet.entry, other)],
        "who": who_wrote(write, sheet.request.user),
        "when": when_in_words(write.at, zone) if write else "meanwhile",
        "version": theirs.version,
        "refusal": "" if theirs.state == State.DRAFT else NO_LONGER_HERE,
    }


def answers_besides(sheet: Sheet, theirs: Encounter) -> list[Difference]:
    """The answers to billing that were typed here and are not the stored ones."""
    return answer_differences(theirs, sheet.entries) if sheet.may_answer else []


def who_wrote(write: AuditEvent | None, reader: object) -> str:
    """Whose version the other one is; one's own comes from another window."""
    if write is None or write.by is None:
        return "Someone else"
    return "You" if write.by == reader else write.by.signature


def when_in_words(moment: datetime, zone: ZoneInfo) -> str:
    """An instant on the clinic's clock, as in ``March 10, 2026 at 14:05``."""
    local = moment.astimezone(zone)
    return f"{day_in_words(local.date())} at {local:%H:%M}"


def recorded_page(sheet: Sheet) -> HttpResponse:
    """An encounter that billing has: what was recorded, to be read."""
    stored = cast(Encounter, sheet.stored)
    by, at = stored.handed_over_by, stored.handed_over_at
    context = {
        "stored": stored,
        "entry": sheet.entry,
        "preview": sheet.preview(),
        "groups": [group for group in groups_of(sheet.entry) if group.title not in (PATIENT, DOCUMENTATION)],
        "documentation": checklist_of(stored, facts_of(stored)),
        "handed": f"{by.signature}, {when_in_words(at, ZoneInfo(sheet.clinic.time_zone))}" if by and at else "",
    }
    return private(render(sheet.request, "infusion/encounter/recorded.html", context))


def private(response: HttpResponse) -> HttpResponse:
    """Nothing of a patient stays in a cache."""
    patch_cache_control(response, no_store=True, private=True)
    response["Vary"] = "HX-Request, HX-Target"
    return response
