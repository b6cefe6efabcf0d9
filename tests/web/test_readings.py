"""Each look at what names a patient leaves one row, and admins see who read and who changed it."""

from __future__ import annotations

import hashlib
import html
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import Error, InterfaceError, OperationalError, connection
from django.http import HttpResponseBase
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from infusion import readings
from infusion.audit import Reading, record_reading
from infusion.chain import check
from infusion.models import Encounter, User
from infusion.readings import LISTS, OPENED, TAKEN_OUT
from infusion.record_of import differences
from payers.models import PolicyOverride
from tests.web.access_table import ADMIN, BILLING, NURSE, TABLE
from tests.web.conftest import House
from tests.web.routes import Route, routes

Values = Callable[[Route], dict[str, object]]
SignIn = Callable[..., Client]
TOLD = {**OPENED, **TAKEN_OUT}


@pytest.fixture
def mark() -> str:
    return "Zzcanary"


def body_of(reply: HttpResponseBase) -> bytes:
    return b"".join(reply) if reply.streaming else reply.content  # type: ignore[attr-defined, call-overload]


def views_of(client: Client, role: str, values: Values) -> Iterator[tuple[Route, int, str, list[Reading]]]:
    """Every page that the role may open: its status, its body, and the readings that opening it left."""
    for route in routes():
        if role in TABLE[route.name].get("GET", ()):
            before = Reading.objects.count()
            reply = client.get(route.address(values(route)))
            body = body_of(reply).decode(errors="replace")
            yield route, reply.status_code, body, list(Reading.objects.order_by("sequence")[before:])


def untold(client: Client, role: str, values: Values, mark: str) -> list[str]:
    """Pages that name a patient and left no reading, or several, or one where there was nothing to read."""
    wrong = []
    for route, status, body, rows in views_of(client, role, values):
        chart = route.name in TOLD and status == 200
        if len(rows) != chart or (mark in body and not chart and route.name not in LISTS):
            wrong.append(f"{route.name} as {role}: {len(rows)} rows")
    return wrong


@pytest.mark.parametrize("role", [NURSE, BILLING, ADMIN])
def test_each_view_is_told_once(house: House, values: Values, as_role: SignIn, role: str, mark: str) -> None:
    assert untold(as_role(role), role, values, mark) == []
    told = set(Reading.objects.values_list("by", flat=True))
    assert told == {house.people[role].pk}
    assert check().first is None


