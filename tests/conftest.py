import os

# Playwright keeps an event loop on the test's thread, and Django would then refuse to touch the database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
