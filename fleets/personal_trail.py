"""Events about a person rather than an organization's thing: signing in, sessions, passwords."""

from dataclasses import replace
from uuid import UUID

from django.db import transaction

from audit.actions import Action, Outcome
from audit.trail import HasActor, Target, record
from config.edge.access import ANONYMOUS, Actor
from fleets.models import Membership, User


class Stranger:
    """Who is not signed in, as verbs and the trail see them."""

    actor: Actor = ANONYMOUS
    on_behalf_of: Actor | None = None

    def refresh(self) -> None:
        """There is nothing to read again."""


def tell(
    action: Action,
    user: User | None,
    *,
    by: HasActor,
    outcome: Outcome = Outcome.ALLOWED,
    reason: str = "",
) -> None:
    """One event in each organization of the person, for its auditors; a single one without, where there is none."""
    target = user.audit_target() if user else Target("person", "", "unknown")
    present = Membership.objects.present().filter(user=user).order_by("organization_id")
    organization_ids: list[UUID | None] = (
        list(present.values_list("organization_id", flat=True)) if user else []
    )
    with transaction.atomic():
        for organization_id in organization_ids or [None]:
            about = replace(target, organization_id=organization_id)
            record(action, by=by, target=about, outcome=outcome, reason=reason)
