"""The Celery application and its schedule. Nothing here decides about security: timers record, announce and repair."""

import os

from celery import Celery

from config.edge.schedule import EVERY

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


app = Celery("tokenhouse")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    task: {
        "task": task,
        "schedule": seconds,
        "options": {"expires": seconds},
    }  # while workers are away none pile up
    for task, seconds in EVERY.items()
}
