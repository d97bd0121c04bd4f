"""The receipt of an emergency window: every call that only it let through."""

from collections.abc import Sequence
from datetime import timedelta
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from audit.actions import Action
from audit.models import Event
from config.edge.ids import first_uuid7
from tokens.models import EmergencyAccess

LATE = timedelta(minutes=1)  # after its end: a call that began in the window is in the trail by then
CALLS = [
    Action.TOKEN_USED.value,
    Action.TOKEN_DENIED.value,
]  # it lifts no scope, so some are denied all the same


def calls_of(window: EmergencyAccess) -> QuerySet[Event]:
    """The newest first."""
    events: QuerySet[Event] = Event.objects.filter(_in(window), target_type="token", action__in=CALLS)
    return events.order_by("-id")


def counted(windows: Sequence[EmergencyAccess]) -> dict[UUID, int]:
    """How many calls each of these needed, in one query."""
    counts = dict.fromkeys((window.pk for window in windows), 0)
    if windows:
        calls = Event.objects.filter(reduce(or_, map(_in, windows)), target_type="token", action__in=CALLS)
        for pk, count in calls.order_by().values_list("data__emergency").annotate(Count("id")):
            counts[UUID(pk)] = count
    return counts


def _in(window: EmergencyAccess) -> Q:
    """Found by the token's index and the time, within which the window's name is read."""
    until = (window.ended_at or window.ends_at) + LATE
    here = Q(target_id=window.token_id, id__gte=first_uuid7(window.starts_at), id__lt=first_uuid7(until))
    return here & Q(data__emergency=str(window.pk))
