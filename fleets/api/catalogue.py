"""`scopes/` and `roles/`: what can be given, built in and read-only."""

from collections.abc import Sequence
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from config.edge.filtering import ALWAYS
from config.edge.pagination import Cursor
from config.edge.refusals import Invalid
from fleets.api.estate import EstateViewSet
from fleets.api.serializers import RoleSerializer, ScopeSerializer
from fleets.authority import ROLE_SCOPES, ROLE_SCOPES_AT_ROOT
from fleets.scopes import Risk, Scope

LIMIT = OpenApiParameter("limit", int, description="1 to 200, 50 if not given.")
CURSOR = OpenApiParameter("cursor", str)
AREA = OpenApiParameter("area", str, enum=sorted({scope.area for scope in Scope}))
RISK = OpenApiParameter("risk", str, enum=[risk.label for risk in Risk])


class Catalogue(EstateViewSet):
    """A fixed list, in pages like every other: here a cursor is the place of a page's first row."""

    pagination_class: ClassVar[type[BasePagination] | None] = Cursor  # type: ignore[misc]
    parameters: ClassVar[frozenset[str]] = frozenset()

    def paged(self, rows: Sequence[Any], serializer: type[BaseSerializer[Any]]) -> Response:
        asked = self.request.query_params
        for name, values in asked.lists():
            if name not in self.parameters | ALWAYS:
                raise Invalid.field(name[:100], "This list has no such filter.", "unknown_parameter")
            if len(values) > 1:
                raise Invalid.field(name, "Give it once.", "repeated_parameter")
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
        parameters=[AREA, RISK, LIMIT, CURSOR], responses=ScopeSerializer(many=True), filters=False
    )
)
class Scopes(Catalogue):
    """The scopes that exist, by area."""

    parameters = frozenset({"area", "risk"})

    def list(self, request: Request) -> Response:
        area, risk = request.query_params.get("area"), request.query_params.get("risk")
        if risk is not None and risk not in {risk.label for risk in Risk}:
            raise Invalid.field("risk", "It is low, medium or high.", "invalid_choice")
        rows = [
            {
                "organization": None,
                "name": scope.value,
                "area": scope.area,
                "risk": scope.risk.label,
                "description": scope.description,
            }
            for scope in Scope
            if area in {None, scope.area} and risk in {None, scope.risk.label}
        ]
        return self.paged(rows, ScopeSerializer)


@extend_schema_view(
    list=extend_schema(parameters=[LIMIT, CURSOR], responses=RoleSerializer(many=True), filters=False)
)
class Roles(Catalogue):
    """The built-in roles, and the scopes that each gives."""

    def list(self, request: Request) -> Response:
        rows = [
            {
                "organization": None,
                "name": str(role),
                "scopes": sorted(scopes),
                "scopes_at_root": sorted(ROLE_SCOPES_AT_ROOT[role]),
            }
            for role, scopes in ROLE_SCOPES.items()
        ]
        return self.paged(rows, RoleSerializer)
