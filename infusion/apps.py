from importlib import import_module

from django.apps import AppConfig

KINDS_OF_JOBS = ("infusion.rechecks", "infusion.actions.batches", "infusion.actions.imports")
"""The modules that say with `jobs.kind` what does a kind of long work: every process has them all."""


class InfusionConfig(AppConfig):
    name = "infusion"
    verbose_name = "Infusions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Receivers see every connection, second factor and migration from the first on; checks serve every command."""
        import_module("infusion.safe_database")
        import_module("infusion.second_factor")
        import_module("infusion.checks")
        import_module("infusion.capture")
        import_module("infusion.metrics")
        for module in KINDS_OF_JOBS:
            import_module(module)
