"""The payer pages: which rules a payer has of its own, since when, and who says so. Admins change them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from infusion.access import ADMIN, BILLING, allow, roles_of
from payers import actions
from payers.actions import Refused
from payers.forms import (
    ChooserForm,
    CompareForm,
    EndForm,
    IdentityForm,
    PackForm,
    PageForm,
    PayerForm,
    ReturnForm,
    RuleForm,
    SendForm,
    WithdrawForm,
    entries_of,
)
from payers.models import Payer, PolicyOverride, Proposal
from payers.pack import Unreadable, adopt_pack, differences, pack_text, read_pack
from payers.pages import PayerPage, ProposalView, RuleView, all_payers, compared, open_proposals
from payers.pages import history as history_of
from payers.policy import PARAMETERS, SETTINGS, Parameter, Scope
from payers.proposals import Wanted, may_publish, propose, publish_proposal, return_proposal, take_back
from payers.selectors import day_in_words, overlapping

Kind, Status = Proposal.Kind, PolicyOverride.Status
ACT, IN_THE_WAY = "act", "in_the_way"
SHOWN_PROBLEMS = 50


def zone_of(request: HttpRequest) -> ZoneInfo:
    return ZoneInfo(cast(Any, request.user).clinic.time_zone)


def today_at(request: HttpRequest) -> date:
    """Today on the clinic's own calendar."""
    return timezone.now().astimezone(zone_of(request)).date()


def may_edit(request: HttpRequest) -> bool:
    return ADMIN in roles_of(request.user)


def parameter_named(name: str) -> Parameter:
    if name not in PARAMETERS:
        raise Http404
    return PARAMETERS[name]


def detail_address(payer: Payer, scope: Scope, on: date | None = None) -> str:
    asked = {"on": on.isoformat() if on else "", "setting": scope.setting, "drug": scope.drug}
    query = urlencode({name: value for name, value in asked.items() if value})
    return reverse("payers:detail", args=[payer.slug]) + (f"?{query}" if query else "")


@allow(BILLING, ADMIN)
@require_safe
def payer_list(request: HttpRequest) -> HttpResponse:
    today = today_at(request)
    payers = all_payers(today)
    return render(request, "payers/list.html", {"payers": payers, "today": today, "can_edit": may_edit(request)})


