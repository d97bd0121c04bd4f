"""Ceiling and rows by access level: Operator or Admin, of all machines or of selected ones, and what extends it."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from rest_framework.test import APIClient

from config.edge.refusals import Invalid
from fleets import machines as estate
from fleets.authority import ROLE_SCOPES_AT_ROOT, Role
from fleets.models import Machine
from tests.factories import (
    acting,
    last_event,
    make_entry,
    make_group,
    make_machine,
    make_technical_user,
    make_token,
    member,
    operator,
    session,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import REASON, issue, outcome, present, wish
from tests.tokens.test_api import errors
from tokens import lifecycle
from tokens.changes import Edit
from tokens.issuance import GrantWish, Issued, Wish
from tokens.kinds import Owner
from tokens.models import EXTENDED, Token

API = "/api/v1/"
ADMIN = sorted(ROLE_SCOPES_AT_ROOT[Role.ADMIN])


def level(issued: Issued) -> tuple[str, bool, list[str]]:
    token = present(issued)
    return token.access_level, token.all_machines, token.extended


def edited(issued: Issued, by: Any = operator, **change: Any) -> tuple[str, bool, list[str]]:
    """The level after an edit."""
    lifecycle.edit(present(issued), change=Edit(**change), reason=REASON, by=by)
    return level(issued)


# Which level a token has


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Wish(role="Operator", machines="all"), ("operator", True)),
        (Wish(role="Admin", machines="all"), ("admin", True)),
        (Wish(role="Admin"), ("admin", True)),
        (Wish(role="Viewer", machines="all"), ("custom", True)),
        (wish(*ADMIN), ("custom", True)),
        (Wish(role="Admin", grants=(GrantWish("/", "Admin"),)), ("custom", False)),
        (Wish(role="Admin", grants=()), ("custom", False)),
        (Wish(role="Admin", privilege_separation=False), ("custom", False)),
    ],
)
def test_the_level_is_a_built_in_role_on_all_machines_and_else_custom(
    world: World, asked: Wish, expected: tuple[str, bool]
) -> None:
    issued = issue(session(world.owner), world.owner, asked)

    assert level(issued) == (*expected, [])


@pytest.mark.parametrize("role", ["Operator", "Admin"])
def test_the_level_is_of_selected_machines_too(world: World, role: str) -> None:
    asked = Wish(role=role, machines=(world.edge_1.pk, world.edge_2.pk))

    issued = issue(session(world.owner), world.owner, asked)

    assert level(issued) == (role.lower(), False, [])
    assert edited(issued, wish=Wish(machines="all")) == (role.lower(), True, [])
    assert edited(issued, wish=Wish(machines=(world.core_1.pk,))) == (role.lower(), False, [])


# Operator of two selected machines


@pytest.fixture
def two(world: World) -> tuple[APIClient, Issued]:
    """A program with Operator on edge-1 and edge-2, both with a vmid."""
    for number, machine in enumerate((world.edge_1, world.edge_2), start=101):
        Machine.objects.filter(pk=machine.pk).update(vmid=number)
    asked = Wish(role="Operator", machines=(world.edge_1.pk, world.edge_2.pk))
    issued = issue(session(world.manager), world.edge, asked)
    return token_client(issued), issued


def restart(client: APIClient, machine: Machine) -> int:
    return client.post(f"{API}machines/{machine.pk}/actions/", {"action": "restart"}).status_code


def configure(client: APIClient, machine: Machine) -> int:
    return client.patch(f"{API}machines/{machine.pk}/configuration/", {"cpus": 4}).status_code


def seen(client: APIClient) -> set[str]:
    return {row["id"] for row in client.get(f"{API}machines/").json()["results"]}


def ids(*machines: Machine) -> set[str]:
    return {str(machine.pk) for machine in machines}


def test_an_operator_of_two_machines_acts_there_and_configures_nowhere(
    world: World, two: tuple[APIClient, Issued]
) -> None:
    client, _ = two
    other = make_machine(world.edge)

    assert [restart(client, machine) for machine in (world.edge_1, world.edge_2)] == [201, 201]
    assert [restart(client, machine) for machine in (other, world.core_1)] == [404, 404]
    assert [configure(client, machine) for machine in (world.edge_1, world.edge_2)] == [403, 403]
    assert [configure(client, machine) for machine in (other, world.core_1)] == [404, 404]
    assert seen(client) == ids(world.edge_1, world.edge_2)


def test_a_later_machine_of_the_same_name_and_vmid_is_another_one(
    world: World, two: tuple[APIClient, Issued]
) -> None:
    client, issued = two
    estate.deregister(Machine.objects.select_related("fleet").get(pk=world.edge_1.pk), by=operator)

    again = make_machine(world.edge, "edge-1", vmid=101)

    assert [restart(client, machine) for machine in (world.edge_1, again)] == [404, 404]
    assert restart(client, world.edge_2) == 201
    assert seen(client) == ids(world.edge_2)
    answer = session_client(world.manager).get(f"{API}tokens/{issued.token.pk}/").json()
    assert {row["name"]: row["gone"] for row in answer["machines"]} == {"edge-1": True, "edge-2": False}
    assert "machine_gone" in answer["hints"]


def test_selected_machines_that_are_all_gone_match_nothing_and_never_everything(
    world: World, two: tuple[APIClient, Issued]
) -> None:
    client, issued = two
    for machine in (world.edge_1, world.edge_2):
        estate.deregister(Machine.objects.select_related("fleet").get(pk=machine.pk), by=operator)
    other = make_machine(world.edge)

    assert seen(client) == set()
    assert restart(client, other) == 404
    assert client.get(f"{API}token/permissions/", {"path": "/fleets/edge"}).json()["scopes"] == []
    assert acting(issued).rights(world.acme.pk).anywhere == frozenset()
    assert level(issued) == ("operator", False, [])
    edited(issued, wish=Wish(role="Viewer"))
    assert seen(client) == set(), "an edit of something else makes it no wider"


# Extended permissions


@pytest.fixture
def extended(world: World) -> Issued:
    """An organization's token: Admin on all machines, and templates besides."""
    asked = Wish(role="Admin", machines="all", extended=frozenset({"templates"}))
    return issue(session(world.admin), world.acme, asked)


