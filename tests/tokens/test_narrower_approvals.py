"""An approval of less than was asked for."""

from datetime import datetime
from typing import Any

import pytest

from approvals.models import ApprovalRequest
from approvals.standing import offer_of
from config.edge.clock import now
from config.edge.refusals import Invalid
from fleets import organizations
from fleets.models import Fleet, User
from tests.factories import (
    as_stored,
    last_event,
    make_approver,
    make_machine,
    make_token,
    need_approvals,
    operator,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import present, rows, wish
from tests.tokens.waiting import (
    AT_HOME,
    DAY,
    EDGE,
    EXECUTE,
    approve,
    edit,
    executing,
    refusal,
    request_of,
    trail,
    until,
)
from tokens.issuance import Expiry, GrantWish, Issued
from tokens.spec import spec_of


def narrow(issued: Issued, by: User, **fields: Any) -> None:
    approve(issued, by, narrowed=fields)


def test_less_of_a_new_token_is_approved_and_is_what_it_is_then(world: World, approver: User) -> None:
    issued = executing(world, expiry=Expiry(lifetime=30 * DAY))
    asked = request_of(issued)
    soon = (now() + 3 * DAY).isoformat()

    narrow(issued, approver, scopes=["commands:execute"], expires_at=soon, allowed_networks=["127.0.0.1"])

    token, request = present(issued), ApprovalRequest.objects.get(pk=asked.pk)
    assert (token.status, token.scopes, token.lifetime) == ("active", ["commands:execute"], None)
    assert token.expires_at == datetime.fromisoformat(soon)
    assert token.restrictions.as_json()["allowed_networks"] == ["127.0.0.1/32"]
    assert request.diff_digest != asked.diff_digest
    assert "works only from 127.0.0.1/32" in request.diff_words
    assert trail(issued)[2:] == ["token.edited", "approval.granted", "token.activated"]
    assert last_event(action="token.edited").data["approval"] == str(asked.pk)
    assert token.version == 3


def test_where_all_of_it_is_not_allowed_any_more_less_may_be(world: World, approver: User) -> None:
    issued = executing(world, expiry=Expiry(lifetime=60 * DAY))
    organizations.set_policy(as_stored(world.acme), changes={"maximum_lifetime_days": 30}, by=operator)
    assert refusal(approve, issued, approver) == "requester_lost_right"
    too_long = (now() + 31 * DAY).isoformat()
    assert refusal(narrow, issued, approver, expires_at=too_long) == "requester_lost_right"
    soon = (now() + 29 * DAY).isoformat()

    narrow(issued, approver, expires_at=soon)

    token = present(issued)
    assert (token.status, token.expires_at) == ("active", datetime.fromisoformat(soon))


def test_less_of_a_change_is_approved_by_all_who_have_to(world: World, approver: User) -> None:
    other = make_approver(world.acme)
    need_approvals(world.acme, high=2)
    issued = make_token(world.edge, "machines:read")
    edit(issued, world.manager, wish=wish(*EXECUTE, "machines:create"), expires_at=None)
    approve(issued, other)

    narrow(issued, approver, scopes=list(EXECUTE))

    assert present(issued).scopes == ["machines:read"], "the first agreed to more than that"
    assert request_of(issued).diff_words == [
        f"gains use for ever, not until {until(issued)}",
        f"gains commands:execute on {EDGE}",
        "then works from any network",
    ]
    approve(issued, other)
    assert (present(issued).scopes, present(issued).expires_at) == (sorted(EXECUTE), None)


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({}, "narrowed", "not_narrower"),
        ({"scopes": ["commands:execute", "machines:read"]}, "narrowed", "not_narrower"),
        ({"scopes": ["machines:write"]}, "narrowed", "not_narrower"),
        ({"scopes": ["machines:read"]}, "narrowed", "nothing_left"),
        ({"scopes": []}, "narrowed.scopes", "nothing_left"),
        ({"expires_at": None}, "narrowed", "not_narrower"),
        ({"allowed_networks": None}, "narrowed", "not_narrower"),
        ({"grants": [{"path": "/", "role": "Viewer"}]}, "narrowed.grants.0.path", "bad_path"),
        ({"scopes": ["commands:fly"]}, "narrowed.scopes", "unknown_scope"),
        ({"allowed_networks": ["10.0.0.1/8"]}, "narrowed.allowed_networks", "invalid"),
        ({"name": "other"}, "narrowed.name", "unknown_field"),
        ({"machines": ["no id"]}, "narrowed.machines", "invalid"),
    ],
)
def test_what_is_not_less_or_nothing_is_refused(
    world: World, approver: User, fields: dict[str, Any], field: str, code: str
) -> None:
    issued = make_token(world.edge, "machines:read")
    edit(issued, world.manager, wish=wish(*EXECUTE))

    with pytest.raises(Invalid) as refused:
        narrow(issued, approver, **fields)

    assert [(error.field, error.code) for error in refused.value.errors] == [(field, code)]
    assert not request_of(issued).decisions.exists()
    assert present(issued).scopes == ["machines:read"]


