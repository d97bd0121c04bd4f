"""Somebody who has a little asks for more, by entries, rows of tokens and roles of an organization's own.

Each attempt stands beside its positive twin, the same request by who may make it or within what the caller has; nothing
of an attempt is left behind but its denial.
"""

import pytest
from rest_framework.test import APIClient

from fleets.models import AclEntry, GroupMembership, OrganizationRole
from tests.attacks.climbing import EVERYTHING, RULES, House, entry_of, issue, said, send
from tests.factories import (
    make_entry,
    make_group,
    make_group_member,
    make_token,
    member,
    session_client,
    token_client,
)
from tests.tokens.issuing import REASON
from tokens.issuance import GrantWish
from tokens.models import Token

# Entries and roles


def test_a_token_writes_no_entry_for_itself_its_person_or_its_maker(house: House) -> None:
    own = make_token(house.admin, *EVERYTHING[1:], privilege_separation=False)
    of_acme = issue(session_client(house.admin), owner="organization:acme", role="Viewer").json()["id"]
    make_group_member(house.crew, user=house.admin)
    program = token_client(own)
    theirs = make_entry(house.acme, "/nodes", "Viewer", user=house.admin)
    crew = AclEntry.objects.get(group=house.crew)

    for attempt in (
        ("POST", "acl/", entry_of(user=house.admin.username)),
        ("POST", "acl/", entry_of(user=house.admin.username, role="NoAccess", path="/elsewhere")),
        ("POST", "acl/", entry_of(group="crew", path="/nodes")),
        ("PATCH", f"acl/{theirs.pk}/", {"role": "Operator"}),
        ("DELETE", f"acl/{theirs.pk}/", None),
        ("PATCH", f"acl/{crew.pk}/", {"role": "Operator"}),
        ("DELETE", f"acl/{crew.pk}/", None),
    ):
        assert said(send(program, *attempt)) == (403, "writes_for_itself"), attempt
    assert AclEntry.objects.filter(organization=house.acme).count() == 2
    assert AclEntry.objects.get(pk=theirs.pk).role == "Viewer"

    assert said(send(program, "POST", "acl/", entry_of(user=house.member.username))) == (201, "")
    principal = Token.objects.get(pk=of_acme).principal.username
    assert said(send(program, "POST", "acl/", entry_of(user=principal))) == (201, ""), (
        "another token's is nobody behind"
    )
    assert said(send(session_client(house.owner), "DELETE", f"acl/{theirs.pk}/")) == (204, "")


def test_a_token_gives_no_role_to_its_principal_or_its_maker(house: House) -> None:
    program = token_client(make_token(house.admin, "permissions:manage", "machines:read"))
    group = make_group(house.acme, "empty")
    other = member(house.acme)
    itself = {"username": house.admin.username, "role": "user"}

    assert said(send(program, "POST", f"groups/{group.pk}/members/", itself)) == (403, "writes_for_itself")
    assert not group.memberships.exists()

    another = {"username": other.username, "role": "user"}
    assert send(program, "POST", f"groups/{group.pk}/members/", another).status_code == 201


def test_no_token_changes_a_role_that_it_holds_or_any_other(house: House) -> None:
    make_entry(house.acme, "/", "Keeper", user=house.member)
    program = token_client(make_token(house.member, *RULES, privilege_separation=False))
    admin_s = token_client(make_token(house.admin, *EVERYTHING[1:], privilege_separation=False))
    here, wider = f"roles/{house.keeper.pk}/", {"scopes": [*RULES, "machines:operate"]}

    for client in (program, admin_s):
        assert said(send(client, "PATCH", here, wider)) == (403, "forbidden")
        assert said(send(client, "DELETE", here)) == (403, "forbidden")
        assert said(send(client, "POST", "roles/", {"name": "Mine", "scopes": ["machines:read"]}))[0] == 403
    person = session_client(house.member)
    assert said(send(person, "PATCH", here, wider)) == (403, "forbidden"), (
        "who holds the role adds nothing to it"
    )
    assert OrganizationRole.objects.get(pk=house.keeper.pk).scopes == sorted(RULES)
    assert not OrganizationRole.objects.filter(name="Mine").exists()

    assert said(send(person, "PATCH", here, {"scopes": RULES[:2]})) == (200, "")
    assert said(send(session_client(house.admin), "PATCH", here, wider)) == (200, "")


