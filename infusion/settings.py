"""One settings file, fed by environment variables. docs/configuration.md lists them.

INFUSION_MODE decides how careful it is:
  production  every variable a site depends on has to be set, secure cookies, redirect to https (the default)
  demo        this machine only: loopback names, a kept random key and a SQLite file in var/
  test        demo with what makes a test run quick and repeatable
"""

import os
import secrets
import sqlite3
import stat
from pathlib import Path
from typing import Any

import bootstrap_wrapper
import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = environ.Env()


def demanded(name: str, why: str) -> str:
    """The value of an environment variable that production cannot do without."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise ImproperlyConfigured(
            f"The environment variable {name} is not set. {why} "
            "Set it, or set INFUSION_MODE=demo to try the program on this machine."
        )
    return value


def bits_of_others(file: str) -> int:
    """Which rights nobody but the owner of a secret file may have.

    systemd lets the user of a service read a credential by an access list, which shows as the right of the group.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "").strip()
    return 0o007 if folder and Path(file).resolve().parent == Path(folder).resolve() else 0o077


def secret_key() -> str:
    """From the environment, or from a file that only its owner may read."""
    file = os.environ.get("INFUSION_SECRET_KEY_FILE", "").strip()
    if not file:
        return demanded("INFUSION_SECRET_KEY", "It signs sessions; make one with: openssl rand -hex 32.")
    try:
        if stat.S_IMODE(os.stat(file).st_mode) & bits_of_others(file):
            raise ImproperlyConfigured(f"{file} holds the secret key and others may read it. Run: chmod 600 {file}")
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as problem:
        raise ImproperlyConfigured(
            f"The file {file} that INFUSION_SECRET_KEY_FILE names cannot be read ({problem.strerror}). "
            "Correct the path, or let the program's own user read it."
        ) from problem


def hosts_of(text: str) -> list[str]:
    """The host names of the site. One that matches whatever is asked for would let a stranger choose it."""
    hosts = [host.strip() for host in text.split(",") if host.strip()]
    for host in hosts:
        if host.startswith((".", "*")) or "/" in host:
            raise ImproperlyConfigured(
                f"INFUSION_HOSTS names {host}, which is not one host name. Write each name in full, such as "
                "infusion.example, without https:// and without *."
            )
    return hosts


