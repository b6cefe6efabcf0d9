"""R21: files made to choke whoever reads them, to every page that takes one."""

from __future__ import annotations

import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory
from django.urls import resolve, reverse
from pytest_django import Settings

from infusion import fee_file
from infusion.edit_file import read_edit_files
from infusion.exchange.encounter_csv import read_csv
from infusion.exchange.fhir_in import read_fhir
from infusion.exchange.hl7_in import read_hl7
from infusion.services.reference import shipped_reference
from payers.forms import LARGEST_PACK
from payers.pack import read_pack
from tests.prove.conftest import Prove
from tests.prove.prove_any_input import Watch
from tests.prove.prove_any_input import watch as watch
from tests.prove.stored import changed, stored
from tests.prove.table import size
from tests.web.access_table import ADMIN
from tests.web.conftest import House
from tests.web.page import Page

MEGABYTE = 1_000_000
LONGEST = 1  # seconds of processor time for one file
FEES = b"Code,Rate\n"
ENCOUNTERS = b"patient,encounter,drug,route\n"
LIMITS = b"HCPCS/CPT Code,Practitioner Services MUE Values,MUE Adjudication Indicator,MUE Rationale\n"


def zipped() -> bytes:
    held = BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", b"0" * 10 * MEGABYTE)
    return held.getvalue()


def many(part: bytes, count: int) -> bytes:
    return part * count


def corpus() -> Iterator[tuple[str, str, bytes]]:
    """What it is, its name, its bytes."""
    for name, head in (("fees", FEES), ("limits", LIMITS)):
        yield f"{name}: a cell of 10 MB", "x.csv", head + b"J2350," + b"9" * 10 * MEGABYTE
        yield f"{name}: 1,000,000 columns", "x.csv", head.strip() + many(b",x", MEGABYTE) + b"\nJ2350,1\n"
        yield f"{name}: a million columns in a row", "x.csv", head + b"J2350" + many(b",1", MEGABYTE) + b"\n"
        yield f"{name}: a quotation mark that is never closed", "x.csv", head + b'"J2350,' + many(b"1\n", MEGABYTE)
        yield f"{name}: quotation marks alone", "x.csv", head + many(b'"', 2 * MEGABYTE)
        yield f"{name}: a zero byte", "x.csv", head + b"J2350\x00,1\n"
        yield f"{name}: UTF-16", "x.csv", (head + b"J2350,1\n").decode().encode("utf-16")
        yield f"{name}: UTF-32", "x.csv", (head + b"J2350,1\n").decode().encode("utf-32")
        yield f"{name}: 100,000 rows that cannot be read", "x.csv", head + many(b"J2350,x,y,z\n", 100_000)
        yield f"{name}: 3 MB of blank lines", "x.csv", head + many(b"\n", 3 * MEGABYTE)
        yield f"{name}: carriage returns alone", "x.csv", head + many(b"\r", 3 * MEGABYTE)
        yield f"{name}: no line at all", "x.csv", b"a" * 3 * MEGABYTE
        yield f"{name}: strange digits", "x.csv", head + "J٢٣٥٠,١\n".encode()
        yield f"{name}: a number of 100,000 digits", "x.csv", head + b"J2350," + b"1" * 100_000 + b",2,z\n"
        yield f"{name}: exponents", "x.csv", head + many(b"J2350,1e999999,2,z\n", 1000)
    for what, content in (
        ("a cell of 10 MB", b"P1,V1,J2350," + b"9" * 10 * MEGABYTE), ("a zero byte", b"P1\x00,V1,J2350,oral"),
        ("a million columns in a row", b"P1,V1" + many(b",1", MEGABYTE)), ("Latin-1", b"Nu\xf1ez,V1,J2350,oral"),
        ("a quotation mark that is never closed", b'"P1,' + many(b"1\n", MEGABYTE)),
        ("quotation marks alone", many(b'"', MEGABYTE)),
    ):  # fmt: skip
        yield f"encounters: {what}", "x.csv", ENCOUNTERS + content
    yield "messages: 3 MB of one segment", "x.hl7", b"MSH|^~\\&|" + many(b"|", 3 * MEGABYTE)
    wide = b"MSH|^~\\&|\r" + many(b"OBX|" + many(b"|", 100_000) + b"\r", 30)
    yield "messages: one of many wide segments", "x.hl7", wide
    yield "a bundle of 20 MB of lists", "x.json", b'{"entry":[' + many(b"[],", 6_666_000) + b"[]]}"
    yield "a bundle of brackets", "x.json", b'{"entry":' + many(b"[", 900_000)
    yield "a bundle of numbers", "x.json", b'{"entry":[' + many(b"1e999999,", 100_000) + b"1]}"
    yield "nothing", "x.csv", b""
    yield "blanks", "x.csv", b" \n\t"
    yield "a mark and nothing", "x.csv", b"\xef\xbb\xbf"
    yield "an archive by another name", "x.csv", zipped()
    yield "a workbook of old", "x.csv", b"\xd0\xcf\x11\xe0" + bytes(1000)
    yield "a name that climbs", "../../../tmp/x.csv", b"\x00"
    yield "a name with a zero byte", "x\x00.csv", b"\x00"
    yield "a picture", "x.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100
    yield "a million brackets", "x.toml", b"a = " + many(b"[", 900_000)
    yield "brackets that close", "x.toml", b"a = " + many(b"[", 5_000) + many(b"]", 5_000)
    yield "braces", "x.toml", b"a = " + many(b"{a=", 200_000)
    yield "a name of 100,000 parts", "x.toml", many(b"a.", 100_000) + b"a = 1"
    yield "100,000 tables", "x.toml", many(b"[[payer]]\n", 90_000)
    yield "a table of 50,000 parts", "x.toml", b"[" + many(b"a.", 50_000) + b"a]"
    yield "a number of 900,000 digits", "x.toml", b"a = " + b"9" * 900_000
    yield "a text without an end", "x.toml", b'a = """' + b"x" * 900_000
    yield "a day that is none", "x.toml", b"a = 2026-99-99"


