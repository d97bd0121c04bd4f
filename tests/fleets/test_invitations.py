"""Invitations: a link by mail that is good once, for 72 hours, and is kept nowhere."""

import io
import json
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as outgoing
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit import deliveries
from audit.models import Event, OutboxRow
from config.edge.clock import at, now
from config.edge.refusals import Conflict, IllegalMove, Refused
from fleets import invitations, membership
from fleets.access import PersonAccess
from fleets.models import Invitation, Membership, Organization, User
from tests.attacks import needles
from tests.factories import (
    API,
    PASSWORD,
    events,
    last_event,
    make_fleet,
    make_member,
    make_organization,
    make_person,
    make_token,
    member,
    operator,
    owner_of,
    session,
    session_client,
    token_client,
)
from tests.pages import browser

pytestmark = pytest.mark.django_db
INVITATIONS = f"{API}invitations/"
LINK = re.compile(r"http://127\.0\.0\.1:8000(/admin/invitation/\S+/)")


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme", name="Acme")


def invite(
    organization: Organization, username: str = "noor", email: str = "noor@example.org", **more: Any
) -> Invitation:
    row = membership.invite(
        organization,
        **{"username": username, "name": "Noor", "email": email, "role": "member", "by": operator, **more},
    )
    found = invitations.waiting_of(row)
    assert found is not None
    return found


def mailed_link() -> str:
    """The path in the mail that was sent last."""
    deliveries.deliver()
    found = LINK.search(str(outgoing.outbox[-1].body))
    assert found
    return found[1]


def choose(path: str, password: str = PASSWORD, again: str | None = None) -> Any:
    return Client().post(path, {"password": password, "again": password if again is None else again})


def test_a_new_member_is_mailed_a_link_and_comes_in_by_it(acme: Organization) -> None:
    invitation = invite(acme)
    path = mailed_link()

    asked = Client().get(path)
    chosen = choose(path)

    [sent] = outgoing.outbox
    assert (sent.to, sent.subject) == (["noor@example.org"], "Your invitation to Acme")
    assert "Your username is noor." in sent.body
    assert abs(invitation.expires_at - invitation.created_at - timedelta(hours=72)) < timedelta(seconds=1)
    assert asked.status_code == 200
    assert "Acme" in asked.content.decode()
    assert (chosen.status_code, chosen["Location"]) == (302, "/admin/password-is-set/")
    assert "sessionid" not in chosen.cookies, "nobody is signed in by a link"
    assert Client().get("/admin/password-is-set/").status_code == 200
    invitation.refresh_from_db()
    assert invitation.accepted_at is not None
    entered = Client().post("/admin/login/", {"username": "noor", "password": PASSWORD})
    assert entered.status_code == 302
    assert events(target_type="invitation") == ["invitation.opened allowed", "invitation.accepted allowed"]
    accepted = last_event(action="invitation.accepted")
    assert (accepted.actor_type, accepted.actor_label) == ("person", "noor")
    assert accepted.organization_id == acme.pk


def test_looking_at_a_link_uses_nothing_up(acme: Organization) -> None:
    invite(acme)
    path = mailed_link()

    for _ in range(3):
        assert Client().get(path).status_code == 200
    assert Client().head(path).status_code == 200
    assert Client().delete(path).status_code == 405
    assert choose(path).status_code == 302


def used(acme: Organization, path: str) -> str:
    assert choose(path, "another one of some length").status_code == 302
    return path


def lapsed(acme: Organization, path: str) -> str:
    Invitation.objects.update(expires_at=now())
    return path


def withdrawn(acme: Organization, path: str) -> str:
    invitations.withdraw(Invitation.objects.get(), by=session(owner_of(acme)))
    return path


def superseded(acme: Organization, path: str) -> str:
    invitations.resend(Invitation.objects.get(), by=session(owner_of(acme)))
    return path


def left(acme: Organization, path: str) -> str:
    membership.leave(Membership.objects.get(user__username="noor"), by=operator)
    return path


def inactive(acme: Organization, path: str) -> str:
    User.objects.filter(username="noor").update(is_active=False)
    return path


def has_a_password_by_now(acme: Organization, path: str) -> str:
    user = User.objects.get(username="noor")
    user.set_password("another one of some length")
    user.save()
    return path


def signed_long_ago(acme: Organization, path: str) -> str:
    """With the expiry in the database out of the way, the signature's own age still ends it."""
    Invitation.objects.update(expires_at=now() + timedelta(days=365))
    old = "01a0000000000"  # any other time than the one that was signed
    head, _, signature = path.rpartition(":")
    return f"{head.rpartition(':')[0]}:{old}:{signature}"


