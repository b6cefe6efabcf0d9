"""The payer pages: who may do what, what a change does to which day, and what is never lost or hidden."""

import re
from datetime import date
from uuid import uuid4

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from infusion.audit import AuditEvent
from payers import actions, changes
from payers.actions import Departure
from payers.forms import RuleForm, entries_of
from payers.models import Payer, PolicyOverride
from payers.policy import BASELINE, GROUPS, PARAMETERS, Reading, jsonable
from payers.selectors import overrides_known, policy_for

pytestmark = pytest.mark.django_db

TODAY = "2026-03-10T15:00:00Z"
SOURCE = {"source_document": "Payer summary 001", "source_read_on": "2026-01-12"}
CITED = {"source_document": "Payer summary 001", "source_read_on": date(2026, 1, 12)}
OVERLAP = "Discarded drug already has a rule from January 1, 2024 without an end."


@pytest.fixture(autouse=True)
def on_march_10():
    with time_machine.travel(TODAY, tick=False):
        yield


@pytest.fixture
def anthem(admin_user) -> Payer:
    payer = actions.add_payer(by=admin_user, slug="anthem-bcbs", name="Anthem BCBS")
    publish(admin_user, payer, "discarded_drug", "not_billed", date(2024, 1, 1))
    return payer


@pytest.fixture
def admin(client: Client, admin_user) -> Client:
    client.force_login(admin_user)
    return client


@pytest.fixture
def second(admin2) -> Client:
    """Another admin, who publishes what the first one proposes."""
    client = Client()
    client.force_login(admin2)
    return client


@pytest.fixture
def rule(anthem) -> PolicyOverride:
    return anthem.overrides.get()


def publish(by, payer, parameter, value, first_day, status="unverified", **more):
    departure = Departure(parameter=parameter, value=value, effective_from=first_day, **CITED, **more)
    return actions.publish_override(by=by, payer=payer, departure=departure, status=status)


def drafted(client, address, typed):
    """Where the draft is that was saved."""
    response = client.post(address, {**typed, "act": "draft"})
    assert response.status_code == 302, response.context["issues"] or response.context["refusal"]
    return response["Location"]


def sent(client, address, typed, **more):
    """The answer to a draft that was saved and sent."""
    return client.post(drafted(client, address, typed), {"act": "send", "status": "unverified", **more})


def published(second, response):
    """The page after the second admin has published what a first one sent."""
    assert response.status_code == 302, response.context["issues"] or response.context["refusal"]
    return second.post(response["Location"], {"act": "publish"}, follow=True)


VERIFIED = {"status": "verified", "review_by": "2027-01-12"}
WHERE = {"source_address": "https://payer.example/summary-001"}


def rule_url(row):
    return reverse("payers:rule", args=[row.payer.slug, row.public_id])


def new_url(payer, parameter):
    return reverse("payers:new-rule", args=[payer.slug, parameter])


def in_force(payer, name, on, setting="office", drug="J2350"):
    return policy_for(payer).on(on, setting).look_up(name, drug).value


def shown(client, payer, **asked):
    """The rows of the policy page by parameter."""
    response = client.get(reverse("payers:detail", args=[payer.slug]), asked)
    assert response.status_code == 200
    return {row.parameter.name: row for group in response.context["groups"] for row in group.rows}


def said(response):
    """What the error summary says, as (field, sentence)."""
    assert "<title>Error: " in text(response)
    assert "There is a problem" in text(response)
    return [(issue["field"], issue["message"]) for issue in response.context["issues"]]


def text(response):
    return " ".join(response.content.decode().split())


# Roles --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["nurse", "biller", "admin_user"])
def test_billing_and_admin_read_and_a_nurse_does_not(role, request, client, anthem):
    client.force_login(request.getfixturevalue(role))
    addresses = [
        reverse("payers:list"), reverse("payers:detail", args=["anthem-bcbs"]),
        reverse("payers:history", args=["anthem-bcbs"]),
        reverse("payers:parameter", args=["anthem-bcbs", "discarded_drug"]),
    ]  # fmt: skip
    expected = 403 if role == "nurse" else 200
    assert [client.get(address).status_code for address in addresses] == [expected] * 4


@pytest.mark.parametrize("role", ["nurse", "biller"])
def test_only_an_admin_reaches_a_form_or_changes_anything(role, request, client, anthem, rule):
    client.force_login(request.getfixturevalue(role))
    before = AuditEvent.objects.count()
    for address in (reverse("payers:add"), new_url(anthem, "ndc_required"), rule_url(rule)):
        assert client.get(address).status_code == 403
        assert client.post(address, {"act": "withdraw", "reason": "x", "name": "x"}).status_code == 403
    assert AuditEvent.objects.count() == before


