"""What a policy would do to tokens, told before it is saved."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import Event
from config.edge import clock
from config.edge.clock import now
from fleets import organizations
from fleets.models import Organization
from tests.factories import (
    API,
    make_token,
    member,
    operator,
    owner_of,
    session,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import pending
from tokens.models import Token
from tokens.preview import preview

DAY = timedelta(days=1)


def seen(world: World, **changes: Any) -> dict[str, list[str]]:
    """{name: why} of the tokens that the policy would touch."""
    found = preview(world.acme, changes, by=session(world.owner))
    assert found.affected == len(found.tokens)
    return {token.name: why for token, why in found.tokens}


@pytest.fixture
def tokens(world: World) -> dict[str, str]:
    """The names of tokens that differ in everything that a policy looks at."""
    fleet = make_token(world.edge, "machines:read", "commands:execute").token
    endless = make_token(world.edge, "machines:read").token
    Token.objects.filter(pk=endless.pk).update(expires_at=None)
    bound = make_token(world.core, "commands:execute").token
    Token.objects.filter(pk=bound.pk).update(allowed_networks=["10.0.0.0/8"], last_used_at=now() - 40 * DAY)
    personal = make_token(world.auditor, "audit:read", "machines:read", organization=world.acme).token
    waiting = pending(world.edge, "machines:read").token
    Token.objects.filter(pk=waiting.pk).update(expires_at=None, lifetime=90 * DAY)
    ended = [make_token(world.edge, "commands:execute").token for _ in range(2)]
    Token.objects.filter(pk=ended[0].pk).update(expires_at=now() - DAY)
    Token.objects.filter(pk=ended[1].pk).update(status="revoked", status_reason="by_hand")
    make_token(world.owner, "machines:read", organization=world.acme)
    return {
        "fleet": fleet.name,
        "endless": endless.name,
        "bound": bound.name,
        "personal": personal.name,
        "waiting": waiting.name,
    }


def test_every_part_names_the_tokens_that_it_touches_and_no_others(
    world: World, tokens: dict[str, str]
) -> None:
    fleet, endless, bound, personal, waiting = tokens.values()

    assert seen(world) == seen(world, default_lifetime_days=7, approvals_needed={"high": 0}) == {}
    assert seen(world, never_allowed=False) == {endless: ["never_not_allowed"]}
    assert seen(world, networks_required={"high": True}) == {fleet: ["network_required"]}
    assert seen(world, allowed_kinds={"auditor": ["fleet"]}) == {personal: ["kind_not_allowed"]}
    assert seen(world, scope_ceilings={"auditor": ["machines:read"]}) == {personal: ["scope_above_ceiling"]}
    assert seen(world, scope_ceilings={"member": []}) == {}
    assert seen(world, unused_limit_days=40) == {bound: ["unused"]}
    assert seen(world, unused_limit_days=41) == {}
    assert seen(world, maximum_lifetime_days=3650) == {endless: ["lifetime_too_long"]}
    short = seen(world, maximum_lifetime_days=30, never_allowed=False, allowed_kinds={"auditor": []})
    assert set(short) >= {fleet, endless, bound, waiting}
    assert short[personal] == ["kind_not_allowed", "lifetime_too_long"]
    assert len(short) == 6  # the owner's too
    with clock.at(now() + 10 * DAY):
        assert seen(world, maximum_lifetime_days=10)[bound] == ["expired"]
        assert seen(world, maximum_lifetime_days=11)[bound] == ["lifetime_too_long"]


def test_what_the_present_policy_does_already_is_not_counted_again(
    world: World, tokens: dict[str, str]
) -> None:
    present = {
        "maximum_lifetime_days": 30,
        "networks_required": {"high": True},
        "scope_ceilings": {"auditor": ["audit:read"]},
        "unused_limit_days": 40,
    }
    organizations.set_policy(world.acme, changes=present, by=operator)

    assert seen(world, **present) == {}
    assert seen(world, unused_limit_days=30, scope_ceilings={"auditor": ["audit:read", "files:read"]}) == {}
    assert seen(world, scope_ceilings={"auditor": []}) == {tokens["personal"]: ["scope_above_ceiling"]}
    shorter = seen(world, maximum_lifetime_days=29)
    assert set(tokens.values()) <= shorter.keys()
    assert set(map(tuple, shorter.values())) == {("lifetime_too_long",)}
    with clock.at(now() + 31 * DAY):
        assert seen(world, maximum_lifetime_days=29) == {tokens["waiting"]: ["lifetime_too_long"]}


def test_it_says_what_gets_weaker_and_whether_that_would_wait(world: World) -> None:
    strict = {"maximum_lifetime_days": 30, "approvals_needed": {"high": 1}}
    member(world.acme, "approver")
    organizations.set_policy(world.acme, changes=strict, by=operator)

    weaker = preview(world.acme, {"maximum_lifetime_days": 60}, by=session(world.owner))
    stricter = preview(world.acme, {"maximum_lifetime_days": 7}, by=session(world.owner))

    assert (weaker.weaker, weaker.needs_approval) == (["tokens may live for 60 days, not for 30 days"], 1)
    assert weaker.changes == {"maximum_lifetime_days": [30, 60]}
    assert (stricter.weaker, stricter.needs_approval) == ([], 0)


def test_the_api_answers_as_it_would_be_saved_and_changes_nothing(
    world: World, tokens: dict[str, str]
) -> None:
    url = f"{API}organizations/{world.acme.pk}/policy-preview/"
    client, before = session_client(world.owner), Event.objects.count()

    answer = client.post(url, {"policy": {"networks_required": {"high": True}}})

    assert answer.status_code == 200
    token = Token.objects.get(name=tokens["fleet"])
    assert answer.json() == {
        "changes": {
            "networks_required": [
                {"low": False, "medium": False, "high": False},
                {"low": False, "medium": False, "high": True},
            ]
        },
        "weaker": [],
        "needs_approval": 0,
        "affected": 1,
        "tokens": [
            {
                "id": token.pk,
                "name": token.name,
                "kind": "fleet",
                "owner": {"type": "fleet", "id": str(world.edge.pk), "name": "edge"},
                "why": ["network_required"],
            }
        ],
    }
    refusals: dict[int, list[dict[str, Any]]] = {
        400: [{}, {"policy": None}, {"policy": {"lifetime": 1}}, {"policy": {}, "name": "x"}],
        409: [{"policy": {"approvals_needed": {"high": 5}}}],
    }
    for status, bodies in refusals.items():
        assert [client.post(url, body).status_code for body in bodies] == [status] * len(bodies)
    assert client.get(url).status_code == 405
    assert Event.objects.count() == before
    assert Organization.objects.get(pk=world.acme.pk).version == world.acme.version


def test_only_who_may_change_the_policy_previews_one(world: World) -> None:
    url = f"{API}organizations/{world.acme.pk}/policy-preview/"
    body = {"policy": {"never_allowed": False}}
    issued = make_token(owner_of(world.acme), "permissions:manage", organization=world.acme)

    assert session_client(world.admin).post(url, body).status_code == 200
    for client in (session_client(world.auditor), token_client(issued)):
        assert client.post(url, body).json()["code"] == "forbidden"


def test_many_tokens_take_no_more_queries_than_few(world: World) -> None:
    changes = {
        "networks_required": {"low": True},
        "scope_ceilings": {"auditor": [], "owner": []},
        "unused_limit_days": 1,
    }

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert preview(world.acme, changes, by=session(world.owner)).tokens
        return len(captured)

    make_token(world.edge, "machines:read")
    few = queries()
    for owner in (world.edge, world.core, world.owner, world.auditor):
        make_token(owner, "machines:read", organization=world.acme)
    assert queries() == few <= 15
