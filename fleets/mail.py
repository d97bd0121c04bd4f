"""Mail: owed by a verb as a row that names a template and ids; written and sent by the worker alone.

What a mail says, links included, is made when it is sent, from what is true then: nothing secret waits in the database.
Each template has a writer, registered by the module that knows what it is about.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse

from audit import deliveries, outbox

KIND = "mail"


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
    subject, _, body = text.partition("\n")
    EmailMessage(subject.strip(), body.strip() + "\n", to=[letter.to]).send()


def link(name: str, *parts: str) -> str:
    """The absolute address of one of our pages."""
    address: str = settings.PUBLIC_URL + reverse(name, args=parts)
    return address


def _plain(value: Any) -> Any:
    """The value with each of its texts on one line, so that a name adds none of its own to a mail."""
    if isinstance(value, str):
        return " ".join("".join(c if c.isprintable() else " " for c in value).split())
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
