"""Requests that nobody means to send: every route and role, with what its own pages would send, and then spoilt.

Seeded: the same seed asks the same of the same pages. Forms and addresses are taken from the replies themselves, so
that a new page is asked as soon as it is linked.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponseBase
from django.test import Client

from tests.web.page import Page

HOSTILE = [
    "", " ", "\t", "\n", "\r\n", "\x00", "a\x00b", "\x1b[31m", "0", "-0", "-1", "1", "01", "1e9", "1e999999",
    "1E-999999",
    "NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "1_000", "1,000", "1.000,5", ".", "-", "+", "+5", "5.",
    ".5", "½", "²",
    "٣", "３", "1२", "0x10", "9" * 25, "9" * 400, "9" * 5000, "0." + "0" * 300 + "1", "9223372036854775807",
    "9223372036854775808", "-9223372036854775809", "2147483648", "99999999999999999999", "1" + "0" * 30, "None", "null",
    "true", "False", "on", "undefined", "[]", "{}", '{"a":1}', "[object Object]", "'", '"', "''", "';--", "' OR 1=1 --",
    "1); DROP TABLE infusion_encounter; --", "%", "%s", "%00", "%ff", "%n", "{0}", "{{7*7}}", "{% load x %}", "${7*7}",
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "<div hx-get=/ hx-trigger=load>",
    "../../etc/passwd",
    "..\\..\\windows", "/", "//example.org", "javascript:alert(1)", "http://example.org/", "__class__", "pk__in",
    "patient__name", "-id", "?", "id;", "order_by", "café", "e\u0301", "\u202e321", "\u200b", "\ufeff",
    "\u2028", "\U0001f489",
    "\ufffd", "\ud7ff", "ﬁ", "Å", "ß" * 300, "a" * 300, "a" * 5000, "a " * 20000, "e\u0301" * 500,
    "2026-02-30", "2026-13-01", "0000-00-00", "0001-01-01", "9999-12-31", "10000-01-01", "2026-3-1",
    "03/10/2026", "3/10",
    "02/29/2025", "1/1/1", "tomorrow", "24:00", "23:59", "25:00", "12:60", "99:99", "9", "930", "9a", "9p", "9:30 am",
    "12:00 am", "-9:00", "1:30", "2:30", "00:00", "٠٩:٠٠", "9:30:30", "2026-03-10T09:00", "2026-11-01T01:30",
    "00000000-0000-0000-0000-000000000000", "not-a-uuid", "J2350", "j2350", "J0000", "medicare", "iv_infusion",
    "G35.A", "G35", "0" * 64, "(01)00350242150014(17)260331(10)LOT1", "]d201003502421500141726033110LOT1",
]  # fmt: skip
METHODS = ["GET"] * 9 + ["POST"] * 12 + ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
HEADERS: list[dict[str, str]] = [
    {}, {}, {}, {}, {"HX-Request": "true"}, {"HX-Request": "true", "HX-Target": "live"}, {"X-Idle": "1"},
    {"HX-Request": "true", "HX-Target": "<x>", "HX-Trigger-Name": "\u00e9"}, {"Accept": "application/json"},
    {"If-None-Match": '"x"'}, {"Range": "bytes=0-1"}, {"Referer": "http://[::1"}, {"Referer": "http://testserver:x/"},
    {"Accept-Language": "xx;q=9," * 50}, {"Origin": "null"}, {"X-Forwarded-For": "'; --"}, {"Cookie": "a=\x01;=;;"},
    {"HX-Current-URL": "http://testserver/\u00ff"}, {"If-Modified-Since": "Thu, 99 Xyz 99999 99:99:99 GMT"},
]  # fmt: skip
BODIES: list[tuple[str, bytes]] = [
    ("application/json", b'{"a": [1, {"b": null}]}'),
    ("application/json", b"[" * 5000),
    ("application/x-www-form-urlencoded", b"a=%ff&b=%&c=%zz&=&&;d"),
    ("application/x-www-form-urlencoded; charset=utf-16", "a=b".encode("utf-16")),
    ("application/x-www-form-urlencoded; charset=nonsense", b"a=b"),
    ("application/x-www-form-urlencoded", bytes(range(256))),
    ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1"),
    ("multipart/form-data; boundary=b",
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="\x00"\r\n\r\n1\r\n--b--'),
    ("multipart/form-data; boundary=b", b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n--b--\r\n"),
    ("multipart/form-data", b"no boundary"),
    ("multipart/form-data; boundary=" + "b" * 300, b"x"),
    ("multipart/form-data; boundary=\u00e9", b"x"),
    ("", b"\x00\xff"),
    ("text/xml", b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"),
]  # fmt: skip
FILES: list[tuple[str, bytes]] = [
    ("fees.csv", b"Code,Rate\nJ2350,60.97\n"),
    ("fees.csv", b""),
    ("fees.csv", b"\xff\xfe\x00"),
    ("fees.csv", "Code,Rate\nJ2350,60.97\n".encode("utf-16")),
    ("fees.csv", b"\xef\xbb\xbfCode;Rate\nJ2350;60,97\n"),
    ("fees.csv", b'Code,Rate\n"J2350,60.97\n'),
    ("fees.csv", b"Code,Rate\n" + b"J2350,1e99999\n" + b"J2351,NaN\nJ2352,-1\n\x00,\x00\n"),
    ("fees.csv", b"Code,Rate" + b",x" * 2000 + b"\n"),
    ("../../x.csv", b"Code,Rate\r\rJ2350\r"),
    ("x.zip", b"PK\x03\x04" + bytes(200)),
    ("pack.toml", b"format = 1\n"),
    ("pack.toml", b"a = [" * 3000),
    ("pack.toml", b"[[payers]]\nslug = 1\nname = []\n"),
    ("pack.toml",
    b'format = 1\n[[payer]]\nslug = "x"\nname = "x"\n[[payer.rules]]\nparameter = "nothing"\nvalue = 1e400\n'),
    ("\x00\n.toml", b"\x00"),
    ("mue.csv",
    b"HCPCS/CPT Code,Practitioner Services MUE Values,MUE Adjudication Indicator\nJ2350,99999999999999999999,9\n"),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    role: str
    method: str
    address: str
    sent: Mapping[str, Any] | tuple[str, bytes] | None
    headers: Mapping[str, str]

    def by(self, client: Client) -> HttpResponseBase:
        if isinstance(self.sent, tuple):
            kind, body = self.sent
            return client.generic(self.method, self.address, body, content_type=kind, headers=self.headers)
        if self.method in ("GET", "HEAD", "POST"):
            reply: HttpResponseBase = getattr(client, self.method.lower())(
                self.address, self.sent or None, headers=self.headers
            )
            return reply
        return client.generic(self.method, self.address, headers=self.headers)

    def __str__(self) -> str:
        return f"{self.method} {self.address!r:.200} as {self.role}, sent {str(self.sent)!r:.400}, {dict(self.headers)}"


@dataclass(slots=True)
class Fuzzer:
    """`addresses` are those of every route; `roles` who asks. `learn` takes up what a reply offers."""

    seed: int
    roles: list[str]
    addresses: list[str]
    forms: dict[str, dict[str, tuple[str, dict[str, Any]]]] = field(default_factory=lambda: defaultdict(dict))
    names: set[str] = field(default_factory=set)
    queries: set[tuple[str, str]] = field(default_factory=set)
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def learn(self, role: str, address: str, content: bytes) -> None:
        try:
            page = Page(content)
        except (UnicodeDecodeError, AssertionError):
            return
        here = urlsplit(address).path
        for found in page.addresses:
            parts = urlsplit(found)
            if not parts.scheme and not parts.netloc and parts.path.startswith(("/", "")):
                known = parts.path in self.addresses or parts.path.startswith("/static/")
                if parts.path.startswith("/") and not known and len(self.addresses) < 600:
                    self.addresses.append(parts.path)
                self.queries.update(parse_qsl(parts.query)[:20])
        for form in page.forms.values():
            action = urlsplit(form.action).path or here
            fields = dict(form.fields)
            self.names.update(fields)
            if form.method == "post" and action.startswith("/"):
                buttons = form.buttons or [("", "")]
                for name, value in buttons[:8]:
                    chosen = {**fields, **({name: value} if name else {})}
                    if len(self.forms[role]) < 400 or f"{action} {name}" in self.forms[role]:
                        self.forms[role][f"{action} {name}={value[:12]}"] = (action, chosen)
            elif action.startswith("/"):
                self.queries.update((name, value) for name, value in fields.items())

    # Making one ------------------------------------------------------------------------------------------------------

    def next(self) -> Asked:
        dice = self.dice
        role, method = dice.choice(self.roles), dice.choice(METHODS)
        headers = dice.choice(HEADERS)
        if method == "POST" and self.forms[role] and dice.random() < 0.8:
            action, fields = self.forms[role][dice.choice(sorted(self.forms[role]))]
            return Asked(role, method, action, self.spoilt(fields), headers)
        address = dice.choice(self.addresses)
        if dice.random() < 0.15:
            address = self.spoilt_path(address)
        if method == "POST":
            if dice.random() < 0.5:
                return Asked(role, method, address, dice.choice(BODIES), headers)
            names = dice.sample(sorted(self.names), min(len(self.names), dice.randint(0, 8)))
            return Asked(role, method, address, {name: self.value() for name in names}, headers)
        if dice.random() < 0.6 and method in ("GET", "HEAD") and self.queries:
            pairs = dice.sample(sorted(self.queries), min(len(self.queries), dice.randint(1, 5)))
            return Asked(role, method, address, self.spoilt(dict(pairs), most=2), headers)
        return Asked(role, method, address, None, headers)

    def value(self) -> Any:
        if self.dice.random() < 0.08:
            name, content = self.dice.choice(FILES)
            return SimpleUploadedFile(name or "x", content)
        return self.dice.choice(HOSTILE)

    def spoilt(self, fields: Mapping[str, Any], most: int = 4) -> dict[str, Any]:
        """The fields with up to `most` things done to them; now and then with none."""
        dice, sent = self.dice, dict(fields)
        if "file" in sent and dice.random() < 0.8:
            name, content = dice.choice(FILES)
            sent["file"] = SimpleUploadedFile(name, content)
        ways: list[Callable[[dict[str, Any]], None]] = [
            self.replace, self.replace, self.replace, self.replace, self.drop, self.double, self.add, self.renumber,
            self.swap, self.touch_up, self.fill,
        ]  # fmt: skip
        for _ in range(dice.randint(0, most)):
            dice.choice(ways)(sent)
        return {name: value for name, value in sent.items() if name}

    def one(self, sent: dict[str, Any]) -> str:
        return self.dice.choice(sorted(sent)) if sent else "act"

    def replace(self, sent: dict[str, Any]) -> None:
        sent[self.one(sent)] = self.value()

    def drop(self, sent: dict[str, Any]) -> None:
        sent.pop(self.one(sent), None)

    def double(self, sent: dict[str, Any]) -> None:
        name = self.one(sent)
        sent[name] = [sent.get(name, ""), self.dice.choice(HOSTILE)]

    def add(self, sent: dict[str, Any]) -> None:
        known = sorted(self.names) or ["x"]
        sent[self.dice.choice(known) if self.dice.random() < 0.7 else self.dice.choice(HOSTILE)[:200]] = self.value()

    def renumber(self, sent: dict[str, Any]) -> None:
        """The same field of another row, or of one that is not there."""
        name = self.one(sent)
        other = self.dice.choice(["0", "2", "3", "9", "99", "1000", "-1", "x"])
        renamed = "".join(other if char.isdigit() else char for char in name)
        sent[renamed] = sent.get(name, "")

    def swap(self, sent: dict[str, Any]) -> None:
        first, second = self.one(sent), self.one(sent)
        sent[first], sent[second] = sent.get(second, ""), sent.get(first, "")

    def touch_up(self, sent: dict[str, Any]) -> None:
        """What is there, with a stray character in it."""
        name = self.one(sent)
        if isinstance(text := sent.get(name, ""), str):
            at = self.dice.randint(0, len(text))
            sent[name] = text[:at] + self.dice.choice(HOSTILE)[:300] + text[at:]

    def fill(self, sent: dict[str, Any]) -> None:
        """Everything that was blank has something in it."""
        for name, value in sent.items():
            if value == "":
                sent[name] = self.dice.choice(HOSTILE)

    def spoilt_path(self, address: str) -> str:
        parts = address.split("/")
        parts[self.dice.randrange(len(parts))] = self.dice.choice(
            [
                "",
                "..",
                "%00",
                "%ff",
                "%2f",
                "0",
                "9" * 30,
                "x" * 3000,
                "é",
                "'",
                "nothing",
                "medicare",
                "new",
                "csv",
                "%0a",
            ]
        )
        path = "/".join(parts)
        return path if path.startswith("/") and not path.startswith("//") else "/" + path.lstrip("/")
