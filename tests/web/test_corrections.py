"""Corrections of what was approved: was and now, the old approval still there, and what will be sent of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from infusion.actions import (
    Recorded,
    Refused,
    Stale,
    approve,
    correct,
    hand_to_billing,
    save_encounter,
    void,
)
from infusion.approved import approved_content, policy_of
from infusion.audit import canonical, digest
from infusion.batches import claim_of, with_claims
from infusion.exchange.claim import claim_document
from infusion.models import Approval, Batch, BatchClaim, BatchLine, Clinic, Correction, Encounter, User
from infusion.selectors import encounter_for, review_of
from infusion.services.calculate import calculate, shipped_reference
from payers.actions import add_payer
from payers.models import Payer
from tests.web.page import Page

State = Encounter.State
REASON = "The pump log says 11:31."


@pytest.fixture
def approved(clinic: Clinic, nurse: User, biller: User, sarah: Recorded) -> Encounter:
    saved = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    return approved_anew(biller, hand_to_billing(by=nurse, encounter=saved, version=saved.version))


@pytest.fixture
def billing(client: Client, biller: User) -> Client:
    client.force_login(biller)
    return client


def approved_anew(by: User, encounter: Encounter) -> Encounter:
    now = fresh(by, encounter)
    approve(by=by, encounter=now, version=now.version, content_hash=review_of(now).content_hash, acknowledged=())
    return fresh(by, encounter)


def fresh(by: User, encounter: Encounter) -> Encounter:
    found = encounter_for(by, encounter.public_id)
    assert found is not None
    return found


def until(sarah: Recorded, stop: datetime) -> Recorded:
    later = replace(sarah.facts.administrations[0], stop=stop)
    return replace(sarah, facts=replace(sarah.facts, administrations=(later,)))


def corrected(by: User, encounter: Encounter, sarah: Recorded, stop: datetime) -> Encounter:
    """Taken up, changed and handed to billing again, all by one person."""
    correct(by=by, encounter=encounter, version=encounter.version, reason=REASON)
    draft = fresh(by, encounter)
    saved = save_encounter(
        by=by, clinic=draft.clinic, client_id=draft.client_id, public_id=draft.public_id, version=draft.version,
        recorded=until(sarah, stop),
    )  # fmt: skip
    return hand_to_billing(by=by, encounter=saved, version=saved.version)


def exported(encounter: Encounter, by: User) -> BatchClaim:
    """The encounter's newest approval in a batch, as one claim with its lines."""
    approval = encounter.approvals.latest("encounter_version")
    [row] = with_claims(Encounter.objects.filter(pk=encounter.pk))
    content = canonical(claim_document(claim_of(row, approved_content(approval), {})))
    batch = Batch.objects.create(
        clinic=encounter.clinic, client_id=uuid4(), number=Batch.objects.count() + 1, made_by=by, made_at=timezone.now()
    )
    claim = BatchClaim.objects.create(
        batch=batch, encounter=encounter, approval=approval, payer=encounter.payer, number=f"C{batch.number:05}",
        frequency="1", content=content, content_hash=digest(content),
    )  # fmt: skip
    for position, line in enumerate(approved_content(approval).statement.lines):
        BatchLine.objects.create(
            claim=claim, approval=approval, position=position, kind="charge", code=line.code, units=line.units
        )
    return claim


def page(client: Client, encounter: Encounter, what: str = "") -> Any:
    return client.get(f"/encounters/{encounter.public_id}/review/{what}")


def test_a_later_stop_shows_was_and_now_and_drops_the_approval(
    billing: Client, biller: User, approved: Encounter, sarah: Recorded
) -> None:
    again = corrected(biller, approved, sarah, datetime(2026, 3, 10, 11, 31))
    assert again.state == State.WITH_BILLING
    shown = page(billing, again)
    compared = shown.context["was_now"]
    assert compared.correction.reason == REASON
    assert [(each.label, each.was, each.now) for each in compared.record] == [
        ("Ocrelizumab, stop", "11:30, March 10, 2026", "11:31, March 10, 2026")
    ]
    # 150 running minutes earn one further hour, 151 earn two: 60 + 60 + 31.
    assert [(each.code, each.modifiers, each.was, each.now, each.kind) for each in compared.lines] == [
        ("96365", "", 1, 1, "same"), ("96366", "", 1, 2, "changed"), ("J2350", "JZ", 600, 600, "same"),
    ]  # fmt: skip
    assert "was 1, now 2" in shown.text
    assert REASON in shown.text
    assert "no longer stands" in shown.text