def kept_key(path: Path) -> str:
    """The demo's own random key: made on first use, readable by its owner alone, never committed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass
    return path.read_text()


MODE = os.environ.get("INFUSION_MODE", "production")
if MODE not in ("production", "demo", "test"):
    raise ImproperlyConfigured(f"INFUSION_MODE is {MODE!r}. Set it to production, demo or test.")
PRODUCTION = MODE == "production"
TEST = MODE == "test"
DEBUG = False

if PRODUCTION:
    SECRET_KEY = secret_key()
    if len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 10:
        raise ImproperlyConfigured(
            "INFUSION_SECRET_KEY is shorter than 50 characters or repeats a few, so sessions could be forged. "
            "Make another with: openssl rand -hex 32."
        )
    ALLOWED_HOSTS = hosts_of(demanded("INFUSION_HOSTS", "It lists the host names of this site, separated by commas."))
    DATABASES: dict[str, dict[str, Any]] = {
        "default": env.db_url_config(
            demanded("DATABASE_URL", "It names the database, such as postgres://user:password@host/name.")
        )
    }
else:
    SECRET_KEY = "only-for-tests-" * 5 if TEST else kept_key(VAR_DIR / "secret_key")
    ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
    VAR_DIR.mkdir(exist_ok=True)
    SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR_DIR / "db.sqlite3"}
    DATABASES = {"default": env.db("DATABASE_URL") if os.environ.get("DATABASE_URL") else SQLITE}


def sqlite_journal(version: tuple[int, int, int]) -> str:
    """Before 3.51.3 two connections can damage a write-ahead log, so the older journal serves there."""
    return "WAL" if version >= (3, 51, 3) else "DELETE"


def sqlite_options() -> dict[str, Any]:
    """Writers queue instead of failing, and a saved record survives a power cut.

    IMMEDIATE: a transaction that reads first and writes later fails at once with "database is locked" when deferred.
    """
    journal = sqlite_journal(sqlite3.sqlite_version_info)
    pragmas = (f"journal_mode={journal}", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON")
    return {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": ";".join(f"PRAGMA {pragma}" for pragma in pragmas),
    }


# Where `manage.py backup` writes, and the public key that it closes backups to, if any.
INFUSION_BACKUPS = Path(env.str("INFUSION_BACKUPS", default=str(VAR_DIR / "backups")))
INFUSION_BACKUP_RECIPIENT = env.str("INFUSION_BACKUP_RECIPIENT", default="")
# How the place where records lie is encrypted, in the words of whoever set it up; `manage.py doctor` asks.
INFUSION_AT_REST = env.str("INFUSION_AT_REST", default="")

DATABASE = DATABASES["default"]
DATABASE["CONN_MAX_AGE"] = 60
if DATABASE["ENGINE"] == "django.db.backends.sqlite3":
    DATABASE["OPTIONS"] = sqlite_options()
    # A file: the live server of browser tests answers in threads, and a shared in-memory connection cannot do that.
    # One for each process, so that two test runs in one checkout do not meet.
    DATABASE["TEST"] = {"NAME": VAR_DIR / f"test-{os.getpid()}.sqlite3"}
else:
    DATABASE["CONN_HEALTH_CHECKS"] = True
    DATABASE.setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)  # seconds, where no answer comes at all

INSTALLED_APPS = [
    # First: its manage.py changepassword stands before Django's.
    "infusion",
    # Simple: nothing registers itself. infusion.admin says what the one site there shows.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.humanize",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "crispy_forms",
    "crispy_bootstrap5",
    "template_partials",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django_tasks",
    "django_tasks_db",
    "payers",
]

MIDDLEWARE = [
    "infusion.metrics.Measured",
    "infusion.headers.OnEveryReply",
    "csp.middleware.CSPMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "infusion.api.errors.ForPrograms",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "infusion.zero_bytes.NoZeroBytes",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "infusion.sign_in.NothingStays",
    "infusion.idle.EndsWhenIdle",
    # Every page asks for a sign-in unless its view says login_not_required.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "infusion.second_factor.AskedFor",
    "infusion.access.ClosedUnlessMarked",
    "infusion.readings.EachReadingKept",
    "infusion.reference_now.OneReferencePerRequest",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "infusion.collisions.BeginsAgain",
    "infusion.turns.OneAtATime",
]

ROOT_URLCONF = "infusion.urls"
WSGI_APPLICATION = "infusion.wsgi.application"

AUTH_USER_MODEL = "infusion.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/encounters/"
LOGOUT_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "infusion.sign_in.Accounts"
ACCOUNT_FORMS = {
    "login": "infusion.forms.sign_in.SignIn",
    "change_password": "infusion.forms.sign_in.NewPassword",
    "reauthenticate": "infusion.forms.sign_in.PasswordAgain",
}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_ON_GET = False
# Counted before a password is hashed, in the database, so that all workers count together. A clinic shares one
# address: what comes from there is limited generously, and not at all in a browser that the person has used before.
ACCOUNT_RATE_LIMITS = {
    "login": None,
    "login_failed": "5/300s/key",
    "login_failed_told": "1/300s/key",
    "login_failed_from_address": "300/300s/ip",
    "login_failed_from_address_told": "1/300s/ip",
    # A sealed code cannot be guessed; five wrong passwords of a stranger must not shut the way in by it.
    "emergency_failed": "30/300s/ip",
    "emergency_failed_told": "1/300s/ip",
    "reauthenticate": "10/m/user",
}
MFA_RATE_LIMITS = {"webauthn_login": "300/m/ip"}
MFA_ADAPTER = "infusion.second_factor.Factors"
MFA_FORMS = {
    "authenticate": "infusion.forms.sign_in.SecondFactor",
    "reauthenticate": "infusion.forms.sign_in.SecondFactorAgain",
    "activate_totp": "infusion.forms.sign_in.ActivateApp",
    "add_webauthn": "infusion.forms.sign_in.AddPasskey",
    "authenticate_webauthn": "infusion.forms.sign_in.AnswerWithPasskey",
    "reauthenticate_webauthn": "infusion.forms.sign_in.PasskeyAgain",
    "login_webauthn": "infusion.forms.sign_in.SignInWithPasskey",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Infusion Units"
# A code of the half minute before or after counts too, once: clocks of telephones differ.
MFA_TOTP_TOLERANCE = 1
# Billing, admins and superusers open nothing without one; everyone else may have one.
SECOND_FACTOR_NEEDED = PRODUCTION
# Passkeys ask for https, but for this machine itself, where the demo runs.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
# Minutes without a key or a tap after which a sign-in ends: of nurses, who share tablets, and of everyone else.
INFUSION_IDLE_MINUTES_SHARED = env.int("INFUSION_IDLE_MINUTES_SHARED", default=10)
INFUSION_IDLE_MINUTES = env.int("INFUSION_IDLE_MINUTES", default=15)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "infusion.sign_in.roles",
                "infusion.idle.context",
                "infusion.emergency.alarms",
                "infusion.second_factor.context_of",
            ],
        },
    },
]
# With the session, on the server: a message may name a patient, and a cookie would carry it into the browser's files.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CRISPY_ALLOWED_TEMPLATE_PACKS = CRISPY_TEMPLATE_PACK = "bootstrap5"
CRISPY_FAIL_SILENTLY = False

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static", ("bootstrap", bootstrap_wrapper.get_bootstrap_dir())]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if TEST
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Times are kept in UTC; a clinic's own zone says what its clocks showed.
USE_TZ = True
TIME_ZONE = "UTC"
INFUSION_DEFAULT_TIME_ZONE = env.str("INFUSION_DEFAULT_TIME_ZONE", default="America/New_York")
LANGUAGE_CODE = "en-us"
USE_I18N = False

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
CSRF_FAILURE_VIEW = "infusion.views.expired.expired"
CSRF_COOKIE_HTTPONLY = True
SESSION_ENGINE = "infusion.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
# Remembers which browser this is, for people who have signed in from it before.
BROWSER_COOKIE_NAME = "browser"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 400
DATA_UPLOAD_MAX_NUMBER_FILES = 1
# A part of the largest table of CMS, and the form around it.
LARGEST_UPLOAD_BYTES = 81_000_000
FILE_UPLOAD_HANDLERS = [
    "infusion.uploads.NotTooLarge",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

if PRODUCTION:
    # The __Host- names bind a cookie to this host and to https; plain http on loopback cannot use them.
    BROWSER_COOKIE_NAME = "__Host-browser"
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    # Whether a whole domain goes onto the lists that browsers ship is for its owner to say, and slow to take back.
    SILENCED_SYSTEM_CHECKS = ["security.W021"]
    if env.bool("INFUSION_BEHIND_PROXY", default=False):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        # Attempts to sign in are counted by the visitor's address, which only the proxy knows.
        ALLAUTH_TRUSTED_PROXY_COUNT = 1

# To standard error, where gunicorn writes too; Django alone would keep a server error to itself when DEBUG is off, and
# mail it with all that was typed.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "infusion.logs.OneLine"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"django": {"handlers": [], "level": "INFO"}},
}

# Above so many milliseconds a query, or an answer while someone types, leaves an alarm in the log.
INFUSION_SLOW_QUERY_MS = env.int("INFUSION_SLOW_QUERY_MS", default=500)
INFUSION_SLOW_PREVIEW_MS = env.int("INFUSION_SLOW_PREVIEW_MS", default=1000)
# Whoever sends it may read /metrics from another machine.
INFUSION_METRICS_TOKEN = env.str("INFUSION_METRICS_TOKEN", default="")

# Long work waits in the database itself: written with what asks for it, or neither, and no other server to run.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

# Shared by all workers: limits on guessing, and one-time codes that are spent, hold for all of them or not at all.
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "infusion_cache",
        # Beyond this Django throws away entries that still hold, and with them what it has counted.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

if TEST:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Where nothing is remembered no attempt is counted: a test run signs in more often than a person may.
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
