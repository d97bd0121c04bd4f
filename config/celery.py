"""The Celery application and its schedule. Nothing here decides about security: timers record, announce and repair."""

import os
from typing import Any

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def _periodic(task: str, seconds: float) -> dict[str, Any]:
    """Ask for a task every so often, a timer as often as its `every` says. While workers are away none pile up."""
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


app = Celery("tokenhouse")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "publish what could not be published": _periodic("audit.tasks.drain_outbox", 5.0),
    "deliver what is owed": _periodic("audit.tasks.deliver", 30.0),
    "send webhooks": _periodic("audit.tasks.deliver_webhooks", 5.0),
    "forget old webhook deliveries": _periodic("audit.tasks.forget_deliveries", 3600.0),
    "heartbeat": _periodic("config.edge.tasks.heartbeat", 30.0),
    "record the ends of emergency windows": _periodic("tokens.tasks.record_emergency_ends", 15.0),
    "record expiries": _periodic("tokens.tasks.record_expiries", 30.0),
    "record the ends of overlaps": _periodic("tokens.tasks.record_overlap_ends", 60.0),
    "record denials that were counted": _periodic("tokens.tasks.record_counted_denials", 60.0),
    "announce expiries": _periodic("tokens.tasks.announce_expiries", 600.0),
    "disable tokens that nobody uses": _periodic("tokens.tasks.disable_unused", 3600.0),
    "watch requests for approval": _periodic("approvals.tasks.watch_requests", 60.0),
    "forget old sessions": _periodic("fleets.tasks.forget_sessions", 3600.0),
    "forget old idempotency keys": _periodic("config.edge.tasks.forget_idempotency_keys", 3600.0),
    "forget old rates": _periodic("config.edge.tasks.forget_rates", 3600.0),
}
