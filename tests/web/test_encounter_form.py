"""The nurse's encounter form through Django's client."""

import re
from dataclasses import replace
from datetime import date, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.test import Client

from infusion import audit
from infusion.actions import hand_to_billing, return_to_nurse, save_encounter
from infusion.forms.encounter import Surroundings
from infusion.forms.record import RecordEntry
from infusion.forms.stored import entries_of, normal
from infusion.models import Encounter, Patient, Question
from infusion.selectors import facts_of, review_of
from infusion.services import facts
from infusion.services.calculate import shipped_reference
from infusion.services.clock import ClockChange
from infusion.services.wire import parse_encounter
from payers.actions import Departure, publish_override
from payers.policy import national_baseline
from tests.rules.random_encounters import encounters as made_up

pytestmark = pytest.mark.django_db

NEW = "/encounters/new/"
LIVE = {"HX-Request": "true", "HX-Target": "preview-body"}
SARAH = {
    "patient_reference": "MRN-1001", "payer": "medicare", "setting": "office", "date": "2026-03-10",
    "diagnosis": "G35.A", "d1-drug": "Ocrelizumab", "d1-start": "0900", "d1-stop": "1130", "d1-ordered": "600",
    "d1-administered": "600", "d1-v1-size": "300", "d1-v1-count": "2",
}  # fmt: skip


@pytest.fixture
def at_the_chair(client: Client, nurse, medicare) -> Client:
    client.force_login(nurse)
    return client


@pytest.fixture
def stored(nurse, clinic, sarah) -> Encounter:
    return save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)


def sent(act="save", client_id=None, version=0, **more) -> dict[str, str]:
    names = {name.replace("__", "-"): value for name, value in more.items()}
    return {**SARAH, **names, "act": act, "client_id": str(client_id or uuid4()), "version": str(version)}


def address(encounter: Encounter) -> str:
    return f"/encounters/{encounter.public_id}/"


def hidden(response, name: str) -> str:
    return re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', response.content.decode())[1]


def fields(response) -> dict[str, str]:
    """What a browser would send back: every input and chosen option of the form."""
    html = response.content.decode()
    form = html[html.index('id="encounter-form"') : html.index("</form>", html.index('id="encounter-form"'))]
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = (re.search(rf' {what}="([^"]*)"', tag) for what in ("name", "value"))
        if name and name[1] != "csrfmiddlewaretoken":
            found[name[1]] = value[1] if value else ""
    for name, options in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', options) or re.search(
            r'<option value="([^"]*)"', options
        )
        found[name] = chosen[1] if chosen else ""
    return found


# Who may open it -----------------------------------------------------------------------------------------------------


def test_only_a_nurse_opens_a_blank_form(client, nurse, biller, admin_user):
    assert client.get(NEW).status_code == 302
    for user, status in ((nurse, 200), (biller, 403), (admin_user, 403)):
        client.force_login(user)
        assert client.get(NEW).status_code == status
        assert client.post(NEW, sent()).status_code == status
    assert not Encounter.objects.exists()


def test_billing_is_led_to_the_review_and_another_clinic_to_nothing(client, biller, other_nurse, stored):
    client.force_login(biller)
    assert client.get(address(stored)).headers["Location"] == f"/encounters/{stored.public_id}/review/"
    assert client.post(address(stored), sent(version=1)).status_code == 302
    client.force_login(other_nurse)
    for method in (client.get, client.post):
        assert method(address(stored), sent(version=1)).status_code == 404
    assert Encounter.objects.get().version == 1


def test_a_client_id_of_another_clinic_is_a_new_encounter_here(client, other_nurse, stored):
    client.force_login(other_nurse)
    client.post(NEW, sent(client_id=stored.client_id))
    assert [each.clinic_id for each in Encounter.objects.order_by("pk")] == [stored.clinic_id, other_nurse.clinic_id]


# A draft -------------------------------------------------------------------------------------------------------------


