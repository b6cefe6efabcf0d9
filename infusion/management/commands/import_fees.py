"""`manage.py import_fees FILE ...`: fee schedules from CSV files, each named after its payer, or `charges.csv`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from infusion.actions import FeesInTheWay, NewFees, Refused, load_fees
from infusion.arriving import UnreadableFile
from infusion.fee_file import MOST_BYTES, read_fee_file
from infusion.models import Clinic
from infusion.services.words import counted
from payers.models import Payer

OWN = "charges"


class Command(BaseCommand):
    help = "Load fee schedules from CSV files. A file is called after its payer (medicare.csv), or charges.csv."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
        parser.add_argument("--clinic", help="whose schedules they are; needed where there are several clinics")
        parser.add_argument("--payer", help=f"the payer, as its page's address ends, or {OWN}; for one file alone")
        parser.add_argument("--from", dest="first", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD")
        parser.add_argument("--until", dest="last", type=date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument("--name", help="what the schedule is called; without it, the name of its file")
        parser.add_argument("--source", required=True, help="where the figures come from")
        parser.add_argument("--end-previous", action="store_true", help="end the schedule before it the day before")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["payer"] and len(options["files"]) > 1:
            raise CommandError(
                "--payer goes with one file. Several are told apart by their names, such as medicare.csv."
            )
        clinic, all_loaded = clinic_named(options["clinic"]), True
        for path in options["files"]:
            all_loaded &= self.load(clinic, path, options)
        if not all_loaded:
            sys.exit(1)

    def load(self, clinic: Clinic, path: Path, options: dict[str, Any]) -> bool:
        """Load one file, or tell on standard error why not."""
        try:
            fees = fees_of(path, options)
            load_fees(by=None, clinic=clinic, fees=fees, end_previous=options["end_previous"])
        except FeesInTheWay as asked:
            self.stderr.write(f"{path}: {asked} To agree, add --end-previous.")
        except (Refused, UnreadableFile) as problem:
            self.stderr.write(f"{path}: {problem}")
        else:
            doubted = [rate.code for rate in fees.judged if rate.implausible]
            told = f" Not believed: {', '.join(doubted)}." if doubted else ""
            self.stdout.write(f"{path}: {counted(len(fees.rates), 'code')} for {fees.whose}.{told}")
            return True
        return False


def clinic_named(name: str | None) -> Clinic:
    found = list(Clinic.objects.filter(name=name) if name else Clinic.objects.all()[:2])
    if len(found) != 1:
        names = ", ".join(Clinic.objects.order_by("name").values_list("name", flat=True))
        raise CommandError(f"Say whose schedules they are with --clinic. There are: {names or 'none yet'}.")
    return found[0]


def fees_of(path: Path, options: dict[str, Any]) -> NewFees:
    """The schedule of a file. Raises UnreadableFile with every cell that cannot be read."""
    try:
        with path.open("rb") as stream:
            file = read_fee_file(stream.read(MOST_BYTES + 1))
    except OSError as problem:
        raise UnreadableFile(f"It cannot be read: {problem.strerror}.") from None
    if file.problems:
        cells = "\n".join(f"  row {each.row}, {each.column}, {each.value!r}: {each.reason}" for each in file.problems)
        raise UnreadableFile(f"{counted(len(file.problems), 'cell')} cannot be read, so nothing is loaded.\n{cells}")
    return NewFees(
        payer=payer_named(options["payer"] or path.stem),
        name=(options["name"] or path.stem)[:120],
        source=options["source"][:200],
        effective_from=options["first"],
        effective_until=options["last"],
        checksum=file.checksum,
        rates=tuple(file.rates),
    )


def payer_named(slug: str) -> Payer | None:
    """The payer of that address, or None for the clinic's own charges."""
    if slug == OWN:
        return None
    payer = Payer.objects.filter(slug=slug).first()
    if payer is None:
        raise UnreadableFile(f"There is no payer {slug}. Name one with --payer, as its page's address ends, or {OWN}.")
    return payer
