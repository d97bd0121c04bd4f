"""The timer behind requests for approval."""

from celery import shared_task

from approvals import watching
from config.edge import timers


@shared_task
@timers.once("watch requests for approval")
def watch_requests() -> None:
    watching.watch()
