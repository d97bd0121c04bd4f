"""Organizations: open, rename, set policy. What they own is in owners."""

from typing import Any
from uuid import UUID

from audit.actions import Action
from audit.trail import differences, record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.refusals import ChangedMeanwhile, Conflict, require
from config.edge.taken import unless_taken
from fleets import consequences, currency, policy
from fleets.deciders import members_who_decide
from fleets.models import Membership, Organization, User
from fleets.organization_policy import OrganizationPolicy, parsed, policy_of, weakened

NOT_YOUR_POLICY = "You may not change this organization's policy."


@verb(Action.ORGANIZATION_OPENED)
def open_organization(*, slug: str, name: str, owner: User, by: Access) -> Organization:
    """Open an organization with its first owner."""
    require(policy.may_open_organization(by), "Only superusers open organizations.")
    organization = Organization(slug=slug, name=name)
    organization.full_clean(validate_unique=False)
    _insert(organization)
    Membership.objects.create(user=owner, organization=organization, role=Membership.Role.OWNER)
    currency.raise_(owner)
    record(Action.ORGANIZATION_OPENED, by=by, target=organization, data={"owner": owner.username})
    return organization


@verb(Action.ORGANIZATION_CHANGED)
def rename(organization: Organization, *, name: str, by: Access) -> None:
    require(policy.may_change_organization(by, organization), "You may not change this organization.")
    before = organization.name
    currency.claim(organization)
    organization.name = name
    organization.save(update_fields=["name"])
    record(
        Action.ORGANIZATION_CHANGED, by=by, target=organization, data={"changes": {"name": [before, name]}}
    )


@verb(Action.POLICY_CHANGED)
def set_policy(
    organization: Organization, *, changes: dict[str, Any], reason: str = "", by: Access
) -> UUID | None:
    """Change some of the policy; of a weaker one the approval that it waits for, where the old policy asks for one.

    Conflict where more approvals are asked for than there can ever be. What changes nothing is done already.
    """
    version = organization.version
    fresh = currency.lock(organization)
    by.refresh()
    require(policy.may_set_policy(by, fresh), NOT_YOUR_POLICY)
    if fresh.version != version:
        raise ChangedMeanwhile
    before, after = judged(fresh, changes)
    if after == before:
        return None
    if weakened(before, after) and (waits := consequences.policy_weakened(fresh, after, reason, by)):
        return waits
    apply_policy(organization, after=after, reason=reason, by=by)
    return None


def proposed(
    organization: Organization, changes: dict[str, Any], *, by: Access
) -> tuple[OrganizationPolicy, OrganizationPolicy]:
    """The policy before and after changes that could be made: of whoever may not make them they are refused."""
    require(policy.may_set_policy(by, organization), NOT_YOUR_POLICY)
    return judged(organization, changes)


def judged(
    organization: Organization, changes: dict[str, Any]
) -> tuple[OrganizationPolicy, OrganizationPolicy]:
    """As `proposed`, whoever makes them."""
    before = policy_of(organization)
    after = parsed(changes, before=before)
    _require_quorum(organization, before, after)
    return before, after


def apply_policy(
    organization: Organization,
    *,
    after: OrganizationPolicy,
    reason: str = "",
    approval: UUID | None = None,
    by: Access,
) -> None:
    """For verbs that hold the organization's lock and have `judged` it: it holds from now on, and what waits to weaken
    the one before is superseded."""
    before = policy_of(organization)
    currency.claim(organization)
    organization.policy = after.as_json()
    organization.save(update_fields=["policy"])
    data: dict[str, Any] = {"changes": differences(before.as_json(), after.as_json())}
    if approval:
        data["approval"] = str(approval)
    record(Action.POLICY_CHANGED, by=by, target=organization, reason=reason, data=data)
    if after.scope_risks != before.scope_risks:
        consequences.risks_changed(organization, after, reason, by)
    consequences.policy_applied(organization, by)
    if before.deciders - after.deciders:
        consequences.deciders_lost(organization.pk, by)


@verb(Action.ORGANIZATION_CHANGED)
def change(
    organization: Organization,
    *,
    name: str | None = None,
    policy: dict[str, Any] | None = None,
    reason: str = "",
    by: Access,
) -> UUID | None:
    """Rename, set policies, or both at once; the approval that the policy waits for, if it does."""
    if name is not None:
        rename(organization, name=name, by=by)
    return None if policy is None else set_policy(organization, changes=policy, reason=reason, by=by)


def _require_quorum(
    organization: Organization, before: OrganizationPolicy, after: OrganizationPolicy
) -> None:
    """Nobody decides on their own request: it takes one more than the approvals asked for. Asked where that grows."""
    needed = after.most_approvals
    is_harder = needed > before.most_approvals or bool(before.deciders - after.deciders)
    is_harder = is_harder or (before.self_approval and not after.self_approval)
    if not needed or not is_harder:
        return
    able = len(members_who_decide(organization, after))
    if able < needed + (not after.self_approval):
        raise Conflict(
            f"{needed} approvals need at least {needed + (not after.self_approval)} people who may decide; "
            f"there are {able}.",
            code="approvers_missing",
        )


def _insert(organization: Organization) -> None:
    with unless_taken("This slug is taken; slugs are never reused.", "slug_taken"):
        organization.save(force_insert=True)
