"""How long the pages of a server keep someone waiting, beside one that is almost empty: `make bench`.

Each page has the server for itself while it is timed, with one person at a time or many at once; an almost empty page
of someone signed in is timed in the same way in turn. Told is what 95 of 100 waited at most.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from infusion.models import User
from payers.models import Payer
from tests.prove.server import Server, cookie_of, served
from tests.web.page import Page

CLIENTS, REQUESTS, TURNS = (1, 8, 16), 100, 3
MOST_TIMES = {"live preview": 3.0, "encounter page": 8.0}
PREVIEW = {"HX-Request": "true", "HX-Target": "preview-body"}
Ask = Callable[[int], Any]


def waits(ask: Ask, clients: int) -> float:
    """What 95 of 100 waited at most, in seconds, while so many ask one after the other."""
    numbers, seconds = itertools.count(), list[float]()

    def go_on() -> None:
        for number in numbers:
            if number >= REQUESTS:
                return
            began = perf_counter()
            reply = ask(number)
            seconds.append(perf_counter() - began)
            assert reply.status == 200

    threads = [threading.Thread(target=go_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seconds) == REQUESTS, "a request was not answered"
    return quantiles(seconds, n=20)[-1]


def worked_example(nurse: User, payer: Payer) -> dict[str, str]:
    """The form of a new encounter, filled in but for the stop."""
    client = Client()
    client.force_login(nurse)
    form = Page(client.get(reverse("encounter-new")).content).form_to(reverse("encounter-new"))
    return {
        **form.fields, "patient_reference": "MRN-1001", "payer": payer.slug, "diagnosis": "G35.A", "d1-drug": "J2350",
        "d1-start": "0900", "d1-ordered": "600", "d1-administered": "600", "d1-v1-size": "300", "d1-v1-count": "2",
    }  # fmt: skip


def pages(server: Server, cookie: str, typed: dict[str, str]) -> tuple[Ask, dict[str, Ask]]:
    """The almost empty page, and those that are compared with it."""
    new = reverse("encounter-new")

    def preview(number: int) -> Any:
        reply = server.ask("POST", new, cookie, {**typed, "d1-stop": f"11{number % 60:02}"}, headers=PREVIEW)
        assert b"96365" in reply.content
        return reply

    return (
        lambda _: server.ask("GET", reverse("account_change_password"), cookie),
        {"live preview": preview, "encounter page": lambda _: server.ask("GET", new, cookie)},
    )


@pytest.mark.django_db(transaction=True)
def test_a_preview_and_a_page_cost_a_few_empty_pages(nurse: User, medicare: Payer, tmp_path: Path) -> None:
    told, wrong = [f"{'':16}{'clients':>8}{'p95':>9}  times an almost empty page"], list[str]()
    cookie, typed = cookie_of(nurse), worked_example(nurse, medicare)
    with served(tmp_path) as server:
        empty, others = pages(server, cookie, typed)
        for ask in (empty, *others.values()):
            waits(ask, 4)
        for clients, (name, ask) in itertools.product(CLIENTS, others.items()):
            plain, own = list[float](), list[float]()
            for _ in range(TURNS):
                plain.append(waits(empty, clients))
                own.append(waits(ask, clients))
            times = median(own) / median(plain)
            told.append(f"{name:16}{clients:8}{median(own) * 1000:6.0f} ms  {times:5.2f} (goal {MOST_TIMES[name]:.0f})")
            if times > MOST_TIMES[name]:
                wrong.append(told[-1])
    print("\n" + "\n".join(told))  # noqa: T201
    assert wrong == []
