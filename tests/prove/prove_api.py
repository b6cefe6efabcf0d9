"""R19: whatever a program sends that the description of the API allows, and much that it does not: no server error, and
every reply as it is described.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from infusion.api import ADDRESS, calculate
from infusion.api.errors import reply
from infusion.models import User
from tests.prove.conftest import Prove
from tests.prove.table import size
from tests.web.conftest import House
from tests.web.programs import a_program

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance, negative_data_rejection, ignored_auth, unsupported_method,
]  # fmt: skip
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
SURE = {"derandomize": True, "database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}


class Tried:
    """How many requests were sent, what they were answered, and what of that breaches the description."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.breaches: Counter[str] = Counter()

    @property
    def requests(self) -> int:
        return self.statuses.total()


@contextmanager
def described(admin: User) -> Iterator[tuple[Any, dict[str, str]]]:
    """The description, as the server gives it, and the token of a program that may do all.

    A server closes its connections after a request; here that one holds the test's own transaction.
    """
    ends = (request_started, request_finished)
    for each in ends:
        each.disconnect(close_old_connections)
    try:
        app = WSGIHandler()
        # The token is the one below: a request without it would be a request that is refused for that alone.
        config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
        schema = schemathesis.openapi.from_wsgi(f"{ADDRESS}openapi.json", app, config=config)
        yield schema, {"Authorization": f"Bearer {a_program(admin, name='Examiner').token}"}
    finally:
        for each in ends:
            each.connect(close_old_connections)


def ask_all(admin: User, known: list[str], examples: int) -> Tried:
    """Every operation, with so many requests that are as described and as many that are not. What is written goes."""
    tried = Tried()
    with described(admin) as (schema, headers):
        for found in schema.get_all_operations():
            operation = found.ok()
            for mode in MODES:
                ask(operation, mode, headers, known, examples, tried)
    return tried


def ask(operation: Any, mode: Any, headers: dict[str, str], known: list[str], examples: int, tried: Tried) -> None:
    # Of many encounters each has its own answer, also one that is none.
    checks = [each for each in CHECKS if each is not negative_data_rejection or "many" not in operation.label]

    @settings(max_examples=examples, phases=[Phase.generate], **SURE)  # type: ignore[arg-type]
    @given(case=operation.as_strategy(generation_mode=mode), one=st.sampled_from([*known, ""]))
    def asked(case: Any, one: str) -> None:
        if one and "encounter_id" in (case.path_parameters or {}) and mode == GenerationMode.POSITIVE:
            case.path_parameters["encounter_id"] = one  # one that is there
        with transaction.atomic():
            try:
                answer = case.call(headers=headers)
                tried.statuses[answer.status_code] += 1
                case.validate_response(answer, checks=checks, headers=headers)
            except (Failure, FailureGroup) as failure:
                for each in getattr(failure, "exceptions", [failure]):
                    tried.breaches[f"{operation.label}: {each.title}: {str(each.message)[:300]}"] += 1
            finally:
                transaction.set_rollback(True)

    try:
        asked()
    except schemathesis.errors.SchemathesisError as problem:  # nothing can be unlike an operation without input
        if mode == GenerationMode.POSITIVE:
            raise AssertionError(str(problem)) from problem


@pytest.fixture
def known(house: House) -> list[str]:
    return [str(each.public_id) for each in house.encounters] + [str(house.draft.client_id)]


@pytest.mark.proves("R19")
def test_the_api_keeps_its_description(house: House, known: list[str], prove: Prove) -> None:
    tried = ask_all(house.people["admin"], known, size(3, 400))
    errors = sum(count for status, count in tried.statuses.items() if status >= 500)
    told = ", ".join(f"{count:,} x {status}" for status, count in sorted(tried.statuses.items()))
    prove(
        "R19", "0 server errors and 0 breaches of the description of the API",
        f"{errors} server errors and {tried.breaches.total()} breaches in {tried.requests:,} requests of programs "
        f"({told})" + "".join(f"; {each}" for each in list(tried.breaches)[:3]),
        not errors and not tried.breaches and {200, 404, 422} <= set(tried.statuses),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ({"lines": 7}, "Response violates schema"),
        ({"status": 299}, "Undocumented status code"),
        ({}, "Server error"),
    ],
)
def test_a_planted_breach_is_found(house: House, known: list[str], planted: Any, told: str, monkeypatch: Any) -> None:
    """An answer without a list of lines, a status that is nowhere described, and one that breaks."""
    real = calculate.answered

    def other(*sent: Any) -> dict[str, object]:
        if not planted:
            raise ZeroDivisionError
        return {**real(*sent), **{name: value for name, value in planted.items() if name != "status"}}

    def other_status(document: object, status: int = 200, headers: Any = None) -> Any:
        return reply(document, planted.get("status", status), headers)

    monkeypatch.setattr(calculate, "answered", other)
    monkeypatch.setattr(calculate, "reply", other_status)
    with described(house.people["admin"]) as (schema, headers):
        operation, tried = schema[f"{ADDRESS}calculate"]["POST"], Tried()
        ask(operation, GenerationMode.POSITIVE, headers, known, 10, tried)
    assert any(told in each for each in tried.breaches), (tried.breaches, tried.statuses)
