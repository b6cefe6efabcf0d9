"""837 files: accepted by a validator, read back by another reader, and refused for what a validator lets through."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import pyx12.params
import pyx12.x12n_document
from hypothesis import given, settings
from hypothesis import strategies as st

from infusion.exchange import Unwritable, x12
from infusion.exchange.claim import Claim, ClaimLine, Membership, Name, Ndc, Sender, missing
from infusion.exchange.x12 import revenue_code, write_institutional, write_professional
from infusion.exchange.x12_reading import misread, refused
from tests.exchange.sample import (
    LINES,
    PATIENT,
    SENDER,
    WRITTEN_AT,
    claim,
    drug_line,
    hours,
    institutional,
    replacement,
    void,
    with_lines,
)

WRITERS = {"professional": write_professional, "institutional": write_institutional}


def accepted(*claims: Claim, sender: Sender = SENDER) -> str:
    """The file, once the validator has accepted it."""
    return WRITERS[claims[0].form](claims, sender, 7, WRITTEN_AT).decode()


def written(*claims: Claim, sender: Sender = SENDER) -> str:
    """The file, without the validator's third of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(x12, "refused", lambda text: [])
        return accepted(*claims, sender=sender)


def segments(text: str, *names: str) -> list[str]:
    return [each for each in text.replace("\n", "").split("~") if each.split("*")[0] in names or not names]


def sentences(*claims: Claim) -> tuple[str, ...]:
    with pytest.raises(Unwritable) as refusal:
        accepted(*claims)
    return refusal.value.sentences


# A validator accepts it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["professional", "institutional"])
@pytest.mark.parametrize("each", [claim(), replacement(), void()])
def test_the_validator_accepts_every_kind_of_claim(form: str, each: Claim) -> None:
    text = written(replace(each, form=form))  # type: ignore[arg-type]
    reply = io.StringIO()
    assert pyx12.x12n_document.x12n_document(pyx12.params.ParamsUnix(), io.StringIO(text), reply, None, None, None)
    assert "\nIK5*A" in reply.getvalue()


def test_the_professional_lines() -> None:
    assert segments(written(claim()), "CLM", "HI", "LX", "SV1", "LIN", "CTP") == [
        "CLM*7-1*48592.75***11:B:1*Y*A*Y*Y",
        "HI*ABK:G35A",
        "LX*1", "SV1*HC:96365*412.5*UN*1***1",
        "LX*2", "SV1*HC:96366*180.25*UN*2***1",
        "LX*3", "SV1*HC:J2350*41600*UN*520***1", "LIN**N4*50242015001", "CTP****17.333*ML",
        "LX*4", "SV1*HC:J2350:JW*6400*UN*80***1", "LIN**N4*50242015001", "CTP****2.667*ML",
    ]  # fmt: skip


def test_the_institutional_lines() -> None:
    text = written(institutional(diagnoses=("G35.A", "Z79.899")))
    assert segments(text, "CLM", "CL1", "HI", "SV2", "NM1")[5:] == [
        "CLM*7-1*48592.75***13:A:1**A*Y*Y",
        "CL1*3*1*01",
        "HI*ABK:G35A",
        "HI*ABF:Z79899",
        "NM1*71*1*OKAFOR*NGOZI****XX*1003000126",
        "SV2*0260*HC:96365*412.5*UN*1",
        "SV2*0260*HC:96366*180.25*UN*2",
        "SV2*0636*HC:J2350*41600*UN*520",
        "SV2*0636*HC:J2350:JW*6400*UN*80",
    ]
    assert "DTP*434*RD8*20260310-20260310" in segments(text)


@pytest.mark.parametrize(
    ("code", "revenue"), [("96360", "0260"), ("96372", "0260"), ("96401", "0331"), ("96413", "0335"), ("96549", "0335")]
)
def test_the_revenue_code_of_an_administration(code: str, revenue: str) -> None:
    assert revenue_code(hours(1, code, 1, "1")) == revenue


def test_a_replacement_and_a_void_name_the_payer_s_number_and_an_original_does_not() -> None:
    text = written(claim(), replacement(), void(authorization_number="PA-1"))
    assert segments(text, "CLM", "REF")[1:] == [
        "CLM*7-1*48592.75***11:B:1*Y*A*Y*Y", *[f"REF*6R*7-1L{at}" for at in range(1, 5)],
        "CLM*8-1*48592.75***11:B:7*Y*A*Y*Y", "REF*F8*1426070123456", *[f"REF*6R*8-1L{at}" for at in range(1, 5)],
        "CLM*9-1*48592.75***11:B:8*Y*A*Y*Y", "REF*G1*PA-1", "REF*F8*1426070123456",
        *[f"REF*6R*9-1L{at}" for at in range(1, 5)],
    ]  # fmt: skip


