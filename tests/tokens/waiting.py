"""Short ways to have tokens wait, to agree to what waits, and to see what became of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from approvals import decisions
from approvals.models import ApprovalRequest
from audit.models import Event
from config.edge.access import Access
from config.edge.refusals import DomainError
from fleets.models import User
from tests.factories import session, token_client
from tests.tokens.conftest import World
from tests.tokens.issuing import REASON, issue, present, wish
from tokens import lifecycle, restrictions
from tokens.changes import Edit
from tokens.issuance import Issued
from tokens.models import Token
from tokens.restrictions import Restrictions, parse_networks, parse_rate, parse_windows

EDGE = "/fleets/edge"
WHOAMI = "/api/v1/whoami/"
EXECUTE = ("commands:execute", "machines:read")
AT_HOME = Restrictions(networks=parse_networks(["127.0.0.0/8"]))
DAY = timedelta(days=1)
STRICT = Restrictions(
    networks=parse_networks(["127.0.0.0/8"]),
    rate=parse_rate("1000/second"),
    windows=parse_windows([{"days": list(restrictions.DAYS), "start": "00:00", "end": "24:00"}]),
)


def request_of(issued: Issued) -> ApprovalRequest:
    """What waits about the token."""
    found = present(issued).open_request
    assert found is not None, "nothing waits"
    return found


def approve(issued: Issued, by: User | Access, **options: Any) -> None:
    request = request_of(issued)
    access = session(by) if isinstance(by, User) else by
    decisions.approve(request, digest=request.diff_digest, by=access, **options)


def refusal(verb: Callable[..., Any], *args: Any, **options: Any) -> str:
    with pytest.raises(DomainError) as refused:
        verb(*args, **options)
    return refused.value.code


def edit(issued: Issued, by: User, reason: str = REASON, **change: Any) -> Token:
    return lifecycle.edit(present(issued), change=Edit(**change), reason=reason, by=session(by))


def call(issued: Issued) -> str:
    """What a program is told that comes with the secret."""
    answer = token_client(issued).get(WHOAMI)
    return "works" if answer.status_code == 200 else str(answer.json()["code"])


def trail(issued: Issued) -> list[str]:
    done = Event.objects.changes_of("token", issued.token.pk).filter(outcome="allowed")
    return list(done.order_by("at", "id").values_list("action", flat=True))


def executing(world: World, by: User | None = None, **options: Any) -> Issued:
    """A fleet token that waits: high risk."""
    return issue(session(by or world.manager), world.edge, wish(*EXECUTE), **options)


def until(issued: Issued) -> str:
    expires_at = present(issued).expires_at
    assert expires_at is not None
    return expires_at.isoformat().replace("+00:00", "Z")
