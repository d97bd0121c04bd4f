"""A change that waits: the token keeps its old rights until somebody else agreed, whatever happens meanwhile."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine

from approvals import decisions, requests
from approvals.models import ApprovalRequest
from config.edge.clock import now
from fleets import membership, owners
from fleets.models import Membership, User
from tests.factories import last_event, make_machine, make_token, operator, session
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, present, rows, wish
from tests.tokens.waiting import (
    AT_HOME,
    DAY,
    EDGE,
    EXECUTE,
    STRICT,
    approve,
    call,
    edit,
    refusal,
    request_of,
    trail,
    until,
)
from tokens import lifecycle, revocation
from tokens.issuance import GrantWish, Wish
from tokens.models import Token
from tokens.restrictions import Restrictions, parse_networks, parse_rate


def loosened(**parts: Any) -> dict[str, Any]:
    return {"restrictions": Restrictions(**parts)}


WIDENINGS: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "another scope": (
        lambda: {"wish": wish(*EXECUTE, "machines:write")},
        f"gains machines:write on {EDGE}, except on {EDGE}/machines/",
    ),
    "a deeper refusal goes": (
        lambda: {"wish": Wish(grants=(GrantWish(EDGE, ""),))},
        f"gains commands:execute on {EDGE}/machines/",
    ),
    "a later end": (
        lambda: {"expires_at": datetime.fromisoformat("2100-01-01T00:00:00Z")},
        "gains use until 2100-01-01T00:00:00Z, not until ",
    ),
    "no end": (lambda: {"expires_at": None}, "gains use for ever, not until "),
    "any network": (
        lambda: loosened(rate=STRICT.rate, windows=STRICT.windows),
        "gains calls from any network",
    ),
    "another network": (
        lambda: loosened(
            networks=parse_networks(["127.0.0.0/8", "10.0.0.0/8"]), rate=STRICT.rate, windows=STRICT.windows
        ),
        "gains calls from 10.0.0.0/8",
    ),
    "a higher rate": (
        lambda: loosened(networks=STRICT.networks, rate=parse_rate("1001/second"), windows=STRICT.windows),
        "gains calls at a rate of 1001/second",
    ),
}


@pytest.mark.parametrize("widening", WIDENINGS)
def test_whatever_widens_a_risky_token_waits_and_its_old_rights_live(
    world: World, approver: User, widening: str
) -> None:
    """Also what is added after the approval."""
    issued = make_token(
        world.edge,
        *EXECUTE,
        restrictions=STRICT,
        grants=(GrantWish(EDGE, ""), GrantWish(world.edge_1.path, "NoAccess")),
    )
    before, change = present(issued), WIDENINGS[widening][0]()

    returned = edit(issued, world.manager, reason="More is needed", **change)

    token, request = present(issued), request_of(issued)
    assert returned.has_waiting_change
    assert (token.scopes, rows(token), token.expires_at, token.restrictions) == (
        before.scopes,
        rows(before),
        before.expires_at,
        before.restrictions,
    )
    assert (token.version, token.status, call(issued)) == (1, "active", "works")
    assert any(words.startswith(WIDENINGS[widening][1]) for words in request.diff_words), request.diff_words
    assert (request.kind, request.reason) == ("token_change", "More is needed")
    assert trail(issued) == ["token.issued", "approval.requested"]

    lifecycle.rotate(present(issued), overlap=timedelta(hours=1), by=session(world.manager))
    lifecycle.disable(present(issued), by=session(world.manager))
    lifecycle.enable(present(issued), by=session(world.manager))
    approve(issued, approver)

    token = present(issued)
    assert token.open_request is None
    assert token.version == 5
    edited = last_event(action="token.edited")
    assert (edited.actor_id, edited.reason) == (str(approver.pk), "More is needed")
    assert (edited.data["approval"], edited.data["widens"]) == (str(request.pk), True)
    assert (token.scopes, rows(token), token.expires_at, token.restrictions) != (
        before.scopes,
        rows(before),
        before.expires_at,
        before.restrictions,
    )
    assert call(issued) == "works"


def test_what_narrows_or_stays_within_low_risk_holds_at_once(world: World, approver: User) -> None:
    low = make_token(world.edge, "machines:read")
    high = make_token(world.edge, *EXECUTE)

    edit(low, world.manager, wish=wish("machines:read", "snapshots:read"))
    edit(high, world.manager, wish=wish("commands:execute"))
    lifecycle.restrict(
        present(high), restrictions=AT_HOME, reason="Only from here", by=session(world.manager)
    )

    assert present(low).scopes == ["machines:read", "snapshots:read"]
    assert (present(high).scopes, present(high).restrictions) == (["commands:execute"], AT_HOME)
    assert last_event(action="token.edited").data["changes"] == {"allowed_networks": [None, ["127.0.0.0/8"]]}
    assert last_event(action="token.edited").data["lost"] == ["calls from any network"]
    assert not ApprovalRequest.objects.exists()


def test_a_change_waits_as_a_whole_with_what_it_takes_away(world: World, approver: User) -> None:
    issued = make_token(world.edge, *EXECUTE)

    edit(issued, world.manager, name="renamed", wish=wish("commands:execute", "machines:write"))

    assert (present(issued).name, present(issued).scopes) == (issued.token.name, sorted(EXECUTE))
    assert request_of(issued).diff_words == [
        f"gains machines:write on {EDGE}",
        f"loses machines:read on {EDGE}",
        f"is called renamed, not {issued.token.name}",
        f"then works until {until(issued)}, from any network",
    ]
    approve(issued, approver)
    assert (present(issued).name, present(issued).scopes) == (
        "renamed",
        ["commands:execute", "machines:write"],
    )


def test_a_change_that_waits_is_superseded_by_any_newer_edit(world: World, approver: User) -> None:
    issued = make_token(world.edge, *EXECUTE)
    edit(issued, world.manager, wish=wish(*EXECUTE, "machines:write"))
    first = request_of(issued)

    edit(issued, world.manager, wish=wish(*EXECUTE, "machines:create"))
    second = request_of(issued)
    assert refusal(decisions.approve, first, digest=first.diff_digest, by=session(approver)) == "illegal_move"
    edit(issued, world.manager, wish=wish("machines:read"))

    assert present(issued).open_request is None
    assert (
        refusal(decisions.approve, second, digest=second.diff_digest, by=session(approver)) == "illegal_move"
    )
    found = ApprovalRequest.objects.order_by("opened_at").values_list("status", flat=True)
    assert list(found) == ["superseded", "superseded"]
    assert present(issued).scopes == ["machines:read"]


@pytest.mark.parametrize("how", ["rejected", "withdrawn", "lapsed"])
def test_a_change_that_comes_to_nothing_leaves_the_token_as_it_was(
    world: World, approver: User, how: str
) -> None:
    issued = make_token(world.edge, "machines:read")
    edit(issued, world.manager, wish=wish(*EXECUTE))
    request = request_of(issued)

    if how == "rejected":
        decisions.reject(request, digest=request.diff_digest, comment="No", by=session(approver))
    elif how == "withdrawn":
        requests.withdraw(request, by=session(world.manager))
    else:
        with time_machine.travel(now() + 3 * DAY):
            requests.lapse(request, by=operator)

    token = present(issued)
    assert (token.status, token.scopes, token.version, token.open_request) == (
        "active",
        ["machines:read"],
        1,
        None,
    )
    assert trail(issued) == ["token.issued", "approval.requested", f"approval.{how}"]


def revoked(world: World, token: Token) -> None:
    lifecycle.revoke(token, by=operator)


def all_revoked(world: World, token: Token) -> None:
    revocation.revoke_all(world.acme, owner=token.owner, reason="Incident", by=operator)


def owner_closed(world: World, token: Token) -> None:
    if token.owner_fleet:
        owners.close_fleet(token.owner_fleet, by=operator)
    else:
        membership.leave(Membership.objects.get(user=token.owner_user), by=operator)


@pytest.mark.parametrize("end", [revoked, all_revoked, owner_closed])
@pytest.mark.parametrize("whose", ["fleet", "person"])
def test_what_ends_a_token_ends_what_waits_about_it(
    world: World, approver: User, end: Callable[[World, Token], None], whose: str
) -> None:
    owner = world.edge if whose == "fleet" else world.manager
    new = issue(session(world.manager), owner, wish(*EXECUTE))
    changed = make_token(owner, "machines:read")
    edit(changed, world.manager, wish=wish(*EXECUTE))
    quiet = make_token(owner, "machines:read")

    for issued in (new, changed, quiet) if end is revoked else (new,):
        end(world, present(issued))

    for issued in (new, changed, quiet):
        assert (present(issued).status, present(issued).open_request) == ("revoked", None)
    assert set(ApprovalRequest.objects.values_list("status", flat=True)) == {"superseded"}
    for issued in (new, changed):
        assert trail(issued)[-2:] == ["token.revoked", "approval.superseded"]
    assert trail(quiet)[-1] == "token.revoked"


def test_a_name_that_is_taken_and_what_can_not_be_stored_are_refused_when_they_are_asked_for(
    world: World, approver: User
) -> None:
    issue(operator, world.edge, wish("machines:read"), name="ci")
    issued = make_token(world.edge, "machines:read")

    assert refusal(edit, issued, world.manager, name="CI", wish=wish(*EXECUTE)) == "name_taken"

    assert not ApprovalRequest.objects.exists()


def test_an_extension_that_was_agreed_to_brings_back_what_was_recorded_as_expired(
    world: World, approver: User
) -> None:
    issued = make_token(world.edge, *EXECUTE)
    Token.objects.filter(pk=issued.token.pk).update(expired_at=now())
    assert call(issued) == "token_expired"
    shorter = now() + DAY

    edit(issued, world.manager, expires_at=shorter)

    assert request_of(issued).diff_words[0].endswith(", after it had expired")
    assert call(issued) == "token_expired"
    approve(issued, approver)
    assert (present(issued).expired_at, present(issued).expires_at) == (None, shorter)
    assert call(issued) == "works"


def test_a_row_that_came_to_mean_another_place_is_not_written(world: World, approver: User) -> None:
    issued = make_token(world.acme, "machines:configure", grants=())
    edit(issued, world.admin, wish=Wish(grants=(GrantWish("/vms/900", ""),)))
    twin = make_token(world.acme, "machines:configure", grants=())
    edit(twin, world.admin, wish=Wish(grants=(GrantWish("/vms/901", ""),)))

    make_machine(world.edge, "nine", vmid=900)

    assert refusal(approve, issued, approver) == "diff_changed"
    assert rows(present(issued)) == []
    approve(twin, approver)
    assert rows(present(twin)) == [GrantWish("/vms/901", "")]
