"""How the estate is written in JSON.

Each resource has one representation, in which nothing can be set, and a command for each verb that opens what the verb
takes: so a command knows which fields are read-only and which do not exist.
"""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.edge.serializers import StrictSerializer, Text
from fleets.api.policy_schema import Policy, PolicyChanges, Waiting
from fleets.authority import ROLE_SCOPES
from fleets.models import Machine, MachineAction, Membership, Organization
from fleets.organization_policy import policy_of

MOST_ITEMS = 64  # disks or networks of a machine
MOST_TAGS = 50
BUILT_IN_ROLES = [(name, name) for name in sorted(ROLE_SCOPES)]  # the OpenAPI description names this list
LARGEST_NUMBER = 2**53 - 1  # what every JSON reader keeps exact


class Number(serializers.IntegerField):
    """A whole number as JSON has it: no string, no boolean, no fraction."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data))


def read_only_text(source: str = "", **options: Any) -> serializers.CharField:
    """A text of the representation."""
    if source:
        options["source"] = source
    return serializers.CharField(read_only=True, **options)


def organization() -> serializers.CharField:
    return read_only_text("organization.slug", help_text="The organization's slug.")


def organization_to_be() -> serializers.CharField:
    """For commands that create: judged by the view, before anything else of the body."""
    return serializers.CharField(
        required=False, help_text="Its slug. Implied by a token or a single membership."
    )


class Suspension(StrictSerializer):
    reason = Text(max_length=1000, required=False, allow_blank=True, multiline=True)


# Organizations


class OrganizationSerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True)
    organization = read_only_text("slug", help_text="Its own slug.")
    slug = read_only_text()
    name = read_only_text()
    policy = Policy(help_text="What it lays down for its tokens.")
    created_at = serializers.DateTimeField(read_only=True)

    def get_policy(self, organization: Organization) -> dict[str, Any]:
        return policy_of(organization).as_json()


class OrganizationOpening(OrganizationSerializer):
    slug = Text(max_length=63)
    name = Text(max_length=150)


class WaitingOrganization(OrganizationSerializer, Waiting):
    """As it still is, and what its weaker policy waits for."""


class OrganizationChange(OrganizationSerializer):
    name = Text(max_length=150, required=False)
    policy = PolicyChanges(  # type: ignore[assignment]
        required=False, help_text="The parts of the policy to change; the others stay."
    )
    reason = Text(
        max_length=1000,
        required=False,
        allow_blank=True,
        multiline=True,
        help_text="Of the change of policy; kept with its event.",
    )


# Members


class MemberSerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True)
    organization = organization()
    username = read_only_text("user.username")
    name = read_only_text("user.name")
    role = serializers.ChoiceField(Membership.Role.choices, read_only=True)
    joined_at = serializers.DateTimeField(read_only=True)
    suspended_at = serializers.DateTimeField(read_only=True, allow_null=True)


class MemberInvitation(MemberSerializer):
    organization = organization_to_be()
    username = Text(max_length=63)
    name = Text(max_length=150, required=False, allow_blank=True, default="")
    email = Text(max_length=254, required=False, allow_blank=True, default="")
    role = serializers.ChoiceField(Membership.Role.choices)


class MemberChange(MemberSerializer):
    role = serializers.ChoiceField(Membership.Role.choices, required=False)


class InvitationSerializer(StrictSerializer):
    """Never the link: it goes to the person alone."""

    id = serializers.UUIDField(read_only=True)
    organization = organization()
    username = read_only_text("user.username")
    name = read_only_text("user.name")
    created_at = serializers.DateTimeField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True, help_text="Until then the link works.")


# Machines


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "object", "additionalProperties": {}}]})
class Device(serializers.Field[Any, Any, Any, Any]):
    """A disk or a network: its name, or a flat object that describes it."""

    default_error_messages = {
        "invalid": "A text of at most 200 characters, or a flat object of at most 20 of them."
    }

    def to_representation(self, value: Any) -> Any:
        return value

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and 0 < len(data) <= 20:
            values = [*data, *data.values()]
        elif isinstance(data, str) and data:
            values = [data]
        else:
            self.fail("invalid")
        for value in values:
            if not (value is None or isinstance(value, bool | int | float | str)) or len(str(value)) > 200:
                self.fail("invalid")
        return data


class ConfigurationSerializer(StrictSerializer):
    """All of it when read, some of it when changed."""

    cpus = Number(min_value=1, max_value=4096, allow_null=True, required=False)
    memory = Number(
        min_value=1, max_value=LARGEST_NUMBER, allow_null=True, required=False, help_text="Bytes."
    )
    disks = serializers.ListField(child=Device(), max_length=MOST_ITEMS, required=False)
    networks = serializers.ListField(child=Device(), max_length=MOST_ITEMS, required=False)


class MachineSerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True)
    organization = organization()
    fleet = read_only_text("fleet.slug", help_text="The fleet's slug.")
    name = read_only_text()
    vmid = serializers.IntegerField(read_only=True, allow_null=True)
    kind = serializers.ChoiceField(Machine.Kind.choices, read_only=True)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    configuration = ConfigurationSerializer(read_only=True)
    template = serializers.UUIDField(
        read_only=True, allow_null=True, source="template_id", help_text="What it was made from."
    )
    registered_at = serializers.DateTimeField(read_only=True)
    deregistered_at = serializers.DateTimeField(read_only=True, allow_null=True)


class MachineRegistration(MachineSerializer):
    organization = organization_to_be()
    fleet = serializers.CharField(help_text="The fleet's slug.")
    name = Text(max_length=63)
    vmid = Number(required=False, allow_null=True)
    kind = serializers.ChoiceField(Machine.Kind.choices, required=False)
    tags = serializers.ListField(child=Text(max_length=63), max_length=MOST_TAGS, required=False)
    template = serializers.UUIDField(
        required=False, allow_null=True, help_text="Whose configuration it starts with."
    )


class MachineRetagging(MachineSerializer):
    tags = serializers.ListField(child=Text(max_length=63), max_length=MOST_TAGS, required=False)


class MachineMove(StrictSerializer):
    fleet = serializers.CharField(help_text="Slug of the fleet that takes it.")


class MachineActionSerializer(StrictSerializer):
    """Without who asked: a fleet's controller reads these with a fleet token, which sees no people."""

    id = serializers.UUIDField(read_only=True)
    organization = read_only_text("machine.organization.slug")
    machine = serializers.UUIDField(read_only=True, source="machine_id")
    action = serializers.ChoiceField(MachineAction.Action.choices, read_only=True)
    state = serializers.ChoiceField(MachineAction.State.choices, read_only=True)
    requested_at = serializers.DateTimeField(read_only=True)


class MachineActionRequest(MachineActionSerializer):
    action = serializers.ChoiceField(MachineAction.Action.choices)


# The catalogue


class ScopeSerializer(StrictSerializer):
    organization = read_only_text(allow_null=True, help_text="Null: built in.")
    name = read_only_text()
    area = read_only_text()
    risk = serializers.ChoiceField(
        ["low", "medium", "high"], read_only=True, help_text="In the organization: its policy can raise it."
    )
    built_in_risk = serializers.ChoiceField(["low", "medium", "high"], read_only=True)
    description = read_only_text()
