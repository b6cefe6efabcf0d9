"""What whoever watches may see: how much and how quick, whether it is ready, and nothing about anyone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.urls import reverse

from infusion.actions import Recorded
from infusion.logs import OneLine
from infusion.models import Job
from infusion.views import health
from tests.web.access_table import BILLING, NURSE
from tests.web.conftest import House
from tests.web.page import Page

CANARY = "Zzcanary"


@pytest.fixture
def mark() -> str:
    return CANARY


def told(client: Client | None = None, **headers: str) -> str:
    reply = (client or Client()).get("/metrics", headers=headers)
    assert reply.status_code == 200
    return reply.content.decode()


def counted(name: str, text: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0


def test_replies_are_counted_by_route(db: None) -> None:
    name = 'infusion_request_seconds_count{{method="GET",part="{}",route="{}",status="{}"}}'
    pages = {
        name.format("page", "calculator", "2xx"): ("/", {}),
        name.format("fragment", "calculator", "2xx"): ("/", {"HX-Request": "true"}),
        name.format("page", "encounters", "3xx"): ("/encounters/", {}),
        name.format("page", "none", "4xx"): (f"/{CANARY}/", {}),
    }
    before = told()
    for address, headers in pages.values():
        Client().get(address, headers=headers)
    after = told()
    assert {each: counted(each, after) - counted(each, before) for each in pages} == dict.fromkeys(pages, 1)
    assert counted("infusion_query_seconds_count", after) > counted("infusion_query_seconds_count", before)


def test_long_work_is_counted(stopped_job: Job) -> None:
    assert 'infusion_jobs{kind="counting",state="failed"} 1.0' in told()
    assert counted("infusion_jobs_still_seconds", told()) == 0
    Job.objects.update(state=Job.State.RUNNING)
    assert counted("infusion_jobs_still_seconds", told()) > 0


@pytest.mark.parametrize(
    ("address", "headers", "token", "status"),
    [
        ("127.0.0.1", {}, "", 200),
        ("::1", {}, "", 200),
        ("10.0.0.7", {}, "", 403),
        ("", {}, "", 403),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, "", 403),
        ("10.0.0.7", {"Authorization": "Bearer secret-of-the-watcher"}, "secret-of-the-watcher", 200),
        ("10.0.0.7", {"Authorization": "Bearer another"}, "secret-of-the-watcher", 403),
        ("10.0.0.7", {"Authorization": "Bearer "}, "", 403),
    ],
)
def test_only_this_machine_and_who_has_the_token_may_look(
    db: None, settings: Any, address: str, headers: dict[str, str], token: str, status: int
) -> None:
    settings.INFUSION_METRICS_TOKEN = token
    assert Client(REMOTE_ADDR=address).get("/metrics", headers=headers).status_code == status


COUNT = "from infusion import metrics; metrics.queries.observe(1)"
ADD_UP = """
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry(); MultiProcessCollector(registry); print(generate_latest(registry).decode())
"""


def test_processes_are_added_up(tmp_path: Path) -> None:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    text = ""
    for code in (COUNT, COUNT, ADD_UP):
        text = subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout
    assert counted("infusion_query_seconds_count", text) == 2


# Alarms ---------------------------------------------------------------------------------------------------------------


def alarms(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = [OneLine().format(each) for each in caplog.records if each.name == "infusion.slow"]
    assert all("\n" not in line for line in lines)
    return [json.loads(line) for line in lines]


def test_a_slow_query_is_told_without_what_it_asked_for(
    house: House, settings: Any, caplog: pytest.LogCaptureFixture, as_role: Callable[..., Client], sarah: Recorded
) -> None:
    settings.INFUSION_SLOW_QUERY_MS = -1
    client = as_role(BILLING)
    client.get(reverse("review", args=[house.with_billing.public_id]))
    client.post(reverse("search"), {"search": CANARY})
    found = alarms(caplog)
    asked = [each for each in found if each["route"] == "review" and "infusion_encounter" in each["sql"]]
    assert asked
    assert asked[0]["message"] == "slow query"
    assert isinstance(asked[0]["milliseconds"], int)
    assert CANARY not in json.dumps(found) + told()
    assert str(house.with_billing.public_id).replace("-", "") not in json.dumps(found).replace("-", "")
    settings.INFUSION_SLOW_QUERY_MS = 60_000
    caplog.clear()
    client.get(reverse("encounters"))
    assert alarms(caplog) == []


def test_a_slow_preview_is_told_by_its_route(
    house: House, settings: Any, caplog: pytest.LogCaptureFixture, as_role: Callable[..., Client]
) -> None:
    settings.INFUSION_SLOW_PREVIEW_MS = -1
    client, address = as_role(NURSE), reverse("encounter", args=[house.draft.public_id])
    form = Page(client.get(address).content).form_to(address)
    assert alarms(caplog) == [], "a page is no preview"
    client.post(address, {**form.fields, "notes": CANARY}, headers={"HX-Request": "true"})
    (found,) = alarms(caplog)
    assert (found["message"], found["route"]) == ("slow preview", "encounter")
    text = told()
    assert CANARY not in json.dumps(found) + text
    assert str(house.draft.public_id) not in json.dumps(found) + text


# Readiness ------------------------------------------------------------------------------------------------------------


def ready() -> tuple[int, bytes]:
    reply = Client().get("/readyz")
    return reply.status_code, reply.content


def test_it_is_ready_with_the_tables_of_this_version(db: None) -> None:
    assert ready() == (200, b"ok\n")
    MigrationRecorder(connection).record_unapplied("infusion", "0014_jobs")
    assert ready() == (503, b"failed\n")


def test_it_is_not_ready_without_its_database(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", away)
    monkeypatch.setattr(health, "connect_afresh", lambda: None)
    assert ready() == (503, b"failed\n")