def test_a_replacement_lists_what_is_charged_now_and_a_void_what_was() -> None:
    assert "SV1*HC:J2350*40000*UN*500***1" in segments(written(replacement()))
    assert "SV1*HC:J2350*41600*UN*520***1" in segments(written(void()))


def test_the_patient_of_a_spouse_s_coverage_has_a_level_of_their_own() -> None:
    spouse = replace(PATIENT, name=Name(family="Lindqvist", given="Nils"))
    text = written(
        claim(membership=Membership(member_id="W1", group_number="G9", relationship="01", subscriber=spouse))
    )
    assert segments(text, "HL", "SBR", "PAT", "DMG", "NM1")[3:9] == [
        "NM1*85*2*RIVERSIDE INFUSION LLC*****XX*1234567893",
        "HL*2*1*22*1",
        "SBR*P**G9******MB",
        "NM1*IL*1*LINDQVIST*NILS****MI*W1",
        "NM1*PR*2*MEDICARE*****PI*12345",
        "HL*3*2*23*0",
    ]
    assert segments(text, "PAT", "DMG") == ["PAT*01", "DMG*D8*19840602*F"]


def test_marks_come_off_letters_and_a_trial_s_number_stands_alone() -> None:
    text = written(
        claim(patient=replace(PATIENT, name=Name(family="Núñez–Łuczak", given="Zoë")), trial_number="NCT01234567")
    )
    assert "NM1*IL*1*NUNEZ-LUCZAK*ZOE****MI*1EG4TE5MK73" in segments(text)
    assert "REF*P4*01234567" in segments(text)


def test_the_two_forms_of_a_batch_have_numbers_of_their_own() -> None:
    numbers = {segments(written(each), "IEA")[0] for each in (claim(), institutional())}
    assert numbers == {"IEA*1*000000071", "IEA*1*000000072"}


def test_a_file_carries_only_its_form_and_says_so_when_there_is_none() -> None:
    both = (claim(), institutional(number="7-2"))
    assert [each[:7] for each in segments(write_institutional(both, SENDER, 7, WRITTEN_AT).decode(), "CLM")] == [
        "CLM*7-2"
    ]
    with pytest.raises(Unwritable, match=r"Batch 7 holds no institutional claim\."):
        write_institutional([claim()], SENDER, 7, WRITTEN_AT)


def test_a_test_sender_s_file_says_that_it_is_a_test() -> None:
    assert segments(written(claim(), sender=replace(SENDER, test=True)), "ISA")[0].endswith("*T*:")
    assert segments(written(claim()), "ISA")[0].endswith("*P*:")


def test_many_claims_leave_in_several_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x12, "MOST_CLAIMS", 2)
    text = written(*(claim(number=f"7-{at}") for at in range(5)))
    assert segments(text, "ST", "GE") == [f"ST*837*000{at}*005010X222A1" for at in (1, 2, 3)] + ["GE*3*71"]


# Another reader adds it up ------------------------------------------------------------------------------------------


def added_up(text: str) -> dict[str, Any]:
    """A reader of its own: by claim its total and lines, each with code, units, charge and (NDC, quantity, unit)."""
    claims: dict[str, Any] = {}
    for raw in text.split("~\n"):
        parts = raw.split("*")
        if parts[0] == "CLM":
            lines: list[dict[str, Any]] = []
            claims[parts[1]] = {"total": Decimal(parts[2]), "lines": lines}
        if parts[0] in ("SV1", "SV2"):
            at = 1 if parts[0] == "SV1" else 2
            lines.append({"code": parts[at], "charge": Decimal(parts[at + 1]), "units": int(parts[at + 3]), "ndcs": []})
        if parts[0] == "LIN":
            lines[-1]["ndcs"].append([parts[3]])
        if parts[0] == "CTP":
            lines[-1]["ndcs"][-1] += [Decimal(parts[4]), parts[5]]
        if parts[:2] == ["REF", "6R"]:
            lines[-1]["control"] = parts[2]
    return claims


NDCS = [f"{at:05}{at:04}{at:02}" for at in range(1, 9)]
THOUSANDTHS = st.integers(1, 500_000).map(lambda each: Decimal(each) / 1000)


