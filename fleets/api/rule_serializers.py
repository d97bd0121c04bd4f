"""How roles and access entries are written in JSON; each with a command that makes one and one that changes it."""

from typing import Any

from rest_framework import serializers

from config.edge.serializers import StrictSerializer, Text
from fleets.api.serializers import organization, organization_to_be, read_only_text
from fleets.models import NAME, AclEntry
from fleets.paths import MAX_LENGTH
from fleets.scopes import Scope, parse_scopes


class Scopes(serializers.ListField):
    """Exact names of scopes, each once."""

    child = serializers.CharField(max_length=63, trim_whitespace=False)

    def __init__(self, **options: Any) -> None:
        super().__init__(min_length=1, max_length=len(Scope), **options)

    def to_internal_value(self, data: Any) -> Any:
        names = super().to_internal_value(data)
        if not all(isinstance(name, str) for name in data):
            raise serializers.ValidationError("Scopes are strings.", code="invalid")
        try:
            scopes = parse_scopes(names)
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="unknown_scope") from None
        if len(scopes) != len(names):
            raise serializers.ValidationError("Name each scope once.", code="duplicate")
        return scopes


class RoleSerializer(StrictSerializer):
    """A built-in role, or one of an organization's own."""

    id = serializers.UUIDField(read_only=True, allow_null=True, help_text="Null: built in.")
    organization = read_only_text(allow_null=True, help_text="Its slug. Null: built in.")
    name = read_only_text()
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)
    scopes_at_root = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="What it gives by an entry at `/`."
    )


class RoleAddition(RoleSerializer):
    organization = organization_to_be()
    name = Text(max_length=63, validators=[NAME])
    scopes = Scopes()


class RoleChange(RoleSerializer):
    scopes = Scopes(required=False)


class Path(serializers.CharField):
    """A path as it was sent: the verb says what it means, or that it means nothing."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_LENGTH, trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class EntrySerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True)
    organization = organization()
    path = read_only_text(help_text="`/vms/<vmid>` is stored as the path of the machine that bears it.")
    role = read_only_text()
    propagate = serializers.BooleanField(read_only=True, help_text="Whether it holds below the path too.")
    user = serializers.SerializerMethodField(help_text="The username of a person or technical user, or null.")
    group = serializers.SerializerMethodField(help_text="The slug of a group, or null.")

    def get_user(self, entry: AclEntry) -> str | None:
        return entry.user.username if entry.user else None

    def get_group(self, entry: AclEntry) -> str | None:
        return entry.group.slug if entry.group else None


class EntryAddition(EntrySerializer):
    organization = organization_to_be()
    path = Path()
    role = Text(max_length=63, help_text="A built-in role, or one of the organization's own.")
    propagate = serializers.BooleanField(default=True)
    user = Text(max_length=63, required=False)  # type: ignore[assignment]
    group = Text(max_length=63, required=False)  # type: ignore[assignment]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "user" in attrs and "group" in attrs:
            raise serializers.ValidationError(
                {"group": serializers.ErrorDetail("Name a user or a group, not both.", "contradiction")}
            )
        if "user" not in attrs and "group" not in attrs:
            raise serializers.ValidationError(
                {"user": serializers.ErrorDetail("Name a user or a group.", "required")}
            )
        return attrs


class EntryChange(EntrySerializer):
    role = Text(max_length=63, required=False)
    propagate = serializers.BooleanField(required=False)
