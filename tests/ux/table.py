"""The table of what using the product takes: a row for each requirement, and a row that is not there is a failure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

OK, SHORT = "ok", "short"

REQUIREMENTS = {
    "U01a": "Visit from an order, by keys alone",
    "U01b": "Visit from a blank form, by keys alone",
    "U02": "Times read as people type them",
    "U03": "Echo in both clocks, never a silent guess",
    "U04": "A whole visit at the chair, by taps",
    "U05": "A missing stop cannot hide",
    "U06": "Live preview: fast and calm",
    "U07": "Every line explains itself",
    "U08": "Errors are summed up and lead to their fields",
    "U09": "Errors keep what was typed and say how to mend it",
    "U10": "The end of a sign-in loses nothing",
    "U11": "Double tap, Back and a slow network do no harm",
    "U12": "Two people on one encounter",
    "U13": "No accessibility violation that axe can see",
    "U14": "Reflow, zoom and text spacing",
    "U15": "Targets are large enough",
    "U16": "Focus: order, ring, nothing on top",
    "U17": "Everything works without JavaScript",
    "U18": "Check before handing over, change in one step",
    "U19": "Waste without codes",
    "U20": "Pauses by tap and by keys",
    "U21": "Time line readable by everyone",
    "U22": "What is missing, on each visit",
    "U28": "Charge sheet and downtime sheet on paper",
    "U29": "The right patient, always",
    "U30": "Light, steady pages that ask nobody else",
}

NOT_MEASURED = (
    "How usable nurses and billers find it (a System Usability Scale of at least 80 from at least 8 of them).",
    "Whether 7 of 8 first-time nurses record the worked example unaided in 60 seconds, with no wrong unit.",
    "How it sounds in a screen reader (NVDA, VoiceOver on an iPad): names, roles and states are checked, the hearing "
    "is not.",
    "What colour-blind people see: Chromium's simulation stands in for them.",
    "Gloves, glare, a tablet on a pole, and the noise of a room with eight chairs.",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure."""

    requirement: str
    goal: str
    measured: str
    ok: bool


def complete(rows: Sequence[Row]) -> list[Row]:
    """A row for each requirement in its order: one that was not measured is short, and so is one with a short part."""
    found = []
    for requirement in REQUIREMENTS:
        parts = [row for row in rows if row.requirement == requirement]
        if not parts:
            found.append(Row(requirement, "", "not measured", False))
            continue
        goals = dict.fromkeys(row.goal for row in parts)
        measured = dict.fromkeys(row.measured for row in parts)
        found.append(Row(requirement, "; ".join(filter(None, goals)), "; ".join(measured), all(r.ok for r in parts)))
    return found


def passes(rows: Sequence[Row]) -> bool:
    return all(row.ok for row in complete(rows))


def plain_table(rows: Sequence[Row]) -> str:
    """For the terminal."""
    lines = []
    for row in complete(rows):
        lines.append(f"{OK if row.ok else SHORT:5}  {row.requirement:4}  {REQUIREMENTS[row.requirement]}")
        lines.append(f"             to reach: {row.goal}")
        lines.append(f"             measured: {row.measured}")
    return "\n".join(lines)


def document(rows: Sequence[Row], day: str) -> str:
    """docs/ux.md."""
    done = complete(rows)
    short = sum(not row.ok for row in done)
    lines = [
        "# Using it, measured",
        "",
        f"Written by `make ux` on {day}: each figure below was measured in that run, in a real Chromium against a "
        "server on the same machine. `make ux` fails as long as a row is short or missing. "
        + (f"{short} of {len(done)} rows fall short." if short else f"All {len(done)} rows reach their figure."),
        "",
        "| | Requirement | Figure to reach | Measured | |",
        "|---|---|---|---|---|",
        *(
            f"| {row.requirement} | {REQUIREMENTS[row.requirement]} | {cell(row.goal)} | {cell(row.measured)} "
            f"| {OK if row.ok else f'**{SHORT}**'} |"
            for row in done
        ),
        "",
        "Times depend on the machine; the rows of time say what else was measured beside them.",
        "",
        "## What a machine cannot measure",
        "",
        *(f"- {each}" for each in NOT_MEASURED),
        "",
    ]
    return "\n".join(lines)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def write(path: Path, rows: Sequence[Row], day: str) -> None:
    path.write_text(document(rows, day), encoding="utf-8")


def keep(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(json.dumps([astuple(row) for row in rows]), encoding="utf-8")


def kept(path: Path) -> list[Row]:
    return [Row(*each) for each in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []
