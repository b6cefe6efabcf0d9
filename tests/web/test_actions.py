"""The writers of encounters and rules: each does the whole of its work, once, on what was shown, or nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from infusion.actions import (
    Recorded,
    Refused,
    Stale,
    approve,
    hand_to_billing,
    return_to_nurse,
    save_encounter,
    warning_key,
)
from infusion.audit import AuditEvent
from infusion.models import Approval, Clinic, Encounter, User
from infusion.selectors import review_of
from payers.actions import Departure, publish_override
from payers.models import Payer, PolicyOverride
from tests.web.conftest import everything


def with_dose(recorded: Recorded, amount: int | None, **more: Any) -> Recorded:
    [given] = recorded.facts.administrations
    changed = replace(given, ordered=None if amount is None else Decimal(amount), **more)
    return replace(recorded, facts=replace(recorded.facts, administrations=(changed,)))


@pytest.fixture
def draft(nurse: User, clinic: Clinic, sarah: Recorded) -> Encounter:
    return save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)


@pytest.fixture
def waiting(nurse: User, draft: Encounter) -> Encounter:
    return hand_to_billing(by=nurse, encounter=draft, version=draft.version)


def publish(by: User, payer: Payer, **more: Any) -> PolicyOverride:
    said = {
        "parameter": "additional_hour_minimum_minutes", "value": 30, "effective_from": date(2026, 1, 1),
        "source_document": "Handbook", "source_read_on": date(2026, 1, 1),
    }  # fmt: skip
    return publish_override(by=by, payer=payer, status="unverified", departure=Departure(**(said | more)))


# Saving ---------------------------------------------------------------------------------------------------------------


def test_a_second_tap_is_the_same_encounter(nurse: User, clinic: Clinic, sarah: Recorded) -> None:
    client_id = uuid4()
    first = save_encounter(by=nurse, clinic=clinic, client_id=client_id, recorded=sarah)
    told = AuditEvent.objects.count()
    second = save_encounter(by=nurse, clinic=clinic, client_id=client_id, recorded=sarah)
    assert (second.pk, second.version, Encounter.objects.count()) == (first.pk, 1, 1)
    assert AuditEvent.objects.count() == told


def test_one_client_id_in_two_clinics_is_two_encounters(
    nurse: User, clinic: Clinic, other_nurse: User, other_clinic: Clinic, sarah: Recorded
) -> None:
    client_id = uuid4()
    mine = save_encounter(by=nurse, clinic=clinic, client_id=client_id, recorded=sarah)
    theirs = save_encounter(by=other_nurse, clinic=other_clinic, client_id=client_id, recorded=sarah)
    assert mine.pk != theirs.pk
    assert mine.patient_id != theirs.patient_id, "the same reference there is another person"


def test_a_stale_save_is_refused_and_shows_what_is_stored(
    nurse: User, clinic: Clinic, draft: Encounter, sarah: Recorded
) -> None:
    def save(amount: int, version: int) -> Encounter:
        return save_encounter(
            by=nurse, clinic=clinic, client_id=draft.client_id, public_id=draft.public_id, version=version,
            recorded=with_dose(sarah, amount),
        )  # fmt: skip

    assert save(601, 1).version == 2
    before = everything()
    with pytest.raises(Stale) as stale:
        save(602, 1)
    assert stale.value.current.version == 2
    assert everything() == before
    assert save(602, 2).version == 3


def test_what_billing_has_is_not_written_over(nurse: User, clinic: Clinic, waiting: Encounter, sarah: Recorded) -> None:
    before = everything()
    with pytest.raises(Refused, match="with billing"):
        save_encounter(
            by=nurse, clinic=clinic, client_id=waiting.client_id, public_id=waiting.public_id, version=waiting.version,
            recorded=with_dose(sarah, 601),
        )  # fmt: skip
    assert everything() == before


def test_an_encounter_of_another_clinic_cannot_be_saved(
    other_nurse: User, other_clinic: Clinic, draft: Encounter, sarah: Recorded
) -> None:
    before = everything()
    with pytest.raises(Refused, match="does not exist here"):
        save_encounter(
            by=other_nurse, clinic=other_clinic, client_id=draft.client_id, public_id=draft.public_id, version=1,
            recorded=sarah,
        )  # fmt: skip
    assert everything() == before


# Handing over and back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lack", "told"),
    [({"stop": None}, "no stop time"), ({"vials": ()}, "vial"), ({"administered": None}, "milligrams")],
)
def test_what_is_blocked_is_not_handed_over(
    nurse: User, clinic: Clinic, sarah: Recorded, lack: dict[str, Any], told: str
) -> None:
    recorded = with_dose(sarah, 600, **lack)
    draft = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
    before = everything()
    with pytest.raises(Refused, match=told):
        hand_to_billing(by=nurse, encounter=draft, version=draft.version)
    assert everything() == before


def test_handing_over_twice_is_once(nurse: User, draft: Encounter, waiting: Encounter) -> None:
    before = everything()
    for version in (draft.version, waiting.version):
        with pytest.raises(Refused):
            hand_to_billing(by=nurse, encounter=draft, version=version)
    assert everything() == before


def test_a_question_comes_back_and_is_answered_by_handing_over(nurse: User, biller: User, waiting: Encounter) -> None:
    with pytest.raises(Refused, match="Write what"):
        return_to_nurse(by=biller, encounter=waiting, version=waiting.version, question="  ")
    back = return_to_nurse(by=biller, encounter=waiting, version=waiting.version, question="Which vial?")
    assert (back.state, back.questions.get().answered_at) == ("draft", None)
    with pytest.raises(Refused, match="Billing asks: Which vial"):
        hand_to_billing(by=nurse, encounter=back, version=back.version, attested=True)
    back.questions.update(answer="The second one.")
    with pytest.raises(Refused, match="Tick the sentence"):
        hand_to_billing(by=nurse, encounter=back, version=back.version)
    again = hand_to_billing(by=nurse, encounter=back, version=back.version, attested=True)
    question = again.questions.get()
    assert (question.answered_at, question.answered_by) == (again.handed_over_at, nurse)
    assert question.attested.startswith("I, L. Ames, RN, made this late entry on ")


# Approving ------------------------------------------------------------------------------------------------------------


def approving(by: User, encounter: Encounter, **more: Any) -> Approval:
    shown: dict[str, Any] = {
        "version": encounter.version, "content_hash": review_of(encounter).content_hash, "acknowledged": (),
    }  # fmt: skip
    return approve(by=by, encounter=encounter, **(shown | more))


def test_an_approval_keeps_what_was_shown(biller: User, waiting: Encounter, admin_user: User) -> None:
    shown = review_of(waiting)
    approval = approving(biller, waiting)
    assert (approval.input, approval.policy, approval.statement) == (
        shown.input_text, shown.policy_text, shown.statement_text,
    )  # fmt: skip
    publish(admin_user, waiting.payer)
    kept = Approval.objects.get()
    assert kept.content_hash == shown.content_hash != review_of(waiting).content_hash
    waiting.refresh_from_db()
    assert waiting.state == "approved"


def test_a_rule_that_changed_since_is_seen(biller: User, admin_user: User, waiting: Encounter) -> None:
    shown = review_of(waiting).content_hash
    publish(admin_user, waiting.payer)
    before = everything()
    with pytest.raises(Refused, match="changed since they were shown"):
        approving(biller, waiting, content_hash=shown)
    assert everything() == before


def test_a_rule_of_another_day_changes_nothing(biller: User, admin_user: User, waiting: Encounter) -> None:
    shown = review_of(waiting).content_hash
    publish(admin_user, waiting.payer, effective_from=date(2026, 4, 1))
    assert approving(biller, waiting, content_hash=shown).content_hash == shown


def test_a_record_that_changed_since_is_seen(
    nurse: User, biller: User, clinic: Clinic, waiting: Encounter, sarah: Recorded
) -> None:
    shown, version = review_of(waiting).content_hash, waiting.version
    back = return_to_nurse(by=biller, encounter=waiting, version=version, question="Which dose?")
    answers = {back.questions.get().pk: "601 mg; the pump said so."}
    saved = save_encounter(
        by=nurse, clinic=clinic, client_id=back.client_id, public_id=back.public_id, version=back.version,
        recorded=replace(with_dose(sarah, 601), answers=answers),
    )  # fmt: skip
    again = hand_to_billing(by=nurse, encounter=saved, version=saved.version, attested=True)
    before = everything()
    with pytest.raises(Stale):
        approving(biller, again, version=version, content_hash=shown)
    with pytest.raises(Refused, match="changed since they were shown"):
        approving(biller, again, content_hash=shown)
    assert everything() == before


def test_each_warning_is_acknowledged_by_name(biller: User, admin_user: User, waiting: Encounter) -> None:
    publish(admin_user, waiting.payer)
    [warning] = review_of(waiting).statement.warnings
    before = everything()
    for acknowledged in ((), ("other",), (warning.message,)):
        with pytest.raises(Refused, match=r"left to acknowledge.*nobody has verified"):
            approving(biller, waiting, acknowledged=acknowledged)
    assert everything() == before
    approval = approving(biller, waiting, acknowledged=[warning_key(warning)])
    assert approval.acknowledged == [warning.message]


def test_approving_twice_is_once(biller: User, waiting: Encounter) -> None:
    approving(biller, waiting)
    before = everything()
    with pytest.raises(Refused):
        approving(biller, waiting)
    with pytest.raises(Refused):
        approving(biller, Encounter.objects.get())
    assert everything() == before


def test_a_draft_is_not_approved(biller: User, draft: Encounter) -> None:
    with pytest.raises(Refused, match="with billing"):
        approving(biller, draft)
    assert not Approval.objects.exists()