def test_a_page_that_is_not_told_is_seen(
    house: House, values: Values, as_role: SignIn, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(readings.OPENED, "sheet")
    assert untold(as_role(NURSE), NURSE, values, mark) == ["sheet as nurse: 0 rows"]


def untold_when_refused(as_role: SignIn, role: str, values: Values, mark: str) -> list[str]:
    """Forms that were sent empty and brought back a page that names a patient, with no reading of it or several."""
    wrong = []
    for route in routes():
        if role in TABLE[route.name].get("POST", ()):
            client, before = as_role(role), Reading.objects.count()
            body = body_of(client.post(route.address(values(route)))).decode(errors="replace")
            rows = Reading.objects.count() - before
            if rows != (mark in body):
                wrong.append(f"{route.name} as {role}: {rows} rows")
    return wrong


@pytest.mark.parametrize("role", [NURSE, BILLING, ADMIN])
def test_each_page_that_comes_back_with_a_refusal_is_told(
    house: House, values: Values, as_role: SignIn, role: str, mark: str
) -> None:
    assert untold_when_refused(as_role, role, values, mark) == []


def test_a_refusal_that_is_not_told_is_seen(
    house: House, values: Values, as_role: SignIn, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(readings.OPENED, "hold")
    assert untold_when_refused(as_role, BILLING, values, mark) == ["hold as billing: 0 rows"]


def test_the_lines_beside_what_is_typed_are_no_reading(house: House, as_role: SignIn) -> None:
    address = reverse("encounter", args=[house.draft.public_id])
    typing = {"HX-Request": "true", "HX-Target": "preview-body"}
    assert as_role(NURSE).post(address, {"date": "2026-03-10"}, headers=typing).status_code == 200
    assert not Reading.objects.exists()


PARTS = [{}, {"HX-Request": "true", "HX-Target": "preview-body"}]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", ["encounter-new", "order-new"])
def test_a_patient_who_is_looked_up_by_a_form_is_told_once(
    house: House, as_role: SignIn, name: str, part: dict[str, str]
) -> None:
    client, patient, other = as_role(NURSE), house.draft.patient, house.with_billing.patient
    form = {"client_id": str(uuid4()), "act": "same"}
    for reference in (patient.reference, patient.reference, other.reference, "nobody's"):
        client.post(reverse(name), {**form, "patient_reference": reference}, headers=part)
    told = [(row.action, row.subject_id, row.detail) for row in Reading.objects.order_by("sequence")]
    assert told == [("patient.open", str(each.public_id), {"page": name}) for each in (patient, other)]


def test_both_versions_in_a_fragment_are_told(house: House, as_role: SignIn) -> None:
    client, address = as_role(NURSE), reverse("encounter", args=[house.draft.public_id])
    fragment = {"HX-Request": "true", "HX-Target": "encounter-page"}
    reply = client.post(address, {"act": "check", "version": "0"}, headers=fragment)
    assert b"Theirs" in reply.content
    [row] = Reading.objects.all()
    assert (row.action, row.subject_id) == ("encounter.open", str(house.draft.public_id))


SENT_BY_SCRIPTS = ({"X-Idle": "1"}, {"HX-Request": "true"}, {"X-Idle": "1", "HX-Request": "true"})


@pytest.mark.parametrize("name", ["encounter", "chair", "sheet"])
@pytest.mark.parametrize("headers", SENT_BY_SCRIPTS)
def test_no_header_keeps_a_page_from_being_told(
    house: House, as_role: SignIn, name: str, headers: dict[str, str]
) -> None:
    client, address = as_role(NURSE), reverse(name, args=[house.draft.public_id])
    for count, query in enumerate(("", f"?seen={house.draft.version}", "?seen=0&told=1"), start=1):
        assert client.get(f"{address}{query}", headers=headers).status_code == 200
        assert Reading.objects.count() == count


@pytest.mark.parametrize("headers", SENT_BY_SCRIPTS)
def test_no_header_keeps_a_file_from_being_told(
    values: Values, as_role: SignIn, rules: dict[str, PolicyOverride], headers: dict[str, str]
) -> None:
    [route] = [each for each in routes() if each.name == "batch-file"]
    body_of(as_role(ADMIN).get(route.address(values(route)), headers=headers))
    assert Reading.objects.count() == 1


def renewed(client: Client, page: HttpResponseBase, **headers: str) -> HttpResponseBase:
    """What the chair page asks for by itself."""
    [address] = re.findall(r'hx-get="(/encounters/[^"]+)"', body_of(page).decode())
    return client.get(html.unescape(address), headers=headers or {"X-Idle": "1", "HX-Request": "true"})


def test_a_chair_page_is_told_once_however_long_it_renews_itself(house: House, as_role: SignIn) -> None:
    client, address = as_role(NURSE), reverse("chair", args=[house.draft.public_id])
    page = client.get(address)
    Encounter.objects.filter(pk=house.draft.pk).update(version=house.draft.version + 1)
    whole = renewed(client, page)
    same = renewed(client, whole)
    assert (whole.status_code, same.status_code) == (200, 200)
    assert "HX-Retarget" not in whole.headers
    assert same.headers["HX-Retarget"] == "#so-far"
    assert Reading.objects.count() == 1
    renewed(client, page, **{"X-Other": "1"})
    assert Reading.objects.count() == 2, "asked for by a person"


def test_what_renews_one_page_of_one_sign_in_opens_no_other(
    house: House, as_role: SignIn, person: Callable[..., User]
) -> None:
    client, address = as_role(NURSE), reverse("chair", args=[house.draft.public_id])
    page = body_of(client.get(address)).decode()
    [query] = re.findall(r'hx-get="/encounters/[^"?]+(\?seen=[^"]+)"', page)
    timer = {"X-Idle": "1"}
    other = reverse("chair", args=[house.approved.public_id])
    colleague = Client()
    colleague.force_login(person("colleague", NURSE, house.clinic))
    with time_machine.travel(timezone.now() + timedelta(seconds=1)):
        later = as_role(NURSE)
    for count, (who, where) in enumerate(((client, other), (colleague, address), (later, address)), start=2):
        assert who.get(where + html.unescape(query), headers=timer).status_code == 200
        assert Reading.objects.count() == count


def test_a_late_time_that_comes_back_is_told_and_renews_itself(house: House, as_role: SignIn) -> None:
    client, address = as_role(NURSE), reverse("chair", args=[house.draft.public_id])
    page = client.post(address, {"act": "late"})
    assert page.status_code == 422
    assert renewed(client, page).status_code == 200
    assert [row.detail for row in Reading.objects.all()] == [{"page": "chair"}]


def test_a_head_and_what_is_not_there_are_no_readings(house: House, as_role: SignIn) -> None:
    client, address = as_role(NURSE), reverse("encounter", args=[house.draft.public_id])
    client.head(address)
    client.get(reverse("encounter", args=[house.clinic.people.first().public_id]))  # type: ignore[union-attr]
    assert not Reading.objects.exists()
    client.get(address)
    [row] = Reading.objects.all()
    assert (row.action, row.subject_id, row.detail) == (
        "encounter.open", str(house.draft.public_id), {"page": "encounter"},
    )  # fmt: skip


def test_a_search_is_told_with_what_was_looked_for(house: House, as_role: SignIn) -> None:
    as_role(BILLING).post(reverse("search"), {"reference": " Clinic1 Chart2 "})
    [row] = Reading.objects.all()
    assert (row.action, row.detail) == ("search", {"for": "Clinic1 Chart2"})


@pytest.mark.parametrize("name", TAKEN_OUT)
def test_a_file_is_told_with_filter_count_and_checksum(
    name: str, values: Values, as_role: SignIn, rules: dict[str, PolicyOverride]
) -> None:
    [route] = [each for each in routes() if each.name == name]
    asked = {"report": "stops", "first": "2026-03-01", "last": "2026-03-31"} if name == "report-file" else {}
    chosen = values(route) | ({"public_id": rules["published"].public_id} if name == "impact-file" else {})
    reply = as_role(ADMIN).get(route.address(chosen), asked)
    content = body_of(reply)
    [row] = Reading.objects.all()
    assert row.detail is not None
    assert row.detail["sha256"] == hashlib.sha256(content).hexdigest()
    assert row.detail["bytes"] == len(content)
    assert row.detail["filter"] == ({"format": "csv"} if name == "batch-file" else asked)
    lines = content.count(b"\n") - 1
    assert row.detail["count"] == (1 if name == "batch-file" else lines)


def test_a_patient_looked_up_while_no_reading_can_be_kept_is_told_once_one_can(
    house: House, as_role: SignIn, caplog: pytest.LogCaptureFixture
) -> None:
    def full(execute: Callable[..., object], sql: str, *rest: object) -> object:
        if "infusion_reading" in sql:
            raise OperationalError("database or disk is full")
        return execute(sql, *rest)

    client, form = as_role(NURSE), {"client_id": str(uuid4()), "patient_reference": house.draft.patient.reference}
    with caplog.at_level(logging.ERROR), connection.execute_wrapper(full):
        assert client.post(reverse("encounter-new"), form).status_code == 200
    assert "looked_up" not in client.session
    client.post(reverse("encounter-new"), form)
    assert [row.subject_id for row in Reading.objects.all()] == [str(house.draft.patient.public_id)]


@pytest.mark.parametrize("problem", [OperationalError, InterfaceError])
def test_a_page_is_shown_where_its_reading_cannot_be_kept_and_the_log_has_it(
    house: House, as_role: SignIn, caplog: pytest.LogCaptureFixture, problem: type[Error]
) -> None:
    def full(execute: Callable[..., object], sql: str, *rest: object) -> object:
        if "infusion_reading" in sql:
            raise problem("database or disk is full, Zzcanary")
        return execute(sql, *rest)

    with caplog.at_level(logging.ERROR), connection.execute_wrapper(full):
        reply = as_role(NURSE).get(reverse("chair", args=[house.draft.public_id]))
    assert reply.status_code == 200
    [line] = caplog.messages
    assert line.startswith(f"A reading was not kept: encounter.open of encounter {house.draft.public_id} by person")
    assert "Zzcanary" not in line
    assert not Reading.objects.exists()


# The page -------------------------------------------------------------------------------------------------------------


def page(client: Client, house: House, **asked: str) -> str:
    reply = client.get(reverse("encounter-record", args=[house.approved.public_id]), asked)
    assert reply.status_code == (422 if asked.get("day") == "soon" else 200)
    return " ".join(reply.content.decode().split())


def test_the_record_tells_who_read_and_who_changed(house: House, as_role: SignIn) -> None:
    as_role(NURSE).get(reverse("sheet", args=[house.approved.public_id]))
    as_role(NURSE).get(reverse("sheet", args=[house.draft.public_id]))
    shown = page(as_role(ADMIN), house)
    assert shown.count("Opened to print: the charge sheet") == 1
    assert '<strong>D. Reyes</strong> <span class="record-what">Approved it' in shown
    became = '</span> <span aria-hidden="true">→</span><span class="visually-hidden">became</span> '
    assert f"with billing{became}approved" in shown
    nurse = str(house.people[NURSE].public_id)
    assert "Approved it" not in page(as_role(ADMIN), house, person=nurse)
    assert "Opened to print" in page(as_role(ADMIN), house, person=nurse)
    assert "write it as 2026-03-10" in page(as_role(ADMIN), house, day="soon")
    of_patient = as_role(ADMIN).get(reverse("patient-record", args=[house.approved.patient.public_id]))
    assert "Recorded the patient" in of_patient.content.decode()


def test_a_day_is_the_clinics(house: House, as_role: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half past one in the night of UTC is the evening before in New York."""
    monkeypatch.setattr("infusion.audit.timezone.now", lambda: datetime(2026, 3, 11, 1, 30, tzinfo=UTC))
    record_reading(
        "encounter.print", by=house.people[NURSE], subject="encounter", subject_id=house.approved.public_id,
        clinic_id=house.clinic.pk,
    )  # fmt: skip
    assert "21:30:00" in page(as_role(ADMIN), house, day="2026-03-10")
    assert "Opened to print" not in page(as_role(ADMIN), house, day="2026-03-11")


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "1899-12-31", "3000-01-01"])
def test_a_day_that_no_record_can_have_is_told_at_the_field(house: House, as_role: SignIn, day: str) -> None:
    reply = as_role(ADMIN).get(reverse("encounter-record", args=[house.approved.public_id]), {"day": day})
    shown = reply.content.decode()
    assert reply.status_code == 422
    assert "Day: choose one from 1900 to 2999, or leave it empty for every day." in shown
    assert f'value="{day}"' in shown
    assert "Approved it" in shown


def test_the_record_has_pages(house: House, as_role: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infusion.record_of.ON_A_PAGE", 2)
    first, client = page(as_role(ADMIN), house), as_role(ADMIN)
    assert "page=2" in first
    assert "Newer" not in first
    assert "Recorded the encounter" in page(client, house, page="2")


def test_differences_are_told_in_words() -> None:
    before = {"state": "draft", "handed_over_by": None, "record": {"administrations": [{"stop": None}]}, "chair": "4"}
    after = {
        "state": "with_billing", "handed_over_by": 7, "chair": "4", "approval": "0123456789abcdef" * 4,
        "record": {"administrations": [{"stop": "2026-03-10T15:30:00+00:00"}]},
    }  # fmt: skip
    told = differences(before, after, ZoneInfo("America/New_York"), {7: "L. Ames, RN"})
    found = [(each.what, each.was, each.now) for each in told]
    assert found == [
        ("State", "draft", "with billing"),
        ("Handed over by", "nothing", "L. Ames, RN"),
        ("Drug 1, stop", "nothing", "11:30 on March 10, 2026"),
        ("Approval", "nothing", "01234567…"),
    ]
