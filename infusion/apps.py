from importlib import import_module

from django.apps import AppConfig


class InfusionConfig(AppConfig):
    name = "infusion"
    verbose_name = "Infusions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Their receivers see every connection from the first one on, and the end of every migration."""
        import_module("infusion.safe_database")
        import_module("infusion.checks")
        import_module("infusion.capture")
