"""Every route of the project, by name, and an address to try it at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse

CAUGHT_LAST = "(?P<url>.*)$"


@dataclass(frozen=True, slots=True)
class Route:
    """`name` with its namespace; a route that has none is called after its path."""

    name: str
    path: str
    parameters: tuple[str, ...]
    named: bool
    view: Any

    def address(self, values: Mapping[str, object]) -> str:
        chosen = {name: values[name] for name in self.parameters}
        if self.named:
            return reverse(self.name, kwargs=chosen)
        path = self.path.replace(CAUGHT_LAST, "<url>")
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(chosen[found[1]]), path)


def routes(resolver: Any = None, space: str = "", path: str = "") -> Iterator[Route]:
    """Walks the URLconf."""
    for each in (resolver or get_resolver()).url_patterns:
        here = path + str(each.pattern).removeprefix("^")
        if isinstance(each, URLResolver):
            yield from routes(each, f"{space}{each.namespace}:" if each.namespace else space, here)
        elif isinstance(each, URLPattern):
            yield Route(
                name=f"{space}{each.name}" if each.name else here,
                path=here,
                parameters=tuple(re.findall(r"<(?:\w+:)?(\w+)>", here)),
                named=bool(each.name),
                view=each.callback,
            )
