"""Mail: owed as ids, written when it is sent, in plain lines, to one address; a server that refuses loses nothing."""

from typing import Any

import pytest
from django.core import mail as outgoing
from django.core.exceptions import ImproperlyConfigured

from audit import deliveries
from audit.models import OutboxRow
from config.environment import Environment
from fleets import mail, membership
from fleets.models import Organization
from tests.factories import make_organization, make_person, operator
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


def test_a_real_server_gets_it(acme: Organization, settings: Any) -> None:
    with Smtp() as server:
        use(server, settings)
        join(acme)

        assert deliveries.deliver() == 1

    [got] = server.mails
    assert (got["To"], got["Subject"]) == ("noor@example.org", "You are a member of Acme now")
    assert got["From"] == "Tokenhouse <tokenhouse@localhost>"
    assert got.get_content_type() == "text/plain"
    assert "Hello Noor," in got.get_content()


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
