"""Mass revocation: one list ends, whole and at once, and no other."""

import io
import json
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from audit.models import Event, OutboxRow
from config.edge.redis import state
from config.edge.refusals import Invalid
from fleets import currency, membership
from fleets.models import Membership, User
from tests.factories import (
    acting,
    application_owner,
    events,
    make_application,
    make_entry,
    make_group,
    make_group_member,
    make_member,
    make_organization,
    make_person,
    make_technical_user,
    make_token,
    member,
    operator,
    session,
    session_client,
    token_client,
)
from tests.invariants import assert_hold
from tests.tokens.conftest import World
from tests.tokens.issuing import outcome, pending, present, with_status
from tokens import revocation
from tokens.issuance import GrantWish, Issued
from tokens.kinds import Owner, label_of
from tokens.models import Grant, Token, TokenMachine

REVOKE_ALL = "/api/v1/tokens/revoke-all/"
WHOAMI = "/api/v1/whoami/"
REASON = "The laptop was stolen"


def status_of(issued: Issued) -> tuple[str, str]:
    token = present(issued)
    return token.status, token.status_reason


def ask(client: APIClient, owner: str, **body: Any) -> Any:
    return client.post(REVOKE_ALL, {"owner": owner, "reason": REASON, **body})


# What ends, and what does not


def test_every_token_of_the_list_that_has_not_ended_ends(world: World) -> None:
    live = [with_status(world.edge, status) for status in ("active", "disabled", "pending", "expired")]
    ended = {status: with_status(world.edge, status) for status in ("rejected", "revoked")}
    before = {status: present(issued).version for status, issued in ended.items()}

    answer = ask(session_client(world.manager), "fleet:edge")

    assert answer.status_code == 200
    assert answer.json()["revoked"] == 4
    assert answer["Cache-Control"] == "no-store"
    assert {status_of(issued) for issued in live} == {("revoked", "by_hand")}
    assert [present(issued).version for issued in live] == [2, 2, 2, 2]
    assert status_of(ended["rejected"]) == ("rejected", "withdrawn")
    assert {status: present(issued).version for status, issued in ended.items()} == before
    assert not Grant.objects.filter(token__in=[issued.token for issued in live]).exists()
    assert not OutboxRow.objects.exists()


def test_one_event_a_token_says_who_why_and_in_which_batch(world: World) -> None:
    issued = [make_token(world.edge, "machines:read") for _ in range(3)]

    answer = ask(session_client(world.manager), "fleet:edge").json()

    UUID(answer["batch"])
    found = Event.objects.filter(action="token.revoked")
    assert sorted(found.values_list("target_id", flat=True)) == sorted(one.token.pk for one in issued)
    assert set(found.values_list("outcome", "reason", "actor_id", "organization_id")) == {
        ("allowed", REASON, str(world.manager.pk), world.acme.pk)
    }
    assert {tuple(sorted(event.data.items())) for event in found} == {
        (("batch", answer["batch"]), ("status_reason", "by_hand"))
    }
    assert sorted(found.values_list("target_label", flat=True)) == sorted(one.token.name for one in issued)
    assert len(set(found.values_list("request_id", flat=True))) == 1
    assert_hold()


def test_their_secrets_stop_working_and_their_technical_users_go(world: World) -> None:
    issued = [make_token(world.edge, "machines:read", machines=[world.edge_1]) for _ in range(2)]
    clients = [token_client(one) for one in issued]
    assert [client.get(WHOAMI).status_code for client in clients] == [200, 200]
    versions = [User.objects.get(pk=one.token.principal_id).version for one in issued]

    ask(session_client(world.manager), "fleet:edge")

    assert [client.get(WHOAMI).json()["code"] for client in clients] == ["token_revoked"] * 2
    principals = [User.objects.get(pk=one.token.principal_id) for one in issued]
    assert [user.is_active for user in principals] == [False, False]
    assert [user.version for user in principals] == [version + 1 for version in versions]
    assert not Grant.objects.exists()
    assert not TokenMachine.objects.exists()
    published = [state().get(currency.key("principal", user.pk)) for user in principals]
    assert published == [str(user.version) for user in principals]
    assert [state().get(currency.key("token", one.token.pk)) for one in issued] == ["2", "2"]
    assert_hold()


