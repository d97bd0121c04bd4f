"""Registers the append-only triggers, what readiness asks of the database, and who field diffs say it was."""

from django.apps import AppConfig
from django.core.checks import Tags
from django.core.checks import register as register_check
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        from audit import diffs, organizations, readiness, triggers

        message = "audit events are append-only"
        triggers.register(
            triggers.Trigger("audit_event_keeps", "audit_event", "UPDATE", message),
            triggers.Trigger("audit_event_stays", "audit_event", "DELETE", message),
        )
        post_migrate.connect(triggers.install, sender=self, dispatch_uid="audit.triggers")
        register_check(readiness.check_triggers, Tags.database)  # type: ignore[call-overload]
        register_check(organizations.check_registered)
        readiness.register()
        diffs.register()
