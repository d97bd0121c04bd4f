"""`templates/`, `networks/` and `images/`: what machines are made from."""

from collections.abc import Callable
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from config.edge.access import authorize, authorize_list
from config.edge.serializers import Nothing
from config.edge.views import idempotent
from fleets import inventory, policy
from fleets.api.estate import EstateViewSet
from fleets.api.filters import ImageFilters, NetworkFilters, TemplateFilters
from fleets.api.inventory_serializers import (
    ImageAddition,
    ImageChange,
    ImageSerializer,
    NetworkAddition,
    NetworkChange,
    NetworkSerializer,
    TemplateAddition,
    TemplateChange,
    TemplateSerializer,
)
from fleets.inventory import AnyItem
from fleets.models import Image, MachineTemplate, Network, Organization
from fleets.paths import ROOT
from fleets.scopes import Scope

Command = type[Serializer[Any]]


class Inventory(EstateViewSet):
    """What the three share: they are there for who holds the scope of their kind at the root."""

    kind: ClassVar[type[AnyItem]]
    written: ClassVar[Command]
    addition: ClassVar[tuple[Command, Callable[..., AnyItem]]]
    change: ClassVar[tuple[Command, Callable[..., None]]]
    removal: ClassVar[Callable[..., None]]

    def list(self, request: Request) -> Response:
        organization = self.organization()
        authorize_list(self.access, self.scope, organization.pk)
        rows: Any = inventory.seen(self.kind, organization, self.access)
        return self.listed(rows.select_related("organization"), self.written)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self._permitted(pk))

    def create(self, request: Request) -> Response:
        return self._add(request, self.organization_of_body(self.scope))

    @idempotent
    def _add(self, request: Request, organization: Organization) -> Response:
        authorize(self.access, self.scope, ROOT, organization.pk)
        command, verb = self.addition
        values = self.body(command)
        values.pop("organization", None)
        return self._answer(verb(organization, **values, by=self.access), 201)

    def partial_update(self, request: Request, pk: str) -> Response:
        item = self._permitted(pk)
        command, verb = self.change
        changes = self.body(command)
        self.conditional(item)
        if changes:
            verb(item, changes=changes, by=self.access)
        return self._answer(item)

    def destroy(self, request: Request, pk: str) -> Response:
        item = self._permitted(pk)
        self.body(Nothing)
        self.conditional(item)
        self.removal(item, by=self.access)
        return Response(status=204)

    @property
    def scope(self) -> Scope:
        return policy.MANAGED_BY[self.kind]

    def _permitted(self, pk: str) -> Any:
        rows: Any = self.kind.objects.present()
        item = self.found(rows.select_related("organization"), pk)
        authorize(self.access, self.scope, ROOT, item.organization_id)
        return item

    def _answer(self, item: Any, status: int = 200) -> Response:
        return self.answer(item, self.written(item).data, status)


@extend_schema_view(
    list=extend_schema(responses=TemplateSerializer(many=True)),
    retrieve=extend_schema(responses=TemplateSerializer),
    create=extend_schema(request=TemplateAddition, responses={201: TemplateSerializer}),
    partial_update=extend_schema(request=TemplateChange, responses=TemplateSerializer),
    destroy=extend_schema(responses={204: None}),
)
class Templates(Inventory):
    """What machines are made from. One registered with `template` is a quick machine."""

    queryset = MachineTemplate.objects.none()
    filterset_class = TemplateFilters
    kind, written = MachineTemplate, TemplateSerializer
    addition = (TemplateAddition, inventory.add_template)
    change = (TemplateChange, inventory.change_template)
    removal = staticmethod(inventory.remove_template)


@extend_schema_view(
    list=extend_schema(responses=NetworkSerializer(many=True)),
    retrieve=extend_schema(responses=NetworkSerializer),
    create=extend_schema(request=NetworkAddition, responses={201: NetworkSerializer}),
    partial_update=extend_schema(request=NetworkChange, responses=NetworkSerializer),
    destroy=extend_schema(responses={204: None}),
)
class Networks(Inventory):
    """The networks that templates put machines in. One that a template names stays."""

    queryset = Network.objects.none()
    filterset_class = NetworkFilters
    kind, written = Network, NetworkSerializer
    addition = (NetworkAddition, inventory.add_network)
    change = (NetworkChange, inventory.change_network)
    removal = staticmethod(inventory.remove_network)


@extend_schema_view(
    list=extend_schema(responses=ImageSerializer(many=True)),
    retrieve=extend_schema(responses=ImageSerializer),
    create=extend_schema(request=ImageAddition, responses={201: ImageSerializer}),
    partial_update=extend_schema(request=ImageChange, responses=ImageSerializer),
    destroy=extend_schema(responses={204: None}),
)
class Images(Inventory):
    """What machines' disks are filled from. One that a template names stays."""

    queryset = Image.objects.none()
    filterset_class = ImageFilters
    kind, written = Image, ImageSerializer
    addition = (ImageAddition, inventory.add_image)
    change = (ImageChange, inventory.change_image)
    removal = staticmethod(inventory.remove_image)
