"""RAS^O17 in: the example stands up to the standard's own tables, and what cannot be mapped is named with its field."""

from __future__ import annotations

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from infusion.arriving import UnreadableFile
from infusion.exchange import hl7_in
from infusion.exchange.coming_in import Arrived, FileRead
from infusion.exchange.hl7_in import read_hl7
from tests.exchange.arriving import EXAMPLES, REFERENCE, ZONE, stream, told, typed, units, with_vials

EXAMPLE = (EXAMPLES / "ras_o17.hl7").read_text()
ONE = EXAMPLE[EXAMPLE.rindex("MSH|") :]


def read(text: str) -> tuple[FileRead, list[Arrived]]:
    file = read_hl7(stream(text), ZONE, REFERENCE)
    return file, list(file.encounters)


def test_the_examples_are_messages_by_the_standards_own_tables() -> None:
    for each in EXAMPLE.split("MSH|")[1:]:
        text = f"MSH|{each}".strip().replace("\n", "\r")
        assert parse_message(text, validation_level=VALIDATION_LEVEL.STRICT).validate()


def test_messages_of_one_visit_are_one_encounter_with_the_units_of_the_same_one_typed() -> None:
    file, (one,) = read(EXAMPLE)
    assert (file.rows, told(file, [one])) == (2, [])
    assert (one.source, one.number, one.rows) == ("EMAR|RIVERSIDE", "V-100", [1, 2])
    assert one.patient["reference"] == "MRN-1001"
    assert units(with_vials(one.document)) == units(typed())


def test_what_has_no_place_here_is_told_and_keeps_nothing_out() -> None:
    _, (one,) = read(EXAMPLE + "OBX|1|NM|8867-4^Heart rate^LN||72|/min\n")
    assert one.is_ready
    assert [(each.row, each.column, each.value[:6]) for each in one.problems] == [
        (1, "RXA-15", "A12"), (1, "RXA-16", "202701"), (2, "RXA-4", "202603"), (2, "OBX", "OBX|1|"),
    ]  # fmt: skip


def test_a_message_that_is_sent_again_is_read_once_and_another_of_its_number_is_named() -> None:
    file, (one,) = read(EXAMPLE + ONE)
    assert (one.is_ready, len(one.document["administrations"])) == (True, 2)
    assert [(each.row, each.column, each.told) for each in file.problems] == [(3, "MSH-10", True)]
    file, (one,) = read(EXAMPLE + ONE.replace("0.125", "0.25"))
    assert told(file, [one]) == [(3, "MSH-10", "M2")]


def test_a_wall_clock_has_the_offset_of_msh_7_else_the_clinics_zone() -> None:
    bare = ONE.replace("202603100830-0400|202603100830-0400", "202603100830|202603100840")
    _, (offset,) = read(bare.replace("114700-0400", "114700-0500"))
    _, (clinic,) = read(bare.replace("114700-0400", "114700"))
    assert offset.document["administrations"][0]["start"] == "2026-03-10T09:30:00-04:00"
    assert clinic.document["administrations"][0]["start"] == "2026-03-10T08:30:00-04:00"


def test_an_iv_pump_a_rate_or_a_piggyback_is_an_infusion() -> None:
    for was, now in (("|||IVP^Push^HL70165", "||IVP^IV Pump^HL70164"), ("IVP^Push", "IVPB^Piggyback")):
        _, (one,) = read(ONE.replace(was, now))
        assert (one.document["administrations"][0]["route"], one.is_ready) == ("iv_infusion", True)


def test_one_that_was_refused_is_no_administration_and_its_visit_comes_in_without_it() -> None:
    _, (one,) = read(EXAMPLE.replace("UCUM|||||||||||||CP|A\nRXR|IV^Intravenous^HL70162|||IVP^", "UCUM|||||||||||||RE|A\nRXR|IV^Intravenous^HL70162|||IVP^"))  # fmt: skip  # noqa: E501
    assert one.is_ready
    assert len(one.document["administrations"]) == 1
    assert any(each.column == "RXA-20" and each.told for each in one.problems)


