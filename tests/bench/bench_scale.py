"""An archive through a Dask cluster of this machine, with one worker and with two: `make bench`.

How much more gets done shows how busy the machine is with other things as well; what an encounter costs a worker in
seconds of its processor does not, and is what a larger cluster is reckoned from in docs/scale.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import pytest

from infusion.bulk.archive import cluster, planned, rules_now, worked
from tests.bench.bench_archive import ROOT, archive

pytest.importorskip("distributed", reason="the extra `archive` is not installed")
COUNT, PART_BYTES = 40_000, 1_000_000
MOST_TIMES = 1.25
"""So much more may an encounter cost one of two workers than it costs the only one."""


class Run(NamedTuple):
    seconds: float
    processor: float


def run(source: Path, folder: Path, warm: Path, workers: int) -> Run:
    rules = rules_now()
    with cluster(workers, "") as client:
        tiny = planned(warm, folder.with_suffix(".warm"), rules, "jsonl", 2_000)
        list(worked(tiny, rules, folder.with_suffix(".warm"), "jsonl", client))
        before = sum(client.run(time.process_time).values())
        began = perf_counter()
        list(worked(planned(source, folder, rules, "jsonl", PART_BYTES), rules, folder, "jsonl", client))
        seconds = perf_counter() - began
        return Run(seconds, sum(client.run(time.process_time).values()) - before)


@pytest.mark.django_db
@pytest.mark.parametrize("alike", [True, False])
def test_a_cluster_of_one_and_of_two(tmp_path: Path, alike: bool) -> None:
    source, warm, single = tmp_path / "lines.jsonl", tmp_path / "warm.jsonl", tmp_path / "single.jsonl"
    source.write_text("".join(archive(COUNT, alike=alike)))
    warm.write_text("".join(archive(100, alike=alike)))
    with single.open("wb") as out:
        subprocess.run([sys.executable, "manage.py", "calculate", str(source)], cwd=ROOT, stdout=out, check=True)
    runs = {}
    for workers in (1, 2):
        folder = tmp_path / f"out{workers}"
        runs[workers] = run(source, folder, warm, workers)
        parts = sorted(folder.glob("part-*.jsonl"))
        assert b"".join(each.read_bytes() for each in parts) == single.read_bytes(), "not byte for byte the same"
    one, two = runs[1], runs[2]
    kind = "as a year of clinics" if alike else "no two alike"
    print(  # noqa: T201
        f"\n{COUNT:,} encounters, {kind}, load {os.getloadavg()[0]:.1f}: one worker {one.seconds:.1f} s, two "
        f"{two.seconds:.1f} s, {one.seconds / two.seconds:.2f} times as quick; "
        f"{COUNT / one.processor:,.0f} and {COUNT / two.processor:,.0f} encounters for a second of a processor"
    )
    assert two.processor / one.processor <= MOST_TIMES
