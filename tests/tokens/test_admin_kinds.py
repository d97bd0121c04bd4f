"""The tokens' pages for owners of every kind: for whom one may issue, what the form offers, lists and their filters."""

from typing import Any

import pytest
from django.test import Client

from fleets import machines as estate
from fleets.authority import ROLE_SCOPES, TECHNICAL_FLEET_SCOPES, TECHNICAL_ORGANIZATION_SCOPES, Role
from fleets.models import Machine, OrganizationRole, User
from fleets.scopes import PERSONAL_ONLY, Scope
from tests.factories import (
    last_event,
    make_entry,
    make_group,
    make_group_member,
    make_machine,
    make_organization,
    make_token,
    operator,
)
from tests.pages import browser, queries_of
from tests.tokens.conftest import World
from tests.tokens.owning import KINDS, Owning, owning
from tests.tokens.test_admin import ADD, LIST, form, names_in, page_of, secrets_in
from tokens.models import Token


@pytest.fixture
def own(world: World) -> Owning:
    return owning(world)


KEY = {
    "personal": "acme/me",
    "fleet": "acme/fleet:edge",
    "group": "acme/group:ops",
    "organization": "acme/organization:acme",
    "application": "acme/application:shop",
    "technical_user": "acme/technical:bot",
}


def offered_to(person: User) -> set[str]:
    """The owners that the page offers; one that is alone is chosen already."""
    response = browser(person).get(ADD)
    if "choices" in response.context:
        return {choice.key for choice in response.context["choices"]}
    return {response.context["choice"].key}


# For whom


@pytest.mark.parametrize(
    ("who", "keys"),
    [
        ("owner", {*KEY.values(), "acme/fleet:core"}),
        ("admin", {*KEY.values(), "acme/fleet:core"}),
        ("superuser", {*KEY.values(), "acme/fleet:core"} - {KEY["personal"]}),
        ("manager", {KEY["personal"], KEY["fleet"]}),
        ("leader", {KEY["personal"], KEY["group"]}),
        ("keeper", {KEY["personal"], KEY["application"]}),
        ("follower", {KEY["personal"]}),
        ("member", {KEY["personal"]}),
        ("auditor", {KEY["personal"]}),
    ],
)
def test_owners_are_offered_to_who_may_issue_for_them(
    world: World, own: Owning, who: str, keys: set[str]
) -> None:
    make_group(make_organization("other"), "theirs")
    person = own.people[who]

    seen = {key for key in offered_to(person) if key.startswith("acme/")}

    assert seen == keys
    client = browser(person)
    for key in KEY.values():
        answer = client.get(f"{ADD}?for={key}").status_code
        assert answer == (200 if key in keys else 404), key
        if key not in keys:
            assert client.post(f"{ADD}?for={key}", form()).status_code == 404
    assert not Token.objects.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_of_every_kind_is_issued_by_its_form(world: World, own: Owning, kind: str) -> None:
    who = {"personal": world.manager, "group": own.leader, "application": own.keeper}.get(kind, world.admin)
    asked = form(reach="selected", machines=[str(world.edge_1.pk)])
    if kind == "application":
        asked = form()  # its owners see no machine

    response = browser(who).post(f"{ADD}?for={KEY[kind]}", asked)

    [secret] = secrets_in(response)
    assert Client().get("/api/v1/whoami/", headers={"X-Auth-Token": secret}).status_code == 200
    token = Token.objects.get()
    assert (token.kind, token.owner, token.created_by) == (
        kind,
        own.of_kind(kind, world) if kind != "personal" else who,
        who,
    )
    assert [row.machine for row in token.machine_rows.all()] == (
        [] if kind == "application" else [world.edge_1]
    )


def test_each_kind_says_what_its_tokens_are(world: World, own: Owning) -> None:
    client = browser(world.admin)

    notes = {kind: client.get(f"{ADD}?for={key}").context["choice"].note for kind, key in KEY.items()}

    assert len(set(notes.values())) == len(KINDS)
    assert "administrator grants" in notes["application"]
    assert notes["application"] in client.get(f"{ADD}?for={KEY['application']}").content.decode()


# What the form offers


def offers(person: User, kind: str) -> Any:
    return browser(person).get(f"{ADD}?for={KEY[kind]}").context["form"]


