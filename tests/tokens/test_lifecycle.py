"""After the issue: every move of a token, legal and not, and what a rotation, an end and a departure do."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from config.edge import clock
from config.edge.clock import now
from config.edge.refusals import Conflict, Invalid
from fleets import membership
from fleets.models import Fleet, Membership, User
from tests.factories import (
    acting,
    events,
    fleet_member,
    last_event,
    make_fleet_member,
    make_token,
    operator,
    session,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import outcome, present, with_status
from tokens import lifecycle
from tokens.issuance import GrantWish, Issued
from tokens.models import Token, TokenSecret

HOUR = timedelta(hours=1)
WHOAMI = "/api/v1/whoami/"
STATUSES = ("pending", "active", "expired", "disabled", "rejected", "revoked")
VERBS: dict[str, Callable[..., Any]] = {
    "disable": lifecycle.disable,
    "enable": lifecycle.enable,
    "revoke": lifecycle.revoke,
    "rotate": lifecycle.rotate,
    "edit": lambda token, by: lifecycle.edit(token, change=lifecycle.Edit(description="other"), by=by),
}
# What each verb makes of each status; where nothing stands, the move does not exist.
MOVES = {
    ("pending", "revoke"): "revoked",
    ("pending", "edit"): "pending",
    ("active", "disable"): "disabled",
    ("active", "revoke"): "revoked",
    ("active", "rotate"): "active",
    ("active", "edit"): "active",
    ("expired", "disable"): "expired",  # it would not work once it is extended
    ("expired", "revoke"): "revoked",
    ("expired", "edit"): "expired",
    ("disabled", "enable"): "active",
    ("disabled", "revoke"): "revoked",
    ("disabled", "rotate"): "disabled",
    ("disabled", "edit"): "disabled",
}
PAST = {
    "disable": "disabled",
    "enable": "enabled",
    "revoke": "revoked",
    "rotate": "rotated",
    "edit": "edited",
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", STATUSES)
def test_every_move_is_legal_or_leaves_no_trace(world: World, status: str, verb: str) -> None:
    issued = with_status(world.edge, status)
    before, secrets = present(issued), TokenSecret.objects.count()

    answer = outcome(VERBS[verb], present(issued), by=session(world.manager))

    after, expected = present(issued), MOVES.get((status, verb))
    recorded = events(target_id=issued.token.pk)[1:]
    if expected:
        assert (answer, after.derived_status) == ("done", expected)
        assert after.version == before.version + 1
        assert recorded == [f"token.{PAST[verb]} allowed"]
    else:
        assert (answer, after.derived_status) == ("illegal_move", status)
        assert after.version == before.version
        assert recorded == []
        assert TokenSecret.objects.count() == secrets


@pytest.mark.parametrize("to", Token.Status.values)
@pytest.mark.parametrize("of", Token.Status.values)
def test_the_only_writer_of_a_status_knows_the_moves(world: World, of: str, to: str) -> None:
    issued = with_status(world.edge, of)
    legal = {
        ("pending", "active"),
        ("pending", "rejected"),
        ("pending", "revoked"),
        ("active", "disabled"),
        ("active", "revoked"),
        ("disabled", "active"),
        ("disabled", "revoked"),
    }
    why = {"status_reason": "by_hand"} if to in Token.ENDED else {}

    answer = outcome(present(issued).move_to, to, **why)

    assert answer == ("done" if (of, to) in legal else "illegal_move")
    assert present(issued).status == (to if (of, to) in legal else of)


@pytest.mark.parametrize("verb", ["disable", "revoke", "edit", "rotate"])
def test_a_move_from_a_row_that_changed_meanwhile_is_a_conflict_unless_it_ends_the_token(
    world: World, verb: str
) -> None:
    issued = make_token(world.edge, "machines:read")
    stale = present(issued)
    VERBS["edit"](present(issued), by=operator)

    answer = outcome(VERBS[verb], stale, by=session(world.manager))

    if verb == "revoke":
        assert (answer, present(issued).status) == ("done", "revoked")
    else:
        assert (answer, present(issued).status) == ("conflict", "active")
        assert present(issued).secrets.count() == 1


@pytest.mark.parametrize("status", ["revoked", "rejected"])
@pytest.mark.parametrize("to", ["active", "disabled", "pending", "revoked", "rejected"])
@pytest.mark.parametrize("by", ["orm", "sql"])
def test_what_has_ended_stays_ended_even_for_the_database(
    world: World, status: str, to: str, by: str
) -> None:
    if to == status:
        return
    issued = with_status(world.edge, status)
    live = make_token(world.edge, "machines:read")

    with pytest.raises(DatabaseError), transaction.atomic():
        if by == "orm":
            Token.objects.filter(pk=issued.token.pk).update(status=to, status_reason="")
        else:
            raw("UPDATE tokens_token SET status = %s WHERE id = %s", to, issued.token.pk)

    assert present(issued).status == status
    raw("UPDATE tokens_token SET last_used_at = NULL WHERE id = %s", issued.token.pk)
    raw("UPDATE tokens_token SET status = 'disabled' WHERE id = %s", live.token.pk)
    assert present(live).status == "disabled"


def raw(statement: str, *values: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"status": "revoked"}, "an_ended_token_says_why"),
        ({"status_reason": "by_hand"}, "an_ended_token_says_why"),
        ({"lifetime": HOUR}, "a_lifetime_counts_from_approval"),
        ({"privilege_separation": False}, "only_who_exists_goes_unseparated"),
        ({"kind": "personal"}, "a_token_has_the_owner_of_its_kind"),
        ({"owner_fleet": None}, "a_token_has_the_owner_of_its_kind"),
    ],
)
def test_what_can_never_be_is_refused_by_the_database(
    world: World, fields: dict[str, Any], constraint: str
) -> None:
    issued = make_token(world.edge, "machines:read")

    with pytest.raises(DatabaseError, match=constraint), transaction.atomic():
        Token.objects.filter(pk=issued.token.pk).update(**fields)


# Disabling and enabling


def test_disabling_is_undone_by_enabling_with_the_same_secret(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    client = token_client(issued)

    lifecycle.disable(present(issued), reason="Odd traffic", by=session(world.manager))
    assert client.get(WHOAMI).json()["code"] == "token_disabled"
    event = last_event(action="token.disabled")
    assert (event.reason, event.actor_id) == ("Odd traffic", str(world.manager.pk))

    lifecycle.enable(present(issued), reason="It was us", by=session(world.manager))
    assert client.get(WHOAMI).status_code == 200
    assert last_event(action="token.enabled").reason == "It was us"


def test_a_verb_by_somebody_else_is_refused_and_recorded(world: World) -> None:
    issued = make_token(world.core, "machines:read")
    for verb in VERBS.values():
        assert outcome(verb, present(issued), by=session(world.manager)) == "forbidden"

    assert present(issued).version == 1
    assert sorted(events(target_id=issued.token.pk, actor_type="person")) == sorted(
        f"token.{PAST[verb]} denied" for verb in VERBS
    )


# Rotating


def live(issued: Issued) -> list[tuple[int, datetime | None]]:
    """The live generations, newest first, with the end of each."""
    found = TokenSecret.objects.live(now()).filter(token=issued.token).order_by("-generation")
    return list(found.values_list("generation", "valid_until"))


def works(*issued: Issued) -> list[bool]:
    return [token_client(one).get(WHOAMI).status_code == 200 for one in issued]


def rotate(issued: Issued, overlap: timedelta = timedelta(0), **options: Any) -> Issued:
    return lifecycle.rotate(present(issued), overlap=overlap, by=options.pop("by", operator), **options)


def test_a_rotation_keeps_everything_but_the_secret(world: World) -> None:
    first = make_token(world.edge, "machines:read")
    before = present(first)

    second = rotate(first, by=session(world.manager))

    token = present(first)
    assert second.token.pk == first.token.pk
    assert second.secret.reveal() != first.secret.reveal()
    assert second.previous_valid_until is None
    same = ("name", "status", "scopes", "risk", "expires_at", "created_at", "principal", "secret_hint")
    assert [getattr(token, name) for name in same] == [getattr(before, name) for name in same]
    assert token.rotated_at is not None
    assert works(first, second) == [False, True]
    assert events(target_id=token.pk, action="token.rotated") == ["token.rotated allowed"]
    assert last_event(action="token.rotated").data == {
        "generation": 2,
        "previous_valid_until": None,
        "by_itself": False,
    }


def test_during_the_overlap_both_secrets_work_and_after_it_the_new_one(world: World) -> None:
    first = make_token(world.edge, "machines:read")

    second = rotate(first, HOUR)

    until = second.previous_valid_until
    assert until is not None
    assert timedelta(0) <= now() + HOUR - until < timedelta(seconds=5)
    assert live(first) == [(2, None), (1, until)]
    assert works(first, second) == [True, True]
    with clock.at(until):
        assert works(first, second) == [False, True]


def test_an_overlap_never_passes_the_tokens_expiry(world: World) -> None:
    first = make_token(world.edge, "machines:read")
    end = now() + timedelta(minutes=5)
    Token.objects.filter(pk=first.token.pk).update(expires_at=end)

    second = rotate(first, HOUR)

    assert second.previous_valid_until == end
    assert present(first).expires_at == end


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_an_overlap_lasts_from_nothing_to_seven_days(world: World, overlap: timedelta) -> None:
    first = make_token(world.edge, "machines:read")

    with pytest.raises(Invalid):
        rotate(first, overlap)

    assert present(first).version == 1
    rotate(first, timedelta(days=7))


def test_rotating_in_an_overlap_replaces_a_newest_that_was_never_used(world: World) -> None:
    first = make_token(world.edge, "machines:read")
    second = rotate(first, timedelta(days=1))

    third = rotate(first, timedelta(days=7))

    assert third.previous_valid_until == second.previous_valid_until, "an overlap is never prolonged"
    assert live(first) == [(3, None), (1, second.previous_valid_until)]
    assert works(first, second, third) == [True, False, True]


def test_the_kept_secret_stays_no_longer_than_asked_for(world: World) -> None:
    first = make_token(world.edge, "machines:read")
    rotate(first, timedelta(days=1))

    third = rotate(first, HOUR)

    assert third.previous_valid_until is not None
    assert third.previous_valid_until <= now() + HOUR
    assert live(first) == [(3, None), (1, third.previous_valid_until)]


def test_rotating_in_an_overlap_ends_the_oldest_where_the_newest_is_in_use(world: World) -> None:
    first = make_token(world.edge, "machines:read")
    second = rotate(first, timedelta(days=1))
    assert works(second) == [True]

    third = rotate(first, HOUR)

    assert live(first) == [(3, None), (2, third.previous_valid_until)]
    assert works(first, second, third) == [False, True, True]


@pytest.mark.parametrize("newest_is_used", [False, True])
def test_without_an_overlap_every_other_secret_ends_at_once(world: World, newest_is_used: bool) -> None:
    first = make_token(world.edge, "machines:read")
    second = rotate(first, timedelta(days=1))
    if newest_is_used:
        assert works(second) == [True]

    third = rotate(first)

    assert third.previous_valid_until is None
    assert [generation for generation, _ in live(first)] == [3]
    assert works(first, second, third) == [False, False, True]


def test_no_sequence_of_rotations_leaves_more_than_two_secrets_live(world: World) -> None:
    made = [make_token(world.edge, "machines:read")]
    for step, overlap in enumerate([HOUR, timedelta(days=7), HOUR, timedelta(0), HOUR, HOUR]):
        if step % 2:
            assert works(made[-1]) == [True]
        made.append(rotate(made[0], overlap))

        assert len(live(made[0])) == (2 if overlap else 1)
        assert works(made[-1]) == [True]


def test_a_token_rotates_itself_by_any_live_secret_while_the_newest_is_unused(world: World) -> None:
    first = make_token(world.edge, "machines:read")
    second = rotate(first, HOUR)

    third = lifecycle.rotate(present(first), overlap=HOUR, generation=1, by=acting(first))

    assert works(first, second, third) == [True, False, True]
    event = last_event(action="token.rotated")
    assert (event.actor_type, event.data["by_itself"]) == ("token", True)

    with pytest.raises(Conflict) as refused:  # the third was used above
        lifecycle.rotate(present(first), generation=1, by=acting(first))
    assert refused.value.code == "newer_secret_in_use"
    assert works(first, third) == [True, True]

    fourth = lifecycle.rotate(present(first), generation=3, by=acting(third))
    assert works(first, third, fourth) == [False, False, True]


def test_a_token_that_rotates_itself_has_to_say_by_which_secret(world: World) -> None:
    issued = make_token(world.edge, "machines:read")

    with pytest.raises(TypeError):
        lifecycle.rotate(present(issued), by=acting(issued))

    assert present(issued).version == 1


def test_disabling_and_revoking_kill_every_generation(world: World) -> None:
    first = make_token(world.edge, "machines:read")
    second = rotate(first, HOUR)

    lifecycle.disable(present(first), by=operator)
    assert [token_client(one).get(WHOAMI).json()["code"] for one in (first, second)] == ["token_disabled"] * 2
    lifecycle.revoke(present(first), by=operator)
    assert [token_client(one).get(WHOAMI).json()["code"] for one in (first, second)] == ["token_revoked"] * 2


def test_who_issued_rotates_only_while_they_could_issue_it_again(world: World) -> None:
    operating = fleet_member(world.edge, "operator")
    issued = make_token(operating, "machines:operate")
    assert outcome(lifecycle.rotate, present(issued), by=session(operating)) == "done"

    place = operating.fleet_memberships.get()
    membership.change_fleet_role(place, role="viewer", by=operator)

    by = session(operating)
    assert outcome(lifecycle.rotate, present(issued), by=by) == "exceeds_your_rights"
    assert outcome(lifecycle.disable, present(issued), by=by) == "done"


@pytest.mark.parametrize(
    ("verb", "answer"), [("edit", "done"), ("disable", "done"), ("revoke", "done"), ("rotate", "forbidden")]
)
def test_admins_manage_a_persons_token_but_never_learn_its_secret(
    world: World, verb: str, answer: str
) -> None:
    issued = make_token(world.manager, "machines:read")

    assert outcome(VERBS[verb], present(issued), by=session(world.admin)) == answer

    assert present(issued).secrets.count() == 1
    assert last_event().outcome == ("allowed" if answer == "done" else "denied")


# Ending


def test_a_revoked_token_is_a_tombstone(world: World) -> None:
    issued = make_token(world.edge, "machines:read", machines=[world.edge_1])

    lifecycle.revoke(present(issued), reason="Not needed", by=session(world.manager))

    token = present(issued)
    assert (token.status, token.status_reason, token.name) == ("revoked", "by_hand", issued.token.name)
    assert (token.grants.count(), token.machine_rows.count()) == (0, 0)
    assert token.scopes == ["machines:read"]
    assert token.secrets.count() == 1, "a later attempt is recognised"
    assert not token.principal.is_active
    event = last_event(action="token.revoked")
    assert (event.reason, event.data) == ("Not needed", {"status_reason": "by_hand"})
    for verb in VERBS.values():
        assert outcome(verb, present(issued), by=operator) == "illegal_move"


def test_a_token_revokes_itself(world: World) -> None:
    issued = make_token(world.edge, "machines:read")

    lifecycle.revoke(present(issued), by=acting(issued))

    assert present(issued).status_reason == "by_itself"
    assert last_event(action="token.revoked").actor_type == "token"


def test_revoking_a_personal_token_leaves_its_person_active(world: World) -> None:
    issued = make_token(world.manager, "machines:read")

    lifecycle.revoke(present(issued), by=session(world.manager))

    assert User.objects.get(pk=world.manager.pk).is_active


@pytest.mark.parametrize("status", ["active", "disabled", "pending"])
def test_who_leaves_the_organization_takes_their_own_tokens_with_them_and_no_other(
    world: World, status: str
) -> None:
    theirs, fleets = with_status(world.manager, status), make_token(world.edge, "machines:read")
    others = make_token(world.owner, "machines:read")
    place = Membership.objects.get(user=world.manager)

    membership.leave(place, by=session(world.owner))

    token = present(theirs)
    assert (token.status, token.status_reason, token.grants.count()) == ("revoked", "owner_left", 0)
    assert works(theirs, fleets, others) == [False, True, True]
    event = last_event(action="token.revoked")
    assert (event.target_id, event.actor_id) == (token.pk, str(world.owner.pk))
    assert events(action="token.revoked") == ["token.revoked allowed"]


def test_who_leaves_after_their_token_has_ended_leaves_it_as_it_was(world: World) -> None:
    ended = [with_status(world.manager, status) for status in ("revoked", "rejected")]

    membership.leave(Membership.objects.get(user=world.manager), by=operator)

    assert [present(one).status_reason for one in ended] == ["by_hand", "withdrawn"]
    assert events(action="token.revoked") == []


def test_leaving_one_organization_leaves_the_tokens_of_another(world: World, other: Fleet) -> None:
    membership.join(other.organization, user=world.manager, role="member", by=operator)
    make_fleet_member(other, user=world.manager)
    here = make_token(world.manager, "machines:read", organization=world.acme)
    there = make_token(world.manager, "machines:read", organization=other.organization)

    membership.leave(Membership.objects.get(user=world.manager, organization=world.acme), by=operator)

    assert works(here, there) == [False, True]


def test_a_suspension_ends_no_token(world: World) -> None:
    issued = make_token(world.manager, "machines:read")
    place = Membership.objects.get(user=world.manager)

    membership.suspend(place, by=operator)

    assert present(issued).status == "active"
    assert events(target_id=issued.token.pk) == ["token.issued allowed"]


def test_free_vmids_that_tokens_name_are_known_to_the_estate(world: World) -> None:
    issued = make_token(world.owner, "machines:read", grants=(GrantWish("/vms/77", "Viewer"),))

    assert lifecycle.has_grants_at(world.acme.pk, "/vms/77")
    assert not lifecycle.has_grants_at(world.acme.pk, "/vms/78")
    lifecycle.revoke(present(issued), by=operator)
    assert not lifecycle.has_grants_at(world.acme.pk, "/vms/77")
