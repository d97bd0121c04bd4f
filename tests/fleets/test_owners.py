"""Fleets, groups and applications: opened, changed, closed with all that is below them, and by whom."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from audit.models import Event
from config.edge.redis import state
from config.edge.refusals import Conflict, DomainError, IllegalMove, Invalid, Refused
from fleets import consequences, currency, machines, membership, owners
from fleets.models import AclEntry, Application, Fleet, Group, Machine, Organization, TechnicalUser, User
from tests.factories import (
    acting,
    application_owner,
    events,
    fleet_member,
    last_event,
    make_application,
    make_application_member,
    make_consequences,
    make_entry,
    make_fleet,
    make_fleet_member,
    make_group,
    make_group_member,
    make_machine,
    make_organization,
    make_token,
    member,
    operator,
    owner_of,
    session,
    token_client,
)
from tokens import policy
from tokens.issuance import GrantWish, Issued
from tokens.models import Token

pytestmark = pytest.mark.django_db
MAKE: dict[str, Callable[..., Any]] = {
    "fleet": make_fleet,
    "group": make_group,
    "application": make_application,
}
MODEL: dict[str, Any] = {"fleet": Fleet, "group": Group, "application": Application}
each_kind = pytest.mark.parametrize("kind", MAKE)


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def open_(kind: str, organization: Organization, slug: str, by: Any) -> Any:
    return getattr(owners, f"open_{kind}")(organization, slug=slug, name=slug.title(), by=by)


def close(owner: Any, by: Any = operator, **said: str) -> owners.Ended:
    ended: owners.Ended = getattr(owners, f"close_{owner._meta.model_name}")(owner, by=by, **said)
    return ended


def change(owner: Any, by: Any) -> None:
    verbs: dict[str, Callable[..., None]] = {
        "fleet": owners.rename_fleet,
        "group": owners.rename_group,
        "application": owners.change_application,
    }
    verbs[owner._meta.model_name](owner, name="Renamed", by=by)


def token_of(owner: Any) -> Issued:
    """One that could work: of an application's, what it holds is for entries to say."""
    if isinstance(owner, Group):
        make_entry(owner.organization, "/nodes/n1", "GroupUser", group=owner)
    return make_token(owner, "machines:read")


def status_of(issued: Issued) -> tuple[str, str]:
    token = Token.objects.get(pk=issued.token.pk)
    return token.status, token.status_reason


# Opening and changing


@each_kind
def test_a_slug_is_never_reused_where_it_was_used(acme: Organization, kind: str) -> None:
    first = MAKE[kind](acme, "edge")
    close(first)

    with pytest.raises(Conflict) as refusal:
        MAKE[kind](acme, "edge")

    assert refusal.value.code == "slug_taken"
    MAKE[kind](make_organization("other"), "edge")  # another organization's slugs are its own


@each_kind
def test_who_manages_permissions_at_the_root_opens_and_nobody_else(acme: Organization, kind: str) -> None:
    edge = make_fleet(acme, "edge-of-a-delegate")
    delegate = member(acme)
    make_entry(acme, edge.path, "Administrator", user=delegate)
    open_(kind, acme, "fresh", session(member(acme, "admin")))

    for by in (
        *(session(member(acme, role)) for role in ("approver", "auditor", "member")),
        session(delegate),
    ):
        with pytest.raises(Refused):
            open_(kind, acme, "refused", by)
        assert last_event().outcome == "denied"
    assert [row.slug for row in MODEL[kind].objects.exclude(pk=edge.pk)] == ["fresh"]
    assert events(action=f"{kind}.opened", organization_id=acme.pk)[-5:] == [
        f"{kind}.opened allowed",
        *[f"{kind}.opened denied"] * 4,
    ]


@each_kind
def test_a_rename_leaves_what_was_and_what_is(acme: Organization, kind: str) -> None:
    owner = MAKE[kind](acme, "edge")

    change(owner, session(owner_of(acme)))

    assert MODEL[kind].objects.get(pk=owner.pk).name == "Renamed"
    assert last_event(action=f"{kind}.changed").data["changes"] == {"name": ["Edge", "Renamed"]}
    with pytest.raises(Refused):
        change(owner, session(member(acme)))


def test_an_application_is_described(acme: Organization) -> None:
    billing = owners.open_application(acme, slug="billing", name="Billing", description="Pays", by=operator)

    owners.change_application(billing, description="Pays and counts", by=operator)

    assert Application.objects.get().description == "Pays and counts"
    assert last_event(action="application.changed").data["changes"] == {
        "description": ["Pays", "Pays and counts"]
    }
    with pytest.raises(ValidationError):
        owners.change_application(billing, description="x" * 501, by=operator)
    with pytest.raises(Refused):  # its owners manage its tokens, not what it is
        owners.change_application(billing, name="Mine", by=session(application_owner(billing)))


