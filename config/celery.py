"""The Celery application and its schedule. Nothing here decides about security: timers record, announce and repair."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("tokenhouse")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "publish what could not be published": {"task": "audit.tasks.drain_outbox", "schedule": 5.0},
    "deliver what is owed": {
        "task": "audit.tasks.deliver",
        "schedule": 30.0,
        "options": {"expires": 30.0},  # while a worker is away they do not pile up
    },
    "send webhooks": {
        "task": "audit.tasks.deliver_webhooks",
        "schedule": 5.0,
        "options": {"expires": 5.0},
    },
    "forget old webhook deliveries": {"task": "audit.tasks.forget_deliveries", "schedule": 3600.0},
    "heartbeat": {
        "task": "config.edge.tasks.heartbeat",
        "schedule": 30.0,
        "options": {"expires": 30.0},
    },
    "record the ends of emergency windows": {
        "task": "tokens.tasks.record_emergency_ends",
        "schedule": 15.0,
        "options": {"expires": 15.0},
    },
    "record expiries": {
        "task": "tokens.tasks.record_expiries",
        "schedule": 30.0,
        "options": {"expires": 30.0},
    },
    "record the ends of overlaps": {
        "task": "tokens.tasks.record_overlap_ends",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "record denials that were counted": {
        "task": "tokens.tasks.record_counted_denials",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "announce expiries": {
        "task": "tokens.tasks.announce_expiries",
        "schedule": 600.0,
        "options": {"expires": 600.0},
    },
    "disable tokens that nobody uses": {
        "task": "tokens.tasks.disable_unused",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "watch requests for approval": {
        "task": "approvals.tasks.watch_requests",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "forget old sessions": {"task": "fleets.tasks.forget_sessions", "schedule": 3600.0},
    "forget old idempotency keys": {"task": "config.edge.tasks.forget_idempotency_keys", "schedule": 3600.0},
    "forget old rates": {"task": "config.edge.tasks.forget_rates", "schedule": 3600.0},
}
