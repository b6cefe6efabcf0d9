"""`manage.py export_payers`: every payer's published rules as a rule pack, on the standard output."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from payers.models import Payer
from payers.pack import pack_text


class Command(BaseCommand):
    help = "Write payers and their published rules as a text file that another installation can bring in."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(pack_text(Payer.objects.all()))
