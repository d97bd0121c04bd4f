"""What the trail keeps of a known token's refused calls: one event each, but for a flood of the same.

Before its rate is asked, anybody with an old secret, or from the wrong place, could fill the trail: of such denials the
first EACH a minute, by token, address (of IPv6 its /64), door and code, are events; the others are counted, and one
event says how many.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction

from audit.actions import Action, Outcome
from audit.trail import HasActor, Target, record
from config.edge import context
from config.edge.access import Actor
from config.edge.clock import now
from config.edge.context import RequestContext
from config.edge.networks import counted_as, parse_address
from tokens.decision import Ask, Denial
from tokens.models import DenialTally

if TYPE_CHECKING:
    from tokens.verification import Proven

EACH = 20  # events, of one token's denials for one reason from one address in one minute
MINUTE = timedelta(minutes=1)
ONE_BY_ONE = frozenset({Denial.RATE_LIMITED, Denial.INSUFFICIENT_SCOPE})  # steps 6 and 7
ROWS = 200  # of a transaction
COUNT = """
INSERT INTO tokens_denialtally (token_id, address, code, door, minute, count) VALUES (%s, %s, %s, %s, %s, 1)
ON CONFLICT (token_id, address, code, door, minute) DO UPDATE SET count = tokens_denialtally.count + 1
RETURNING count
"""


def record_denial(proven: "Proven", denial: Denial, ask: Ask, *, check: str | None = None) -> None:
    """Keep a refused call, with the name of the check that refused it: the caller learns less than the trail. Where
    another organization's door was tried, it learns of the attempt too."""
    door = _door(proven, ask)
    with transaction.atomic():
        if denial not in ONE_BY_ONE and _tally(proven, denial, door) > EACH:
            return
        data = asked(proven, ask.scope, ask.path) | ({"check": check} if check else {})
        _record(proven, proven.token.audit_target(), denial.value, data)
        if door:
            _record(FOREIGNER, _foreign_target(door), denial.value, {})


def asked(proven: "Proven", scope: str | None, path: str | None) -> dict[str, Any]:
    """What an event says of a call, whatever came of it."""
    request = context.current()
    said: dict[str, Any] = {
        "scope": scope,
        "path": path,
        "generation": proven.shown.generation,
        "method": request.method,
        "address_path": request.path,
    }
    if proven.bypassed and proven.record.emergency:
        said |= {"emergency": str(proven.record.emergency.id), "bypassed": list(proven.bypassed)}
    return said


def record_counted() -> int:
    """Leave one event for each tally of a minute that is over, and drop it; how many events.

    Whoever is late counts in a new tally: nothing is lost, and nothing counted twice.
    """
    recorded = 0
    while rows := _drop_some(now().replace(second=0, microsecond=0)):
        recorded += sum(row.count > EACH for row in rows)
    return recorded


def _drop_some(before: datetime) -> list[DenialTally]:
    due = DenialTally.objects.filter(minute__lt=before).order_by("pk")
    with transaction.atomic():
        rows = list(
            due.select_related("token__principal").select_for_update(of=("self",), skip_locked=True)[:ROWS]
        )
        for row in rows:
            if row.count > EACH:
                _record_tally(row)
        DenialTally.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return rows


def _record_tally(row: DenialTally) -> None:
    """In the place of the calls that it stands for: their address, or the network of all of theirs, and no request of
    its own."""
    data = {
        "count": row.count - EACH,
        "since": row.minute.isoformat(),
        "until": (row.minute + MINUTE).isoformat(),
    }
    address = parse_address(row.address)
    if row.address and address is None:
        data["network"] = row.address
    with context.bound(RequestContext(address=str(address) if address else None)):
        _record(
            _Caller(row.token.as_actor(), row.token.principal.as_actor()),
            row.token.audit_target(),
            row.code,
            data,
        )
        if row.door:
            _record(FOREIGNER, _foreign_target(UUID(row.door)), row.code, data)


def _tally(proven: "Proven", denial: Denial, door: UUID | None) -> int:
    """Count one more, in one statement: racing callers each get another number."""
    minute = now().replace(second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(
            COUNT,
            [
                proven.token.pk,
                counted_as(context.current().address),
                denial.value,
                str(door) if door else "",
                connection.ops.adapt_datetimefield_value(minute),
            ],
        )
        count: int = cursor.fetchone()[0]
    return count


def _record(by: HasActor, target: Target, reason: str, data: dict[str, Any]) -> None:
    record(Action.TOKEN_DENIED, by=by, target=target, outcome=Outcome.DENIED, reason=reason, data=data)


@dataclass(frozen=True)
class _Caller:
    """Who called, as an event keeps it, where the call itself is over."""

    actor: Actor
    on_behalf_of: Actor | None = None


# A token of another organization, of which this one learns nothing but that it was tried.
FOREIGNER = _Caller(Actor("anonymous", "", "a token of another organization"))


def _door(proven: "Proven", ask: Ask) -> UUID | None:
    """The other organization whose door was tried, if there is one."""
    door = ask.organization_id
    return door if door and door.int and door != proven.token.organization_id else None


def _foreign_target(door: UUID) -> Target:
    return Target("token", "", "a token of another organization", door)
