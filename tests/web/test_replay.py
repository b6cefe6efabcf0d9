"""The record replayed from empty gives the tables, and whatever is written past it is found."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from infusion import capture
from infusion.actions import Recorded, save_encounter
from infusion.audit import AuditChange, AuditEvent, record_reading
from infusion.chain import check, heads
from infusion.models import BatchFile, Clinic, Patient, User
from infusion.replay import differences
from tests.web.conftest import House
from tests.web.test_audit import lift_the_guards, run


def told() -> list[str]:
    return [str(each) for each in differences()]


def test_a_write_past_the_audit_is_found(house: House) -> None:
    assert (told(), check().flaws) == ([], [])
    Patient.objects.filter(pk=house.draft.patient_id).update(name="Someone Else")
    assert told() == [f"infusion_patient {house.draft.patient_id}: name otherwise than told"]
    assert check().flaws == [
        f"1 rows were written that nobody answers for. The first: infusion_patient {house.draft.patient_id}."
    ]


def test_a_write_with_the_trigger_gone_is_found(house: House) -> None:
    lift_the_guards("infusion_patient")
    Patient.objects.filter(pk=house.draft.patient_id).update(name="Someone Else")
    Patient.objects.create(clinic=house.clinic, reference="Nobody told")
    assert not AuditChange.objects.filter(event__isnull=True).exists()
    assert [each.partition(": ")[2] for each in told()] == ["name otherwise than told", "never told"]


def test_the_file_of_a_batch_is_compared_by_its_checksum(house: House, claim_rows: dict[str, object]) -> None:
    assert told() == []
    lift_the_guards("infusion_batchfile")
    BatchFile.objects.update(content=b"other")
    assert [each.partition(": ")[2] for each in told()] == ["content otherwise than told"]


@pytest.mark.django_db(transaction=True)
def test_no_event_answers_for_what_an_earlier_transaction_left(clinic: Clinic, nurse: User, sarah: Recorded) -> None:
    """The fixtures wrote past the audit, each in a transaction of its own."""
    left = set(AuditChange.objects.filter(event__isnull=True).values_list("pk", flat=True))
    assert left
    with transaction.atomic():
        save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
        assert set(AuditChange.objects.filter(event__isnull=True).values_list("pk", flat=True)) == left
    first = AuditEvent.objects.order_by("sequence")[0]
    assert first.changes == 1, "the payer, and not what stood there"
    assert check().first is None
    assert any("nobody answers for" in each for each in check().flaws)


def test_what_was_there_before_the_triggers_is_told_when_they_come(house: House) -> None:
    lift_the_triggers("infusion_patient")
    Patient.objects.create(clinic=house.clinic, reference="From an earlier version")
    assert [each.partition(": ")[2] for each in told()] == ["never told"]
    assert any("not kept of infusion_patient" in each for each in check().flaws)
    capture.install(connection)
    assert AuditEvent.objects.latest("sequence").action == "audit.begin"
    assert (told(), check().flaws) == ([], [])
    before = AuditEvent.objects.count()
    capture.install(connection)
    assert AuditEvent.objects.count() == before, "once"


def lift_the_triggers(table: str) -> None:
    for name in capture.wanted_triggers(connection)[table]:
        run(f"DROP TRIGGER {name}" + ("" if connection.vendor == "sqlite" else f" ON {table}"))


def test_the_command_prints_the_head_and_names_the_first_bad_row(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    record_reading("encounter.open", by=house.people["nurse"], subject="encounter", subject_id=1, clinic_id=1)
    call_command("audit_verify", "--replay")
    printed = capsys.readouterr().out
    assert f"Head: {heads()}" in printed
    assert AuditEvent.objects.latest("sequence").hash in printed
    assert "The record is whole. Replayed, it gives every table." in printed
    lift_the_guards("infusion_auditevent")
    run("UPDATE infusion_auditevent SET by_name = 'someone' WHERE sequence = 5")
    with pytest.raises(CommandError, match="Write 5 is not as it was written"):
        call_command("audit_verify")
