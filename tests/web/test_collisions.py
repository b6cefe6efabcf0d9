"""A request that PostgreSQL ended for another's sake begins again, and no other one does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path, reverse
from pytest_django import Settings

from infusion.access import NURSE, allow
from infusion.collisions import DEADLOCK, NOT_SERIALIZABLE, TRIES
from infusion.models import User
from infusion.urls import handler500
from infusion.urls import urlpatterns as shipped

__all__ = ["handler500"]
Press = Callable[..., int]
left: list[OperationalError] = []
typed: list[str] = []


class Ended(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


def ended(sqlstate: str) -> OperationalError:
    problem = OperationalError("ended")
    problem.__cause__ = Ended(sqlstate)
    return problem


@allow(NURSE)
def meets(request: HttpRequest) -> HttpResponse:
    typed.append(request.POST["note"])
    if left:
        raise left.pop()
    return HttpResponse("saved")


urlpatterns = [path("meets/", meets, name="meets"), *shipped]


@pytest.fixture
def saved(client: Client, nurse: User, settings: Settings) -> Press:
    settings.ROOT_URLCONF = __name__
    client.force_login(nurse)
    client.raise_request_exception = False
    typed.clear()
    left.clear()

    def press(*problems: OperationalError) -> int:
        left.extend(problems)
        return client.post(reverse("meets"), {"note": "as typed"}).status_code

    return press


@pytest.mark.parametrize("sqlstate", [DEADLOCK, NOT_SERIALIZABLE])
def test_a_request_that_was_ended_for_another_begins_again(saved: Press, sqlstate: str) -> None:
    assert saved(*[ended(sqlstate)] * (TRIES - 1)) == 200
    assert typed == ["as typed"] * TRIES


def test_it_does_not_begin_again_for_ever(saved: Press) -> None:
    assert saved(*[ended(DEADLOCK)] * TRIES) == 500, "the database is not away"
    assert len(typed) == TRIES


@pytest.mark.parametrize("problem", [OperationalError("database is locked"), ended("57P01")])
def test_a_database_that_is_away_is_not_asked_again(saved: Press, problem: OperationalError) -> None:
    assert saved(problem) == 503
    assert len(typed) == 1
