"""What must hold of the whole database after any race, fault or crash, whatever was going on.

`broken()` lists what does not hold; `assert_hold()` is for tests. `Trail` remembers the events of an earlier moment:
they are all still there, as they were, and what was added since is younger. Each table is read once, in plain rows.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Model
from redis import Redis

from approvals.models import ApprovalRequest, Decision
from audit.actions import Action
from audit.models import OutboxRow
from config.edge.clock import now
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
from tests.trails import EFFECTS_OF_APPROVALS, ENDS_OF_A_REQUEST, Sums, Trail
from tokens.models import Grant, Token, TokenSecret

__all__ = ["Trail", "assert_hold", "broken", "of_the_database_file"]

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
OWNERS: dict[str, type[Model]] = {"fleet": Fleet, "group": Group, "application": Application}
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
    trail = trail or Trail()
    yield from trail.broken()
    sums, tokens, requests = trail.sums, _tokens(), _requests()
    yield from _of_tokens(tokens, sums)
    yield from _of_secrets(tokens, sums)
    yield from _of_ended_tokens(tokens, sums, revoked or {})
    yield from _of_waiting_tokens(tokens, requests, sums)
    yield from _of_requests(requests, sums)
    members = _members()
    yield from _of_members(members, sums)
    yield from _of_owners_who_left(tokens, members)
    yield from _of_machines(sums)
    yield from _of_closed_owners(tokens, sums)
    yield from _of_idempotency()
    yield from _of_versions(tokens, valkey_lost_its_data=valkey_lost_its_data)


def of_the_database_file() -> list[str]:
    """What the database itself says of its own soundness."""
    if connection.vendor != "sqlite":
        return []
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        found = [str(row[0]) for row in cursor.fetchall() if row[0] != "ok"]
        cursor.execute("PRAGMA foreign_key_check")
        return found + [f"a foreign key of {row[0]} leads nowhere" for row in cursor.fetchall()]


def _tokens() -> Sequence[Any]:
    """{pk, status, …} of each, with what is said here of its principal and its owner."""
    columns = (
        *("pk", "version", "status", "kind", "organization_id", "owner_user_id", "open_request_id"),
        *("principal__is_active", "principal__technical__kind"),
        *(f"owner_{kind}__closed_at" for kind in OWNERS),
    )
    return list(Token.objects.order_by().values_list(*columns, named=True))


def _requests() -> Sequence[Any]:
    columns = ("pk", "status", "kind", "needed", "subject_type", "subject_id")
    return list(ApprovalRequest.objects.order_by().values_list(*columns, named=True))


def _members() -> Sequence[Any]:
    columns = ("pk", "version", "role", "left_at", "suspended_at", "user_id", "organization_id")
    return list(Membership.objects.order_by("joined_at").values_list(*columns, named=True))


def _is_ended(token: Any) -> bool:
    return token.status in Token.ENDED


def _of_tokens(tokens: Sequence[Any], sums: Sums) -> Iterator[str]:
    """A change and its event are both there or both not; no token without its issue."""
    changes = sums.to("token")
    for token in tokens:
        counts, is_ended = changes.get(token.pk, Counter()), _is_ended(token)
        if counts[Action.TOKEN_ISSUED] != 1:
            yield f"token {token.pk} has {counts[Action.TOKEN_ISSUED]} events of its issue"
        if token.version != 1 + _sum(counts, CHANGES_OF_A_TOKEN):
            yield f"token {token.pk} has version {token.version} and the events {dict(counts)}"
        times_off = counts[Action.TOKEN_DISABLED] - counts[Action.TOKEN_ENABLED]
        if not is_ended and times_off != (token.status == Token.Status.DISABLED):
            yield f"token {token.pk} is {token.status} by the events {dict(counts)}"
        if token.kind == Token.Kind.FLEET and token.principal__is_active == is_ended:
            yield f"token {token.pk} is {token.status}, its technical user active: {token.principal__is_active}"
    ids = {token.pk for token in tokens}
    issued = (pk for pk, counts in changes.items() if counts[Action.TOKEN_ISSUED])
    yield from (f"an event issues token {pk}, which is not there" for pk in issued if pk not in ids)


def _of_secrets(tokens: Sequence[Any], sums: Sums) -> Iterator[str]:
    """Exactly one newest secret, at most two that work, one for the issue and for each rotation."""
    at, changes = now(), sums.to("token")
    secrets: dict[str, list[tuple[int, datetime | None]]] = {}
    stored = TokenSecret.objects.order_by("generation")
    for pk, generation, valid_until in stored.values_list("token_id", "generation", "valid_until"):
        secrets.setdefault(pk, []).append((generation, valid_until))
    for token in tokens:
        rows = secrets.get(token.pk, [])
        generations = [generation for generation, _ in rows]
        made = 1 + changes.get(token.pk, Counter())[Action.TOKEN_ROTATED]
        if generations != list(range(1, made + 1)):
            yield f"token {token.pk} has the secrets {generations}, and events that made {made}"
        if _is_ended(token):
            continue
        newest = [generation for generation, valid_until in rows if valid_until is None]
        if newest != generations[-1:]:
            yield f"token {token.pk} has the newest secrets {newest} of {generations}"
        live = sum(valid_until is None or at < valid_until for _, valid_until in rows)
        if not 1 <= live <= MOST_LIVE_SECRETS:
            yield f"token {token.pk} has {live} secrets that work"


def _of_ended_tokens(
    tokens: Sequence[Any], sums: Sums, acknowledged: Mapping[str, datetime]
) -> Iterator[str]:
    """Revoked once, with everything that it had gone, and never used by a call that began afterwards."""
    changes = sums.to("token")
    with_grants = set(Grant.objects.order_by().values_list("token_id", flat=True))
    for token in tokens:
        count = changes.get(token.pk, Counter())[Action.TOKEN_REVOKED]
        if count != (token.status == Token.Status.REVOKED):
            yield f"token {token.pk} is {token.status} with {count} revocations"
        if _is_ended(token) and token.pk in with_grants:
            yield f"token {token.pk} is {token.status} and has grants"
    for pk in acknowledged.keys() - {token.pk for token in tokens if _is_ended(token)}:
        yield f"the revocation of token {pk} was acknowledged and is lost"
    ends = {pk: at + LONGEST_COMMIT for pk, at in sums.revoked.items()} | dict(acknowledged)
    for pk, began in sums.last_used.items():
        if pk in ends and began > ends[pk]:
            yield f"token {pk} was used by a call that began {began - ends[pk]} after it was revoked"


def _of_waiting_tokens(tokens: Sequence[Any], requests: Sequence[Any], sums: Sums) -> Iterator[str]:
    """What waits about a token is what the token says waits; what waited works by one approval, or never."""
    changes, by_key = sums.to("token"), {request.pk: request for request in requests}
    for token in tokens:
        counts, request = changes.get(token.pk, Counter()), by_key.get(token.open_request_id)
        begun, refused = counts[Action.TOKEN_ACTIVATED], counts[Action.TOKEN_REJECTED]
        works = token.status in (Token.Status.ACTIVE, Token.Status.DISABLED)
        is_pending, waited = token.status == Token.Status.PENDING, token.pk in sums.waited
        if begun > waited or (works and begun < waited):
            yield f"token {token.pk} is {token.status} with {begun} activations"
        if refused != (token.status == Token.Status.REJECTED) or (is_pending and begun):
            yield f"token {token.pk} is {token.status} with {refused} rejections and {begun} activations"
        if is_pending and request is None:
            yield f"token {token.pk} is pending and waits for nothing"
        if request and (
            request.status != ApprovalRequest.Status.OPEN
            or (request.kind == "token_issue") != is_pending
            or (request.subject_type, request.subject_id) != ("token", token.pk)
        ):
            yield f"token {token.pk} is {token.status} and waits for {request.kind}, which is {request.status}"
    known = {token.pk: token.open_request_id for token in tokens if not _is_ended(token)}
    for request in requests:
        is_open = request.status == ApprovalRequest.Status.OPEN and request.subject_type == "token"
        if is_open and known.get(request.subject_id) != request.pk:
            yield f"request {request.pk} is open, and token {request.subject_id} knows nothing of it"


def _of_requests(requests: Sequence[Any], sums: Sums) -> Iterator[str]:
    """As many events as votes, one end, and what was agreed to done once."""
    votes = _votes()
    for request in requests:
        found, cast = sums.of_requests.get(str(request.pk), Counter()), votes.get(request.pk, Counter())
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


def _votes() -> dict[UUID, Counter[str]]:
    """{id: how many of each verdict, and how many approvals stand}"""
    found: dict[UUID, Counter[str]] = {}
    rows = Decision.objects.order_by().values_list("request", "verdict", "voided_at")
    for key, verdict, voided_at in rows:
        cast = found.setdefault(key, Counter())
        cast[verdict] += 1
        cast["standing"] += voided_at is None and verdict == Decision.Verdict.APPROVE
    return found


def _of_members(members: Sequence[Any], sums: Sums) -> Iterator[str]:
    """Joined once, which for who opened the organization is its opening; left once or present; an owner everywhere."""
    counts, organizations = sums.to("member"), sums.to("organization")
    opened = {pk for pk, found in organizations.items() if found[Action.ORGANIZATION_OPENED] == 1}
    for member in members:
        found = counts.get(str(member.pk), Counter())
        is_first = str(member.organization_id) in opened
        opened.discard(str(member.organization_id))
        if found[Action.MEMBER_JOINED] != (not is_first) or found[Action.MEMBER_LEFT] != (
            member.left_at is not None
        ):
            yield f"membership {member.pk} (left: {member.left_at}) has the events {dict(found)}"
        if member.version != 1 + _sum(found, CHANGES_OF_A_MEMBER):
            yield f"membership {member.pk} has version {member.version} and the events {dict(found)}"
    yield from _without_a_row(counts, Action.MEMBER_JOINED, members)
    owned = {
        member.organization_id
        for member in members
        if (member.role, member.left_at, member.suspended_at) == ("owner", None, None)
    }
    for pk, slug in Organization.objects.order_by().values_list("pk", "slug"):
        if pk not in owned:
            yield f"organization {slug} has no owner"


def _of_owners_who_left(tokens: Sequence[Any], members: Sequence[Any]) -> Iterator[str]:
    present = {(member.user_id, member.organization_id) for member in members if member.left_at is None}
    for token in tokens:
        is_theirs = token.kind == Token.Kind.PERSONAL and not _is_ended(token)
        if is_theirs and (token.owner_user_id, token.organization_id) not in present:
            yield f"token {token.pk} outlived its owner's membership"


def _of_machines(sums: Sums) -> Iterator[str]:
    counts = sums.to("machine")
    columns = ("pk", "version", "deregistered_at", "fleet__closed_at")
    machines: Sequence[Any] = list(Machine.objects.order_by().values_list(*columns, named=True))
    for machine in machines:
        found = counts.get(str(machine.pk), Counter())
        gone = machine.deregistered_at is not None
        if found[Action.MACHINE_REGISTERED] != 1 or found[Action.MACHINE_DEREGISTERED] != gone:
            yield f"machine {machine.pk} (deregistered: {gone}) has the events {dict(found)}"
        if machine.version != 1 + _sum(found, CHANGES_OF_A_MACHINE):
            yield f"machine {machine.pk} has version {machine.version} and the events {dict(found)}"
        if machine.fleet__closed_at is not None and not gone:
            yield f"machine {machine.pk} outlived its fleet"
    yield from _without_a_row(counts, Action.MACHINE_REGISTERED, machines)


def _of_closed_owners(tokens: Sequence[Any], sums: Sums) -> Iterator[str]:
    """Closed once, with nothing below that is left: no token, no entry that names it; so for who is removed."""
    for kind, model in OWNERS.items():
        counts = sums.to(kind)
        for pk, slug in model._default_manager.exclude(closed_at=None).values_list("pk", "slug"):
            if counts.get(str(pk), Counter())[f"{kind}.closed"] != 1:
                yield f"{kind} {slug} is closed without the event"
    for token in tokens:
        if _is_ended(token):
            continue
        for kind in OWNERS:
            if getattr(token, f"owner_{kind}__closed_at") is not None:
                yield f"token {token.pk} outlived its {kind}"
        is_shared = token.principal__technical__kind == TechnicalUser.Kind.TECHNICAL_USER
        if is_shared and not token.principal__is_active:
            yield f"token {token.pk} outlived its technical user"
    named = AclEntry.objects.exclude(group=None).exclude(group__closed_at=None)
    for path in named.values_list("path", flat=True):
        yield f"an entry at {path} names a closed group"


def _of_idempotency() -> Iterator[str]:
    for row in IdempotencyKey.objects.filter(resource=""):
        yield f"the key {row.key} of {row.actor} is remembered for nothing"


def _of_versions(tokens: Sequence[Any], *, valkey_lost_its_data: bool) -> Iterator[str]:
    """What is published is never newer than the database, and older only where the outbox still owes it."""
    owed: dict[str, int] = {}
    for payload in OutboxRow.objects.filter(kind="versions").values_list("payload", flat=True):
        for key, version in currency.versions_in(payload).items():
            owed[key] = max(version, owed.get(key, 0))
    versions = {currency.key("token", token.pk): token.version for token in tokens}
    for model in (Organization, User):
        rows = model._default_manager.order_by().values_list("pk", "version")
        versions |= {currency.key(model.currency_kind, pk): version for pk, version in rows}
    published = _published(list(versions))
    for key, version in versions.items():
        there = published[key]
        if (there or 0) > version or owed.get(key, 0) > version:
            yield f"{key} is published as {there} and owed as {owed.get(key)}, but is {version}"
        unknown = there is None and (version == 1 or valkey_lost_its_data)
        if there != version and not unknown and owed.get(key) != version:
            yield f"{key} is {version}, published as {there}, and nothing owes it"


def _published(keys: list[str]) -> dict[str, int | None]:
    values = _valkey(settings.REDIS.state).mget(keys) if keys else []
    return {key: None if value is None else int(value) for key, value in zip(keys, values, strict=True)}


@functools.cache
def _valkey(url: str) -> Any:
    return Redis.from_url(url, decode_responses=True)


def _without_a_row(counts: Mapping[str, Counter[str]], made: Action, present: Sequence[Any]) -> Iterator[str]:
    ids = {str(row.pk) for row in present}
    for pk, found in counts.items():
        if found[made] and pk not in ids:
            yield f"an event says {made} of {pk}, which is not there"


def _sum(counts: Counter[str], actions: Iterable[Action]) -> int:
    return sum(counts[action] for action in actions)
