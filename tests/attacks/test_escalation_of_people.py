"""Somebody who has a little asks for more, by roles, memberships, secrets of others and technical users.

Each attempt stands beside its positive twin, the same request by who may make it or within what the caller has; nothing
of an attempt is left behind but its denial.
"""

from django.test import Client
from rest_framework.test import APIClient

from fleets.models import FleetMembership, GroupMembership, Membership, User
from tests.attacks.climbing import EVERYTHING, House, issue, said, send
from tests.factories import PASSWORD, make_person, make_token, session_client, token_client
from tokens.issuance import GrantWish
from tokens.models import Token

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
