"""Every route, method and role against access_table.py, and what holds for every reply."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import get_resolver, path

from infusion.access import ClosedUnlessMarked, allow
from tests.web.access_table import METHODS, NO_ROLE, NURSE, PROGRAMS, PUBLIC, ROLES, TABLE, VISITOR
from tests.web.conftest import everything, tried
from tests.web.routes import Route, routes

Values = Callable[[Route], dict[str, object]]
SIGN_IN = ("/accounts/login/", "/admin/login/", "/admin/")

CSP = {
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "font-src 'self'",
    "connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
}  # fmt: skip


def without_a_row() -> list[str]:
    return sorted({route.name for route in routes()} - set(TABLE))


def is_refused(reply: HttpResponseBase, role: str, route: Route) -> bool:
    """Sent to the sign-in page, or told that it is not for this role, or that there is no such method."""
    leads_to = reply.headers.get("Location", "").partition("?")[0]
    if reply.status_code == 302 and leads_to in SIGN_IN:
        return role == VISITOR or route.name.startswith("admin")
    return reply.status_code in (403, 405) or (route.name in PROGRAMS and reply.status_code == 401)


def test_every_route_has_a_row() -> None:
    assert without_a_row() == []
    assert sorted(set(TABLE) - {route.name for route in routes()}) == [], "rows without a route"


def test_a_new_route_without_a_row_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = path("extra/", lambda request: HttpResponse(), name="extra")
    monkeypatch.setattr(get_resolver(), "url_patterns", [*get_resolver().url_patterns, extra])
    assert without_a_row() == ["extra"]


def test_few_routes_are_public() -> None:
    names = {"calculator", "rules", "contradictions", "healthz", "readyz", "metrics"}
    names |= {"account_login", "account_signup", "account_inactive", "account_logout"}
    names |= {"api:description"}
    names |= {"emergency", "switch", "enter"}
    assert names == PUBLIC


@pytest.mark.parametrize("role", ROLES)
def test_the_table_is_what_happens(role: str, as_role: Callable[..., Client], values: Values) -> None:
    client, wrong = as_role(role), []
    for route in routes():
        for method in METHODS:
            allowed = role in TABLE[route.name].get(method, ())
            reply = tried(client, method, route.address(values(route)))
            if is_refused(reply, role, route) == allowed or reply.status_code >= 500:
                told = f"{reply.status_code} {reply.headers.get('Location', '')}".strip()
                wrong.append(f"{method} {route.name} as {role}: {told}, {'allowed' if allowed else 'refused'} expected")
    assert wrong == []


def test_a_cell_that_lies_is_seen(
    as_role: Callable[..., Client], values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened to everyone by the table alone, and the walk notices."""
    monkeypatch.setitem(TABLE, "approve", {"POST": frozenset(ROLES)})
    with pytest.raises(AssertionError, match="POST approve as nurse: 403"):
        test_the_table_is_what_happens(NURSE, as_role, values)


def test_a_view_without_a_mark_is_closed(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("open")

    middleware = ClosedUnlessMarked(view)
    with pytest.raises(PermissionDenied):
        middleware.process_view(rf.get("/"), view, (), {})
    middleware.process_view(rf.get("/"), allow(NURSE)(view), (), {})
    middleware.process_view(rf.get("/"), login_not_required(view), (), {})


# What every reply carries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [VISITOR, NO_ROLE, *ROLES[1:4], "superuser"])
def test_every_reply_has_the_strict_policy(role: str, as_role: Callable[..., Client], values: Values) -> None:
    client = as_role(role)
    for address in [*(route.address(values(route)) for route in routes()), "/nowhere/"]:
        for method in ("GET", "POST"):
            reply = tried(client, method, address)
            found = {part.strip() for part in reply.headers.get("Content-Security-Policy", "").split(";")}
            assert found == CSP, f"{method} {address} as {role}"
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert reply.headers["X-Frame-Options"] == "DENY"
            if role != VISITOR:
                assert reply.headers["Cache-Control"] == "no-store", f"{method} {address} as {role}"


# No write without the form's own token, and none by looking -----------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_no_unsafe_request_passes_without_a_token(role: str, as_role: Callable[..., Client], values: Values) -> None:
    client, passed = as_role(role, enforce_csrf_checks=True), []
    before = everything()
    for route in routes():
        assert getattr(route.view, "csrf_exempt", False) == (route.name in PROGRAMS), route.name
        address = route.address(values(route))
        for method in ("POST", "PUT", "DELETE"):
            reply = client.generic(method, address)
            refused = reply.status_code == 403 or is_refused(reply, role, route)
            if not refused:
                passed.append(f"{method} {route.name} as {role}: {reply.status_code}")
    assert passed == []
    assert everything() == before


@pytest.mark.parametrize("role", ROLES)
def test_looking_changes_nothing(role: str, as_role: Callable[..., Client], values: Values) -> None:
    client = as_role(role)
    before = everything()
    for route in routes():
        for method in ("GET", "HEAD"):
            getattr(client, method.lower())(route.address(values(route)))
    assert everything() == before


def test_a_write_is_seen_by_this_look(as_role: Callable[..., Client]) -> None:
    before = everything()
    as_role(VISITOR).post("/accounts/login/", {"login": "nurse"})
    assert everything() == before
    as_role(VISITOR).post("/accounts/login/", {"login": "nurse", "password": "wrong"})
    assert everything() != before, "an attempt leaves its audit row"