def test_nobody_sees_payers_without_signing_in(client, anthem):
    response = client.get(reverse("payers:list"))
    assert (response.status_code, response["Location"].split("?")[0]) == (302, "/accounts/login/")


def test_billing_finds_no_way_to_a_form(client, biller, anthem):
    client.force_login(biller)
    for name in ("list", "detail", "history", "parameter"):
        args = {"list": [], "parameter": ["anthem-bcbs", "discarded_drug"]}.get(name, ["anthem-bcbs"])
        page = text(client.get(reverse(f"payers:{name}", args=args)))
        assert not re.search(r'href="/payers/(add/|[^"]*/new/|[^"]*/rules/)', page)


def test_a_form_without_its_token_is_refused(admin_user, rule):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(rule_url(rule), {"act": "withdraw", "reason": "x"}).status_code == 403
    assert overrides_known(rule.payer).count() == 1


@pytest.mark.parametrize("path", ["nobody/", "anthem-bcbs/not_a_parameter/", "anthem-bcbs/history/?parameter=x"])
def test_what_is_not_there_is_not_found(admin, anthem, path):
    assert admin.get(f"/payers/{path}").status_code == 404


def test_a_rule_is_found_under_its_own_payer_alone(admin, rule, medicare):
    assert admin.get(reverse("payers:rule", args=["medicare", rule.public_id])).status_code == 404
    assert admin.get(reverse("payers:rule", args=["anthem-bcbs", uuid4()])).status_code == 404


# The list -----------------------------------------------------------------------------------------------------------


def test_the_list_counts_rules_in_force_later_drafts_and_unverified(admin, admin_user, anthem):
    publish(admin_user, anthem, "ndc_required", True, date(2026, 4, 1), status="verified")
    actions.draft_override(
        by=admin_user, payer=anthem,
        departure=Departure(parameter="step_therapy", value="x", effective_from=date(2026, 4, 1), **CITED),
    )  # fmt: skip
    [(payer, tally)] = admin.get(reverse("payers:list")).context["payers"]
    assert (payer, tally.in_force, tally.later, tally.drafts, tally.unverified) == (anthem, 1, 1, 1, 1)


def test_an_admin_adds_a_payer(admin):
    response = admin.post(reverse("payers:add"), {"name": "  30-Minute   Plan "}, follow=True)
    assert Payer.objects.get().slug == "30-minute-plan"
    assert "30-Minute Plan is added." in text(response)


@pytest.mark.parametrize("name", ["", "anthem bcbs", "Anthem-BCBS", "!!!", "Add", "x" * 81])
def test_a_payer_needs_a_name_of_its_own(admin, anthem, name):
    response = admin.post(reverse("payers:add"), {"name": name})
    [(field, sentence)] = said(response)
    assert field == "name"
    assert sentence.startswith("Name: ")
    assert Payer.objects.count() == 1
    assert f'value="{name}"' in text(response) or not name


# The policy on a day ------------------------------------------------------------------------------------------------


def test_every_parameter_stands_under_one_heading():
    names = [name for names in GROUPS.values() for name in names]
    assert sorted(names) == sorted(PARAMETERS)


def test_no_reason_at_all_is_none_and_no_diagnosis_at_all_is_any():
    assert PARAMETERS["billable_discard_reasons"].words(()) == "none"
    assert PARAMETERS["accepted_diagnoses"].words(()) == "any"


def test_own_values_stand_out_and_the_others_are_the_baseline(admin, anthem):
    rows = shown(admin, anthem)
    assert (rows["discarded_drug"].value, rows["discarded_drug"].rule.status) == ("Not billed", "Unverified")
    assert {name for name, row in rows.items() if row.rule} == {"discarded_drug"}
    page = text(admin.get(reverse("payers:detail", args=["anthem-bcbs"])))
    assert "Payer summary 001, read January 12, 2026. From January 1, 2024." in page
    assert page.count('class="own"') == 1
    assert "<title>Anthem BCBS – Payers – Infusion Units</title>" in page


def test_the_day_decides(admin, anthem):
    assert shown(admin, anthem, on="2023-12-31")["discarded_drug"].value == "On its own line, with JW"
    assert shown(admin, anthem, on="2024-01-01")["discarded_drug"].value == "Not billed"


def test_the_day_is_the_clinics_own(client, admin_user, anthem):
    with time_machine.travel("2026-03-11T02:00:00Z", tick=False):
        client.force_login(admin_user)
        assert client.get(reverse("payers:detail", args=["anthem-bcbs"])).context["on"] == date(2026, 3, 10)


