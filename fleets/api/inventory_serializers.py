"""How templates, networks and images are written in JSON; each with a command that adds and one that changes."""

from rest_framework import serializers

from config.edge.serializers import StrictSerializer, Text
from fleets.api.serializers import ConfigurationSerializer, organization, organization_to_be, read_only_text

LONGEST_NETWORK = 49  # IPv4-mapped IPv6, written out


class ItemSerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True)
    organization = organization()
    name = read_only_text()
    description = read_only_text()
    created_at = serializers.DateTimeField(read_only=True)


class ItemAddition(ItemSerializer):
    organization = organization_to_be()
    name = Text(max_length=63)
    description = Text(max_length=500, required=False, allow_blank=True)


class ItemChange(ItemSerializer):
    name = Text(max_length=63, required=False)
    description = Text(max_length=500, required=False, allow_blank=True)


class TemplateSerializer(ItemSerializer):
    configuration = ConfigurationSerializer(read_only=True)
    image = serializers.UUIDField(read_only=True, allow_null=True, source="image_id")
    network = serializers.UUIDField(read_only=True, allow_null=True, source="network_id")


class _TemplateCommand(TemplateSerializer):
    configuration = ConfigurationSerializer(
        required=False, help_text="When it is changed: what is not named stays."
    )
    image = serializers.UUIDField(required=False, allow_null=True, help_text="Id of one of its images.")
    network = serializers.UUIDField(required=False, allow_null=True, help_text="Id of one of its networks.")


class TemplateAddition(ItemAddition, _TemplateCommand):
    pass


class TemplateChange(ItemChange, _TemplateCommand):
    pass


class NetworkSerializer(ItemSerializer):
    cidr = read_only_text(
        help_text="Its addresses, as 10.20.0.0/16 or 2001:db8::/32; empty where nobody said."
    )


class _NetworkCommand(NetworkSerializer):
    cidr = Text(max_length=LONGEST_NETWORK, required=False, allow_blank=True)


class NetworkAddition(ItemAddition, _NetworkCommand):
    pass


class NetworkChange(ItemChange, _NetworkCommand):
    pass


class ImageSerializer(ItemSerializer):
    operating_system = read_only_text()


class _ImageCommand(ImageSerializer):
    operating_system = Text(max_length=63, required=False, allow_blank=True)


class ImageAddition(ItemAddition, _ImageCommand):
    pass


class ImageChange(ItemChange, _ImageCommand):
    pass
