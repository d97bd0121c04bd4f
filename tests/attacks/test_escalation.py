"""Attacks 67 to 72, 74 and 75, and their relatives: somebody who has a little asks for more.

Each attempt stands beside its positive twin, the same request by who may make it or within what the caller has; nothing
of an attempt is left behind but its denial. What any request could give anybody is for test_escalation_properties.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from audit.models import Event
from config.edge.clock import now
from fleets import machines, role_changes
from fleets.models import (
    AclEntry,
    FleetMembership,
    GroupMembership,
    Membership,
    OrganizationRole,
    User,
)
from fleets.scopes import Scope, parse_scopes
from tests.factories import (
    API,
    PASSWORD,
    application_owner,
    events,
    fleet_member,
    last_event,
    make_application,
    make_entry,
    make_fleet,
    make_group,
    make_group_member,
    make_machine,
    make_organization,
    make_person,
    make_token,
    member,
    operator,
    owner_of,
    session_client,
    token_client,
)
from tests.tokens.issuing import REASON
from tokens import lifecycle
from tokens.issuance import GrantWish, Issued
from tokens.models import Token

EVERYTHING = sorted(scope.value for scope in Scope)
RULES = ["machines:read", "permissions:manage", "tokens:manage"]


class House:
    """One organization with somebody at every place from which one could climb."""

    def __init__(self) -> None:
        self.acme = make_organization("acme")
        self.edge, self.core = make_fleet(self.acme, "edge"), make_fleet(self.acme, "core")
        self.edge_1 = make_machine(self.edge, "edge-1", vmid=101)
        self.core_1 = make_machine(self.core, "core-1")
        self.crew = make_group(self.acme, "crew")
        make_entry(self.acme, "/fleets/edge", "Viewer", group=self.crew)
        self.owner = owner_of(self.acme)
        self.admin = member(self.acme, "admin")
        self.approver = member(self.acme, "approver")
        self.member = member(self.acme)
        self.manager, self.viewer = fleet_member(self.edge, "manager"), fleet_member(self.edge)
        self.leader = make_group_member(self.crew, "admin").user
        self.worker = make_group_member(self.crew).user
        self.app = make_application(self.acme, "app")
        self.author = application_owner(self.app)
        self.of_app = make_token(self.app, "machines:read", "machines:operate")
        self.keeper = role_changes.add(self.acme, name="Keeper", scopes=parse_scopes(RULES), by=operator)


@pytest.fixture(scope="module")
def built(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[House]:
    """In a transaction around the module's tests, which never commits."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield House()
        transaction.set_rollback(True)


@pytest.fixture
def house(built: House, db: None) -> House:
    """For one test: what it does is undone."""
    return built


def said(answer: Any) -> tuple[int, str]:
    """The status, and the code of a refusal."""
    document = answer.json() if answer.content else {}
    return answer.status_code, document.get("code", "")


def send(client: APIClient, method: str, path: str, body: Any = None) -> Any:
    return client.generic(method, API + path, "" if body is None else json.dumps(body), "application/json")


def issue(client: APIClient, **asked: Any) -> Any:
    """POST tokens/; the kind is said by the owner."""
    return send(
        client, "POST", "tokens/", {"name": f"asked-{Token.objects.count()}", "reason": REASON, **asked}
    )


def stored(issued: Issued) -> dict[str, Any]:
    """The token's row, but for when it was used."""
    row = Token.objects.filter(pk=issued.token.pk).values().get()
    return {name: value for name, value in row.items() if not name.startswith("last_used")}


def denials(action: str) -> list[str]:
    return [line for line in events(action=action) if line.endswith("denied")]


# 67: a scope, a role, a place that the creator lacks


