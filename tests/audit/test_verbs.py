"""`@verb`: what every change of state has in common."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, transaction
from redis import Redis

from audit import frames, outbox
from audit.actions import Action
from audit.models import Event, OutboxRow
from audit.trail import record
from audit.verbs import ATTEMPTS, verb
from config.edge import context
from config.edge.access import Access
from config.edge.context import RequestContext
from config.edge.refusals import Conflict, Refused, Unavailable
from fleets import currency
from fleets.models import Organization
from tests.factories import events, make_organization, operator

pytestmark = pytest.mark.django_db


class Fault:
    """Raises its errors one by one, then lets everything pass."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


@verb(Action.ORGANIZATION_CHANGED)
def rename(
    organization: Organization, *, name: str, then: Callable[[], None] = lambda: None, by: Access
) -> str:
    currency.claim(organization)
    organization.name = name
    organization.save(update_fields=["name"])
    record(Action.ORGANIZATION_CHANGED, by=by, target=organization)
    then()
    return name


@verb(Action.POLICY_CHANGED)
def rename_twice(organization: Organization, *, then: Callable[[], None] = lambda: None, by: Access) -> None:
    rename(organization, name="once", by=by)
    rename(organization, name="twice", then=then, by=by)


def deadlock() -> OperationalError:
    class FromDriver(Exception):
        sqlstate = "40P01"

    error = OperationalError("deadlock detected")
    error.__cause__ = FromDriver()
    return error


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def test_a_verb_answers_and_leaves_change_version_and_event(acme: Organization) -> None:
    assert rename(acme, name="New", by=operator) == "New"

    stored = Organization.objects.get()
    assert (stored.name, stored.version, acme.version) == ("New", 2, 2)
    assert events(action="organization.changed") == ["organization.changed allowed"]


@pytest.mark.parametrize("error", [Conflict("no"), RuntimeError("a defect")])
def test_what_fails_is_rolled_back_and_the_row_in_hand_is_as_before(
    acme: Organization, error: Exception
) -> None:
    with pytest.raises(type(error)):
        rename(acme, name="New", then=Fault(error), by=operator)

    assert (Organization.objects.get().name, acme.name, acme.version) == ("Acme", "Acme", 1)
    assert events(action="organization.changed") == []
    assert OutboxRow.objects.filter(payload__version=2).count() == 0


def test_a_verb_inside_a_verb_is_part_of_it(acme: Organization) -> None:
    with pytest.raises(Refused):
        rename_twice(acme, then=Fault(Refused("no", code="not_twice")), by=operator)

    denial = Event.objects.latest("id")
    assert (denial.action, denial.outcome, denial.reason) == (Action.POLICY_CHANGED, "denied", "not_twice")
    assert events(action="organization.changed") == []
    rename_twice(acme, by=operator)
    assert (Organization.objects.get().name, acme.version) == ("twice", 3)


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_is_tried_again_and_takes_effect_once(acme: Organization) -> None:
    fault = Fault(deadlock(), deadlock())

    rename(acme, name="New", then=fault, by=operator)

    assert (fault.calls, Organization.objects.get().version) == (3, 2)
    assert events(action="organization.changed") == ["organization.changed allowed"]


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_is_given_up_after_the_last_attempt(acme: Organization) -> None:
    fault = Fault(*(deadlock() for _ in range(ATTEMPTS)))

    with pytest.raises(OperationalError):
        rename(acme, name="New", then=fault, by=operator)

    assert (fault.calls, Organization.objects.get().name) == (ATTEMPTS, "Acme")


@pytest.mark.django_db(transaction=True)
def test_other_errors_of_the_database_are_not_tried_again(acme: Organization) -> None:
    fault = Fault(OperationalError("connection lost"))

    with pytest.raises(OperationalError):
        rename(acme, name="New", then=fault, by=operator)

    assert fault.calls == 1


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_of_the_events_insert_is_tried_again_too(acme: Organization) -> None:
    wrapped = Unavailable("The audit trail can't be written.")
    wrapped.__cause__ = deadlock()
    fault = Fault(wrapped)

    rename(acme, name="New", then=fault, by=operator)

    assert fault.calls == 2


@pytest.fixture
def unpublishable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_payloads: Any) -> None:
        raise ConnectionError("no Redis")

    monkeypatch.setitem(outbox._publishers, "versions", fails)


@pytest.mark.django_db(transaction=True)
def test_what_could_not_be_published_stays_owed_and_the_context_says_so(
    acme: Organization, unpublishable: None
) -> None:
    with context.bound(RequestContext()) as asked:
        rename(acme, name="New", by=operator)

    assert asked.effective_everywhere is False
    assert Organization.objects.get().name == "New"
    assert [row.payload["version"] for row in OutboxRow.objects.all()] == [2]


@pytest.mark.django_db(transaction=True)
def test_what_was_published_is_no_longer_owed(acme: Organization, settings: Any) -> None:
    with context.bound(RequestContext()) as asked:
        rename(acme, name="New", by=operator)

    assert asked.effective_everywhere is True
    assert OutboxRow.objects.count() == 0
    client: Any = Redis.from_url(settings.REDIS.state, decode_responses=True)
    assert client.get(currency.key("organization", acme.pk)) == "2"


def test_no_frame_is_left_behind(acme: Organization) -> None:
    with pytest.raises(Conflict), transaction.atomic():
        rename(acme, name="New", then=Fault(Conflict("no")), by=operator)

    assert frames.running() is None
