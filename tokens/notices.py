"""Tells who answers for a token that it expires: 30, 7 and 1 days ahead, each once for each expiry that it has had."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db.models import Exists, F, OuterRef, Q

from audit.actions import Action
from audit.trail import record_all
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from fleets import mail
from fleets.access import system
from fleets.models import User
from tokens import contacts
from tokens.kinds import OWNER_COLUMNS
from tokens.models import ExpiryNotice, Token, TokenQuerySet

SPANS = (30, 7, 1)  # days ahead
BATCH = 100  # tokens of a transaction
ROUNDS = 100
LISTED = 50  # names that a mail lists


def register() -> None:
    mail.writer("tokens_expire")(_letter)


def announce_expiries() -> int:
    """How many tokens were announced."""
    done, by = 0, system("timers")
    for _ in range(ROUNDS):
        at = now()
        if not any(due(at, days).exists() for days in SPANS):
            break
        done += sum(_announce_some(at, days, by=by) for days in SPANS)
    return done


def due(at: datetime, days: int) -> TokenQuerySet:
    """Whose expiry is so near that this notice fits and no nearer one does, and who were not told. A token that was
    issued for no longer than the notice's span does not get it."""
    nearer = max((span for span in SPANS if span < days), default=0)
    near = Q(expires_at__gt=at + timedelta(days=nearer), expires_at__lte=at + timedelta(days=days))
    told = ExpiryNotice.objects.filter(token=OuterRef("pk"), days=days, expires_at=OuterRef("expires_at"))
    tokens = Token.objects.expiring().with_begun().filter(near, ~Exists(told))
    return tokens.filter(expires_at__gt=F("begun") + timedelta(days=days)).order_by("expires_at")


@verb(Action.TOKEN_EXPIRY_ANNOUNCED)
def _announce_some(at: datetime, days: int, *, by: Access) -> int:
    rows = due(at, days).select_related("organization", *OWNER_COLUMNS)
    tokens = list(rows.select_for_update(of=("self",), no_key=True, skip_locked=True)[:BATCH])
    ExpiryNotice.objects.bulk_create(
        ExpiryNotice(token=token, days=days, expires_at=token.expires_at)
        for token in tokens
        if token.expires_at  # as `due` has it
    )
    record_all(Action.TOKEN_EXPIRY_ANNOUNCED, by=by, targets=tokens, data={"days": days})
    for _, same in groupby(sorted(tokens, key=_list_of), key=_list_of):
        _tell(list(same), days)
    return len(tokens)


def _list_of(token: Token) -> tuple[str, str, str]:
    """The list that a token belongs to: one owner's, in one organization."""
    return str(token.organization_id), token.kind, str(token.owner.pk)


def _tell(tokens: Sequence[Token], days: int) -> None:
    """One mail to each, for all of a list that are due together."""
    ids = [token.pk for token in tokens[:LISTED]]
    for person in contacts.of_owner(tokens[0]):
        mail.owe("tokens_expire", person=str(person.pk), tokens=ids, count=len(tokens), days=days)


def _letter(payload: dict[str, Any]) -> mail.Letter | None:
    """Of those that still are to expire then: one that was extended meanwhile is left out."""
    soon = now() + timedelta(days=payload["days"])
    rows = Token.objects.expiring().filter(pk__in=payload["tokens"], expires_at__lte=soon)
    tokens = list(rows.select_related("organization", *OWNER_COLUMNS).order_by("expires_at", "name"))
    person = User.objects.active().filter(pk=payload["person"]).exclude(email="").first()
    if not tokens or person is None or not contacts.of_owner(tokens[0]).filter(pk=person.pk).exists():
        return None
    values = {
        "name": str(person),
        "organization": tokens[0].organization.name,
        "owner": tokens[0].owner_label,
        "days": payload["days"],
        "tokens": [
            {
                "name": token.name,
                "at": token.expires_at,
                "link": mail.link("admin:tokens_token_change", token.pk),
            }
            for token in tokens
        ],
        "count": len(tokens),
        "more": payload["count"] - len(payload["tokens"]),
    }
    return mail.Letter(person.email, values)
