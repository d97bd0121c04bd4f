"""`tokens/{id}/restrictions/`: from where, how often and when a token may be used, all three at once."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.serializers import StrictSerializer, Text
from config.edge.views import EdgeView
from fleets.scopes import Scope
from tokens import lifecycle
from tokens.api import lookup, schema
from tokens.api.fields import AccessWindows, AllowedNetworks, RateLimit
from tokens.api.views import answer_edit
from tokens.restrictions import Restrictions


class RestrictionsSerializer(StrictSerializer):
    """All keys are needed, so that nothing is lifted by being forgotten; null lifts."""

    allowed_networks = AllowedNetworks(help_text="Addresses and networks. Null: any.")
    rate_limit = RateLimit(help_text="Null: no limit.")
    access_windows = AccessWindows(
        help_text="UTC; where the end is not later, it is the next day's. Null: any time."
    )
    reason = Text(max_length=1000, multiline=True)

    def restrictions(self) -> Restrictions:
        data = self.validated_data
        return Restrictions(data["allowed_networks"], data["rate_limit"], data["access_windows"])


class RestrictionsView(EdgeView):
    @extend_schema(
        operation_id="token_restrict",
        request=RestrictionsSerializer,
        responses={200: schema.TokenRepresentation, 202: schema.TokenRepresentation},
        description="202: what is loosened waits for the approval that `approval` names, and the token is as it was.",
    )
    def put(self, request: Request, pk: str) -> Response:
        token = lookup.token(self, pk, Scope.TOKENS_MANAGE)
        body = self.command(RestrictionsSerializer)
        self.conditional(token)
        reason = body.validated_data["reason"]
        edited = lifecycle.restrict(token, restrictions=body.restrictions(), reason=reason, by=self.access)
        return answer_edit(self, edited)