def test_no_other_list_is_touched(world: World) -> None:
    """Not those of another fleet, of the organization, of a person, nor that person's in another organization."""
    other = make_organization("globex")
    make_member(other, user=world.manager)
    kept = [
        make_token(world.core, "machines:read"),
        make_token(world.acme, "machines:read"),
        make_token(world.edge, "machines:read"),
        make_token(world.owner, "machines:read"),
        make_token(world.manager, "machines:read", organization=other),
    ]
    gone = make_token(world.manager, "machines:read", organization=world.acme)

    answer = ask(session_client(world.manager), world.manager.username, organization="acme")

    assert answer.json()["revoked"] == 1
    assert status_of(gone) == ("revoked", "by_hand")
    assert {status_of(issued) for issued in kept} == {("active", "")}
    assert User.objects.get(pk=world.manager.pk).is_active
    assert [token_client(issued).get(WHOAMI).status_code for issued in kept] == [200] * 5
    assert_hold()


@pytest.mark.parametrize("kind", ["person", "fleet", "group", "organization", "application", "technical"])
@pytest.mark.parametrize("by_kind", [False, True])
def test_owners_of_every_kind_are_named_as_elsewhere(world: World, kind: str, by_kind: bool) -> None:
    group = make_group(world.acme, "ops")
    make_entry(world.acme, "/fleets/edge", "GroupUser", group=group)
    owners: dict[str, Owner] = {
        "person": world.auditor,
        "fleet": world.edge,
        "group": group,
        "organization": world.acme,
        "application": make_application(world.acme, "billing"),
        "technical": make_technical_user(world.acme, "robot"),
    }
    issued = {name: make_token(owner, "machines:read") for name, owner in owners.items()}
    label = label_of(owners[kind])
    said = {"kind": present(issued[kind]).kind} if by_kind else {}

    answer = ask(session_client(world.admin), label.rpartition(":")[2] if by_kind else label, **said)

    assert answer.status_code == 200, answer.content
    assert answer.json()["revoked"] == 1
    ended = {name for name, one in issued.items() if status_of(one)[0] == "revoked"}
    assert ended == {kind}
    technical = User.objects.get(pk=issued["technical"].token.principal_id)
    assert technical.is_active, "who exists without tokens stays"
    assert_hold()


def test_a_second_time_nothing_is_left_and_nothing_happens(world: World) -> None:
    make_token(world.edge, "machines:read")
    client = session_client(world.manager)
    first = ask(client, "fleet:edge").json()
    trail = events()

    second = ask(client, "fleet:edge")

    assert (second.status_code, second.json()["revoked"]) == (200, 0)
    assert second.json()["batch"] != first["batch"]
    assert events() == trail


def test_the_token_of_a_suspended_person_and_of_who_left_their_fleet_ends_too(world: World) -> None:
    issued = make_token(world.manager, "machines:read")
    membership.suspend(Membership.objects.get(user=world.manager), by=operator)

    answer = ask(session_client(world.admin), world.manager.username)

    assert answer.json()["revoked"] == 1
    assert status_of(issued) == ("revoked", "by_hand")


# Who may


def test_a_token_that_manages_tokens_ends_the_list_it_is_in_and_itself(world: World) -> None:
    calling = make_token(world.owner, "tokens:manage", privilege_separation=False)
    other = make_token(world.owner, "machines:read")
    client = token_client(calling)

    answer = ask(client, world.owner.username)

    assert (answer.status_code, answer.json()["revoked"]) == (200, 2)
    assert status_of(calling) == status_of(other) == ("revoked", "by_hand")
    assert client.get(WHOAMI).json()["code"] == "token_revoked"
    revoked = Event.objects.filter(action="token.revoked")
    assert set(revoked.values_list("actor_type", "actor_id")) == {("token", calling.token.pk)}
    assert events(request_id=answer["X-Request-ID"]) == [
        "token.used allowed",
        "token.revoked allowed",
        "token.revoked allowed",
    ]
    assert_hold()


@pytest.mark.parametrize("scopes", [["machines:read"], ["tokens:read"]])
def test_a_token_without_the_scope_ends_nothing(world: World, scopes: list[str]) -> None:
    calling = make_token(world.owner, *scopes)
    kept = make_token(world.edge, "machines:read")

    for owner in (world.owner.username, "fleet:edge"):
        answer = ask(token_client(calling), owner)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")

    assert status_of(calling) == status_of(kept) == ("active", "")


def test_a_token_holds_the_scope_at_the_owners_path(world: World) -> None:
    there = make_token(world.owner, "tokens:manage", grants=(GrantWish("/fleets/edge", "Administrator"),))
    edge, core = make_token(world.edge, "machines:read"), make_token(world.core, "machines:read")
    client = token_client(there)

    answers = [ask(client, owner).status_code for owner in ("fleet:core", "fleet:edge")]

    assert answers == [404, 200]
    assert [status_of(issued)[0] for issued in (edge, core)] == ["revoked", "active"]


