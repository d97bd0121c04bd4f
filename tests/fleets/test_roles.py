"""Roles of an organization's own: who makes, changes and removes them, and what that means where they are named."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from config.edge.access import Access
from config.edge.refusals import Conflict, IllegalMove, Invalid, Refused
from fleets import entries, role_changes
from fleets.models import Organization, OrganizationRole
from fleets.scopes import Scope, parse_scopes
from tests.factories import (
    acting,
    events,
    fleet_member,
    last_event,
    make_entry,
    make_fleet,
    make_group,
    make_group_member,
    make_organization,
    make_role,
    make_superuser,
    make_technical_user,
    make_token,
    member,
    operator,
    owner_of,
    session,
    token_client,
)
from tests.tokens.issuing import issue, wish
from tokens.issuance import GrantWish
from tokens.models import Token
from tokens.revocation import revoke

pytestmark = pytest.mark.django_db
READS = frozenset({Scope.MACHINES_READ})
OPERATES = READS | {Scope.MACHINES_OPERATE}


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def scopes_of(role: OrganizationRole) -> list[str]:
    scopes: list[str] = OrganizationRole.objects.values_list("scopes", flat=True).get(pk=role.pk)
    return scopes


def test_a_role_of_an_organizations_own_gives_its_scopes_wherever_an_entry_names_it(
    acme: Organization,
) -> None:
    edge, ada = make_fleet(acme, "edge"), member(acme)

    role = role_changes.add(acme, name="Restarter", scopes=OPERATES, by=session(owner_of(acme)))

    assert (role.name, role.scopes, role.version) == ("Restarter", ["machines:operate", "machines:read"], 1)
    event = last_event(action="role.added")
    assert (event.target_type, event.target_label) == ("role", "Restarter")
    assert event.data == {"scopes": ["machines:operate", "machines:read"]}
    entries.set_entry(acme, path=edge.path, role="Restarter", user=ada, by=session(owner_of(acme)))
    assert session(ada).rights(acme.pk).at(edge.path) == OPERATES
    assert session(ada).rights(acme.pk).at("/") == frozenset()


CALLERS: dict[str, Any] = {
    "operator": lambda _acme: operator,
    "superuser": lambda _acme: session(make_superuser()),
    "owner": lambda acme: session(owner_of(acme)),
    "admin": lambda acme: session(member(acme, "admin")),
    "auditor": lambda acme: session(member(acme, "auditor")),
    "manager": lambda acme: session(fleet_member(make_fleet(acme), "manager")),
    "member": lambda acme: session(member(acme)),
    "delegate of a path": lambda acme: session(delegate(acme, "/nodes")),
    "delegate of the root alone": lambda acme: session(delegate(acme, "/", propagate=False)),
    "owner's token": lambda acme: acting(make_token(owner_of(acme), "permissions:manage", "machines:read")),
    "owner of another organization": lambda _acme: session(owner_of(make_organization())),
}
MAY = {"operator", "superuser", "owner", "admin"}


def delegate(acme: Organization, path: str, *, propagate: bool = True) -> Any:
    """A plain member who manages permissions there."""
    user = member(acme)
    make_entry(acme, path, "Administrator", user=user, propagate=propagate)
    return user


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("verb", ["add", "change", "remove"])
def test_roles_are_ruled_in_a_persons_own_session_by_who_manages_permissions_everywhere(
    acme: Organization, caller: str, verb: str
) -> None:
    role, by = make_role(acme, "Reader", "machines:read"), CALLERS[caller](acme)
    call: Callable[[], Any] = {
        "add": lambda: role_changes.add(acme, name="Other", scopes=READS, by=by),
        "change": lambda: role_changes.change(role, scopes=OPERATES, by=by),
        "remove": lambda: role_changes.remove(role, by=by),
    }[verb]
    before = list(OrganizationRole.objects.values())

    if caller in MAY:
        call()
        assert list(OrganizationRole.objects.values()) != before
        return
    with pytest.raises(Refused):
        call()
    assert list(OrganizationRole.objects.values()) == before
    outcome = {"add": "role.added", "change": "role.changed", "remove": "role.removed"}[verb]
    assert events(action=outcome)[-1] == f"{outcome} denied"


@pytest.mark.parametrize(
    ("verb", "has", "asked"),
    [
        ("add", "", "machines:read files:read"),
        ("change", "machines:read", "machines:read files:read"),
        ("change", "machines:read files:read", "machines:read"),
        ("remove", "machines:read files:read", ""),
    ],
)
def test_nobody_rules_a_role_of_which_they_lack_a_scope_somewhere(
    acme: Organization, verb: str, has: str, asked: str
) -> None:
    narrow = member(acme)
    make_role(acme, "Delegate", "permissions:manage", "machines:read")
    make_entry(acme, "/", "Delegate", user=narrow)
    role = make_role(acme, "Helper", *(has or "machines:read").split())

    def call(by: Access, scopes: str) -> None:
        if verb == "add":
            role_changes.add(acme, name="Other", scopes=parse_scopes(scopes.split()), by=by)
        elif verb == "change":
            role_changes.change(role, scopes=parse_scopes(scopes.split()), by=by)
        else:
            role_changes.remove(role, by=by)

    with pytest.raises(Refused):
        call(session(narrow), asked)
    assert scopes_of(role) == sorted((has or "machines:read").split())
    assert OrganizationRole.objects.present().count() == 2
    call(session(owner_of(acme)), asked)  # the positive twin: who holds it


def test_who_is_denied_somewhere_rules_no_role_that_would_reach_there(acme: Organization) -> None:
    admin, blocked = member(acme, "admin"), member(acme, "admin")
    make_entry(acme, make_fleet(acme, "vault").path, "NoAccess", user=blocked)

    with pytest.raises(Refused):
        role_changes.add(acme, name="Reader", scopes=READS, by=session(blocked))
    role_changes.add(acme, name="Reader", scopes=READS, by=session(admin))

    assert OrganizationRole.objects.count() == 1


@pytest.mark.parametrize("name", ["Viewer", "viewer", "NOACCESS", "administrator", "PVEAdmin", "pvevmuser"])
def test_a_role_has_no_name_of_a_built_in_one(acme: Organization, name: str) -> None:
    with pytest.raises(Conflict) as refusal:
        make_role(acme, name, "machines:read")

    assert refusal.value.code == "name_taken"
    make_role(acme, f"My{name}", "machines:read")
    assert OrganizationRole.objects.count() == 1


@pytest.mark.parametrize(
    "name", ["", " Reader", "-reader", "rea der", "r" * 64, "Le\u00e7teur", "reader\n", "a/b"]
)
def test_a_role_has_a_name_like_a_tokens(acme: Organization, name: str) -> None:
    with pytest.raises(ValidationError):
        make_role(acme, name, "machines:read")
    assert not OrganizationRole.objects.exists()


def test_a_roles_name_is_not_used_again_in_any_case_but_elsewhere(acme: Organization) -> None:
    role_changes.remove(make_role(acme, "Reader", "machines:read"), by=operator)

    for name in ("Reader", "READER"):
        with pytest.raises(Conflict) as refusal:
            make_role(acme, name, "machines:read")
        assert refusal.value.code == "name_taken"
    make_role(make_organization("globex"), "Reader", "machines:read")

    assert OrganizationRole.objects.present().count() == 1


def test_a_role_gives_something_and_never_the_right_to_decide(acme: Organization) -> None:
    by = session(owner_of(acme))
    role = make_role(acme, "Reader", "machines:read")

    for scopes in (frozenset[Scope](), READS | {Scope.APPROVALS_DECIDE}):
        with pytest.raises(Invalid) as refusal:
            role_changes.add(acme, name="Other", scopes=scopes, by=by)
        assert refusal.value.errors[0].field == "scopes"
        with pytest.raises(Invalid):
            role_changes.change(role, scopes=scopes, by=by)

    assert scopes_of(role) == ["machines:read"]
    assert OrganizationRole.objects.count() == 1


def test_a_role_that_is_named_is_not_removed(acme: Organization) -> None:
    role, ada = make_role(acme, "Reader", "machines:read"), member(acme)
    entry = make_entry(acme, "/", "Reader", user=ada)
    issued = make_token(ada, "machines:read", grants=(GrantWish("/", "Reader"),))

    with pytest.raises(Conflict) as refusal:
        role_changes.remove(role, by=operator)
    assert refusal.value.code == "role_in_use"
    entries.remove_entry(entry, by=operator)
    with pytest.raises(Conflict):
        role_changes.remove(role, by=operator)
    assert scopes_of(role) == ["machines:read"]

    revoke(issued.token, by=operator)  # its rows go with it
    role_changes.remove(role, by=operator)

    assert OrganizationRole.objects.present().count() == 0
    assert events(action="role.removed") == ["role.removed allowed"]
    with pytest.raises(IllegalMove):
        role_changes.change(role, scopes=OPERATES, by=operator)
    with pytest.raises(Invalid):
        make_entry(acme, "/", "Reader", user=ada)


def test_what_was_changed_meanwhile_is_not_changed_over(acme: Organization) -> None:
    role = make_role(acme, "Reader", "machines:read")
    stale = OrganizationRole.objects.get(pk=role.pk)
    role_changes.change(role, scopes=OPERATES, by=operator)

    with pytest.raises(Conflict):
        role_changes.change(stale, scopes=READS, by=operator)
    with pytest.raises(Conflict):
        role_changes.remove(stale, by=operator)
    assert scopes_of(role) == ["machines:operate", "machines:read"]


# What an edit means where the role is named


def test_an_edit_holds_at_once_for_members_groups_and_technical_users(acme: Organization) -> None:
    edge, group, ada = make_fleet(acme, "edge"), make_group(acme), member(acme)
    grace, bot = make_group_member(group).user, make_technical_user(acme)
    role = make_role(acme, "Reader", "machines:read", "files:read")
    make_entry(acme, edge.path, "Reader", user=ada)
    make_entry(acme, edge.path, "Reader", group=group)
    make_entry(acme, edge.path, "Reader", user=bot)
    program = make_token(bot, "machines:read", "files:read", "files:write", privilege_separation=False)
    version = Organization.objects.get(pk=acme.pk).version

    role_changes.change(
        role, scopes=parse_scopes(["machines:read", "files:write"]), by=session(owner_of(acme))
    )

    for by in (session(ada), session(grace), acting(program)):
        assert by.permits("files:write", edge.path, acme.pk)
        assert not by.permits("files:read", edge.path, acme.pk)
    assert Organization.objects.get(pk=acme.pk).version == version + 1
    assert last_event(action="role.changed").data["changes"] == {
        "scopes": [["files:read", "machines:read"], ["files:write", "machines:read"]]
    }


def test_an_edit_never_widens_a_ceiling_and_rows_grow_only_up_to_it(acme: Organization) -> None:
    owner = owner_of(acme)
    role = make_role(acme, "Reader", "machines:read")
    of_role = issue(operator, owner, wish(role="Reader"))
    wide = make_token(owner, "machines:read", "machines:operate", grants=(GrantWish("/", "Reader"),))
    narrow = make_token(owner, "machines:read", grants=(GrantWish("/", "Reader"),))
    unnamed = make_token(owner, "machines:read", "machines:operate")
    ended = make_token(owner, "machines:read", "machines:operate", grants=(GrantWish("/", "Reader"),))
    revoke(ended.token, by=operator)
    ceilings = {token.pk: token.scopes for token in Token.objects.all()}

    role_changes.change(role, scopes=OPERATES | {Scope.FILES_READ}, by=session(owner))

    assert {token.pk: token.scopes for token in Token.objects.all()} == ceilings
    held = {
        name: acting(issued).rights(acme.pk).at("/")
        for name, issued in {
            "of the role": of_role,
            "wide": wide,
            "narrow": narrow,
            "unnamed": unnamed,
        }.items()
    }
    assert held == {"of the role": READS, "wide": OPERATES, "narrow": READS, "unnamed": OPERATES}
    assert last_event(action="role.changed").data["widened"] == [wide.token.pk]


def test_an_edit_that_only_takes_away_names_no_token(acme: Organization) -> None:
    owner = owner_of(acme)
    role = make_role(acme, "Reader", "machines:read", "machines:operate")
    issued = make_token(owner, "machines:read", "machines:operate", grants=(GrantWish("/", "Reader"),))
    client = token_client(issued)
    assert client.get("/api/v1/token/permissions/").json()["scopes"] == ["machines:operate", "machines:read"]

    role_changes.change(role, scopes=READS, by=session(owner))

    assert "widened" not in last_event(action="role.changed").data
    permissions = client.get("/api/v1/token/permissions/").json()
    assert permissions["scopes"] == ["machines:read"]
    assert permissions["given_by"][0]["role"] == "Reader"