@pytest.mark.parametrize(
    ("asked", "within", "refused"),
    [
        ({"scopes": ["machines:create"]}, {"scopes": ["machines:read"]}, (403, "exceeds_your_rights")),
        ({"role": "Admin"}, {"role": "Viewer"}, (403, "exceeds_your_rights")),
        ({"role": "Keeper"}, {"role": "Operator", "owner": "fleet:edge"}, (403, "exceeds_your_rights")),
        (
            {"scopes": ["machines:read"], "owner": "fleet:core"},
            {"scopes": ["machines:read"], "owner": "fleet:edge"},
            (404, "not_found"),
        ),
        (
            {"scopes": ["machines:read"], "owner": "organization:acme"},
            {"scopes": ["machines:read"]},
            (403, "insufficient_scope"),
        ),
    ],
)
def test_nobody_issues_a_scope_a_role_or_a_place_that_they_lack(
    house: House, asked: dict[str, Any], within: dict[str, Any], refused: tuple[int, str]
) -> None:
    viewer = session_client(house.viewer)
    before = Token.objects.count()
    if "Keeper" in asked.values() or "fleet:core" in asked.values():
        viewer = session_client(house.manager)

    assert said(issue(viewer, **asked)) == refused
    assert Token.objects.count() == before
    assert said(issue(viewer, **within)) == (201, "")
    assert Token.objects.count() == before + 1


def test_a_machine_that_the_creator_does_not_reach_is_not_there(house: House) -> None:
    viewer = session_client(house.viewer)

    assert said(issue(viewer, scopes=["machines:read"], machines=[str(house.core_1.pk)])) == (
        404,
        "not_found",
    )
    both = [str(house.edge_1.pk), str(house.core_1.pk)]
    assert said(issue(viewer, scopes=["machines:read"], machines=both)) == (404, "not_found")
    assert said(issue(viewer, scopes=["machines:read"], machines=[str(house.edge_1.pk)])) == (201, "")


# 68: names that are nearly scopes


@pytest.mark.parametrize(
    "scopes",
    [
        ["machines:*"],
        ["*"],
        ["machines:"],
        ["machines"],
        ["machines:readx"],
        ["machines:rea"],
        ["Machines:Read"],
        ["machines:read "],
        [" machines:read"],
        ["machines:read\u200b"],
        ["machines：read"],
        ["machines:read", "machines:read"],
        ["machines:read,permissions:manage"],
        ["machines:read permissions:manage"],
        ["machines:read"] * 10_000,
        [f"machines:read{n}" for n in range(10_000)],
        ["machines:read", None],
        ["machines:read", 1],
        [["machines:read"]],
        {"machines:read": True},
        "machines:read",
        "*",
        [],
        None,
        True,
    ],
    ids=lambda scopes: repr(scopes)[:40],
)
def test_what_is_no_list_of_exact_scopes_is_refused_and_never_read_as_more(house: House, scopes: Any) -> None:
    owner = session_client(house.owner)
    before = Token.objects.count()

    answer = issue(owner, scopes=scopes)

    assert answer.status_code == (413 if len(str(scopes)) > 65_536 else 400), answer.content
    assert Token.objects.count() == before
    assert said(issue(owner, scopes=["machines:read"])) == (201, "")


# 69: a token that issues


@pytest.fixture
def parent(house: House) -> Issued:
    """A manager's, for one fleet and thirty days."""
    issued = make_token(
        house.manager, "machines:read", "tokens:manage", grants=(GrantWish("/fleets/edge", "Administrator"),)
    )
    Token.objects.filter(pk=issued.token.pk).update(expires_at=now() + timedelta(days=30))
    return issued


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"scopes": ["machines:operate"]}, (403, "exceeds_your_rights")),
        ({"role": "Viewer"}, (403, "exceeds_your_rights")),
        (
            {"scopes": ["machines:read"], "grants": [{"path": "/", "role": "Viewer"}]},
            (403, "exceeds_your_rights"),
        ),
        ({"scopes": ["machines:read"], "privilege_separation": False}, (403, "exceeds_your_rights")),
        ({"scopes": ["machines:read"], "expires_in": "90d"}, (403, "outlives_issuer")),
        ({"scopes": ["machines:read"], "expires_in": "never"}, (403, "outlives_issuer")),
        ({"scopes": ["machines:read"], "expires_at": None}, (403, "outlives_issuer")),
    ],
)
@pytest.mark.parametrize("owner", ["oneself", "fleet:edge"])
def test_a_token_s_child_is_not_more_than_it(
    house: House, parent: Issued, owner: str, asked: dict[str, Any], refused: tuple[int, str]
) -> None:
    if owner == "fleet:edge":
        asked = {"owner": owner, **asked}
    if "privilege_separation" in asked and owner == "fleet:edge":
        refused = (400, "invalid")
    elif owner == "fleet:edge" and asked.get("grants"):
        refused = (400, "invalid")  # a fleet's tokens reach nothing outside of it, whoever issues them
    program = token_client(parent)
    before = Token.objects.count()

    assert said(issue(program, **asked)) == refused
    assert Token.objects.count() == before

    twin = {**asked, "scopes": ["machines:read"]}
    for name in (
        "role",
        "grants",
        "privilege_separation",
        "expires_in",
        "expires_at",
        "allowed_networks",
        "rate_limit",
    ):
        twin.pop(name, None)
    answer = issue(program, **twin, expires_in="7d")
    assert said(answer) == (201, "")
    assert Token.objects.filter(pk=answer.json()["id"], expires_at__lt=now() + timedelta(days=8)).exists()


