"""Workers compete for one endpoint: no message is sent twice or before an earlier one, whoever sends it."""

from collections.abc import Callable
from typing import Any

import pytest

from audit.models import WebhookDelivery, WebhookEndpoint
from audit.webhooks import delivering, endpoints
from config.edge.clock import now
from fleets import organizations
from fleets.models import Organization
from tests.audit.listening import LOOPBACK, deliver, listen, verified
from tests.factories import operator
from tests.races.contest import COMPETITORS, codes, contest
from tests.servers.receiver import Receiver
from tests.world import World

pytestmark = [pytest.mark.race, pytest.mark.timeout(900)]
MESSAGES = 12


@pytest.fixture(autouse=True)
def _loopback_is_allowed(settings: Any) -> None:
    settings.OUTGOING_NETWORKS = [LOOPBACK]


def rename(world: World, name: str) -> None:
    organizations.rename(Organization.objects.get(pk=world.organization.pk), name=name, by=operator)


def delivering_all() -> int:
    return sum(deliver() for _ in range(5))


def test_many_workers_at_one_endpoint_never_double_or_reorder(world: World, rounds: int) -> None:
    for _ in range(rounds):
        with Receiver(wait=0.002) as receiver:
            revealed = listen(world.organization, receiver, "organization.changed")
            for number in range(MESSAGES):
                rename(world, f"Name {number}")

            taken = contest(*[delivering_all] * COMPETITORS)
            while deliver():
                pass

        ids = [got.headers["webhook-id"] for got in receiver.got]
        owed = revealed.endpoint.deliveries.order_by("pk").values_list("event_id", flat=True)
        assert ids == [str(event_id) for event_id in owed]
        assert len(ids) == MESSAGES
        assert sum(taken) <= MESSAGES
        assert {verified(revealed.secret, got)["type"] for got in receiver.got} == {"organization.changed"}
        assert not WebhookEndpoint.objects.exclude(leased_until=None).exists()
        endpoints.remove(WebhookEndpoint.objects.get(pk=revealed.endpoint.pk), by=operator)


def test_sending_again_dropping_and_delivering_at_once_leave_each_message_in_one_state(
    world: World, rounds: int
) -> None:
    for _ in range(rounds):
        with Receiver(wait=0.002) as receiver:
            revealed = listen(world.organization, receiver, "organization.changed")
            for number in range(3):
                rename(world, f"Name {number}")
            revealed.endpoint.deliveries.update(state=WebhookDelivery.State.DEAD)
            rows = list(revealed.endpoint.deliveries.order_by("pk"))

            outcomes = contest(
                *(retrying(row) for row in rows),
                *(dropping(row) for row in rows[:2]),
                *[delivering_all] * 3,
            )
            while deliver():
                pass

        assert codes(outcomes) <= {"illegal_move", "not_found"}
        left = list(revealed.endpoint.deliveries.order_by("pk"))
        assert {row.state for row in left} <= {WebhookDelivery.State.DELIVERED}
        assert rows[2].pk in {row.pk for row in left}, "nobody dropped it"
        sent = [got.headers["webhook-id"] for got in receiver.got]
        assert {str(row.event_id) for row in left} <= set(sent)
        assert delivering.oldest_due() is None or delivering.oldest_due() > now()  # type: ignore[operator]
        endpoints.remove(WebhookEndpoint.objects.get(pk=revealed.endpoint.pk), by=operator)


def retrying(row: WebhookDelivery) -> Callable[[], object]:
    mine = WebhookDelivery.objects.select_related("endpoint").get(pk=row.pk)
    return lambda: endpoints.retry(mine, by=operator)


def dropping(row: WebhookDelivery) -> Callable[[], object]:
    mine = WebhookDelivery.objects.select_related("endpoint").get(pk=row.pk)
    return lambda: endpoints.drop(mine, by=operator)
