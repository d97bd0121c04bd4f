"""`/api/v1/organizations/` and `/api/v1/members/`."""

from typing import Any

import pytest

from approvals import decisions
from approvals.models import ApprovalRequest
from fleets import membership
from fleets.models import Membership, Organization, User
from fleets.scopes import Scope
from tests.factories import (
    API,
    events,
    last_event,
    make_entry,
    make_fleet,
    make_member,
    make_organization,
    make_person,
    make_superuser,
    make_token,
    member,
    operator,
    owner_of,
    session,
    session_client,
    token_client,
)

pytestmark = pytest.mark.django_db
ORGANIZATIONS, MEMBERS = f"{API}organizations/", f"{API}members/"


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def slugs(response: Any) -> list[str]:
    return sorted(row["slug"] for row in response.data["results"])


def usernames(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return sorted(row["username"] for row in response.data["results"])


def at(membership: Membership) -> str:
    return f"{MEMBERS}{membership.pk}/"


# Organizations


def test_people_see_their_organizations_superusers_all_and_a_token_its_own(acme: Organization) -> None:
    other = make_organization("other")
    person = member(acme)
    make_member(other, user=person)
    issued = make_token(make_fleet(acme), "machines:read")

    assert slugs(session_client(owner_of(acme)).get(ORGANIZATIONS)) == ["acme"]
    assert slugs(session_client(person).get(ORGANIZATIONS)) == ["acme", "other"]
    assert slugs(session_client(make_superuser()).get(ORGANIZATIONS)) == ["acme", "other"]
    assert slugs(session_client(make_person()).get(ORGANIZATIONS)) == []
    assert slugs(token_client(issued).get(ORGANIZATIONS)) == ["acme"]
    assert events(actor_id=issued.token.pk) == ["token.used allowed"]
    assert code(session_client(owner_of(acme)).get(f"{ORGANIZATIONS}{other.pk}/")) == (404, "not_found")


def test_an_organization_is_written_with_its_policy(acme: Organization) -> None:
    response = session_client(owner_of(acme)).get(f"{ORGANIZATIONS}{acme.pk}/")

    assert response.json() == {
        "id": str(acme.pk),
        "organization": "acme",
        "slug": "acme",
        "name": "Acme",
        "policy": {
            "default_lifetime_days": 90,
            "maximum_lifetime_days": None,
            "never_allowed": True,
            "unused_limit_days": None,
            "networks_required": {"low": False, "medium": False, "high": False},
            "allowed_kinds": dict.fromkeys(["owner", "admin", "approver", "auditor", "member"]),
            "scope_ceilings": dict.fromkeys(["owner", "admin", "approver", "auditor", "member"]),
            "scope_risks": dict.fromkeys(map(str, Scope)),
            "approvals_needed": {"low": 0, "medium": 0, "high": 0},
            "deciders": ["approver", "owner"],
            "request_hours": 72,
            "narrowing_allowed": True,
            "self_approval": False,
        },
        "created_at": acme.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }
    assert response["ETag"] == '"1"'


def test_a_superuser_opens_an_organization_in_their_browser_and_owns_it(acme: Organization) -> None:
    root = make_superuser()
    body = {"slug": "fresh", "name": "Fresh"}

    refused = session_client(owner_of(acme)).post(ORGANIZATIONS, body)
    response = session_client(root).post(ORGANIZATIONS, body)

    assert code(refused) == (403, "forbidden")
    assert events(action="organization.opened")[-2:] == [
        "organization.opened denied",
        "organization.opened allowed",
    ]
    assert (response.status_code, response.data["slug"]) == (201, "fresh")
    assert owner_of(Organization.objects.get(slug="fresh")) == root
    assert code(session_client(root).post(ORGANIZATIONS, body)) == (409, "slug_taken")


def test_no_token_opens_an_organization_not_even_a_superusers(acme: Organization) -> None:
    root = make_superuser()
    make_member(acme, "owner", user=root)
    issued = make_token(root, "permissions:manage", organization=acme)

    assert code(token_client(issued).post(ORGANIZATIONS, {"slug": "fresh", "name": "Fresh"})) == (
        403,
        "forbidden",
    )
    assert not Organization.objects.filter(slug="fresh").exists()


@pytest.mark.parametrize("slug", ["", "Acme", "a b", "-a", "a/b", "ä", "x" * 64, "a\tb", None, 7])
def test_a_slug_that_can_not_be_is_400(slug: object) -> None:
    assert (
        session_client(make_superuser()).post(ORGANIZATIONS, {"slug": slug, "name": "X"}).status_code == 400
    )
    assert Organization.objects.count() == 0


def test_name_and_policy_change_in_a_session_of_owner_or_admin(acme: Organization) -> None:
    url = f"{ORGANIZATIONS}{acme.pk}/"
    admin = session_client(member(acme, "admin"))
    issued = make_token(owner_of(acme), "permissions:manage")

    assert code(session_client(member(acme, "auditor")).patch(url, {"name": "X"})) == (403, "forbidden")
    assert code(token_client(issued).patch(url, {"name": "X"})) == (403, "forbidden")
    assert code(admin.patch(url, {"slug": "x"})) == (400, "read_only")
    assert admin.patch(url, {"policy": {"default_lifetime_days": 0}}).status_code == 400
    response = admin.patch(
        url, {"name": "New", "policy": {"default_lifetime_days": 30}}, headers={"if-match": '"1"'}
    )

    assert (response.status_code, response.data["name"]) == (200, "New")
    assert response.data["policy"]["default_lifetime_days"] == 30
    assert code(admin.patch(url, {"name": "Newer"}, headers={"if-match": '"1"'})) == (
        412,
        "precondition_failed",
    )
    assert events(organization_id=acme.pk, outcome="allowed")[-2:] == [
        "organization.changed allowed",
        "policy.changed allowed",
    ]


def test_more_approvals_than_there_are_deciders_is_a_409(acme: Organization) -> None:
    client = session_client(owner_of(acme))
    url, policy = f"{ORGANIZATIONS}{acme.pk}/", {"policy": {"approvals_needed": {"high": 1}}}

    assert code(client.patch(url, {**policy, "name": "New"})) == (409, "approvers_missing")
    acme.refresh_from_db()
    assert (acme.name, acme.policy) == ("Acme", {})  # the whole change, or none of it
    member(acme, "approver")
    assert client.patch(url, policy).data["policy"]["approvals_needed"]["high"] == 1


def test_a_weaker_policy_waits_where_the_present_one_wants_approvals(acme: Organization) -> None:
    second = member(acme, "approver")
    client = session_client(owner_of(acme))
    url = f"{ORGANIZATIONS}{acme.pk}/"
    strict = {"approvals_needed": {"high": 1}, "maximum_lifetime_days": 30}
    assert client.patch(url, {"policy": strict}).status_code == 200
    before = client.get(url).json()["policy"]

    answer = client.patch(
        url, {"policy": {"maximum_lifetime_days": None}, "name": "New", "reason": "too short"}
    )

    assert answer.status_code == 202
    request = ApprovalRequest.objects.get()
    assert answer.json()["approval"] == str(request.pk)
    assert (answer.json()["name"], answer.json()["policy"]) == ("New", before)
    assert client.get(url).json()["policy"] == before
    assert (request.kind, request.reason, request.needed) == ("policy_change", "too short", 1)
    assert request.diff_words == ["tokens may live without limit, not for 30 days"]
    assert events(organization_id=acme.pk)[-1] == "approval.requested allowed"

    decisions.approve(request, digest=request.diff_digest, by=session(second))

    after = client.get(url)
    assert after.json()["policy"] == {**before, "maximum_lifetime_days": None}
    changed = last_event(action="policy.changed")
    assert (changed.reason, changed.data) == (
        "too short",
        {"changes": {"maximum_lifetime_days": [30, None]}, "approval": str(request.pk)},
    )
    assert client.patch(url, {"policy": {"maximum_lifetime_days": 7}}).status_code == 200  # stricter: at once


# Members


def test_a_member_is_written_with_name_and_role_and_who_has_left_is_not_listed(acme: Organization) -> None:
    ada = make_member(acme, "auditor", user=make_person("ada", name="Ada L."))
    gone = make_member(acme)
    membership.leave(gone, by=operator)
    client = session_client(owner_of(acme))

    assert usernames(client.get(MEMBERS)) == sorted(["ada", owner_of(acme).username])
    assert client.get(at(gone)).status_code == 404
    assert client.get(at(ada)).json() == {
        "id": str(ada.pk),
        "organization": "acme",
        "username": "ada",
        "name": "Ada L.",
        "role": "auditor",
        "joined_at": ada.joined_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "suspended_at": None,
    }


def test_people_see_members_and_of_tokens_only_those_that_manage_permissions(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    fleet_token = make_token(edge, "machines:read")
    reader, manager = (
        make_token(owner_of(acme), "machines:read"),
        make_token(owner_of(acme), "permissions:manage"),
    )

    assert len(usernames(session_client(member(acme)).get(MEMBERS))) == 2
    assert len(usernames(token_client(manager).get(MEMBERS))) == 2
    for issued in (fleet_token, reader):
        assert code(token_client(issued).get(MEMBERS)) == (403, "insufficient_scope")
        assert events(actor_id=issued.token.pk) == ["token.denied denied"]


def test_a_fleets_token_sees_no_people_even_where_an_entry_lets_it_manage_permissions(
    acme: Organization,
) -> None:
    issued = make_token(make_fleet(acme, "edge"), "machines:read")
    make_entry(acme, "/", "Administrator", user=issued.token.principal)

    assert code(token_client(issued).get(MEMBERS)) == (403, "insufficient_scope")


@pytest.mark.parametrize("rows", [1, 30])
def test_the_list_of_members_takes_the_same_number_of_queries_for_few_and_for_many(
    acme: Organization, rows: int, django_assert_num_queries: Any
) -> None:
    for _ in range(rows - 1):
        make_member(acme)
    client = session_client(owner_of(acme))

    with django_assert_num_queries(6):  # one of them asks for the session
        assert len(client.get(MEMBERS).data["results"]) == rows


def test_an_admin_invites_members_and_only_an_owner_invites_admins(acme: Organization) -> None:
    admin, owner = session_client(member(acme, "admin")), session_client(owner_of(acme))
    body = {"username": "ada", "name": "Ada", "email": "ada@example.org", "role": "admin"}

    refused = admin.post(MEMBERS, body)
    response = owner.post(MEMBERS, body)

    assert code(refused) == (403, "forbidden")
    assert (response.status_code, response.data["username"], response.data["role"]) == (201, "ada", "admin")
    ada = User.objects.get(username="ada")
    assert (ada.email, ada.has_usable_password()) == ("ada@example.org", False)
    assert events(organization_id=acme.pk)[-3:] == [
        "member.invited allowed",
        "member.joined allowed",
        "invitation.opened allowed",
    ]
    assert admin.post(MEMBERS, {**body, "username": "bob", "role": "member"}).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "username"),
        ({"username": "ada"}, "role"),
        ({"username": "ada", "role": "king"}, "role"),
        ({"username": "a da", "role": "member"}, "username"),
        ({"username": "ada", "role": "member", "email": "nowhere"}, "email"),
        ({"username": "ada", "role": "member", "is_superuser": True}, "is_superuser"),
        ({"username": "ada", "role": "member", "suspended_at": None}, "suspended_at"),
    ],
)
def test_an_invitation_that_can_not_be_meant_is_400_and_named(
    acme: Organization, body: dict[str, Any], field: str
) -> None:
    response = session_client(owner_of(acme)).post(MEMBERS, body)

    assert response.status_code == 400, response.content
    assert field in [error["field"] for error in response.json()["errors"]]
    assert Membership.objects.count() == 1