@pytest.mark.parametrize(
    ("was", "now", "column", "reason"),
    [
        ("RAS^O17^RAS_O17", "ADT^A01^ADT_A01", "MSH-9", "Only RAS^O17"),
        ("PID|1|", "ZID|1|", "PID", "names no patient"),
        ("MRN-1001^^^RIVERSIDE^MR~998^^^STATE^PI", "", "PID-3", "record number is missing"),
        ("^RIVERSIDE^MR~", "^RIVERSIDE^XX~", "PID-3", "Mark it MR"),
        ("19840602", "19841302", "PID-7", "not a day"),
        ("|F\n", "|Q\n", "PID-8", "not one of F"),
        ("PV1|1|O|", "PV1|1|I|", "PV1-2", "a stay in a hospital"),
        ("V-100", "", "PV1-19", "number of the visit is missing"),
        ("|202603100830-0400|2", "|20260310|2", "RXA-3", "not a time"),
        ("|202603100830-0400|2", "|202603102530-0400|2", "RXA-3", "no such time"),
        ("|202603100830-0400|2", "|soon|2", "RXA-3", "not a time"),
        ("^HCPCS|0.125", "^LOCAL|0.125", "RXA-5", "No HCPCS code"),
        ("J2919^Methylprednisolone^HCPCS", "11111-111-11^X^NDC", "RXA-5", "no NDC that the tables know"),
        ("0.125|g", "0.125|mL", "RXA-6", "cannot be turned into milligrams"),
        ("0.125|g^^UCUM", "0.125|", "RXA-6", "unit is missing"),
        ("|0.125|", "|some|", "RXA-6", "is not an amount"),
        ("|CP|A", "|CP|D", "RXA-21", "Only what is added"),
        ("|CP|A", "|XX|A", "RXA-20", "not one of CP"),
        ("|||IVP^Push^HL70165", "", "RXR-4", "IV alone does not say"),
        ("RXR|IV^", "RXR|TP^", "RXR-1", "not one of IV"),
        ("RXR|IV", "NTE|IV", "RXR-1", "not one of IV"),
        ("|CP|A", "|RE|A", "", "No administration is left"),
        ("RXA|", "ZXA|", "RXA", "names no administration"),
    ],
)
def test_what_cannot_be_mapped_is_named_with_its_message_and_field(
    was: str, now: str, column: str, reason: str
) -> None:
    assert was in ONE
    file, arrived = read(ONE.replace(was, now))
    every = [*file.problems, *(each for one in arrived for each in one.problems)]
    assert [(each.row, each.column) for each in every if reason in each.reason and not each.told] == [(1, column)]
    assert not any(each.is_ready for each in arrived)


@pytest.mark.parametrize(
    ("text", "sentence"), [("", "empty"), ("hello\n", "holds no message"), ("MSH\x00", "zero byte")]
)
def test_what_is_no_such_file_is_refused_as_a_whole(text: str, sentence: str) -> None:
    with pytest.raises(UnreadableFile, match=sentence):
        read(text)


def test_separators_of_its_own_escapes_and_the_frame_of_a_batch_are_read() -> None:
    text = ONE.replace("Lindqvist^Sarah", r"Lind\T\qvist^Sarah")
    framed = f"FHS|^~\\&|EMAR\nBHS|^~\\&|EMAR\n\x0b{text}\x1c\nBTS|1\nFTS|1\n".replace("\n", "\r")
    _, (one,) = read(framed)
    assert (one.patient["name"], one.is_ready) == ("Lind&qvist, Sarah", True)


def test_a_message_that_is_too_long_keeps_its_visit_out_and_no_other() -> None:
    wide = f"{ONE.rstrip()}\n" + f"OBX|{'|' * 9_500}\n" * 7
    others = EXAMPLE.replace("V-100", "V-200")
    file, (short, other) = read(wide + others)
    assert (file.problems, short.is_ready, other.is_ready, other.rows) == ([], False, True, [2, 3])
    assert [(each.row, each.column, each.reason) for each in short.problems if each.column] == [
        (1, "MSH", "This message is longer than 64,000 letters and is left out, and its visit with it.")
    ]
    _, (whole,) = read(wide + EXAMPLE)
    assert not whole.is_ready, "what came in two messages is not billed by one of them"
    assert all(each.column != "MSH" for each in read(wide.replace("|" * 9_500, "|" * 8_000))[1][0].problems)


@pytest.mark.parametrize(
    ("message", "columns"),
    [(f"MSH|{'|' * 65_000}\n", ["MSH"]), (f"MSH|^~\\&|EMAR\nOBX|{'|' * 65_000}\n", ["PID", "MSH"])],
    ids=["no patient to be read", "no patient"],
)
def test_one_of_which_nobody_knows_whose_it_is_is_left_out_alone(message: str, columns: list[str]) -> None:
    file, (one,) = read(message + EXAMPLE)
    assert [(each.row, each.column) for each in file.problems] == [(1, each) for each in columns]
    assert file.problems[-1].reason == "This message is longer than 64,000 letters and is left out."
    assert one.is_ready


def test_a_file_of_tiny_segments_is_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl7_in, "MOST_SEGMENTS", 20)
    assert read(EXAMPLE)[0].rows == 2
    with pytest.raises(UnreadableFile, match="more than 20 segments"):
        read(EXAMPLE + "X\n" * 20)
