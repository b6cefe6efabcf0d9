"""What a payer's policy may say, and which value holds for one drug, one setting, one date of service.

A policy is a stack of layers: the national baseline, the payer's dated overrides, and values given with one
encounter. A narrower scope wins over a wider one, parameter by parameter; within one scope the later layer wins.
Every value is read through `Rules.read`, which keeps where the value came from, so that a reason is a by-product of
using a value and can never be missing.

Standard library alone: the rules know nothing but their arguments.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal

Value = int | bool | str | Decimal | None | tuple[str, ...]
Kind = Literal["minutes", "count", "choice", "choices", "flag", "amount", "text", "codes"]

SETTINGS = {"office": "Office", "hospital_outpatient": "Hospital outpatient", "home": "Home"}
DISCARD_REASONS = {
    "vial_remainder": "Rest of the vial",
    "stopped_early": "Infusion stopped early",
    "line_residual": "Left in the line",
    "overfill": "Overfill beyond the label",
    "broken_or_spilled": "Broken or spilled",
    "prepared_not_given": "Prepared, not given",
}


LARGEST_AMOUNT = Decimal(10) ** 9
MOST_DECIMALS = 6
# What is typed for a drug may be anything, so that not every reading is kept for the next encounter.
MOST_KEPT, LONGEST_KEPT = 5_000, 8


class PolicyProblem(ValueError):
    """A policy document that cannot be used. `field` names the parameter, e.g. ``settings.home.ndc_required``."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing a payer may decide. `default` is the national baseline, `source` its key in sources.toml."""

    name: str
    kind: Kind
    default: Value
    label: str
    meaning: str
    source: str
    choices: Mapping[str, str] = field(default_factory=dict)
    lowest: int = 0
    highest: int = 0
    optional: bool = False

    def clean(self, raw: object) -> Value:
        """The value as the engine uses it. Raises ValueError with a sentence that says what would be accepted."""
        if raw is None and self.optional:
            return None
        if self.kind in ("minutes", "count"):
            return self._whole_number(raw)
        if self.kind == "flag":
            if not isinstance(raw, bool):
                raise ValueError(f"{self.label} takes true or false.")
            return raw
        if self.kind == "amount":
            return self._amount(raw)
        if self.kind in ("choices", "codes"):
            return self._list(raw)
        if not isinstance(raw, str) or (self.kind == "choice" and raw not in self.choices):
            raise ValueError(f"{self.label} takes {' or '.join(self.choices) or 'a text'}.")
        return raw

    def _whole_number(self, raw: object) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int) or not self.lowest <= raw <= self.highest:
            raise ValueError(f"{self.label} takes a whole number from {self.lowest} to {self.highest}.")
        return raw

    def _amount(self, raw: object) -> Decimal:
        try:
            if isinstance(raw, bool) or not isinstance(raw, str | int | Decimal):
                raise InvalidOperation
            amount = Decimal(raw)
            if not 0 <= amount < LARGEST_AMOUNT or amount != round(amount, MOST_DECIMALS):
                raise InvalidOperation
        except InvalidOperation:
            raise ValueError(f"{self.label} takes an amount such as 600 or 99999.99.") from None
        return amount

    def _list(self, raw: object) -> tuple[str, ...]:
        if not isinstance(raw, list | tuple) or not all(isinstance(item, str) for item in raw):
            raise ValueError(f"{self.label} takes a list of texts.")
        unknown = [item for item in raw if self.choices and item not in self.choices]
        if unknown:
            raise ValueError(f"{self.label} does not know {unknown[0]}; it takes {', '.join(self.choices)}.")
        return tuple(raw)

    def words(self, value: Value) -> str:
        """The value as a sentence part: "31 minutes", "On its own line, with JW"."""
        if value is None:
            return "no limit"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, tuple):
            return ", ".join(self.choices.get(item, item) for item in value) or ("none" if self.choices else "any")
        if self.kind == "minutes":
            return f"{value} minute{'' if value == 1 else 's'}"
        return self.choices.get(str(value), str(value)) or "none"


