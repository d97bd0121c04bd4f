"""The filters of the list of requests. `organization` is judged by the view: what is not there is a 404."""

from typing import Any

import django_filters

from approvals import policy
from approvals.models import ApprovalRequest, ApprovalRequestQuerySet
from config.edge.access import access_of
from fleets.api.filters import Filters


class ApprovalFilters(Filters):
    """`status` is the derived one: what is out of time has lapsed, recorded or not."""

    status = django_filters.ChoiceFilter(choices=ApprovalRequest.Status.choices, method="of_status")
    kind = django_filters.ChoiceFilter(choices=ApprovalRequest.Kind.choices)
    subject = django_filters.CharFilter("subject_id", help_text="The id of what it is about.")
    requested_by = django_filters.CharFilter("requested_by__username", "iexact", help_text="A username.")
    decidable = django_filters.BooleanFilter(
        method="by_caller", help_text="true: what the caller may decide now."
    )

    class Meta:
        model = ApprovalRequest
        fields: list[str] = []

    def of_status(self, rows: ApprovalRequestQuerySet, _name: str, status: str) -> ApprovalRequestQuerySet:
        return rows.with_status(status)

    def by_caller(self, rows: Any, _name: str, wanted: bool) -> Any:
        mine = policy.decidable_by(access_of(self.request), ApprovalRequest.objects.all())
        return rows.filter(pk__in=mine.values("pk")) if wanted else rows.exclude(pk__in=mine.values("pk"))
