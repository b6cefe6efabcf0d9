"""What a claim asks for beside its lines: who the patient is, who insures them, who treats them, who sends the claim.

Each form is one row's columns. A number that carries a check digit, or a code of a fixed shape, is checked where it is
typed: a payer would only say so weeks later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.db.models import Model

from infusion.exchange.claim import npi_holds
from infusion.forms.fields import AmountField, DrugField, EntryField, SelectField
from infusion.forms.patient import BirthDateField, WordsField
from infusion.forms.record import MICROGRAM, TOO_FINE
from infusion.models import Authorization, Coverage, Provider
from infusion.models.people import SEXES
from infusion.reference_now import current_reference
from infusion.services.facts import DEPARTMENTS
from infusion.services.reference import Drug
from infusion.services.words import plain
from infusion.time_entry import EntryProblem, plain_text
from payers.forms import DayField, PageForm
from payers.models import Payer

# Two letters as the postal service writes them, with the territories and the addresses of the armed forces.
STATES = (
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR "
    "PA RI SC SD TN TX UT VT VA WA WV WI WY AS GU MP PR VI AA AE AP"
)
HALF, WHOLE = "col-12 col-sm-6", "col-12"


class ShapedField(EntryField):
    """A code of one shape, in capitals; spaces and hyphens that people type into it do not count."""

    def __init__(self, *, label: str, shape: str, advice: str, **kwargs: Any) -> None:
        self.shape, self.advice = re.compile(shape), advice
        super().__init__(label=label, **kwargs)

    def read(self, text: str) -> str | EntryProblem | None:
        entry = re.sub(r"[\s-]", "", plain_text(text)).upper()
        if not entry:
            return None
        if not self.shape.fullmatch(entry):
            return EntryProblem("shape", f"{self.label}: {self.advice}")
        return self.written(entry)

    def written(self, entry: str) -> str | EntryProblem:
        """The entry as it is kept."""
        return entry


class NpiField(ShapedField):
    """A National Provider Identifier: ten digits, of which the last one checks the others."""

    inputmode = "numeric"

    def __init__(self, *, label: str, **kwargs: Any) -> None:
        super().__init__(label=label, shape=r"[12][0-9]{9}", advice="write ten digits, the first a 1 or a 2.", **kwargs)

    def written(self, entry: str) -> str | EntryProblem:
        if npi_holds(entry):
            return entry
        wrong = f"{self.label}: {entry} fails its check digit, so a digit is mistyped. Compare it."
        return EntryProblem("check_digit", wrong)


class TaxIdField(ShapedField):
    """An employer identification number, kept with its hyphen."""

    inputmode = "numeric"

    def __init__(self, *, label: str, **kwargs: Any) -> None:
        super().__init__(label=label, shape=r"[0-9]{9}", advice="write nine digits, for example 12-3456789.", **kwargs)

    def written(self, entry: str) -> str | EntryProblem:
        return f"{entry[:2]}-{entry[2:]}"


class TaxonomyField(ShapedField):
    """A provider taxonomy code: what kind of provider someone is."""

    def __init__(self, *, label: str, **kwargs: Any) -> None:
        advice = "write its ten characters, for example 261QI0500X."
        super().__init__(label=label, shape=r"[0-9]{3}[0-9A-Z]{6}X", advice=advice, **kwargs)


class StateField(ShapedField):
    def __init__(self, *, label: str = "State", **kwargs: Any) -> None:
        super().__init__(label=label, shape=r"[A-Z]{2}", advice="write its two letters, for example NY.", **kwargs)

    def written(self, entry: str) -> str | EntryProblem:
        if entry in STATES.split():
            return entry
        return EntryProblem("unknown", f"{self.label}: {entry} is no state’s two letters. Compare them.")


class PostalCodeField(ShapedField):
    inputmode = "numeric"

    def __init__(self, *, label: str = "ZIP code", **kwargs: Any) -> None:
        advice = "write five digits or nine, for example 14604-1201."
        super().__init__(label=label, shape=r"[0-9]{5}(?:[0-9]{4})?", advice=advice, **kwargs)

    def written(self, entry: str) -> str | EntryProblem:
        return f"{entry[:5]}-{entry[5:]}" if len(entry) > 5 else entry


class PhoneField(ShapedField):
    inputmode = "tel"

    def __init__(self, *, label: str, **kwargs: Any) -> None:
        super().__init__(label=label, shape=r"[2-9][0-9]{9}", advice="write ten digits, area code first.", **kwargs)

    def read(self, text: str) -> str | EntryProblem | None:
        return super().read(re.sub(r"[().]", "", plain_text(text)))

    def written(self, entry: str) -> str | EntryProblem:
        return f"{entry[:3]}-{entry[3:6]}-{entry[6:]}"


class RowForm(PageForm):
    """One row's columns. `needed` says of a column what to enter, where the row is nothing without it."""

    needed: Mapping[str, str] = {}
    widths: Mapping[str, str] = {}
    sections: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __init__(self, data: Mapping[str, Any] | None = None, *, row: Model | None = None, **kwargs: Any) -> None:
        initial = {name: self.shown(getattr(row, name)) for name in self.base_fields} if row is not None else {}
        super().__init__(data, initial={**initial, **kwargs.pop("initial", {})}, **kwargs)

    @staticmethod
    def shown(value: Any) -> Any:
        """A stored value as its control holds it."""
        if isinstance(value, Payer):
            return value.slug
        if isinstance(value, Provider):
            return str(value.public_id)
        return value

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        for name, advice in self.needed.items():
            if name not in self.errors and not found.get(name):
                self.add_error(name, f"{self.fields[name].label}: {advice}")
        begins, ends = found.get("effective_from"), found.get("effective_until")
        if begins and ends and ends < begins:
            self.add_error("effective_until", "Last day: it lies before the first day. Correct one of them.")
        return found

    @property
    def values(self) -> dict[str, Any]:
        """What the row is to hold; a blank text is an empty one."""
        blank = {
            name: None if isinstance(field, DayField | BirthDateField | AmountField) or name in FOREIGN else ""
            for name, field in self.fields.items()
        }
        return {name: blank[name] if value in (None, "") else value for name, value in self.cleaned_data.items()}

    @property
    def groups(self) -> list[tuple[str, list[tuple[str, forms.BoundField]]]]:
        """The fields under their headings, each with how wide it is."""
        sections = self.sections or (("", tuple(self.fields)),)
        return [
            (title, [(self.widths.get(name, HALF), self[name]) for name in names if name in self.fields])
            for title, names in sections
        ]


