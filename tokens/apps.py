"""Registers what departures mean for tokens, what their requests for approval do, what the outbox and mails do about
them, the trigger that keeps the ended ended, and what readiness and metrics tell."""

from django.apps import AppConfig


class TokensConfig(AppConfig):
    name = "tokens"

    def ready(self) -> None:
        from approvals import subjects
        from audit import outbox, triggers
        from config.edge import health
        from fleets import consequences
        from tokens import (
            emergency,
            lifecycle,
            notices,
            peppers,
            readiness,
            requests,
            rerating,
            revocation,
            tracked,
            waiting,
            widening,
        )
        from tokens.api.serializers import read_narrowing

        triggers.register(
            triggers.Trigger(
                "token_stays_ended",
                "tokens_token",
                "UPDATE",
                "an ended token stays ended",
                when="OLD.status IN ('revoked', 'rejected') AND NEW.status <> OLD.status",
            )
        )
        consequences.register(
            consequences.Consequences(
                member_left=revocation.member_left,
                owner_closed=revocation.owner_closed,
                has_grants_at=lifecycle.has_grants_at,
                naming_role=lifecycle.naming_role,
                rights_changed=widening.rights_changed,
                risks_changed=rerating.risks_changed,
            )
        )
        subjects.register(waiting.ISSUE, requests.TokenIssues(read_narrowing))
        subjects.register(waiting.CHANGE, requests.TokenChanges(read_narrowing))
        subjects.register_sight("token", waiting.visible_ids)
        subjects.register_managing("token", waiting.managed_ids)
        outbox.register(emergency.KIND, emergency.ask_for_ends)
        notices.register()
        tracked.register()
        readiness.register()
        health.register("peppers", peppers.problem)
