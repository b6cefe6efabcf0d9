"""The desk beside approving: holds, skipped checks, questions about one drug, and what each refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from infusion.actions import (
    Recorded,
    Refused,
    approve,
    correct,
    end_skip,
    hand_to_billing,
    hold,
    release,
    return_to_nurse,
    save_encounter,
    skip_finding,
    void,
)
from infusion.audit import AuditEvent
from infusion.models import Clinic, Encounter, Skip, User
from infusion.selectors import encounter_for, review_of
from infusion.services.findings import Finding, Severity
from infusion.skips import finding_key, may_skip

State = Encounter.State


@pytest.fixture
def expired(clinic: Clinic, nurse: User, sarah: Recorded) -> Encounter:
    """Sarah's encounter with billing, with the warning that its vials had expired."""
    given = sarah.facts.administrations[0]
    vials = tuple(replace(vial, expires=date(2026, 1, 31)) for vial in given.vials)
    facts = replace(sarah.facts, administrations=(replace(given, vials=vials),))
    saved = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=replace(sarah, facts=facts))
    return hand_to_billing(by=nurse, encounter=saved, version=saved.version)


@pytest.fixture
def billing(client: Client, biller: User) -> Client:
    client.force_login(biller)
    return client


def warning_of(encounter: Encounter) -> Finding:
    [warning] = review_of(encounter).statement.warnings
    return warning


def approving(by: User, encounter: Encounter, *acknowledged: str) -> Any:
    return approve(
        by=by, encounter=encounter, version=encounter.version, acknowledged=acknowledged,
        content_hash=review_of(encounter).content_hash,
    )  # fmt: skip


def address(encounter: Encounter, what: str = "") -> str:
    return f"/encounters/{encounter.public_id}/review/{what}"


# Holds ----------------------------------------------------------------------------------------------------------------


def test_what_is_on_hold_is_not_approved_until_it_is_released(biller: User, expired: Encounter) -> None:
    key = finding_key(warning_of(expired))
    hold(by=biller, encounter=expired, reason="Waits for the pharmacy.")
    with pytest.raises(Refused, match=r"on hold: Waits for the pharmacy\. Release it"):
        approving(biller, expired, key)
    release(by=biller, encounter=expired, reason="It came.")
    assert approving(biller, expired, key).encounter_id == expired.pk


def test_the_hold_of_what_is_made_void_ends_with_it(biller: User, expired: Encounter) -> None:
    approved = approving(biller, expired, finding_key(warning_of(expired))).encounter
    held = hold(by=biller, encounter=approved, reason="The payer asks for records.")
    void(by=biller, encounter=approved, version=approved.version, reason="Never given.")
    held.refresh_from_db()
    assert (held.released_by, held.release_reason) == (biller, "Never given.")
    told = AuditEvent.objects.filter(action="hold.release").get()
    assert (told.reason, told.after["release_reason"]) == ("Never given.", "Never given.")


def test_a_hold_asks_for_a_reason_and_is_one_at_a_time(billing: Client, expired: Encounter) -> None:
    silent = billing.post(address(expired, "hold/"), {"reason": "  "})
    assert silent.status_code == 422
    assert "Write why this encounter has to wait." in silent.text
    assert billing.post(address(expired, "release/"), {"reason": "x"}).status_code == 422
    assert billing.post(address(expired, "hold/"), {"reason": "The <payer> calls back."}).status_code == 302
    again = billing.post(address(expired, "hold/"), {"reason": "Once more."})
    assert "is on hold already" in again.text
    shown = billing.get(address(expired)).text
    assert "The &lt;payer&gt; calls back." in shown
    assert billing.post(address(expired, "release/"), {"reason": "It called."}).status_code == 302
    deeds = [(deed.what, deed.why) for deed in billing.get(address(expired)).context["history"]]
    assert deeds[-2:] == [("put it on hold", "The <payer> calls back."), ("released it", "It called.")]


