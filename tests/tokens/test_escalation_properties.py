"""No escalation: whoever asks for whatever, nobody comes to hold a (scope, path) that the caller lacked.

What is held is worked out by `tests.second_reading`, from raw rows, before and after; the product is asked as it is in
the open, over its API. A right that comes back with a resumption counts as held all along: it was judged when given.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from config.edge.refusals import DomainError
from fleets import holdings, machines
from fleets.models import (
    AclEntry,
    ApplicationMembership,
    FleetMembership,
    GroupMembership,
    Machine,
    Membership,
    OrganizationRole,
    User,
)
from fleets.scopes import parse_scopes
from tests.factories import acting, last_event, operator
from tests.second_reading import (
    BUILT_IN,
    EVERY,
    GROUP_ADMIN,
    OF_ORGANIZATION,
    WORK,
    Pairs,
    Reading,
    Scopes,
    walked,
)
from tests.tokens.issuing import REASON, present
from tests.tokens.small_world import STEWARD, SmallWorld
from tokens import lifecycle
from tokens.changes import Edit
from tokens.issuance import GrantWish, Issued, Wish
from tokens.kinds import Owner

API = "/api/v1/"
slowly = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=1000 if "SOAK_ROUNDS" in os.environ else 50,  # each reads the world twice
)


@pytest.fixture
def world(db: None) -> SmallWorld:
    return SmallWorld()


@contextmanager
def undone() -> Iterator[None]:
    """What is done inside is gone afterwards, so that the examples do not meet."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@dataclass(frozen=True)
class Wanted:
    """A request that could give somebody something."""

    method: str
    path: str
    body: dict[str, Any] | None = None


# What can be asked for, each thing by everybody

CEILINGS: list[dict[str, Any]] = [
    {"scopes": ["machines:read"]},
    {"scopes": ["machines:read", "permissions:manage", "tokens:manage"]},
    {"scopes": ["files:read"]},
    {"role": "Viewer"},
    {"role": "Admin"},
    {"role": "GroupAdmin"},
    {"role": "Steward"},
]
ROLES = ["Viewer", "Admin", "GroupAdmin", "Administrator", "NoAccess", "Steward", "Files", "Nothing"]


def wanted(world: SmallWorld) -> list[Wanted]:
    return [
        *of_members(world),
        *of_owners(world),
        *of_machines(world),
        *of_entries_and_roles(world),
        *of_tokens(world),
    ]


def of_members(world: SmallWorld) -> Iterator[Wanted]:
    for role in Membership.Role.values:
        for username in ("somebody-new", world.stranger.username):
            yield Wanted("POST", "members/", {"username": username, "name": "New", "role": role})
    for place in Membership.objects.filter(organization=world.acme):
        here = f"members/{place.pk}/"
        yield from (Wanted("PATCH", here, {"role": role}) for role in Membership.Role.values)
        yield Wanted("DELETE", here)
        yield from (Wanted("POST", f"{here}{verb}/", {}) for verb in ("suspend", "resume"))


def of_owners(world: SmallWorld) -> Iterator[Wanted]:
    """Fleets, groups and applications, who belongs to them, and technical users."""
    belongings: list[tuple[str, Any, Any]] = [
        *(("fleet", fleet, FleetMembership) for fleet in (world.edge, world.core)),
        *(("group", group, GroupMembership) for group in (world.crew, world.night)),
        ("application", world.app, ApplicationMembership),
    ]
    for kind, owner, model in belongings:
        here = f"{kind}s/{owner.pk}/members/"
        roles = model.Role.values
        for person in world.people.values():
            yield from (Wanted("POST", here, {"username": person.username, "role": role}) for role in roles)
        for place in model.objects.filter(**{kind: owner}):
            if kind != "application":
                yield from (Wanted("PATCH", f"{here}{place.pk}/", {"role": role}) for role in roles)
            yield Wanted("DELETE", f"{here}{place.pk}/")
        yield Wanted("DELETE", f"{kind}s/{owner.pk}/")
        yield Wanted("POST", f"{kind}s/", {"slug": "new", "name": "New"})
    yield Wanted("POST", "technical-users/", {"username": "new-robot"})
    yield Wanted("DELETE", f"technical-users/{world.robot.pk}/")


