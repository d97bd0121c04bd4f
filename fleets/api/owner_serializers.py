"""How fleets, groups, applications, their people, and technical users are written in JSON, and commands for them."""

from rest_framework import serializers

from config.edge.serializers import StrictSerializer, Text
from fleets.api.serializers import organization, organization_to_be, read_only_text
from fleets.models import ApplicationMembership, FleetMembership, GroupMembership, TechnicalUser


class OwnerSerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True)
    organization = organization()
    slug = read_only_text()
    name = read_only_text()
    created_at = serializers.DateTimeField(read_only=True)


class OwnerOpening(OwnerSerializer):
    organization = organization_to_be()
    slug = Text(max_length=63)
    name = Text(max_length=150)


class OwnerChange(OwnerSerializer):
    name = Text(max_length=150, required=False)


class Closing(StrictSerializer):
    """What ends a row for ever may say why; also as the body of a DELETE."""

    reason = Text(max_length=1000, required=False, allow_blank=True, multiline=True)


class FleetSerializer(OwnerSerializer):
    path = read_only_text(help_text="Where entries and grants name it.")


class FleetOpening(OwnerOpening, FleetSerializer):
    pass


class FleetChange(OwnerChange, FleetSerializer):
    pass


class GroupSerializer(OwnerSerializer):
    pass


class GroupOpening(OwnerOpening, GroupSerializer):
    pass


class GroupChange(OwnerChange, GroupSerializer):
    pass


class ApplicationSerializer(OwnerSerializer):
    description = read_only_text()


class ApplicationOpening(OwnerOpening, ApplicationSerializer):
    description = Text(max_length=500, required=False, allow_blank=True)


class ApplicationChange(OwnerChange, ApplicationSerializer):
    description = Text(max_length=500, required=False, allow_blank=True)


# Who belongs to them


class BelongingSerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True)
    organization = read_only_text("owner.organization.slug")
    username = read_only_text("user.username")
    name = read_only_text("user.name")
    joined_at = serializers.DateTimeField(read_only=True)


class FleetMemberSerializer(BelongingSerializer):
    fleet = read_only_text("fleet.slug")
    role = serializers.ChoiceField(FleetMembership.Role.choices, read_only=True)


class FleetMemberAddition(FleetMemberSerializer):
    username = Text(max_length=63)
    role = serializers.ChoiceField(FleetMembership.Role.choices)


class FleetMemberChange(FleetMemberSerializer):
    role = serializers.ChoiceField(FleetMembership.Role.choices, required=False)


class GroupMemberSerializer(BelongingSerializer):
    group = read_only_text("group.slug")
    role = serializers.ChoiceField(GroupMembership.Role.choices, read_only=True)


class GroupMemberAddition(GroupMemberSerializer):
    username = Text(max_length=63)
    role = serializers.ChoiceField(GroupMembership.Role.choices)


class GroupMemberChange(GroupMemberSerializer):
    role = serializers.ChoiceField(GroupMembership.Role.choices, required=False)


class ApplicationMemberSerializer(BelongingSerializer):
    application = read_only_text("application.slug")
    role = serializers.ChoiceField(ApplicationMembership.Role.choices, read_only=True)


class ApplicationMemberAddition(ApplicationMemberSerializer):
    username = Text(max_length=63)
    role = serializers.ChoiceField(
        ApplicationMembership.Role.choices, required=False, default=ApplicationMembership.Role.OWNER
    )


# Technical users


class TechnicalUserSerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True, source="user_id")
    organization = organization()
    username = read_only_text("user.username")
    name = read_only_text("user.name")
    kind = serializers.ChoiceField(TechnicalUser.Kind.choices, read_only=True)
    role = read_only_text(
        help_text="Of a group or organization: the role that it acts with there. Else empty."
    )
    owner = serializers.SerializerMethodField(
        help_text="Slug of the fleet, group or application that it stands for."
    )
    is_active = serializers.BooleanField(read_only=True, source="user.is_active")
    created_at = serializers.DateTimeField(read_only=True, source="user.created_at")

    def get_owner(self, technical: TechnicalUser) -> str | None:
        return technical.owner.slug if technical.owner else None


class TechnicalUserMaking(TechnicalUserSerializer):
    organization = organization_to_be()
    username = Text(max_length=63)
    name = Text(max_length=150, required=False, allow_blank=True)


class TechnicalUserChange(TechnicalUserSerializer):
    name = Text(max_length=150, required=False, allow_blank=True)