@st.composite
def drug_lines(draw: st.DrawFn, position: int, code: str, *modifiers: str) -> ClaimLine:
    ndcs = draw(st.lists(st.sampled_from(NDCS), min_size=1, max_size=4, unique=True))
    powder = draw(st.booleans())
    listed = tuple(
        Ndc(
            ndc=each,
            quantity=draw(THOUSANDTHS),
            unit="UN" if powder else "ML",
            strength=draw(st.sampled_from([None if not powder else Decimal(40), Decimal(40), Decimal(125)])),
        )
        for each in ndcs
    )
    units = draw(st.integers(len(ndcs), 900))
    charge = Decimal(draw(st.integers(0, 900_000))) / 100
    return drug_line(position, units, "1", *modifiers, code=code, charge=charge, ndcs=listed)


@st.composite
def claims_of_any_kind(draw: st.DrawFn) -> Claim:
    lines: list[ClaimLine] = []
    for code in draw(st.lists(st.sampled_from(["J2350", "J2919", "J1200"]), max_size=3, unique=True)):
        lines.append(draw(drug_lines(len(lines) + 1, code)))
        if draw(st.booleans()):
            lines.append(draw(drug_lines(len(lines) + 1, code, "JW")))
    for code in draw(st.lists(st.sampled_from(["96365", "96366", "96375"]), min_size=not lines, max_size=3)):
        charge = f"{draw(st.integers(0, 99_999))}.{draw(st.integers(0, 99)):02}"
        lines.append(hours(len(lines) + 1, code, draw(st.integers(1, 24)), charge))
    form = draw(st.sampled_from(["professional", "institutional"]))
    made = draw(st.sampled_from([claim, replacement, void]))
    side = {"credits": tuple(lines)} if made is void else {"charges": tuple(lines)}
    return made(form=form, **side)


@settings(max_examples=300, deadline=None)
@given(claims_of_any_kind())
def test_what_is_written_adds_up_to_what_was_approved(each: Claim) -> None:
    if sum(line.charge or 0 for line in each.lines) > 99999:
        return
    (read,) = added_up(written(each)).values()
    approved: dict[Any, Decimal] = defaultdict(Decimal)
    found: dict[Any, Decimal] = defaultdict(Decimal)
    for line in each.lines:
        code = ":".join(("HC", line.code, *line.modifiers))
        approved["units", code] += line.units
        approved["charge", code] += line.charge or 0
        for ndc in line.ndcs:
            approved["ndc", code, ndc.ndc, ndc.unit] += ndc.quantity
    for got in read["lines"]:
        found["units", got["code"]] += got["units"]
        found["charge", got["code"]] += got["charge"]
        for ndc, quantity, unit in got["ndcs"]:
            found["ndc", got["code"], ndc, unit] += quantity
    assert found == approved
    assert read["total"] == sum(got["charge"] for got in read["lines"])
    assert all(got["units"] >= 1 and len(got["ndcs"]) <= 1 for got in read["lines"])
    controls = [got["control"] for got in read["lines"]]
    assert len(set(controls)) == len(controls)


@settings(max_examples=8, deadline=None)
@given(claims_of_any_kind())
def test_the_validator_accepts_whatever_may_leave(each: Claim) -> None:
    if not missing(each, SENDER):
        assert refused(written(each)) == []


def two_vials(units: int = 33, **more: Any) -> ClaimLine:
    big, small = (
        Ndc(ndc=NDCS[at], quantity=Decimal(1), unit="UN", strength=Decimal(mg)) for at, mg in ((0, 125), (1, 40))
    )
    return drug_line(1, units, "1", code="J2919", charge=Decimal("100.01"), ndcs=(big, small), **more)


def test_two_vial_sizes_are_billed_by_what_each_held() -> None:
    """125 mg and 40 mg at 5 mg a unit: 25 and 8 of 33 units, and the charge goes with them to the cent."""
    (read,) = added_up(written(with_lines(two_vials()))).values()
    assert [(got["units"], got["charge"], got["control"]) for got in read["lines"]] == [
        (25, Decimal("75.77"), "7-1L1P1"),
        (8, Decimal("24.24"), "7-1L1P2"),
    ]


def test_vials_of_unknown_size_are_not_guessed() -> None:
    line = two_vials()
    line = replace(line, ndcs=tuple(replace(each, strength=None) for each in line.ndcs))
    assert sentences(with_lines(line)) == (
        "Claim 7-1: Line 1 (J2919): how its units divide between its NDCs is not certain. "
        "Record the size of each vial.",
    )


