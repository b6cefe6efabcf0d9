"""Writers of what signing in needs: PINs of a shared tablet, second factors taken away, ways in for an emergency."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from infusion import audit
from infusion.access import ADMIN, roles_of
from infusion.actions.encounters import Refused
from infusion.known_browsers import KEPT, MOST_TRIES, pins_of
from infusion.models import EmergencyCode, KnownBrowser, User

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
GROUPS, GROUP = 5, 4
CODE_WRONG = (
    "Emergency code: this name and code do not belong together, or the code was used or has run out. Check both."
)


def tell(
    action: str,
    person: User | None,
    *,
    by: User | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    """One audit row about someone's sign-in."""
    with transaction.atomic():
        audit.record(
            action, by=by, subject="user", subject_id=person.pk if person else "", before=before, after=after,
            clinic_id=person.clinic_id if person else None, reason=reason,
        )  # fmt: skip


# Browsers and PINs ----------------------------------------------------------------------------------------------------


@transaction.atomic
def remember_browser(*, person: User, browser: UUID) -> None:
    """A full sign-in: from now on a PIN is good here for hours, and its tries begin anew."""
    KnownBrowser.objects.filter(signed_in_at__lt=timezone.now() - KEPT).delete()
    KnownBrowser.objects.update_or_create(
        person=person, browser=browser,
        defaults={"signed_in_at": timezone.now(), "bound_to": person.get_session_auth_hash(), "tries": 0},
    )  # fmt: skip


@transaction.atomic
def choose_pin(*, by: User, browser: UUID, pin: str) -> None:
    """Set or change one's own PIN in a browser that one has fully signed in from."""
    row = KnownBrowser.objects.select_for_update(no_key=True).filter(person=by, browser=browser).first()
    if row is None:
        raise Refused("This tablet does not know you yet. Sign out and in again with your password, then set a PIN.")
    had = bool(row.pin)
    row.pin, row.tries = make_password(pin), 0
    row.save(update_fields=["pin", "tries"])
    tell("pin.set", by, by=by, before={"pin": had}, after={"pin": True})


@transaction.atomic
def drop_pin(*, by: User, browser: UUID) -> None:
    """Take one's own PIN away from this browser."""
    if KnownBrowser.objects.filter(person=by, browser=browser).exclude(pin="").update(pin=""):
        tell("pin.remove", by, by=by, before={"pin": True}, after={"pin": False})


def enter_pin(*, browser: UUID | None, public_id: UUID, pin: str) -> KnownBrowser:
    """The row of the person whose PIN this is. A try is counted, for good, before anything is compared."""
    with transaction.atomic():
        known = next((row for row in pins_of(browser) if row.person.public_id == public_id), None)
        counted = known and KnownBrowser.objects.filter(pk=known.pk, tries__lt=MOST_TRIES).update(tries=F("tries") + 1)
    if known is None or not counted:
        raise Refused("This PIN does not count any more on this tablet. Sign in with your password or a passkey.")
    if check_password(pin, known.pin):
        KnownBrowser.objects.filter(pk=known.pk).update(tries=0)
        return known
    tell("sign_in.refused", known.person, by=None, after={"with": ["pin"]})
    left = MOST_TRIES - KnownBrowser.objects.get(pk=known.pk).tries
    if left <= 0:
        raise Refused("PIN: this was the fifth wrong one. Sign in with your password or a passkey.")
    raise Refused(f"PIN: this is not the one you set. {left} {'try is' if left == 1 else 'tries are'} left.")


# Second factors -------------------------------------------------------------------------------------------------------


def end_sign_ins(person: User) -> None:
    """Every sign-in of a person ends at its next request."""
    User.objects.filter(pk=person.pk).update(sign_ins_ended=F("sign_ins_ended") + 1)
    person.refresh_from_db(fields=["sign_ins_ended"])


def take_factors_away(person: User) -> list[str]:
    """Delete a person's second factors, and end all their sign-ins."""
    kinds = sorted(Authenticator.objects.filter(user=person).values_list("type", flat=True))
    Authenticator.objects.filter(user=person).delete()
    end_sign_ins(person)
    return kinds


