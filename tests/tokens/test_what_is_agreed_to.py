"""What an approval is given to: all of the token as it will be, what its roles mean, by whom; and who sees that."""

import pytest
import time_machine

from approvals.models import ApprovalRequest
from approvals.policy import visible_to
from audit.models import Event, OutboxRow
from config.edge.clock import now
from config.edge.refusals import Conflict
from fleets import organizations, role_changes
from fleets.models import User
from fleets.scopes import parse_scopes
from tests.factories import (
    acting,
    as_stored,
    last_event,
    make_approver,
    make_entry,
    make_role,
    make_token,
    need_approvals,
    operator,
    session,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import REASON, issue, outcome, present, rows, wish
from tests.tokens.waiting import DAY, EDGE, EXECUTE, approve, edit, request_of
from tokens import lifecycle
from tokens.changes import Edit
from tokens.effects import until
from tokens.issuance import Expiry, GrantWish, Wish
from tokens.restrictions import Restrictions, parse_networks, parse_rate, parse_windows
from tokens.spec import spec_of

APPROVALS = "/api/v1/approvals/"


# All of it


def test_a_change_says_what_the_token_is_then_and_not_only_what_becomes_different(
    world: World, approver: User
) -> None:
    home = Restrictions(networks=parse_networks(["10.0.0.0/8"]))
    issued = make_token(world.edge, *EXECUTE, restrictions=home)
    edit(issued, world.manager, wish=wish("machines:read"))
    edit(issued, world.manager, restrictions=Restrictions(), expires_at=None)
    assert present(issued).open_request is None, "what is of low risk is loosened at once"

    edit(issued, world.manager, wish=wish(*EXECUTE))

    request = request_of(issued)
    assert request.diff_words == [
        f"gains commands:execute on {EDGE}",
        "then works for ever, from any network",
    ]
    assert list(request.diff["changes"]) == ["scopes"]
    assert request.diff["result"] == {**spec_of(present(issued)).as_json(), "scopes": sorted(EXECUTE)}
    page = session_client(approver).get(f"/admin/approvals/approvalrequest/{request.pk}/change/")
    assert "then works for ever, from any network" in page.content.decode()


def test_what_is_among_the_changes_is_not_told_twice(world: World, approver: User) -> None:
    strict = Restrictions(
        networks=parse_networks(["10.0.0.0/8"]),
        rate=parse_rate("3/second"),
        windows=parse_windows([{"days": ["mon"], "start": "08:00", "end": "18:00"}]),
    )
    issued = make_token(world.edge, "machines:read", restrictions=strict)
    end = present(issued).expires_at
    assert end is not None

    edit(issued, world.manager, wish=wish(*EXECUTE))
    assert request_of(issued).diff_words[1:] == [
        f"then works {until(end)}, only from 10.0.0.0/8, at most 3/second, only mon 08:00–18:00 UTC"
    ]

    edit(issued, world.manager, wish=wish(*EXECUTE), restrictions=Restrictions(), expires_at=None)
    assert not [words for words in request_of(issued).diff_words if words.startswith("then")]


# What a role means


@pytest.mark.parametrize("what", ["issue", "change"])
def test_a_role_that_came_to_give_something_else_was_not_agreed_to(
    world: World, approver: User, what: str
) -> None:
    role = make_role(world.acme, "deploy", "machines:read")
    named = (GrantWish(world.edge_1.path, ""), GrantWish(world.edge_2.path, "deploy"))
    if what == "issue":
        issued = issue(session(world.admin), world.edge, wish(*EXECUTE, grants=named))
    else:
        issued = make_token(world.edge, "machines:read", grants=named[:1])
        edit(issued, world.admin, wish=wish(*EXECUTE, grants=named))
    assert request_of(issued).diff["roles"] == {"deploy": {world.edge_2.path: ["machines:read"]}}
    before = rows(present(issued))

    role_changes.change(role, scopes=parse_scopes(EXECUTE), by=session(world.admin))

    assert outcome(approve, issued, approver) == "diff_changed"
    assert rows(present(issued)) == before
    assert present(issued).status == ("pending" if what == "issue" else "active")

    edit(issued, world.admin, wish=wish(*EXECUTE, grants=named))  # asked again, of what it means now

    assert request_of(issued).diff["roles"] == {"deploy": {world.edge_2.path: sorted(EXECUTE)}}
    assert outcome(approve, issued, approver) == "done"
    assert rows(present(issued)) == list(named)


# In whatever order


def test_rows_in_another_order_are_the_same_rows(world: World, approver: User) -> None:
    one, two = (GrantWish(machine.path, "") for machine in (world.edge_1, world.edge_2))
    issued = issue(session(world.manager), world.edge, wish(*EXECUTE, grants=(one,)))
    edit(issued, world.manager, wish=Wish(grants=(two, one)))
    assert outcome(approve, issued, approver) == "done"
    assert set(rows(present(issued))) == {one, two}

    edit(issued, world.manager, wish=Wish(grants=(two, one)))
    assert last_event(action="token.edited").data["changes"] == {}


def test_less_in_another_order_can_still_be_decided(world: World, approver: User) -> None:
    other = make_approver(world.acme)
    need_approvals(world.acme, high=2)
    one, two = world.edge_1.path, world.edge_2.path
    named = (GrantWish(one, ""), GrantWish(two, ""))
    issued = issue(session(world.manager), world.edge, wish(*EXECUTE, grants=named))
    less = {"grants": [{"path": two, "role": "Viewer"}, {"path": one, "role": "GroupAdmin"}]}

    assert outcome(approve, issued, approver, narrowed=less) == "done"
    assert outcome(approve, issued, other) == "done"

    assert present(issued).status == "active"


# Who asked


@pytest.mark.parametrize("how", ["has lived too long", "is of a kind that is not allowed"])
def test_what_a_token_asked_for_is_not_done_once_the_policy_ends_or_refuses_that_token(
    world: World, approver: User, how: str
) -> None:
    year = Expiry(lifetime=365 * DAY)
    asked = wish("tokens:manage", *EXECUTE)
    parent = issue(operator, world.admin, asked, organization=world.acme, expiry=year)
    need_approvals(world.acme, request_hours=720)
    twin, issued = (issue(acting(parent), world.edge, wish(*EXECUTE)) for _ in range(2))
    assert outcome(approve, twin, approver) == "done"

    if how == "has lived too long":
        changes: dict[str, object] = {"maximum_lifetime_days": 1}
    else:
        changes = {"allowed_kinds": {"admin": ["fleet"]}}
    organizations.set_policy(as_stored(world.acme), changes=changes, by=operator)

    with time_machine.travel(now() + 2 * DAY, tick=False):
        assert token_client(parent).get("/api/v1/whoami/").status_code == 401
        assert outcome(approve, issued, approver) == "requester_lost_right"
    assert present(issued).status == "pending"


# Who sees it


def test_who_is_denied_a_fleet_sees_no_request_about_its_tokens_unless_they_decide(
    world: World, approver: User
) -> None:
    hidden = issue(session(world.manager), world.edge, wish(*EXECUTE))
    shown = issue(session(world.admin), world.core, wish(*EXECUTE))
    changed = make_token(world.edge, "machines:read")
    edit(changed, world.manager, wish=wish(*EXECUTE))
    need_approvals(world.acme, never_allowed=False)
    organizations.set_policy(as_stored(world.acme), changes={"never_allowed": True}, by=session(world.admin))
    everything = set(ApprovalRequest.objects.values_list("pk", flat=True))
    about_edge = {request_of(hidden).pk, request_of(changed).pk}
    client = session_client(world.auditor)
    assert seen_by(world.auditor) == everything

    for denied in (world.auditor, world.manager, approver):
        make_entry(world.acme, EDGE, "NoAccess", user=denied)

    assert seen_by(world.auditor) == everything - about_edge
    assert request_of(shown).pk in seen_by(world.auditor)
    listed = client.get(APPROVALS).json()["results"]
    assert {row["id"] for row in listed} == {str(pk) for pk in everything - about_edge}
    for pk in about_edge:
        assert client.get(f"{APPROVALS}{pk}/").status_code == 404
        assert client.get(f"/admin/approvals/approvalrequest/{pk}/change/").status_code in (302, 404)
    assert seen_by(world.manager) == about_edge, "what one asked for oneself"
    assert seen_by(approver) == everything, "deciding needs seeing"


def seen_by(person: User) -> set[object]:
    return set(visible_to(session(person), ApprovalRequest.objects.all()).values_list("pk", flat=True))


# Nothing


def owed() -> int:
    return OutboxRow.objects.count()


def test_an_edit_that_changes_nothing_voids_no_vote_and_tells_nobody(world: World, approver: User) -> None:
    make_approver(world.acme)
    need_approvals(world.acme, high=2)
    home = Restrictions(networks=parse_networks(["10.0.0.0/8"]))
    pending = issue(session(world.manager), world.edge, wish(*EXECUTE), restrictions=home)
    changed = make_token(world.edge, "machines:read", restrictions=home)
    edit(changed, world.manager, wish=wish(*EXECUTE))
    approve(pending, approver)
    approve(changed, approver)
    events, mails = Event.objects.count(), owed()

    for issued in (pending, changed):
        token, request = present(issued), request_of(issued)
        same = wish(*token.scopes)
        returned = edit(issued, world.manager, name=token.name, wish=same, rotate_every=None)
        assert returned.open_request_id == request.pk
        lifecycle.restrict(present(issued), restrictions=home, reason=REASON, by=session(world.manager))
        after = request_of(issued)
        assert (after.pk, after.diff_digest, after.version) == (
            request.pk,
            request.diff_digest,
            request.version,
        )
        assert after.decisions.filter(voided_at=None).count() == 1
        assert present(issued).version == token.version
    assert (Event.objects.count(), owed()) == (events, mails)


def test_an_edit_that_changes_nothing_of_what_was_read_still_meets_what_was_changed_since(
    world: World, approver: User
) -> None:
    issued = issue(session(world.manager), world.edge, wish(*EXECUTE))
    read = present(issued)
    edit(issued, world.manager, description="newer")

    with pytest.raises(Conflict):
        lifecycle.edit(read, change=Edit(description=read.description), by=session(world.manager))

    assert present(issued).description == "newer"
    client = session_client(world.manager)
    one = f"/api/v1/tokens/{issued.token.pk}/"
    tag = client.get(one)["ETag"]
    stale = client.patch(one, {"description": "newer"}, format="json", headers={"if-match": '"0"'})
    same = client.patch(one, {"description": "newer"}, format="json", headers={"if-match": tag})
    assert (stale.status_code, same.status_code, same["ETag"]) == (412, 200, tag)
