"""When tokens end, in a query: `rules.effective_expiry` of many at once."""

from datetime import timedelta
from typing import Any

from django.db.models import (
    Case,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, NullIf

from tokens.models import TokenQuerySet

DAY = Value(timedelta(days=1), DurationField())


def with_ends(tokens: TokenQuerySet) -> QuerySet[Any]:
    """With `ends_at`: the earlier of its expiry and the longest life that is allowed; None is never."""
    said = KeyTextTransform("maximum_lifetime_days", "organization__policy")
    days = NullIf(Cast(said, IntegerField()), 0)  # as SQLite reads JSON's null, where there is no limit
    longest = ExpressionWrapper(days * DAY, DurationField())
    by_policy = ExpressionWrapper(F("approved_at") + longest, DateTimeField())
    limited = tokens.alias(by_policy=by_policy)
    is_sooner = Q(by_policy__isnull=False) & (Q(expires_at=None) | Q(expires_at__gt=F("by_policy")))
    ends_at = Case(
        When(is_sooner, then=F("by_policy")), default=F("expires_at"), output_field=DateTimeField()
    )
    rows: QuerySet[Any] = limited.annotate(ends_at=ends_at)
    return rows
