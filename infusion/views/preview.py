"""The result of a calculation as a page shows it. Nothing is decided here that the rules have not decided."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal

from infusion.forms.encounter import DrugEntry, EncounterEntry, Issue
from infusion.forms.stored import to_the_second
from infusion.services import facts
from infusion.services.calculate import calculate
from infusion.services.clock import length, running_periods, whole_minutes
from infusion.services.findings import Finding
from infusion.services.lines import Because, ServiceLine, Statement
from infusion.services.reference import Reference
from infusion.services.words import counted, plain
from infusion.timeline import Timeline, draw_timeline
from payers.policy import PARAMETERS, SETTINGS, Layer, PayerPolicy, Reading, Rules
from payers.selectors import day_in_words

NO_DRUG = "Drug: enter the drug that was given."
NEAR_THE_NEXT_UNIT = re.compile(r"(?:One|[1-5]) more minutes? would (?:add|make)[^.,]*")


@dataclass(frozen=True, slots=True)
class LayerView:
    """What one layer says of a parameter. `decides` marks the one that holds."""

    whose: str
    value: str
    decides: bool
    state: str
    status: str


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a line: its text in three pieces, so that the telling one can stand out, and whose rule it is."""

    before: str
    telling: str
    after: str
    rule: str
    value: str
    whose: str
    own: bool
    source_key: str
    source: str
    layers: tuple[LayerView, ...] = ()
    in_force: str = ""
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class LineView:
    """A service line with its short label and its reasons."""

    code: str
    modifiers: str
    units: int
    label: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about what is missing or worth knowing, with the field that mends it."""

    kind: str
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Balance:
    """Whether a drug's vials add up, in a sentence, and what would make them."""

    text: str
    missing: str = ""


@dataclass(slots=True)
class Preview:
    """All that the panel shows."""

    statement: Statement | None = None
    lines: list[LineView] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    missing: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)
    told: list[Remark] = field(default_factory=list)
    timeline: Timeline | None = None

    @property
    def is_blank(self) -> bool:
        return self.statement is None

    @property
    def state(self) -> str:
        if self.is_blank:
            return "empty"
        return "missing" if self.missing else "warn" if self.warnings else "ok"

    @property
    def state_words(self) -> str:
        if self.is_blank:
            return "Nothing entered yet"
        if self.missing:
            return f"{counted(len(self.missing), 'thing')} missing"
        return counted(len(self.warnings), "warning") if self.warnings else "Nothing missing"


def preview_of(
    entry: EncounterEntry, policy: PayerPolicy, *, hours: bool = True, stored: facts.Encounter | None = None
) -> Preview:
    """Calculates what was understood. No line is shown while a field is unread, because a line may hang on it.

    Without `hours` the time line leaves out which minutes earn a unit: nobody at the chair is to run the clock for one.
    What is `stored` has the seconds of taps, which a form does not show.
    """
    if entry.is_blank:
        return Preview()
    encounter, reference = entry.encounter(), entry.around.reference
    if stored is not None:
        encounter = to_the_second(encounter, stored)
    statement = calculate(encounter, policy, reference)
    shown = Preview(statement=statement)
    settled = not entry.issues
    if settled:
        shown.lines = [line_view(line, reference) for line in statement.lines]
    shown.missing = [Remark("missing", issue.message, issue.field) for issue in entry.issues]
    unread = {issue.field for issue in entry.issues}
    for finding in statement.findings:
        remark = _remark(finding, entry, unread)
        if remark is not None:
            {"error": shown.missing, "warning": shown.warnings, "info": shown.told}[finding.severity].append(remark)
    order = {name: position for position, name in enumerate(entry.names)}
    shown.missing.sort(key=lambda remark: order.get(remark.field, len(order)))
    names = {drug.id: drug_name(drug) for drug in entry.given}
    shown.timeline = draw_timeline(encounter, names, statement if settled and hours else None)
    shown.figures = figures_of(entry)
    return shown


def issues_of(entry: EncounterEntry, preview: Preview) -> list[Issue]:
    """What has to be mended, one sentence for each field, in the order of the page."""
    order = {name: position for position, name in enumerate(entry.names)}
    if preview.is_blank:
        return [*entry.issues, Issue("d1-drug", NO_DRUG)]
    first: dict[str, str] = {}
    for remark in preview.missing:
        first.setdefault(remark.field, remark.message)
    return [Issue(field, first[field]) for field in sorted(first, key=lambda name: order.get(name, len(order)))]


def _remark(finding: Finding, entry: EncounterEntry, unread: set[str]) -> Remark | None:
    """The finding with its field; None when the form already says why that field could not be used."""
    where = entry.finding_field(finding.administration, finding.field)
    if where in unread or (finding.code.startswith("time.") and finding.code.endswith(("_missing", "_open"))):
        typed = entry.entries.get(where, "").strip()
        undated = bool(typed) and entry.date_of_service is None
        if where in unread or undated:
            return None
    no_drug = finding.code == "drug.unknown" and not entry.entries.get(where, "").strip()
    return Remark(finding.severity, NO_DRUG if no_drug else finding.message, where)


def drug_name(entry: DrugEntry) -> str:
    if entry.route == "hydration":
        return "Hydration"
    return entry.drug.label if entry.drug else entry.code or entry.title


