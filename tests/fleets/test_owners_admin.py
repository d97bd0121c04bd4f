"""The pages of fleets, groups, applications and technical users: what they offer to whom, and what closing one says."""

from typing import Any

import pytest

from fleets.models import Application, Fleet, Group, Organization, TechnicalUser, User
from tests import factories
from tests.factories import events, last_event
from tests.pages import browser, queries_of
from tokens.models import Token

pytestmark = pytest.mark.django_db
MODEL: dict[str, Any] = {"fleet": Fleet, "group": Group, "application": Application}
MAKE: dict[str, Any] = {
    "fleet": factories.make_fleet,
    "group": factories.make_group,
    "application": factories.make_application,
}
each_kind = pytest.mark.parametrize("kind", MAKE)


@pytest.fixture
def acme() -> Organization:
    return factories.make_organization("acme")


def page_of(row: Any, name: str = "change") -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{name}/"


def list_of(model: Any) -> str:
    return f"/admin/fleets/{model._meta.model_name}/"


def shown(response: Any) -> set[Any]:
    return {row.pk for row in response.context["cl"].result_list}


def buttons(response: Any) -> list[str]:
    return [button.label for button in response.context["buttons"]]


# Applications


def test_an_application_is_opened_described_and_given_an_owner_who_leaves(acme: Organization) -> None:
    client, ada = browser(factories.owner_of(acme)), factories.member(acme)
    sent = {"organization": "acme", "slug": "billing", "name": "Billing", "description": "Pays"}

    client.post("/admin/fleets/application/add/", sent)
    billing = Application.objects.get()
    asked = client.get(page_of(billing, "change"))
    client.post(
        f"/admin/fleets/application/{billing.pk}/add-member/", {"username": ada.username, "role": "owner"}
    )
    place = billing.memberships.get()
    page = browser(ada).get(page_of(billing))
    left = browser(ada).post(page_of(place, "remove"))

    assert asked.status_code == 200
    assert page_of(place) in page.content.decode()
    assert buttons(page) == []  # an owner manages its tokens, not what it is
    assert left["Location"] == "/admin/fleets/applicationmembership/"
    assert events(target_id=str(place.pk)) == [
        "application_member.joined allowed",
        "application_member.left allowed",
    ]


def test_an_application_is_renamed_and_described_by_one_form(acme: Organization) -> None:
    billing = factories.make_application(acme)
    client = browser(factories.owner_of(acme))
    button = client.get(page_of(billing)).context["buttons"][0]

    form = client.get(button.address).context["form"]
    done = client.post(button.address, {"name": "Payments", "description": "Pays"})

    assert form.fields["name"].initial == billing.name
    assert done.status_code == 302
    billing.refresh_from_db()
    assert (button.label, billing.name, billing.description) == ("Describe", "Payments", "Pays")


def test_a_description_that_once_had_several_lines_is_shown_in_one(acme: Organization) -> None:
    """A field of one line would run them together."""
    billing = factories.make_application(acme)
    Application.objects.filter(pk=billing.pk).update(description="Pays\r\nthe bills")
    client = browser(factories.owner_of(acme))
    button = client.get(page_of(billing)).context["buttons"][0]

    form = client.get(button.address).context["form"]
    client.post(button.address, {"name": "Payments", "description": form.fields["description"].initial})

    billing.refresh_from_db()
    assert (billing.name, billing.description) == ("Payments", "Pays the bills")


def test_applications_are_shown_to_their_owners_and_to_who_oversees(acme: Organization) -> None:
    billing, other = factories.make_application(acme), factories.make_application(acme)
    factories.make_application(factories.make_organization("other"))
    ada = factories.application_owner(billing)

    def seen(user: User) -> set[Any]:
        return shown(browser(user).get(list_of(Application)))

    assert seen(ada) == {billing.pk}
    assert seen(factories.member(acme)) == set()
    assert seen(factories.member(acme, "auditor")) == {billing.pk, other.pk}
    assert seen(factories.owner_of(acme)) == {billing.pk, other.pk}
    assert browser(ada).get(page_of(other)).status_code == 404
    assert browser(factories.member(acme)).get(page_of(billing.memberships.get())).status_code == 404


# Closing