def test_a_child_never_outlives_its_parent_whatever_is_done_to_it_later(house: House, parent: Issued) -> None:
    program = token_client(parent)
    child = issue(program, scopes=["machines:read"]).json()
    end = Token.objects.get(pk=parent.token.pk).expires_at

    assert Token.objects.get(pk=child["id"]).expires_at == end
    longer = {"expires_at": (now() + timedelta(days=60)).isoformat(), "reason": REASON}
    assert said(send(program, "PATCH", f"tokens/{child['id']}/", longer)) == (403, "outlives_issuer")
    assert said(send(program, "PATCH", f"tokens/{child['id']}/", {"expires_at": None, "reason": REASON})) == (
        403,
        "outlives_issuer",
    )
    assert Token.objects.get(pk=child["id"]).expires_at == end
    shorter = {"expires_at": (now() + timedelta(days=3)).isoformat()}
    assert said(send(program, "PATCH", f"tokens/{child['id']}/", shorter)) == (200, "")
    person = session_client(house.manager)
    assert said(send(person, "PATCH", f"tokens/{child['id']}/", longer)) == (200, "")


def test_an_admin_s_token_issues_no_organization_s_token_that_is_wider_than_itself(house: House) -> None:
    narrow = make_token(house.admin, *RULES, grants=(GrantWish("/", "Administrator"),))
    at_edge = make_token(house.admin, *RULES, grants=(GrantWish("/fleets/edge", "Administrator"),))
    asked = {"owner": "organization:acme", "role": "Admin"}
    before = Token.objects.count()

    assert said(issue(token_client(narrow), **asked)) == (403, "exceeds_your_rights")
    assert said(issue(token_client(at_edge), owner="organization:acme", scopes=["machines:read"])) == (
        403,
        "insufficient_scope",
    )
    assert Token.objects.count() == before
    assert said(issue(token_client(narrow), owner="organization:acme", scopes=["machines:read"])) == (201, "")
    assert said(issue(session_client(house.admin), **asked)) == (201, "")


# 70: a token about itself and about others


def test_a_token_without_the_scope_neither_lists_tokens_nor_widens_itself(house: House) -> None:
    issued = make_token(house.manager, "machines:read", "machines:operate")
    program = token_client(issued)

    assert said(send(program, "GET", "tokens/")) == (403, "insufficient_scope")
    for change in (
        {"scopes": ["machines:read", "machines:operate", "machines:write"]},
        {"role": "Admin"},
        {"scopes": ["machines:read", "tokens:manage"]},
        {"grants": [{"path": "/", "role": "Administrator"}], "scopes": ["permissions:manage"]},
        {"expires_at": None},
    ):
        assert said(send(program, "PATCH", "token/", change))[0] == 403, change
    assert sorted(row.scope for row in issued.token.scope_rows.all()) == ["machines:operate", "machines:read"]
    assert denials("token.edited") == ["token.edited denied"] * 5

    assert said(send(program, "PATCH", "token/", {"scopes": ["machines:read"]})) == (200, "")
    rotated = send(program, "POST", "token/rotate/")
    assert said(rotated) == (200, "")
    assert said(send(program, "GET", "whoami/")) == (401, "token_invalid")


# 71: what extends an admin of all


