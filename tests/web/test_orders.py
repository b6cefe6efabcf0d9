"""Orders through Django's client: kept once, taken over from last time, taken off the day with a reason."""

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
import time_machine

from infusion.actions import Ordered, begin_order, place_order, save_encounter
from infusion.audit import AuditEvent
from infusion.models import Chair, Encounter, Order, Patient
from infusion.premedication import USUAL, premedication_for
from infusion.selectors import past_doses
from infusion.vials import in_words, proposed_vials, read_rows
from tests.web.page import Page

pytestmark = pytest.mark.django_db

NEW, DAY = "/orders/new/", "/orders/"
LIVE = {"HX-Request": "true", "HX-Target": "preview-body"}
ORDER = {
    "patient_reference": "MRN-1001", "patient_name": "Sarah Lindqvist", "payer": "medicare", "date": "2026-03-10",
    "time": "0900", "drug": "Ocrelizumab", "ordered": "600", "diagnosis": "G35.A", "prescriber": "Dr. Hale",
}  # fmt: skip


@pytest.fixture(autouse=True)
def on_march_10():
    with time_machine.travel("2026-03-10T11:00:00Z", tick=False):
        yield


@pytest.fixture
def at_the_desk(client, nurse, medicare):
    client.force_login(nurse)
    return client


def sent(act="place", **more):
    return {**ORDER, "client_id": str(uuid4()), "act": act, **more}


def form_of(response):
    return Page(response.content).form_to(NEW).fields


def place(nurse, clinic, medicare, **more):
    patient = Patient.objects.get_or_create(clinic=clinic, reference="MRN-1001")[0]
    what = {
        "patient": patient, "payer": medicare, "scheduled_at": datetime(2026, 3, 10, 13, tzinfo=UTC),
        "setting": "office", "drug": "J2350", "route": "iv_infusion", "ordered": Decimal(600),
        "vials": ((Decimal(300), 2),), **more,
    }  # fmt: skip
    return place_order(by=nurse, clinic=clinic, client_id=uuid4(), ordered=Ordered(**what))


def test_an_order_is_kept_with_the_vials_that_leave_the_least(at_the_desk, clinic):
    chair = Chair.objects.create(clinic=clinic, label="3", position=3)
    response = at_the_desk.post(NEW, sent(chair=str(chair.pk), **{f"before-{key}": "on" for key in USUAL}))
    assert (response.status_code, response.headers["Location"]) == (302, DAY)
    order = Order.objects.get()
    assert (order.drug, order.route, order.ordered, order.vials) == ("J2350", "iv_infusion", 600, [["300", 2]])
    assert (order.chair, order.premedication, order.prescriber) == (chair, list(USUAL), "Dr. Hale")
    assert order.scheduled_at == datetime(2026, 3, 10, 13, 0, tzinfo=UTC)
    assert (order.patient.reference, order.patient.name) == ("MRN-1001", "Sarah Lindqvist")
    told = list(AuditEvent.objects.filter(subject__in=("order", "patient")).values_list("action", flat=True))
    assert told == ["patient.save", "order.place"]
    page = at_the_desk.get(DAY).content.decode()
    assert "Ocrelizumab 600 mg, chair 3" in page
    assert "Methylprednisolone 100 mg, IV push" in page


def test_a_form_sent_twice_is_one_order(at_the_desk):
    form = sent()
    for _ in range(2):
        assert at_the_desk.post(NEW, form).status_code == 302
    assert Order.objects.count() == 1


@pytest.mark.parametrize("more", [{"ordered": "300"}, {"time": "1000"}, {"before-acetaminophen": "on"}])
def test_a_form_sent_again_with_another_order_says_what_stands(at_the_desk, more):
    form = sent()
    at_the_desk.post(NEW, form)
    response = at_the_desk.post(NEW, {**form, **more})
    assert response.status_code == 422
    text = response.content.decode()
    assert "This form has ordered Ocrelizumab 600 mg for MRN-1001 already, for Tuesday, March 10, 2026 at 09:00" in text
    assert "take that order off the day first" in text
    assert form_of(response).items() >= more.items()
    assert form_of(response)["client_id"] == form["client_id"]
    assert [(order.ordered, order.premedication) for order in Order.objects.all()] == [(600, [])]


def test_a_form_gone_back_to_for_the_next_patient_orders_beside_the_first(at_the_desk):
    form = sent()
    at_the_desk.post(NEW, form)
    response = at_the_desk.post(NEW, {**form, "patient_reference": "MRN-1002"})
    assert response.status_code == 422
    text = response.content.decode()
    assert "already, for Tuesday, March 10, 2026 at 09:00. That order stands. Press again to order what you see" in text
    assert "take that order off" not in text
    assert not Patient.objects.filter(reference="MRN-1002").exists()
    assert at_the_desk.post(NEW, {**form_of(response), "act": "place"}).status_code == 302
    orders = Order.objects.filter(cancelled_at=None)
    assert sorted(order.patient.reference for order in orders) == ["MRN-1001", "MRN-1002"]