def of_entries_and_roles(world: SmallWorld) -> Iterator[Wanted]:
    subjects = [{"user": person.username} for person in world.people.values()]
    subjects += [{"user": each.token.principal.username} for each in world.tokens.values()]
    subjects += [{"user": world.robot.username}, {"group": "crew"}, {"group": "night"}]
    for path in world.named:
        for role in ROLES:
            for subject in subjects:
                yield Wanted(
                    "POST", "acl/", {"path": path, "role": role, "propagate": role != "Files", **subject}
                )
    for entry in AclEntry.objects.filter(organization=world.acme):
        yield Wanted("DELETE", f"acl/{entry.pk}/")
        yield from (Wanted("PATCH", f"acl/{entry.pk}/", {"role": role}) for role in ROLES)
        yield Wanted("PATCH", f"acl/{entry.pk}/", {"propagate": not entry.propagate})
    for scopes in (["machines:read"], [*STEWARD, "machines:create"], ["permissions:manage"]):
        yield Wanted("POST", "roles/", {"name": "New", "scopes": scopes})
        for own in OrganizationRole.objects.filter(organization=world.acme):
            yield Wanted("PATCH", f"roles/{own.pk}/", {"scopes": scopes})
            yield Wanted("DELETE", f"roles/{own.pk}/")


def of_machines(world: SmallWorld) -> Iterator[Wanted]:
    for fleet in (world.edge, world.core):
        yield Wanted("POST", "machines/", {"fleet": fleet.slug, "name": "new", "vmid": 102})
        for machine in world.machines:
            yield Wanted("POST", f"machines/{machine.pk}/move/", {"fleet": fleet.slug})
    for machine in world.machines:
        yield Wanted("DELETE", f"machines/{machine.pk}/")


def reaches(world: SmallWorld) -> list[dict[str, Any]]:
    row = {"path": "/", "role": "Administrator"}
    return [
        {},
        {"privilege_separation": False},
        {"machines": [str(world.machines[0].pk)]},
        {"machines": [str(world.machines[1].pk), str(world.machines[2].pk)]},
        {"machines": "all"},
        {"grants": []},
        {"grants": [row]},
        {"grants": [row, {"path": world.machines[1].path, "role": "NoAccess"}]},
        {"grants": [{"path": world.core.path, "role": "Steward"}, {"path": "/nodes", "role": "Files"}]},
        {"grants": [{"path": world.edge.path, "role": "GroupAdmin"}]},
    ]


def of_tokens(world: SmallWorld) -> Iterator[Wanted]:
    options = reaches(world)
    for owner in (*world.owners, *(person.username for person in world.people.values())):
        for ceiling in CEILINGS:
            for reach in options:
                yield Wanted(
                    "POST", "tokens/", {"owner": owner, "name": "new", "reason": REASON, **ceiling, **reach}
                )
    for issued in world.tokens.values():
        here = f"tokens/{issued.token.pk}/"
        changes = [*CEILINGS, *options[2:], {"extended": ["networks"]}, {"role": "Admin", "machines": "all"}]
        yield from (Wanted("PATCH", here, {"reason": REASON, **change}) for change in changes)
        yield from (
            Wanted("POST", f"{here}{verb}/", {}) for verb in ("rotate", "disable", "enable", "revoke")
        )
        for path in world.named:
            for role in (None, "Administrator", "NoAccess", "Files"):
                yield Wanted("POST", f"{here}grants/", {"path": path, "role": role, "reason": REASON})
        for grant in issued.token.grants.all():
            yield Wanted("DELETE", f"{here}grants/{grant.number}/", {"reason": REASON})


# What is asked, and what must not come of it


def send(world: SmallWorld, caller: str, asked: Wanted) -> Any:
    text = "" if asked.body is None else json.dumps(asked.body)
    return world.clients[caller].generic(asked.method, API + asked.path, text, "application/json")


def gained(
    before: dict[Any, Pairs], after: dict[Any, Pairs], reading: Reading
) -> dict[Any, set[tuple[str, str]]]:
    """What each holds now and did not, where anything still is."""
    gains = {who: pairs - before.get(who, frozenset()) for who, pairs in after.items()}
    return {who: {pair for pair in pairs if reading.is_there(pair[1])} for who, pairs in gains.items()}


