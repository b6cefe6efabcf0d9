"""Reports: each figure against a second count over the same encounters, and a picture that says what its table says."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from infusion import report_rows
from infusion.actions import Recorded, approve, hand_to_billing, save_encounter, warning_key
from infusion.models import Administration, Approval, Clinic, Discard, Encounter, User
from infusion.report_rows import Asked
from infusion.reports import (
    Series,
    Waits,
    draw_columns,
    draw_spans,
    height_beside,
    month_after,
    months_between,
    nearest_rank,
    percent,
    round_scale,
)
from infusion.selectors import review_of
from infusion.services import facts
from infusion.spreadsheet import safe_cell
from payers.actions import Departure, add_payer, publish_override
from payers.models import Payer
from tests.web.access_table import ADMIN, BILLING

MONTHS = (date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1))
ALL = ("J2350", "J1745")


@pytest.fixture(autouse=True)
def on_april_20() -> Iterator[None]:
    with time_machine.travel("2026-04-20T15:00:00Z", tick=False):
        yield


@pytest.fixture
def payers(medicare: Payer, admin_user: User) -> list[Payer]:
    """Two, of which the second warns of a rule that nobody has verified and of a missing NDC."""
    aetna = add_payer(by=None, slug="aetna", name="=Aetna")
    rule = Departure(
        parameter="ndc_required", value=True, effective_from=date(2026, 1, 1), source_document="Handbook",
        source_read_on=date(2026, 1, 1),
    )  # fmt: skip
    publish_override(by=admin_user, payer=aetna, departure=rule, status="unverified")
    return [medicare, aetna]


@pytest.fixture
def visit(clinic: Clinic, nurse: User, biller: User, sarah: Recorded) -> Callable[..., Encounter]:
    """Records one encounter, and approves it unless told otherwise."""

    def record(
        day: date, payer: Payer, drug: str, given: int, waste: int = 0, *, stopped: bool = True,
        until: str = "approved", waits: timedelta = timedelta(days=1), where: Clinic = clinic,
    ) -> Encounter:  # fmt: skip
        start = datetime(day.year, day.month, day.day, 9, 0)
        vial = 300 if drug == "J2350" else 100
        administration = facts.Administration(
            id="a1", route="iv_infusion", drug=drug, start=start,
            stop=start + timedelta(minutes=150) if stopped else None,
            ordered=Decimal(given), administered=Decimal(given),
            vials=(facts.Vial(amount=Decimal(vial), count=(given + waste) // vial),),
            discards=(facts.Discard(amount=Decimal(waste), reason="vial_remainder"),) if waste else (),
        )  # fmt: skip
        recorded = replace(
            sarah, patient_reference=f"MRN-{uuid4()}", payer=payer, date_of_service=day,
            facts=replace(sarah.facts, date_of_service=day, administrations=(administration,)),
        )  # fmt: skip
        # Written down soon after the stop, as a nurse does.
        with time_machine.travel(start.replace(tzinfo=UTC) + timedelta(hours=7), tick=False):
            encounter = save_encounter(by=nurse, clinic=where, client_id=uuid4(), recorded=recorded)
        if until == "draft":
            return encounter
        encounter = hand_to_billing(by=nurse, encounter=encounter, version=encounter.version)
        if until == "approved":
            review = review_of(encounter)
            with time_machine.travel(last_stop(encounter) + waits, tick=False):
                approve(
                    by=biller, encounter=encounter, version=encounter.version, content_hash=review.content_hash,
                    acknowledged=[warning_key(each) for each in review.statement.warnings],
                )  # fmt: skip
        encounter.refresh_from_db()
        return encounter

    return record


def last_stop(encounter: Encounter) -> datetime:
    stopped = encounter.administrations.get().stopped_at
    assert stopped is not None
    return stopped


@pytest.fixture
def spring(visit: Callable[..., Encounter], payers: list[Payer]) -> list[Encounter]:
    """Two dozen encounters of four months, drawn by lot."""
    chance = random.Random(11)
    made = []
    for _ in range(24):
        day = chance.choice(MONTHS[:3]) + timedelta(days=chance.randrange(28))
        drug, waste = chance.choice(ALL), chance.choice((0, 0, 20))
        given = (600 if drug == "J2350" else 400) - waste
        made.append(visit(day, chance.choice(payers), drug, given, waste, waits=timedelta(hours=chance.randrange(200))))
    made.append(visit(date(2026, 4, 2), payers[0], "J2350", 600, until="with billing"))
    made.append(visit(date(2026, 4, 3), payers[0], "J2350", 600, until="draft"))
    made += [visit(date(2026, 4, day), payers[0], "J1745", 400, stopped=False, until="draft") for day in (4, 5)]
    return made


@pytest.fixture
def asked(clinic: Clinic) -> Asked:
    return Asked(clinic=clinic, first=MONTHS[0], last=date(2026, 4, 30))


def month_of(day: date) -> date:
    return day.replace(day=1)


def stands(asked: Asked) -> Iterator[tuple[Encounter, dict[str, Any]]]:
    """Approved encounters with their stored statements, one by one and without the database's help."""
    rows = Encounter.objects.filter(clinic=asked.clinic, state=Encounter.State.APPROVED).select_related("payer")
    for encounter in rows:
        if asked.first <= encounter.date_of_service <= asked.last and asked.payer in (None, encounter.payer):
            yield encounter, json.loads(encounter.approvals.latest("encounter_version").statement)


