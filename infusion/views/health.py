"""For whoever watches the site: one word, or figures about nobody, and no sign-in."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from infusion import metrics as measured
from infusion.audit import AuditHead
from infusion.views.errors import connect_afresh


@login_not_required
@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Ask the database for a row. What is wrong, `manage.py doctor` says."""
    try:
        AuditHead.objects.exists()
    except (Error, ImproperlyConfigured):
        connect_afresh()
        return HttpResponse("failed\n", status=503, content_type="text/plain")
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether requests may be sent here: the database answers, and its tables are of this version."""
    try:
        is_ready = shipped_migrations() <= MigrationRecorder(connection).applied_migrations().keys()
    except (Error, ImproperlyConfigured):
        connect_afresh()
        is_ready = False
    return HttpResponse("ok\n" if is_ready else "failed\n", status=200 if is_ready else 503, content_type="text/plain")


@lru_cache(maxsize=1)
def shipped_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    if not may_watch(request):
        raise PermissionDenied
    return HttpResponse(measured.told(), content_type=measured.CONTENT_TYPE)


FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def may_watch(request: HttpRequest) -> bool:
    """This machine itself, and whoever sends the token. What a proxy of this machine passes on is not from here."""
    token = settings.INFUSION_METRICS_TOKEN
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token and constant_time_compare(sent, token):
        return True
    is_passed_on = any(name in request.headers for name in FORWARDED)
    try:
        return not is_passed_on and ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
