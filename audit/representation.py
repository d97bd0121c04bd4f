"""How an event is written in JSON: what the API answers, and what webhooks send."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.actions import Action, Outcome
from audit.models import Event
from config.edge.serializers import StrictSerializer


class PartySerializer(StrictSerializer):
    """An actor or a target, as it was called when it happened."""

    type = serializers.CharField(read_only=True)
    id = serializers.CharField(read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]


class EventSerializer(StrictSerializer):
    """Needs `organization` (a slug) in its context: the events of one representation are of one organization."""

    id = serializers.UUIDField(read_only=True)
    sequence = serializers.IntegerField(read_only=True, allow_null=True)
    at = serializers.DateTimeField(read_only=True)
    action = serializers.ChoiceField(Action.choices, read_only=True)
    actor = serializers.SerializerMethodField()
    on_behalf_of = serializers.SerializerMethodField()
    target = serializers.SerializerMethodField()
    organization = serializers.SerializerMethodField()
    outcome = serializers.ChoiceField(Outcome.choices, read_only=True)
    reason = serializers.CharField(read_only=True)
    address = serializers.CharField(read_only=True, allow_null=True)
    user_agent = serializers.CharField(read_only=True)
    request_id = serializers.CharField(read_only=True)
    client_request_id = serializers.CharField(read_only=True)
    data = serializers.DictField(read_only=True)  # type: ignore[assignment]

    @extend_schema_field(PartySerializer)
    def get_actor(self, event: Event) -> dict[str, Any]:
        return _party(event, "actor")

    @extend_schema_field(PartySerializer(allow_null=True))
    def get_on_behalf_of(self, event: Event) -> dict[str, Any] | None:
        return _party(event, "on_behalf_of") if event.on_behalf_of_type else None

    @extend_schema_field(PartySerializer)
    def get_target(self, event: Event) -> dict[str, Any]:
        return _party(event, "target")

    def get_organization(self, event: Event) -> str:
        slug: str = self.context["organization"]
        return slug


def _party(event: Event, role: str) -> dict[str, Any]:
    return {name: getattr(event, f"{role}_{name}") for name in ("type", "id", "label")}
