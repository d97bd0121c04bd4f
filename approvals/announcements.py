"""The mails that approvals owe: to who may decide, and to who asked.

Written when they are sent, from what is true then: nobody is asked about what is settled, or was rewritten since.
"""

from typing import Any

from approvals import standing
from approvals.models import ApprovalRequest
from config.edge.access import Access
from fleets import mail
from fleets.access import PersonAccess
from fleets.models import User

LISTED = 50  # words of a diff that a mail lists
ENDS = {
    ApprovalRequest.Status.APPROVED: "approved",
    ApprovalRequest.Status.REJECTED: "rejected",
    ApprovalRequest.Status.WITHDRAWN: "withdrawn",
    ApprovalRequest.Status.LAPSED: "lapsed",
    ApprovalRequest.Status.SUPERSEDED: "superseded",
}


def opened(request: ApprovalRequest) -> None:
    """Every member who may decide, but for who is behind it. Superusers without a membership may too; they see it in
    their inbox, and are not asked by mail: an installation's operators would get every organization's."""
    _to_deciders("approval_requested", request)


def reminded(request: ApprovalRequest) -> None:
    _to_deciders("approval_reminder", request)


def settled(request: ApprovalRequest, by: Access) -> None:
    """Who asked, unless they ended it themselves."""
    asked = request.requested_by
    if asked.email and (by.user is None or by.user.pk != asked.pk):
        mail.owe("approval_settled", approval=str(request.pk))


def _to_deciders(template: str, request: ApprovalRequest) -> None:
    able = request.eligible.filter(
        memberships__organization=request.organization_id, memberships__left_at=None
    ).exclude(pk__in=request.originators.values("pk"))
    for person in able.exclude(email="").order_by("pk").distinct():
        mail.owe(template, approval=str(request.pk), digest=request.diff_digest, person=str(person.pk))


@mail.writer("approval_requested")
@mail.writer("approval_reminder")
def _to_who_decides(payload: dict[str, Any]) -> mail.Letter | None:
    """As long as it waits for this person, with this diff."""
    request = _request(payload)
    person = User.objects.active().filter(pk=payload["person"]).first()
    if request is None or person is None or request.diff_digest != payload["digest"]:
        return None
    if not standing.standings([request], PersonAccess(person))[request.pk].may_decide:
        return None
    return mail.Letter(person.email, _values(request, person))


@mail.writer("approval_settled")
def _to_who_asked(payload: dict[str, Any]) -> mail.Letter | None:
    """As long as they may see how it ended: who left, or is suspended, reads nothing of the organization any more."""
    request = _request(payload)
    if request is None or request.is_open:
        return None
    asked = User.objects.active().filter(pk=request.requested_by_id).first()
    if asked is None or request.organization_id not in PersonAccess(asked).organization_ids():
        return None
    ends = {
        "status": request.status,
        "ended": ENDS[ApprovalRequest.Status(request.status)],
        "at": request.closed_at,
        "decisions": [
            {"who": str(vote.user), "verdict": vote.verdict, "comment": vote.comment}
            for vote in request.decisions.all()
            if vote.voided_at is None
        ],
    }
    return mail.Letter(asked.email, _values(request, asked) | ends)


def _request(payload: dict[str, Any]) -> ApprovalRequest | None:
    return ApprovalRequest.objects.presented().filter(pk=payload["approval"]).first()


def _values(request: ApprovalRequest, reader: User) -> dict[str, Any]:
    return {
        "name": str(reader),
        "organization": request.organization.name,
        "subject": request.subject_label,
        "kind": request.kind_in_words,
        "who": str(request.requested_by),
        "reason": request.reason,
        "risk": request.get_risk_display(),
        "words": request.diff_words[:LISTED],
        "more": max(len(request.diff_words) - LISTED, 0),
        "until": request.expires_at,
        "link": mail.link("admin:approvals_approvalrequest_change", str(request.pk)),
    }
