"""When tokens end, in a query, is when they end one by one."""

from datetime import timedelta

import pytest

from config.edge.clock import now
from fleets import organizations
from fleets.models import Organization
from fleets.organization_policy import policy_of
from tests.factories import as_stored, make_organization, make_token, operator
from tests.tokens.conftest import World
from tokens.ends import with_ends
from tokens.models import Token
from tokens.rules import effective_expiry

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.mark.parametrize("days", ["nothing is laid down", None, 1, 30, 3650])
def test_the_end_of_many_is_the_end_of_each(world: World, days: str | int | None) -> None:
    at = now()
    for expires_at in (None, at + 10 * DAY, at.replace(microsecond=0) + 40 * DAY):
        for approved_at in (None, at, at.replace(microsecond=0) - 29 * DAY):
            token = make_token(world.edge, "machines:read").token
            Token.objects.filter(pk=token.pk).update(expires_at=expires_at, approved_at=approved_at)
    other = make_organization("other")
    make_token(other, "machines:read")
    lay_down(other, 7)
    if not isinstance(days, str):
        lay_down(world.acme, days)

    found = with_ends(Token.objects.select_related("organization"))

    assert found.count() == 10
    for token in found:
        assert token.ends_at == effective_expiry(token, policy_of(token.organization))
    ended_within = at + 10 * DAY
    known = {token.pk for token in found if token.ends_at and token.ends_at <= ended_within}
    assert set(found.filter(ends_at__lte=ended_within).values_list("pk", flat=True)) == known
    ends = [token.ends_at for token in found.exclude(ends_at=None).order_by("ends_at")]
    assert ends == sorted(ends)


def lay_down(organization: Organization, days: int | None) -> None:
    changes = {"maximum_lifetime_days": days, "default_lifetime_days": 60}
    organizations.set_policy(as_stored(organization), changes=changes, by=operator)