def with_another_id(acme: Organization, path: str) -> str:
    return path.replace(str(Invitation.objects.get().pk), str(invite(acme, "omar", "o@example.org").pk))


def with_another_version(acme: Organization, path: str) -> str:
    return path.replace(".1:", ".2:")


def with_another_signature(acme: Organization, path: str) -> str:
    return path[:-3] + ("AA/" if path[-3:] != "AA/" else "BB/")


DEAD: list[Callable[[Organization, str], str]] = [
    *(used, lapsed, withdrawn, superseded, left, inactive, has_a_password_by_now),
    *(signed_long_ago, with_another_id, with_another_version, with_another_signature),
]


@pytest.mark.parametrize("how", DEAD)
def test_a_link_that_works_no_more_says_the_same_whatever_the_reason(
    how: Callable[[Organization, str], str], acme: Organization
) -> None:
    invite(acme)
    path = mailed_link()
    assert Client().get(path).status_code == 200, "the positive twin"
    dead = how(acme, path)
    before = User.objects.get(username="noor").password

    asked, chosen = Client().get(dead), choose(dead)
    nobodys = Client().get("/admin/invitation/thl_nothing/")

    assert [answer.status_code for answer in (asked, chosen, nobodys)] == [404, 404, 404]
    assert asked.content == nobodys.content
    assert "noor" not in asked.content.decode()
    assert User.objects.get(username="noor").password == before


@pytest.mark.parametrize(
    "token", ["x", "%00", ":::", "thl_", "thl_a.b:c:d", "%ff%fe", "é", "a" * 5000, "1.2:3:4"]
)
def test_junk_in_place_of_a_link_is_answered(token: str) -> None:
    for method in ("GET", "POST"):
        assert Client().generic(method, f"/admin/invitation/{token}/").status_code == 404


@pytest.mark.parametrize(
    ("password", "again", "says"),
    [
        ("short", None, "too short"),
        ("qwerty123456", None, "too common"),
        ("noor@example.org", None, "too similar"),
        (PASSWORD, "another", "not the same"),
        (PASSWORD, "", "required"),
        ("a\x00" * 10, None, "Null characters"),
    ],
)
def test_a_bad_password_uses_nothing_up(
    acme: Organization, password: str, again: str | None, says: str
) -> None:
    invite(acme)
    path = mailed_link()

    refused = choose(path, password, again)

    assert refused.status_code == 200
    assert says in refused.content.decode()
    assert f'value="{password}"' not in refused.content.decode()
    assert Invitation.objects.get().accepted_at is None
    assert choose(path).status_code == 302


def test_a_forged_form_is_refused(acme: Organization) -> None:
    invite(acme)
    path = mailed_link()

    forged = Client(enforce_csrf_checks=True).post(path, {"password": PASSWORD, "again": PASSWORD})

    assert forged.status_code == 403
    assert Invitation.objects.get().accepted_at is None


def test_of_two_who_read_the_invitation_one_accepts(acme: Organization) -> None:
    first = invite(acme)
    second = Invitation.objects.select_related("user").get(pk=first.pk)
    invitations.accept(first, password=PASSWORD, by=PersonAccess(first.user))

    with pytest.raises(Conflict):
        invitations.accept(second, password="another one of some length", by=PersonAccess(second.user))

    assert User.objects.get(username="noor").check_password(PASSWORD)
    assert events(action="invitation.accepted") == ["invitation.accepted allowed"]


def test_nobody_accepts_for_somebody_else(acme: Organization) -> None:
    with pytest.raises(Refused):
        invitations.accept(invite(acme), password=PASSWORD, by=session(owner_of(acme)))

    assert not User.objects.get(username="noor").has_usable_password()
    assert events(action="invitation.accepted") == ["invitation.accepted denied"]


def test_a_new_link_replaces_the_old_and_is_good_for_another_72_hours(acme: Organization) -> None:
    invitation = invite(acme)
    old = mailed_link()

    with at(now() + timedelta(hours=100)):
        assert Client().get(old).status_code == 404
        invitations.resend(invitation, by=session(owner_of(acme)))
        new = mailed_link()
        assert (Client().get(old).status_code, Client().get(new).status_code) == (404, 200)
        assert Invitation.objects.get().expires_at - now() > timedelta(hours=71)
    assert last_event().action == "invitation.renewed"


def test_an_invitation_that_was_replaced_before_it_was_sent_is_sent_once(acme: Organization) -> None:
    invitations.resend(invite(acme), by=session(owner_of(acme)))

    assert deliveries.deliver() == 2
    assert len(outgoing.outbox) == 1