# Closing


@each_kind
def test_closing_ends_its_tokens_and_no_others(acme: Organization, kind: str) -> None:
    owner, twin = MAKE[kind](acme), MAKE[kind](acme)
    elsewhere = MAKE[kind](make_organization("other"), owner.slug)
    ended, kept = (
        token_of(owner),
        [token_of(twin), token_of(elsewhere), make_token(owner_of(acme), "machines:read")],
    )

    result = close(owner, session(owner_of(acme)), reason="merged")

    owner.refresh_from_db()
    twin.refresh_from_db()
    assert (owner.closed_at is not None, twin.closed_at) == (True, None)
    assert result.tokens == [ended.token.name]
    assert status_of(ended) == ("revoked", "owner_closed")
    assert [status_of(issued)[0] for issued in kept] == ["active"] * 3
    assert not User.objects.get(pk=ended.token.principal_id).is_active
    assert token_client(ended).get("/api/v1/whoami/").json()["code"] == "token_revoked"
    assert token_client(kept[2]).get("/api/v1/whoami/").status_code == 200
    closed = last_event(action=f"{kind}.closed")
    assert (closed.outcome, closed.reason, closed.data["tokens"]) == ("allowed", "merged", [ended.token.name])
    assert events(action="token.revoked") == ["token.revoked allowed"]


@each_kind
def test_what_is_closed_is_not_closed_again_changed_or_joined(acme: Organization, kind: str) -> None:
    owner = MAKE[kind](acme)
    stale = MODEL[kind].objects.get(pk=owner.pk)
    close(owner)

    for refused, error in (
        (lambda: close(owner), IllegalMove),
        (lambda: close(stale), IllegalMove),  # read before it was closed
        (lambda: change(stale, operator), Conflict),
        (lambda: join(stale), Conflict),
        (lambda: make_token(owner, "machines:read"), DomainError),
    ):
        with pytest.raises(error):
            refused()
    assert events(action=f"{kind}.closed") == [f"{kind}.closed allowed"]
    assert not owner.memberships.exists()


def join(owner: Any) -> Any:
    role = {"fleet": "viewer", "group": "user", "application": "owner"}[owner._meta.model_name]
    verb = getattr(membership, f"join_{owner._meta.model_name}")
    return verb(owner, user=member(owner.organization), role=role, by=operator)


@each_kind
@pytest.mark.parametrize("who", ["auditor", "member", "manager", "delegate", "of another", "its own"])
def test_nobody_closes_without_managing_permissions_at_the_root(
    acme: Organization, kind: str, who: str
) -> None:
    owner, edge = MAKE[kind](acme), make_fleet(acme)
    issued = token_of(owner)
    path = owner.path if kind == "fleet" else edge.path
    by: Any
    if who == "manager":
        by = session(fleet_member(owner if kind == "fleet" else edge, "manager"))
    elif who == "delegate":
        delegate = member(acme)
        make_entry(acme, path, "Administrator", user=delegate)
        by = session(delegate)
    elif who == "of another":
        by = session(owner_of(make_organization("other")))
    elif who == "its own":
        by = acting(issued)
    else:
        by = session(member(acme, who))

    with pytest.raises(Refused):
        close(owner, by)

    owner.refresh_from_db()
    assert (owner.closed_at, status_of(issued)[0]) == (None, "active")
    assert events(action=f"{kind}.closed") == [f"{kind}.closed denied"]


def test_a_token_that_manages_permissions_closes_too(acme: Organization) -> None:
    edge = make_fleet(acme)

    close(edge, acting(make_token(owner_of(acme), "permissions:manage")))

    assert last_event(action="fleet.closed").actor_type == "token"


def test_a_closed_fleet_takes_its_machines_with_it_and_sets_their_vmids_free(acme: Organization) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    one, other = make_machine(edge, vmid=7), make_machine(edge)
    kept = make_machine(core)
    machines.deregister(gone := make_machine(edge), by=operator)

    ended = close(edge)

    assert ended.machines == 2
    assert last_event(action="fleet.closed").data["machines"] == 2
    assert list(Machine.objects.live()) == [kept]
    for machine in (one, other):
        assert events(target_id=str(machine.pk)) == [
            "machine.registered allowed",
            "machine.deregistered allowed",
        ]
    assert events(target_id=str(gone.pk)).count("machine.deregistered allowed") == 1
    assert make_machine(core, vmid=7).vmid == 7
    for refused in (lambda: make_machine(edge), lambda: machines.move(kept, fleet=edge, by=operator)):
        with pytest.raises(Conflict) as refusal:
            refused()
        assert refusal.value.code == "owner_closed"


