"""`manage.py load_payers`: the payers that ship with the program, for an installation to begin with."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from payers.shipped import load_shipped


class Command(BaseCommand):
    help = (
        "Add the payers that ship with the program. Verified rules are in force at once; the others arrive as drafts "
        "for an admin to look at. Run it again after an upgrade: what is there stays as it is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--adopt",
            action="store_true",
            help="put the rules that nobody has verified in force too, marked unverified on every line that uses one",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        payers, rules = load_shipped(adopt=options["adopt"])
        self.stdout.write(f"Added {payers} payers and {rules} rules. What was there before is unchanged.")
