"""What home says first: what waits for the caller's decision, which of their tokens end soon, what an owner could
switch on."""

from collections.abc import Iterator
from typing import cast

from django.contrib import admin
from django.urls import reverse

from approvals.models import ApprovalRequest
from approvals.policy import decidable_by
from config.edge.access import Access
from config.edge.admin_site import Notice, Site
from config.edge.clock import now
from config.edge.facts import Cell, linked
from fleets.deciders import members_who_decide_in
from fleets.models import Membership, Organization
from fleets.organization_policy import policy_of
from fleets.scopes import Risk
from tokens import ends
from tokens.admin import words
from tokens.kinds import Kind
from tokens.models import Token

NEWEST = 3  # of what is named one by one
MOST_COUNTED = 100
ENOUGH = 2  # deciders: nobody decides on their own request


def decisions(by: Access) -> Iterator[Notice]:
    waiting = decidable_by(by, ApprovalRequest.objects.all()).order_by("-pk")
    newest = list(waiting[:MOST_COUNTED])
    if newest:
        many = "1 request waits" if len(newest) == 1 else f"{_count(len(newest))} requests wait"
        inbox = Cell("All requests", reverse("admin:approvals_approvalrequest_changelist"))
        yield Notice(f"{many} for your decision.", inbox, [linked(row) for row in newest[:NEWEST]])


def ending_tokens(by: Access) -> Iterator[Notice]:
    """The caller's own that work and do so for a week at most, be it by their expiry or by the policy."""
    at = now()
    mine = Token.objects.filter(
        kind=Kind.PERSONAL, owner_user=by.user, organization__in=by.organization_ids()
    )
    alive = mine.filter(status=Token.Status.ACTIVE, expired_at=None).select_related("organization")
    soon = ends.with_ends(alive).filter(ends_at__gt=at, ends_at__lte=at + words.SOON)
    ending = list(soon.order_by("ends_at")[:MOST_COUNTED])
    if ending:
        many = "1 token of yours ends" if len(ending) == 1 else f"{_count(len(ending))} tokens of yours end"
        mine_listed = f"{reverse('admin:tokens_token_changelist')}?owner=me"
        rows = [linked(token, f"{token.name}, {_end(token)}") for token in ending[:NEWEST]]
        yield Notice(f"{many} within {words.SOON.days} days.", Cell("Your tokens", mine_listed), rows)


def offered_approvals(by: Access) -> Iterator[Notice]:
    """To owners: high risk could be approved by somebody else, for by the policy there is somebody."""
    owned = Membership.objects.active().filter(user=by.user, role=Membership.Role.OWNER)
    organizations = Organization.objects.filter(pk__in=owned.values("organization"))
    for organization, able in members_who_decide_in(organizations).items():
        if len(able) >= ENOUGH and not policy_of(organization).approvals_for(Risk.HIGH):
            yield Notice(
                f"In {organization} tokens of high risk need nobody’s approval. There is somebody now who could give "
                "it: let the policy ask for one.",
                Cell("Policy", reverse("admin:fleets_organization_policy", args=[organization.pk])),
            )


def _end(token: Token) -> str:
    end = words.end_of(token)
    return end.text + (" by the organization’s policy" if end.by_policy else "")


def _count(number: int) -> str:
    return f"{number - 1} and more" if number == MOST_COUNTED else str(number)


cast(Site, admin.site).notices += [decisions, ending_tokens, offered_approvals]
