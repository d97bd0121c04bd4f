"""How webhooks and their deliveries are written in JSON; a command that adds and one that changes."""

from rest_framework import serializers

from audit.actions import Action
from audit.models import WebhookDelivery
from audit.webhooks.filters import MOST
from config.edge.destinations import LONGEST_URL
from config.edge.serializers import StrictSerializer, Text

ACTIONS_HELP = "Names of actions, all of one subject (`approval.*`), or `*`. Uses of tokens are never sent."


class WebhookSerializer(StrictSerializer):
    """Needs `slugs` ({organization id: slug}) in its context."""

    id = serializers.UUIDField(read_only=True)
    organization = serializers.SerializerMethodField()
    url = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True)
    actions = serializers.ListField(child=serializers.CharField(), read_only=True)
    enabled = serializers.BooleanField(read_only=True)
    disabled_reason = serializers.CharField(read_only=True)
    previous_secret_until = serializers.DateTimeField(
        read_only=True,
        allow_null=True,
        source="previous_until",
        help_text="Until then the secret before signs too.",
    )
    created_at = serializers.DateTimeField(read_only=True)

    def get_organization(self, endpoint: object) -> str:
        slug: str = self.context["slugs"][endpoint.organization_id]  # type: ignore[attr-defined]
        return slug


class RevealedWebhookSerializer(WebhookSerializer):
    """The answer to what makes a secret."""

    secret = serializers.CharField(read_only=True, help_text="`whsec_…`: shown here, never again.")


class WebhookAddition(StrictSerializer):
    organization = Text(max_length=63, required=False, help_text="Its slug; implied where there is only one.")
    url = Text(max_length=LONGEST_URL)
    description = Text(max_length=500, required=False, allow_blank=True)
    actions = serializers.ListField(child=Text(max_length=50), max_length=MOST, help_text=ACTIONS_HELP)
    enabled = serializers.BooleanField(required=False)


class WebhookChange(StrictSerializer):
    url = Text(max_length=LONGEST_URL, required=False)
    description = Text(max_length=500, required=False, allow_blank=True)
    actions = serializers.ListField(
        child=Text(max_length=50), max_length=MOST, required=False, help_text=ACTIONS_HELP
    )
    enabled = serializers.BooleanField(required=False)


class DeliverySerializer(StrictSerializer):
    id = serializers.UUIDField(
        read_only=True, source="event_id", help_text="The event's, and the webhook-id."
    )
    action = serializers.ChoiceField(Action.choices, read_only=True)
    state = serializers.ChoiceField(WebhookDelivery.State.choices, read_only=True)
    attempts = serializers.IntegerField(read_only=True)
    due_at = serializers.DateTimeField(read_only=True, help_text="Not before, if it is pending.")
    last_error = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    delivered_at = serializers.DateTimeField(read_only=True, allow_null=True)
