"""`manage.py calculate` as a door: files or standard input, one answer a line, and what its exit status says."""

import io
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from infusion import answers
from infusion.answers import ENCODE, answer, encoded
from infusion.management.commands import calculate as command
from infusion.services.reference import Reference, shipped_reference
from payers.models import Payer
from tests.rules.random_encounters import encounters
from tests.rules.shorthand import encounter, infused

ROOT = Path(__file__).resolve().parents[2]
READY = encounter(infused("J2350", 0, 60), id="ready")
BLOCKED = encounter(infused("J2350", 0, 0), id="blocked")
BROKEN = encounter(infused("J2350", 0, 60), id="broken", stetting="office")


def run(*files: Path) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and answers."""
    out, status = io.StringIO(), 0
    try:
        call_command("calculate", *map(str, files), stdout=out)
    except SystemExit as leaving:
        status = int(str(leaving.code))
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


def file_of(path: Path, *documents: Any) -> Path:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    return path


@pytest.mark.django_db
def test_files_are_answered_in_their_order(tmp_path: Path) -> None:
    one = file_of(tmp_path / "one.jsonl", READY, BLOCKED)
    two = file_of(tmp_path / "two.jsonl", BLOCKED, READY)
    status, answers = run(one, two)
    assert status == 0
    assert [each["status"] for each in answers] == ["ready", "blocked", "blocked", "ready"]
    assert [each["id"] for each in answers] == ["ready", "blocked", "blocked", "ready"]


@pytest.mark.django_db
def test_only_a_line_that_is_no_encounter_makes_the_status_1(tmp_path: Path) -> None:
    status, answers = run(file_of(tmp_path / "some.jsonl", READY, BROKEN, BLOCKED))
    assert status == 1
    assert [each["status"] for each in answers] == ["ready", "invalid", "blocked"]
    [finding] = answers[1]["findings"]
    assert (finding["field"], finding["code"], finding["severity"]) == ("stetting", "input.unreadable", "error")
    assert answers[1]["id"] == "broken"


@pytest.mark.django_db
def test_each_line_has_its_answer_also_a_blank_one(tmp_path: Path) -> None:
    path = tmp_path / "from-a-spreadsheet.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(READY).encode() + b"\r\n\r\n   \n")
    assert [each["status"] for each in run(path)[1]] == ["ready", "invalid", "invalid"]


@pytest.mark.django_db
def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.jsonl cannot be read: No such file or directory\."):
        run(tmp_path / "nowhere.jsonl")
    with pytest.raises(CommandError, match="cannot be read: Is a directory"):
        run(tmp_path)


@pytest.mark.django_db
def test_a_file_that_is_not_there_is_told_before_the_first_answer(tmp_path: Path) -> None:
    good, out = file_of(tmp_path / "good.jsonl", READY), io.StringIO()
    for missing in (tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(CommandError, match=rf"^{missing} cannot be read: .*\. Nothing was calculated\.$"):
            call_command("calculate", str(good), str(missing), stdout=out)
    assert out.getvalue() == ""


@pytest.mark.django_db
def test_a_file_that_is_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(json.dumps(READY) + "\n"))
    writer.start()
    status, answers = run(pipe)
    writer.join()
    assert (status, [each["id"] for each in answers]) == (0, ["ready"])


class Taps:
    """Standard input that knows how far it was read."""

    def __init__(self, lines: list[bytes]) -> None:
        self.buffer = self
        self.lines = lines
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self.lines:
            self.read += 1
            yield line


@pytest.mark.django_db
def test_each_answer_is_written_before_the_next_line_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    taps = Taps([json.dumps(READY | {"id": str(number)}).encode() for number in range(50)])
    ahead: list[int] = []

    class Out(io.StringIO):
        written = 0

        def write(self, text: str) -> int:
            Out.written += text.count("\n")
            ahead.append(taps.read - Out.written)
            return super().write(text)

    monkeypatch.setattr(sys, "stdin", taps)
    out = Out()
    call_command("calculate", stdout=out)
    assert [json.loads(line)["id"] for line in out.getvalue().splitlines()] == [str(number) for number in range(50)]
    assert max(ahead) <= 1


@pytest.mark.parametrize("identity", ["sarah", "", "søster 7", 7, 0, None])
def test_the_id_comes_back_as_it_was_given(identity: str | int | None) -> None:
    for document in (READY, BROKEN):
        assert answer(json.dumps(document | {"id": identity}).encode())["id"] == identity


def test_a_time_zone_left_out_is_the_clinic_s(settings: Any) -> None:
    document = {name: value for name, value in READY.items() if name not in ("time_zone", "date_of_service")}
    document["administrations"] = [document["administrations"][0] | {"start": "2026-03-11T03:30Z",
                                                                      "stop": "2026-03-11T04:30Z"}]  # fmt: skip
    settings.INFUSION_DEFAULT_TIME_ZONE = "America/New_York"
    assert answer(json.dumps(document).encode())["date_of_service"] == "2026-03-10"
    settings.INFUSION_DEFAULT_TIME_ZONE = "Europe/Berlin"
    assert answer(json.dumps(document).encode())["date_of_service"] == "2026-03-11"


def test_an_unknown_payer_is_refused(db: None) -> None:
    document: Any = answer(json.dumps(READY | {"payer": "nobody"}).encode())
    assert document["status"] == "invalid"
    assert [finding["field"] for finding in document["findings"]] == ["payer"]


def test_no_progress_bar_where_nobody_watches(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", "calculate", str(file_of(tmp_path / "one.jsonl", READY))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1


def test_without_a_database_the_shipped_drugs_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_table() -> Reference:
        raise DatabaseError("no such table: infusion_drugrow")

    monkeypatch.setattr(answers, "current_reference", no_table)
    assert answers.stored_reference() is shipped_reference()


# Many lines -----------------------------------------------------------------------------------------------------------


def one_by_one(lines: list[bytes]) -> list[str]:
    return [json.dumps(answer(line), ensure_ascii=False, separators=(",", ":")) for line in lines]


def made_up(count: int) -> list[bytes]:
    """Lines of all kinds, some of them broken, some twice under another id, and ids of every kind."""
    dice, lines = random.Random(5), []
    for number, document in enumerate(encounters(5, count)):
        text = json.dumps(document | {"id": dice.choice([f"e{number}", "", "søster", 'a "b"', "back\\slash", number])})
        if number % 7 == 0:
            text = json.dumps(document | {"stetting": "office"})
        if number % 11 == 0:
            text = text[: dice.randrange(len(text))]
        if number % 13 == 0:
            text = text.replace("{", '{"id": "twice", ', 1)
        lines += [text.encode() + b"\n"] * dice.choice([1, 1, 2])
    return lines


@pytest.mark.django_db
def test_many_lines_are_answered_by_several_processes_as_each_would_be_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = made_up(400)
    monkeypatch.setattr(command, "LINES_AT_ONCE", 25)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    here: list[int] = []
    monkeypatch.setattr(command.Desk, "answers", counted(command.Desk.answers, here))
    path = tmp_path / "many.jsonl"
    path.write_bytes(b"".join(lines))
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("calculate", str(path), stdout=out)
    assert out.getvalue().splitlines() == one_by_one(lines)
    assert sum(here) == len(lines) % 25


def counted(real: Any, here: list[int]) -> Any:
    """The same, with a note of how many lines were answered in this process."""
    me = os.getpid()

    def noted(desk: Any, lines: list[bytes]) -> Any:
        if os.getpid() == me:
            here.append(len(lines))
        return real(desk, lines)

    return noted


def test_a_line_is_answered_once_and_its_twin_gets_its_own_id(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def noted(line: bytes, *more: Any) -> dict[str, object]:
        asked.append(line)
        return answer(line, *more)

    monkeypatch.setattr(answers, "answer", noted)
    desk = answers.Desk({}, shipped_reference())
    rest = json.dumps(READY).encode().removeprefix(b'{"id": "ready"')
    lines = [b'{"id": "one"' + rest, b'{"id":"two"' + rest + b"\r\n", b'{"id": 17' + rest + b"\n"]
    told = desk.answers(lines)
    assert (len(asked), told.readable) == (1, True)
    assert told.text.splitlines() == one_by_one(lines)
    # What is written in another order, or has an id that is spelt in another way, stands for itself.
    others = [json.dumps(READY | {"id": "søster"}).encode(), json.dumps(dict(reversed(READY.items()))).encode()]
    assert desk.answers(others).text.splitlines() == one_by_one(others)
    assert len(asked) == 3


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "a", "setting": "office"',
        b'{"id": "a", "id": "b", "setting": "office", "administrations": []}',
        b'{\x0b"id": "a", "setting": "office", "administrations": []}',
        b'{"id": "a\x01", "setting": "office", "administrations": []}',
        b'{"id": 007, "setting": "office", "administrations": []}',
        b'{"id": "a", "setting": "office", "administrations": []} \x0c',
        b'{"id": "a" "setting": "office", "administrations": []}',
        b'{"id": "a", "setting": "off\xff"}',
        b'{"id": "a"}',
    ],
)
def test_what_is_wrong_with_a_line_is_told_of_it_as_it_stands(line: bytes) -> None:
    told = answers.Desk({}, shipped_reference()).answers([line, line])
    assert told.text.splitlines() == one_by_one([line, line])
    assert not told.readable


def test_a_pipe_is_read_as_far_as_it_is_filled() -> None:
    source, sink = os.pipe()
    with os.fdopen(source, "rb") as stream:
        parts = command._as_they_come(stream)
        assert next(parts) == []
        os.write(sink, b"one\ntwo\nhal")
        assert next(parts) == [b"one\n", b"two\n"]
        os.write(sink, b"f")
        assert next(parts) == []
        os.write(sink, b"\n" * 900 + b"end")
        assert [len(next(parts)) for _ in range(2)] == [command.LINES_AT_ONCE] * 2
        assert next(parts) == [b"\n"] * 100
        os.close(sink)
        assert list(parts) == [[b"end"]]


def test_a_caller_on_a_pipe_gets_each_answer_before_it_writes_the_next_line() -> None:
    """With standard output buffered as it is for every program that writes into a pipe."""
    with subprocess.Popen(
        [sys.executable, "manage.py", "calculate"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        for identity in ("first", "second"):
            process.stdin.write(json.dumps(READY | {"id": identity}).encode() + b"\n")
            process.stdin.flush()
            answered = select.select([process.stdout], [], [], 60)[0]
            if not answered:
                process.kill()
            assert answered
            assert json.loads(process.stdout.readline())["id"] == identity
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.mark.django_db
def test_a_process_that_dies_ends_it_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LINES_AT_ONCE", 5)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(command, "_worked_out", killed)
    with pytest.raises(CommandError, match=r"ended before it had answered.*memory.*Calculate again") as told:
        run(file_of(tmp_path / "many.jsonl", *[READY] * 10))
    assert told.value.returncode == 2


def killed(lines: list[bytes]) -> None:
    """As the kernel ends a process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_long_lines_are_answered_and_not_kept() -> None:
    desk = answers.Desk({}, shipped_reference())
    text = json.dumps(READY).encode()
    short, long = text.ljust(answers.LONGEST_KEPT), text.ljust(answers.LONGEST_KEPT + 1)
    told = desk.answers([long, long, long + b"\n"])
    assert told.text.splitlines() == one_by_one([text] * 3)
    assert len(desk.replies) == 0
    desk.answers([short + b"\r\n", short])
    assert [len(desk.sheet([short]).new), len(desk.replies)] == [0, 1]


