"""CMS's quarterly tables: what of a file is read and refused, what loading does, and its pages."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from infusion.actions import NewEdits, Refused, load_edits, withdraw_edits
from infusion.actions.tables import before, rows_of
from infusion.arriving import UnreadableFile
from infusion.audit import AuditEvent
from infusion.claim_review import claim_findings_of
from infusion.edit_file import LimitRow, PairRow, compare, days_of, quarter_named, read_edit_files, value_of
from infusion.models import Approval, EditTable, Encounter, User
from infusion.selectors import review_of
from tests.web.access_table import ADMIN, BILLING
from tests.web.conftest import House

NOTICE = (
    '"CPT codes, descriptions and other data only are copyright 2026 American Medical Association.\n'
    'All Rights Reserved. Applicable FARS/DFARS apply.",,,\n'
)
HEADS = '"HCPCS/\nCPT Code",Practitioner Services MUE Values,MUE Adjudication Indicator,MUE Rationale\n'
MUE = (
    NOTICE + HEADS + "0001U,1,2 Date of Service Edit: Policy,Code Descriptor\n"
    "96365,1,3 Date of Service Edit: Clinical,Nature of Service\n"
    "96366,8,1 Line Edit,Clinical: Data\n"
    "J2350,600,2 Date of Service Edit: Policy,Prescribing Information\n"
)
NCCI = (
    '"CPT only copyright 2026 American Medical Association. All rights reserved."\n'
    "Column1/Column2 Edits\n"
    'Column 1\tColumn 2\t"*=in existence\nprior to 1996"\tEffective Date\tDeletion Date\tModifier\tRationale\n'
    "\t\t\t\t*=no data\t0=not allowed\t\n\t\t\t\t\t1=allowed\t\n\t\t\t\t\t9=not applicable\t\n"
    "0001A\t0591T\t\t20210101\t*\t1\tMisuse\n"
    "96365\t96374\t\t20090101\t*\t1\tMore extensive\n"
    "96413\t96401\t*\t19960101\t*\t0\tMore extensive\n"
)


def read(text: str | bytes, kind: str = "mue", claims: str = "practitioner", quarter: str = "2026Q1") -> Any:
    content = text if isinstance(text, bytes) else text.encode()
    return read_edit_files(kind, claims, quarter, [io.BytesIO(content)])


def rows(text: str | bytes, kind: str = "mue", **more: str) -> list[Any]:
    return list(read(text, kind, **more).rows.values())


def pairs(*lines: str, quarter: str = "2026Q1") -> list[Any]:
    """The rows of a table of pairs, commas for tabs."""
    head = "Column 1,Column 2,*=in existence prior to 1996,Effective Date,Deletion Date,Modifier,Rationale\n"
    return rows(head + "\n".join(["96360,96361,,20000101,*,1,", *lines]), "ncci", quarter=quarter)[1:]


# Files ----------------------------------------------------------------------------------------------------------------


def test_unlikely_units_as_cms_writes_them() -> None:
    file = read(MUE)
    assert list(file.rows.values()) == [
        LimitRow("96365", 1, "3"), LimitRow("96366", 8, "1"), LimitRow("J2350", 600, "2"),
    ]  # fmt: skip
    assert (file.rows_read, len(file.checksum)) == (4, 64)


def test_code_pairs_as_cms_writes_them() -> None:
    assert rows(NCCI, "ncci") == [
        PairRow("96365", "96374", date(2009, 1, 1), None, True),
        PairRow("96413", "96401", date(1996, 1, 1), None, False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        MUE.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + MUE.encode(),
        MUE.encode().replace(b"Clinical: Data", b"Clinical \x96 Data"),
        MUE.replace(NOTICE, ""),
        MUE.replace(NOTICE, NOTICE + "Practitioner Services MUE Table,,,\n,,,\n"),
        MUE.replace(HEADS, HEADS.replace("\n", " ", 1)),
        MUE + ",,,\n\n",
        MUE.replace("J2350", "j2350"),
        re.sub(r"(?m)^([0-9A-Z]{5}),", r'"\1",', MUE),
    ],
)
def test_the_same_table_in_another_guise(text: str | bytes) -> None:
    assert rows(text) == rows(MUE)


def test_headings_say_where_a_column_stands() -> None:
    text = "MUE Rationale,MUE Adjudication Indicator,HCPCS/CPT Code,Outpatient Hospital Services MUE Values\n"
    assert rows(text + "x,2 Policy,J2350,600\n", claims="outpatient") == [LimitRow("J2350", 600, "2")]


@pytest.mark.parametrize(
    ("heads", "claims", "said"),
    [
        ("Outpatient Hospital Services MUE Values", "practitioner", "outpatient claims, not for practitioner"),
        ("Practitioner Services MUE Values", "outpatient", "practitioner claims, not for outpatient"),
        ("DME Supplier Services MUE Values", "practitioner", "supplier claims, not for practitioner"),
    ],
)
def test_the_table_of_other_claims_is_refused(heads: str, claims: str, said: str) -> None:
    text = MUE.replace("Practitioner Services MUE Values", heads)
    with pytest.raises(UnreadableFile, match=said):
        read(text, claims=claims)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "The file is empty"),
        (b"PK\x03\x04rest", "an archive or a workbook"),
        (b"\xd0\xcf\x11\xe0rest", "an archive or a workbook"),
        (MUE.encode() + b"\x00", "zero byte"),
        (MUE + '96367,"4,3 Date\n' + "x" * 140_000, "quotation mark is not closed"),
        ("Name,Value\nx,1\n", "No row of headings was found that names HCPCS/CPT Code, MUE Values"),
        (HEADS.replace("MUE Adjudication Indicator", "MAI") + "J2350,600,2,x\n", "No row of headings"),
        (HEADS + "\n" * 99, "No row of headings"),
        (HEADS, "No row of headings"),
        (NCCI, "No row of headings was found"),
        (HEADS + "0001U,1,2,x\n", "None of its 1 rows is about a code"),
        (MUE + "96367,many,3,x\n", "Nothing of it is loaded. Row 7: many is not a number of units of 96367."),
        (MUE + "96367,,3,x\n", "nothing is not a number of units of 96367"),
        (MUE + "96367,-1,3,x\n", "-1 is not a number"),
        (MUE + "96367,4,7,x\n", "the indicator of 96367 is 7, and 1, 2 or 3 is known"),
        (MUE + "TOTAL,4,3,x\n", "TOTAL is not a code of five characters"),
        (MUE + "J2350,700,2,x\n", "J2350 stands there twice, with different values"),
    ],
)
def test_what_cannot_be_read_is_refused_whole(text: str | bytes, said: str) -> None:
    with pytest.raises(UnreadableFile, match=re.escape(said)):
        read(text)


def test_a_row_twice_over_is_one() -> None:
    assert rows(MUE + "J2350,600,2,x\n") == rows(MUE)


def test_only_the_first_problems_are_told() -> None:
    with pytest.raises(UnreadableFile) as refused:
        read(MUE + "96367,x,3,x\n" * 99)
    assert str(refused.value).count("Row") == 5


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MOST_ROWS"])
def test_a_file_beyond_any_table_is_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"infusion.edit_file.{limit}", 3)
    with pytest.raises(UnreadableFile, match="which no"):
        read(MUE)


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("96360", True), ("96549", True), ("96299", False), ("96600", False), ("99601", True), ("99602", True),
        ("99603", False), ("J0129", True), ("Q5103", True), ("S9379", True), ("S0013", False), ("C9399", True),
        ("C1713", False), ("A9500", False), ("99213", False),
    ],
)  # fmt: skip
def test_only_codes_that_an_infusion_claim_carries_are_kept(code: str, kept: bool) -> None:
    assert (LimitRow(code, 4, "") in rows(f"{MUE}{code},4,,x\n")) == kept


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("96365,96374,,20090101,*,1,", PairRow("96365", "96374", date(2009, 1, 1), None, True)),
        ("96365,96374,,20090101,,0,", PairRow("96365", "96374", date(2009, 1, 1), None, False)),
        ("96365,96374,*,1/1/2009,12/31/2026,1,", PairRow("96365", "96374", date(2009, 1, 1), date(2027, 1, 1), True)),
        ("96365,96374,,20090101,20251231,1,", None),
        ("96365,96374,,20090101,20260101,1,", PairRow("96365", "96374", date(2009, 1, 1), date(2026, 1, 2), True)),
        ("96365,96374,,20260331,*,1,", PairRow("96365", "96374", date(2026, 3, 31), None, True)),
        ("96365,96374,,20260401,*,1,", None),
        ("96365,96374,,20260201,20260201,1,", None),
        ("96365,96374,,20090101,*,9,", None),
        ("96365,36000,,20090101,*,1,", None),
        ("36000,96365,,20090101,*,1,", None),
    ],
)
def test_a_pair_is_kept_where_it_holds_in_the_quarter(line: str, row: PairRow | None) -> None:
    assert pairs(line) == ([row] if row else [])


def test_a_deletion_date_is_the_last_day_in_force() -> None:
    [row] = pairs("96365,96374,,20090101,20260210,1,")
    assert row.deleted_from == date(2026, 2, 11)
    assert value_of(row) == "with a modifier, until 2026-02-10"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("96365,96374,,20090101,*,5,", "modifier indicator of 96365 and 96374 is 5"),
        ("96365,96374,,20090101,*,,", "is missing, not 0, 1 or 9"),
        ("96365,96374,,*,*,1,", "have no effective date"),
        ("96365,96374,,20090230,*,1,", "20090230 is not a day"),
        ("96365,96374,,2009-01-01,*,1,", "2009-01-01 is not a day"),
        ("96365,9637,,20090101,*,1,", "9637 is not a code"),
        ("96365", "nothing is not a code"),
    ],
)
def test_a_pair_that_cannot_be_read_is_told(line: str, said: str) -> None:
    with pytest.raises(UnreadableFile, match=re.escape(said)):
        pairs(line)


def test_parts_of_a_table_are_one() -> None:
    other = MUE.replace("J2350,600", "J2351,920")
    file = read_edit_files("mue", "practitioner", "2026Q1", [io.BytesIO(each.encode()) for each in (MUE, other)])
    assert [row.key[0] for row in file.rows.values()] == ["96365", "96366", "J2350", "J2351"]
    assert file.checksum not in (read(MUE).checksum, read(other).checksum)


@pytest.mark.parametrize(
    ("text", "quarter", "first", "last"),
    [
        ("2026Q1", "2026Q1", date(2026, 1, 1), date(2026, 3, 31)),
        ("2026-q2", "2026Q2", date(2026, 4, 1), date(2026, 6, 30)),
        (" 2026 Q3 ", "2026Q3", date(2026, 7, 1), date(2026, 9, 30)),
        ("2026Q4", "2026Q4", date(2026, 10, 1), date(2026, 12, 31)),
    ],
)
def test_quarters(text: str, quarter: str, first: date, last: date) -> None:
    assert quarter_named(text) == quarter
    assert days_of(quarter) == (first, last)


@pytest.mark.parametrize("text", ["", "2026", "2026Q5", "26Q1", "Q1 2026"])
def test_what_is_no_quarter(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a quarter\. Write it like 2026Q4\."):
        quarter_named(text)


def test_two_tables_compared() -> None:
    was = [LimitRow("A", 1), LimitRow("B", 2), LimitRow("C", 3)]
    changes = compare(was, [LimitRow("C", 3, "2"), LimitRow("B", 2), LimitRow("D", 4)])
    assert (changes.added, changes.removed) == ((LimitRow("D", 4),), (LimitRow("A", 1),))
    assert changes.changed == ((LimitRow("C", 3), LimitRow("C", 3, "2")),)
    assert changes.count == 3


# Loading --------------------------------------------------------------------------------------------------------------


def new(text: str = MUE, kind: str = "mue", claims: str = "practitioner", quarter: str = "2026Q1") -> NewEdits:
    file = read(text, kind, claims, quarter)
    return NewEdits(
        kind=kind, claims=claims, quarter=quarter, source="CMS, MUE page", checksum=file.checksum,
        rows=tuple(file.rows.values()), rows_read=file.rows_read,
    )  # fmt: skip


def test_what_is_loaded_is_what_was_read(admin_user: User) -> None:
    limits, codes = load_edits(by=admin_user, new=new()), load_edits(by=admin_user, new=new(NCCI, "ncci"))
    assert rows_of(limits) == rows(MUE)
    assert rows_of(codes) == rows(NCCI, "ncci")
    assert (limits.effective_from, limits.effective_until) == (date(2026, 1, 1), date(2026, 3, 31))
    assert str(limits) == "Medically unlikely units (MUE), practitioner, 2026Q1"


def test_the_same_file_again_is_recognized(admin_user: User) -> None:
    load_edits(by=admin_user, new=new())
    with pytest.raises(Refused, match=r"This very file was loaded on .*: Medically unlikely units .*, 2026Q1"):
        load_edits(by=admin_user, new=new())
    load_edits(by=admin_user, new=new(quarter="2026Q2"))
    assert EditTable.objects.count() == 2


def test_another_file_for_the_quarter_takes_its_place_and_the_old_one_is_kept(admin_user: User) -> None:
    first = load_edits(by=admin_user, new=new())
    second = load_edits(by=admin_user, new=new(MUE.replace("600", "900")))
    first.refresh_from_db()
    assert first.withdrawn_at is not None
    assert second.withdrawn_at is None
    assert rows_of(first) == rows(MUE)
    assert [event.action for event in AuditEvent.objects.order_by("-sequence")[:3]] == [
        "edits.load", "edits.withdraw", "edits.load",
    ]  # fmt: skip
    other = load_edits(by=admin_user, new=new(NCCI, "ncci"))
    second.refresh_from_db()
    assert (second.withdrawn_at, other.withdrawn_at) == (None, None)


def test_a_new_table_is_compared_with_the_quarter_before(admin_user: User) -> None:
    assert before(new()) is None
    first = load_edits(by=admin_user, new=new(quarter="2025Q4"))
    load_edits(by=admin_user, new=new(quarter="2026Q3"))
    withdraw_edits(by=admin_user, table=load_edits(by=admin_user, new=new(quarter="2026Q1")), reason="Wrong file.")
    assert before(new(quarter="2026Q2")) == first


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_withdrawal_has_a_reason_and_happens_once(admin_user: User, reason: str) -> None:
    table = load_edits(by=admin_user, new=new())
    with pytest.raises(Refused, match="Say why"):
        withdraw_edits(by=admin_user, table=table, reason=reason)
    withdraw_edits(by=admin_user, table=table, reason="Wrong file.")
    with pytest.raises(Refused, match="withdrawn already"):
        withdraw_edits(by=admin_user, table=table, reason="Again.")


def test_a_source_is_said(admin_user: User) -> None:
    nameless = NewEdits(kind="mue", claims="practitioner", quarter="2026Q1", source=" ", checksum="c", rows=())
    with pytest.raises(Refused, match="Say where the file comes from"):
        load_edits(by=admin_user, new=nameless)


def test_no_encounter_is_touched_and_what_is_open_is_checked_anew(house: House) -> None:
    def stored() -> list[Any]:
        return [*Encounter.objects.order_by("pk").values_list(), *Approval.objects.order_by("pk").values_list()]

    untouched = stored()
    load_edits(by=house.people[ADMIN], new=new(MUE.replace("J2350,600", "J2350,599")))
    assert stored() == untouched
    found = claim_findings_of(house.with_billing, review_of(house.with_billing))
    assert "claim.units_above_absolute" in [finding.code for finding in found]


# The command ----------------------------------------------------------------------------------------------------------

Load = Callable[..., str]


@pytest.fixture
def load(tmp_path: Path, db: None) -> Load:
    """Runs the command on a file with this text."""

    def run(text: str, *more: str, kind: str = "mue", quarter: str = "2026Q1") -> str:
        path = tmp_path / "table.csv"
        path.write_text(text, encoding="utf-8")
        out = io.StringIO()
        call_command(
            "load_edits", str(path), *more, kind=kind, claims="practitioner", quarter=quarter, source="CMS", stdout=out
        )
        return out.getvalue()

    return run


def test_the_command_shows_first_and_writes_when_told(load: Load) -> None:
    told = load(MUE)
    for part in (
        "4 rows read, 3 about codes of infusion claims.", "Against no table before it:", "3 added",
        "  J2350: 600 a day, without exception", "Nothing is written. Add --load",
    ):  # fmt: skip
        assert part in told
    assert not EditTable.objects.exists()
    assert not AuditEvent.objects.exists()
    assert "Loaded: Medically unlikely units (MUE), practitioner, 2026Q1" in load(MUE, "--load")
    [event] = AuditEvent.objects.all()
    assert (event.action, event.by, event.after["rows"]) == ("edits.load", None, 3)


def test_the_command_tells_what_changed(load: Load) -> None:
    load(MUE, "--load")
    told = load(MUE.replace("J2350,600", "J2350,900").replace("96366,8", "96367,4"), quarter="2026Q2")
    assert "Against Medically unlikely units (MUE), practitioner, 2026Q1:" in told
    assert "1 added\n  96367: 4 on a line\n1 removed\n  96366: 8 on a line\n1 changed\n" in told
    assert "  J2350: 600 a day, without exception -> 900 a day, without exception" in told
    again = load(MUE.replace("J2350,600", "J2350,900"))
    assert f"It takes the place of the load of {timezone.now():%Y-%m-%d}, which is kept." in again


def test_the_command_tells_a_long_list_in_part(load: Load) -> None:
    many = MUE + "".join(f"J{number},1,3,x\n" for number in range(1000, 1030))
    assert "33 added" in load(many)
    assert "  and 13 more" in load(many)
    assert "more" not in load(many, "--all")


@pytest.mark.parametrize(
    ("text", "quarter", "said"),
    [(MUE, "2026Q9", "is not a quarter"), ("x", "2026Q1", "No row of headings"), (MUE, "2026Q1", "This very file")],
)
def test_the_command_says_what_it_cannot_do(load: Load, text: str, quarter: str, said: str) -> None:
    load(MUE, "--load")
    with pytest.raises(CommandError, match=said):
        load(text, quarter=quarter)


def test_the_command_says_which_file_is_not_there(db: None) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.csv cannot be read"):
        call_command("load_edits", "nowhere.csv", kind="mue", claims="practitioner", quarter="2026Q1", source="CMS")


# Pages ----------------------------------------------------------------------------------------------------------------


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text_of(reply: Any) -> str:
    main = reply.content.decode().partition("<main")[2].partition("</main>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", main).replace("&nbsp;", " ").split())


def upload(client: Client, text: str = MUE, **more: str) -> Any:
    said = {"kind": "mue", "claims": "practitioner", "quarter": "2026Q1", "source": "CMS", "act": "preview", **more}
    return client.post("/tables/load/", {**said, "file": SimpleUploadedFile("t.csv", text.encode())})


def kept(reply: Any) -> str:
    found = re.search(r'name="kept" value="([^"]+)"', reply.content.decode())
    assert found
    return found[1]


def test_a_file_is_looked_at_and_then_loaded(house: House) -> None:
    client = client_of(house.people[ADMIN])
    looked = upload(client)
    for part in (
        "Nothing is saved yet.",
        "rows to load 3",
        "4 rows read",
        "J2350 not there 600 a day, without exception",
    ):
        assert part in text_of(looked), part
    assert not EditTable.objects.exists()
    reply = client.post("/tables/load/", {"act": "confirm", "kept": kept(looked)}, follow=True)
    assert "Loaded: Medically unlikely units (MUE), practitioner, 2026Q1." in text_of(reply)
    [table] = EditTable.objects.all()
    assert (table.loaded_by, rows_of(table)) == (house.people[ADMIN], rows(MUE))
    assert "This very file was loaded" in text_of(upload(client))
    assert "This very file was loaded" in text_of(
        client.post("/tables/load/", {"act": "confirm", "kept": kept(looked)})
    )


def test_pairs_come_through_the_browser_whole(house: House) -> None:
    client, text = client_of(house.people[ADMIN]), NCCI + "96360\t96361\t\t20240101\t20260310\t1\tx\n"
    client.post("/tables/load/", {"act": "confirm", "kept": kept(upload(client, text, kind="ncci"))})
    assert rows_of(EditTable.objects.get()) == rows(text, "ncci")


def test_a_second_load_shows_what_changed(house: House) -> None:
    client = client_of(house.people[ADMIN])
    load_edits(by=None, new=new(quarter="2025Q4"))
    looked = text_of(upload(client, MUE.replace("J2350,600", "J2350,900")))
    for part in ("1 changed", "0 added", "Against 2025Q4", "J2350 600 a day, without exception 900", "2 rows stay"):
        assert part.replace("1 changed", "changed 1").replace("0 added", "added 0") in looked, part
    load_edits(by=None, new=new())
    assert "It takes the place of the load of" in text_of(upload(client, MUE.replace("600", "900")))


def test_what_was_not_looked_at_is_not_loaded(house: House, person: Callable[..., User]) -> None:
    looked = kept(upload(client_of(house.people[ADMIN])))
    other = client_of(person("admin9", ADMIN, house.clinic))
    for client, sent in ((other, looked), (client_of(house.people[ADMIN]), looked[:-1] + "x"), (other, "")):
        reply = client.post("/tables/load/", {"act": "confirm", "kept": sent})
        assert "more than an hour old, or not yours" in text_of(reply)
        assert reply.status_code == 422
    assert not EditTable.objects.exists()


def test_a_table_too_large_for_the_browser_is_left_to_the_command(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infusion.views.tables.LARGEST_SEAL", 10)
    assert "Load it with the command manage.py load_edits." in text_of(upload(client_of(house.people[ADMIN])))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("kind", "", "Table: choose"), ("kind", "x", "Table: choose one of the list"), ("claims", "", "Claims: choose"),
        ("quarter", "", "Quarter: Nothing is not a quarter"), ("quarter", "2026", "Quarter: 2026 is not a quarter"),
        ("source", " ", "Source: say where"),
    ],
)  # fmt: skip
def test_the_form_says_what_it_needs(house: House, field: str, value: str, said: str) -> None:
    reply = upload(client_of(house.people[ADMIN]), **{field: value})
    assert said in text_of(reply)
    assert reply.status_code == 422


def test_a_file_is_chosen_and_can_be_read(house: House) -> None:
    client = client_of(house.people[ADMIN])
    said = {"kind": "mue", "claims": "practitioner", "quarter": "2026Q1", "source": "CMS", "act": "preview"}
    assert "File: choose the file of the quarter." in text_of(client.post("/tables/load/", said))
    assert "File: no row of headings was found" in text_of(upload(client, "x"))
    assert "File: the file is empty." in text_of(upload(client, ""))


def test_the_list_says_what_holds_today_and_what_does_not(house: House) -> None:
    client = client_of(house.people[BILLING])
    text = text_of(client.get("/tables/"))
    assert "The shipped limits stand, which nobody has verified" in text
    assert "Nothing is loaded yet. An admin loads the files." in text
    assert "Load a quarter" not in text
    today = timezone.now().date()
    quarter = f"{today.year}Q{(today.month + 2) // 3}"
    load_edits(by=house.people[ADMIN], new=new(quarter=quarter))
    load_edits(by=None, new=new(quarter="2020Q1"))
    text = text_of(client.get("/tables/"))
    assert f"Unlikely units (MUE), practitioner claims {quarter}" in text
    assert f"3 codes. CMS, MUE page. Loaded by {house.people[ADMIN].signature} on" in text
    assert text.count("For services today") == 2
    assert "Load a quarter" in text_of(client_of(house.people[ADMIN]).get("/tables/"))


def test_two_quarters_side_by_side(house: House) -> None:
    tables = [
        load_edits(by=None, new=new(MUE.replace("J2350,600", f"J2350,{units}"), quarter=f"2026Q{number}"))
        for number, units in ((1, 600), (2, 700), (3, 800))
    ]
    client = client_of(house.people[BILLING])
    address = f"/tables/{tables[2].public_id}/"
    assert "J2350 700 a day, without exception 800 a day, without exception" in text_of(client.get(address))
    against = text_of(client.get(address, {"against": tables[0].public_id}))
    assert "Against 2026Q1" in against
    assert "J2350 600 a day, without exception 800 a day, without exception" in against
    assert "Against 2026Q2" in text_of(client.get(address, {"against": "nonsense"}))
    first = text_of(client.get(f"/tables/{tables[0].public_id}/"))
    assert "Against" not in first
    assert "96365 1 a day" in first
    assert "96365" not in text_of(client.get(f"/tables/{tables[0].public_id}/", {"code": "j"}))
    assert "No row of this table begins with X." in text_of(client.get(address, {"code": "x"}))
    same = load_edits(by=None, new=new(MUE.replace("J2350,600", "J2350,800"), quarter="2026Q4"))
    assert "Every row is the same." in text_of(client.get(f"/tables/{same.public_id}/"))


def test_a_pair_is_found_by_either_code(house: House) -> None:
    table = load_edits(by=None, new=new(NCCI, "ncci"))
    client = client_of(house.people[BILLING])
    assert "96365 and 96374 with a modifier" in text_of(client.get(f"/tables/{table.public_id}/", {"code": "96374"}))
    assert "96413" not in text_of(client.get(f"/tables/{table.public_id}/", {"code": "96374"}))


def test_a_load_is_withdrawn_with_a_reason(house: House) -> None:
    table = load_edits(by=None, new=new())
    client = client_of(house.people[ADMIN])
    address = f"/tables/{table.public_id}/withdraw/"
    assert "Say why" in text_of(client.post(address, {"reason": ""}))
    reply = client.post(address, {"reason": "The file of another year."}, follow=True)
    assert "Withdrawn: Medically unlikely units (MUE), practitioner, 2026Q1." in text_of(reply)
    assert "Withdrawn on" in text_of(client.get(f"/tables/{table.public_id}/"))
    assert "Withdraw this load" not in text_of(client.get(f"/tables/{table.public_id}/"))