def test_the_differences_are_those_of_the_engine(
    billing: Client, biller: User, approved: Encounter, sarah: Recorded
) -> None:
    """The stop is 9:15 now: 15 minutes are a push, so two lines go and one comes."""
    again = corrected(biller, approved, sarah, datetime(2026, 3, 10, 9, 15))
    compared = page(billing, again).context["was_now"]
    before = {
        (line.code, line.modifiers): line.units for line in approved_content(Approval.objects.get()).statement.lines
    }
    after = {(line.code, line.modifiers): line.units for line in review_of(again).statement.lines}
    assert {(each.code, tuple(filter(None, [each.modifiers]))): (each.was, each.now) for each in compared.lines} == {
        key: (before.get(key, 0), after.get(key, 0)) for key in {**before, **after}
    }
    assert {each.code: each.kind for each in compared.lines} == {
        "96374": "added", "96365": "removed", "96366": "removed", "J2350": "same",
    }  # fmt: skip
    assert {each.words for each in compared.lines} == {
        "was not there, now 1", "was 1, now gone", "was 600, now 600",
    }  # fmt: skip


def test_approving_anew_closes_it_and_the_old_approval_stays_to_be_looked_at(
    billing: Client, biller: User, approved: Encounter, sarah: Recorded
) -> None:
    first = Approval.objects.get()
    again = approved_anew(biller, corrected(biller, approved, sarah, datetime(2026, 3, 10, 11, 31)))
    assert Correction.objects.get().closed_at is not None
    assert Approval.objects.get(pk=first.pk).content_hash == first.content_hash
    shown = page(billing, again)
    assert "Corrected: was and now" in shown.text
    old, new = page(billing, again, "approvals/1/"), page(billing, again, "approvals/2/")
    units = [[line.units for line in each.context["shown"].statement.lines] for each in (old, new)]
    assert units == [[1, 1, 600], [1, 2, 600]]
    assert "A later approval has replaced it" in old.text
    assert "A later approval" not in new.text
    assert page(billing, again, "approvals/3/").status_code == 404
    assert page(billing, again, "approvals/0/").status_code == 404


def test_nothing_changes_under_an_approval(biller: User, nurse: User, approved: Encounter, sarah: Recorded) -> None:
    with pytest.raises(Refused, match="with billing"):
        save_encounter(
            by=nurse, clinic=approved.clinic, client_id=approved.client_id, public_id=approved.public_id,
            version=approved.version, recorded=sarah,
        )  # fmt: skip
    with pytest.raises(Stale):
        correct(by=biller, encounter=approved, version=approved.version - 1, reason=REASON)
    with pytest.raises(Refused, match="Write what was wrong"):
        correct(by=biller, encounter=approved, version=approved.version, reason=" ")
    correct(by=biller, encounter=approved, version=approved.version, reason=REASON)
    draft = fresh(biller, approved)
    with pytest.raises(Refused, match="Only an approved encounter can be corrected"):
        correct(by=biller, encounter=draft, version=draft.version, reason=REASON)


def test_billing_changes_the_record_only_while_it_is_corrected(
    billing: Client, biller: User, approved: Encounter
) -> None:
    address = f"/encounters/{approved.public_id}/"
    assert billing.get(address).status_code == 302
    correct(by=biller, encounter=approved, version=approved.version, reason=REASON)
    form = billing.get(address)
    assert form.status_code == 200
    assert "A correction of what was approved" in form.text
    assert 'hx-post="/encounters/kept/"' not in form.text, "billing keeps no copies"


def test_another_payer_brings_it_straight_back_to_billing(billing: Client, biller: User, approved: Encounter) -> None:
    other = add_payer(by=None, slug="other", name="Other Plan")
    claim = exported(approved, biller)
    sent = {"version": approved.version, "reason": "The card says so.", "payer": "other"}
    assert billing.post(f"/encounters/{approved.public_id}/review/correct/", sent).status_code == 302
    now = fresh(biller, approved)
    assert (now.state, now.payer) == (State.WITH_BILLING, other)
    shown = page(billing, now)
    assert [(each.label, each.was, each.now) for each in shown.context["was_now"].record] == [
        ("Payer", "Medicare", "Other Plan")
    ]
    told = shown.context["will_be_sent"]
    assert f"takes claim {claim.number} back from Medicare" in told
    assert "void (frequency 8). Other Plan gets an original claim" in told


def test_the_same_or_an_unknown_payer_is_refused(billing: Client, approved: Encounter, medicare: Payer) -> None:
    for slug, words in ((medicare.slug, "is billed to Medicare already"), ("nobody", "is not here any more")):
        sent = {"version": approved.version, "reason": "Wrong.", "payer": slug}
        refused = billing.post(f"/encounters/{approved.public_id}/review/correct/", sent)
        assert refused.status_code == 422
        assert words in refused.text
        assert ">Wrong.</textarea>" in refused.text


