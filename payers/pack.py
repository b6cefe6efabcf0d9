"""Rule packs: payers with their published rules as one text file that people can read, review and share.

What comes in is only ever proposed: a rule that another clinic has verified is unverified here until somebody here has
read it. A file with anything unreadable in it brings in nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import tomli_w
from django.db import transaction

from payers.actions import Departure, Refused, add_payer, draft_override
from payers.changes import departure_of
from payers.models import Payer, PolicyOverride, Proposal
from payers.policy import PARAMETERS, SETTINGS
from payers.proposals import Wanted, propose
from payers.selectors import overrides_known

Status = PolicyOverride.Status
MOST_RULES = 5_000
TABLES_OF_A_RULE = 4  # its own, its values' and its payer's, with room
TOO_MANY = f"The file has more than {MOST_RULES:,} rules. Share it in parts."
LONGEST_LINE = 10_000
SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
NAMES = {each.name for each in fields(Departure)}
TEXTS = {"parameter": 60, "setting": 32, "drug": 10, "source_document": 200, "source_address": 300, "note": 2000}
DAYS = ("effective_from", "effective_until", "source_read_on", "review_by")
NEEDED = ("parameter", "value", "effective_from", "source_document", "source_read_on")


class Unreadable(ValueError):
    """Everything that is wrong with a file, a sentence for each thing."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class PackedPayer:
    slug: str
    name: str
    rules: tuple[Departure, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What one rule of a file means here: new, changed, the same, or new with another rule in its way."""

    payer_name: str
    new_payer: bool
    departure: Departure
    kind: str
    here: PolicyOverride | None = None

    @property
    def label(self) -> str:
        return PARAMETERS[self.departure.parameter].label

    @property
    def value(self) -> str:
        parameter = PARAMETERS[self.departure.parameter]
        return parameter.words(parameter.clean(self.departure.value))

    @property
    def value_here(self) -> str:
        if self.here is None:
            return ""
        parameter = PARAMETERS[self.here.parameter]
        return parameter.words(parameter.clean(self.here.value))


def pack_text(payers: Iterable[Payer]) -> str:
    """The published rules of these payers as TOML."""
    document = {"payer": [_packed(payer) for payer in payers]}
    return "# Payers and their published rules, each with its days and its source.\n\n" + tomli_w.dumps(document)


def _packed(payer: Payer) -> dict[str, Any]:
    rows = overrides_known(payer).exclude(status=Status.DRAFT)
    return {"slug": payer.slug, "name": payer.name, "override": [_said(row) for row in rows]}


def _said(row: PolicyOverride) -> dict[str, Any]:
    departure = departure_of(row)
    said = {each.name: getattr(departure, each.name) for each in fields(Departure)}
    # TOML has no null: a rule whose value is "no limit" says so in a word of its own.
    said = {name: value for name, value in said.items() if value not in (None, "") or name == "value"}
    if said["value"] is None:
        said = {**said, "value": "", "no_limit": True}
    return {**said, "status": row.status}


def read_pack(text: str) -> list[PackedPayer]:
    """The payers of a file. Raises Unreadable with everything that is wrong, by payer and rule."""
    lines = text.splitlines()
    if any(len(line) > LONGEST_LINE for line in lines):
        raise Unreadable([f"A line is longer than {LONGEST_LINE:,} characters, which no rule needs."])
    if sum(line.lstrip().startswith("[") for line in lines) > TABLES_OF_A_RULE * MOST_RULES:
        raise Unreadable([TOO_MANY])
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise Unreadable([f"The file is not readable as TOML: {problem}."]) from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets in brackets without end
        raise Unreadable(["The file holds a number or a nesting that no rule has."]) from None
    problems: list[str] = []
    payers = [_payer(entry, number, problems) for number, entry in enumerate(_tables(document, "payer", problems), 1)]
    if sum(len(payer.rules) for payer in payers) > MOST_RULES:
        problems.append(TOO_MANY)
    if not payers and not problems:
        problems.append("The file names no payer.")
    if problems:
        raise Unreadable(problems)
    return payers


def _tables(document: Mapping[str, Any], name: str, problems: list[str]) -> list[Mapping[str, Any]]:
    rows = document.get(name, [])
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return rows
    problems.append(f"{name} has to be a list of tables.")
    return []


def _payer(entry: Mapping[str, Any], number: int, problems: list[str]) -> PackedPayer:
    slug, name = entry.get("slug"), entry.get("name")
    if not isinstance(slug, str) or not SLUG.fullmatch(slug) or len(slug) > 40:
        problems.append(f"Payer {number}: its slug is missing or not made of letters, digits and hyphens.")
        slug = f"payer-{number}"
    if not isinstance(name, str) or not name.strip() or len(name) > 80:
        problems.append(f"Payer {slug}: its name is missing or longer than 80 characters.")
        name = slug
    rules = []
    for position, row in enumerate(_tables(entry, "override", problems), 1):
        wrong = list(_wrong(row))
        problems += [f"{name}, rule {position}: {sentence}" for sentence in wrong]
        if not wrong:
            rules.append(_departure(row))
    return PackedPayer(slug, name.strip(), tuple(rules))


def _wrong(row: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with the columns of a rule, and then with what they say."""
    unknown = sorted(set(row) - NAMES - {"status", "no_limit"})
    if unknown:
        yield f"{', '.join(unknown)} is not known here."
    for name in NEEDED:
        if name not in row:
            yield f"{name} is missing."
    for name, limit in TEXTS.items():
        if name in row and (not isinstance(row[name], str) or len(row[name]) > limit):
            yield f"{name} has to be a text of at most {limit} characters."
    for name in DAYS:
        if name in row and (not isinstance(row[name], date) or hasattr(row[name], "hour")):
            yield f"{name} has to be a day like 2026-03-10, without quotes."
    yield from _wrong_rule(row)


def _wrong_rule(row: Mapping[str, Any]) -> Iterable[str]:
    if row.get("setting") not in (None, "", *SETTINGS):
        yield f"{row['setting']} is not a setting; use {', '.join(SETTINGS)}."
    parameter = PARAMETERS.get(str(row.get("parameter")))
    if parameter is None:
        yield f"{row.get('parameter')} is not a policy parameter."
    elif "value" in row:
        try:
            parameter.clean(None if row.get("no_limit") is True else row["value"])
        except ValueError as problem:
            yield str(problem)
    first, last = row.get("effective_from"), row.get("effective_until")
    if isinstance(first, date) and isinstance(last, date) and last < first:
        yield "its last day lies before its first."


def _departure(row: Mapping[str, Any]) -> Departure:
    said = {name: value for name, value in row.items() if name in NAMES}
    if row.get("no_limit") is True:
        said["value"] = None
    return Departure(**said)


def differences(pack: Iterable[PackedPayer]) -> list[Difference]:
    """Each rule of a file beside what stands here. What stands here alone is left as it is."""
    found = []
    for packed in pack:
        payer = Payer.objects.filter(slug=packed.slug).first()
        rows = list(overrides_known(payer).exclude(status=Status.DRAFT)) if payer else []
        for departure in packed.rules:
            kind, here = _standing(departure, rows)
            found.append(Difference(payer.name if payer else packed.name, payer is None, departure, kind, here))
    return found


def _standing(departure: Departure, rows: Sequence[PolicyOverride]) -> tuple[str, PolicyOverride | None]:
    scope = (departure.parameter, departure.setting, departure.drug)
    mine = [row for row in rows if (row.parameter, row.setting, row.drug) == scope]
    for row in mine:
        if row.effective_from == departure.effective_from:
            return ("same" if _alike(departure_of(row), departure) else "changed"), row
    last = departure.effective_until or date.max
    for row in mine:
        if row.effective_from <= last and departure.effective_from <= (row.effective_until or date.max):
            return "in the way", row
    return "new", None


def _alike(one: Departure, other: Departure) -> bool:
    """Whether two rules say the same; when each of them is to be read again does not matter."""
    parameter = PARAMETERS[one.parameter]
    plain = replace(one, value=parameter.clean(one.value), review_by=None)
    return plain == replace(other, value=parameter.clean(other.value), review_by=None)


@dataclass(slots=True)
class Adopted:
    """What a file brought: payers added, rules that wait for a second admin, and drafts with a rule in their way."""

    payers: int = 0
    proposed: int = 0
    drafts: int = 0


@transaction.atomic
def adopt_pack(*, by: Any, pack: Sequence[PackedPayer], today: date) -> Adopted:
    """Bring in what is new or changed, as proposals; all of it or nothing."""
    done = Adopted()
    for packed in pack:
        payer = Payer.objects.filter(slug=packed.slug).first()
        if payer is None:
            if Payer.objects.filter(name__iexact=packed.name).exists():
                raise Refused(f"A payer called {packed.name} is here already, under another slug. Use that one.")
            payer = add_payer(by=by, slug=packed.slug, name=packed.name)
            done.payers += 1
        for found in differences([packed]):
            if found.kind == "same":
                continue
            _bring_in(by, payer, found, today)
            if found.kind == "in the way":
                done.drafts += 1
            else:
                done.proposed += 1
    return done


def _bring_in(by: Any, payer: Payer, found: Difference, today: date) -> None:
    departure = replace(found.departure, review_by=None)
    follows = found.here if found.kind == "changed" else None
    draft = draft_override(by=by, payer=payer, departure=departure, replaces=follows)
    if found.kind != "in the way":
        reason = "Brought in with a rule pack."
        wanted = Wanted(kind=Proposal.Kind.PUBLISH, override=draft, status=Status.UNVERIFIED, reason=reason)
        propose(by=by, payer=payer, wanted=wanted, today=today)
