"""A forgotten password: one answer for every address, a mail for who has it, a link that is good once."""

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail as outgoing
from django.test import Client

from audit import deliveries
from audit.models import Event, OutboxRow
from config.edge.clock import at, now
from config.edge.refusals import Conflict, Refused
from fleets import passwords
from fleets.access import PersonAccess
from fleets.models import Organization, SignedInSession, User
from tests.attacks import needles
from tests.factories import (
    PASSWORD,
    events,
    last_event,
    make_fleet,
    make_member,
    make_organization,
    make_person,
    make_token,
)

pytestmark = pytest.mark.django_db
RESET = "/admin/password-reset/"
LINK = re.compile(r"http://127\.0\.0\.1:8000(/admin/password-reset/\S+/)")
NEW = "a rather different one"


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def make_known(acme: Organization, username: str = "noor", email: str = "noor@example.org") -> User:
    user = make_person(username, email=email)
    user.set_password(PASSWORD)
    user.save()
    make_member(acme, user=user)
    return user


@pytest.fixture
def noor(acme: Organization) -> User:
    return make_known(acme)


def ask(address: str, client: Client | None = None) -> Any:
    return (client or Client()).post(RESET, {"address": address})


def mailed_link() -> str:
    deliveries.deliver()
    found = LINK.search(str(outgoing.outbox[-1].body))
    assert found
    return found[1]


def mails_for(user: User) -> int:
    return OutboxRow.objects.filter(kind="mail", payload__person=str(user.pk)).count()


def choose(path: str, password: str = NEW, again: str | None = None) -> Any:
    return Client().post(path, {"password": password, "again": password if again is None else again})


def can_sign_in(user: User, password: str) -> bool:
    form = {"username": user.username, "password": password}
    return bool(Client().post("/admin/login/", form).status_code == 302)


def test_the_page_of_the_sign_in_leads_to_it() -> None:
    assert f'href="{RESET}"' in Client().get("/admin/login/").content.decode()
    page = Client().get(RESET)
    assert page.status_code == 200
    assert "style=" not in page.content.decode()


def test_a_person_gets_a_link_and_chooses_a_new_password_which_ends_their_sessions(noor: User) -> None:
    elsewhere = Client()
    elsewhere.force_login(noor)
    noor.refresh_from_db()

    asked = ask("Noor@Example.org")
    path = mailed_link()
    looked = Client().get(path)
    chosen = choose(path)

    assert (asked.status_code, looked.status_code, chosen.status_code) == (200, 200, 302)
    assert chosen["Location"] == "/admin/password-is-set/"
    assert "sessionid" not in chosen.cookies
    [sent] = outgoing.outbox
    assert (sent.to, sent.subject) == (["noor@example.org"], "A new password for Tokenhouse")
    assert (can_sign_in(noor, PASSWORD), can_sign_in(noor, NEW)) == (False, True)
    assert elsewhere.get("/admin/").status_code == 302
    assert SignedInSession.objects.live().count() == 1, "that of the new sign-in"
    assert events(target_id=str(noor.pk))[-4:-1] == [
        "password.reset_requested allowed",
        "password.reset allowed",
        "session.refused failed",
    ]
    assert last_event(action="password.reset").actor_label == "noor"
    assert last_event(action="password.reset_requested").actor_type == "anonymous"


def no_such_address(acme: Organization) -> str:
    return "nobody@example.org"


def never_came_in(acme: Organization) -> str:
    make_person("omar", email="omar@example.org")
    return "omar@example.org"


def not_active(acme: Organization) -> str:
    make_known(acme, "omar", "omar@example.org")
    User.objects.filter(username="omar").update(is_active=False)
    return "omar@example.org"


def expired(acme: Organization) -> str:
    make_known(acme, "omar", "omar@example.org")
    User.objects.filter(username="omar").update(expires_at=now())
    return "omar@example.org"


def technical(acme: Organization) -> str:
    user = make_token(make_fleet(acme), "machines:read").token.principal
    user.email = "bot@example.org"
    user.save()
    return "bot@example.org"


@pytest.mark.parametrize("who", [no_such_address, never_came_in, not_active, expired, technical])
def test_for_everybody_else_the_answer_is_the_same_and_nobody_gets_mail(
    who: Callable[[Organization], str], acme: Organization, noor: User
) -> None:
    client = Client()

    known, other = ask("noor@example.org", client), ask(who(acme), client)

    assert (known.status_code, other.status_code) == (200, 200)
    assert known.content == other.content
    assert set(known.headers) == set(other.headers)
    assert [row.payload["person"] for row in OutboxRow.objects.filter(kind="mail").order_by("pk")] == [
        str(noor.pk),
        "",
    ]
    told = last_event(action="password.reset_requested")
    assert (told.target_id, told.target_label) == ("", "unknown")
    assert deliveries.deliver() == 2
    assert [sent.to for sent in outgoing.outbox] == [["noor@example.org"]]


def test_everybody_who_shares_an_address_gets_their_own_link(acme: Organization, noor: User) -> None:
    other = make_known(acme, "omar")

    ask("noor@example.org")
    deliveries.deliver()

    links = [found[1] for sent in outgoing.outbox if (found := LINK.search(str(sent.body)))]
    assert [
        user.username in str(sent.body) for user, sent in zip((noor, other), outgoing.outbox, strict=True)
    ] == [
        True,
        True,
    ]
    assert choose(links[1]).status_code == 302
    assert (can_sign_in(noor, PASSWORD), can_sign_in(other, NEW)) == (True, True)


@pytest.mark.parametrize(
    "address", ["", "x", "a@b", "@example.org", "a" * 300 + "@example.org", "a\x00@example.org"]
)
def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    answer = ask(address)

    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert not Event.objects.exists()