def line_view(line: ServiceLine, reference: Reference, rules: Rules | None = None) -> LineView:
    """The line as a page shows it; given the rules of its day, with every layer that speaks to its reasons."""
    return LineView(
        code=line.code,
        modifiers=", ".join(line.modifiers),
        units=line.units,
        label=line_label(line, reference),
        reasons=tuple(reason_view(because, reference, rules) for because in line.because),
    )


def line_label(line: ServiceLine, reference: Reference) -> str:
    """What a code stands for, in our own words."""
    if line.kind != "drug":
        row = reference.administration.get(line.code)
        return row.label if row else ""
    rows = reference.drugs.get(line.code, ())
    parts = [f"{rows[-1].label}, {plain(rows[-1].billing_unit)} mg a unit"] if rows else []
    units = {"ML": "mL", "UN": "vials"}
    parts += [f"NDC {each.ndc}, {plain(each.quantity)} {units.get(each.unit, each.unit)}" for each in line.ndcs]
    return ". ".join(parts)


def reason_view(because: Because, reference: Reference, rules: Rules | None = None) -> Reason:
    reading = because.reading
    found = NEAR_THE_NEXT_UNIT.search(because.text)
    cut = found.span() if found else (len(because.text), len(because.text))
    end = cut[1] + (because.text[cut[1] : cut[1] + 1] == ".")
    source = reference.sources.get(because.source)
    if reading is not None:
        rule, value = PARAMETERS[reading.name].label, reading.words
    else:
        written = reference.rules.get(because.rule)
        rule, value = (written.title if written else because.rule.replace("_", " ").capitalize()), ""
    inline = reading is not None and reading.layer.name == "inline"
    return Reason(
        before=because.text[: cut[0]],
        telling=because.text[cut[0] : end],
        after=because.text[end:],
        rule=rule,
        value=value,
        whose="Set here for this calculation" if inline else reading.whose if reading else "Rule for every payer",
        own=reading is not None and reading.layer.name != "baseline",
        source_key=because.source if source else "",
        source=source.title if source else because.source,
        layers=layer_views(reading, rules, reference) if reading is not None and rules is not None else (),
        in_force=days_in_force(reading.layer) if reading is not None else "",
        parameter=reading.name if reading is not None else "",
    )


def layer_views(reading: Reading, rules: Rules, reference: Reference) -> tuple[LayerView, ...]:
    """The layers from the widest to the one that decides; nothing where nobody departs from the baseline."""
    speaking = rules.speaking(reading.name, reading.drug)
    if len(speaking) == 1:
        return ()
    return tuple(layer_view(each, reference, decides=each is speaking[-1]) for each in speaking)


def layer_view(reading: Reading, reference: Reference, *, decides: bool) -> LayerView:
    source = reference.sources.get(reading.source)
    if reading.unverified:
        state, status = "warn", "Unverified"
    elif source is not None and source.confidence != "high":
        state, status = "", f"{source.confidence.capitalize()} confidence"
    else:
        state, status = "ok", "Verified"
    scope = [SETTINGS.get(reading.layer.scope.setting, ""), reading.layer.scope.drug]
    where = ", ".join(part for part in scope if part)
    return LayerView(f"{reading.whose} ({where})" if where else reading.whose, reading.words, decides, state, status)


def days_in_force(layer: Layer) -> str:
    """From when until when a departure holds: "In force from January 1, 2024"."""
    if layer.effective_from is None:
        return ""
    until = f" until {day_in_words(layer.effective_until)}" if layer.effective_until else ""
    return f"In force from {day_in_words(layer.effective_from)}{until}."


def figures_of(entry: EncounterEntry) -> list[Figure]:
    """Big numbers: time and amounts of one drug, or how much was given in all when there are several."""
    given = [drug for drug in entry.given if drug.route != "hydration"]
    periods = [running_periods(each, entry.around.zone) for each in entry.encounter().administrations]
    minutes = sum(whole_minutes(length(each)) for each in periods)
    time = Figure(str(minutes) if any(periods) else "–", "running minutes")
    if len({drug.code for drug in given}) > 1:
        return [Figure(str(len(entry.given)), "drugs"), time]
    amounts = [amount for drug in given if (amount := drug.form.value("administered")) is not None]
    total = plain(sum(amounts, Decimal(0))) if amounts else "–"
    discarded = sum((drug.discarded for drug in given), Decimal(0))
    return [time, Figure(total, "mg given"), Figure(plain(discarded), "mg discarded")]


def balance_of(drug: DrugEntry) -> Balance:
    """The sum of a drug's vials as an equation, or what keeps it from being one."""
    given, opened, discarded = drug.form.value("administered"), drug.opened, drug.discarded_of_label
    if given is None or not opened:
        return Balance("")
    words = f"{plain(given)} mg administered + {plain(discarded)} mg discarded"
    if opened == given + discarded:
        return Balance(f"{plain(opened)} mg opened = {words}. The vials add up.")
    if opened < given + discarded:
        over = plain(given + discarded - opened)
        return Balance(f"{plain(opened)} mg opened, {words}: that is {over} mg more than the vials hold.")
    rest = plain(opened - given - discarded)
    return Balance(f"{plain(opened)} mg opened, {words}: {rest} mg are not accounted for.", missing=rest)
