"""The trail's bulk form: whatever one event promises, each of many keeps."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.actions import Action
from audit.models import AppendOnly, Event
from audit.trail import BATCH, Target, record, record_all
from config.edge import context
from config.edge.access import Actor
from config.edge.context import RequestContext
from config.edge.refusals import Unavailable
from fleets.access import TrustedAccess
from tests.factories import make_organization, operator

pytestmark = pytest.mark.django_db

SECRET = "thf_0123456789abcdef_ABCDEFGHIJKLMNOPqrstuvwxyz012345aaaaaa"
ACTION = Action.TOKEN_REVOKED
# Everything that has to survive on its way into a statement, or must not.
DATA: dict[str, Any] = {
    "status_reason": "by_hand",
    "text": 'a "b" \\ {c} %s é 漢',
    "n": [1, None, True],
    "s": SECRET,
}
ASKED = RequestContext(
    client_request_id="theirs-1", address="2001:db8::1", user_agent=f"agent {SECRET} '\"\\{{}},%s"
)
BY = TrustedAccess(Actor("system", "operator", f"root@{SECRET}"), Actor("person", "7", "ada"))


def targets(count: int = 2) -> list[Target]:
    organization = uuid4()
    return [
        Target("token", f"id-{number}", f"token {number} {SECRET} '\"\\{{}},%s NULL", organization)
        for number in range(count)
    ]


def written(event: Event) -> dict[str, Any]:
    names = [field.attname for field in Event._meta.concrete_fields if field.attname not in {"id", "at"}]
    return {name: getattr(event, name) for name in names}


def test_each_event_is_as_one_alone_would_be() -> None:
    about = [*targets(), Target("installation", "", "installation")]
    with context.bound(ASKED):
        for target in about:
            record(ACTION, by=BY, target=target, data=DATA, reason=f"because {SECRET} {{}}")
        alone = [written(event) for event in Event.objects.order_by("id")]
        record_all(ACTION, by=BY, targets=about, data=DATA, reason=f"because {SECRET} {{}}")

    together = [written(event) for event in Event.objects.order_by("id")][len(about) :]
    assert together == alone
    assert "ABCDEFGHIJKLMNOP" not in str(together)
    assert {event["request_id"] for event in together} == {ASKED.request_id}


def test_ids_are_their_own_and_sort_by_age() -> None:
    record_all(ACTION, by=operator, targets=targets(50))
    record(ACTION, by=operator, target=targets(1)[0])

    found = list(Event.objects.order_by("id").values_list("id", "at"))
    assert len({pk for pk, _ in found}) == 51
    assert {pk.version for pk, _ in found} == {7}
    assert [at for _, at in found] == sorted(at for _, at in found)
    assert found[-1][1] == Event.objects.latest("id").at


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1])
def test_as_many_events_as_targets(count: int) -> None:
    record_all(ACTION, by=operator, targets=targets(count))

    assert Event.objects.count() == count
    assert Event.objects.values("target_id").distinct().count() == count


def test_they_are_part_of_the_callers_transaction() -> None:
    with transaction.atomic():
        record_all(ACTION, by=operator, targets=targets())
        transaction.set_rollback(True)

    assert not Event.objects.exists()


def test_what_can_not_be_written_is_unavailable_and_leaves_nothing() -> None:
    too_long = Target("t" * 31, "id", "label", make_organization().pk)
    before = Event.objects.count()
    if connection.vendor == "sqlite":
        pytest.skip("SQLite keeps texts of any length")

    with pytest.raises(Unavailable), transaction.atomic():
        record_all(ACTION, by=operator, targets=[*targets(), too_long])

    assert Event.objects.count() == before


def test_they_can_not_be_changed_afterwards() -> None:
    record_all(ACTION, by=operator, targets=targets())

    with pytest.raises(AppendOnly):
        Event.objects.update(reason="other")
    with pytest.raises(AppendOnly):
        Event.objects.latest("id").delete()


def test_a_thousand_are_few_statements() -> None:
    with CaptureQueriesContext(connection) as captured:
        record_all(ACTION, by=operator, targets=targets(1000))

    writing = [statement["sql"] for statement in captured if statement["sql"].startswith("INSERT")]
    assert len(writing) <= (1 if connection.vendor == "postgresql" else 60)
    assert len(captured) - len(writing) == 1, "which webhooks listen is asked once"
