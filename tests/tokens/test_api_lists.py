"""`GET /api/v1/tokens/`: what is listed, filters, pages, and what a list costs."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from config.edge.clock import now
from fleets.models import Fleet
from tests.factories import (
    API,
    make_machine,
    make_member,
    make_superuser,
    make_token,
    member,
    session_client,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import with_status
from tests.tokens.test_api import code
from tokens.issuance import GrantWish, Issued
from tokens.models import Token

TOKENS = f"{API}tokens/"
DAY = timedelta(days=1)


def listed(client: APIClient, **filters: Any) -> set[str]:
    response = client.get(TOKENS, filters)
    assert response.status_code == 200, response.json()
    return {token["id"] for token in response.json()["results"]}


def ids(*issued: Issued) -> set[str]:
    return {one.token.pk for one in issued}


@pytest.fixture
def owner(world: World) -> APIClient:
    return session_client(world.owner)


def test_a_list_holds_what_the_caller_may_see(world: World, other: Fleet) -> None:
    edge, core = make_token(world.edge, "machines:read"), make_token(world.core, "machines:read")
    own, owners = make_token(world.manager, "machines:read"), make_token(world.owner, "machines:read")
    foreign = make_token(other, "machines:read")

    seen = {
        "owner": (world.owner, ids(edge, core, own, owners)),
        "admin": (world.admin, ids(edge, core, own, owners)),
        "auditor": (world.auditor, ids(edge, core, own, owners)),
        "manager": (world.manager, ids(edge, own)),
        "member": (member(world.acme), set()),
        "superuser": (make_superuser(), ids(edge, core, own, owners)),
    }
    assert {who: listed(session_client(user), organization="acme") for who, (user, _) in seen.items()} == {
        who: expected for who, (_, expected) in seen.items()
    }
    elsewhere = listed(session_client(make_superuser()), organization=other.organization.slug)
    assert elsewhere == ids(foreign)


def test_a_tokens_list_is_its_persons_and_never_another_organizations(world: World, other: Fleet) -> None:
    edge, own = make_token(world.edge, "machines:read"), make_token(world.manager, "machines:read")
    make_token(world.core, "machines:read")
    make_member(other.organization, "admin", user=world.manager)
    elsewhere = make_token(other, "machines:read")
    reading = make_token(world.manager, "tokens:read", organization=world.acme)

    assert listed(token_client(reading)) == ids(edge, own, reading)
    person = session_client(world.manager)
    assert listed(person, organization="acme") == ids(edge, own, reading)
    assert listed(person, organization=other.organization.slug) == ids(elsewhere)
    assert code(person.get(TOKENS)) == (400, "organization_required")
    assert token_client(own).get(TOKENS).status_code == 403


STATUSES = ("pending", "active", "expired", "disabled", "rejected", "revoked")


def test_a_status_filter_is_of_the_status_that_is_true_now_and_none_leaves_out_what_has_ended(
    world: World, owner: APIClient
) -> None:
    issued = {status: with_status(world.edge, status) for status in STATUSES}
    late = with_status(world.edge, "disabled")
    Token.objects.filter(pk=late.token.pk).update(expires_at=now() - DAY)
    never = make_token(world.edge, "machines:read")
    Token.objects.filter(pk=never.token.pk).update(expires_at=None)
    overdue = with_status(world.edge, "pending")
    Token.objects.filter(pk=overdue.token.pk).update(expires_at=now() - DAY)

    found = {status: listed(owner, status=status) for status in STATUSES}

    assert found == {
        "pending": ids(issued["pending"], overdue),
        "active": ids(issued["active"], never),
        "expired": ids(issued["expired"], late),
        "disabled": ids(issued["disabled"]),
        "rejected": ids(issued["rejected"]),
        "revoked": ids(issued["revoked"]),
    }
    assert listed(owner) == set().union(*(found[s] for s in STATUSES if s not in ("rejected", "revoked")))
    shown = {
        token["id"]: token["status"]
        for status in STATUSES
        for token in owner.get(TOKENS, {"status": status}).json()["results"]
    }
    assert shown == {pk: status for status, pks in found.items() for pk in pks}


def test_the_other_filters_narrow_by_what_they_say(world: World, owner: APIClient) -> None:
    reads = make_token(world.edge, "machines:read", machines=[world.edge_1])
    operates = make_token(world.core, "machines:read", "machines:operate")
    own = make_token(world.manager, "machines:configure")
    start = now()
    Token.objects.filter(pk=reads.token.pk).update(
        expires_at=start + DAY, created_at=start - 9 * DAY, name="nightly-build"
    )
    Token.objects.filter(pk=operates.token.pk).update(expires_at=None, last_used_at=start - 3 * DAY)

    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({}, ids(reads, operates, own)),
        ({"kind": "fleet"}, ids(reads, operates)),
        ({"kind": "personal"}, ids(own)),
        ({"owner": "fleet:edge"}, ids(reads)),
        ({"owner": world.manager.username}, ids(own)),
        ({"owner": world.manager.username.upper()}, ids(own)),
        ({"owner": world.owner.username}, set()),
        ({"risk": "low"}, ids(reads)),
        ({"risk": "medium"}, ids(operates)),
        ({"risk": "high"}, ids(own)),
        ({"scope": "machines:read"}, ids(reads, operates)),
        ({"scope": "machines:configure"}, ids(own)),
        ({"scope": "audit:read"}, set()),
        ({"machine": str(world.edge_1.pk)}, ids(reads)),
        ({"machine": str(world.edge_2.pk)}, set()),
        ({"expires_before": (start + 2 * DAY).isoformat()}, ids(reads)),
        ({"expires_before": (start + DAY).isoformat()}, set()),
        ({"unused_since": (start - 2 * DAY).isoformat()}, ids(reads, operates)),
        ({"unused_since": (start - 4 * DAY).isoformat()}, ids(reads)),
        ({"unused_since": (start - 10 * DAY).isoformat()}, set()),
        ({"search": "NIGHTLY"}, ids(reads)),
        ({"search": "edge-1"}, ids(reads)),
        ({"search": "core"}, ids(operates)),
        ({"search": world.manager.username}, ids(own)),
        ({"search": own.token.pk[:8]}, ids(own)),
        ({"search": "%"}, set()),
        ({"search": "machines"}, set()),
        ({"organization": "acme"}, ids(reads, operates, own)),
        ({"kind": "fleet", "scope": "machines:operate"}, ids(operates)),
        ({"kind": "personal", "owner": "fleet:edge"}, set()),
    ]
    for filters, expected in cases:
        assert listed(owner, **filters) == expected, filters


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"status": "gone"}, 400),
        ({"kind": "robot"}, 400),
        ({"risk": "2"}, 400),
        ({"scope": "machines:*"}, 400),
        ({"machine": "x"}, 400),
        ({"expires_before": "soon"}, 400),
        ({"expires_before": "2026-01-01T00:00:00"}, 400),
        ({"expires_before": "0001-01-01T00:00:00+23:59"}, 400),
        ({"unused_since": "9999-12-31T23:59:59-12:00"}, 400),
        ({"search": "x" * 101}, 400),
        ({"search": "\x00"}, 400),
        ({"owner": "\x00"}, 400),
        ({"name": "ci"}, 400),
        ({"ordering": "-digest"}, 400),
        ({"owner__password": "x"}, 400),
        ({"limit": "0"}, 400),
        ({"limit": "201"}, 400),
        ({"cursor": "nonsense"}, 400),
        ([("kind", "fleet"), ("kind", "personal")], 400),
        ({"organization": "globex"}, 404),
        ({"organization": "nowhere"}, 404),
        ({"owner": "nobody"}, 404),
        ({"owner": "fleet:nowhere"}, 404),
        ({"owner": "group:ops"}, 404),
        ({"machine": "0190a0a0-0000-7000-8000-000000000000"}, 404),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_not_ignored(
    world: World, other: Fleet, owner: APIClient, query: Any, status: int
) -> None:
    response = owner.get(f"{TOKENS}?{urlencode(query)}")

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"


def test_filters_by_what_the_caller_may_not_know_of_are_as_by_what_does_not_exist(
    world: World, other: Fleet
) -> None:
    manager = session_client(world.manager)
    foreign, stranger = make_machine(other), member(other.organization)
    reading = token_client(make_token(world.manager, "tokens:read"))

    def answers(client: APIClient, *queries: dict[str, str]) -> list[Any]:
        return [
            (response.status_code, response.json() | {"request_id": ""})
            for response in (client.get(TOKENS, query) for query in queries)
        ]

    by_machine = [
        {"machine": str(pk)} for pk in (world.core_1.pk, foreign.pk, "0190a0a0-0000-7000-8000-000000000000")
    ]
    by_owner = [{"owner": text} for text in ("nobody", stranger.username, "fleet:core", "fleet:nowhere")]
    for same in (answers(manager, *by_machine), answers(manager, *by_owner)):
        assert same[0][0] == 404
        assert same == [same[0]] * len(same)
    to_a_token = answers(reading, {"owner": "nobody"}, {"owner": world.auditor.username})
    assert to_a_token[0] == to_a_token[1]
    assert manager.get(TOKENS, {"owner": world.auditor.username}).status_code == 200
    assert reading.get(TOKENS, {"owner": world.manager.username}).status_code == 200


def walked(client: APIClient, path: str, link: str = "next") -> list[str]:
    """The ids of all pages from here on."""
    seen: list[str] = []
    while path:
        page = client.get(path).json()
        assert set(page) == {"next", "previous", "results"}
        assert len(page["results"]) <= 2
        seen += [token["id"] for token in page["results"]]
        path = page[link]
    return seen


def test_pages_follow_each_other_newest_first_there_and_back(world: World, owner: APIClient) -> None:
    made = [make_token(world.edge, "machines:read").token.pk for _ in range(5)]

    assert walked(owner, f"{TOKENS}?limit=2&kind=fleet") == made[::-1]
    second = owner.get(owner.get(f"{TOKENS}?limit=2").json()["next"]).json()
    assert walked(owner, second["previous"], "previous") == made[:2:-1]
    assert "kind=fleet" in owner.get(f"{TOKENS}?limit=2&kind=fleet").json()["next"]


def test_tokens_of_one_instant_are_each_on_one_page(world: World, owner: APIClient) -> None:
    made = [make_token(world.edge, "machines:read").token.pk for _ in range(5)]
    Token.objects.update(created_at=now())

    assert walked(owner, f"{TOKENS}?limit=2") == sorted(made)


def test_a_list_asks_the_database_as_often_for_three_tokens_as_for_one(
    world: World, owner: APIClient
) -> None:
    counts = []
    for _ in range(2):
        make_token(world.edge, "machines:read", machines=[world.edge_1, world.edge_2])
        make_token(
            world.manager, "machines:read", "snapshots:read", grants=(GrantWish("/fleets/edge", "Viewer"),)
        )
        with CaptureQueriesContext(connection) as queries:
            found = owner.get(TOKENS).json()["results"]
        counts.append((len(found), len(queries)))

    assert counts == [(2, counts[0][1]), (4, counts[0][1])]


def test_a_list_holds_no_secret_and_is_not_kept_by_caches(world: World, owner: APIClient) -> None:
    issued = make_token(world.edge, "machines:read")

    response = owner.get(TOKENS)

    assert issued.secret.reveal()[21:] not in response.content.decode()
    assert not {"secret", "digest"} & set(response.json()["results"][0])
    assert "no-store" in response["Cache-Control"]
