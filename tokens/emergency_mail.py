"""The mails of emergency access: to the organization's owners and admins and to the token's owner, at both ends.

The one at the end is the receipt: it lists the calls that needed it.
"""

from typing import Any

from audit.models import Event
from fleets import mail
from fleets.models import User
from tokens import contacts
from tokens.models import EmergencyAccess
from tokens.receipts import calls_of

LISTED = 50  # calls that a mail lists


def started(window: EmergencyAccess) -> None:
    _to_all("emergency_started", window)


def ended(window: EmergencyAccess) -> None:
    _to_all("emergency_ended", window)


def _to_all(template: str, window: EmergencyAccess) -> None:
    for person in contacts.all_of(window.token):
        mail.owe(template, emergency=str(window.pk), person=str(person.pk))


@mail.writer("emergency_started")
def _of_start(payload: dict[str, Any]) -> mail.Letter | None:
    return _letter(payload)


@mail.writer("emergency_ended")
def _of_end(payload: dict[str, Any]) -> mail.Letter | None:
    letter = _letter(payload)
    if letter is None:
        return None
    window = _window(payload)
    assert window is not None
    calls = calls_of(window)
    count = calls.count()
    shown = [_line(event) for event in calls.order_by("id")[:LISTED]]
    return mail.Letter(
        letter.to, letter.values | {"calls": shown, "count": count, "more": count - len(shown)}
    )


def _letter(payload: dict[str, Any]) -> mail.Letter | None:
    window = _window(payload)
    person = User.objects.active().filter(pk=payload["person"]).exclude(email="").first()
    if window is None or person is None or not contacts.all_of(window.token).filter(pk=person.pk).exists():
        return None
    token = window.token
    values = {
        "name": str(person),
        "token": token.name,
        "owner": token.owner_label,
        "organization": token.organization.name,
        "who": str(window.started_by),
        "reason": window.reason,
        "hours": window.hours,
        "starts_at": window.starts_at,
        "ends_at": window.ends_at,
        "ended_at": window.ended_at,
        "ended_by": str(window.ended_by) if window.ended_by else "",
        "link": mail.link("admin:tokens_token_change", token.pk),
    }
    return mail.Letter(person.email, values)


def _window(payload: dict[str, Any]) -> EmergencyAccess | None:
    rows = EmergencyAccess.objects.select_related("token__organization", "started_by", "ended_by")
    return rows.filter(pk=payload["emergency"]).first()


def _line(event: Event) -> dict[str, Any]:
    asked = event.data.get("scope") or "who it is"
    return {
        "at": event.at,
        "what": f"{asked} on {event.data['path']}" if event.data.get("path") else asked,
        "from": event.address or "an unknown address",
        "outcome": event.outcome,
        "lifted": ", ".join(event.data.get("bypassed", [])),
    }
