"""Who a program is, what its token opens, and the one shape of every error."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError
from django.test import Client

from infusion.api import api, described, tokens
from infusion.api.tokens import Token
from infusion.models import ApiClient, User
from infusion.models.programs import SCOPES
from tests.web.access_table import METHODS, PROGRAMS
from tests.web.conftest import House
from tests.web.programs import API, Program, a_program, error_of
from tests.web.routes import Route, routes

pytestmark = pytest.mark.django_db
SHAPE = {"code", "message", "fields", "reference"}


@pytest.fixture
def program(admin_user: User) -> Program:
    return a_program(admin_user)


def test_each_scope_opens_what_the_table_says_and_nothing_else(
    house: House, values: Callable[[Route], dict[str, object]]
) -> None:
    wrong = []
    asking = {scope: a_program(house.people["admin"], [scope], name=scope) for scope in SCOPES}
    asking["none"] = Program("iu_" + "x" * 43)
    for route in routes():
        if route.name not in PROGRAMS:
            continue
        for method in METHODS:
            for scope, one in asking.items():
                needed = PROGRAMS[route.name].get(method)
                reply = one.ask(method, route.address(values(route)))
                opened = reply.status_code not in (401, 403, 405)
                if opened != (needed == scope) or reply.status_code >= 500:
                    wrong.append(f"{method} {route.name} with {scope}: {reply.status_code}")
                if needed is None and method != "HEAD":
                    assert reply.status_code == 405
    assert wrong == []


def test_every_operation_names_a_scope_and_one_without_is_closed(program: Program, monkeypatch: Any) -> None:
    found = []
    for router in api._get_bound_routers():
        for view in router.path_operations.values():
            for operation in view.operations:
                [auth] = operation.auth_callbacks
                assert isinstance(auth, Token)
                assert auth.scope in SCOPES, operation.operation_id
                found.append(auth)
    assert len(found) == sum(map(len, PROGRAMS.values()))
    monkeypatch.setattr(found[0], "scope", "")
    reply = program.ask("POST", "calculate", {})
    assert (reply.status_code, error_of(reply)["code"]) == (403, "not_allowed")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic eHg6eQ==", "Bearer nonsense", "Bearer " + "x" * 9000]
)
def test_without_a_token_that_holds_nothing_opens(header: str, admin_user: User) -> None:
    reply = Program("").ask("GET", "encounters", Authorization=header)
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert error_of(reply)["code"] == "no_token"


def test_no_cookie_counts_and_none_is_set(client: Client, admin_user: User) -> None:
    client.force_login(admin_user)
    reply = client.get(f"{API}/encounters")
    assert reply.status_code == 401
    assert not reply.cookies
    program = a_program(admin_user)
    reply = client.get(f"{API}/encounters", headers={"Authorization": f"Bearer {program.token}"})
    assert reply.status_code == 200
    assert not reply.cookies
    assert reply.headers["Cache-Control"] == "no-store"
    assert "Vary" not in reply.headers


def test_when_a_program_last_asked_is_written_at_most_once_a_minute(program: Program) -> None:
    at = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
    seen = []
    for seconds in (0, 30, 59, 61):
        with time_machine.travel(at + timedelta(seconds=seconds), tick=False):
            program.ask("GET", "encounters")
        seen.append(ApiClient.objects.get().last_used_at)
    assert seen == [at, at, at, at + timedelta(seconds=61)]


def test_a_token_asks_only_so_often_and_is_told_when_again(
    program: Program, admin_user: User, settings: Any, monkeypatch: Any
) -> None:
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "infusion_cache"}
    }
    monkeypatch.setattr(tokens, "PER_MINUTE", 3)
    with time_machine.travel(datetime(2026, 3, 10, 12, 0, 15, tzinfo=UTC), tick=False):
        assert [program.ask("GET", "encounters").status_code for _ in range(4)] == [200, 200, 200, 429]
        reply = program.ask("GET", "encounters")
        assert (reply.headers["Retry-After"], error_of(reply)["code"]) == ("45", "too_often")
        assert a_program(admin_user, name="Another").ask("GET", "encounters").status_code == 200
    with time_machine.travel(datetime(2026, 3, 10, 12, 1, 0, tzinfo=UTC), tick=False):
        assert program.ask("GET", "encounters").status_code == 200


@pytest.mark.parametrize(
    ("method", "address", "status", "code"),
    [
        ("GET", "nowhere", 404, "not_here"),
        ("GET", "encounters/x", 404, "not_here"),
        ("DELETE", "encounters", 405, "no_such_method"),
        ("GET", "encounters?limit=0", 422, "not_understood"),
        ("GET", "encounters?limit=many", 422, "not_understood"),
        ("GET", "encounters?date_of_service_from=20260310", 422, "not_understood"),
        ("GET", "encounters?date_of_service_to=2026-02-30", 422, "not_understood"),
        ("GET", "encounters?after=x", 422, "not_understood"),
        ("GET", "encounters?sort=name", 422, "not_understood"),
        ("POST", "calculate", 422, "not_understood"),
    ],
)  # fmt: skip
def test_errors_have_one_shape(program: Program, method: str, address: str, status: int, code: str) -> None:
    reply = program.ask(method, address)
    assert reply.status_code == status
    assert reply.headers["Content-Type"] == "application/json"
    told = error_of(reply)
    assert (set(told), told["code"]) == (SHAPE, code)
    assert not {"invalid", "please", "sorry", "required", "forbidden"} & set(told["message"].lower().split())
    if "?" in address:
        [field] = told["fields"]
        assert (field["path"], field["value"]) == tuple(address.partition("?")[2].split("="))


def test_what_breaks_is_told_by_its_number_and_what_is_away_says_when(
    program: Program, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("with Sarah Lindqvist in it")

    monkeypatch.setattr("infusion.api.encounters.brief", broken)
    monkeypatch.setattr("infusion.api.encounters.encounters_of", broken)
    reply = program.ask("GET", "encounters")
    told = error_of(reply)
    assert (reply.status_code, told["code"]) == (500, "broken")
    assert told["reference"] == reply.headers["X-Reference"]
    assert len(caplog.records) == 1, "the log has it once"
    assert int(reply.headers.get("Content-Length", len(reply.content))) == len(reply.content)
    assert "Sarah" not in reply.content.decode()

    def away(*_: object) -> None:
        raise OperationalError("no room")

    monkeypatch.setattr("infusion.api.encounters.encounters_of", away)
    reply = program.ask("GET", "encounters")
    assert (reply.status_code, error_of(reply)["code"]) == (503, "out_of_reach")
    assert reply.headers["Retry-After"]


def test_the_description_tells_every_status_and_the_way_in(program: Program) -> None:
    reply = Program("").ask("GET", "openapi.json")
    assert reply.status_code == 200
    document = reply.json()
    assert document == json.loads(json.dumps(described()))
    operations = {
        (method, path): operation for path, found in document["paths"].items() for method, operation in found.items()
    }
    assert len(operations) == sum(map(len, PROGRAMS.values()))
    for (method, path), operation in operations.items():
        assert {"401", "403", "405", "429"} <= set(operation["responses"]), path
        assert operation["security"] == [{"Token": []}]
        assert operation["description"], path
        if method in ("post", "put"):
            assert {"413", "422"} <= set(operation["responses"])
            assert operation["requestBody"]["content"]["application/json"]["schema"]
    names = set(document["components"]["schemas"])
    assert set(referred(document)) <= names


def referred(document: object) -> list[str]:
    if isinstance(document, dict):
        own = [document["$ref"].rpartition("/")[2]] if isinstance(document.get("$ref"), str) else []
        return own + [name for each in document.values() for name in referred(each)]
    return [name for each in document for name in referred(each)] if isinstance(document, list) else []


def test_a_program_cannot_use_the_pages(program: Program) -> None:
    reply = program.ask("GET", "/encounters/")
    assert reply.status_code == 302
    assert reply.headers["Location"].startswith("/accounts/login/")
