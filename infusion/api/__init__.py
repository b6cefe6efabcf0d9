"""The JSON API: what programs of a clinic may ask, each by its token. docs/api.md says how.

Nothing here decides anything about a record: the same actions, readers and rules as the pages'. Every operation names
the scope that it needs, and one that named none would be closed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe
from ninja import NinjaAPI
from ninja.errors import ValidationError

from infusion.api import calculate, encounters, lines, shapes
from infusion.api.errors import Problem, of_parameters, of_problem, reply
from infusion.api.tokens import Token

ADDRESS = "/api/v1/"

api = NinjaAPI(
    title="Infusion Units", version="1", urls_namespace="api", openapi_url="", docs_url=None, auth=Token(),
    description="From what an infusion nurse records to claim service lines, each one explained.",
)  # fmt: skip
api.add_router("", calculate.router)
api.add_router("", encounters.router)
api.add_router("", lines.router)
# The package's types speak of an exception or its class; what is handed over is always one that was raised.
api.add_exception_handler(Problem, of_problem)  # type: ignore[arg-type]
api.add_exception_handler(ValidationError, of_parameters)  # type: ignore[arg-type]


@cache  # whoever asks needs no token, and making it takes longer than most pages
def described() -> dict[str, Any]:
    """The description, with the shapes of what is sent."""
    schema: dict[str, Any] = dict(api.get_openapi_schema(path_prefix=ADDRESS))
    schema["components"]["schemas"] = {**shapes.sent(), **schema["components"]["schemas"]}
    return schema


@login_not_required
@require_safe
def description(request: HttpRequest) -> HttpResponse:
    """The description itself holds nothing of anyone, so it takes no token."""
    return reply(described())


def _operations() -> list[URLPattern]:
    """A token opens them, so the sign-in of a person neither has to nor can."""
    found = [each for each in api.urls[0] if isinstance(each, URLPattern) and each.name != "api-root"]
    for each in found:
        login_not_required(each.callback)
    return found


urls = ([path("openapi.json", description, name="description"), *_operations()], "api")
