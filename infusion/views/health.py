"""For whoever watches the site: one word, and no sign-in."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

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
