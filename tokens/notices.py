"""Tells who answers for a token that it expires: 30, 7 and 1 days ahead, each once for each expiry that it has had.

What counts is the effective expiry (`rules.effective_expiry`), be it the token's own or what the organization's longest
lifetime brings.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import reduce
from itertools import groupby
from operator import or_
from typing import Any

from django.db.models import (
    Case,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    IntegerField,
    OuterRef,
    Q,
    When,
)

from audit.actions import Action
from audit.trail import record_all
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from fleets import mail
from fleets.access import system
from fleets.models import Organization, User
from fleets.organization_policy import policy_of
from tokens import contacts
from tokens.kinds import OWNER_COLUMNS
from tokens.models import ExpiryNotice, Token, TokenQuerySet
from tokens.rules import effective_expiry

SPANS = (30, 7, 1)  # days ahead
BATCH = 100  # tokens of a transaction
MOST = 30_000  # tokens of a run; the next one goes on
LISTED = 50  # names that a mail lists


def register() -> None:
    mail.writer("tokens_expire")(_letter)


def announce_expiries() -> int:
    """How many tokens were announced."""
    done, by = 0, system("timers")
    for parts in due(now()):
        while done < MOST and any(rows.exists() for rows in parts):
            count = _announce_some(parts, by=by)
            if not count:  # others hold the rest
                break
            done += count
    return done


def due(at: datetime) -> Iterator[list[TokenQuerySet]]:
    """The tokens whose effective expiry is near and who were not told: those that no policy limits, then for each
    organization with a longest lifetime those that end by themselves beside those that it ends sooner.

    Each with `ends_at` and `span`, the days of the nearest notice that fits. A token that lives no longer than these
    does not get it.
    """
    said = Organization.objects.filter(policy__maximum_lifetime_days__isnull=False)
    limited = said.exclude(policy__maximum_lifetime_days=None)  # JSON's null, where there is no limit
    yield [_near(at, "expires_at", timedelta(0)).exclude(organization__in=limited)]
    for organization in limited.order_by("pk"):
        longest = policy_of(organization).maximum_lifetime
        assert longest, "as the query says"
        is_sooner = Q(expires_at=None) | Q(expires_at__gt=F("approved_at") + longest)
        is_sooner &= Q(approved_at__isnull=False)
        own = _near(at, "expires_at", timedelta(0)).filter(organization=organization)
        by_policy = _near(at, "approved_at", longest).filter(organization=organization)
        yield [own.exclude(is_sooner), by_policy.filter(is_sooner)]


def _near(at: datetime, column: str, later: timedelta) -> TokenQuerySet:
    """Whose end is near that comes so much later than what the column says. Compared with the bare column, for its
    index."""
    ends_at = ExpressionWrapper(F(column) + later, DateTimeField()) if later else F(column)
    within = {days: Q(**{f"{column}__lte": at + timedelta(days=days) - later}) for days in SPANS}
    span = Case(*(When(within[days], then=days) for days in sorted(SPANS)), output_field=IntegerField())
    fits = reduce(or_, (Q(span=days, ends_at__gt=F("begun") + timedelta(days=days)) for days in SPANS))
    told = ExpiryNotice.objects.filter(
        token=OuterRef("pk"), days=OuterRef("span"), expires_at=OuterRef("ends_at")
    )
    tokens = Token.objects.expiring().with_begun().filter(within[max(SPANS)], **{f"{column}__gt": at - later})
    return tokens.annotate(ends_at=ends_at, span=span).filter(fits, ~Exists(told)).order_by(column)


@verb(Action.TOKEN_EXPIRY_ANNOUNCED)
def _announce_some(parts: Sequence[TokenQuerySet], *, by: Access) -> int:
    tokens: list[Any] = []
    for rows in parts:
        locked = rows.select_for_update(of=("self",), no_key=True, skip_locked=True)
        tokens += locked.select_related("organization", *OWNER_COLUMNS)[: BATCH - len(tokens)]
    ExpiryNotice.objects.bulk_create(
        ExpiryNotice(token=token, days=token.span, expires_at=token.ends_at) for token in tokens
    )
    for span, by_policy in sorted({(token.span, _is_by_policy(token)) for token in tokens}):
        alike = [token for token in tokens if (token.span, _is_by_policy(token)) == (span, by_policy)]
        data = {"days": span, **({"by_policy": True} if by_policy else {})}
        record_all(Action.TOKEN_EXPIRY_ANNOUNCED, by=by, targets=alike, data=data)
    for (span, *_), same in groupby(sorted(tokens, key=_list_of), key=_list_of):
        _tell(list(same), span)
    return len(tokens)


def _is_by_policy(token: Any) -> bool:
    """Whether the policy ends it, and not its own expiry."""
    return bool(token.ends_at != token.expires_at)


def _list_of(token: Any) -> tuple[int, str, str, str]:
    """What one mail tells of: the notice, and the list that a token belongs to, one owner's in one organization."""
    return token.span, str(token.organization_id), token.kind, str(token.owner.pk)


def _tell(tokens: Sequence[Token], days: int) -> None:
    """One mail to each, for all of a list that are due together."""
    ids = [token.pk for token in tokens[:LISTED]]
    for person in contacts.of_owner(tokens[0]):
        mail.owe("tokens_expire", person=str(person.pk), tokens=ids, count=len(tokens), days=days)


def _letter(payload: dict[str, Any]) -> mail.Letter | None:
    """Of those that still are to expire then: one that was extended meanwhile is left out, or that a looser policy
    lets live longer."""
    soon = now() + timedelta(days=payload["days"])
    rows = Token.objects.expiring().filter(pk__in=payload["tokens"])
    ends = {
        token: end
        for token in rows.select_related("organization", *OWNER_COLUMNS)
        if (end := effective_expiry(token, policy_of(token.organization))) and end <= soon
    }
    tokens = sorted(ends, key=lambda token: (ends[token], token.name))
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
                "at": ends[token],
                "by_policy": ends[token] != token.expires_at,
                "link": mail.link("admin:tokens_token_change", token.pk),
            }
            for token in tokens
        ],
        "count": len(tokens),
        "some_by_policy": any(ends[token] != token.expires_at for token in tokens),
        "more": payload["count"] - len(payload["tokens"]),
    }
    return mail.Letter(person.email, values)
