"""Values for a script of ours, in an attribute: the policy allows no script in a page."""

from __future__ import annotations

import json

from django import template
from django.core.serializers.json import DjangoJSONEncoder

register = template.Library()


@register.filter
def as_json(value: object) -> str:
    """Not marked safe: the template escapes it like any text."""
    return json.dumps(value, cls=DjangoJSONEncoder)
