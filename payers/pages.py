"""What the payer pages show: rows and readings -> things ready to be drawn. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from infusion.audit import AuditEvent
from payers.models import Payer, PolicyOverride, Proposal
from payers.policy import GROUPS, PARAMETERS, SETTINGS, Parameter, PayerPolicy, Reading, Scope, national_baseline
from payers.selectors import day_in_words, layers_of, overrides_known

Status = PolicyOverride.Status
MARKS = {"draft": "todo", "unverified": "warn", "verified": "ok"}


def sentence_case(words: str) -> str:
    return words[:1].upper() + words[1:]


def days_in_words(first: date, last: date | None) -> str:
    """
    >>> days_in_words(date(2024, 1, 1), date(2026, 3, 31))
    'From January 1, 2024 until March 31, 2026'
    """
    return f"From {day_in_words(first)}" + (f" until {day_in_words(last)}" if last else "")


@dataclass(frozen=True, slots=True)
class RuleView:
    """One override row in words, as it stands on a day."""

    row: PolicyOverride
    on: date

    @property
    def id(self) -> UUID:
        return self.row.public_id

    @property
    def parameter(self) -> Parameter:
        return PARAMETERS[self.row.parameter]

    @property
    def value(self) -> str:
        return sentence_case(self.parameter.words(self.parameter.clean(self.row.value)))

    @property
    def scope(self) -> Scope:
        return Scope(setting=self.row.setting, drug=self.row.drug)

    @property
    def setting_words(self) -> str:
        return SETTINGS.get(self.row.setting, "")

    @property
    def days(self) -> str:
        return days_in_words(self.row.effective_from, self.row.effective_until)

    @property
    def read_on(self) -> str:
        return day_in_words(self.row.source_read_on)

    @property
    def begins(self) -> str:
        return day_in_words(self.row.effective_from)

    @property
    def review_by(self) -> str:
        return day_in_words(self.row.review_by) if self.row.review_by else ""

    @property
    def overdue(self) -> bool:
        """Whether a verified rule should have been read again at its source by now."""
        return self.row.review_by is not None and self.row.review_by < self.on

    @property
    def is_draft(self) -> bool:
        return self.row.status == Status.DRAFT

    @property
    def mark(self) -> str:
        return MARKS[self.row.status]

    @property
    def status(self) -> str:
        return Status(self.row.status).label

    @property
    def address_is_link(self) -> bool:
        return self.row.source_address.startswith(("https://", "http://"))

    @property
    def time(self) -> str:
        """Where the day lies: "draft", "later", "past" or "now"."""
        if self.is_draft:
            return "draft"
        if self.row.effective_from > self.on:
            return "later"
        if self.row.effective_until is not None and self.row.effective_until < self.on:
            return "past"
        return "now"


@dataclass(frozen=True, slots=True)
class ProposalView:
    """One proposal in words: what holds now, what is wanted, and what became of it."""

    row: Proposal
    on: date
    zone: ZoneInfo

    @property
    def rule(self) -> RuleView:
        return RuleView(self.row.override, self.on)

    @property
    def parameter(self) -> Parameter:
        return PARAMETERS[self.row.override.parameter]

    @property
    def now(self) -> Reading:
        """What holds today for the same scope."""
        scope = self.rule.scope
        return (
            PayerPage(self.row.payer, self.on)
            .policy()
            .on(self.on, scope.setting)
            .look_up(self.parameter.name, scope.drug)
        )

    @property
    def now_words(self) -> str:
        return f"{sentence_case(self.now.words)}, {self.now.whose}"

    @property
    def in_the_way(self) -> RuleView | None:
        return RuleView(self.row.in_the_way, self.on) if self.row.in_the_way else None

    @property
    def last_day(self) -> str:
        return day_in_words(self.row.last_day) if self.row.last_day else ""

    @property
    def review_by(self) -> str:
        return day_in_words(self.row.review_by) if self.row.review_by else ""

    @property
    def open(self) -> bool:
        return self.row.outcome == Proposal.Outcome.OPEN

    @property
    def moved_on(self) -> bool:
        """Whether the rule has another wording by now, so that nobody can publish this."""
        return self.open and self.row.override.known_until is not None

    @property
    def title(self) -> str:
        verb = {"publish": "", "end": "End: ", "withdraw": "Withdraw: "}[self.row.kind]
        return f"{verb}{self.parameter.label}"

    @property
    def proposed(self) -> str:
        return self._deed(self.row.proposed_by, self.row.proposed_at)

    @property
    def decided(self) -> str:
        return self._deed(self.row.decided_by, self.row.decided_at) if self.row.decided_at else ""

    def _deed(self, person: Any, at: Any) -> str:
        local = at.astimezone(self.zone)
        return f"{person.get_full_name() or person.get_username()}, {day_in_words(local.date())}, {local:%H:%M}"


@dataclass(frozen=True, slots=True)
class ParameterView:
    """One parameter of a policy: what holds, whose it is, and what else there is that the chosen scope would hide."""

    reading: Reading
    rule: RuleView | None
    wider: bool
    drafts: Sequence[RuleView]
    later: Sequence[RuleView]
    also: Sequence[RuleView]

    @property
    def parameter(self) -> Parameter:
        return PARAMETERS[self.reading.name]

    @property
    def value(self) -> str:
        return sentence_case(self.reading.words)


@dataclass(frozen=True, slots=True)
class GroupView:
    title: str
    rows: Sequence[ParameterView]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rules of its own a payer has on a day."""

    in_force: int
    later: int
    drafts: int
    unverified: int

    @classmethod
    def of(cls, rows: Iterable[PolicyOverride], on: date) -> Tally:
        views = [RuleView(row, on) for row in rows]
        return cls(
            in_force=sum(view.time == "now" for view in views),
            later=sum(view.time == "later" for view in views),
            drafts=sum(view.is_draft for view in views),
            unverified=sum(view.row.status == Status.UNVERIFIED and view.time != "past" for view in views),
        )


