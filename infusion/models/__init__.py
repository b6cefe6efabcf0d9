"""Rows and constraints. Everything that writes them is in infusion.actions."""

from infusion.audit import AuditChange, AuditEvent, AuditHead, Reading
from infusion.models.approval import Approval, RuleUse
from infusion.models.arrivals import Arrival, Import
from infusion.models.chair import Chair, Order, Tap, WorkingCopy
from infusion.models.claims import (
    Authorization,
    Batch,
    BatchClaim,
    BatchFile,
    BatchFilling,
    BatchLine,
    Coverage,
    PayerReference,
    Provider,
)
from infusion.models.desk import Correction, Hold, Judgement, SavedView, Selected, Selection, Skip
from infusion.models.drugs import DrugProposal, DrugRow
from infusion.models.encounter import Administration, Discard, Encounter, Pause, Question, Vial
from infusion.models.jobs import Job, Recheck, RecheckDifference
from infusion.models.people import Clinic, Patient, User
from infusion.models.programs import ApiAnswer, ApiClient
from infusion.models.sign_in import EmergencyCode, KnownBrowser
from infusion.models.tables import CodePair, EditTable, Fee, FeeSchedule, UnlikelyUnits

__all__ = [
    "Administration",
    "ApiAnswer",
    "ApiClient",
    "Approval",
    "Arrival",
    "AuditChange",
    "AuditEvent",
    "AuditHead",
    "Authorization",
    "Batch",
    "BatchClaim",
    "BatchFile",
    "BatchFilling",
    "BatchLine",
    "Chair",
    "Clinic",
    "CodePair",
    "Correction",
    "Coverage",
    "Discard",
    "DrugProposal",
    "DrugRow",
    "EditTable",
    "EmergencyCode",
    "Encounter",
    "Fee",
    "FeeSchedule",
    "Hold",
    "Import",
    "Job",
    "Judgement",
    "KnownBrowser",
    "Order",
    "Patient",
    "Pause",
    "PayerReference",
    "Provider",
    "Question",
    "Reading",
    "Recheck",
    "RecheckDifference",
    "RuleUse",
    "SavedView",
    "Selected",
    "Selection",
    "Skip",
    "Tap",
    "UnlikelyUnits",
    "User",
    "Vial",
    "WorkingCopy",
]