def test_a_blank_form_has_the_clinics_defaults_and_shows_no_error(at_the_chair, clinic):
    clinic.setting, clinic.drug = "hospital_outpatient", "J2350"
    clinic.save()
    with time_machine.travel("2026-03-11T02:00:00Z", tick=False):
        response = at_the_chair.get(NEW)
    form = fields(response)
    assert (form["date"], form["setting"], form["d1-drug"], form["payer"]) == (
        "2026-03-10", "hospital_outpatient", "Ocrelizumab", "",
    )  # fmt: skip
    assert "There is a problem" not in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]


def test_a_draft_needs_no_stop_and_no_vials(at_the_chair):
    response = at_the_chair.post(NEW, sent(d1__stop="", d1__v1__size="", d1__v1__count=""), follow=True)
    draft = Encounter.objects.get()
    assert response.redirect_chain == [(address(draft), 302)]
    assert (draft.state, draft.version, draft.payer.slug) == ("draft", 1, "medicare")
    html = response.content.decode()
    assert 'role="status">Saved as a draft.' in html
    assert "has no stop time" in html
    assert "MRN-1001" not in re.search("<title>(.*?)</title>", html)[1]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"patient_reference": " "}, "patient_reference"),
        ({"patient_reference": "x" * 41}, "patient_reference"),
        ({"patient_reference": "a\u202eb"}, "patient_reference"),
        ({"birth_date": "2/30/1990"}, "birth_date"),
        ({"birth_date": "1/1/2990"}, "birth_date"),
        ({"payer": ""}, "payer"),
        ({"payer": "nobody"}, "payer"),
        ({"date": ""}, "date"),
        ({"date": "2026-02-29"}, "date"),
        ({"date": "March"}, "date"),
        ({"d1-start": "9:60"}, "d1-start"),
        ({"d1-start": "0915", "d1-stop": "2:30"}, "d1-stop"),
        ({"d1-administered": "0.0001"}, "d1-administered"),
        ({"d1-v1-size": "0.0001"}, "d1-v1-size"),
        ({"d1-w1-amount": "20"}, "d1-w1-reason"),
        ({"d1-drug": "nosuch"}, "d1-drug"),
    ],
)
def test_what_cannot_be_read_stays_in_the_form_and_is_not_saved(at_the_chair, change, field):
    response = at_the_chair.post(NEW, {**sent(), **change})
    assert response.status_code == 200
    assert not Encounter.objects.exists()
    assert not Patient.objects.exists()
    html = response.content.decode()
    assert "<title>Error: New encounter" in html
    assert "There is a problem" in html
    message = next(issue.message for issue in response.context["issues"] if issue.field == field)
    assert not re.search("invalid|please|sorry|required|forbidden", message, re.IGNORECASE)
    assert field != "date" or message.startswith("Date of service: ")
    assert html.count(f'href="#{field}"') >= 1
    kept = fields(response)
    for name, text in change.items():
        if name != "payer" and "size" not in name:
            assert kept[name].strip() == text.strip()


def test_buttons_that_change_the_form_save_nothing(at_the_chair):
    for action in (
        "add-drug",
        "add-pause-d1",
        "add-discard-d1=25",
        "remove-d1",
        "set:d1-stop=14:30",
        "check",
        "nonsense",
    ):
        response = at_the_chair.post(NEW, sent(action))
        assert response.status_code == 200
    response = at_the_chair.post(NEW, sent("add-pause-d1"))
    assert "d1-p1-start" in fields(response)
    assert not Encounter.objects.exists()


def test_the_live_answer_saves_nothing_and_carries_no_field(at_the_chair):
    body = {name: value for name, value in sent().items() if name != "act"}
    fragment = at_the_chair.post(NEW, {**body, "d1-start": "9:60"}, headers=LIVE).content.decode()
    assert not Encounter.objects.exists()
    assert "There is a problem" not in fragment
    assert "wrong-text" not in fragment
    assert not re.search(r"<(input|select|textarea)\b", fragment)
    assert "Record MRN-1001" in fragment


