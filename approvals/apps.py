"""Registers that a weaker policy waits for approval and when it is superseded, what becomes of the votes of who decides
no longer, that somebody knows every subject, and what health tells."""

from django.apps import AppConfig
from django.core.checks import register as register_check


class ApprovalsConfig(AppConfig):
    name = "approvals"

    def ready(self) -> None:
        from approvals import policy_changes, readiness, subjects, voters
        from fleets import consequences

        subjects.register(policy_changes.KIND, policy_changes.PolicyChanges())
        consequences.register_weakening(policy_changes.weaker)
        consequences.register_policy_applied(policy_changes.applied)
        consequences.register_deciders_lost(voters.drop_the_lost)
        readiness.register()
        register_check(subjects.check_registered)
