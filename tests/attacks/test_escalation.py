"""Somebody who has a little asks for more, by tokens that they issue and edit.

Each attempt stands beside its positive twin, the same request by who may make it or within what the caller has; nothing
of an attempt is left behind but its denial. What any request could give anybody is for test_escalation_properties.
"""

from datetime import timedelta
from typing import Any

import pytest

from audit.models import Event
from config.edge.clock import now
from fleets.models import AclEntry, FleetMembership, Membership, User
from tests.attacks.climbing import RULES, House, denials, issue, said, send, stored
from tests.attacks.tables import Attempt
from tests.factories import (
    last_event,
    make_entry,
    make_organization,
    make_token,
    session_client,
    token_client,
)
from tests.tokens.issuing import REASON
from tokens.issuance import GrantWish, Issued
from tokens.models import Token

# A scope, a role, a place that the creator lacks


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


# Names that are nearly scopes


NO_SCOPES: list[Any] = [
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
]


def test_what_is_no_list_of_exact_scopes_is_refused_and_never_read_as_more(
    house: House, attempt: Attempt
) -> None:
    owner = session_client(house.owner)
    before = Token.objects.count()

    for scopes in NO_SCOPES:
        with attempt(repr(scopes)[:40]):
            answer = issue(owner, scopes=scopes)

            assert answer.status_code == (413 if len(str(scopes)) > 65_536 else 400), answer.content
            assert Token.objects.count() == before

    assert said(issue(owner, scopes=["machines:read"])) == (201, "")


# A token that issues


@pytest.fixture
def parent(house: House) -> Issued:
    """A manager's, for one fleet and thirty days."""
    issued = make_token(
        house.manager, "machines:read", "tokens:manage", grants=(GrantWish("/fleets/edge", "Administrator"),)
    )
    Token.objects.filter(pk=issued.token.pk).update(expires_at=now() + timedelta(days=30))
    return issued


MORE_THAN_THE_PARENT: list[tuple[dict[str, Any], tuple[int, str]]] = [
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
]


@pytest.mark.parametrize("owner", ["oneself", "fleet:edge"])
def test_a_token_s_child_is_not_more_than_it(
    house: House, parent: Issued, owner: str, attempt: Attempt
) -> None:
    program = token_client(parent)
    named = {"owner": owner} if owner == "fleet:edge" else {}
    before = Token.objects.count()

    for asked, refused in MORE_THAN_THE_PARENT:
        # a fleet's tokens reach nothing outside of it, whoever issues them, and act for nobody
        is_unheard_of = owner == "fleet:edge" and asked.keys() & {"privilege_separation", "grants"}
        with attempt(str(asked)):
            assert said(issue(program, **named, **asked)) == ((400, "invalid") if is_unheard_of else refused)
            assert Token.objects.count() == before

    answer = issue(program, **named, scopes=["machines:read"], expires_in="7d")
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


# A token about itself and about others


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


# What extends an admin of all


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


# The person loses what the token had


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


# Fields that are nobody's to set

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


@pytest.mark.parametrize("verb", ["issue", "edit", "itself"])
def test_what_is_told_of_a_token_is_not_taken(house: House, verb: str, attempt: Attempt) -> None:
    issued = make_token(house.manager, "machines:read")
    manager, program = session_client(house.manager), token_client(issued)
    before = stored(issued)

    def answer(extra: dict[str, Any]) -> Any:
        if verb == "issue":
            return issue(manager, scopes=["machines:read"], **extra)
        if verb == "edit":
            return send(manager, "PATCH", f"tokens/{issued.token.pk}/", {"description": "x", **extra})
        return send(program, "PATCH", "token/", {"scopes": ["machines:read"], **extra})

    for field, value in SET_BY_NOBODY.items():
        with attempt(field):
            refused = answer({field: value})

            assert refused.status_code == 400, refused.content
            assert [each["field"] for each in refused.json()["errors"]] == [field]
            assert stored(issued) == before

    assert said(answer({}))[0] in {200, 201}


MOVES: list[dict[str, Any]] = [
    {"owner": "fleet:core"},
    {"owner": "edge"},
    {"owner": {"type": "fleet", "id": "x"}},
    {"organization": "globex"},
    {"organization": "acme"},
    {"kind": "organization"},
]


def test_a_token_is_never_moved_to_another_owner_or_organization(house: House, attempt: Attempt) -> None:
    make_organization("globex", owner=house.owner)
    issued = make_token(house.edge, "machines:read")
    owner = session_client(house.owner)
    before = stored(issued)

    for move in MOVES:
        with attempt(str(move)):
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


# In the trail


def test_every_refusal_of_this_kind_is_a_denial_in_the_trail(house: House) -> None:
    """Who tried to climb is seen by the auditors, with the rule that stopped them."""
    issue(session_client(house.viewer), scopes=["machines:create"])

    event = last_event(action="token.issued", outcome="denied")
    assert event.actor_label == house.viewer.username
    assert event.reason == "exceeds_your_rights"
    assert Event.objects.filter(action="token.issued", outcome="denied").count() == 1
    assert not AclEntry.objects.filter(user=house.viewer).exists()
