"""`/api/v1/tokens/` for owners of every kind: how they are named, who may, what answers show, what lists cost."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from fleets import owners as estate
from fleets import technical_users
from fleets.models import Fleet, Organization, User
from tests.factories import (
    API,
    last_event,
    make_application,
    make_entry,
    make_group,
    make_technical_user,
    make_token,
    member,
    operator,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import REASON, present
from tests.tokens.owning import EDGE, KINDS, Owning, owning
from tests.tokens.test_api import FIELDS, TOKENS, code, errors, url
from tokens.models import Token

BODY = {"name": "ci", "scopes": ["machines:read"]}
LETTER = dict(zip(KINDS, "pfgoat", strict=True))


@pytest.fixture
def own(world: World) -> Owning:
    return owning(world)


@pytest.fixture
def owner(world: World) -> APIClient:
    return session_client(world.owner)


def named(own: Owning, kind: str, world: World) -> str:
    """The owner's slug or username alone."""
    found = own.of_kind(kind, world)
    return found.username if isinstance(found, User) else found.slug


# Naming an owner


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"kind": "group", "owner": "ops"}, "group"),
        ({"kind": "group", "owner": "group:ops"}, "group"),
        ({"owner": "group:ops"}, "group"),
        ({"kind": "organization"}, "organization"),
        ({"kind": "organization", "owner": "acme"}, "organization"),
        ({"owner": "organization:acme"}, "organization"),
        ({"kind": "application", "owner": "shop"}, "application"),
        ({"owner": "application:shop"}, "application"),
        ({"kind": "technical_user", "owner": "bot"}, "technical_user"),
        ({"kind": "technical_user", "owner": "BOT"}, "technical_user"),
        ({"owner": "technical:bot"}, "technical_user"),
    ],
)
def test_an_owner_is_named_by_kind_or_as_on_the_command_line(
    world: World, own: Owning, owner: APIClient, said: dict[str, str], kind: str
) -> None:
    response = owner.post(TOKENS, {**BODY, **said})

    assert response.status_code == 201, response.json()
    data, whose = response.json(), own.of_kind(kind, world)
    assert set(data) == FIELDS | {"secret"}
    assert data["secret"].startswith(f"th{LETTER[kind]}_{data['id']}_")
    assert data["secret_hint"] == f"th{LETTER[kind]}_{data['id'][:4]}"
    assert data["owner"] == {"type": kind, "id": str(whose.pk), "name": named(own, kind, world)}
    assert data["principal"] == ("bot" if kind == "technical_user" else f"{kind}+{data['id']}")
    assert (data["kind"], data["machines"]) == (kind, "all")
    token = Token.objects.get()
    assert (token.kind, token.owner) == (kind, whose)
    assert last_event(action="token.issued").data["owner"] == token.owner_label


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"kind": "organization", "owner": "globex"}, 404),
        ({"owner": "organization:globex"}, 404),
        ({"owner": "group:theirs"}, 404),
        ({"owner": "application:theirs"}, 404),
        ({"owner": "technical:theirs"}, 404),
        ({"kind": "technical_user", "owner": "{admin}"}, 404),
        ({"kind": "personal", "owner": "bot"}, 404),
        ({"owner": "bot"}, 404),
        ({"kind": "technical_user", "owner": "fleet+{fleet_token}"}, 404),
    ],
)
def test_what_is_no_owner_here_does_not_exist(
    world: World, own: Owning, owner: APIClient, other: Fleet, said: dict[str, str], answer: int
) -> None:
    make_group(other.organization, "theirs")
    make_application(other.organization, "theirs")
    make_technical_user(other.organization, "theirs")
    fleet_token = make_token(world.edge, "machines:read").token.pk
    words = {"admin": world.admin.username, "fleet_token": fleet_token}

    response = owner.post(TOKENS, {**BODY, **{key: text.format(**words) for key, text in said.items()}})

    assert (response.status_code, errors(response)) == (answer, [("owner", "not_found")])
    assert Token.objects.count() == 1


# Who may: what somebody knows of and may not is 403, what they can't know of 404

