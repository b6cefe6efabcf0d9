"""Writers of what is typed and not saved. They are no writes of a record and leave no audit row.

A working copy is one person's own unfinished form: nobody else reads it, nothing is billed from it, and saving the
encounter, which is audited, ends it. It is not checked either; half a time is kept as half a time.

Of one form one copy is kept, and it belongs to the page that wrote it. Another page, of a second tablet or opened anew,
writes over it or forgets it only where it knows the very copy that is stored: it was taken up there, or given up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from infusion.models import Encounter, User, WorkingCopy

KEPT_FOR = timedelta(days=30)
LONGEST_TEXTS = 40_000
MOST_COPIES = 40
WRITTEN_BY = "@page"
"""Where a copy names the page that wrote it: among its entries, under a name that no field of a form has."""


class KeptElsewhere(Exception):
    """Another page has kept something else of this form. `copy` is what it kept."""

    def __init__(self, copy: WorkingCopy) -> None:
        super().__init__("Something else is kept of this form.")
        self.copy = copy


@dataclass(frozen=True, slots=True)
class OfPage:
    """A page that keeps what is typed: its own name, and the copies that it may write over, by their stamps."""

    name: str = ""
    known: frozenset[str] = frozenset()

    def may_replace(self, copy: WorkingCopy) -> bool:
        return copy.entries.get(WRITTEN_BY, "") == self.name or copy_stamp(copy) in self.known


NAMELESS = OfPage()


def copy_stamp(copy: WorkingCopy) -> str:
    """What a copy is known by: written anew, it is another one."""
    return copy.kept_at.isoformat()


@transaction.atomic
def keep_copy(
    *,
    by: User,
    client_id: UUID,
    encounter: Encounter | None,
    version: int,
    entries: Mapping[str, str],
    page: OfPage = NAMELESS,
) -> WorkingCopy | None:
    """Keep what a form holds now, in place of what it held before. None when it is more than one form can hold.

    Raises KeptElsewhere where a page that this one does not know of has kept something else.
    """
    now = timezone.now()
    WorkingCopy.objects.filter(kept_at__lt=now - KEPT_FOR).delete()
    if sum(len(name) + len(text) for name, text in entries.items()) > LONGEST_TEXTS:
        return None
    said = {**entries, WRITTEN_BY: page.name} if page.name else dict(entries)
    held = {"encounter": encounter, "version": version, "entries": said, "kept_at": now}
    copies = WorkingCopy.objects.select_for_update(no_key=True)
    copy, is_new = copies.get_or_create(person=by, client_id=client_id, defaults=held)
    if not is_new:
        if not page.may_replace(copy):
            raise KeptElsewhere(copy)
        for name, value in held.items():
            setattr(copy, name, value)
        copy.save()
    beyond = WorkingCopy.objects.filter(person=by).order_by("-kept_at", "-pk").values_list("pk", flat=True)
    WorkingCopy.objects.filter(pk__in=list(beyond[MOST_COPIES:])).delete()
    return copy


@transaction.atomic
def drop_copy(*, by: User, client_id: UUID, page: OfPage = NAMELESS) -> None:
    """Forget what a page kept of a form: it was saved, or thrown away. What another page kept stays."""
    copy = WorkingCopy.objects.select_for_update(no_key=True).filter(person=by, client_id=client_id).first()
    if copy is not None and page.may_replace(copy):
        copy.delete()


@transaction.atomic
def drop_copies_of(person: User) -> None:
    """Forget all that was kept for someone who now works elsewhere: it is about another clinic's patients."""
    WorkingCopy.objects.filter(person=person).delete()
