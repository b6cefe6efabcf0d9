"""Put long work into the queue again that nobody works on any more: its worker was killed, or its machine is gone."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from infusion.jobs import requeue_stalled
from infusion.services.words import counted


class Command(BaseCommand):
    help = "Queue stalled jobs again. Safe at any time, beside workers, who do it every minute, and beside itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--minutes", type=float, default=5, help="stalled is what has not moved for so long (5)")

    def handle(self, *, minutes: float, **options: Any) -> None:
        found = requeue_stalled(timedelta(minutes=minutes))
        self.stdout.write(f"{counted(len(found), 'stalled job')} queued again.")
