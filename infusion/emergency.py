"""The alarm after somebody came in by an emergency code: on every page of every admin until one answers for it."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from infusion.access import ADMIN, roles_of
from infusion.models import EmergencyCode, User


def sees_alarms(user: Any) -> bool:
    return user.is_authenticated and (user.is_superuser or ADMIN in roles_of(user))


def alarms_for(user: Any) -> QuerySet[EmergencyCode]:
    """What an admin has to know: of their clinic, and of people who belong to none. A superuser sees all."""
    if not sees_alarms(user):
        return EmergencyCode.objects.none()
    found = EmergencyCode.objects.filter(used_at__isnull=False, answered_at=None).select_related("person")
    if user.is_superuser:
        return found
    return found.filter(Q(person__clinic=user.clinic_id) | Q(person__clinic=None))


def may_answer(user: User, code: EmergencyCode) -> bool:
    """Whoever used the code leaves the answer to another admin, unless there is none."""
    if code.person_id != user.pk:
        return True
    others = User.objects.filter(is_active=True).exclude(pk=user.pk)
    return not others.filter(Q(is_superuser=True) | Q(clinic=user.clinic_id, groups__name=ADMIN)).exists()


def alarms(request: HttpRequest) -> dict[str, object]:
    """Context of every page; looked up only where a page of an admin asks for it."""
    user = getattr(request, "user", None)
    return {"alarms": lambda: list(alarms_for(user)) if user is not None and sees_alarms(user) else []}