def learnt(answer: Any) -> str:
    """The id of the token whose new secret the caller was shown."""
    document = answer.json() if answer.content else {}
    return str(document.get("secret", "__")).split("_")[1]


def assert_nothing_is_gained(world: SmallWorld, caller: str, asked: Wanted) -> int:
    before = world.reading()
    held, own = before.everybody(world.paths), world.caller(caller, before)

    answer = send(world, caller, asked)

    after = world.reading()
    gains = gained(held, after.everybody(world.paths), after)
    excess = {name_of(after, who): sorted(pairs - own) for who, pairs in gains.items() if pairs - own}
    assert answer.status_code < 500, answer.content
    assert not excess, f"{caller}: {asked} ({answer.status_code})"
    if token_id := learnt(answer):
        beyond = after.token(token_id, world.paths) - own
        assert not beyond, f"{caller}: {asked} shows the secret of a token that may {sorted(beyond)}"
    return int(answer.status_code)


def name_of(reading: Reading, who: Any) -> str:
    return reading.users[who].username if who in reading.users else f"token {reading.tokens[who].name}"


@given(data=st.data(), steps=st.sampled_from([1, 1, 2]))
@slowly
def test_nobody_gains_by_a_request_what_its_caller_lacks(
    world: SmallWorld, data: st.DataObject, steps: int
) -> None:
    with undone():
        for _ in range(steps):  # the second finds what the first has made of the world
            caller = data.draw(st.sampled_from(sorted(world.clients)))
            asked = data.draw(st.sampled_from(wanted(world)))
            status = assert_nothing_is_gained(world, caller, asked)
            event(f"{asked.method} {asked.path.split('/')[0]}: {status}")


# No token exceeds its principal, whatever is entered and issued

ROLES_IN_ROWS = st.sampled_from([*BUILT_IN, "Steward", "Files", "Nothing"])
CAN_HAVE: dict[str, tuple[list[str], Scopes]] = {  # roles and scopes of which a ceiling of its tokens can be
    "steward": (["Viewer", "Admin", "GroupAdmin", "Steward", "Files"], EVERY - {"approvals:decide"}),
    "denied admin": (["Viewer", "Operator", "Admin", "Admin"], EVERY - {"approvals:decide"}),
    "fleet:edge": (["Viewer", "Operator", "Admin", "GroupAdmin", "Files"], WORK),
    "group:crew": (["Viewer", "Operator", "Admin", "GroupAdmin"], GROUP_ADMIN),
    "organization:small": (["Viewer", "Operator", "Admin", "Admin"], OF_ORGANIZATION["Admin"]),
    "application:app": (["Viewer", "Operator", "Admin", "Files"], EVERY - {"approvals:decide"}),
    "technical:robot": (["Viewer", "Operator", "Admin", "Steward"], EVERY - {"approvals:decide"}),
}
owners = st.sampled_from(sorted(CAN_HAVE))
MAY_BE_WHOLE = {"steward", "denied admin", "technical:robot"}


def owner_of(world: SmallWorld, name: str) -> Owner:
    return world.people[name] if name in world.people else world.owners[name]


def some_wish(data: st.DataObject, world: SmallWorld, owner: str, *, of_ceiling: bool = True) -> Wish:
    """Something that can be meant of this owner's tokens, mostly."""
    roles, scopes = CAN_HAVE[owner]
    is_fleet = owner == "fleet:edge"
    parts: dict[str, Any] = {}
    if of_ceiling and data.draw(st.booleans()):
        parts["role"] = data.draw(st.sampled_from(roles))
    elif of_ceiling:
        names = data.draw(st.frozensets(st.sampled_from(sorted(scopes)), min_size=1, max_size=6))
        parts["scopes"] = parse_scopes(sorted(names))
    kind = data.draw(st.sampled_from(["nothing", "all", "machines", "rows", "rows"]))
    if kind == "all":
        parts["machines"] = "all"
    elif kind == "machines":
        among = world.machines[:2] if is_fleet else world.machines
        chosen = data.draw(st.lists(st.sampled_from(among), min_size=1, max_size=2, unique=True))
        parts["machines"] = tuple(machine.pk for machine in chosen)
    elif kind == "rows":
        paths = [path for path in world.named if not is_fleet or path.startswith(world.edge.path)]
        chosen_paths = data.draw(st.lists(st.sampled_from(paths), max_size=4, unique=True))
        parts["grants"] = tuple(
            GrantWish(path, data.draw(ROLES_IN_ROWS), data.draw(st.booleans())) for path in chosen_paths
        )
    is_admin_of_all = (
        parts.get("role", "Admin") == "Admin" and "scopes" not in parts and kind in ("nothing", "all")
    )
    if is_admin_of_all and data.draw(st.booleans()):
        parts["extended"] = data.draw(st.frozensets(st.sampled_from(["templates", "networks", "images"])))
    return Wish(**parts)


