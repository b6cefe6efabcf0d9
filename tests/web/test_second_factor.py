"""The second factor: how it is set up, asked for and taken away, and what opens without it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from infusion.audit import AuditEvent
from infusion.models import Clinic, User
from infusion.second_factor import Factors

SIGN_IN, YOU = "/accounts/login/", "/accounts/you/"
STEP = YOU + "second-factor/"
FORBIDDEN_WORDS = ("invalid", "please", "sorry", "required", "forbidden")


def code_of(secret: str, steps: int = 0) -> str:
    """What an app shows now, or some half minutes later."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


def with_app(person: User) -> str:
    secret = generate_totp_secret()
    TOTP.activate(person, secret)
    return secret


def actions() -> list[str]:
    return list(AuditEvent.objects.values_list("action", flat=True))


@pytest.fixture
def asked(settings: Settings) -> None:
    """As in production."""
    settings.SECOND_FACTOR_NEEDED = True


@pytest.fixture
def shared_cache(settings: Settings, db: None) -> Iterator[None]:
    """The cache of a server, which remembers what was spent."""
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "infusion_cache"}
    }
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def enter(client: Client, password: str) -> Callable[..., Any]:
    def sign_in(person: User, code: str = "", to: Client = client) -> Any:
        reply = to.post(SIGN_IN, {"login": person.username, "password": password})
        return to.post(STEP, {"code": code}) if code else reply

    return sign_in


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_a_password_alone_leads_to_the_second_step(client: Client, biller: User, enter: Any) -> None:
    secret = with_app(biller)
    assert enter(biller).headers["Location"] == STEP
    assert not signed_in(client)
    assert client.get("/encounters/").status_code == 302
    assert client.post(STEP, {"code": code_of(secret)}).headers["Location"] == "/encounters/"
    assert signed_in(client)
    told = AuditEvent.objects.get(action="sign_in.in")
    assert told.after is not None
    assert (told.by, told.after["with"]) == (biller, ["password", "totp"])


def test_a_wrong_code_is_told_at_its_field(client: Client, biller: User, enter: Any) -> None:
    secret = with_app(biller)
    page = enter(biller, code_of(secret, 9)).content.decode()
    assert "this is not the one that counts now" in page
    assert not signed_in(client)
    assert "sign_in.refused" in actions()
    words = re.sub(r"<[^>]*>", " ", page.partition("<main")[2]).lower()
    assert not [each for each in FORBIDDEN_WORDS if each in words]


def test_a_code_counts_once(biller: User, enter: Any, shared_cache: None) -> None:
    secret, first, second = with_app(biller), Client(), Client()
    code = code_of(secret, -1)
    enter(biller, code, first)
    assert signed_in(first)
    for typed in (code, f"{code[:3]} {code[3:]}", f"{code[:3]}-{code[3:]}"):
        enter(biller, typed, second)
        assert not signed_in(second), typed
    enter(biller, code_of(secret, 1), second)
    assert signed_in(second), "the next one does"


