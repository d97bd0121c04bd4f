"""A restricted token at the doors: from where, when and how often it is let in, and what the trail says of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from config.edge import clock
from config.edge.clock import now
from tests.factories import events, last_event, make_superuser, make_token, operator, session
from tests.tokens.conftest import World
from tests.tokens.issuing import present
from tokens import lifecycle, secret
from tokens.changes import Edit
from tokens.issuance import Issued
from tokens.models import EmergencyAccess, Token
from tokens.restrictions import Restrictions, parse_networks, parse_rate, parse_windows

WHOAMI = "/api/v1/whoami/"
GATE = "/gate/verify?organization=acme&scope=machines:read&path=/fleets/edge"
TEN = Restrictions(networks=parse_networks(["10.0.0.0/8"]))
WEEKEND = Restrictions(windows=parse_windows([{"days": ["fri"], "start": "22:00", "end": "06:00"}]))
FRIDAY = datetime(2026, 1, 9, tzinfo=UTC)


def restricted(world: World, restrictions: Restrictions, *scopes: str) -> Issued:
    return make_token(world.edge, *(scopes or ("machines:read",)), restrictions=restrictions)


def rated(world: World, rate: str, *scopes: str) -> Issued:
    return restricted(world, Restrictions(rate=parse_rate(rate)), *scopes)


def call(issued: Issued | str, path: str = WHOAMI, *, peer: str = "127.0.0.1", **headers: str) -> Any:
    text = issued if isinstance(issued, str) else issued.secret.reveal()
    carried = headers or {"authorization": f"Bearer {text}"}
    return Client(headers=carried, REMOTE_ADDR=peer).get(path)


def told(answer: Any) -> str:
    """The status, with the code of a refusal."""
    return (
        str(answer.status_code)
        if answer.status_code < 400
        else f"{answer.status_code} {answer.json()['code']}"
    )


def bearer(issued: Issued, forwarded: str) -> dict[str, str]:
    return {"authorization": f"Bearer {issued.secret.reveal()}", "x-forwarded-for": forwarded}


# From where


@pytest.mark.parametrize(
    ("peer", "forwarded", "answer"),
    [
        ("10.1.2.3", "", "200"),
        ("::ffff:10.1.2.3", "", "200"),
        ("203.0.113.9", "", "403 network_not_allowed"),
        (
            "203.0.113.9",
            "10.1.2.3",
            "403 network_not_allowed",
        ),  # nobody's proxy: what it says changes nothing
        ("10.1.2.3", "203.0.113.9", "200"),
        ("192.0.2.1", "10.1.2.3", "200"),  # the configured proxy
        ("192.0.2.1", "203.0.113.9", "403 network_not_allowed"),
        ("192.0.2.1", "10.1.2.3, 203.0.113.9", "403 network_not_allowed"),  # the right-most untrusted decides
        ("192.0.2.1", "203.0.113.9, 10.1.2.3", "200"),
        ("192.0.2.1", "203.0.113.9, 10.1.2.3, 192.0.2.7", "200"),
        ("192.0.2.1", "::ffff:10.1.2.3", "200"),
        ("192.0.2.1", "10.1.2.3:4711", "403 network_not_allowed"),
        ("192.0.2.1", "unknown", "403 network_not_allowed"),
        ("192.0.2.1", "10.1.2.3, ", "403 network_not_allowed"),
        ("192.0.2.1", ", ".join(["10.1.2.3"] + ["192.0.2.2"] * 1000), "403 network_not_allowed"),
        ("192.0.2.1", "", "403 network_not_allowed"),
        ("", "", "403 network_not_allowed"),  # a unix socket without a proxy: nobody knows from where
        ("", "10.1.2.3", "403 network_not_allowed"),
    ],
)
def test_a_token_works_only_from_its_networks(
    world: World, settings: Any, peer: str, forwarded: str, answer: str
) -> None:
    settings.TRUSTED_PROXIES = ["192.0.2.0/24"]
    issued = restricted(world, TEN)
    headers = bearer(issued, forwarded) if forwarded else {}

    got = call(issued, peer=peer, **headers)

    assert told(got) == answer
    event = last_event(actor_type="token")
    assert (event.action, event.reason) == (
        ("token.used", "") if answer == "200" else ("token.denied", "network_not_allowed")
    )
    assert event.data.get("bypassed") is None
    at_the_gate = call(issued, GATE, peer=peer, **headers)
    assert at_the_gate.status_code == (204 if answer == "200" else 403)
    assert at_the_gate.get("X-Token-Denied") == (None if answer == "200" else "network_not_allowed")


@pytest.mark.parametrize("header", ["x-real-ip", "true-client-ip", "cf-connecting-ip", "forwarded"])
def test_no_other_header_says_from_where_a_call_comes(world: World, settings: Any, header: str) -> None:
    settings.TRUSTED_PROXIES = ["192.0.2.0/24"]
    issued = restricted(world, TEN)

    got = call(issued, peer="192.0.2.1", **{**bearer(issued, "203.0.113.9"), header: "10.1.2.3"})

    assert told(got) == "403 network_not_allowed"


def test_a_token_without_networks_works_from_where_nobody_knows(world: World) -> None:
    assert told(call(make_token(world.edge, "machines:read"), peer="")) == "200"


def test_a_restricted_token_changes_things_from_where_it_may(world: World) -> None:
    """A verb asks again in its transaction, from the same address, and its rate is not counted twice."""
    issued = restricted(
        world, Restrictions(TEN.networks, parse_rate("2/hour")), "machines:read", "snapshots:read"
    )
    client = Client(headers={"authorization": f"Bearer {issued.secret.reveal()}"}, REMOTE_ADDR="10.1.2.3")

    narrowed = client.patch("/api/v1/token/", {"scopes": ["machines:read"]}, content_type="application/json")

    assert told(narrowed) == "200"
    assert narrowed["RateLimit"].startswith('"token";r=1;')
    assert present(issued).scopes == ["machines:read"]


# When


@pytest.mark.parametrize(
    ("hours", "answer"),
    [
        (22, "200"),
        (23, "200"),
        (29.999, "200"),
        (30, "403 outside_access_window"),
        (5, "403 outside_access_window"),
        (21.999, "403 outside_access_window"),
        (46, "403 outside_access_window"),
    ],
)
def test_a_token_works_only_in_its_windows(world: World, hours: float, answer: str) -> None:
    issued = restricted(world, WEEKEND)

    with clock.at(FRIDAY + timedelta(hours=hours)):
        assert told(call(issued)) == answer
    assert last_event(actor_type="token").reason == answer.partition(" ")[2]


# How often


def test_a_rate_admits_its_count_and_says_what_is_left(world: World) -> None:
    issued = rated(world, "2/minute")

    first, second, third = call(issued), call(issued, GATE), call(issued)

    assert [told(first), told(second), told(third)] == ["200", "204", "429 rate_limited"]
    assert first["RateLimit-Policy"] == '"token";q=2;w=60'
    assert [answer["RateLimit"].partition(";t")[0] for answer in (first, second, third)] == [
        '"token";r=1',
        '"token";r=0',
        '"token";r=0',
    ]
    assert 58 <= int(third["Retry-After"]) <= 60
    assert third["RateLimit"] == f'"token";r=0;t={third["Retry-After"]}'
    assert "Retry-After" not in first
    assert events(actor_type="token") == ["token.used allowed", "token.used allowed", "token.denied denied"]
    at_the_gate = call(issued, f"{GATE}&deny=403")
    assert (at_the_gate.status_code, at_the_gate["X-Token-Denied"]) == (403, "rate_limited")
    assert int(at_the_gate["Retry-After"]) > 0
    assert call(issued, GATE).status_code == 429


def test_a_token_that_narrows_its_own_period_is_admitted_no_more_calls_by_it(world: World) -> None:
    issued = make_token(world.admin, "tokens:manage", restrictions=Restrictions(rate=parse_rate("3/second")))
    path = f"/api/v1/tokens/{issued.token.pk}/restrictions/"
    client = Client(headers={"authorization": f"Bearer {issued.secret.reveal()}"})

    with clock.at(now()):
        answers = [client.get(WHOAMI)]
        for period in ("minute", "hour"):
            body = {
                "allowed_networks": None,
                "rate_limit": f"3/{period}",
                "access_windows": None,
                "reason": "More calls",
            }
            answers.append(client.put(path, body, content_type="application/json"))
        answers += [client.get(WHOAMI), call(issued, GATE)]

    assert [told(answer) for answer in answers] == ["200"] * 3 + ["429 rate_limited"] * 2
    assert answers[3]["RateLimit-Policy"] == '"token";q=3;w=3600'


def test_a_token_without_a_rate_says_nothing_of_one(world: World) -> None:
    answer = call(make_token(world.edge, "machines:read"))

    assert not {"RateLimit", "RateLimit-Policy", "Retry-After"} & set(answer.headers)


def test_after_its_wait_a_call_is_admitted(world: World) -> None:
    issued = rated(world, "1/minute")
    start = now()
    with clock.at(start):
        assert told(call(issued)) == "200"
    with clock.at(start + timedelta(seconds=30)):
        refused = call(issued)
        told_at = now()
    wait = timedelta(seconds=int(refused["Retry-After"]))  # rounded up, by less than a second
    with clock.at(told_at + wait - timedelta(seconds=2)):
        assert told(call(issued)) == "429 rate_limited"
    with clock.at(told_at + wait):
        assert told(call(issued)) == "200"


def test_calls_that_lack_the_scope_count_and_a_full_window_answers_before_it(world: World) -> None:
    issued = rated(world, "2/hour")
    lacking = GATE.replace("machines:read", "machines:operate")

    answers = [call(issued, lacking), call(issued, lacking), call(issued, lacking), call(issued)]

    assert [told(answer) for answer in answers] == [
        "403 insufficient_scope",
        "403 insufficient_scope",
        "429 rate_limited",
        "429 rate_limited",
    ]


def test_what_is_refused_earlier_does_not_count(world: World) -> None:
    issued = restricted(world, Restrictions(TEN.networks, parse_rate("1/hour")))
    for _ in range(3):
        assert told(call(issued, peer="192.0.2.1")) == "403 network_not_allowed"
    lifecycle.disable(present(issued), by=operator)
    assert told(call(issued, peer="10.0.0.1")) == "401 token_disabled"
    lifecycle.enable(present(issued), by=operator)

    assert told(call(issued, peer="10.0.0.1")) == "200"


def test_nobody_uses_up_the_calls_of_a_token_that_is_not_theirs(world: World) -> None:
    issued = rated(world, "1/hour")
    text = issued.secret.reveal()
    wrong = secret.generate("fleet", issued.token.pk)
    named = {"authorization": f"PVEAPIToken=somebody!{issued.token.name}={text}"}

    for _ in range(3):
        assert told(call(wrong)) == "401 token_invalid"
        assert told(call(issued, **named)) == "401 token_invalid"
        assert call(issued, GATE.replace("acme", "other")).status_code == 401

    assert told(call(issued)) == "200"


def test_the_same_calls_are_counted_whatever_the_token_is_called_and_however_it_is_carried(
    world: World,
) -> None:
    issued = rated(world, "3/hour")
    assert told(call(issued)) == "200"
    lifecycle.edit(present(issued), change=Edit(name="renamed"), by=operator)
    rotated = lifecycle.rotate(present(issued), overlap=timedelta(hours=1), by=operator)
    principal = issued.token.principal.username

    assert told(call(rotated, **{"x-auth-token": rotated.secret.reveal()})) == "200"
    pve = f"PVEAPIToken={principal}!renamed={issued.secret.reveal()}"
    assert told(call(issued, authorization=pve)) == "200"
    assert told(call(issued)) == "429 rate_limited"
    assert told(call(rotated)) == "429 rate_limited"
    assert told(call(rotated, GATE, peer="2001:db8::1")) == "429 rate_limited"


# In an emergency


@contextmanager
def emergency(issued: Issued, hours: int = 1) -> Iterator[EmergencyAccess]:
    at = now()
    window = EmergencyAccess.objects.create(
        token=issued.token,
        started_by=make_superuser(),
        reason="The proxy burns",
        hours=hours,
        starts_at=at,
        ends_at=at + timedelta(hours=hours),
    )
    Token.objects.filter(pk=issued.token.pk).update(open_emergency=window)
    yield window


def test_an_emergency_window_lifts_networks_and_each_call_names_it(world: World) -> None:
    issued = restricted(world, Restrictions(TEN.networks, parse_rate("2/hour")))
    assert told(call(issued)) == "403 network_not_allowed"

    with emergency(issued) as window:
        assert told(call(issued)) == "200"
        event = last_event(actor_type="token")
        assert (event.data["emergency"], event.data["bypassed"]) == (str(window.pk), ["network"])
        assert told(call(issued, peer="10.0.0.1")) == "200"  # would have been let in anyway
        assert "emergency" not in last_event(actor_type="token").data
        assert told(call(issued)) == "429 rate_limited"  # the rate stays
        with clock.at(window.ends_at):
            assert told(call(issued)) == "403 network_not_allowed"
    lifecycle.disable(present(issued), by=session(world.manager))
    assert told(call(issued)) == "401 token_disabled"


def test_a_refused_call_that_needed_the_window_names_it_too(world: World) -> None:
    issued = restricted(world, TEN)
    with emergency(issued) as window:
        assert call(issued, GATE.replace("machines:read", "machines:operate")).status_code == 403

    event = last_event(actor_type="token")
    assert (event.reason, event.data["emergency"]) == ("insufficient_scope", str(window.pk))


def test_a_window_that_was_stopped_lifts_nothing(world: World) -> None:
    issued = restricted(world, TEN)
    with emergency(issued) as window:
        EmergencyAccess.objects.filter(pk=window.pk).update(ended_at=now())

    assert told(call(issued)) == "403 network_not_allowed"
