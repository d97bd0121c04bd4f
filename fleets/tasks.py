"""Housekeeping of the estate."""

from celery import shared_task
from django.contrib.sessions.models import Session

from config.edge.clock import now
from fleets.models import SignedInSession
from fleets.sessions import KEPT_FOR


@shared_task
def forget_sessions() -> None:
    SignedInSession.objects.filter(last_seen_at__lte=now() - KEPT_FOR).delete()
    Session.objects.filter(expire_date__lte=now()).delete()
