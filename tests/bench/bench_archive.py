"""A million encounters through `manage.py calculate`, as in the container image: how many a minute, in how much memory.

The archive is a year of fifty clinics in the order of its days: starts on the quarter hour, lengths in steps of five
minutes around what the drug takes. So many begin and end alike on a day, and equal ones are answered once. What it
comes to where no two lines are equal is told beside it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from time import perf_counter, sleep

import pytest

from infusion.answers import ENCODE, answer
from tests.bench.bench_engine import COMPILED

ROOT = Path(__file__).resolve().parents[2]
FEW, MANY = 100_000, 1_000_000
A_MINUTE, MOST_MEMORY, MOST_TIMES = 1_000_000, 1.2, 12.0
EVERY = 997
FIRST_DAY = date(2026, 1, 1)
# Drug, milligrams of its vial, usual doses, usual minutes.
DRUGS = (
    ("J2350", 300, (300, 600, 600, 600), 150),
    ("J1745", 100, (300, 400, 400, 500), 120),
    ("J2329", 150, (150, 450, 450), 60),
    ("J2323", 300, (300,), 60),
    ("J3380", 300, (300,), 30),
)


def archive(count: int, *, alike: bool) -> Iterator[str]:
    """Encounters as lines. Where they are not alike, each second is another one."""
    dice = random.Random(8)
    for number in range(count):
        code, vial, doses, usual = dice.choice(DRUGS)
        dose = dice.choice(doses)
        midnight = datetime.combine(FIRST_DAY + timedelta(days=number * 365 // count), datetime.min.time())
        start = midnight + timedelta(hours=8, minutes=15 * dice.randrange(32))
        stop = start + timedelta(minutes=usual + 5 * dice.randint(-2, 4))
        ends = [
            f"{each:%Y-%m-%dT%H:%M}" + ("" if alike else f":{number % 60:02}.{number:06}") for each in (start, stop)
        ]
        vials = -(-dose // vial)
        rest = vials * vial - dose
        discards = f', "discards": [{{"amount": "{rest}", "reason": "vial_remainder"}}]' if rest else ""
        yield (
            f'{{"id": "e{number}", "setting": "office", "administrations": [{{"drug": "{code}", '
            f'"route": "iv_infusion", "start": "{ends[0]}", "stop": "{ends[1]}", "administered": "{dose}", '
            f'"vials": [{{"amount": "{vial}", "count": {vials}}}]{discards}}}]}}\n'
        )


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float
    megabytes: float


def run(lines: Path, answers: Path) -> Run:
    """The command as a shell starts it, with the most memory that all of its processes held."""
    began, held = perf_counter(), 0.0
    with answers.open("wb") as out:
        command = [sys.executable, "manage.py", "calculate", str(lines)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=out)
        while process.poll() is None:
            held = max(held, sum(megabytes(pid) for pid in (process.pid, *children(process.pid))))
            sleep(0.2)
    assert process.returncode == 0
    return Run(perf_counter() - began, held)


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def megabytes(pid: int) -> float:
    """What a process holds by itself; pages that it shares with its parent count for one of them only in part."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0.0)


def written(path: Path, count: int, *, alike: bool = True) -> int:
    """Writes the archive; how many of its lines are another's but for the id."""
    seen: set[int] = set()
    with path.open("w", encoding="utf-8") as stream:
        for line in archive(count, alike=alike):
            seen.add(hash(line.partition(",")[2]))
            stream.write(line)
    return count - len(seen)


def wrong(lines: Path, answers: Path) -> int:
    """Of every so many lines, how many have another answer than they would have alone, or none in their place."""
    with lines.open("rb") as asked, answers.open("rb") as told:
        pairs = enumerate(zip(asked, told, strict=True))
        return sum(ENCODE(answer(line)).encode() != text[:-1] for at, (line, text) in pairs if at % EVERY == 0)


@pytest.mark.skipif(not COMPILED, reason="measured in var/compiled, where the rules are machine code")
def test_a_million_encounters_a_minute(tmp_path: Path) -> None:
    lines, answers, runs = tmp_path / "lines.jsonl", tmp_path / "answers.jsonl", {}
    cores = len(os.sched_getaffinity(0))
    for count in (FEW, MANY):
        twins = written(lines, count)
        runs[count] = run(lines, answers)
        assert wrong(lines, answers) == 0
        took = runs[count]
        print(  # noqa: T201
            f"\n{count:,} lines, {twins / count:.0%} of them like another: {took.seconds:.1f} s on {cores} cores, "
            f"{count / took.seconds * 60:,.0f} a minute, {took.megabytes:.0f} MiB at most"
        )
    assert written(lines, FEW, alike=False) == 0
    apart = run(lines, answers)
    print(f"{FEW:,} lines, no two alike: {FEW / apart.seconds * 60:,.0f} a minute")  # noqa: T201
    few, many = runs[FEW], runs[MANY]
    times, memory = many.seconds / few.seconds, many.megabytes / few.megabytes
    print(f"ten times the lines: {times:.1f} times the time, {memory:.2f} times the memory")  # noqa: T201
    assert json.loads(next(iter(answers.open("rb"))))["status"] == "ready"
    assert MANY / many.seconds * 60 >= A_MINUTE
    assert times <= MOST_TIMES
    assert memory <= MOST_MEMORY
