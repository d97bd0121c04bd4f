"""`approvals/`: what waits for somebody to decide, and what was decided. For people alone."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import decisions, policy, requests
from approvals.api.filters import ApprovalFilters
from approvals.api.serializers import Approval, ApprovalSerializer, Rejection, StandingRequest, Withdrawal
from approvals.models import ApprovalRequest
from approvals.standing import standings
from config.edge.access import authorize_list
from fleets.api.estate import EstateViewSet
from fleets.scopes import Scope


@extend_schema_view(
    list=extend_schema(responses=ApprovalSerializer(many=True)),
    retrieve=extend_schema(responses=ApprovalSerializer),
    approve=extend_schema(request=Approval, responses=ApprovalSerializer),
    reject=extend_schema(request=Rejection, responses=ApprovalSerializer),
    withdraw=extend_schema(request=Withdrawal, responses=ApprovalSerializer),
)
class Approvals(EstateViewSet):
    """People in their browser session, or by a personal token with approvals:decide."""

    queryset = ApprovalRequest.objects.none()
    filterset_class = ApprovalFilters
    widening = frozenset({"approve"})

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.access.token_id is not None:
            for organization_id in self.access.organization_ids():
                authorize_list(self.access, Scope.APPROVALS_DECIDE, organization_id)

    def list(self, request: Request) -> Response:
        rows = self._rows().filter(organization=self.organization())
        page = self.paginate_queryset(self.filter_queryset(rows)) or []
        standing = standings(page, self.access)
        shown = [StandingRequest(row, standing[row.pk]) for row in page]
        return self.get_paginated_response(ApprovalSerializer(shown, many=True).data)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(self._seen(pk))

    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        row = self._seen(pk)
        values = self.body(Approval)
        self.conditional(row)
        decisions.approve(row, digest=values.pop("diff_digest"), **values, by=self.access)
        return self._as_it_is(row)

    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        row = self._seen(pk)
        values = self.body(Rejection)
        self.conditional(row)
        decisions.reject(row, digest=values.pop("diff_digest"), **values, by=self.access)
        return self._as_it_is(row)

    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        row = self._seen(pk)
        values = self.body(Withdrawal)
        self.conditional(row)
        requests.withdraw(row, **values, by=self.access)
        return self._as_it_is(row)

    def _rows(self) -> Any:
        return policy.visible_to(self.access, ApprovalRequest.objects.presented())

    def _seen(self, pk: str) -> ApprovalRequest:
        row: ApprovalRequest = self.found(self._rows(), pk)
        return row

    def _as_it_is(self, row: ApprovalRequest) -> Response:
        """After a decision, whether the caller may still see it or not."""
        return self._answer(ApprovalRequest.objects.presented().get(pk=row.pk))

    def _answer(self, row: ApprovalRequest) -> Response:
        standing = standings([row], self.access)[row.pk]
        return self.answer(row, ApprovalSerializer(StandingRequest(row, standing)).data)