@pytest.mark.parametrize(
    "change",
    [
        {"role": "Operator"},
        {"scopes": ["machines:read"]},
        {"machines": "one"},
        {"grants": [{"path": "/", "role": "Admin"}]},
        {"extended": []},
    ],
    ids=lambda change: next(iter(change)),
)
def test_nothing_of_what_extended_a_token_is_left_once_it_is_no_admin_of_all(
    house: House, change: dict[str, Any]
) -> None:
    admin = session_client(house.admin)
    made = issue(admin, owner="organization:acme", role="Admin", extended=["networks", "templates"]).json()
    assert {"networks:manage", "templates:manage"} <= set(made["scopes"])
    if change.get("machines") == "one":
        change = {"machines": [str(house.edge_1.pk)]}

    answer = send(admin, "PATCH", f"tokens/{made['id']}/", change)

    assert said(answer) == (200, "")
    after = answer.json()
    assert after["extended"] == []
    assert not {"networks:manage", "templates:manage"} & set(after["scopes"])
    back = send(
        admin, "PATCH", f"tokens/{made['id']}/", {"role": "Admin", "machines": "all", "reason": REASON}
    )
    assert said(back) == (200, "")
    assert (back.json()["extended"], back.json()["access_level"]) == ([], "admin")
    again = send(admin, "PATCH", f"tokens/{made['id']}/", {"extended": ["networks"], "reason": REASON})
    assert again.json()["extended"] == ["networks"]


def test_only_who_holds_what_extends_gives_it(house: House) -> None:
    asked = {"role": "Admin", "extended": ["images"]}
    make_entry(house.acme, "/", "Admin", user=house.member)

    assert said(issue(session_client(house.member), **asked)) == (403, "exceeds_your_rights")
    assert said(issue(session_client(house.member), role="Admin")) == (201, "")
    assert said(issue(session_client(house.admin), **asked)) == (201, "")


# 72: the person loses what the token had


@pytest.mark.parametrize("separated", [True, False])
def test_who_loses_a_role_loses_it_in_every_token_at_the_next_call(house: House, separated: bool) -> None:
    issued = make_token(
        house.manager,
        "machines:write",
        "machines:read",
        privilege_separation=separated,
    )
    program = token_client(issued)
    retag = f"machines/{house.edge_1.pk}/"
    assert said(send(program, "PATCH", retag, {"tags": ["mine"]})) == (200, "")
    place = FleetMembership.objects.get(user=house.manager)

    demoted = send(
        session_client(house.admin),
        "PATCH",
        f"fleets/{house.edge.pk}/members/{place.pk}/",
        {"role": "viewer"},
    )

    assert said(demoted) == (200, "")
    assert said(send(program, "PATCH", retag, {"tags": ["theirs"]})) == (403, "insufficient_scope")
    assert said(send(program, "GET", retag)) == (200, "")
    assert "machines:write" in {row.scope for row in issued.token.scope_rows.all()}, (
        "the ceiling is as it was"
    )


def test_privilege_separation_is_settled_at_issue(house: House) -> None:
    issued = make_token(house.manager, "machines:read")
    manager = session_client(house.manager)

    for body in ({"privilege_separation": False}, {"privilege_separation": True}):
        answer = send(manager, "PATCH", f"tokens/{issued.token.pk}/", body)
        assert said(answer) == (400, "unknown_field")
        assert answer.json()["errors"][0]["field"] == "privilege_separation"
    assert Token.objects.get(pk=issued.token.pk).privilege_separation


# 74 and 75: fields that are nobody's to set

SET_BY_NOBODY: dict[str, Any] = {
    "id": "A" * 16,
    "status": "active",
    "status_reason": "",
    "risk": "low",
    "principal": "root",
    "created_at": "2020-01-01T00:00:00Z",
    "created_by": "root",
    "approved_at": "2020-01-01T00:00:00Z",
    "approved_by": "root",
    "is_superuser": True,
    "secret": "thp_x",
    "secret_hash": "00",
    "digest": "00",
    "secret_hint": "thp_",
    "version": 7,
    "access_level": "admin",
    "all_machines": True,
    "extended_networks": True,
    "last_used_at": None,
    "emergency_access": {"hours": 8},
    "break_glass_until": "2030-01-01T00:00:00Z",
    "restrictions": None,
    "hints": [],
}


