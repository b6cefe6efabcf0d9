"""The tables as they stand here and now: the shipped ones with the site's published drug rows laid over them.

Each request looks once which rows are published; what they come to is kept in the process for as long as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase

from infusion.models import DrugRow
from infusion.services.drug_document import drug_of
from infusion.services.reference import Drug, Reference, Source, shipped_reference

_of_this_request: ContextVar[list[Reference] | None] = ContextVar("reference of this request", default=None)


def current_reference() -> Reference:
    """The tables to calculate with. One small query, or none where this request has asked before."""
    found = _of_this_request.get()
    if found:
        return found[0]
    reference = _laid_over(tuple(published_rows().order_by("pk").values_list("public_id", flat=True)))
    if found is not None:
        found.append(reference)
    return reference


@contextmanager
def looked_up_once() -> Iterator[None]:
    """Inside, the published rows are looked up once, so that all of a request or a long run rests on the same."""
    token = _of_this_request.set([])
    try:
        yield
    finally:
        _of_this_request.reset(token)


def look_again() -> None:
    """A row was published or withdrawn inside of what looked before."""
    found = _of_this_request.get()
    if found:
        found.clear()


class OneReferencePerRequest:
    """Middleware: every calculation of a request uses the same tables."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with looked_up_once():
            return self.get_response(request)


def published_rows() -> QuerySet[DrugRow]:
    """The rows that hold for some day, as far as is known now."""
    return DrugRow.objects.filter(known_until__isnull=True).exclude(status=DrugRow.Status.DRAFT)


def with_rows(rows: Iterable[DrugRow]) -> Reference:
    """The shipped tables with these rows laid over them."""
    rows = sorted(rows, key=lambda row: (row.code, row.first_day))
    sources = {source_key(row): source_of(row) for row in rows}
    return shipped_reference().with_drugs([drug_of_row(row) for row in rows], sources)


@lru_cache(maxsize=4)
def _laid_over(published: tuple[UUID, ...]) -> Reference:
    # A row is never changed, so its name stands for what it says.
    return with_rows(DrugRow.objects.filter(public_id__in=published)) if published else shipped_reference()


def drug_of_row(row: DrugRow) -> Drug:
    return drug_of(columns_of(row))


def columns_of(row: DrugRow) -> dict[str, Any]:
    """A row with every column that a drug of the shipped file has."""
    key = source_key(row)
    columns = {
        **row.document, "code": row.code, "first_day": row.first_day, "note": row.note, "source": key,
        # A draft is asked about as what it would be at least.
        "status": "unverified" if row.status == DrugRow.Status.DRAFT else row.status,
    }  # fmt: skip
    if row.last_day is not None:
        columns["last_day"] = row.last_day
    for name, cited in (("dosing", "dosing_source"), ("usual_minutes", "usual_source")):
        if columns.get(name):
            columns[cited] = key
    return columns


def source_key(row: DrugRow) -> str:
    """What the source of a row is called among the keys of sources.toml."""
    return f"SITE-{row.code}-{row.first_day:%Y%m%d}"


def source_of(row: DrugRow) -> Source:
    return Source(
        title=row.source_document, address=row.source_address, kind="read by this site",
        confidence="as this site says", read=row.source_read_on,
    )  # fmt: skip


def as_if(row: DrugRow, *, held: bool, withdrawn: bool = False) -> Reference:
    """The tables as publishing a draft, or withdrawing a row, would make them; nothing is written.

    `held` asks as if the draft had held on every day instead of its own.
    """
    others = [each for each in published_rows() if each.pk not in (row.pk, row.follows_id)]
    if withdrawn:
        return with_rows(others)
    if held:
        others = [each for each in others if each.code != row.code]
        reference = with_rows(others)
        always = replace(drug_of_row(row), first_day=date.min, last_day=None)
        return reference.with_drugs([always], {source_key(row): source_of(row)})
    left = shortened(row.follows, row) if row.follows else None
    return with_rows([*others, *([left] if left else []), row])


def shortened(followed: DrugRow, draft: DrugRow) -> DrugRow | None:
    """What is left of a published row that a draft follows: its days before the draft, if it has some."""
    if followed.first_day >= draft.first_day:
        return None
    last_day = date.fromordinal(draft.first_day.toordinal() - 1)
    if followed.last_day is not None and followed.last_day < last_day:
        last_day = followed.last_day
    return DrugRow(
        thread=followed.thread, code=followed.code, first_day=followed.first_day, last_day=last_day,
        document=followed.document, source_document=followed.source_document, note=followed.note,
        source_address=followed.source_address, source_read_on=followed.source_read_on, status=followed.status,
        author=followed.author,
    )  # fmt: skip