def test_a_narrower_rule_does_not_hide(admin, admin_user, anthem):
    publish(admin_user, anthem, "discarded_drug", "separate_line", date(2024, 1, 1), drug="J2350", setting="office")
    rows = shown(admin, anthem)
    assert rows["discarded_drug"].value == "Not billed"
    assert [(view.scope.drug, view.value) for view in rows["discarded_drug"].also] == [
        ("J2350", "On its own line, with JW")
    ]
    assert "Ocrelizumab (J2350) in Office" in text(admin.get(reverse("payers:detail", args=["anthem-bcbs"])))
    narrow = shown(admin, anthem, drug="j2350", setting="office")["discarded_drug"]
    assert (narrow.value, narrow.also, narrow.wider) == ("On its own line, with JW", [], False)
    assert shown(admin, anthem, setting="home")["discarded_drug"].also == []


def test_a_draft_changes_nothing_and_is_seen_in_every_scope_it_would_change(admin, admin_user, anthem):
    actions.draft_override(
        by=admin_user, payer=anthem,
        departure=Departure(
            parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2026, 4, 1), setting="office",
            **CITED,
        ),
    )  # fmt: skip
    for asked in ({}, {"setting": "office", "drug": "J2350"}):
        row = shown(admin, anthem, on="2026-05-01", **asked)["additional_hour_minimum_minutes"]
        assert (row.value, [view.value for view in row.drafts]) == ("31 minutes", ["30 minutes"])
    assert shown(admin, anthem, setting="home")["additional_hour_minimum_minutes"].drafts == []


@pytest.mark.parametrize(("asked", "field"), [
    ({"on": "soon"}, "on"), ({"on": "2026-02-30"}, "on"), ({"drug": "ocrelizumab"}, "drug"),
    ({"setting": "x"}, "setting"),
])  # fmt: skip
def test_a_choice_that_cannot_be_read_is_said_and_kept(admin, anthem, asked, field):
    response = admin.get(reverse("payers:detail", args=["anthem-bcbs"]), asked)
    assert [name for name, _ in said(response)] == [field]
    assert asked[field] in text(response) or field == "setting"


def test_a_page_takes_few_queries_however_many_rules(admin, admin_user, anthem, django_assert_max_num_queries):
    for name in ("ndc_required", "administration_paid"):
        publish(admin_user, anthem, name, True, date(2024, 1, 1))
    with django_assert_max_num_queries(10):  # the site's drugs and an admin's alarms among them
        admin.get(reverse("payers:detail", args=["anthem-bcbs"]))
    with django_assert_max_num_queries(10):  # the site's drugs and an admin's alarms among them
        admin.get(reverse("payers:history", args=["anthem-bcbs"]))


# Changing a rule ----------------------------------------------------------------------------------------------------


def test_a_rule_from_next_month_changes_nothing_today(admin, second, anthem, rule):
    typed = {**entries_of(rule), **WHERE, "value": "separate_line", "effective_from": "2026-04-01"}
    response = published(second, sent(admin, rule_url(rule), typed, **VERIFIED))
    assert "The days before keep their rule: Not billed." in text(response)
    assert "Today’s policy stays as it is." in text(response)
    assert in_force(anthem, "discarded_drug", date(2026, 3, 31)) == "not_billed"
    assert in_force(anthem, "discarded_drug", date(2026, 4, 1)) == "separate_line"
    row = shown(admin, anthem)["discarded_drug"]
    assert (row.value, [view.begins for view in row.later]) == ("Not billed", ["April 1, 2026"])
    assert (row.drafts, row.later[0].review_by) == ([], "January 12, 2027")
    assert shown(admin, anthem, on="2026-04-15")["discarded_drug"].value == "On its own line, with JW"


def test_a_rule_with_an_end_says_what_follows_it(admin, second, anthem, rule):
    typed = {**entries_of(rule), "value": "separate_line", "effective_from": "2026-04-01",
             "effective_until": "2026-04-30"}  # fmt: skip
    page = text(published(second, sent(admin, rule_url(rule), typed)))
    assert "Discarded drug inherits again from May 1, 2026: On its own line, with JW (National baseline)." in page
    now = overrides_known(anthem).get(effective_from=date(2024, 1, 1))
    page = text(published(second, admin.post(rule_url(now), {"act": "end", "last_day": "2026-03-30"})))
    assert "Discarded drug inherits again from March 31, 2026" in page


def test_the_same_first_day_corrects_the_rule_from_its_beginning(admin, second, anthem, rule):
    typed = {**entries_of(rule), **WHERE}
    published(second, sent(admin, rule_url(rule), typed, **VERIFIED, reason="Read it again"))
    now = overrides_known(anthem).get()
    assert (now.thread, now.status, now.effective_from) == (rule.thread, "verified", date(2024, 1, 1))