# Against a second count -----------------------------------------------------------------------------------------------


def test_units_and_milligrams_equal_a_second_count(spring: list[Encounter], asked: Asked) -> None:
    units: Counter[tuple[date, str, str]] = Counter()
    waste: Counter[tuple[date, str, str]] = Counter()
    for encounter, statement in stands(asked):
        for line in statement["lines"]:
            key = (month_of(encounter.date_of_service), encounter.payer.name, line["code"])
            if line["kind"] == "drug":
                units[key] += line["units"]
                waste[key] += line["units"] if "JW" in line["modifiers"] else 0
    found = report_rows.drugs(asked)
    assert {(each.month, each.payer, each.code): each.units for each in found.units} == dict(units)
    assert {(each.month, each.payer, each.code): each.discarded_units for each in found.units} == dict(waste)
    milligrams: Counter[tuple[date, str, str]] = Counter()
    for discard in Discard.objects.select_related("administration__encounter__payer"):
        encounter = discard.administration.encounter
        milligrams[month_of(encounter.date_of_service), encounter.payer.name, discard.administration.drug] += (
            discard.amount
        )
    assert found.discarded == dict(milligrams)
    assert sum(units.values()) > 1000
    assert sum(milligrams.values()) >= 20, "or nothing is counted here"
    totals = [sum(each.units for each in found.by_month(code, MONTHS)) for code in found.codes]
    assert sum(totals) == sum(units.values())
    assert sum(each.discarded for code in found.codes for each in found.by_payer(code)) == sum(milligrams.values())


def test_stops_are_counted_missing_and_late(spring: list[Encounter], asked: Asked) -> None:
    row = Administration.objects.filter(encounter=spring[0])
    stopped = last_stop(spring[0])
    row.update(stopped_entered_at=stopped + timedelta(hours=2))
    before = sum(each.late for each in report_rows.stops(asked))
    row.update(stopped_entered_at=stopped + timedelta(hours=2, seconds=1))
    found = {each.month: each for each in report_rows.stops(asked)}
    assert sum(each.late for each in found.values()) == before + 1
    assert found[MONTHS[3]].missing == 2
    assert sum(each.infusions for each in found.values()) == len(spring)
    assert sum(each.missing for each in found.values()) == 2


def test_warnings_equal_a_second_count(spring: list[Encounter], asked: Asked, admin_user: User) -> None:
    codes: Counter[tuple[date, str]] = Counter()
    some: Counter[date] = Counter()
    approved: Counter[date] = Counter()
    for encounter, statement in stands(asked):
        month = month_of(encounter.date_of_service)
        found = {each["code"] for each in statement["findings"] if each["severity"] == "warning"}
        approved[month] += 1
        some[month] += bool(found)
        codes.update((month, code) for code in found)
    read = report_rows.warned(asked)
    assert read.approved == dict(approved)
    assert {month: count for month, count in read.some.items() if count} == {m: n for m, n in some.items() if n}
    assert {(month, code): n for code, months in read.codes.items() for month, n in months.items()} == dict(codes)
    assert codes, "or nothing is counted here"
    assert read.total == sum(approved.values()) == 24


