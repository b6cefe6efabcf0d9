"""R19: whatever is sent, no server error; whatever was recorded, the units of a second reading of the rules."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest
from django.core.signals import got_request_exception
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from infusion.answers import answer
from infusion.views import home
from tests.prove.conftest import Prove
from tests.prove.hostile import HOSTILE, Asked, Fuzzer
from tests.prove.table import share, size
from tests.rules import naive
from tests.rules.random_encounters import encounters
from tests.rules.test_against_naive import difference
from tests.web.access_table import ROLES, VISITOR
from tests.web.conftest import House
from tests.web.routes import Route, routes

ROUND = 40
SIGN_IN = ("/accounts/", "/admin/logout/", "/admin/password_change/")
SLOWEST_SECONDS = 1.0
ROLES_ASKING = list(ROLES)

# Requests -------------------------------------------------------------------------------------------------------------


class Watch:
    """What the server raised, request by request."""

    def __init__(self) -> None:
        self.problem = ""

    def __call__(self, sender: Any, request: Any, **_: Any) -> None:
        import sys
        import traceback

        kind, value, trace = sys.exc_info()
        last = [each for each in traceback.extract_tb(trace) if ".venv" not in each.filename][-1:]
        place = f" at {last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
        self.problem = f"{kind.__name__ if kind else '?'}: {str(value)[:200]}{place}"


def ask_all(
    fuzzer: Fuzzer, clients: dict[str, Client], count: int, watch: Watch
) -> tuple[Counter[int], dict[str, str], list[tuple[float, str]]]:
    """The statuses of `count` requests, the server errors with one request for each, and how long each took, by length.

    Seconds are those of this process, so that a busy machine does not tell on a page, and of the reply alone: what the
    fuzzer has learned is no garbage for a server to look through.
    """
    statuses: Counter[int] = Counter()
    errors: dict[str, str] = {}
    taken: list[tuple[float, str]] = []
    asked = 0
    while asked < count:
        kept = {role: deepcopy(client.cookies) for role, client in clients.items()}
        gc.collect()
        gc.freeze()
        with transaction.atomic():
            for _ in range(min(ROUND, count - asked)):
                request = fuzzer.next()
                watch.problem = ""
                status, seconds = answered(request, clients[request.role], fuzzer)
                taken.append((seconds, str(request)[:300]))
                statuses[status] += 1
                asked += 1
                if status >= 500:
                    errors.setdefault(watch.problem or str(status), str(request))
            transaction.set_rollback(True)
        for role, client in clients.items():
            client.cookies = kept[role]
    gc.unfreeze()
    return statuses, errors, sorted(taken)


def answered(request: Asked, client: Client, fuzzer: Fuzzer) -> tuple[int, float]:
    """The status and the processor time of the reply."""
    cookies = deepcopy(client.cookies)
    with transaction.atomic():
        began = time.process_time()
        reply = request.by(client)
        seconds = time.process_time() - began
        if connection.needs_rollback or request.address.startswith(SIGN_IN):
            transaction.set_rollback(True)
    if request.address.startswith(SIGN_IN):
        client.cookies = cookies
    page = reply.get("Content-Type", "").startswith("text/html") and not reply.streaming
    if page and reply.status_code == 200 and request.method in ("GET", "POST"):
        fuzzer.learn(request.role, request.address, reply.content)  # type: ignore[attr-defined]
    return int(reply.status_code), seconds


@pytest.fixture
def ready(house: House, values: Callable[[Route], dict[str, object]]) -> tuple[dict[str, Client], list[str]]:
    """A client for each role, and an address for each route."""
    clients = {}
    for role in ROLES_ASKING:
        clients[role] = Client(raise_request_exception=False)
        if role != VISITOR:
            clients[role].force_login(house.people[role])
    addresses = [route.address({"code": "J2350", **values(route)}) for route in routes()]
    for each in house.encounters:
        addresses += [reverse(name, args=[each.public_id]) for name in ("encounter", "review", "sheet", "chair")]
    return clients, list(dict.fromkeys(addresses))


@pytest.fixture
def watch() -> Any:
    found = Watch()
    got_request_exception.connect(found)
    yield found
    got_request_exception.disconnect(found)


def seeded(addresses: list[str], clients: dict[str, Client], seed: int) -> Fuzzer:
    """A fuzzer that has seen each page once."""
    fuzzer = Fuzzer(seed, list(clients), list(addresses))
    for address in addresses:
        for role, client in clients.items():
            answered(Asked(role, "GET", address, None, {}), client, fuzzer)
    return fuzzer


@pytest.mark.both
@pytest.mark.proves("R19")
@pytest.mark.usefixtures("no_touch_is_written")
def test_no_request_ends_in_a_server_error(
    ready: tuple[dict[str, Client], list[str]], watch: Watch, prove: Prove
) -> None:
    clients, addresses = ready
    count = size(200, 50_000)
    seed = int(os.environ.get("INFUSION_SEED") or 19)
    fuzzer = seeded(addresses, clients, seed)
    statuses, errors, taken = ask_all(fuzzer, clients, count, watch)
    (slowest, by), (most, _) = taken[-1], taken[int(len(taken) * 0.99)]
    written = ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))
    named = "" if slowest <= SLOWEST_SECONDS else f", by {by}"
    told = "".join(f"; {what}: {request}" for what, request in list(errors.items())[:5])
    prove(
        "R19", "0 x 5xx in 50,000 requests over all routes and roles, the worst reply within 1 s",
        f"{sum(number for status, number in statuses.items() if status >= 500)} x 5xx in {count:,} requests "
        f"({written}; {len(fuzzer.addresses)} addresses, seed {seed}; "
        f"slowest {slowest:.2f} s, 99% under {most:.2f} s of processor time{named}){told}",
        not errors and (slowest <= SLOWEST_SECONDS or not share()),
    )  # fmt: skip
    assert 200 in statuses
    assert 302 in statuses
    assert not errors, "\n".join(f"{what}\n   {request}" for what, request in errors.items())


def test_a_careless_view_would_be_found(
    ready: tuple[dict[str, Client], list[str]], watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = home.listing_of

    def careless(asked: Any, *rest: Any) -> Any:
        int(asked.get("page", "1"))
        return honest(asked, *rest)

    monkeypatch.setattr(home, "listing_of", careless)
    clients, _ = ready
    fuzzer = Fuzzer(1, ["billing"], [reverse("encounters")])
    fuzzer.queries |= {("page", "2"), ("view", "all")}
    monkeypatch.setattr(Fuzzer, "learn", lambda *_: None)
    _, errors, _ = ask_all(fuzzer, clients, 60, watch)
    assert any(what.startswith("ValueError: invalid literal for int()") for what in errors)


# Encounters -----------------------------------------------------------------------------------------------------------


def compared(seed: int, count: int) -> tuple[int, list[str]]:
    """How many encounters of a seed were compared, and what differed."""
    found = []
    for document in encounters(seed, count):
        why = difference(document)
        if why:
            found.append(f"{why}\n{json.dumps(document)}")
    return count, found[:3]


def in_processes(work: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> list[Any]:
    """The answers of forks of this process, which has everything loaded. One that dies stops them all."""
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(min(len(arguments), os.cpu_count() or 1), mp_context=fork) as pool:
        return list(pool.map(work, *zip(*arguments, strict=True)))


@pytest.mark.proves("R19")
def test_no_encounter_has_a_wrong_unit(prove: Prove) -> None:
    count = size(300, 1_000_000)
    portion = 5_000
    if count <= portion:
        results = [compared(20_001, count)]
    else:
        results = in_processes(compared, [(20_001 + each, portion) for each in range(count // portion)])
    done = sum(number for number, _ in results)
    different = [each for _, found in results for each in found]
    prove(
        "R19", "0 differences from a second, naive reading of the rules in 1,000,000 encounters",
        f"{len(different)} differences in {done:,} encounters" + "".join(f"; {each[:300]}" for each in different[:2]),
        not different,
    )  # fmt: skip


def test_a_wrong_unit_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(naive.BASELINE, "additional_hour_minimum_minutes", 30)
    assert any(compared(seed, 500)[1] for seed in range(20_001, 20_007))


def spoilt(document: Any, dice: random.Random) -> Any:
    """A document with something else in one of its places."""
    strange: list[Any] = [
        *dice.sample(HOSTILE, 5), None, True, 0, -1, 10**30, [], {}, [None], [[]], {"": ""}, 1e308, str(uuid4()),
    ]  # fmt: skip
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
            places.append((part, key))
            walk(part[key])

    walk(document)
    for part, key in dice.sample(places, min(len(places), dice.randint(1, 3))):
        if dice.random() < 0.2 and isinstance(part, dict):
            part.pop(key, None)
        elif isinstance(part, dict) or key < len(part):
            part[key] = dice.choice(strange)
    return document


def answered_documents(seed: int, count: int) -> tuple[int, list[str]]:
    dice, found = random.Random(seed), []
    for document in encounters(seed, count):
        document["policy"] = {name: value for name, value in document.get("policy", {}).items() if dice.random() < 0.9}
        line = json.dumps(spoilt(document, dice)).encode()
        if dice.random() < 0.05:
            line = line[: dice.randrange(len(line))] + bytes([dice.randrange(256)])
        try:
            told = answer(line)
            if told["status"] not in ("ready", "blocked", "invalid") or ("findings" in told) == ("errors" in told):
                found.append(f"{told}: {line!r}")
        except Exception as problem:
            found.append(f"{type(problem).__name__}: {problem}: {line!r}")
    return count, found[:3]


@pytest.mark.proves("R19")
def test_a_spoilt_document_is_answered(prove: Prove) -> None:
    count, portion = size(300, 100_000), 2_500
    if count <= portion:
        results = [answered_documents(7, count)]
    else:
        results = in_processes(answered_documents, [(7 + each, portion) for each in range(count // portion)])
    different = [each for _, found in results for each in found]
    prove(
        "R19", "every spoilt document answered, never with lines unless it is ready",
        f"{len(different)} of {count:,} spoilt documents unanswered" + "".join(f"; {e[:300]}" for e in different[:2]),
        not different,
    )  # fmt: skip