def test_what_was_accepted_or_withdrawn_is_neither_sent_again_nor_withdrawn(acme: Organization) -> None:
    invitation, by = invite(acme), session(owner_of(acme))
    invitations.withdraw(invitation, by=by)

    for verb in (invitations.resend, invitations.withdraw):
        with pytest.raises(IllegalMove):
            verb(invitation, by=by)

    assert events(action="invitation.withdrawn") == ["invitation.withdrawn allowed"]


@pytest.mark.parametrize(
    ("role", "invited", "may"),
    [
        ("owner", "admin", True),
        ("admin", "member", True),
        ("admin", "admin", False),
        ("approver", "member", False),
        ("member", "member", False),
    ],
)
def test_who_may_take_the_role_handles_the_invitation(
    acme: Organization, role: str, invited: str, may: bool
) -> None:
    invitation = invite(acme, role=invited)
    by = session(owner_of(acme) if role == "owner" else member(acme, role))
    outcomes = []
    for verb in (invitations.resend, invitations.withdraw):
        try:
            verb(invitation, by=by)
            outcomes.append(True)
        except Refused:
            outcomes.append(False)

    assert outcomes == [may, may]


def test_who_leaves_takes_the_invitation_along_and_a_mistyped_address_is_put_right(
    acme: Organization,
) -> None:
    first = invite(acme, email="typo@example.org")
    path = mailed_link()
    membership.leave(Membership.objects.get(user__username="noor"), by=operator)

    second = invite(acme, email="noor@example.org", by=session(owner_of(acme)))

    first.refresh_from_db()
    assert first.withdrawn_at is not None
    assert first.pk != second.pk
    assert Client().get(path).status_code == 404
    assert choose(mailed_link()).status_code == 302
    assert outgoing.outbox[-1].to == ["noor@example.org"]


def test_nobody_else_s_address_is_changed_by_an_invitation(acme: Organization) -> None:
    known = make_person("known", email="known@example.org")
    known.set_password(PASSWORD)
    known.save()
    elsewhere = make_organization()
    waiting = invite(elsewhere, "waiting", "waiting@example.org").user

    for username in ("known", "waiting"):
        with pytest.raises(Conflict) as refusal:
            membership.invite(
                acme, username=username, name="", email="evil@example.org", role="member", by=operator
            )
        assert refusal.value.code == "address_differs"

    known.refresh_from_db()
    waiting.refresh_from_db()
    assert (known.email, waiting.email) == ("known@example.org", "waiting@example.org")
    assert not acme.memberships.filter(user__in=[known, waiting]).exists()


def test_no_link_goes_to_whoever_claimed_a_username_first(acme: Organization) -> None:
    claimed = invite(make_organization("theirs"), "alice", "mallory@example.org").user
    outgoing.outbox.clear()

    with pytest.raises(Conflict) as refusal:
        membership.invite(
            acme, username="alice", name="", email="alice@example.org", role="admin", by=operator
        )
    deliveries.deliver()

    assert refusal.value.code == "address_differs"
    assert not acme.memberships.filter(user=claimed).exists()
    assert [sent.to for sent in outgoing.outbox if "Acme" in str(sent.body)] == []

    membership.invite(
        acme, username="alice", name="", email="Mallory@example.org", role="member", by=operator
    )
    assert acme.memberships.filter(user=claimed, role="member").exists(), "meant as they are, they are added"


def test_accepting_one_invitation_uses_up_those_of_other_organizations(acme: Organization) -> None:
    other = make_organization("other")
    invite(acme)
    invite(other)
    path = mailed_link()
    deliveries.deliver()
    links = [found[1] for sent in outgoing.outbox if (found := LINK.search(str(sent.body)))]
    assert len(set(links)) == 2

    assert choose(path).status_code == 302

    assert [Client().get(link).status_code for link in links] == [404, 404]
    assert not Invitation.objects.waiting().exists()
    told = Event.objects.filter(action="invitation.accepted").values_list("organization_id", flat=True)
    assert set(told) == {acme.pk, other.pk}


def test_without_an_address_there_is_nothing_to_send(acme: Organization) -> None:
    row = membership.invite(acme, username="noor", name="", role="member", by=operator)

    assert invitations.waiting_of(row) is None
    assert not OutboxRow.objects.exists()
    made = invitations.renew_for_operator(row, by=operator)
    with pytest.raises(Conflict) as refusal:
        invitations.resend(made, by=session(owner_of(acme)))
    assert refusal.value.code == "no_address"


