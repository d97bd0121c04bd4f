"""What the worker gave up, or still tries: somebody has it sent again, or drops it."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from audit import deliveries
from audit.actions import Action
from audit.models import OutboxRow
from audit.policy import may_manage_mail
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import IllegalMove, require

NOT_YOURS = "Only superusers, in their browser session, do this."


@verb(Action.DELIVERY_RETRIED)
def retry(row: OutboxRow, *, by: Access) -> None:
    """Try it again now, and for as long again as at first."""
    require(may_manage_mail(by), NOT_YOURS)
    at: datetime = now()
    if not _present(row).update(dead_at=None, due_at=at, owed_since=at, attempts=0):
        raise IllegalMove("It was delivered, or dropped.")
    row.refresh_from_db()
    record(Action.DELIVERY_RETRIED, by=by, target=row)


@verb(Action.DELIVERY_DROPPED)
def drop(row: OutboxRow, *, by: Access) -> None:
    """Never send it."""
    require(may_manage_mail(by), NOT_YOURS)
    target = row.audit_target()
    if not _present(row).delete()[0]:
        raise IllegalMove("It was delivered, or dropped.")
    record(Action.DELIVERY_DROPPED, by=by, target=target)


def _present(row: OutboxRow) -> QuerySet[Any]:
    return OutboxRow.objects.filter(pk=row.pk, kind__in=deliveries.kinds())
