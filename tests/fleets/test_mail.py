"""Mail: owed as ids, written when it is sent, as text and HTML, to one address; a server that refuses loses nothing."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.core import mail as outgoing
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from audit import deliveries, given_up
from audit.models import OutboxRow
from config.edge.clock import at, now
from config.edge.refusals import IllegalMove, Invalid, Refused
from config.environment import Environment
from fleets import mail, membership
from fleets.models import Organization
from tests.factories import (
    acting,
    events,
    last_event,
    make_member,
    make_organization,
    make_person,
    make_superuser,
    make_token,
    operator,
    owner_of,
    session,
)
from tests.servers.smtp import Smtp

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme", name="Acme")


def join(acme: Organization, **fields: Any) -> None:
    """Somebody who has a password becomes a member, which owes them a mail."""
    person = make_person("noor", email="noor@example.org", **fields)
    person.set_password("x")
    person.save()
    membership.invite(acme, username="noor", name="", role="member", by=operator)


def test_a_mail_is_owed_as_ids_and_sent_by_the_worker_alone(acme: Organization) -> None:
    join(acme)

    assert outgoing.outbox == []
    [row] = OutboxRow.objects.filter(kind="mail")
    assert row.payload == {"template": "joined", "membership": str(acme.memberships.get(role="member").pk)}
    deliveries.deliver()
    [sent] = outgoing.outbox
    assert (sent.to, sent.cc, sent.bcc) == (["noor@example.org"], [], [])
    assert sent.subject == "You are a member of Acme now"
    assert sent.from_email == "Tokenhouse <tokenhouse@localhost>"
    assert "http://127.0.0.1:8000/admin/" in sent.body
    assert not OutboxRow.objects.exists()


def test_what_is_no_longer_true_is_not_sent(acme: Organization) -> None:
    join(acme)
    acme.memberships.filter(role="member").update(left_at=acme.created_at)

    assert deliveries.deliver() == 1
    assert outgoing.outbox == []


def test_a_name_adds_neither_a_line_nor_a_header_nor_markup(acme: Organization) -> None:
    acme.name = "Acme\r\nBcc: all@example.org\r\n\r\nhttp://evil.example/ & {{ link }} <b>\u202e"
    acme.save()
    join(acme, name="Noor\nSecond line")

    deliveries.deliver()

    [sent] = outgoing.outbox
    shown = "Acme Bcc: all@example.org http://evil.example/ & {{ link }} <b>"
    assert sent.subject == f"You are a member of {shown} now"
    assert sent.message()["Bcc"] is None
    assert "Hello Noor Second line," in sent.body
    assert "http://evil.example/ &amp; {{ link }} &lt;b&gt;" in html_of(sent)
    assert 'href="http://evil' not in html_of(sent)
    assert html_of(sent).count("<a ") == 1, "the link of ours"


def html_of(sent: Any) -> str:
    [(html, kind)] = sent.alternatives
    assert kind == "text/html"
    return str(html)


def test_the_html_says_the_same_as_the_text_and_fetches_nothing(acme: Organization) -> None:
    membership.leave(acme.memberships.get(user=member_with_tokens(acme)), by=operator)
    join(acme)

    deliveries.deliver()

    assert len(outgoing.outbox) == 3
    for sent in outgoing.outbox:
        html = html_of(sent)
        words = " ".join(unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)).split())
        for line in str(sent.body).splitlines():
            assert " ".join(line.removeprefix("- ").split()) in words
        assert str(sent.subject) in html
        assert not re.findall(r"<(?:img|link|script|style|iframe)|url\(|@import|src=", html)
    assert "<li>" in html_of(next(sent for sent in outgoing.outbox if "no longer" in sent.subject))


def member_with_tokens(acme: Organization) -> Any:
    person = make_person("lee", email="lee@example.org")
    make_member(acme, user=person)
    for _ in range(2):
        make_token(person, "machines:read", organization=acme)
    owner = acme.memberships.get(role="owner").user
    owner.email = "owner@example.org"
    owner.save(update_fields=["email"])
    return person


# Tests of the server


def test_a_superuser_has_a_test_mail_sent_and_nobody_else(acme: Organization) -> None:
    superuser = make_superuser("root")

    row = mail.test(to="noor@example.org", by=session(superuser))

    assert row.payload == {"template": "test", "to": "noor@example.org"}
    assert deliveries.deliver() == 1
    [sent] = outgoing.outbox
    assert (sent.to, sent.subject) == (["noor@example.org"], "A test of mail from Tokenhouse")
    assert last_event(action="mail.tested").actor_id == str(superuser.pk)
    with pytest.raises(Refused):
        mail.test(to="noor@example.org", by=session(owner_of(acme)))
    make_member(acme, user=superuser)
    token = acting(make_token(superuser, "permissions:manage", privilege_separation=False))
    with pytest.raises(Refused):
        mail.test(to="noor@example.org", by=token)
    with pytest.raises(Invalid, match="no mail address"):
        mail.test(to="noor@example.org\nBcc: all@example.org", by=session(superuser))
    assert not OutboxRow.objects.exists()


def test_the_operator_learns_at_once_whether_the_server_takes_mail(settings: Any, capsys: Any) -> None:
    with Smtp() as server:
        use(server, settings)
        call_command("mail", "test", "noor@example.org")
    assert [got["To"] for got in server.mails] == ["noor@example.org"]
    assert "took a mail to noor@example.org" in capsys.readouterr().out

    with Smtp(refuses=True) as server:
        use(server, settings)
        with pytest.raises(CommandError, match="no such mailbox"):
            call_command("mail", "test", "noor@example.org")
    with pytest.raises(CommandError, match="no mail address"):
        call_command("mail", "test", "noor")
    assert not OutboxRow.objects.exists()


def test_what_was_given_up_is_sent_again_or_dropped_by_a_superuser(acme: Organization, settings: Any) -> None:
    superuser = session(make_superuser("root"))
    join(acme)
    mail.test(to="lee@example.org", by=superuser)
    with Smtp(refuses=True) as server:
        use(server, settings)
        with at(now() + timedelta(days=4)):
            assert deliveries.deliver() == 0
            later = now()
    wanted, unwanted = OutboxRow.objects.exclude(dead_at=None).order_by("pk")
    assert [row.last_error for row in (wanted, unwanted)] == ["SMTPRecipientsRefused"] * 2
    with pytest.raises(Refused):
        given_up.retry(wanted, by=session(owner_of(acme)))

    given_up.drop(unwanted, by=superuser)
    with at(later), Smtp() as server:
        use(server, settings)
        given_up.retry(wanted, by=superuser)
        assert deliveries.deliver() == 1
    assert [got["To"] for got in server.mails] == ["noor@example.org"]
    assert events(action="delivery.given_up") == ["delivery.given_up allowed"] * 2
    assert events(target_id=str(unwanted.pk), action="delivery.dropped") == ["delivery.dropped allowed"]
    with pytest.raises(IllegalMove):
        given_up.retry(unwanted, by=superuser)


def test_a_real_server_gets_it(acme: Organization, settings: Any) -> None:
    with Smtp() as server:
        use(server, settings)
        join(acme)

        assert deliveries.deliver() == 1

    [got] = server.mails
    assert (got["To"], got["Subject"]) == ("noor@example.org", "You are a member of Acme now")
    assert got["From"] == "Tokenhouse <tokenhouse@localhost>"
    assert got.get_content_type() == "multipart/alternative"
    plain, html = got.iter_parts()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert "Hello Noor," in plain.get_content()
    assert "Hello Noor," in html.get_content()


def test_a_server_that_refuses_or_is_away_gets_it_later(acme: Organization, settings: Any) -> None:
    with Smtp(refuses=True) as server:
        use(server, settings)
        join(acme)
        assert deliveries.deliver() == 0
        assert server.mails == []
    OutboxRow.objects.update(due_at=acme.created_at)
    assert deliveries.deliver() == 0, "nobody listens any more"
    OutboxRow.objects.update(due_at=acme.created_at)
    with Smtp() as server:
        use(server, settings)
        assert deliveries.deliver() == 1
        assert len(server.mails) == 1


def use(server: Smtp, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("consolemail://", {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}),
        ("smtp://mail", {"EMAIL_HOST": "mail", "EMAIL_PORT": 25}),
        ("smtp+tls://u:p%40@mail", {"EMAIL_PORT": 587, "EMAIL_USE_TLS": True, "EMAIL_HOST_PASSWORD": "p@"}),
        ("smtp+ssl://mail:4650", {"EMAIL_PORT": 4650, "EMAIL_USE_SSL": True}),
    ],
)
def test_the_server_is_named_by_an_address(
    url: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMAIL_URL", url)

    assert expected.items() <= Environment().email("EMAIL_URL").items()


@pytest.mark.parametrize("url", ["mail.example.org", "http://mail", "smtp://mail:port", ""])
def test_another_address_is_refused_at_the_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_URL", url)

    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL must be an address"):
        Environment().email("EMAIL_URL")


def test_every_template_has_a_writer_and_every_writer_a_template(repository: Any) -> None:
    templates = {path.stem for path in (repository / "templates" / "mail").glob("*.txt")}

    assert templates == set(mail._writers)