FOREIGN = ("payer", "attending")
ADDRESS = ("address", "city", "state_code", "postal_code")
ADDRESS_WIDTHS = {"address": WHOLE, "city": HALF, "state_code": "col-5 col-sm-2", "postal_code": "col-7 col-sm-4"}


class AddressForm(RowForm):
    address = WordsField(label="Street", most=55)
    city = WordsField(label="City", most=30)
    state_code = StateField(attrs={"autocapitalize": "characters"})
    postal_code = PostalCodeField()


# The patient ----------------------------------------------------------------------------------------------------------


class NameForm(RowForm):
    """What a nurse may put right of who a patient is."""

    name = WordsField(label="Name as staff read it", most=120)
    family_name = WordsField(label="Family name", most=60, help_text="As the insurer has it.")
    given_name = WordsField(label="Given name", most=35, help_text="As the insurer has it.")
    birth_date = BirthDateField(label="Birth date")

    widths = {"name": WHOLE, "birth_date": HALF, **ADDRESS_WIDTHS}
    sections = (
        ("", ("name", "family_name", "given_name", "birth_date", "sex")),
        ("Address", ADDRESS),
    )

    def __init__(self, *args: Any, today: date = date.max, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(BirthDateField, self.fields["birth_date"]).today = today

    @property
    def groups(self) -> list[tuple[str, list[tuple[str, forms.BoundField]]]]:
        return [(title, fields) for title, fields in super().groups if fields]


class WhoForm(NameForm, AddressForm):
    """All of who a patient is."""

    sex = SelectField(label="Sex", choices=[("", "Not recorded"), *SEXES])


class CoverageForm(AddressForm):
    """A membership. Whose it is stands below it, where it is not the patient's own."""

    payer = SelectField(label="Payer", choices=[])
    member_id = ShapedField(
        label="Member ID", shape=r"[0-9A-Z]{2,30}", advice="write the letters and digits of the card, 30 at most."
    )
    group_number = WordsField(label="Group number", most=30, help_text="Blank where the card has none.")
    relationship = SelectField(label="Member is", choices=Coverage.Relationship.choices)
    effective_from = DayField(label="First day")
    effective_until = DayField(label="Last day", help_text="Blank: no end.")
    family_name = WordsField(label="Family name", most=60)
    given_name = WordsField(label="Given name", most=35)
    birth_date = BirthDateField(label="Birth date")
    sex = SelectField(label="Sex", choices=[("", "Not recorded"), *SEXES])

    needed = {
        "payer": "choose who insures the patient.",
        "member_id": "enter it as it stands on the card.",
        "relationship": "choose whose membership it is.",
        "effective_from": "enter the day from which it covers.",
    }
    widths = {"effective_from": HALF, **ADDRESS_WIDTHS}
    subscriber = ("family_name", "given_name", "birth_date", "sex", *ADDRESS)
    sections = (
        ("", ("payer", "member_id", "group_number", "relationship", "effective_from", "effective_until")),
        ("The member", subscriber),
    )

    def __init__(self, *args: Any, payers: Mapping[str, Payer], today: date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.payers = payers
        choose(self, "payer", {"": "Choose the payer", **{slug: payer.name for slug, payer in payers.items()}})
        cast(BirthDateField, self.fields["birth_date"]).today = today

    def clean(self) -> dict[str, Any]:
        found = super().clean()
        found["payer"] = self.payers.get(found.get("payer") or "")
        if found.get("relationship") == Coverage.Relationship.SELF:
            # The patient is the member, so the patient's own name counts and no second copy of it is kept.
            for name in self.subscriber:
                found[name] = None
                self.errors.pop(name, None)
        return found


class AuthorizationForm(RowForm):
    """A prior authorization."""

    payer = SelectField(label="Payer", choices=[])
    drug = DrugField(label="Drug", attrs={"list": "drugs"})
    number = WordsField(label="Number", most=30, help_text="As the payer wrote it.")
    dose_limit = AmountField(label="Up to (mg)", help_text="Of one visit. Blank where it names no dose.")
    effective_from = DayField(label="First day")
    effective_until = DayField(label="Last day", help_text="Blank: no end.")

    needed = {
        "payer": "choose who authorized it.",
        "drug": "choose what is authorized.",
        "number": "enter the number that the payer gave it.",
        "effective_from": "enter its first day.",
    }

    def __init__(self, *args: Any, payers: Mapping[str, Payer], today: date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.payers = payers
        choose(self, "payer", {"": "Choose the payer", **{slug: payer.name for slug, payer in payers.items()}})
        drug = cast(DrugField, self.fields["drug"])
        drug.reference, drug.on, drug.advice = current_reference(), today, "Choose one of the list, or enter its code."
        row = kwargs.get("row")
        if isinstance(row, Authorization):
            self.initial["dose_limit"] = "" if row.dose_limit is None else plain(row.dose_limit)

    def clean_drug(self) -> str:
        found = self.cleaned_data["drug"]
        return found.code if isinstance(found, Drug) else str(found or "")

    def clean_dose_limit(self) -> Decimal | None:
        limit: Decimal | None = self.cleaned_data["dose_limit"]
        if limit is not None and limit <= 0:
            self.add_error("dose_limit", "Up to (mg): a limit is more than 0. Leave it blank where there is none.")
        elif limit is not None and limit % MICROGRAM:
            self.add_error("dose_limit", TOO_FINE.format(label="Up to (mg)"))
        return limit

    def clean(self) -> dict[str, Any]:
        found = super().clean()
        found["payer"] = self.payers.get(found.get("payer") or "")
        return found


# The clinic -----------------------------------------------------------------------------------------------------------


class ProviderForm(RowForm):
    """Someone whose number stands on claims."""

    given_name = WordsField(label="Given name", most=35)
    family_name = WordsField(label="Family name", most=60)
    npi = NpiField(label="NPI")
    taxonomy = TaxonomyField(label="Taxonomy code", attrs={"autocapitalize": "characters"})
    left_on = DayField(label="Left on", help_text="Last day here. Blank: still here.")

    needed = {"family_name": "enter it as it is enrolled.", "npi": "enter the person’s own ten digits."}


class ClinicForm(AddressForm):
    """Who sends the clinic's claims, and to whom."""

    legal_name = WordsField(label="Legal name", most=60, help_text="As it is enrolled with payers.")
    npi = NpiField(label="NPI", help_text="The organization’s own.")
    tax_id = TaxIdField(label="Employer number (EIN)")
    taxonomy = TaxonomyField(label="Taxonomy code", attrs={"autocapitalize": "characters"})
    contact_name = WordsField(label="Contact for claims", most=60)
    contact_phone = PhoneField(label="Telephone")
    sender_id = ShapedField(
        label="Sender ID", shape=r"[0-9A-Z]{2,15}", advice="write its letters and digits, 15 at most.",
        help_text="Given to you by the clearinghouse.",
    )  # fmt: skip
    receiver_name = WordsField(label="Receiver", most=60, help_text="The clearinghouse, or the payer itself.")
    receiver_id = ShapedField(
        label="Receiver ID", shape=r"[0-9A-Z]{2,15}", advice="write its letters and digits, 15 at most."
    )
    sends_claims = forms.ChoiceField(
        label="What batches are for", widget=forms.RadioSelect(attrs={"class": "form-check-input"}), required=False,
        choices=[("yes", "This site sends its claims itself"), ("", "They feed a billing system that knows the rest")],
    )  # fmt: skip

    hospital_department = SelectField(
        label="Hospital department", choices=[("", "Not a department of a hospital"), *DEPARTMENTS.items()]
    )

    widths = {"legal_name": WHOLE, "sends_claims": WHOLE, **ADDRESS_WIDTHS}
    sections = (
        ("", ("sends_claims", "hospital_department")),
        ("Who bills", ("legal_name", "npi", "tax_id", "taxonomy")),
        ("Where", ADDRESS),
        ("Whom to ask", ("contact_name", "contact_phone")),
        ("Where claims go", ("sender_id", "receiver_name", "receiver_id")),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["postal_code"].help_text = "Payers ask for all nine digits of yours."
        if "sends_claims" in self.initial:
            self.initial["sends_claims"] = "yes" if self.initial["sends_claims"] else ""

    @property
    def values(self) -> dict[str, Any]:
        return {**super().values, "sends_claims": self.cleaned_data["sends_claims"] == "yes"}


# One encounter --------------------------------------------------------------------------------------------------------


class ClaimFactsForm(RowForm):
    """What a claim asks of one encounter beside its record."""

    attending = SelectField(label="Who treated", choices=[])
    trial_number = ShapedField(
        label="Clinical trial", shape=r"[0-9]{8}",
        advice="write the eight digits of its NCT number, without the letters.",
        help_text="Eight digits, only where a trial’s sponsor supplies the drug.", attrs={"inputmode": "numeric"},
    )  # fmt: skip

    bought_340b = forms.BooleanField(
        label="Bought at the 340B price", required=False, widget=forms.CheckboxInput({"class": "form-check-input"})
    )

    def __init__(self, *args: Any, providers: Iterable[Provider], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.providers = {str(provider.public_id): provider for provider in providers}
        names = {key: f"{provider}, NPI {provider.npi}" for key, provider in self.providers.items()}
        choose(self, "attending", {"": "Nobody chosen yet", **names})

    def clean(self) -> dict[str, Any]:
        found = super().clean()
        found["attending"] = self.providers.get(found.get("attending") or "")
        return found


def choose(form: forms.Form, name: str, choices: Mapping[str, str]) -> None:
    """Set what a select offers."""
    cast(forms.ChoiceField, form.fields[name]).choices = list(choices.items())