@pytest.mark.parametrize("text", ["İ@example.org", "noor@example.org ", "NOOR@EXAMPLE.ORG"])
def test_addresses_are_compared_without_case(noor: User, text: str) -> None:
    ask(text)

    assert OutboxRow.objects.exclude(payload__person="").count() == (0 if text[0] == "İ" else 1)


def used(user: User, path: str) -> str:
    assert choose(path, "yet another one of these").status_code == 302
    return path


def older_than_an_hour(user: User, path: str) -> str:
    return path


def password_changed(user: User, path: str) -> str:
    by = PersonAccess(User.objects.get(pk=user.pk))
    passwords.change(by.user, password="yet another one of these", by=by)
    return path


def signed_in_since(user: User, path: str) -> str:
    assert can_sign_in(user, PASSWORD)
    return path


def inactive(user: User, path: str) -> str:
    User.objects.filter(pk=user.pk).update(is_active=False)
    return path


def another_s(user: User, path: str) -> str:
    other = make_known(make_organization(), "omar", "omar@example.org")
    return path.replace(user.pk.hex, other.pk.hex)


def another_signature(user: User, path: str) -> str:
    return path[:-3] + ("00/" if path[-3:] != "00/" else "11/")


DEAD = [
    *(used, older_than_an_hour, password_changed, signed_in_since, inactive, another_s),
    another_signature,
]


@pytest.mark.parametrize("how", DEAD)
def test_a_link_that_works_no_more_says_the_same_whatever_the_reason(
    how: Callable[[User, str], str], noor: User
) -> None:
    ask("noor@example.org")
    path = mailed_link()
    assert Client().get(path).status_code == 200, "the positive twin"
    dead = how(noor, path)
    before = User.objects.get(pk=noor.pk).password

    ahead = 3700 if how is older_than_an_hour else 0
    with time_machine.travel(now().timestamp() + ahead):
        asked, chosen, nobodys = Client().get(dead), choose(dead), Client().get(f"{RESET}thl_nothing/")

    assert [answer.status_code for answer in (asked, chosen, nobodys)] == [404, 404, 404]
    assert asked.content == nobodys.content
    assert User.objects.get(pk=noor.pk).password == before


@pytest.mark.parametrize(
    "token", ["x", "%00", "thl_", "thl_.", "thl_" + "0" * 32 + ".x", "%ff", "é.é", "a" * 5000]
)
def test_junk_in_place_of_a_link_is_answered(token: str) -> None:
    for method in ("GET", "POST"):
        assert Client().generic(method, f"{RESET}{token}/").status_code == 404


def test_a_bad_password_uses_nothing_up(noor: User) -> None:
    ask("noor@example.org")
    path = mailed_link()

    assert "too short" in choose(path, "short").content.decode()
    assert "not the same" in choose(path, NEW, PASSWORD).content.decode()
    assert can_sign_in(make_known(make_organization(), "omar", "o@example.org"), PASSWORD)
    assert choose(path).status_code == 302


def test_of_two_with_the_same_link_one_sets_the_password(noor: User) -> None:
    first, second = (User.objects.get(pk=noor.pk) for _ in range(2))
    passwords.reset(first, password=NEW, by=PersonAccess(first))

    with pytest.raises(Conflict):
        passwords.reset(second, password="yet another one of these", by=PersonAccess(second))

    assert User.objects.get(pk=noor.pk).check_password(NEW)
    assert events(action="password.reset") == ["password.reset allowed"]


def test_nobody_resets_somebody_else_s(noor: User, acme: Organization) -> None:
    other = make_known(acme, "omar", "omar@example.org")

    with pytest.raises(Refused):
        passwords.reset(noor, password=NEW, by=PersonAccess(other))

    assert User.objects.get(pk=noor.pk).check_password(PASSWORD)


def test_a_person_gets_few_mails_an_hour_from_however_many_askers(noor: User, acme: Organization) -> None:
    make_member(make_organization(), user=noor)  # an event in each organization counts once
    for number in range(6):
        assert ask("noor@example.org", Client(REMOTE_ADDR=f"192.0.2.{number}")).status_code == 200

    assert mails_for(noor) == passwords.MOST_FOR_PERSON
    with at(now() + timedelta(minutes=61)):
        ask("noor@example.org")
    assert mails_for(noor) == passwords.MOST_FOR_PERSON + 1


def test_an_address_asks_a_few_times_an_hour_and_another_is_not_held_up(noor: User) -> None:
    asker = Client(REMOTE_ADDR="192.0.2.1")
    answers = [ask(f"nobody-{number}@example.org", asker) for number in range(12)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
    assert ask("noor@example.org", asker).status_code == 429
    assert mails_for(noor) == 0
    assert ask("noor@example.org", Client(REMOTE_ADDR="192.0.2.2")).status_code == 200
    assert mails_for(noor) == 1
    with at(now() + timedelta(minutes=61)):
        assert ask("noor@example.org", asker).status_code == 200


def test_no_row_log_or_event_holds_the_link_or_the_address_that_was_typed(
    noor: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ask("noor@example.org")
    ask("a-stranger@example.net")
    path = mailed_link()
    secret = path.split("/")[3]
    signature = secret.rpartition("-")[2]

    Client().get(path)
    choose(path)

    [handler] = [each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler]
    log = "\n".join(map(handler.format, caplog.records))
    assert f"{RESET}[secret]/" in log, "the request is logged"
    sinks = needles.database() | needles.sessions() | needles.valkey() | {"log": log.encode()}
    for needle in (signature, "a-stranger@example.net", NEW):
        assert [name for name, content in sinks.items() if needle.encode() in content] == []
