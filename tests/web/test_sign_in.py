"""Signing in and out, and what each person then finds on every page."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from infusion.audit import AuditEvent
from infusion.models import Clinic, User

SIGN_IN = "/accounts/login/"


def words_of(page: bytes) -> str:
    """What a person reads of the main part."""
    return re.sub(r"<[^>]*>", " ", page.decode().partition("<main")[2])


def test_right_words_lead_to_the_encounters(client: Client, nurse: User, password: str) -> None:
    reply = client.post(SIGN_IN, {"login": "nurse", "password": password})
    assert (reply.status_code, reply["Location"]) == (302, "/encounters/")


def test_the_page_asked_for_comes_after_signing_in(client: Client, nurse: User, password: str) -> None:
    reply = client.post(f"{SIGN_IN}?next=/rules/", {"login": "nurse", "password": password, "next": "/rules/"})
    assert reply["Location"] == "/rules/"


def test_another_site_is_never_the_next_page(client: Client, nurse: User, password: str) -> None:
    reply = client.post(SIGN_IN, {"login": "nurse", "password": password, "next": "https://elsewhere.example/"})
    assert reply["Location"] == "/encounters/"


@pytest.mark.parametrize(
    ("login", "password", "told"),
    [
        ("nurse", "wrong", ["do not belong together"]),
        ("nobody", "wrong", ["do not belong together"]),
        ("", "", ["Username: enter", "Password: enter"]),
        ("nurse", "", ["Password: enter"]),
    ],
)
def test_what_is_wrong_is_said_at_the_top_and_at_the_field(
    client: Client, nurse: User, login: str, password: str, told: list[str]
) -> None:
    page = client.post(SIGN_IN, {"login": login, "password": password}).content.decode()
    assert "<title>Error: Sign in" in page
    assert "There is a problem" in page
    assert all(words in page for words in told)
    assert f'value="{login}"' in page or not login
    lower = words_of(page.encode()).lower()
    assert not [word for word in ("invalid", "please", "sorry", "required", "forbidden") if word in lower]


def test_a_person_who_was_switched_off_gets_no_further(client: Client, nurse: User, password: str) -> None:
    User.objects.update(is_active=False)
    reply = client.post(SIGN_IN, {"login": "nurse", "password": password}, follow=True)
    assert "_auth_user_id" not in client.session
    assert "switched off" in reply.content.decode()


def test_nobody_signs_up(client: Client, db: None) -> None:
    reply = client.post("/accounts/signup/", {"username": "new", "password1": "a-long-password-of-mine"})
    assert "People are added by an administrator" in reply.content.decode()
    assert not User.objects.exists()
    assert "signup" not in client.get(SIGN_IN).content.decode()


def test_signing_out_is_a_post_and_clears_the_browser(client: Client, nurse: User) -> None:
    client.force_login(nurse)
    asked = client.get("/accounts/logout/")
    assert "Sign out" in asked.content.decode()
    assert "_auth_user_id" in client.session
    reply = client.post("/accounts/logout/")
    assert reply["Clear-Site-Data"] == '"cache", "storage"'
    assert reply["Cache-Control"] == "no-store"
    assert "_auth_user_id" not in client.session


def test_pages_of_a_signed_in_person_are_not_kept(client: Client, nurse: User) -> None:
    assert "no-store" not in client.get("/").get("Cache-Control", "")
    assert "no-store" in client.get(SIGN_IN)["Cache-Control"]
    client.force_login(nurse)
    for address in ("/", "/rules/", "/accounts/password/change/", "/nowhere/"):
        assert client.get(address)["Cache-Control"] == "no-store", address


@pytest.mark.parametrize(
    ("role", "has", "lacks"),
    [
        ("nurse", ["Today", "New encounter"], ["Payers", "Worklist", "People"]),
        ("billing", ["Worklist", "Payers"], ["New encounter", "Today", "People"]),
        ("admin", ["Encounters", "Payers"], ["New encounter", "Today", "Worklist", "People"]),
    ],
)
def test_the_navigation_is_that_of_the_role(
    client: Client, clinic: Clinic, nurse: User, role: str, has: list[str], lacks: list[str]
) -> None:
    nurse.groups.set([Group.objects.get_or_create(name=role)[0]])
    client.force_login(nurse)
    head = client.get("/").content.decode().partition("<main")[0]
    assert all(f">{word}</a>" in head for word in [*has, "Calculator", "Rules and sources", "L. Ames, RN"])
    assert not [word for word in lacks if f">{word}</a>" in head]
    assert ">Sign in</a>" not in head


def test_a_visitor_is_offered_to_sign_in(client: Client, db: None) -> None:
    head = client.get("/").content.decode().partition("<main")[0]
    assert ">Sign in</a>" in head
    assert "Sign out" not in head
    assert "Today" not in head


def test_a_new_password_is_audited_and_used(client: Client, nurse: User, password: str) -> None:
    client.force_login(nurse)
    form = {"oldpassword": password, "password1": "four plain words here", "password2": "four plain words here"}
    reply = client.post("/accounts/password/change/", form)
    assert reply.status_code == 302
    nurse.refresh_from_db()
    assert nurse.check_password("four plain words here")
    event = AuditEvent.objects.get()
    assert (event.action, event.by, event.subject_id) == ("user.password", nurse, str(nurse.pk))
    assert "plain" not in event.content()


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({}, "Current password: enter"),
        ({"oldpassword": "x", "password1": "four plain words here", "password2": "four plain words here"}, "is not it"),
        ({"password1": "short", "password2": "short"}, "at least 12 characters"),
        ({"password1": "four plain words here", "password2": "four plain words her"}, "differs from the one above"),
    ],
)
def test_a_new_password_that_cannot_be_taken_is_explained(
    client: Client, nurse: User, password: str, form: dict[str, str], told: str
) -> None:
    client.force_login(nurse)
    reply = client.post("/accounts/password/change/", {"oldpassword": password, **form} if form else {})
    assert told in reply.content.decode()
    nurse.refresh_from_db()
    assert nurse.check_password(password)
    assert {event.action for event in AuditEvent.objects.all()} == ({"sign_in.refused"} if "not it" in told else set())


def test_guessing_is_slowed_down(client: Client, nurse: User, password: str, settings: Settings) -> None:
    """With a cache that remembers, the right password is refused after a handful of wrong ones."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "guess"}}
    cache.clear()
    for _ in range(5):
        client.post(SIGN_IN, {"login": "nurse", "password": "wrong"})
    reply = client.post(SIGN_IN, {"login": "nurse", "password": password})
    assert "_auth_user_id" not in client.session
    assert "Too many attempts" in reply.content.decode()
    cache.clear()
    client.post(SIGN_IN, {"login": "nurse", "password": password})
    assert "_auth_user_id" in client.session


