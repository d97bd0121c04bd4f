"""Registers that a weaker policy waits for approval, what mails say, and that somebody knows every subject."""

from django.apps import AppConfig
from django.core.checks import register as register_check


class ApprovalsConfig(AppConfig):
    name = "approvals"

    def ready(self) -> None:
        from approvals import policy_changes, subjects
        from fleets import consequences

        subjects.register(policy_changes.KIND, policy_changes.PolicyChanges())
        consequences.register_weakening(policy_changes.weaker)
        register_check(subjects.check_registered)
