"""A server refuses to start unsafely, and says what to do about it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = {
    "INFUSION_SECRET_KEY": "0123456789abcdef" * 4,
    "INFUSION_HOSTS": "infusion.example",
    "DATABASE_URL": "postgres://app@127.0.0.1/app",
}
QUESTION = (
    "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'infusion.settings'; from django.conf import settings as s; "
    "print(s.DEBUG, s.ALLOWED_HOSTS, s.SESSION_COOKIE_SECURE, s.SECURE_SSL_REDIRECT, s.SESSION_COOKIE_NAME)"
)


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    """The settings as a server without any INFUSION_MODE reads them."""
    return subprocess.run(
        [sys.executable, "-c", QUESTION],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", COMPLETE)
def test_production_names_the_variable_that_is_missing(name: str) -> None:
    result = start(**{key: value for key, value in COMPLETE.items() if key != name})
    assert result.returncode != 0
    assert f"The environment variable {name} is not set." in result.stderr


def test_production_refuses_a_short_key() -> None:
    result = start(**COMPLETE | {"INFUSION_SECRET_KEY": "k" * 49})
    assert "INFUSION_SECRET_KEY is shorter than 50 characters" in result.stderr


@pytest.mark.parametrize(
    ("mode", "where", "starts"),
    [(0o440, "", True), (0o444, "", False), (0o440, "deeper", False), (0o440, None, False), (0o400, None, True)],
)
def test_a_key_file_is_for_its_owner_and_a_credential_of_systemd_for_whoever_it_lets_in(
    tmp_path: Path, mode: int, where: str | None, starts: bool
) -> None:
    """systemd gives a credential to the service's user by an access list, which shows as the group's right to read."""
    file = tmp_path / (where or "") / "secret_key"
    file.parent.mkdir(exist_ok=True)
    file.write_text(COMPLETE["INFUSION_SECRET_KEY"])
    file.chmod(mode)
    folder = {} if where is None else {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    result = start(**COMPLETE | {"INFUSION_SECRET_KEY": "", "INFUSION_SECRET_KEY_FILE": str(file)} | folder)
    assert (result.returncode == 0) is starts, result.stderr
    assert starts or f"Run: chmod 600 {file}" in result.stderr


def test_an_unknown_mode_is_refused() -> None:
    assert "Set it to production, demo or test." in start(**COMPLETE, INFUSION_MODE="debug").stderr


def test_complete_production_is_strict() -> None:
    result = start(**COMPLETE)
    assert result.stdout.strip() == "False ['infusion.example'] True True __Host-sessionid", result.stderr


def test_the_configuration_page_names_every_variable_and_no_other() -> None:
    name = r"\b(?:INFUSION_[A-Z_]+|DATABASE_URL)\b"
    read = set(re.findall(name, (ROOT / "infusion/settings.py").read_text()))
    told = set(re.findall(name, (ROOT / "docs/configuration.md").read_text()))
    assert told == read


def test_the_demo_answers_to_this_machine_only() -> None:
    result = start(INFUSION_MODE="demo")
    assert result.stdout.strip() == "False ['127.0.0.1', 'localhost', '[::1]'] False False sessionid", result.stderr


def test_a_shell_with_the_site_s_key_is_not_taken_for_the_demo() -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "INFUSION_SECRET_KEY": COMPLETE["INFUSION_SECRET_KEY"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "The environment variable INFUSION_HOSTS is not set." in result.stderr