def test_what_a_route_does_not_ask_for_blocks_nothing(at_the_chair):
    fluid = {"d2-route": "hydration", "d2-purpose": "ordered", "d2-start": "1140", "d2-stop": "1230"}
    left = {"d2-drug": "saline", "d2-administered": "a bag", "d2-v1-count": "x", "d2-v1-lot": "B7"}
    assert at_the_chair.post(NEW, sent(**fluid, **left)).status_code == 302
    given = facts_of(Encounter.objects.get()).administrations[1]
    assert (given.route, given.drug, given.administered, given.vials) == ("hydration", "", None, ())
    asked = at_the_chair.post(NEW, sent(**{**fluid, **left, "d2-start": "soon"}))
    assert [issue.field for issue in asked.context["issues"]] == ["d2-start"]


def test_as_much_as_is_stored_is_read_again(at_the_chair, nurse, clinic, sarah):
    (given,) = sarah.facts.administrations
    pauses = tuple(
        facts.Pause(start=datetime(2026, 3, 10, 9, 5 + 4 * n), stop=datetime(2026, 3, 10, 9, 7 + 4 * n))
        for n in range(13)
    )
    recorded = replace(sarah, facts=replace(sarah.facts, administrations=(replace(given, pauses=pauses),)))
    drafted = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
    form = fields(at_the_chair.get(address(drafted)))
    assert at_the_chair.post(address(drafted), {**form, "d1-stop": "1145", "act": "save"}).status_code == 302
    (after,) = facts_of(Encounter.objects.get()).administrations
    assert (len(after.pauses), Encounter.objects.get().version) == (13, 2)
    form = fields(at_the_chair.get(address(drafted)))
    assert at_the_chair.post("/encounters/kept/", {**form, "d1-p13-stop": "0959"}).headers["X-Kept"] == "yes"
    copy = at_the_chair.get(f"{address(drafted)}?copy={drafted.client_id}")
    assert fields(copy)["d1-p13-stop"] == "0959"
    fewer = fields(at_the_chair.post(address(drafted), {**form, "act": "remove-d1-p13"}))
    assert ("d1-p12-start" in fewer, "d1-p13-start" in fewer) == (True, False)
    refused = at_the_chair.post(address(drafted), {**form, "d1-p14-start": "1101", "d1-lot": "x", "act": "save"})
    assert refused.context["refusal"] == "One drug takes 12 pause entries. Join some of them."
    shown = fields(refused)
    assert (shown["patient_reference"], shown["d1-p13-start"]) == ("MRN-1001", form["d1-p13-start"])
    assert Encounter.objects.get().version == 2


# Handing over --------------------------------------------------------------------------------------------------------


def test_a_complete_encounter_goes_to_billing(at_the_chair, nurse):
    response = at_the_chair.post(NEW, sent("hand-over"))
    done = Encounter.objects.get()
    assert response.headers["Location"] == "/encounters/"
    assert (done.state, done.handed_over_by, done.version) == ("with_billing", nurse, 2)
    page = at_the_chair.get(address(done))
    assert "<form" not in page.content.decode().split("<main")[1]
    assert "With billing" in page.content.decode()
    refused = at_the_chair.post(address(done), sent("save", version=2, d1__stop="1200"))
    assert "This encounter is with billing" in refused.content.decode()
    assert fields(refused)["d1-stop"] == "1200"
    assert Encounter.objects.get().version == 2


def test_what_blocks_is_said_with_links_and_the_draft_is_saved(at_the_chair):
    response = at_the_chair.post(NEW, sent("hand-over", d1__stop=""), follow=True)
    html = response.content.decode()
    assert Encounter.objects.get().state == "draft"
    assert "<title>Error: Encounter" in html
    assert "Saved as a draft. Before billing can have it:" in html
    summary = html[html.index('id="error-summary"') :]
    assert 'href="#d1-stop"' in summary[: summary.index("</section>")]