def test_a_reason_that_is_too_long_is_kept_and_refused(billing: Client, expired: Encounter) -> None:
    refused = billing.post(address(expired, "hold/"), {"reason": "x" * 301})
    assert refused.status_code == 422
    assert "has 301 characters and there is room for 300" in refused.text
    assert f'value="{"x" * 301}"' in refused.text


# Skips ----------------------------------------------------------------------------------------------------------------


def test_a_skipped_warning_needs_no_acknowledgement_and_stays_on_the_record(
    billing: Client, biller: User, expired: Encounter
) -> None:
    page = billing.get(address(expired))
    [issue] = [each for each in page.context["issues"] if each.code == "vials.expired"]
    assert (issue.title, issue.where) == ("a vial had expired", "Ocrelizumab: vials")
    assert issue.anchor == "#given-a1"
    assert 'id="given-a1"' in page.text
    with pytest.raises(Refused, match="left to acknowledge"):
        approving(biller, expired)
    sent = {"finding": issue.key, "reason": "Relabelled by the maker."}
    assert billing.post(address(expired, "skip/"), sent).status_code == 302
    shown = billing.get(address(expired))
    assert [each.code for each in shown.context["skipped"]] == ["vials.expired"]
    assert "Relabelled by the maker." in shown.text
    assert shown.context["acknowledgements"] == []
    approving(biller, expired)
    after = billing.get(address(expired))
    assert "Relabelled by the maker." in after.text
    assert "Relabelled by the maker." in billing.get(f"/encounters/{expired.public_id}/sheet/").text


def test_a_skip_that_is_ended_counts_again(billing: Client, biller: User, expired: Encounter) -> None:
    skip = skip_finding(by=biller, encounter=expired, finding=warning_of(expired), reason="Relabelled.")
    assert billing.post(address(expired, "end-skip/"), {"skip": skip.pk}).status_code == 302
    with pytest.raises(Refused, match="left to acknowledge"):
        approving(biller, encounter_for(biller, expired.public_id) or expired)
    with pytest.raises(Refused, match="counts again already"):
        end_skip(by=biller, skip=skip)
    assert Skip.objects.count() == 1, "the reason stays"


def test_a_skip_covers_the_words_it_was_given_for_and_no_others(
    biller: User, nurse: User, clinic: Clinic, expired: Encounter
) -> None:
    skip_finding(by=biller, encounter=expired, finding=warning_of(expired), reason="Relabelled.")
    vials = expired.administrations.get().vials
    vials.update(expires=date(2026, 2, 28))
    again = encounter_for(biller, expired.public_id)
    assert again is not None
    with pytest.raises(Refused, match=r"expired on 2026-02-28"):
        approving(biller, again)


@pytest.mark.parametrize(
    ("code", "severity", "expected"),
    [
        ("time.stop_missing", Severity.ERROR, False),
        ("vials.expired", Severity.WARNING, True),
        ("hydration.too_short", Severity.INFO, False),
        ("claim.coverage_missing", Severity.WARNING, True),
        ("claim.diagnosis_missing", Severity.ERROR, True),
        ("claim.units_within_limit", Severity.INFO, False),
    ],
)
def test_what_holds_up_a_line_is_never_skipped(code: str, severity: Severity, expected: bool) -> None:
    assert may_skip(Finding(code, severity, "Words.")) is expected


def test_an_error_of_the_record_is_refused_even_past_the_page(biller: User, expired: Encounter) -> None:
    error = Finding("time.stop_missing", Severity.ERROR, "Ocrelizumab has no stop time.", "a1", "stop")
    with pytest.raises(Refused, match="does not support it"):
        skip_finding(by=biller, encounter=expired, finding=error, reason="Because.")
    invented = Finding("vials.expired", Severity.WARNING, "Nobody said so.", "a1", "vials")
    with pytest.raises(Refused, match="no longer says so"):
        skip_finding(by=biller, encounter=expired, finding=invented, reason="Because.")


def test_a_key_of_nothing_skips_nothing(billing: Client, expired: Encounter) -> None:
    refused = billing.post(address(expired, "skip/"), {"finding": "0" * 16, "reason": "Because."})
    assert refused.status_code == 422
    assert "no longer says so" in refused.text
    assert not Skip.objects.exists()


