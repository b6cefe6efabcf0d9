"""What signing in remembers: the browsers a person has signed in from, and the ways in for an emergency."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class KnownBrowser(models.Model):
    """A person and a browser that they have fully signed in from; on a shared tablet also their PIN.

    `browser` stands in a signed cookie. `bound_to` is what the person's rights were at `signed_in_at`: a PIN ends when
    they change. `tries` counts wrong PINs since then.
    """

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="browsers")
    browser = models.UUIDField()
    signed_in_at = models.DateTimeField()
    bound_to = models.CharField(max_length=64)
    pin = models.CharField(max_length=128, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["person", "browser"], name="one_row_of_a_browser"),)


class EmergencyCode(models.Model):
    """A sealed way in for an admin who has lost everything else. Its use is an alarm until somebody answers for it."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="emergency_codes")
    code = models.CharField(max_length=128)
    reason = models.CharField(max_length=300)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    answer = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("made_at",)