ISSUING: dict[str, dict[str, int]] = {
    "group": {
        **dict.fromkeys(("owner", "admin", "leader", "superuser"), 201),
        **dict.fromkeys(("approver", "auditor", "member", "manager", "viewer", "follower", "keeper"), 403),
    },
    "organization": {
        **dict.fromkeys(("owner", "admin", "superuser"), 201),
        **dict.fromkeys(("approver", "auditor", "member", "manager", "viewer"), 403),
        **dict.fromkeys(("leader", "follower", "keeper"), 403),
    },
    "application": {
        **dict.fromkeys(("owner", "admin", "keeper", "superuser"), 201),
        **dict.fromkeys(("approver", "auditor"), 403),
        **dict.fromkeys(("member", "manager", "viewer", "leader", "follower"), 404),
    },
    "technical_user": {
        **dict.fromkeys(("owner", "admin", "superuser"), 201),
        **dict.fromkeys(("approver", "auditor"), 403),
        **dict.fromkeys(("member", "manager", "viewer", "leader", "follower", "keeper"), 404),
    },
}


@pytest.mark.parametrize("kind", list(ISSUING))
def test_who_issues_which_kind(world: World, own: Owning, kind: str) -> None:
    body = {"kind": kind, "owner": named(own, kind, world), "scopes": ["machines:read"]}

    answers = {
        name: session_client(person).post(TOKENS, {**body, "organization": "acme", "name": name}).status_code
        for name, person in own.people.items()
    }

    assert answers == ISSUING[kind]
    made = set(Token.objects.values_list("name", flat=True))
    assert made == {name for name, status in answers.items() if status == 201}


@pytest.mark.parametrize("kind", list(ISSUING))
def test_who_sees_edits_and_ends_which_kind(world: World, own: Owning, kind: str) -> None:
    issued = make_token(own.of_kind(kind, world), "machines:read", "snapshots:read")
    may = {name for name, status in ISSUING[kind].items() if status == 201}
    sees = may | {"approver", "auditor"}

    for name, person in own.people.items():
        client = session_client(person)
        expected = 200 if name in may else 403 if name in sees else 404
        listed = client.get(TOKENS, {"organization": "acme", "kind": kind}).json()["results"]
        assert [row["id"] for row in listed] == ([issued.token.pk] if name in sees else []), name
        assert client.get(url(issued)).status_code == (200 if name in sees else 404), name
        for verb in ("disable", "enable", "rotate"):
            assert client.post(url(issued, verb), {}).status_code == expected, (name, verb)
        assert client.patch(url(issued), {"description": name}).status_code == expected, name
        assert present(issued).description == (name if name in may else present(issued).description)

    ender = next(iter(sorted(may)))
    assert session_client(own.people[ender]).post(url(issued, "revoke"), {}).json()["status"] == "revoked"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "personal"])
def test_an_edit_of_any_kind_narrows_at_once_and_widens_for_who_could_issue_it(
    world: World, own: Owning, owner: APIClient, kind: str
) -> None:
    issued = make_token(own.of_kind(kind, world), "machines:read", "snapshots:read")

    narrowed = owner.patch(url(issued), {"machines": [str(world.edge_1.pk)], "scopes": ["machines:read"]})
    assert narrowed.status_code == 200, narrowed.json()
    assert [row["path"] for row in narrowed.json()["grants"]] == [world.edge_1.path]
    widened = owner.patch(url(issued), {"role": "Operator", "machines": "all", "reason": REASON})

    assert widened.status_code == 200, widened.json()
    data = widened.json()
    assert (data["access_level"], data["role"], data["machines"], data["risk"]) == (
        "operator",
        "Operator",
        "all",
        "medium",
    )
    event = last_event(action="token.edited").data
    assert (event["widens"], event["lost"]) == (True, [])
    assert event["gained"] == [
        f"machines:operate on {present(issued).grants.get().path}",
        f"machines:read on {present(issued).grants.get().path}",
        f"snapshots:read on {present(issued).grants.get().path}",
    ]


def test_a_role_that_no_token_can_have_is_refused(world: World, own: Owning, owner: APIClient) -> None:
    for role in ("Emperor", "NoAccess"):
        response = owner.post(TOKENS, {"kind": "organization", "name": "ci", "role": role})
        assert (response.status_code, errors(response)) == (400, [("role", "unknown_role")])
    assert not Token.objects.exists()