def test_handing_over_again_answers_the_question(at_the_chair, nurse, biller, stored):
    current = hand_to_billing(by=nurse, encounter=stored, version=1)
    current = return_to_nurse(by=biller, encounter=current, version=2, question="Was the stop at 11:30 or 11:50?")
    html = at_the_chair.get(address(stored)).content.decode()
    assert "Was the stop at 11:30 or 11:50?" in html
    assert "D. Reyes" in html
    silent = at_the_chair.post(
        address(stored), sent("hand-over", version=current.version, d1__stop="1150"), follow=True
    ).content.decode()
    assert Encounter.objects.get().state == "draft"
    field = f"answer-{Question.objects.get().pk}"
    assert f'href="#{field}"' in silent
    assert 'href="#attest"' in silent
    body = sent("hand-over", version=current.version + 1, d1__stop="1150")
    at_the_chair.post(address(stored), {**body, field: "11:50, by the pump.", "attest": "yes"})
    done = Encounter.objects.get()
    assert done.state == "with_billing"
    question = done.questions.get()
    assert (question.answer, question.answered_by) == ("11:50, by the pump.", nurse)


def test_a_pause_may_begin_with_the_infusion_and_not_end_with_its_own_start(at_the_chair):
    body = sent(d1__p1__start="0900", d1__p1__stop="0910")
    assert at_the_chair.post(NEW, body).status_code == 302
    [pause] = Encounter.objects.get().administrations.get().pauses.all()
    assert (f"{pause.started_at:%H:%M}", f"{pause.stopped_at:%H:%M}") == ("13:00", "13:10")
    refused = at_the_chair.post(NEW, sent(d1__p1__start="0900", d1__p1__stop="0900"))
    assert [issue.field for issue in refused.context["issues"]] == ["d1-p1-stop"]


# Once and only once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["save", "hand-over"])
def test_the_same_form_sent_three_times_is_one_encounter(at_the_chair, action):
    body = sent(action)
    places = {at_the_chair.post(NEW, body).headers["Location"] for _ in range(3)}
    assert len(places) == 1
    assert Encounter.objects.get().version == (1 if action == "save" else 2)


@pytest.mark.parametrize("action", ["save", "hand-over"])
def test_a_second_tap_on_a_stored_encounter_is_no_conflict(at_the_chair, stored, action):
    body = sent(action, version=1, d1__stop="1145")
    places = {at_the_chair.post(address(stored), body).headers["Location"] for _ in range(3)}
    assert len(places) == 1
    assert Encounter.objects.get().version == (2 if action == "save" else 3)


def test_back_and_another_save_changes_the_one_encounter(at_the_chair):
    one = uuid4()
    at_the_chair.post(NEW, sent(client_id=one))
    at_the_chair.post(NEW, sent(client_id=one, d1__stop="1145"))
    draft = Encounter.objects.get()
    assert draft.version == 2
    assert f"{draft.administrations.get().stopped_at:%H:%M}" == "15:45"


def test_back_to_a_form_that_was_saved_leads_to_what_it_became(at_the_chair, other_nurse):
    one = uuid4()
    assert at_the_chair.get(NEW, {"copy": str(one)}).status_code == 200
    at_the_chair.post(NEW, sent(client_id=one))
    back = at_the_chair.get(NEW, {"copy": str(one)})
    assert back.headers["Location"] == address(Encounter.objects.get())
    at_the_chair.force_login(other_nurse)
    assert at_the_chair.get(NEW, {"copy": str(one)}).status_code == 200


def test_back_and_another_save_after_a_colleague_changed_it_is_a_conflict(at_the_chair):
    one = uuid4()
    at_the_chair.post(NEW, sent(client_id=one))
    draft = Encounter.objects.get()
    at_the_chair.post(address(draft), sent(version=1, d1__ordered="500"))
    response = at_the_chair.post(NEW, sent(client_id=one, d1__stop="1145"))
    assert response.status_code == 409
    assert Encounter.objects.get().version == 2


