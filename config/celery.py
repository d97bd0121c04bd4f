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
    "heartbeat": {
        "task": "config.edge.tasks.heartbeat",
        "schedule": 30.0,
        "options": {"expires": 30.0},
    },
    "forget old sessions": {"task": "fleets.tasks.forget_sessions", "schedule": 3600.0},
    "forget old idempotency keys": {"task": "config.edge.tasks.forget_idempotency_keys", "schedule": 3600.0},
}
