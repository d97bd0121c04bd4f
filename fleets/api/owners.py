"""`fleets/` and `groups/`, and who belongs to each."""

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.refusals import Missing
from config.edge.views import idempotent
from fleets import membership, organizations, visibility
from fleets.api.estate import EstateViewSet
from fleets.api.filters import FleetFilters, FleetMemberFilters, GroupFilters, GroupMemberFilters
from fleets.api.serializers import (
    FleetChange,
    FleetMemberAddition,
    FleetMemberChange,
    FleetMemberSerializer,
    FleetOpening,
    FleetSerializer,
    GroupChange,
    GroupMemberAddition,
    GroupMemberChange,
    GroupMemberSerializer,
    GroupOpening,
    GroupSerializer,
)
from fleets.models import Fleet, FleetMembership, Group, GroupMembership, Organization
from fleets.paths import ROOT
from fleets.scopes import Scope


class Owner(EstateViewSet):
    """What the views about fleets share: a fleet is seen where some scope is held at it or below it."""

    def seen_fleet(self, pk: str) -> Fleet:
        fleet = self.found(Fleet.objects.filter(closed_at=None).select_related("organization"), pk)
        if fleet.slug not in visibility.reach(self.access, fleet.organization_id).fleets:
            raise Missing("There is no such object.")
        return fleet

    def seen_group(self, pk: str) -> Group:
        group = self.found(Group.objects.filter(closed_at=None).select_related("organization"), pk)
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, group.organization_id)
        return group


@extend_schema_view(
    list=extend_schema(responses=FleetSerializer(many=True)),
    retrieve=extend_schema(responses=FleetSerializer),
    create=extend_schema(request=FleetOpening, responses={201: FleetSerializer}),
    partial_update=extend_schema(request=FleetChange, responses=FleetSerializer),
)
class Fleets(Owner):
    """The fleets at which, or below which, the caller holds some scope."""

    queryset = Fleet.objects.none()
    filterset_class = FleetFilters

    def list(self, request: Request) -> Response:
        reached = visibility.reach(self.access, self.organization().pk).fleets.values()
        rows = Fleet.objects.filter(pk__in=[fleet.pk for fleet in reached]).select_related("organization")
        return self.listed(rows, FleetSerializer)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self.seen_fleet(pk))

    def create(self, request: Request) -> Response:
        return self._open(request, self.organization_of_body(Scope.PERMISSIONS_MANAGE))

    @idempotent
    def _open(self, request: Request, organization: Organization) -> Response:
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        values = self.body(FleetOpening)
        values.pop("organization", None)
        return self._answer(organizations.open_fleet(organization, **values, by=self.access), 201)

    def partial_update(self, request: Request, pk: str) -> Response:
        fleet = self.seen_fleet(pk)
        self.decide(Scope.PERMISSIONS_MANAGE, fleet.path, fleet.organization_id)
        values = self.body(FleetChange)
        self.conditional(fleet)
        if values:
            organizations.rename_fleet(fleet, **values, by=self.access)
        return self._answer(fleet)

    def _answer(self, fleet: Fleet, status: int = 200) -> Response:
        return self.answer(fleet, FleetSerializer(fleet).data, status)


@extend_schema_view(
    list=extend_schema(responses=GroupSerializer(many=True)),
    retrieve=extend_schema(responses=GroupSerializer),
    create=extend_schema(request=GroupOpening, responses={201: GroupSerializer}),
    partial_update=extend_schema(request=GroupChange, responses=GroupSerializer),
)
class Groups(Owner):
    """The groups of an organization: for its people, and for tokens that manage permissions."""

    queryset = Group.objects.none()
    filterset_class = GroupFilters

    def list(self, request: Request) -> Response:
        organization = self.organization()
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        rows = Group.objects.filter(organization=organization, closed_at=None).select_related("organization")
        return self.listed(rows, GroupSerializer)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self.seen_group(pk))

    def create(self, request: Request) -> Response:
        return self._open(request, self.organization_of_body(Scope.PERMISSIONS_MANAGE))

    @idempotent
    def _open(self, request: Request, organization: Organization) -> Response:
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        values = self.body(GroupOpening)
        values.pop("organization", None)
        return self._answer(organizations.open_group(organization, **values, by=self.access), 201)

    def partial_update(self, request: Request, pk: str) -> Response:
        group = self.seen_group(pk)
        values = self.body(GroupChange)
        self.conditional(group)
        if values:
            organizations.rename_group(group, **values, by=self.access)
        return self._answer(group)

    def _answer(self, group: Group, status: int = 200) -> Response:
        return self.answer(group, GroupSerializer(group).data, status)


