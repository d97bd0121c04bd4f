"""Tokens that wait: nothing risky takes effect unseen, whoever asks by whatever verb, whatever happens meanwhile."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine

from approvals import decisions, requests
from approvals.models import ApprovalRequest
from audit.models import Event
from config.edge import context
from config.edge.access import Access
from config.edge.clock import now
from config.edge.context import RequestContext
from config.edge.refusals import DomainError, Invalid
from fleets import membership, owners
from fleets.models import Fleet, FleetMembership, Membership, User
from tests.factories import (
    acting,
    events,
    last_event,
    make_approver,
    make_entry,
    make_fleet_member,
    make_machine,
    make_superuser,
    make_technical_user,
    make_token,
    member,
    need_approvals,
    operator,
    session,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import REASON, issue, present, rows, wish
from tokens import issuance, lifecycle, restrictions, revocation
from tokens.changes import Edit
from tokens.issuance import Expiry, GrantWish, Issued, Wish
from tokens.models import Token
from tokens.restrictions import Restrictions, parse_networks, parse_rate, parse_windows

EDGE = "/fleets/edge"
WHOAMI = "/api/v1/whoami/"
EXECUTE = ("commands:execute", "machines:read")
AT_HOME = Restrictions(networks=parse_networks(["127.0.0.0/8"]))
DAY = timedelta(days=1)


@pytest.fixture
def approver(world: World) -> User:
    """High risk needs one approval in acme from now on; the owner could give it too."""
    found = make_approver(world.acme)
    need_approvals(world.acme)
    return found


@pytest.fixture
def at_home() -> Iterator[None]:
    """Whatever calls, calls from here."""
    with context.bound(RequestContext(address="127.0.0.1")):
        yield


def request_of(issued: Issued) -> ApprovalRequest:
    """What waits about the token."""
    found = present(issued).open_request
    assert found is not None, "nothing waits"
    return found


def approve(issued: Issued, by: User | Access, **options: Any) -> None:
    request = request_of(issued)
    access = session(by) if isinstance(by, User) else by
    decisions.approve(request, digest=request.diff_digest, by=access, **options)


def refusal(verb: Callable[..., Any], *args: Any, **options: Any) -> str:
    with pytest.raises(DomainError) as refused:
        verb(*args, **options)
    return refused.value.code


def edit(issued: Issued, by: User, reason: str = REASON, **change: Any) -> Token:
    return lifecycle.edit(present(issued), change=Edit(**change), reason=reason, by=session(by))


def call(issued: Issued) -> str:
    """What a program is told that comes with the secret."""
    answer = token_client(issued).get(WHOAMI)
    return "works" if answer.status_code == 200 else str(answer.json()["code"])


def trail(issued: Issued) -> list[str]:
    done = Event.objects.changes_of("token", issued.token.pk).filter(outcome="allowed")
    return list(done.order_by("at", "id").values_list("action", flat=True))


def executing(world: World, by: User | None = None, **options: Any) -> Issued:
    """A fleet token that waits: high risk."""
    return issue(session(by or world.manager), world.edge, wish(*EXECUTE), **options)


# A new token


def test_a_risky_token_waits_and_works_once_somebody_else_agreed(world: World, approver: User) -> None:
    issued = executing(world, reason="Nightly repair", expiry=Expiry(lifetime=7 * DAY))

    request = request_of(issued)
    assert (present(issued).status, call(issued)) == ("pending", "token_pending")
    assert (request.kind, request.needed, request.reason) == ("token_issue", 1, "Nightly repair")
    assert request.diff_words == [
        f"may use commands:execute on {EDGE}",
        f"may use machines:read on {EDGE}",
        "works for 7d from its approval",
        "works from any network",
    ]
    assert set(request.originators.all()) == {world.manager}
    assert request.diff["changes"]["scopes"] == [None, sorted(EXECUTE)]

    with time_machine.travel(now() + 2 * DAY):
        approve(issued, approver, comment="Fine for a week")

    token = present(issued)
    assert token.status == "active"
    assert token.approved_at is not None
    assert token.approved_at - token.created_at > 2 * DAY
    assert token.expires_at == token.approved_at + 7 * DAY
    assert (token.lifetime, token.open_request) == (None, None)
    assert call(issued) == "works"
    assert trail(issued) == ["token.issued", "approval.requested", "approval.granted", "token.activated"]
    activated = last_event(action="token.activated")
    assert (activated.actor_id, activated.reason) == (str(approver.pk), "Nightly repair")
    assert activated.data["approval"] == str(request.pk)
    assert token.version == 2


@pytest.mark.parametrize("how", ["rejected", "withdrawn", "lapsed"])
def test_what_is_not_approved_ends_for_ever_with_all_that_it_had(
    world: World, approver: User, how: str
) -> None:
    issued = issue(
        session(world.manager),
        world.edge,
        wish(*EXECUTE, machines=(world.edge_1.pk,)),
    )
    request = request_of(issued)

    if how == "rejected":
        decisions.reject(request, digest=request.diff_digest, comment="No", by=session(approver))
    elif how == "withdrawn":
        requests.withdraw(request, reason="No need", by=session(world.manager))
    else:
        with time_machine.travel(now() + 3 * DAY):
            requests.lapse(request, by=operator)

    token = present(issued)
    assert (token.status, token.status_reason, token.open_request) == ("rejected", how, None)
    assert (list(token.grants.all()), list(token.machine_rows.all())) == ([], [])
    assert not token.principal.is_active
    assert call(issued) == "token_rejected"
    assert trail(issued)[2:] == [f"approval.{how}", "token.rejected"]
    assert last_event(action="token.rejected").data["approval"] == str(request.pk)
    again = ApprovalRequest.objects.get(pk=request.pk)
    assert (
        refusal(decisions.approve, again, digest=again.diff_digest, by=session(world.owner)) == "illegal_move"
    )


def test_where_nobody_else_could_agree_there_is_no_token_and_no_secret(world: World) -> None:
    type(world.acme).objects.update(policy={"approvals_needed": {"high": 1}})
    users = User.objects.count()

    assert refusal(executing, world, by=world.owner) == "approvers_missing"

    assert (Token.objects.count(), User.objects.count()) == (0, users)
    assert executing(world).token.status == "pending", "the owner decides on what others ask for"


def test_an_end_that_came_before_the_approval_is_no_end_to_begin_with(world: World, approver: User) -> None:
    issued = executing(world, expiry=Expiry(at=now() + DAY))

    with time_machine.travel(now() + 2 * DAY, tick=False):
        assert refusal(approve, issued, approver) == "expired_meanwhile"
        assert present(issued).status == "pending"
        edit(issued, world.manager, expires_at=now() + DAY)
        approve(issued, approver)

    assert present(issued).status == "active"


def test_low_risk_and_the_operator_need_nobody(world: World, approver: User) -> None:
    assert issue(session(world.manager), world.edge, wish("machines:read")).token.status == "active"
    assert issue(operator, world.edge, wish(*EXECUTE)).token.status == "active"
    assert not ApprovalRequest.objects.exists()


def test_an_edit_of_what_waits_changes_what_is_decided_and_who_may(world: World, approver: User) -> None:
    editor = make_fleet_member(world.edge, "manager", user=make_approver(world.acme)).user
    other = make_approver(world.acme)
    need_approvals(world.acme, high=2)
    issued = executing(world)
    seen = request_of(issued)
    decisions.approve(seen, digest=seen.diff_digest, by=session(approver))

    edit(issued, editor, wish=wish(*EXECUTE, "machines:write"), expires_at=now() + 5 * DAY)

    request = request_of(issued)
    assert request.pk == seen.pk
    assert f"may use machines:write on {EDGE}" in request.diff_words
    assert present(issued).scopes == sorted([*EXECUTE, "machines:write"])
    assert refusal(decisions.approve, seen, digest=seen.diff_digest, by=session(other)) == "diff_changed"
    assert refusal(approve, issued, editor) == "own_request"
    assert not request.decisions.filter(voided_at=None).exists()
    approve(issued, other)
    assert present(issued).status == "pending", "the first vote was on something else"
    approve(issued, approver)
    assert present(issued).status == "active"
    assert trail(issued).count("approval.granted") == 3
    assert present(issued).version == 1 + 2


# Who may not decide


def test_nobody_decides_on_what_they_asked_for_in_whatever_shape_they_come(
    world: World, approver: User
) -> None:
    """Attack 77: in their session, by their own token, as a superuser, by a technical user, as who edited it."""
    boss = make_superuser()
    bot = make_technical_user(world.acme)
    for path in ("/", EDGE):
        make_entry(world.acme, path, "Administrator", user=bot)
    for person in (world.owner, boss):
        issued = executing(world, by=person)
        assert refusal(approve, issued, person) == "own_request"
        assert present(issued).status == "pending"

    deciding = make_token(world.owner, "approvals:decide")
    own = executing(world, by=world.owner)
    assert refusal(approve, own, acting(deciding)) == "own_request"

    of_bot = issuance.issue(
        world.acme,
        owner=bot,
        name="bot",
        wish=wish("tokens:manage", *EXECUTE),
        by=operator,
    )
    Token.objects.filter(pk=of_bot.token.pk).update(created_by=None)
    lifecycle.rotate(present(of_bot), by=session(world.owner))
    fresh = lifecycle.rotate(present(of_bot), by=session(world.owner))
    by_bot = issue(acting(fresh), world.edge, wish(*EXECUTE))
    assert refusal(approve, by_bot, world.owner) == "own_request", "they know the secret that asked"
    assert refusal(approve, by_bot, acting(fresh)) == "forbidden", "a technical user decides nothing"

    for issued in (own, by_bot):
        assert not request_of(issued).decisions.exists()
        approve(issued, approver)
        assert present(issued).status == "active"


def test_who_may_decide_later_could_not_when_it_was_asked_for(world: World, approver: User) -> None:
    newcomer = member(world.acme)
    issued = executing(world)
    place = Membership.objects.get(user=newcomer)

    membership.change_role(place, role="approver", by=operator)

    assert refusal(approve, issued, newcomer) == "forbidden"
    approve(executing(world), newcomer)
    approve(issued, approver)


def test_who_learns_a_secret_has_no_vote_and_loses_one(world: World, approver: User) -> None:
    knowing = make_fleet_member(world.edge, "manager", user=make_approver(world.acme)).user
    third = make_approver(world.acme)
    need_approvals(world.acme, high=2)
    issued = make_token(world.edge, "machines:read")
    edit(issued, world.manager, wish=wish(*EXECUTE))
    approve(issued, knowing)

    lifecycle.rotate(present(issued), overlap=timedelta(hours=1), by=session(knowing))

    approve(issued, approver)
    assert present(issued).scopes == ["machines:read"], "one of the two knows what it would do more with"
    assert refusal(approve, issued, knowing) == "own_request"
    approve(issued, third)
    assert present(issued).scopes == sorted(EXECUTE)


def test_a_vote_is_void_once_its_voter_may_not_decide_any_more(world: World, approver: User) -> None:
    """Attacks 82 and 82b."""
    leaving, third = make_approver(world.acme), make_approver(world.acme)
    need_approvals(world.acme, high=2)
    issued = executing(world)
    approve(issued, leaving)
    membership.change_role(Membership.objects.get(user=leaving), role="member", by=operator)

    approve(issued, approver)

    assert present(issued).status == "pending"
    approve(issued, third)
    assert present(issued).status == "active"


# Who asked could still do it


def lost_their_fleet(world: World, asked: Issued) -> None:
    membership.leave_fleet(FleetMembership.objects.get(user=world.manager), by=operator)


def were_suspended(world: World, asked: Issued) -> None:
    membership.suspend(Membership.objects.get(user=world.manager), by=operator)


def were_denied_it(world: World, asked: Issued) -> None:
    make_entry(world.acme, EDGE, "NoAccess", user=world.manager)


@pytest.mark.parametrize("lose", [lost_their_fleet, were_suspended, were_denied_it])
@pytest.mark.parametrize("what", ["issue", "change"])
def test_what_its_asker_could_not_do_any_more_is_not_done(
    world: World, approver: User, what: str, lose: Callable[[World, Issued], None]
) -> None:
    issued = executing(world) if what == "issue" else make_token(world.edge, "machines:read")
    if what == "change":
        edit(issued, world.manager, wish=wish(*EXECUTE))
    before = present(issued)

    lose(world, issued)

    assert refusal(approve, issued, approver) == "requester_lost_right"
    assert (present(issued).status, present(issued).scopes) == (before.status, before.scopes)
    request = request_of(issued)
    decisions.reject(request, digest=request.diff_digest, comment="They left", by=session(approver))
    assert present(issued).open_request is None


@pytest.mark.parametrize("how", ["revoked", "disabled", "narrowed"])
def test_what_a_token_asked_for_needs_that_token_as_it_is(world: World, approver: User, how: str) -> None:
    parent = make_token(world.manager, "tokens:manage", *EXECUTE)
    issued = issue(acting(parent), world.edge, wish(*EXECUTE))
    twin = issue(acting(parent), world.edge, wish(*EXECUTE))
    approve(twin, approver)
    assert call(twin) == "works"

    if how == "revoked":
        lifecycle.revoke(present(parent), by=session(world.manager))
    elif how == "disabled":
        lifecycle.disable(present(parent), by=session(world.manager))
    else:
        edit(parent, world.manager, wish=wish("tokens:manage", "machines:read"))

    assert refusal(approve, issued, approver) == "requester_lost_right"
    assert call(twin) == "works", "what was agreed to lives on"


def test_who_widens_what_waits_is_who_has_to_hold_it_then(world: World, approver: User) -> None:
    issued = executing(world)
    lost_their_fleet(world, issued)
    assert refusal(approve, issued, approver) == "requester_lost_right"

    edit(issued, world.admin, wish=wish("commands:execute"))
    assert refusal(approve, issued, approver) == "requester_lost_right", "less is no other's wish"
    edit(issued, world.admin, wish=wish(*EXECUTE, "machines:write"))

    approve(issued, approver)
    assert present(issued).status == "active"
    assert set(ApprovalRequest.objects.get().originators.all()) == {world.manager, world.admin}


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


# A change of a token that works


def loosened(**parts: Any) -> dict[str, Any]:
    return {"restrictions": Restrictions(**parts)}


STRICT = Restrictions(
    networks=parse_networks(["127.0.0.0/8"]),
    rate=parse_rate("1000/second"),
    windows=parse_windows([{"days": list(restrictions.DAYS), "start": "00:00", "end": "24:00"}]),
)
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
    """Attacks 62 and 79: also what is added after the approval."""
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


def test_a_group_that_gains_later_lets_a_token_do_no_more_than_was_agreed_to(
    world: World, approver: User
) -> None:
    """Attack 77, a group gained later: the ceiling stands, whatever its principal comes to hold."""
    issued = issue(session(world.manager), world.manager, wish("commands:execute"))
    approve(issued, approver)
    make_entry(world.acme, "/", "Administrator", user=world.manager)

    assert acting(issued).rights(world.acme.pk).anywhere == {"commands:execute"}


def test_splitting_what_is_risky_over_tokens_lowers_no_risk(world: World, approver: User) -> None:
    """Attack 79: each holds what makes it risky, or is none."""
    tokens = [issue(session(world.manager), world.edge, wish(scope)).token for scope in EXECUTE]

    assert [(token.risk, token.status) for token in tokens] == [(2, "pending"), (0, "active")]
    whole = issue(session(world.manager), world.manager, wish("machines:read", privilege_separation=False))
    assert whole.token.status == "pending", "its rights are all that its owner comes to hold"


# Less than was asked for


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


def until(issued: Issued) -> str:
    expires_at = present(issued).expires_at
    assert expires_at is not None
    return expires_at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({}, "narrowed", "not_narrower"),
        ({"scopes": ["commands:execute", "machines:read"]}, "narrowed", "not_narrower"),
        ({"scopes": ["machines:write"]}, "narrowed", "not_narrower"),
        ({"scopes": ["machines:read"]}, "narrowed", "not_narrower"),
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


# Restrictions


@pytest.mark.parametrize("by", ["manager", "operator"])
def test_another_restriction_always_says_why(world: World, by: str) -> None:
    issued = make_token(world.edge, "machines:read")
    access = operator if by == "operator" else session(world.manager)

    for blank in ("", " \n", "\u200b", "\u3164"):
        with pytest.raises(Invalid) as refused:
            lifecycle.restrict(present(issued), restrictions=AT_HOME, reason=blank, by=access)
        assert refused.value.errors[0].field == "reason"
    assert present(issued).restrictions == restrictions.UNRESTRICTED

    lifecycle.restrict(present(issued), restrictions=AT_HOME, reason="Only from here", by=access)
    assert present(issued).restrictions == AT_HOME


def test_what_a_token_issues_is_restricted_no_less_than_itself(world: World, at_home: None) -> None:
    """Attack 69."""
    parent = make_token(world.manager, "tokens:manage", "machines:read", restrictions=STRICT)
    reads = wish("machines:read")
    narrower = Restrictions(networks=parse_networks(["127.0.0.1"]))

    silent = issue(acting(parent), world.edge, reads).token
    asked = issue(acting(parent), world.edge, reads, restrictions=narrower).token

    assert silent.restrictions == STRICT
    assert asked.restrictions == Restrictions(narrower.networks, STRICT.rate, STRICT.windows)
    for looser in (
        Restrictions(networks=parse_networks(["127.0.0.0/8", "10.0.0.1"])),
        Restrictions(rate=parse_rate("1001/second")),
        Restrictions(rate=parse_rate("1001/minute"), networks=parse_networks(["0.0.0.0/0"])),
    ):
        assert refusal(issue, acting(parent), world.edge, reads, restrictions=looser) == "looser_than_issuer"
    assert events(action="token.issued", outcome="denied") == ["token.issued denied"] * 3


def test_a_token_neither_widens_nor_rotates_what_is_restricted_less_than_itself(
    world: World, at_home: None
) -> None:
    open_ = make_token(world.edge, "machines:read")
    shut = make_token(world.edge, "machines:read", restrictions=AT_HOME)
    parent = make_token(
        world.manager, "tokens:manage", "machines:read", "snapshots:read", restrictions=AT_HOME
    )
    more = Edit(wish=wish("machines:read", "snapshots:read"))

    assert refusal(lifecycle.edit, present(open_), change=more, by=acting(parent)) == "looser_than_issuer"
    assert refusal(lifecycle.rotate, present(open_), by=acting(parent)) == "looser_than_issuer"
    loosen = {"restrictions": restrictions.UNRESTRICTED, "reason": REASON}
    assert refusal(lifecycle.restrict, present(shut), **loosen, by=acting(parent)) == "looser_than_issuer"

    lifecycle.edit(present(shut), change=more, by=acting(parent))
    lifecycle.rotate(present(shut), by=acting(parent))
    assert present(shut).scopes == ["machines:read", "snapshots:read"]


# What is known of secrets


def test_it_is_kept_who_was_shown_a_secret(world: World) -> None:
    def shown(issued: Issued) -> set[str]:
        return set(present(issued).secrets.latest("generation").shown_to)

    by_manager = issue(session(world.manager), world.edge, wish("machines:read"))
    parent = make_token(world.owner, "tokens:manage", "machines:read")
    by_token = issue(acting(parent), world.edge, wish("machines:read"))
    by_operator = make_token(world.edge, "machines:read")

    assert shown(by_manager) == {str(world.manager.pk)}
    assert shown(by_token) == {str(world.owner.pk)}
    assert shown(by_operator) == set()
    lifecycle.rotate(present(by_manager), by=session(world.admin))
    assert shown(by_manager) == {str(world.admin.pk)}
    itself = lifecycle.rotate(present(by_token), generation=1, by=acting(by_token))
    assert shown(itself) == {str(world.owner.pk), str(present(by_token).principal_id)}