@pytest.mark.parametrize("field", SET_BY_NOBODY)
@pytest.mark.parametrize("verb", ["issue", "edit", "itself"])
def test_what_is_told_of_a_token_is_not_taken(house: House, verb: str, field: str) -> None:
    issued = make_token(house.manager, "machines:read")
    manager, program = session_client(house.manager), token_client(issued)
    before = stored(issued)
    asked = {field: SET_BY_NOBODY[field]}

    def answer(extra: dict[str, Any]) -> Any:
        if verb == "issue":
            return issue(manager, scopes=["machines:read"], **extra)
        if verb == "edit":
            return send(manager, "PATCH", f"tokens/{issued.token.pk}/", {"description": "x", **extra})
        return send(program, "PATCH", "token/", {"scopes": ["machines:read"], **extra})

    refused = answer(asked)

    assert refused.status_code == 400, refused.content
    assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert stored(issued) == before
    assert said(answer({}))[0] in {200, 201}


@pytest.mark.parametrize(
    "move",
    [
        {"owner": "fleet:core"},
        {"owner": "edge"},
        {"owner": {"type": "fleet", "id": "x"}},
        {"organization": "globex"},
        {"organization": "acme"},
        {"kind": "organization"},
    ],
    ids=str,
)
def test_a_token_is_never_moved_to_another_owner_or_organization(house: House, move: dict[str, Any]) -> None:
    make_organization("globex", owner=house.owner)
    issued = make_token(house.edge, "machines:read")
    owner = session_client(house.owner)
    before = stored(issued)

    assert said(send(owner, "PATCH", f"tokens/{issued.token.pk}/", move))[0] == 400
    assert stored(issued) == before
    assert said(send(owner, "PATCH", f"tokens/{issued.token.pk}/", {"name": "moved"})) == (200, "")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("members/{member}/", {"role": "auditor", "is_superuser": True}),
        ("members/{member}/", {"role": "auditor", "suspended_at": None}),
        ("members/{member}/", {"user": "root"}),
        ("fleets/{fleet}/", {"slug": "core"}),
        ("fleets/{fleet}/", {"name": "x", "closed_at": None}),
        ("fleets/{fleet}/", {"organization": "globex"}),
        ("groups/{group}/", {"slug": "other"}),
        ("machines/{machine}/", {"tags": [], "fleet": "core"}),
        ("machines/{machine}/", {"tags": [], "vmid": 7}),
        ("machines/{machine}/", {"tags": [], "organization": "globex"}),
    ],
)
def test_an_edit_of_the_estate_takes_only_its_own_fields(
    house: House, path: str, body: dict[str, Any]
) -> None:
    admin = session_client(house.admin)
    place = Membership.objects.get(user=house.member)
    here = path.format(member=place.pk, fleet=house.edge.pk, group=house.crew.pk, machine=house.edge_1.pk)

    assert said(send(admin, "PATCH", here, body))[0] == 400
    twin = {"members": {"role": "auditor"}, "machines": {"tags": ["a"]}}.get(
        path.partition("/")[0], {"name": "New"}
    )
    assert said(send(admin, "PATCH", here, twin)) == (200, "")
    assert not User.objects.filter(is_superuser=True).exists()


# Roles, memberships


def test_nobody_gives_themselves_a_role_in_a_group_a_fleet_or_the_organization(house: House) -> None:
    worker, manager = session_client(house.worker), session_client(house.manager)
    in_crew = GroupMembership.objects.get(user=house.worker)
    in_edge = FleetMembership.objects.get(user=house.viewer)
    attempts = [
        (worker, "PATCH", f"groups/{house.crew.pk}/members/{in_crew.pk}/", {"role": "admin"}),
        (
            session_client(house.member),
            "POST",
            f"groups/{house.crew.pk}/members/",
            {"username": house.member.username, "role": "admin"},
        ),
        (
            session_client(house.viewer),
            "PATCH",
            f"fleets/{house.edge.pk}/members/{in_edge.pk}/",
            {"role": "manager"},
        ),
        (manager, "PATCH", f"fleets/{house.edge.pk}/members/{in_edge.pk}/", {"role": "manager"}),
        (manager, "POST", "members/", {"username": "friend", "name": "Friend", "role": "member"}),
    ]
    for person in (house.member, house.manager, house.approver, house.admin):
        place = Membership.objects.get(user=person)
        attempts += [
            (session_client(person), "PATCH", f"members/{place.pk}/", {"role": role})
            for role in ("owner", "admin", "approver")
            if role != place.role
        ]

    for client, method, path, body in attempts:
        assert said(send(client, method, path, body))[0] == 403, (method, path, body)

    assert GroupMembership.objects.get(pk=in_crew.pk).role == "user"
    assert FleetMembership.objects.get(pk=in_edge.pk).role == "viewer"
    assert not User.objects.filter(username="friend").exists()
    admin = session_client(house.admin)
    assert said(send(admin, *attempts[0][1:])) == (200, "")
    assert said(send(admin, *attempts[3][1:])) == (200, "")