def test_an_admin_of_all_machines_can_be_extended(world: World, extended: Issued) -> None:
    assert level(extended) == ("admin", True, ["templates"])
    assert present(extended).scopes == sorted([*ADMIN, "templates:manage"])
    assert acting(extended).rights(world.acme.pk).at("/") == {*ADMIN, "templates:manage"}
    both = edited(extended, wish=Wish(extended=frozenset({"templates", "images"})))
    assert both == ("admin", True, ["images", "templates"])
    assert edited(extended, wish=Wish(extended=frozenset())) == ("admin", True, [])
    assert present(extended).scopes == ADMIN


@pytest.mark.parametrize("name", sorted(EXTENDED))
@pytest.mark.parametrize("owner", ["organization", "person", "technical_user"])
def test_each_extension_is_the_scope_of_that_kind_of_inventory(world: World, owner: str, name: str) -> None:
    whose: dict[str, Owner] = {
        "organization": world.acme,
        "person": world.owner,
        "technical_user": make_technical_user(world.acme),
    }
    asked = Wish(role="Admin", machines="all", extended=frozenset({name}))

    issued = issue(session(world.owner), whose[owner], asked, organization=world.acme)

    assert set(present(issued).scopes) - set(ADMIN) == {EXTENDED[name]}


def test_the_templates_are_there_for_whom_they_are_extended_to_and_gone_with_a_smaller_level(
    world: World, extended: Issued
) -> None:
    client = token_client(extended)
    plain = token_client(issue(session(world.admin), world.acme, Wish(role="Admin", machines="all")))

    made = client.post(f"{API}templates/", {"name": "small"})
    assert made.status_code == 201, made.json()
    assert [row["name"] for row in client.get(f"{API}templates/").json()["results"]] == ["small"]
    assert client.get(f"{API}images/").status_code == 403
    assert plain.get(f"{API}templates/").status_code == 403

    edited(extended, session(world.admin), wish=Wish(role="Operator"))

    assert client.get(f"{API}templates/").status_code == 403


AWAY: dict[str, Wish] = {
    "another role": Wish(role="Operator"),
    "scopes": wish("machines:read", "machines:operate"),
    "grants": Wish(grants=(GrantWish("/fleets/edge", ""),)),
    "no grants": Wish(grants=()),
}


@pytest.mark.parametrize("away", [*AWAY, "machines"])
def test_an_edit_away_clears_what_was_extended_and_the_way_back_does_not_restore_it(
    world: World, extended: Issued, away: str
) -> None:
    asked = AWAY[away] if away in AWAY else Wish(machines=(world.edge_1.pk,))
    if away == "grants":
        asked = Wish(grants=(GrantWish("/fleets/edge", "Admin"),))
    by = session(world.admin)

    after = edited(extended, by, wish=asked)

    assert after[2] == []
    assert not {EXTENDED[name] for name in EXTENDED} & set(present(extended).scopes)
    data = last_event(action="token.edited").data
    assert data["changes"]["extended_templates"] == [True, False]
    assert "templates:manage on /" in data["lost"]
    assert edited(extended, by, wish=Wish(role="Admin", machines="all")) == ("admin", True, [])
    assert present(extended).scopes == ADMIN
    assert token_client(extended).get(f"{API}templates/").status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"name": "renamed"},
        {"wish": Wish(role="Admin")},
        {"wish": Wish(machines="all")},
        {"expires_at": None},
    ],
)
def test_an_edit_that_stays_there_keeps_what_was_extended(extended: Issued, change: dict[str, Any]) -> None:
    assert edited(extended, **change) == ("admin", True, ["templates"])
    assert "templates:manage" in present(extended).scopes