def test_other_letters_for_a_name_give_no_further_tries(client: Client, admin_user: User, settings: Settings) -> None:
    """A database may take a dotless i and a long s for the letters that they become as capitals."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "letters"}}
    cache.clear()
    for login in ("admin", "ADMIN", "adm\u0131n", "ADM\u0131N", " Admin"):
        client.post(SIGN_IN, {"login": login, "password": "wrong"})
    reply = client.post(SIGN_IN, {"login": "adm\u0131n", "password": "wrong"})
    assert "Too many attempts" in reply.content.decode()
    cache.clear()


def test_what_happens_at_the_door_is_on_the_record(client: Client, nurse: User, password: str) -> None:
    """A name that nobody has is not written down: it may be a password in the wrong field."""
    for login, typed in (("nurse", "wrong-secret"), ("hunter2-secret", "x"), ("nurse", password)):
        client.post(SIGN_IN, {"login": login, "password": typed})
    client.post("/accounts/logout/")
    told = [(event.action, event.by_name, event.subject_id) for event in AuditEvent.objects.all()]
    assert told == [
        ("sign_in.refused", "", str(nurse.pk)), ("sign_in.refused", "", ""),
        ("sign_in.in", "nurse", str(nurse.pk)), ("sign_in.out", "nurse", str(nurse.pk)),
    ]  # fmt: skip
    assert not [event for event in AuditEvent.objects.all() if "secret" in event.content()]


@pytest.fixture
def counted(settings: Settings, db: None) -> Iterator[None]:
    """A cache that keeps what is counted, for this test alone."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "told"}}
    cache.clear()
    yield
    cache.clear()


@pytest.mark.usefixtures("counted")
def test_attempts_beyond_the_limit_leave_one_row(client: Client, nurse: User) -> None:
    for _ in range(9):
        client.post(SIGN_IN, {"login": "nurse", "password": "wrong"})
    limits = [event.after and event.after.get("limit") for event in AuditEvent.objects.all()]
    assert limits == [None] * 5 + [True]


@pytest.mark.usefixtures("counted")
def test_names_without_end_beyond_the_limit_of_an_address_leave_one_row(client: Client, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login_failed_from_address": "3/300s/ip"}
    for number in range(9):
        client.post(SIGN_IN, {"login": f"made-up{number}", "password": "wrong"})
    limits = [event.after and event.after.get("limit") for event in AuditEvent.objects.all()]
    assert limits == [None] * 3 + [True]


@pytest.mark.usefixtures("counted")
def test_the_current_password_is_guessed_no_more_often_than_at_the_door(client: Client, nurse: User) -> None:
    client.force_login(nurse)
    new = {"password1": "four plain words here", "password2": "four plain words here"}
    for number in range(6):
        page = client.post("/accounts/password/change/", {"oldpassword": f"guess {number}", **new})
    assert b"Too many" in page.content
    told = [(event.action, event.subject_id) for event in AuditEvent.objects.all()]
    assert told == [("sign_in.refused", str(nurse.pk))] * 5


@pytest.mark.usefixtures("counted")
def test_a_head_is_no_try_of_a_passkey(client: Client, settings: Settings) -> None:
    settings.MFA_RATE_LIMITS = {"webauthn_login": "1/m/ip"}
    address = "/accounts/you/passkeys/sign-in/"
    assert {client.head(address).status_code for _ in range(3)} == {405}
    assert client.post(address, {"credential": "{}"}).status_code != 429


def test_a_stranger_sends_no_large_file(client: Client, nurse: User) -> None:
    def sent() -> int:
        file = SimpleUploadedFile("a.csv", b"x" * 1_000_001)
        return client.post(SIGN_IN, {"login": "nurse", "file": file}).status_code

    assert sent() == 400
    client.force_login(nurse)
    assert sent() != 400
