"""`/api/v1/scopes/` and `/api/v1/roles/`."""

import pytest
from rest_framework.test import APIClient

from fleets.scopes import Scope
from tests.factories import (
    API,
    make_fleet,
    make_organization,
    make_person,
    make_token,
    owner_of,
    raise_risks,
    session_client,
    token_client,
)

pytestmark = pytest.mark.django_db
SCOPES, ROLES = f"{API}scopes/", f"{API}roles/"


@pytest.fixture
def browser() -> APIClient:
    return session_client(owner_of(make_organization("acme")))


def test_every_scope_is_listed_with_area_risk_and_description(browser: APIClient) -> None:
    page = browser.get(SCOPES).json()

    assert [row["name"] for row in page["results"]] == [scope.value for scope in Scope]
    assert page["results"][3] == {
        "organization": None,
        "name": "machines:configure",
        "area": "machines",
        "risk": "high",
        "built_in_risk": "high",
        "description": "Change the configuration, disks and networks of machines",
    }
    assert (page["next"], page["previous"]) == (None, None)


def test_roles_are_listed_with_what_they_give_at_the_root_and_elsewhere(browser: APIClient) -> None:
    rows = {row["name"]: row for row in browser.get(ROLES).json()["results"]}

    assert rows["Viewer"]["scopes"] == ["machines:read", "snapshots:read"]
    assert set(rows["Admin"]["scopes_at_root"]) - set(rows["Admin"]["scopes"]) == {"machines:create"}
    assert rows["NoAccess"]["scopes"] == []


def test_scopes_are_filtered_and_paged(browser: APIClient) -> None:
    names = [row["name"] for row in browser.get(f"{SCOPES}?area=snapshots").json()["results"]]
    assert names == ["snapshots:read", "snapshots:write"]
    assert {row["risk"] for row in browser.get(f"{SCOPES}?risk=low").json()["results"]} == {"low"}

    seen, link = [], f"{SCOPES}?limit=8"
    while link:
        page = browser.get(link).json()
        seen += [row["name"] for row in page["results"]]
        link = page["next"]
    assert seen == [scope.value for scope in Scope]


def test_the_risk_of_a_scope_is_the_one_in_the_organization_that_is_meant() -> None:
    acme, globex = make_organization("acme"), make_organization("globex")
    raise_risks(acme, **{"machines:read": "high"})
    by_token = token_client(make_token(make_fleet(acme), "machines:read"))
    elsewhere = token_client(make_token(make_fleet(globex), "machines:read"))
    superuser = session_client(make_person(is_superuser=True))

    def risks(client: APIClient, query: str = "") -> list[str]:
        row = client.get(f"{SCOPES}?area=machines{query}").json()["results"][0]
        assert (row["name"], row["built_in_risk"]) == ("machines:read", "low")
        return [row["risk"]]

    assert risks(session_client(owner_of(acme))) == risks(by_token) == ["high"]
    assert risks(session_client(owner_of(globex))) == risks(elsewhere) == ["low"]
    assert risks(superuser) == risks(superuser, "&organization=globex") == ["low"]
    assert risks(superuser, "&organization=acme") == ["high"]
    high = [row["name"] for row in by_token.get(f"{SCOPES}?area=machines&risk=high").json()["results"]]
    assert high == ["machines:read", "machines:configure", "machines:create"]
    assert elsewhere.get(f"{SCOPES}?organization=acme").status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "cursor=x", "cursor=-1", "colour=red", "risk=dire", "risk=low&risk=high"]
)
def test_a_parameter_that_can_not_be_meant_is_400(browser: APIClient, query: str) -> None:
    assert browser.get(f"{SCOPES}?{query}").status_code == 400
    assert browser.get(f"{SCOPES}?area=none").json()["results"] == []


def test_any_token_reads_the_catalogue_and_a_stranger_does_not() -> None:
    client = token_client(make_token(make_fleet(make_organization()), "machines:read"))

    assert (client.get(SCOPES).status_code, client.get(ROLES).status_code) == (200, 200)
    assert client.get(f"{SCOPES}?organization=nowhere").status_code == 404
    assert APIClient().get(SCOPES).status_code == 401
