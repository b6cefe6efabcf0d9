"""The shapes that the description tells of. What is sent is read by the contract's own reader, not by these."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field, TypeAdapter, WithJsonSchema

from infusion.exchange.incoming import LONGEST
from infusion.services.facts import ACQUIRED, DEPARTMENTS, PURPOSES, ROUTES
from payers.policy import DISCARD_REASONS, SETTINGS

Text = str | None
EXACT = {"anyOf": [{"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$"}, {"type": "number"}]}
Exactly = Annotated[Decimal, WithJsonSchema(EXACT)]
Amount = Exactly | None
Moment = Field(None, description="2026-03-10T09:00 on the encounter's clock, or with its offset.")
Milligrams = Field(None, description="Milligrams, exactly: “280.4”.")
Route = Annotated[str, WithJsonSchema({"type": "string", "enum": [*ROUTES]})]
Setting = Annotated[str, WithJsonSchema({"type": "string", "enum": [*SETTINGS]})]
Purpose = Annotated[str, WithJsonSchema({"type": "string", "enum": [*PURPOSES]})]
Acquired = Annotated[str, WithJsonSchema({"type": "string", "enum": [*ACQUIRED]})]
Reason = Annotated[str, WithJsonSchema({"type": "string", "enum": [*DISCARD_REASONS]})]
Department = Annotated[str, WithJsonSchema({"type": "string", "enum": [*DEPARTMENTS]})]


# In -------------------------------------------------------------------------------------------------------------------


class Exact(Schema):
    """No field but those named: a misspelt one could hide a pause or a discard."""

    model_config = ConfigDict(extra="forbid")


class Period(Exact):
    start: Text = Moment
    stop: Text = Moment


class Vial(Exact):
    amount: Exactly = Field(description="Labelled milligrams of one.")
    count: int = Field(1, ge=-999, le=999)
    single_dose: bool | None = Field(None, description="As the drug is sold, if it is not said.")
    ndc: Text = None
    lot: Text = None
    expires: date | None = None


class Discard(Exact):
    amount: Exactly = Field(description="Milligrams.")
    reason: Reason


class Administration(Exact):
    id: Text = Field(None, description="Yours; a1, a2 and on if it is not said.")
    drug: Text = Field(None, description="The code of the drug; none for hydration.")
    route: Route
    order: Text = Field(None, description="Administrations of one order are one infusion.")
    access: Text = Field(None, description="Vascular access site; the first if it is not said.")
    access_reason: Text = Field(None, description="Why a second site was medically necessary.")
    purpose: Purpose | None = Field(None, description="Of hydration.")
    primary: bool | None = Field(None, description="The reason for the visit.")
    acquired: Acquired | None = None
    bought_340b: bool | None = None
    start: Text = Moment
    stop: Text = Moment
    pauses: list[Period] | None = None
    ordered: Amount = Milligrams
    administered: Amount = Milligrams
    vials: list[Vial] | None = None
    discards: list[Discard] | None = None


class PastDose(Exact):
    date_of_service: date
    drug: str
    administered: Exactly


class Encounter(Exact):
    """One visit, with nothing that names the patient."""

    id: str | int | None = None
    payer: Text = Field(None, description="Short name of a payer here; the national baseline if it is not said.")
    policy: dict[str, Any] | None = Field(None, description="Parameters laid over the payer's rules.")
    date_of_service: date | None = Field(None, description="The local date of the earliest start if it is not said.")
    time_zone: Text = Field(None, description="An IANA name; the clinic's if it is not said.")
    setting: Setting
    diagnoses: list[str] | None = None
    visit: Period | None = Field(None, description="The nursing visit, at home.")
    administrations: list[Administration] | None = None
    past_doses: list[PastDose] | None = None
    hospital_department: Department | None = None


class Patient(Exact):
    reference: str = Field(description="The clinic's own record number.", max_length=LONGEST["reference"])
    name: Text = Field(None, max_length=LONGEST["name"])
    birth_date: date | None = None
    sex: Literal["F", "M", "U"] | None = None


class Record(Encounter):
    """An encounter as a draft holds it: whose it is, who pays, and why something was entered late."""

    patient: Patient
    payer: str
    late_reasons: dict[str, str] | None = Field(None, description="By the id of an administration.")


class Draft(Record):
    """What is sent to save a draft."""

    hand_over: bool | None = Field(None, description="Hand it to billing, if nothing is missing.")


# Out ------------------------------------------------------------------------------------------------------------------


class Because(Schema):
    rule: str
    text: str
    source: str
    value: Any = None
    from_: Text = Field(None, alias="from")


class Ndc(Schema):
    ndc: str
    quantity: str
    unit: str


class Line(Schema):
    code: str
    modifiers: list[str]
    units: int
    kind: str
    administrations: list[str]
    minutes: int | None
    ndcs: list[Ndc]
    because: list[Because]
    charge: str = Field("", description="There where it was asked for.")
    date_of_service: date | None = Field(None, description="There where it differs from the encounter's.")


class Finding(Schema):
    code: str
    severity: Literal["error", "warning", "info"]
    administration: Text
    field: Text
    message: str


class Answer(Schema):
    id: str | int | None
    status: Literal["ready", "blocked"]
    date_of_service: date | None
    lines: list[Line]
    findings: list[Finding]
    policy: dict[str, Any]
    reference: str = Field(description="Version of the tables.")


class NotRead(Schema):
    id: str | int | None
    status: Literal["invalid"]
    findings: list[Finding]


AnswerOrNot = Answer | NotRead


class Stored(Schema):
    """An encounter as it is stored: `record` can be sent again as it is."""

    id: UUID
    client_id: UUID
    version: int
    state: Literal["draft", "with_billing", "approved", "void"]
    record: Record
    status: Literal["ready", "blocked"]
    findings: list[Finding]


class Saved(Schema):
    id: UUID
    client_id: UUID
    version: int
    state: Literal["draft", "with_billing", "approved", "void"]
    status: Literal["ready", "blocked"]
    findings: list[Finding]
    not_handed_over: Text = Field(description="Why it was not handed to billing, where that was asked for.")


class Brief(Schema):
    id: UUID
    client_id: UUID
    version: int
    state: Literal["draft", "with_billing", "approved", "void"]
    date_of_service: date
    payer: str
    patient_reference: str


class Page(Schema):
    encounters: list[Brief]
    next: Text = Field(description="Send it as `after` for the next page; null on the last one.")


class ApprovalOf(Schema):
    version: int
    at: datetime
    by: str
    content_hash: str = Field(description="Of the input, the rules, the tables and the lines that were approved.")


class Lines(Schema):
    """`bound` lines are those that were approved, whatever has changed since. Others are a calculation of now."""

    id: UUID
    version: int
    state: Literal["draft", "with_billing", "approved", "void"]
    bound: bool
    approval: ApprovalOf | None
    status: Literal["ready", "blocked"]
    date_of_service: date | None
    lines: list[Line]
    findings: list[Finding]
    policy: dict[str, Any]
    reference: str


class Unlike(Schema):
    path: str
    value: str
    reason: str


class Told(Schema):
    code: str
    message: str
    fields: list[Unlike]
    reference: Text = Field(description="Where something broke here: under what the log has it.")


class Error(Schema):
    error: Told


class Conflict(Error):
    """Both versions: what is stored, and what was sent."""

    stored: Stored | None = None
    sent: dict[str, Any] | None = None


ALWAYS = (401, 403, 405, 429)
REF = "#/components/schemas/{model}"


def answers(shape: Any, *statuses: int, others: dict[int, Any] | None = None) -> dict[int, Any]:
    """What an operation may answer: the errors that any may, and its own."""
    return {200: shape, **(others or {}), **dict.fromkeys((*ALWAYS, *statuses), Error)}


def body(shape: Any, *, most: int | None = None) -> dict[str, Any]:
    """The description of a body that an operation reads by itself."""
    schema = TypeAdapter(shape).json_schema(ref_template=REF)
    schema = {name: value for name, value in schema.items() if name != "$defs"}
    if most is not None:
        schema["maxItems"] = most
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


HEADERS = {
    "Idempotency-Key": "The same key with the same request is answered as it was the first time, for a day.",
    "If-Match": "The version to change, as the ETag has it.",
}


def headers(*names: str) -> dict[str, Any]:
    """The description of headers that an operation reads by itself."""
    return {
        "parameters": [
            {
                "in": "header",
                "name": name,
                "required": False,
                "description": HEADERS[name],
                "schema": {"type": "string"},
            }
            for name in names
        ]
    }


def sent() -> dict[str, Any]:
    """What bodies refer to, by name."""
    found: dict[str, Any] = TypeAdapter(Draft | Encounter).json_schema(ref_template=REF)["$defs"]
    return found