@pytest.mark.parametrize(
    ("caller", "owner", "status"),
    [
        ("manager", "fleet:edge", 200),
        ("manager", "fleet:core", 404),
        ("manager", "the auditor", 403),
        ("manager", "themselves", 200),
        ("auditor", "fleet:edge", 403),
        ("auditor", "the manager", 403),
        ("auditor", "organization:acme", 403),
        ("auditor", "themselves", 200),
        ("admin", "the manager", 200),
        ("admin", "organization:acme", 200),
        ("admin", "fleet:nope", 404),
        ("admin", "nobody", 404),
    ],
)
def test_who_manages_a_list_may_end_it(world: World, caller: str, owner: str, status: int) -> None:
    issued = [
        make_token(one, "machines:read") for one in (world.edge, world.acme, world.manager, world.auditor)
    ]
    person: User = getattr(world, caller)
    named = {"the manager": world.manager, "the auditor": world.auditor, "themselves": person}
    text = named[owner].username if owner in named else owner

    answer = ask(session_client(person), text)

    assert answer.status_code == status, answer.content
    ended = [one for one in issued if status_of(one)[0] == "revoked"]
    assert len(ended) == (1 if status == 200 else 0)
    if status == 403:
        assert Event.objects.filter(outcome="denied", actor_id=str(person.pk)).exists()


def test_who_leads_a_group_or_application_ends_its_tokens_in_their_session(world: World) -> None:
    group, application = make_group(world.acme, "ops"), make_application(world.acme, "billing")
    make_entry(world.acme, "/fleets/edge", "GroupUser", group=group)
    of_group, of_application = make_token(group, "machines:read"), make_token(application, "machines:read")
    admin, user = (make_group_member(group, role).user for role in ("admin", "user"))
    owner = application_owner(application)

    assert ask(session_client(user), "group:ops").status_code in (403, 404)
    assert ask(session_client(admin), "application:billing").status_code in (403, 404)
    assert status_of(of_group) == status_of(of_application) == ("active", "")
    assert ask(session_client(admin), "group:ops").json()["revoked"] == 1
    assert ask(session_client(owner), "application:billing").json()["revoked"] == 1
    assert status_of(of_group) == status_of(of_application) == ("revoked", "by_hand")


def test_the_verb_itself_refuses_and_records_who_may_not(world: World) -> None:
    issued = make_token(world.edge, "machines:read")

    by = session(world.auditor)
    answer = outcome(revocation.revoke_all, world.acme, owner=world.edge, reason=REASON, by=by)

    assert answer == "forbidden"
    assert status_of(issued) == ("active", "")
    denial = Event.objects.get(action="token.revoked")
    assert (denial.outcome, denial.target_type, denial.organization_id) == (
        "denied",
        "organization",
        world.acme.pk,
    )


def test_another_organizations_lists_do_not_exist(world: World) -> None:
    other = make_organization("globex")
    stranger = member(other)
    theirs = make_token(stranger, "machines:read")
    client = session_client(world.admin)

    answers = [
        ask(client, stranger.username),
        ask(client, "organization:globex"),
        ask(client, stranger.username, organization="globex"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert status_of(theirs) == ("active", "")
    assert not Event.objects.filter(organization_id=other.pk, actor_id=str(world.admin.pk)).exists()


# What can't be meant


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": None}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": " \t "}, "reason"),
        ({"reason": "\u200b\u2800"}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"owner": None}, "owner"),
        ({"owner": ["fleet:edge"]}, "owner"),
        ({"kind": "group"}, "owner"),
        ({"kind": "x"}, "kind"),
        ({"status": "active"}, "status"),
    ],
)
def test_a_request_that_cannot_be_meant_says_which_field(
    world: World, body: dict[str, Any], field: str
) -> None:
    issued = make_token(world.edge, "machines:read")

    answer = ask(session_client(world.owner), **{"owner": "fleet:edge", **body})

    assert answer.status_code == 400, answer.content
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert status_of(issued) == ("active", "")


@pytest.mark.parametrize("left_out", ["owner", "reason"])
def test_owner_and_reason_are_needed(world: World, left_out: str) -> None:
    body = {"owner": "fleet:edge", "reason": REASON}
    del body[left_out]

    answer = session_client(world.owner).post(REVOKE_ALL, body)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [left_out]


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_nothing_else_is_done_there(world: World, method: str) -> None:
    assert getattr(session_client(world.owner), method)(REVOKE_ALL).status_code == 405


def test_the_verb_wants_words_as_a_reason(world: World) -> None:
    with pytest.raises(Invalid):
        revocation.revoke_all(world.acme, owner=world.edge, reason=" ", by=operator)


# One transaction, few statements


