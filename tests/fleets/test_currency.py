"""Versions: compare-and-set on a row, one order of raising, and publication that never goes back."""

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from redis import Redis

from audit import outbox
from audit.models import OutboxRow
from config.edge.refusals import Conflict
from fleets import currency
from fleets.models import Organization
from tests.factories import make_fleet, make_organization, make_person, make_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def redis(settings: Any) -> Any:
    return Redis.from_url(settings.REDIS.state, decode_responses=True)


def test_a_claim_raises_the_version_that_was_read() -> None:
    organization = make_organization()

    currency.claim(organization)

    assert (organization.version, Organization.objects.get().version) == (2, 2)


def test_a_claim_of_another_version_is_refused_and_changes_nothing() -> None:
    organization = make_organization()
    stale = Organization.objects.get()
    currency.claim(organization)

    with pytest.raises(Conflict):
        currency.claim(stale)

    assert (stale.version, Organization.objects.get().version) == (1, 2)


def test_a_claim_expects_values_too() -> None:
    fleet = make_fleet(make_organization(), "edge")

    with pytest.raises(Conflict):
        currency.claim(fleet, slug="core")
    currency.claim(fleet, slug="edge", closed_at=None)

    assert fleet.version == 2


def test_a_raise_takes_rows_whatever_their_version_in_one_order() -> None:
    organization, one, two = make_organization(), make_person(), make_person()
    token = make_token(make_fleet(organization), "machines:read").token
    stale = Organization.objects.get()
    currency.claim(organization)
    OutboxRow.objects.all().delete()

    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        currency.raise_(token, two, stale, one)

    updated = [query["sql"].split('"')[1] for query in queries if query["sql"].startswith("UPDATE")]
    assert updated == ["fleets_organization", "fleets_user", "fleets_user", "tokens_token"]
    assert stale.version == 3
    people = sorted([one, two], key=lambda user: str(user.pk))
    assert [row.payload["key"].split(":")[1:] for row in OutboxRow.objects.order_by("id")] == [
        ["organization", str(organization.pk)],
        *(["principal", str(user.pk)] for user in people),
        ["token", token.pk],
    ]


def test_rows_that_no_verification_depends_on_owe_nothing() -> None:
    fleet = make_fleet(make_organization())
    OutboxRow.objects.all().delete()

    currency.claim(fleet)

    assert OutboxRow.objects.count() == 0


def test_a_published_version_never_goes_back(redis: Any) -> None:
    for version in (2, 10, 9, 3):
        currency.publish([{"key": "version:token:t", "version": version}])

    assert redis.get("version:token:t") == "10"


def test_several_versions_are_published_together(redis: Any) -> None:
    currency.publish([{"key": "version:token:a", "version": 1}, {"key": "version:token:b", "version": 2}])

    assert (redis.get("version:token:a"), redis.get("version:token:b")) == ("1", "2")


def test_what_is_owed_is_published_by_the_sweep(redis: Any) -> None:
    organization = make_organization()
    OutboxRow.objects.all().delete()
    with transaction.atomic():
        currency.raise_(organization)

    assert outbox.drain() == 0

    assert redis.get(currency.key("organization", organization.pk)) == "2"


def test_a_lock_reads_the_row_again() -> None:
    organization = make_organization()
    Organization.objects.update(name="Meanwhile")

    with transaction.atomic():
        assert currency.lock(organization).name == "Meanwhile"
