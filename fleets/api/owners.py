"""`fleets/`, `groups/` and `applications/`, and who belongs to each."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from config.edge.ids import row_of
from config.edge.refusals import Missing
from config.edge.serializers import Nothing
from config.edge.views import idempotent
from fleets import membership, owners, policy, visibility
from fleets.api.estate import EstateViewSet
from fleets.api.filters import (
    ApplicationFilters,
    ApplicationMemberFilters,
    FleetFilters,
    FleetMemberFilters,
    GroupFilters,
    GroupMemberFilters,
)
from fleets.api.owner_serializers import (
    ApplicationChange,
    ApplicationMemberAddition,
    ApplicationMemberSerializer,
    ApplicationOpening,
    ApplicationSerializer,
    Closing,
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
from fleets.models import (
    Application,
    ApplicationMembership,
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    Organization,
)
from fleets.paths import ROOT
from fleets.scopes import Scope

Command = type[Serializer[Any]]
CLOSING = "Ends it for ever, and its tokens with it. The body may say a `reason`."


class OwnerViewSet(EstateViewSet):
    """What all of these views share: which owners are there for the caller."""

    kind: ClassVar[type[Fleet | Group | Application]]

    def visible_owner(self, key: str) -> Any:
        """The open owner of that id. A fleet is there for whom it is in reach of; for the others a scope decides for
        tokens, which is said, and visibility for people."""
        rows: Any = self.kind.objects.filter(closed_at=None)
        owner = self.found(rows.select_related("organization"), key)
        is_judged_by_scope = self.access.token_id is not None and self.kind is not Fleet
        here = visibility.owners(self.access, self.kind, [owner.organization_id])
        if not is_judged_by_scope and not here.filter(pk=owner.pk).exists():
            raise Missing("There is no such object.")
        self.require_sight(owner)
        return owner

    def require_sight(self, owner: Any) -> None:
        raise NotImplementedError


class Owners(OwnerViewSet):
    """What fleets, groups and applications share: opened, changed and closed by who manages permissions."""

    written: ClassVar[Command]
    opening: ClassVar[tuple[Command, Callable[..., Any]]]
    change: ClassVar[tuple[Command, Callable[..., None]]]
    closing: ClassVar[Callable[..., Any]]

    def list(self, request: Request) -> Response:
        organization = self.organization()
        if self.kind is not Fleet:
            self.decide_oversight(organization.pk)
        rows = visibility.owners(self.access, self.kind, [organization.pk])
        return self.listed(rows.select_related("organization"), self.written)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self.visible_owner(pk))

    def create(self, request: Request) -> Response:
        return self._open(request, self.organization_of_body(Scope.PERMISSIONS_MANAGE))

    @idempotent
    def _open(self, request: Request, organization: Organization) -> Response:
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        command, verb = self.opening
        values = self.body(command)
        values.pop("organization", None)
        return self._answer(verb(organization, **values, by=self.access), 201)

    def partial_update(self, request: Request, pk: str) -> Response:
        owner = self.visible_owner(pk)
        command, verb = self.change
        values = self.body(command)
        self.conditional(owner)
        if values:
            verb(owner, **values, by=self.access)
        return self._answer(owner)

    def destroy(self, request: Request, pk: str) -> Response:
        owner = self.visible_owner(pk)
        values = self.body(Closing)
        self.conditional(owner)
        self.closing(owner, **values, by=self.access)
        return Response(status=204)

    def require_sight(self, owner: Any) -> None:
        """For tokens: what the action takes, where it takes more than to see a fleet."""
        if self.action == "partial_update":
            self.decide(Scope.PERMISSIONS_MANAGE, policy.place_of(owner), owner.organization_id)
        elif self.action == "destroy":
            self.decide(Scope.PERMISSIONS_MANAGE, ROOT, owner.organization_id)
        elif self.kind is not Fleet:
            self.decide_oversight(owner.organization_id)

    def _answer(self, owner: Any, status: int = 200) -> Response:
        return self.answer(owner, self.written(owner).data, status)


@extend_schema_view(
    list=extend_schema(responses=FleetSerializer(many=True)),
    retrieve=extend_schema(responses=FleetSerializer),
    create=extend_schema(request=FleetOpening, responses={201: FleetSerializer}),
    partial_update=extend_schema(request=FleetChange, responses=FleetSerializer),
    destroy=extend_schema(responses={204: None}, description=f"{CLOSING} Its machines are deregistered."),
)
class Fleets(Owners):
    """The fleets at which, or below which, the caller holds some scope."""

    queryset = Fleet.objects.none()
    filterset_class = FleetFilters
    kind, written = Fleet, FleetSerializer
    opening = (FleetOpening, owners.open_fleet)
    change = (FleetChange, owners.rename_fleet)
    closing = staticmethod(owners.close_fleet)


@extend_schema_view(
    list=extend_schema(responses=GroupSerializer(many=True)),
    retrieve=extend_schema(responses=GroupSerializer),
    create=extend_schema(request=GroupOpening, responses={201: GroupSerializer}),
    partial_update=extend_schema(request=GroupChange, responses=GroupSerializer),
    destroy=extend_schema(responses={204: None}, description=f"{CLOSING} So do the entries that name it."),
)
class Groups(Owners):
    """The groups of an organization: for its people, and for tokens that manage permissions or see tokens."""

    queryset = Group.objects.none()
    filterset_class = GroupFilters
    kind, written = Group, GroupSerializer
    opening = (GroupOpening, owners.open_group)
    change = (GroupChange, owners.rename_group)
    closing = staticmethod(owners.close_group)


@extend_schema_view(
    list=extend_schema(responses=ApplicationSerializer(many=True)),
    retrieve=extend_schema(responses=ApplicationSerializer),
    create=extend_schema(request=ApplicationOpening, responses={201: ApplicationSerializer}),
    partial_update=extend_schema(request=ApplicationChange, responses=ApplicationSerializer),
    destroy=extend_schema(responses={204: None}, description=CLOSING),
)
class Applications(Owners):
    """The applications of an organization: all for who manages permissions or sees tokens, their own for owners."""

    queryset = Application.objects.none()
    filterset_class = ApplicationFilters
    kind, written = Application, ApplicationSerializer
    opening = (ApplicationOpening, owners.open_application)
    change = (ApplicationChange, owners.change_application)
    closing = staticmethod(owners.close_application)


class OwnerMembers(OwnerViewSet):
    """What the people of fleets, groups and applications share. The owner's id stands in the address."""

    untagged = frozenset({"create"})
    model: ClassVar[type[FleetMembership | GroupMembership | ApplicationMembership]]
    written: ClassVar[Command]
    addition: ClassVar[tuple[Command, Callable[..., Any]]]
    leaving: ClassVar[Callable[..., None]]

    def list(self, request: Request, **_: str) -> Response:
        return self.listed(self._rows(), self.written)

    def create(self, request: Request, **_: str) -> Response:
        return self._add(request, self._owner())

    @idempotent
    def _add(self, request: Request, owner: Any) -> Response:
        command, verb = self.addition
        values = self.body(command)
        user = self.person(values["username"], owner.organization_id)
        return self._answer(verb(owner, user=user, role=values["role"], by=self.access), 201)

    def destroy(self, request: Request, pk: str, **_: str) -> Response:
        member = self.member(pk)
        self.body(Nothing)
        self.conditional(member)
        self.leaving(member, by=self.access)
        return Response(status=204)

    def member(self, pk: str) -> Any:
        return row_of(self._rows(), pk)

    def require_sight(self, owner: Any) -> None:
        self.require_sight_of_people(owner.organization_id, policy.place_of(owner))

    def _owner(self) -> Any:
        return self.visible_owner(self.kwargs[f"{self.model.owner_column}_id"])

    def _rows(self) -> QuerySet[Any]:
        column = self.model.owner_column
        rows: QuerySet[Any] = self.model.objects.present().filter(**{column: self._owner()})
        return rows.select_related("user", f"{column}__organization")

    def _answer(self, member: Any, status: int = 200) -> Response:
        return self.answer(member, self.written(member).data, status)


