"""The table of what is proved: a row for each of R01-R60, and a row that is not there is a failure.

python -m tests.prove.table suite              # the test files that hold a row by themselves, for the command line
python -m tests.prove.table docs/proof.md FILE...   # docs/proof.md out of what the runs wrote down

Each run writes down every test as it ends, with the commit that it ran at. A test that has passed there is not run
again, so that hours of work are not lost with a run that is cut short; what is complete begins from the start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

OK, SHORT, ELSEWHERE = "ok", "short", "not here"
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

REQUIREMENTS = {
    "R01": "No edit is lost where several people save the same record",
    "R02": "A form filled in on an older version is refused, with nothing lost of what was typed",
    "R03": "An approval binds to the content that was shown, whoever edits meanwhile",
    "R04": "A line leaves in one batch, and approving twice is one approval",
    "R05": "A form sent twice is recorded once, and both replies are the same",
    "R06": "What was acknowledged survives the death of any process",
    "R07": "A database opened without its safeguards is refused at the start",
    "R08": "The write-ahead log is used only with a SQLite that keeps it whole",
    "R09": "Nobody meets a locked database",
    "R10": "Each operation is done whole or not at all, whichever statement fails",
    "R11": "A full disk, a read-only file, a database that is away: one plain sentence, and no half row",
    "R12": "No float in a dose, a unit or an amount of money",
    "R13": "The same record gives the same lines on any machine",
    "R14": "One answer of the rules for each payer and day, and a past claim never changes",
    "R15": "Minutes are right on every night the clocks change",
    "R16": "Times are read as people type them, and never guessed",
    "R17": "Running minutes: pauses inside, overlaps once, midnight, every boundary",
    "R18": "A tap records the server's time, and a late entry says so",
    "R19": "Any input: no server error and no wrong unit",
    "R20": "Requests that are too large are refused early",
    "R21": "Files made to choke a reader are refused or reported row by row",
    "R22": "No pattern whose time grows faster than its text",
    "R23": "Letters and digits that look like others are read whole or refused",
    "R24": "Sorting and filtering take names from a list",
    "R25": "What leaves is safe to open in a spreadsheet and comes back the same",
    "R26": "Every page asks for a sign-in unless it is on a short list",
    "R27": "Who may do what is a table, and the test of it",
    "R28": "Nobody reaches another clinic's or another record's rows by their ids",
    "R29": "A field that a form does not have is never written",
    "R30": "Guessing passwords is limited before it costs anything, and locks out no clinic",
    "R31": "Billing and admin need a second factor",
    "R32": "A session changes with its rights and ends where it should",
    "R33": "A sign-in ends without a touch, and after twelve hours",
    "R34": "Each person signs in alone, and one who has left is out at the next request",
    "R35": "A strict content security policy on every reply",
    "R36": "Nothing that was typed is run, as a script or as an attribute of htmx",
    "R37": "htmx is pinned and set up for what it is",
    "R38": "No change without a token, and none by reading",
    "R39": "Headers and cookies as a careful site sets them",
    "R40": "What names a patient stays in the body of a page",
    "R41": "Pages about patients are not kept by the browser",
    "R42": "An unexpected error shows a number, and nothing else",
    "R43": "Neither the next page nor the host is taken from a stranger",
    "R44": "Every write leaves who, when, what and why, and the tables can be rebuilt from it",
    "R45": "The audit cannot be changed, and a change would be found",
    "R46": "Reading is recorded too",
    "R47": "Nobody forges a line of the log",
    "R48": "Backups are taken under load, and each one restores",
    "R49": "Migrations arrive from every release, whatever interrupts them",
    "R50": "The move from SQLite to PostgreSQL keeps everything",
    "R51": "The site says when it is not well, and what is wrong",
    "R52": "Hours of mixed use leave it as quick and as small",
    "R53": "It refuses to start unsafely, and names the remedy",
    "R54": "Packages are pinned, checked and listed",
    "R55": "Rules about the code are checked by machine",
    "R56": "The tests see a change of the rules",
    "R57": "Seeded simulations of a clinic with faults keep every promise",
    "R58": "Encrypted on the way, and the place of rest is asked about",
    "R59": "Paper when it is down, and a way in that raises an alarm",
    "R60": "How to report a weakness, and what is defended, are written down",
}

# Rows that have to be measured on both databases.
BOTH = ("R01", "R03", "R04", "R05", "R09", "R10", "R13", "R14", "R44", "R45", "R49")

# Test files of the ordinary suite that hold a row, wholly or in part: `make prove` runs them too.
SUITE: dict[str, tuple[str, ...]] = {
    "R02": ("tests/web/test_encounter_form.py", "tests/web/test_claim_data.py"),
    "R07": ("tests/repo/test_sqlite.py",),
    "R15": ("tests/web/test_time_entry.py", "tests/rules/test_parts.py"),
    "R16": ("tests/web/test_time_entry.py",),
    "R17": ("tests/rules/test_boundaries.py", "tests/rules/test_properties.py"),
    "R18": ("tests/web/test_chair_actions.py", "tests/web/test_chairs.py", "tests/browser/test_chairside.py"),
    "R26": ("tests/web/test_access.py",),
    "R27": ("tests/web/test_access.py", "tests/web/test_api.py"),
    "R28": ("tests/web/test_idor.py", "tests/web/test_api_encounters.py"),
    "R29": ("tests/web/test_mass_assignment.py",),
    "R31": ("tests/web/test_second_factor.py",),
    "R33": ("tests/web/test_idle.py",),
    "R34": ("tests/web/test_switch.py", "tests/browser/test_door.py"),
    "R35": ("tests/web/test_access.py",),
    "R38": ("tests/web/test_access.py",),
    "R40": ("tests/web/test_no_patient_data_outside.py",),
    "R44": ("tests/web/test_audit.py", "tests/web/test_replay.py"),
    "R46": ("tests/web/test_readings.py",),
    "R51": ("tests/web/test_doctor.py",),
    "R53": ("tests/repo/test_settings.py",),
    "R54": ("tests/repo/test_packaged_files.py",),
    "R55": ("tests/repo/test_code_rules.py",),
    "R59": ("tests/web/test_emergency.py", "tests/web/test_paper.py"),
    "R60": ("tests/repo/test_security_pages.py",),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure. `elsewhere` says why this machine cannot measure it, and what was checked instead."""

    requirement: str
    goal: str
    measured: str
    ok: bool
    elsewhere: str = ""
    engine: str = "sqlite"