REFUSED: list[dict[str, Any]] = [
    {"role": "Operator", "machines": "all"},
    {"role": "Viewer"},
    {"scopes": ADMIN, "machines": "all"},
    {"scopes": [*ADMIN, "templates:manage"]},
    {"role": "Admin", "machines": ["{edge_1}"]},
    {"role": "Admin", "grants": [{"path": "/", "role": "Admin"}]},
    {"role": "Admin", "grants": []},
    {"role": "Admin", "privilege_separation": False, "kind": "personal"},
    {"role": "Admin", "kind": "fleet", "owner": "edge"},
    {"role": "Admin", "kind": "group", "owner": "ops"},
]


@pytest.mark.parametrize("body", REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_an_extension_of_anything_else_is_refused(world: World, body: dict[str, Any]) -> None:
    make_entry(world.acme, "/fleets/edge", "GroupUser", group=make_group(world.acme, "ops"))
    asked = {"kind": "organization", "name": "ci", "reason": REASON, "extended": ["templates"], **body}
    if "machines" in body and body["machines"] != "all":
        asked["machines"] = [str(world.edge_1.pk)]

    response = session_client(world.owner).post(f"{API}tokens/", asked)

    assert (response.status_code, errors(response)) == (400, [("extended", "contradiction")])
    assert not Token.objects.exists()
    without = {**asked, "extended": []}
    assert session_client(world.owner).post(f"{API}tokens/", without).status_code == 201


def test_a_groups_tokens_hold_no_inventory_even_at_the_root(world: World) -> None:
    everywhere = make_group(world.acme, "everywhere")
    make_entry(world.acme, "/", "GroupUser", group=everywhere)
    asked = Wish(role="Admin", machines="all", extended=frozenset({"templates"}))

    with pytest.raises(Invalid) as refused:
        issue(session(world.owner), everywhere, asked)

    assert refused.value.errors[0].code == "scope_not_for_kind"


@pytest.mark.parametrize(
    "body",
    [
        {"extended": ["images"]},
        {"machines": "all", "extended": ["images"]},
        {"role": "Admin", "extended": ["images"]},
    ],
)
def test_an_edit_that_extends_anything_else_changes_nothing(world: World, body: dict[str, Any]) -> None:
    issued = issue(operator, world.acme, Wish(role="Operator", machines=(world.edge_1.pk,)))
    manager = session_client(world.owner)

    response = manager.patch(f"{API}tokens/{issued.token.pk}/", {**body, "reason": REASON})

    assert (response.status_code, errors(response)) == (400, [("extended", "contradiction")])
    assert present(issued).version == 1
    whole = {"role": "Admin", "machines": "all", "extended": ["images"], "reason": REASON}
    assert manager.patch(f"{API}tokens/{issued.token.pk}/", whole).json()["extended"] == ["images"]


def test_nobody_extends_by_what_they_do_not_hold(world: World) -> None:
    someone = member(world.acme)
    make_entry(world.acme, "/", "Admin", user=someone)
    asked = Wish(role="Admin", machines="all", extended=frozenset({"templates"}))

    assert outcome(issue, session(someone), someone, asked) == "exceeds_your_rights"
    assert outcome(issue, session(someone), someone, Wish(role="Admin", machines="all")) == "done"


@pytest.mark.parametrize(
    "values",
    [
        "extended_templates = TRUE",
        "access_level = 'operator', all_machines = TRUE, extended_networks = TRUE",
        "access_level = 'admin', all_machines = FALSE, extended_images = TRUE",
        "access_level = 'custom', all_machines = TRUE, extended_images = TRUE",
    ],
)
def test_the_database_holds_no_extension_of_anything_else(world: World, values: str) -> None:
    issued = make_token(world.edge, "machines:read", machines=[world.edge_1])

    with (
        pytest.raises(DatabaseError, match="extended_permissions_need_admin_of_all_machines"),
        transaction.atomic(),
    ):
        by_sql(f"UPDATE tokens_token SET {values} WHERE id = %s", issued)  # noqa: S608 (the values are above)
    by_sql(
        "UPDATE tokens_token SET access_level = 'admin', all_machines = TRUE, extended_images = TRUE WHERE id = %s",
        issued,
    )
    assert level(issued) == ("admin", True, ["images"])


def by_sql(statement: str, issued: Issued) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [issued.token.pk])
