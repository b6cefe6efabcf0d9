"""Rows and constraints. Everything that writes them is in infusion.actions."""

from infusion.audit import AuditEvent, AuditHead
from infusion.models.approval import Approval
from infusion.models.chair import Chair, Order, Tap, WorkingCopy
from infusion.models.encounter import Administration, Discard, Encounter, Pause, Question, Vial
from infusion.models.people import Clinic, Patient, User

__all__ = [
    "Administration",
    "Approval",
    "AuditEvent",
    "AuditHead",
    "Chair",
    "Clinic",
    "Discard",
    "Encounter",
    "Order",
    "Patient",
    "Pause",
    "Question",
    "Tap",
    "User",
    "Vial",
    "WorkingCopy",
]
