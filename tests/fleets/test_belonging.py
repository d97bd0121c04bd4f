"""Who belongs to fleets, groups and applications: one set of rules for all three; nobody gives by it what they lack."""

from collections.abc import Callable
from typing import Any

import pytest

from config.edge.access import Access
from config.edge.refusals import Conflict, IllegalMove, Invalid, Refused
from fleets import membership, owners
from fleets.models import ApplicationMembership, FleetMembership, GroupMembership, Organization, User
from tests.factories import (
    acting,
    application_owner,
    events,
    fleet_member,
    last_event,
    make_application,
    make_application_member,
    make_entry,
    make_fleet,
    make_group,
    make_group_member,
    make_machine,
    make_member,
    make_organization,
    make_person,
    make_superuser,
    make_token,
    member,
    operator,
    owner_of,
    session,
)
from tokens import lifecycle, policy

pytestmark = pytest.mark.django_db
MAKE: dict[str, Callable[..., Any]] = {
    "fleet": make_fleet,
    "group": make_group,
    "application": make_application,
}
MODEL: dict[str, Any] = {
    "fleet": FleetMembership,
    "group": GroupMembership,
    "application": ApplicationMembership,
}
ROLE = {"fleet": "viewer", "group": "user", "application": "owner"}
each_kind = pytest.mark.parametrize("kind", MAKE)


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def join(owner: Any, user: User, by: Access = operator) -> Any:
    kind = owner._meta.model_name
    return getattr(membership, f"join_{kind}")(owner, user=user, role=ROLE[kind], by=by)


def leave(place: Any, by: Access = operator) -> None:
    getattr(membership, f"leave_{place.owner_column}")(place, by=by)


@each_kind
def test_joining_and_leaving_is_recorded_and_raises_the_persons_version(
    acme: Organization, kind: str
) -> None:
    owner, ada = MAKE[kind](acme), member(acme)
    before = ada.version

    place = join(owner, ada)
    leave(place)

    assert User.objects.get(pk=ada.pk).version == before + 2
    assert MODEL[kind].objects.get(pk=place.pk).left_at is not None
    assert events(target_id=str(place.pk)) == [
        f"{kind}_member.joined allowed",
        f"{kind}_member.left allowed",
    ]
    assert last_event(target_id=str(place.pk)).target_label == f"{ada.username} in {owner.slug}"
    with pytest.raises(IllegalMove):
        leave(place)


@each_kind
def test_one_belongs_once_and_may_come_back(acme: Organization, kind: str) -> None:
    owner, ada = MAKE[kind](acme), member(acme)
    first = join(owner, ada)

    with pytest.raises(Conflict) as refusal:
        join(owner, ada)
    assert (refusal.value.code, refusal.value.detail) == (
        "already_member",
        f"This person belongs to the {kind} already.",
    )

    leave(first)
    assert join(owner, ada).pk != first.pk


@each_kind
def test_only_active_members_of_the_organization_belong(acme: Organization, kind: str) -> None:
    owner = MAKE[kind](acme)
    suspended, left = make_member(acme), make_member(acme)
    membership.suspend(suspended, by=operator)
    membership.leave(left, by=operator)

    for user in (make_person(), suspended.user, left.user, member(make_organization("other"))):
        with pytest.raises(Invalid):
            join(owner, user)
    assert not MODEL[kind].objects.exists()


@each_kind
def test_people_leave_by_themselves_in_their_session_and_are_removed_by_who_manages_permissions(
    acme: Organization, kind: str
) -> None:
    owner = MAKE[kind](acme)
    places = [join(owner, member(acme)) for _ in range(3)]
    program = make_token(make_member(acme, "auditor").user, "tokens:read")

    for by in (session(places[1].user), session(member(acme)), acting(program)):
        with pytest.raises(Refused):
            leave(places[0], by)
    leave(places[0], session(places[0].user))
    leave(places[1], session(member(acme, "admin")))
    leave(places[2], acting(make_token(owner_of(acme), "permissions:manage")))

    assert MODEL[kind].objects.present().count() == 0


@each_kind
@pytest.mark.parametrize("who", ["approver", "auditor", "member", "one of them", "owner elsewhere"])
def test_nobody_else_lets_anybody_in(acme: Organization, kind: str, who: str) -> None:
    owner, ada = MAKE[kind](acme), member(acme)
    by = member(acme, who) if " " not in who else owner_of(make_organization("other"))
    if who == "one of them":
        by = member(acme)
        join(owner, by)

    with pytest.raises(Refused):
        join(owner, ada, session(by))

    assert not MODEL[kind].objects.filter(user=ada).exists()
    assert last_event(action=f"{kind}_member.joined").outcome == "denied"


@each_kind
def test_who_leaves_the_organization_leaves_all_of_it_there(acme: Organization, kind: str) -> None:
    other = make_organization("other")
    here, there = MAKE[kind](acme), MAKE[kind](other)
    ada = make_member(acme)
    make_member(other, user=ada.user)
    bystander = join(here, member(acme))
    for owner in (here, there):
        join(owner, ada.user)

    membership.leave(ada, by=session(ada.user))

    present = MODEL[kind].objects.present()
    assert [(place.owner, place.user) for place in present.order_by("joined_at")] == [
        (here, bystander.user),
        (there, ada.user),
    ]


# Applications