def test_waits_equal_a_second_count(spring: list[Encounter], asked: Asked) -> None:
    minutes: dict[date, list[int]] = {}
    for encounter, _ in stands(asked):
        waited = encounter.approvals.earliest("encounter_version").approved_at - last_stop(encounter)
        minutes.setdefault(month_of(encounter.date_of_service), []).append(int(waited.total_seconds() // 60))
    read = report_rows.waits(asked)
    assert {month: sorted(each) for month, each in read.minutes.items()} == {m: sorted(n) for m, n in minutes.items()}


def test_a_payer_and_a_drug_narrow_every_report(spring: list[Encounter], asked: Asked, payers: list[Payer]) -> None:
    one = replace(asked, payer=payers[1], drug="J1745")
    mine = [each for each, _ in stands(one) if each.administrations.get().drug == "J1745"]
    assert 0 < len(mine) < 24
    assert {(each.payer, each.code) for each in report_rows.drugs(one).units} == {("=Aetna", "J1745")}
    assert {code for _, _, code in report_rows.drugs(one).discarded} <= {"J1745"}
    assert report_rows.warned(one).total == len(mine)
    assert sum(each.infusions for each in report_rows.stops(one)) == len(mine)
    assert sum(len(each) for each in report_rows.waits(one).minutes.values()) == len(mine)


def test_the_first_and_the_last_day_are_in_and_their_neighbours_out(
    visit: Callable[..., Encounter], payers: list[Payer], clinic: Clinic
) -> None:
    for day in (9, 10, 11, 12):
        visit(date(2026, 3, day), payers[0], "J2350", 600)
    asked = Asked(clinic=clinic, first=date(2026, 3, 10), last=date(2026, 3, 11))
    assert report_rows.warned(asked).total == 2
    assert [each.units for each in report_rows.drugs(asked).units] == [1200]


def test_what_was_approved_is_not_calculated_again(
    visit: Callable[..., Encounter], payers: list[Payer], clinic: Clinic, admin_user: User, asked: Asked
) -> None:
    visit(date(2026, 3, 10), payers[0], "J2350", 580, 20)
    before = report_rows.drugs(asked)
    rule = Departure(
        parameter="discarded_drug", value="not_billed", effective_from=date(2026, 1, 1), source_document="Handbook",
        source_read_on=date(2026, 1, 1),
    )  # fmt: skip
    publish_override(by=admin_user, payer=payers[0], departure=rule, status="verified")
    assert report_rows.drugs(asked) == before
    assert [(each.units, each.discarded_units) for each in before.units] == [(600, 20)]


def test_the_newest_approval_counts_and_what_was_voided_does_not(
    visit: Callable[..., Encounter], payers: list[Payer], biller: User, asked: Asked
) -> None:
    corrected, voided = (visit(date(2026, 3, 10), payers[0], "J2350", 600) for _ in range(2))
    first = corrected.approvals.get()
    document = json.loads(first.statement)
    next(line for line in document["lines"] if line["kind"] == "drug")["units"] = 599
    Approval.objects.create(
        encounter=corrected, encounter_version=first.encounter_version + 1, approved_by=biller, input=first.input,
        approved_at=first.approved_at + timedelta(days=30), policy=first.policy, reference_version="x",
        statement=json.dumps(document), content_hash="x",
    )  # fmt: skip
    Encounter.objects.filter(pk=voided.pk).update(state=Encounter.State.VOID)
    assert [each.units for each in report_rows.drugs(asked).units] == [599]
    assert report_rows.warned(asked).total == 1
    # The wait ends with the first approval: a correction a month later is no wait.
    assert report_rows.waits(asked).minutes == {date(2026, 3, 1): [1440]}


def test_another_clinics_encounters_are_in_no_report(
    spring: list[Encounter], other_clinic: Clinic, asked: Asked, other_biller: User
) -> None:
    theirs = replace(asked, clinic=other_clinic)
    assert report_rows.drugs(theirs).units == ()
    assert report_rows.stops(theirs) == ()
    assert report_rows.warned(theirs).total == 0
    assert report_rows.waits(theirs).minutes == {}
    client = Client()
    client.force_login(other_biller)
    reply = client.get(reverse("reports"), {"first": "2026-01-01", "last": "2026-04-30"}).content.decode()
    assert "No drug line was approved in this period." in reply
    assert "J2350</span>" not in reply


# Pages and files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def billing(biller: User) -> Client:
    client = Client()
    client.force_login(biller)
    return client


PERIOD = {"first": "2026-01-01", "last": "2026-04-30"}


def test_the_page_asks_the_same_of_the_database_however_much_there_is(
    spring: list[Encounter], visit: Callable[..., Encounter], payers: list[Payer], billing: Client
) -> None:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as asked:
            assert billing.get(reverse("reports"), PERIOD).status_code == 200
        counts.append(len(asked))
        for day in (10, 11):
            visit(date(2026, 3, day), payers[0], "J2350", 600)
    assert counts[0] == counts[1]


def test_pictures_say_what_their_tables_say(spring: list[Encounter], billing: Client, asked: Asked) -> None:
    reply = billing.get(reverse("reports"), PERIOD)
    page = reply.content.decode()
    assert 'style="' not in page
    pictures = re.findall(r'role="img" aria-labelledby="([^"]+)"', page)
    assert len(pictures) >= 5
    for named in pictures:
        for identity in named.split():
            assert page.count(f'id="{identity}"') == 1
    for drug in reply.context["drugs"]:
        months = {each.name: each for each in drug.months}
        for month in months_between(asked.first, asked.last):
            row = months.get(f"{month:%b %Y}")
            given, waste = (row.units - row.discarded_units, row.discarded_units) if row else (0, 0)
            assert f"{month:%B %Y}: {given:,} units given, {waste:,} units discarded (JW)." in drug.picture.description


def rows_of(reply: HttpResponse) -> list[list[str]]:
    assert reply["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(reply.content.decode("utf-8-sig"))))


def test_a_file_holds_what_the_page_adds_up(spring: list[Encounter], billing: Client, asked: Asked) -> None:
    rows = rows_of(billing.get(reverse("report-file"), {**PERIOD, "report": "drugs"}))
    assert rows[0][:4] == ["Clinic", "Month", "Payer", "Code"]
    found = report_rows.drugs(asked)
    assert sum(int(row[5]) for row in rows[1:]) == sum(each.units for each in found.units)
    assert sum(Decimal(row[7]) for row in rows[1:]) == sum(found.discarded.values())
    assert {row[2] for row in rows[1:]} == {"Medicare", "'=Aetna"}, "a name that would be a formula is kept a text"


@pytest.mark.parametrize(("report", "width"), [("stops", 5), ("warnings", 6), ("approval", 5)])
def test_the_other_files(spring: list[Encounter], billing: Client, report: str, width: int) -> None:
    rows = rows_of(billing.get(reverse("report-file"), {**PERIOD, "report": report}))
    assert len(rows) > 3
    assert {len(row) for row in rows} == {width}
    assert {row[1] for row in rows[1:]} <= {"2026-01", "2026-02", "2026-03", "2026-04"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"first": "soon"}, "From: write the day like"),
        ({"first": "2026-05-01"}, "Until: this day lies before the first."),
        ({"first": "2024-04-30"}, "From: a report shows at most 24 months."),
        ({"payer": "nobody"}, "Payer: choose one of the list."),
        ({"drug": "nothing"}, "Drug: choose one of the list."),
    ],
)
def test_a_period_that_cannot_be_read_is_told(
    billing: Client, medicare: Payer, entry: dict[str, str], said: str
) -> None:
    reply = billing.get(reverse("reports"), {**PERIOD, **entry})
    assert said in reply.content.decode()
    assert billing.get(reverse("report-file"), {**PERIOD, **entry}).status_code == 404


