"""`organizations/` and `members/`: who there is."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.parameters import require_known
from config.edge.serializers import Nothing
from config.edge.views import idempotent
from fleets import membership, organizations, visibility
from fleets.api.estate import EstateViewSet
from fleets.api.filters import MemberFilters, OrganizationFilters
from fleets.api.owner_serializers import Closing
from fleets.api.serializers import (
    MemberChange,
    MemberInvitation,
    MemberSerializer,
    OrganizationChange,
    OrganizationOpening,
    OrganizationSerializer,
    Suspension,
    WaitingOrganization,
)
from fleets.models import Membership, Organization
from fleets.paths import ROOT
from fleets.scopes import Scope


@extend_schema_view(
    list=extend_schema(responses=OrganizationSerializer(many=True)),
    retrieve=extend_schema(responses=OrganizationSerializer),
    create=extend_schema(request=OrganizationOpening, responses={201: OrganizationSerializer}),
    partial_update=extend_schema(
        request=OrganizationChange, responses={200: OrganizationSerializer, 202: WaitingOrganization}
    ),
)
class Organizations(EstateViewSet):
    """The organizations that the caller may see; a token sees its own."""

    queryset = Organization.objects.none()
    filterset_class = OrganizationFilters
    organization_lookup = "pk"

    def list(self, request: Request) -> Response:
        rows = visibility.organizations(self.access)
        if self.asked_organization is not None:
            rows = rows.filter(pk=self.organization().pk)
        return self.listed(rows, OrganizationSerializer)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self._found(pk))

    @extend_schema(parameters=[OpenApiParameter("organization", exclude=True)])
    @idempotent
    def create(self, request: Request) -> Response:
        """Whoever opens it is its first owner."""
        require_known(request.query_params, ())
        values = self.body(OrganizationOpening)
        organization = organizations.open_organization(**values, owner=self.access.user, by=self.access)
        return self._answer(organization, status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Rename it, or change its policy. A weaker policy waits where the present one wants approvals: 202."""
        organization = self._found(pk)
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        values = self.body(OrganizationChange)
        self.conditional(organization)
        waits = organizations.change(organization, **values, by=self.access) if values else None
        if waits:
            data = {**OrganizationSerializer(organization).data, "approval": str(waits)}
            return self.answer(organization, data, status=202)
        return self._answer(organization)

    def _found(self, pk: str) -> Organization:
        return self.found(Organization.objects.all(), pk)

    def _answer(self, organization: Organization, status: int = 200) -> Response:
        return self.answer(organization, OrganizationSerializer(organization).data, status)


@extend_schema_view(
    list=extend_schema(responses=MemberSerializer(many=True)),
    retrieve=extend_schema(responses=MemberSerializer),
    create=extend_schema(request=MemberInvitation, responses={201: MemberSerializer}),
    partial_update=extend_schema(request=MemberChange, responses=MemberSerializer),
    destroy=extend_schema(
        responses={204: None}, description="They leave, and their tokens end. The body may say a `reason`."
    ),
    suspend=extend_schema(request=Suspension, responses=MemberSerializer),
    resume=extend_schema(request=None, responses=MemberSerializer),
)
class Members(EstateViewSet):
    """The people of an organization who have not left."""

    queryset = Membership.objects.none()
    filterset_class = MemberFilters
    widening = frozenset({"resume"})

    def list(self, request: Request) -> Response:
        organization = self.organization()
        self.require_sight_of_people(organization.pk)
        return self.listed(self._rows().filter(organization=organization), MemberSerializer)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self._seen(pk))

    def create(self, request: Request) -> Response:
        return self._invite(request, self.organization_of_body(Scope.PERMISSIONS_MANAGE))

    @idempotent
    def _invite(self, request: Request, organization: Organization) -> Response:
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        values = self.body(MemberInvitation)
        values.pop("organization", None)
        return self._answer(membership.invite(organization, **values, by=self.access), status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        member = self._seen(pk)
        values = self.body(MemberChange)
        self.conditional(member)
        if values:
            membership.change_role(member, role=values["role"], by=self.access)
        return self._answer(member)

    def destroy(self, request: Request, pk: str) -> Response:
        member = self._seen(pk)
        values = self.body(Closing)
        self.conditional(member)
        membership.leave(member, **values, by=self.access)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        member = self._seen(pk)
        values = self.body(Suspension)
        self.conditional(member)
        membership.suspend(member, **values, by=self.access)
        return self._answer(member)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        member = self._seen(pk)
        self.body(Nothing)
        self.conditional(member)
        membership.resume(member, by=self.access)
        return self._answer(member)

    def _rows(self) -> Any:
        return Membership.objects.present().select_related("user", "organization")

    def _seen(self, pk: str) -> Membership:
        member: Membership = self.found(self._rows(), pk)
        self.require_sight_of_people(member.organization_id)
        return member

    def _answer(self, member: Membership, status: int = 200) -> Response:
        return self.answer(member, MemberSerializer(member).data, status)
