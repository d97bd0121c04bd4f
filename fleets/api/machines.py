"""`machines/`: read, register, retag, move, deregister, configure; actions for the fleet's controller."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.access import authorize, authorize_list
from config.edge.pagination import Cursor
from config.edge.serializers import Nothing
from config.edge.views import idempotent
from fleets import machines, visibility
from fleets.api.estate import EstateViewSet
from fleets.api.filters import MachineFilters
from fleets.api.serializers import (
    ConfigurationSerializer,
    MachineActionRequest,
    MachineActionSerializer,
    MachineMove,
    MachineRegistration,
    MachineRetagging,
    MachineSerializer,
)
from fleets.authority import TokenRights
from fleets.models import Machine, MachineAction, MachineQuerySet, Organization
from fleets.scopes import Scope
from fleets.visibility import Reach


class MachineCursor(Cursor):
    """Pages that also say how many machines of a token's principal the token may not see."""

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        page = super().get_paginated_response_schema(schema)
        page["properties"]["hidden"] = {
            "type": "integer",
            "description": "How many of its principal's machines this token may not see; 0 for people.",
        }
        return page


@extend_schema_view(
    list=extend_schema(responses=MachineSerializer(many=True)),
    retrieve=extend_schema(responses=MachineSerializer),
    create=extend_schema(request=MachineRegistration, responses={201: MachineSerializer}),
    partial_update=extend_schema(request=MachineRetagging, responses=MachineSerializer),
    destroy=extend_schema(responses={204: None}),
    move=extend_schema(request=MachineMove, responses=MachineSerializer),
)
class Machines(EstateViewSet):
    """The machines on whose path the caller holds machines:read. A deregistered one is still found by its id."""

    queryset = Machine.objects.none()
    filterset_class = MachineFilters
    pagination_class = MachineCursor

    def list(self, request: Request) -> Response:
        organization = self.organization()
        authorize_list(self.access, Scope.MACHINES_READ, organization.pk)
        reach = visibility.reach(self.access, organization.pk)
        rows = _presented(reach.machines())
        if slug := request.query_params.get("fleet"):
            rows = rows.filter(fleet=reach.fleet(slug))
        return self.listed(rows, MachineSerializer, hidden=hidden_from(reach))

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self._permitted(pk, Scope.MACHINES_READ))

    def create(self, request: Request) -> Response:
        return self._register(request, self.organization_of_body(Scope.MACHINES_WRITE))

    @idempotent
    def _register(self, request: Request, organization: Organization) -> Response:
        values = self.body(MachineRegistration)
        values.pop("organization", None)
        fleet = visibility.reach(self.access, organization.pk).fleet(values.pop("fleet"))
        authorize(self.access, Scope.MACHINES_WRITE, fleet.path, organization.pk)
        return self._answer(machines.register(fleet, **values, by=self.access), 201)

    def partial_update(self, request: Request, pk: str) -> Response:
        machine = self._permitted(pk, Scope.MACHINES_WRITE)
        values = self.body(MachineRetagging)
        self.conditional(machine)
        if values:
            machines.retag(machine, **values, by=self.access)
        return self._answer(machine)

    def destroy(self, request: Request, pk: str) -> Response:
        machine = self._permitted(pk, Scope.MACHINES_WRITE)
        self.body(Nothing)
        self.conditional(machine)
        machines.deregister(machine, by=self.access)
        return Response(status=204)

    @extend_schema(
        description="Into another fleet. Nobody may do to it afterwards what neither they nor the caller might before: "
        "else 403 `exceeds_your_rights`. Entries on its path reach nothing until it is back."
    )
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: str) -> Response:
        machine = self._permitted(pk, Scope.MACHINES_WRITE)
        values = self.body(MachineMove)
        fleet = visibility.reach(self.access, machine.organization_id).fleet(values["fleet"])
        self.conditional(machine)
        machines.move(machine, fleet=fleet, by=self.access)
        return self._answer(machine)

    @extend_schema(responses=ConfigurationSerializer)
    @action(detail=True, methods=["get"])
    def configuration(self, request: Request, pk: str) -> Response:
        return self._configuration(self._permitted(pk, Scope.MACHINES_READ))

    @extend_schema(request=ConfigurationSerializer, responses=ConfigurationSerializer)
    @configuration.mapping.patch
    def configure(self, request: Request, pk: str) -> Response:
        machine = self._permitted(pk, Scope.MACHINES_CONFIGURE)
        changes = self.body(ConfigurationSerializer)
        self.conditional(machine)
        if changes:
            machines.configure(machine, changes=changes, by=self.access)
        return self._configuration(machine)

    def _permitted(self, pk: str, scope: Scope) -> Machine:
        """The machine of that id, where the caller holds the scope; the right is judged before any body."""
        machine: Machine = self.found(_presented(Machine.objects.filter(fleet__closed_at=None)), pk)
        authorize(self.access, scope, machine.path, machine.organization_id)
        return machine

    def _configuration(self, machine: Machine) -> Response:
        return self.answer(machine, ConfigurationSerializer(machine.configuration).data)

    def _answer(self, machine: Machine, status: int = 200) -> Response:
        return self.answer(machine, MachineSerializer(machine).data, status)


@extend_schema_view(
    list=extend_schema(responses=MachineActionSerializer(many=True)),
    create=extend_schema(request=MachineActionRequest, responses={201: MachineActionSerializer}),
)
class MachineActions(EstateViewSet):
    """What is to be done with a machine, newest first."""

    queryset = MachineAction.objects.none()
    untagged = frozenset({"create"})

    def list(self, request: Request, machine_id: str) -> Response:
        machine = self._permitted(machine_id, Scope.MACHINES_READ)
        rows = MachineAction.objects.filter(machine=machine).select_related("machine__organization")
        return self.listed(rows, MachineActionSerializer)

    def create(self, request: Request, machine_id: str) -> Response:
        return self._request(request, self._permitted(machine_id, Scope.MACHINES_OPERATE))

    @idempotent
    def _request(self, request: Request, machine: Machine) -> Response:
        requested = machines.request_action(machine, **self.body(MachineActionRequest), by=self.access)
        return Response(MachineActionSerializer(requested).data, status=201)

    def _permitted(self, machine_id: str, scope: Scope) -> Machine:
        machine: Machine = self.found(_presented(Machine.objects.filter(fleet__closed_at=None)), machine_id)
        authorize(self.access, scope, machine.path, machine.organization_id)
        return machine


def hidden_from(reach: Reach) -> int:
    """How many machines a token's principal could read and the token can't."""
    if not isinstance(reach.rights, TokenRights):
        return 0
    of_principal = reach.with_rights(reach.rights.principal)
    return of_principal.machines().count() - reach.machines().count()


def _presented(rows: MachineQuerySet) -> MachineQuerySet:
    return rows.select_related("organization", "fleet").prefetch_related("tag_rows")