def test_a_form_whose_order_was_taken_off_the_day_orders_it_anew(at_the_desk):
    form = sent()
    at_the_desk.post(NEW, form)
    at_the_desk.post(f"/orders/{Order.objects.get().public_id}/take-off/", {"reason": "Another dose"})
    response = at_the_desk.post(NEW, {**form, "ordered": "300"})
    assert "was taken off the day, so nothing is ordered" in response.content.decode()
    assert at_the_desk.post(NEW, {**form_of(response), "act": "place"}).status_code == 302
    assert [(order.ordered, order.cancelled_at is None) for order in Order.objects.all()] == [(600, False), (300, True)]


def test_another_order_of_a_form_whose_order_has_begun_belongs_into_the_encounter(at_the_desk, nurse):
    form = sent()
    at_the_desk.post(NEW, form)
    begin_order(by=nurse, order=Order.objects.get())
    assert at_the_desk.post(NEW, form).status_code == 302
    assert "change it in the encounter" in at_the_desk.post(NEW, {**form, "ordered": "300"}).content.decode()


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("patient_reference", "", "enter the record number"), ("payer", "", "choose who pays"),
        ("date", "", "enter the day"), ("date", "2026-03-09", "this day is past"),
        ("time", "", "when the patient is expected"), ("drug", "", "choose what"),
        ("drug", "Snake oil", "no drug of this name"), ("ordered", "", "what was prescribed"),
        ("ordered", "0", "more than 0"), ("ordered", "0.0001", "thousandth"), ("vials", "two", "for example 2 x 300"),
        ("vials", "1 x 300", "they hold 300 mg, and 600 mg are ordered"), ("time", "2530", "hours"),
        ("payer", "nobody", "choose one of the list"), ("diagnosis", "G35", None),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_and_nothing_is_kept(at_the_desk, field, text, words):
    response = at_the_desk.post(NEW, sent(**{field: text}))
    if words is None:
        assert response.status_code == 302
        return
    issues = {issue.field: issue.message for issue in response.context["issues"]}
    assert words in issues[field]
    assert b"<title>Error: New order" in response.content
    assert not Order.objects.exists()
    assert form_of(response)["prescriber"] == "Dr. Hale"


def test_an_hour_that_the_clocks_skip_is_asked_about(at_the_desk):
    response = at_the_desk.post(NEW, sent(date="2027-03-14", time="0230"))
    assert "skipped" in response.context["issues"][0].message


def test_a_reference_with_another_name_is_asked_about(at_the_desk, clinic):
    Patient.objects.create(clinic=clinic, reference="MRN-1001", name="Ada Novak", birth_date=date(1970, 1, 2))
    response = at_the_desk.post(NEW, sent(birth_date="1971-01-02"))
    assert [issue.field for issue in response.context["issues"]] == ["patient_name", "birth_date"]
    assert not Order.objects.exists()


def test_the_usual_set_is_one_tap(at_the_desk):
    fields = form_of(at_the_desk.post(NEW, sent("usual")))
    assert {name for name in fields if name.startswith("before-")} == {f"before-{key}" for key in USUAL}
    assert not Order.objects.exists()


def test_same_as_last_time_takes_over_the_last_order(at_the_desk, nurse, clinic, medicare):
    old = datetime(2025, 9, 1, 13, tzinfo=UTC)
    place(nurse, clinic, medicare, scheduled_at=old, prescriber="Dr. Hale", premedication=("acetaminophen",))
    form = {"patient_reference": "MRN-1001", "date": "2026-03-10", "before-diphenhydramine": "on", "act": "same"}
    response = at_the_desk.post(NEW, form)
    fields = form_of(response)
    kept = {name: fields[name] for name in ("payer", "drug", "ordered", "route", "vials", "prescriber", "date")}
    assert kept == {
        "payer": "medicare", "drug": "Ocrelizumab", "ordered": "600", "route": "iv_infusion", "vials": "2 x 300",
        "prescriber": "Dr. Hale", "date": "2026-03-10",
    }  # fmt: skip
    assert [name for name in fields if name.startswith("before-")] == ["before-acetaminophen"]
    assert "Taken over from the order for September 1, 2025" in response.content.decode()


def test_same_as_last_time_takes_over_the_last_visit(at_the_desk, nurse, clinic, medicare):
    order = place(nurse, clinic, medicare, premedication=("methylprednisolone",), diagnoses=("G35.A",))
    begun = begin_order(by=nurse, order=order, premedication=premedication_for(order.premedication))
    Order.objects.update(encounter=None, cancelled_at=datetime(2026, 3, 10, tzinfo=UTC))
    response = at_the_desk.post(NEW, {"patient_reference": "MRN-1001", "act": "same"})
    fields = form_of(response)
    assert (fields["drug"], fields["ordered"], fields["diagnosis"]) == ("Ocrelizumab", "600", "G35.A")
    assert "before-methylprednisolone" in fields
    begun.administrations.all().delete()
    assert "No earlier order" in at_the_desk.post(NEW, {**sent("same")}).content.decode()


