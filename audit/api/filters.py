"""The filters of the list of events."""

import re
from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from audit.actions import Action, Outcome
from audit.models import Event, EventQuerySet

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


class InstantField(forms.CharField):
    """An instant as RFC 3339 writes it, with its offset."""

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if not text:
            return None
        written = text.upper().replace(" ", "+")  # an unencoded + arrives as a space
        try:
            if not RFC_3339.fullmatch(written):
                raise ValueError(text)
            return datetime.fromisoformat(written).astimezone(UTC)
        except (ValueError, OverflowError):
            detail = "An instant of RFC 3339, such as 2030-01-31T08:00:00Z."
            raise ValidationError(detail, code="invalid") from None


class InstantFilter(django_filters.Filter):  # type: ignore[misc]
    field_class = InstantField


class EventFilters(django_filters.FilterSet):  # type: ignore[misc]
    organization = django_filters.CharFilter(method="judged", help_text="An organization's slug.")
    actor = django_filters.CharFilter(method="of_party", help_text="`type:id`, an id or a label.")
    action = django_filters.ChoiceFilter(choices=Action.choices)
    target = django_filters.CharFilter(method="of_party", help_text="`type:id`, an id or a label.")
    outcome = django_filters.ChoiceFilter(choices=Outcome.choices)
    token = django_filters.CharFilter(
        method="about_token", help_text="A token's id: what it did, what was done to it."
    )
    request_id = django_filters.CharFilter(method="of_request", help_text="Ours, or the client's own.")
    since = InstantFilter("at", "gte", help_text="RFC 3339, included.")
    until = InstantFilter("at", "lt", help_text="RFC 3339, not included.")

    class Meta:
        model = Event
        fields: list[str] = []

    def judged(self, events: QuerySet[Event], name: str, value: str) -> QuerySet[Event]:
        """The view has applied it already."""
        return events

    def of_party(self, events: QuerySet[Event], role: str, value: str) -> QuerySet[Event]:
        one = Q(**{f"{role}_id": value}) | Q(**{f"{role}_label": value})
        kind, colon, key = value.partition(":")
        if colon:
            one |= Q(**{f"{role}_type": kind, f"{role}_id": key})
        return events.filter(one)

    def about_token(self, events: EventQuerySet, name: str, value: str) -> QuerySet[Event]:
        return events.about_token(value)

    def of_request(self, events: QuerySet[Event], name: str, value: str) -> QuerySet[Event]:
        return events.filter(Q(request_id=value) | Q(client_request_id=value))