_ROWS = (
    Parameter(
        "infusion_minimum_minutes",
        "minutes",
        16,
        "Minutes that make an infusion",
        "A drug that ran for fewer minutes than this is an IV push.",
        "CAS16",
        lowest=1,
        highest=60,
    ),
    Parameter(
        "hydration_minimum_minutes",
        "minutes",
        31,
        "Minutes that make hydration",
        "Ordered hydration that ran for fewer minutes than this is not reported.",
        "RAC137",
        lowest=1,
        highest=120,
    ),
    Parameter(
        "additional_hour_minimum_minutes",
        "minutes",
        31,
        "Minutes that earn another hour",
        "Minutes past the last full hour that earn one more unit of the further-hour code.",
        "IFR96415",
        lowest=1,
        highest=60,
    ),
    Parameter(
        "bag_change_minutes",
        "minutes",
        0,
        "Minutes of a bag change that count",
        "A gap of up to so many minutes between two bags of one order counts as running.",
        "CA96366",
        lowest=0,
        highest=30,
    ),
    Parameter(
        "concurrent_minimum_minutes",
        "minutes",
        0,
        "Minutes that make a drug concurrent",
        "Minutes that a drug has to share with another one to be reported as given at the same time.",
        "HAUQA",
        lowest=0,
        highest=60,
    ),
    Parameter(
        "infusion_past_midnight",
        "choice",
        "start_date",
        "Infusion past midnight",
        "Whether all its units are dated at its start, or each by the day on which its hour began. No unit is lost.",
        "RCAMID",
        choices={"start_date": "Dated at its start", "per_day": "Each unit dated by its day"},
    ),
    Parameter(
        "administration_family",
        "choice",
        "therapeutic",
        "Administration codes",
        "Which family of codes a highly complex drug takes. Other drugs always take the therapeutic family.",
        "NORCHEM",
        choices={"therapeutic": "Therapeutic (96365 family)", "complex": "Complex drug (96413 family)"},
    ),
    Parameter(
        "missing_stop_time",
        "choice",
        "hold",
        "Infusion without a stop time",
        "Hold the claim until the stop is recorded, or count a drug that has a start and no stop as a push.",
        "RCASTOP",
        choices={"hold": "Hold until recorded", "push": "Count as a push"},
    ),
    Parameter(
        "discarded_drug",
        "choice",
        "separate_line",
        "Discarded drug",
        "How the billable rest of a single-dose container is reported.",
        "NORJW",
        choices={
            "separate_line": "On its own line, with JW",
            "combined_line": "On the same line as the dose, no modifier",
            "not_billed": "Not billed",
        },
    ),
    Parameter(
        "zero_discard_modifier",
        "choice",
        "required",
        "JZ when nothing was discarded",
        "Whether a single-dose drug without billable discard carries JZ.",
        "CMSDD",
        choices={"required": "Carried, from its date", "not_used": "Not used"},
    ),
    Parameter(
        "billable_discard_reasons",
        "choices",
        ("vial_remainder", "stopped_early"),
        "Discards that may be billed",
        "Only drug discarded for one of these reasons becomes units.",
        "ITECH",
        choices=DISCARD_REASONS,
    ),
    Parameter(
        "billable_discard_drugs",
        "choice",
        "all",
        "Drugs whose discard may be billed",
        "Discard of a drug that has a fixed dose may be left out.",
        "TXJW",
        choices={"all": "All", "variable_dose": "Dosed by weight or need, no fixed dose"},
    ),
    Parameter(
        "billable_discard_containers",
        "choice",
        "single_dose",
        "Containers whose discard may be billed",
        "Discard from multi-dose containers is billed only where a payer takes it. JZ is for single-dose ones alone.",
        "BMS",
        choices={"single_dose": "Single-dose", "all": "Single-dose and multi-dose"},
    ),
    Parameter(
        "maximum_discarded_units",
        "choice",
        "none",
        "Most discarded units",
        "More discarded units of a drug than these are not billed.",
        "BNC",
        choices={"none": "No limit", "smallest_vial": "Those of its smallest vial"},
    ),
    Parameter(
        "supplied_drug_line",
        "choice",
        "none",
        "Drug the site did not buy",
        "Whether a supplied drug appears on the claim at a nominal charge.",
        "expert",
        choices={"none": "No line", "nominal_charge": "A line at 0.01"},
    ),
    Parameter(
        "distinct_site_modifier",
        "choice",
        "59",
        "Modifier for a second access site",
        "Carried by the initial code of a second, medically necessary access site.",
        "RAC71",
        choices={
            "59": "59, distinct service",
            "XS": "XS, separate site",
            "XE": "XE, separate encounter",
            "XP": "XP, separate practitioner",
            "XU": "XU, unusual service",
        },
    ),
    Parameter(
        "modifier_340b",
        "choice",
        "none",
        "Modifier for a drug bought at the 340B price",
        "Carried by the lines of such a drug, those of discarded drug too.",
        "VISANTE",
        choices={
            "none": "None",
            "by_date": "JG, from 2025-01-01 on TB",
            "TB": "TB",
            "JG": "JG",
            "UD": "UD, California Medicaid",
            "U8": "U8, Texas Medicaid",
        },
    ),
    Parameter(
        "off_campus_modifier",
        "choice",
        "not_used",
        "PO or PN off the campus",
        "Whether the lines of a hospital department off the campus say so: PO where it is excepted, PN where not.",
        "VISANTE",
        choices={"not_used": "Not used", "required": "Carried"},
    ),
    Parameter(
        "route_modifier",
        "choice",
        "not_used",
        "JA or JB for the route",
        "Whether the line of what was given says how: JA into a vein, JB under the skin.",
        "BNC",
        choices={"not_used": "Not used", "required": "Carried"},
    ),
    Parameter(
        "home_administration",
        "choice",
        "visit",
        "Administration at home",
        "Whether a home infusion is reported as a nursing visit or by infusion time.",
        "OCR",
        choices={"visit": "Nursing visit (99601 family)", "infusion": "Infusion time (96365 family)"},
    ),
    Parameter(
        "home_per_diem",
        "choice",
        "none",
        "Day's rate at home",
        "Whether the payer takes a line for the day of a home infusion, beside the visit or the infusion time.",
        "OCR",
        choices={"none": "No line", "S9379": "S9379, any home infusion"},
    ),
    Parameter(
        "home_per_diem_units",
        "count",
        1,
        "Units of the day's rate",
        "How many units of the day's rate one day has.",
        "OCR",
        lowest=1,
        highest=9,
    ),
    Parameter(
        "drug_covered",
        "flag",
        True,
        "Drug is covered",
        "Whether the payer covers the drug at all.",
        "expert",
    ),
    Parameter(
        "accepted_diagnoses",
        "codes",
        (),
        "Accepted diagnoses",
        "Diagnosis codes, one of which has to be on the claim. Empty means any.",
        "expert",
    ),
    Parameter(
        "prior_authorization",
        "choice",
        "none",
        "Prior authorization",
        "Whether the payer wants an authorization before the infusion.",
        "expert",
        choices={"none": "Not asked for", "always": "Always", "above_dose": "Above a dose"},
    ),
    Parameter(
        "prior_authorization_dose_limit",
        "amount",
        None,
        "Authorization dose limit (mg)",
        "The dose in milligrams above which an authorization is asked for.",
        "expert",
        optional=True,
    ),
    Parameter(
        "maximum_units_per_dose",
        "count",
        None,
        "Most units for one dose",
        "More units given in one encounter are warned about. Discarded units are not counted.",
        "BAL",
        lowest=1,
        highest=99_999,
        optional=True,
    ),
    Parameter(
        "maximum_units_per_period",
        "count",
        None,
        "Most units in a stretch of months",
        "More units given, those of earlier doses in that stretch included, are warned about.",
        "BAL",
        lowest=1,
        highest=99_999,
        optional=True,
    ),
    Parameter(
        "units_period_months",
        "count",
        6,
        "Months over which units are added up",
        "How far back earlier doses count towards the most units. A dose drops out on the same day of the month.",
        "BAL",
        lowest=1,
        highest=36,
    ),
    Parameter(
        "minimum_days_between_doses",
        "count",
        None,
        "Days between two doses",
        "A dose sooner than so many days after the one before is warned about.",
        "OCRDOSE",
        lowest=1,
        highest=999,
        optional=True,
    ),
    Parameter(
        "step_therapy",
        "text",
        "",
        "Step therapy",
        "What has to be tried first, in the payer's words. Empty means nothing.",
        "expert",
    ),
    Parameter(
        "ndc_required",
        "flag",
        False,
        "NDC on every drug line",
        "Whether the payer sends back a drug line without its NDC.",
        "UHCNDC1",
    ),
    Parameter(
        "separate_ndc_lines",
        "flag",
        False,
        "A line for each NDC",
        "Whether a drug that came from vials of several NDCs has one line for each of them.",
        "UHCMD",
    ),
    Parameter(
        "administered_lines_per_day",
        "choice",
        "any",
        "Lines for what was given",
        "How many lines of a drug that was given are paid on one day. JW lines are not counted.",
        "BNC",
        choices={
            "any": "As many as it takes",
            "one": "One, with all units whatever else would split it",
            "one_paid": "As many as it takes, and one of them is paid",
        },
    ),
    Parameter(
        "administration_paid",
        "flag",
        True,
        "Administration is paid",
        "Whether administration lines are paid apart from the drug. They are shown either way.",
        "CIG19",
    ),
    Parameter(
        "maximum_units_per_line",
        "count",
        None,
        "Most units on one drug line",
        "More units go to further lines with the same modifiers.",
        "ML1770",
        lowest=1,
        highest=99_999,
        optional=True,
    ),
    Parameter(
        "maximum_claim_charge",
        "amount",
        None,
        "Highest charge on one claim",
        "In dollars. A claim above it has to be split.",
        "CGSDOLLAR",
        optional=True,
    ),
    Parameter(
        "split_claim_modifier",
        "choice",
        "not_said",
        "Marking of a claim that was split",
        "How the second claim and those after it are marked where the charges are too high for one.",
        "CGSDOLLAR",
        choices={
            "not_said": "Not said: ask the payer",
            "59": "Modifier 59",
            "76": "Modifier 76",
            "note": "A note such as 1 of 2",
        },
    ),
)
PARAMETERS: Mapping[str, Parameter] = {row.name: row for row in _ROWS}