def test_nothing_on_a_closed_fleets_path_reaches_anything_any_more(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    machine = make_machine(edge)
    manager, named = fleet_member(edge, "manager"), member(acme)
    make_entry(acme, edge.path, "Operator", user=named)
    make_entry(acme, machine.path, "Viewer", user=named)
    personal = make_token(manager, "machines:read")
    granted = make_token(
        owner_of(acme),
        "machines:read",
        grants=(GrantWish(edge.path, "Viewer"), GrantWish("/nodes/n1", "Viewer")),
    )

    close(edge)

    assert session(manager).rights(acme.pk).anywhere == frozenset()
    assert session(named).rights(acme.pk).anywhere == frozenset()
    assert acting(granted).rights(acme.pk).at(edge.path) == frozenset()
    assert acting(granted).rights(acme.pk).at("/nodes/n1") == {"machines:read"}
    assert acting(personal).rights(acme.pk).anywhere == frozenset()
    assert status_of(personal)[0] == status_of(granted)[0] == "active"
    with pytest.raises(Invalid):
        make_entry(acme, edge.path, "Viewer", user=named)


def test_a_closed_groups_entries_are_removed_and_its_members_hold_nothing_by_it(acme: Organization) -> None:
    crew, twin, edge = make_group(acme, "crew"), make_group(acme, "twin"), make_fleet(acme, "edge")
    place = make_group_member(crew, "admin")
    make_group_member(twin, "user", user=place.user)
    for group in (crew, twin):
        make_entry(acme, "/", "Viewer", group=group)
    make_entry(acme, edge.path, "Viewer", group=crew)
    own = make_entry(acme, edge.path, "Viewer", user=place.user)

    ended = close(crew)

    assert ended.entries == 2
    assert {(entry.path, entry.group or entry.user) for entry in AclEntry.objects.all()} == {
        ("/", twin),
        (edge.path, own.user),
    }
    removed = Event.objects.filter(action="entry.removed")
    assert sorted((event.data["path"], event.data["subject"]) for event in removed) == [
        ("/", "group:crew"),
        ("/fleets/edge", "group:crew"),
    ]
    assert "machines:write" not in session(place.user).rights(acme.pk).anywhere
    assert "machines:operate" in session(place.user).rights(acme.pk).at("/nodes/n1")


@each_kind
def test_memberships_stay_as_history(acme: Organization, kind: str) -> None:
    owner = MAKE[kind](acme)
    place = join(owner)

    close(owner)

    place.refresh_from_db()
    assert place.left_at is None
    assert events(target_id=str(place.pk)) == [f"{kind}_member.joined allowed"]


def test_the_owners_of_a_closed_application_manage_nothing_of_it(acme: Organization) -> None:
    billing = make_application(acme)
    ada = application_owner(billing)
    issued = make_token(billing, "machines:read")
    assert manages(ada, issued)

    close(billing)

    assert not manages(ada, issued)
    assert TechnicalUser.objects.get(application=billing).user.is_active is False


def manages(user: User, issued: Issued) -> bool:
    return policy.owns(session(user), issued.token.owner)  # type: ignore[arg-type]


@each_kind
def test_a_closing_is_current_at_the_next_call(acme: Organization, kind: str) -> None:
    """The organization's version carries it: what people hold by it depends on no row of theirs that changes."""
    owner = MAKE[kind](acme)
    before = Organization.objects.get(pk=acme.pk).version

    close(owner)

    assert Organization.objects.get(pk=acme.pk).version == before + 1
    key = currency.key("organization", acme.pk)
    assert int(state().get(key) or 0) == before + 1


@each_kind
def test_what_fails_above_keeps_it_open(acme: Organization, kind: str) -> None:
    def fails(*_: object) -> list[str]:
        raise Conflict("not now")

    owner = MAKE[kind](acme)
    if kind == "fleet":
        make_machine(owner)
    consequences._registered.append(make_consequences(owner_closed=fails))
    try:
        with pytest.raises(Conflict):
            close(owner)
    finally:
        consequences._registered.pop()

    assert (MODEL[kind].objects.get(pk=owner.pk).closed_at, owner.closed_at) == (None, None)
    assert Machine.objects.live().count() == (kind == "fleet")
    assert events(action=f"{kind}.closed") == []


def test_one_kind_of_slug_says_nothing_of_another(acme: Organization) -> None:
    """A fleet, a group and an application of one slug are three: closing one closes no other."""
    rows = [make(acme, "edge") for make in MAKE.values()]
    make_fleet_member(rows[0])
    make_application_member(rows[2])
    tokens = [token_of(row) for row in rows]

    close(rows[1])

    assert [status_of(issued)[0] for issued in tokens] == ["active", "revoked", "active"]
    assert [MODEL[kind].objects.get(slug="edge").closed_at is None for kind in MAKE] == [True, False, True]
