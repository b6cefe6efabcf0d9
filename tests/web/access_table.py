"""Who may do what: a row for each route, a cell for each method, the roles that it is open to.

A new route needs a row here, or test_access.py fails. A method that a row does not name is open to nobody.
"""

from __future__ import annotations

VISITOR = "visitor"  # not signed in
NURSE, BILLING, ADMIN = "nurse", "billing", "admin"
NO_ROLE = "no role"  # signed in, of the clinic, in no group
NO_CLINIC = "no clinic"  # in every group, but of no clinic
SUPERUSER = "superuser"  # in no group and of no clinic

ROLES = (VISITOR, NURSE, BILLING, ADMIN, NO_ROLE, NO_CLINIC, SUPERUSER)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

ALL = frozenset(ROLES)
SIGNED_IN = ALL - {VISITOR}
STAFF = frozenset({NURSE, BILLING, ADMIN})
NURSES, BILLERS, ADMINS = frozenset({NURSE}), frozenset({BILLING}), frozenset({ADMIN})
DESK = frozenset({BILLING, ADMIN})
SUPERUSERS = frozenset({SUPERUSER})

Cells = dict[str, frozenset[str]]


def read(roles: frozenset[str]) -> Cells:
    return {"GET": roles, "HEAD": roles}


def read_and_write(readers: frozenset[str], writers: frozenset[str] | None = None) -> Cells:
    return {**read(readers), "POST": readers if writers is None else writers}


def write(roles: frozenset[str]) -> Cells:
    return {"POST": roles}


def form_of_allauth(roles: frozenset[str], *others: str) -> Cells:
    """Its views take a PUT as a POST, and tell their methods."""
    return dict.fromkeys(("GET", "HEAD", "POST", "PUT", "OPTIONS", *others), roles)


def look_of_allauth(roles: frozenset[str]) -> Cells:
    return {**read(roles), "OPTIONS": roles}


def people(*hidden: str) -> Cells:
    """A page of the Django admin answers every method, and is open to superusers alone."""
    return {method: SUPERUSERS for method in METHODS if method not in hidden}


CLOSED: Cells = {}

