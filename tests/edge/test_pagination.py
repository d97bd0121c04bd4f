"""Cursor pages: limits and forged cursors."""

from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import pytest
from rest_framework.test import APIClient

from tests.factories import API, make_fleet, make_machine, make_organization, owner_of, session_client

pytestmark = pytest.mark.django_db
MACHINES = f"{API}machines/"


@pytest.fixture
def client() -> APIClient:
    organization = make_organization()
    fleet = make_fleet(organization)
    for number in range(3):
        make_machine(fleet, f"m{number}")
    return session_client(owner_of(organization))


def page(client: APIClient, **query: Any) -> Any:
    return client.get(f"{MACHINES}?{urlencode(query)}")


@pytest.mark.parametrize(
    "limit",
    ["0", "-1", "201", "1000000000", "1e2", "١", "", " 5", "5.0", "abc", "0x5", "99999999999999999999"],
)
def test_a_limit_outside_of_1_to_200_is_400(client: APIClient, limit: str) -> None:
    assert page(client, limit=limit).status_code == 400
    assert (page(client, limit=1).status_code, page(client, limit=200).status_code) == (200, 200)


@pytest.mark.parametrize(
    "position",
    [
        "p=1",
        "p=zzz",
        "p=00000000-0000-0000-0000-00000000000g",
        "o=99999999999999",
        "o=-1",
        "r=2&p=x",
        "p=\x00",
        "p=" + "9" * 500,
        "\xff",
    ],
)
def test_a_forged_cursor_is_400_or_an_empty_page_and_never_a_crash(client: APIClient, position: str) -> None:
    for cursor in (position, b64encode(position.encode("latin-1")).decode(), "=", "A", "%%%"):
        assert page(client, cursor=cursor).status_code in {200, 400}
    assert page(client, cursor="A").status_code == 400


def test_pages_lead_forth_and_back_and_name_no_host(client: APIClient) -> None:
    first = page(client, limit=2).json()
    second = client.get(first["next"]).json()
    back = client.get(second["previous"]).json()

    assert [row["name"] for row in first["results"]] == ["m2", "m1"]
    assert [row["name"] for row in second["results"]] == ["m0"]
    assert back["results"] == first["results"]
    assert first["next"].startswith("/api/v1/machines/?")
    assert (first["previous"], second["next"]) == (None, None)


def test_what_is_added_meanwhile_does_not_shift_a_page(client: APIClient) -> None:
    first = page(client, limit=2).json()
    fleet = first["results"][0]["fleet"]
    assert client.post(MACHINES, {"fleet": fleet, "name": "new"}).status_code == 201

    assert [row["name"] for row in client.get(first["next"]).json()["results"]] == ["m0"]
