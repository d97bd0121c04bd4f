"""Serializers that refuse what they do not know, and fields that every app's API shares."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from config.edge.parsing import NOT_PRINTABLE, is_printable


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer for commands: an unknown or a read-only field is a 400 that names it."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            refuse_unknown(data, self.fields)
        return super().to_internal_value(data)


class Nothing(StrictSerializer):
    """A command that takes nothing."""


def refuse_unknown(
    data: Mapping[str, Any], fields: Mapping[str, serializers.Field[Any, Any, Any, Any]]
) -> None:
    errors = {}
    for name in data:
        if name not in fields:
            errors[str(name)[:100]] = serializers.ErrorDetail("There is no such field.", code="unknown_field")
        elif fields[name].read_only:
            errors[name] = serializers.ErrorDetail("This field can't be set.", code="read_only")
    if errors:
        raise serializers.ValidationError(errors)


class Text(serializers.CharField):
    """A line of text that a person typed: strings only (not numbers), no control characters, trimmed."""

    default_error_messages = {"control": NOT_PRINTABLE}

    def __init__(self, *, max_length: int = 200, multiline: bool = False, **options: Any) -> None:
        self.multiline = multiline
        super().__init__(max_length=max_length, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        value: str = super().to_internal_value(data)
        if not is_printable(value, multiline=self.multiline):
            self.fail("control")
        return value