def test_a_new_rule_for_one_drug_in_one_setting(admin, second, anthem):
    typed = {**SOURCE, "value": "30", "setting": "office", "drug": "j2350", "effective_from": "3/1/2026",
             "note": "By telephone"}  # fmt: skip
    published(second, sent(admin, new_url(anthem, "additional_hour_minimum_minutes"), typed))
    assert in_force(anthem, "additional_hour_minimum_minutes", date(2026, 3, 10)) == 30
    assert in_force(anthem, "additional_hour_minimum_minutes", date(2026, 3, 10), setting="home") == 31
    assert in_force(anthem, "additional_hour_minimum_minutes", date(2026, 2, 28)) == 31


def test_a_draft_changes_nothing_until_another_admin_publishes_it(admin, second, anthem, admin_user, admin2):
    typed = {**SOURCE, "value": "30", "effective_from": "2026-03-01"}
    draft = drafted(admin, new_url(anthem, "additional_hour_minimum_minutes"), typed)
    assert in_force(anthem, "additional_hour_minimum_minutes", date(2026, 3, 10)) == 31
    proposal = sent(admin, draft, {**typed, "value": "29"})["Location"]
    assert in_force(anthem, "additional_hour_minimum_minutes", date(2026, 3, 10)) == 31
    response = admin.post(proposal, {"act": "publish"})
    assert response.context["refusal"] == "Another admin has to publish what you proposed."
    assert in_force(anthem, "additional_hour_minimum_minutes", date(2026, 3, 10)) == 31
    assert second.post(proposal, {"act": "publish"}).status_code == 302
    assert in_force(anthem, "additional_hour_minimum_minutes", date(2026, 3, 10)) == 29
    [row] = overrides_known(anthem).filter(parameter="additional_hour_minimum_minutes")
    assert (row.author, row.publisher) == (admin_user, admin2)


def test_whoever_reworded_a_draft_does_not_publish_it(admin, second, anthem):
    typed = {**SOURCE, "value": "30", "effective_from": "2026-03-01"}
    draft = drafted(admin, new_url(anthem, "additional_hour_minimum_minutes"), typed)
    reworded = drafted(second, draft, {**typed, "value": "29"})
    proposal = admin.post(reworded, {"act": "send"})["Location"]
    assert "Another admin has to publish" in second.post(proposal, {"act": "publish"}).context["refusal"]
    assert in_force(anthem, "additional_hour_minimum_minutes", date(2026, 3, 10)) == 31


def test_a_returned_proposal_changes_nothing_and_says_why(admin, second, anthem):
    typed = {**SOURCE, "value": "30", "effective_from": "2026-03-01"}
    proposal = sent(admin, new_url(anthem, "additional_hour_minimum_minutes"), typed)["Location"]
    assert said(second.post(proposal, {"act": "return"})) == [("reason", "Say why, for whoever proposed it.")]
    page = text(second.post(proposal, {"act": "return", "reason": "The bulletin says 31."}, follow=True))
    assert "The bulletin says 31." in page
    assert in_force(anthem, "additional_hour_minimum_minutes", date(2026, 3, 10)) == 31
    assert second.post(proposal, {"act": "publish"}).context["refusal"].startswith("Someone else has decided")


def test_a_proposal_is_taken_back_by_whoever_made_it(admin, second, anthem):
    typed = {**SOURCE, "value": "30", "effective_from": "2026-03-01"}
    proposal = sent(admin, new_url(anthem, "additional_hour_minimum_minutes"), typed)["Location"]
    assert "Only the admin who proposed it" in second.post(proposal, {"act": "take_back"}).context["refusal"]
    assert "Taken back" in text(admin.post(proposal, {"act": "take_back"}, follow=True))
    draft = overrides_known(anthem).get(status="draft")
    assert admin.post(rule_url(draft), {"act": "send"}).status_code == 302


def test_a_draft_that_waits_cannot_be_changed_or_withdrawn(admin, second, anthem):
    typed = {**SOURCE, "value": "30", "effective_from": "2026-03-01"}
    sent(admin, new_url(anthem, "additional_hour_minimum_minutes"), typed)
    draft = overrides_known(anthem).get(status="draft")
    for act in ({**typed, "act": "draft"}, {"act": "withdraw", "reason": "No"}, {"act": "send"}):
        assert "waits for a second admin" in second.post(rule_url(draft), act).context["refusal"]
    assert overrides_known(anthem).get(status="draft") == draft


@pytest.mark.parametrize(("more", "where", "field"), [
    ({"status": "verified", "review_by": "2027-01-12"}, {}, "send-status_0"),
    ({"status": "verified"}, WHERE, "send-review_by"),
    ({"status": "verified", "review_by": "2026-03-10"}, WHERE, "send-review_by"),
    ({"status": "approved"}, WHERE, "send-status_0"),
])  # fmt: skip
def test_verified_needs_an_address_and_a_day_of_review(admin, anthem, more, where, field):
    typed = {**SOURCE, **where, "value": "30", "effective_from": "2026-03-01"}
    response = sent(admin, new_url(anthem, "additional_hour_minimum_minutes"), typed, **more)
    assert [name for name, _ in said(response)] == [field]
    assert not anthem.proposals.exists()


