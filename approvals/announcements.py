"""The mails that approvals owe: to who may decide, and to who asked. What they say is written when they are sent."""

from approvals.models import ApprovalRequest
from fleets import mail


def opened(request: ApprovalRequest) -> None:
    """Everybody who may decide, but for who is behind it."""
    _to_deciders("approval_requested", request)


def reminded(request: ApprovalRequest) -> None:
    _to_deciders("approval_reminder", request)


def settled(request: ApprovalRequest) -> None:
    """Who asked."""
    mail.owe("approval_settled", approval=str(request.pk), person=str(request.requested_by_id))


def _to_deciders(template: str, request: ApprovalRequest) -> None:
    able = request.eligible.filter(
        memberships__organization=request.organization_id, memberships__left_at=None
    ).exclude(pk__in=request.originators.values("pk"))
    for person in able.exclude(email="").order_by("pk").distinct():
        mail.owe(template, approval=str(request.pk), person=str(person.pk))
