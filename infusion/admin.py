"""People, roles and clinics, for superusers. Everything else has pages of its own.

Each write leaves its audit row in the transaction of the page; nobody is removed, only switched off.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from allauth.account import views as account
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Manager, Model, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils.decorators import method_decorator

from infusion import audit
from infusion.actions import drop_copies_of
from infusion.actions.claim_data import Changed
from infusion.documentation import CHOICES
from infusion.models import Clinic, User


class People(admin.AdminSite):
    """The Django admin behind the product's own sign-in."""

    site_title = site_header = "Infusion Units"
    index_title = "People and clinics"
    site_url = "/"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active and request.user.is_superuser

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next", "/admin/"), settings.LOGIN_URL)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return account.logout(request)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return redirect("account_change_password")


people = People(name="admin")
people.disable_action("delete_selected")


class ShownForm(forms.ModelForm):
    """A form that names what it was shown by a digest; where something else is stored by then, both are told apart."""

    shown = forms.CharField(required=False, widget=forms.HiddenInput)
    document_of: Callable[[Any], dict[str, Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["shown"].initial = self.digest()

    def digest(self) -> str:
        return audit.digest(audit.canonical(self.document_of(self.instance)))[:16]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk and cleaned.get("shown") != self.digest():
            changed = [name for name in self.changed_data if name != "shown"]
            data = cast(QueryDict, self.data).copy()
            data["shown"] = self.digest()
            self.data = data
            self.add_error(None, str(Changed(self.instance)))
            for name in changed:
                self.add_error(name, f"Stored by now: {self.stored_words(name)}.")
        return cleaned

    def stored_words(self, name: str) -> str:
        value = getattr(self.instance, f"get_{name}_display", lambda: getattr(self.instance, name))()
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list):
            labels = dict(getattr(self.fields[name], "choices", ()))
            value = [labels.get(each, each) for each in value]
        rows = value.all() if isinstance(value, Manager) else value if isinstance(value, list) else [value or ""]
        return ", ".join(map(str, rows)) or "nothing"


class Audited(admin.ModelAdmin):
    """Tells the audit what a page wrote, and writes nothing over what the page has not shown. Removes nothing."""

    subject = ""
    told: tuple[str, ...] = ()

    def document_of(self, row: Any) -> dict[str, Any]:
        return {name: getattr(row, name) for name in self.told}

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """What is written is the row as it is stored, locked."""
        row = super().get_object(request, object_id, from_field)
        if row is None or request.method != "POST":
            return row
        return self.model._default_manager.select_for_update(no_key=True).get(pk=row.pk)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        first, *others = super().get_fieldsets(request, obj)
        name, options = first
        return [(name, {**options, "fields": (*options["fields"], "shown")}), *others] if obj else [first, *others]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.document_of = self.document_of
        return form

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        if not change:
            form.document_before = None
            super().save_model(request, obj, form, change)
            return
        form.document_before = self.document_of(type(obj)._default_manager.get(pk=obj.pk))
        columns = {field.name for field in obj._meta.concrete_fields}
        obj.save(update_fields=[name for name in form.changed_data if name in columns])

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        self.tell(request, "save" if change else "add", form.instance, form.document_before)

    def tell(self, request: HttpRequest, verb: str, row: Any, before: dict[str, Any] | None) -> None:
        audit.record(
            f"{self.subject}.{verb}", by=request.user, subject=self.subject, subject_id=row.pk,
            clinic_id=row.pk if self.subject == "clinic" else row.clinic_id, before=before, after=self.document_of(row),
        )  # fmt: skip

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RolesField(forms.ModelMultipleChoiceField):
    """A number that no row can have is no choice; databases would call it an error of ours."""

    def clean(self, value: Any) -> Any:
        for each in value if isinstance(value, list | tuple) else ():
            if not re.fullmatch(r"[0-9]{1,9}", str(each)):
                raise ValidationError(
                    self.error_messages["invalid_choice"], "invalid_choice", {"value": str(each)[:20]}
                )
        return super().clean(value)


class PersonForm(ShownForm, UserChangeForm):
    """A person as they were shown."""


@admin.register(User, site=people)
class Persons(Audited, UserAdmin):
    subject = "user"
    form = PersonForm
    told = (
        "username", "first_name", "last_name", "credentials", "email", "clinic_id", "is_active", "is_superuser",
    )  # fmt: skip
    list_display = ("username", "signature", "clinic", "is_active")
    list_filter = ("clinic", "groups", "is_active")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Name on records", {"fields": ("first_name", "last_name", "credentials", "email")}),
        ("Work", {"fields": ("clinic", "groups", "is_active", "is_superuser")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "usable_password", "password1", "password2")}),
        ("Name on records", {"fields": ("first_name", "last_name", "credentials")}),
        ("Work", {"fields": ("clinic", "groups")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Programs stand on a page of their own; nobody signs in as one."""
        return super().get_queryset(request).filter(program=None)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, form_class=RolesField, **kwargs)

    def document_of(self, row: User) -> dict[str, Any]:
        return {**super().document_of(row), "groups": sorted(row.groups.values_list("name", flat=True))}

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if "clinic" in form.changed_data:
            drop_copies_of(form.instance)

    # The site itself wraps this page, and lets nobody but superusers in.
    user_change_password.admin_site = people  # type: ignore[attr-defined]

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The page that sets a password saves by itself and passes nowhere else."""
        if getattr(request.resolver_match, "url_name", "") == "auth_user_password_change":
            self.tell(request, "password", obj, self.document_of(obj))
        return super().log_change(request, obj, message)


class ClinicForm(ShownForm):
    """The checklist as boxes to tick; none ticked asks for all of it."""

    checklist = forms.MultipleChoiceField(
        label="Documentation", choices=CHOICES, required=False, widget=forms.CheckboxSelectMultiple,
        help_text="What nurses are asked to document. With no box ticked all of it is asked for.",
    )  # fmt: skip

    class Meta:
        model = Clinic
        fields = ("checklist",)


@admin.register(Clinic, site=people)
class Clinics(Audited):
    """How a clinic records. Its numbers for claims stand at /clinic/."""

    subject = "clinic"
    form = ClinicForm
    told = fields = (
        "name", "time_zone", "place_of_service", "setting", "drug", "asks_witness", "checklist",
    )  # fmt: skip
    list_display = ("name", "time_zone", "setting")


@admin.register(Group, site=people)
class Roles(GroupAdmin):
    """The three roles are looked at, not changed: the code asks for them by name."""

    fields = ("name",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
