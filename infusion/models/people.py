"""The clinic, the people who work there, and its patients."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar
from zoneinfo import ZoneInfoNotFoundError

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.crypto import salted_hmac

from infusion import audit
from infusion.access import roles_of
from infusion.services.clock import zone_named
from infusion.services.facts import DEPARTMENTS
from payers.policy import SETTINGS

SEXES = (("F", "Female"), ("M", "Male"), ("U", "Unknown"))


def a_time_zone(name: str) -> None:
    """Nothing of a clinic could be shown under a name that is none."""
    try:
        zone_named(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError(f"Time zone: {name} is not one such as America/New_York.") from None


class Address(models.Model):
    """Where someone is reached by post, as a claim writes it."""

    address = models.CharField(max_length=55, blank=True)
    city = models.CharField(max_length=30, blank=True)
    state_code = models.CharField(max_length=2, blank=True)
    postal_code = models.CharField(max_length=10, blank=True)

    class Meta:
        abstract = True


class Clinic(Address):
    """A site with its own patients and encounters, and what a new encounter there begins with.

    `checklist` names the items of documentation that the site asks for; `asks_witness` a second name on discarded drug.
    `sends_claims` says that it sends claims itself, so a batch asks for all that a claim needs; otherwise batches feed
    a billing system that knows the rest.
    """

    name = models.CharField(max_length=120, unique=True)
    time_zone = models.CharField(max_length=64, default="America/New_York", validators=[a_time_zone])
    place_of_service = models.CharField(max_length=2, default="11")
    setting = models.CharField(max_length=32, choices=tuple(SETTINGS.items()), default="office")
    drug = models.CharField(max_length=10, blank=True)
    npi = models.CharField(max_length=10, blank=True)
    tax_id = models.CharField(max_length=10, blank=True)
    asks_witness = models.BooleanField(default=False)
    checklist = models.JSONField(default=list, blank=True)
    sends_claims = models.BooleanField(default=True)
    hospital_department = models.CharField(max_length=24, blank=True, choices=tuple(DEPARTMENTS.items()))
    legal_name = models.CharField(max_length=60, blank=True)
    taxonomy = models.CharField(max_length=10, blank=True)
    contact_name = models.CharField(max_length=60, blank=True)
    contact_phone = models.CharField(max_length=20, blank=True)
    sender_id = models.CharField(max_length=15, blank=True)
    receiver_name = models.CharField(max_length=60, blank=True)
    receiver_id = models.CharField(max_length=15, blank=True)

    def __str__(self) -> str:
        return self.name


class People(UserManager["User"]):
    """Tells the audit of those whom `manage.py createsuperuser` adds; everyone else comes through a page that does."""

    use_in_migrations = False

    @transaction.atomic
    def create_superuser(self, *args: Any, **more: Any) -> User:
        user = super().create_superuser(*args, **more)
        audit.record(
            "user.add", by=None, subject="user", subject_id=user.pk, clinic_id=user.clinic_id, before=None,
            after={"username": user.username, "is_superuser": True},
        )  # fmt: skip
        return user


class User(AbstractUser):
    """A person who signs in. Works at one clinic; `credentials` such as RN follow the name on records.

    `single_keys` says that single keys work in lists; who speaks to a computer turns them off (WCAG 2.1.4).
    `sign_ins_ended` counts how often all sign-ins of this person were ended together, as by a reset or a first factor.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    clinic = models.ForeignKey(Clinic, models.PROTECT, null=True, blank=True, related_name="people")
    credentials = models.CharField(max_length=20, blank=True)
    single_keys = models.BooleanField(default=True, editable=False)
    sign_ins_ended = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[People] = People()

    @property
    def signature(self) -> str:
        """The name as it stands on a record: "L. Ames, RN"."""
        name = self.get_full_name() or self.username
        return f"{name}, {self.credentials}" if self.credentials else name

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """A sign-in holds for the rights that it began with: it ends at the next request after any of these changes.

        The roles are read once a request anyway, and stay with the person.
        """
        rights = [self.password, self.sign_ins_ended, self.clinic_id, self.is_superuser, sorted(roles_of(self))]
        return salted_hmac("infusion.User", repr(rights), secret=secret, algorithm="sha256").hexdigest()


class Patient(Address):
    """A person who is treated. The reference is the clinic's own record number.

    `name` is what staff read; `family_name` and `given_name` are what a claim writes.
    """

    clinic = models.ForeignKey(Clinic, models.PROTECT, related_name="patients")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    reference = models.CharField(max_length=40)
    name = models.CharField(max_length=120, blank=True)
    birth_date = models.DateField(null=True, blank=True)
    sex = models.CharField(max_length=1, blank=True, choices=SEXES)
    family_name = models.CharField(max_length=60, blank=True)
    given_name = models.CharField(max_length=35, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["clinic", "reference"], name="patient_reference_unique_in_clinic"),
        )

    def __str__(self) -> str:
        return self.reference
