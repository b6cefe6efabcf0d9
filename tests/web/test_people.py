"""The superuser's pages for people and clinics: who gets in, and that each write leaves its audit row."""

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client

from infusion.audit import AuditEvent
from infusion.models import Clinic, User
from tests.web.page import Page


@pytest.fixture
def root(client: Client, db: None) -> User:
    user = User.objects.create_superuser("root", password="a-long-password-of-mine")
    assert [(event.action, event.by) for event in told()] == [("user.add", None)], "on the command line, by nobody"
    client.force_login(user)
    return user


def told(after: int = 0) -> list[AuditEvent]:
    """What the record tells, after so many events."""
    return list(AuditEvent.objects.order_by("sequence")[after:])


def test_only_superusers_get_in(client: Client, admin_user: User) -> None:
    assert client.get("/admin/", follow=True).redirect_chain[-1] == ("/accounts/login/?next=/admin/", 302)
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/accounts/login/?next=/admin/"
    client.force_login(admin_user)
    assert client.get("/admin/", follow=True).status_code == 403
    User.objects.update(is_staff=True)
    assert client.get("/admin/infusion/user/", follow=True).status_code == 403


def fields_in(reply: HttpResponse) -> dict[str, str]:
    """What the page of a row would send, a digest of what it shows among it."""
    return next(form.fields for form in Page(reply.content).forms.values() if "shown" in form.fields)


def shown(client: Client, address: str) -> dict[str, str]:
    return {"shown": fields_in(client.get(address))["shown"]}


def test_a_person_is_added_and_changed_with_an_audit_row_each(client: Client, root: User, clinic: Clinic) -> None:
    nurse, billing = (Group.objects.get_or_create(name=name)[0] for name in ("nurse", "billing"))
    form = {
        "username": "kim", "usable_password": "true", "password1": "four plain words here",
        "password2": "four plain words here", "clinic": clinic.pk, "groups": [nurse.pk], "credentials": "RN",
    }  # fmt: skip
    assert client.post("/admin/infusion/user/add/", form).status_code == 302
    kim = User.objects.get(username="kim")
    [added] = told(1)
    assert (added.action, added.by, added.before, added.clinic_id) == ("user.add", root, None, clinic.pk)
    assert added.after is not None
    assert (added.after["username"], added.after["groups"]) == ("kim", ["nurse"])
    assert not kim.is_superuser
    change = {"username": "kim", "clinic": clinic.pk, "groups": [billing.pk], "credentials": "RN"}
    address = f"/admin/infusion/user/{kim.pk}/change/"
    assert client.post(address, {**change, **shown(client, address)}).status_code == 302
    saved = AuditEvent.objects.last()
    assert saved is not None
    assert saved.before is not None
    assert saved.after is not None
    assert (saved.action, saved.before["groups"], saved.after["groups"]) == ("user.save", ["nurse"], ["billing"])
    assert (saved.before["is_active"], saved.after["is_active"]) == (True, False)


def test_a_password_given_anew_is_audited_without_it(client: Client, root: User, nurse: User) -> None:
    form = {"usable_password": "true", "password1": "four plain words here", "password2": "four plain words here"}
    assert client.post(f"/admin/infusion/user/{nurse.pk}/password/", form).status_code == 302
    nurse.refresh_from_db()
    assert nurse.check_password("four plain words here")
    [event] = told(1)
    assert (event.action, event.by, event.subject_id) == ("user.password", root, str(nurse.pk))
    assert "plain" not in event.content()
    assert nurse.password not in event.content()


def test_no_command_sets_one_behind_the_audit(root: User) -> None:
    with pytest.raises(CommandError, match="break_glass --person root"):
        call_command("changepassword", "root")
    root.refresh_from_db()
    assert root.check_password("a-long-password-of-mine")


def test_a_clinic_is_added_and_changed_with_an_audit_row_each(client: Client, root: User) -> None:
    form = {"name": "Lakeside", "time_zone": "America/Chicago", "place_of_service": "11", "setting": "office"}
    assert client.post("/admin/infusion/clinic/add/", form).status_code == 302
    clinic = Clinic.objects.get()
    address = f"/admin/infusion/clinic/{clinic.pk}/change/"
    client.post(address, {**form, "name": "Lakeside North", **shown(client, address)})
    found = [(event.action, event.clinic_id, event.after["name"]) for event in told(1) if event.after]
    assert found == [("clinic.add", clinic.pk, "Lakeside"), ("clinic.save", clinic.pk, "Lakeside North")]


