"""`manage.py export_claims`: a batch in one format, to standard output or a file."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from infusion import audit
from infusion.actions import Refused, write_file
from infusion.chain import heads
from infusion.exchange.formats import FORMATS
from infusion.models import Batch


class Command(BaseCommand):
    help = (
        "Write a batch in one format. The bytes of the first time are kept, so that every later export and download "
        "is the same file."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", required=True, choices=tuple(FORMATS))
        parser.add_argument(
            "--batch", required=True, metavar="ID",
            help="the id at the end of the batch's address, or its number where only one clinic has a batch of it",
        )  # fmt: skip
        parser.add_argument("--output", metavar="FILE", help="where to write; standard output when not given")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            file = write_file(by=None, batch=batch_named(options["batch"]), format=options["format"])
        except Refused as refused:
            raise CommandError(f"Nothing was written. {refused}") from None
        content = bytes(file.content)
        audit.record_reading(
            "batch.export", by=None, subject="batch", subject_id=file.batch.public_id, clinic_id=file.batch.clinic_id,
            detail={"filter": {"format": file.format}, "count": file.batch.claims.count(), "bytes": len(content),
                    "sha256": file.checksum, "page": "export_claims"},
        )  # fmt: skip
        self.stderr.write(f"Record: {heads()}")
        if not options["output"]:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
            return
        keep(Path(options["output"]), content)
        self.stderr.write(f"{options['output']}: {len(content)} bytes, SHA-256 {file.checksum}")


def batch_named(text: str) -> Batch:
    """The batch of that id, or of that number where it can be only one. Raises CommandError."""
    batches = Batch.objects.select_related("clinic")
    if text.isascii() and text.isdigit() and len(text) < 10:
        found = list(batches.filter(number=int(text)))
        if len(found) > 1:
            ids = "; ".join(f"{each.clinic}: {each.public_id}" for each in found)
            raise CommandError(f"Several clinics have a batch {text}. Name it by its id. {ids}.")
    else:
        try:
            found = list(batches.filter(public_id=UUID(text)))
        except ValueError:
            told = f"{text} is neither the id nor the number of a batch. Its page's address ends in its id."
            raise CommandError(told) from None
    if not found:
        raise CommandError(f"There is no batch {text} here. Its page's address ends in its id.")
    return found[0]


def keep(path: Path, content: bytes) -> None:
    """The whole file or none, readable by its owner alone: it names patients."""
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        part.replace(path)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise CommandError(f"{path} cannot be written: {problem.strerror}.") from None
