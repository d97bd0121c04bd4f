"""`tokens/{id}/history/` and `tokens/{id}/activity/`: the timeline of a token's changes, and its events."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.actions import Action
from audit.api.filters import EventFilters
from audit.models import Event
from audit.representation import EventSerializer, PartySerializer
from config.edge.views import ApiViewSet
from fleets.scopes import Scope
from tokens import history, policy
from tokens.api import lookup
from tokens.models import Token

PERSON = "person"


class ActivityFilters(EventFilters):
    """Those of audit/events that say something of the events of one token."""

    actor = target = token = None


class ChangeSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    action = serializers.ChoiceField(Action.choices)
    actor = PartySerializer()
    on_behalf_of = PartySerializer(allow_null=True)
    reason = serializers.CharField()
    changes = serializers.DictField(child=serializers.ListField(), help_text="{field: [before, after]}")
    request_id = serializers.CharField()
    data = serializers.DictField(help_text="What else the event says.")  # type: ignore[assignment]


class OfOneToken(ApiViewSet):
    """Events about one token that the caller may read; what they name of people is for whom `names_people` says."""

    queryset = Event.objects.none()

    def meant(self, pk: str) -> Token:
        return lookup.token(self, pk, Scope.TOKENS_READ)


class HistoryView(OfOneToken):
    @extend_schema(operation_id="tokens_history", responses=ChangeSerializer(many=True))
    def list(self, request: Request, pk: str) -> Response:
        token = self.meant(pk)
        page = self.paginate_queryset(self.filter_queryset(history.changes_of(token)))
        shown = shown_events(page or [], token, names_people=policy.names_people(self.access))
        changes = [change.changes for change in history.with_changes(token, page or [])]
        return self.get_paginated_response(
            [_change(event, of_event) for event, of_event in zip(shown, changes, strict=True)]
        )


class ActivityView(OfOneToken):
    filterset_class = ActivityFilters

    @extend_schema(operation_id="tokens_activity", responses=EventSerializer(many=True))
    def list(self, request: Request, pk: str) -> Response:
        token = self.meant(pk)
        page = self.paginate_queryset(self.filter_queryset(history.activity_of(token)))
        return self.get_paginated_response(
            shown_events(page or [], token, names_people=policy.names_people(self.access))
        )


def _change(event: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "at", "action", "actor", "on_behalf_of", "reason", "request_id")
    data = {name: value for name, value in event["data"].items() if name != "changes"}
    return {**{name: event[name] for name in names}, "changes": changes, "data": data}


def shown_events(events: list[Event], token: Token, *, names_people: bool) -> list[dict[str, Any]]:
    shown: Any = EventSerializer(events, many=True, context={"organization": token.organization.slug}).data
    return shown if names_people else [_without_people(event) for event in shown]


def _without_people(event: dict[str, Any]) -> dict[str, Any]:
    parties = {
        role: {**party, "id": "", "label": ""} if party and party["type"] == PERSON else party
        for role in ("actor", "on_behalf_of", "target")
        for party in (event[role],)
    }
    return {**event, **parties, "address": None, "user_agent": ""}
