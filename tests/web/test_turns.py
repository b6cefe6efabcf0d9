"""Pages are made one after the other in a process, and none waits for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from infusion import turns
from infusion.turns import OneAtATime

MAKING_SECONDS = 0.1


def most_at_once(count: int, make: Callable[[], None]) -> int:
    """How many views were at work at once, of requests that come together."""
    at_work, most = [0], [0]

    def view(request: HttpRequest) -> HttpResponse:
        middleware.process_view(request, view, (), {})
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        try:
            make()
        finally:
            at_work[0] -= 1
        return HttpResponse()

    middleware = OneAtATime(view)

    def ask() -> None:
        with suppress(ArithmeticError):
            middleware(RequestFactory().get("/"))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert turns.free.acquire(blocking=False), "a turn was never given back"
    turns.free.release()
    return most[0]


def test_one_page_is_made_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", 10)
    assert most_at_once(4, lambda: time.sleep(MAKING_SECONDS)) == 1


def test_one_that_takes_long_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", MAKING_SECONDS / 10)
    assert most_at_once(4, lambda: time.sleep(MAKING_SECONDS)) > 1


def test_one_that_fails_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", 10)

    def fails() -> None:
        raise ArithmeticError

    assert most_at_once(2, fails) == 1