@dataclass(frozen=True, slots=True)
class Told:
    """What one test left: for which rows, in how long, at which commit, at what share of the full figures."""

    proves: list[str]
    passed: bool
    seconds: float
    commit: str
    rows: list[Row]
    share: float = 1

    @property
    def stands(self) -> bool:
        """Whether it need not be run again: a smaller run says nothing of the full figures."""
        return self.passed and self.share == share()


Run = dict[str, Told]


def share() -> float:
    """How much of the full figures this run is for: INFUSION_PROVE=1 is all, 0.1 a tenth, unset the quick form."""
    return float(os.environ.get("INFUSION_PROVE") or 0)


def size(quick: int, full: int) -> int:
    """How many rounds to go: `full` under `make prove`, `quick` in the ordinary suite."""
    return max(quick, round(full * share()))


@dataclass(frozen=True, slots=True)
class Line:
    """What the table says of one requirement."""

    requirement: str
    goal: str
    measured: str
    state: str


def complete(rows: Sequence[Row]) -> list[Line]:
    """A line for each requirement: one that was not measured is short, and so is one with a short part."""
    found = []
    for requirement in REQUIREMENTS:
        parts = [row for row in rows if row.requirement == requirement]
        if not parts:
            found.append(Line(requirement, "", "not measured", SHORT))
            continue
        goals = "; ".join(filter(None, dict.fromkeys(row.goal for row in parts)))
        measured = "; ".join(dict.fromkeys(said(row, requirement in BOTH) for row in parts))
        unmeasured = set(ENGINES) - {row.engine for row in parts} if requirement in BOTH else set()
        measured += "".join(f"; **not measured on {ENGINES[each]}**" for each in sorted(unmeasured))
        state = OK if all(row.ok for row in parts) and not unmeasured else SHORT
        if state == OK and any(row.elsewhere for row in parts):
            state = ELSEWHERE
        found.append(Line(requirement, goals, measured, state))
    return found


def said(row: Row, names_engine: bool) -> str:
    words = f"{ENGINES[row.engine]}: {row.measured}" if names_engine else row.measured
    return f"{words} ({row.elsewhere})" if row.elsewhere else words


def passes(rows: Sequence[Row]) -> bool:
    return all(line.state != SHORT for line in complete(rows))


def suite_files() -> list[str]:
    return sorted({each for files in SUITE.values() for each in files})


def suite_rows(outcomes: dict[str, list[bool]]) -> list[Row]:
    """A row for each requirement and test file of the ordinary suite, from the outcomes of that file's tests."""
    found = []
    for requirement, files in SUITE.items():
        for file in files:
            if told := outcomes.get(file):
                measured = f"{sum(told)} of {len(told)} tests pass in `{file}`"
                found.append(Row(requirement, "", measured, all(told)))
    return found


def plain_table(rows: Sequence[Row]) -> str:
    """For the terminal: what was measured in this run."""
    lines = []
    for row in sorted(rows, key=lambda each: each.requirement):
        lines.append(f"{OK if row.ok else SHORT:5}  {row.requirement:4}  {REQUIREMENTS.get(row.requirement, '?')}")
        lines += [f"             to reach: {row.goal}"] if row.goal else []
        lines.append(f"             measured: {said(row, True)}")
    return "\n".join(lines)