# Under which heading people look for a parameter, in the order in which they read.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Time": (
        "infusion_minimum_minutes",
        "additional_hour_minimum_minutes",
        "hydration_minimum_minutes",
        "bag_change_minutes",
        "concurrent_minimum_minutes",
        "missing_stop_time",
        "infusion_past_midnight",
    ),
    "Drug and waste": (
        "discarded_drug",
        "zero_discard_modifier",
        "billable_discard_reasons",
        "billable_discard_drugs",
        "billable_discard_containers",
        "maximum_discarded_units",
        "supplied_drug_line",
    ),
    "Codes and sites": (
        "administration_family",
        "distinct_site_modifier",
        "home_administration",
        "home_per_diem",
        "home_per_diem_units",
    ),
    "Modifiers": ("modifier_340b", "off_campus_modifier", "route_modifier", "split_claim_modifier"),
    "Coverage": (
        "drug_covered",
        "accepted_diagnoses",
        "prior_authorization",
        "prior_authorization_dose_limit",
        "maximum_units_per_dose",
        "maximum_units_per_period",
        "units_period_months",
        "minimum_days_between_doses",
        "step_therapy",
    ),
    "Claim": (
        "ndc_required",
        "separate_ndc_lines",
        "administered_lines_per_day",
        "administration_paid",
        "maximum_units_per_line",
        "maximum_claim_charge",
    ),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a layer applies. Empty setting or drug means every one."""

    setting: str = ""
    drug: str = ""

    @property
    def width(self) -> int:
        """0 for all, 1 for a setting, 2 for a drug, 3 for a drug in a setting: the larger is the narrower."""
        return 2 * bool(self.drug) + bool(self.setting)

    def covers(self, *, setting: str, drug: str) -> bool:
        return self.setting in ("", setting) and self.drug in ("", drug)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Values of one origin for one scope, in force from and until two dates of service, both inclusive."""

    name: str
    values: Mapping[str, Value]
    scope: Scope = Scope()
    source: str = ""
    status: Literal["verified", "unverified"] = "verified"
    effective_from: date | None = None
    effective_until: date | None = None
    override_id: str = ""

    def in_force(self, on: date) -> bool:
        """Whether the layer holds for services of that day."""
        return (self.effective_from is None or self.effective_from <= on) and (
            self.effective_until is None or on <= self.effective_until
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """One parameter as it was read: its value and the layer that decided it. `drug` is what it was asked for."""

    name: str
    drug: str
    value: Value
    layer: Layer
    source: str = field(init=False)
    document: Mapping[str, object] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """The source is the override's own citation or the key of the baseline's; the document is what JSON says."""
        source = self.layer.source or PARAMETERS[self.name].source
        document = {"value": jsonable(self.value), "from": self.layer.name, "source": source}
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "document", document)

    @property
    def minutes(self) -> int:
        assert isinstance(self.value, int)  # noqa: S101  narrows the type; the parameter's kind guarantees it
        return self.value

    @property
    def words(self) -> str:
        return PARAMETERS[self.name].words(self.value)

    @property
    def path(self) -> str:
        """Where the deciding value would stand in an inline policy: ``policy.drugs.J2350.discarded_drug``."""
        scope = self.layer.scope
        parts = ["policy"] + (["drugs", scope.drug] if scope.drug else [])
        return ".".join([*parts, *(["settings", scope.setting] if scope.setting else []), self.name])

    @property
    def unverified(self) -> bool:
        return self.layer.status == "unverified"

    @property
    def whose(self) -> str:
        """Whose rule it is, for a sentence: "National baseline" or the payer's name."""
        return {"baseline": "National baseline", "inline": "Given with this encounter"}.get(
            self.layer.name, self.layer.name
        )


