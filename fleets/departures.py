"""Who is told of a departure by mail, and of what it ended: who left, and the owners and admins who stay."""

from typing import Any

from django.db.models import QuerySet

from config.edge.access import Access
from fleets import mail
from fleets.models import Membership
from fleets.policy import RULED_BY_OWNERS

LISTED = 50  # names of tokens that a mail lists


def tell(membership: Membership, ended: list[str], by: Access) -> None:
    """Owe the mails, in the verb that ends the membership. `ended`: the names of the tokens that went with it."""
    about = {
        "membership": str(membership.pk),
        "tokens": sorted(ended)[:LISTED],
        "count": len(ended),
        "by": "" if by.user == membership.user else by.actor.label,
    }
    if membership.user.email:
        mail.owe("left", **about)
    for each in _in_charge(membership).exclude(user__email=""):
        mail.owe("member_left", reader=str(each.pk), **about)


@mail.writer("left")
def _to_who_left(payload: dict[str, Any]) -> mail.Letter | None:
    membership = _ended(payload)
    return mail.Letter(membership.user.email, _values(membership, payload)) if membership else None


@mail.writer("member_left")
def _to_who_stays(payload: dict[str, Any]) -> mail.Letter | None:
    membership = _ended(payload)
    reader = _in_charge(membership).filter(pk=payload["reader"]).first() if membership else None
    if membership is None or reader is None:
        return None
    values = _values(membership, payload) | {"name": str(reader.user), "who": str(membership.user)}
    return mail.Letter(reader.user.email, values)


def _values(membership: Membership, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": str(membership.user),
        "username": membership.user.username,
        "organization": membership.organization.name,
        "at": membership.left_at,
        "by": payload["by"],
        "tokens": payload["tokens"],
        "count": payload["count"],
        "more": payload["count"] - len(payload["tokens"]),
    }


def _ended(payload: dict[str, Any]) -> Membership | None:
    rows = Membership.objects.select_related("user", "organization")
    return rows.filter(pk=payload["membership"]).first()


def _in_charge(membership: Membership) -> QuerySet[Membership]:
    """The other owners and admins of the organization."""
    rows = Membership.objects.active().filter(
        organization=membership.organization_id, role__in=RULED_BY_OWNERS
    )
    return rows.exclude(user=membership.user_id).select_related("user").order_by("pk")