def test_a_token_that_manages_one_fleet_s_people_manages_no_other_s(house: House) -> None:
    program = token_client(
        make_token(house.admin, *EVERYTHING, grants=(GrantWish("/fleets/edge", "Administrator"),))
    )
    body = {"username": house.member.username, "role": "viewer"}

    assert said(send(program, "POST", f"fleets/{house.core.pk}/members/", body)) == (404, "not_found")
    assert said(send(program, "POST", f"groups/{house.crew.pk}/members/", {**body, "role": "user"}))[0] in {
        403,
        404,
    }
    assert (
        said(send(program, "POST", "members/", {"username": "friend", "name": "F", "role": "member"}))[0]
        == 403
    )
    assert not FleetMembership.objects.filter(user=house.member).exists()
    assert said(send(program, "POST", f"fleets/{house.edge.pk}/members/", body)) == (201, "")


def test_the_last_owner_neither_leaves_nor_steps_down(house: House) -> None:
    owner, place = session_client(house.owner), Membership.objects.get(user=house.owner)
    here = f"members/{place.pk}/"

    assert said(send(owner, "DELETE", here)) == (409, "last_owner")
    assert said(send(owner, "PATCH", here, {"role": "admin"})) == (409, "last_owner")
    assert said(send(owner, "POST", f"{here}suspend/", {})) == (409, "last_owner")
    assert Membership.objects.active().filter(pk=place.pk, role="owner").exists()

    promoted = Membership.objects.get(user=house.admin)
    assert said(send(owner, "PATCH", f"members/{promoted.pk}/", {"role": "owner"})) == (200, "")
    assert said(send(owner, "DELETE", here)) == (204, "")


# Secrets


def test_an_admin_never_rotates_an_approver_s_token_but_may_end_it(house: House) -> None:
    issued = make_token(house.approver, "approvals:decide", "tokens:read")
    here = f"tokens/{issued.token.pk}/"
    admin = session_client(house.admin)

    for client in (admin, session_client(house.owner)):
        answer = send(client, "POST", f"{here}rotate/", {})
        assert said(answer) == (403, "forbidden")
        assert "secret" not in answer.json()
    assert issued.token.secrets.count() == 1
    assert said(send(token_client(issued), "GET", "whoami/")) == (200, ""), "the secret is as it was"

    assert said(send(session_client(house.approver), "POST", f"{here}rotate/", {})) == (200, "")
    assert said(send(admin, "POST", f"{here}disable/", {})) == (200, "")
    assert said(send(admin, "POST", f"{here}revoke/", {})) == (200, "")


def test_a_group_s_user_issues_no_token_of_the_group_and_its_admin_does(house: House) -> None:
    asked = {"owner": "group:crew", "role": "Viewer"}
    before = Token.objects.count()

    for person in (house.worker, house.member, house.manager):
        assert said(issue(session_client(person), **asked))[0] in {403, 404}
    by_token = token_client(make_token(house.leader, "tokens:manage", "machines:read"))
    assert said(issue(by_token, **asked))[0] in {403, 404}, (
        "a group's admin manages its tokens in their session only"
    )
    assert Token.objects.count() == before + 1
    made = issue(session_client(house.leader), **asked)
    assert said(made) == (201, "")
    here = f"tokens/{made.json()['id']}/"
    assert said(send(session_client(house.worker), "POST", f"{here}rotate/", {})) == (404, "not_found")
    assert said(send(session_client(house.leader), "POST", f"{here}rotate/", {})) == (200, "")


