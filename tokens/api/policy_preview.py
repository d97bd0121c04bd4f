"""`organizations/{id}/policy-preview/`: what a policy would do, before it is saved."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.serializers import StrictSerializer
from config.edge.views import NO_STORE
from fleets.api.estate import EstateViewSet
from fleets.api.policy_schema import PolicyChanges
from fleets.models import Organization
from fleets.paths import ROOT
from fleets.scopes import Scope
from tokens.api.schema import Owner
from tokens.api.serializers import represent_owner
from tokens.models import Token
from tokens.preview import ASK_AGAIN, EXPIRED, UNUSED, preview
from tokens.rules import Violation


class PolicyPreviewRequest(StrictSerializer):
    policy = PolicyChanges(help_text="The parts of the policy that would change.")


class AffectedToken(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=Token.Kind.choices)
    owner = Owner()
    why = serializers.ListField(
        child=serializers.ChoiceField(
            choices=[*(code.value for code in Violation), EXPIRED, UNUSED, ASK_AGAIN]
        )
    )


class PolicyPreviewAnswer(serializers.Serializer[Any]):
    changes = serializers.DictField(child=serializers.ListField(), help_text="Per part: [before, after].")
    weaker = serializers.ListField(child=serializers.CharField(), help_text="In words, what gets weaker.")
    needs_approval = serializers.IntegerField(help_text="How many people would have to approve it.")
    affected = serializers.IntegerField(
        help_text="How many tokens would be refused, end earlier, do less, be disabled, or have to be asked for again."
    )
    tokens = AffectedToken(many=True, help_text="The first 50 of them.")


class PolicyPreviews(EstateViewSet):
    """For whoever may change the policy."""

    queryset = Organization.objects.none()
    organization_lookup = "pk"
    untagged = frozenset({"create"})

    @extend_schema(request=PolicyPreviewRequest, responses={200: PolicyPreviewAnswer})
    def create(self, request: Request, pk: str) -> Response:
        """Changes nothing. What could not be saved is refused as it would be then."""
        organization = self.found(Organization.objects.all(), pk)
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        seen = preview(organization, self.body(PolicyPreviewRequest)["policy"], by=self.access)
        data = {
            "changes": seen.changes,
            "weaker": seen.weaker,
            "needs_approval": seen.needs_approval,
            "affected": seen.affected,
            "tokens": [_named(token, why) for token, why in seen.tokens],
        }
        return Response(data, headers=NO_STORE)


def _named(token: Token, why: list[str]) -> dict[str, Any]:
    owner = represent_owner(token.owner)
    return {"id": token.pk, "name": token.name, "kind": token.kind, "owner": owner, "why": why}
