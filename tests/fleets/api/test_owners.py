"""`/api/v1/fleets/`, `groups/` and `applications/`, with who belongs to them."""

from typing import Any

import pytest

from fleets.models import Fleet, FleetMembership, GroupMembership, Organization
from tests.factories import (
    API,
    events,
    fleet_member,
    last_event,
    make_application,
    make_application_member,
    make_entry,
    make_fleet,
    make_fleet_member,
    make_group,
    make_group_member,
    make_machine,
    make_member,
    make_organization,
    make_person,
    make_token,
    member,
    owner_of,
    session_client,
    token_client,
)

pytestmark = pytest.mark.django_db
FLEETS, GROUPS, APPLICATIONS = f"{API}fleets/", f"{API}groups/", f"{API}applications/"
URLS = {"fleet": FLEETS, "group": GROUPS, "application": APPLICATIONS}
MAKE: dict[str, Any] = {"fleet": make_fleet, "group": make_group, "application": make_application}
MAKE_MEMBER: dict[str, Any] = {
    "fleet": make_fleet_member,
    "group": make_group_member,
    "application": make_application_member,
}
each_kind = pytest.mark.parametrize("kind", MAKE)


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def slugs(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return sorted(row["slug"] for row in response.data["results"])


# Fleets


def test_a_fleet_is_seen_where_some_scope_is_held_at_it_or_below(acme: Organization) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    make_fleet(acme, "dark")
    machine = make_machine(core)
    person = fleet_member(edge)
    make_entry(acme, machine.path, "Viewer", user=person)
    client = session_client(person)

    assert slugs(client.get(FLEETS)) == ["core", "edge"]
    assert slugs(session_client(owner_of(acme)).get(FLEETS)) == ["core", "dark", "edge"]
    assert slugs(session_client(member(acme)).get(FLEETS)) == []
    assert slugs(token_client(make_token(edge, "agent:invoke")).get(FLEETS)) == ["edge"]
    assert slugs(token_client(make_token(core, "machines:read", machines=[machine])).get(FLEETS)) == ["core"]
    assert client.get(f"{FLEETS}{core.pk}/").status_code == 200
    assert code(client.get(f"{FLEETS}{Fleet.objects.get(slug='dark').pk}/")) == (404, "not_found")


def test_a_fleet_is_written_with_its_path(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")

    response = session_client(owner_of(acme)).get(f"{FLEETS}{edge.pk}/")

    assert response.json() == {
        "id": str(edge.pk),
        "organization": "acme",
        "slug": "edge",
        "name": "Edge",
        "path": "/fleets/edge",
        "created_at": edge.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }


@pytest.mark.parametrize("rows", [1, 30])
@pytest.mark.parametrize(
    ("url", "make", "queries"),
    [(FLEETS, make_fleet, 11), (GROUPS, make_group, 6), (APPLICATIONS, make_application, 10)],
)
def test_lists_take_the_same_number_of_queries_for_few_and_for_many(
    acme: Organization, rows: int, url: str, make: Any, queries: int, django_assert_num_queries: Any
) -> None:
    for _ in range(rows):
        make(acme)
    client = session_client(owner_of(acme))

    with django_assert_num_queries(queries):
        assert len(client.get(url).data["results"]) == rows


@each_kind
def test_who_manages_permissions_opens_and_renames(acme: Organization, kind: str) -> None:
    url = URLS[kind]
    admin, plain = session_client(member(acme, "admin")), session_client(member(acme, "auditor"))
    program = token_client(make_token(owner_of(acme), "permissions:manage"))
    body = {"slug": "fresh", "name": "Fresh"}

    assert code(plain.post(url, body)) == (403, "insufficient_scope")
    response = admin.post(url, body, headers={"idempotency-key": "k"})

    assert (response.status_code, response.data["slug"], response["ETag"]) == (201, "fresh", '"1"')
    assert admin.post(url, body, headers={"idempotency-key": "k"})["Idempotent-Replayed"] == "true"
    assert last_event().action == f"{kind}.opened"
    assert code(program.post(url, body)) == (409, "slug_taken")
    assert program.post(url, {"slug": "other", "name": "Other"}).status_code == 201
    one = f"{url}{response.data['id']}/"
    assert admin.patch(one, {"name": "Renamed"}, headers={"if-match": '"1"'}).data["name"] == "Renamed"
    assert code(admin.patch(one, {"name": "X"}, headers={"if-match": '"1"'})) == (412, "precondition_failed")
    assert code(admin.patch(one, {"slug": "x"})) == (400, "read_only")
    assert plain.get(one).status_code == 200
    assert code(plain.patch(one, {"name": "X"})) == (403, "forbidden")
    assert last_event().outcome == "denied"
    assert admin.post(url, {"slug": "B A D", "name": "x"}).status_code == 400
    assert admin.post(url, {"slug": "good"}).status_code == 400


def test_the_people_of_a_fleet_are_added_changed_and_removed(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    ada = member(acme)
    url = f"{FLEETS}{edge.pk}/members/"
    owner, manager = session_client(owner_of(acme)), session_client(fleet_member(edge, "manager"))

    assert code(manager.post(url, {"username": ada.username, "role": "viewer"})) == (403, "forbidden")
    added = owner.post(url, {"username": ada.username, "role": "viewer"})

    assert (added.status_code, added.data["fleet"], added.data["username"]) == (201, "edge", ada.username)
    assert added.data["organization"] == "acme"
    assert code(owner.post(url, {"username": ada.username, "role": "viewer"})) == (409, "already_member")
    one = f"{url}{added.data['id']}/"
    assert owner.patch(one, {"role": "operator"}).data["role"] == "operator"
    assert len(manager.get(url).data["results"]) == 2
    assert [row["username"] for row in manager.get(f"{url}?role=operator").data["results"]] == [ada.username]
    assert owner.delete(one).status_code == 204
    assert code(owner.delete(one)) == (404, "not_found")
    assert events(target_id=added.data["id"]) == [
        "fleet_member.joined allowed",
        "fleet_member.role_changed allowed",
        "fleet_member.left allowed",
    ]


def test_somebody_of_another_organization_is_unknown_as_nobody_is(acme: Organization) -> None:
    edge, group = make_fleet(acme, "edge"), make_group(acme)
    make_member(make_organization("other"), user=make_person("elsewhere"))
    client = session_client(owner_of(acme))

    for url in (f"{FLEETS}{edge.pk}/members/", f"{GROUPS}{group.pk}/members/"):
        for username in ("elsewhere", "nobody", "elsewhere\u200b"):
            response = client.post(
                url, {"username": username, "role": "user" if "groups" in url else "viewer"}
            )
            assert response.status_code in {400, 404}
        assert code(
            client.post(url, {"username": "elsewhere", "role": "admin" if "groups" in url else "viewer"})
        ) == (
            404,
            "not_found",
        )
    assert (FleetMembership.objects.count(), GroupMembership.objects.count()) == (0, 0)


def test_a_fleets_token_sees_the_fleet_but_not_its_people(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    make_fleet_member(edge)
    issued = make_token(edge, "machines:read")
    client = token_client(issued)

    assert client.get(f"{FLEETS}{edge.pk}/").status_code == 200
    assert code(client.get(f"{FLEETS}{edge.pk}/members/")) == (403, "insufficient_scope")
    program = token_client(make_token(owner_of(acme), "permissions:manage"))
    assert len(program.get(f"{FLEETS}{edge.pk}/members/").data["results"]) == 1


# Groups


def test_the_people_of_a_group_are_added_changed_and_removed(acme: Organization) -> None:
    group, ada = make_group(acme, "ops"), member(acme)
    url = f"{GROUPS}{group.pk}/members/"
    owner, plain = session_client(owner_of(acme)), session_client(member(acme))

    assert code(plain.post(url, {"username": ada.username, "role": "user"})) == (403, "forbidden")
    added = owner.post(url, {"username": ada.username, "role": "user"})

    assert (added.status_code, added.data["group"]) == (201, "ops")
    one = f"{url}{added.data['id']}/"
    assert owner.patch(one, {"role": "admin"}).data["role"] == "admin"
    assert [row["username"] for row in plain.get(url).data["results"]] == [ada.username]
    assert session_client(ada).delete(one).status_code == 204
    assert plain.get(url).data["results"] == []


def test_groups_are_for_people_and_for_tokens_that_manage_permissions(acme: Organization) -> None:
    group = make_group(acme, "ops")
    make_group_member(group)
    reader, manager = (
        make_token(make_fleet(acme), "machines:read"),
        make_token(owner_of(acme), "permissions:manage"),
    )

    for url in (GROUPS, f"{GROUPS}{group.pk}/", f"{GROUPS}{group.pk}/members/"):
        assert session_client(member(acme)).get(url).status_code == 200
        assert token_client(manager).get(url).status_code == 200
        assert code(token_client(reader).get(url)) == (403, "insufficient_scope")


# Applications


def test_an_application_is_written_with_its_description(acme: Organization) -> None:
    client = session_client(owner_of(acme))

    made = client.post(APPLICATIONS, {"slug": "billing", "name": "Billing", "description": "Pays"})
    one = f"{APPLICATIONS}{made.data['id']}/"
    changed = client.patch(one, {"description": ""})

    assert made.json() == {
        "id": made.data["id"],
        "organization": "acme",
        "slug": "billing",
        "name": "Billing",
        "description": "Pays",
        "created_at": made.data["created_at"],
    }
    assert (changed.data["description"], changed.data["name"], changed["ETag"]) == ("", "Billing", '"2"')
    assert client.patch(one, {"description": "x" * 501}).status_code == 400


def test_the_owners_of_an_application_are_added_and_removed(acme: Organization) -> None:
    billing, ada = make_application(acme, "billing"), member(acme)
    url = f"{APPLICATIONS}{billing.pk}/members/"
    owner = session_client(owner_of(acme))

    added = owner.post(url, {"username": ada.username})

    assert added.status_code == 201
    assert {name: added.data[name] for name in ("organization", "application", "username", "role")} == {
        "organization": "acme",
        "application": "billing",
        "username": ada.username,
        "role": "owner",
    }
    one = f"{url}{added.data['id']}/"
    theirs = session_client(ada)
    assert [row["username"] for row in theirs.get(url).data["results"]] == [ada.username]
    assert code(theirs.post(url, {"username": member(acme).username})) == (403, "forbidden")
    assert owner.post(url, {"username": ada.username, "role": "admin"}).status_code == 400
    assert theirs.delete(one).status_code == 204
    assert code(theirs.get(url)) == (404, "not_found")
    assert owner.get(url).data["results"] == []


def test_applications_are_seen_by_their_owners_and_by_who_sees_tokens_or_manages_permissions(
    acme: Organization,
) -> None:
    billing, mine = make_application(acme, "billing"), make_application(acme, "mine")
    ada = make_application_member(mine).user
    one = f"{APPLICATIONS}{billing.pk}/"
    auditor = member(acme, "auditor")
    sees = {
        "auditor": session_client(auditor),
        "admin": session_client(member(acme, "admin")),
        "reader": token_client(make_token(owner_of(acme), "tokens:read")),
        "ruler": token_client(make_token(owner_of(acme), "permissions:manage")),
        "auditor's token": token_client(make_token(auditor, "tokens:read", "audit:read")),
    }
    for client in sees.values():
        assert slugs(client.get(APPLICATIONS)) == ["billing", "mine"]
        assert client.get(one).status_code == 200

    assert slugs(session_client(ada).get(APPLICATIONS)) == ["mine"]
    assert slugs(session_client(member(acme)).get(APPLICATIONS)) == []
    for client in (session_client(ada), session_client(member(acme))):
        assert code(client.get(one)) == (404, "not_found")
        assert code(client.get(f"{one}members/")) == (404, "not_found")
    blind = token_client(make_token(owner_of(acme), "machines:read"))
    for url in (APPLICATIONS, one, f"{one}members/"):
        assert code(blind.get(url)) == (403, "insufficient_scope")
    assert code(sees["reader"].get(f"{one}members/")) == (403, "insufficient_scope")
    assert sees["ruler"].get(f"{one}members/").status_code == 200


def test_an_owners_own_token_sees_no_application(acme: Organization) -> None:
    """In their session they do; a token sees by scopes alone."""
    ada = make_application_member(make_application(acme)).user
    make_entry(acme, "/nodes/n1", "Viewer", user=ada)

    assert code(token_client(make_token(ada, "machines:read")).get(APPLICATIONS)) == (
        403,
        "insufficient_scope",
    )


@pytest.mark.parametrize("rows", [1, 30])
@pytest.mark.parametrize(("kind", "queries"), [("fleet", 12), ("group", 7), ("application", 11)])
def test_lists_of_people_take_the_same_number_of_queries_for_few_and_for_many(
    acme: Organization, rows: int, kind: str, queries: int, django_assert_num_queries: Any
) -> None:
    owner = MAKE[kind](acme)
    for _ in range(rows):
        MAKE_MEMBER[kind](owner)
    client = session_client(owner_of(acme))

    with django_assert_num_queries(queries):
        assert len(client.get(f"{URLS[kind]}{owner.pk}/members/").data["results"]) == rows


# Closing


@each_kind
def test_deleting_closes_with_a_reason_and_a_condition(acme: Organization, kind: str) -> None:
    owner, twin = MAKE[kind](acme, "edge"), MAKE[kind](acme, "twin")
    admin, one = session_client(member(acme, "admin")), f"{URLS[kind]}{owner.pk}/"

    assert code(admin.delete(one, headers={"if-match": '"9"'})) == (412, "precondition_failed")
    assert code(admin.delete(one, {"because": "x"})) == (400, "unknown_field")
    assert code(admin.delete(f"{one}?reason=merged")) == (400, "invalid")
    closed = admin.delete(one, {"reason": "merged"}, headers={"if-match": '"1"'})

    assert (closed.status_code, closed.content) == (204, b"")
    assert last_event(action=f"{kind}.closed").reason == "merged"
    for again in (
        admin.get(one),
        admin.delete(one),
        admin.patch(one, {"name": "X"}),
        admin.get(f"{one}members/"),
    ):
        assert code(again) == (404, "not_found")
    assert slugs(admin.get(URLS[kind])) == ["twin"]
    assert code(admin.post(URLS[kind], {"slug": "edge", "name": "X"})) == (409, "slug_taken")
    assert session_client(owner_of(acme)).delete(f"{URLS[kind]}{twin.pk}/").status_code == 204


@each_kind
def test_who_may_not_close_is_refused_and_recorded(acme: Organization, kind: str) -> None:
    owner = MAKE[kind](acme)
    one = f"{URLS[kind]}{owner.pk}/"
    auditor = member(acme, "auditor")
    allowed = token_client(make_token(owner_of(acme), "permissions:manage"))
    reader = token_client(make_token(owner_of(acme), "tokens:read", "machines:read"))

    assert code(session_client(auditor).delete(one)) == (403, "forbidden")
    assert last_event(action=f"{kind}.closed").outcome == "denied"
    if kind == "fleet":
        assert code(session_client(fleet_member(owner, "manager")).delete(one)) == (403, "forbidden")
    if kind == "application":
        mine = session_client(make_application_member(owner).user)
        assert code(mine.delete(one)) == (403, "forbidden")
    assert code(reader.delete(one)) == (403, "insufficient_scope")
    assert allowed.get(one).status_code == 200
    assert allowed.delete(one).status_code == 204
    assert code(allowed.get(one)) == (404, "not_found")


def test_a_closed_fleets_machines_and_tokens_are_gone_at_the_next_call(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    machine = make_machine(edge)
    issued = make_token(edge, "machines:read")
    owner = session_client(owner_of(acme))
    gate = "/gate/verify?organization=acme&scope=machines:read&path=/fleets/edge"
    assert token_client(issued).get(gate).status_code == 204

    assert owner.delete(f"{FLEETS}{edge.pk}/").status_code == 204

    assert token_client(issued).get(gate)["X-Token-Denied"] == "token_revoked"
    assert code(owner.get(f"{API}machines/?fleet=edge")) == (404, "not_found")
    assert code(owner.post(f"{API}machines/", {"fleet": "edge", "name": "x"})) == (404, "not_found")
    assert owner.get(f"{API}machines/").data["results"] == []
    assert code(owner.get(f"{API}machines/{machine.pk}/")) == (404, "not_found")


# Another organization


@each_kind
def test_what_another_organization_owns_does_not_exist(acme: Organization, kind: str) -> None:
    other = make_organization("other")
    mine, theirs = MAKE[kind](acme), MAKE[kind](other)
    inside = MAKE_MEMBER[kind](theirs)
    url = URLS[kind]
    one = f"{url}{theirs.pk}/"
    token = make_token(owner_of(acme), "permissions:manage")
    for client in (session_client(owner_of(acme)), token_client(token)):
        answers = [
            client.get(one),
            client.delete(one),
            client.patch(one, {"name": "x"}),
            client.get(f"{one}members/"),
            client.post(f"{one}members/", {"username": inside.user.username, "role": inside.role}),
            client.delete(f"{one}members/{inside.pk}/"),
            client.delete(f"{url}{mine.pk}/members/{inside.pk}/"),
            client.get(f"{url}?organization=other"),
            client.post(url, {"organization": "other", "slug": "x", "name": "x"}),
        ]
        assert [code(answer) for answer in answers] == [(404, "not_found")] * len(answers)
        assert client.get(f"{url}{mine.pk}/").status_code == 200
    inside.refresh_from_db()
    theirs.refresh_from_db()
    assert (inside.left_at, theirs.closed_at) == (None, None)
    assert not type(theirs).objects.filter(slug="x").exists()
