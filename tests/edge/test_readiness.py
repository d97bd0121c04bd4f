"""`/readyz` and `/metrics`: what waits, since when, and whether anybody is there to do it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from audit.models import OutboxRow
from config.edge import health
from config.edge.clock import now
from config.edge.models import Timer
from config.edge.tasks import heartbeat
from tests.factories import fresh_session, make_fleet, make_organization, make_superuser, make_token
from tokens import emergency, sweeps
from tokens.models import Token

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _just_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_since", now())


def ready() -> dict[str, Any]:
    answer = Client().get("/readyz")
    assert answer.status_code == 200, "late work degrades, it does not fail"
    told: dict[str, Any] = answer.json()
    return told


def scraped(**options: Any) -> dict[tuple[str, str], float]:
    answer = Client().get("/metrics", **options)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name.removeprefix("tokenhouse_"), next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_nothing_waits_in_a_house_whose_worker_is_there() -> None:
    heartbeat()

    told = ready()

    assert told["status"] == "ready"
    assert {"outbox", "expiries", "emergency_ends", "requests"} <= told["oldest_due"].keys()
    assert set(told["oldest_due"].values()) == {None}
    assert told["last_heartbeat"].endswith("Z")


def test_a_worker_that_gives_no_sign_of_life_degrades(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ready()["checks"]["heartbeat"] == "ok", "it has just begun"
    monkeypatch.setattr(health, "_since", now() - HOUR)
    never = ready()
    heartbeat()
    assert ready()["status"] == "ready"
    Timer.objects.update(done_at=now() - timedelta(minutes=2))
    late = ready()
    monkeypatch.setattr(health, "_since", now())

    assert (never["status"], never["checks"]["heartbeat"]) == ("degraded", health.WORKER_IS_AWAY)
    assert late["status"] == "degraded"
    assert ready()["status"] == "ready", "this process has begun anew, and the worker with it"


def test_work_that_waits_too_long_degrades_and_says_since_when() -> None:
    heartbeat()
    make_token(make_fleet(make_organization(), "edge"), "machines:read")
    Token.objects.update(expires_at=now())
    young = ready()
    Timer.objects.update(done_at=now() + HOUR)
    with time_machine.travel(now() + HOUR):
        old = ready()
        seconds = scraped()["oldest_due_seconds", "expiries"]
        sweeps.record_expiries()
        assert ready()["status"] == "ready"
    assert young["status"] == "ready"
    assert young["oldest_due"]["expiries"] >= 0
    assert (old["status"], round(seconds / 60)) == ("degraded", 60)
    assert old["checks"]["expiries"].startswith("the oldest has waited for 36")


def test_every_kind_of_due_work_is_seen() -> None:
    issued = make_token(make_fleet(make_organization(), "edge"), "machines:read")
    emergency.start(issued.token, hours=1, reason="An outage.", by=fresh_session(make_superuser()))
    OutboxRow.objects.create(kind="versions", payload={}, created_at=now(), due_at=now())

    with time_machine.travel(now() + 2 * HOUR):
        checks = ready()["checks"]

    assert {name for name, trouble in checks.items() if trouble != "ok"} == {
        "outbox",
        "emergency_ends",
        "heartbeat",
    }


def test_metrics_tell_what_the_database_holds_whichever_process_is_asked() -> None:
    heartbeat()
    fleet = make_fleet(make_organization("acme"), "edge")
    active, disabled, expired = (make_token(fleet, "machines:read") for _ in range(3))
    Token.objects.filter(pk=disabled.token.pk).update(status="disabled")
    Token.objects.filter(pk=expired.token.pk).update(expires_at=now())
    ask = {"organization": "acme", "scope": "machines:read", "path": "/fleets/edge"}
    for issued in (active, active, disabled):
        Client(headers={"authorization": f"Bearer {issued.secret.reveal()}"}).get("/gate/verify", ask)

    found = scraped()

    statuses = {label: value for (name, label), value in found.items() if name == "tokens"}
    assert statuses == {
        "active": 1,
        "disabled": 1,
        "expired": 1,
        "pending": 0,
        "revoked": 0,
        "rejected": 0,
    }
    assert found["verifications_last_minute", "allowed"] == 2
    assert found["verifications_last_minute", "denied"] == 1
    assert found["approvals_open", ""] == 0
    assert found["heartbeat_age_seconds", ""] < 60
    assert found["oldest_due_seconds", "outbox"] == 0


def test_an_age_that_nobody_can_tell_is_no_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> datetime | None:
        raise RuntimeError("the query failed")

    broken = health.Due(fails, timedelta(minutes=1))
    monkeypatch.setattr(health, "_due", {**health._due, "expiries": broken})

    found = scraped()

    assert ("oldest_due_seconds", "expiries") not in found
    assert found["oldest_due_seconds", "outbox"] == 0
    assert ready()["oldest_due"]["expiries"] is None


@pytest.mark.parametrize(
    ("allowed", "options", "status"),
    [
        ([], {}, 404),
        (["127.0.0.0/8"], {}, 200),
        (["127.0.0.0/8"], {"REMOTE_ADDR": "192.0.2.7"}, 404),
        (["192.0.2.0/24"], {"REMOTE_ADDR": "192.0.2.7"}, 200),
        (["192.0.2.0/24"], {"REMOTE_ADDR": "::ffff:192.0.2.7"}, 200),
        (["127.0.0.0/8"], {"REMOTE_ADDR": ""}, 404),
        (["127.0.0.0/8"], {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 404),  # by a proxy that nobody has named
        (["127.0.0.0/8"], {"REMOTE_ADDR": "192.0.2.7", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 404),
    ],
)
def test_metrics_are_for_configured_networks_alone(
    allowed: list[str], options: dict[str, str], status: int, settings: Any
) -> None:
    settings.METRICS_NETWORKS = allowed

    answer = Client().get("/metrics", **options)  # type: ignore[arg-type]

    assert answer.status_code == status
    if status == 404:
        assert answer.json()["code"] == "not_found"
        assert b"tokenhouse_" not in answer.content


def test_metrics_are_read_alone() -> None:
    assert Client().post("/metrics").status_code == 405
