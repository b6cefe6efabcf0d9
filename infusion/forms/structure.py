"""The form's parts by name, and the buttons that add, remove or answer something.

A whole calculation is one flat mapping of names to texts, so that an address can carry it: ``d1-start`` is the start
of drug 1, ``d1-p2-stop`` the stop of its second pause, ``d1-v1-size`` its first row of vials, ``d1-w1-amount`` its
first discard. Buttons send one more pair, ``act``, and change nothing but this mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from infusion.time_entry import EntryProblem, TimeOfDay, read_date, read_time

ACT = "act"
SHOWN_ERRORS = "shown"
MOST_DRUGS = 12
MOST_PARTS = {"p": 12, "v": 4, "w": 6}
LONGEST_VALUE = 200
PARTS = {"p": "pause", "v": "vial", "w": "discard"}
_LETTER = {word: letter for letter, word in PARTS.items()}
_FIRST_FIELD = {"p": "start", "v": "size", "w": "amount"}

_NAME = re.compile(
    r"(?:d(?P<drug>[0-9]{1,3})-(?:(?P<part>[pvw])(?P<number>[0-9]{1,3})-)?)?"
    r"(?P<field>[a-z_]{1,40}(?:-(?:[a-z_]{1,40}|[0-9]{1,19}))?)"
)
_ADD = re.compile(
    r"add-(?P<part>pause|vial|discard)-d(?P<drug>[0-9]{1,2})"
    r"(?:=(?P<amount>[0-9]{1,7}(?:\.[0-9]{1,6})?)(?::(?P<reason>[a-z_]{1,20}))?)?"
)
_VIALS = re.compile(r"vials-d(?P<drug>[0-9]{1,2})=(?P<rows>(?:[0-9]{1,3}x[0-9]{1,7}(?:\.[0-9]{1,3})?,?){1,4})")
_GIVEN = re.compile(r"(?P<how>given|hung)-d(?P<drug>[0-9]{1,2})")
_REMOVE = re.compile(r"remove-d(?P<drug>[0-9]{1,2})(?:-(?P<part>[pvw])(?P<number>[0-9]{1,2}))?")
_SET = re.compile(r"set:(?P<pairs>[a-z0-9_-]{1,60}=[0-9a-z:]{0,8}(?:,[a-z0-9_-]{1,60}=[0-9a-z:]{0,8})?)")
_SETTABLE = re.compile(r"(?:d[0-9]{1,2}-(?:p[0-9]{1,2}-)?(?:start|stop)|visit_start|visit_stop)(?P<what>-day|-turn)?")
LONG_AGO = date(2001, 1, 1)
_CHOICES = {"-day": ("", "next"), "-turn": ("", "first", "second")}

Entries = dict[str, str]


class TooMuch(ValueError):
    """More parts than one calculation takes; the message is for the person. `entries` are those that it takes."""

    def __init__(self, message: str, entries: Entries) -> None:
        super().__init__(message)
        self.entries = entries


@dataclass(frozen=True, slots=True)
class Acted:
    """The mapping after a button, and the id of the element that takes the focus."""

    entries: Entries
    focus: str = ""


def known_entries(pairs: Iterable[tuple[str, str]], stored: Mapping[str, str] | None = None) -> Entries:
    """The pairs whose names the form knows the shape of; the last one of a name counts. Raises TooMuch.

    As many parts as are `stored` are never too many.
    """
    entries: Entries = {}
    problem = ""
    for name, value in pairs:
        shape = _NAME.fullmatch(name)
        if not shape or name in (ACT, SHOWN_ERRORS):
            continue
        drug, part, number = int(shape["drug"] or 1), shape["part"], int(shape["number"] or 1)
        if not 1 <= drug <= max(MOST_DRUGS, count_drugs(stored or {})):
            problem = problem or f"One calculation takes {MOST_DRUGS} drugs. Split the others off."
        elif part and not 1 <= number <= max(MOST_PARTS[part], count_parts(stored or {}, drug, part)):
            problem = problem or f"One drug takes {MOST_PARTS[part]} {PARTS[part]} entries. Join some of them."
        else:
            entries[name] = value[:LONGEST_VALUE]
    if problem:
        raise TooMuch(problem, entries)
    return entries


def written_out(entries: Entries, now: datetime) -> tuple[Entries, dict[str, str]]:
    """The entries with the time or date in place of a word that means another one later, and when each was first read.

    While someone types, the word stays in its field. The answer then carries when it was read, in ``…-now``, and what
    is sent next is read as of then.
    """
    written, read_at = {**entries}, {}
    for name, text in entries.items():
        said = entries.get(f"{name}-now", "")
        if name == "date":
            day = read_date(said, now.date())
            today = day if isinstance(day, date) and day <= now.date() else now.date()
            found = read_date(text, today)
            if isinstance(found, date) and found != read_date(text, LONG_AGO):
                written[name], read_at[name] = found.isoformat(), today.isoformat()
        elif (shape := _SETTABLE.fullmatch(name)) and not shape["what"]:
            clock = read_time(said)
            at = clock if isinstance(clock, TimeOfDay) else TimeOfDay(now.hour, now.minute)
            if isinstance(read_time(text), EntryProblem) and read_time(text, at) == at:
                written[name] = read_at[name] = at.clock
    return written, read_at


def count_drugs(entries: Mapping[str, str]) -> int:
    """How many drug groups the form shows: at least one."""
    return max([1, *(int(shape["drug"]) for name in entries if (shape := _NAME.fullmatch(name)) and shape["drug"])])


def count_parts(entries: Mapping[str, str], drug: int, part: str) -> int:
    """How many pauses, vial rows or discards a drug shows: at least one row of vials."""
    least = 1 if part == "v" else 0
    shapes = (_NAME.fullmatch(name) for name in entries if name.startswith(f"d{drug}-{part}"))
    return max([least, *(int(shape["number"]) for shape in shapes if shape and shape["part"])])


def act(entries: Entries, action: str) -> Acted:
    """What a button does. An action that does not exist changes nothing."""
    if action == "add-drug":
        return _add_drug(entries)
    if found := _ADD.fullmatch(action):
        part, amount = _LETTER[found["part"]], found["amount"] or ""
        return _add_part(entries, int(found["drug"]), part, amount, found["reason"] or "vial_remainder")
    if found := _VIALS.fullmatch(action):
        return _take_vials(entries, int(found["drug"]), found["rows"])
    if found := _GIVEN.fullmatch(action):
        return _given_as_ordered(entries, int(found["drug"]), hung=found["how"] == "hung")
    if found := _REMOVE.fullmatch(action):
        return _remove(entries, int(found["drug"]), found["part"] or "", int(found["number"] or 0))
    if found := _SET.fullmatch(action):
        return _set(entries, found["pairs"])
    return Acted(entries)


def _add_drug(entries: Entries) -> Acted:
    number = count_drugs(entries) + 1
    if number > MOST_DRUGS:
        return Acted(entries)
    return Acted({**entries, f"d{number}-drug": ""}, f"d{number}-drug")


def _add_part(entries: Entries, drug: int, part: str, amount: str, reason: str) -> Acted:
    number = count_parts(entries, drug, part) + 1
    if number > MOST_PARTS[part] or drug > count_drugs(entries):
        return Acted(entries)
    name = f"d{drug}-{part}{number}-{_FIRST_FIELD[part]}"
    added = {**entries, name: amount}
    if part == "v" and number == 2:
        added.setdefault(f"d{drug}-v1-size", "")
    if amount:
        added[f"d{drug}-w{number}-reason"] = reason
    return Acted(added, name)


def _take_vials(entries: Entries, drug: int, rows: str) -> Acted:
    """The proposed sizes and counts. What is printed on a vial stays with its size, or in a row of its own."""
    if drug > count_drugs(entries):
        return Acted(entries)
    kept = {name: value for name, value in entries.items() if not name.startswith(f"d{drug}-v")}
    proposed = [(size, count) for count, _, size in (row.partition("x") for row in rows.strip(",").split(","))]
    marked = _marked_vials(entries, drug)
    taken = [(size, count, _print_of(marked, size, alone=len(proposed) == 1)) for size, count in proposed]
    taken += [(row.pop("size", ""), "", row) for row in marked]
    if len(taken) > MOST_PARTS["v"]:
        return Acted(entries)
    for number, (size, count, printed) in enumerate(taken, 1):
        row = {"size": size, "count": count, **printed}
        kept |= {f"d{drug}-v{number}-{field}": text for field, text in row.items()}
    return Acted(kept, f"d{drug}-v1-count")


def _marked_vials(entries: Entries, drug: int) -> list[Entries]:
    """The rows of vials on which something besides a size and a count stands."""
    rows: list[Entries] = []
    for number in range(1, count_parts(entries, drug, "v") + 1):
        start = f"d{drug}-v{number}-"
        row = {name.removeprefix(start): text for name, text in entries.items() if name.startswith(start) and text}
        row.pop("count", None)
        if set(row) - {"size"}:
            rows.append(row)
    return rows


def _print_of(marked: list[Entries], size: str, *, alone: bool) -> Entries:
    """Takes the first row of a size out of those that are left. A row without a size is of the only one there is."""
    sizes = (size, "") if alone else (size,)
    found = next((row for row in marked if row.get("size", "") in sizes), None)
    if found is None:
        return {}
    marked.remove(found)
    found.pop("size", None)
    return found


def _given_as_ordered(entries: Entries, drug: int, *, hung: bool) -> Acted:
    """The ordered dose was given. All of it was hung: what stayed in the line is part of it and no discard."""
    ordered = entries.get(f"d{drug}-ordered", "")
    if not ordered:
        return Acted(entries)
    changed = {**entries, f"d{drug}-administered": ordered}
    for number in range(count_parts(entries, drug, "w"), 0, -1) if hung else ():
        if entries.get(f"d{drug}-w{number}-reason") == "line_residual":
            changed = _remove(changed, drug, "w", number).entries
    return Acted(changed, f"d{drug}-administered")


def _remove(entries: Entries, drug: int, part: str, number: int) -> Acted:
    """Takes a group out and moves the later ones up, so that names stay without gaps."""
    kept: Entries = {}
    for name, value in entries.items():
        shape = _NAME.fullmatch(name)
        at = int(shape["drug"] or 0) if shape else 0
        if part:
            here = shape and at == drug and shape["part"] == part
            index = int(shape["number"]) if shape and here else 0
            moved = f"d{drug}-{part}{index - 1}-" + (shape["field"] if shape else "")
        else:
            index, number = at, drug
            moved = f"d{at - 1}-{name.partition('-')[2]}"
        if index == 0 or index < number:
            kept[name] = value
        elif index > number:
            kept[moved] = value
    if part:
        return Acted(kept, f"add-{PARTS[part]}-d{drug}")
    return Acted(kept, "add-drug")


def _set(entries: Entries, pairs: str) -> Acted:
    changed, focus = {**entries}, ""
    for pair in pairs.split(","):
        name, _, value = pair.partition("=")
        settable = _SETTABLE.fullmatch(name)
        if not settable:
            return Acted(entries)
        what = settable["what"]
        if (what and value not in _CHOICES[what]) or (not what and read_time(value) is None):
            return Acted(entries)
        changed[name] = value
        focus = name.removesuffix(what) if what else name
    return Acted(changed, focus)
