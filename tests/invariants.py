"""What must hold of the whole database after any race, fault or crash, whatever was going on.

`broken()` lists what does not hold; `assert_hold()` is for tests. `Trail` remembers the events of an earlier moment:
they are all still there, as they were, and what was added since is younger.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, Model, Q
from redis import Redis

from approvals.models import ApprovalRequest, Decision
from audit.actions import Action, Outcome
from audit.models import Event, OutboxRow
from config.edge.clock import now
from config.edge.ids import EPOCH
from config.edge.models import IdempotencyKey
from fleets import currency
from fleets.models import (
    AclEntry,
    Application,
    Fleet,
    Group,
    Machine,
    Membership,
    Organization,
    TechnicalUser,
    User,
)
from tokens.models import Token, TokenSecret

MOST_LIVE_SECRETS = 2
LONGEST_COMMIT = timedelta(seconds=1)  # between an event's own instant and the end of its transaction
CHANGES_OF_A_TOKEN = (
    Action.TOKEN_EDITED,
    Action.TOKEN_ROTATED,
    Action.TOKEN_DISABLED,
    Action.TOKEN_ENABLED,
    Action.TOKEN_REVOKED,
    Action.TOKEN_ACTIVATED,
    Action.TOKEN_REJECTED,
    Action.TOKEN_EXPIRED,
    Action.EMERGENCY_STARTED,
    Action.EMERGENCY_ENDED,
)
ENDS_OF_A_REQUEST = {
    ApprovalRequest.Status.REJECTED: Action.APPROVAL_REJECTED,
    ApprovalRequest.Status.WITHDRAWN: Action.APPROVAL_WITHDRAWN,
    ApprovalRequest.Status.LAPSED: Action.APPROVAL_LAPSED,
    ApprovalRequest.Status.SUPERSEDED: Action.APPROVAL_SUPERSEDED,
}
EFFECTS_OF_APPROVALS = {
    "token_issue": Action.TOKEN_ACTIVATED,
    "token_change": Action.TOKEN_EDITED,
    "policy_change": Action.POLICY_CHANGED,
}
CHANGES_OF_A_MEMBER = (
    Action.MEMBER_LEFT,
    Action.MEMBER_SUSPENDED,
    Action.MEMBER_RESUMED,
    Action.MEMBER_ROLE_CHANGED,
)
CHANGES_OF_A_MACHINE = (
    Action.MACHINE_RETAGGED,
    Action.MACHINE_MOVED,
    Action.MACHINE_DEREGISTERED,
    Action.MACHINE_CONFIGURED,
)


@dataclass
class Trail:
    """The events as they were when they were last looked at."""

    seen: dict[UUID, bytes] = field(default_factory=dict)

    def broken(self) -> Iterator[str]:
        """What happened to the trail since the last call that must not happen to it."""
        present = {
            row[0]: hashlib.sha256(repr(row).encode()).digest()
            for row in Event.objects.order_by("id").values_list()
        }
        for pk, digest in self.seen.items():
            if pk not in present:
                yield f"event {pk} is gone"
            elif present[pk] != digest:
                yield f"event {pk} was changed"
        youngest, added = max(self.seen, default=None), present.keys() - self.seen.keys()
        if youngest and added and min(added) < youngest:
            yield f"an event was added before {youngest}, which was there already"
        self.seen = present


def assert_hold(
    trail: Trail | None = None,
    *,
    revoked: Mapping[str, datetime] | None = None,
    valkey_lost_its_data: bool = False,
) -> None:
    """Fail with every sentence that is broken. `revoked`: when the answer to a token's revocation was there."""
    problems = list(broken(trail, revoked=revoked, valkey_lost_its_data=valkey_lost_its_data))
    assert not problems, "\n".join(problems)


def broken(
    trail: Trail | None = None,
    *,
    revoked: Mapping[str, datetime] | None = None,
    valkey_lost_its_data: bool = False,
) -> Iterator[str]:
    """Every sentence about the whole database that does not hold, in words that name the row."""
    yield from trail.broken() if trail else ()
    changes = _counts("token")
    yield from _of_tokens(changes)
    yield from _of_secrets(changes)
    yield from _of_ended_tokens(changes, revoked or {})
    yield from _of_waiting_tokens(changes)
    yield from _of_requests()
    yield from _of_members()
    yield from _of_machines()
    yield from _of_closed_owners()
    yield from _of_idempotency()
    yield from _of_versions(valkey_lost_its_data=valkey_lost_its_data)


