"""`manage.py audit_verify`: whether the record of writes and readings is what was written, and where it ends."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import nullcontext
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from infusion.chain import check
from infusion.operations.archive import held_still
from infusion.replay import differences

MOST_TOLD = 20


class Command(BaseCommand):
    help = "Check the record of writes and readings from its first row to its head, and print the head."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--replay", action="store_true", help="rebuild every table from the record, and compare it")

    def handle(self, *args: Any, **options: Any) -> None:
        with held_still() if options["replay"] else nullcontext():
            found = check()
            told = list(found.flaws)
            if options["replay"]:
                told += [str(each) for each in islice(differences(), MOST_TOLD)]
        self.stdout.write(
            f"{found.events:,} writes of {found.changes:,} rows and {found.readings:,} readings were looked at."
        )
        self.stdout.write(f"Head: {found.head}")
        if told:
            raise CommandError("The record is not whole.\n" + "\n".join(told))
        self.stdout.write("The record is whole." + (" Replayed, it gives every table." if options["replay"] else ""))
