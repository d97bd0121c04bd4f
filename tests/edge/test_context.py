"""Request ids: ours on every answer, the client's own beside it where it is well formed."""

from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.test import Client

from config.edge import context
from config.edge.context import RequestContext
from config.edge.ids import parsed_uuid, uuid7
from tests.factories import API, last_event, make_organization, owner_of, session_client


def test_every_answer_has_an_id_of_its_own() -> None:
    ids = [Client().get("/healthz")["X-Request-ID"] for _ in range(3)]

    assert len(set(ids)) == 3
    assert all(UUID(text).version == 7 for text in ids)


@pytest.mark.parametrize("sent", ["a", "A.b_c-9", "x" * 64])
def test_a_clients_own_id_is_echoed_beside_ours(sent: str) -> None:
    answer = Client().get("/healthz", headers={"x-request-id": sent})

    assert answer["X-Client-Request-ID"] == sent
    assert answer["X-Request-ID"] != sent


@pytest.mark.parametrize(
    "sent", ["", "x" * 65, "a b", "a\r\nSet-Cookie: x=1", "ä", "a\x00", "<script>", "a,b", "１"]
)
def test_an_id_that_is_not_well_formed_is_dropped(sent: str) -> None:
    answer = Client().get("/healthz", headers={"x-request-id": sent})

    assert answer.status_code == 200
    assert not answer.has_header("X-Client-Request-ID")


@pytest.mark.django_db
def test_an_event_bears_both_ids_and_a_printable_agent() -> None:
    client = session_client(owner_of(make_organization()))

    answer = client.post(
        f"{API}fleets/",
        {"slug": "edge", "name": "Edge"},
        headers={"x-request-id": "mine", "user-agent": "evil\x1b[31m\u202e" + "x" * 500},
    )

    event = last_event()
    assert (event.request_id, event.client_request_id) == (answer["X-Request-ID"], "mine")
    assert event.user_agent.isprintable()
    assert event.user_agent.startswith("evil\\x1b[31m")
    assert len(event.user_agent) == 300


def test_outside_of_a_request_there_is_a_fresh_context() -> None:
    assert context.current().request_id != context.current().request_id
    with context.bound(RequestContext(request_id="one")):
        with context.bound(RequestContext(request_id="two")):
            assert context.current().request_id == "two"
        assert context.current().request_id == "one"


def test_ids_sort_by_their_age() -> None:
    with time_machine.travel(1_700_000_000, tick=False) as clock:
        ids = []
        for _ in range(5):
            ids.append(uuid7())
            clock.shift(0.002)

    assert ids == sorted(ids)
    assert {key.version for key in ids} == {7}
    assert {key.variant for key in ids} == {"specified in RFC 4122"}


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text.replace("-", ""), lambda text: f"{{{text}}}", lambda _: "1"]
)
def test_an_id_has_one_spelling(change: Any) -> None:
    text = str(uuid7())[:-1] + "a"

    assert parsed_uuid(text) == UUID(text)
    assert parsed_uuid(change(text)) is None


@pytest.mark.parametrize(("proxies", "is_secure"), [([], False), (["127.0.0.0/8"], True)])
def test_the_scheme_is_believed_only_from_a_trusted_proxy(
    proxies: list[str], is_secure: bool, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = proxies
    settings.SECURE_HSTS_SECONDS = 60

    answer = Client().get("/healthz", headers={"x-forwarded-proto": "https"})

    assert answer.has_header("Strict-Transport-Security") == is_secure