def test_a_verified_rule_whose_review_is_over_says_so(admin, admin_user, anthem):
    publish(admin_user, anthem, "ndc_required", True, date(2025, 1, 1), "verified", review_by=date(2026, 3, 9))
    publish(admin_user, anthem, "drug_covered", True, date(2025, 1, 1), "verified", review_by=date(2026, 3, 10))
    page = text(admin.get(reverse("payers:detail", args=["anthem-bcbs"])))
    assert page.count("Read again: overdue") == 1


@pytest.mark.parametrize("act", [
    {"act": "end", "last_day": "2026-03-08"}, {"act": "withdraw", "reason": ""},
])  # fmt: skip
def test_the_past_of_a_published_rule_changes_only_with_a_reason(admin, anthem, rule, act):
    assert [field.split("-")[-1] for field, _ in said(admin.post(rule_url(rule), act))] == ["reason"]
    assert not anthem.proposals.exists()
    assert admin.post(rule_url(rule), {**act, "reason": "The bulletin was misread."}).status_code == 302


def test_the_past_of_a_published_rule_is_not_reworded_without_a_reason(admin, anthem, rule):
    typed = {**entries_of(rule), "value": "separate_line", "effective_from": "2026-03-09"}
    draft = drafted(admin, rule_url(rule), typed)
    assert [field for field, _ in said(admin.post(draft, {"act": "send"}))] == ["send-reason"]
    assert admin.post(draft, {"act": "send", "reason": "The bulletin came late."}).status_code == 302
    assert in_force(anthem, "discarded_drug", date(2026, 3, 9)) == "not_billed"


def test_an_end_of_today_needs_no_reason(admin, anthem, rule):
    assert admin.post(rule_url(rule), {"act": "end", "last_day": "2026-03-09"}).status_code == 302


def test_an_overlap_is_refused_when_it_is_sent(admin, anthem):
    typed = {**SOURCE, "value": "separate_line", "effective_from": "2026-04-01", "note": "Kept"}
    response = sent(admin, new_url(anthem, "discarded_drug"), typed)
    assert response.context["refusal"].startswith(OVERLAP)
    assert not anthem.proposals.exists()
    assert "Kept</textarea>" in text(response)


def test_the_rule_in_the_way_is_ended_when_the_admin_says_so(admin, second, anthem, rule):
    typed = {**SOURCE, "value": "separate_line", "effective_from": "2026-04-01"}
    draft = drafted(admin, new_url(anthem, "discarded_drug"), typed)
    assert admin.post(draft, {"act": "send"}).context["make_room"] == "End that one on March 31, 2026 and send"
    published(second, admin.post(draft, {"act": "send", "in_the_way": str(rule.public_id)}))
    assert in_force(anthem, "discarded_drug", date(2026, 3, 31)) == "not_billed"
    assert in_force(anthem, "discarded_drug", date(2026, 4, 1)) == "separate_line"


def test_only_a_rule_of_the_same_parameter_and_scope_can_be_in_the_way(admin, admin_user, anthem):
    other = publish(admin_user, anthem, "discarded_drug", "separate_line", date(2024, 1, 1), drug="J2350")
    typed = {**SOURCE, "value": "separate_line", "effective_from": "2026-04-01"}
    response = sent(admin, new_url(anthem, "discarded_drug"), typed, in_the_way=str(other.public_id))
    assert "applies to something else now" in response.context["refusal"]
    assert not anthem.proposals.exists()


def test_the_database_backs_the_form(admin, anthem, monkeypatch):
    monkeypatch.setattr(actions, "overlapping", lambda row: None)
    typed = {**SOURCE, "value": "separate_line", "effective_from": "2026-04-01"}
    response = sent(admin, new_url(anthem, "discarded_drug"), typed)
    assert response.context["refusal"].startswith("Someone else has published a rule for these days meanwhile.")
    assert not anthem.proposals.exists()


def test_blank_inherits_again_from_the_day_given(admin, second, anthem, rule):
    typed = {**entries_of(rule), "value": "", "effective_from": "2026-04-01", "act": "draft"}
    response = published(second, admin.post(rule_url(rule), typed))
    assert "inherits again from April 1, 2026: On its own line, with JW (National baseline)." in text(response)
    assert in_force(anthem, "discarded_drug", date(2026, 3, 31)) == "not_billed"
    assert in_force(anthem, "discarded_drug", date(2026, 4, 1)) == "separate_line"