def test_a_code_counts_once_however_it_is_written(biller: User, enter: Any, shared_cache: None) -> None:
    secret, now = with_app(biller), (int(time.time()) // 30 + 1) * 30
    for seconds, opens in ((1, True), (40, False)):
        with time_machine.travel(now + seconds, tick=False):
            code = code_of(secret, 1 if opens else 0)
            client = Client()
            enter(biller, f"{code[:1]}{'-' * 40}{code[1:]}" if opens else code, client)
            assert signed_in(client) == opens


def test_a_stranger_cannot_use_up_the_tries_for_codes(biller: User, enter: Any, shared_cache: None) -> None:
    secret, own = with_app(biller), Client()
    for _ in range(6):
        Client().post(SIGN_IN, {"login": f"mfa-auth-user-{biller.pk}", "password": "wrong"})
    enter(biller, code_of(secret), own)
    assert signed_in(own)


def test_a_recovery_code_counts_once_and_is_told(biller: User, enter: Any) -> None:
    with_app(biller)
    code, other = RecoveryCodes.activate(biller).get_unused_codes()[:2]
    first, second = Client(), Client()
    enter(biller, code, first)
    assert signed_in(first)
    told = AuditEvent.objects.get(action="second_factor.recovery_code")
    assert told.after == {"left": 9}
    enter(biller, code, second)
    assert not signed_in(second)
    enter(biller, other, second)
    assert signed_in(second)
    assert code not in "".join(event.content() for event in AuditEvent.objects.all())


@pytest.mark.usefixtures("asked")
def test_setting_up_an_app_opens_the_rest(client: Client, biller: User, enter: Any) -> None:
    assert enter(biller).headers["Location"] == "/encounters/"
    assert client.get("/encounters/").headers["Location"] == YOU
    assert b"Set up a second factor to go on" in client.get(YOU).content
    page = client.get(YOU + "app/").content.decode()
    secret = re.search(r'class="secret">(\w+)<', page)
    assert secret
    assert 'src="data:image/svg+xml;base64,' in page
    before = client.session.session_key
    reply = client.post(YOU + "app/", {"code": code_of(secret[1])})
    assert reply.headers["Location"] == YOU + "recovery-codes/"
    assert client.session.session_key != before, "a new id for a session that may do more"
    assert len(re.findall(r"<li>\d{8}</li>", client.get(YOU + "recovery-codes/").content.decode())) == 10
    assert client.get("/encounters/").status_code == 200
    added = AuditEvent.objects.filter(action="second_factor.add")
    assert [event.after for event in added] == [{"kind": "totp"}, {"kind": "recovery_codes"}]
    assert {event.by for event in added} == {biller}


def test_a_failed_audit_row_keeps_the_factor_out(
    client: Client, biller: User, enter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(biller)
    page = client.get(YOU + "app/").content.decode()
    secret = re.search(r'class="secret">(\w+)<', page)
    assert secret

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the audit is away")

    monkeypatch.setattr("infusion.audit.record", broken)
    with pytest.raises(RuntimeError):
        client.post(YOU + "app/", {"code": code_of(secret[1])})
    assert not Authenticator.objects.exists()


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("username", ["billing", "admin", "root", "nurse"])
def test_whose_role_needs_one(
    username: str, client: Client, nurse: User, biller: User, admin_user: User, enter: Any, password: str
) -> None:
    User.objects.create_superuser("root", password=password)
    enter(User.objects.get(username=username))
    page = "/admin/" if username == "root" else "/encounters/"
    assert (client.get(page).status_code == 302) == (username != "nurse")


@pytest.mark.usefixtures("asked")
def test_the_last_one_of_a_role_that_needs_it_stays(client: Client, biller: User, enter: Any) -> None:
    secret = with_app(biller)
    enter(biller, code_of(secret))
    reply = client.post(YOU + "app/remove/", follow=True)
    assert b"Set up another second factor first" in reply.content
    assert Authenticator.objects.count() == 1


def test_a_nurse_may_take_it_away_again(client: Client, nurse: User, enter: Any) -> None:
    secret = with_app(nurse)
    enter(nurse, code_of(secret))
    assert client.get(YOU + "app/remove/").status_code == 200
    assert client.post(YOU + "app/remove/").status_code == 302
    assert not Authenticator.objects.exists()
    told = AuditEvent.objects.get(action="second_factor.remove")
    assert (told.by, told.before) == (nurse, {"kind": "totp"})


def test_changes_ask_again_after_a_while(client: Client, nurse: User, enter: Any, password: str) -> None:
    enter(nurse)
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= 301
    session.save()
    asks = client.get(YOU + "app/")
    assert asks.headers["Location"] == "/accounts/again/?" + urlencode({"next": YOU + "app/"})
    wrong = client.post(asks.headers["Location"], {"password": "wrong", "next": YOU + "app/"})
    assert b"Password: this is not it" in wrong.content
    right = client.post(asks.headers["Location"], {"password": password, "next": YOU + "app/"})
    assert right.headers["Location"] == YOU + "app/"
    assert client.get(YOU + "app/").status_code == 200


def test_recovery_codes_are_made_anew_and_downloaded(client: Client, nurse: User, enter: Any) -> None:
    secret = with_app(nurse)
    old = RecoveryCodes.activate(nurse).get_unused_codes()
    enter(nurse, code_of(secret))
    assert client.post(YOU + "recovery-codes/new/").status_code == 302
    new = client.get(YOU + "recovery-codes/file/")
    assert new.headers["Content-Disposition"].startswith("attachment")
    found = re.findall(r"^\d{8}$", new.content.decode(), re.MULTILINE)
    assert len(found) == 10
    assert not set(found) & set(old)


def test_secrets_are_not_readable_in_the_database(biller: User) -> None:
    secret = with_app(biller)
    RecoveryCodes.activate(biller)
    app, codes = Authenticator.objects.order_by("type")[::-1]
    assert secret not in str(app.data)
    assert Factors().decrypt(app.data["secret"]) == secret
    assert not re.fullmatch(r"[0-9a-f]{80}", codes.data["seed"])


def test_a_secret_of_a_lost_key_fits_no_code(biller: User, enter: Any, client: Client, settings: Settings) -> None:
    secret = with_app(biller)
    settings.SECRET_KEY = "another" * 10
    enter(biller, code_of(secret))
    assert not signed_in(client)


def test_a_copy_of_the_database_does_not_give_away_what_a_lost_key_left(biller: User, settings: Settings) -> None:
    with_app(biller)
    settings.SECRET_KEY = "another" * 10
    stored = Authenticator.objects.get().data["secret"]
    first, second = Factors().decrypt(stored), Factors().decrypt(stored)
    assert first != second
    assert format_hotp_value(hotp_value(first, 1)).isdigit(), "it is a secret like any other"


# Someone else knows the password --------------------------------------------------------------------------------------


def set_up_app(client: Client) -> str:
    secret = re.search(r'class="secret">(\w+)<', client.get(YOU + "app/").content.decode())
    assert secret
    client.post(YOU + "app/", {"code": code_of(secret[1])})
    return secret[1]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("username", ["admin", "nurse"])
def test_the_first_factor_ends_every_other_sign_in(username: str, admin_user: User, nurse: User, enter: Any) -> None:
    thief, own = Client(), Client()
    person = User.objects.get(username=username)
    enter(person, to=thief)
    enter(person, to=own)
    set_up_app(own)
    assert Authenticator.objects.filter(user=person, type=Authenticator.Type.TOTP).exists()
    assert own.get("/encounters/").status_code == 200, "the sign-in that set it up goes on"
    assert thief.get(YOU).headers["Location"].startswith(SIGN_IN)


@pytest.mark.usefixtures("asked")
def test_a_further_factor_ends_no_sign_in(biller: User, enter: Any) -> None:
    own, other = Client(), Client()
    enter(biller, to=own)
    secret = set_up_app(own)
    enter(biller, code_of(secret, 1), other)
    before = User.objects.get(pk=biller.pk).sign_ins_ended
    Authenticator.objects.create(user=biller, type=Authenticator.Type.WEBAUTHN, data={"name": "Desk"})
    assert User.objects.get(pk=biller.pk).sign_ins_ended == before
    assert other.get("/encounters/").status_code == 200


def without_an_answer(client: Client, person: User) -> None:
    """Signed in by the password, and the factor is there without its answer."""
    client.force_login(person)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time()}]
    session["account_authentication_methods_user"] = str(person.pk)
    session.save()


