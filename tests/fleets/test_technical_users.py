"""Technical users made by hand: made, renamed, removed with what lives by them; and that none of them signs in."""

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.test import Client

from audit.models import Event, OutboxRow
from config.edge.refusals import Conflict, DomainError, IllegalMove, Invalid, Refused
from config.edge.scrubbing import LINK
from fleets import membership, technical_users
from fleets.models import AclEntry, Membership, Organization, TechnicalUser, User
from tests.factories import (
    PASSWORD,
    acting,
    events,
    last_event,
    make_application,
    make_entry,
    make_fleet,
    make_group,
    make_organization,
    make_person,
    make_technical_user,
    make_token,
    member,
    operator,
    owner_of,
    session,
    session_client,
    token_client,
)
from tokens.models import Token

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def test_who_manages_permissions_makes_one_that_holds_nothing(acme: Organization) -> None:
    technical = technical_users.make(acme, username="robot", name="Robot", by=session(member(acme, "admin")))

    user = User.objects.get(username="robot")
    assert (technical.user, technical.kind, technical.organization) == (user, "technical_user", acme)
    assert (user.is_person, user.is_active, user.has_usable_password(), user.is_staff) == (
        False,
        True,
        False,
        False,
    )
    assert not Membership.objects.filter(user=user).exists()
    made = last_event(action="technical_user.made")
    assert (made.target_type, made.target_id, made.target_label) == ("technical_user", str(user.pk), "robot")
    assert made.organization_id == acme.pk
    make_entry(acme, "/nodes/n1", "Viewer", user=user)
    assert token_client(make_token(user, "machines:read")).get("/api/v1/whoami/").status_code == 200


@pytest.mark.parametrize("role", ["approver", "auditor", "member", "elsewhere"])
def test_nobody_else_makes_changes_or_removes_one(acme: Organization, role: str) -> None:
    robot = make_technical_user(acme).technical
    by = session(owner_of(make_organization("other")) if role == "elsewhere" else member(acme, role))

    for verb, refused in (
        ("made", lambda: technical_users.make(acme, username="other", by=by)),
        ("changed", lambda: technical_users.rename(robot, name="X", by=by)),
        ("removed", lambda: technical_users.remove(robot, by=by)),
    ):
        with pytest.raises(Refused):
            refused()
        assert events(action=f"technical_user.{verb}", outcome="denied") == [f"technical_user.{verb} denied"]
    assert [row.user.is_active for row in TechnicalUser.objects.all()] == [True]


@pytest.mark.parametrize("taken_by", ["a person", "a technical user", "somebody of another organization"])
def test_a_username_is_unique_among_all(acme: Organization, taken_by: str) -> None:
    if taken_by == "a person":
        make_person("Robot")
    else:
        make_technical_user(acme if taken_by == "a technical user" else make_organization("other"), "Robot")

    with pytest.raises(Conflict) as refusal:
        technical_users.make(acme, username="robot", by=operator)

    assert refusal.value.code == "username_taken"
    assert User.objects.named("robot").count() == 1


@pytest.mark.parametrize("username", ["", "-robot", "ro bot", "röbot", "a" * 64, "robot\n", "ro!bot"])
def test_a_username_is_a_name_as_any(acme: Organization, username: str) -> None:
    with pytest.raises(ValidationError):
        technical_users.make(acme, username=username, by=operator)

    assert not TechnicalUser.objects.exists()


def test_a_rename_leaves_what_was_and_what_is(acme: Organization) -> None:
    robot = make_technical_user(acme, "robot", name="Robot").technical

    technical_users.rename(robot, name="Tin man", by=session(owner_of(acme)))

    stored = TechnicalUser.objects.select_related("user").get()
    assert (stored.user.name, stored.label, stored.user.username) == ("Tin man", "Tin man", "robot")
    assert last_event(action="technical_user.changed").data["changes"] == {"name": ["Robot", "Tin man"]}


def test_removing_ends_its_tokens_and_entries_and_no_others(acme: Organization) -> None:
    robot, twin = make_technical_user(acme, "robot"), make_technical_user(acme, "twin")
    for user in (robot, twin):
        make_entry(acme, "/nodes/n1", "Viewer", user=user)
    ended, kept = make_token(robot, "machines:read"), make_token(twin, "machines:read")

    names = technical_users.remove(robot.technical, reason="replaced", by=session(owner_of(acme)))

    robot.refresh_from_db()
    assert names == [ended.token.name]
    assert (robot.is_active, User.objects.get(pk=twin.pk).is_active) == (False, True)
    tokens = Token.objects.order_by("created_at")
    assert [(token.status, token.status_reason) for token in tokens] == [
        ("revoked", "owner_closed"),
        ("active", ""),
    ]
    assert [entry.user for entry in AclEntry.objects.all()] == [twin]
    assert last_event(action="entry.removed").data == {
        "path": "/nodes/n1",
        "role": "Viewer",
        "propagate": True,
        "subject": "robot",
    }
    removed = last_event(action="technical_user.removed")
    assert (removed.reason, removed.data) == ("replaced", {"entries": 1, "tokens": [ended.token.name]})
    assert token_client(ended).get("/api/v1/whoami/").json()["code"] == "token_revoked"
    assert token_client(kept).get("/api/v1/whoami/").status_code == 200


