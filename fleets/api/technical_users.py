"""`technical-users/`: those that were made by hand, and those of tokens, which only can be looked at."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from config.edge.refusals import Missing
from config.edge.views import idempotent
from fleets import technical_users, visibility
from fleets.api.estate import EstateViewSet
from fleets.api.filters import TechnicalUserFilters
from fleets.api.owner_serializers import (
    Closing,
    TechnicalUserChange,
    TechnicalUserMaking,
    TechnicalUserSerializer,
)
from fleets.models import Organization, TechnicalUser
from fleets.paths import ROOT
from fleets.scopes import Scope

ID = OpenApiParameter("technical_user_id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH)


@extend_schema_view(
    list=extend_schema(responses=TechnicalUserSerializer(many=True)),
    retrieve=extend_schema(parameters=[ID], responses=TechnicalUserSerializer),
    create=extend_schema(request=TechnicalUserMaking, responses={201: TechnicalUserSerializer}),
    partial_update=extend_schema(
        parameters=[ID], request=TechnicalUserChange, responses=TechnicalUserSerializer
    ),
    destroy=extend_schema(
        parameters=[ID],
        responses={204: None},
        description="Ends one that was made by hand, its tokens and its entries. The body may say a `reason`.",
    ),
)
class TechnicalUsers(EstateViewSet):
    """All that act in an organization, those that ended too: for who manages permissions or sees tokens."""

    queryset = TechnicalUser.objects.none()
    filterset_class = TechnicalUserFilters
    ordering = "-user_id"
    lookup_url_kwarg = "technical_user_id"  # the key has no name of its own that would describe it

    def list(self, request: Request) -> Response:
        organization = self.organization()
        self.decide_oversight(organization.pk)
        rows = visibility.technical_users(self.access, [organization.pk])
        return self.listed(_presented(rows), TechnicalUserSerializer)

    def retrieve(self, request: Request, technical_user_id: str) -> Response:
        return self._answer(self._seen(technical_user_id))

    def create(self, request: Request) -> Response:
        return self._make(request, self.organization_of_body(Scope.PERMISSIONS_MANAGE))

    @idempotent
    def _make(self, request: Request, organization: Organization) -> Response:
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        values = self.body(TechnicalUserMaking)
        values.pop("organization", None)
        return self._answer(technical_users.make(organization, **values, by=self.access), 201)

    def partial_update(self, request: Request, technical_user_id: str) -> Response:
        technical = self._seen(technical_user_id)
        values = self.body(TechnicalUserChange)
        self.conditional(technical.user)
        if values:
            technical_users.rename(technical, **values, by=self.access)
        return self._answer(technical)

    def destroy(self, request: Request, technical_user_id: str) -> Response:
        technical = self._seen(technical_user_id)
        values = self.body(Closing)
        self.conditional(technical.user)
        technical_users.remove(technical, **values, by=self.access)
        return Response(status=204)

    def _seen(self, pk: str) -> TechnicalUser:
        technical: TechnicalUser = self.found(_presented(TechnicalUser.objects.all()), pk)
        if self.action == "retrieve":
            self.decide_oversight(technical.organization_id)
        else:
            self.decide(Scope.PERMISSIONS_MANAGE, ROOT, technical.organization_id)
        here = visibility.technical_users(self.access, [technical.organization_id])
        if not here.filter(pk=technical.pk).exists():
            raise Missing("There is no such object.")
        return technical

    def _answer(self, technical: TechnicalUser, status: int = 200) -> Response:
        return self.answer(technical.user, TechnicalUserSerializer(technical).data, status)


def _presented(rows: Any) -> Any:
    return rows.select_related("user", "organization", "fleet", "group", "application")