def test_one_unit_cannot_be_two_lines() -> None:
    (said,) = sentences(with_lines(two_vials(units=1)))
    assert "it has 2 NDCs and 1 unit, and a line cannot carry less than one." in said


# Seeded faults ------------------------------------------------------------------------------------------------------


def ndc(text: str = "50242015001", quantity: str = "17.333", unit: str = "ML") -> dict[str, Any]:
    return {"ndcs": (Ndc(ndc=text, quantity=Decimal(quantity), unit=unit),)}


def faulty(**more: Any) -> Claim:
    return with_lines(replace(drug_line(), **more))


PROVIDER = claim().provider
# What the validator lets through as well: each is refused here, and passes once our own checks are off.
ONLY_OURS = {
    "NDC with hyphens": (faulty(**ndc("50242-0150-01")), "the NDC 50242-0150-01 is not 11 digits without hyphens."),
    "NDC of ten digits": (faulty(**ndc("5024215001")), "the NDC 5024215001 is not 11 digits"),
    "drug without NDC": (faulty(ndcs=()), "Line 1 (J2350) has no NDC."),
    "four decimals": (faulty(**ndc(quantity="17.3333")), "17.3333 of NDC 50242015001 is nothing or has over three"),
    "no units": (faulty(units=0), "it has 0 units, and a line has one or more whole units."),
    "negative units": (faulty(units=-5), "it has -5 units"),
    "a part of a unit": (faulty(units=Decimal("2.5")), "it has 2.5 units"),
    "code of four": (faulty(code="J235"), "its code has not the five characters"),
    "code of no kind": (faulty(code="JJJJJ"), "its code has not the five characters"),
    "part of a cent": (faulty(charge=Decimal("1.005")), "its charge 1.005 is not a whole number of cents."),
    "modifier twice": (faulty(modifiers=("JZ", "JZ")), "it has a modifier twice"),
    "pointer at nothing": (faulty(diagnosis_pointers=(2,)), "points at a diagnosis that is not there"),
    "pointer twice": (faulty(diagnosis_pointers=(1, 1)), "points at a diagnosis twice"),
    "JW alone": (with_lines(drug_line(1, 80, "2.667", "JW")), "bills discarded drug, and no line bills J2350"),
    "a line twice": (with_lines(LINES[0], LINES[0]), "Two of its lines have the same place."),
    "dot astray": (claim(diagnoses=("G3.5A",)), "G3.5A has not the shape of an ICD-10-CM code"),
    "diagnosis twice": (claim(diagnoses=("G35.A", "G35.A")), "A diagnosis stands on it twice."),
    "clinic's check digit": (claim(provider=replace(PROVIDER, npi="1234567890")), "NPI 1234567890 fails its check"),
    "person's check digit": (
        claim(attending=replace(claim().attending, npi="1003000127")),  # type: ignore[type-var]
        "The NPI 1003000127 of Ngozi Okafor fails its check digit.",
    ),
    "over the limit": (
        with_lines(hours(1, "96365", 1, "99999.99"), hours(2, "96366", 1, "0.01")),
        "Its charges of $100,000.00 are above $99,999.99",
    ),
    "ZIP code of five": (
        claim(provider=replace(PROVIDER, address=replace(PROVIDER.address, postal_code="12207"))),
        "The clinic has no ZIP code of 9 digits.",
    ),
    "tax number of four": (claim(provider=replace(PROVIDER, tax_id="1234")), "The clinic has no tax number"),
    "trial by name": (claim(trial_number="OPERA II"), "The trial OPERA II has not the eight digits of the registry."),
}  # fmt: skip
# What the validator refuses as well, though not in words that say what to do.
ALSO_OURS = {
    "51 lines": (
        with_lines(*(hours(at, "96366", 1, "1") for at in range(1, 52))),
        "It has 51 lines, and this form takes 50.",
    ),
    "1,000 lines": (
        institutional(charges=tuple(hours(at, "96366", 1, "1") for at in range(1, 1001))),
        "It has 1000 lines, and this form takes 999.",
    ),
    "no pointer": (faulty(diagnosis_pointers=()), "Line 1 (J2350) points at no diagnosis."),
    "no diagnosis": (claim(diagnoses=()), "The claim has no diagnosis."),
    "no payer's number": (replacement(original_reference=""), "whose number at Medicare is not recorded."),
    "no charge": (faulty(charge=None), "J2350 has no charge on 2026-03-10."),
    "no attending": (institutional(attending=None), "The claim names no attending practitioner."),
    "unknown unit": (faulty(**ndc(unit="MG")), "NDC 50242015001 is counted in MG"),
    "letters": (claim(patient=replace(PATIENT, name=Name(family="Ли", given="A"))), "The patient's name holds И Л"),
    "separator": (claim(authorization_number="A*B"), "The authorization number holds *, which a claim cannot carry."),
    "no line": (claim(charges=()), "It has no line."),
    "credits of an original": (claim(credits=LINES), "Its credits do not go with its kind"),
    "charges of a void": (void(charges=LINES), "Its credits do not go with its kind"),
}