# Two people ----------------------------------------------------------------------------------------------------------


def test_a_stale_form_shows_both_versions_and_keeps_what_was_typed(at_the_chair, stored, person, clinic):
    colleague = Client()
    colleague.force_login(person("nurse3", "nurse", clinic, first_name="R.", last_name="Ito", credentials="RN"))
    colleague.post(
        address(stored), sent(version=1, d1__administered="575", d1__w1__amount="25", d1__w1__reason="overfill")
    )
    before = list(audit.AuditEvent.objects.values_list("hash", flat=True))
    response = at_the_chair.post(address(stored), sent(version=1, d1__stop="1145"))
    assert response.status_code == 409
    assert list(audit.AuditEvent.objects.values_list("hash", flat=True)) == before
    assert fields(response)["d1-stop"] == "1145"
    shown = {each.label: (each.mine, each.theirs) for each in response.context["conflict"]["differences"]}
    assert shown == {
        "Drug 1, Stop": ("11:45 (11:45am)", "11:30 (11:30am)"),
        "Drug 1, Administered (mg)": ("600", "575"),
        "Drug 1, Discard 1, Discarded (mg)": ("", "25"),
        "Drug 1, Discard 1, Reason": ("", "Overfill"),
    }
    assert "R. Ito, RN" in response.content.decode()
    again = at_the_chair.post(address(stored), {**fields(response), "act": "save"})
    assert again.status_code == 409
    one = at_the_chair.post(address(stored), {**fields(response), "act": "theirs-d1-administered"})
    assert (fields(one)["d1-administered"], fields(one)["d1-stop"]) == ("575", "1145")
    kept = at_the_chair.post(address(stored), {**fields(one), "act": "keep-2"})
    assert kept.status_code == 302
    row = Encounter.objects.get().administrations.get()
    assert (f"{row.stopped_at:%H:%M}", row.administered, row.discards.count()) == ("15:45", 575, 0)


def test_keep_mine_carries_the_version_it_was_shown(at_the_chair, stored):
    for number in (1, 2):
        at_the_chair.post(address(stored), sent(version=number, d1__ordered=f"50{number}"))
    assert at_the_chair.post(address(stored), sent("keep-2", version=1)).status_code == 409
    assert at_the_chair.post(address(stored), sent("keep-3", version=1)).status_code == 302
    assert Encounter.objects.get().version == 4


def test_take_theirs_opens_the_stored_version(at_the_chair, stored):
    at_the_chair.post(address(stored), sent(version=1, d1__stop="1200"))
    response = at_the_chair.post(address(stored), sent("take-theirs", version=1), follow=True)
    assert fields(response)["d1-stop"] == "1200"
    assert response.context["conflict"] is None


def test_nothing_is_kept_over_what_billing_has(at_the_chair, nurse, stored):
    hand_to_billing(by=nurse, encounter=stored, version=1)
    response = at_the_chair.post(address(stored), sent(version=1, d1__stop="1200"))
    assert response.status_code == 409
    html = response.content.decode()
    assert "This encounter is with billing" in html
    assert "Keep mine" not in html
    assert "Take theirs" in html
    assert Encounter.objects.get().state == "with_billing"


# The right patient ---------------------------------------------------------------------------------------------------


def test_the_name_of_another_patient_is_not_taken_for_this_one(at_the_chair, stored):
    response = at_the_chair.post(NEW, sent(patient_name="Ann Smith", birth_date="6/3/1984"))
    assert [issue.field for issue in response.context["issues"]] == ["patient_name", "birth_date"]
    assert "belongs to Sarah Lindqvist" in response.context["issues"][0].message
    assert Encounter.objects.count() == 1
    at_the_chair.post(NEW, sent(patient_name="sarah lindqvist", birth_date="6/2/1984"))
    assert (Encounter.objects.count(), Patient.objects.count()) == (2, 1)