def test_only_the_operator_makes_a_link_without_a_mail(acme: Organization) -> None:
    row = membership.invite(acme, username="noor", name="", role="member", by=operator)

    with pytest.raises(Refused):
        invitations.renew_for_operator(row, by=session(owner_of(acme)))

    assert not Invitation.objects.exists()


# Nothing secret stays behind


def test_no_row_log_or_event_holds_the_link(acme: Organization, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    invite(acme)
    path = mailed_link()
    secret = path.split("/")[3]
    signature = secret.rpartition(":")[2]

    Client().get(path)
    Client().get(f"/admin/nothing/{secret}/")
    choose(path)

    [handler] = [each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler]
    log = "\n".join(map(handler.format, caplog.records))
    assert "/admin/invitation/[secret]/" in log, "the request is logged"
    sinks = needles.database() | needles.sessions() | needles.valkey() | {"log": log.encode()}
    assert [name for name, content in sinks.items() if signature.encode() in content] == []


# The API


def test_who_manages_permissions_lists_resends_and_withdraws(acme: Organization) -> None:
    invitation = invite(acme)
    client = session_client(member(acme, "admin"))

    listed = client.get(INVITATIONS)
    one = client.get(f"{INVITATIONS}{invitation.pk}/")
    stale = client.delete(f"{INVITATIONS}{invitation.pk}/", headers={"if-match": '"9"'})
    resent = client.post(f"{INVITATIONS}{invitation.pk}/resend/", {})
    gone = client.delete(f"{INVITATIONS}{invitation.pk}/")

    [row] = listed.data["results"]
    assert set(row) == {"id", "organization", "username", "name", "created_at", "expires_at"}
    assert (row["organization"], row["username"]) == ("acme", "noor")
    assert (one.status_code, one["ETag"], resent.status_code, resent["ETag"]) == (200, '"1"', 200, '"2"')
    assert [answer.status_code for answer in (stale, gone)] == [412, 204]
    assert client.get(INVITATIONS).data["results"] == []
    assert client.get(f"{INVITATIONS}{invitation.pk}/").status_code == 404
    for answer in (listed, one, resent):
        assert "thl_" not in answer.content.decode()


@pytest.mark.parametrize("role", ["approver", "auditor", "member"])
def test_others_do_not_see_who_is_invited(acme: Organization, role: str) -> None:
    invitation = invite(acme)
    client = session_client(member(acme, role))

    answers = [
        client.get(INVITATIONS),
        client.get(f"{INVITATIONS}{invitation.pk}/"),
        client.post(f"{INVITATIONS}{invitation.pk}/resend/", {}),
        client.delete(f"{INVITATIONS}{invitation.pk}/"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert Invitation.objects.open().count() == 1


def test_a_token_needs_the_scope_and_never_is_a_fleet_s(acme: Organization) -> None:
    invite(acme)
    owner = owner_of(acme)
    may = token_client(make_token(owner, "permissions:manage"))
    may_not = token_client(make_token(owner, "tokens:read"))
    fleets = token_client(make_token(make_fleet(acme), "machines:read"))

    assert [client.get(INVITATIONS).status_code for client in (may, may_not, fleets)] == [200, 403, 403]


def test_another_organization_s_invitation_is_not_there(acme: Organization) -> None:
    theirs = invite(make_organization("other"))
    client = session_client(owner_of(acme))

    assert client.get(f"{INVITATIONS}{theirs.pk}/").status_code == 404
    assert client.delete(f"{INVITATIONS}{theirs.pk}/").status_code == 404
    assert client.get(INVITATIONS).data["results"] == []


def test_inviting_by_the_api_answers_nothing_secret(acme: Organization) -> None:
    body = {"username": "noor", "email": "noor@example.org", "role": "member"}

    answer = session_client(owner_of(acme)).post(f"{API}members/", body)

    assert answer.status_code == 201
    assert set(answer.data) == {
        *("id", "organization", "username", "name", "role", "joined_at", "suspended_at")
    }
    assert Invitation.objects.get().user.username == "noor"


def test_the_list_costs_the_same_with_one_row_and_with_thirty(acme: Organization) -> None:
    client = session_client(owner_of(acme))
    costs = []
    for count in (1, 29):
        for _ in range(count):
            invite(acme, make_username(), "a@example.org")
        with CaptureQueriesContext(connection) as queries:
            assert client.get(INVITATIONS, {"limit": 200}).status_code == 200
        costs.append(len(queries))

    assert costs[0] == costs[1]


def make_username() -> str:
    return f"invited-{User.objects.count()}"


# The admin


def test_the_member_s_page_shows_the_invitation_and_resends_and_withdraws_it(acme: Organization) -> None:
    invitation, client = invite(acme), browser(owner_of(acme))
    page = f"/admin/fleets/membership/{Membership.objects.get(user=invitation.user).pk}/"

    shown = client.get(f"{page}change/")
    asked = client.get(f"{page}resend/")
    sent = client.post(f"{page}resend/")
    ended = client.post(f"{page}withdraw/")
    after = client.get(f"{page}change/")
    late = client.post(f"{page}resend/")

    text = shown.content.decode()
    assert "Sent, works until" in text
    assert {button.label for button in shown.context["buttons"]} >= {
        "Resend invitation",
        "Withdraw invitation",
    }
    assert [answer.status_code for answer in (asked, sent, ended, late)] == [200, 302, 302, 409]
    assert not {button.label for button in after.context["buttons"]} & {
        "Resend invitation",
        "Withdraw invitation",
    }
    assert "Sent, works until" not in after.content.decode()
    assert events(target_type="invitation") == [
        f"invitation.{what} allowed" for what in ("opened", "renewed", "withdrawn")
    ]


def test_who_never_needed_an_invitation_has_no_buttons_for_one(acme: Organization) -> None:
    client = Client()
    client.force_login(owner_of(acme))

    shown = client.get(f"/admin/fleets/membership/{make_member(acme).pk}/change/")

    assert not {button.label for button in shown.context["buttons"]} & {
        "Resend invitation",
        "Withdraw invitation",
    }


# The operator's command line


def command(*words: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("user", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_operator_invites_and_gets_a_link_that_works_once(acme: Organization) -> None:
    out, err = command(
        "invite", "noor", "--organization", "acme", "--role", "auditor", "--name", "Noor", "--format", "json"
    )

    shown = json.loads(out)
    assert (shown["username"], shown["role"], shown["organization"]) == ("noor", "auditor", "acme")
    path = shown["link"].removeprefix("http://127.0.0.1:8000")
    assert choose(path).status_code == 302
    assert choose(path).status_code == 404
    assert "shown this once" in err
    assert shown["link"] not in err
    opened = last_event(action="invitation.opened")
    assert (opened.actor_type, opened.actor_id) == ("system", "operator")


def test_the_link_on_the_terminal_is_the_one_that_is_mailed_too(acme: Organization) -> None:
    out, _ = command("invite", "noor", "--organization", "acme", "--email", "noor@example.org")
    printed = LINK.search(out)
    mailed = mailed_link()

    assert printed
    assert len(outgoing.outbox) == 1
    assert [Client().get(link).status_code for link in (printed[1], mailed)] == [200, 200]


def test_for_who_never_came_in_the_operator_makes_a_new_link(acme: Organization) -> None:
    first, _ = command("invite", "noor", "--organization", "acme")
    second, _ = command("invite", "NOOR", "--organization", "acme")

    links = [found[1] for text in (first, second) if (found := LINK.search(text))]
    assert [Client().get(link).status_code for link in links] == [404, 200]
    assert Membership.objects.filter(user__username="noor").count() == 1


def test_who_has_an_account_gets_no_link(acme: Organization) -> None:
    person = make_person("noor", email="noor@example.org")
    person.set_password(PASSWORD)
    person.save()

    out, err = command("invite", "noor", "--organization", "acme", "--format", "json")

    assert "link" not in json.loads(out)
    assert "have an account" in err
    deliveries.deliver()
    assert outgoing.outbox[-1].subject == "You are a member of Acme now"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["invite", "noor", "--organization", "nowhere"], "There is no organization nowhere."),
        (["invite", "no or", "--organization", "acme"], "Letters, digits"),
        (["invite", "noor", "--organization", "acme", "--email", "x"], "email"),
        (["invite", "{owner}", "--organization", "acme"], "can sign in already"),
        (["invite", "{owner}", "--organization", "acme", "--role", "member"], "already, as owner"),
        (["invite", "noor"], "--organization"),
        (["invite", "noor", "--organization", "acme", "--role", "king"], "king"),
    ],
)
def test_what_can_not_be_done_is_one_line(acme: Organization, words: list[str], says: str) -> None:
    owner = owner_of(acme)
    owner.set_password(PASSWORD)
    owner.save()

    with pytest.raises(CommandError, match=re.escape(says)) as error:
        command(*(word.format(owner=owner.username) for word in words))

    assert "\n" not in str(error.value)
    assert not User.objects.filter(username="noor").exists()
