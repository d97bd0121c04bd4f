"""The danger zone of a token's page: emergency access, its windows, and the calls that needed them."""

from typing import Any

from django import forms
from django.db.models import Exists, OuterRef, QuerySet

from config.edge.access import Access
from config.edge.clock import now
from config.edge.commands import CommandForm, ReasonForm, RowVerb
from config.edge.facts import Cell, Section, linked, written, written_to_the_second
from config.edge.form_fields import reason_field
from tokens import emergency, policy, receipts
from tokens.models import EmergencyAccess, Token

NEWEST = 10  # windows
LISTED = 50  # calls
HOURS = [(hours, f"{hours} hour{'' if hours == 1 else 's'}") for hours in range(1, emergency.LONGEST + 1)]


class StartForm(CommandForm):
    hours = forms.TypedChoiceField(coerce=int, choices=HOURS, initial=1, label="For")
    reason = reason_field(
        "Goes to the organization's owners and admins, and to the token's owner.", required=True
    )


def lifts(by: Access, token: Token) -> bool:
    return policy.may_lift_restrictions(by)


def may_be_lifted(token: Token) -> bool:
    return emergency.has_to_lift(token) and emergency.open_window(token) is None


START = RowVerb(
    "start-emergency",
    "Start emergency access",
    lifts,
    lambda row, data, by: emergency.start(row, hours=data["hours"], reason=data["reason"], by=by),
    lambda row: (
        f"Lets {row.name} be used from everywhere and at any time, for some hours. Its scopes, its rate and its expiry "
        "hold as before. Owners and admins are told now, and at the end which calls needed it."
    ),
    "Emergency access is open. It ends by itself.",
    fits=may_be_lifted,
    form=StartForm,
    is_grave=True,
    needs_fresh_check=True,
)
STOP = RowVerb(
    "stop-emergency",
    "Stop emergency access",
    lifts,
    lambda row, data, by: emergency.stop(row, reason=data["reason"], by=by),
    lambda row: f"The networks and access windows of {row.name} hold again at once.",
    "Emergency access has ended.",
    fits=lambda row: emergency.open_window(row) is not None,
    form=ReasonForm,
    is_bound=False,
)


def notes_of(row: Token) -> list[str]:
    window = emergency.open_window(row)
    if window is None:
        return []
    until = written(window.ends_at)
    return [f"Emergency access is open until {until}: its networks and access windows are lifted."]


def knowing_of_windows(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Tokens with `had_emergency`, so that the page of one that never had a window asks for none."""
    windows = EmergencyAccess.objects.filter(token=OuterRef("pk"))
    tokens: QuerySet[Any] = rows.annotate(had_emergency=Exists(windows))
    return tokens


def sections_of(row: Any, by: Access) -> list[Section]:
    """Of a token as `knowing_of_windows` gives it. Nothing where there was no window, but for who may open one."""
    if not row.had_emergency:
        return [_windows([])] if lifts(by, row) and not row.is_ended else []
    windows = list(row.emergencies.select_related("started_by", "ended_by")[:NEWEST])
    return [_windows(windows), _calls(windows[0])]


def _windows(windows: list[EmergencyAccess]) -> Section:
    calls = receipts.counted(windows)
    rows = [
        [
            Cell(window.starts_at),
            Cell(_end_of(window)),
            Cell(window.started_by),
            Cell(window.reason),
            Cell(calls[window.pk]),
        ]
        for window in windows
    ]
    headers = ("From", "Until", "Who", "Why", "Calls that needed it")
    return Section("Danger zone: emergency access", headers, rows, "Its restrictions were never lifted.")


def _calls(window: EmergencyAccess) -> Section:
    rows = [
        [
            Cell(written_to_the_second(event.at), linked(event).link),
            Cell(event.data.get("scope")),
            Cell(event.data.get("path")),
            Cell(event.address),
            Cell(event.outcome),
            Cell(", ".join(event.data.get("bypassed", []))),
        ]
        for event in receipts.calls_of(window)[:LISTED]
    ]
    headers = ("When (UTC)", "Scope", "Path", "From", "Outcome", "Lifted")
    return Section("Calls that needed the latest window", headers, rows, "No call needed it.")


def _end_of(window: EmergencyAccess) -> str:
    if window.ended_at is None:
        return f"{written(window.ends_at)}{'' if window.is_open(now()) else ' (over)'}"
    return f"{written(window.ended_at)}, by {window.ended_by or 'the clock'}"
