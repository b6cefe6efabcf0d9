"""Sessions that two requests of one browser may change at once: each writes what it changed, and nothing else.

A form asks for its preview while it is being saved. Where each wrote all that it had read, the later one took away what
the other had to say, and "Saved as a draft." was never seen.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from django.contrib.sessions.backends import db
from django.db import router, transaction

ABSENT = object()


class SessionStore(db.SessionStore):
    """Django's own in the database, which joins what it saves to what is stored by then."""

    def load(self) -> dict[str, Any]:
        stored: dict[str, Any] = super().load()
        self.as_stored = deepcopy(stored)
        return stored

    def save(self, must_create: bool = False) -> None:
        """Raises CreateError where the key is taken, and UpdateError where the session has ended meanwhile."""
        if self.session_key is None:
            self.create()
            return
        with transaction.atomic(using=router.db_for_write(self.model)):
            row = self.model.objects.select_for_update(no_key=True).filter(session_key=self.session_key).first()
            if row is not None and not must_create:
                self.take_up(self.decode(row.session_data))
            super().save(must_create)
        self.as_stored = deepcopy(dict(self.items()))

    def take_up(self, stored: dict[str, Any]) -> None:
        """What others have stored since, wherever this one changed nothing."""
        mine = dict(self.items())
        for name in {*stored, *self.as_stored}:
            if mine.get(name, ABSENT) != self.as_stored.get(name, ABSENT):
                continue
            if name in stored:
                self[name] = stored[name]
            else:
                self.pop(name, None)
