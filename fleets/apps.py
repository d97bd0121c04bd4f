"""Registers how versions are published and mail is sent, what sign-ins leave, and what readiness asks of Redis."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.checks import register as register_check


class FleetsConfig(AppConfig):
    name = "fleets"

    def ready(self) -> None:
        from audit import organizations, outbox
        from config.edge import health
        from fleets import consequences, currency, mail, sign_in, tracked, visibility

        organizations.register(
            organizations.Organizations(visibility.named, visibility.named_by_id, visibility.named_by_ids)
        )
        outbox.register("versions", currency.publish, in_sweep=currency.republish)
        mail.register()
        user_logged_in.connect(sign_in.signed_in, dispatch_uid="fleets.signed_in")
        user_logged_out.connect(sign_in.signed_out, dispatch_uid="fleets.signed_out")
        user_login_failed.connect(sign_in.sign_in_failed, dispatch_uid="fleets.sign_in_failed")
        register_check(consequences.check_registered)
        tracked.register()
        health.register("redis", currency.reachable, needed=False)