def of_the_database_file() -> list[str]:
    """What the database itself says of its own soundness."""
    if connection.vendor != "sqlite":
        return []
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        found = [str(row[0]) for row in cursor.fetchall() if row[0] != "ok"]
        cursor.execute("PRAGMA foreign_key_check")
        return found + [f"a foreign key of {row[0]} leads nowhere" for row in cursor.fetchall()]


def _counts(target_type: str) -> dict[str, Counter[str]]:
    """{id: {action: how often it was done to it}}"""
    found: dict[str, Counter[str]] = {}
    rows = Event.objects.filter(target_type=target_type, outcome=Outcome.ALLOWED).order_by()
    for pk, action, count in rows.values_list("target_id", "action").annotate(Count("id")):
        found.setdefault(pk, Counter())[action] = count
    return found


def _of_tokens(changes: Mapping[str, Counter[str]]) -> Iterator[str]:
    """A change and its event are both there or both not; no token without its issue."""
    for token in Token.objects.select_related("principal"):
        counts = changes.get(token.pk, Counter())
        if counts[Action.TOKEN_ISSUED] != 1:
            yield f"token {token.pk} has {counts[Action.TOKEN_ISSUED]} events of its issue"
        if token.version != 1 + _sum(counts, CHANGES_OF_A_TOKEN):
            yield f"token {token.pk} has version {token.version} and the events {dict(counts)}"
        times_off = counts[Action.TOKEN_DISABLED] - counts[Action.TOKEN_ENABLED]
        if not token.is_ended and times_off != (token.status == Token.Status.DISABLED):
            yield f"token {token.pk} is {token.status} by the events {dict(counts)}"
        if token.kind == Token.Kind.FLEET and token.principal.is_active == token.is_ended:
            yield f"token {token.pk} is {token.status}, its technical user active: {token.principal.is_active}"
    ids = set(Token.objects.values_list("pk", flat=True))
    issued = (pk for pk, counts in changes.items() if counts[Action.TOKEN_ISSUED])
    yield from (f"an event issues token {pk}, which is not there" for pk in issued if pk not in ids)


def _of_secrets(changes: Mapping[str, Counter[str]]) -> Iterator[str]:
    """Exactly one newest secret, at most two that work, one for the issue and for each rotation."""
    at = now()
    secrets: dict[str, list[TokenSecret]] = {}
    for row in TokenSecret.objects.order_by("generation"):
        secrets.setdefault(row.token_id, []).append(row)
    for token in Token.objects.all():
        rows = secrets.get(token.pk, [])
        generations = [row.generation for row in rows]
        made = 1 + changes.get(token.pk, Counter())[Action.TOKEN_ROTATED]
        if generations != list(range(1, made + 1)):
            yield f"token {token.pk} has the secrets {generations}, and events that made {made}"
        newest = [row.generation for row in rows if row.valid_until is None]
        if not token.is_ended and newest != generations[-1:]:
            yield f"token {token.pk} has the newest secrets {newest} of {generations}"
        live = [row for row in rows if row.valid_until is None or at < row.valid_until]
        if not token.is_ended and not 1 <= len(live) <= MOST_LIVE_SECRETS:
            yield f"token {token.pk} has {len(live)} secrets that work"


def _of_ended_tokens(
    changes: Mapping[str, Counter[str]], acknowledged: Mapping[str, datetime]
) -> Iterator[str]:
    """Revoked once, with everything that it had gone, and never used by a call that began afterwards."""
    for token in Token.objects.all():
        count = changes.get(token.pk, Counter())[Action.TOKEN_REVOKED]
        if count != (token.status == Token.Status.REVOKED):
            yield f"token {token.pk} is {token.status} with {count} revocations"
    for token in Token.objects.ended().filter(grants__isnull=False).distinct():
        yield f"token {token.pk} is {token.status} and has grants"
    for pk in acknowledged.keys() - set(Token.objects.ended().values_list("pk", flat=True)):
        yield f"the revocation of token {pk} was acknowledged and is lost"
    revocations = Event.objects.filter(action=Action.TOKEN_REVOKED, outcome=Outcome.ALLOWED)
    ends = {pk: at + LONGEST_COMMIT for pk, at in revocations.values_list("target_id", "at")} | dict(
        acknowledged
    )
    uses = Event.objects.filter(action=Action.TOKEN_USED, target_id__in=ends)
    for pk, request_id in uses.values_list("target_id", "request_id"):
        if (began := _instant_of(request_id)) > ends[pk]:
            yield f"token {pk} was used by a call that began {began - ends[pk]} after it was revoked"
    left = Membership.objects.present().values("user", "organization")
    personal = Token.objects.not_ended().filter(kind=Token.Kind.PERSONAL)
    present = {(row["user"], row["organization"]) for row in left}
    for token in personal:
        if (token.owner_user_id, token.organization_id) not in present:
            yield f"token {token.pk} outlived its owner's membership"