SETS_UP = ("app/", "app/remove/", "passkeys/add/", "recovery-codes/", "recovery-codes/file/", "recovery-codes/new/")


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("kind", ["totp", "webauthn"])
def test_without_its_answer_a_factor_leaves_only_the_pages_that_ask_for_it(
    client: Client, admin_user: User, kind: str
) -> None:
    if kind == "totp":
        with_app(admin_user)
    else:
        Authenticator.objects.create(user=admin_user, type=kind, data={"name": "Desk", "credential": {}})
    RecoveryCodes.activate(admin_user)
    before = Authenticator.objects.count()
    without_an_answer(client, admin_user)
    for each in SETS_UP:
        for method in (client.get, client.post):
            assert method(YOU + each).headers.get("Location") == YOU, each
    for address in ("/accounts/again/", "/encounters/", "/people/", "/admin/"):
        assert client.get(address).headers["Location"].startswith(YOU), address
    assert Authenticator.objects.count() == before
    page = client.get(YOU).content.decode().partition("<main")[2]
    assert "Enter a code" in page
    assert ("Use a passkey" in page) == (kind == "webauthn")
    assert "Set up" not in page
    assert "Show the codes" not in page
    assert client.post("/accounts/logout/").status_code == 302
    assert not signed_in(client)


@pytest.mark.usefixtures("asked")
def test_the_answer_opens_the_rest(client: Client, admin_user: User) -> None:
    secret = with_app(admin_user)
    without_an_answer(client, admin_user)
    page = client.get(YOU + "code-again/").content.decode()
    assert "/accounts/again/" not in page, "the password is no answer"
    assert client.post(YOU + "code-again/", {"code": code_of(secret)}).headers["Location"] == "/encounters/"
    assert client.get("/encounters/").status_code == 200
    assert "Show people" in client.get(YOU).content.decode()