def test_blank_without_a_day_is_asked_about_and_takes_nothing_away(admin, anthem, rule):
    response = admin.post(rule_url(rule), {**entries_of(rule), "value": "", "act": "draft"})
    [(field, sentence)] = said(response)
    assert (field, sentence.split("?")[0]) == ("effective_from", "From which day does discarded drug inherit again")
    assert overrides_known(anthem).get() == rule


def test_blank_where_nothing_stands_has_nothing_to_save(admin, anthem):
    response = admin.post(new_url(anthem, "ndc_required"), {**SOURCE, "effective_from": "2026-04-01", "act": "draft"})
    assert said(response) == [
        ("value_0", "NDC on every drug line: blank already inherits, so there is nothing to save. Enter a value.")
    ]


def test_a_rule_is_ended_on_its_last_day(admin, second, anthem, rule):
    response = published(second, admin.post(rule_url(rule), {"act": "end", "last_day": "2026-03-31"}))
    assert "Discarded drug inherits again from April 1, 2026" in text(response)
    assert in_force(anthem, "discarded_drug", date(2026, 3, 31)) == "not_billed"
    assert in_force(anthem, "discarded_drug", date(2026, 4, 1)) == "separate_line"


@pytest.mark.parametrize(("last_day", "sentence"), [
    ("", "Last day: enter the last date of service for which the rule holds."),
    ("tomorrow", "Last day: write the day like 2026-03-10."),
    ("2023-12-31", "The last day lies before the first. Withdraw the rule if it never held."),
])  # fmt: skip
def test_a_last_day_that_does_not_fit_is_refused(admin, anthem, rule, last_day, sentence):
    response = admin.post(rule_url(rule), {"act": "end", "last_day": last_day, "reason": "Misread"})
    assert said(response) == [("end-last_day", sentence)]
    assert overrides_known(anthem).get() == rule


def test_a_rule_cannot_be_ended_later_than_it_ends(admin_user, anthem, rule):
    ended = changes.end(by=admin_user, override=rule, last_day=date(2026, 3, 31))
    with pytest.raises(actions.Refused, match="ends before that day already"):
        changes.end(by=admin_user, override=ended, last_day=date(2026, 4, 1))


def test_a_clock_that_was_set_back_is_told_and_writes_nothing(admin, second, anthem, rule):
    sent_off = admin.post(rule_url(rule), {"act": "withdraw", "reason": "Superseded"})
    with time_machine.travel("2026-03-10T14:58:00Z"):
        reply = second.post(sent_off["Location"], {"act": "publish"}, follow=True)
    assert "clock shows an earlier time than when this was written" in reply.content.decode()
    assert PolicyOverride.objects.get(pk=rule.pk).known_until is None


def test_a_rule_is_withdrawn_with_a_reason_and_by_two(admin, second, anthem, rule):
    assert said(admin.post(rule_url(rule), {"act": "withdraw", "reason": " "})) == [
        ("withdraw-reason", "Reason: say why, for whoever reads the history later.")
    ]
    response = admin.post(rule_url(rule), {"act": "withdraw", "reason": "The bulletin was withdrawn"})
    assert overrides_known(anthem).get() == rule
    published(second, response)
    assert not overrides_known(anthem).exists()
    assert AuditEvent.objects.filter(action="override.withdraw").get().reason == "The bulletin was withdrawn"


def test_two_admins_at_one_rule_lose_nothing(admin, admin2, anthem, rule):
    departure = changes.departure_of(rule)
    actions.publish_override(by=admin2, payer=anthem, departure=departure, status="verified", replaces=rule)
    typed = {**entries_of(rule), "value": "combined_line", "note": "Mine", "act": "draft"}
    response = admin.post(rule_url(rule), typed)
    assert response.context["refusal"].startswith("Someone else has changed this rule meanwhile.")
    page = text(response)
    assert "<title>Error: " in page
    assert "Mine</textarea>" in page
    assert "What is there now" in page
    now = overrides_known(anthem).get()
    assert now.status == "verified"
    assert response.context["rule"].id == now.public_id
    assert admin.post(rule_url(now), typed).status_code == 302
    assert overrides_known(anthem).get(status="draft").value == "combined_line"


def test_a_draft_of_a_rule_that_has_changed_since_is_not_published(admin, second, admin2, anthem, rule):
    typed = {**entries_of(rule), "value": "combined_line", "effective_from": "2026-04-01"}
    proposal = sent(admin, rule_url(rule), typed)["Location"]
    changes.end(by=admin2, override=rule, last_day=date(2026, 12, 31))
    refusal = second.post(proposal, {"act": "publish"}).context["refusal"]
    assert refusal.startswith("The rule that this draft changes has been changed meanwhile.")
    assert in_force(anthem, "discarded_drug", date(2026, 4, 1)) == "not_billed"