@pytest.mark.parametrize(("seeded", "said"), [*ONLY_OURS.values(), *ALSO_OURS.values()], ids=[*ONLY_OURS, *ALSO_OURS])
def test_a_seeded_fault_is_refused_with_its_claim_named(seeded: Claim, said: str) -> None:
    (refusal,) = [each for each in sentences(seeded) if said in each]
    assert refusal.startswith("Claim 7-1: ") or seeded.number != "7-1"
    assert refusal.endswith(".")


def test_the_validator_alone_would_let_them_through(monkeypatch: pytest.MonkeyPatch) -> None:
    for check in ("missing", "misread", "unsound_batch"):
        monkeypatch.setattr(x12, check, lambda *_: [])
    seeded = [replace(each, number=f"7-{at}") for at, (each, _) in enumerate(ONLY_OURS.values())]
    assert len(segments(accepted(*seeded), "CLM")) == len(ONLY_OURS) > 20


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("CLM*7-1*48592.75", "CLM*7-1*48592.76", "48592.76 and not 48592.75 for total"),
        ("UN*520", "UN*521", "521 and not 520 for units of J2350"),
        ("CTP****2.667", "CTP****2.666", "2.666 and not 2.667 for quantity of J2350-JW 50242015001 ML"),
        ("SV1*HC:96365*412.5*", "SV1*HC:96365*412.6*", "412.6 and not 412.50 for charge of 96365"),
    ],
)
def test_a_file_that_does_not_add_up_to_its_claims_is_refused(was: str, becomes: str, said: str) -> None:
    text = written(claim())
    assert misread(text, [claim()]) == []
    (sentence,) = misread(text.replace(was, becomes), [claim()])
    assert said in sentence
    assert refused(text.replace(was, becomes)) == []


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("*UN*1***1~\nDTP*472*D8*20260310", "*UN*1***1~\nDTP*472*D8*20261310", "the validator refuses DTP"),
        ("N4*ALBANY*NY*12207~", "N4*A*NY*12207~", "the validator refuses N4 (Subscriber City, State, ZIP Code)"),
    ],
)
def test_what_the_validator_refuses_is_told_by_claim(was: str, becomes: str, said: str) -> None:
    """Within a claim and above it, among its people; the second of two alike."""
    before, after = written(claim(), claim(number="7-2")).rsplit(was, 1)
    (sentence,) = refused(before + becomes + after)
    assert sentence.startswith(f"Claim 7-2: {said}")
    assert refused(written(claim()).replace("PER*IC", "PER*XX"))[0].startswith("Before the first claim, ")


@pytest.mark.parametrize("reader", ["misread", "refused"])
def test_what_a_reader_refuses_does_not_leave(monkeypatch: pytest.MonkeyPatch, reader: str) -> None:
    monkeypatch.setattr(x12, reader, lambda *_: ["No."])
    assert sentences(claim()) == ("No.",)


def test_a_file_that_cannot_be_read_at_all_is_refused() -> None:
    assert refused(written(claim()).replace("005010X222A1", "005010X999"))[0].startswith("The validator cannot read")
    assert refused("no interchange") != []


def test_a_refused_value_is_not_logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    assert refused(written(claim()).replace("LINDQVIST", "LÍNDQVIST"))
    captured = capfd.readouterr()
    assert "NDQVIST" not in caplog.text + captured.out + captured.err


def test_a_claim_twice_in_a_batch_is_refused() -> None:
    assert sentences(claim(), claim()) == ("Claim 7-1 stands in the batch twice. Make the batch anew.",)


def test_a_drug_without_an_ndc_may_leave_where_the_payer_asks_for_none() -> None:
    assert "\nLIN*" not in written(faulty(ndcs=(), ndc_required=False))