def _of_waiting_tokens(changes: Mapping[str, Counter[str]]) -> Iterator[str]:
    """What waits about a token is what the token says waits; what waited works by one approval, or never."""
    issues = Event.objects.filter(action=Action.TOKEN_ISSUED, outcome=Outcome.ALLOWED)
    waited = {pk for pk, data in issues.values_list("target_id", "data") if data.get("status") == "pending"}
    for token in Token.objects.select_related("open_request"):
        counts, request = changes.get(token.pk, Counter()), token.open_request
        begun, refused = counts[Action.TOKEN_ACTIVATED], counts[Action.TOKEN_REJECTED]
        works = token.status in (Token.Status.ACTIVE, Token.Status.DISABLED)
        is_pending = token.status == Token.Status.PENDING
        if begun > (token.pk in waited) or (works and begun < (token.pk in waited)):
            yield f"token {token.pk} is {token.status} with {begun} activations"
        if refused != (token.status == Token.Status.REJECTED) or (is_pending and begun):
            yield f"token {token.pk} is {token.status} with {refused} rejections and {begun} activations"
        if is_pending and request is None:
            yield f"token {token.pk} is pending and waits for nothing"
        if request and (
            not request.is_open
            or (request.kind == "token_issue") != is_pending
            or (request.subject_type, request.subject_id) != ("token", token.pk)
        ):
            yield f"token {token.pk} is {token.status} and waits for {request.kind}, which is {request.status}"
    known = dict(Token.objects.not_ended().values_list("pk", "open_request"))
    for request in ApprovalRequest.objects.open().filter(subject_type="token"):
        if known.get(request.subject_id) != request.pk:
            yield f"request {request.pk} is open, and token {request.subject_id} knows nothing of it"


def _of_requests() -> Iterator[str]:
    """As many events as votes, one end, and what was agreed to done once."""
    counts, votes = _events_of_requests(), _votes()
    for request in ApprovalRequest.objects.all():
        found, cast = counts.get(str(request.pk), Counter()), votes.get(request.pk, Counter())
        told = (found[Action.APPROVAL_GRANTED], found[Action.APPROVAL_REJECTED])
        if told != (cast["approve"], cast["reject"]):
            yield f"request {request.pk} has the votes {dict(cast)} and the events {dict(found)}"
        is_approved = request.status == ApprovalRequest.Status.APPROVED
        expected = {
            Action.APPROVAL_REQUESTED: True,
            EFFECTS_OF_APPROVALS[request.kind]: is_approved,
            **{action: request.status == status for status, action in ENDS_OF_A_REQUEST.items()},
        }
        if any(found[action] != once for action, once in expected.items()):
            yield f"request {request.pk} is {request.status} by the events {dict(found)}"
        if is_approved and cast["standing"] < request.needed:
            yield f"request {request.pk} is approved by {cast['standing']} of {request.needed}"


def _events_of_requests() -> dict[str, Counter[str]]:
    """{id: {action: how often}} of what is said of requests, and of what was done by them."""
    found: dict[str, Counter[str]] = {}
    about = Q(action__startswith="approval.") | Q(action__in=EFFECTS_OF_APPROVALS.values())
    for action, data in Event.objects.filter(about, outcome=Outcome.ALLOWED).values_list("action", "data"):
        if approval := data.get("approval"):
            found.setdefault(approval, Counter())[action] += 1
    return found


def _votes() -> dict[UUID, Counter[str]]:
    """{id: how many of each verdict, and how many approvals stand}"""
    found: dict[UUID, Counter[str]] = {}
    for key, verdict, voided_at in Decision.objects.values_list("request", "verdict", "voided_at"):
        cast = found.setdefault(key, Counter())
        cast[verdict] += 1
        cast["standing"] += voided_at is None and verdict == Decision.Verdict.APPROVE
    return found


