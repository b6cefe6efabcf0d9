"""`manage.py calculate`: encounters as JSON Lines in, statements as JSON Lines out."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from tqdm import tqdm

from infusion.reference_now import current_reference
from infusion.services.calculate import calculate, shipped_reference
from infusion.services.reference import Reference
from infusion.services.wire import (
    Asked,
    Unreadable,
    decode,
    parse_encounter,
    statement_document,
    unreadable_document,
)
from payers.models import Payer
from payers.policy import PayerPolicy, national_baseline
from payers.selectors import policy_for


class Command(BaseCommand):
    help = "Turn encounters (JSON Lines, from files or standard input) into service lines, one answer a line."
    requires_system_checks = []  # pages are not its business, and it starts twice as fast

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="*", metavar="FILE", help="JSON Lines; standard input when none is given")

    def handle(self, *args: Any, **options: Any) -> None:
        every_line_readable = True
        known: dict[str, PayerPolicy] = {}
        reference = stored_reference()
        with _progress(_lines(options["files"])) as lines:
            for line in lines:
                document = answer(line, known, reference)
                every_line_readable &= document["status"] != "invalid"
                self.stdout.write(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
        if not every_line_readable:
            sys.exit(1)


def answer(
    line: bytes, known: dict[str, PayerPolicy] | None = None, reference: Reference | None = None
) -> dict[str, object]:
    """The statement of one JSON line as a document; `invalid` with field paths when it is not an encounter.

    `known` keeps the policies of payers that were looked up, by slug, for the lines to come. Without a
    `reference` the shipped tables hold.
    """
    identity: object = None
    try:
        document = decode(line)
        identity = document.get("id") if isinstance(document, dict) else None
        asked = parse_encounter(document, settings.INFUSION_DEFAULT_TIME_ZONE)
        policy = policy_of(asked, {} if known is None else known).with_inline(asked.policy)
    except Unreadable as problem:
        return unreadable_document(identity, problem)
    tables = reference or shipped_reference()
    return statement_document(calculate(asked.encounter, policy, tables)) | {"id": identity}


def stored_reference() -> Reference:
    """The site's own drugs over the shipped tables; these alone where there is no database."""
    try:
        return current_reference()
    except DatabaseError:
        return shipped_reference()


def policy_of(asked: Asked, known: dict[str, PayerPolicy]) -> PayerPolicy:
    """The policy of the payer named in the document. Raises Unreadable for a payer that is not there."""
    if not asked.payer:
        return national_baseline()
    if asked.payer not in known:
        known[asked.payer] = stored_policy(asked.payer)
    return known[asked.payer]


def stored_policy(slug: str) -> PayerPolicy:
    """The one place here that asks the database."""
    try:
        payer = Payer.objects.filter(slug=slug).first()
        if payer is not None:
            return policy_for(payer)
    except DatabaseError:
        reason = "The payers cannot be read, because there is no database with them. Run manage.py migrate first."
        raise Unreadable((("payer", reason),)) from None
    raise Unreadable((("payer", f"There is no payer {slug} here. The end of its page's address is what is expected."),))


def _lines(files: list[str]) -> Iterator[bytes]:
    """The lines of all files, or of standard input; one file open at a time."""
    if not files:
        yield from sys.stdin.buffer
    for name in files:
        try:
            with Path(name).open("rb") as stream:
                yield from stream
        except OSError as problem:
            raise CommandError(f"{name} cannot be read: {problem.strerror}.") from None


def _progress(lines: Iterable[bytes]) -> Any:
    """A progress bar on standard error, only when that is a terminal."""
    return tqdm(lines, unit=" encounters", disable=None, file=sys.stderr)