def test_a_role_that_grows_lifts_no_token_above_its_ceiling(house: House) -> None:
    make_entry(house.acme, "/", "Administrator", user=house.member)
    issued = make_token(house.member, *RULES, grants=(GrantWish("/", "Keeper"),))
    program, admin = token_client(issued), session_client(house.admin)
    action = {"action": "start"}

    wider = {"scopes": [*RULES, "machines:operate"]}
    assert said(send(admin, "PATCH", f"roles/{house.keeper.pk}/", wider)) == (200, "")

    assert said(send(program, "POST", f"machines/{house.edge_1.pk}/actions/", action)) == (
        403,
        "insufficient_scope",
    )
    narrower = {"scopes": ["permissions:manage"]}
    assert said(send(admin, "PATCH", f"roles/{house.keeper.pk}/", narrower)) == (200, "")
    assert said(send(program, "GET", f"machines/{house.edge_1.pk}/"))[0] == 403, (
        "and what it loses is lost at once"
    )


def test_nobody_lifts_a_denial_beyond_what_they_hold_themselves(house: House) -> None:
    """Neither by taking it away, nor by an entry below it or before it, nor by what it becomes."""
    make_entry(house.acme, "/fleets/edge", "Keeper", user=house.member)
    denial = make_entry(house.acme, "/fleets/edge", "NoAccess", user=house.manager)
    keeper, manager = session_client(house.member), session_client(house.manager)
    below = house.edge_1.path

    for client, attempt in (
        (keeper, ("DELETE", f"acl/{denial.pk}/", None)),
        (keeper, ("PATCH", f"acl/{denial.pk}/", {"role": "Keeper"})),
        (keeper, ("PATCH", f"acl/{denial.pk}/", {"propagate": False})),
        (keeper, ("POST", "acl/", {"path": below, "role": "Keeper", "user": house.manager.username})),
        (manager, ("DELETE", f"acl/{denial.pk}/", None)),
        (manager, ("POST", "acl/", {"path": below, "role": "Viewer", "user": house.manager.username})),
    ):
        assert said(send(client, *attempt))[0] in {403, 404}, attempt
    assert AclEntry.objects.filter(user=house.manager).values_list("role", "propagate").get() == (
        "NoAccess",
        True,
    )
    assert said(send(manager, "GET", f"machines/{house.edge_1.pk}/"))[0] in {403, 404}

    admin = session_client(house.admin)
    assert said(send(admin, "DELETE", f"acl/{denial.pk}/")) == (204, "")
    assert said(send(manager, "GET", f"machines/{house.edge_1.pk}/")) == (200, "")


def test_an_admin_does_not_lift_their_own_denial(house: House) -> None:
    denial = make_entry(house.acme, "/fleets/core", "NoAccess", user=house.admin)
    admin = session_client(house.admin)

    assert said(send(admin, "DELETE", f"acl/{denial.pk}/"))[0] == 403
    assert said(send(admin, "PATCH", f"acl/{denial.pk}/", {"role": "Administrator"}))[0] == 403
    deeper = {"path": house.core_1.path, "role": "Viewer", "user": house.admin.username}
    assert said(send(admin, "POST", "acl/", deeper))[0] in {403, 404}
    assert AclEntry.objects.filter(pk=denial.pk, role="NoAccess").exists()
    assert said(send(session_client(house.owner), "DELETE", f"acl/{denial.pk}/")) == (204, "")


