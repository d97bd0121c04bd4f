"""How tokens look in the OpenAPI description. Only described here: the answers are made in serializers."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tokens.decision import DerivedStatus
from tokens.hints import Hint
from tokens.models import EXTENDED, Token

OWNER_TYPES = ["person", "fleet", "group", "organization", "application", "technical_user"]

STATUSES = [
    (status.value, status.value) for status in DerivedStatus
]  # the OpenAPI description names this list


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tokens.authentication.TokenAuthentication"
    name = ["bearer", "xAuthToken"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        return [
            {"type": "http", "scheme": "bearer", "description": "A token's secret."},
            {"type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": "A token's secret."},
        ]


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "fleets.sign_in.BrowserSessionAuthentication"
    name = "browserSession"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class Owner(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=OWNER_TYPES)
    id = serializers.UUIDField()
    name = serializers.CharField()


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "enum": ["all"]},
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string", "format": "uuid"},
                        "name": {"type": "string"},
                        "gone": {"type": "boolean", "description": "No longer where the token reaches it."},
                    },
                    "required": ["id", "name", "gone"],
                },
            },
        ]
    }
)
class TokenMachines(serializers.JSONField):
    """ "all", or the machines that it was issued for."""


class GrantRow(serializers.Serializer[Any]):
    n = serializers.IntegerField()
    path = serializers.CharField()
    role = serializers.CharField(allow_null=True, help_text="null: the whole ceiling")
    propagate = serializers.BooleanField()


class Restrictions(serializers.Serializer[Any]):
    allowed_networks = serializers.ListField(allow_null=True)
    rate_limit = serializers.CharField(allow_null=True)
    access_windows = serializers.ListField(allow_null=True)


class TokenRepresentation(serializers.Serializer[Any]):
    id = serializers.CharField()
    organization = serializers.CharField()
    kind = serializers.ChoiceField(choices=Token.Kind.choices)
    owner = Owner()
    principal = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    status_reason = serializers.ChoiceField(
        choices=Token.Reason.values,
        allow_null=True,
        help_text="Why it ended. Of a disabled token `by_overseer`, where only who manages tokens at `/` enables it, "
        "`unused` by the organization's policy, or null: whoever manages it enables it.",
    )
    risk = serializers.ChoiceField(choices=["low", "medium", "high"])
    scopes = serializers.ListField(child=serializers.CharField())
    role = serializers.CharField(allow_null=True)
    machines = TokenMachines()
    grants = GrantRow(many=True)
    privilege_separation = serializers.BooleanField()
    access_level = serializers.ChoiceField(
        choices=[level.value for level in Token.AccessLevel],
        help_text="Operator or admin of all or of selected machines; whatever else is custom.",
    )
    extended = serializers.ListField(child=serializers.ChoiceField(choices=sorted(EXTENDED)))
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(allow_null=True)
    approved_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    rotate_every = serializers.CharField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    last_used_address = serializers.CharField(allow_null=True)
    rotated_at = serializers.DateTimeField(allow_null=True)
    rotation_due_at = serializers.DateTimeField(allow_null=True)
    secret_hint = serializers.CharField()
    restrictions = Restrictions()
    approval = serializers.UUIDField(
        allow_null=True, help_text="Of its issue while it is pending, else of a change of it that waits."
    )
    emergency_access = serializers.DictField(allow_null=True)
    hints = serializers.ListField(child=serializers.ChoiceField(choices=list(Hint)))


class IssuedToken(TokenRepresentation):
    secret = serializers.CharField(help_text="Shown here and never again.")


class RotatedToken(IssuedToken):
    previous_valid_until = serializers.DateTimeField(allow_null=True)


class GivenBy(serializers.Serializer[Any]):
    scope = serializers.CharField()
    risk = serializers.CharField()
    path = serializers.CharField(allow_null=True)
    role = serializers.CharField(allow_null=True)
    propagate = serializers.BooleanField(allow_null=True)


class Permissions(serializers.Serializer[Any]):
    path = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    given_by = GivenBy(many=True)
    paths = serializers.ListField(child=serializers.CharField())


class WhoAmI(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=["person", "token"])
    user = serializers.DictField()
    organization = serializers.CharField(allow_null=True)
    organizations = serializers.ListField(child=serializers.CharField())
    token = serializers.DictField(allow_null=True)
