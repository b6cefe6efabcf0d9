"""R49: from every release to this version with all its rows, whatever stops a migration, and one at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from infusion.management.commands import migrate
from infusion.models import Encounter
from infusion.operations.archive import end_of_audit
from tests.processes import handles, together, with_connections_of_its_own
from tests.prove import releases
from tests.prove.conftest import Prove
from tests.prove.elsewhere import empty
from tests.prove.many import multiply
from tests.prove.table import share, size

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.both
@pytest.mark.proves("R49")
def test_every_release_arrives_with_its_rows(tmp_path: Path, prove: Prove) -> None:
    arrived, told = [], []
    for name in releases.releases():
        release = releases.read(name)
        with empty(tmp_path):
            releases.fill(release)
            call_command("migrate", verbosity=0)
            lost = releases.lost(release)
            arrived.append(not lost)
            told.append(f"{name} with {sum(map(len, release['rows'].values())):,} rows, {len(lost)} columns changed")
            assert end_of_audit()
            assert lost == []
            release["rows"]["infusion.encounter"][0]["place_of_service"] = "99"
            assert releases.lost(release) == ["infusion.encounter.place_of_service"]
    prove(
        "R49", "every release reaches this version with its rows, audit unbroken",
        f"{sum(arrived)} of {len(arrived)} releases: {'; '.join(told)}; audit unbroken",
        all(arrived) and len(arrived) >= 1,
    )  # fmt: skip


@pytest.mark.both
@pytest.mark.alone
@pytest.mark.proves("R49")
def test_a_large_site_is_migrated_in_time(tmp_path: Path, prove: Prove) -> None:
    if not share():
        pytest.skip("its small form is above")
    with empty(tmp_path):
        registry = releases.fill(releases.read(releases.releases()[0]))
        there = multiply(size(40, 100_000), registry)
        began = time.monotonic()
        call_command("migrate", verbosity=0)
        seconds = time.monotonic() - began
        kept = Encounter.objects.count()
        head = end_of_audit()
    prove(
        "R49", "100,000 encounters within 120 s",
        f"{there:,} encounters and {head.split()[1]} events from {releases.releases()[0]} in {seconds:.0f} s",
        kept == there and seconds <= 120,
    )  # fmt: skip


# Stopped in the middle ------------------------------------------------------------------------------------------------


class Killer:
    """Counts statements, and ends this process, without a word, as the one with a number begins."""

    def __init__(self, number: int, matching: str = "") -> None:
        self.number, self.matching, self.seen = number, matching, 0

    def __call__(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        self.seen += self.matching in str(sql)
        if self.seen == self.number:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(sql, *rest)


def killed(killer: Killer, work: Callable[[], object]) -> bool:
    """Whether a fork of this process was killed at its work."""
    connection.close()
    taken_along = handles()
    if (child := os.fork()) == 0:
        try:
            with_connections_of_its_own(taken_along)
            with connection.execute_wrapper(killer):
                work()
        except BaseException:
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def migrated_again() -> bool:
    try:
        call_command("migrate", verbosity=0)
    except Exception:
        return False
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def migrating() -> None:
    call_command("migrate", verbosity=0)


RECORDED = 'INSERT INTO "django_migrations"'


@pytest.mark.both
@pytest.mark.proves("R49")
def test_what_was_stopped_goes_on(tmp_path: Path, prove: Prove) -> None:
    kills, stuck, alive, counted = size(1, 20), [], 0, Killer(-1)
    if share():
        with empty(tmp_path), connection.execute_wrapper(counted):
            migrating()
    else:
        counted.seen = 600  # there are more, and no time to count them
    places = [counted.seen * (turn + 1) // (kills + 1) for turn in range(kills)]
    for place in places:
        with empty(tmp_path):
            alive += not killed(Killer(place), migrating)
            if not migrated_again():
                stuck.append(place)
    prove(
        "R49", "20 kills in the middle, none stuck",
        f"{kills - alive} kills among {counted.seen:,} statements, {len(stuck)} stuck",
        not stuck and alive == 0,
    )  # fmt: skip


@pytest.mark.both
@pytest.mark.alone
@pytest.mark.parametrize("ours", [True, False])
def test_stopped_between_the_tables_and_their_record(
    ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Django does it, the tables of some migrations stand before it is written down that they do."""
    if not share():
        pytest.skip("of the full proof")
    if not ours:
        monkeypatch.setattr(migrate, "RecordedWithin", MigrationExecutor)
    number = 1 + deferred(tmp_path)
    with empty(tmp_path):
        assert killed(Killer(number, RECORDED), migrating)
        assert migrated_again() == ours


def deferred(folder: Path) -> int:
    """How many migrations are recorded before the first whose indexes wait for the end of its transaction."""
    recorded: list[bool] = []
    of_django = MigrationRecorder.record_applied

    def watched(recorder: MigrationRecorder, app: str, name: str) -> None:
        recorded.append(bool(recorder.connection.in_atomic_block))
        of_django(recorder, app, name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MigrationRecorder, "record_applied", watched)
        patched.setattr(migrate, "RecordedWithin", MigrationExecutor)
        with empty(folder):
            migrating()
    return recorded.index(False)


# Two at once ----------------------------------------------------------------------------------------------------------


def migrate_at_once(number: int, barrier: Any, name: str, careful: bool) -> bool:
    from infusion.operations.elsewhere import instead, sqlite_file

    settings = {**connection.settings_dict, "NAME": name}
    with instead(sqlite_file(Path(name)) if connection.vendor == "sqlite" else settings):
        if not careful:
            migrate.alone = lambda alias: nullcontext()  # type: ignore[assignment]
        connection.close()
        barrier.wait(120)
        try:
            migrating()
        except Exception:
            return False
        executor = MigrationExecutor(connection)
        return not executor.migration_plan(executor.loader.graph.leaf_nodes())


@pytest.mark.both
@pytest.mark.alone
@pytest.mark.proves("R49")
def test_two_that_start_at_once_take_turns(tmp_path: Path, prove: Prove) -> None:
    if not share():
        pytest.skip("of the full proof")
    ended = {}
    for careful in (True, False):
        with empty(tmp_path) as there:
            name = str(there.settings_dict["NAME"])
            there.close()
            ended[careful] = sum(together(migrate_at_once, 3, name, careful, seconds=300))
            connections.close_all()
    prove(
        "R49", "", f"{ended[True]} of 3 that started at once arrived; without the lock {ended[False]} of 3",
        ended[True] == 3 and ended[False] < 3,
    )  # fmt: skip


def test_no_change_of_a_model_is_without_its_migration() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    changed = subprocess.run(
        [sys.executable, "-c", CHANGED], check=False, capture_output=True, env={**os.environ, "PYTHONPATH": "."}
    )
    assert changed.returncode == 1


CHANGED = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from django.core.management import call_command
from django.db import models
from infusion.models import Clinic
models.TextField(default="").contribute_to_class(Clinic, "another")
call_command("makemigrations", check=True, dry_run=True, verbosity=0)
"""