# Entries and roles


def entry_of(**asked: Any) -> dict[str, Any]:
    return {"path": "/fleets/edge", "role": "Viewer", **asked}


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


# Names that are never used again


@pytest.mark.parametrize("kind", ["fleets", "groups", "applications"])
def test_the_slug_of_what_closed_is_not_used_again(house: House, kind: str) -> None:
    admin = session_client(house.admin)
    made = send(admin, "POST", f"{kind}/", {"slug": "once", "name": "Once"}).json()
    assert said(send(admin, "DELETE", f"{kind}/{made['id']}/")) == (204, "")

    assert said(send(admin, "POST", f"{kind}/", {"slug": "once", "name": "Again"})) == (409, "slug_taken")
    assert said(send(admin, "POST", f"{kind}/", {"slug": "twice", "name": "Twice"})) == (201, "")


def test_the_username_of_a_technical_user_that_was_removed_is_nobody_else_s(house: House) -> None:
    admin = session_client(house.admin)
    made = send(admin, "POST", "technical-users/", {"username": "Robot"}).json()
    assert said(send(admin, "POST", "acl/", entry_of(user="Robot", role="Admin"))) == (201, "")
    issued = issue(admin, owner="technical:Robot", scopes=["machines:read"]).json()
    assert said(send(admin, "DELETE", f"technical-users/{made['id']}/")) == (204, "")

    for name in ("Robot", "robot", "ROBOT"):
        assert said(send(admin, "POST", "technical-users/", {"username": name})) == (409, "username_taken")
        invited = {"username": name, "name": "Robert", "email": "r@example.org", "role": "member"}
        assert said(send(admin, "POST", "members/", invited)) == (409, "username_taken")
    assert said(issue(admin, owner="technical:Robot", scopes=["machines:read"]))[0] in {404, 409}
    assert Token.objects.get(pk=issued["id"]).status == "revoked"
    assert not AclEntry.objects.filter(user__username="Robot").exists()
    assert said(send(admin, "POST", "technical-users/", {"username": "Robot2"})) == (201, "")


def test_the_name_of_a_role_that_was_removed_is_not_used_again(house: House) -> None:
    admin = session_client(house.admin)
    made = send(admin, "POST", "roles/", {"name": "Reader", "scopes": ["machines:read"]}).json()
    assert said(send(admin, "DELETE", f"roles/{made['id']}/")) == (204, "")

    for name in ("Reader", "reader", "READER", "Viewer", "viewer", "NoAccess", "noaccess"):
        answer = send(admin, "POST", "roles/", {"name": name, "scopes": ["audit:read"]})
        assert said(answer) == (409, "name_taken"), name
    assert said(send(admin, "POST", "acl/", entry_of(user=house.member.username, role="Reader")))[0] == 400
    assert said(send(admin, "POST", "roles/", {"name": "Reader2", "scopes": ["machines:read"]})) == (201, "")


def test_the_name_of_an_ended_token_is_not_used_again(house: House) -> None:
    manager = session_client(house.manager)
    made = issue(manager, scopes=["machines:read"], name="Deploy").json()
    assert said(send(manager, "POST", f"tokens/{made['id']}/revoke/", {})) == (200, "")

    for name in ("Deploy", "deploy", "DEPLOY"):
        assert said(issue(manager, scopes=["machines:read"], name=name)) == (409, "name_taken")
    assert said(issue(manager, scopes=["machines:read"], name="Deploy2")) == (201, "")
    assert said(issue(session_client(house.viewer), scopes=["machines:read"], name="Deploy")) == (201, "")


# Paths that come to mean something else


