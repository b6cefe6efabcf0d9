"""The access rules by themselves, without a database: who has which role, and which views are open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from infusion.access import ADMIN, BILLING, NURSE, ROLES, ClosedUnlessMarked, allow, is_marked, roles_of


def someone(*groups: str, **more: Any) -> SimpleNamespace:
    """A person of a clinic in some groups, who counts how often they are looked up."""
    asked: list[str] = []

    def names(column: str, *, flat: bool) -> tuple[str, ...]:
        assert (column, flat) == ("name", True)
        asked.append("asked")
        return groups

    about = {"is_authenticated": True, "is_active": True, "clinic_id": 1, **more}
    return SimpleNamespace(groups=SimpleNamespace(values_list=names), asked=asked, **about)


def test_roles_are_the_groups_of_these_names() -> None:
    assert ROLES == ("nurse", "billing", "admin") == (NURSE, BILLING, ADMIN)
    assert roles_of(someone("nurse", "choir")) == {"nurse"}
    assert roles_of(someone("billing", "admin")) == {"billing", "admin"}
    assert roles_of(someone()) == frozenset()


@pytest.mark.parametrize("more", [{"is_authenticated": False}, {"is_active": False}, {"clinic_id": None}])
def test_who_is_not_here_has_no_role(more: dict[str, Any]) -> None:
    assert roles_of(someone("nurse", "billing", "admin", **more)) == frozenset()


def test_roles_are_looked_up_once_a_request() -> None:
    person = someone("nurse")
    assert roles_of(person) == roles_of(person) == {"nurse"}
    assert person.asked == ["asked"]


@pytest.mark.parametrize(("groups", "opens"), [(("nurse",), True), (("billing", "nurse"), True), (("admin",), False)])
def test_a_view_opens_to_its_roles_alone(groups: tuple[str, ...], opens: bool) -> None:
    @allow(NURSE, BILLING)
    def view(request: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse(str(number))

    request = HttpRequest()
    request.user = someone(*groups)  # type: ignore[assignment]
    assert view.allowed_roles == {"nurse", "billing"}  # type: ignore[attr-defined]
    assert view.__name__ == "view"
    if opens:
        assert view(request, number=7).content == b"7"
    else:
        with pytest.raises(PermissionDenied):
            view(request, number=7)


def a_view(module: str, **marks: object) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("open")

    view.__module__ = module
    vars(view).update(marks)
    return view


@pytest.mark.parametrize(
    ("module", "marks", "open_to_someone"),
    [
        ("infusion.views.home", {}, False),
        ("infusion.views.home", {"allowed_roles": frozenset()}, True),
        ("infusion.views.home", {"login_required": False}, True),
        ("infusion.views.home", {"login_required": True}, False),
        ("infusion.views.home", {"admin_site": object()}, True),
        ("infusion.views.home", {"admin_site": None}, False),
        ("allauth.account.views", {}, True),
        ("django.contrib.admin.sites", {}, True),
        ("allauthor.views", {}, False),
        ("django.contribution", {}, False),
        ("", {}, False),
    ],
)
def test_a_view_that_says_nothing_is_closed(module: str, marks: dict[str, object], open_to_someone: bool) -> None:
    view = a_view(module, **marks)
    assert is_marked(view) is open_to_someone
    middleware = ClosedUnlessMarked(view)
    assert middleware(HttpRequest()).status_code == 200
    if open_to_someone:
        middleware.process_view(HttpRequest(), view, (), {})
    else:
        with pytest.raises(PermissionDenied):
            middleware.process_view(HttpRequest(), view, (), {})