Readings = dict[tuple[str, str], Reading]
BASELINE = Layer("baseline", {name: parameter.default for name, parameter in PARAMETERS.items()})


@dataclass(slots=True, eq=False, repr=False)
class Rules:
    """The policy of one date of service and one setting. Keeps every reading that was made.

    `resolved` and `silences` hold what was looked up under the same layers before, by whomever; `readings` what was
    read here.
    """

    layers: tuple[Layer, ...]
    setting: str
    readings: Readings = field(default_factory=dict)
    resolved: Readings = field(default_factory=dict)
    silences: dict[tuple[str, tuple[str, ...]], Readings] = field(default_factory=dict)

    def read(self, name: str, drug: str = "") -> Reading:
        """The value in force for a drug (or for none), remembered together with its origin."""
        key = (name, drug)
        reading = self.readings.get(key)
        if reading is None:
            reading = self.resolved.get(key)
            if reading is None:
                reading = self.look_up(name, drug)
                if len(self.resolved) < MOST_KEPT and len(drug) <= LONGEST_KEPT:
                    self.resolved[key] = reading
            self.readings[key] = reading
        return reading

    def asks_nothing(self, drug: str, names: tuple[str, ...]) -> bool:
        """Whether each of these has the value of the national baseline, by which nothing is asked; they count as read.

        Where one has another value, none of them counts as read yet.
        """
        key = (drug, names)
        if key not in self.silences:
            found = {(name, drug): self.look_up(name, drug) for name in names}
            silent = all(reading.value == BASELINE.values[reading.name] for reading in found.values())
            self.silences[key] = found if silent else {}
        self.readings |= self.silences[key]
        return bool(self.silences[key])

    @property
    def doubted(self) -> list[Reading]:
        """What was read and nobody has verified."""
        if not [layer for layer in self.layers if layer.status == "unverified"]:
            return []
        return [reading for reading in self.readings.values() if reading.unverified]

    def look_up(self, name: str, drug: str = "") -> Reading:
        """Like `read`, without counting as used: for pages that show a policy."""
        winner, narrowest = BASELINE, 0
        for layer in self.layers:
            scope = layer.scope
            if name in layer.values and scope.width >= narrowest and scope.covers(setting=self.setting, drug=drug):
                winner, narrowest = layer, scope.width
        return Reading(name, drug, winner.values[name], winner)

    def speaking(self, name: str, drug: str = "") -> tuple[Reading, ...]:
        """Every layer that says something of a parameter, the widest first and the one that decides last."""
        layers = [BASELINE, *(layer for layer in self.layers if layer is not BASELINE)]
        found = [
            Reading(name, drug, layer.values[name], layer)
            for layer in layers
            if name in layer.values and layer.scope.covers(setting=self.setting, drug=drug)
        ]
        return tuple(sorted(found, key=lambda reading: reading.layer.scope.width))