def test_same_as_last_time_asks_who_first(at_the_desk):
    assert "enter the record number first" in at_the_desk.post(NEW, {"act": "same"}).content.decode()
    assert "No earlier order or visit" in at_the_desk.post(NEW, sent("same")).content.decode()


def test_the_label_speaks_beside_the_order(at_the_desk, nurse, clinic, sarah):
    save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    page = at_the_desk.post(NEW, sent("", date="2026-07-01"), headers=LIVE).content.decode()
    assert "given on March 10, 2026, 113 days before" in page
    assert "J2350" not in page
    assert at_the_desk.post(NEW, sent(date="2026-07-01")).status_code == 302, "a caution holds nothing up"


def test_doses_of_another_clinic_are_nobodys_business(at_the_desk, clinic, other_clinic, other_nurse, sarah):
    save_encounter(by=other_nurse, clinic=other_clinic, client_id=uuid4(), recorded=sarah)
    mine = Patient.objects.create(clinic=clinic, reference="MRN-1001")
    assert past_doses(mine) == ()
    assert past_doses(None) == ()
    [dose] = past_doses(Patient.objects.get(clinic=other_clinic))
    assert (dose.on, dose.drug, dose.amount) == (date(2026, 3, 10), "J2350", 600)
    assert past_doses(Patient.objects.get(clinic=other_clinic), Encounter.objects.get()) == ()


def test_an_order_is_taken_off_the_day_with_a_reason(at_the_desk, nurse, clinic, medicare):
    order = place(nurse, clinic, medicare)
    address = f"/orders/{order.public_id}/take-off/"
    assert "Write why" in at_the_desk.post(address, {"reason": " "}, follow=True).content.decode()
    order.refresh_from_db()
    assert order.cancelled_at is None
    page = at_the_desk.post(address, {"reason": "Fever"}, follow=True).content.decode()
    assert "Taken off the day." in page
    assert "MRN-1001" not in page
    assert AuditEvent.objects.get(action="order.cancel").reason == "Fever"


def test_what_an_order_begins_is_saved_from_the_form_as_it_stands(at_the_desk, nurse, clinic, medicare):
    order = place(nurse, clinic, medicare, premedication=USUAL)
    begun = begin_order(by=nurse, order=order, premedication=premedication_for(USUAL))
    address = f"/encounters/{begun.public_id}/"
    opened = at_the_desk.get(address)
    assert (opened.context["inexact"], opened.context["focus"]) == (False, "d4-start")
    form = Page(opened.content).form_to(address).fields
    assert at_the_desk.post(address, {**form, "act": "save"}).status_code == 302
    assert [row.drug for row in begun.administrations.all()] == ["J2919", "J1200", "acetaminophen", "J2350"]


def test_an_order_that_has_begun_stays(at_the_desk, nurse, clinic, medicare):
    order = place(nurse, clinic, medicare)
    begin_order(by=nurse, order=order)
    page = at_the_desk.post(f"/orders/{order.public_id}/take-off/", {"reason": "Fever"}, follow=True).content.decode()
    assert "has begun" in page
    assert "Open the encounter" in page


def test_another_clinics_order_and_chair_are_not_there(client, other_nurse, nurse, clinic, medicare):
    order = place(nurse, clinic, medicare)
    chair = Chair.objects.create(clinic=clinic, label="3", position=3)
    client.force_login(other_nurse)
    assert client.post(f"/orders/{order.public_id}/take-off/", {"reason": "Fever"}).status_code == 404
    assert "MRN-1001" not in client.get(DAY).content.decode()
    response = client.post(NEW, sent(chair=str(chair.pk)))
    assert [issue.field for issue in response.context["issues"]] == ["chair"]
    assert "No earlier" in client.post(NEW, sent("same")).content.decode()


def test_tomorrows_orders_are_counted_and_not_listed(at_the_desk, nurse, clinic, medicare):
    place(nurse, clinic, medicare, scheduled_at=datetime(2026, 3, 11, 13, tzinfo=UTC))
    page = at_the_desk.get(DAY).content.decode()
    assert "1 on later days" in page
    assert "Nothing is ordered for today." in page


@pytest.mark.parametrize(
    ("sizes", "dose", "words"),
    [
        ([300], 600, "2 vials of 300 mg"), ([300], 575, "2 vials of 300 mg"), ([300], 0, ""), ([], 10, ""),
        ([100, 500], 950, "2 vials of 500 mg"), ([100, 500], 901, "2 vials of 500 mg"),
        ([40, 125, 500, 1000], 1165, "1 vial of 1000 mg and 1 of 125 mg and 1 of 40 mg"), ([1], 201, ""),
    ],
)  # fmt: skip
def test_the_vials_that_leave_the_least(sizes, dose, words):
    assert in_words(proposed_vials(map(Decimal, sizes), Decimal(dose))) == words


@pytest.mark.parametrize("text", ["", "300", "0 x 300", "2 x 0", "201 x 5", "2 x 300 x 4", "-2 x 300"])
def test_vials_that_cannot_be_read(text):
    assert read_rows(text) is None
