"""What a list costs with 100 encounters and with 10,000, asked for in turn: `make bench`, on SQLite."""

from __future__ import annotations

import gc
from statistics import median, quantiles
from time import perf_counter, process_time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from infusion import idle
from infusion.management.demo_years import Year
from infusion.models import Clinic, Encounter, User
from payers.models import Payer

FEW, MANY, TURNS = 100, 10_000, 25
MOST_TIMES, MOST_MILLISECONDS = 2.0, 300
# A list of the many beside one of the few that has a full page of 50 rows as well.
PAGES = {
    "with billing": ("view=all", "view=with-billing"),
    "all": ("view=all", "view=all"),
    "all, last page": ("view=all", "view=all&page=9999"),
    "by reference": ("view=all&sort=reference", "view=all&sort=reference"),
    "by findings, two filters": ("view=all&sort=-findings", "view=all&sort=-findings&payer=medicare&drug=J2350"),
    "one finding": ("view=all", "view=all&finding=time.stop_missing"),
}


@pytest.fixture
def clients(
    clinic: Clinic, nurse: User, biller: User, other_clinic: Clinic, other_nurse: User, other_biller: User,
    medicare: Payer, monkeypatch: pytest.MonkeyPatch,
) -> tuple[Client, Client]:  # fmt: skip
    monkeypatch.setattr(idle, "WRITTEN_EVERY_SECONDS", 3600)
    Year(clinic, [nurse], biller, FEW).add()
    began = perf_counter()
    Year(other_clinic, [other_nurse], other_biller, MANY).add()
    print(f"\n{MANY} encounters made in {perf_counter() - began:.0f} s")  # noqa: T201
    few, many = Client(), Client()
    few.force_login(biller)
    many.force_login(other_biller)
    return few, many


def seconds(client: Client, address: str) -> float:
    """Of this process alone, database included: what else the machine does is not the list's to answer for."""
    began = process_time()
    assert client.get(address).status_code == 200
    return process_time() - began


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(address)
    return len(captured)


def test_a_hundred_times_as_many_cost_at_most_twice(clients: tuple[Client, Client]) -> None:
    few, many = clients
    told: list[str] = [f"{'list':26}{FEW:>9}{MANY:>9}  times  p95    queries"]
    wrong: list[str] = []
    waiting = Encounter.objects.filter(clinic__name="Hillside Infusion", state="with_billing").first()
    own = Encounter.objects.filter(clinic__name="Riverside Infusion Center").first()
    assert waiting is not None
    assert own is not None
    pages = {name: tuple(f"/encounters/?{query}" for query in pair) for name, pair in PAGES.items()}
    pages["review"] = tuple(f"/encounters/{each.public_id}/review/?view=all" for each in (own, waiting))
    gc.collect()
    gc.freeze()  # as a server's processes do, see infusion/serving.py
    for name, (here, there) in pages.items():
        seconds(few, here), seconds(many, there)
        times = [(seconds(few, here), seconds(many, there)) for _ in range(TURNS)]
        first, second = (median(column) * 1000 for column in zip(*times, strict=True))
        p95 = quantiles([pair[1] for pair in times], n=20)[-1] * 1000
        asked = queries(few, here), queries(many, there)
        told.append(
            f"{name:26}{first:6.0f} ms{second:6.0f} ms {second / first:6.2f} {p95:4.0f} ms  {asked[0]}, {asked[1]}"
        )
        if second > MOST_TIMES * first or p95 > MOST_MILLISECONDS:
            wrong.append(told[-1])
    gc.unfreeze()
    print("\n".join(told))  # noqa: T201
    assert wrong == []
