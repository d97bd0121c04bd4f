"""A house that starts with the wrong keys, or without one, stays closed: it never calls a valid token invalid."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from audit import triggers
from tests.attacks.processes import Answer, Web
from tests.factories import make_token
from tests.faults.database import everything
from tests.world import World, door
from tokens import peppers
from tokens.issuance import Issued

pytestmark = pytest.mark.fault

PEPPERS = {number: key.hex() for number, key in settings.PEPPERS.items()}
NEWEST = max(PEPPERS)
WRONG = "77" * 32


def with_peppers(keys: dict[int, str]) -> dict[str, str]:
    return {"TOKENHOUSE_PEPPERS": ",".join(f"{number}:{key}" for number, key in keys.items())}


@pytest.fixture(autouse=True)
def _nothing_proven_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process has proven was about a database that has been emptied since."""
    monkeypatch.setattr(peppers, "_proven", {})


SEALED = {
    "wrong": {**PEPPERS, NEWEST: WRONG},
    "missing": {number: key for number, key in PEPPERS.items() if number != NEWEST},
    "another instead": {NEWEST + 1: WRONG},
}


@pytest.mark.parametrize("keys", SEALED.values(), ids=SEALED)
def test_with_a_pepper_that_is_wrong_or_gone_nothing_is_verified(
    world: World, tmp_path: Path, keys: dict[int, str]
) -> None:
    issued = make_token(world.fleet, "machines:read")
    before = everything_but_the_check_values()
    with Web(tmp_path, with_peppers(keys)) as web:
        ready = web.send("/readyz")
        verified = ask(web, world, issued)
        listed = web.send("/api/v1/machines/", bearer(issued))
        up = web.send("/healthz")

    assert (ready.status, json.loads(ready.body)["code"]) == (503, "unavailable")
    assert json.loads(ready.body)["checks"]["peppers"] != "ok"
    for answer in (verified, listed):
        assert (answer.status, json.loads(answer.body)["code"]) == (503, "sealed")
        assert answer.headers["retry-after"]
    assert up.status == 200
    assert everything_but_the_check_values() == before


def test_with_the_same_peppers_and_a_newer_one_it_is_open(world: World, tmp_path: Path) -> None:
    issued = make_token(world.fleet, "machines:read")
    with Web(tmp_path, with_peppers({**PEPPERS, NEWEST + 1: WRONG})) as web:
        assert web.send("/readyz").status == 200
        assert ask(web, world, issued).status == 204


@pytest.mark.parametrize("name", ["audit_event_keeps", "audit_event_stays", "token_stays_ended"])
def test_without_one_of_its_triggers_it_is_not_ready(world: World, name: str) -> None:
    assert Client().get("/readyz").status_code == 200
    wanted = [trigger for trigger in triggers._triggers if trigger.name == name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triggers, "_triggers", wanted)
        triggers.remove()
    assert triggers.missing() == [name]

    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert name in answer.json()["checks"]["triggers"]
    triggers.install()
    assert Client().get("/readyz").status_code == 200


def everything_but_the_check_values() -> dict[str, Any]:
    """A pepper that was never used leaves its check value when it is first seen."""
    return {table: rows for table, rows in everything().items() if table != "tokens_peppercheck"}


def ask(web: Web, world: World, issued: Issued) -> Answer:
    return web.send(door(world), bearer(issued))


def bearer(issued: Issued) -> bytes:
    return f"Authorization: Bearer {issued.secret.reveal()}".encode()
