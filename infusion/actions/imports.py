"""Writers of imports: a file looked at, confirmed, thrown away; and the portions in which its encounters become drafts.

A portion is done inside the transaction that also keeps how far the import is, so that whatever ends in the middle of
one has done none of it, and whoever goes on begins where the last one ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from infusion import audit, jobs
from infusion.actions.arrivals import Draft, save_new_encounters
from infusion.actions.encounters import Refused
from infusion.arrivals import Desk, client_id_of, kept_document, portions, problems_of, read_file
from infusion.exchange.coming_in import Arrived, FileRead, Problem
from infusion.exchange.incoming import NotMapped
from infusion.models import Arrival, Clinic, Encounter, Import, Job, User
from payers.models import Payer

IMPORT = "import"
LOOKED_AT_ONCE = 500
SAVED_AT_ONCE = 200
LOOKS_LAST = timedelta(days=1)
MOST_PROBLEMS_OF_NONE = 1000
OTHERWISE_NOW = "This file says something else of it than the one that it came from. Compare it with the record."
Outcome = Arrival.Outcome


def look_at(*, by: User, clinic: Clinic, file: IO[bytes], name: str, payer: Payer | None) -> Import:
    """Read a file and keep what it says, so that it can be looked at and confirmed. No encounter comes of it.

    Raises UnreadableFile, and then nothing is kept. Who looked before and never confirmed has nothing left of it.
    """
    _forget_old_looks(by, clinic)
    kind, read = read_file(file, clinic)
    look = Import.objects.create(
        clinic=clinic, kind=kind, file_name=name[-120:], checksum=read.checksum, rows=read.rows,
        not_read=list(read.not_read), read_by=by, read_at=timezone.now(),
    )  # fmt: skip
    desk, told = Desk(clinic, payer), _Told()
    try:
        for portion in portions(read, LOOKED_AT_ONCE):
            _keep_portion(look, desk, read, portion, told)
        told.add(read.problems)
        look.problems = [_kept(each) for each in read.problems if not each.told][:MOST_PROBLEMS_OF_NONE]
        look.told = told.rows()
        look.save()
    except BaseException:
        look.delete()
        raise
    return look


@dataclass(slots=True)
class _Told:
    """What was understood and is not brought in, by its column and reason: how often, and where first."""

    found: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def add(self, problems: Iterable[Problem]) -> None:
        for each in problems:
            if each.told:
                self.found.setdefault((each.column, each.reason), [0, each.row, each.value])[0] += 1

    def rows(self) -> list[list[Any]]:
        return [[*what, *rest] for what, rest in self.found.items()][:MOST_PROBLEMS_OF_NONE]


def _forget_old_looks(by: User, clinic: Clinic) -> None:
    looks = Import.objects.filter(clinic=clinic, confirmed_at__isnull=True)
    looks.filter(read_by=by).delete()
    looks.filter(read_at__lt=timezone.now() - LOOKS_LAST).delete()


@transaction.atomic
def _keep_portion(look: Import, desk: Desk, file: FileRead, portion: Sequence[Arrived], told: _Told) -> None:
    """Keep some encounters of a file: ready under the next number, to be mended, or here already."""
    documents = [desk.document_of(each) for each in portion]
    known = desk.known(documents)
    ids = [client_id_of(desk.clinic, each) for each in portion]
    here = dict(Encounter.objects.filter(clinic=desk.clinic, client_id__in=ids).values_list("client_id", "pk"))
    came = _came_as(desk.clinic, here)
    rows = []
    for arrived, document, client_id in zip(portion, documents, ids, strict=True):
        row = Arrival(imported=look, row=arrived.row, client_id=client_id, document=kept_document(document))
        told.add(arrived.problems)
        problems = [each for each in arrived.problems if not each.told]
        if client_id in here:
            _tell_here(row, here[client_id], came)
        else:
            try:
                if contradicted := desk.contradicted(arrived):
                    raise NotMapped(contradicted)
                if not problems:
                    desk.recorded(document, known)
            except NotMapped as unmapped:
                problems += problems_of(file, arrived, unmapped)
            if not problems:
                look.ready += 1
                row.number = look.ready
            else:
                row.outcome = Outcome.MEND
            row.problems = [_kept(each) for each in problems]
        rows.append(row)
    Arrival.objects.bulk_create(rows)


def _came_as(clinic: Clinic, client_ids: Iterable[UUID]) -> dict[UUID, str]:
    """What the files said of encounters that came out of one."""
    done = Arrival.objects.filter(imported__clinic=clinic, client_id__in=list(client_ids), outcome=Outcome.DONE)
    return dict(done.order_by("pk").values_list("client_id", "document"))


def _tell_here(row: Arrival, encounter: int, came: Mapping[UUID, str]) -> None:
    """The encounter stays as it is, and where its file said something else than this one, that is told."""
    row.outcome, row.encounter_id = Outcome.HERE, encounter
    if came.get(row.client_id, row.document) != row.document:
        row.problems = [[row.row, "", "", OTHERWISE_NOW]]


def _kept(problem: Problem) -> list[Any]:
    return [problem.row, problem.column, problem.value, problem.reason]


def drop_look(*, look: Import) -> None:
    """Throw away what was looked at. A confirmed import stays."""
    Import.objects.filter(pk=look.pk, confirmed_at__isnull=True).delete()


@transaction.atomic
def confirm_import(*, by: User, look: Import, without_the_others: bool) -> Import:
    """Say that what is ready is to come in. Where some of the file stays out, that has to be agreed to."""
    current = Import.objects.select_for_update(no_key=True).get(pk=look.pk)
    if current.confirmed_at is not None:
        return current
    if not current.ready:
        raise Refused("There is no encounter in it that could be brought in.")
    if left_out(current) and not without_the_others:
        raise Refused(
            "Some of the file cannot be brought in. Agree that the rest comes in without it, or mend the file and "
            "choose it again."
        )
    current.confirmed_at = timezone.now()
    current.save()
    audit.record(
        "import.confirm", by=by, subject="import", subject_id=current.public_id, clinic_id=current.clinic_id,
        before=None, after={
            "file": current.file_name, "kind": current.kind, "checksum": current.checksum, "rows": current.rows,
            "ready": current.ready, "left_out": left_out(current),
        },
    )  # fmt: skip
    jobs.begin(IMPORT, current.public_id, current.ready, by)
    return current


def left_out(imported: Import) -> int:
    """How many encounters and stray rows cannot come in as they are."""
    return len(imported.problems) + imported.arrivals.filter(outcome=Outcome.MEND).count()


@jobs.kind(IMPORT, title="Bringing in encounters", page=lambda job: reverse("import", args=[job.subject]))
def portion(job: Job) -> int:
    """Save the next encounters, in the transaction that keeps how far the job is."""
    imported, position = Import.objects.select_related("clinic").get(public_id=job.subject), job.position
    rows = list(imported.arrivals.filter(number__gt=position, number__lte=position + SAVED_AT_ONCE).order_by("number"))
    desk = Desk(imported.clinic)
    documents = {row.pk: json.loads(row.document) for row in rows}
    known = desk.known(documents.values())
    drafts: dict[int, Draft] = {}
    for row in rows:
        try:
            recorded = desk.recorded(documents[row.pk], known)
        except NotMapped as unmapped:
            # It could be held when it was looked at: a payer is gone since, or a patient is on record otherwise.
            row.outcome = Outcome.MEND
            row.problems = [[row.row, each.path, each.value, each.reason] for each in unmapped.problems]
            continue
        source = {"file": imported.file_name, "import": str(imported.public_id), "row": row.row}
        drafts[row.pk] = Draft(client_id=row.client_id, recorded=recorded, source=source)
    saved = save_new_encounters(by=job.begun_by, clinic=imported.clinic, drafts=list(drafts.values()))
    came = _came_as(imported.clinic, saved.here)
    for row in rows:
        if row.client_id in saved.new:
            row.outcome, row.encounter = Outcome.DONE, saved.new[row.client_id]
        elif row.client_id in saved.here:
            _tell_here(row, saved.here[row.client_id].pk, came)
    Arrival.objects.bulk_update(rows, ["outcome", "encounter", "problems"])
    return position + len(rows)
