"""Registers that a weaker policy waits for approval, that somebody knows every subject, and what health tells."""

from django.apps import AppConfig
from django.core.checks import register as register_check


class ApprovalsConfig(AppConfig):
    name = "approvals"

    def ready(self) -> None:
        from approvals import policy_changes, readiness, subjects
        from fleets import consequences

        subjects.register(policy_changes.KIND, policy_changes.PolicyChanges())
        consequences.register_weakening(policy_changes.weaker)
        readiness.register()
        register_check(subjects.check_registered)