class RoledMembers(OwnerMembers):
    """Where there are several roles, they can be changed."""

    role: ClassVar[tuple[Command, Callable[..., None]]]

    def partial_update(self, request: Request, pk: str, **_: str) -> Response:
        member = self.member(pk)
        command, verb = self.role
        values = self.body(command)
        self.conditional(member)
        if values:
            verb(member, **values, by=self.access)
        return self._answer(member)


def of(owner: str) -> OpenApiParameter:
    return OpenApiParameter(f"{owner}_id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH)


@extend_schema(parameters=[of("fleet")])
@extend_schema_view(
    list=extend_schema(responses=FleetMemberSerializer(many=True)),
    create=extend_schema(request=FleetMemberAddition, responses={201: FleetMemberSerializer}),
    partial_update=extend_schema(request=FleetMemberChange, responses=FleetMemberSerializer),
    destroy=extend_schema(responses={204: None}),
)
class FleetMembers(RoledMembers):
    """The people of a fleet."""

    queryset = FleetMembership.objects.none()
    filterset_class = FleetMemberFilters
    kind, model, written = Fleet, FleetMembership, FleetMemberSerializer
    addition = (FleetMemberAddition, membership.join_fleet)
    role = (FleetMemberChange, membership.change_fleet_role)
    leaving = staticmethod(membership.leave_fleet)


@extend_schema(parameters=[of("group")])
@extend_schema_view(
    list=extend_schema(responses=GroupMemberSerializer(many=True)),
    create=extend_schema(request=GroupMemberAddition, responses={201: GroupMemberSerializer}),
    partial_update=extend_schema(request=GroupMemberChange, responses=GroupMemberSerializer),
    destroy=extend_schema(responses={204: None}),
)
class GroupMembers(RoledMembers):
    """The people of a group."""

    queryset = GroupMembership.objects.none()
    filterset_class = GroupMemberFilters
    kind, model, written = Group, GroupMembership, GroupMemberSerializer
    addition = (GroupMemberAddition, membership.join_group)
    role = (GroupMemberChange, membership.change_group_role)
    leaving = staticmethod(membership.leave_group)


@extend_schema(parameters=[of("application")])
@extend_schema_view(
    list=extend_schema(responses=ApplicationMemberSerializer(many=True)),
    create=extend_schema(request=ApplicationMemberAddition, responses={201: ApplicationMemberSerializer}),
    destroy=extend_schema(responses={204: None}),
)
class ApplicationMembers(OwnerMembers):
    """The owners of an application."""

    queryset = ApplicationMembership.objects.none()
    filterset_class = ApplicationMemberFilters
    kind, model, written = Application, ApplicationMembership, ApplicationMemberSerializer
    addition = (ApplicationMemberAddition, membership.join_application)
    leaving = staticmethod(membership.leave_application)