def test_what_was_exported_is_said_and_what_the_correction_sends(
    billing: Client, biller: User, approved: Encounter, sarah: Recorded
) -> None:
    assert page(billing, approved).context["will_be_sent"] == ""
    claim = exported(approved, biller)
    shown = page(billing, approved)
    assert shown.context["will_be_sent"] == "", "it is sent as it is approved"
    assert f"Claim {claim.number} (original) to Medicare, in batch 1" in shown.text
    again = corrected(biller, approved, sarah, datetime(2026, 3, 10, 11, 31))
    told = page(billing, again).context["will_be_sent"]
    assert told.startswith(
        f"Once it is approved anew, the next batch carries a credit for each line of claim {claim.number}"
    )
    assert "replacement claim (frequency 7)" in told
    assert page(billing, approved_anew(biller, again)).context["will_be_sent"].startswith("The next batch carries")


def test_what_was_never_exported_sends_only_the_new_lines(
    billing: Client, biller: User, approved: Encounter, sarah: Recorded
) -> None:
    again = corrected(biller, approved, sarah, datetime(2026, 3, 10, 11, 31))
    assert page(billing, again).context["will_be_sent"].startswith("Nothing of it was exported")


# Void -----------------------------------------------------------------------------------------------------------------


def test_void_keeps_everything_and_takes_back_what_was_sent(billing: Client, biller: User, approved: Encounter) -> None:
    claim = exported(approved, biller)
    address = f"/encounters/{approved.public_id}/review/void/"
    asked = billing.get(address)
    assert f"Claim {claim.number} (original) is with Medicare, in batch 1." in asked.text
    assert "void (frequency 8)" in asked.text
    silent = billing.post(address, {"version": approved.version, "reason": ""})
    assert silent.status_code == 422
    assert "Write why this encounter should not have been billed." in silent.text
    stale = billing.post(address, {"version": approved.version - 1, "reason": "Twice recorded."})
    assert stale.status_code == 409
    assert ">Twice recorded.</textarea>" in stale.text
    assert billing.post(address, {"version": approved.version, "reason": "Twice recorded."}).status_code == 302
    now = fresh(biller, approved)
    assert (now.state, Approval.objects.count()) == (State.VOID, 1)
    shown = page(billing, now)
    assert f"takes claim {claim.number} back" in shown.context["will_be_sent"]
    assert ("made it void", "Twice recorded.") in [(deed.what, deed.why) for deed in shown.context["history"]]
    assert "It is void already." in billing.get(address).text


def test_only_what_was_approved_can_be_void(
    biller: User, nurse: User, clinic: Clinic, sarah: Recorded, approved: Encounter
) -> None:
    draft = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    with pytest.raises(Refused, match="Only an approved encounter can be made void"):
        void(by=biller, encounter=draft, version=draft.version, reason="Twice.")
    correct(by=biller, encounter=approved, version=approved.version, reason=REASON)
    taken_up = fresh(biller, approved)
    void(by=biller, encounter=taken_up, version=taken_up.version, reason="Twice.")
    assert Correction.objects.get().closed_at is not None
    gone = fresh(biller, approved)
    with pytest.raises(Refused, match="void already"):
        void(by=biller, encounter=gone, version=gone.version, reason="Twice.")


# What an approval rests on --------------------------------------------------------------------------------------------


def test_the_rules_of_an_approval_give_its_lines_again(approved: Encounter) -> None:
    content = approved_content(Approval.objects.get())
    again = calculate(content.facts, policy_of(content.statement), shipped_reference())
    assert [(line.code, line.modifiers, line.units) for line in again.lines] == [
        (line.code, line.modifiers, line.units) for line in content.statement.lines
    ]


def test_what_billing_typed_while_a_colleague_handed_over_is_shown_and_not_saved(
    billing: Client, biller: User, nurse: User, approved: Encounter
) -> None:
    where = f"/encounters/{approved.public_id}/"
    assert billing.post(where, {"act": "save", "version": "1"}).status_code == 302, "there was nothing to correct"
    correct(by=biller, encounter=approved, version=approved.version, reason=REASON)
    typed = {**Page(billing.get(where).content).form_to(where).fields, "d1-stop": "1150"}
    draft = fresh(biller, approved)
    hand_to_billing(by=nurse, encounter=draft, version=draft.version)
    both = billing.post(where, {**typed, "act": "save"})
    assert both.status_code == 409
    assert [(each.label, each.mine, each.theirs) for each in both.context["conflict"]["differences"]] == [
        ("Drug 1, Stop", "11:50 (11:50am)", "11:30 (11:30am)")
    ]
    assert Page(both.content).form_to(where).fields["d1-stop"] == "1150"
    assert "cannot be saved over it" in both.text
    now = fresh(biller, approved)
    assert billing.post(where, {**typed, "act": f"keep-{now.version}"}).status_code == 200
    assert (fresh(biller, approved).version, fresh(biller, approved).state) == (now.version, State.WITH_BILLING)
    assert (
        billing.post(where, {**typed, "d1-stop": "1130", "act": "hand-over"}).headers["Location"].endswith("/review/")
    )
