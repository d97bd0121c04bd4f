"""A name that came to mean nothing never comes to mean something else: slugs, usernames, roles, tokens and paths."""

import pytest

from fleets import machines
from fleets.models import AclEntry
from tests.attacks.climbing import House, entry_of, issue, said, send
from tests.factories import make_entry, make_machine, make_token, operator, session_client, token_client
from tokens import lifecycle
from tokens.issuance import GrantWish
from tokens.models import Token

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
