"""An organization's policy at issue, at edits and at every call of a token."""

from datetime import timedelta
from typing import Any

import pytest

from config.edge import clock
from config.edge.clock import now
from config.edge.refusals import IllegalMove, Invalid, Refused
from fleets import membership, organizations
from fleets.models import Membership, User
from fleets.organization_policy import ROLES
from tests.factories import (
    API,
    acting,
    events,
    fleet_member,
    last_event,
    make_entry,
    make_group,
    make_group_member,
    make_superuser,
    make_technical_user,
    make_token,
    member,
    operator,
    session,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, wish
from tokens import lifecycle
from tokens.changes import Edit
from tokens.hints import hints_of
from tokens.issuance import Expiry, Issued
from tokens.models import Token, TokenSecret
from tokens.restrictions import Restrictions, parse_networks

DAY = timedelta(days=1)
NARROW = Restrictions(networks=parse_networks(["10.0.0.0/8"]))
OPEN = Restrictions(networks=parse_networks(["0.0.0.0/0", "::/0"]))


def lay_down(world: World, **changes: Any) -> None:
    organizations.set_policy(type(world.acme).objects.get(pk=world.acme.pk), changes=changes, by=operator)


def answer(issued: Issued) -> tuple[int, str]:
    response = token_client(issued).get(f"{API}whoami/")
    return response.status_code, response.json().get("code", "")


def person(world: World, role: str = "member") -> User:
    return member(world.acme, role)


# At issue


@pytest.mark.parametrize(
    ("rules", "options", "field", "code"),
    [
        ({"maximum_lifetime_days": 30}, {"expiry": Expiry(lifetime=31 * DAY)}, "expires_in", "lifetime_too_long"),
        ({"maximum_lifetime_days": 30}, {"expiry": Expiry()}, "expires_in", "lifetime_too_long"),
        ({"maximum_lifetime_days": 30}, {"expiry": Expiry(at=now() + 40 * DAY)}, "expires_at", "lifetime_too_long"),
        ({"never_allowed": False}, {"expiry": Expiry()}, "expires_in", "never_not_allowed"),
        ({"never_allowed": False, "maximum_lifetime_days": 9}, {"expiry": Expiry()}, "expires_in", "never_not_allowed"),
        ({"networks_required": {"low": True}}, {}, "allowed_networks", "network_required"),
        ({"networks_required": {"low": True}}, {"restrictions": OPEN}, "allowed_networks", "network_required"),
    ],
)  # fmt: skip
def test_what_is_issued_beyond_the_policy_is_named(
    world: World, rules: dict[str, Any], options: dict[str, Any], field: str, code: str
) -> None:
    lay_down(world, **rules)

    for by in (session(world.manager), operator):
        with pytest.raises(Invalid) as refusal:
            issue(by, world.edge, wish("machines:read"), **options)
        assert [(error.field, error.code) for error in refusal.value.errors] == [(field, code)]
    if "maximum_lifetime_days" in rules and code == "lifetime_too_long":
        assert "30 days" in refusal.value.detail
    assert not Token.objects.exists()


def test_what_is_within_the_policy_is_issued_and_the_default_is(world: World) -> None:
    lay_down(world, maximum_lifetime_days=30, never_allowed=False, networks_required={"low": True})

    for expiry in (Expiry(lifetime=30 * DAY), Expiry(at=now() + 29 * DAY), None):
        issued = issue(
            session(world.manager), world.edge, wish("machines:read"), expiry=expiry, restrictions=NARROW
        )
        assert issued.token.expires_at is not None
        assert issued.token.expires_at - issued.token.created_at <= 30 * DAY


def test_what_no_role_may_issue_no_technical_user_issues_for_them(world: World) -> None:
    bot = make_technical_user(world.acme)
    make_entry(world.acme, "/", "Administrator", user=bot)
    caller = make_token(bot, "tokens:manage", "machines:read")
    lay_down(world, allowed_kinds={role: ["personal"] for role in ROLES})

    with pytest.raises(Refused) as refusal:
        issue(acting(caller), world.edge, wish("machines:read"))

    assert refusal.value.code == "kind_not_allowed"
    lay_down(world, allowed_kinds={"auditor": ["fleet"]})
    issue(acting(caller), world.edge, wish("machines:read"))


def test_kinds_are_for_the_role_of_who_issues(world: World) -> None:
    lay_down(world, allowed_kinds={"member": ["personal", "group"], "admin": ["fleet"]})
    group = make_group(world.acme)
    leader = make_group_member(group, "admin").user
    make_entry(world.acme, world.edge.path, "GroupUser", group=group)

    with pytest.raises(Refused) as refusal:
        issue(session(world.manager), world.edge, wish("machines:read"))
    assert refusal.value.code == "kind_not_allowed"
    assert (last_event().action, last_event().outcome) == ("token.issued", "denied")
    issue(session(world.admin), world.edge, wish("machines:read"))
    with pytest.raises(Refused):
        issue(session(world.admin), world.admin, wish("machines:read"), organization=world.acme)
    with pytest.raises(Refused):  # nor does the operator give it to them
        issue(operator, world.admin, wish("machines:read"), organization=world.acme)
    issue(operator, world.edge, wish("machines:read"))
    issue(session(make_superuser()), world.edge, wish("machines:read"))
    issue(session(leader), group, wish("machines:read"))


def test_personal_tokens_hold_no_more_than_their_owners_role_may(world: World) -> None:
    lay_down(world, scope_ceilings={"member": ["machines:read"]})
    viewer = fleet_member(world.edge, "operator")

    with pytest.raises(Refused) as refusal:
        issue(session(viewer), viewer, wish("machines:read", "machines:operate"), organization=world.acme)
    assert refusal.value.code == "scope_above_ceiling"
    assert "machines:operate" in refusal.value.detail
    issue(session(viewer), viewer, wish("machines:read"), organization=world.acme)
    issue(session(world.manager), world.edge, wish("machines:operate"))  # not a personal one

    stored = issue(operator, viewer, wish("machines:read", "machines:operate"), organization=world.acme)
    assert stored.token.scopes == ["machines:operate", "machines:read"]
    assert acting(stored).rights(world.acme.pk).anywhere == {"machines:read"}


def test_the_api_says_which_field_is_beyond_the_policy(world: World) -> None:
    lay_down(world, maximum_lifetime_days=30)
    body = {"kind": "fleet", "owner": "edge", "name": "late", "scopes": ["machines:read"]}
    client = session_client(world.manager)

    response = client.post(f"{API}tokens/", {**body, "expires_in": "90d"})

    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == ["expires_in"]
    assert client.post(f"{API}tokens/", {**body, "expires_in": "30d"}).status_code == 201


# At edits


def test_an_edit_that_only_narrows_is_never_refused_for_the_policy(world: World) -> None:
    issued = make_token(world.edge, "machines:read", "machines:operate")
    Token.objects.filter(pk=issued.token.pk).update(expires_at=None)
    lay_down(
        world,
        never_allowed=False,
        networks_required={"low": True, "medium": True},
        allowed_kinds={"member": []},
    )
    by = session(world.manager)

    token = lifecycle.edit(issued.token.presented(), change=Edit(wish=wish("machines:read")), by=by)
    assert token.scopes == ["machines:read"]
    token = lifecycle.edit(token, change=Edit(expires_at=now() + 500 * DAY), by=by)
    assert token.expires_at


@pytest.mark.parametrize(
    ("rules", "change", "code"),
    [
        ({"networks_required": {"medium": True}}, Edit(wish=wish("machines:operate")), "network_required"),
        ({"allowed_kinds": {"member": []}}, Edit(wish=wish("machines:operate")), "kind_not_allowed"),
        ({"maximum_lifetime_days": 90}, Edit(expires_at=now() + 91 * DAY), "lifetime_too_long"),
        ({"never_allowed": False}, Edit(expires_at=None), "never_not_allowed"),
    ],
)
def test_an_edit_that_widens_stays_within_the_policy(
    world: World, rules: dict[str, Any], change: Edit, code: str
) -> None:
    issued = make_token(world.edge, "machines:read")
    lay_down(world, **rules)

    with pytest.raises((Invalid, Refused)) as refusal:
        lifecycle.edit(issued.token.presented(), change=change, reason="more", by=session(world.manager))

    found = [error.code for error in refusal.value.errors] or [refusal.value.code]
    assert found == [code]
    assert Token.objects.get().version == issued.token.version


def test_a_widening_does_not_answer_for_an_end_that_stays(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    lay_down(world, maximum_lifetime_days=30)

    token = lifecycle.edit(
        issued.token.presented(), change=Edit(wish=wish("machines:operate")), reason="more",
        by=session(world.manager),
    )  # fmt: skip

    assert token.scopes == ["machines:operate"]


# At each call


def test_a_token_ends_when_the_longest_life_is_over_and_comes_back_with_a_longer_one(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    lay_down(world, maximum_lifetime_days=30)

    assert answer(issued) == (200, "")
    with clock.at(now() + 30 * DAY):
        assert answer(issued) == (401, "token_expired")
        lay_down(world, maximum_lifetime_days=31)
        assert answer(issued) == (200, "")


def test_a_token_whose_longest_life_is_over_gets_no_new_secret_and_a_hint_says_why(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    lay_down(world, maximum_lifetime_days=30)
    token = Token.objects.presented().get(pk=issued.token.pk)
    assert hints_of(token) == ["lifetime_too_long"]
    before = events()

    with clock.at(now() + 30 * DAY):
        token = Token.objects.presented().get(pk=issued.token.pk)
        assert token.derived_status == "active"
        assert hints_of(token) == ["expired_by_policy"]
        with pytest.raises(IllegalMove) as refusal:
            lifecycle.rotate(token, by=session(world.owner))
        assert "as long as" in refusal.value.detail
        assert (refusal.value.status, refusal.value.code) == (409, "illegal_move")
        assert TokenSecret.objects.filter(token=token).count() == 1
        assert "token.rotated success" not in events()[len(before) :]

        lay_down(world, maximum_lifetime_days=31)
        token = Token.objects.presented().get(pk=issued.token.pk)
        assert lifecycle.rotate(token, by=session(world.owner)).token.secrets.count() == 2


def test_a_token_without_an_end_is_refused_where_that_is_not_allowed(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    Token.objects.filter(pk=issued.token.pk).update(expires_at=None)
    assert answer(issued) == (200, "")

    lay_down(world, never_allowed=False)
    assert answer(issued) == (401, "policy_refused")
    assert events(actor_id=issued.token.pk)[-1] == "token.denied denied"
    assert last_event(actor_id=issued.token.pk).reason == "policy_refused"

    lay_down(world, maximum_lifetime_days=30)  # now it has one
    assert answer(issued) == (200, "")


def test_a_token_without_networks_is_refused_where_its_risk_needs_them(world: World) -> None:
    low, medium = make_token(world.edge, "machines:read"), make_token(world.edge, "machines:operate")
    lay_down(world, networks_required={"medium": True})

    assert answer(low) == (200, "")
    for networks, expected in (
        (None, (401, "policy_refused")),
        (["0.0.0.0/0", "::/0"], (401, "policy_refused")),
        (["127.0.0.0/8"], (200, "")),
        (["10.0.0.0/8"], (403, "network_not_allowed")),
    ):
        Token.objects.filter(pk=medium.token.pk).update(allowed_networks=networks)
        assert answer(medium) == expected


def test_a_personal_token_is_refused_where_its_owners_role_may_have_none_and_follows_the_role(
    world: World,
) -> None:
    someone = person(world)
    theirs = make_token(someone, "machines:read", organization=world.acme)
    fleet = make_token(world.edge, "machines:read")
    lay_down(world, allowed_kinds={"member": []})

    assert answer(theirs) == (401, "policy_refused")
    assert answer(fleet) == (200, "")
    row = Membership.objects.get(user=someone)
    membership.change_role(row, role="auditor", by=operator)
    assert answer(theirs) == (200, "")


def test_scopes_above_the_ceiling_are_cut_off_and_come_back(world: World) -> None:
    theirs = make_token(world.auditor, "audit:read", "machines:read", organization=world.acme)
    lay_down(world, scope_ceilings={"auditor": ["machines:read"], "member": []})

    client = token_client(theirs)
    refused = client.get(f"{API}audit/events/")
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert client.get(f"{API}token/permissions/").json()["scopes"] == ["machines:read"]
    assert client.get(f"{API}token/").json()["scopes"] == ["audit:read", "machines:read"]

    lay_down(world, scope_ceilings={"auditor": None})
    assert client.get(f"{API}audit/events/").status_code == 200


def test_what_a_token_issues_never_outlives_its_own_end_by_the_policy(world: World) -> None:
    parent = make_token(world.owner, "tokens:manage", "machines:read", organization=world.acme)
    lay_down(world, maximum_lifetime_days=30)

    with clock.at(now() + 20 * DAY):
        with pytest.raises(Refused) as refusal:
            issue(acting(parent), world.edge, wish("machines:read"), expiry=Expiry(lifetime=11 * DAY))
        child = issue(acting(parent), world.edge, wish("machines:read"))

    assert refusal.value.code == "outlives_issuer"
    assert child.token.expires_at == parent.token.created_at + 30 * DAY
