"""`tokens/revoke-all/`: end every token of one owner."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.parsing import has_words
from config.edge.serializers import StrictSerializer, Text
from config.edge.views import NO_STORE, EdgeView
from fleets.scopes import Scope
from fleets.visibility import organization as organization_of
from tokens import revocation
from tokens.api import lookup
from tokens.kinds import Kind


class RevokeAllSerializer(StrictSerializer):
    organization = serializers.CharField(max_length=63, required=False)
    kind = serializers.ChoiceField(choices=Kind.choices, required=False)
    owner = serializers.CharField(max_length=80, help_text="As on the command line, or by its kind.")
    reason = Text(max_length=1000, multiline=True, help_text="Kept with every event.")

    def validate_reason(self, text: str) -> str:
        if not has_words(text):
            raise serializers.ValidationError("Say why they end.", code="required")
        return text


class Revoked(serializers.Serializer[Any]):
    revoked = serializers.IntegerField()
    batch = serializers.UUIDField(help_text="`data.batch` of the event of each.")


class RevokeAllView(EdgeView):
    untagged = frozenset({"post"})

    @extend_schema(operation_id="tokens_revoke_all", request=RevokeAllSerializer, responses=Revoked)
    def post(self, request: Request) -> Response:
        lookup.require_somewhere(self.access, Scope.TOKENS_MANAGE)
        said = self.body(RevokeAllSerializer)
        organization = organization_of(self.access, self.named_organization(said.get("organization")))
        owner = lookup.owner(self.access, said, organization)
        lookup.require_of(self.access, Scope.TOKENS_MANAGE, owner, organization)
        batch = revocation.revoke_all(organization, owner=owner, reason=said["reason"], by=self.access)
        return Response({"revoked": batch.revoked, "batch": str(batch.id)}, headers=NO_STORE)
