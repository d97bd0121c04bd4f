"""Fields that requests about tokens share: reasons, spans of time, restrictions, machines."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.edge.clock import now
from config.edge.serializers import Text
from tokens import expiry, restrictions
from tokens.wishes import MOST_MACHINES


class Reason(Text):
    """Why it is done; kept with the event."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=1000, required=False, allow_blank=True, multiline=True, **options)


class Span(serializers.CharField):
    """A written span of time, read by a function of `tokens.expiry`."""

    def __init__(self, read: Any, **options: Any) -> None:
        self.read = read
        super().__init__(max_length=60, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is serializers.empty or (data is None and self.allow_null):
            return super().run_validation(data)
        return self.to_internal_value(data)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return self.read(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="invalid") from None


def expires_at_field(**options: Any) -> Span:
    return Span(lambda text: expiry.parse_expires_at(text, now()), required=False, allow_null=True, **options)


def rotate_every_field() -> Span:
    return Span(expiry.parse_rotate_every, required=False, allow_null=True)


class Restriction(serializers.Field[Any, Any, Any, Any]):
    """From where, how often or when: read by a function of `tokens.restrictions`. Null restricts nothing."""

    def __init__(self, read: Any, **options: Any) -> None:
        self.read = read
        super().__init__(allow_null=True, **options)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return self.read(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="invalid") from None

    def to_representation(self, value: Any) -> Any:  # pragma: no cover - commands are not shown
        return value


@extend_schema_field({"type": "array", "items": {"type": "string"}, "nullable": True})
class AllowedNetworks(Restriction):
    """Addresses and networks that calls may come from."""

    def __init__(self, **options: Any) -> None:
        super().__init__(restrictions.parse_networks, **options)


@extend_schema_field({"type": "string", "nullable": True, "example": "3/second"})
class RateLimit(Restriction):
    """How many calls in which time."""

    def __init__(self, **options: Any) -> None:
        super().__init__(restrictions.parse_rate, **options)


@extend_schema_field(
    {
        "type": "array",
        "nullable": True,
        "items": {
            "type": "object",
            "properties": {
                "days": {
                    "type": "array",
                    "items": {"type": "string", "enum": list(restrictions.DAYS)},
                    "minItems": 1,
                },
                "start": {"type": "string", "example": "08:00"},
                "end": {"type": "string", "example": "18:00"},
            },
            "required": ["days", "start", "end"],
            "additionalProperties": False,
        },
    }
)
class AccessWindows(Restriction):
    """The hours, UTC, in which it works."""

    def __init__(self, **options: Any) -> None:
        super().__init__(restrictions.parse_windows, **options)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "enum": ["all"]},
            {"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": MOST_MACHINES},
        ]
    }
)
class Machines(serializers.Field[Any, Any, Any, Any]):
    """ "all", or a list of machine ids."""

    default_error_messages = {
        "invalid": 'Write "all" or a list of machine ids.',
        "empty": 'Name at least one machine, or "all".',
        "duplicate": "Name each machine once.",
        "too_many": f"At most {MOST_MACHINES}.",
    }

    def to_internal_value(self, data: Any) -> Any:
        if data == "all":
            return "all"
        if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
            self.fail("invalid")
        if not data:
            self.fail("empty")
        if len(data) > MOST_MACHINES:
            self.fail("too_many")
        ids = tuple(serializers.UUIDField().run_validation(item) for item in data)
        if len(set(ids)) != len(ids):
            self.fail("duplicate")
        return ids

    def to_representation(self, value: Any) -> Any:  # pragma: no cover - commands are not shown
        return value
