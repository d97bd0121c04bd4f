"""An organization takes a scope to be riskier than it is built in: what that means for its tokens, new ones and old."""

from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals import decisions
from approvals.models import ApprovalRequest
from fleets import organizations
from fleets.models import User
from fleets.organization_policy import policy_of
from tests.factories import (
    API,
    as_stored,
    events,
    last_event,
    make_approver,
    make_role,
    make_token,
    need_approvals,
    operator,
    raise_risks,
    session,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, present, wish, with_status
from tests.tokens.waiting import AT_HOME, approve, call, edit, refusal, request_of
from tokens import lifecycle
from tokens.changes import Edit
from tokens.issuance import Issued
from tokens.models import Token
from tokens.preview import preview
from tokens.wishes import Wish

OPERATE, READ = "machines:operate", "machines:read"


def raise_(world: World, **risks: str | None) -> None:
    raise_risks(world.acme, **(risks or {OPERATE: "high"}))


def risk(issued: Issued) -> str:
    return present(issued).get_risk_display()


def ask_policy(world: World, by: User, **risks: str | None) -> Any:
    """What the verb gives: the approval that it waits for, or None."""
    return organizations.set_policy(as_stored(world.acme), changes={"scope_risks": risks}, by=session(by))


# New tokens, and edits


def test_a_token_that_is_issued_is_judged_by_the_risk_in_its_organization(
    world: World, approver: User
) -> None:
    by = session(world.manager)
    assert present(issue(by, world.edge, wish(OPERATE))).status == "active"
    raise_(world)

    issued = issue(by, world.edge, wish(OPERATE, READ))
    assert refusal(issue, by, world.edge, wish(OPERATE), reason="") == "invalid"
    other = issue(by, world.edge, wish(READ))

    assert (present(issued).status, risk(issued)) == ("pending", "high")
    request = request_of(issued)
    assert (request.needed, request.get_risk_display(), request.diff["risk"]) == (1, "high", "high")
    assert (present(other).status, risk(other)) == ("active", "low")


def test_a_low_scope_that_is_raised_wants_a_reason(world: World) -> None:
    by = session(world.manager)
    issue(by, world.edge, wish(READ), reason="")
    raise_(world, **{READ: "medium"})

    assert refusal(issue, by, world.edge, wish(READ), reason="") == "invalid"
    assert risk(issue(by, world.edge, wish(READ))) == "medium"


def test_an_edit_that_takes_a_raised_scope_in_waits_and_one_without_does_not(
    world: World, approver: User
) -> None:
    raise_(world)
    issued = make_token(world.edge, READ)

    assert edit(issued, world.manager, wish=wish(READ, "files:read")).has_waiting_change is False
    assert risk(issued) == "medium"
    assert edit(issued, world.manager, wish=wish(READ, OPERATE)).has_waiting_change is True
    approve(issued, approver)

    assert (present(issued).scopes, risk(issued)) == ([OPERATE, READ], "high")


def test_a_network_is_required_by_the_risk_in_the_organization(world: World, at_home: None) -> None:
    issued, bound = make_token(world.edge, OPERATE), make_token(world.edge, OPERATE, restrictions=AT_HOME)
    organizations.set_policy(
        as_stored(world.acme), changes={"networks_required": {"high": True}}, by=operator
    )
    assert call(issued) == call(bound) == "works"

    raise_(world)

    assert (call(issued), call(bound)) == ("policy_refused", "works")
    assert refusal(issue, session(world.manager), world.edge, wish(OPERATE)) == "invalid"
    raise_(world, **{OPERATE: None})
    assert call(issued) == "works"


# Tokens that exist


def test_what_is_stored_of_every_token_that_has_not_ended_becomes_what_it_is_now(
    world: World, other: Any
) -> None:
    holds = {
        status: with_status(world.edge, status, OPERATE)
        for status in ("active", "disabled", "expired", "pending")
    }
    ended = [with_status(world.edge, status, OPERATE) for status in ("revoked", "rejected")]
    high = make_token(world.edge, OPERATE, "commands:execute")
    without = make_token(world.edge, READ)
    whole = make_token(world.owner, OPERATE, organization=world.acme, privilege_separation=False)
    elsewhere = make_token(other, OPERATE)
    untouched = [*ended, high, without, whole, elsewhere]
    before = {issued: present(issued).version for issued in untouched}

    raise_(world)

    assert {status: risk(issued) for status, issued in holds.items()} == dict.fromkeys(holds, "high")
    assert [present(issued).version for issued in holds.values()] == [2] * len(holds)
    assert [risk(issued) for issued in untouched] == ["medium", "medium", "high", "low", "high", "medium"]
    assert {issued: present(issued).version for issued in untouched} == before
    for issued in holds.values():
        event = last_event(target_id=issued.token.pk)
        assert (event.action, event.data["changes"]) == ("token.edited", {"risk": ["medium", "high"]})
    assert events(target_id=without.token.pk) == ["token.issued allowed"]

    raise_(world, **{OPERATE: None, READ: "medium"})

    assert {risk(issued) for issued in holds.values()} == {"medium"}
    assert risk(without) == "medium"


def test_a_scope_that_comes_by_a_role_counts_as_well(world: World) -> None:
    make_role(world.acme, "Pusher", OPERATE)
    issued = issue(operator, world.edge, Wish(role="Pusher"))

    raise_(world)

    assert risk(issued) == "high"


def test_many_tokens_are_rerated_in_as_many_statements_as_few(world: World) -> None:
    def statements(scope: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            raise_(world, **{scope: "high"})
        return len(asked)

    make_token(world.edge, "files:read")
    few = statements("files:read")
    for _ in range(5):
        make_token(world.edge, "schedules:manage")

    assert statements("schedules:manage") == few


def test_an_edit_that_read_the_token_before_is_a_conflict(world: World) -> None:
    issued = make_token(world.edge, OPERATE)
    read = present(issued)
    raise_(world)

    change = Edit(name="renamed")
    assert refusal(lifecycle.edit, read, change=change, by=session(world.manager)) == "conflict"
    assert risk(issued) == "high"


# What waits


def test_what_waits_has_to_be_asked_for_again_once_it_is_riskier(world: World, approver: User) -> None:
    second = make_approver(world.acme)
    need_approvals(world.acme, high=2, approvals_needed={"medium": 1, "high": 2})
    issued = issue(session(world.manager), world.edge, wish(OPERATE))
    changed = make_token(world.edge, READ)
    edit(changed, world.manager, wish=wish(READ, OPERATE))
    seen = request_of(issued).diff_digest

    raise_(world)

    assert refusal(approve, issued, approver) == refusal(approve, changed, approver) == "diff_changed"
    assert (present(issued).status, risk(issued), risk(changed)) == ("pending", "high", "low")

    edit(issued, world.manager)  # nothing but to ask again
    edit(changed, world.manager, wish=wish(READ, OPERATE))
    for request in (request_of(issued), request_of(changed)):
        assert (request.get_risk_display(), request.needed) == ("high", 2)
    assert request_of(issued).diff_digest != seen, "how risky it is is part of what is decided"
    for each in (issued, changed):
        approve(each, approver)
        assert request_of(each).status == "open"
        approve(each, second)
    assert (present(issued).status, present(changed).scopes) == ("active", [OPERATE, READ])
    assert (risk(issued), risk(changed)) == ("high", "high")


def test_what_waits_can_be_decided_as_it_was_asked_for_once_it_is_less_risky(
    world: World, approver: User
) -> None:
    raise_(world)
    issued = issue(session(world.manager), world.edge, wish(OPERATE))
    raise_(world, **{OPERATE: None})

    approve(issued, approver)

    assert (present(issued).status, risk(issued)) == ("active", "medium")


# The policy itself


def test_raising_holds_at_once_and_taking_it_back_waits_under_the_policy_that_it_weakens(
    world: World, approver: User
) -> None:
    issued = make_token(world.edge, OPERATE)

    assert ask_policy(world, world.admin, **{OPERATE: "high"}) is None
    assert risk(issued) == "high"
    waits = ask_policy(world, world.admin, **{OPERATE: "medium", READ: "high"})

    request = ApprovalRequest.objects.get(pk=waits)
    assert request.diff["changes"] == {
        "scope_risks.machines:operate": ["high", None],
        "scope_risks.machines:read": [None, "high"],
    }
    assert request.diff_words == [
        "the risk of machines:operate is medium, not high",
        "Risk of machines:read: as built in → high",
    ]
    assert risk(issued) == "high"
    decisions.approve(request, digest=request.diff_digest, by=session(approver))
    assert risk(issued) == "medium"
    assert policy_of(as_stored(world.acme)).as_json()["scope_risks"][READ] == "high"
    event = last_event(target_id=issued.token.pk)
    assert (event.actor_label, event.data["changes"]) == (
        approver.username,
        {"risk": ["high", "medium"]},
    )


def test_the_api_sets_it_and_names_the_scope_that_can_not_be_lowered(world: World) -> None:
    url = f"{API}organizations/{world.acme.pk}/"
    client, issued = session_client(world.owner), make_token(world.edge, OPERATE)

    def patch(**risks: Any) -> Any:
        return client.patch(url, {"policy": {"scope_risks": risks}})

    assert patch(**{OPERATE: "high"}).status_code == 200
    assert client.get(url).json()["policy"]["scope_risks"][OPERATE] == "high"
    for risks, code in (
        ({OPERATE: "low"}, "below_built_in"),
        ({"machines:fly": "high"}, "unknown_field"),
        ({OPERATE: "dire"}, "invalid"),
    ):
        answer = patch(**risks)
        assert answer.status_code == 400
        named = f"policy.scope_risks.{next(iter(risks))}"
        assert [(each["field"], each["code"]) for each in answer.json()["errors"]] == [(named, code)]
    assert risk(issued) == "high"
    by_token = make_token(world.owner, "permissions:manage", organization=world.acme)
    assert token_client(by_token).patch(url, {"policy": {"scope_risks": {READ: "high"}}}).status_code == 403


# What shows it


def test_lists_permissions_and_pages_say_the_risk_in_the_organization(world: World) -> None:
    issued, calm = make_token(world.edge, OPERATE, READ), make_token(world.edge, READ)
    raise_(world)
    client, browser = session_client(world.owner), Client()
    browser.force_login(world.owner)

    listed = client.get(f"{API}tokens/?risk=high").json()["results"]
    assert [(row["id"], row["risk"]) for row in listed] == [(issued.token.pk, "high")]
    assert [row["id"] for row in client.get(f"{API}tokens/?risk=low").json()["results"]] == [calm.token.pk]
    given = client.get(f"{API}tokens/{issued.token.pk}/permissions/").json()["given_by"]
    assert {row["scope"]: row["risk"] for row in given} == {OPERATE: "high", READ: "low"}

    page = browser.get(f"/admin/tokens/token/{issued.token.pk}/change/").content.decode()
    assert page.count('risk-high"') == 2  # the token's own, and the scope's
    assert 'risk-medium"' not in page
    role = make_role(world.acme, "Pusher", OPERATE)
    assert ">high<" in browser.get(f"/admin/fleets/organizationrole/{role.pk}/change/").content.decode()
    for address in (
        "/admin/tokens/token/add/?for=acme/fleet:edge",
        "/admin/fleets/organizationrole/add/",
        f"/admin/fleets/organizationrole/{role.pk}/edit/",
    ):
        form = browser.get(address).content.decode()
        card = form.partition(f"<code>{OPERATE}</code>")[2].partition("</label>")[0]
        assert 'risk-high">high<' in card, address


def test_the_preview_names_what_a_raise_refuses_and_what_has_to_be_asked_for_again(
    world: World, approver: User
) -> None:
    need_approvals(world.acme, approvals_needed={"medium": 1}, networks_required={"high": True})
    free = make_token(world.edge, OPERATE).token
    make_token(world.edge, OPERATE, restrictions=AT_HOME)
    waits = issue(session(world.manager), world.edge, wish(OPERATE), restrictions=AT_HOME).token
    changed = make_token(world.edge, READ)
    edit(changed, world.manager, wish=wish(READ, OPERATE))

    def seen(**risks: str | None) -> dict[str, list[str]]:
        found = preview(as_stored(world.acme), {"scope_risks": risks}, by=session(world.owner))
        return {token.name: why for token, why in found.tokens}

    asked = {
        free.name: ["network_required"],
        waits.name: ["ask_again"],
        changed.token.name: ["ask_again"],
    }
    assert seen(**{OPERATE: "high"}) == asked
    assert seen(**{"files:read": "high"}) == seen(**{OPERATE: "medium"}) == {}
    raise_(world)
    assert seen(**{OPERATE: "high", "files:read": "high"}) == {}, "what is so already is not said again"
    lowered = preview(as_stored(world.acme), {"scope_risks": {OPERATE: None}}, by=session(world.owner))
    assert (lowered.weaker, lowered.affected) == (["the risk of machines:operate is medium, not high"], 0)
    assert Token.objects.get(pk=free.pk).risk == 2
