"""Asks the worker for a task by its name, from processes that carry out none themselves."""

from functools import lru_cache

from celery import Celery
from django.conf import settings


@lru_cache(maxsize=1)
def producer() -> Celery:
    """Answers or fails within a few times REDIS_TIMEOUT."""
    app = Celery("tokenhouse", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    waits = {"socket_timeout": settings.REDIS_TIMEOUT, "socket_connect_timeout": settings.REDIS_TIMEOUT}
    app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS | waits
    return app