def test_roles_are_those_that_the_caller_could_give_and_the_owner_could_hold(
    world: World, own: Owning
) -> None:
    OrganizationRole.objects.create(organization=world.acme, name="Patcher", scopes=["machines:operate"])
    OrganizationRole.objects.create(organization=world.acme, name="Clerk", scopes=["tokens:read"])

    offered = {kind: offers(world.admin, kind).roles_offered for kind in KINDS}

    built_in = ["Viewer", "Operator", "Admin", "GroupUser"]
    assert offered["organization"] == [*built_in, "Patcher"]
    assert offered["group"] == offered["fleet"] == [*built_in, "GroupAdmin", "Patcher"]
    assert offered["technical_user"] == [
        "Viewer",
        "Operator",
        "Admin",
        "GroupUser",
        "GroupAdmin",
        "Administrator",
        "Clerk",
        "Patcher",
    ]
    assert offers(own.leader, "group").roles_offered == [*built_in, "GroupAdmin", "Patcher"]


def test_scopes_are_those_that_the_caller_holds_and_the_kind_can(world: World, own: Owning) -> None:
    offered = {kind: set(offers(world.owner, kind).offered) for kind in KINDS if kind != "personal"}

    assert offered == {
        "fleet": TECHNICAL_FLEET_SCOPES,
        "group": ROLE_SCOPES[Role.GROUP_ADMIN],
        "organization": TECHNICAL_ORGANIZATION_SCOPES[Role.ADMIN],
        "application": set(Scope) - PERSONAL_ONLY,
        "technical_user": set(Scope) - PERSONAL_ONLY,
    }
    assert set(offers(own.keeper, "application").offered) == set(Scope) - PERSONAL_ONLY
    assert set(offers(own.leader, "group").offered) == ROLE_SCOPES[Role.GROUP_ADMIN]


def test_machines_are_those_below_the_owners_roots(world: World, own: Owning) -> None:
    make_entry(world.acme, world.core_1.path, "GroupUser", group=own.ops)
    make_machine(world.core, "core-2")

    names = {kind: {row.name for row in offers(world.admin, kind).machines_offered} for kind in KINDS}

    everywhere = {"edge-1", "edge-2", "core-1", "core-2"}
    assert names["organization"] == names["technical_user"] == everywhere
    assert names["group"] == {"edge-1", "edge-2", "core-1"}
    assert names["fleet"] == {"edge-1", "edge-2"}


@pytest.mark.parametrize("kind", KINDS)
def test_extended_permissions_are_offered_where_they_can_be(world: World, own: Owning, kind: str) -> None:
    names = [name for name, _ in offers(world.admin, kind).fields["extended"].choices]

    can_be = kind in ("personal", "organization", "application", "technical_user")
    assert names == (["images", "networks", "templates"] if can_be else [])
    assert (
        "Extended permissions" in browser(world.admin).get(f"{ADD}?for={KEY[kind]}").content.decode()
    ) is can_be


def test_admin_of_all_machines_is_extended_and_a_smaller_role_takes_it_away(
    world: World, own: Owning
) -> None:
    client = browser(world.admin)
    asked = form(role="Admin", scopes=[], extended=["templates"], reason="Templates")
    client.post(f"{ADD}?for={KEY['organization']}", asked)
    token = Token.objects.get()
    assert (token.access_level, token.extended) == ("admin", ["templates"])
    page = client.get(page_of(token)).content.decode()
    assert "Admin of all machines, with templates" in page
    shown = client.get(page_of(token, "edit")).context["form"]
    assert shown.initial["extended"] == ["templates"]

    edit = {"name": token.name, "description": "", "reach": "keep", "lifetime": "", "extended": ["templates"]}
    client.post(page_of(token, "edit"), {**edit, "role": "Admin", "description": "Renewed"})
    assert Token.objects.get().extended == ["templates"]
    client.post(page_of(token, "edit"), {**edit, "role": "Operator"})

    token.refresh_from_db()
    assert (token.access_level, token.extended) == ("operator", [])
    assert last_event(action="token.edited").data["widens"] is False
    assert "templates:manage" not in Token.objects.get().scopes


def test_an_extension_of_anything_else_is_said_at_its_place(world: World, own: Owning) -> None:
    asked = form(role="Operator", scopes=[], extended=["templates"], reason="Templates")

    response = browser(world.admin).post(f"{ADD}?for={KEY['organization']}", asked)

    assert list(response.context["form"].errors) == ["extended"]
    assert "role Admin on all machines" in response.content.decode()
    assert not Token.objects.exists()


# The list and the page of a token


def made(world: World, own: Owning) -> dict[str, Token]:
    return {
        kind: make_token(own.of_kind(kind, world), "machines:read", organization=world.acme).token
        for kind in KINDS
    }


