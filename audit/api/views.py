"""`audit/events/`: what happened in an organization, newest first."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from audit import organizations
from audit.api.filters import EventFilters
from audit.models import Event
from audit.policy import EVERYWHERE, READ
from audit.representation import EventSerializer
from config.edge.access import authorize
from config.edge.ids import row_of
from config.edge.views import ApiViewSet


@extend_schema_view(
    list=extend_schema(responses=EventSerializer(many=True)),
    retrieve=extend_schema(responses=EventSerializer),
)
class Events(ApiViewSet):
    """Needs audit:read at the root of the organization."""

    queryset = Event.objects.none()
    filterset_class = EventFilters

    def list(self, request: Request) -> Response:
        meant = organizations.registered().meant(self.access, self.asked_organization)
        authorize(self.access, READ, EVERYWHERE, meant.id)
        page = self.paginate_queryset(self.filter_queryset(Event.objects.filter(organization_id=meant.id)))
        return self.get_paginated_response(_presented(page or [], meant.slug, many=True))

    def retrieve(self, request: Request, pk: str) -> Response:
        seen = Event.objects.of_organizations(organizations.within(self.access, self.asked_organization))
        event = row_of(seen.exclude(organization_id=None), pk, "There is no such event.")
        assert event.organization_id is not None
        authorize(self.access, READ, EVERYWHERE, event.organization_id)
        return Response(_presented(event, organizations.registered().of_id(event.organization_id).slug))


def _presented(events: Any, slug: str, *, many: bool = False) -> Any:
    return EventSerializer(events, many=many, context={"organization": slug}).data
