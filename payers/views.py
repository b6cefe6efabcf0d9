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
from payers import actions, changes
from payers.actions import Departure, Refused
from payers.forms import ChooserForm, EndForm, PageForm, PayerForm, RuleForm, WithdrawForm, entries_of
from payers.models import Payer, PolicyOverride
from payers.pages import PayerPage, RuleView, all_payers
from payers.pages import history as history_of
from payers.policy import PARAMETERS, SETTINGS, Parameter, Scope
from payers.selectors import day_in_words, overlapping

Status = PolicyOverride.Status
ACT, IN_THE_WAY, TAKE_OVER = "act", "in_the_way", "take-over-"


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
    return PolicyOverride.objects.filter(thread=override.thread, known_until__isnull=True).first()


@dataclass(slots=True)
class Desk:
    """One rule being worked on in one request: its forms, and what became of what was sent."""

    request: HttpRequest
    payer: Payer
    parameter: Parameter
    scope: Scope
    override: PolicyOverride | None = None
    refusal: str = ""
    wanted: Departure | None = None
    in_the_way: RuleView | None = None
    forms: dict[str, PageForm] = field(default_factory=dict)

    @property
    def by(self) -> Any:
        return self.request.user

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
                done = self.carry_out()
            except Refused as problem:
                done = ""
                self.take_refusal(problem)
            if done:
                messages.success(self.request, done)
                return redirect(detail_address(self.payer, self.scope))
        return render(self.request, "payers/rule.html", self.context())

    def lay_out(self) -> None:
        """The forms: the one that was sent with what was typed, the others as they begin."""
        posted = self.request.method == "POST"
        sent = self.act if self.act in ("end", "withdraw") else "rule"
        page = PayerPage(self.payer, today_at(self.request))
        reading = page.inherited(self.parameter.name, self.scope, page.on)
        begin = entries_of(self.override) if self.override else {"setting": self.scope.setting, "drug": self.scope.drug}
        typed = self.request.POST if posted else None
        self.forms = {
            "rule": RuleForm(reading, typed if sent == "rule" else None, initial=begin, published=self.published),
            "end": EndForm(typed if sent == "end" else None),
            "withdraw": WithdrawForm(typed if sent == "withdraw" else None),
        }

    def carry_out(self) -> str:
        """Do what the button says. The sentence for the person, or nothing where a form has to be corrected."""
        if self.act == "end" and self.override:
            return self.end(self.override)
        if self.act == "withdraw" and self.override:
            return self.withdraw(self.override)
        form = self.rule_form
        form.is_valid()
        if form.inherits and self.override and not (self.act == "draft" and self.published):
            return "" if "effective_from" in form.errors else self.inherit(self.override)
        form.demand_what_a_rule_needs()
        if form.errors:
            return ""
        self.wanted = departure = form.departure((self.scope.setting, self.scope.drug))
        self.scope = Scope(departure.setting, departure.drug)
        if self.act == "draft":
            actions.draft_override(by=self.by, payer=self.payer, departure=departure, replaces=self.override)
            return f"Draft saved: {self.parameter.label}. It changes nothing until it is published."
        return self.publish(departure)

    def publish(self, departure: Departure) -> str:
        status = self.act.removeprefix(TAKE_OVER)
        if status not in (Status.UNVERIFIED, Status.VERIFIED):
            raise Refused("That button is not known here. Choose one of those at the end of the form.")
        given: dict[str, Any] = {"by": self.by, "payer": self.payer, "departure": departure, "status": status}
        if self.act.startswith(TAKE_OVER):
            other = self.rule_in_the_way()
            changes.take_over(**given, override=self.override, other=other)
        else:
            changes.publish(**given, override=self.override)
        return self.what_was_published(departure, status)

    def what_was_published(self, departure: Departure, status: str) -> str:
        words = self.parameter.words(self.parameter.clean(departure.value))
        told = f"Published as {status}. {self.parameter.label}: {words} from {day_in_words(departure.effective_from)}"
        told += "."
        if departure.effective_until:
            told += f" {self.what_follows(departure.effective_until + timedelta(days=1))}"
        if changes.begins_later(self.override, departure) and self.override:
            before = self.parameter.words(self.parameter.clean(self.override.value))
            told += f" The days before keep their rule: {before}."
        if departure.effective_from > today_at(self.request):
            told += " Today’s policy stays as it is."
        return told

    def end(self, override: PolicyOverride) -> str:
        form = self.forms["end"]
        if not form.is_valid():
            return ""
        last_day = form.cleaned_data["last_day"]
        changes.end(by=self.by, override=override, last_day=last_day)
        return self.what_follows(last_day + timedelta(days=1))

    def inherit(self, override: PolicyOverride) -> str:
        first_day = self.rule_form.cleaned_data.get("effective_from")
        ended = changes.inherit(by=self.by, override=override, first_day=first_day, today=today_at(self.request))
        if ended is None or first_day is None:
            return f"Withdrawn, because its value was left blank: {self.parameter.label}."
        return self.what_follows(first_day)

    def what_follows(self, day: date) -> str:
        """What holds once a rule has ended: what is inherited, or the next rule of the same scope."""
        rules = PayerPage(self.payer, day).policy().on(day, self.scope.setting)
        found = rules.look_up(self.parameter.name, self.scope.drug)
        again = found.layer.override_id == "" or found.layer.scope != self.scope
        told = f"{self.parameter.label} inherits again from" if again else "The next rule holds from"
        return f"{told} {day_in_words(day)}: {found.words} ({found.whose})."

    def withdraw(self, override: PolicyOverride) -> str:
        form = self.forms["withdraw"]
        if not form.is_valid():
            return ""
        actions.withdraw_override(by=self.by, override=override, reason=form.cleaned_data["reason"])
        return f"Withdrawn: {self.parameter.label}. What was billed under it stays explained."

    def rule_in_the_way(self) -> PolicyOverride:
        """The rule that the person saw in the way and agreed to end."""
        try:
            wanted = UUID(self.request.POST.get(IN_THE_WAY, ""))
        except ValueError:
            raise Refused("The rule in the way is not named. Publish again to see it.") from None
        other = PolicyOverride.objects.filter(
            payer=self.payer, parameter=self.parameter.name, public_id=wanted,
            setting=self.scope.setting, drug=self.scope.drug,
        ).exclude(status=Status.DRAFT).first()  # fmt: skip
        if other is None:
            raise Refused("The rule in the way applies to something else now. Publish again to see what is there.")
        return other

    def take_refusal(self, problem: Refused) -> None:
        """Say why nothing was written, where it belongs; after someone else's change, go on from what is there now."""
        form = self.forms[self.act] if self.act in ("end", "withdraw") else self.forms["rule"]
        if problem.field in form.fields:
            form.add_error(problem.field, problem.message)
        else:
            self.refusal = problem.message
        if problem.field == "effective_from" and self.wanted and self.act != "draft":
            self.find_rule_in_the_way(self.wanted)

    def find_rule_in_the_way(self, wanted: Departure) -> None:
        asked = PolicyOverride(
            payer=self.payer, parameter=wanted.parameter, setting=wanted.setting, drug=wanted.drug,
            effective_from=wanted.effective_from, effective_until=wanted.effective_until,
        )  # fmt: skip
        if self.override:
            asked.thread = self.override.thread
        other = overlapping(asked)
        self.in_the_way = RuleView(other, today_at(self.request)) if other else None

    def context(self) -> dict[str, object]:
        today = today_at(self.request)
        page = PayerPage(self.payer, today)
        newer = None
        if self.override is not None and str(self.override.public_id) not in page.by_id:
            newer = current_wording(self.override)
        override = newer or self.override
        return {
            "payer": self.payer,
            "parameter": self.parameter,
            "scope": self.scope,
            "rule": RuleView(override, today) if override else None,
            "newer": RuleView(newer, today) if newer else None,
            "withdrawn": override is not None and override.known_until is not None and newer is None,
            "rules": page.rules_of(self.parameter.name),
            "baseline": self.parameter.words(self.parameter.default),
            "forms": self.forms,
            "refusal": self.refusal,
            "issues": [issue for form in self.forms.values() for issue in form.issues],
            "checked": self.request.method == "POST",
            "in_the_way": self.in_the_way,
            "take_over": self.take_over_words(),
            "status_wanted": self.act.removeprefix(TAKE_OVER),
            "can_edit": True,
        }

    def take_over_words(self) -> str:
        """What the button says that clears the way."""
        if self.in_the_way is None or self.wanted is None:
            return ""
        first_day = self.wanted.effective_from
        if self.in_the_way.row.effective_from < first_day:
            return f"End that one on {day_in_words(first_day - timedelta(days=1))} and publish"
        return "Withdraw that one and publish"