def test_nobody_leaves_a_group_or_joins_one_to_be_rid_of_a_denial(house: House) -> None:
    """People leave by themselves, but what a group denies them does not end with it."""
    night, day = make_group(house.acme, "night"), make_group(house.acme, "day")
    make_entry(house.acme, house.edge_1.path, "NoAccess", group=night)
    make_entry(house.acme, house.edge_1.path, "Viewer", group=day)
    make_entry(house.acme, "/", "NoAccess", user=house.viewer)
    make_entry(house.acme, "/", "Keeper", user=house.member)
    place, harmless = make_group_member(night, user=house.manager), make_group_member(day, user=house.manager)
    manager, keeper = session_client(house.manager), session_client(house.member)
    leaving = ("DELETE", f"groups/{night.pk}/members/{place.pk}/", None)
    joining = ("POST", f"groups/{day.pk}/members/", {"username": house.viewer.username, "role": "user"})

    assert said(send(manager, *leaving)) == (403, "exceeds_your_rights")
    assert said(send(keeper, *leaving)) == (403, "exceeds_your_rights")
    assert said(send(keeper, "DELETE", f"groups/{night.pk}/")) == (403, "exceeds_your_rights")
    assert said(send(keeper, *joining))[0] == 403
    assert GroupMembership.objects.present().filter(pk=place.pk, group__closed_at=None).exists()
    assert said(send(manager, "GET", f"machines/{house.edge_1.pk}/"))[0] in {403, 404}

    assert said(send(manager, "DELETE", f"groups/{day.pk}/members/{harmless.pk}/")) == (204, "")
    admin = session_client(house.admin)
    assert said(send(admin, *leaving)) == (204, "")
    assert said(send(manager, "GET", f"machines/{house.edge_1.pk}/")) == (200, "")
    assert said(send(admin, *joining)) == (201, "")


def test_a_token_gives_rows_to_no_token_that_it_could_not_issue(house: House) -> None:
    empty = make_token(house.manager, "machines:read", "machines:write", grants=())
    weak = make_token(
        house.manager, "machines:read", "tokens:manage", grants=(GrantWish("/fleets/edge", "Administrator"),)
    )
    Token.objects.filter(pk=weak.token.pk).update(expires_at=None)  # it outlives whatever it gives something
    manager, itself, by_weak = session_client(house.manager), token_client(empty), token_client(weak)
    asked = {"path": "/fleets/edge", "role": "GroupAdmin", "reason": REASON}
    others = make_token(house.edge, "machines:read", "machines:write", grants=())

    assert said(send(itself, "POST", f"tokens/{empty.token.pk}/grants/", asked))[0] == 403
    assert said(send(itself, "PATCH", "token/", {"grants": [{"path": "/", "role": "Viewer"}]})) == (
        403,
        "widens_itself",
    )
    assert said(send(by_weak, "POST", f"tokens/{weak.token.pk}/grants/", asked)) == (403, "writes_for_itself")
    assert said(send(by_weak, "POST", f"tokens/{empty.token.pk}/grants/", asked)) == (
        403,
        "writes_for_itself",
    )
    assert said(send(by_weak, "POST", f"tokens/{others.token.pk}/grants/", asked)) == (
        403,
        "exceeds_your_rights",
    )
    assert not empty.token.grants.exists()
    assert not others.token.grants.exists()

    narrower = make_token(house.edge, "machines:read", grants=())
    assert said(send(by_weak, "POST", f"tokens/{narrower.token.pk}/grants/", asked)) == (201, "")
    assert said(send(manager, "POST", f"tokens/{empty.token.pk}/grants/", asked)) == (201, "")
    assert said(send(itself, "PATCH", f"machines/{house.edge_1.pk}/", {"tags": ["now"]})) == (200, "")


