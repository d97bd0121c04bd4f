"""Who belongs where: joined, invited, left, suspended, resumed, given another role, and by whom."""

from typing import Any

import pytest
from django.db.models.signals import pre_save

from audit.models import Event
from config.edge.access import Access
from config.edge.refusals import Conflict, IllegalMove, Invalid, Refused
from fleets import consequences, membership
from fleets.models import AclEntry, FleetMembership, GroupMembership, Membership, Organization, User
from tests.factories import (
    acting,
    events,
    last_event,
    make_consequences,
    make_entry,
    make_fleet,
    make_fleet_member,
    make_group,
    make_group_member,
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

pytestmark = pytest.mark.django_db
ROLES = ["owner", "admin", "approver", "auditor", "member"]


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


@pytest.mark.parametrize(
    ("role", "gives"),
    [
        ("owner", ROLES),
        ("admin", ["auditor", "member"]),  # an admin holds no approvals:decide to give
        ("approver", []),
        ("auditor", []),
        ("member", []),
    ],
)
def test_nobody_gives_a_role_beyond_their_own(acme: Organization, role: str, gives: list[str]) -> None:
    by = session(owner_of(acme) if role == "owner" else member(acme, role))
    given = []
    for wanted in ROLES:
        try:
            given.append(membership.join(acme, user=make_person(), role=wanted, by=by).role)
        except Refused:
            assert (last_event().action, last_event().outcome) == ("member.joined", "denied")

    assert given == gives


@pytest.mark.parametrize("verb", ["suspend", "leave", "change_role"])
@pytest.mark.parametrize(
    ("role", "takes"),
    [
        ("owner", ROLES),
        ("admin", ["approver", "auditor", "member"]),
        ("approver", []),
        ("auditor", []),
        ("member", []),
    ],
)
def test_owners_and_admins_are_removed_only_by_an_owner(
    acme: Organization, role: str, takes: list[str], verb: str
) -> None:
    by = session(owner_of(acme) if role == "owner" else member(acme, role))
    options: dict[str, Any] = {"role": "member"} if verb == "change_role" else {}
    taken = []
    for held in ROLES:
        row = make_member(acme, held)
        try:
            getattr(membership, verb)(row, by=by, **options)
            taken.append(held)
        except Refused:
            row.refresh_from_db()
            assert (row.role, row.left_at, row.suspended_at, row.version) == (held, None, None, 1)

    assert taken == takes


def test_a_superuser_who_is_no_owner_makes_no_owners(acme: Organization) -> None:
    with pytest.raises(Refused):
        membership.join(acme, user=make_person(), role="owner", by=session(make_superuser()))

    assert (
        membership.join(acme, user=make_person(), role="member", by=session(make_superuser())).role
        == "member"
    )


def test_no_token_gives_or_takes_the_roles_of_owners_and_admins(acme: Organization) -> None:
    issued = make_token(owner_of(acme), "permissions:manage")
    boss = make_member(acme, "admin")
    by = acting(issued)

    for refused in (
        lambda: membership.join(acme, user=make_person(), role="admin", by=by),
        lambda: membership.leave(boss, by=by),
    ):
        with pytest.raises(Refused):
            refused()
    assert membership.join(acme, user=make_person(), role="member", by=by).role == "member"
    assert last_event(action="member.joined").actor_type == "token"


def test_rejoining_makes_a_new_membership_and_resurrects_nothing(acme: Organization) -> None:
    edge, group = make_fleet(acme), make_group(acme)
    before = make_member(acme, "auditor")
    make_fleet_member(edge, "manager", user=before.user)
    make_group_member(group, "admin", user=before.user)
    membership.leave(before, by=operator)

    after = membership.join(acme, user=before.user, role="member", by=operator)

    assert (after.pk == before.pk, after.role) == (False, "member")
    assert FleetMembership.objects.present().count() == GroupMembership.objects.present().count() == 0
    assert session(before.user).rights(acme.pk).anywhere == frozenset()
    with pytest.raises(Conflict) as refusal:
        membership.join(acme, user=before.user, role="member", by=operator)
    assert refusal.value.code == "already_member"


def test_a_technical_user_is_no_member(acme: Organization) -> None:
    technical = make_token(make_fleet(acme), "machines:read").token.principal

    with pytest.raises(Invalid):
        membership.join(acme, user=technical, role="member", by=operator)


def test_an_invitation_opens_an_account_without_a_password(acme: Organization) -> None:
    row = membership.invite(
        acme, username="ada", name="Ada", email="a@example.org", role="member", by=operator
    )

    assert (row.user.username, row.user.has_usable_password(), row.role) == ("ada", False, "member")
    assert events(organization_id=acme.pk)[-3:] == [
        "member.invited allowed",
        "member.joined allowed",
        "invitation.opened allowed",
    ]


def test_who_was_a_member_before_is_invited_again_and_who_works_elsewhere_is_not(acme: Organization) -> None:
    ada, bob = make_member(acme, user=make_person("ada")), make_person("bob")
    membership.leave(ada, by=operator)
    owner = session(owner_of(acme))

    again = membership.invite(acme, username="ADA", name="", role="auditor", by=owner)
    with pytest.raises(Conflict) as refusal:
        membership.invite(acme, username="bob", name="Bob", role="member", by=owner)

    assert (again.user, refusal.value.code) == (ada.user, "username_taken")
    assert not Membership.objects.filter(user=bob).exists()
    assert User.objects.filter(username__iexact="bob").count() == 1


def test_a_superuser_adds_who_works_elsewhere_in_their_session_and_not_by_a_token(acme: Organization) -> None:
    root = make_superuser()
    make_member(acme, user=root)
    token = make_token(root, "permissions:manage", organization=acme)
    bob = make_person("bob")

    with pytest.raises(Conflict) as refusal:
        membership.invite(acme, username="bob", name="Bob", role="member", by=acting(token))
    assert refusal.value.code == "username_taken"
    assert not Membership.objects.filter(user=bob).exists()

    row = membership.invite(acme, username="bob", name="Bob", role="member", by=session(root))
    assert row.user == bob


def test_of_two_invitations_of_one_username_at_once_the_later_is_a_conflict(acme: Organization) -> None:
    def another_is_faster(**_: object) -> None:
        User.objects.bulk_create([User(username="Ada", password="!")])

    pre_save.connect(another_is_faster, sender=User)
    try:
        with pytest.raises(Conflict) as refusal:
            membership.invite(acme, username="ada", name="Ada", role="member", by=operator)
    finally:
        pre_save.disconnect(another_is_faster, sender=User)

    assert refusal.value.code == "username_taken"
    assert events(action="member.invited") == []


def test_leaving_ends_fleets_and_groups_of_this_organization_only(acme: Organization) -> None:
    other = make_organization("other")
    here, there = make_fleet(acme), make_fleet(other)
    row = make_member(acme)
    make_member(other, user=row.user)
    for fleet in (here, there):
        make_fleet_member(fleet, user=row.user)
    make_group_member(make_group(acme), user=row.user)

    membership.leave(row, by=session(row.user), reason="moved on")

    row.refresh_from_db()
    assert row.left_at is not None
    assert [kept.fleet for kept in FleetMembership.objects.present()] == [there]
    assert GroupMembership.objects.present().count() == 0
    assert last_event(action="member.left").reason == "moved on"
    assert User.objects.get(pk=row.user_id).is_active
    with pytest.raises(IllegalMove):
        membership.leave(row, by=operator)


def test_rejoining_resurrects_no_entry_of_before(acme: Organization) -> None:
    other, group, edge = make_organization("other"), make_group(acme), make_fleet(acme, "edge")
    ada, bob = make_member(acme), member(acme)
    make_member(other, user=ada.user)
    make_entry(acme, "/", "Administrator", user=ada.user)
    make_entry(acme, edge.path, "Viewer", user=ada.user)
    kept = [
        make_entry(other, "/", "Viewer", user=ada.user),
        make_entry(acme, "/", "Viewer", user=bob),
        make_entry(acme, "/", "Viewer", group=group),
    ]

    membership.leave(ada, by=session(ada.user))
    membership.join(acme, user=ada.user, role="member", by=operator)

    assert session(ada.user).rights(acme.pk).anywhere == frozenset()
    assert set(AclEntry.objects.all()) == set(kept)
    removed = Event.objects.filter(action="entry.removed", outcome="allowed", organization_id=acme.pk)
    assert sorted((event.data["path"], event.data["role"], event.data["subject"]) for event in removed) == [
        ("/", "Administrator", ada.user.username),
        ("/fleets/edge", "Viewer", ada.user.username),
    ]


def test_departures_are_told_to_those_above_within_the_verb(acme: Organization) -> None:
    told: list[Membership] = []

    def listens(row: Membership, _by: Access) -> list[str]:
        told.append(row)
        return []

    listening = make_consequences(member_left=listens)
    row = make_member(acme)
    consequences._registered.append(listening)

    try:
        membership.leave(row, by=operator)
    finally:
        consequences._registered.remove(listening)

    assert told == [row]


def test_what_fails_above_keeps_the_member(acme: Organization) -> None:
    def fails(*_: object) -> None:
        raise Conflict("not now")

    row = make_member(acme)
    consequences._registered.append(make_consequences(member_left=fails))

    try:
        with pytest.raises(Conflict):
            membership.leave(row, by=operator)
    finally:
        consequences._registered.pop()

    assert Membership.objects.get(pk=row.pk).left_at is None
    assert events(action="member.left") == []


@pytest.mark.parametrize("verb", ["leave", "suspend", "change_role"])
def test_the_last_owner_stays_owner(acme: Organization, verb: str) -> None:
    options: dict[str, Any] = {"role": "admin"} if verb == "change_role" else {}
    first = Membership.objects.get(role="owner")

    with pytest.raises(Conflict) as refusal:
        getattr(membership, verb)(first, by=session(first.user), **options)
    assert refusal.value.code == "last_owner"

    suspended = make_member(acme, "owner")
    membership.suspend(suspended, by=operator)
    with pytest.raises(Conflict):  # a suspended owner is none to rely on
        getattr(membership, verb)(first, by=operator, **options)

    make_member(acme, "owner")
    getattr(membership, verb)(first, by=operator, **options)
    assert (
        events(action="member.left")
        + events(action="member.role_changed")
        + events(action="member.suspended")
    )


def test_a_suspended_member_holds_nothing_until_resumed(acme: Organization) -> None:
    row = make_member(acme, "auditor")

    membership.suspend(row, by=operator, reason="leave")
    assert session(row.user).rights(acme.pk).anywhere == frozenset()
    assert session(row.user).organization_ids() == frozenset()
    with pytest.raises(IllegalMove):
        membership.suspend(row, by=operator)

    membership.resume(row, by=operator)
    assert "audit:read" in session(row.user).rights(acme.pk).at("/")
    with pytest.raises(IllegalMove):
        membership.resume(row, by=operator)


def test_nobody_resumes_into_a_role_that_they_could_not_give(acme: Organization) -> None:
    row = make_member(acme, "admin")
    membership.suspend(row, by=operator)

    with pytest.raises(Refused):
        membership.resume(row, by=session(member(acme, "admin")))

    row.refresh_from_db()
    assert row.suspended_at is not None


def test_every_change_of_belonging_raises_the_persons_version(acme: Organization) -> None:
    edge, group = make_fleet(acme), make_group(acme)
    row = make_member(acme)
    user = row.user
    versions = [user.version]

    def note() -> None:
        versions.append(User.objects.get(pk=user.pk).version)

    in_fleet = membership.join_fleet(edge, user=user, role="viewer", by=operator)
    note()
    membership.change_fleet_role(in_fleet, role="manager", by=operator)
    note()
    membership.leave_fleet(in_fleet, by=operator)
    note()
    in_group = membership.join_group(group, user=user, role="user", by=operator)
    note()
    membership.change_group_role(in_group, role="admin", by=operator)
    note()
    membership.leave_group(in_group, by=operator)
    note()
    membership.change_role(row, role="auditor", by=operator)
    note()
    membership.suspend(row, by=operator)
    note()
    membership.resume(row, by=operator)
    note()
    membership.leave(row, by=operator)
    note()

    assert versions == list(range(versions[0], versions[0] + 11))


# Fleets and groups


def test_a_fleets_members_are_active_members_of_its_organization(acme: Organization) -> None:
    edge = make_fleet(acme)
    stranger, suspended = make_person(), make_member(acme)
    membership.suspend(suspended, by=operator)

    for user in (stranger, suspended.user):
        with pytest.raises(Invalid):
            membership.join_fleet(edge, user=user, role="viewer", by=operator)
        with pytest.raises(Invalid):
            membership.join_group(make_group(acme), user=user, role="user", by=operator)
    assert FleetMembership.objects.count() == GroupMembership.objects.count() == 0


def test_fleet_roles_are_given_by_who_manages_permissions_there_and_holds_them(acme: Organization) -> None:
    edge = make_fleet(acme)
    manager, delegate = make_fleet_member(edge, "manager").user, member(acme)
    make_entry(acme, edge.path, "Administrator", user=delegate)

    for by in (session(manager), session(member(acme))):
        with pytest.raises(Refused):
            membership.join_fleet(edge, user=member(acme), role="viewer", by=by)
    for role in ("viewer", "operator", "manager"):
        assert membership.join_fleet(edge, user=member(acme), role=role, by=session(delegate)).role == role
    with pytest.raises(Refused):
        membership.join_fleet(make_fleet(acme), user=member(acme), role="viewer", by=session(delegate))


def test_group_roles_are_given_only_by_who_holds_what_the_group_reaches(acme: Organization) -> None:
    edge, group = make_fleet(acme), make_group(acme)
    make_entry(acme, edge.path, "Operator", group=group)
    blocked = member(acme, "admin")
    make_entry(acme, edge.path, "NoAccess", user=blocked)

    with pytest.raises(Refused):
        membership.join_group(group, user=member(acme), role="user", by=session(blocked))

    assert (
        membership.join_group(group, user=member(acme), role="user", by=session(member(acme, "admin"))).role
        == "user"
    )


def test_people_leave_fleets_and_groups_by_themselves(acme: Organization) -> None:
    in_fleet, in_group = make_fleet_member(make_fleet(acme)), make_group_member(make_group(acme))

    with pytest.raises(Refused):
        membership.leave_fleet(in_fleet, by=session(in_group.user))
    membership.leave_fleet(in_fleet, by=session(in_fleet.user))
    membership.leave_group(in_group, by=session(in_group.user))

    assert FleetMembership.objects.present().count() == GroupMembership.objects.present().count() == 0
    with pytest.raises(IllegalMove):
        membership.change_fleet_role(in_fleet, role="manager", by=operator)
