"""Fee schedules: how a file is read, what is saved when, which schedule holds on which day, and what a review shows."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from infusion.actions import FeesInTheWay, NewFees, Refused, load_fees, withdraw_fees
from infusion.actions.fees import differences
from infusion.arriving import UnreadableFile
from infusion.audit import AuditEvent
from infusion.fee_file import FeeFile, read_dollars, read_fee_file
from infusion.management import demo_fees
from infusion.models import Clinic, Fee, FeeSchedule, User
from infusion.money import charges_for, charges_for_many, expected_of, expected_of_many
from infusion.selectors import review_of
from infusion.services.payment import Rate
from infusion.services.reference import shipped_reference
from infusion.views.fees import change_in_words
from payers.models import Payer
from tests.web.access_table import ADMIN, BILLING
from tests.web.conftest import House, everything
from tests.web.page import Page

HEAD = "Code,Rate,P25,Median,P75\n"
JANUARY, JUNE = date(2026, 1, 1), date(2026, 6, 1)


def read(text: str | bytes) -> FeeFile:
    return read_fee_file(text.encode() if isinstance(text, str) else text)


def told(text: str) -> list[tuple[int, str, str]]:
    """Row, column and value of each problem."""
    return [(each.row, each.column, each.value) for each in read(text).problems]


def new_fees(payer: Payer | None, first: date = JANUARY, last: date | None = None, **rates: str) -> NewFees:
    chosen = rates or {"J2350": "60.97"}
    return NewFees(
        payer=payer, name=f"Fees from {first}", source="Contract", effective_from=first, effective_until=last,
        checksum=f"{first}{sorted(chosen.items())}".ljust(64)[:64],
        rates=tuple(Rate(code=code, rate=Decimal(rate)) for code, rate in chosen.items()),
    )  # fmt: skip


# How a file is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Code,Rate\nJ2350,60.97\n",
        "\ufeffCode,Rate\r\nJ2350,60.97\r\n",  # Excel's mark and line ends
        "code;RATE\nj2350;60.97\n",
        "HCPCS\tRate per unit\nJ2350\t$60.97\n",
        '"Code","Note","Allowed amount"\n"J2350","caf\u00e9"," $ 60.97 "\n',
        "\n\nCode,Rate\n\nJ2350,60.9700\n,\n",
    ],
)
def test_the_same_rate_in_many_files(text: str) -> None:
    file = read(text)
    assert file.problems == []
    assert [(rate.code, rate.rate) for rate in file.rates] == [("J2350", Decimal("60.97"))]


def test_an_old_excel_file_is_read_as_well() -> None:
    assert read("Code,Rate,Note\nJ2350,60.97,caf\u00e9\n".encode("cp1252")).rates[0].rate == Decimal("60.97")


def test_other_columns_are_named_and_quartiles_are_read() -> None:
    file = read('Code,Description,Rate,P25,Median,P75\nJ2350,Ocrelizumab,"1,060.97",950,"1,000.00",\n')
    rate = file.rates[0]
    assert (rate.rate, rate.lower_quartile, rate.median, rate.upper_quartile) == (
        Decimal("1060.97"), Decimal(950), Decimal(1000), None,
    )  # fmt: skip
    assert file.not_read == ("Description",)


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        ("60.97", "60.97"),
        ("$60.97", "60.97"),
        ("1,234.50", "1234.50"),
        ("$1,234", "1234"),
        (".5", "0.5"),
        ("0.0001", "0.0001"),
    ],
)
def test_amounts_as_people_write_them(typed: str, read_as: str) -> None:
    assert read_dollars(typed) == Decimal(read_as)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("663,67", "The comma stands where no thousands end."),
        ("1,23", "The comma stands where no thousands end."),
        ("12,34,567", "not an amount"),
        ("0", "Leave the row out"),
        ("-5", "below zero"),
        ("(5.00)", "below zero"),
        ("=1+1", "formula"),
        ("@SUM(1)", "formula"),
        ("1E+3", "shortened"),
        ("0.00001", "four decimals"),
        ("99999999", "beyond any rate"),
        ("n/a", "not an amount"),
        ("\u0661\u0662", "not an amount"),
        ("60.97 USD", "not an amount"),
    ],
)
def test_what_is_no_amount_is_told_in_a_sentence(typed: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        read_dollars(typed)
    assert why in str(raised.value)


def test_where_a_comma_could_be_either_mark_nothing_is_guessed() -> None:
    # 1,234 is 1234 in a file with commas and may be 1.234 in one with semicolons.
    assert read('Code,Rate\nJ2350,"1,234"\n').rates[0].rate == 1234
    file = read("Code;Rate\nJ2350;1,234\n")
    assert file.rates == []
    assert "either mark" in file.problems[0].reason


def test_each_problem_names_its_row_as_a_spreadsheet_does() -> None:
    assert told(
        HEAD + "96365,68.50,,,\n\n9636,1,,,\nJ2350,-1,,,\n=x,1,,,\nJ1745,3,9,8,10\n96365,70,,,\nJ1200,,,,\n"
    ) == [
        (4, "Code", "9636"),
        (5, "Rate", "-1"),
        (6, "Code", "=x"),
        (7, "Median", "8"),
        (8, "Code", "96365"),
        (9, "Rate", ""),
    ]


def test_a_thousands_separator_without_quotes_is_not_a_column() -> None:
    problem = read("Code,Rate\nJ2350,1,234.50\n").problems[0]
    assert (problem.row, problem.column, problem.value) == (2, "Rate", "1 234.50")
    assert "quotation marks" in problem.reason


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"PK\x03\x04rest", "workbook"),
        (b"\xd0\xcf\x11\xe0rest", "workbook"),
        ("Code,Rate\nJ2350,1\n".encode("utf-16"), "UTF-16"),
        (b"Code,Rate\nJ2350,\x001\n", "zero byte"),
        (b"Code,Rate\n", "no row below"),
        (b"Code,P25\nJ2350,1\n", "no column Rate"),
        (b"J2350,60.97\n", "no column Code"),
        (b"Code,Rate,Fee\nJ2350,1,2\n", "Two columns could be the Rate"),
        (b'Code,Rate\nJ2350,"1\n96365,2\n', "quotation mark"),
        (b"Code,Rate\nJ2350,1" + b",x" * 100, "more than 64 columns"),
        (b"Code,Rate,Note\nJ2350,1," + b"x" * 10_001, "beyond any code"),
        (b"Code,Rate\n" + b"J2350,1\n" * 20_001, "more than 20,000 rows"),
        (b"Code,Rate\n" + b"x" * 2_000_001, "larger than 2 MB"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_why(content: bytes, why: str) -> None:
    with pytest.raises(UnreadableFile, match=r".") as raised:
        read_fee_file(content)
    assert why in str(raised.value)


def test_thirty_seven_faults_in_five_thousand_rows() -> None:
    chance = random.Random(7)
    rows = [[f"J{number:04d}", "60.97", "50", "60", "80"] for number in range(5000)]
    faults = ("663,67", "-1", "0", "=1", "1E+3", "0.00001", "n/a")
    wrong = sorted(chance.sample(range(5000), 37))
    for number, at in enumerate(wrong):
        rows[at][1] = faults[number % len(faults)]
    text = io.StringIO()
    csv.writer(text).writerows([HEAD.strip().split(","), *rows])
    file = read(text.getvalue())
    assert [(each.row, each.column) for each in file.problems] == [(at + 2, "Rate") for at in wrong]
    assert len(file.rates) == 5000 - 37


# Nothing before it is confirmed ---------------------------------------------------------------------------------------


@pytest.fixture
def admin(house: House) -> Client:
    client = Client()
    client.force_login(house.people[ADMIN])
    return client


def sent(text: str | bytes = HEAD + "J2350,60.97,,,\n96365,68.50,60,70,80\n", **more: str) -> dict[str, Any]:
    content = text.encode() if isinstance(text, str) else text
    return {
        "act": "preview", "payer": "medicare", "source": "Contract 7", "effective_from": "2026-01-01", "name": "",
        "file": SimpleUploadedFile("medicare 2026.csv", content), **more,
    }  # fmt: skip


def look(client: Client, *args: str, **more: str) -> HttpResponse:
    return client.post(reverse("fee-load"), sent(*args, **more))


def kept(reply: HttpResponse) -> str:
    return Page(reply.content).form_to(reverse("fee-load")).fields["kept"]


def confirm(client: Client, reply: HttpResponse, **more: str) -> HttpResponse:
    return client.post(reverse("fee-load"), {"act": "confirm", "kept": kept(reply), **more})


def text_of(reply: HttpResponse) -> str:
    return " ".join(reply.content.decode().split())


def test_looking_saves_nothing_and_confirming_saves_what_was_shown(admin: Client, house: House) -> None:
    before = everything()
    reply = look(admin)
    assert "Nothing is saved yet." in text_of(reply)
    assert everything() == before
    confirm(admin, reply)
    schedule = FeeSchedule.objects.get()
    assert (schedule.clinic, schedule.payer, schedule.name) == (house.clinic, house.draft.payer, "medicare 2026")
    assert dict(schedule.fees.values_list("code", "rate")) == {"J2350": Decimal("60.97"), "96365": Decimal("68.5")}
    event = AuditEvent.objects.get(subject="fees")
    assert (event.action, event.by, event.after["fees"]) == ("fees.load", house.people[ADMIN], "2 codes")


def test_confirming_twice_loads_once(admin: Client) -> None:
    reply = look(admin)
    first, second = confirm(admin, reply), confirm(admin, reply)
    assert first["Location"] == second["Location"]
    assert FeeSchedule.objects.count() == 1


def test_what_another_person_looked_at_is_not_theirs_to_confirm(
    admin: Client, house: House, person: Callable[..., User]
) -> None:
    colleague = Client()
    colleague.force_login(person("admin9", ADMIN, house.clinic))
    reply = look(admin)
    for client, secret in ((colleague, kept(reply)), (admin, kept(reply)[:-2] + "xx"), (admin, "")):
        answer = client.post(reverse("fee-load"), {"act": "confirm", "kept": secret})
        assert "Choose the file again." in text_of(answer)
    assert not FeeSchedule.objects.exists()


def test_a_file_with_a_problem_cannot_be_confirmed(admin: Client) -> None:
    reply = look(admin, HEAD + "J2350,60.97,,,\n=HYPERLINK(1),<script>x</script>,,,\n")
    assert "2 cells cannot be read" in text_of(reply)
    assert b"<script>x" not in reply.content
    assert b"Confirm and load" not in reply.content
    file = admin.post(reverse("fee-load"), {"act": "errors", "kept": kept(reply)})
    rows = list(csv.reader(io.StringIO(file.content.decode("utf-8-sig"))))
    assert rows[0] == ["Row", "Column", "Value", "Reason"]
    assert rows[1][:3] == ["3", "Code", "'=HYPERLINK(1)"]
    assert "attachment" in file["Content-Disposition"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"payer": ""}, "Whose: choose the payer"),
        ({"payer": "nobody"}, "Whose: choose one of the list."),
        ({"source": " "}, "Source: say where"),
        ({"effective_from": ""}, "First day: enter"),
        ({"effective_until": "2025-12-31"}, "The last day lies before the first."),
        ({"file": ""}, "File: choose the CSV file"),
    ],
)
def test_what_is_missing_is_said_at_its_field(admin: Client, entry: dict[str, str], said: str) -> None:
    reply = admin.post(reverse("fee-load"), {**sent(), **entry})
    assert said in text_of(reply)
    assert "<title>Error: " in text_of(reply)
    assert not FeeSchedule.objects.exists()


# One schedule on one day ----------------------------------------------------------------------------------------------


def test_the_schedule_before_is_ended_the_day_before_once_agreed(admin: Client, house: House) -> None:
    old = load_fees(
        by=None, clinic=house.clinic, fees=new_fees(house.draft.payer, JANUARY, J2350="59.60", J1200="0.84")
    )
    reply = look(admin, effective_from="2026-06-01")
    shown = text_of(reply)
    assert "End Fees from 2026-01-01 on May 31, 2026" in shown
    assert "+2.3%" in shown, "60.97 / 59.60 = 1.023"
    assert "Without a rate from then on: J1200." in shown
    refused = confirm(admin, reply)
    assert "It has to end on May 31, 2026 before this one begins" in text_of(refused)
    assert FeeSchedule.objects.get().effective_until is None
    confirm(admin, refused, end_previous="yes")
    old.refresh_from_db()
    assert old.effective_until == date(2026, 5, 31)
    assert [event.action for event in AuditEvent.objects.filter(subject="fees")] == [
        "fees.load",
        "fees.end",
        "fees.load",
    ]


@pytest.mark.parametrize(
    ("first", "last", "meets"),
    [
        (date(2025, 1, 1), date(2025, 12, 31), False),  # ends the day before
        (date(2025, 1, 1), date(2026, 1, 1), True),  # ends on its first day
        (date(2026, 1, 1), None, True),
        (date(2026, 7, 1), None, False),  # begins the day after
    ],
)
def test_two_schedules_never_hold_on_one_day(house: House, first: date, last: date | None, *, meets: bool) -> None:
    load_fees(by=None, clinic=house.clinic, fees=new_fees(None, JANUARY, date(2026, 6, 30)))
    other = new_fees(None, first, last, J2350="61")
    if meets:
        with pytest.raises(Refused, match="two schedules cannot hold on one day"):
            load_fees(by=None, clinic=house.clinic, fees=other, end_previous=True)
    else:
        load_fees(by=None, clinic=house.clinic, fees=other)
    assert FeeSchedule.objects.count() == (1 if meets else 2)


def test_the_last_day_of_one_is_asked_about_and_another_payer_is_not(house: House) -> None:
    load_fees(by=None, clinic=house.clinic, fees=new_fees(None, JANUARY, date(2026, 6, 1)))
    load_fees(by=None, clinic=house.clinic, fees=new_fees(house.draft.payer, JANUARY))
    with pytest.raises(FeesInTheWay, match=r"until June 1, 2026\. It has to end on May 31, 2026"):
        load_fees(by=None, clinic=house.clinic, fees=new_fees(None, JUNE, J2350="61"))


def test_the_same_file_is_recognised(admin: Client) -> None:
    confirm(admin, look(admin))
    assert "This very file was loaded on" in text_of(look(admin, effective_from="2026-06-01"))
    assert FeeSchedule.objects.count() == 1


def test_a_withdrawn_schedule_makes_room_and_stays_to_be_seen(admin: Client, house: House) -> None:
    confirm(admin, look(admin))
    schedule = FeeSchedule.objects.get()
    address = reverse("fee-withdraw", args=[schedule.public_id])
    assert "Say why" in text_of(admin.post(address, {"reason": " "}))
    admin.post(address, {"reason": "Wrong plan."})
    assert AuditEvent.objects.get(action="fees.withdraw").reason == "Wrong plan."
    with pytest.raises(Refused, match="withdrawn already"):
        withdraw_fees(by=house.people[ADMIN], schedule=schedule, reason="Again.")
    confirm(admin, look(admin))
    assert FeeSchedule.objects.filter(withdrawn_at__isnull=True).count() == 1
    shown = text_of(admin.get(reverse("fees"), {"on": "2026-03-10"}))
    assert "Withdrawn" in shown
    assert "In force" in shown


def test_the_list_looks_on_the_day_that_is_asked_for(admin: Client, house: House) -> None:
    load_fees(by=None, clinic=house.clinic, fees=new_fees(house.draft.payer, JUNE))
    assert "begins on June 1, 2026" in text_of(admin.get(reverse("fees"), {"on": "2026-05-31"}))
    assert "from June 1, 2026" in text_of(admin.get(reverse("fees"), {"on": "2026-06-01"}))
    assert "In force on: write the day" in text_of(admin.get(reverse("fees"), {"on": "soon"}))


def test_the_neighbours_see_none_of_it(next_door: House, house: House) -> None:
    schedule = load_fees(by=None, clinic=house.clinic, fees=new_fees(None))
    client = Client()
    client.force_login(next_door.people[ADMIN])
    assert client.get(reverse("fee-schedule", args=[schedule.public_id])).status_code == 404
    assert client.post(reverse("fee-withdraw", args=[schedule.public_id]), {"reason": "x"}).status_code == 404
    assert schedule.name not in text_of(client.get(reverse("fees")))
    load_fees(by=None, clinic=next_door.clinic, fees=new_fees(None))
    schedule.refresh_from_db()
    assert schedule.withdrawn_at is None


def test_billing_looks_and_an_admin_changes(house: House) -> None:
    schedule = load_fees(by=None, clinic=house.clinic, fees=new_fees(None))
    client = Client()
    client.force_login(house.people[BILLING])
    page = client.get(reverse("fee-schedule", args=[schedule.public_id]))
    assert b"$60.97" in page.content
    assert b"Withdraw this schedule" not in page.content
    assert client.get(reverse("fee-load")).status_code == 403


# What holds for an encounter ------------------------------------------------------------------------------------------


def test_the_date_of_service_decides(house: House, clinic: Clinic) -> None:
    for first, last, rate in ((JANUARY, date(2026, 3, 9), "59"), (date(2026, 3, 10), None, "61")):
        load_fees(by=None, clinic=clinic, fees=new_fees(house.draft.payer, first, last, J2350=rate))
    statement = review_of(house.draft).statement
    found = []
    for day in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 3, 9), date(2026, 3, 10)):
        found.append(expected_of(house.draft, statement._replace(date_of_service=day)).total)
    # 600 units at 59 and at 61; before the first day there is none, which is not nothing.
    assert found == [None, Decimal(35400), Decimal(35400), Decimal(36600)]


def test_a_line_of_another_day_is_paid_by_that_day(house: House) -> None:
    payer, eve = house.draft.payer, date(2026, 3, 10)
    load_fees(by=None, clinic=house.clinic, fees=new_fees(payer, JANUARY, eve, J2350="60", **{"96366": "20"}))
    load_fees(by=None, clinic=house.clinic, fees=new_fees(payer, date(2026, 3, 11), J2350="61", **{"96366": "25"}))
    statement = review_of(house.draft).statement
    lines = tuple(
        line._replace(date_of_service=date(2026, 3, 11)) if line.code == "96366" else line for line in statement.lines
    )
    amounts = {each.line.code: each.amount for each in expected_of(house.draft, statement._replace(lines=lines)).lines}
    # The hour past midnight at the new rate; the drug, dated by the encounter, at the old one: 600 x 60.
    assert amounts == {"96365": None, "96366": Decimal(25), "J2350": Decimal(36000)}


def test_charges_are_the_clinics_own(house: House, next_door: House) -> None:
    load_fees(by=None, clinic=house.clinic, fees=new_fees(None, J2350="128", **{"96365": "285"}))
    load_fees(by=None, clinic=house.clinic, fees=new_fees(house.draft.payer, J2350="60.97"))
    with CaptureQueriesContext(
        connection,
    ) as asked:
        found = charges_for(house.clinic, date(2026, 3, 10))
    assert len(asked) == 1
    assert {code: fee.rate for code, fee in found.items()} == {"J2350": Decimal(128), "96365": Decimal(285)}
    assert charges_for(house.clinic, date(2025, 12, 31)) == {}
    assert charges_for(next_door.clinic, date(2026, 3, 10)) == {}
    days = charges_for_many(house.clinic, [date(2025, 12, 31), date(2026, 3, 10)])
    assert [len(days[day]) for day in sorted(days)] == [0, 2]
    assert charges_for_many(house.clinic, []) == {}


def test_a_list_asks_no_more_than_one_encounter(house: House) -> None:
    for number in range(4):
        first = JANUARY + timedelta(days=number * 30)
        load_fees(
            by=None, clinic=house.clinic,
            fees=new_fees(house.draft.payer, first, first + timedelta(days=29), J2350=f"{60 + number}"),
        )  # fmt: skip
    pairs = [(each, review_of(each).statement) for each in house.encounters]
    with CaptureQueriesContext(connection) as asked:
        found = expected_of_many(house.clinic, pairs)
    assert len(asked) == 2
    # March 10 is day 69 of the year, in the third stretch: 600 x 62.
    assert [each.total for each in found] == [Decimal(37200)] * 4
    assert expected_of_many(house.clinic, []) == []


def test_a_review_shows_what_each_line_should_bring(house: House) -> None:
    client = Client()
    client.force_login(house.people[BILLING])
    address = reverse("review", args=[house.with_billing.public_id])
    assert "No fee schedule of Medicare is in force" in text_of(client.get(address))
    load_fees(by=None, clinic=house.clinic, fees=new_fees(house.draft.payer, J2350="60.97", **{"96365": "68.50"}))
    shown = text_of(client.get(address))
    # 600 x 60.97 + 68.50 = 36650.50, and nothing is known of 96366.
    assert "$36,650.50" in shown
    assert "The total leaves out 96366 without a rate." in shown


def test_a_review_leaves_out_what_is_not_believed(house: House) -> None:
    load_fees(by=None, clinic=house.clinic, fees=new_fees(house.draft.payer, J2350="2429.16", **{"96365": "68.50"}))
    client = Client()
    client.force_login(house.people[BILLING])
    shown = text_of(client.get(reverse("review", args=[house.with_billing.public_id])))
    assert '<span class="expected-total">$68.50</span>' in shown
    assert "$1,457,496.00" in shown
    assert "J2350, whose rate is not believed" in shown


def test_differences_name_what_is_new_changed_and_gone(house: House) -> None:
    load_fees(by=None, clinic=house.clinic, fees=new_fees(None, J2350="60", J1200="1", J1745="40"))
    previous, found = differences(house.clinic, new_fees(None, JUNE, J2350="61", J1745="40", J3380="27"))
    assert previous is not None
    assert [(each.code, each.was is None, each.now is None) for each in found] == [
        ("J1200", False, True), ("J2350", False, False), ("J3380", True, False),
    ]  # fmt: skip
    assert differences(house.clinic, new_fees(None, JANUARY)) == (None, [])


def test_a_change_is_told_in_percent() -> None:
    changes = [
        change_in_words(Decimal(was), Decimal(now)) for was, now in (("40", "50"), ("50", "40"), ("1000", "1000.1"))
    ]
    assert changes == ["+25.0%", "−20.0%", "up less than 0.1%"]
    assert change_in_words(Decimal(1), Decimal(1)) == "same rate, other quartiles"


def test_a_changed_fee_shows_in_the_audit(house: House) -> None:
    schedule = load_fees(by=None, clinic=house.clinic, fees=new_fees(None))
    before = AuditEvent.objects.get(action="fees.load").after["fees_hash"]
    Fee.objects.update(rate=Decimal(61))
    withdraw_fees(by=house.people[ADMIN], schedule=schedule, reason="x")
    assert AuditEvent.objects.get(action="fees.withdraw").before["fees_hash"] != before


# From a shell ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[str]]:
    def write(**texts: str) -> list[str]:
        for name, text in texts.items():
            (tmp_path / f"{name}.csv").write_text(text)
        return [str(tmp_path / f"{name}.csv") for name in texts]

    return write


GIVEN = ("--from", "2026-01-01", "--source", "Contract 7")


def test_files_are_told_apart_by_their_names(
    clinic: Clinic, medicare: Payer, files: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("import_fees", *files(charges="Code,Rate\nJ2350,128\n", medicare="Code,Rate\nJ2350,2429.16\n"), *GIVEN)
    assert set(FeeSchedule.objects.values_list("payer", "name")) == {(None, "charges"), (medicare.pk, "medicare")}
    assert "Not believed: J2350." in capsys.readouterr().out


def test_what_cannot_be_loaded_is_told_and_ends_with_one(
    clinic: Clinic, medicare: Payer, files: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    names = files(medicare="Code,Rate\nJ2350,1\n", charges="Code,Rate\nJ2350,-1\n", nobody="Code,Rate\nJ2350,1\n")
    with pytest.raises(SystemExit) as ended:
        call_command("import_fees", *names, "/nowhere/charges.csv", *GIVEN)
    assert ended.value.code == 1
    told_here = capsys.readouterr().err
    assert "row 2, Rate, '-1': A rate cannot be below zero." in told_here
    assert "There is no payer nobody." in told_here
    assert "cannot be read: No such file" in told_here
    assert FeeSchedule.objects.count() == 1


def test_the_schedule_before_is_ended_only_on_demand(
    clinic: Clinic, medicare: Payer, files: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("import_fees", *files(first="Code,Rate\nJ2350,1\n"), *GIVEN, "--payer", "medicare")
    later = (*files(second="Code,Rate\nJ2350,2\n"), "--payer", "medicare", "--from", "2026-06-01", "--source", "x")
    with pytest.raises(SystemExit):
        call_command("import_fees", *later)
    assert "add --end-previous" in capsys.readouterr().err
    call_command("import_fees", *later, "--end-previous")
    assert FeeSchedule.objects.count() == 2


def test_whose_schedules_they_are_has_to_be_certain(clinic: Clinic, other_clinic: Clinic, files: Any) -> None:
    names = files(charges="Code,Rate\nJ2350,1\n", medicare="Code,Rate\nJ2350,1\n")
    with pytest.raises(CommandError, match="Hillside Infusion, Riverside Infusion Center"):
        call_command("import_fees", *names, *GIVEN)
    with pytest.raises(CommandError, match="--payer goes with one file"):
        call_command("import_fees", *names, *GIVEN, "--payer", "medicare")


def test_the_demo_charges_every_code_and_doubts_two(clinic: Clinic, db: None) -> None:
    for slug in ("medicare", "cigna", "unitedhealthcare"):
        Payer.objects.create(slug=slug, name=slug.title())
    assert demo_fees.load_demo_fees(None, clinic) == 4
    assert demo_fees.load_demo_fees(None, clinic) == 0
    reference = shipped_reference()
    assert set(charges_for(clinic, date(2026, 3, 10))) == {*reference.administration, *reference.drugs}
    doubted = Fee.objects.exclude(implausible="").order_by("rate").values_list("schedule__payer__slug", "rate")
    assert list(doubted) == [("cigna", Decimal("663.67")), ("unitedhealthcare", Decimal("2429.16"))]


def test_a_schedule_is_found_again_by_the_id_it_was_shown_under(house: House) -> None:
    fees = new_fees(None)
    one, two = uuid4(), uuid4()
    assert load_fees(by=None, clinic=house.clinic, fees=_as(fees, one)).public_id == one
    assert load_fees(by=None, clinic=house.clinic, fees=_as(fees, one)).public_id == one
    with pytest.raises(Refused, match="This very file"):
        load_fees(by=None, clinic=house.clinic, fees=_as(fees, two))


def _as(fees: NewFees, public_id: Any) -> NewFees:
    return NewFees(**{name: getattr(fees, name) for name in fees.__slots__ if name != "public_id"}, public_id=public_id)
