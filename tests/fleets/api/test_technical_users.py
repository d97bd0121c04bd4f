"""`/api/v1/technical-users/`: all that act in an organization; those made by hand can be changed and removed."""

from typing import Any

import pytest

from fleets.models import Organization, User
from tests.factories import (
    API,
    events,
    last_event,
    make_application,
    make_entry,
    make_fleet,
    make_group,
    make_machine,
    make_organization,
    make_technical_user,
    make_token,
    member,
    owner_of,
    session,
    session_client,
    token_client,
)
from tokens import lifecycle

pytestmark = pytest.mark.django_db
URL = f"{API}technical-users/"


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def usernames(response: Any) -> set[str]:
    assert response.status_code == 200, response.content
    return {row["username"] for row in response.data["results"]}


def test_one_is_made_renamed_and_removed(acme: Organization) -> None:
    admin = session_client(member(acme, "admin"))

    made = admin.post(URL, {"username": "robot", "name": "Robot"}, headers={"idempotency-key": "k"})

    assert (made.status_code, made["ETag"]) == (201, '"1"')
    assert made.json() == {
        "id": made.data["id"],
        "organization": "acme",
        "username": "robot",
        "name": "Robot",
        "kind": "technical_user",
        "role": "",
        "owner": None,
        "is_active": True,
        "created_at": made.data["created_at"],
    }
    again = admin.post(URL, {"username": "robot", "name": "Robot"}, headers={"idempotency-key": "k"})
    assert again["Idempotent-Replayed"] == "true"
    one = f"{URL}{made.data['id']}/"
    assert admin.patch(one, {"name": "Tin man"}, headers={"if-match": '"1"'}).data["name"] == "Tin man"
    assert code(admin.patch(one, {"name": "X"}, headers={"if-match": '"1"'})) == (412, "precondition_failed")
    assert code(admin.patch(one, {"username": "x"})) == (400, "read_only")
    assert code(admin.delete(one, headers={"if-match": '"1"'})) == (412, "precondition_failed")
    assert admin.delete(one, {"reason": "replaced"}).status_code == 204
    assert last_event(action="technical_user.removed").reason == "replaced"
    assert admin.get(one).data["is_active"] is False  # the row is kept
    assert code(admin.delete(one)) == (409, "illegal_move")
    assert code(admin.post(URL, {"username": "robot"})) == (409, "username_taken")
    assert events(target_id=made.data["id"]) == [
        "technical_user.made allowed",
        "technical_user.changed allowed",
        "technical_user.removed allowed",
    ]


def test_those_of_tokens_are_listed_with_what_they_stand_for_and_only_looked_at(acme: Organization) -> None:
    group = make_group(acme, "crew")
    make_entry(acme, "/", "GroupUser", group=group)
    owners: list[Any] = [make_fleet(acme, "edge"), group, make_application(acme, "billing"), acme]
    issued = [make_token(owner, "machines:read") for owner in owners]
    robot = make_technical_user(acme, "robot")
    client = session_client(owner_of(acme))

    rows = {row["username"]: row for row in client.get(URL).data["results"]}

    assert {(row["kind"], row["owner"], row["role"]) for row in rows.values()} == {
        ("fleet", "edge", ""),
        ("group", "crew", "user"),
        ("application", "billing", ""),
        ("organization", None, "Viewer"),
        ("technical_user", None, ""),
    }
    assert set(rows) == {"robot", *(one.token.principal.username for one in issued)}
    for one in issued:
        url = f"{URL}{one.token.principal_id}/"
        assert code(client.delete(url)) == (409, "belongs_to_a_token")
        assert code(client.patch(url, {"name": "Mine"})) == (409, "belongs_to_a_token")
        assert client.get(url).status_code == 200
    lifecycle.revoke(issued[0].token, by=session(owner_of(acme)))
    gone = issued[0].token.principal.username
    assert usernames(client.get(f"{URL}?is_active=false")) == {gone}
    assert usernames(client.get(f"{URL}?is_active=true")) == set(rows) - {gone}
    assert usernames(client.get(f"{URL}?kind=technical_user")) == {robot.username}
    assert client.get(f"{URL}?kind=person").status_code == 400


def test_they_are_seen_by_who_sees_tokens_or_manages_permissions(acme: Organization) -> None:
    robot = make_technical_user(acme, "robot")
    one = f"{URL}{robot.pk}/"
    reader = token_client(make_token(owner_of(acme), "tokens:read"))

    for client in (session_client(member(acme, "auditor")), session_client(member(acme, "admin")), reader):
        assert usernames(client.get(URL)) == {"robot"}
        assert client.get(one).status_code == 200
    plain = session_client(member(acme))
    assert usernames(plain.get(URL)) == set()
    assert code(plain.get(one)) == (404, "not_found")
    blind = token_client(make_token(owner_of(acme), "machines:read"))
    assert [code(blind.get(url)) for url in (URL, one)] == [(403, "insufficient_scope")] * 2
    for client, refusal in (
        (reader, "insufficient_scope"),
        (session_client(member(acme, "auditor")), "forbidden"),
    ):
        assert code(client.delete(one)) == (403, refusal)
        assert code(client.patch(one, {"name": "X"})) == (403, refusal)
    assert code(reader.post(URL, {"username": "new"})) == (403, "insufficient_scope")
    assert User.objects.get(pk=robot.pk).is_active


def test_a_fleets_own_are_hidden_from_who_is_denied_the_fleet(acme: Organization) -> None:
    edge, core = make_fleet(acme, "edge"), make_fleet(acme, "core")
    hidden, shown = (make_token(fleet, "machines:read").token.principal for fleet in (edge, core))
    blocked = member(acme, "admin")
    make_entry(acme, edge.path, "NoAccess", user=blocked)
    client = session_client(blocked)

    assert usernames(client.get(URL)) == {shown.username}
    assert code(client.get(f"{URL}{hidden.pk}/")) == (404, "not_found")
    assert usernames(session_client(owner_of(acme)).get(URL)) == {hidden.username, shown.username}


def test_another_organizations_do_not_exist(acme: Organization) -> None:
    other = make_organization("other")
    theirs = make_technical_user(other, "theirs")
    mine = make_technical_user(acme, "mine")

    for client in (
        session_client(owner_of(acme)),
        token_client(make_token(owner_of(acme), "permissions:manage")),
    ):
        one = f"{URL}{theirs.pk}/"
        answers = [
            client.get(one),
            client.patch(one, {"name": "x"}),
            client.delete(one),
            client.get(f"{URL}?organization=other"),
            client.post(URL, {"organization": "other", "username": "x"}),
        ]
        assert [code(answer) for answer in answers] == [(404, "not_found")] * len(answers)
        assert usernames(client.get(URL)) == {mine.username}
    assert User.objects.get(pk=theirs.pk).is_active


@pytest.mark.parametrize("rows", [1, 30])
def test_the_list_takes_the_same_number_of_queries_for_few_and_for_many(
    acme: Organization, rows: int, django_assert_num_queries: Any
) -> None:
    edge = make_fleet(acme)
    make_machine(edge)
    for _ in range(rows):
        make_technical_user(acme)
        make_token(edge, "machines:read")
    client = session_client(owner_of(acme))

    with django_assert_num_queries(11):  # one of them asks for the session
        assert len(client.get(f"{URL}?limit=200").data["results"]) == 2 * rows