@each_kind
def test_closing_asks_first_and_then_ends_it_for_ever(acme: Organization, kind: str) -> None:
    owner = MAKE[kind](acme, "edge")
    if kind == "fleet":
        for _ in range(3):
            factories.make_machine(owner)
    if kind == "group":
        factories.make_entry(acme, "/", "Viewer", group=owner)
    issued = factories.make_token(owner, "machines:read")
    client = browser(factories.owner_of(acme))

    asked = client.get(page_of(owner, "close"))
    assert Token.objects.get(pk=issued.token.pk).status == "active"
    done = client.post(page_of(owner, "close"), {"reason": "merged"})

    text = asked.content.decode()
    assert "never used again" in text
    assert {"fleet": "3 machines", "group": "1 entries", "application": "tokens are revoked"}[kind] in text
    assert done["Location"] == list_of(MODEL[kind])
    assert MODEL[kind].objects.get(pk=owner.pk).closed_at is not None
    assert Token.objects.get(pk=issued.token.pk).status == "revoked"
    assert last_event(action=f"{kind}.closed").reason == "merged"
    assert client.get(page_of(owner)).status_code == 404


@each_kind
def test_who_may_not_close_is_offered_nothing_and_refused(acme: Organization, kind: str) -> None:
    owner = MAKE[kind](acme)
    people = {
        "fleet": lambda: factories.fleet_member(owner, "manager"),
        "group": lambda: factories.make_group_member(owner, "admin").user,
        "application": lambda: factories.application_owner(owner),
    }
    client = browser(people[kind]())

    page = client.get(page_of(owner))
    answers = [client.get(page_of(owner, "close")), client.post(page_of(owner, "close"))]

    assert "Close" not in buttons(page)
    assert "Close" in buttons(browser(factories.owner_of(acme)).get(page_of(owner)))
    assert [answer.status_code for answer in answers] == [403, 403]
    assert MODEL[kind].objects.get(pk=owner.pk).closed_at is None
    assert events(action=f"{kind}.closed") == [f"{kind}.closed denied"]


# Technical users


def test_a_technical_user_is_made_renamed_and_removed(acme: Organization) -> None:
    client = browser(factories.owner_of(acme))

    made = client.post(
        "/admin/fleets/technicaluser/add/", {"organization": "acme", "username": "robot", "name": "Robot"}
    )
    robot = TechnicalUser.objects.select_related("user").get()
    client.post(page_of(robot, "rename"), {"name": "Tin man"})
    page = client.get(page_of(robot))
    asked = client.get(page_of(robot, "remove"))
    client.post(page_of(robot, "remove"), {"reason": "replaced"})

    assert made["Location"] == page_of(robot)
    assert "Tin man" in page.content.decode()
    assert buttons(page) == ["Rename", "Remove"]
    assert "tokens are revoked" in asked.content.decode()
    robot = TechnicalUser.objects.select_related("user").get()
    assert (robot.label, robot.user.is_active) == ("Tin man", False)
    assert buttons(client.get(page_of(robot))) == []
    assert events(target_id=str(robot.pk)) == [
        "technical_user.made allowed",
        "technical_user.changed allowed",
        "technical_user.removed allowed",
    ]


def test_a_tokens_own_has_no_buttons_and_stays(acme: Organization) -> None:
    issued = factories.make_token(factories.make_fleet(acme, "edge"), "machines:read")
    own = issued.token.principal.technical
    client = browser(factories.owner_of(acme))

    page = client.get(page_of(own))
    refused = client.post(page_of(own, "remove"))

    assert buttons(page) == []
    assert (refused.status_code, "ends with its token" in refused.content.decode()) == (409, True)
    assert User.objects.get(pk=own.pk).is_active


def test_technical_users_are_shown_to_who_oversees_only(acme: Organization) -> None:
    robot = factories.make_technical_user(acme)
    factories.make_technical_user(factories.make_organization("other"))

    def seen(user: User) -> set[Any]:
        return shown(browser(user).get(list_of(TechnicalUser)))

    assert seen(factories.owner_of(acme)) == seen(factories.member(acme, "auditor")) == {robot.pk}
    assert seen(factories.member(acme)) == set()
    plain = browser(factories.member(acme, "auditor"))
    assert plain.post(page_of(robot.technical, "remove")).status_code == 403
    assert User.objects.get(pk=robot.pk).is_active


# Cost


def test_lists_cost_the_same_with_one_row_and_with_thirty(acme: Organization) -> None:
    people = {"owner": factories.owner_of(acme), "superuser": factories.make_superuser()}
    clients = {who: browser(person) for who, person in people.items()}
    billing = factories.make_application(acme)
    factories.make_application_member(billing)
    factories.make_technical_user(acme)
    lists = {
        (who, where): (client, f"/admin/fleets/{where}/")
        for who, client in clients.items()
        for where in ("application", "technicaluser", "applicationmembership")
    }

    one = queries_of(lists)
    for _ in range(29):
        factories.make_application_member(factories.make_application(acme))
        factories.make_technical_user(acme)

    assert queries_of(lists) == one
    assert {page: cost for page, cost in one.items() if cost > 15} == {}