TABLE: dict[str, Cells] = {
    # Public
    "calculator": read(ALL),
    "rules": read(ALL),
    "contradictions": read(ALL),
    "healthz": read(ALL),  # says ok or failed, and nothing else
    "readyz": read(ALL),  # the same
    "metrics": read(ALL),  # from this machine; from elsewhere with a token
    "account_login": {**dict.fromkeys(METHODS, SIGNED_IN), **form_of_allauth(ALL)},  # leads home who is signed in
    "account_signup": form_of_allauth(ALL, "PATCH", "DELETE", "TRACE"),  # answers that sign-up is closed
    "account_inactive": {**read(ALL), "OPTIONS": ALL},
    "account_logout": {**read_and_write(ALL), "OPTIONS": ALL},  # leads a visitor to the calculator
    "mfa_authenticate": dict.fromkeys(METHODS, SIGNED_IN),  # leads home; to the sign-in page without a password before
    "mfa_login_webauthn": dict.fromkeys(("GET", "POST"), SIGNED_IN),  # leads to the sign-in page as well
    "emergency": read_and_write(ALL),
    "switch": read_and_write(ALL),
    "enter": read_and_write(ALL),
    # Everyone who is signed in
    "account_change_password": form_of_allauth(SIGNED_IN),
    "session": read_and_write(STAFF),
    "account_reauthenticate": form_of_allauth(SIGNED_IN),
    "mfa_index": look_of_allauth(SIGNED_IN),
    "mfa_list_webauthn": look_of_allauth(SIGNED_IN),
    "mfa_reauthenticate": dict.fromkeys(METHODS, SIGNED_IN),  # asks in another way whoever has not this one
    "mfa_reauthenticate_webauthn": dict.fromkeys(METHODS, SIGNED_IN),
    "mfa_activate_totp": dict.fromkeys(METHODS, SIGNED_IN),  # asks for the password first, whatever the method
    "mfa_deactivate_totp": dict.fromkeys(METHODS, SIGNED_IN),
    "mfa_view_recovery_codes": look_of_allauth(SIGNED_IN),
    "mfa_generate_recovery_codes": dict.fromkeys(METHODS, SIGNED_IN),
    "mfa_download_recovery_codes": dict.fromkeys(METHODS, SIGNED_IN),
    "mfa_add_webauthn": dict.fromkeys(METHODS, SIGNED_IN),
    "mfa_remove_webauthn": dict.fromkeys(METHODS, SIGNED_IN),
    # A shared tablet, and people's sign-ins
    "pin": read_and_write(NURSES),
    "pin-forget": write(NURSES),
    "people": read(ADMINS | SUPERUSERS),
    "factor-reset": read_and_write(ADMINS | SUPERUSERS),
    "alarm": read_and_write(ADMINS | SUPERUSERS),
    "programs": read_and_write(ADMINS),
    "program-revoke": read_and_write(ADMINS),
    # Programs, which come with a token and never with a sign-in: PROGRAMS says what each scope opens
    "api:description": read(ALL),
    "api:calculate": CLOSED,
    "api:calculate-many": CLOSED,
    "api:encounters": CLOSED,
    "api:encounter": CLOSED,
    "api:lines": CLOSED,
    # Encounters
    "encounters": read(STAFF),
    "encounter-new": read_and_write(NURSES),
    "keep": write(NURSES),
    "throw-away": write(NURSES),
    "encounter": read_and_write(STAFF),
    "sheet": read(STAFF),
    "downtime-sheet": read(STAFF),
    "review": read(DESK),
    "approve": write(BILLERS),
    "return": write(BILLERS),
    "hold": write(BILLERS),
    "release": write(BILLERS),
    "skip": write(BILLERS),
    "end-skip": write(BILLERS),
    "correct": write(BILLERS),
    "void": read_and_write(BILLERS),
    "review-payers": read(DESK),
    "encounter-record": read(ADMINS),
    "patient-record": read(ADMINS),
    "approval": read(DESK),
    # The worklist
    "search": write(DESK),
    "view-save": write(DESK),
    "view-change": write(DESK),
    "keys": write(DESK),
    "choose": write(BILLERS),
    "chosen": read_and_write(BILLERS),
    "approve-shown": write(BILLERS),
    "take-back": write(BILLERS),
    # Chairs
    "chairs": read(NURSES),
    "order-begin": read_and_write(NURSES),
    "chair": read_and_write(NURSES),
    # Orders
    "orders": read(NURSES),
    "order-new": read_and_write(NURSES),
    "order-take-off": write(NURSES),
    # Batches
    "imports": read_and_write(DESK),
    "import": read(DESK),
    "import-confirm": write(DESK),
    "import-throw-away": write(DESK),
    "import-problems": read(DESK),
    "batches": read_and_write(DESK, BILLERS),
    "batch": read(DESK),
    "batch-write": write(BILLERS),
    "batch-file": read(DESK),
    "batch-reference": write(BILLERS),
    # What a claim needs
    "patient": read_and_write(STAFF),
    "coverage-add": read_and_write(DESK),
    "coverage": read_and_write(DESK),
    "authorization-add": read_and_write(DESK),
    "authorization": read_and_write(DESK),
    "claim-facts": read_and_write(DESK),
    "providers": read(DESK),
    "provider-add": read_and_write(DESK),
    "provider": read_and_write(DESK),
    "clinic-claims": read_and_write(ADMINS),
    # Fees
    "claim-checklist": read(DESK),
    "tables": read(DESK),
    "table": read(DESK),
    "tables-load": read_and_write(ADMINS),
    "table-withdraw": write(ADMINS),
    "fees": read(DESK),
    "fee-schedule": read(DESK),
    "fee-load": read_and_write(ADMINS),
    "fee-withdraw": write(ADMINS),
    # Reports
    "reports": read(DESK),
    "report-file": read(DESK),
    # Long work
    "job": read_and_write(DESK),
    "rechecks": read_and_write(DESK),
    "recheck": read(DESK),
    # Payers
    "payers:identity": read_and_write(ADMINS),
    "payers:list": read(DESK),
    "payers:add": read_and_write(ADMINS),
    "payers:pack": read_and_write(ADMINS),
    "payers:pack-file": read(DESK),
    "payers:detail": read(DESK),
    "payers:compare": read(DESK),
    "payers:history": read(DESK),
    "payers:parameter": read(DESK),
    "payers:new-rule": read_and_write(ADMINS),
    "payers:rule": read_and_write(ADMINS),
    "payers:proposal": read_and_write(ADMINS),
    "impact": read(ADMINS),
    "impact-encounters": read(ADMINS),
    "impact-file": read(ADMINS),
    # Drugs
    "drugs": read(DESK),
    "drug": read(DESK),
    "drug-add": read_and_write(ADMINS),
    "drug-change": read_and_write(ADMINS),
    "drug-row": read_and_write(ADMINS),
    "drug-proposal": read_and_write(ADMINS),
    "drug-impact": read(ADMINS),
    "drug-impact-encounters": read(ADMINS),
    "drug-impact-file": read(ADMINS),
    # People: the Django admin
    "admin:index": people(),
    "admin:login": CLOSED,  # leads to the sign-in page
    "admin:logout": {**read_and_write(SUPERUSERS), "OPTIONS": SUPERUSERS},
    "admin:password_change": people(),
    "admin:password_change_done": {**read(SUPERUSERS), "OPTIONS": SUPERUSERS},
    "admin:autocomplete": {"OPTIONS": SUPERUSERS},
    "admin:jsi18n": {**read(SUPERUSERS), "OPTIONS": SUPERUSERS},
    "admin:view_on_site": people(),
    "admin:app_list": people(),
    "admin/(?P<url>.*)$": people(),
    "admin:auth_user_password_change": people(),
    "admin:infusion_user_changelist": people(),
    "admin:infusion_user_add": people(),
    "admin:infusion_user_history": people(),
    "admin:infusion_user_delete": CLOSED,
    "admin:infusion_user_change": people(),
    "admin/infusion/user/<path:object_id>/": CLOSED,
    "admin:infusion_clinic_changelist": people(),
    "admin:infusion_clinic_add": people(),
    "admin:infusion_clinic_history": people(),
    "admin:infusion_clinic_delete": CLOSED,
    "admin:infusion_clinic_change": people(),
    "admin/infusion/clinic/<path:object_id>/": CLOSED,
    "admin:auth_group_changelist": people(),
    "admin:auth_group_add": CLOSED,
    "admin:auth_group_history": people(),
    "admin:auth_group_delete": CLOSED,
    "admin:auth_group_change": people("POST"),
    "admin/auth/group/<path:object_id>/": CLOSED,
}

# By route and method, the scope that a token needs. A method that is not named answers no program.
PROGRAMS: dict[str, dict[str, str]] = {
    "api:calculate": {"POST": "calculate"},
    "api:calculate-many": {"POST": "calculate"},
    "api:encounters": {"GET": "encounters:read"},
    "api:encounter": {"GET": "encounters:read", "PUT": "encounters:write"},
    "api:lines": {"GET": "lines:read"},
}

PUBLIC = {name for name, cells in TABLE.items() if any(VISITOR in roles for roles in cells.values())}