@pytest.mark.parametrize(
    ("kind", "scopes", "detail"),
    [
        ("group", ["tokens:read"], "A group's token can't hold tokens:read."),
        (
            "organization",
            ["tokens:manage", "files:write"],
            "An organization's token can't hold files:write, tokens:manage.",
        ),
        ("application", ["approvals:decide"], "approvals:decide is for personal tokens only."),
        ("technical_user", ["approvals:decide"], "approvals:decide is for personal tokens only."),
    ],
)
def test_a_scope_that_the_kind_never_holds_is_refused_by_name(
    world: World, own: Owning, owner: APIClient, kind: str, scopes: list[str], detail: str
) -> None:
    body = {"kind": kind, "owner": named(own, kind, world), "name": "ci", "scopes": scopes, "reason": REASON}

    response = owner.post(TOKENS, body)

    assert (response.status_code, errors(response)) == (400, [("scopes", "scope_not_for_kind")])
    assert response.json()["errors"][0]["detail"] == detail
    assert not Token.objects.exists()


# Owners that end


CLOSED = {
    "fleet": (404, "not_found"),
    "group": (409, "owner_closed"),
    "application": (409, "owner_closed"),
    "technical_user": (409, "owner_inactive"),
}


@pytest.mark.parametrize("kind", list(CLOSED))
def test_an_owner_that_closed_has_no_token_any_more_and_gets_none(
    world: World, own: Owning, owner: APIClient, kind: str
) -> None:
    issued = make_token(own.of_kind(kind, world), "machines:read")
    elsewhere = make_token(world.acme, "machines:read")

    if kind == "fleet":
        estate.close_fleet(world.edge, by=operator)
    elif kind == "group":
        estate.close_group(own.ops, by=operator)
    elif kind == "application":
        estate.close_application(own.shop, by=operator)
    else:
        technical_users.remove(own.bot.technical, by=operator)

    assert code(token_client(issued).get(f"{API}whoami/")) == (401, "token_revoked")
    assert present(issued).status_reason == "owner_closed"
    assert not present(issued).principal.is_active
    assert token_client(elsewhere).get(f"{API}whoami/").status_code == 200
    assert code(owner.post(TOKENS, {**BODY, "kind": kind, "owner": named(own, kind, world)})) == CLOSED[kind]
    assert owner.get(url(issued)).json()["machines"] == []


# What a token of each kind sees of itself and others


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_of_each_kind_says_who_it_is(world: World, own: Owning, kind: str) -> None:
    issued = make_token(own.of_kind(kind, world), "machines:read", organization=world.acme)
    client = token_client(issued)

    data = client.get(f"{API}whoami/").json()

    assert (data["type"], data["organization"], data["organizations"]) == ("token", "acme", ["acme"])
    assert data["user"]["username"] == present(issued).principal.username
    assert data["user"]["kind"] == ("person" if kind == "personal" else "technical")
    assert data["token"]["owner"] == client.get(f"{API}token/").json()["owner"]
    assert (data["token"]["kind"], data["token"]["owner"]["name"]) == (kind, named(own, kind, world))


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_fleets_token_is_told_no_persons_name(world: World, own: Owning, kind: str) -> None:
    issuer = world.manager if kind == "personal" else world.admin
    body = {**BODY, "kind": kind, "owner": named(own, kind, world)}
    made = session_client(issuer).post(TOKENS, body).json()
    client = APIClient(headers={"x-auth-token": made["secret"]})

    assert client.get(f"{API}token/").json()["created_by"] == (None if kind == "fleet" else issuer.username)


@pytest.mark.parametrize("kind", ["group", "organization", "application", "technical_user"])
def test_a_token_sees_the_machines_that_its_principal_may(world: World, own: Owning, kind: str) -> None:
    issued = make_token(own.of_kind(kind, world), "machines:read")
    if kind in ("application", "technical_user"):
        make_entry(world.acme, EDGE, "Viewer", user=present(issued).principal)

    machines = token_client(issued).get(f"{API}machines/").json()["results"]

    expected = {"edge-1", "edge-2", *(["core-1"] if kind == "organization" else [])}
    assert {machine["name"] for machine in machines} == expected


@pytest.mark.parametrize("kind", ["group", "organization", "application", "technical_user"])
def test_a_token_without_the_scope_sees_no_token_and_no_person(world: World, own: Owning, kind: str) -> None:
    client = token_client(make_token(own.of_kind(kind, world), "machines:read"))

    for path in ("tokens/", "members/", "groups/", "applications/", "technical-users/"):
        assert client.get(API + path).status_code == 403, path
    assert client.post(TOKENS, {**BODY, "kind": "organization"}).status_code == 403