@transaction.atomic
def reset_second_factor(*, by: User, person: User, reason: str) -> None:
    """An admin takes away what somebody has lost. That person signs in with the password, and sets a new one up."""
    if by == person:
        raise Refused("Change your own second factor on the page of your sign-in.")
    if person.is_superuser and not by.is_superuser:
        raise Refused("This person manages the whole site. Only another superuser can reset their second factor.")
    kinds = take_factors_away(person)
    if not kinds:
        raise Refused("There is no second factor to reset.")
    tell("second_factor.reset", person, by=by, before={"kinds": kinds}, after={"kinds": []}, reason=reason)


# Emergencies ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def make_emergency_code(*, person: User, reason: str, lasts: timedelta) -> tuple[str, datetime]:
    """A new code and its end. Nobody can read it afterwards; an earlier one that was not used ends now."""
    if not person.is_active or not (person.is_superuser or ADMIN in roles_of(person)):
        raise Refused(f"{person.username} is no active admin. An admin resets the sign-in of everyone else.")
    now = timezone.now()
    EmergencyCode.objects.filter(person=person, used_at=None, expires_at__gt=now).update(expires_at=now)
    code = "-".join("".join(secrets.choice(LETTERS) for _ in range(GROUP)) for _ in range(GROUPS))
    row = EmergencyCode.objects.create(
        person=person, code=make_password(plain(code)), reason=reason, made_at=now, expires_at=now + lasts
    )
    tell("break_glass.make", person, by=None, after={"expires_at": row.expires_at.isoformat()}, reason=reason)
    return code, row.expires_at


def end_ways_in(*, reason: str) -> None:
    """No emergency code and no PIN counts any more, and no browser is known."""
    now = timezone.now()
    for known in KnownBrowser.objects.exclude(pin="").select_related("person"):
        with transaction.atomic():
            known.delete()
            tell("pin.remove", known.person, by=None, before={"pin": True}, after={"pin": False}, reason=reason)
    KnownBrowser.objects.all().delete()
    for row in EmergencyCode.objects.filter(used_at=None, expires_at__gt=now).select_related("person"):
        with transaction.atomic():
            EmergencyCode.objects.filter(pk=row.pk).update(expires_at=now)
            tell(
                "break_glass.end", row.person, by=None, before={"expires_at": row.expires_at.isoformat()},
                after={"expires_at": now.isoformat()}, reason=reason,
            )  # fmt: skip


def plain(code: str) -> str:
    """A code without its dashes and spaces, in capitals."""
    return "".join(each for each in code.upper() if each.isalnum())


@transaction.atomic
def use_emergency_code(*, username: str, code: str, password: str) -> User:
    """The person whose code this is, with the new password and without the second factors that were lost."""
    rows = EmergencyCode.objects.select_for_update(no_key=True).filter(used_at=None, expires_at__gt=timezone.now())
    row = rows.filter(person__username__iexact=username, person__is_active=True).last()
    if row is None:
        make_password(plain(code))  # as long for a name without a code as for one with
        raise Refused(CODE_WRONG)
    if not check_password(plain(code), row.code):
        raise Refused(CODE_WRONG)
    row.used_at = timezone.now()
    row.save(update_fields=["used_at"])
    kinds = take_factors_away(row.person)
    person = User.objects.get(pk=row.person_id)
    person.set_password(password)
    person.save(update_fields=["password"])
    tell("break_glass.use", person, by=person, before={"kinds": kinds}, after={"kinds": []}, reason=row.reason)
    return person


@transaction.atomic
def answer_alarm(*, by: User, code: EmergencyCode, reason: str) -> None:
    """An admin who did not use the code says what happened, and the banner goes."""
    code = EmergencyCode.objects.select_for_update(no_key=True).get(pk=code.pk)
    if code.answered_at is not None:
        return
    code.answered_at, code.answered_by, code.answer = timezone.now(), by, reason
    code.save(update_fields=["answered_at", "answered_by", "answer"])
    tell("break_glass.answer", code.person, by=by, before={"answered": False}, after={"answered": True}, reason=reason)