def test_a_withdrawn_rule_keeps_what_the_other_admin_typed(admin, admin2, anthem, rule):
    actions.withdraw_override(by=admin2, override=rule, reason="Wrong payer")
    response = admin.post(rule_url(rule), {**entries_of(rule), "note": "Mine", "act": "draft"})
    assert "This rule has been withdrawn." in text(response)
    assert "Mine</textarea>" in text(response)


def test_an_old_address_leads_to_what_is_there_now(admin, admin_user, anthem, rule):
    now = changes.end(by=admin_user, override=rule, last_day=date(2026, 3, 31))
    assert admin.get(rule_url(rule))["Location"] == rule_url(now)
    actions.withdraw_override(by=admin_user, override=now, reason="Wrong")
    assert admin.get(rule_url(rule))["Location"] == "/payers/anthem-bcbs/history/?parameter=discarded_drug"


def test_what_a_rule_needs_is_said_at_each_field(admin, anthem):
    response = admin.post(new_url(anthem, "additional_hour_minimum_minutes"), {"value": "61", "act": "draft"})
    assert said(response) == [
        ("value", "Minutes that earn another hour takes a whole number from 1 to 60."),
        ("effective_from", "From: enter the first date of service for which it holds."),
        ("source_document", "Source document: enter the document that says so. A rule needs its source."),
        ("source_read_on", "Read on: enter the day on which the source was read, because sources change."),
    ]
    assert 'value="61"' in text(response)
    assert overrides_known(anthem).count() == 1


def test_an_unknown_button_writes_nothing(admin, anthem):
    typed = {**SOURCE, "value": "30", "effective_from": "2026-04-01", "act": "approved"}
    response = admin.post(new_url(anthem, "additional_hour_minimum_minutes"), typed)
    assert response.context["refusal"].startswith("That button is not known here.")
    assert overrides_known(anthem).count() == 1


# Values -------------------------------------------------------------------------------------------------------------

WRONG = object()


@pytest.mark.parametrize(("name", "typed", "expected"), [
    ("additional_hour_minimum_minutes", {"value": "30"}, 30),
    ("additional_hour_minimum_minutes", {"value": "30.5"}, WRONG),
    ("additional_hour_minimum_minutes", {"value": "half"}, WRONG),
    ("maximum_units_per_line", {"value": "999"}, 999),
    ("maximum_units_per_line", {"nothing": "on"}, None),
    ("maximum_units_per_line", {"nothing": "on", "value": "999"}, WRONG),
    ("maximum_claim_charge", {"value": "99999.99"}, "99999.99"),
    ("maximum_claim_charge", {"value": "1,000"}, WRONG),
    ("prior_authorization_dose_limit", {"value": "much"}, WRONG),
    ("ndc_required", {"value": "yes"}, True),
    ("drug_covered", {"value": "no"}, False),
    ("drug_covered", {"value": "perhaps"}, WRONG),
    ("discarded_drug", {"value": "combined_line"}, "combined_line"),
    ("discarded_drug", {"value": "thrown_away"}, WRONG),
    ("billable_discard_reasons", {"value": ["overfill", "stopped_early"]}, ["overfill", "stopped_early"]),
    ("billable_discard_reasons", {"value": ["spilt"]}, WRONG),
    ("billable_discard_reasons", {"nothing": "on"}, []),
    ("accepted_diagnoses", {"value": "g35.a, G35.B g35.a"}, ["G35.A", "G35.B"]),
    ("accepted_diagnoses", {"value": "multiple sclerosis"}, WRONG),
    ("accepted_diagnoses", {"nothing": "on"}, []),
    ("step_therapy", {"value": "Copaxone"}, "Copaxone"),
    ("step_therapy", {"nothing": "on"}, ""),
])  # fmt: skip
def test_a_value_is_read_as_its_parameter_takes_it(admin, medicare, name, typed, expected):
    given = {**SOURCE, **typed, "effective_from": "2026-03-01", "act": "draft"}
    response = admin.post(new_url(medicare, name), given)
    if expected is WRONG:
        assert {field for field, _ in said(response)} <= {"value", "value_0"}
        assert not overrides_known(medicare).exists()
    else:
        row = overrides_known(medicare).get()
        assert row.value == expected
        again = RuleForm(Reading(name, "", BASELINE.values[name], BASELINE), entries_of(row))
        assert again.is_valid()
        found = again.cleaned_data["value"]
        assert jsonable(found) == expected


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_every_parameter_has_a_form_that_opens(admin, medicare, name):
    response = admin.get(new_url(medicare, name))
    assert response.status_code == 200
    assert PARAMETERS[name].meaning.split("'")[0] in text(response)


# History ------------------------------------------------------------------------------------------------------------


