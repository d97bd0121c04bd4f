"""What a token's page says of an approval that it waits for."""

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from approvals import policy
from approvals.models import ApprovalRequest
from config.edge.access import Access
from config.edge.facts import Cell, Fact, written
from tokens.models import Token

UNTIL_THEN = {
    True: "A change of it waits for approval. Until then it is as it was; another edit takes the change's place.",
    False: "It waits for approval. Until then every call with it is refused.",
}


def notes_of(row: Token) -> list[str]:
    return [UNTIL_THEN[row.has_waiting_change]] if row.open_request_id else []


def facts_of(row: Token, by: Access) -> list[Fact]:
    """The request, with the way to it for who may see it."""
    if row.open_request_id is None:
        return []
    request = ApprovalRequest.objects.get(pk=row.open_request_id)
    seen = policy.visible_to(by, ApprovalRequest.objects.filter(pk=request.pk)).exists()
    asked = f"asked for on {written(request.opened_at)} by {request.requested_by}"
    return [Fact("Waits for approval", Cell(asked, address_of(row) if seen else ""))]


def message(row: Token) -> SafeString:
    """The message after an edit that waits."""
    return format_html(
        'It waits for <a href="{}">approval</a>. Until then the token stays as it was.', address_of(row)
    )


def address_of(row: Token) -> str:
    """Of the request that it waits for."""
    return reverse("admin:approvals_approvalrequest_change", args=[row.open_request_id])
