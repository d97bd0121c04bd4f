"""Words with a colour or a dot beside them."""

from django.utils.html import format_html

from tokens.admin import words
from tokens.hints import is_gone
from tokens.models import Token


def badge(family: str, word: str) -> str:
    return format_html('<span class="badge {}-{}">{}</span>', family, word, word)


def status_badge(token: Token) -> str:
    status = words.status_of(token)
    why = f" {words.REASONS.get(token.status_reason, token.status_reason)}" if token.status_reason else ""
    return format_html('<span class="status status-{}">{}{}</span>', status, status, why)


def risk_badge(token: Token) -> str:
    return badge("risk", words.risk_of(token))


def reach_mark(token: Token) -> str:
    """Selected machines of which none is left are amber, and say so: they match nothing."""
    rows = list(token.machine_rows.all())
    is_empty = bool(rows) and all(is_gone(row, token) for row in rows)
    suffix = " (all gone)" if is_empty else ""
    return format_html(
        '<span class="reach{}">{}{}</span>', " is-gone" if is_empty else "", words.reach_of(token), suffix
    )


def end_mark(token: Token) -> str:
    """When it ends; the colour is for the eye only, the words say it too."""
    return _end_mark(words.end_of(token))


def end_mark_in_full(token: Token) -> str:
    """Where there is room: its own expiry too, where the policy ends it sooner."""
    end = words.end_of(token)
    own = f"; its own expiry: {words.expiry_of(token)}" if end.by_policy else ""
    return format_html("{}{}", _end_mark(end), own)


def _end_mark(end: words.End) -> str:
    near = f"is-{end.near}" if end.near else ""
    note = f" ({end.note})" if end.note else ""
    return format_html('<span class="expiry {}">{}{}</span>', near, end.text, note)