def told(client, payer, **asked):
    """The history as (parameter, [(deed, who, [(what, before, after)])])."""
    threads = client.get(reverse("payers:history", args=[payer.slug]), asked).context["threads"]
    return [
        (thread.rule.parameter.name, [
            (entry.deed, entry.who, [(each.what, each.before, each.after) for each in entry.differences])
            for entry in thread.entries
        ])
        for thread in threads
    ]  # fmt: skip


def test_the_history_tells_what_was_and_what_is_and_who_said_so(admin, admin_user, admin2, anthem, rule):
    with time_machine.travel("2026-03-11T15:00:00Z", tick=False):
        ended = changes.end(by=admin2, override=rule, last_day=date(2026, 3, 31))
    with time_machine.travel("2026-03-12T15:00:00Z", tick=False):
        actions.withdraw_override(by=admin_user, override=ended, reason="Never was")
    assert told(admin, anthem) == [
        ("discarded_drug", [
            ("Withdrawn", "M. Osei", []),
            ("End set", "K. Lund", [("Until", "No end", "March 31, 2026")]),
            ("Published as unverified", "M. Osei", [
                ("Value", "", "Not billed"), ("From", "", "January 1, 2024"),
                ("Source", "", "Payer summary 001, read January 12, 2026"),
            ]),
        ]),
    ]  # fmt: skip
    page = text(admin.get(reverse("payers:history", args=["anthem-bcbs"])))
    assert "Never was" in page
    assert "March 12, 2026, 11:00" in page


def test_the_history_keeps_drafts_and_their_publication(admin, second, anthem):
    typed = {**SOURCE, **WHERE, "value": "30", "effective_from": "2026-04-01"}
    published(second, sent(admin, new_url(anthem, "additional_hour_minimum_minutes"), typed, **VERIFIED))
    [(name, steps)] = told(admin, anthem, parameter="additional_hour_minimum_minutes")
    assert name == "additional_hour_minimum_minutes"
    assert [deed for deed, _, _ in steps] == ["Published as verified", "Drafted"]
    assert steps[0][2] == [("Status", "Draft", "Verified"), ("Read again by", "", "January 12, 2027")]


def test_typed_text_never_becomes_markup(admin, admin_user, anthem):
    evil = "<img src=x onerror=alert(1)>"
    publish(admin_user, anthem, "step_therapy", evil, date(2024, 1, 1), note=evil, source_address="javascript:alert(1)")
    for name in ("detail", "history"):
        page = text(admin.get(reverse(f"payers:{name}", args=["anthem-bcbs"])))
        assert "<img src=x" not in page
        assert 'href="javascript' not in page
    assert "<img src=x" not in text(admin.get(reverse("payers:parameter", args=["anthem-bcbs", "step_therapy"])))


# Use ----------------------------------------------------------------------------------------------------------------


def test_a_rule_says_how_many_lines_rest_on_it(admin, admin_user, medicare, visited):
    publish(admin_user, medicare, "additional_hour_minimum_minutes", 30, date(2024, 1, 1), "verified")
    publish(admin_user, medicare, "ndc_required", False, date(2024, 1, 1), "verified")
    for minutes in (150, 90, 15):  # a push has no hours, and so no line that rests on the rule
        visited(minutes, medicare)
    page = text(admin.get(reverse("payers:detail", args=["medicare"])))
    assert page.count("in 30 days.") == 1
    assert re.findall(r"Used by [0-9]+ lines? in 30 days", page) == ["Used by 2 lines in 30 days"]
    with time_machine.travel("2026-04-10T15:00:00Z", tick=False):
        assert "in 30 days." not in text(admin.get(reverse("payers:detail", args=["medicare"])))


def test_a_draft_that_is_withdrawn_leaves_its_rule_as_it_stands(admin, second, anthem, rule):
    typed = {**entries_of(rule), "value": "separate_line", "effective_from": "2026-04-01"}
    draft = drafted(admin, rule_url(rule), typed)
    admin.post(draft, {"act": "withdraw", "reason": "Misread"})
    [(_, steps)] = told(admin, anthem)
    assert [deed for deed, _, _ in steps] == ["Draft withdrawn", "Drafted", "Published as unverified"]
    [thread] = admin.get(reverse("payers:history", args=["anthem-bcbs"])).context["threads"]
    assert (thread.withdrawn, thread.rule.value) == (False, "Not billed")


def test_an_end_that_a_draft_brought_is_told_as_an_end(admin, second, anthem, rule):
    typed = {**entries_of(rule), "value": "separate_line", "effective_from": "2026-04-01"}
    published(second, sent(admin, rule_url(rule), typed))
    deeds = [[deed for deed, _, _ in steps] for _, steps in told(admin, anthem)]
    assert sorted(deeds) == [["End set", "Drafted", "Published as unverified"], ["Published as unverified"]]
