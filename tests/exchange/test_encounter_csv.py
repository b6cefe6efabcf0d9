"""Encounters out of CSV: the same units as the same encounter typed, and a name for each cell that cannot be read."""

from __future__ import annotations

import io

import pytest

from infusion.arriving import UnreadableFile
from infusion.exchange.coming_in import Arrived, FileRead
from infusion.exchange.encounter_csv import read_csv
from tests.exchange.arriving import EXAMPLES, ZONE, stream, told, typed, units

HEAD = "patient,encounter,drug,route,date_of_service,start,stop,administered"
GOOD = "M1,V1,J2350,iv_infusion,2026-03-10,09:00,11:30,600"


def read(text: str) -> tuple[FileRead, list[Arrived]]:
    file = read_csv(stream(text), ZONE)
    return file, list(file.encounters)


def with_cell(column: str, value: str) -> str:
    """The good row with one more column, or with another value in one that it has."""
    heads, cells = HEAD.split(","), GOOD.split(",")
    if column in heads:
        cells[heads.index(column)] = value
    else:
        heads, cells = [*heads, column], [*cells, value]
    return "\n".join((",".join(heads), ",".join(cells)))


def test_the_example_brings_the_units_of_the_same_encounter_typed() -> None:
    with (EXAMPLES / "encounters.csv").open("rb") as example:
        file = read_csv(example, ZONE)
        first, second = file.encounters
    assert file.rows == 3
    assert file.not_read == ("ward",)
    assert (first.source, first.number, first.payer, first.rows) == ("EMR", "V-100", "medicare", [2, 3])
    assert first.patient == {
        "reference": "MRN-1001", "name": "Lindqvist, Sarah", "birth_date": "1984-06-02", "sex": "F",
    }  # fmt: skip
    assert first.is_ready
    assert second.is_ready
    # 165 minutes less 15 of pause are 150: 96366 twice over the first hour counts 90 minutes, one full hour and 30.
    assert units(first.document) == units(typed(pauses=True))
    assert ("96366", (), 1) in units(first.document)


def test_a_time_without_a_zone_is_the_clinics_and_one_in_the_rows_zone_that_rows() -> None:
    starts = {}
    for column, value in (("time_zone", ""), ("time_zone", "America/Chicago"), ("start", "2026-03-10T09:00+00:00")):
        _, (one,) = read(with_cell(column, value))
        starts[value] = one.document["administrations"][0]["start"]
    assert starts == {
        "": "2026-03-10T09:00:00-04:00",
        "America/Chicago": "2026-03-10T09:00:00-05:00",
        "2026-03-10T09:00+00:00": "2026-03-10T05:00:00-04:00",
    }


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2026-03-10 09:05", "09:05:00"), ("3/10/2026 9:05", "09:05:00"), ("3/10/2026 9:05:30 PM", "21:05:30"),
        ("0905", "09:05:00"), ("9:05p", "21:05:00"), ("noon", "12:00:00"),
    ],
)  # fmt: skip
def test_times_as_spreadsheets_and_people_write_them(written: str, kept: str) -> None:
    _, (one,) = read(with_cell("start", written))
    assert one.problems == []
    assert one.document["administrations"][0]["start"] == f"2026-03-10T{kept}-04:00"


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("route", "iv", "not one of iv_infusion"),
        ("route", "", "route is missing"),
        ("start", "3/10/26 9:00", "not a time"),
        ("start", "2026-03-10", "time of day is missing"),
        ("start", "2026-13-10 09:00", "no such time"),
        ("start", "25:00", "A day has the hours"),
        ("start", "2026-03-08 02:30", "this time happens never"),
        ("start", "2026-11-01 01:30", "this time happens twice"),
        ("date_of_service", "10.3.2026", "not a day"),
        ("date_of_service", "0000-01-01", "not a day"),
        ("administered", '"1,000"', "leave the comma out"),
        ("administered", "-5", "starts at 0"),
        ("administered", "five", "as a number"),
        ("ordered", "6e2", "as a number"),
        ("patient", "", "record number is missing"),
        ("patient", "M" * 41, "longer than the 40"),
        ("encounter", "", "number of the encounter is missing"),
        ("time_zone", "Riverside", "not a time zone"),
        ("setting", "clinic", "not one of office"),
        ("sex", "X", "not one of F"),
        ("birth_date", "6/2/84", "not a day"),
        ("acquired", "gift", "not one of purchased"),
        ("primary", "1", "neither yes nor no"),
        ("purpose", "water", "not one of ordered"),
        ("pause_2_start", "later", "does not read as a time"),
        ("vial_1_count", "2", "labelled milligrams of the vial are missing"),
        ("vial_1_mg", "a lot", "as a number"),
        ("vial_2_expires", "2027", "not a day"),
        ("discard_1_mg", "20", "reason is missing"),
        ("discard_1_reason", "spilt", "not one of vial_remainder"),
        ("visit_start", "8", ""),
    ],
)
def test_each_cell_that_cannot_be_read_is_named_with_its_row(column: str, value: str, reason: str) -> None:
    _, (one,) = read(with_cell(column, value))
    if not reason:
        assert one.document["visit"]["start"] == "2026-03-10T08:00:00-04:00"
        return
    assert not one.is_ready
    found = [each for each in one.problems if reason in each.reason]
    assert [each.row for each in found] == [2]
    assert found[0].value in (value.strip('"'), "")
    assert found[0].column.split("_")[0] == column.split("_")[0]