def test_what_can_not_be_recorded_is_not_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = [make_token(world.edge, "machines:read") for _ in range(2)]
    _refuse_events()

    answer = outcome(revocation.revoke_all, world.acme, owner=world.edge, reason=REASON, by=operator)

    assert answer == "unavailable"
    assert [status_of(one) for one in issued] == [("active", "")] * 2
    assert {User.objects.get(pk=one.token.principal_id).is_active for one in issued} == {True}
    assert Grant.objects.count() == 2
    assert not OutboxRow.objects.exists()


def _refuse_events() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "CREATE TRIGGER refuses BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
        else:
            cursor.execute(
                "CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'full'; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER refuses BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION refuses()"
            )


def test_the_statements_do_not_grow_with_the_list(world: World) -> None:
    def statements(count: int) -> int:
        for _ in range(count):
            make_token(world.edge, "machines:read", machines=[world.edge_1])
        with CaptureQueriesContext(connection) as captured:
            batch = revocation.revoke_all(world.acme, owner=world.edge, reason=REASON, by=operator)
        assert batch.revoked == count
        return len(captured)

    assert statements(30) == statements(1)


def test_departures_and_closings_end_whole_lists_the_same_way(world: World) -> None:
    issued = [make_token(world.manager, "machines:read") for _ in range(3)]
    by = session(world.owner)

    membership.leave(Membership.objects.get(user=world.manager), by=by)

    assert {status_of(one) for one in issued} == {("revoked", "owner_left")}
    found = Event.objects.filter(action="token.revoked")
    assert {tuple(event.data.items()) for event in found} == {(("status_reason", "owner_left"),)}
    assert found.count() == 3
    assert_hold()


def test_an_owner_that_closes_takes_its_tokens_along(world: World) -> None:
    issued = [make_token(world.edge, "machines:read") for _ in range(3)]
    kept = make_token(world.core, "machines:read")

    names = revocation.owner_closed(world.edge, operator)

    assert sorted(names) == sorted(one.token.name for one in issued)
    assert {status_of(one) for one in issued} == {("revoked", "owner_closed")}
    assert status_of(kept) == ("active", "")


def test_whatever_has_not_ended_may_be_revoked_and_the_rest_not_even_in_bulk(world: World) -> None:
    assert {of for of, to in Token.MOVES.items() if "revoked" in to} == set(Token.Status) - Token.ENDED
    ended = present(with_status(world.edge, "rejected"))

    assert outcome(Token.end_all, [ended], "by_hand") == "illegal_move"

    assert Token.objects.get(pk=ended.pk).status == "rejected"


def test_a_pending_token_never_becomes_active_afterwards(world: World) -> None:
    issued = pending(world.edge, "machines:read")
    ask(session_client(world.manager), "fleet:edge")

    assert outcome(present(issued).move_to, "active") == "illegal_move"


def test_a_token_that_is_in_the_list_ends_the_rest_only_while_it_works(world: World) -> None:
    calling = make_token(world.owner, "tokens:manage", privilege_separation=False)
    by = acting(calling)
    revocation.revoke(present(calling), by=operator)
    other = make_token(world.owner, "machines:read")

    answer = outcome(revocation.revoke_all, world.acme, owner=world.owner, reason=REASON, by=by)

    assert answer == "token_revoked"
    assert status_of(other) == ("active", "")


def test_a_stranger_is_refused(world: World) -> None:
    make_token(world.edge, "machines:read")
    assert ask(APIClient(), "fleet:edge").status_code == 401
    assert ask(session_client(make_person()), "fleet:edge").status_code in (400, 404)


# At the server's own command line


def command(*words: str) -> str:
    out = io.StringIO()
    call_command("token", "revoke-all", *words, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_the_operator_ends_a_list_by_one_command(world: World) -> None:
    issued = [make_token(world.edge, "machines:read") for _ in range(2)]
    kept = make_token(world.core, "machines:read")

    done = json.loads(command("fleet:edge", "--reason", REASON, "--format", "json"))

    assert done["revoked"] == 2
    assert [status_of(one)[0] for one in (*issued, kept)] == ["revoked", "revoked", "active"]
    found = Event.objects.filter(action="token.revoked")
    assert set(found.values_list("actor_type", "actor_id", "reason")) == {("system", "operator", REASON)}
    assert {event.data["batch"] for event in found} == {done["batch"]}
    assert "revoked" in command("fleet:edge", "--reason", REASON)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fleet:edge"], "--reason"),
        (["fleet:edge", "--reason", " "], "reason"),
        (["fleet:nope", "--reason", REASON], "no owner"),
        (["fleet:edge", "a-name", "--reason", REASON], "unrecognized"),
    ],
)
def test_a_command_that_cannot_be_meant_ends_nothing(world: World, words: list[str], said: str) -> None:
    issued = make_token(world.edge, "machines:read")

    with pytest.raises(CommandError, match=said):
        command(*words)

    assert status_of(issued) == ("active", "")