def all_payers(on: date) -> list[tuple[Payer, Tally]]:
    """Every payer with its tally, by name."""
    rows_by_payer: dict[int, list[PolicyOverride]] = {}
    for row in PolicyOverride.objects.filter(known_until__isnull=True):
        rows_by_payer.setdefault(row.payer_id, []).append(row)
    return [(payer, Tally.of(rows_by_payer.get(payer.pk, []), on)) for payer in Payer.objects.all()]


class PayerPage:
    """A payer's current rows, read once, and the policy that they make."""

    def __init__(self, payer: Payer, on: date) -> None:
        self.payer = payer
        self.on = on
        self.rows = list(overrides_known(payer).select_related("author", "publisher", "payer"))
        self.published = [row for row in self.rows if row.status != Status.DRAFT]
        self.by_id = {str(row.public_id): row for row in self.rows}

    @property
    def tally(self) -> Tally:
        return Tally.of(self.rows, self.on)

    @property
    def drugs(self) -> list[str]:
        """The drug codes that the payer has rules for."""
        return sorted({row.drug for row in self.rows if row.drug})

    def policy(self, rows: Iterable[PolicyOverride] | None = None) -> PayerPolicy:
        return national_baseline().with_layers(layers_of(self.payer, self.published if rows is None else rows))

    def groups(self, scope: Scope) -> list[GroupView]:
        """The policy in force for a scope, every parameter under its heading."""
        rules = self.policy().on(self.on, scope.setting)
        return [
            GroupView(title, [self.parameter_view(rules.look_up(name, scope.drug), scope) for name in names])
            for title, names in GROUPS.items()
        ]

    def parameter_view(self, reading: Reading, scope: Scope) -> ParameterView:
        row = self.by_id.get(reading.layer.override_id)
        seen = [view for view in self.rules_of(reading.name) if _meet(view.scope, scope)]
        return ParameterView(
            reading=reading,
            rule=RuleView(row, self.on) if row else None,
            wider=reading.layer.scope != scope,
            drafts=[view for view in seen if view.is_draft],
            later=[view for view in seen if view.time == "later"],
            also=[view for view in seen if view.time == "now" and view.scope.width > scope.width],
        )

    def rules_of(self, name: str) -> list[RuleView]:
        """The payer's current rules of one parameter, drafts too, the widest scope first."""
        rows = [row for row in self.rows if row.parameter == name]
        rows.sort(key=lambda row: (Scope(row.setting, row.drug).width, row.drug, row.setting, row.effective_from))
        return [RuleView(row, self.on) for row in rows]

    def inherited(self, name: str, scope: Scope, on: date) -> Reading:
        """What holds for a scope on a day when it has no rule of its own."""
        others = [row for row in self.published if Scope(row.setting, row.drug) != scope]
        return self.policy(others).on(on, scope.setting).look_up(name, scope.drug)


def _meet(one: Scope, other: Scope) -> bool:
    """Whether there is a drug and a setting to which both apply."""
    return (not one.setting or other.setting in ("", one.setting)) and (not one.drug or other.drug in ("", one.drug))


@dataclass(frozen=True, slots=True)
class Compared:
    """One parameter under two policies."""

    mine: ParameterView
    other: ParameterView

    @property
    def parameter(self) -> Parameter:
        return self.mine.parameter

    @property
    def views(self) -> tuple[ParameterView, ParameterView]:
        return self.mine, self.other

    @property
    def differs(self) -> bool:
        return self.mine.reading.value != self.other.reading.value


def compared(mine: PayerPage, other: PayerPage, scope: Scope) -> list[tuple[str, list[Compared]]]:
    """Two policies side by side, every parameter under its heading."""
    return [
        (group.title, [Compared(*pair) for pair in zip(group.rows, beside.rows, strict=True)])
        for group, beside in zip(mine.groups(scope), other.groups(scope), strict=True)
    ]