def test_the_band_names_the_patient_and_title_and_address_do_not(at_the_chair, stored):
    response = at_the_chair.get(address(stored))
    html = response.content.decode()
    band = html[html.index('id="patient-band"') : html.index("</section>", html.index('id="patient-band"'))]
    for words in ("Sarah Lindqvist", "June 2, 1984", "MRN-1001"):
        assert words in band
        assert words not in html[: html.index("<body")]


# What nurses do not see ----------------------------------------------------------------------------------------------


def test_no_code_field_no_rule_and_no_hint_of_the_next_unit(at_the_chair, stored):
    response = at_the_chair.get(address(stored))
    html = response.content.decode()
    assert [(line.code, line.units) for line in response.context["preview"].lines] == [
        ("96365", 1), ("96366", 1), ("J2350", 600),
    ]  # fmt: skip
    assert not any(name.startswith("rule-") for name in fields(response))
    for words in ("more minute", "Why?", "Full hour", "to the next", "$"):
        assert words not in html
    assert not response.context["preview"].timeline.has_brackets
    form = html[html.index('id="encounter-form"') : html.index("</form>", html.index('id="encounter-form"'))]
    assert "J2350" not in form


@pytest.mark.parametrize("minutes", ["30", "thirty"])
def test_a_nurse_cannot_set_a_payers_rule(at_the_chair, stored, minutes):
    response = at_the_chair.post(
        address(stored), sent("check", version=1) | {"rule-additional_hour_minimum_minutes": minutes}
    )
    assert [line.units for line in response.context["preview"].lines] == [1, 1, 600]


def test_what_only_billing_can_mend_is_not_told_to_the_nurse(at_the_chair, medicare, stored):
    rule = Departure(
        parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2024, 1, 1),
        source_document="Payer summary 001", source_read_on=date(2026, 1, 12),
    )  # fmt: skip
    publish_override(by=None, payer=medicare, departure=rule, status="unverified")
    short = sent("check", version=1, d2__route="hydration", d2__purpose="ordered", d2__start="1140", d2__stop="1200")
    preview = at_the_chair.post(address(stored), short).context["preview"]
    codes = {finding.code for finding in preview.statement.findings}
    assert codes >= {"policy.unverified", "hydration.too_short"}
    assert [remark.message for remark in (*preview.warnings, *preview.told)] == []


# There and back ------------------------------------------------------------------------------------------------------


NIGHTS = [
    {"d1-start": "2300", "d1-stop": "0130", "d1-stop-day": "next", "d1-p1-start": "2330", "d1-p1-stop": "0010",
     "d1-p1-stop-day": "next"},
    {"date": "2026-11-01", "d1-start": "0030", "d1-stop": "0130", "d1-stop-turn": "second"},
    {"date": "2026-11-01", "d1-start": "0130", "d1-start-turn": "first", "d1-stop": "0115", "d1-stop-turn": "second"},
    {"date": "2026-10-31", "d1-start": "2300", "d1-stop": "0130", "d1-stop-day": "next", "d1-stop-turn": "second"},
    {"d2-drug": "Diphenhydramine", "d2-route": "iv_push", "d2-start": "0845", "d2-administered": "50",
     "d2-v1-size": "50", "d2-v1-count": "1", "d2-order": "B", "d2-access": "2", "d2-access_reason": "incompatible"},
    {"setting": "home", "visit_start": "0830", "visit_stop": "1200", "d1-primary": "yes", "d1-container": "single"},
    {"d2-route": "hydration", "d2-purpose": "ordered", "d2-start": "1140", "d2-stop": "1230"},
    {"d1-p1-start": "", "d1-stop": ""},
    {"d1-administered": "575.125", "d1-w1-amount": "24.875", "d1-w1-reason": "vial_remainder"},
]  # fmt: skip