def test_what_was_removed_is_so_for_ever(acme: Organization) -> None:
    robot = make_technical_user(acme, "robot")
    stale = TechnicalUser.objects.select_related("user", "organization").get()
    technical_users.remove(robot.technical, by=operator)

    refusals: list[tuple[Any, type[DomainError]]] = [
        (lambda: technical_users.remove(robot.technical, by=operator), IllegalMove),
        (lambda: technical_users.remove(stale, by=operator), IllegalMove),  # read before it was removed
        (lambda: technical_users.rename(stale, name="X", by=operator), Conflict),
        (lambda: technical_users.make(acme, username="robot", by=operator), Conflict),
        (lambda: make_token(robot, "machines:read"), DomainError),
    ]
    for refused, error in refusals:
        with pytest.raises(error):
            refused()
    assert events(action="technical_user.removed") == ["technical_user.removed allowed"]


@pytest.mark.parametrize("kind", ["fleet", "group", "organization", "application"])
def test_a_tokens_own_ends_with_its_token_only(acme: Organization, kind: str) -> None:
    owner: Any = acme if kind == "organization" else OWNERS[kind](acme)
    if kind == "group":
        make_entry(acme, "/nodes/n1", "GroupUser", group=owner)
    issued = make_token(owner, "machines:read")
    own = TechnicalUser.objects.select_related("user").get(user=issued.token.principal)

    for refused in (
        lambda: technical_users.remove(own, by=operator),
        lambda: technical_users.rename(own, name="Mine", by=operator),
    ):
        with pytest.raises(Conflict) as refusal:
            refused()
        assert refusal.value.code == "belongs_to_a_token"
    assert User.objects.get(pk=own.pk).is_active
    assert token_client(issued).get("/api/v1/whoami/").status_code == 200


OWNERS: dict[str, Any] = {"fleet": make_fleet, "group": make_group, "application": make_application}


def test_a_token_that_manages_permissions_makes_and_removes_too(acme: Organization) -> None:
    by = acting(make_token(owner_of(acme), "permissions:manage"))

    technical = technical_users.make(acme, username="robot", by=by)
    technical_users.remove(technical, by=by)

    assert {event.actor_type for event in Event.objects.filter(target_type="technical_user")} == {"token"}


# None of them comes in by any door


@pytest.fixture
def robot(acme: Organization) -> User:
    """One that somebody gave a password behind the product's back, so that only its kind can keep it out."""
    user = make_technical_user(acme, "robot")
    make_entry(acme, "/", "Administrator", user=user)
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    return user


def sign_in(username: str) -> Any:
    return Client().post("/admin/login/", {"username": username, "password": PASSWORD})


def test_it_can_not_sign_in(acme: Organization, robot: User) -> None:
    person = make_person("ada")
    person.set_password(PASSWORD)
    person.save(update_fields=["password"])
    membership.join(acme, user=person, role="admin", by=operator)

    refused, entered = sign_in("robot"), sign_in("ada")

    assert (refused.status_code, entered.status_code) == (200, 302)
    assert "sessionid" not in refused.cookies
    assert authenticate(None, username="robot", password=PASSWORD) is None
    assert authenticate(None, username="ada", password=PASSWORD) == person


def test_a_session_of_it_is_nobodys(acme: Organization, robot: User) -> None:
    """As if one had come about somehow."""
    client, person = session_client(robot), session_client(owner_of(acme))

    assert client.get("/api/v1/whoami/").status_code == 401
    assert client.get("/api/v1/technical-users/").status_code == 401
    assert client.get("/admin/").status_code == 302
    assert client.post("/admin/password_change/", {"old_password": PASSWORD}).status_code == 302
    assert person.get("/api/v1/whoami/").status_code == 200
    assert person.get("/admin/").status_code == 200


def test_its_password_is_not_reset(acme: Organization, robot: User) -> None:
    person = make_person("ada", email="ada@acme.example")
    person.set_password(PASSWORD)
    person.save(update_fields=["password"])
    User.objects.filter(pk=robot.pk).update(email="robot@acme.example")
    robot.refresh_from_db()

    for user in (robot, person):
        Client().post("/admin/password-reset/", {"address": user.email})
    pages = {}
    for user in (robot, person):
        signed = default_token_generator.make_token(user)
        pages[user.username] = (
            Client().get(f"/admin/password-reset/{LINK}{user.pk.hex}.{signed}/").status_code
        )

    mails = OutboxRow.objects.filter(payload__template="password_reset").order_by("pk")
    owed = [row.payload["person"] for row in mails]
    assert owed == ["", str(person.pk)]  # as for an address that nobody has
    assert pages == {"robot": 404, "ada": 200}


def test_it_is_neither_invited_nor_joined(acme: Organization, robot: User) -> None:
    with pytest.raises(Conflict) as refusal:
        membership.invite(acme, username="robot", name="Robot", role="member", by=operator)
    assert refusal.value.code == "username_taken"
    for join in (
        lambda: membership.join(acme, user=robot, role="member", by=operator),
        lambda: membership.join_fleet(make_fleet(acme), user=robot, role="viewer", by=operator),
        lambda: membership.join_group(make_group(acme), user=robot, role="user", by=operator),
        lambda: membership.join_application(make_application(acme), user=robot, by=operator),
    ):
        with pytest.raises(Invalid):
            join()
    assert not Membership.objects.filter(user=robot).exists()
    assert User.objects.named("robot").count() == 1
