"""Entries and roles that let live tokens do more: their events name these tokens, and each carries a hint."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals import decisions
from config.edge import clock
from config.edge.clock import now
from fleets import entries, membership, role_changes
from fleets.models import AclEntry, User
from fleets.scopes import parse_scopes
from tests.factories import (
    acting,
    last_event,
    make_application,
    make_entry,
    make_group,
    make_group_member,
    make_role,
    make_technical_user,
    make_token,
    member,
    operator,
    session,
    session_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, present, wish, with_status
from tokens import lifecycle
from tokens.admin.words import HINTS
from tokens.hints import hints_of
from tokens.issuance import GrantWish, Issued, Wish
from tokens.models import Token

NODES = "/nodes"
BY_ENTRY, BY_ROLE = "widened_by_entry", "widened_by_role"
ABOUT = {BY_ENTRY, BY_ROLE}


def widened(action: str = "entry.set") -> dict[str, Any]:
    data = last_event(action=action).data
    return {name: value for name, value in data.items() if name.startswith("widened")}


def naming(*issued: Issued) -> dict[str, Any]:
    tokens = sorted((one.token for one in issued), key=lambda token: token.pk)
    if not tokens:
        return {}
    return {
        "widened": [token.pk for token in tokens],
        "widened_names": [token.name for token in tokens],
        "widened_count": len(tokens),
    }


def hinted(*issued: Issued) -> list[set[str]]:
    return [ABOUT & set(hints_of(present(one))) for one in issued]


def granted(world: World, path: str, role: str, **subject: Any) -> AclEntry:
    return entries.set_entry(world.acme, path=path, role=role, by=session(world.admin), **subject)


def test_an_entry_of_a_technical_user_names_those_of_its_tokens_that_may_do_more(world: World) -> None:
    bot = make_technical_user(world.acme)
    wide = make_token(bot, "machines:read", "machines:operate", privilege_separation=False)
    there = make_token(bot, "machines:read", grants=(GrantWish("/nodes/n1", "Viewer"),))
    elsewhere = make_token(bot, "machines:read", grants=(GrantWish("/other", "Viewer"),))
    nothing = make_token(bot, "machines:read", grants=())
    no_such_scope = make_token(bot, "files:read")
    ended = with_status(bot, "revoked")
    others = make_token(make_technical_user(world.acme), "machines:read")

    granted(world, NODES, "Viewer", user=bot)

    assert widened() == naming(wide, there)
    assert hinted(wide, there) == [{BY_ENTRY}] * 2
    assert hinted(elsewhere, nothing, no_such_scope, ended, others) == [set()] * 5


def test_an_entry_of_a_group_names_its_tokens_and_those_of_its_members(world: World) -> None:
    group = make_group(world.acme)
    make_entry(world.acme, "/racks", "Viewer", group=group)
    ada = make_group_member(group).user
    of_group = make_token(group, "machines:read", grants=(GrantWish("/", "Viewer"),))
    of_ada = make_token(ada, "machines:read")
    of_who_left = make_token(make_group_member(group).user, "machines:read")
    membership.leave_group(group.memberships.get(user=of_who_left.token.owner_user), by=operator)
    of_admin = make_token(world.admin, "machines:read")
    make_group_member(group, user=world.admin)

    granted(world, NODES, "Viewer", group=group)

    assert widened() == naming(of_group, of_ada), "the admin held it before"
    assert hinted(of_group, of_ada) == [{BY_ENTRY}] * 2
    assert hinted(of_who_left, of_admin) == [set()] * 2


def test_an_application_s_token_gains_what_an_admin_grants_its_technical_user(world: World) -> None:
    issued = make_token(make_application(world.acme), "machines:read")

    granted(world, NODES, "Viewer", user=issued.token.principal)

    assert widened() == naming(issued)
    assert acting(issued).permits("machines:read", NODES, world.acme.pk)


@pytest.mark.parametrize(
    ("before", "after", "gains"),
    [
        (("Viewer", True), {"role": "Operator"}, True),
        (("Operator", True), {"role": "Viewer"}, False),
        (("Operator", False), {"propagate": True}, True),
        (("Operator", True), {"propagate": False}, False),
        (("NoAccess", True), {"role": "Viewer"}, True),
        (("Viewer", True), {"role": "NoAccess"}, False),
    ],
)
def test_an_entry_that_is_changed_names_tokens_where_it_gives_more(
    world: World, before: tuple[str, bool], after: dict[str, Any], gains: bool
) -> None:
    bot = make_technical_user(world.acme)
    issued = make_token(bot, "machines:read", "machines:operate")
    entry = make_entry(world.acme, NODES, before[0], propagate=before[1], user=bot)
    Token.objects.update(widened_by="", widened_at=None)

    entries.change_entry(entry, changes=after, by=session(world.admin))

    assert widened("entry.changed") == (naming(issued) if gains else {})
    assert hinted(issued) == [{BY_ENTRY} if gains else set()]


def test_a_denial_that_is_taken_away_names_whom_it_denied(world: World) -> None:
    auditor = make_token(world.auditor, "machines:read")
    denial = make_entry(world.acme, NODES, "NoAccess", user=world.auditor)
    bot = make_technical_user(world.acme)
    of_bot = make_token(bot, "machines:read")
    gift = make_entry(world.acme, NODES, "Viewer", user=bot)
    Token.objects.update(widened_by="", widened_at=None)

    entries.remove_entry(denial, by=session(world.admin))
    assert widened("entry.removed") == naming(auditor)
    entries.remove_entry(gift, by=session(world.admin))

    assert widened("entry.removed") == {}
    assert hinted(auditor, of_bot) == [{BY_ENTRY}, set()]


def test_whoever_grants_it_names_them_the_operator_too(world: World) -> None:
    bot = make_technical_user(world.acme)
    issued = make_token(bot, "machines:read")

    make_entry(world.acme, NODES, "Viewer", user=bot)

    assert widened() == naming(issued)


def test_what_is_refused_leaves_no_hint(world: World) -> None:
    bot = make_technical_user(world.acme)
    issued = make_token(bot, "machines:read")

    answer = session_client(world.manager).post(
        "/api/v1/acl/", {"path": NODES, "role": "Viewer", "user": bot.username}
    )

    assert answer.status_code == 403
    assert (hinted(issued), present(issued).widened_at) == ([set()], None)


def test_a_role_names_tokens_by_their_rows_and_by_the_entries_of_whom_they_act_as(world: World) -> None:
    role = make_role(world.acme, "Reader", "machines:read")
    bot, group = make_technical_user(world.acme), make_group(world.acme)
    ada = make_group_member(group).user
    make_entry(world.acme, NODES, "Reader", user=bot)
    make_entry(world.acme, "/racks", "Reader", group=group)
    row = (GrantWish("/", "Reader"),)
    by_row = make_token(world.owner, "machines:read", "files:read", grants=row)
    by_entry = make_token(bot, "machines:read", "files:read")
    by_group = make_token(ada, "machines:read", "files:read", privilege_separation=False)
    capped = make_token(bot, "machines:read")
    of_who_lacks_it = make_token(world.auditor, "machines:read", "files:read", grants=row)
    Token.objects.update(widened_by="", widened_at=None)

    role_changes.change(role, scopes=parse_scopes(["machines:read", "files:read"]), by=session(world.owner))

    assert widened("role.changed") == naming(by_row, by_entry, by_group)
    assert hinted(by_row, by_entry, by_group) == [{BY_ROLE}] * 3
    assert hinted(capped, of_who_lacks_it) == [set()] * 2


def test_the_first_fifty_are_named_and_all_are_counted_and_hinted(world: World) -> None:
    bot = make_technical_user(world.acme)
    issued = [make_token(bot, "machines:read") for _ in range(52)]

    granted(world, NODES, "Viewer", user=bot)

    all_of_them = naming(*issued)
    assert widened() == {
        "widened": all_of_them["widened"][:50],
        "widened_names": all_of_them["widened_names"][:50],
        "widened_count": 52,
    }
    assert Token.objects.filter(widened_by="entry").count() == 52


@pytest.mark.parametrize("verb", ["entry", "role"])
def test_naming_costs_the_same_however_many_there_are(world: World, verb: str) -> None:
    role = make_role(world.acme, "Reader", "machines:read")
    group = make_group(world.acme)
    make_entry(world.acme, "/racks", "Reader", group=group)
    by = session(world.owner)

    def queries_with_more(count: int) -> int:
        for _ in range(count):
            person = make_group_member(group).user
            make_token(person, "machines:read", "files:read", grants=(GrantWish("/", "Reader"),))
            make_token(world.owner, "machines:read", "files:read", grants=(GrantWish("/", "Reader"),))
            make_token(group, "machines:read", grants=(GrantWish(NODES, "Viewer"),))
        with CaptureQueriesContext(connection) as queries:
            if verb == "role":
                role_changes.change(role, scopes=parse_scopes(["machines:read", "files:read"]), by=by)
            else:
                entry = entries.set_entry(world.acme, path=NODES, role="Viewer", group=group, by=by)
        data = last_event(action="role.changed" if verb == "role" else "entry.set").data
        assert data["widened_count"] == Token.objects.filter(widened_by=verb).count() > 0
        if verb == "role":
            role_changes.change(role, scopes=parse_scopes(["machines:read"]), by=by)
        else:
            entries.remove_entry(entry, by=by)
        return len(queries)

    assert queries_with_more(1) == queries_with_more(4)


def hinted_token(world: World) -> Issued:
    issued = make_token(world.manager, "machines:read", "snapshots:read", grants=(GrantWish("/", "Viewer"),))
    granted(world, NODES, "Viewer", user=world.manager)
    assert hinted(issued) == [{BY_ENTRY}]
    return issued


def by_hand(world: World, token: Token) -> None:
    lifecycle.edit(token, change=lifecycle.Edit(description="looked at"), by=session(world.manager))


def by_an_admin(world: World, token: Token) -> None:
    lifecycle.edit(token, change=lifecycle.Edit(rotate_every=timedelta(days=9)), by=session(world.admin))


def of_nothing(world: World, token: Token) -> None:
    lifecycle.edit(token, change=lifecycle.Edit(description=token.description), by=session(world.manager))


def rotated(world: World, token: Token) -> None:
    lifecycle.rotate(token, by=session(world.manager))


def disabled_and_enabled(world: World, token: Token) -> None:
    lifecycle.enable(lifecycle.disable(token, by=session(world.manager)), by=session(world.manager))


@pytest.mark.parametrize(
    ("verb", "stays"),
    [
        (by_hand, False),
        (by_an_admin, False),
        (of_nothing, False),
        (rotated, True),
        (disabled_and_enabled, True),
    ],
)
def test_the_hint_stays_until_somebody_edits_the_token(
    world: World, verb: Callable[[World, Token], None], stays: bool
) -> None:
    issued = hinted_token(world)

    verb(world, present(issued))

    assert hinted(issued) == [{BY_ENTRY} if stays else set()]


def test_a_token_that_narrows_itself_keeps_its_hint(world: World) -> None:
    issued = hinted_token(world)
    sooner = lifecycle.Edit(expires_at=now() + timedelta(days=1))

    lifecycle.edit(present(issued), change=sooner, by=acting(issued))

    assert hinted(issued) == [{BY_ENTRY}]


def test_the_hint_ends_after_thirty_days(world: World) -> None:
    issued = hinted_token(world)
    since = present(issued).widened_at
    assert since is not None

    with clock.at(since + timedelta(days=30) - timedelta(seconds=1)):
        assert hinted(issued) == [{BY_ENTRY}]
    with clock.at(since + timedelta(days=30)):
        assert hinted(issued) == [set()]


def test_an_approval_ends_it_and_a_change_that_waits_does_not(world: World, approver: User) -> None:
    issued = hinted_token(world)
    more = lifecycle.Edit(wish=Wish(scopes=parse_scopes(["machines:read", "commands:execute"])))
    lifecycle.edit(present(issued), change=more, reason="for the job", by=session(world.manager))
    request = present(issued).open_request
    if request is None:
        pytest.fail("it had to wait")
    assert hinted(issued) == [{BY_ENTRY}]

    decisions.approve(request, digest=request.diff_digest, by=session(approver))

    assert hinted(issued) == [set()]


def test_who_approves_a_new_token_has_looked_at_it(world: World, approver: User) -> None:
    issued = issue(session(world.manager), world.manager, wish("machines:read", "commands:execute"))
    granted(world, NODES, "Viewer", user=world.manager)
    request = present(issued).open_request
    assert request is not None
    assert hinted(issued) == [{BY_ENTRY}]

    decisions.approve(request, digest=request.diff_digest, by=session(approver))

    assert (present(issued).status, hinted(issued)) == ("active", [set()])


def test_the_hint_is_shown_in_words_and_by_the_api(world: World) -> None:
    issued = hinted_token(world)
    client = session_client(world.manager)

    assert BY_ENTRY in client.get(f"/api/v1/tokens/{issued.token.pk}/").json()["hints"]
    page = client.get(f"/admin/tokens/token/{issued.token.pk}/change/").content.decode()
    assert HINTS[BY_ENTRY].split(":")[0] in page
    assert HINTS.keys() >= ABOUT


def test_a_hint_is_no_change_of_the_token(world: World) -> None:
    """Its version, which ETags and requests for approval go by, stays."""
    issued = make_token(world.manager, "machines:read", grants=(GrantWish("/", "Viewer"),))
    version = present(issued).version

    granted(world, NODES, "Viewer", user=world.manager)

    assert hinted(issued) == [{BY_ENTRY}]
    assert present(issued).version == version


def test_who_joins_or_leaves_names_no_tokens(world: World) -> None:
    """A person's own tokens follow what the person is."""
    newcomer = member(world.acme)
    issued = make_token(newcomer, "machines:read")

    membership.join_fleet(world.edge, user=newcomer, role="operator", by=session(world.admin))

    assert "widened" not in last_event(action="fleet_member.joined").data
    assert hinted(issued) == [set()]
    assert acting(issued).permits("machines:read", world.edge.path, world.acme.pk)