@allow(ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    form = PayerForm(request.POST) if request.method == "POST" else PayerForm()
    if form.is_bound and form.is_valid():
        try:
            with transaction.atomic():
                payer = actions.add_payer(by=request.user, slug=form.slug, name=form.cleaned_data["name"])
        except IntegrityError:
            form.add_error("name", "Name: someone else has added this payer meanwhile. Look at the list of payers.")
        else:
            messages.success(request, f"{payer.name} is added. It inherits the national baseline in everything.")
            return redirect("payers:detail", payer.slug)
    return render(request, "payers/add.html", {"form": form, "issues": form.issues, "checked": form.is_bound})


@allow(ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
def identity(request: HttpRequest, slug: str) -> HttpResponse:
    """What a payer is called on electronic claims."""
    payer = get_object_or_404(Payer, slug=slug)
    now = actions.on_claims(payer)
    form = IdentityForm(request.POST or None, initial={**now, **{f"shown_{name}": now[name] for name in now}})
    refusal = ""
    if form.is_bound and form.is_valid():
        sent = form.cleaned_data
        try:
            actions.identify_payer(
                by=request.user, payer=payer, shown={name: sent[f"shown_{name}"] for name in now},
                electronic_id=sent["electronic_id"], filing_code=sent["filing_code"],
            )  # fmt: skip
        except Refused as problem:
            refusal = problem.message
        else:
            messages.success(request, f"Saved. Claims made from now on name {payer.name} so.")
            return redirect("payers:detail", payer.slug)
    context = {"payer": payer, "form": form, "now": now, "refusal": refusal, "issues": form.issues}
    context["filing_now"] = payer.get_filing_code_display()
    return render(request, "payers/identity.html", {**context, "checked": form.is_bound})


@allow(BILLING, ADMIN)
@require_safe
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    """The policy in force on a day for a scope, on one screen."""
    payer = get_object_or_404(Payer, slug=slug)
    today = today_at(request)
    asked = {"on": today.isoformat(), **{name: value for name, value in request.GET.items() if value}}
    chooser = ChooserForm(asked)
    chosen = chooser.cleaned_data if chooser.is_valid() else {}
    on, scope = chosen.get("on") or today, Scope(chosen.get("setting", ""), chosen.get("drug", ""))
    page = PayerPage(payer, on)
    context = {
        "payer": payer,
        "on": on,
        "today": today,
        "scope": scope,
        "setting_words": SETTINGS.get(scope.setting, ""),
        "chooser": chooser,
        "issues": chooser.issues,
        "checked": bool(chooser.issues),
        "groups": page.groups(scope),
        "tally": page.tally,
        "proposals": open_proposals(payer, today, zone_of(request)),
        "can_edit": may_edit(request),
    }
    return render(request, "payers/detail.html", context)


@allow(BILLING, ADMIN)
@require_safe
def history(request: HttpRequest, slug: str) -> HttpResponse:
    """Every rule the payer ever had, as a list of what changed."""
    payer = get_object_or_404(Payer, slug=slug)
    name = request.GET.get("parameter", "")
    chosen = parameter_named(name) if name else None
    threads = history_of(payer, today_at(request), zone_of(request), name)
    context = {"payer": payer, "threads": threads, "chosen": chosen, "can_edit": may_edit(request)}
    return render(request, "payers/history.html", context)


@allow(BILLING, ADMIN)
@require_safe
def parameter(request: HttpRequest, slug: str, parameter: str) -> HttpResponse:
    """All rules of one parameter, whatever their scope and days."""
    payer = get_object_or_404(Payer, slug=slug)
    chosen = parameter_named(parameter)
    page = PayerPage(payer, today_at(request))
    context = {
        "payer": payer,
        "parameter": chosen,
        "rules": page.rules_of(chosen.name),
        "baseline": chosen.words(chosen.default),
        "can_edit": may_edit(request),
    }
    return render(request, "payers/parameter.html", context)


@allow(BILLING, ADMIN)
@require_safe
def compare(request: HttpRequest, slug: str) -> HttpResponse:
    """A payer's policy beside another's, or beside its own on another day."""
    payer = get_object_or_404(Payer, slug=slug)
    today = today_at(request)
    asked = {"on": today.isoformat(), **{name: value for name, value in request.GET.items() if value}}
    form = CompareForm(asked)
    chosen = form.cleaned_data if form.is_valid() else {}
    on, scope = chosen.get("on") or today, Scope(chosen.get("setting", ""), chosen.get("drug", ""))
    other = chosen.get("other") or Payer.objects.exclude(pk=payer.pk).first() or payer
    groups = compared(PayerPage(payer, on), PayerPage(other, on), scope)
    context = {
        "payer": payer,
        "other": other,
        "on": on,
        "scope": scope,
        "chooser": form,
        "issues": form.issues,
        "checked": bool(form.issues),
        "groups": groups,
        "differing": sum(row.differs for _, rows in groups for row in rows),
        "can_edit": may_edit(request),
    }
    return render(request, "payers/compare.html", context)


@allow(ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
def pack(request: HttpRequest) -> HttpResponse:
    """A rule pack to look at, and then to bring in as proposals; or ours to share."""
    form = PackForm(request.POST, files=request.FILES) if request.method == "POST" else PackForm()
    context: dict[str, Any] = {"can_edit": True}
    if form.is_bound and form.is_valid():
        try:
            payers = read_pack(form.cleaned_data["text"])
            if request.POST.get(ACT) == "adopt":
                done = adopt_pack(by=request.user, pack=payers, today=today_at(request))
                messages.success(
                    request,
                    f"Added {done.payers} payers. {done.proposed} rules wait for a second admin; {done.drafts} are "
                    "drafts, because another rule is in their way.",
                )
                return redirect("payers:list")
            context |= {"differences": differences(payers), "text": form.cleaned_data["text"]}
        except Unreadable as problem:
            for sentence in problem.problems[:SHOWN_PROBLEMS]:
                form.add_error("file", sentence)
        except Refused as problem:
            form.add_error("file", problem.message)
    context |= {"form": form, "issues": form.issues, "checked": bool(form.errors)}
    return render(request, "payers/pack.html", context)


@allow(BILLING, ADMIN)
@require_safe
def pack_file(request: HttpRequest) -> HttpResponse:
    """Every payer's published rules as a file."""
    response = HttpResponse(pack_text(Payer.objects.all()), content_type="application/toml; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="payers.toml"'
    return response


@allow(ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
def new_rule(request: HttpRequest, slug: str, parameter: str) -> HttpResponse:
    """A rule where the payer has none yet."""
    payer = get_object_or_404(Payer, slug=slug)
    chooser = ChooserForm(request.GET)
    chosen = chooser.cleaned_data if chooser.is_valid() else {}
    scope = Scope(chosen.get("setting", ""), chosen.get("drug", ""))
    return Desk(request, payer, parameter_named(parameter), scope).answer()


@allow(ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
def rule(request: HttpRequest, slug: str, public_id: UUID) -> HttpResponse:
    """A rule or draft that is there: change it, publish it, end it, withdraw it."""
    payer = get_object_or_404(Payer, slug=slug)
    override = get_object_or_404(PolicyOverride, payer=payer, public_id=public_id)
    if request.method != "POST" and override.known_until is not None:
        now = current_wording(override)
        query = urlencode({"parameter": override.parameter})
        return redirect(
            reverse("payers:rule", args=[slug, now.public_id])
            if now
            else f"{reverse('payers:history', args=[slug])}?{query}"
        )
    scope = Scope(override.setting, override.drug)
    return Desk(request, payer, PARAMETERS[override.parameter], scope, override).answer()


def current_wording(override: PolicyOverride) -> PolicyOverride | None:
    """The row that has taken this one's place, if its rule was not withdrawn."""
    rows = PolicyOverride.objects.filter(thread=override.thread, known_until__isnull=True)
    published = rows.exclude(status=Status.DRAFT).first()
    return (rows.filter(status=Status.DRAFT).first() or published) if override.status == Status.DRAFT else published


@dataclass(slots=True)
class Desk:
    """One rule being worked on in one request: its forms, and what became of what was sent."""

    request: HttpRequest
    payer: Payer
    parameter: Parameter
    scope: Scope
    override: PolicyOverride | None = None
    refusal: str = ""
    in_the_way: RuleView | None = None
    forms: dict[str, PageForm] = field(default_factory=dict)

    @property
    def by(self) -> Any:
        return self.request.user

    @property
    def today(self) -> date:
        return today_at(self.request)

    @property
    def act(self) -> str:
        return self.request.POST.get(ACT, "")

    @property
    def published(self) -> bool:
        return self.override is not None and self.override.status != Status.DRAFT

    @property
    def rule_form(self) -> RuleForm:
        return cast(RuleForm, self.forms["rule"])

    def answer(self) -> HttpResponse:
        self.lay_out()
        if self.request.method == "POST":
            try:
                leads_to = self.carry_out()
            except Refused as problem:
                leads_to = ""
                self.take_refusal(problem)
            if leads_to:
                return redirect(leads_to)
        return render(self.request, "payers/rule.html", self.context())

    def lay_out(self) -> None:
        """The forms: the one that was sent with what was typed, the others as they begin."""
        posted = self.request.method == "POST"
        sent = self.act if self.act in ("send", "end", "withdraw") else "rule"
        page = PayerPage(self.payer, self.today)
        reading = page.inherited(self.parameter.name, self.scope, page.on)
        begin = entries_of(self.override) if self.override else {"setting": self.scope.setting, "drug": self.scope.drug}
        typed = self.request.POST if posted else None
        self.forms = {
            "rule": RuleForm(reading, typed if sent == "rule" else None, initial=begin, published=self.scope_is_set),
            "send": SendForm(typed if sent == "send" else None),
            "end": EndForm(typed if sent == "end" else None),
            "withdraw": WithdrawForm(typed if sent == "withdraw" else None),
        }

    @property
    def scope_is_set(self) -> bool:
        """A published rule, and the draft of its change, apply to what the rule applies to."""
        return self.published or (self.override is not None and self.override.follows_id is not None)

    def carry_out(self) -> str:
        """Do what the button says. Where to go then, or nothing where a form has to be corrected."""
        if self.act in ("end", "withdraw", "send") and self.override:
            form = self.forms[self.act]
            return getattr(self, self.act)(self.override, form.cleaned_data) if form.is_valid() else ""
        if self.act != "draft":
            raise Refused("That button is not known here. Choose one of those at the end of the form.")
        return self.save_draft()

    def save_draft(self) -> str:
        form = self.rule_form
        form.is_valid()
        if form.inherits and self.override:
            return "" if "effective_from" in form.errors else self.inherit(self.override)
        form.demand_what_a_rule_needs()
        if form.errors:
            return ""
        departure = form.departure((self.scope.setting, self.scope.drug))
        draft = actions.draft_override(by=self.by, payer=self.payer, departure=departure, replaces=self.override)
        messages.success(self.request, f"Draft saved: {self.parameter.label}. It changes nothing until published.")
        return reverse("payers:rule", args=[self.payer.slug, draft.public_id])

    def send(self, override: PolicyOverride, typed: dict[str, Any]) -> str:
        """Ask for the draft to be published, and for what stands in its way to end."""
        other = self.rule_in_the_way(override) if self.request.POST.get(IN_THE_WAY) else None
        return self.propose(Wanted(kind=Kind.PUBLISH, override=override, in_the_way=other, **typed))

    def end(self, override: PolicyOverride, typed: dict[str, Any]) -> str:
        return self.propose(Wanted(kind=Kind.END, override=override, **typed))

    def withdraw(self, override: PolicyOverride, typed: dict[str, Any]) -> str:
        """A draft goes at once; a published rule takes two."""
        if self.published:
            return self.propose(Wanted(kind=Kind.WITHDRAW, override=override, **typed))
        actions.withdraw_override(by=self.by, override=override, reason=typed["reason"])
        messages.success(self.request, f"The draft is withdrawn: {self.parameter.label}.")
        return detail_address(self.payer, self.scope)

    def inherit(self, override: PolicyOverride) -> str:
        """An emptied value: a draft goes, a rule that has not begun is withdrawn, one that holds ends."""
        label = self.parameter.label
        first_day = self.rule_form.cleaned_data.get("effective_from")
        if not self.published:
            return self.withdraw(override, {"reason": "Left blank, so that it inherits."})
        if override.effective_from > self.today:
            reason = "Left blank, so that it inherits."
            return self.propose(Wanted(kind=Kind.WITHDRAW, override=override, reason=reason))
        if first_day is None or first_day <= override.effective_from:
            raise Refused(
                f"From which day does {label[:1].lower()}{label[1:]} inherit again? Enter a day after the first one, "
                "or withdraw the rule if it never held.",
                "effective_from",
            )
        return self.propose(Wanted(kind=Kind.END, override=override, last_day=first_day - timedelta(days=1)))

    def propose(self, wanted: Wanted) -> str:
        proposal = propose(by=self.by, payer=self.payer, wanted=wanted, today=self.today)
        messages.success(self.request, "Sent to a second admin. Until it is published, everything stays as it is.")
        return reverse("payers:proposal", args=[self.payer.slug, proposal.public_id])

    def rule_in_the_way(self, draft: PolicyOverride) -> PolicyOverride:
        """The rule that the person saw in the way and agreed to end."""
        try:
            wanted = UUID(self.request.POST.get(IN_THE_WAY, ""))
        except ValueError:
            raise Refused("The rule in the way is not named. Send again to see it.") from None
        other = PolicyOverride.objects.filter(
            payer=self.payer, parameter=self.parameter.name, public_id=wanted, setting=draft.setting, drug=draft.drug,
        ).exclude(status=Status.DRAFT).first()  # fmt: skip
        if other is None:
            raise Refused("The rule in the way applies to something else now. Send again to see what is there.")
        return other

    def take_refusal(self, problem: Refused) -> None:
        """Say why nothing was written, where it belongs."""
        form = self.forms[self.act] if self.act in ("send", "end", "withdraw") else self.forms["rule"]
        if problem.field in form.fields:
            form.add_error(problem.field, problem.message)
        else:
            self.refusal = problem.message
        if self.act == "send" and problem.field == "effective_from" and self.override:
            other = overlapping(self.override)
            self.in_the_way = RuleView(other, self.today) if other else None

    def context(self) -> dict[str, object]:
        page = PayerPage(self.payer, self.today)
        newer = None
        if self.override is not None and str(self.override.public_id) not in page.by_id:
            newer = current_wording(self.override)
        override = newer or self.override
        return {
            "payer": self.payer,
            "parameter": self.parameter,
            "scope": self.scope,
            "rule": RuleView(override, self.today) if override else None,
            "newer": RuleView(newer, self.today) if newer else None,
            "withdrawn": override is not None and override.known_until is not None and newer is None,
            "holds_now": page.policy().on(self.today, self.scope.setting).look_up(self.parameter.name, self.scope.drug),
            "proposal": override.proposals.filter(outcome="").first() if override else None,
            "rules": page.rules_of(self.parameter.name),
            "baseline": self.parameter.words(self.parameter.default),
            "forms": self.forms,
            "refusal": self.refusal,
            "issues": [issue for form in self.forms.values() for issue in form.issues],
            "checked": self.request.method == "POST",
            "in_the_way": self.in_the_way,
            "make_room": self.make_room_words(),
            "can_edit": True,
        }

    def make_room_words(self) -> str:
        """What the button says that clears the way."""
        if self.in_the_way is None or self.override is None:
            return ""
        first_day = self.override.effective_from
        if self.in_the_way.row.effective_from < first_day:
            return f"End that one on {day_in_words(first_day - timedelta(days=1))} and send"
        return "Withdraw that one and send"


@allow(ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
def proposal(request: HttpRequest, slug: str, public_id: UUID) -> HttpResponse:
    """What one admin wants, for another to publish or return."""
    payer = get_object_or_404(Payer, slug=slug)
    rows = Proposal.objects.select_related("override", "in_the_way", "proposed_by", "decided_by")
    found = get_object_or_404(rows, payer=payer, public_id=public_id)
    form = ReturnForm(request.POST if request.POST.get(ACT) == "return" else None)
    refusal = ""
    if request.method == "POST":
        try:
            messages.success(request, decide(request, found, form))
            return redirect("payers:proposal", slug, public_id)
        except Refused as problem:
            if problem.field in form.fields:
                form.is_valid()
                form.add_error(problem.field, problem.message)
            else:
                refusal = problem.message
            found = rows.get(pk=found.pk)
    context = {
        "payer": payer,
        "view": ProposalView(found, today_at(request), zone_of(request)),
        "may_publish": may_publish(request.user, found),
        "mine": found.proposed_by_id == request.user.pk,
        "form": form,
        "issues": form.issues,
        "refusal": refusal,
        "checked": bool(refusal or form.errors),
        "can_edit": True,
    }
    return render(request, "payers/proposal.html", context)


def decide(request: HttpRequest, found: Proposal, form: ReturnForm) -> str:
    """Do what the button says; the sentence for the person."""
    act = request.POST.get(ACT, "")
    if act == "publish":
        before = found.override
        publish_proposal(by=request.user, proposal=found)
        return what_was_published(found, before, today_at(request))
    if act == "return":
        form.is_valid()
        return_proposal(by=request.user, proposal=found, reason=form.cleaned_data.get("reason", ""))
        return "Returned. Nothing has changed."
    if act == "take_back":
        take_back(by=request.user, proposal=found)
        return "Taken back. Nothing has changed."
    raise Refused("That button is not known here. Choose one of those on the page.")


def what_was_published(done: Proposal, rule: PolicyOverride, today: date) -> str:
    """What holds from which day on, in the words of the policy as it is now."""
    parameter, scope = PARAMETERS[rule.parameter], Scope(rule.setting, rule.drug)

    def from_day(day: date) -> str:
        found = PayerPage(rule.payer, day).policy().on(day, scope.setting).look_up(parameter.name, scope.drug)
        again = found.layer.override_id == "" or found.layer.scope != scope
        told = f"{parameter.label} inherits again from" if again else "The next rule holds from"
        return f"{told} {day_in_words(day)}: {found.words} ({found.whose})."

    if done.kind == Kind.WITHDRAW:
        return f"Withdrawn: {parameter.label}. What was billed under it stays explained."
    if done.kind == Kind.END and done.last_day:
        return from_day(done.last_day + timedelta(days=1))
    words = parameter.words(parameter.clean(rule.value))
    told = f"Published as {done.status}. {parameter.label}: {words} from {day_in_words(rule.effective_from)}."
    if rule.effective_until:
        told += f" {from_day(rule.effective_until + timedelta(days=1))}"
    others = [
        other for other in (rule.follows, done.in_the_way) if other and other.effective_from < rule.effective_from
    ]
    for other in others:
        told += f" The days before keep their rule: {parameter.words(parameter.clean(other.value))}."
    if rule.effective_from > today:
        told += " Today’s policy stays as it is."
    return told
