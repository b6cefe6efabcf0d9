"""Writers of CMS's tables: a quarter loaded whole, a load withdrawn. None is ever changed, and no encounter with it.

An approved encounter keeps what it was approved with; the others are checked against the tables that are in force for
their date of service when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from infusion import audit
from infusion.actions.encounters import Refused
from infusion.edit_file import Changes, EditRow, LimitRow, PairRow, compare, days_of
from infusion.models import CodePair, EditTable, UnlikelyUnits, User
from payers.selectors import day_in_words

ROWS_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEdits:
    """A table before it is loaded. `rows_read` counts what its file held, kept or not."""

    kind: str
    claims: str
    quarter: str
    source: str
    checksum: str
    rows: tuple[EditRow, ...]
    rows_read: int = 0


def check_edits(new: NewEdits) -> EditTable | None:
    """The load of the same quarter that this one takes the place of, or None. Raises Refused for the same file."""
    same = _in_force(new.kind, new.claims).filter(quarter=new.quarter).first()
    if same is not None and same.checksum == new.checksum:
        raise Refused(
            f"This very file was loaded on {day_in_words(same.loaded_at.date())}: {same}. Nothing has to be done."
        )
    if not new.source.strip():
        raise Refused("Say where the file comes from, so that it can be looked up again.")
    return same


def before(new: NewEdits) -> EditTable | None:
    """What a new table is compared with: the load of the same quarter, else the newest of an earlier one."""
    earlier = _in_force(new.kind, new.claims).filter(effective_from__lte=days_of(new.quarter)[0])
    return earlier.order_by("-effective_from", "-loaded_at").first()


def rows_of(table: EditTable | None) -> list[EditRow]:
    """The rows of a loaded table as they are read from a file."""
    if table is None:
        return []
    limits = [LimitRow(*row) for row in table.limits.values_list("code", "units", "indicator")]
    pairs = table.pairs.values_list("first", "second", "effective_from", "deleted_from", "modifier_allowed")
    return [*limits, *(PairRow(*row) for row in pairs)]


def changes_of(new: NewEdits) -> Changes:
    """What a new table says other than the one before it."""
    return compare(rows_of(before(new)), new.rows)


@transaction.atomic
def load_edits(*, by: User | None, new: NewEdits) -> EditTable:
    """Put a quarter's table in force; another load of the same quarter is withdrawn and kept."""
    list(EditTable.objects.select_for_update(no_key=True).filter(kind=new.kind, claims=new.claims))
    same = check_edits(new)
    if same is not None:
        _withdraw(by, same, f"Loaded again from {new.source.strip()}.")
    first, last = days_of(new.quarter)
    table = EditTable.objects.create(
        kind=new.kind, claims=new.claims, quarter=new.quarter, effective_from=first, effective_until=last,
        source=new.source.strip()[:200], checksum=new.checksum, loaded_by=by, loaded_at=timezone.now(),
    )  # fmt: skip
    _write_rows(table, new.rows)
    _tell("edits.load", by, table, None)
    return table


@transaction.atomic
def withdraw_edits(*, by: User, table: EditTable, reason: str) -> EditTable:
    """Take a load out of force. Its rows stay, and so does what was approved and sent under it."""
    current = EditTable.objects.select_for_update(no_key=True).get(pk=table.pk)
    if current.withdrawn_at is not None:
        raise Refused("This load is withdrawn already.")
    if not reason.strip():
        raise Refused("Say why, for whoever reads the history later.")
    return _withdraw(by, current, reason.strip())


def _in_force(kind: str, claims: str) -> Any:
    return EditTable.objects.filter(kind=kind, claims=claims, withdrawn_at__isnull=True).order_by("-loaded_at", "-pk")


def _withdraw(by: User | None, table: EditTable, reason: str) -> EditTable:
    told = edits_document(table)
    table.withdrawn_at = timezone.now()
    table.save(update_fields=["withdrawn_at"])
    _tell("edits.withdraw", by, table, told, reason)
    return table


def _write_rows(table: EditTable, rows: Iterable[EditRow]) -> None:
    limits: list[UnlikelyUnits] = []
    pairs: list[CodePair] = []
    for row in rows:
        if isinstance(row, LimitRow):
            limits.append(UnlikelyUnits(table=table, code=row.code, units=row.units, indicator=row.indicator))
        else:
            pairs.append(
                CodePair(
                    table=table, first=row.first, second=row.second, effective_from=row.effective_from,
                    deleted_from=row.deleted_from, modifier_allowed=row.modifier_allowed,
                )
            )  # fmt: skip
    UnlikelyUnits.objects.bulk_create(limits, batch_size=ROWS_AT_A_TIME)
    CodePair.objects.bulk_create(pairs, batch_size=ROWS_AT_A_TIME)


def _tell(action: str, by: User | None, table: EditTable, earlier: dict[str, Any] | None, reason: str = "") -> None:
    audit.record(
        action, by=by, subject="edits", subject_id=table.public_id, before=earlier, after=edits_document(table),
        reason=reason,
    )  # fmt: skip


def edits_document(table: EditTable) -> dict[str, Any]:
    """A table as the audit keeps it; its rows as their number and one hash, so that a changed one would show."""
    rows: Sequence[EditRow] = sorted(rows_of(table), key=lambda row: row.key)
    return {
        "kind": table.kind, "claims": table.claims, "quarter": table.quarter, "source": table.source,
        "checksum": table.checksum, "loaded_at": table.loaded_at.isoformat(),
        "withdrawn_at": table.withdrawn_at and table.withdrawn_at.isoformat(),
        "rows": len(rows), "rows_hash": audit.digest(repr(rows)),
    }  # fmt: skip