def test_an_application_s_owner_writes_no_entries_of_its_technical_user(house: House) -> None:
    name = house.of_app.token.principal.username
    author, admin = session_client(house.author), session_client(house.admin)
    asked = entry_of(user=name, role="Operator")

    assert said(send(author, "POST", "acl/", asked))[0] in {403, 404}
    assert (
        said(
            send(author, "POST", f"applications/{house.app.pk}/members/", {"username": house.member.username})
        )[0]
        == 403
    )
    assert said(send(admin, "POST", "acl/", asked)) == (201, "")
    entry = AclEntry.objects.get(user=house.of_app.token.principal)
    assert said(send(author, "PATCH", f"acl/{entry.pk}/", {"role": "Administrator"}))[0] in {403, 404}
    assert AclEntry.objects.get(pk=entry.pk).role == "Operator"

    program = token_client(house.of_app)
    assert said(send(program, "GET", f"machines/{house.edge_1.pk}/")) == (200, "")
    fresh = issue(author, owner="application:app", scopes=["machines:read"], name="fresh")
    assert said(fresh) == (201, ""), "its owners issue, and what they issue can do nothing of itself"
    headers = {"authorization": f"Bearer {fresh.json()['secret']}"}
    assert said(send(APIClient(headers=headers), "GET", f"machines/{house.edge_1.pk}/"))[0] in {403, 404}


def test_nobody_becomes_an_application_s_owner_to_use_what_they_lack(house: House) -> None:
    """Its owners rotate its tokens: who adds one gives them what its technical users can do."""
    make_entry(house.acme, "/", "Administrator", user=house.of_app.token.principal)
    make_entry(house.acme, "/", "Keeper", user=house.member)
    here, asked = f"applications/{house.app.pk}/members/", {"username": house.worker.username}

    assert said(send(session_client(house.member), "POST", here, asked)) == (403, "forbidden")
    assert said(send(session_client(house.admin), "POST", here, asked)) == (201, "")


@pytest.mark.parametrize("kind", ["fleets", "groups", "applications"])
def test_nobody_closes_what_they_do_not_rule(house: House, kind: str) -> None:
    rows = {"fleets": house.edge, "groups": house.crew, "applications": house.app}
    here = f"{kind}/{rows[kind].pk}/"
    person = {"fleets": house.manager, "groups": house.leader, "applications": house.author}[kind]
    narrow = make_token(house.admin, *RULES, grants=(GrantWish("/fleets/edge", "Administrator"),))

    for client in (session_client(person), session_client(house.member), token_client(narrow)):
        assert said(send(client, "DELETE", here))[0] in {403, 404}
    assert type(rows[kind])._default_manager.filter(pk=rows[kind].pk, closed_at=None).exists()
    assert said(send(session_client(house.admin), "DELETE", here)) == (204, "")


def test_nothing_is_given_on_the_path_of_a_fleet_that_closed(house: House) -> None:
    admin = session_client(house.admin)
    on_core, on_machine = entry_of(path="/fleets/core"), entry_of(path=house.core_1.path)
    assert said(send(admin, "POST", "acl/", {**on_core, "user": house.member.username})) == (201, "")
    standing = AclEntry.objects.get(user=house.member)
    assert said(send(admin, "DELETE", f"fleets/{house.core.pk}/")) == (204, "")

    for path in (on_core, on_machine):
        answer = send(admin, "POST", "acl/", {**path, "user": house.worker.username})
        assert said(answer)[0] in {400, 404}, answer.content
    grants = [{"path": "/fleets/core", "role": "Viewer"}]
    assert said(issue(admin, scopes=["machines:read"], grants=grants))[0] == 400
    assert said(send(admin, "PATCH", f"acl/{standing.pk}/", {"role": "Operator"}))[0] in {400, 404, 409}
    member_s = session_client(house.member)
    assert said(send(member_s, "GET", f"machines/{house.core_1.pk}/")) == (404, "not_found")
    assert said(send(admin, "POST", "acl/", {**entry_of(), "user": house.worker.username})) == (201, "")