FLEET = OpenApiParameter("fleet_id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH)
GROUP = OpenApiParameter("group_id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH)


@extend_schema(parameters=[FLEET])
@extend_schema_view(
    list=extend_schema(responses=FleetMemberSerializer(many=True)),
    create=extend_schema(request=FleetMemberAddition, responses={201: FleetMemberSerializer}),
    partial_update=extend_schema(request=FleetMemberChange, responses=FleetMemberSerializer),
    destroy=extend_schema(responses={204: None}),
)
class FleetMembers(Owner):
    """The people of a fleet."""

    queryset = FleetMembership.objects.none()
    filterset_class = FleetMemberFilters

    def list(self, request: Request, fleet_id: str) -> Response:
        return self.listed(self._rows(self._fleet(fleet_id)), FleetMemberSerializer)

    def create(self, request: Request, fleet_id: str) -> Response:
        return self._add(request, self._fleet(fleet_id))

    @idempotent
    def _add(self, request: Request, fleet: Fleet) -> Response:
        values = self.body(FleetMemberAddition)
        user = self.person(values["username"], fleet.organization_id)
        member = membership.join_fleet(fleet, user=user, role=values["role"], by=self.access)
        return self._answer(member, 201)

    def partial_update(self, request: Request, fleet_id: str, pk: str) -> Response:
        member = self._member(fleet_id, pk)
        values = self.body(FleetMemberChange)
        self.conditional(member)
        if values:
            membership.change_fleet_role(member, **values, by=self.access)
        return self._answer(member)

    def destroy(self, request: Request, fleet_id: str, pk: str) -> Response:
        member = self._member(fleet_id, pk)
        self.conditional(member)
        membership.leave_fleet(member, by=self.access)
        return Response(status=204)

    def _fleet(self, fleet_id: str) -> Fleet:
        fleet = self.seen_fleet(fleet_id)
        self.require_sight_of_people(fleet.organization_id, fleet.path)
        return fleet

    def _rows(self, fleet: Fleet) -> QuerySet[FleetMembership]:
        rows: QuerySet[FleetMembership] = FleetMembership.objects.present().filter(fleet=fleet)
        return rows.select_related("user", "fleet__organization")

    def _member(self, fleet_id: str, pk: str) -> FleetMembership:
        return self.row(self._rows(self._fleet(fleet_id)), pk)

    def _answer(self, member: FleetMembership, status: int = 200) -> Response:
        return self.answer(member, FleetMemberSerializer(member).data, status)


@extend_schema(parameters=[GROUP])
@extend_schema_view(
    list=extend_schema(responses=GroupMemberSerializer(many=True)),
    create=extend_schema(request=GroupMemberAddition, responses={201: GroupMemberSerializer}),
    partial_update=extend_schema(request=GroupMemberChange, responses=GroupMemberSerializer),
    destroy=extend_schema(responses={204: None}),
)
class GroupMembers(Owner):
    """The people of a group."""

    queryset = GroupMembership.objects.none()
    filterset_class = GroupMemberFilters

    def list(self, request: Request, group_id: str) -> Response:
        return self.listed(self._rows(self._group(group_id)), GroupMemberSerializer)

    def create(self, request: Request, group_id: str) -> Response:
        return self._add(request, self._group(group_id))

    @idempotent
    def _add(self, request: Request, group: Group) -> Response:
        values = self.body(GroupMemberAddition)
        user = self.person(values["username"], group.organization_id)
        member = membership.join_group(group, user=user, role=values["role"], by=self.access)
        return self._answer(member, 201)

    def partial_update(self, request: Request, group_id: str, pk: str) -> Response:
        member = self._member(group_id, pk)
        values = self.body(GroupMemberChange)
        self.conditional(member)
        if values:
            membership.change_group_role(member, **values, by=self.access)
        return self._answer(member)

    def destroy(self, request: Request, group_id: str, pk: str) -> Response:
        member = self._member(group_id, pk)
        self.conditional(member)
        membership.leave_group(member, by=self.access)
        return Response(status=204)

    def _group(self, group_id: str) -> Group:
        group = self.found(Group.objects.filter(closed_at=None).select_related("organization"), group_id)
        self.require_sight_of_people(group.organization_id)
        return group

    def _rows(self, group: Group) -> QuerySet[GroupMembership]:
        rows: QuerySet[GroupMembership] = GroupMembership.objects.present().filter(group=group)
        return rows.select_related("user", "group__organization")

    def _member(self, group_id: str, pk: str) -> GroupMembership:
        return self.row(self._rows(self._group(group_id)), pk)

    def _answer(self, member: GroupMembership, status: int = 200) -> Response:
        return self.answer(member, GroupMemberSerializer(member).data, status)
