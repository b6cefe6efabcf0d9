"""The calculator through Django's client: one view, one template, an address that carries everything."""

import re
from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.test import Client

from payers.actions import Departure, draft_override, publish_override
from payers.models import Payer

SARAH = {
    "date": "2026-03-10", "diagnosis": "G35.A", "d1-drug": "Ocrelizumab", "d1-start": "0900", "d1-stop": "1130",
    "d1-ordered": "600", "d1-administered": "600", "d1-v1-size": "300", "d1-v1-count": "2",
}  # fmt: skip
LIVE = {"HX-Request": "true", "HX-Target": "preview-body"}
WHOLE_FORM = {"HX-Request": "true", "HX-Target": "calculator"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(client: Client):
    def get(entries=None, headers=None, **more):
        response = client.get("/", {**(SARAH if entries is None else entries), **more}, headers=headers or {})
        assert response.status_code == 200
        return response

    return get


def lines(response) -> list[tuple[str, str, int]]:
    return [(line.code, line.modifiers, line.units) for line in response.context["preview"].lines]


def missing(response) -> list[tuple[str, str]]:
    return [(remark.field, remark.message) for remark in response.context["preview"].missing]


def element(html: str, name: str) -> str:
    """The inner text of the element with an id, tags and all, white space folded."""
    start = html.index(">", html.index(f'id="{name}"')) + 1
    tag = html[: html.index(f'id="{name}"')].rpartition("<")[2].split()[0]
    depth, place = 1, start
    for found in re.finditer(rf"<(/?){tag}\b", html[start:]):
        depth += -1 if found[1] else 1
        if depth == 0:
            place = start + found.start()
            break
    return " ".join(html[start:place].split())


def test_sarah_is_one_further_hour_by_the_national_baseline(ask):
    response = ask()
    assert lines(response) == [("96365", "", 1), ("96366", "", 1), ("J2350", "JZ", 600)]
    assert response.context["preview"].state_words == "Nothing missing"


def test_thirty_minutes_count_where_the_visitor_says_so_and_the_reason_names_the_rule(ask):
    response = ask(**{"rule-additional_hour_minimum_minutes": "30"})
    assert ("96366", "", 2) in lines(response)
    reason = next(line for line in response.context["preview"].lines if line.code == "96366").reasons[0]
    assert (reason.rule, reason.value, reason.whose) == (
        "Minutes that earn another hour", "30 minutes", "Set here for this calculation",
    )  # fmt: skip
    assert "Instead of national baseline: 31 minutes" in response.content.decode()


def test_the_fragment_is_the_same_region_of_the_page(ask):
    page, fragment = ask().content.decode(), ask(headers=LIVE).content.decode()
    assert element(page, "preview-body") in " ".join(fragment.split())
    for name in ("preview-state", "peek", "d1-stop-note", "diagnosis-note", "d1-balance"):
        assert element(page, name) == element(fragment, name), name
    assert "<html" not in fragment
    assert "<input" not in fragment


def test_the_form_fragment_is_the_same_region_of_the_page(ask):
    page, fragment = ask().content.decode(), ask(headers=WHOLE_FORM).content.decode()
    assert element(page, "calculator") == element(fragment, "calculator")


def test_a_live_answer_never_replaces_what_is_being_typed(ask):
    fragment = ask(headers={**LIVE, "HX-Trigger-Name": "d1-stop"}).content.decode()
    assert not re.search(r"<(input|select|textarea)\b(?![^>]*type=\"hidden\")", fragment)
    fragment = ask(headers={**LIVE, "HX-Trigger-Name": "d1-drug"}).content.decode()
    assert re.findall(r"<(?:input|select)[^>]*name=\"([^\"]+)\"", fragment) == ["d1-v1-size"]


ROUND_TRIPS = [
    SARAH,
    {**SARAH, "setting": "hospital_outpatient", "rule-discarded_drug": "not_billed",
     "rule-maximum_units_per_line": "400"},
    {**SARAH, "d1-stop": "1150", "d1-p1-start": "1000", "d1-p1-stop": "10:20a", "d1-administered": "575",
     "d1-w1-amount": "25", "d1-w1-reason": "stopped_early", "d1-access": "2", "d1-access_reason": "incompatible"},
    {**SARAH, "d1-start": "2300", "d1-stop": "0130", "d1-stop-day": "next"},
    {**SARAH, "date": "2026-11-01", "d1-start": "0030", "d1-stop": "0130", "d1-stop-turn": "second"},
    {**SARAH, "d2-route": "hydration", "d2-purpose": "ordered", "d2-start": "1140", "d2-stop": "1230"},
    {**SARAH, "setting": "home", "visit_start": "0830", "visit_stop": "1200"},
]  # fmt: skip


@pytest.mark.parametrize("entries", ROUND_TRIPS)
def test_the_address_carries_the_whole_calculation_and_nothing_else(ask, client, entries):
    response = ask(entries)
    address = urlsplit(response.context["permalink"])
    carried = {name: values[0] for name, values in parse_qs(address.query).items()}
    assert carried == entries
    again = client.get(response.context["permalink"])
    assert lines(again) == lines(response) != []
    assert again.context["permalink"] == response.context["permalink"]
    assert ask(entries, headers=LIVE)["HX-Replace-Url"] == response.context["permalink"]


def test_empty_and_untouched_fields_stay_out_of_the_address(ask):
    blanks = {"payer": "", "setting": "office", "d1-route": "iv_infusion", "d1-order": "", "rule-discarded_drug": ""}
    assert ask(**blanks).context["permalink"] == ask().context["permalink"]


def test_no_name_gets_into_the_address_or_past_the_form(ask):
    response = ask(
        **{"d1-drug": "Jane Roe", "diagnosis": "Jane Roe", "d1-start": "Jane", "d1-lot": "Jane", "note": "Jane"}
    )
    assert "Jane" not in response.context["permalink"]
    assert lines(response) == []
    assert {field for field, _ in missing(response)} >= {"d1-drug", "diagnosis", "d1-start"}


def test_words_for_now_and_today_are_written_out(ask):
    with time_machine.travel("2026-03-10T14:05:00Z", tick=False):
        response = ask(**{"date": "today", "d1-start": "now"})
    assert "date=2026-03-10" in response.context["permalink"]
    assert "d1-start=10%3A05" in response.context["permalink"]


def test_the_first_visit_starts_with_today_in_the_clinic_and_shows_no_error(client):
    with time_machine.travel("2026-03-11T02:00:00Z", tick=False):
        response = client.get("/")
    html = response.content.decode()
    assert 'value="2026-03-10"' in html
    assert response.context["preview"].state_words == "Nothing entered yet"
    assert "There is a problem" not in html


WRONG = {
    "date": "2026-02-30", "diagnosis": "multiple", "d1-drug": "nosuchdrug", "d1-start": "9:60", "d1-stop": "2460",
    "d1-ordered": "1,000", "d1-administered": "-5", "d1-v1-count": "two", "d1-p1-start": "13:00p",
    "d1-w1-amount": ".5", "rule-additional_hour_minimum_minutes": "61",
}  # fmt: skip


@pytest.mark.parametrize(("name", "typed"), WRONG.items())
def test_a_wrong_value_is_kept_and_explained_after_update_only(ask, name, typed):
    entries = {
        **SARAH,
        "d1-p1-stop": "1010",
        "d1-p1-start": "1000",
        "d1-w1-reason": "overfill",
        "d1-w1-amount": "1",
        name: typed,
    }
    typing = ask(entries, headers=LIVE).content.decode()
    assert "wrong-text" not in typing
    assert "There is a problem" not in typing
    checked = ask(entries, act="check")
    html = checked.content.decode()
    assert "<title>Error: " in html
    assert f'value="{typed}"' in html
    message = checked.context["errors"][name]
    assert f'<a href="#{name}">' in html
    assert html.count(" ".join(message.split())) >= 2, "in the summary and at the field"
    assert not re.search(r"\b(invalid|please|sorry|required|forbidden)\b", message, re.IGNORECASE)
    assert lines(checked) == [], "no line while a field is unread"


def test_errors_once_shown_go_when_mended_and_no_new_ones_come_while_typing(ask):
    entries = {**SARAH, "d1-stop": "2460", "d1-administered": "-5"}
    mended = {**entries, "d1-administered": "600", "d1-start": "9:60", "shown": "d1-stop d1-administered"}
    assert set(ask(mended, headers=LIVE).context["errors"]) == {"d1-stop"}


def test_a_missing_stop_is_said_in_words_and_holds_the_hours(ask):
    response = ask({**SARAH, "d1-stop": ""})
    assert [field for field, _ in missing(response)] == ["d1-stop"]
    assert [code for code, _, _ in lines(response)] == ["J2350"]
    assert response.context["preview"].state_words == "1 thing missing"


@pytest.mark.parametrize(
    ("start", "stop", "action", "units"),
    [("9:15", "2:30", "set:d1-stop=14:30", 4), ("2200", "130", "set:d1-stop-day=next", 2)],
)
def test_a_stop_before_its_start_is_asked_and_the_answer_is_kept(ask, client, start, stop, action, units):
    entries = {**SARAH, "d1-start": start, "d1-stop": stop}
    response = ask(entries)
    assert lines(response) == []
    assert action in [answer.action for answer in response.context["entry"].echoes["d1-stop"].answers]
    answered = ask(entries, act=action)
    assert ("96366", "", units) in lines(answered)
    assert ("96366", "", units) in lines(client.get(answered.context["permalink"]))


def test_the_repeated_hour_is_asked_and_the_answer_decides_the_minutes(ask):
    entries = {**SARAH, "date": "2026-11-01", "d1-start": "0030", "d1-stop": "0130"}
    response = ask(entries)
    assert [answer.label for answer in response.context["entry"].echoes["d1-stop"].answers] == [
        "The first 01:30 (EDT)", "The second 01:30 (EST)",
    ]  # fmt: skip
    assert lines(response) == []
    first, second = (ask(entries, act=f"set:d1-stop-turn={turn}") for turn in ("first", "second"))
    assert next(figure.value for figure in first.context["preview"].figures) == "60"
    assert next(figure.value for figure in second.context["preview"].figures) == "120"


def test_the_hour_that_is_skipped_explains_itself(ask):
    response = ask({**SARAH, "date": "2026-03-08", "d1-start": "0130", "d1-stop": "0230"})
    assert missing(response) == [
        ("d1-stop", "Stop 02:30 does not happen on Sunday, March 8: the clocks skip that hour. Check the time."),
    ]  # fmt: skip


def test_groups_are_added_and_taken_away_without_losing_what_was_typed(ask):
    response = ask(act="add-pause-d1")
    assert response.context["focus"] == "d1-p1-start"
    assert [pause.number for pause in response.context["entry"].drugs[0].pauses] == [1]
    response = ask(act="add-drug")
    assert response.context["focus"] == "d2-drug"
    assert [drug.title for drug in response.context["entry"].drugs] == ["Drug 1", "Drug 2"]
    three = {**SARAH, "d1-p1-start": "0930", "d1-p1-stop": "0940", "d1-p2-start": "1000", "d1-p2-stop": "1010"}
    response = ask(three, act="remove-d1-p1")
    assert "d1-p1-start=1000" in response.context["permalink"]
    assert "d1-p2" not in response.context["permalink"]
    response = ask(three, act="remove-d1-p2")
    assert "d1-p1-start=0930" in response.context["permalink"]
    assert "d1-p2" not in response.context["permalink"]
    two = {**SARAH, "d2-drug": "J1745", "d2-start": "1200"}
    response = ask(two, act="remove-d1")
    assert response.context["permalink"] == "/?date=2026-03-10&diagnosis=G35.A&d1-drug=J1745&d1-start=1200"


def test_a_rest_in_the_vial_can_be_recorded_with_one_button(ask):
    response = ask({**SARAH, "d1-administered": "575"})
    balance = response.context["balances"]["d1"]
    assert balance.text == ("600 mg opened, 575 mg administered + 0 mg discarded: 25 mg are not accounted for.")
    recorded = ask({**SARAH, "d1-administered": "575"}, act=f"add-discard-d1={balance.missing}")
    assert ("J2350", "JW", 25) in lines(recorded)
    assert recorded.context["balances"]["d1"].text == (
        "600 mg opened = 575 mg administered + 25 mg discarded. The vials add up."
    )


def test_only_the_drugs_own_sizes_are_offered_once_it_is_known(ask, client):
    html = ask(headers={**LIVE, "HX-Trigger-Name": "d1-drug"}, **{"d1-drug": "J2919"}).content.decode()
    assert re.findall(r'<option value="(\d*)"', html) == ["", "40", "125", "500", "1000", "300"]
    unknown = client.get("/").content.decode()
    assert '<option value="300"' in unknown


def test_half_a_discard_or_half_a_row_of_vials_is_not_dropped(ask):
    assert [field for field, _ in missing(ask(act="add-discard-d1"))] == ["d1-w1-amount", "d1-w1-reason"]
    rows = {**SARAH, "d1-drug": "J2919", "d1-v2-size": "", "d1-v2-count": "1"}
    assert "d1-v2-size" in [field for field, _ in missing(ask(rows))]


HOSTILE = [
    "d13-drug=J2350",
    "d1-p99-start=0900",
    "d0-drug=x",
    "act=remove-d9",
    "act=set:d1-stop=zz",
    "act=add-pause-d99",
    "payer=nobody",
    "setting=moon",
    "d1-route=%3Cb%3E",
    "d1-v1-size=nan",
    "rule-discarded_drug=zz",
    "d1-start=" + "9" * 5000,
    "shown=" + "d1-stop%20" * 500,
    "d1-access=%F0%9F%92%89&d1-drug=J2350",
    "act=remove-d1-p3",
    "d1-v1-size=1e999",
    "date=9999-99-99",
    "d1-drug=" + "%CC%81" * 200,
    "d1-ordered=%D9%A6%D9%A0%D9%A0",
    "visit_start-day=next&setting=home&visit_start=0900&visit_stop=0800",
]


def test_hostile_input_is_answered_not_failed(client):
    for query in HOSTILE:
        for headers in ({}, LIVE, WHOLE_FORM):
            response = client.get(f"/?{query}", headers=headers)
            assert response.status_code == 200, query
            assert b"<b>" not in response.content.split(b'class="small-text muted"')[0]


def test_the_policy_of_the_page_allows_no_inline_code(client):
    response = client.get("/", SARAH)
    policy = response["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    html = response.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|hx-on|js:|javascript:", html)


def test_the_rules_page_lists_every_parameter_and_every_source(client):
    from infusion.services.reference import shipped_reference
    from payers.policy import PARAMETERS

    html = client.get("/rules/").content.decode()
    for parameter in PARAMETERS.values():
        assert f'id="parameter-{parameter.name}"' in html
    for key in shipped_reference().sources:
        assert f'id="source-{key}"' in html
    for target in re.findall(r'href="#([^"]+)"', html):
        assert f'id="{target}"' in html


def test_the_payers_of_the_database_are_offered_after_the_national_baseline(ask, medicare, django_assert_num_queries):
    with django_assert_num_queries(2):  # the payers, and whether the site has drugs of its own
        html = ask().content.decode()
    payer = html[html.index('id="payer"') :]
    assert re.findall(r'<option value="([^"]*)"', payer[: payer.index("</select>")]) == ["", "medicare"]
    draft_and_published(medicare)
    with django_assert_num_queries(3):
        response = ask(payer="medicare")
    assert ("96366", "", 2) in lines(response)
    reason = next(line for line in response.context["preview"].lines if line.code == "96366").reasons[0]
    assert (reason.value, reason.whose) == ("30 minutes", "Medicare")
    assert ("96366", "", 1) in lines(ask())


def draft_and_published(payer):
    """A published rule of 30 minutes, and a draft that nobody is to see."""
    for write, value, more in ((publish_override, 30, {"status": "verified"}), (draft_override, 20, {})):
        departure = Departure(
            parameter="additional_hour_minimum_minutes",
            value=value,
            effective_from=date(2026, 1, 1),
            source_document="Medicare bulletin 7",
            source_read_on=date(2026, 1, 12),
        )
        write(by=None, payer=payer, departure=departure, **more)


def test_a_database_without_tables_leaves_the_national_baseline(ask, monkeypatch):
    monkeypatch.setattr(Payer._meta, "db_table", "not_there_yet")
    response = ask()
    assert lines(response) == [("96365", "", 1), ("96366", "", 1), ("J2350", "JZ", 600)]


def test_typing_presses_no_button_though_one_has_the_focus(ask):
    """htmx names the focused button in what the form sends; only a press may answer for the person."""
    asked = {**SARAH, "d1-stop": "113", "act": "set:d1-stop=13:13"}
    live = ask(asked, LIVE)
    assert [field for field, _ in missing(live)] == ["d1-stop"]
    assert "13%3A13" not in live.headers["HX-Replace-Url"]
    assert "d1-stop=13%3A13" in ask(asked, WHOLE_FORM).headers["HX-Replace-Url"]
