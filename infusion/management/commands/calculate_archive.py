"""`manage.py calculate_archive`: files of encounters in, parts of statements out, on one machine or on many."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from infusion.bulk.archive import Unfit, cluster, planned, rules_now, summed, worked


class Command(BaseCommand):
    help = "Answer an archive of encounters in parts. Stopped at any moment, it goes on with what is not finished."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", type=Path, metavar="IN", help="a .jsonl or .parquet file, or a folder of them")
        parser.add_argument("folder", type=Path, metavar="OUT", help="where the parts are written")
        parser.add_argument("--workers", type=int, default=0, help="processes of this machine; 0 is this one alone (0)")
        parser.add_argument("--scheduler", default="", metavar="ADDRESS", help="a Dask scheduler, as tcp://host:8786")
        parser.add_argument("--format", choices=("jsonl", "parquet"), default="jsonl", help="of the parts (jsonl)")
        parser.add_argument("--part-mb", type=float, default=32, help="megabytes of JSON Lines in one part (32)")

    def handle(self, **options: Any) -> None:
        source, folder, form = options["source"].absolute(), options["folder"].absolute(), options["format"]
        try:
            rules = rules_now()
            parts = planned(source, folder, rules, form, round(options["part_mb"] * 1_000_000))
            with (
                cluster(options["workers"], options["scheduler"]) as client,
                tqdm(total=len(parts), unit=" parts", disable=None, file=sys.stderr) as progress,
            ):
                for _ in worked(parts, rules, folder, form, client):
                    progress.update()
        except (Unfit, OSError) as problem:
            raise CommandError(str(problem)) from problem
        count, readable = summed(folder)
        self.stdout.write(f"{count:,} encounters are answered in {folder}, {len(parts):,} parts of them now.")
        if not readable:
            sys.exit(1)
