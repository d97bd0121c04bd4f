"""Who sees, manages and issues: the predicates, asked of everybody about every kind of token."""

from typing import Any

import pytest

from config.edge.access import Access
from fleets.models import Fleet, Organization, User
from fleets.owners import close_group
from tests.factories import (
    acting,
    application_owner,
    fleet_member,
    make_application,
    make_entry,
    make_fleet,
    make_fleet_member,
    make_group,
    make_group_member,
    make_member,
    make_organization,
    make_superuser,
    make_technical_user,
    make_token,
    member,
    operator,
    session,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tokens import owners, policy
from tokens.issuance import GrantWish
from tokens.kinds import Owner
from tokens.models import Token

EDGE = "/fleets/edge"


def everybody(world: World) -> dict[str, Access]:
    """Callers of every sort, each with what makes them what they are."""
    root = make_superuser()
    tokens = {
        "token that manages": make_token(world.manager, "tokens:read", "tokens:manage"),
        "token that reads": make_token(world.manager, "tokens:read"),
        "token of edge": make_token(world.edge, "machines:read"),
        "token of core only": make_token(
            world.owner, "tokens:read", "tokens:manage", grants=(GrantWish("/fleets/core", "Administrator"),)
        ),
    }
    people: dict[str, User] = {
        "owner": world.owner,
        "admin": world.admin,
        "auditor": world.auditor,
        "manager": world.manager,
        "viewer": fleet_member(world.edge),
        "member": member(world.acme),
        "superuser": root,
    }
    by_session = {name: session(user) for name, user in people.items()}
    by_token = {name: acting(issued) for name, issued in tokens.items()}
    return {**by_session, **by_token, "operator": operator}


def sees(by: Access, token: Token) -> bool:
    return policy.visible_to(by, Token.objects.filter(pk=token.pk)).exists()


def who(answers: dict[str, bool]) -> set[str]:
    return {name for name, answer in answers.items() if answer}


@pytest.mark.parametrize(
    ("owner", "see", "manage", "issue"),
    [
        (
            "edge",
            {"owner", "admin", "auditor", "manager", "superuser", "operator"}
            | {"token that manages", "token that reads"},
            {"owner", "admin", "manager", "superuser", "operator", "token that manages"},
            {"owner", "admin", "manager", "superuser", "operator", "token that manages"},
        ),
        (
            "core",
            {"owner", "admin", "auditor", "superuser", "operator", "token of core only"},
            {"owner", "admin", "superuser", "operator", "token of core only"},
            {"owner", "admin", "superuser", "operator", "token of core only"},
        ),
        (
            "manager",
            {"owner", "admin", "auditor", "manager", "superuser", "operator"}
            | {"token that manages", "token that reads"},
            {"owner", "admin", "manager", "superuser", "operator", "token that manages"},
            {"manager", "operator", "token that manages"},
        ),
        (
            "owner",
            {"owner", "admin", "auditor", "superuser", "operator", "token of core only"},
            {"owner", "admin", "superuser", "operator", "token of core only"},
            {"owner", "operator", "token of core only"},
        ),
    ],
)
def test_who_sees_manages_and_issues(
    world: World, owner: str, see: set[str], manage: set[str], issue: set[str]
) -> None:
    callers = everybody(world)
    whose: User | Fleet = getattr(world, owner)
    token = present(make_token(whose, "machines:read"))

    assert who({name: sees(by, token) for name, by in callers.items()}) == see
    assert who({name: policy.may_manage(by, token) for name, by in callers.items()}) == manage
    assert who({name: policy.may_issue_for(by, whose, world.acme) for name, by in callers.items()}) == issue


def test_which_tokens_somebody_manages_is_the_same_asked_of_one_and_of_all(
    world: World, other: Fleet
) -> None:
    crew, closed = make_group(world.acme, "crew"), make_group(world.acme, "closed")
    app = make_application(world.acme, "app")
    for group in (crew, closed):
        make_entry(world.acme, EDGE, "Viewer", group=group)
    owners_of_tokens: list[Owner] = [
        *(world.edge, world.core, world.manager, world.owner, world.acme, crew, app, other),
        make_technical_user(world.acme),
    ]
    for owner in owners_of_tokens:
        make_token(owner, "machines:read")
    leader, of_closed = (make_group_member(group, "admin").user for group in (crew, closed))
    kept_out, at_fleets, but_one = member(world.acme, "admin"), member(world.acme), member(world.acme)
    make_entry(world.acme, EDGE, "NoAccess", user=kept_out)
    for person in (at_fleets, but_one):
        make_entry(world.acme, "/fleets", "Administrator", user=person)
    make_entry(world.acme, EDGE, "Viewer", user=but_one)
    make_token(closed, "machines:read")
    close_group(closed, by=operator)
    callers = everybody(world) | {
        "leader": session(leader),
        "leader by a token": acting(make_token(leader, "tokens:manage")),
        "leader of a closed group": session(of_closed),
        "app owner": session(application_owner(app)),
        "admin but of edge": session(kept_out),
        "admin of all fleets": session(at_fleets),
        "admin of all fleets but one": session(but_one),
        "admin of all fleets but one by a token": acting(make_token(but_one, "tokens:manage")),
    }

    for name, by in callers.items():
        one_by_one = {token.pk for token in Token.objects.presented() if policy.may_manage(by, token)}
        managed = policy.managed_by(by, Token.objects.all())
        assert {token.pk for token in managed} == one_by_one, name
        seen = {token.pk for token in policy.visible_to(by, Token.objects.all())}
        assert seen >= one_by_one, name


def test_nobody_sees_manages_or_issues_in_another_organization_but_superusers_and_the_operator(
    world: World, other: Fleet
) -> None:
    callers = everybody(world)
    token = present(make_token(other, "machines:read"))
    globex = Organization.objects.get(slug="globex")

    for answers in (
        {name: sees(by, token) for name, by in callers.items()},
        {name: policy.may_manage(by, token) for name, by in callers.items()},
        {name: policy.may_issue_for(by, other, globex) for name, by in callers.items()},
    ):
        assert who(answers) == {"superuser", "operator"}


def test_a_person_of_two_organizations_sees_of_each_what_they_hold_there(world: World, other: Fleet) -> None:
    make_member(other.organization, "admin", user=world.manager)
    here, there = make_token(world.edge, "machines:read"), make_token(other, "machines:read")
    make_token(world.core, "machines:read")
    own = make_token(world.manager, "machines:read", organization=other.organization)

    seen = policy.visible_to(session(world.manager), Token.objects.all())

    assert {token.pk for token in seen} == {here.token.pk, there.token.pk, own.token.pk}
    by_token = policy.visible_to(
        acting(make_token(world.manager, "tokens:read", organization=world.acme)), Token.objects.all()
    )
    assert {token.organization for token in by_token} == {world.acme}


def test_an_entry_that_denies_hides_a_fleets_tokens_but_never_ones_own(world: World) -> None:
    fleets, own = make_token(world.edge, "machines:read"), make_token(world.manager, "machines:read")
    make_entry(world.acme, "/", "NoAccess", user=world.manager)
    make_entry(world.acme, EDGE, "NoAccess", user=world.manager)
    by = session(world.manager)

    assert not sees(by, present(fleets))
    assert not policy.may_manage(by, present(fleets))
    assert sees(by, present(own))
    assert policy.may_manage(by, present(own))


def test_who_no_longer_belongs_sees_nothing(world: World) -> None:
    token = present(make_token(world.manager, "machines:read"))
    by = session(world.manager)
    assert sees(by, token)
    world.manager.memberships.update(left_at=world.acme.created_at)

    assert not sees(session(world.manager), token)


# Whose names may be said


def test_people_know_their_colleagues_and_tokens_only_whom_they_may_see(world: World, other: Fleet) -> None:
    people = session(world.manager)
    reading = acting(make_token(world.manager, "tokens:read", "tokens:manage"))
    trusted = acting(make_token(world.owner, "tokens:read", "permissions:manage"))
    stranger = member(other.organization)

    def known(by: Access) -> dict[str, bool]:
        names = {
            "oneself": by.user.username,
            "a colleague": world.auditor.username,
            "a stranger": stranger.username,
            "nobody": "nobody",
            "edge": "fleet:edge",
            "core": "fleet:core",
            "no fleet": "fleet:nowhere",
        }
        return {name: bool(owners.known(text, by)) for name, text in names.items()}

    nothing = {"a stranger": False, "nobody": False, "no fleet": False, "oneself": True}
    assert known(people) == {**nothing, "a colleague": True, "edge": True, "core": False}
    assert known(reading) == {**nothing, "a colleague": False, "edge": True, "core": False}
    assert known(trusted) == {**nothing, "a colleague": True, "edge": True, "core": True}


def test_a_fleet_of_the_same_name_elsewhere_is_another(world: World, other: Fleet) -> None:
    make_fleet_member(other, "manager", user=make_member(other.organization).user)

    assert owners.known("fleet:edge", session(world.manager)) == [world.edge]
    assert owners.known("fleet:edge", operator) in ([world.edge, other], [other, world.edge])


@pytest.mark.django_db
@pytest.mark.parametrize("organizations", [1, 3])
def test_the_number_of_queries_does_not_grow_with_the_organizations(
    organizations: int, django_assert_num_queries: Any
) -> None:
    by = session(make_superuser())
    issued = {
        make_token(make_fleet(make_organization(f"org-{number}")), "machines:read").token.pk
        for number in range(organizations)
    }

    with django_assert_num_queries(2):  # the organizations, the tokens
        seen = {token.pk for token in policy.visible_to(by, Token.objects.all())}

    assert seen == issued
