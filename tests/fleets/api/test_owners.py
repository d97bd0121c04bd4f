"""`/api/v1/fleets/` and `/api/v1/groups/`, with who belongs to them."""

from typing import Any

import pytest

from fleets.models import Fleet, FleetMembership, Group, GroupMembership, Organization
from tests.factories import (
    API,
    events,
    fleet_member,
    last_event,
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
FLEETS, GROUPS = f"{API}fleets/", f"{API}groups/"


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
@pytest.mark.parametrize(("url", "make", "queries"), [(FLEETS, make_fleet, 10), (GROUPS, make_group, 5)])
def test_lists_take_the_same_number_of_queries_for_few_and_for_many(
    acme: Organization, rows: int, url: str, make: Any, queries: int, django_assert_num_queries: Any
) -> None:
    for _ in range(rows):
        make(acme)
    client = session_client(owner_of(acme))

    with django_assert_num_queries(queries):
        assert len(client.get(url).data["results"]) == rows


@pytest.mark.parametrize(("url", "kind"), [(FLEETS, "fleet"), (GROUPS, "group")])
def test_who_manages_permissions_opens_and_renames(acme: Organization, url: str, kind: str) -> None:
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


# Another organization


@pytest.mark.parametrize("kind", ["fleets", "groups"])
def test_what_another_organization_owns_does_not_exist(acme: Organization, kind: str) -> None:
    other = make_organization("other")
    mine: Any
    theirs: Any
    inside: Any
    if kind == "fleets":
        mine, theirs = make_fleet(acme), make_fleet(other)
        inside = make_fleet_member(theirs)
    else:
        mine, theirs = make_group(acme), make_group(other)
        inside = make_group_member(theirs)
    url = f"{API}{kind}/"
    one = f"{url}{theirs.pk}/"
    token = make_token(owner_of(acme), "permissions:manage")
    for client in (session_client(owner_of(acme)), token_client(token)):
        answers = [
            client.get(one),
            client.patch(one, {"name": "x"}),
            client.get(f"{one}members/"),
            client.post(f"{one}members/", {"username": inside.user.username, "role": inside.role}),
            client.patch(f"{one}members/{inside.pk}/", {"role": inside.role}),
            client.delete(f"{one}members/{inside.pk}/"),
            client.delete(f"{url}{mine.pk}/members/{inside.pk}/"),
            client.get(f"{url}?organization=other"),
            client.post(url, {"organization": "other", "slug": "x", "name": "x"}),
        ]
        assert [code(answer) for answer in answers] == [(404, "not_found")] * len(answers)
        assert client.get(f"{url}{mine.pk}/").status_code == 200
    inside.refresh_from_db()
    assert inside.left_at is None
    assert {Fleet.objects.filter(slug="x").exists(), Group.objects.filter(slug="x").exists()} == {False}
