"""A real worker and beat, and receivers that are slow, dead, redirecting or inside: they delay nobody, get nothing that
they should not, and once they are back they get everything in its order."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.audit.listening import verified
from tests.servers.house import House
from tests.servers.receiver import Receiver
from tests.servers.smtp import Smtp

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]
DEADLINE = 60.0  # seconds
SOON = 15.0  # seconds: the beat's period is five, one call takes at most ten
NAMES = [f"Brightwater {number}" for number in range(6)]


@pytest.fixture
def owner(house: House) -> Iterator["Owner"]:
    owner = Owner(house)
    yield owner
    owner.close()


class Owner:
    """The owner of the first organization in their browser session, over the API."""

    def __init__(self, house: House) -> None:
        self._client = httpx.Client(base_url=house.url, timeout=30, follow_redirects=True)
        self._client.get("/admin/login/")
        form = {
            "username": house.username,
            "password": house.password,
            "csrfmiddlewaretoken": self._client.cookies["csrftoken"],
        }
        assert (
            self._client.post("/admin/login/", data=form, headers={"Referer": house.url}).status_code == 200
        )

    def close(self) -> None:
        self._client.close()

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {
            "X-CSRFToken": self._client.cookies["csrftoken"],
            "Origin": str(self._client.base_url).rstrip("/"),
        }
        answer = self._client.request(method, f"/api/v1/{path}", json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return json.loads(answer.content or "null")


def eventually(holds: Callable[[], bool], deadline: float = DEADLINE) -> float:
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < deadline, "did not come true in time"
        time.sleep(0.2)
    return time.monotonic() - start


def names_of(secret: str, receiver: Receiver) -> list[str]:
    """What the organization was called in each message, each name once, in the order in which it first came."""
    said = [verified(secret, got)["data"]["data"]["changes"]["name"][1] for got in receiver.got]
    return list(dict.fromkeys(said))


def test_bad_receivers_delay_nothing_and_get_nothing_that_they_should_not(
    house: House, mail_server: Smtp, owner: Owner
) -> None:
    organization = owner.send("GET", "organizations/?slug=brightwater")["results"][0]["id"]

    def listen(url: str) -> tuple[str, str]:
        body = {"url": url, "actions": ["organization.changed"], "organization": "brightwater"}
        made = owner.send("POST", "webhooks/", body)
        return made["id"], made["secret"]

    def state(webhook: str) -> list[str]:
        rows = owner.send("GET", f"webhooks/{webhook}/deliveries/")["results"]
        return [f"{row['state']} {row['last_error']}".strip() for row in reversed(rows)]

    with pytest.raises(AssertionError, match="must not be reached"):
        listen("http://127.0.0.2:81/")
    with (
        Receiver() as well,
        Receiver(wait=30.0) as slow,
        Receiver(address="127.0.0.2") as inside,
        Receiver(status=302, headers={"Location": f"http://127.0.0.2:{inside.port}/"}) as redirecting,
    ):
        with Receiver() as dead:
            pass  # nobody listens any more
        hooks = {"slow": listen(slow.url), "dead": listen(dead.url), "redirecting": listen(redirecting.url)}
        rebound = listen(f"http://localhost.example.invalid:{inside.port}/")
        _, secret = listen(well.url)

        took = []
        for name in NAMES:
            start = time.monotonic()
            owner.send("PATCH", f"organizations/{organization}/", {"name": name})
            took.append(time.monotonic() - start)
        waited = eventually(lambda: len(well.got) == len(NAMES), SOON)
        eventually(
            lambda: all("pending" in state(key)[0] and len(state(key)[0]) > 8 for key, _ in hooks.values())
        )
        mailed = len(mail_server.mails)
        outsider = {"username": "late", "name": "Late", "role": "member", "email": "late@example.org"}
        owner.send("POST", "members/", {**outsider, "organization": "brightwater"})
        eventually(lambda: len(mail_server.mails) > mailed, SOON)

        assert names_of(secret, well) == NAMES
        assert len(well.got) == len(NAMES), "none came twice"
        assert max(took) < 5.0, "no change waits for a receiver"
        assert waited < SOON
        assert house.status_of("/readyz") == 200
        assert inside.connections == 0
        assert "redirects are not followed" in state(hooks["redirecting"][0])[0]
        assert all(line == "pending" for line in state(hooks["redirecting"][0])[1:]), (
            "they wait behind the first"
        )
        assert len({got.headers["webhook-id"] for got in redirecting.got}) == 1
        assert len({got.headers["webhook-id"] for got in slow.got}) == 1
        assert "has no address" in state(rebound[0])[0]

        back = {"slow": slow, "redirecting": redirecting}
        slow.wait, redirecting.status, redirecting.headers = 0.0, 200, {}
        with Receiver(port=dead.port) as again:
            back["dead"] = again
            for kind, (key, of) in hooks.items():
                first = owner.send("GET", f"webhooks/{key}/deliveries/")["results"][-1]
                owner.send("POST", f"webhooks/{key}/deliveries/{first['id']}/retry/")
                eventually(lambda key=key: set(state(key)) == {"delivered"})  # type: ignore[misc]
                assert names_of(of, back[kind]) == NAMES, kind
        assert inside.connections == 0
