"""What a browser makes of a reply: its title, the addresses in it, and its forms with what they would send."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from html.parser import HTMLParser

from django.core import signing

ADDRESSES = {
    "href", "src", "action", "formaction", "srcset", "poster", "hx-get", "hx-post", "hx-push-url", "hx-replace-url",
}  # fmt: skip
# As Django signs with a time: perhaps packed, the text, when, the signature.
SIGNED = re.compile(r"=(\.?)([\w-]+)%3A[\w-]+%3A[\w-]{20,}")
TICKED = ("checkbox", "radio")


@dataclass(slots=True)
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """A reply, read. A form's fields may also stand outside of it and name it."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.title = ""
        self.addresses: list[str] = []
        self.forms: dict[str, Form] = {}
        self._within: list[str] = []
        self._form = self._select = self._area = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.addresses += [value for name, value in given.items() if name in ADDRESSES]
        name, form = given.get("name", ""), self.forms.get(given.get("form") or self._form)
        if tag == "form":
            self._form = given.get("id") or f"form-{len(self.forms)}"
            self.forms[self._form] = Form(given.get("action", ""), given.get("method", "get").lower())
        elif tag in ("title", "textarea"):
            self._within.append(tag)
            self._area = name
            if form and name:
                form.fields[name] = ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and form and self._select and ("selected" in given or self._select not in form.fields):
            form.fields[self._select] = given.get("value", "")
        elif tag == "button" and form and name:
            form.buttons.append((name, given.get("value", "")))
        elif tag == "input" and form and name and (given.get("type") not in TICKED or "checked" in given):
            form.fields[name] = given.get("value", "on" if given.get("type") in TICKED else "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = ""
        elif tag == "select":
            self._select = ""
        elif tag in ("title", "textarea") and self._within:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if not self._within:
            return
        if self._within[-1] == "title":
            self.title += data
        elif self._form and self._area:
            form = self.forms[self._form]
            form.fields[self._area] = form.fields.get(self._area, "") + data

    def form_to(self, address: str) -> Form:
        """The form that is sent to an address."""
        return next(form for form in self.forms.values() if form.method == "post" and form.action == address)


def unpacked(address: str) -> str:
    """An address with what is signed and packed into it."""
    found = SIGNED.search(address)
    if found is None:
        return address
    text = signing.b64_decode(found[2].encode())
    return f"{address} {(zlib.decompress(text) if found[1] else text).decode()}"