def test_rows_of_one_encounter_that_contradict_each_other_keep_it_out_whole() -> None:
    text = f"{HEAD},payer\n{GOOD},medicare\nM2,V2,J2350,iv_infusion,2026-03-10,09:00,11:30,600,medicare\n{GOOD},aetna\n"
    file, arrived = read(text)
    assert told(file, arrived) == [(4, "payer", "aetna")]
    assert [(each.number, each.is_ready, each.rows) for each in arrived] == [("V1", False, [2, 4]), ("V2", True, [3])]


def test_the_same_row_twice_is_named_and_not_billed_twice() -> None:
    file, arrived = read(f"{HEAD}\n{GOOD}\n{GOOD}\n")
    assert told(file, arrived) == [(3, "", "")]
    assert "the same as row 2" in arrived[0].problems[0].reason


def test_a_number_is_one_encounter_of_its_patient_and_its_source_alone() -> None:
    other = GOOD.replace("M1", "M2")
    _, arrived = read(f"{HEAD},source\n{GOOD},A\n{other},A\n{GOOD},B\n")
    assert len({each.identity for each in arrived}) == len(arrived) == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        (HEAD, "no row below"),
        ("patient,encounter,drug\nM1,V1,J2350\n", "names no column route"),
        (f"{HEAD},MRN\n{GOOD},M1\n", "Two columns could be patient"),
        (f"{HEAD},pause 1 begin\n{GOOD},10:00\n", "pause 1 begin is not a column"),
        (f"{HEAD},Wasted (mg)\n{GOOD},10\n", "may bear on what is billed"),
        (f"{HEAD}\n{GOOD},more\n", "Row 2 has more cells"),
        (f'{HEAD}\n{GOOD}"\n"', "quotation mark"),
        (f"{HEAD}\n{'x' * 10_001}{GOOD}\n", "Row 2 has more than"),
        (f"{HEAD}\n{'x' * 200_001}{GOOD}\n", "line is longer"),
        (f"{HEAD}{',c' * 64}\n{GOOD}\n", "more than 64 columns"),
        ("PK\x03\x04", "workbook"),
        (f"{HEAD}\n{GOOD}\x00\n", "zero byte"),
    ],
)
def test_what_is_no_such_file_is_refused_as_a_whole(text: str, sentence: str) -> None:
    with pytest.raises(UnreadableFile, match=r"[\s\S]*") as refused:
        read(text)
    assert sentence in str(refused.value)


def test_a_file_in_another_coding_is_refused_for_its_names_would_be_guessed() -> None:
    with pytest.raises(UnreadableFile, match="UTF-8"):
        read_csv(io.BytesIO(f"{HEAD}\n{GOOD}".replace("M1", "Núñez").encode("latin-1")), ZONE)


def test_semicolons_and_headings_in_words_are_read_too() -> None:
    heads = "MRN;Encounter number;Drug code;Route;Start;Stop;Given (mg);Vial 1 mg;Vial 2 mg"
    _, (one,) = read(f"{heads}\nM1;V1;j2350;IV infusion;2026-03-10 09:00;2026-03-10 11:30;600 mg;300;300\n")
    assert one.problems == []
    (given,) = one.document["administrations"]
    assert (given["drug"], given["route"], given["administered"]) == ("J2350", "iv_infusion", "600")
    assert [each["amount"] for each in given["vials"]] == ["300", "300"]
