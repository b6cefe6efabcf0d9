"""Two requests of one browser at once: neither takes away what the other wrote into their session."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from django.contrib.sessions.backends.base import UpdateError
from django.test import Client

from infusion.idle import WRITTEN_EVERY_SECONDS
from infusion.models import User
from infusion.sessions import SessionStore
from infusion.views import encounters
from infusion.views.preview import Preview, preview_of
from payers.models import Payer
from tests.web.test_encounter_form import LIVE, NEW, sent

pytestmark = pytest.mark.django_db


def begun(**entries: object) -> SessionStore:
    session = SessionStore()
    session.update(entries)
    session.create()
    return session


def two_of(session: SessionStore) -> tuple[SessionStore, SessionStore]:
    one, two = SessionStore(session.session_key), SessionStore(session.session_key)
    assert dict(one.items()) == dict(two.items()) == dict(session.items())
    return one, two


def stored(session: SessionStore) -> dict[str, object]:
    return dict(SessionStore(session.session_key).items())


def test_each_writes_what_it_changed() -> None:
    session = begun(read=1, gone=2, both=3, told=[1])
    one, two = two_of(session)
    one["said"], one["both"] = "Saved as a draft.", "one"
    one["told"].append(2)
    del one["gone"]
    one.save()
    two["touched"], two["both"] = 5, "two"
    two.save()
    assert stored(session) == {"read": 1, "said": "Saved as a draft.", "both": "two", "told": [1, 2], "touched": 5}
    assert dict(two.items()) == stored(session)


def test_what_a_request_took_out_stays_out() -> None:
    session = begun(said="Saved as a draft.", touched=1)
    one, two = two_of(session)
    del one["said"]
    two["touched"] = 2
    two.save()
    one.save()
    assert stored(session) == {"touched": 2}


def test_what_was_put_in_before_a_new_key_can_be_taken_out_after() -> None:
    session = begun(read=1)
    session["asked"] = True
    session.cycle_key()
    del session["asked"]
    session.save()
    assert stored(session) == {"read": 1}


def test_a_session_that_has_ended_does_not_come_back() -> None:
    session = begun(read=1)
    one, two = two_of(session)
    one.flush()
    two["touched"] = 2
    with pytest.raises(UpdateError):
        two.save()
    assert not SessionStore().exists(session.session_key)


def test_a_save_is_told_though_its_preview_is_answered_later(
    client: Client, nurse: User, medicare: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str] = []

    def saved_meanwhile(*of: Any, **how: Any) -> Preview:
        if not answers:
            answers.append("")
            answers.append(client.post(NEW, form).headers["Location"])
        return preview_of(*of, **how)

    with time_machine.travel("2026-03-10T17:00Z") as clock:
        client.force_login(nurse)
        client.get(NEW)
        form = sent()
        clock.shift(WRITTEN_EVERY_SECONDS + 1)  # so that the preview has something to write into the session, too
        monkeypatch.setattr(encounters, "preview_of", saved_meanwhile)
        client.post(NEW, {**form, "act": ""}, headers=LIVE)
        assert encounters.SAVED in client.get(answers[-1]).content.decode()