def test_an_applications_owners_manage_its_tokens_and_hold_nothing_by_it(acme: Organization) -> None:
    billing = make_application(acme)
    issued = make_token(billing, "machines:read")
    make_entry(acme, "/nodes/n1", "Operator", user=issued.token.principal)
    ada, plain = application_owner(billing), member(acme)

    assert policy.may_issue_for(session(ada), billing, acme)
    assert policy.may_manage(session(ada), issued.token)
    assert not policy.may_issue_for(session(plain), billing, acme)
    assert session(ada).rights(acme.pk).anywhere == frozenset()


def test_the_last_owner_of_an_application_may_leave(acme: Organization) -> None:
    billing = make_application(acme)
    place = make_application_member(billing)
    issued = make_token(billing, "machines:read")

    leave(place, session(place.user))

    assert not billing.memberships.present().exists()
    assert not policy.may_manage(session(place.user), issued.token)
    assert policy.may_manage(session(member(acme, "admin")), issued.token)


def test_nobody_makes_an_owner_of_what_holds_more_than_they_do(acme: Organization) -> None:
    """An owner gets secrets: what these reach is given with the role."""
    billing, twin, edge = make_application(acme), make_application(acme), make_fleet(acme)
    issued = make_token(billing, "machines:read")
    make_entry(acme, edge.path, "Operator", user=issued.token.principal)
    blocked, admin = member(acme, "admin"), member(acme, "admin")
    make_entry(acme, make_machine(edge).path, "NoAccess", user=blocked)

    with pytest.raises(Refused):
        join(billing, member(acme), session(blocked))
    with pytest.raises(Refused):
        join(billing, member(acme), acting(make_token(admin, "permissions:manage")))
    assert not ApplicationMembership.objects.exists()

    join(twin, member(acme), session(blocked))  # its tokens reach nothing
    join(billing, member(acme), session(admin))
    assert ApplicationMembership.objects.count() == 2


def test_what_an_applications_ended_tokens_held_is_given_to_nobody(acme: Organization) -> None:
    billing, edge = make_application(acme), make_fleet(acme)
    issued = make_token(billing, "machines:read")
    make_entry(acme, edge.path, "Operator", user=issued.token.principal)
    blocked = member(acme, "admin")
    make_entry(acme, edge.path, "NoAccess", user=blocked)
    lifecycle.revoke(issued.token, by=operator)

    assert join(billing, member(acme), session(blocked)).role == "owner"


# Nobody gains by it what who does it lacks


def test_nobody_leaves_a_group_that_denies_them_something(acme: Organization) -> None:
    barred, edge = make_group(acme, "barred"), make_fleet(acme)
    make_entry(acme, edge.path, "NoAccess", group=barred)
    place = make_group_member(barred, user=fleet_member(edge, "operator"))
    unaffected = make_group_member(barred)

    with pytest.raises(Refused) as refusal:
        leave(place, session(place.user))

    assert refusal.value.code == "exceeds_your_rights"
    place.refresh_from_db()
    assert place.left_at is None
    assert session(place.user).rights(acme.pk).at(edge.path) == frozenset()
    leave(unaffected, session(unaffected.user))  # who holds nothing there gains nothing
    leave(place, session(owner_of(acme)))
    assert "machines:operate" in session(place.user).rights(acme.pk).at(edge.path)


def test_nobody_lets_into_a_group_whom_its_entries_set_free(acme: Organization) -> None:
    """The deeper entry replaces what is above it, a denial too: what it uncovers is gained."""
    edge, group = make_fleet(acme), make_group(acme)
    machine = make_machine(edge)
    make_entry(acme, machine.path, "Viewer", group=group)
    ada, admin = fleet_member(edge, "manager"), member(acme, "admin")
    make_entry(acme, edge.path, "NoAccess", user=ada)
    few = acting(
        make_token(admin, "permissions:manage", "machines:read", "snapshots:read", "machines:operate")
    )

    with pytest.raises(Refused) as refusal:
        join(group, ada, few)

    assert refusal.value.code == "exceeds_your_rights"
    assert session(ada).rights(acme.pk).at(machine.path) == frozenset()
    join(group, member(acme), few)
    join(group, ada, session(admin))
    assert "machines:write" in session(ada).rights(acme.pk).at(machine.path)


def test_nobody_closes_a_group_whose_members_it_denies_more_than_they_hold(acme: Organization) -> None:
    barred, edge = make_group(acme), make_fleet(acme)
    make_entry(acme, edge.path, "NoAccess", group=barred)
    ada, blocked = fleet_member(edge, "operator"), member(acme, "admin")
    make_entry(acme, edge.path, "NoAccess", user=blocked)
    make_group_member(barred, user=ada)

    with pytest.raises(Refused) as refusal:
        owners.close_group(barred, by=session(blocked))

    barred.refresh_from_db()
    assert (refusal.value.code, barred.closed_at) == ("exceeds_your_rights", None)
    owners.close_group(barred, by=session(member(acme, "admin")))
    assert "machines:operate" in session(ada).rights(acme.pk).at(edge.path)


def test_a_superuser_rules_what_they_do_not_belong_to(acme: Organization) -> None:
    root = session(make_superuser())

    for make in MAKE.values():
        place = join(make(acme), member(acme), root)
        leave(place, root)

        assert place.left_at is not None