@dataclass(frozen=True, slots=True)
class PayerPolicy:
    """All layers a payer has, widest origin first; `on` picks those of a date.

    Between two days on which a layer begins or has ended, every day has the same layers. What they come to is worked
    out once for each such stretch and setting, and kept with the policy.
    """

    layers: tuple[Layer, ...] = (BASELINE,)
    _turns: tuple[int, ...] = field(init=False)
    _stretches: dict[tuple[int, str], Rules] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        begins = {layer.effective_from.toordinal() for layer in self.layers if layer.effective_from is not None}
        ends = {layer.effective_until.toordinal() + 1 for layer in self.layers if layer.effective_until is not None}
        object.__setattr__(self, "_turns", tuple(sorted(begins | ends)))
        object.__setattr__(self, "_stretches", {})

    def on(self, day: date, setting: str) -> Rules:
        key = (bisect_right(self._turns, day.toordinal()), setting)
        known = self._stretches.get(key)
        if known is None:
            layers = tuple(layer for layer in self.layers if layer.in_force(day))
            known = self._stretches[key] = Rules(layers, setting)
        return Rules(known.layers, setting, {}, known.resolved, known.silences)

    def with_layers(self, layers: Iterable[Layer]) -> PayerPolicy:
        more = tuple(layers)
        return PayerPolicy((*self.layers, *more)) if more else self

    def without(self, layer: Layer) -> PayerPolicy:
        """This policy as if one of its layers did not exist."""
        return PayerPolicy(tuple(each for each in self.layers if each is not layer))

    def with_inline(self, document: Mapping[str, object]) -> PayerPolicy:
        """Values given with one encounter laid over this policy. Raises PolicyProblem for what cannot be read."""
        return self.with_layers(inline_layers(document)) if document else self