def open_proposals(payer: Payer, on: date, zone: ZoneInfo) -> list[ProposalView]:
    """What waits for a second admin, the oldest first."""
    rows = payer.proposals.filter(outcome="").select_related("payer", "override", "in_the_way", "proposed_by")
    return [ProposalView(row, on, zone) for row in rows]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that changed. `before` is empty in a thread's first entry."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step in the life of a rule: what was done, when, by whom, and what it changed."""

    deed: str
    mark: str
    at: datetime
    who: str
    reason: str
    differences: Sequence[Difference]

    @property
    def at_words(self) -> str:
        """The clinic's clock; a template would turn the moment into UTC again."""
        return f"{day_in_words(self.at.date())}, {self.at:%H:%M}"


@dataclass(frozen=True, slots=True)
class Thread:
    """One rule through all its wordings, the newest step first."""

    rule: RuleView
    withdrawn: bool
    entries: Sequence[HistoryEntry]


def history(payer: Payer, on: date, zone: ZoneInfo, parameter: str = "") -> list[Thread]:
    """Every rule the payer ever had, drafts too; the one changed last comes first."""
    rows = PolicyOverride.objects.filter(payer=payer).select_related("author", "publisher").order_by("known_from", "pk")
    if parameter:
        rows = rows.filter(parameter=parameter)
    threads: dict[UUID, list[PolicyOverride]] = {}
    for row in rows:
        threads.setdefault(row.thread, []).append(row)
    events = _events(row for wordings in threads.values() for row in wordings)
    views = [_thread(wordings, events, on, zone) for wordings in threads.values()]
    return sorted(views, key=lambda thread: thread.entries[0].at, reverse=True)


def _events(rows: Iterable[PolicyOverride]) -> dict[tuple[str, bool], AuditEvent]:
    """The audit's row for each wording, and (True) for its withdrawal."""
    ids = [str(row.public_id) for row in rows]
    found = AuditEvent.objects.filter(subject="override", subject_id__in=ids).select_related("by")
    return {(event.subject_id, event.action == "override.withdraw"): event for event in found}


def _thread(
    wordings: list[PolicyOverride], events: dict[tuple[str, bool], AuditEvent], on: date, zone: ZoneInfo
) -> Thread:
    entries: list[HistoryEntry] = []
    draft: PolicyOverride | None = None
    published: PolicyOverride | None = None
    for row in wordings:
        is_draft = row.status == Status.DRAFT
        before = draft or published if is_draft else published or draft
        event = events.get((str(row.public_id), False))
        entries.append(
            HistoryEntry(
                deed=_deed(before, row),
                mark=MARKS[row.status],
                at=row.known_from.astimezone(zone),
                who=_who(event, row.publisher or row.author),
                reason="",
                differences=_differences(before, row, on),
            )
        )
        gone = events.get((str(row.public_id), True))
        if gone is not None and row.known_until is not None:
            deed = "Draft withdrawn" if is_draft and published else "Withdrawn"
            entries.append(
                HistoryEntry(deed, "bad", row.known_until.astimezone(zone), _who(gone, None), gone.reason, [])
            )
        draft, published = (row, published) if is_draft else (None, row)
    current = [row for row in wordings if row.known_until is None]
    standing = next((row for row in current if row.status != Status.DRAFT), (current or wordings)[-1])
    entries.sort(key=lambda entry: entry.at)
    return Thread(RuleView(standing, on), not current, entries[::-1])


def _deed(before: PolicyOverride | None, row: PolicyOverride) -> str:
    if row.status == Status.DRAFT:
        return "Draft changed" if before and before.status == Status.DRAFT else "Drafted"
    if before is None or before.status == Status.DRAFT:
        return f"Published as {row.status}"
    if before.effective_until != row.effective_until and _said(before) == _said(row):
        return "End set"
    return "Changed"


def _said(row: PolicyOverride) -> tuple[Any, ...]:
    """What a row says apart from its last day."""
    return (row.value, row.effective_from, row.source_document, row.source_address, row.source_read_on, row.status)


def _who(event: AuditEvent | None, person: Any) -> str:
    known = event.by if event and event.by else person
    if known:
        return known.get_full_name() or known.get_username()
    return "the program itself" if event else ""


def _differences(before: PolicyOverride | None, after: PolicyOverride, on: date) -> list[Difference]:
    old = dict(_facts(before, on)) if before else {}
    found = [Difference(what, old.get(what, ""), words) for what, words in _facts(after, on)]
    if before is None:
        return [each for each in found if each.after not in ("", "No end") and each.what != "Status"]
    return [each for each in found if each.after != each.before]


def _facts(row: PolicyOverride, on: date) -> list[tuple[str, str]]:
    view = RuleView(row, on)
    return [
        ("Value", view.value),
        ("Setting", view.setting_words or ("All settings" if row.drug else "")),
        ("Drug", row.drug),
        ("From", view.begins),
        ("Until", day_in_words(row.effective_until) if row.effective_until else "No end"),
        ("Status", view.status),
        ("Source", f"{row.source_document}, read {view.read_on}"),
        ("Address", row.source_address),
        ("Read again by", view.review_by),
        ("Note", row.note),
    ]
