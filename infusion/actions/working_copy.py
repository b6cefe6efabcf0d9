"""Writers of what is typed and not saved. They are no writes of a record and leave no audit row.

A working copy is one person's own unfinished form: nobody else reads it, nothing is billed from it, and saving the
encounter, which is audited, ends it. It is not checked either; half a time is kept as half a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from infusion.models import Encounter, User, WorkingCopy

KEPT_FOR = timedelta(days=30)
LONGEST_TEXTS = 40_000
MOST_COPIES = 40


@transaction.atomic
def keep_copy(
    *, by: User, client_id: UUID, encounter: Encounter | None, version: int, entries: Mapping[str, str]
) -> WorkingCopy | None:
    """Keep what a form holds now, in place of what it held before. None when it is more than one form can hold."""
    now = timezone.now()
    WorkingCopy.objects.filter(kept_at__lt=now - KEPT_FOR).delete()
    if sum(len(name) + len(text) for name, text in entries.items()) > LONGEST_TEXTS:
        return None
    copy, _ = WorkingCopy.objects.update_or_create(
        person=by,
        client_id=client_id,
        defaults={"encounter": encounter, "version": version, "entries": dict(entries), "kept_at": now},
    )
    beyond = WorkingCopy.objects.filter(person=by).order_by("-kept_at", "-pk").values_list("pk", flat=True)
    WorkingCopy.objects.filter(pk__in=list(beyond[MOST_COPIES:])).delete()
    return copy


@transaction.atomic
def drop_copy(*, by: User, client_id: UUID) -> None:
    """Forget what was kept of a form: it was saved, or thrown away."""
    WorkingCopy.objects.filter(person=by, client_id=client_id).delete()


@transaction.atomic
def drop_copies_of(person: User) -> None:
    """Forget all that was kept for someone who now works elsewhere: it is about another clinic's patients."""
    WorkingCopy.objects.filter(person=person).delete()