def test_an_unknown_report_is_not_there(billing: Client) -> None:
    assert billing.get(reverse("report-file"), {"report": "patients"}).status_code == 404


def test_without_a_period_the_latest_six_months_are_shown(billing: Client) -> None:
    reply = billing.get(reverse("reports")).content.decode()
    assert "from November 1, 2025 to April 20, 2026" in reply
    assert 'aria-current="true">Latest 6 months' in reply


# Shaping --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "share", "rank"),
    [
        ([5], 50, 5),
        ([5], 90, 5),
        (range(1, 11), 50, 5),
        (range(1, 11), 90, 9),
        (range(1, 12), 90, 10),
        ([3, 1, 2], 50, 2),
    ],
)
def test_the_nearest_rank(values: Any, share: int, rank: int) -> None:
    # Of eleven values nine of ten are 9.9, so the tenth.
    assert nearest_rank(values, share) == rank


def test_a_share_never_hides_that_there_is_one() -> None:
    assert [percent(part, 1000) for part in (0, 1, 4, 5, 995, 999, 1000)] == [0, 1, 1, 1, 99, 99, 100]


def test_months_are_counted_over_a_new_year() -> None:
    assert len(months_between(date(2024, 2, 29), date(2026, 1, 1))) == 24
    assert [month_after(date(2026, 1, 31), number) for number in (-1, 0, 1)] == [
        date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("highest", [0, 1, 3, 4, 9, 10, 99, 100, 101, 132_900])
def test_a_scale_reaches_the_highest_figure_in_few_lines(highest: int) -> None:
    figures = round_scale(highest)
    assert figures[-1] >= highest
    assert 1 <= len(figures) <= 3


def test_columns_are_as_high_as_their_figures() -> None:
    series = (Series("given", "run", (100, 50, 0)), Series("discarded", "waste", (0, 50, 0)))
    picture = draw_columns("x", "Units", MONTHS[:3], series, height=200)
    # 100 is the top line at 22; the floor is 160. Fifty and fifty make a hundred, and nothing draws nothing.
    assert [(part.kind, part.y, part.height) for part in picture.parts] == [
        ("run", 22, 138), ("run", 91, 69), ("waste", 22, 69),
    ]  # fmt: skip
    assert [label.text for label in picture.labels] == ["100"]
    assert picture.description.endswith("March 2026: 0 given, 0 discarded.")


def test_a_little_is_still_seen() -> None:
    picture = draw_columns("x", "Units", MONTHS[:2], (Series("a", "run", (1_000_000, 1)), Series("b", "waste", (1, 0))))
    assert [part.height for part in picture.parts if part.kind == "waste"] == [2]
    assert picture.parts[-1].height == 2


def test_every_column_stays_inside_the_picture() -> None:
    for count in (1, 2, 12, 24):
        months = months_between(date(2025, 1, 1), month_after(date(2025, 1, 1), count - 1))
        picture = draw_columns("x", "Units", months, (Series("a", "run", tuple(range(1, count + 1))),))
        edges = [(float(part.x[:-1]), float(part.x[:-1]) + float(part.width[:-1])) for part in picture.parts]
        assert edges[0][0] >= 0
        assert edges[-1][1] <= 100
        assert all(one[1] < other[0] for one, other in pairwise(edges))
        assert picture.ticks[0].label == "Jan"
        assert sum(not tick.minor for tick in picture.ticks) >= min(count, 6)


def test_a_wait_reaches_from_its_median_to_nine_of_ten() -> None:
    waits = Waits({MONTHS[0]: [1500] * 5 + [3000] * 5, MONTHS[2]: [10_000]})
    picture = draw_spans("x", "Waits", MONTHS[:3], waits)
    assert len(picture.spans) == 2
    assert picture.spans[0].low_y > picture.spans[0].high_y
    assert picture.guides[-1].label == "10 d"
    assert "January 2026: half within 25 h, nine of ten within 2.1 days." in picture.description
    assert draw_spans("x", "Waits", MONTHS, Waits({})).description == "Nothing was approved in this period."
    assert height_beside(MONTHS) == 200


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1+1", "'-1+1"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        (" =1", "' =1"),
        (-5, "-5"),
        ("a=1", "a=1"),
        (None, ""),
    ],
)
def test_a_cell_never_becomes_a_formula(value: object, cell: str) -> None:
    assert safe_cell(value) == cell


def test_only_billing_and_admins_read_reports(person: Callable[..., User], clinic: Clinic, nurse: User) -> None:
    for user, status in ((nurse, 403), (person("b", BILLING, clinic), 200), (person("a", ADMIN, clinic), 200)):
        client = Client()
        client.force_login(user)
        assert client.get(reverse("reports")).status_code == status