@pytest.mark.parametrize("change", NIGHTS)
def test_saving_what_was_opened_changes_nothing_but_the_version(at_the_chair, change):
    typed = {**SARAH, **change}
    at_the_chair.post(NEW, {**sent(), **typed})
    first = Encounter.objects.get()
    before = facts_of(first)
    opened = at_the_chair.get(address(first))
    form = fields(opened)
    assert {name: form.get(name, "") for name in typed} == typed
    assert at_the_chair.post(address(first), {**form, "act": "save"}).status_code == 302
    second = Encounter.objects.get()
    assert second.version == 2
    assert facts_of(second) == before
    again = fields(at_the_chair.get(address(first)))
    assert again == {**form, "version": "2", "page": again["page"]}


def test_what_has_no_field_survives_a_save(at_the_chair, nurse, clinic, sarah):
    one = sarah.facts.administrations[0]
    vials = (
        facts.Vial(amount=one.vials[0].amount, count=1, ndc="50242-0150-01", lot="B7", expires=date(2027, 1, 31)),
        facts.Vial(amount=one.vials[0].amount, count=1, single_dose=True),
    )
    one = replace(one, vials=vials, order="Order 7", access="port", access_reason="Only the port drew back")
    recorded = replace(
        sarah, facts=replace(sarah.facts, administrations=(one,)), late_reasons={"a1": "Tablet was flat"}
    )
    draft = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
    before = facts_of(draft)
    form = fields(at_the_chair.get(address(draft)))
    at_the_chair.post(address(draft), {**form, "act": "save"})
    after = Encounter.objects.get()
    assert (after.version, facts_of(after)) == (2, before)
    assert after.administrations.get().late_reason == "Tablet was flat"
    assert after.place_of_service == "11"
    at_the_chair.post(address(draft), {**form, "version": "2", "d1-drug": "Rituximab", "act": "save"})
    assert {vial.ndc for vial in Encounter.objects.get().administrations.get().vials.all()} == {""}


def tapped_after_midnight(nurse, clinic, sarah) -> Encounter:
    """An order begun at 23:00 and tapped after midnight: 15 minutes and 20 seconds."""
    zone = ZoneInfo("America/New_York")
    start, stop = (datetime(2026, 3, 11, 0, *at, tzinfo=zone) for at in ((0, 50), (16, 10)))
    (given,) = sarah.facts.administrations
    tapped = replace(sarah.facts, administrations=(replace(given, start=start, stop=stop, pauses=()),))
    return save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=replace(sarah, facts=tapped))


def test_a_corrected_date_leaves_the_times_of_the_next_day_where_they_are(at_the_chair, nurse, clinic, sarah):
    drafted = tapped_after_midnight(nurse, clinic, sarah)
    before = facts_of(drafted).administrations[0]
    opened = fields(at_the_chair.get(address(drafted)))
    assert (opened["date"], opened["d1-start-day"]) == ("2026-03-10", "next")
    # Whatever a half-typed date means on the way, the day that was meant at first is not forgotten.
    for typed in ("2026-03-1", "3/11"):
        live = at_the_chair.post(address(drafted), {**opened, "date": typed}, headers=LIVE)
        assert 'name="d1-start-day" value="next"' in live.content.decode()
        assert hidden(live, "date-day") == "2026-03-10"
    assert live.context["entry"].echoes["d1-start"].text == "00:00 (midnight)"
    drawn = fields(at_the_chair.post(address(drafted), {**opened, "date": "2026-03-11", "act": "add-pause-d1"}))
    assert at_the_chair.post(address(drafted), {**drawn, "act": "save"}).status_code == 302
    after = facts_of(Encounter.objects.get())
    assert after.date_of_service == date(2026, 3, 11)
    assert (after.administrations[0].start, after.administrations[0].stop) == (before.start, before.stop)
    codes = {finding.code for finding in review_of(Encounter.objects.get()).statement.findings}
    assert "date_of_service.differs" not in codes