def issued_at_random(data: st.DataObject, world: SmallWorld, owner: str) -> Issued:
    """By the operator, whom nothing bounds."""
    wish = some_wish(data, world, owner)
    if (
        owner in MAY_BE_WHOLE
        and wish.grants is None
        and not isinstance(wish.machines, tuple)
        and not wish.extended
    ):
        wish = replace(wish, privilege_separation=data.draw(st.booleans()))
    return world.issue(owner_of(world, owner), wish)


@given(data=st.data(), owner=owners)
@slowly
def test_no_token_exceeds_whom_it_acts_as(world: SmallWorld, data: st.DataObject, owner: str) -> None:
    with undone():
        try:
            issued = issued_at_random(data, world, owner)
        except DomainError as refusal:
            event(refusal.code)
            return
        principal = issued.token.principal
        subjects: list[dict[str, Any]] = [
            *({"user": user} for user in (principal, world.people["steward"])),
            *({"group": group} for group in (world.crew, world.night)),
        ]
        for _ in range(data.draw(st.integers(0, 4))):
            subject, path = data.draw(st.sampled_from(subjects)), data.draw(st.sampled_from(world.named))
            if not AclEntry.objects.filter(path=path, **subject).exists():
                world.entry(path, data.draw(ROLES_IN_ROWS), propagate=data.draw(st.booleans()), **subject)
        reading = world.reading()
        may, mays = reading.token(issued.token.pk, world.paths), reading.person(principal.pk, world.paths)

        assert may <= mays
        rights = acting(issued).rights(world.acme.pk)
        assert {(scope, path) for path in world.paths for scope in rights.at(path)} == may
        held = holdings.rights_of(User.objects.get(pk=principal.pk), world.acme.pk)
        assert {(scope, path) for path in world.paths for scope in held.at(path)} == mays
        event(f"{issued.token.kind} may {'something' if may else 'nothing'}")


# No widening passes for a narrowing


def granted(world: SmallWorld, reading: Reading, token_id: str) -> Pairs:
    """What the stored token would allow if its principal could do everything, and if all that is gone came back."""
    ceiling, rows = reading.ceiling(token_id), reading.rows(token_id, dead_too=True)
    return frozenset(
        (scope, path)
        for path in world.paths
        for scope in (ceiling if rows is None else ceiling & walked(rows, path)[0])
    )


@given(data=st.data(), owner=owners, of_ceiling=st.booleans(), gone=st.booleans())
@slowly
def test_no_edit_that_gains_something_counts_as_narrowing(
    world: SmallWorld, data: st.DataObject, owner: str, of_ceiling: bool, gone: bool
) -> None:
    with undone():
        try:
            issued = issued_at_random(data, world, owner)
            asked = some_wish(data, world, owner, of_ceiling=of_ceiling)
            if gone and not isinstance(asked.machines, tuple) and not asked.grants:
                machines.deregister(Machine.objects.get(pk=world.machines[0].pk), by=operator)
            before = world.reading()
            lifecycle.edit(present(issued), change=Edit(wish=asked), reason=REASON, by=operator)
        except DomainError as refusal:
            event(refusal.code)
            return
        after, key = world.reading(), issued.token.pk
        widens = last_event(action="token.edited").data["widens"]
        event(f"{issued.token.kind} {widens=}")

        more = granted(world, after, key) - granted(world, before, key)
        assert widens or not more
        assert widens or after.ceiling(key) <= before.ceiling(key)
        assert widens or after.token(key, world.paths) <= before.token(key, world.paths)
