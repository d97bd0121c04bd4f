"""Mail: owed by a verb as a row that names a template and ids; written and sent by the worker alone.

What a mail says, links included, is made when it is sent, from what is true then: nothing secret waits in the database.
Each template has a writer, registered by the module that knows what it is about. Templates are plain text; the HTML of
a mail is made of the same text, one layout around all of them, with nothing that is fetched from anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse

from audit import deliveries, outbox
from audit.actions import Action
from audit.policy import may_manage_mail
from audit.trail import Target, record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Invalid, require

KIND = "mail"
LAYOUT = "mail/layout.html"


@dataclass(frozen=True)
class Letter:
    """One mail to one address: what its template asks for."""

    to: str
    values: dict[str, Any] = field(default_factory=dict, repr=False)


Writer = Callable[[outbox.Payload], Letter | None]  # None: it is no longer true, or nobody's address is known

_writers: dict[str, Writer] = {}


def register() -> None:
    deliveries.register(KIND, send)


def writer(template: str) -> Callable[[Writer], Writer]:
    """Mark a function as what writes the mails of templates/mail/<template>.txt."""

    def register_it(function: Writer) -> Writer:
        _writers[template] = function
        return function

    return register_it


def owe(template: str, **about: Any) -> None:
    """Owe a mail, in the verb's transaction. `about`: ids and names, for its writer; never a link or a secret."""
    outbox.add(KIND, {"template": template, **about})


def send(payload: outbox.Payload) -> None:
    """Write and send one mail. Raises where the server does not take it."""
    letter = _writers[payload["template"]](payload)
    if letter is None:
        return
    text = render_to_string(f"mail/{payload['template']}.txt", _plain(letter.values))
    subject, _, rest = text.partition("\n")
    subject, body = subject.strip(), rest.strip()
    message = EmailMultiAlternatives(subject, body + "\n", to=[letter.to])
    message.attach_alternative(render_to_string(LAYOUT, _layout(subject, body)), "text/html")
    message.send()


@verb(Action.MAIL_TESTED)
def test(*, to: str, by: Access) -> outbox.OutboxRow:
    """Owe a test mail to an address."""
    require(may_manage_mail(by), "Only superusers, in their browser session, test mail.")
    row = outbox.add(KIND, _about_test(to))
    record(Action.MAIL_TESTED, by=by, target=Target("installation", "", "installation"))
    return row


def test_now(*, to: str, by: Access) -> None:
    """Send a test mail here and now, for the operator at the command line. Raises where the server does not take it.

    No verb: the database would wait for the server.
    """
    require(by.is_operator, "Only the operator of this installation.")
    send(_about_test(to))
    with transaction.atomic():
        record(Action.MAIL_TESTED, by=by, target=Target("installation", "", "installation"))


def link(name: str, *parts: str) -> str:
    """The absolute address of one of our pages."""
    address: str = settings.PUBLIC_URL + reverse(name, args=parts)
    return address


def _about_test(to: str) -> outbox.Payload:
    try:
        validate_email(to)
    except ValidationError:
        raise Invalid.field("to", "This is no mail address.") from None
    return {"template": "test", "to": to}


@writer("test")
def _test(payload: outbox.Payload) -> Letter:
    return Letter(payload["to"], {"link": link("admin:index"), "at": now()})


def _layout(subject: str, body: str) -> dict[str, Any]:
    """The text as the layout takes it: paragraphs of lines; lists; a paragraph that is a link of ours, alone."""
    paragraphs = []
    for block in body.split("\n\n"):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        is_link = len(lines) == 1 and lines[0].startswith(settings.PUBLIC_URL + "/") and " " not in lines[0]
        is_list = all(line.startswith("- ") for line in lines)
        if is_list:
            lines = [line.removeprefix("- ") for line in lines]
        if lines:
            paragraphs.append({"lines": lines, "is_link": is_link, "is_list": is_list})
    return {"subject": subject, "paragraphs": paragraphs}


def _plain(value: Any) -> Any:
    """The value with each of its texts on one line, so that a name adds none of its own to a mail."""
    if isinstance(value, str):
        return " ".join("".join(c if c.isprintable() else " " for c in value).split())
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