def test_an_invitation_does_not_tell_who_works_elsewhere(acme: Organization) -> None:
    make_member(make_organization("other"), user=make_person("elsewhere"))
    client = session_client(owner_of(acme))
    make_person("nowhere")

    answers = [
        client.post(MEMBERS, {"username": name, "role": "member"}).json() for name in ("elsewhere", "nowhere")
    ]

    for answer in answers:
        answer.pop("request_id")
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "username_taken"


def test_roles_change_and_members_are_suspended_and_resumed(acme: Organization) -> None:
    ada = make_member(acme)
    admin = session_client(member(acme, "admin"))

    changed = admin.patch(at(ada), {"role": "auditor"}, headers={"if-match": '"1"'})
    suspended = admin.post(f"{at(ada)}suspend/", {"reason": "on leave"})
    again = admin.post(f"{at(ada)}suspend/")
    browser = session_client(ada.user)

    assert (changed.status_code, changed.data["role"]) == (200, "auditor")
    assert (suspended.status_code, suspended.data["suspended_at"] is None) == (200, False)
    assert last_event(action="member.suspended").reason == "on leave"
    assert code(again) == (409, "illegal_move")
    assert slugs(browser.get(ORGANIZATIONS)) == []
    assert admin.post(f"{at(ada)}resume/").data["suspended_at"] is None
    assert slugs(browser.get(ORGANIZATIONS)) == ["acme"]
    assert code(admin.patch(at(ada), {"role": "owner"})) == (403, "forbidden")
    assert code(admin.patch(at(ada), {"username": "x"})) == (400, "read_only")