def document(rows: Sequence[Row], day: str, commits: Mapping[str, int], left: Sequence[str] = ()) -> str:
    """docs/proof.md. `left` are the tests that have not ended, or failed."""
    lines = complete(rows)
    short = sum(line.state == SHORT for line in lines)
    return "\n".join(
        [
            "# What is proved",
            "",
            f"Written by `make prove` on {day}: each figure below was measured at {versions(commits)}, on SQLite and, "
            "where it says so, on PostgreSQL. `make prove` fails as long as a row is short or missing. "
            + (f"{short} of {len(lines)} rows fall short." if short else "No row falls short.")
            + (
                f" This run is not whole: {len(left)} of its tests have not ended, or failed: a row may lack a part."
                if left
                else ""
            ),
            "",
            "Each measurement has a control that removes the safeguard and then has to fail.",
            "",
            "| | Requirement | Figure to reach | Measured | |",
            "|---|---|---|---|---|",
            *(
                f"| {line.requirement} | {REQUIREMENTS[line.requirement]} | {cell(line.goal)} | {cell(line.measured)} "
                f"| {f'**{SHORT}**' if line.state == SHORT else line.state} |"
                for line in lines
            ),
            "",
            f"“{ELSEWHERE}” is a row that one machine cannot measure; it says why, and what was checked instead.",
            "",
        ]
    )


def versions(commits: Mapping[str, int]) -> str:
    """The versions of the code that were measured, with the number of tests where there is more than one."""
    if len(commits) == 1:
        return f"commit {next(iter(commits))}"
    return (
        " and ".join(f"commit {commit} ({tests} test{'s' * (tests != 1)})" for commit, tests in commits.items())
        or "no commit"
    )


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def keep(path: Path, run: Run) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")
    written.write_text(json.dumps({test: asdict(told) for test, told in run.items()}), encoding="utf-8")
    written.replace(path)


def kept(path: Path) -> Run:
    """What a run measured, by test."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {test: Told(**{**told, "rows": [Row(**row) for row in told["rows"]]}) for test, told in found.items()}


def this_commit() -> str:
    """Which version of the code is measured: what the proofs themselves write does not count as a change."""
    head, changes = (
        subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()
        for words in (
            ("rev-parse", "--short=7", "HEAD"),
            ("status", "--porcelain", "--", ":!docs/proof.md", ":!var/proof"),
        )
    )
    return f"{head} with changes" if changes else head


def rows_of(run: Run) -> list[Row]:
    """What the tests of a run handed over, and a row for each file of the ordinary suite that holds one."""
    outcomes: dict[str, list[bool]] = {}
    for test, told in run.items():
        outcomes.setdefault(test.partition("::")[0], []).append(told.passed)
    return [row for told in run.values() for row in told.rows] + suite_rows(outcomes)


def seconds_of(*runs: Run) -> dict[str, float]:
    """How long each row took, or each file of tests where it holds no row."""
    found: dict[str, float] = defaultdict(float)
    for run in runs:
        for test, told in run.items():
            found[", ".join(told.proves) or test.partition("::")[0]] += told.seconds
    return found


def time_table(seconds: Mapping[str, float]) -> str:
    """What took how long, the longest first; all of it at the end."""
    lines = [f"{taken:8.0f} s  {what}" for what, taken in sorted(seconds.items(), key=lambda each: -each[1])]
    return "\n".join(["What took how long:", *lines, f"{sum(seconds.values()):8.0f} s  in all, in one process or two"])


def main(arguments: list[str]) -> int:
    if arguments == ["suite"]:
        sys.stdout.write(" ".join(suite_files()) + "\n")
        return 0
    page, *files = map(Path, arguments)
    runs = [kept(file) for file in files]
    rows = [row for run in runs for row in rows_of(run)]
    commits = Counter(told.commit for run in runs for told in run.values() if told.passed)
    left = [test for run in runs for test, told in run.items() if not told.passed]
    left += [f"all of {file}" for file, run in zip(files, runs, strict=True) if not run]
    day = f"{datetime.now().astimezone():%B %-d, %Y}"
    page.write_text(document(rows, day, commits, left), encoding="utf-8")
    for test in left:
        sys.stdout.write(f"{test} has not ended, or failed.\n")
    for line in complete(rows):
        if line.state == SHORT:
            sys.stdout.write(f"{line.requirement} is short: {REQUIREMENTS[line.requirement]}: {line.measured}\n")
    sys.stdout.write(time_table(seconds_of(*runs)) + "\n")
    if left or not passes(rows):
        return 1
    for file in files:
        file.unlink(missing_ok=True)  # the next run begins from the start
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
