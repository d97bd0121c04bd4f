"""`tokens/{id}/emergency-access/`: the windows of a token, started and stopped by superusers in their session, and the
calls that each of them let through."""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.models import Event
from audit.representation import EventSerializer
from config.edge.access import Access
from config.edge.clock import now
from config.edge.ids import row_of
from config.edge.serializers import StrictSerializer, Text
from config.edge.views import idempotent
from fleets.api.serializers import Number
from fleets.scopes import Scope
from tokens import emergency, policy, receipts
from tokens.api import lookup
from tokens.api.history import OfOneToken, shown_events
from tokens.api.serializers import instant
from tokens.models import EmergencyAccess, Token


class StartSerializer(StrictSerializer):
    hours = Number(help_text="Whole hours, 1 to 8.")
    reason = Text(max_length=1000, multiline=True)


class StopSerializer(StrictSerializer):
    reason = Text(max_length=1000, multiline=True, required=False, allow_blank=True)


class EmergencySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    started_by = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    hours = serializers.IntegerField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    ended_by = serializers.CharField(allow_null=True, help_text="Null where the clock ended it.")
    is_open = serializers.BooleanField(help_text="Whether it lifts networks and windows now.")
    calls = serializers.IntegerField(help_text="How many calls needed it.")


class EmergencyWindows(OfOneToken):
    """The newest first. Reading is for whoever may see the token."""

    queryset = EmergencyAccess.objects.none()  # type: ignore[assignment]
    ordering = ("-starts_at", "id")
    widening = frozenset({"create"})

    @extend_schema(operation_id="tokens_emergency_list", responses=EmergencySerializer(many=True))
    def list(self, request: Request, token_id: str) -> Response:
        token = self.meant(token_id)
        windows = token.emergencies.select_related("started_by", "ended_by")
        page = self.paginate_queryset(self.filter_queryset(windows)) or []
        return self.get_paginated_response(_shown(self.access, page))

    @extend_schema(
        operation_id="tokens_emergency_start",
        description="Sent again with its `Idempotency-Key` it starts nothing, and is answered as it was then: "
        "`is_open` is what it was at the start. Whether a window is open now, the list says.",
        request=StartSerializer,
        responses={201: EmergencySerializer},
    )
    @idempotent
    def create(self, request: Request, token_id: str) -> Response:
        token = lookup.token(self, token_id, Scope.TOKENS_MANAGE)
        said = self.body(StartSerializer)
        self.conditional(token)
        window = emergency.start(token, **said, by=self.access)
        return self.answer(token, _shown(self.access, [window])[0], 201)

    @extend_schema(operation_id="tokens_emergency_stop", request=StopSerializer, responses={204: None})
    def destroy(self, request: Request, token_id: str) -> Response:
        token = lookup.token(self, token_id, Scope.TOKENS_MANAGE)
        said = self.body(StopSerializer)
        self.conditional(token)
        emergency.stop(token, reason=said.get("reason", ""), by=self.access)
        return Response(status=204)


class EmergencyCalls(OfOneToken):
    """The receipt of one window, the newest call first."""

    @extend_schema(operation_id="tokens_emergency_calls", responses=EventSerializer(many=True))
    def list(self, request: Request, token_id: str, pk: str) -> Response:
        token = self.meant(token_id)
        events = receipts.calls_of(self._window(token, pk))
        page: list[Event] = self.paginate_queryset(self.filter_queryset(events)) or []
        return self.get_paginated_response(
            shown_events(page, token, names_people=policy.names_people(self.access))
        )

    def _window(self, token: Token, pk: str) -> EmergencyAccess:
        return row_of(token.emergencies.all(), pk, "There is no such window.")


def _shown(by: Access, windows: Sequence[EmergencyAccess]) -> list[dict[str, Any]]:
    names_people = policy.names_people(by)
    calls = receipts.counted(windows)
    return [represent_window(window, calls[window.pk], names_people=names_people) for window in windows]


def represent_window(window: EmergencyAccess, calls: int, *, names_people: bool = True) -> dict[str, Any]:
    ended_by = window.ended_by.username if window.ended_by else None
    return {
        "id": str(window.pk),
        "started_by": window.started_by.username if names_people else None,
        "reason": window.reason,
        "hours": window.hours,
        "starts_at": instant(window.starts_at),
        "ends_at": instant(window.ends_at),
        "ended_at": instant(window.ended_at),
        "ended_by": ended_by if names_people else None,
        "is_open": window.is_open(now()),
        "calls": calls,
    }
