"""Decisions as the pages offer them: who sees the button, when it fits, what it says will happen."""

from typing import Any

from approvals import decisions, requests
from approvals.admin.forms import ApproveForm, ApproveLessForm, RejectForm
from approvals.models import ApprovalRequest
from approvals.standing import Standing, offer_of, standings
from config.edge.access import Access
from config.edge.commands import ReasonForm, RowVerb
from config.edge.remembering import remembered

TEMPLATE = "approvals/decide.html"


def standing(row: ApprovalRequest, by: Access) -> Standing:
    return remembered(by, ("standing", row.pk, row.version), lambda: standings([row], by)[row.pk])


def may_decide(by: Access, row: ApprovalRequest) -> bool:
    return standing(row, by).may_decide


def may_withdraw(by: Access, row: ApprovalRequest) -> bool:
    return standing(row, by).may_withdraw


def approve(row: ApprovalRequest, data: dict[str, Any], by: Access) -> ApprovalRequest:
    return decisions.approve(
        row, digest=data["diff_digest"], comment=data["comment"], narrowed=data.get("narrowed"), by=by
    )


def what_follows(row: ApprovalRequest) -> str:
    if row.needed == 1:
        return "With your approval it holds at once."
    return f"It holds once {row.needed} have approved it; one rejection ends it."


def has_parts(row: ApprovalRequest) -> bool:
    return row.is_waiting and offer_of(row) is not None


APPROVE = RowVerb(
    "approve",
    "Approve",
    may_decide,
    approve,
    lambda row: f"You agree to exactly what stands below. {what_follows(row)}",
    "",
    fits=lambda row: row.is_waiting,
    form=ApproveForm,
    template=TEMPLATE,
    is_bound=False,
)
APPROVE_LESS = RowVerb(
    "approve-less",
    "Approve less",
    may_decide,
    approve,
    lambda row: (
        f"You agree to what you leave ticked, and to no more. Earlier approvals count no longer. {what_follows(row)}"
    ),
    "",
    fits=has_parts,
    form=ApproveLessForm,
    template=TEMPLATE,
    is_bound=False,
)
REJECT = RowVerb(
    "reject",
    "Reject",
    may_decide,
    lambda row, data, by: decisions.reject(row, digest=data["diff_digest"], comment=data["comment"], by=by),
    lambda row: f"Nothing of it is done, whoever approved it before. {row.requested_by} reads why.",
    "It is rejected.",
    fits=lambda row: row.is_waiting,
    form=RejectForm,
    template=TEMPLATE,
    is_grave=True,
    is_bound=False,
)
WITHDRAW = RowVerb(
    "withdraw",
    "Withdraw",
    may_withdraw,
    lambda row, data, by: requests.withdraw(row, reason=data["reason"], by=by),
    lambda _: "Takes the request back. Nothing of it is done; it can be asked for again.",
    "The request is withdrawn.",
    fits=lambda row: row.is_waiting,
    form=ReasonForm,
    template=TEMPLATE,
    is_bound=False,
)