def test_every_kind_has_its_page_with_owner_and_kind_in_words(world: World, own: Owning) -> None:
    tokens, client = made(world, own), browser(world.admin)

    listed = client.get(LIST).content.decode()
    for kind, token in tokens.items():
        page = client.get(page_of(token)).content.decode()
        word = kind.replace("_", " ")
        assert f'<span class="quiet">{word}</span>' in listed
        assert token.principal.username in page
        owner = own.of_kind(kind, world)
        assert (owner.username if isinstance(owner, User) else owner.name) in page


def test_selected_machines_that_are_all_gone_are_amber(world: World) -> None:
    token = make_token(world.edge, "machines:read", machines=[world.edge_1, world.edge_2]).token
    client = browser(world.manager)

    def marked() -> list[bool]:
        return ["(all gone)" in client.get(address).content.decode() for address in (LIST, page_of(token))]

    estate.deregister(Machine.objects.select_related("fleet").get(pk=world.edge_1.pk), by=operator)
    assert marked() == [False, False]
    estate.deregister(Machine.objects.select_related("fleet").get(pk=world.edge_2.pk), by=operator)

    assert marked() == [True, True]
    assert '<span class="reach is-gone">edge-1, edge-2 (all gone)</span>' in client.get(LIST).content.decode()


def test_the_list_is_narrowed_by_kind_and_by_owner(world: World, own: Owning) -> None:
    tokens, client = made(world, own), browser(world.admin)
    mine = make_token(world.admin, "machines:read").token

    for kind, token in tokens.items():
        expected = {token.name} | ({mine.name} if kind == "personal" else set())
        assert names_in(client.get(LIST, {"kind": kind})) == expected
        if kind != "personal":
            assert names_in(client.get(LIST, {"owner": KEY[kind]})) == {token.name}
    assert names_in(client.get(LIST, {"owner": "me"})) == {mine.name}
    for nonsense in ("acme/group:none", "x", "other/group:theirs", "\x00"):
        assert names_in(client.get(LIST, {"owner": nonsense})) == set()


def test_the_filter_names_owners_of_visible_tokens_only(world: World, own: Owning) -> None:
    made(world, own)
    other = make_organization("other")
    make_token(make_group_with_path(other), "machines:read")

    def owners(person: User) -> list[str]:
        text = browser(person).get(LIST).content.decode()
        return [
            key
            for key in (
                "fleet:edge",
                "group:ops",
                "application:shop",
                "technical:bot",
                "organization:acme",
                "group:theirs",
            )
            if key in text
        ]

    assert owners(world.admin) == [
        "fleet:edge",
        "group:ops",
        "application:shop",
        "technical:bot",
        "organization:acme",
    ]
    assert owners(own.leader) == ["group:ops"]
    assert owners(own.keeper) == ["application:shop"]
    assert owners(own.people["member"]) == []


def make_group_with_path(organization: Any) -> Any:
    group = make_group(organization, "theirs")
    make_entry(organization, "/nodes", "GroupUser", group=group)
    return group


@pytest.mark.parametrize(("who", "kind"), [("leader", "group"), ("keeper", "application")])
def test_who_leads_has_every_button_and_who_follows_has_none(
    world: World, own: Owning, who: str, kind: str
) -> None:
    token = made(world, own)[kind]
    client = browser(own.people[who])

    page = client.get(page_of(token))
    assert page.status_code == 200
    for verb in ("edit", "rotate", "disable", "revoke"):
        assert page_of(token, verb) in page.content.decode()
    assert client.post(page_of(token, "disable"), {"reason": "x"}).status_code == 302
    assert present_status(token) == "disabled"
    assert browser(own.follower).get(page_of(token)).status_code == 404


def present_status(token: Token) -> str:
    return Token.objects.get(pk=token.pk).status


# Cost


def test_pages_cost_the_same_with_one_of_each_kind_and_with_thirty(world: World, own: Owning) -> None:
    pages = {}
    for who, key in (("admin", KEY["technical_user"]), ("leader", KEY["group"])):
        client = browser(own.people[who])
        for where, address in {"list": LIST, "choices": ADD, "form": f"{ADD}?for={key}"}.items():
            pages[who, where] = (client, address)
    made(world, own)
    queries_of(pages)

    one = queries_of(pages)
    for _ in range(29):
        made(world, own)
    for _ in range(10):
        make_group_member(make_group(world.acme), "admin", user=own.leader)

    assert queries_of(pages) == one
    assert {page: cost for page, cost in one.items() if cost > 25} == {}
