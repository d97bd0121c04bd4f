"""The migration that notes who has seen the secrets of before anybody noted it."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from approvals import decisions
from config.edge.refusals import DomainError
from fleets import access
from tests.factories import (
    make_fleet,
    make_fleet_member,
    make_member,
    make_organization,
    make_token,
    need_approvals,
    session,
)
from tests.tokens.issuing import issue, wish
from tokens import lifecycle
from tokens.changes import Edit
from tokens.models import Token, TokenSecret

BEFORE = ("tokens", "0003_governance")
AFTER = ("tokens", "0004_who_was_shown")


def shown_to(token: Token) -> list[set[str]]:
    rows = TokenSecret.objects.filter(token=token).order_by("generation")
    return [set(people) for people in rows.values_list("shown_to", flat=True)]


@pytest.mark.django_db(transaction=True)
def test_who_made_or_rotated_a_token_of_before_counts_as_somebody_who_saw_its_secret() -> None:
    acme = make_organization("acme")
    fleet = make_fleet(acme, "edge")
    boss, rotator = make_member(acme, "owner").user, make_member(acme, "admin").user
    manager = make_fleet_member(fleet, "manager", user=make_member(acme).user).user
    made = issue(session(boss), fleet, wish("machines:read")).token
    rotated = issue(session(boss), fleet, wish("machines:read")).token
    lifecycle.rotate(Token.objects.get(pk=rotated.pk), by=session(rotator))
    lifecycle.rotate(Token.objects.get(pk=rotated.pk), by=access.operator("root@host", on_behalf_of=manager))
    with pytest.raises(DomainError):
        lifecycle.rotate(Token.objects.get(pk=rotated.pk), by=session(make_member(acme).user))
    nobodys = make_token(fleet, "machines:read").token
    TokenSecret.objects.update(shown_to=[])
    noted = make_token(fleet, "machines:read").token
    TokenSecret.objects.filter(token=noted).update(shown_to=[str(manager.pk)])
    people = {str(boss.pk), str(rotator.pk), str(manager.pk)}
    MigrationExecutor(connection).migrate([BEFORE])

    MigrationExecutor(connection).migrate([AFTER])

    assert shown_to(made) == [{str(boss.pk)}]
    assert shown_to(rotated) == [people] * TokenSecret.objects.filter(token=rotated).count()
    assert shown_to(nobodys) == [set()], "the operator made it"
    assert shown_to(noted) == [{str(manager.pk)}], "what was noted stays"

    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    need_approvals(acme)
    widened = Edit(wish=wish("machines:read", "commands:execute"))
    lifecycle.edit(Token.objects.get(pk=made.pk), change=widened, reason="x", by=session(manager))
    request = Token.objects.get(pk=made.pk).open_request
    assert request is not None
    with pytest.raises(DomainError) as refusal:
        decisions.approve(request, digest=request.diff_digest, by=session(boss))
    assert refusal.value.code == "own_request"
