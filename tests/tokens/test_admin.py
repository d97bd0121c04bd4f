"""The tokens' pages: what is shown to whom, a secret shown once, verbs that ask before they act."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.test import Client

from audit.models import Event
from fleets.models import Fleet, Organization, User
from tests import factories
from tests.pages import browser, queries_of
from tokens import lifecycle
from tokens.issuance import Issued
from tokens.models import Token
from tokens.secret import PATTERN

pytestmark = pytest.mark.django_db
LIST = "/admin/tokens/token/"
ADD = f"{LIST}add/"


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("acme")


@pytest.fixture
def owner(organization: Organization) -> User:
    return factories.owner_of(organization)


@pytest.fixture
def fleet(organization: Organization) -> Fleet:
    return factories.make_fleet(organization, "edge")


@pytest.fixture
def manager(fleet: Fleet) -> User:
    return factories.fleet_member(fleet, "manager")


@pytest.fixture
def issued(fleet: Fleet) -> Issued:
    return factories.make_token(fleet, "machines:read")


def page_of(token: Token, name: str = "change") -> str:
    return f"{LIST}{token.pk}/{name}/"


def form(**fields: Any) -> dict[str, Any]:
    """What a person fills in to issue a low-risk token."""
    return {
        "once": str(uuid4()),
        "name": "ci",
        "scopes": ["machines:read"],
        "reach": "all",
        "lifetime": "30d",
    } | fields


def secrets_in(response: Any) -> list[str]:
    return sorted(set(PATTERN.findall(response.content.decode())))


def names_in(response: Any) -> set[str]:
    return {token.name for token in response.context["cl"].result_list}


# Issuing


def test_the_answer_to_the_form_shows_the_secret_that_then_works(manager: User, fleet: Fleet) -> None:
    response = browser(manager).post(f"{ADD}?for=acme/fleet:edge", form())

    assert response.status_code == 200
    [secret] = secrets_in(response)
    assert "no-store" in response["Cache-Control"]
    assert "Location" not in response
    assert Client().get("/api/v1/whoami/", headers={"X-Auth-Token": secret}).status_code == 200
    token = Token.objects.get(name="ci")
    assert (token.owner_fleet, token.scopes, token.created_by) == (fleet, ["machines:read"], manager)
    event = factories.last_event(action="token.issued")
    assert (event.outcome, event.actor_label, event.target_id) == ("allowed", manager.username, token.pk)


def test_a_form_sent_twice_makes_one_token_and_leads_to_it(manager: User, fleet: Fleet) -> None:
    client, sent = browser(manager), form()
    client.post(f"{ADD}?for=acme/fleet:edge", sent)

    response = client.post(f"{ADD}?for=acme/fleet:edge", sent)

    token = Token.objects.get()
    assert response.status_code == 409
    assert secrets_in(response) == []
    assert page_of(token) in response.content.decode()


def test_a_corrected_form_may_be_sent_with_the_same_key(manager: User, fleet: Fleet) -> None:
    client = browser(manager)
    sent = form(scopes=["machines:operate"])
    refused = client.post(f"{ADD}?for=acme/fleet:edge", sent)

    response = client.post(f"{ADD}?for=acme/fleet:edge", sent | {"reason": "Restarts at night"})

    assert "needs a reason" in refused.content.decode()
    assert secrets_in(refused) == []
    assert len(secrets_in(response)) == 1
    assert factories.last_event(action="token.issued").reason == "Restarts at night"


def test_no_page_shows_a_secret_or_digest_afterwards(manager: User, fleet: Fleet) -> None:
    client = browser(manager)
    [secret] = secrets_in(client.post(f"{ADD}?for=acme/fleet:edge", form()))
    token = Token.objects.get()
    digest = bytes(token.secrets.get().digest)

    for address in (LIST, page_of(token), *(page_of(token, name) for name in ("edit", "rotate", "revoke"))):
        text = client.get(address).content.decode()
        assert secret not in text
        assert digest.hex() not in text
    session = client.session
    assert secret not in repr(dict(session.items()))
    assert secret not in repr({cookie: morsel.value for cookie, morsel in client.cookies.items()})
    assert not LogEntry.objects.exists()
    assert secret not in repr(list(Event.objects.values()))


def test_a_form_keeps_what_was_typed_when_it_is_refused(manager: User, fleet: Fleet) -> None:
    sent = form(name="not a name!", description="Nightly <b>build</b>")

    response = browser(manager).post(f"{ADD}?for=acme/fleet:edge", sent)

    text = response.content.decode()
    assert "not a name!" in text
    assert "Nightly &lt;b&gt;build&lt;/b&gt;" in text
    assert re.search(r'value="machines:read"\s+checked', text)
    assert not Token.objects.exists()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"once": ""}, "This field is required"),
        ({"scopes": []}, "Choose at least one scope, or a role."),
        ({"role": "Viewer"}, "Choose a role or scopes, not both."),
        ({"scopes": ["machines:read", "permissions:manage"]}, "is not one of the available choices"),
        ({"reach": "selected"}, "Select at least one machine"),
        ({"lifetime": "date"}, "Give the date."),
        ({"lifetime": "date", "until": "2020-01-01"}, "must lie in the future"),
        ({"until": "2099-01-01"}, "leave the date empty"),
        ({"name": "nul\x00"}, "Control characters are not allowed"),
        ({"reason": "x" * 1001}, "no more than 1000 characters"),
    ],
)
def test_what_can_not_be_meant_is_said_at_the_field(
    manager: User, fleet: Fleet, fields: dict[str, Any], says: str
) -> None:
    response = browser(manager).post(f"{ADD}?for=acme/fleet:edge", form(**fields))

    assert response.status_code == 200
    assert says in response.content.decode()
    assert not Token.objects.exists()


def test_a_taken_name_is_a_409_with_the_form(manager: User, fleet: Fleet) -> None:
    client = browser(manager)
    client.post(f"{ADD}?for=acme/fleet:edge", form())

    response = client.post(f"{ADD}?for=acme/fleet:edge", form())

    assert response.status_code == 409
    assert "had, a token of this name" in response.content.decode()


def test_a_role_selected_machines_and_a_date_are_stored(manager: User, fleet: Fleet) -> None:
    machine = factories.make_machine(fleet, "edge-1")
    sent = form(scopes=[], role="Viewer", reach="selected", machines=[str(machine.pk)])

    with time_machine.travel(datetime(2030, 1, 1, tzinfo=UTC), tick=False):
        browser(manager).post(
            f"{ADD}?for=acme/fleet:edge", sent | {"lifetime": "date", "until": "2030-02-01"}
        )

    token = Token.objects.get()
    assert token.role == "Viewer"
    assert token.expires_at == datetime(2030, 2, 1, tzinfo=UTC)
    assert [row.machine for row in token.machine_rows.all()] == [machine]
    assert [grant.path for grant in token.grants.all()] == [machine.path]


def test_owners_to_choose_from_are_those_one_may_issue_for(manager: User, fleet: Fleet) -> None:
    factories.make_fleet(fleet.organization, "core")
    factories.make_fleet(factories.make_organization("other"), "elsewhere")

    response = browser(manager).get(ADD)

    assert [choice.key for choice in response.context["choices"]] == ["acme/me", "acme/fleet:edge"]


@pytest.mark.parametrize(
    "key", ["acme/fleet:core", "other/fleet:elsewhere", "other/me", "x", "acme/fleet:\x00"]
)
def test_owners_one_may_not_issue_for_are_not_there(manager: User, fleet: Fleet, key: str) -> None:
    factories.make_fleet(fleet.organization, "core")
    factories.make_fleet(factories.make_organization("other"), "elsewhere")
    client = browser(manager)

    answers = [client.get(ADD, {"for": key}), client.post(f"{ADD}?for={key}", form())]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert not Token.objects.exists()


def test_a_plain_member_issues_for_themselves_what_they_hold(fleet: Fleet) -> None:
    member = factories.fleet_member(fleet, "viewer")

    response = browser(member).get(ADD)

    offered = [choice.name for group in response.context["form"].scope_groups() for choice in group.choices]
    assert offered == ["machines:read", "snapshots:read"]
    assert response.context["choice"].key == "acme/me"


# Verbs


def test_rotating_shows_the_new_secret_once_and_keeps_the_old_for_the_overlap(
    manager: User, issued: Issued
) -> None:
    client, sent = browser(manager), {"once": str(uuid4()), "overlap": "1h"}

    response = client.post(page_of(issued.token, "rotate"), sent)
    again = client.post(page_of(issued.token, "rotate"), sent)

    [secret] = secrets_in(response)
    assert "no-store" in response["Cache-Control"]
    assert (again.status_code, secrets_in(again)) == (409, [])
    for one in (secret, issued.secret.reveal()):
        assert Client().get("/api/v1/whoami/", headers={"X-Auth-Token": one}).status_code == 200
    assert factories.events(action="token.rotated") == ["token.rotated allowed"]


def test_a_token_is_disabled_enabled_and_revoked_each_with_its_event(manager: User, issued: Issued) -> None:
    client, token = browser(manager), issued.token
    statuses = []

    for name, fields in (
        ("disable", {"reason": "Looks odd"}),
        ("enable", {}),
        ("revoke", {"word": "REVOKE", "reason": "Leaked"}),
    ):
        response = client.post(page_of(token, name), fields)
        assert response.status_code == 302, response.content
        statuses.append(Token.objects.get(pk=token.pk).status)

    assert statuses == ["disabled", "active", "revoked"]
    assert factories.events(target_id=token.pk, actor_id=str(manager.pk)) == [
        "token.disabled allowed",
        "token.enabled allowed",
        "token.revoked allowed",
    ]
    assert factories.last_event(action="token.revoked").reason == "Leaked"


@pytest.mark.parametrize("word", ["", "revoke", "REVOKE!", "REVOKED", "ＲＥＶＯＫＥ"])
def test_revoking_needs_the_word(manager: User, issued: Issued, word: str) -> None:
    response = browser(manager).post(page_of(issued.token, "revoke"), {"word": word})

    assert response.status_code == 200
    assert Token.objects.get().status == "active"
    assert not Event.objects.filter(action="token.revoked").exists()


@pytest.mark.parametrize("name", ["edit", "rotate", "disable", "enable", "revoke"])
def test_looking_at_a_verb_changes_nothing(manager: User, issued: Issued, name: str) -> None:
    client = browser(manager)
    before = (list(Token.objects.values()), Event.objects.count())

    response = client.get(page_of(issued.token, name))

    assert response.status_code == 200
    assert 'method="post"' in response.content.decode()
    assert (list(Token.objects.values()), Event.objects.count()) == before


@pytest.mark.parametrize("name", ["rotate", "disable", "revoke"])
def test_verbs_need_the_csrf_token(manager: User, issued: Issued, name: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(manager)

    response = client.post(
        page_of(issued.token, name), {"word": "REVOKE", "once": str(uuid4()), "overlap": "0"}
    )

    assert response.status_code == 403
    assert Token.objects.get().version == issued.token.version


def test_editing_says_only_what_was_changed(manager: User, issued: Issued) -> None:
    client = browser(manager)
    shown = client.get(page_of(issued.token, "edit")).context["form"]
    sent = {name: shown[name].value() or "" for name in shown.fields if name not in ("machines", "extended")}

    response = client.post(
        page_of(issued.token, "edit"), sent | {"name": "renamed", "scopes": ["machines:read"]}
    )

    assert response.status_code == 302, response.content
    token = Token.objects.get()
    assert (token.name, token.scopes, token.expires_at) == (
        "renamed",
        ["machines:read"],
        issued.token.expires_at,
    )
    assert factories.last_event(action="token.edited").data["changes"].keys() == {"name"}


def test_widening_in_the_form_asks_for_a_reason(manager: User, issued: Issued) -> None:
    sent = {"name": issued.token.name, "reach": "keep", "scopes": ["machines:read", "machines:operate"]}
    client = browser(manager)

    refused = client.post(page_of(issued.token, "edit"), sent)
    client.post(page_of(issued.token, "edit"), sent | {"reason": "It restarts them too"})

    assert "needs a reason" in refused.content.decode()
    assert Token.objects.get().scopes == ["machines:operate", "machines:read"]


def test_an_admin_narrows_and_disables_a_persons_token_but_never_rotates_it(
    organization: Organization, owner: User
) -> None:
    person = factories.member(organization, "auditor")
    token = factories.make_token(person, "machines:read", "tokens:read").token
    client = browser(owner)

    buttons = [button.label for button in client.get(page_of(token)).context["buttons"]]
    asked = client.get(page_of(token, "rotate"))
    rotated = client.post(page_of(token, "rotate"), {"once": str(uuid4()), "overlap": "0"})
    narrowed = client.post(
        page_of(token, "edit"), {"name": token.name, "reach": "keep", "scopes": ["machines:read"]}
    )

    assert buttons == ["Edit", "Security", "Disable", "Revoke"]
    assert (asked.status_code, rotated.status_code, narrowed.status_code) == (403, 403, 302)
    assert secrets_in(rotated) == []
    assert Token.objects.get().scopes == ["machines:read"]
    assert factories.events(action="token.rotated") == ["token.rotated denied"]


def test_an_illegal_move_is_a_409_in_words(manager: User, issued: Issued) -> None:
    response = browser(manager).post(page_of(issued.token, "enable"))

    assert response.status_code == 409
    assert "can&#x27;t be enabled" in response.content.decode()


def test_who_only_reads_tokens_sees_them_without_buttons(organization: Organization, issued: Issued) -> None:
    client = browser(factories.member(organization, "auditor"))
    token = issued.token

    page = client.get(LIST)
    response = client.post(page_of(token, "disable"))

    # an auditor's tokens:read at the root reaches the fleet below it
    assert names_in(page) == {token.name}
    assert "row-button" not in page.content.decode()
    assert client.get(page_of(token)).context["buttons"] == []
    assert response.status_code == 403
    assert Token.objects.get().status == "active"
    assert factories.events(action="token.disabled") == ["token.disabled denied"]


# The list and the page


@pytest.fixture
def estate(organization: Organization, fleet: Fleet) -> dict[str, Token]:
    """One token in every status."""
    tokens = {
        name: factories.make_token(fleet, "machines:read").token for name in ("active", "disabled", "revoked")
    }
    lifecycle.disable(tokens["disabled"], by=factories.operator)
    lifecycle.revoke(tokens["revoked"], by=factories.operator)
    expired = factories.make_token(fleet, "machines:read").token
    Token.objects.filter(pk=expired.pk).update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    return tokens | {"expired": expired}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"active", "disabled", "expired"}),
        ("?status=active", {"active"}),
        ("?status=pending", set()),
        ("?status=disabled", {"disabled"}),
        ("?status=expired", {"expired"}),
        ("?status=ended", {"revoked"}),
        ("?kind=fleet", {"active", "disabled", "expired"}),
        ("?kind=personal", set()),
        ("?q=edge", {"active", "disabled", "expired"}),
        ("?q=nothing-like-it", set()),
    ],
)
def test_the_list_is_filtered_and_searched(
    owner: User, estate: dict[str, Token], query: str, expected: set[str]
) -> None:
    response = browser(owner).get(f"{LIST}{query}")

    assert names_in(response) == {estate[name].name for name in expected}


def test_the_list_finds_a_token_by_its_id_and_by_its_machine(owner: User, fleet: Fleet) -> None:
    machine = factories.make_machine(fleet, "edge-gw-1")
    token = factories.make_token(fleet, "machines:read", machines=[machine]).token
    factories.make_token(fleet, "machines:read")
    client = browser(owner)

    found = [names_in(client.get(LIST, {"q": text})) for text in (token.pk, "edge-gw")]

    assert found == [{token.name}, {token.name}]


@pytest.mark.parametrize(
    "query",
    [
        "?created_by__password__startswith=p",
        "?secrets__digest=x",
        "?organization__slug=other",
        "?principal__username__regex=.",
        "?owner_user=1",
        "?_to_field=name",
    ],
)
def test_lookups_that_the_list_does_not_offer_are_refused(owner: User, issued: Issued, query: str) -> None:
    assert browser(owner).get(f"{LIST}{query}").status_code == 400


@pytest.mark.parametrize(
    "query", ["?o=-owner__password", "?o=99.-3", "?p=99", "?p=x", "?q=%00", "?status=x", "?all="]
)
def test_no_query_breaks_the_list(owner: User, issued: Issued, query: str) -> None:
    assert browser(owner).get(f"{LIST}{query}", follow=True).status_code == 200


def test_status_risk_and_hints_are_words(owner: User, fleet: Fleet) -> None:
    token = factories.make_token(fleet, "machines:read").token
    Token.objects.update(expires_at=None)

    text = browser(owner).get(page_of(token)).content.decode()

    assert '<span class="status status-active">active</span>' in text
    assert "It never expires." in text
    assert "token.issued" in text


def test_the_events_of_a_token_are_for_who_reads_the_trail(manager: User, issued: Issued) -> None:
    assert "Latest events" not in browser(manager).get(page_of(issued.token)).content.decode()


def test_what_people_write_is_text(owner: User, issued: Issued) -> None:
    Token.objects.update(description='"><script>alert(1)</script>')

    text = browser(owner).get(page_of(issued.token)).content.decode()

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_plain_member_sees_their_own_tokens_only(organization: Organization, issued: Issued) -> None:
    auditor, member = factories.member(organization, "auditor"), factories.member(organization)
    factories.make_token(auditor, "tokens:read")
    own = factories.make_token(member, "machines:read").token
    client = browser(member)

    assert names_in(client.get(LIST)) == {own.name}
    assert client.get(page_of(issued.token)).status_code == 404


@pytest.mark.parametrize("name", ["change", "edit", "rotate", "disable", "enable", "revoke"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_another_organizations_token_is_not_there(owner: User, name: str, method: str) -> None:
    other = factories.make_organization("other")
    token = factories.make_token(factories.make_fleet(other), "machines:read").token
    before = Token.objects.values().get()

    response = getattr(browser(owner), method)(page_of(token, name), {"word": "REVOKE", "overlap": "0"})

    assert response.status_code == 404
    assert token.name not in response.content.decode()
    assert Token.objects.values().get() == before
    assert getattr(browser(factories.owner_of(other)), method)(page_of(token, name)).status_code != 404


@pytest.mark.parametrize("key", ["x", "0" * 16, "%00", "..", "a" * 3000, "’"])
def test_what_is_no_token_id_is_not_there(owner: User, key: str) -> None:
    assert browser(owner).get(f"{LIST}{key}/change/").status_code == 404


# Cost


def test_pages_cost_the_same_with_one_token_and_with_thirty(
    organization: Organization, fleet: Fleet, owner: User, manager: User
) -> None:
    people = {"owner": owner, "manager": manager, "superuser": factories.make_superuser()}
    machines = [factories.make_machine(fleet) for _ in range(3)]
    token = factories.make_token(fleet, "machines:read", machines=machines).token
    addresses = {"list": LIST, "page": page_of(token), "edit": page_of(token, "edit")}
    clients = {who: browser(user) for who, user in people.items()}
    pages = {
        (who, where): (client, address)
        for who, client in clients.items()
        for where, address in addresses.items()
    }
    queries_of(pages)

    one = queries_of(pages)
    for _ in range(29):
        factories.make_token(fleet, "machines:read", machines=machines)

    assert queries_of(pages) == one
    assert {page: cost for page, cost in one.items() if cost > 19} == {}


# Without inline code


@pytest.fixture
def templates(repository: Path) -> Iterator[Path]:
    return (repository / "templates").rglob("*.html")


def test_no_template_of_ours_holds_inline_code(templates: Iterator[Path]) -> None:
    """Mails have no stylesheet to name, so they say in their elements how these look; they hold no script at all."""
    texts = {path: path.read_text(encoding="utf-8") for path in templates}
    mails = {path for path in texts if path.parent.name == "mail"}

    assert len(texts) > 10
    assert mails
    for path, text in texts.items():
        assert not re.search(r"<style|\son[a-z]+=|<script(?![^>]*\bsrc=)", text), path.name
        assert not re.search(r"<script|<link|<img|\ssrc=" if path in mails else r"\sstyle=", text), path.name
