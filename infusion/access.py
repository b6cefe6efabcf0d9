"""Who may open what. A view without a mark is closed to everyone.

Roles are groups. A view says `@allow(NURSE, BILLING)` at its top; pages without sign-in say `login_not_required`.
Imports nothing else of the project, so that payers may use it too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

NURSE, BILLING, ADMIN = "nurse", "billing", "admin"
ROLES = (NURSE, BILLING, ADMIN)

View = Callable[..., HttpResponseBase]


def roles_of(user: Any) -> frozenset[str]:
    """The roles of a signed-in, active person who belongs to a clinic; none for anyone else."""
    if not user.is_authenticated or not user.is_active or user.clinic_id is None:
        return frozenset()
    cached: frozenset[str] | None = getattr(user, "_roles", None)
    if cached is None:
        names = set(user.groups.values_list("name", flat=True))
        cached = user._roles = frozenset(role for role in ROLES if role in names)
    return cached


def allow(*roles: str, superusers: bool = False) -> Callable[[View], View]:
    """Open a view to people who have one of these roles, and to superusers of any clinic or none where it says so."""

    def mark(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            is_one = superusers and request.user.is_active and request.user.is_superuser
            if not is_one and not roles_of(request.user) & set(roles):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        checked.allowed_roles = frozenset(roles)  # type: ignore[attr-defined]
        return checked

    return mark


# Views of packages that decide for themselves who may use them.
OPEN_PREFIXES = ("allauth.", "django.contrib.")


class ClosedUnlessMarked:
    """Middleware: a view that says neither who may use it nor that anyone may is refused."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        if not is_marked(view):
            raise PermissionDenied


def is_marked(view: Any) -> bool:
    """Whether a view says who may use it."""
    module = getattr(view, "__module__", "") or ""
    return (
        hasattr(view, "allowed_roles")
        or not getattr(view, "login_required", True)
        or module.startswith(OPEN_PREFIXES)
        or getattr(view, "admin_site", None) is not None
    )
