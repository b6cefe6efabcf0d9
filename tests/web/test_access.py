"""Every route, method and role against access_table.py, and what holds for every reply."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

import pytest
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import get_resolver, path
from pytest_django import Settings

from infusion.access import ClosedUnlessMarked, allow
from tests.web.access_table import METHODS, NURSE, PROGRAMS, PUBLIC, ROLES, TABLE, VISITOR
from tests.web.conftest import everything, tried
from tests.web.routes import Route, routes

Values = Callable[[Route], dict[str, object]]
SIGN_IN = ("/accounts/login/", "/admin/login/", "/admin/")

CSP = {
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "font-src 'self'",
    "connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
}  # fmt: skip
CARRIED = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}


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


def walk(client: Client, values: Values, names: Container[str]) -> list[tuple[Route, str, HttpResponseBase]]:
    """The reply to each method at each of these routes. What a look does stays, the rest is taken back."""
    found = []
    for route in routes():
        address = route.address(values(route))
        for method in METHODS if route.name in names else ():
            looks = method in ("GET", "HEAD")
            reply = getattr(client, method.lower())(address) if looks else tried(client, method, address)
            found.append((route, method, reply))
    return found


def against_the_table(role: str, replies: Iterable[tuple[Route, str, HttpResponseBase]]) -> list[str]:
    wrong = []
    for route, method, reply in replies:
        allowed = role in TABLE[route.name].get(method, ())
        if is_refused(reply, role, route) == allowed or reply.status_code >= 500:
            told = f"{reply.status_code} {reply.headers.get('Location', '')}".strip()
            wrong.append(f"{method} {route.name} as {role}: {told}, {'allowed' if allowed else 'refused'} expected")
    return wrong


def without_the_policy(reply: HttpResponseBase, role: str) -> list[str]:
    """What is missing of what every reply carries."""
    found = {part.strip() for part in reply.headers.get("Content-Security-Policy", "").split(";")}
    wrong = [] if found == CSP else ["Content-Security-Policy"]
    wrong += [name for name, value in CARRIED.items() if reply.headers.get(name) != value]
    if role != VISITOR and reply.headers.get("Cache-Control") != "no-store":
        wrong.append("Cache-Control")
    return wrong


@pytest.mark.parametrize("role", ROLES)
def test_the_table_is_what_happens(role: str, as_role: Callable[..., Client], values: Values) -> None:
    """And every reply has the strict policy, and looking changes nothing."""
    client, before = as_role(role), everything()
    replies = walk(client, values, TABLE)
    assert against_the_table(role, replies) == []
    bare = {f"{method} {route.name}": without_the_policy(reply, role) for route, method, reply in replies}
    bare["GET nowhere"] = without_the_policy(client.get("/nowhere/"), role)
    assert {asked: missing for asked, missing in bare.items() if missing} == {}
    assert everything() == before


def test_a_cell_that_lies_is_seen(
    as_role: Callable[..., Client], values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened to everyone by the table alone, and the walk notices."""
    monkeypatch.setitem(TABLE, "approve", {"POST": frozenset(ROLES)})
    [wrong] = against_the_table(NURSE, walk(as_role(NURSE), values, {"approve"}))
    assert wrong.startswith("POST approve as nurse: 403")


def test_a_reply_without_the_policy_is_seen(client: Client, settings: Settings) -> None:
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "CSPMiddleware" not in each]
    assert without_the_policy(client.get("/accounts/login/"), VISITOR) == ["Content-Security-Policy"]


def test_a_view_without_a_mark_is_closed(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("open")

    middleware = ClosedUnlessMarked(view)
    with pytest.raises(PermissionDenied):
        middleware.process_view(rf.get("/"), view, (), {})
    middleware.process_view(rf.get("/"), allow(NURSE)(view), (), {})
    middleware.process_view(rf.get("/"), login_not_required(view), (), {})


# No write without the form's own token ------------------------------------------------------------------------------


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


def test_a_write_is_seen_by_this_look(as_role: Callable[..., Client]) -> None:
    before = everything()
    as_role(VISITOR).post("/accounts/login/", {"login": "nurse"})
    assert everything() == before
    as_role(VISITOR).post("/accounts/login/", {"login": "nurse", "password": "wrong"})
    assert everything() != before, "an attempt leaves its audit row"
