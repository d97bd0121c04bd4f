"""`invitations/`: who was invited and has not come in yet."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.access import authorize
from config.edge.serializers import Nothing
from fleets import invitations
from fleets.api.estate import EstateViewSet
from fleets.api.filters import InvitationFilters
from fleets.api.serializers import InvitationSerializer
from fleets.models import Invitation
from fleets.paths import ROOT
from fleets.scopes import Scope


@extend_schema_view(
    list=extend_schema(responses=InvitationSerializer(many=True)),
    retrieve=extend_schema(responses=InvitationSerializer),
    destroy=extend_schema(responses={204: None}),
    resend=extend_schema(request=None, responses=InvitationSerializer),
)
class Invitations(EstateViewSet):
    """For who manages permissions. `POST members/` invites; the links are mailed and stand in no answer."""

    queryset = Invitation.objects.none()
    filterset_class = InvitationFilters
    widening = frozenset({"resend"})

    def list(self, request: Request) -> Response:
        organization = self.organization()
        authorize(self.access, Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        return self.listed(self._rows().filter(organization=organization), InvitationSerializer)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self._seen(pk))

    def destroy(self, request: Request, pk: str) -> Response:
        """Withdraw it: its link no longer works."""
        invitation = self._seen(pk)
        self.body(Nothing)
        self.conditional(invitation)
        invitations.withdraw(invitation, by=self.access)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str) -> Response:
        """Send a new link, good for another 72 hours; the one before no longer works."""
        invitation = self._seen(pk)
        self.body(Nothing)
        self.conditional(invitation)
        invitations.resend(invitation, by=self.access)
        return self._answer(invitation)

    def _rows(self) -> Any:
        return Invitation.objects.waiting().select_related("user", "organization")

    def _seen(self, pk: str) -> Invitation:
        invitation: Invitation = self.found(self._rows(), pk)
        authorize(self.access, Scope.PERMISSIONS_MANAGE, ROOT, invitation.organization_id)
        return invitation

    def _answer(self, invitation: Invitation) -> Response:
        return self.answer(invitation, InvitationSerializer(invitation).data)
