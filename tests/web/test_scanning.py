"""Scanned vials, and what becomes of the rest of a vial, in the nurse's form."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import uuid4

import pytest

from infusion.actions import Refused, save_encounter
from infusion.forms.recorded_vials import ExpiryField
from infusion.models import Encounter
from infusion.scanning import Unscanned, read_scan
from infusion.selectors import facts_of
from infusion.services import facts
from infusion.services.reference import shipped_reference
from infusion.time_entry import EntryProblem
from tests.web.page import Page

pytestmark = pytest.mark.django_db

NEW = "/encounters/new/"
LIVE = {"HX-Request": "true", "HX-Target": "preview-body"}
PRODUCT, EXPIRY, LOT = "0100350242150019", "17261130", "10H1234"
OCREVUS = "50242015001"
SARAH = {
    "patient_reference": "MRN-1001", "payer": "medicare", "setting": "office", "date": "2026-03-10",
    "diagnosis": "G35.A", "d1-drug": "Ocrelizumab", "d1-route": "iv_infusion", "d1-start": "0900", "d1-stop": "1130",
    "d1-ordered": "600", "d1-administered": "600", "d1-v1-size": "300", "d1-v1-count": "2",
}  # fmt: skip


@pytest.fixture
def at_the_chair(client, nurse, medicare):
    client.force_login(nurse)
    return client


def sent(act="check", **more):
    names = {name.replace("__", "-"): value for name, value in more.items()}
    return {**SARAH, "act": act, "client_id": str(uuid4()), "version": "0", **names}


def form_of(response):
    return Page(response.content).form_to(NEW).fields


def note(response, field):
    return response.context["entry"].echoes[field].text


# Barcodes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lot", "expires"),
    [
        (PRODUCT + EXPIRY + LOT, "H1234", date(2026, 11, 30)),
        ("\x1d" + PRODUCT + EXPIRY + LOT + "\x1d21ABC", "H1234", date(2026, 11, 30)),
        ("]d2" + PRODUCT + "21S1\x1d" + EXPIRY + LOT, "H1234", date(2026, 11, 30)),
        (" " + PRODUCT + LOT + "\x1d" + EXPIRY + "\r\n", "H1234", date(2026, 11, 30)),
        (PRODUCT + "17260200" + LOT, "H1234", date(2026, 2, 28)),
        (PRODUCT, "", None), ("350242150019", "", None), ("50242-150-01", "", None), ("50242-0150-01", "", None),
        ("50242015001", "", None), ("5024215001", "", None),
    ],
)  # fmt: skip
def test_a_barcode_or_a_plain_ndc_is_read(text, lot, expires):
    scan = read_scan(text, shipped_reference())
    assert (scan.ndc, scan.lot, scan.expires, scan.drugs) == (OCREVUS, lot, expires, {"J2350"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "no barcode"), ("0100350242150018" + EXPIRY, "check digit"), ("x" * 121, "too long"),
        (PRODUCT + "21SER123456" + EXPIRY + "10B77", "leaves out what separates"), ("10H1234", "names no product"),
        ("4006381333931", "names no product"), ("012345678905", "not that of a drug sold in the United States"),
        ("1-2-3", "10 or 11 digits"), (PRODUCT + "17261331", "run into each other"),
    ],
)  # fmt: skip
def test_what_is_no_barcode_of_a_vial_is_refused_with_its_reason(text, words):
    with pytest.raises(Unscanned, match=words):
        read_scan(text, shipped_reference())


def test_a_lot_that_may_have_swallowed_the_rest_is_not_taken():
    scan = read_scan(PRODUCT + LOT + EXPIRY, shipped_reference())
    assert (scan.ndc, scan.lot, scan.expires, scan.lot_unclear) == (OCREVUS, "", None, True)


def test_an_unknown_product_keeps_its_ten_digits_only():
    scan = read_scan("312345678906", shipped_reference())
    assert (scan.ndc, scan.digits, scan.drugs) == ("", "1234567890", frozenset())


# Into the form ----------------------------------------------------------------------------------------------------


def test_a_scan_fills_ndc_lot_and_expiry(at_the_chair):
    response = at_the_chair.post(NEW, sent(d1__scan="\x1d" + PRODUCT + EXPIRY + LOT))
    fields = form_of(response)
    found = {name: fields[f"d1-v1-{name}"] for name in ("ndc", "lot", "expires", "size", "count")}
    assert found == {"ndc": OCREVUS, "lot": "H1234", "expires": "2026-11-30", "size": "300", "count": "2"}
    assert (fields["d1-scan"], note(response, "d1-scan")) == ("", "Taken.")
    assert response.context["focus"] == "d1-scan"
    assert note(response, "d1-v1-ndc") == "50242-0150-01"
    assert not response.context["issues"]
    at_the_chair.post(NEW, {**fields, "act": "save"})
    [vial] = facts_of(Encounter.objects.get()).administrations[0].vials
    assert (vial.ndc, vial.lot, vial.expires, vial.count) == (OCREVUS, "H1234", date(2026, 11, 30), 2)


def test_the_enter_at_the_end_of_a_scan_checks_nothing_else(at_the_chair):
    response = at_the_chair.post(NEW, {"act": "check", "d1-scan": PRODUCT + EXPIRY + LOT})
    assert (response.context["issues"], response.context["checked"]) == ([], False)
    response = at_the_chair.post(NEW, {"act": "check", "d1-scan": "hello"})
    assert [issue.field for issue in response.context["issues"]] == ["d1-scan"]


def test_a_scan_names_the_drug_where_none_is_typed(at_the_chair):
    scanned = {**sent(d1__scan=PRODUCT + EXPIRY + LOT), "d1-drug": "", "d1-v1-size": "", "d1-v1-count": ""}
    fields = form_of(at_the_chair.post(NEW, scanned))
    assert (fields["d1-drug"], fields["d1-v1-size"]) == ("Ocrelizumab", "300")


def test_a_scan_is_also_taken_when_the_form_is_saved(at_the_chair):
    at_the_chair.post(NEW, sent("save", d1__scan=PRODUCT + EXPIRY + LOT))
    assert facts_of(Encounter.objects.get()).administrations[0].vials[0].lot == "H1234"


def test_half_a_scan_is_left_alone_while_it_is_typed(at_the_chair):
    response = at_the_chair.post(NEW, sent("", d1__scan=PRODUCT + EXPIRY + LOT), headers=LIVE)
    assert note(response, "d1-scan") == "Read. Enter takes it."
    assert response.context["entry"].entries["d1-scan"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"d1-scan": PRODUCT + "17260228" + LOT}, "expired on February 28, 2026"),
        ({"d1-drug": "Infliximab", "d1-scan": PRODUCT}, "holds ocrelizumab, and the drug here is infliximab"),
        ({"d1-scan": "hello"}, "no barcode of a vial"),
    ],
)
@pytest.mark.parametrize("action", ["check", "save"])
def test_a_vial_that_cannot_be_meant_stops_at_its_field(at_the_chair, more, words, action):
    response = at_the_chair.post(NEW, {**sent(action), **more})
    issues = {issue.field: issue.message for issue in response.context["issues"]}
    assert words in issues["d1-scan"]
    fields = form_of(response)
    assert (fields["d1-scan"], fields["d1-v1-ndc"]) == (more["d1-scan"], "")
    assert not Encounter.objects.exists()


def test_another_lot_gets_a_row_of_its_own_and_its_count_is_asked(at_the_chair):
    first = form_of(at_the_chair.post(NEW, sent(d1__scan=PRODUCT + EXPIRY + LOT)))
    again = at_the_chair.post(NEW, {**first, "act": "check", "d1-scan": PRODUCT + EXPIRY + LOT})
    assert "on record already" in note(again, "d1-scan")
    second = at_the_chair.post(NEW, {**first, "act": "check", "d1-scan": PRODUCT + EXPIRY + "10J9"})
    fields = form_of(second)
    assert [fields[f"d1-v{n}-lot"] for n in (1, 2)] == ["H1234", "J9"]
    assert second.context["issues"] == []
    refused = at_the_chair.post(NEW, {**fields, "act": "save"})
    assert [issue.field for issue in refused.context["issues"]] == ["d1-v2-count"]
    assert "own row" in note(second, "d1-scan")


@pytest.mark.parametrize("expires", ["2026-11-30", "11/30/2026", "11/2026", ""])
def test_a_vial_whose_print_was_typed_is_not_taken_for_another_lot(at_the_chair, expires):
    typed = {"d1-v1-ndc": "50242-150-01", "d1-v1-lot": "H1234", "d1-v1-expires": expires}
    response = at_the_chair.post(NEW, sent(**typed, d1__scan=PRODUCT + EXPIRY + LOT))
    fields = form_of(response)
    assert (fields["d1-v1-lot"], fields["d1-v1-expires"]) == ("H1234", expires or "2026-11-30")
    assert "d1-v2-size" not in fields
    assert "another lot" not in note(response, "d1-scan")
    other = at_the_chair.post(NEW, sent(**{**typed, "d1-v1-ndc": "50242-051-21"}, d1__scan=PRODUCT + EXPIRY + LOT))
    assert form_of(other)["d1-v2-lot"] == "H1234"


def test_what_the_barcode_does_not_say_is_asked_for(at_the_chair):
    said = note(at_the_chair.post(NEW, sent(d1__scan=PRODUCT + LOT + EXPIRY)), "d1-scan")
    assert "The lot cannot be told apart" in said
    assert "no expiry date" in said
    assert "type its NDC" in note(at_the_chair.post(NEW, sent(d1__scan="312345678906")), "d1-scan")


def test_more_rows_than_there_is_room_for_are_said(at_the_chair):
    rows = {f"d1-v{n}-{name}": text for n in range(1, 5) for name, text in (("lot", f"L{n}"), ("count", "1"))}
    response = at_the_chair.post(NEW, {**sent(d1__scan=PRODUCT + LOT), **rows})
    assert "takes 4 rows" in note(response, "d1-scan")


# Typed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2027-01-31", date(2027, 1, 31)), ("1/31/2027", date(2027, 1, 31)), ("2/2027", date(2027, 2, 28)),
        ("2028-02", date(2028, 2, 29)), ("", None),
    ],
)  # fmt: skip
def test_an_expiry_is_a_day_or_a_month(text, day):
    assert ExpiryField(label="Expires").read(text) == day


@pytest.mark.parametrize("text", ["soon", "2027-13", "2027-02-30", "0000-01", "31.1.2027"])
def test_what_is_no_expiry_is_refused(text):
    assert isinstance(ExpiryField(label="Expires").read(text), EntryProblem)


def test_an_expiry_that_is_past_stops_at_its_field(at_the_chair):
    response = at_the_chair.post(NEW, sent("save", **{"d1-v1-expires": "2026-03-09"}))
    assert [issue.field for issue in response.context["issues"]] == ["d1-v1-expires"]
    assert at_the_chair.post(NEW, sent("save", **{"d1-v1-expires": "2026-03-10"})).status_code == 302


def test_print_that_was_of_another_drug_is_left_out_and_said(at_the_chair, nurse, clinic, sarah):
    one = sarah.facts.administrations[0]
    vial = facts.Vial(amount=Decimal(300), count=2, ndc="50242-0150-01", lot="B7", expires=date(2027, 1, 31))
    recorded = replace(sarah, facts=replace(sarah.facts, administrations=(replace(one, vials=(vial,)),)))
    draft = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
    address = f"/encounters/{draft.public_id}/"
    fields = Page(at_the_chair.get(address).content).form_to(address).fields
    changed = at_the_chair.post(address, {**fields, "d1-drug": "Rituximab", "act": "check"})
    assert "Left out" in note(changed, "d1-v1-ndc")
    again = Page(changed.content).form_to(address).fields
    at_the_chair.post(address, {**again, "d1-v1-ndc": "50242-0051-21", "act": "save"})
    [vial] = facts_of(Encounter.objects.get()).administrations[0].vials
    assert (vial.ndc, vial.lot) == ("50242-0051-21", "B7"), "typed anew, it is about what stands there now"


PRINTED = {"ndc": "50242-150-01", "lot": "H1234", "expires": "2026-11-30"}


@pytest.mark.parametrize("name", PRINTED)
def test_print_without_a_count_is_asked_about_and_never_dropped(at_the_chair, name):
    rows = {"d1-v1-count": "", f"d1-v1-{name}": PRINTED[name], f"d1-v2-{name}": PRINTED[name], "d1-v2-size": ""}
    refused = at_the_chair.post(NEW, sent("save", **rows))
    assert {"d1-v1-count", "d1-v2-count"} <= {issue.field for issue in refused.context["issues"]}
    assert not Encounter.objects.exists()
    two_sizes = {"d1-drug": "Rituximab", "d1-v1-size": "", "d1-v1-count": "2", f"d1-v1-{name}": PRINTED[name]}
    refused = at_the_chair.post(NEW, sent("save", **two_sizes))
    assert "d1-v1-size" in {issue.field for issue in refused.context["issues"]}
    blank = {"d1-v1-count": "", "d1-v1-ndc": "", "d1-administered": ""}
    assert at_the_chair.post(NEW, sent("save", **blank)).status_code == 302


def test_the_proposed_vials_keep_what_was_scanned(at_the_chair):
    blank = {"d1-v1-size": "300", "d1-v1-count": "", "d1-administered": ""}
    scanned = form_of(at_the_chair.post(NEW, sent(**blank, d1__scan=PRODUCT + EXPIRY + LOT)))
    taken = form_of(at_the_chair.post(NEW, {**scanned, "act": "vials-d1=2x300"}))
    assert (taken["d1-v1-count"], taken["d1-v1-ndc"], taken["d1-v1-lot"]) == ("2", OCREVUS, "H1234")
    assert "d1-v2-size" not in taken
    second = {**scanned, "d1-v2-size": "300", "d1-v2-lot": "J9", "d1-v3-size": "100", "d1-v3-count": "1"}
    both = form_of(at_the_chair.post(NEW, {**second, "act": "vials-d1=2x300"}))
    assert [both[f"d1-v{n}-lot"] for n in (1, 2)] == ["H1234", "J9"]
    assert (both["d1-v2-count"], "d1-v3-size" in both) == ("", False)


# The rest of a vial -----------------------------------------------------------------------------------------------


def waste(response):
    return response.context["balances"]["d1"]


def answers(response):
    return {answer.label: answer.action for answer in waste(response).answers}


def test_vials_are_proposed_and_taken_in_one_tap(at_the_chair):
    blank = {"d1-v1-size": "", "d1-v1-count": "", "d1-administered": ""}
    response = at_the_chair.post(NEW, {**sent(""), **blank}, headers=LIVE)
    assert answers(response) == {"Take 2 vials of 300 mg": "vials-d1=2x300"}
    assert waste(response).text == "600 mg: nothing is left over of 2 vials of 300 mg."
    fields = form_of(at_the_chair.post(NEW, {**sent("vials-d1=2x300"), **blank}))
    assert (fields["d1-v1-size"], fields["d1-v1-count"]) == ("300", "2")
    assert "d1-v2-size" not in fields
    typed = at_the_chair.post(NEW, {**sent("", **{"d1-drug": ""}), **blank}, headers=LIVE)
    assert not waste(typed).answers


def test_twenty_five_milligrams_are_discarded_in_one_tap(at_the_chair):
    dose = {"d1-ordered": "575", "d1-administered": "575"}
    response = at_the_chair.post(NEW, sent("", **dose), headers=LIVE)
    assert answers(response) == {"Record 25 mg discarded": "add-discard-d1=25:vial_remainder"}
    pressed = at_the_chair.post(NEW, sent("add-discard-d1=25:vial_remainder", **dose))
    fields = form_of(pressed)
    assert (fields["d1-w1-amount"], fields["d1-w1-reason"]) == ("25", "vial_remainder")
    assert waste(pressed).text == "600 mg opened = 575 mg given + 25 mg discarded. The vials add up."
    assert [line.code for line in pressed.context["preview"].lines][-2:] == ["J2350", "J2350"]


def test_the_whole_dose_means_nothing_is_discarded(at_the_chair):
    assert "Nothing is discarded." in waste(at_the_chair.post(NEW, sent(""), headers=LIVE)).text


def test_a_whole_dose_that_was_hung_counts_as_given(at_the_chair):
    left = {"d1-administered": "580", "d1-w1-amount": "20", "d1-w1-reason": "line_residual", "d1-w2-amount": "1",
            "d1-w2-reason": "overfill"}  # fmt: skip
    short = at_the_chair.post(NEW, sent("", **{"d1-administered": "580"}), headers=LIVE)
    assert list(answers(short)) == [
        "Stopped early: 20 mg discarded",
        "The whole dose was hung, some stayed in the line",
    ]
    assert "belongs to the prescribed dose" in waste(short).why
    fields = form_of(at_the_chair.post(NEW, sent("hung-d1", **left)))
    assert fields["d1-administered"] == "600"
    assert (fields["d1-w1-reason"], "d1-w2-reason" in fields) == ("overfill", False)


def test_of_a_dose_that_was_stopped_early_the_vials_rest_is_asked_too(at_the_chair):
    dose = {"d1-ordered": "575", "d1-administered": "500"}
    first = at_the_chair.post(NEW, sent("", **dose), headers=LIVE)
    assert "Left in the vial: 25 mg discarded" in answers(first)
    second = at_the_chair.post(NEW, sent("add-discard-d1=75:stopped_early", **dose))
    assert answers(second) == {"Record 25 mg discarded": "add-discard-d1=25:vial_remainder"}


def test_more_than_the_vials_hold_is_said(at_the_chair):
    words = waste(at_the_chair.post(NEW, sent("", **{"d1-administered": "650"}), headers=LIVE)).text
    assert "50 mg more than the vials hold. Check the dose" in words


def test_given_as_ordered_is_one_tap(at_the_chair):
    response = at_the_chair.post(NEW, sent("given-d1", **{"d1-administered": ""}))
    assert form_of(response)["d1-administered"] == "600"
    unknown = at_the_chair.post(NEW, sent("given-d1", **{"d1-administered": "", "d1-ordered": ""}))
    assert form_of(unknown)["d1-administered"] == ""


def test_nobody_sees_a_code_to_type(at_the_chair):
    page = at_the_chair.get(NEW).content.decode()
    form = page[page.index('id="encounter-form"') : page.index("</form>", page.index('id="encounter-form"'))]
    assert not [code for code in ("JW", "JZ", "J2350", "96365") if code in form]


def test_the_label_stands_above_the_nurses_preview(at_the_chair):
    response = at_the_chair.post(NEW, sent(""), headers=LIVE)
    assert "The label splits the first dose" in response.content.decode()
    assert response.context["preview"].state_words == "Nothing missing"


# Witnesses --------------------------------------------------------------------------------------------------------


@pytest.fixture
def second(person, clinic):
    return person("nurse3", "nurse", clinic, first_name="T.", last_name="Boyd", credentials="RN")


DISCARDED = {"d1-ordered": "575", "d1-administered": "575", "d1-w1-amount": "25", "d1-w1-reason": "vial_remainder"}


def saved_witnesses():
    rows = Encounter.objects.get().administrations.get().discards.all()
    return [row.witness and row.witness.username for row in rows]


def test_a_witness_is_only_asked_where_the_clinic_wants_one(at_the_chair, second):
    assert "d1-w1-witness" not in form_of(at_the_chair.post(NEW, sent(**DISCARDED)))


def test_a_witness_is_kept_and_can_be_changed(at_the_chair, clinic, second):
    clinic.asks_witness = True
    clinic.save()
    at_the_chair.post(NEW, sent("save", **DISCARDED, **{"d1-w1-witness": str(second.pk)}))
    assert saved_witnesses() == ["nurse3"]
    address = f"/encounters/{Encounter.objects.get().public_id}/"
    fields = Page(at_the_chair.get(address).content).form_to(address).fields
    assert fields["d1-w1-witness"] == str(second.pk)
    at_the_chair.post(address, {**fields, "act": "save"})
    assert saved_witnesses() == ["nurse3"]
    at_the_chair.post(address, {**fields, "version": "2", "d1-w1-witness": "", "act": "save"})
    assert saved_witnesses() == [None]


def test_a_witness_who_has_left_stays_on_record(at_the_chair, clinic, second, person):
    clinic.asks_witness = True
    clinic.save()
    at_the_chair.post(NEW, sent("save", **DISCARDED, **{"d1-w1-witness": str(second.pk)}))
    second.is_active = False
    second.save()
    address = f"/encounters/{Encounter.objects.get().public_id}/"
    fields = Page(at_the_chair.get(address).content).form_to(address).fields
    drawn = at_the_chair.post(address, {**fields, "act": "add-discard-d1"})
    assert Page(drawn.content).form_to(address).fields["d1-w2-witness"] == ""
    at_the_chair.post(address, {**fields, "act": "save"})
    assert saved_witnesses() == ["nurse3"]
    gone = person("nurse4", "nurse", clinic, is_active=False)
    refused = at_the_chair.post(address, {**fields, "version": "2", "d1-w1-witness": str(gone.pk), "act": "save"})
    assert [issue.field for issue in refused.context["issues"]] == ["d1-w1-witness"]


def test_whoever_saw_a_discard_that_a_colleague_recorded_can_save_it_and_no_more(at_the_chair, clinic, second):
    clinic.asks_witness = True
    clinic.save()
    at_the_chair.post(NEW, sent("save", **DISCARDED, **{"d1-w1-witness": str(second.pk)}))
    at_the_chair.force_login(second)
    address = f"/encounters/{Encounter.objects.get().public_id}/"
    fields = Page(at_the_chair.get(address).content).form_to(address).fields
    assert at_the_chair.post(address, {**fields, "act": "save"}).status_code == 302
    assert saved_witnesses() == ["nurse3"]
    more = {"d1-w2-amount": "1", "d1-w2-reason": fields["d1-w1-reason"], "d1-w2-witness": str(second.pk)}
    for changed in (more, {"d1-w1-amount": "250"}, {"d1-w1-reason": "broken_or_spilled"}):
        again = at_the_chair.post(address, {**fields, **changed, "version": "2", "act": "save"})
        assert "your own witness" in again.content.decode(), changed
    assert saved_witnesses() == ["nurse3"]


def test_nobody_is_their_own_witness_or_one_from_elsewhere(at_the_chair, clinic, nurse, other_nurse, sarah):
    clinic.asks_witness = True
    clinic.save()
    own = at_the_chair.post(NEW, sent("save", **DISCARDED, **{"d1-w1-witness": str(nurse.pk)}))
    assert "your own witness" in own.content.decode()
    response = at_the_chair.post(NEW, sent("save", **DISCARDED, **{"d1-w1-witness": str(other_nurse.pk)}))
    assert [issue.field for issue in response.context["issues"]] == ["d1-w1-witness"]
    with pytest.raises(Refused, match="does not work here"):
        save_encounter(
            by=nurse, clinic=clinic, client_id=uuid4(), recorded=replace(sarah, witnesses={("a1", 0): other_nurse.pk})
        )
    assert not Encounter.objects.exists()