def test_a_vmid_that_somebody_was_given_is_not_registered_behind_their_back(house: House) -> None:
    manager = session_client(house.manager)
    admin, given = (
        session_client(house.admin),
        {"path": "/vms/7", "role": "Operator", "user": house.member.username},
    )
    asked = {"fleet": "edge", "name": "seven", "vmid": 7}
    made = send(admin, "POST", "acl/", given)
    assert (said(made), made.json()["path"]) == ((201, ""), "/vms/7")

    assert said(send(manager, "POST", "machines/", asked)) == (409, "vmid_has_entries")
    assert said(send(admin, "DELETE", f"acl/{made.json()['id']}/")) == (204, "")
    granted = make_token(house.viewer, "machines:read", grants=(GrantWish("/vms/7", "Viewer"),))
    assert said(send(manager, "POST", "machines/", asked)) == (409, "vmid_has_entries")
    lifecycle.revoke(granted.token, by=operator)

    assert said(send(manager, "POST", "machines/", asked)) == (201, "")
    later = send(admin, "POST", "acl/", given)
    assert later.json()["path"].startswith("/fleets/edge/machines/"), "now it is the machine that is meant"


def test_a_vmid_of_a_machine_that_is_gone_leads_to_no_later_one(house: House) -> None:
    make_entry(house.acme, "/vms/101", "Operator", user=house.member)
    program = token_client(make_token(house.member, "machines:operate"))
    action = {"action": "start"}
    assert said(send(program, "POST", f"machines/{house.edge_1.pk}/actions/", action)) == (201, "")
    machines.deregister(type(house.edge_1).objects.get(pk=house.edge_1.pk), by=operator)

    later = make_machine(house.core, "later", vmid=101)

    assert said(send(program, "POST", f"machines/{later.pk}/actions/", action)) == (404, "not_found")


# Technical users


def test_a_technical_user_signs_in_by_no_door(house: House) -> None:
    technical = house.of_app.token.principal
    person = make_person("somebody")
    for user in (technical, person):
        stored = User.objects.get(pk=user.pk)
        stored.set_password(PASSWORD)  # not by any door either: the product never does
        stored.save()
    Membership.objects.create(user=person, organization=house.acme, role="member")

    def sign_in(username: str) -> tuple[int, bool]:
        client = Client()
        form = {"username": username, "password": PASSWORD, "next": "/admin/"}
        return client.post("/admin/login/", form).status_code, "_auth_user_id" in client.session

    assert sign_in(person.username) == (302, True)
    assert sign_in(technical.username) == (200, False)
    assert sign_in(technical.username.upper()) == (200, False)

    forced = APIClient()
    forced.force_login(User.objects.get(pk=technical.pk), backend="fleets.sign_in.PersonBackend")
    assert said(send(forced, "GET", "whoami/")) == (401, "credential_missing"), (
        "not even with a session's cookie"
    )
    assert forced.get("/admin/").status_code == 302

    basic = APIClient(headers={"authorization": "Basic " + "c29tZWJvZHk6eA=="})
    assert said(send(basic, "GET", "whoami/"))[0] == 401
    as_pve = APIClient(
        headers={"authorization": f"PVEAPIToken={technical.username}!{house.of_app.token.name}={PASSWORD}"}
    )
    assert said(send(as_pve, "GET", "whoami/")) == (401, "token_invalid")
    assert said(send(token_client(house.of_app), "GET", "whoami/")) == (200, "")


def test_a_technical_user_is_made_nobody_s_member(house: House) -> None:
    name = house.of_app.token.principal.username
    admin = session_client(house.admin)

    for path, role in (
        (f"fleets/{house.edge.pk}/members/", "viewer"),
        (f"groups/{house.crew.pk}/members/", "user"),
        ("members/", "member"),
    ):
        extra = {"name": "x"} if path == "members/" else {}
        answer = send(admin, "POST", path, {"username": name, "role": role, **extra})
        assert said(answer)[0] in {400, 404, 409}, answer.content
    assert not Membership.objects.filter(user=house.of_app.token.principal).exists()


def test_every_refusal_of_this_kind_is_a_denial_in_the_trail(house: House) -> None:
    """Who tried to climb is seen by the auditors, with the rule that stopped them."""
    issue(session_client(house.viewer), scopes=["machines:create"])

    event = last_event(action="token.issued", outcome="denied")
    assert event.actor_label == house.viewer.username
    assert event.reason == "exceeds_your_rights"
    assert Event.objects.filter(action="token.issued", outcome="denied").count() == 1
    assert not AclEntry.objects.filter(user=house.viewer).exists()