def test_less_names_nothing_of_another_organization(world: World, other: Fleet, approver: User) -> None:
    issued = executing(world)
    theirs, ours = make_machine(other), str(world.edge_1.pk)

    for unknown in (str(theirs.pk), "01900000-0000-7000-8000-000000000000"):
        assert refusal(narrow, issued, approver, machines=[unknown]) == "not_found"
    with pytest.raises(Invalid) as refused:
        narrow(issued, approver, grants=[{"path": theirs.path, "role": "Viewer"}])
    assert refused.value.errors[0].field == "narrowed.grants.0.path"

    narrow(issued, approver, machines=[ours])
    assert rows(present(issued)) == [GrantWish(world.edge_1.path, "")]


@pytest.mark.parametrize(
    "fields",
    [
        {"scopes": ["files:write", "machines:read"]},
        {"scopes": ["files:write", "commands:execute"]},
        {"allowed_networks": ["192.0.2.1"]},
        {"rate_limit": "1/day"},
        {"access_windows": [{"days": ["mon"], "start": "08:00", "end": "10:00"}]},
        {"expires_at": (now() + DAY).isoformat()},
        {"grants": [{"path": EDGE, "role": "Viewer"}]},
    ],
)
def test_less_takes_nothing_that_the_token_has_and_nobody_asked_to_take(
    world: World, approver: User, fields: dict[str, Any]
) -> None:
    had = ["machines:operate", "machines:read"]
    issued = make_token(world.edge, *had)
    edit(issued, world.manager, wish=wish(*had, *EXECUTE, "files:write"))
    before = spec_of(present(issued))

    with pytest.raises(Invalid) as refused:
        narrow(issued, approver, **fields)

    assert [(error.field, error.code) for error in refused.value.errors] == [("narrowed", "takes_away")]
    assert spec_of(present(issued)) == before
    assert not request_of(issued).decisions.exists()


def test_what_was_asked_to_be_taken_may_be_taken_with_less(world: World, approver: User) -> None:
    issued = make_token(world.edge, "machines:operate", "machines:read")
    edit(issued, world.manager, wish=wish(*EXECUTE, "files:write"), restrictions=AT_HOME)

    narrow(issued, approver, scopes=[*EXECUTE], expires_at=until(issued))

    assert present(issued).scopes == sorted(EXECUTE)
    assert present(issued).allowed_networks == ["127.0.0.0/8"]


def test_the_page_offers_to_leave_out_only_what_is_new(world: World, approver: User) -> None:
    issued = make_token(world.edge, "machines:read")
    edit(issued, world.manager, wish=wish(*EXECUTE, "files:write"))

    offer = offer_of(request_of(issued))

    assert offer is not None
    assert [value for value, _ in offer.choices] == ["commands:execute", "files:write"]
    narrow(issued, approver, **offer.keeping(["files:write"]))
    assert present(issued).scopes == ["files:write", "machines:read"]
