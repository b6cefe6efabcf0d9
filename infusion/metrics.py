"""What is counted and timed for whoever watches the site, and the alarm in the log where something was slow.

A label names a route, a method, a status, a kind of work: never an address, which holds an id, nor what was typed. Of a
slow query the log has the text without its parameters. Under gunicorn the processes of one machine count into files
and `/metrics` adds them up (`infusion.serving`); a process by itself counts in its memory.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import datetime
from time import perf_counter
from typing import Any

from django.conf import settings
from django.db.backends.signals import connection_created
from django.db.models import Count, Min
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from infusion.logs import LONGEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
log = logging.getLogger("infusion.slow")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PREVIEWS = frozenset({"calculator", "encounter", "encounter-new"})
"""Pages that answer while someone types: slow there is slow under the hands."""

requests = Histogram(
    "infusion_request_seconds", "Replies, by route; a fragment is what a script asked for",
    ["route", "method", "part", "status"], buckets=SECONDS,
)  # fmt: skip
queries = Histogram("infusion_query_seconds", "Statements that the database answered", buckets=SECONDS)
portions = Histogram("infusion_job_portion_seconds", "Portions of long work, by kind", ["kind"], buckets=SECONDS)
alarms = Counter("infusion_slow", "Alarms of what was slow", ["what"])

_route: ContextVar[str] = ContextVar("route of this request", default="")


class Measured:
    """Middleware: times each reply."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began, token = perf_counter(), _route.set("")
        try:
            response = self.get_response(request)
        finally:
            _route.reset(token)
        taken, route = perf_counter() - began, name_of(request)
        is_fragment = "HX-Request" in request.headers
        method = request.method if request.method in METHODS else "other"
        part = "fragment" if is_fragment else "page"
        requests.labels(route, method, part, f"{response.status_code // 100}xx").observe(taken)
        if is_fragment and route in PREVIEWS and taken * 1000 > settings.INFUSION_SLOW_PREVIEW_MS:
            alarm("preview", taken, route)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        _route.set(name_of(request))


def name_of(request: HttpRequest) -> str:
    """The route by its name. A part of the path that led nowhere may be anything."""
    match = request.resolver_match
    return (match.view_name or "unnamed") if match else "none"


def timed(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    """Around each statement."""
    began = perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        taken = perf_counter() - began
        queries.observe(taken)
        if taken * 1000 > settings.INFUSION_SLOW_QUERY_MS:
            alarm("query", taken, _route.get(), sql=str(sql)[:LONGEST])


@receiver(connection_created)
def watch(sender: object, connection: Any, **_: object) -> None:
    if timed not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, timed)


def alarm(what: str, seconds: float, route: str, **more: str) -> None:
    alarms.labels(what).inc()
    fields = {"milliseconds": round(seconds * 1000), "route": route, **more}
    log.warning("slow %s", what, extra={"fields": fields})


class LongWork:
    """How much of it there is, asked of the database when somebody looks."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        from infusion.models import Job  # once all apps are there

        jobs = GaugeMetricFamily("infusion_jobs", "Long work that is not done", labels=["kind", "state"])
        unfinished = Job.objects.exclude(state=Job.State.DONE)
        for kind, state, count in unfinished.values_list("kind", "state").annotate(Count("pk")).order_by():
            jobs.add_metric([kind, state], count)
        yield jobs
        open_ones = unfinished.exclude(state=Job.State.FAILED)
        since: datetime | None = open_ones.aggregate(since=Min("heartbeat_at"))["since"]
        still = (timezone.now() - since).total_seconds() if since else 0.0
        yield GaugeMetricFamily("infusion_jobs_still_seconds", "How long the stillest open work has not moved", still)


def told() -> bytes:
    """Everything, in the text format of Prometheus."""
    counted, asked = REGISTRY, CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)
    asked.register(LongWork())
    return generate_latest(counted) + generate_latest(asked)