def test_a_token_that_manages_permissions_removes_members_but_no_admins(acme: Organization) -> None:
    ada, boss = make_member(acme), make_member(acme, "admin")
    issued = make_token(owner_of(acme), "permissions:manage")
    client = token_client(issued)

    assert code(client.delete(at(boss))) == (403, "forbidden")
    assert client.delete(at(ada)).status_code == 204

    assert [Membership.objects.get(pk=row.pk).left_at is None for row in (ada, boss)] == [False, True]
    assert events(actor_id=issued.token.pk, action__startswith="member") == [
        "member.left denied",
        "member.left allowed",
    ]
    assert session_client(owner_of(acme)).delete(at(boss)).status_code == 204


def test_who_removes_a_member_may_say_why(acme: Organization) -> None:
    ada = make_member(acme)

    response = session_client(owner_of(acme)).delete(at(ada), {"reason": "Moved to another house."})

    assert response.status_code == 204
    assert last_event(action="member.left").reason == "Moved to another house."


def test_people_leave_by_themselves_but_the_last_owner_stays(acme: Organization) -> None:
    ada, bob = make_member(acme), make_member(acme)

    assert code(session_client(ada.user).delete(at(bob))) == (403, "forbidden")
    assert session_client(ada.user).delete(at(ada)).status_code == 204
    owner = Membership.objects.get(role="owner")
    assert code(session_client(owner.user).delete(at(owner))) == (409, "last_owner")
    assert code(session_client(owner.user).patch(at(owner), {"role": "member"})) == (409, "last_owner")
    assert code(session_client(owner.user).post(f"{at(owner)}suspend/")) == (409, "last_owner")


def test_members_of_another_organization_do_not_exist(acme: Organization) -> None:
    theirs = make_member(make_organization("other"))
    issued = make_token(owner_of(acme), "permissions:manage")
    for client in (session_client(owner_of(acme)), token_client(issued)):
        answers = [
            client.get(at(theirs)),
            client.patch(at(theirs), {"role": "auditor"}),
            client.delete(at(theirs)),
            client.post(f"{at(theirs)}suspend/"),
            client.post(f"{at(theirs)}resume/"),
            client.get(f"{MEMBERS}?organization=other"),
            client.post(MEMBERS, {"organization": "other", "username": "x", "role": "member"}),
        ]
        assert [code(answer) for answer in answers] == [(404, "not_found")] * len(answers)
    theirs.refresh_from_db()
    assert (theirs.role, theirs.left_at, theirs.suspended_at) == ("member", None, None)