NATIONAL_BASELINE = PayerPolicy()


def national_baseline() -> PayerPolicy:
    return NATIONAL_BASELINE


def inline_layers(document: Mapping[str, object]) -> list[Layer]:
    """Layers of ``{"name": value, "settings": {...}, "drugs": {code: {..., "settings": {...}}}}``."""
    layers = _scoped_layers(document, Scope(), "")
    for code, part in _table(document, "drugs", "").items():
        layers += _scoped_layers(_as_table(part, f"drugs.{code}"), Scope(drug=code.upper()), f"drugs.{code}.")
    return layers


def _scoped_layers(part: Mapping[str, object], scope: Scope, path: str) -> list[Layer]:
    nested = {"settings"} if scope.drug else {"settings", "drugs"}
    values = {name: raw for name, raw in part.items() if name not in nested}
    layers = [Layer("inline", clean_values(values, path), scope)] if values else []
    for setting, inner in _table(part, "settings", path).items():
        where = f"{path}settings.{setting}"
        if setting not in SETTINGS:
            raise PolicyProblem(where, f"{setting} is not a setting; use {', '.join(SETTINGS)}.")
        table = clean_values(_as_table(inner, where), f"{where}.")
        layers.append(Layer("inline", table, Scope(setting=setting, drug=scope.drug)))
    return layers


def clean_values(values: Mapping[str, object], path: str = "") -> dict[str, Value]:
    """Parameters by name, each as the engine uses it. Raises PolicyProblem with the path of the first bad one."""
    cleaned: dict[str, Value] = {}
    for name, raw in values.items():
        if name not in PARAMETERS:
            raise PolicyProblem(path + name, f"{name} is not a policy parameter.")
        try:
            cleaned[name] = PARAMETERS[name].clean(raw)
        except ValueError as problem:
            raise PolicyProblem(path + name, str(problem)) from None
    return cleaned


def jsonable(value: Value) -> int | bool | str | list[str] | None:
    """A value as JSON writes it; amounts as texts, so that they stay exact."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return list(value) if isinstance(value, tuple) else value


def _table(part: Mapping[str, object], name: str, path: str) -> Mapping[str, object]:
    return {} if part.get(name) is None else _as_table(part[name], path + name)


def _as_table(raw: object, path: str) -> Mapping[str, object]:
    if not isinstance(raw, Mapping):
        raise PolicyProblem(path, "An object with parameter names is expected here.")
    return raw
