"""Departures: who left and who stays in charge are told by mail what ended."""

from datetime import timedelta

import pytest
from django.core import mail as outgoing

from audit import deliveries
from audit.models import OutboxRow
from config.edge.clock import at, now
from config.edge.refusals import Conflict
from fleets import departures, membership
from fleets.models import Membership, Organization, User
from tests.factories import (
    make_fleet,
    make_member,
    make_organization,
    make_person,
    make_token,
    operator,
    owner_of,
    session,
)
from tokens import lifecycle
from tokens.models import Token

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme", name="Acme", owner=make_person("olga", email="olga@example.org"))


@pytest.fixture
def noor(acme: Organization) -> Membership:
    return make_member(acme, user=make_person("noor", email="noor@example.org"))


def named_token(owner: User, name: str) -> Token:
    token = make_token(owner, "machines:read").token
    Token.objects.filter(pk=token.pk).update(name=name)
    return token


def letters() -> dict[str, tuple[str, str]]:
    """Subject and text by address."""
    deliveries.deliver()
    return {sent.to[0]: (str(sent.subject), str(sent.body)) for sent in outgoing.outbox}


def test_who_left_and_who_stays_in_charge_are_told_what_ended(acme: Organization, noor: Membership) -> None:
    for role, name in (("admin", "adam"), ("auditor", "aude"), ("member", "mia"), ("approver", "apu")):
        make_member(acme, role, user=make_person(name, email=f"{name}@example.org"))
    make_member(acme, "admin", user=make_person("silent"))
    gone = make_member(acme, "admin", user=make_person("gone", email="gone@example.org"))
    membership.suspend(gone, by=operator)
    make_organization(owner=make_person("else", email="else@example.org"))
    named_token(noor.user, "backup-job")
    named_token(noor.user, "laptop")
    lifecycle.revoke(named_token(noor.user, "ended-before"), by=operator)
    make_token(make_fleet(acme), "machines:read")

    membership.leave(noor, by=session(noor.user))

    assert outgoing.outbox == [], "the worker sends"
    told = letters()
    assert set(told) == {"noor@example.org", "olga@example.org", "adam@example.org"}
    subject, body = told["noor@example.org"]
    assert subject == "You are no longer a member of Acme"
    assert "you left Acme on Tokenhouse" in body
    assert "tokens there (2) are revoked for ever" in body
    assert "- backup-job\n- laptop\n" in body
    assert "ended-before" not in body
    subject, body = told["adam@example.org"]
    assert subject == "Noor is no longer a member of Acme"
    assert "Hello Adam," in body
    assert "Noor (noor) left Acme" in body
    assert "- backup-job\n- laptop\n" in body
    assert not OutboxRow.objects.exists()


def test_who_was_removed_is_told_by_whom(acme: Organization, noor: Membership) -> None:
    membership.leave(noor, by=session(owner_of(acme)))

    told = letters()
    assert "was ended by olga" in told["noor@example.org"][1]
    assert "You had no personal tokens there." in told["noor@example.org"][1]
    assert "olga ended the membership of Noor (noor)" in told["olga@example.org"][1]


def test_the_outbox_holds_names_and_ids_and_nothing_else(acme: Organization, noor: Membership) -> None:
    named_token(noor.user, "laptop")

    membership.leave(noor, by=session(noor.user))

    rows = [row.payload for row in OutboxRow.objects.filter(kind="mail").order_by("pk")]
    about = {"membership": str(noor.pk), "tokens": ["laptop"], "count": 1, "by": ""}
    reader = Membership.objects.get(user__username="olga")
    assert rows == [
        {"template": "left", **about},
        {"template": "member_left", "reader": str(reader.pk), **about},
    ]


def test_a_long_list_is_cut_and_counted(
    acme: Organization, noor: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "LISTED", 2)
    for name in ("c", "a", "b"):
        named_token(noor.user, name)

    membership.leave(noor, by=operator)

    body = letters()["noor@example.org"][1]
    assert "(3)" in body
    assert "- a\n- b\nand 1 more." in body


def test_who_no_longer_is_in_charge_when_it_is_sent_is_not_told(acme: Organization, noor: Membership) -> None:
    adam = make_member(acme, "admin", user=make_person("adam", email="adam@example.org"))
    membership.leave(noor, by=operator)
    membership.change_role(adam, role="member", by=session(owner_of(acme)))

    assert set(letters()) == {"noor@example.org", "olga@example.org"}


def test_nobody_is_told_of_a_departure_that_did_not_happen(acme: Organization) -> None:
    with pytest.raises(Conflict):
        membership.leave(Membership.objects.get(user__username="olga"), by=operator)

    assert not OutboxRow.objects.filter(kind="mail").exists()


def test_who_left_is_told_even_days_later(acme: Organization, noor: Membership) -> None:
    membership.leave(noor, by=operator)
    with at(now() + timedelta(days=2)):
        assert "noor@example.org" in letters()
