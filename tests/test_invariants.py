"""The checker of the invariants notices what it is there to notice: each planted damage, and nothing else."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection

from approvals.models import ApprovalRequest, Decision
from audit import triggers
from audit.actions import Action
from audit.models import OutboxRow
from audit.trail import record
from config.edge import context
from config.edge.clock import at, now
from config.edge.context import RequestContext
from config.edge.models import IdempotencyKey
from config.edge.redis import state
from fleets import currency
from fleets.models import Fleet, Group, Machine, Membership, Organization, User
from fleets.scopes import parse_scopes
from tests import factories
from tests.factories import make_machine, make_token, operator
from tests.invariants import Trail, assert_hold, broken
from tests.world import make_world
from tokens import issuance, lifecycle
from tokens.models import Token, TokenSecret

Damage = Callable[[Token], object]


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def without_triggers(statement: str) -> None:
    triggers.remove()
    sql(statement)
    triggers.install()


def used_after_its_end(token: Token) -> None:
    lifecycle.revoke(token, by=operator)
    with at(now() + timedelta(seconds=10)), context.bound(RequestContext()):
        record(Action.TOKEN_USED, by=operator, target=token)


def left_with_a_token(_token: Token) -> None:
    member = Membership.objects.get(role="member")
    make_token(member.user, "machines:read")
    Membership.objects.filter(pk=member.pk).update(left_at=now())


def closed_with_an_entry(_token: Token) -> None:
    group = factories.make_group(Organization.objects.get())
    factories.make_entry(group.organization, "/", "Viewer", group=group)
    Group.objects.update(closed_at=now())


def removed_with_a_token(_token: Token) -> None:
    user = factories.make_technical_user(Organization.objects.get())
    factories.make_entry(Organization.objects.get(), "/", "Viewer", user=user)
    make_token(user, "machines:read")
    User.objects.filter(pk=user.pk).update(is_active=False)


def waiting(_token: Token) -> Token:
    """Another one, which waits for its approval."""
    organization = Organization.objects.get()
    factories.make_approver(organization)
    factories.need_approvals(organization)
    owner = factories.session(factories.owner_of(organization))
    issued = issuance.issue(
        organization,
        owner=Fleet.objects.get(),
        name="waiting",
        wish=issuance.Wish(scopes=parse_scopes(["commands:execute"])),
        reason="why",
        by=owner,
    )
    assert not list(broken())
    return issued.token


def active_without_approval(token: Token) -> None:
    Token.objects.filter(pk=waiting(token).pk).update(status="active", open_request=None, lifetime=None)


def forgotten_by_its_token(token: Token) -> None:
    Token.objects.filter(pk=waiting(token).pk).update(open_request=None)


def closed_without_its_token(token: Token) -> None:
    waiting(token)
    ApprovalRequest.objects.update(status="rejected", closed_at=now())


def voted_without_an_event(token: Token) -> None:
    waiting(token)
    Decision.objects.create(
        request=ApprovalRequest.objects.get(),
        user=User.objects.earliest("pk"),
        verdict="approve",
        diff_digest="",
        decided_at=now(),
    )


def approved_by_nobody(token: Token) -> None:
    waiting(token)
    ApprovalRequest.objects.update(status="approved", closed_at=now())


DAMAGES: dict[str, Damage] = {
    "has version 2": lambda _token: Token.objects.update(version=2),
    "is disabled by the events": lambda _token: Token.objects.update(status="disabled"),
    "events of its issue": lambda _token: without_triggers(
        "DELETE FROM audit_event WHERE action = 'token.issued'"
    ),
    "is gone": lambda _token: without_triggers("DELETE FROM audit_event WHERE action = 'fleet.opened'"),
    "was changed": lambda _token: without_triggers(
        "UPDATE audit_event SET reason = 'another' WHERE action = 'fleet.opened'"
    ),
    "which is not there": lambda _token: Machine.objects.all().delete(),
    "has the newest secrets []": lambda _token: TokenSecret.objects.update(valid_until=now()),
    "has the secrets [1, 2]": lambda token: TokenSecret.objects.create(
        token=token, generation=2, digest=b"", pepper_id=1, created_at=now(), valid_until=now()
    ),
    "with 0 revocations": lambda _token: Token.objects.update(status="revoked", status_reason="by_hand"),
    "after it was revoked": used_after_its_end,
    "is active with 0 activations": active_without_approval,
    "is pending and waits for nothing": forgotten_by_its_token,
    "knows nothing of it": forgotten_by_its_token,
    "waits for token_issue, which is rejected": closed_without_its_token,
    "is rejected by the events": closed_without_its_token,
    "has the votes": voted_without_an_event,
    "is approved by the events": approved_by_nobody,
    "is approved by 0 of 1": approved_by_nobody,
    "outlived its owner's membership": left_with_a_token,
    "is closed without the event": lambda _token: Fleet.objects.update(closed_at=now()),
    "outlived its fleet": lambda _token: Fleet.objects.update(closed_at=now()),
    "names a closed group": closed_with_an_entry,
    "outlived its technical user": removed_with_a_token,
    "has no owner": lambda _token: Membership.objects.filter(role="owner").update(role="admin"),
    "is remembered for nothing": lambda _token: IdempotencyKey.objects.create(
        actor="a", key="k", fingerprint="f", created_at=now()
    ),
    "nothing owes it": lambda _token: Organization.objects.update(version=9),
    "is published as 9": lambda token: state().set(currency.key("token", token.pk), 9),
    "and owed as 9": lambda token: OutboxRow.objects.create(
        kind="versions", payload={"key": currency.key("token", token.pk), "version": 9}, created_at=now()
    ),
}


@pytest.mark.parametrize("sentence", DAMAGES)
@pytest.mark.django_db(transaction=True)
def test_the_checker_notices(sentence: str) -> None:
    world = make_world()
    make_machine(world.fleet)
    token = make_token(world.fleet, "machines:read").token
    trail = Trail()
    assert_hold(trail)

    DAMAGES[sentence](token)

    assert [problem for problem in broken(trail) if sentence in problem]


@pytest.mark.django_db(transaction=True)
def test_the_checker_notices_an_acknowledged_revocation_that_is_lost() -> None:
    token = make_token(make_world().fleet, "machines:read").token
    assert list(broken(revoked={token.pk: now()})) == [
        f"the revocation of token {token.pk} was acknowledged and is lost"
    ]


@pytest.mark.django_db(transaction=True)
def test_an_untouched_world_is_whole() -> None:
    world = make_world()
    person = factories.fleet_member(world.fleet, "operator")
    issued = make_token(person, "machines:read")
    lifecycle.rotate(issued.token, overlap=timedelta(hours=1), by=factories.session(person))
    assert_hold()