# An admin resets it ---------------------------------------------------------------------------------------------------


def reset(client: Client, person: User, reason: str = "Telephone lost") -> Any:
    return client.post(f"/people/{person.public_id}/second-factor/", {"reason": reason})


def test_an_admin_resets_a_lost_one(client: Client, biller: User, admin_user: User, enter: Any) -> None:
    secret, theirs = with_app(biller), Client()
    enter(biller, code_of(secret), theirs)
    client.force_login(admin_user)
    page = client.get("/people/").content.decode()
    assert f'href="/people/{biller.public_id}/second-factor/"' in page
    assert b"Reason: say why" in reset(client, biller, " ").content
    assert Authenticator.objects.exists()
    assert reset(client, biller).headers["Location"] == "/people/"
    assert not Authenticator.objects.exists()
    told = AuditEvent.objects.get(action="second_factor.reset")
    assert (told.by, told.subject_id, told.reason) == (admin_user, str(biller.pk), "Telephone lost")
    assert theirs.get("/encounters/").status_code == 302, "every sign-in of theirs has ended"


def test_whose_second_factor_an_admin_cannot_reset(
    client: Client, admin_user: User, other_nurse: User, clinic: Clinic, password: str
) -> None:
    root = User.objects.create_superuser("root", password=password, clinic=clinic)
    for person in (admin_user, other_nurse, root):
        with_app(person)
    client.force_login(admin_user)
    assert reset(client, other_nurse).status_code == 404, "another clinic's people do not exist here"
    assert b"on the page of your sign-in" in reset(client, admin_user).content
    assert b"Only another superuser" in reset(client, root).content
    assert Authenticator.objects.count() == 3
    client.force_login(root)
    assert reset(client, other_nurse).status_code == 302


@pytest.mark.parametrize("answer", ["9" * 5_000, '{"id": ' + "9" * 5_000 + "}", "[" * 100_000, "{", "null"])
@pytest.mark.parametrize("page", ["mfa_login_webauthn", "mfa_add_webauthn"])
def test_what_is_no_answer_of_a_passkey_is_refused_in_words(
    client: Client, nurse: User, password: str, page: str, answer: str
) -> None:
    if page == "mfa_add_webauthn":
        client.post(reverse("account_login"), {"login": "nurse", "password": password})
    reply = client.post(reverse(page), {"credential": answer, "name": "Mine"}, follow=True)
    assert reply.status_code == 200
    assert not Authenticator.objects.exists()
