"""Idempotency-Key: once for a caller and key, however often and however concurrently it is sent."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import time_machine
from django.db import connections
from rest_framework.test import APIClient

from config.edge.clock import now
from config.edge.models import IdempotencyKey
from config.edge.tasks import forget_idempotency_keys
from fleets.models import Fleet, Machine
from tests.factories import (
    API,
    events,
    fleet_member,
    make_fleet,
    make_organization,
    member,
    owner_of,
    session_client,
)

pytestmark = pytest.mark.django_db
MACHINES = f"{API}machines/"
THREADS = 8


@pytest.fixture
def edge() -> Fleet:
    return make_fleet(make_organization("acme"), "edge")


def register(client: APIClient, name: str, key: str) -> Any:
    return client.post(MACHINES, {"fleet": "edge", "name": name}, headers={"idempotency-key": key})


def test_the_same_key_and_body_replay_the_answer(edge: Fleet) -> None:
    client = session_client(owner_of(edge.organization))

    first, again = register(client, "m", "k"), register(client, "m", "k")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (first.has_header("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (False, "true")
    assert events(action="machine.registered") == ["machine.registered allowed"]


def test_the_same_key_for_another_request_is_422(edge: Fleet) -> None:
    client = session_client(owner_of(edge.organization))
    register(client, "m", "k")

    assert register(client, "other", "k").json()["code"] == "idempotency_key_reused"
    elsewhere = client.post(f"{API}groups/", {"slug": "g", "name": "g"}, headers={"idempotency-key": "k"})
    assert elsewhere.status_code == 422
    assert Machine.objects.count() == 1


def test_a_key_is_its_callers_own(edge: Fleet) -> None:
    one, other = (
        session_client(owner_of(edge.organization)),
        session_client(member(edge.organization, "admin")),
    )

    assert (register(one, "m1", "k").status_code, register(other, "m2", "k").status_code) == (201, 201)
    assert Machine.objects.count() == 2


def test_what_failed_may_be_tried_again_under_the_same_key(edge: Fleet) -> None:
    client = session_client(owner_of(edge.organization))
    blocker = register(client, "m", "first").json()
    assert register(client, "m", "k").status_code == 409

    client.delete(f"{MACHINES}{blocker['id']}/")

    assert register(client, "m", "k").status_code == 201


def test_a_key_is_remembered_for_a_day(edge: Fleet) -> None:
    client = session_client(owner_of(edge.organization))
    register(client, "m1", "k")

    with time_machine.travel(now() + timedelta(hours=25), tick=False):
        client = session_client(owner_of(edge.organization))
        assert register(client, "m2", "k").status_code == 201
        assert IdempotencyKey.objects.count() == 1

    with time_machine.travel(now() + timedelta(hours=50), tick=False):
        forget_idempotency_keys()
    assert IdempotencyKey.objects.count() == 0


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "ä", "a b", "a\tb"])
def test_a_key_that_is_not_well_formed_is_400(edge: Fleet, key: str) -> None:
    client = session_client(owner_of(edge.organization))

    assert register(client, "m", key).json()["code"] == "bad_idempotency_key"
    assert register(client, "m", "x" * 255).status_code == 201


def test_who_lost_the_right_is_not_shown_the_answer_again(edge: Fleet) -> None:
    manager = fleet_member(edge, "manager")
    client = session_client(manager)
    assert register(client, "m", "k").status_code == 201

    session_client(owner_of(edge.organization)).delete(
        f"{API}fleets/{edge.pk}/members/{manager.fleet_memberships.get().pk}/"
    )

    assert register(client, "m", "k").status_code == 403


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_eight_at_once_create_one(rounds: int) -> None:
    edge = make_fleet(make_organization("acme"), "edge")
    owner = owner_of(edge.organization)
    clients = [session_client(owner) for _ in range(THREADS)]
    for round_ in range(rounds):
        start = Barrier(THREADS)

        def send(
            client: APIClient, name: str = f"m{round_}", start: Barrier = start
        ) -> tuple[int, str | None]:
            try:
                start.wait(10)
                response = register(client, name, name)
                return response.status_code, response.json().get("id")
            finally:
                connections.close_all()

        with ThreadPoolExecutor(THREADS) as pool:
            answers = list(pool.map(send, clients))

        machine = Machine.objects.get(name=f"m{round_}")
        assert {status for status, _ in answers} <= {201, 409}
        assert any(status == 201 for status, _ in answers)
        assert {key for _, key in answers} == {str(machine.pk)}