# Questions about one drug ---------------------------------------------------------------------------------------------


def test_a_question_stands_at_its_drug_and_its_answer_says_what_it_changed(
    client: Client, biller: User, nurse: User, clinic: Clinic, expired: Encounter, sarah: Recorded
) -> None:
    client.force_login(biller)
    sent = {"version": expired.version, "question": "Did it run until 11:31?", "about": "0"}
    assert client.post(address(expired, "return/"), sent).status_code == 302
    client.force_login(nurse)
    form = client.get(f"/encounters/{expired.public_id}/").text
    group = form[form.index('<div class="group">') : form.index('id="d1"')]
    assert "Did it run until 11:31?" in group, "inside the group of drug 1"
    assert "Ocrelizumab: Did it run until 11:31?" in client.get("/encounters/").text

    back = encounter_for(nurse, expired.public_id)
    assert back is not None
    later = replace(sarah.facts.administrations[0], stop=sarah.facts.administrations[0].stop.replace(minute=31))  # type: ignore[union-attr]
    recorded = replace(
        sarah, facts=replace(sarah.facts, administrations=(later,)),
        answers={back.questions.get().pk: "Yes, by the pump."},
    )  # fmt: skip
    saved = save_encounter(
        by=nurse, clinic=clinic, client_id=back.client_id, public_id=back.public_id, version=back.version,
        recorded=recorded,
    )  # fmt: skip
    hand_to_billing(by=nurse, encounter=saved, version=saved.version, attested=True)

    client.force_login(biller)
    page = client.get(address(expired))
    [answer] = page.context["answers"]
    assert (answer.about, answer.question.answer) == ("Ocrelizumab", "Yes, by the pump.")
    assert answer.question.attested.startswith("I, L. Ames, RN, made this late entry on ")
    changed = {(each.label, each.was, each.now) for each in answer.record}
    assert ("Ocrelizumab, stop", "11:30, March 10, 2026", "11:31, March 10, 2026") in changed
    # 150 minutes are one further hour (60 + 60 + 30), 151 are two (31 past a full hour).
    assert [(each.code, each.was, each.now) for each in answer.lines] == [("96366", 1, 2)]


def test_a_question_about_a_drug_that_is_not_there_is_refused(biller: User, expired: Encounter) -> None:
    with pytest.raises(Refused, match="no longer in the record"):
        return_to_nurse(by=biller, encounter=expired, version=expired.version, question="Which arm?", administration=7)


def test_what_is_approved_is_not_asked_about_before_a_correction(biller: User, expired: Encounter) -> None:
    approving(biller, expired, finding_key(warning_of(expired)))
    expired.refresh_from_db()
    with pytest.raises(Refused, match="Open a correction first"):
        return_to_nurse(by=biller, encounter=expired, version=expired.version, question="Which arm?")
    with pytest.raises(Refused, match="Open a correction first"):
        skip_finding(by=biller, encounter=expired, finding=warning_of(expired), reason="Late.")
    correct(by=biller, encounter=expired, version=expired.version, reason="The arm.")
    expired.refresh_from_db()
    asked = return_to_nurse(by=biller, encounter=expired, version=expired.version, question="Which arm?")
    assert (asked.state, asked.questions.count()) == (State.DRAFT, 1)


def test_billing_cannot_answer_for_the_nurse(billing: Client, biller: User, expired: Encounter) -> None:
    approving(biller, expired, finding_key(warning_of(expired)))
    expired.refresh_from_db()
    correct(by=biller, encounter=expired, version=expired.version, reason="The arm.")
    expired.refresh_from_db()
    asked = return_to_nurse(by=biller, encounter=expired, version=expired.version, question="Which arm?")
    page = billing.get(f"/encounters/{expired.public_id}/").text
    assert "Only the nurse can answer this." in page
    assert 'name="answer-' not in page
    with pytest.raises(Refused, match="Billing asks: Which arm"):
        hand_to_billing(by=biller, encounter=asked, version=asked.version)