def _of_members() -> Iterator[str]:
    """Joined once, which for who opened the organization is its opening; left once or present; an owner everywhere."""
    counts = _counts("member")
    opened = {pk for pk, found in _counts("organization").items() if found[Action.ORGANIZATION_OPENED] == 1}
    for member in Membership.objects.order_by("joined_at"):
        found = counts.get(str(member.pk), Counter())
        is_first = str(member.organization_id) in opened
        opened.discard(str(member.organization_id))
        if found[Action.MEMBER_JOINED] != (not is_first) or found[Action.MEMBER_LEFT] != (
            member.left_at is not None
        ):
            yield f"membership {member.pk} (left: {member.left_at}) has the events {dict(found)}"
        if member.version != 1 + _sum(found, CHANGES_OF_A_MEMBER):
            yield f"membership {member.pk} has version {member.version} and the events {dict(found)}"
    yield from _without_a_row(counts, Action.MEMBER_JOINED, Membership)
    owner = Q(memberships__role="owner", memberships__left_at=None, memberships__suspended_at=None)
    for organization in Organization.objects.exclude(pk__in=Organization.objects.filter(owner)):
        yield f"organization {organization.slug} has no owner"


def _of_machines() -> Iterator[str]:
    counts = _counts("machine")
    for machine in Machine.objects.all():
        found = counts.get(str(machine.pk), Counter())
        gone = machine.deregistered_at is not None
        if found[Action.MACHINE_REGISTERED] != 1 or found[Action.MACHINE_DEREGISTERED] != gone:
            yield f"machine {machine.pk} (deregistered: {gone}) has the events {dict(found)}"
        if machine.version != 1 + _sum(found, CHANGES_OF_A_MACHINE):
            yield f"machine {machine.pk} has version {machine.version} and the events {dict(found)}"
    yield from _without_a_row(counts, Action.MACHINE_REGISTERED, Machine)


def _of_closed_owners() -> Iterator[str]:
    """Closed once, with nothing below that is left: no token, no machine, no entry that names it."""
    for model in (Fleet, Group, Application):
        kind = model._meta.model_name or ""
        counts = _counts(kind)
        for owner in model._default_manager.exclude(closed_at=None):
            if counts.get(str(owner.pk), Counter())[f"{kind}.closed"] != 1:
                yield f"{kind} {owner.slug} is closed without the event"
            for token in Token.objects.of_owner(owner).not_ended():
                yield f"token {token.pk} outlived its {kind}"
    for machine in Machine.objects.filter(deregistered_at=None).exclude(fleet__closed_at=None):
        yield f"machine {machine.pk} outlived its fleet"
    for entry in AclEntry.objects.exclude(group__closed_at=None).exclude(group=None):
        yield f"an entry at {entry.path} names a closed group"
    removed = User.objects.filter(technical__kind=TechnicalUser.Kind.TECHNICAL_USER, is_active=False)
    for token in Token.objects.not_ended().filter(principal__in=removed):
        yield f"token {token.pk} outlived its technical user"


def _of_idempotency() -> Iterator[str]:
    for row in IdempotencyKey.objects.filter(resource=""):
        yield f"the key {row.key} of {row.actor} is remembered for nothing"


def _of_versions(*, valkey_lost_its_data: bool) -> Iterator[str]:
    """What is published is never newer than the database, and older only where the outbox still owes it."""
    owed: dict[str, int] = {}
    for row in OutboxRow.objects.filter(kind="versions"):
        for key, version in currency.versions_in(row.payload).items():
            owed[key] = max(version, owed.get(key, 0))
    versions = {
        currency.key(model.currency_kind, pk): version
        for model in (Organization, User, Token)
        for pk, version in model._default_manager.values_list("pk", "version")
    }
    published = _published(list(versions))
    for key, version in versions.items():
        there = published[key]
        if (there or 0) > version or owed.get(key, 0) > version:
            yield f"{key} is published as {there} and owed as {owed.get(key)}, but is {version}"
        unknown = there is None and (version == 1 or valkey_lost_its_data)
        if there != version and not unknown and owed.get(key) != version:
            yield f"{key} is {version}, published as {there}, and nothing owes it"


def _published(keys: list[str]) -> dict[str, int | None]:
    if not keys:
        return {}
    client: Any = Redis.from_url(settings.REDIS.state, decode_responses=True)
    try:
        values = client.mget(keys)
    finally:
        client.close()
    return {key: None if value is None else int(value) for key, value in zip(keys, values, strict=True)}


def _without_a_row(counts: Mapping[str, Counter[str]], made: Action, model: type[Model]) -> Iterator[str]:
    ids = {str(pk) for pk in model._default_manager.values_list("pk", flat=True)}
    for pk, found in counts.items():
        if found[made] and pk not in ids:
            yield f"an event says {made} of {pk}, which is not there"


def _sum(counts: Counter[str], actions: Iterable[Action]) -> int:
    return sum(counts[action] for action in actions)


def _instant_of(request_id: str) -> datetime:
    """When a request began: its id is a UUIDv7."""
    return EPOCH + timedelta(milliseconds=UUID(request_id).int >> 80)