def test_a_technical_user_is_nobodys_self(world: World, own: Owning) -> None:
    """Its token that reads tokens somewhere sees those there, not its siblings; people manage them."""
    reading, sibling = (
        make_token(own.bot, "tokens:read", "tokens:manage"),
        make_token(own.bot, "machines:read"),
    )
    of_edge = make_token(world.edge, "machines:read")
    make_entry(world.acme, EDGE, "Administrator", user=own.bot)
    client = token_client(reading)

    assert [row["id"] for row in client.get(TOKENS).json()["results"]] == [of_edge.token.pk]
    assert client.get(url(sibling)).status_code == 404
    assert client.post(url(sibling, "revoke"), {}).status_code == 404

    make_entry(world.acme, "/", "Administrator", user=own.bot)
    assert client.get(url(sibling)).status_code == 200
    assert client.post(url(sibling, "disable"), {}).status_code == 200


# Lists


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_is_filtered_by_kind_and_owner(world: World, own: Owning, owner: APIClient, kind: str) -> None:
    made = {
        each: make_token(own.of_kind(each, world), "machines:read", organization=world.acme) for each in KINDS
    }

    def listed(**query: str) -> list[str]:
        response = owner.get(TOKENS, query)
        assert response.status_code == 200, response.json()
        return [row["id"] for row in response.json()["results"]]

    alone, label = named(own, kind, world), present(made[kind]).owner_label
    assert listed(kind=kind) == listed(owner=label) == listed(kind=kind, owner=alone) == [made[kind].token.pk]
    if ":" in label:
        assert listed(kind="fleet" if kind != "fleet" else "group", owner=label) == []


@pytest.mark.parametrize(
    "label",
    ["group:theirs", "application:theirs", "technical:theirs", "organization:globex", "group:nowhere"],
)
def test_a_filter_by_an_owner_elsewhere_is_as_by_one_that_does_not_exist(
    world: World, own: Owning, owner: APIClient, other: Fleet, label: str
) -> None:
    make_group(other.organization, "theirs")
    make_application(other.organization, "theirs")
    make_technical_user(other.organization, "theirs")

    assert code(owner.get(TOKENS, {"owner": label})) == (404, "not_found")
    assert owner.get(TOKENS, {"owner": "organization:acme"}).status_code == 200


def test_who_can_not_know_of_an_owner_filters_by_none(world: World, own: Owning) -> None:
    plain = session_client(member(world.acme))

    assert plain.get(TOKENS, {"owner": "group:ops"}).json()["results"] == []
    for label in ("application:shop", "technical:bot"):
        assert code(plain.get(TOKENS, {"owner": label})) == (404, "not_found")
    assert session_client(own.keeper).get(TOKENS, {"owner": "application:shop"}).status_code == 200


def test_a_list_of_every_kind_asks_the_database_as_often_for_thirty_tokens_of_each_as_for_one(
    world: World, own: Owning, owner: APIClient
) -> None:
    counts = []
    for more in (1, 29):
        for _ in range(more):
            for kind in KINDS:
                make_token(
                    own.of_kind(kind, world),
                    "machines:read",
                    organization=world.acme,
                    machines=[world.edge_1],
                )
        with CaptureQueriesContext(connection) as queries:
            found = owner.get(TOKENS, {"limit": 200}).json()["results"]
        counts.append((len(found), len(queries)))

    assert counts == [(6, counts[0][1]), (180, counts[0][1])]
    assert counts[0][1] <= 20


def test_an_organization_of_two_is_said_by_who_belongs_to_both(
    world: World, own: Owning, other: Fleet
) -> None:
    both = world.owner
    other.organization.memberships.create(user=both, organization=other.organization, role="owner")
    client = session_client(both)

    assert code(client.post(TOKENS, {**BODY, "kind": "organization"})) == (400, "organization_required")
    response = client.post(TOKENS, {**BODY, "kind": "organization", "organization": "globex"})
    assert response.json()["owner"]["name"] == "globex"
    assert Token.objects.get().organization == Organization.objects.get(slug="globex")
    wrong = client.post(
        TOKENS, {**BODY, "kind": "organization", "owner": "acme", "organization": "globex", "name": "b"}
    )
    assert (wrong.status_code, errors(wrong)) == (404, [("owner", "not_found")])