def test_a_date_that_is_typed_back_puts_the_next_day_back(at_the_chair, nurse, clinic, sarah):
    drafted = tapped_after_midnight(nurse, clinic, sarah)
    form = fields(at_the_chair.get(address(drafted)))
    for typed in ("2026-03-11", "2026-03-10"):
        form = fields(at_the_chair.post(address(drafted), {**form, "date": typed, "act": "check"}))
    at_the_chair.post(address(drafted), {**form, "act": "save"})
    assert normal(facts_of(Encounter.objects.get())) == normal(facts_of(drafted))


def test_what_the_form_cannot_say_is_not_replaced_in_silence(at_the_chair, nurse, clinic, sarah, stored):
    Encounter.objects.filter(pk=stored.pk).update(bought_340b=True)
    assert not at_the_chair.get(address(stored)).context["inexact"], "the price is billing's"
    later = replace(sarah, date_of_service=date(2026, 3, 12), facts=replace(sarah.facts, date_of_service=None))
    draft = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=later)
    html = at_the_chair.get(address(draft)).content.decode()
    assert "This form cannot show all that is stored" in html


def test_made_up_encounters_read_back_as_they_were_saved():
    """Of 400 made-up encounters, those that a nurse can type are the same facts in the form, and in it once more."""
    reference, same = shipped_reference(), 0
    for document in made_up(20260310, 400):
        try:
            recorded = typed_at_the_chair(normal(parse_encounter(document, document["time_zone"]).encounter))
        except ClockChange:
            continue
        zone = ZoneInfo(recorded.time_zone)
        first = next((each.start for each in recorded.administrations if each.start), None)
        if first is None:
            continue
        recorded = replace(recorded, date_of_service=first.astimezone(zone).date())
        typed = read(entries_of(recorded, reference), recorded.time_zone)
        if typed.issues:
            continue
        saved = normal(typed.encounter())
        entries = entries_of(saved, reference)
        again = read(entries, recorded.time_zone)
        assert again.issues == []
        assert normal(again.encounter()) == saved
        same += saved == recorded
    assert same > 250


def typed_at_the_chair(recorded: facts.Encounter) -> facts.Encounter:
    """Without what billing, the clinic's page or earlier visits say of it."""
    return replace(
        recorded, hospital_department="", past_doses=None,
        administrations=tuple(replace(each, bought_340b=False) for each in recorded.administrations),
    )  # fmt: skip


def read(entries, time_zone: str) -> RecordEntry:
    now = datetime(2026, 3, 10, 12, tzinfo=ZoneInfo(time_zone))
    around = Surroundings(shipped_reference(), now, {"": ""}, national_baseline())
    return RecordEntry({**entries, "patient_reference": "MRN-1"}, around, lambda reference: None)


@pytest.mark.parametrize("action", ["save", "hand-over", "add-drug"])
def test_typing_saves_nothing_though_a_button_has_the_focus(client, nurse, medicare, action):
    client.force_login(nurse)
    response = client.post(NEW, sent(act=action), headers=LIVE)
    assert response.status_code == 200
    assert not Encounter.objects.exists()
    assert "Drug 2" not in response.content.decode()
    client.post(NEW, sent(act="save"))
    assert Encounter.objects.count() == 1


def test_a_form_of_one_patient_never_writes_to_another(at_the_chair, nurse, clinic, sarah, stored):
    other = save_encounter(
        by=nurse, clinic=clinic, client_id=uuid4(), recorded=replace(sarah, patient_reference="MRN-2002")
    )
    form = sent(client_id=other.client_id, version=stored.version, patient_reference="MRN-2002", d1__stop="1200")
    page = at_the_chair.post(address(stored), form).content.decode()
    assert "belongs to another encounter" in page
    stored.refresh_from_db()
    assert (stored.version, stored.patient.reference) == (1, "MRN-1001")
    own = sent(client_id=stored.client_id, version=stored.version, d1__stop="1200")
    assert at_the_chair.post(address(stored), own).status_code == 302