def test_an_old_page_switches_nobody_on_again(client: Client, root: User, nurse: User) -> None:
    address = f"/admin/infusion/user/{nurse.pk}/change/"
    page = fields_in(client.get(address))
    User.objects.filter(pk=nurse.pk).update(is_active=False)
    for old in (page, {**page, "shown": ""}):
        reply = client.post(address, {**old, "credentials": "BSN"})
        text = reply.content.decode()
        assert "Someone else has changed this meanwhile." in text
        assert "Stored by now: no." in text
        nurse.refresh_from_db()
        assert not nurse.is_active
        assert told(1) == []
    again = fields_in(reply)
    assert (again["credentials"], again["is_active"]) == ("BSN", "on"), "what was typed stays"
    del again["is_active"]
    assert client.post(address, again).status_code == 302
    nurse.refresh_from_db()
    assert (nurse.is_active, nurse.credentials) == (False, "BSN")


def test_an_old_page_gives_no_role_back(client: Client, root: User, nurse: User) -> None:
    address = f"/admin/infusion/user/{nurse.pk}/change/"
    page = fields_in(client.get(address))
    nurse.groups.clear()
    assert "Stored by now: nothing." in client.post(address, page).content.decode()
    assert not nurse.groups.exists()


def test_an_old_page_sets_nothing_of_a_clinic_back(client: Client, root: User, clinic: Clinic) -> None:
    address = f"/admin/infusion/clinic/{clinic.pk}/change/"
    page = fields_in(client.get(address))
    assert not {"npi", "tax_id"} & set(page)
    Clinic.objects.filter(pk=clinic.pk).update(place_of_service="22", npi="1234567893", checklist=["access_site"])
    told = client.post(address, page).content.decode()
    assert "Stored by now: 22" in told
    assert "Stored by now: Access site." in told
    page = fields_in(client.get(address))
    assert client.post(address, {**page, "name": "Lakeside"}).status_code == 302
    clinic.refresh_from_db()
    assert (clinic.name, clinic.place_of_service, clinic.npi) == ("Lakeside", "22", "1234567893")


@pytest.mark.parametrize("role", [str(2**63), "9" * 5_000, "-1", "x"])
def test_a_role_that_there_cannot_be_is_no_choice(client: Client, root: User, role: str) -> None:
    form = {"username": "kim", "usable_password": "false", "groups": [role]}
    reply = client.post("/admin/infusion/user/add/", form)
    assert reply.status_code == 200
    assert "groups" in reply.context["adminform"].form.errors
    assert not User.objects.filter(username="kim").exists()


@pytest.mark.parametrize("zone", ["office", "localtime", "../../etc/passwd", "25:00", "America/Nowhere"])
def test_a_clinic_has_a_time_zone_that_there_is(client: Client, root: User, clinic: Clinic, zone: str) -> None:
    form = {"name": "Lakeside", "time_zone": zone, "place_of_service": "11", "setting": "office"}
    reply = client.post(f"/admin/infusion/clinic/{clinic.pk}/change/", form)
    assert reply.status_code == 200
    assert reply.context["errors"]
    assert Clinic.objects.get().time_zone == "America/New_York"


def test_nobody_is_removed_and_no_role_changed(client: Client, root: User, nurse: User, clinic: Clinic) -> None:
    role = Group.objects.get(name="nurse")
    for address in (
        f"/admin/infusion/user/{nurse.pk}/delete/",
        f"/admin/infusion/clinic/{clinic.pk}/delete/",
        f"/admin/auth/group/{role.pk}/delete/",
        "/admin/auth/group/add/",
    ):
        assert client.post(address, {"post": "yes"}).status_code == 403, address
    client.post("/admin/infusion/user/", {"action": "delete_selected", "_selected_action": nurse.pk, "post": "yes"})
    assert client.post(f"/admin/auth/group/{role.pk}/change/", {"name": "x"}).status_code == 403
    assert User.objects.filter(pk=nurse.pk).exists()
    assert Group.objects.get(pk=role.pk).name == "nurse"
    assert told(1) == []


@pytest.mark.parametrize("model", ["infusion/encounter", "infusion/auditevent", "payers/payer", "account/emailaddress"])
def test_nothing_else_is_there(client: Client, root: User, model: str) -> None:
    assert client.get(f"/admin/{model}/").status_code == 404
    assert client.get("/admin/").status_code == 200
