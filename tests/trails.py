"""The audit trail as the invariants read it: whole each time, since any old event may have been lost or changed since;
what the events say in sum is added up from the new ones alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from approvals.models import ApprovalRequest
from audit.actions import Action, Outcome
from audit.models import Event
from config.edge.ids import EPOCH

EFFECTS_OF_APPROVALS = {
    "token_issue": Action.TOKEN_ACTIVATED,
    "token_change": Action.TOKEN_EDITED,
    "policy_change": Action.POLICY_CHANGED,
}
ENDS_OF_A_REQUEST = {
    ApprovalRequest.Status.REJECTED: Action.APPROVAL_REJECTED,
    ApprovalRequest.Status.WITHDRAWN: Action.APPROVAL_WITHDRAWN,
    ApprovalRequest.Status.LAPSED: Action.APPROVAL_LAPSED,
    ApprovalRequest.Status.SUPERSEDED: Action.APPROVAL_SUPERSEDED,
}
# Every column of every event as the database holds it, by the id in hexadecimal: nothing is parsed to be compared.
EVERYTHING = {
    "sqlite": "SELECT id, * FROM audit_event",
    "postgresql": "SELECT replace(id::text, '-', ''), audit_event::text FROM audit_event",
}


@dataclass
class Sums:
    """What events say together."""

    # {type of target: {id: {action: how often it was done to it}}}
    done: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    # {id: {action: how often}} of what is said of requests for approval, and of what was done by them
    of_requests: dict[str, Counter[str]] = field(default_factory=dict)
    waited: set[str] = field(default_factory=set)  # tokens that were issued to wait
    revoked: dict[str, datetime] = field(default_factory=dict)  # by token
    last_used: dict[str, datetime] = field(default_factory=dict)  # by token, when the last such call began

    def to(self, target_type: str) -> Mapping[str, Counter[str]]:
        """{id: {action: how often it was done to it}}"""
        return self.done.get(target_type, {})

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.action == Action.TOKEN_USED:
                began = max(instant_of(event.request_id), self.last_used.get(event.target_id, EPOCH))
                self.last_used[event.target_id] = began
            if event.outcome == Outcome.ALLOWED:
                self._add_done(event)

    def _add_done(self, event: Event) -> None:
        of_type = self.done.setdefault(event.target_type, {})
        of_type.setdefault(event.target_id, Counter())[event.action] += 1
        if event.action == Action.TOKEN_REVOKED:
            self.revoked[event.target_id] = event.at
        if event.action == Action.TOKEN_ISSUED and event.data.get("status") == "pending":
            self.waited.add(event.target_id)
        about_requests = event.action.startswith("approval.") or event.action in EFFECTS_OF_APPROVALS.values()
        if about_requests and (request := event.data.get("approval")):
            self.of_requests.setdefault(request, Counter())[event.action] += 1


@dataclass
class Trail:
    """The events as they were when they were last looked at, and what they say."""

    seen: dict[str, Any] = field(default_factory=dict)
    sums: Sums = field(default_factory=Sums)

    def broken(self) -> Iterator[str]:
        """What happened to the trail since the last call that must not happen to it. Its sums are right afterwards."""
        before, self.seen = self.seen, _everything()
        added = self.seen.keys() - before.keys()
        if before and added and min(added) < (youngest := max(before)):
            yield f"an event was added before {UUID(youngest)}, which was there already"
        if not before.items() <= self.seen.items():
            yield from self._lost(before)
            added, self.sums = {*self.seen}, Sums()
        if added:
            since = Event.objects.filter(pk__gte=UUID(min(added))).order_by()
            self.sums.add(event for event in since if event.pk.hex in added)

    def _lost(self, before: Mapping[str, Any]) -> Iterator[str]:
        for pk, row in before.items():
            if pk not in self.seen:
                yield f"event {UUID(pk)} is gone"
            elif self.seen[pk] != row:
                yield f"event {UUID(pk)} was changed"


def instant_of(request_id: str) -> datetime:
    """When a request began: its id is a UUIDv7."""
    return EPOCH + timedelta(milliseconds=UUID(request_id).int >> 80)


def _everything() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(EVERYTHING[connection.vendor])
        return {row[0]: row for row in cursor.fetchall()}