UPLOADS = {
    "fee-load": {"name": "x", "source": "x", "effective_from": "2026-01-01", "payer": "medicare"},
    "tables-load": {"kind": "mue", "claims": "practitioner", "quarter": "2026Q1", "source": "CMS"},
    "payers:pack": {},
    "imports": {},
}


def megabytes_to_read(content: bytes) -> float:
    """The most that any of the readers holds at once for a file."""
    tracemalloc.start()
    readers: list[Callable[[], object]] = [
        lambda: fee_file.read_fee_file(content),
        lambda: read_edit_files("mue", "practitioner", "2026Q1", [BytesIO(content)]),
        lambda: read_csv(BytesIO(content), "America/New_York"),
        lambda: read_fhir(BytesIO(content), "America/New_York", shipped_reference()),
        lambda: read_hl7(BytesIO(content), "America/New_York", shipped_reference()),
        lambda: len(content) <= LARGEST_PACK and read_pack(content.decode("utf-8-sig")),
    ]
    for read in readers:
        with suppress(ValueError):
            read()
    most = tracemalloc.get_traced_memory()[1] / MEGABYTE
    tracemalloc.stop()
    return most


@pytest.mark.proves("R21")
@pytest.mark.usefixtures("no_touch_is_written")
def test_files_that_choke_are_refused(
    house: House, settings: Settings, tmp_path: Path, watch: Watch, prove: Prove
) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    client = Client(raise_request_exception=False)
    client.force_login(house.people[ADMIN])
    files = list(corpus())[:: 1 if size(0, 1) else 11]
    before, wrong, slowest, tried = stored(), [], (0.0, ""), 0
    for name, more in UPLOADS.items():
        forms = Page(client.get(reverse(name)).content).forms.values()
        fields = {**next(form.fields for form in forms if "file" in form.fields), **more}
        for what, file_name, content in files:
            watch.problem, seconds = "", []
            # A file that chokes its reader does so each time; a pause of the suite's own does not come again.
            for _ in range(3):
                began = time.thread_time()
                reply = client.post(reverse(name), {**fields, "file": SimpleUploadedFile(file_name, content)})
                seconds.append(time.thread_time() - began)
                if seconds[-1] <= LONGEST or reply.status_code == 302:
                    break
            slowest = max(slowest, (min(seconds), f"{what} to {name}"))
            tried += 1
            if reply.status_code == 302:
                # What was looked at has a page of its own, and is thrown away.
                look = resolve(reply["Location"]).kwargs
                reply = client.get(reply["Location"])
                client.post(reverse("import-throw-away", kwargs=look))
            told = reply.status_code != 200 or any(each in reply.content for each in (b"issue", b"alert", b"left out"))
            if not told:
                wrong.append(f"{what} to {name}: nothing told")
            if reply.status_code not in (200, 400, 413, 422) or b'value="confirm"' in reply.content:
                wrong.append(f"{what} to {name}: {reply.status_code} {watch.problem}")
    grown, left = max(megabytes_to_read(content) for _, _, content in files), list(tmp_path.iterdir())
    same = changed(before, stored())
    prove(
        "R21", f"every one refused or told by rows, within {LONGEST} s and 100 MB, and no file kept",
        f"{tried - len(wrong)} of {tried} ({len(files)} files to {len(UPLOADS)} pages), slowest {slowest[0]:.2f} s of "
        f"processor time ({slowest[1]}), at most {grown:.0f} MB to read one, {len(left)} files kept"
        + "".join(f"; {each}" for each in wrong[:5]),
        not wrong and not same and not left and slowest[0] <= LONGEST and grown <= 100,
    )  # fmt: skip


@pytest.mark.proves("R21")
def test_a_gigabyte_is_refused_by_its_announced_length(house: House, prove: Prove) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(house.people[ADMIN])
    statuses = [
        client.generic(
            "POST", reverse(name), b"--b", content_type="multipart/form-data; boundary=b", CONTENT_LENGTH="1000000000"
        ).status_code
        for name in UPLOADS
    ]
    prove("R21", "", f"a gigabyte: {statuses}", statuses == [400] * len(UPLOADS))


def test_a_reader_without_limits_would_be_seen(
    house: House, monkeypatch: pytest.MonkeyPatch, rf: RequestFactory
) -> None:
    """The fee page takes what it is allowed to: the limit on rows is what refuses."""
    content = FEES + b"".join(b"J%04d,1\n" % number for number in range(50))
    monkeypatch.setattr(fee_file, "MOST_ROWS", 10)
    with pytest.raises(fee_file.UnreadableFile, match="more than 10 rows"):
        fee_file.read_fee_file(content)
    monkeypatch.setattr(fee_file, "MOST_ROWS", 1000)
    assert len(fee_file.read_fee_file(content).rates) == 50