def test_a_line_waits_for_the_answer_to_its_twin_on_a_sheet_before() -> None:
    desk = answers.Desk({}, shipped_reference())
    rest = json.dumps(READY).encode().removeprefix(b'{"id": "ready"')
    unreadable = b', "setting": "ship"}'
    lines = [b'{"id": "%d"' % n + (rest if n % 2 else unreadable) + b"\n" for n in range(4)]
    sheets = [desk.sheet(lines[:2]), desk.sheet(lines[2:])]
    assert [len(sheet.new) for sheet in sheets] == [2, 0]
    told = [desk.told(sheet, [desk.worked_out(reply.line) for reply in sheet.new]) for sheet in sheets]
    assert [line for each in told for line in each.text.splitlines()] == one_by_one(lines)
    assert not any(each.readable for each in told)
    # What is none is not kept: it is worked out by whoever is free.
    assert [reply.shape for reply in desk.sheet(lines).new] == [unreadable]


def test_only_so_many_shapes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SHAPES_KEPT", 2)
    desk = answers.Desk({}, shipped_reference())
    lines = [
        json.dumps(READY | {"time_zone": zone}).encode() for zone in ("UTC", "America/Chicago", "UTC", "Asia/Tokyo")
    ]
    assert desk.answers(lines).text.splitlines() == one_by_one(lines)
    kept = [json.loads(b"{" + shape[1:])["time_zone"] for shape in desk.replies]
    assert kept == ["UTC", "Asia/Tokyo"], "what was asked for last"


@pytest.mark.django_db
def test_the_processes_go_by_the_rules_that_were_published_when_they_began(
    medicare: Payer,
) -> None:
    desk = answers.Desk({}, shipped_reference())
    with command._processes(desk, 1) as processes:
        Payer.objects.all().delete()
        line = json.dumps(READY | {"payer": "medicare"}).encode()
        assert processes.submit(command._worked_out, [line]).result() == [desk.worked_out(line)]
    assert list(desk.known) == ["medicare"]


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else None


@pytest.mark.parametrize(
    "value", ['\x00\x1f\x7f\u2028"\\/é\U0001f600', 10**30, -(2**63), True, None, {"b": [1, "a"], "a": {}}, nested(300)]
)
def test_what_is_written_quickly_is_what_json_writes(value: object) -> None:
    assert encoded({"id": value}) == ENCODE({"id": value})
