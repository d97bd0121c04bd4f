"""`webhooks/`: where an organization's events are sent, what was sent, and what was given up."""

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audit import organizations
from audit.api.webhook_serializers import (
    DeliverySerializer,
    RevealedWebhookSerializer,
    WebhookAddition,
    WebhookChange,
    WebhookSerializer,
)
from audit.models import WebhookDelivery, WebhookEndpoint
from audit.organizations import Named
from audit.policy import EVERYWHERE, MANAGE, may_manage_webhooks
from audit.webhooks import endpoints
from audit.webhooks.endpoints import NOT_YOURS, Revealed
from config.edge.ids import parsed_uuid, row_of
from config.edge.refusals import InsufficientScope, Missing, Refused
from config.edge.serializers import Nothing
from config.edge.views import ApiViewSet, idempotent


class _Managed(ApiViewSet):
    """For who manages permissions at the root, in their own browser session; for tokens it is a 403."""

    def meant(self, in_body: object = None) -> Named:
        """The organization that the query names, the body names, or that is implied; where the caller may."""
        named = organizations.registered().meant(self.access, self.named_organization(in_body))
        self.require(named.id)
        return named

    def endpoint(self, key: str) -> WebhookEndpoint:
        """The webhook of that id, which the caller must be allowed to manage."""
        found = self.visible_webhook(key)
        self.require(found.organization_id)
        return found

    def visible_webhook(self, key: str) -> WebhookEndpoint:
        """The webhook of that id; Missing where there is none in an organization that the caller may see."""
        visible = organizations.within(self.access, self.asked_organization)
        rows = WebhookEndpoint.objects.present().of_organizations(visible)
        return row_of(rows, key, "There is no such webhook.")

    def require(self, organization_id: UUID) -> None:
        allowed = may_manage_webhooks(self.access, organization_id)
        self.access.note(MANAGE, EVERYWHERE, organization_id, allowed=allowed)
        if allowed:
            return
        if not self.access.permits(MANAGE, EVERYWHERE, organization_id):
            raise InsufficientScope(MANAGE, EVERYWHERE)
        raise Refused(NOT_YOURS)


class WebhookFilters(django_filters.FilterSet):  # type: ignore[misc]
    organization = django_filters.CharFilter(method="judged", help_text="An organization's slug.")

    class Meta:
        model = WebhookEndpoint
        fields: list[str] = []

    def judged(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """The view has applied it already."""
        return rows


class DeliveryFilters(WebhookFilters):
    state = django_filters.ChoiceFilter(choices=WebhookDelivery.State.choices)

    class Meta:
        model = WebhookDelivery
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(responses=WebhookSerializer(many=True)),
    retrieve=extend_schema(responses=WebhookSerializer),
    create=extend_schema(request=WebhookAddition, responses={201: RevealedWebhookSerializer}),
    partial_update=extend_schema(request=WebhookChange, responses=WebhookSerializer),
    destroy=extend_schema(responses={204: None}),
    rotate_secret=extend_schema(request=None, responses=RevealedWebhookSerializer),
    test=extend_schema(request=None, responses=DeliverySerializer),
)
class Webhooks(_Managed):
    """Where an organization's events are sent, signed after Standard Webhooks."""

    queryset = WebhookEndpoint.objects.none()
    filterset_class = WebhookFilters

    def list(self, request: Request) -> Response:
        named = self.meant()
        rows = WebhookEndpoint.objects.present().filter(organization_id=named.id)
        page = self.paginate_queryset(self.filter_queryset(rows))
        shown = WebhookSerializer(page or [], many=True, context={"slugs": {named.id: named.slug}})
        return self.get_paginated_response(shown.data)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self.endpoint(pk))

    def create(self, request: Request) -> Response:
        body: Any = request.data
        return self._add(request, self.meant(body.get("organization")))

    @idempotent
    def _add(self, request: Request, named: Named) -> Response:
        values = self.body(WebhookAddition)
        values.pop("organization", None)
        return self._reveal(endpoints.add(named, **values, by=self.access), 201)

    def partial_update(self, request: Request, pk: str) -> Response:
        endpoint = self.endpoint(pk)
        changes = self.body(WebhookChange)
        self.conditional(endpoint)
        if changes:
            endpoints.change(endpoint, changes=changes, by=self.access)
        return self._answer(endpoint)

    def destroy(self, request: Request, pk: str) -> Response:
        endpoint = self.endpoint(pk)
        self.body(Nothing)
        self.conditional(endpoint)
        endpoints.remove(endpoint, by=self.access)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        return self._rotate(request, self.endpoint(pk))

    @idempotent
    def _rotate(self, request: Request, endpoint: WebhookEndpoint) -> Response:
        self.body(Nothing)
        self.conditional(endpoint)
        return self._reveal(endpoints.rotate_secret(endpoint, by=self.access))

    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        endpoint = self.endpoint(pk)
        self.body(Nothing)
        self.conditional(endpoint)
        return Response(DeliverySerializer(endpoints.test(endpoint, by=self.access)).data)

    def _answer(self, endpoint: WebhookEndpoint) -> Response:
        return self.answer(endpoint, _written(endpoint))

    def _reveal(self, revealed: Revealed, status: int = 200) -> Response:
        data = {**_written(revealed.endpoint), "secret": revealed.secret}
        return self.answer(revealed.endpoint, data, status)


@extend_schema_view(
    list=extend_schema(responses=DeliverySerializer(many=True)),
    retrieve=extend_schema(responses=DeliverySerializer),
    destroy=extend_schema(responses={204: None}),
    retry=extend_schema(request=None, responses=DeliverySerializer),
)
class Deliveries(_Managed):
    """What a webhook is owed or was sent, newest first; what was given up is `dead`. Deleting one drops it."""

    queryset = WebhookDelivery.objects.none()
    untagged = frozenset({"destroy", "retry"})
    filterset_class = DeliveryFilters

    def list(self, request: Request, webhook_id: str) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.endpoint(webhook_id).deliveries.all()))
        return self.get_paginated_response(DeliverySerializer(page or [], many=True).data)

    def retrieve(self, request: Request, webhook_id: str, pk: str) -> Response:
        return Response(DeliverySerializer(self._found(webhook_id, pk)).data)

    def destroy(self, request: Request, webhook_id: str, pk: str) -> Response:
        delivery = self._found(webhook_id, pk)
        self.body(Nothing)
        endpoints.drop(delivery, by=self.access)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, webhook_id: str, pk: str) -> Response:
        delivery = self._found(webhook_id, pk)
        self.body(Nothing)
        endpoints.retry(delivery, by=self.access)
        return Response(DeliverySerializer(delivery).data)

    def _found(self, webhook_id: str, pk: str) -> WebhookDelivery:
        rows = self.visible_webhook(webhook_id).deliveries.select_related("endpoint")
        found = rows.filter(event_id=key).first() if (key := parsed_uuid(pk)) else None
        if found is None:
            raise Missing("There is no such delivery.")
        self.require(found.endpoint.organization_id)
        return found


def _written(endpoint: WebhookEndpoint) -> dict[str, Any]:
    slug = organizations.registered().of_id(endpoint.organization_id).slug
    return {**WebhookSerializer(endpoint, context={"slugs": {endpoint.organization_id: slug}}).data}
