"""`scopes/` and `roles/`: what can be given. Scopes are built in; an organization has roles of its own besides."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from config.edge.filtering import ALWAYS
from config.edge.pagination import Cursor
from config.edge.parameters import require_known
from config.edge.refusals import Invalid
from config.edge.serializers import Nothing
from config.edge.views import idempotent
from fleets import role_changes, visibility
from fleets.api.estate import EstateViewSet
from fleets.api.rule_serializers import RoleAddition, RoleChange, RoleSerializer
from fleets.api.serializers import ScopeSerializer
from fleets.authority import ROLE_SCOPES, ROLE_SCOPES_AT_ROOT
from fleets.models import Organization, OrganizationRole
from fleets.organization_policy import DEFAULT, policy_of
from fleets.paths import ROOT
from fleets.roles import scopes_of
from fleets.scopes import Risk, Scope

ORGANIZATION = OpenApiParameter("organization", str, description="An organization's slug.")
LIMIT = OpenApiParameter("limit", int, description="1 to 200, 50 if not given.")
CURSOR = OpenApiParameter("cursor", str)
AREA = OpenApiParameter("area", str, enum=sorted({scope.area for scope in Scope}))
RISK = OpenApiParameter("risk", str, enum=[risk.label for risk in Risk])


class Catalogue(EstateViewSet):
    """A fixed list, in pages like every other: here a cursor is the place of a page's first row."""

    pagination_class: ClassVar[type[BasePagination] | None] = Cursor  # type: ignore[misc]
    filters: ClassVar[frozenset[str]] = frozenset()

    def paged(self, rows: Sequence[Any], serializer: type[BaseSerializer[Any]]) -> Response:
        asked = self.request.query_params
        require_known(asked, self.filters | ALWAYS)
        if self.asked_organization is not None:
            self.organization()
        limit = Cursor().get_page_size(self.request)
        start = self._start(asked.get("cursor", "0"))
        return Response(
            {
                "next": self._link(start + limit, limit) if start + limit < len(rows) else None,
                "previous": self._link(max(start - limit, 0), limit) if start else None,
                "results": serializer(rows[start : start + limit], many=True).data,
            }
        )

    def meant_organization(self) -> Organization | None:
        """The one that is named or implied; None where the caller could mean several."""
        if self.asked_organization is not None:
            return self.organization()
        return visibility.sole_organization(self.access)

    def _start(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 4):
            raise Invalid.field("cursor", "This is not a cursor of this list.")
        return int(text)

    def _link(self, start: int, limit: int) -> str:
        asked = self.request.query_params.copy()
        asked["cursor"], asked["limit"] = str(start), str(limit)
        return f"{self.request.path}?{asked.urlencode()}"


@extend_schema_view(
    list=extend_schema(
        parameters=[ORGANIZATION, AREA, RISK, LIMIT, CURSOR],
        responses=ScopeSerializer(many=True),
        filters=False,
    )
)
class Scopes(Catalogue):
    """The scopes that exist, by area, and how risky each is to the organization.

    Without `organization`, who sees several and is a member of none alone is told the built-in risks.
    """

    filters = frozenset({"area", "risk"})

    def list(self, request: Request) -> Response:
        area, risk = request.query_params.get("area"), request.query_params.get("risk")
        if risk is not None and risk not in {risk.label for risk in Risk}:
            raise Invalid.field("risk", "It is low, medium or high.", "invalid_choice")
        here = self.meant_organization()
        rules = DEFAULT if here is None else policy_of(here)
        rows = [
            {
                "organization": None,
                "name": scope.value,
                "area": scope.area,
                "risk": rules.risk_of(scope).label,
                "built_in_risk": scope.built_in_risk.label,
                "description": scope.description,
            }
            for scope in Scope
            if area in {None, scope.area} and risk in {None, rules.risk_of(scope).label}
        ]
        return self.paged(rows, ScopeSerializer)


@extend_schema_view(
    list=extend_schema(
        parameters=[ORGANIZATION, LIMIT, CURSOR], responses=RoleSerializer(many=True), filters=False
    ),
    retrieve=extend_schema(responses=RoleSerializer),
    create=extend_schema(request=RoleAddition, responses={201: RoleSerializer}),
    partial_update=extend_schema(request=RoleChange, responses=RoleSerializer),
    destroy=extend_schema(responses={204: None}),
)
class Roles(Catalogue):
    """The built-in roles and those of the organization's own, with the scopes that each gives.

    Without `organization`, who sees several and is a member of none alone is shown the built-in ones.
    """

    queryset = OrganizationRole.objects.none()

    def list(self, request: Request) -> Response:
        return self.paged([*_built_in(), *map(_own, self._present())], RoleSerializer)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self._role(pk))

    def create(self, request: Request) -> Response:
        return self._add(request, self.organization_of_body(Scope.PERMISSIONS_MANAGE))

    @idempotent
    def _add(self, request: Request, organization: Organization) -> Response:
        self.decide(Scope.PERMISSIONS_MANAGE, ROOT, organization.pk)
        values = self.body(RoleAddition)
        values.pop("organization", None)
        return self._answer(role_changes.add(organization, **values, by=self.access), 201)

    def partial_update(self, request: Request, pk: str) -> Response:
        role = self._role(pk, to_change=True)
        values = self.body(RoleChange)
        self.conditional(role)
        if values:
            role_changes.change(role, **values, by=self.access)
        return self._answer(role)

    def destroy(self, request: Request, pk: str) -> Response:
        role = self._role(pk, to_change=True)
        self.body(Nothing)
        self.conditional(role)
        role_changes.remove(role, by=self.access)
        return Response(status=204)

    def _present(self) -> QuerySet[OrganizationRole]:
        rows = OrganizationRole.objects.present().filter(organization=self.meant_organization())
        return rows.select_related("organization").order_by("pk")

    def _role(self, pk: str, *, to_change: bool = False) -> OrganizationRole:
        role = self.found(OrganizationRole.objects.present().select_related("organization"), pk)
        if to_change:
            self.decide(Scope.PERMISSIONS_MANAGE, ROOT, role.organization_id)
        return role

    def _answer(self, role: OrganizationRole, status: int = 200) -> Response:
        return self.answer(role, RoleSerializer(_own(role)).data, status)


def _built_in() -> list[dict[str, Any]]:
    return [
        {
            "id": None,
            "organization": None,
            "name": str(role),
            "scopes": sorted(scopes),
            "scopes_at_root": sorted(ROLE_SCOPES_AT_ROOT[role]),
        }
        for role, scopes in ROLE_SCOPES.items()
    ]


def _own(role: OrganizationRole) -> dict[str, Any]:
    scopes = sorted(scopes_of(role))
    return {
        "id": role.pk,
        "organization": role.organization.slug,
        "name": role.name,
        "scopes": scopes,
        "scopes_at_root": scopes,
    }
