"""The record replayed from empty gives the tables, and whatever is written past it is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models, transaction

from infusion import capture, chain, replay
from infusion.actions import Recorded, save_encounter
from infusion.audit import AuditChange, AuditEvent, record_reading
from infusion.chain import check, heads
from infusion.models import BatchFile, Clinic, Patient, User
from infusion.operations.elsewhere import instead
from infusion.replay import differences
from tests.prove.elsewhere import answer_for_fixtures
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


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no TRUNCATE")
def test_no_table_of_records_is_emptied_without_its_rows_being_told(db: None) -> None:
    run("SET CONSTRAINTS ALL IMMEDIATE")
    for table in capture.tables_there(connection):
        with pytest.raises(DatabaseError, match=r"never|append-only"), transaction.atomic():
            run(f"TRUNCATE {table} CASCADE")


def test_one_trigger_that_is_missing_comes_back_and_nothing_is_told_again(house: House) -> None:
    missing = list(capture.wanted_triggers(connection)["infusion_patient"])[-1]
    run(f"DROP TRIGGER {missing}" + ("" if connection.vendor == "sqlite" else " ON infusion_patient"))
    assert any("not kept of infusion_patient" in each for each in check().flaws)
    before = AuditEvent.objects.count()
    capture.install(connection)
    assert (AuditEvent.objects.count(), told(), check().flaws) == (before, [], [])


def lift_the_triggers(table: str) -> None:
    for name in capture.wanted_triggers(connection)[table]:
        run(f"DROP TRIGGER {name}" + ("" if connection.vendor == "sqlite" else f" ON {table}"))


def test_the_command_prints_the_head_and_names_the_first_bad_row(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    record_reading("encounter.open", by=house.people["nurse"], subject="encounter", subject_id=1, clinic_id=1)
    call_command("audit_verify")
    printed = capsys.readouterr().out
    assert f"Head: {heads()}" in printed
    assert AuditEvent.objects.latest("sequence").hash in printed
    assert "The record is whole." in printed
    lift_the_guards("infusion_auditevent")
    run("UPDATE infusion_auditevent SET by_name = 'someone' WHERE sequence = 5")
    with pytest.raises(CommandError, match="Write 5 is not as it was written"):
        call_command("audit_verify")


# While people work ----------------------------------------------------------------------------------------------------


def by_another_process(write: Callable[[], object], settings: Mapping[str, Any]) -> None:
    """On a connection of its own, which does not wait for a lock."""
    patience = {"timeout": 0} if connection.vendor == "sqlite" else {}
    with instead({**settings, "OPTIONS": {**settings["OPTIONS"], **patience}}), transaction.atomic():
        write()


@pytest.mark.django_db(transaction=True)
def test_what_is_written_during_a_check_is_left_to_the_next(
    clinic: Clinic, nurse: User, sarah: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_for_fixtures()
    save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    record_reading("encounter.open", by=nurse, subject="encounter", subject_id=1, clinic_id=1)
    whole = check()
    own, digest, seen = connection.settings_dict, chain.digest, [0]

    def slow(text: str) -> str:
        seen[0] += 1
        if seen[0] in (1, whole.events, whole.events + 1):
            by_another_process(lambda: save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah), own)
            by_another_process(
                lambda: record_reading("encounter.open", by=nurse, subject="encounter", subject_id=1, clinic_id=1),
                own,
            )
        return digest(text)

    monkeypatch.setattr(chain, "digest", slow)
    monkeypatch.setattr(chain, "ROWS_AT_ONCE", 1)  # so that most is still to be read
    found = check()
    assert found.flaws == []
    assert (found.head, found.events, found.readings) == (whole.head, whole.events, whole.readings)
    monkeypatch.setattr(chain, "digest", digest)
    assert check().head == heads() != found.head
    assert (check().flaws, check().readings) == ([], 4)


def test_rows_of_a_write_after_the_head_are_found(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "ROWS_AT_ONCE", 2)  # fewer than one write may take
    assert check().flaws == []
    last = AuditEvent.objects.latest("sequence").sequence
    AuditChange.objects.create(relation="infusion_patient", key=1, written="{}", event=last + 1)
    assert check().flaws == [f"Write {last + 1} is gone, and rows that it wrote are left."]


@pytest.mark.django_db(transaction=True)
def test_what_is_written_during_a_replay_is_left_to_the_next(
    clinic: Clinic, nurse: User, sarah: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer_for_fixtures()
    own, rebuilt, written = connection.settings_dict, replay.rebuilt, []

    def slow(model: type[models.Model]) -> replay.Rows:
        rows = rebuilt(model)
        if model is Patient:
            write = partial(save_encounter, by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
            written.append(by_another_process(write, own))
        return rows

    monkeypatch.setattr(replay, "rebuilt", slow)
    call_command("audit_verify", "--replay")
    assert "The record is whole. Replayed, it gives every table." in capsys.readouterr().out
    assert (len(written), Patient.objects.count()) == (1, 1)
    assert connection.vendor == "postgresql" or not list(Path(own["NAME"]).parent.glob(".test*look*")), "a copy is left"
    with transaction.atomic():
        if connection.vendor == "sqlite":
            run("DROP TRIGGER infusion_patient_written_update")
        else:
            run("SET LOCAL session_replication_role = replica")
        Patient.objects.update(name="Someone Else")
        capture.install(connection)
    with pytest.raises(CommandError, match=r"infusion_patient \d+: name otherwise than told"):
        call_command("audit_verify", "--replay")
