"""R52: an hour of mixed use at a steady pace, and the server is as quick and as small at the end as at the start."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import connection
from django.urls import reverse

from infusion.models import User
from payers.models import Payer
from tests.prove.conftest import Prove
from tests.prove.prove_at_once import new_form
from tests.prove.prove_server import memory_of
from tests.prove.server import Server, a_new_encounter, cookie_of, served
from tests.prove.table import share
from tests.web.access_table import BILLING, NURSE
from tests.web.conftest import House

A_SECOND = 20
LARGEST_LOG_MB = 64
MINUTES = 60
SETTLED = 0.2
"""The part of the time in which workers load what they use; growth is counted after it."""


def mixed(house: House) -> list[tuple[str, str, str, bool]]:
    """What twenty requests in a row are: method, address, cookie, and whether a new encounter is sent."""
    nurse, biller = cookie_of(house.people[NURSE]), cookie_of(house.people[BILLING])
    review = reverse("review", args=[house.with_billing.public_id])
    reads = [
        ("/", ""), ("/rules/", ""), ("/healthz", ""), (reverse("encounters"), nurse), (reverse("encounters"), biller),
        (reverse("encounter-new"), nurse), (reverse("chairs"), nurse), (reverse("orders"), nurse), (review, biller),
        (reverse("encounter", args=[house.draft.public_id]), nurse), (reverse("batches"), biller),
        (reverse("reports"), biller), (reverse("fees"), biller), (reverse("payers:list"), biller), (review, biller),
        (reverse("encounter", args=[house.approved.public_id]), nurse), ("/healthz", ""), (reverse("drugs"), biller),
    ]  # fmt: skip
    return [("GET", path, cookie, False) for path, cookie in reads] + [
        ("POST", reverse("encounter-new"), nurse, True) for _ in range(A_SECOND - len(reads))
    ]


class Users:
    """Sends one request after the other at a steady pace, however long the replies take."""

    def __init__(self, server: Server, requests: list[tuple[str, str, str, bool]], fields: dict[str, str]) -> None:
        self.server, self.requests, self.fields = server, requests, fields
        self.due: queue.Queue[tuple[float, tuple[str, str, str, bool]] | None] = queue.Queue()
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.threads = [threading.Thread(target=self.send, daemon=True) for _ in range(16)]

    def send(self) -> None:
        while (each := self.due.get()) is not None:
            due, (method, path, cookie, saves) = each
            sent = a_new_encounter(self.fields)[1] if saves else None
            try:
                status = self.server.ask(method, path, cookie, sent).status
            except OSError:
                status = 599
            self.statuses[f"{method} {status}"] += 1
            self.seconds.append(time.monotonic() - due)

    def run(self, seconds: float) -> tuple[int, int, float]:
        """Kilobytes that the workers held once they were settled and at the end, and megabytes of the log."""
        for thread in self.threads:
            thread.start()
        began, number, settled, log = time.monotonic(), 0, 0, 0.0
        while (now := time.monotonic() - began) < seconds:
            self.due.put((time.monotonic(), self.requests[number % len(self.requests)]))
            number += 1
            if number % A_SECOND == 0:
                log = max(log, log_of(self.server))
                if not settled and now > SETTLED * seconds:
                    settled = memory_of(self.server)
            time.sleep(max(0, began + number / A_SECOND - time.monotonic()))
        for _ in self.threads:
            self.due.put(None)
        for thread in self.threads:
            thread.join(120)
        return settled or memory_of(self.server), memory_of(self.server), log


def log_of(server: Server) -> float:
    """Megabytes of what SQLite keeps beside its file, where the journal comes and goes with each write."""
    file, sizes = server.database.removeprefix("sqlite:///"), [0]
    for end in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            sizes.append(Path(f"{file}{end}").stat().st_size)
    return sum(sizes) / 1e6


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
@pytest.mark.proves("R52")
def test_it_stays_as_quick_and_as_small(
    house: House, nurse: User, medicare: Payer, tmp_path: Path, prove: Prove
) -> None:
    if not share():
        pytest.skip("minutes; measured under `make prove`")
    _, fields = new_form(nurse, medicare)
    minutes, requests = MINUTES * min(1, share()), mixed(house)  # signed in before the database is copied
    with served(tmp_path, threads=4) as server:
        users = Users(server, requests, fields)
        settled, end, log = users.run(60 * minutes)
    waited = sorted(users.seconds)
    p95, grown = waited[int(len(waited) * 0.95)], 100 * (end - settled) / settled
    errors = sum(count for status, count in users.statuses.items() if status.split()[1] >= "500")
    prove(
        "R52", "20 requests a second: 0 x 5xx, 95% within 300 ms, memory grown by less than 5%, log at most 64 MB",
        f"{minutes:g} min, {len(waited):,} requests ({dict(sorted(users.statuses.items()))}): {errors} x 5xx, "
        f"95% within {1000 * p95:.0f} ms, memory grown by {grown:.1f}% to {end / 1000:.0f} MB, "
        f"{f'log at most {log:.1f} MB' if connection.vendor == 'sqlite' else 'no log of ours'}",
        errors == 0 and set(users.statuses) == {"GET 200", "POST 302"} and p95 <= 0.3 and grown < 5
        and log <= LARGEST_LOG_MB,
    )  # fmt: skip


def test_a_server_that_fails_or_grows_would_be_seen() -> None:
    class Growing:
        database, held = "sqlite:////none", 100

        def children(self) -> list[int]:
            Growing.held += 50
            return []

        def ask(self, *_: object) -> object:
            raise OSError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(f"{__name__}.memory_of", lambda server: server.children() or Growing.held)
        users = Users(Growing(), [("GET", "/", "", False)], {})  # type: ignore[arg-type]
        settled, end, _ = users.run(0.2)
    assert end > settled
    assert set(users.statuses) == {"GET 599"}
