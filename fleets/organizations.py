"""Organizations: open, rename, set policy. What they own is in owners."""

from typing import Any

from django.db import IntegrityError, transaction

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.refusals import Conflict, require
from fleets import currency, policy
from fleets.authority import Role
from fleets.holdings import rights_of
from fleets.models import AclEntry, Membership, Organization, User
from fleets.organization_policy import parsed, policy_of
from fleets.paths import ROOT
from fleets.scopes import Scope


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
def set_policy(organization: Organization, *, changes: dict[str, Any], by: Access) -> None:
    """Change some of the policy. Conflict where more approvals are asked for than there can ever be."""
    require(policy.may_set_policy(by, organization), "You may not change this organization's policy.")
    before = policy_of(organization)
    after = parsed(changes, before=before)
    if max(after.approvals_needed) > max(before.approvals_needed):
        _require_quorum(organization, max(after.approvals_needed))
    currency.claim(organization)
    organization.policy = after.as_json()
    organization.save(update_fields=["policy"])
    data = {"changes": {"policy": [before.as_json(), after.as_json()]}}
    record(Action.POLICY_CHANGED, by=by, target=organization, data=data)


@verb(Action.ORGANIZATION_CHANGED)
def change(
    organization: Organization, *, name: str | None = None, policy: dict[str, Any] | None = None, by: Access
) -> None:
    """Rename, set policies, or both at once."""
    if name is not None:
        rename(organization, name=name, by=by)
    if policy is not None:
        set_policy(organization, changes=policy, by=by)


def _require_quorum(organization: Organization, needed: int) -> None:
    """Nobody decides on their own request: it takes one more than the approvals asked for."""
    able = Membership.objects.active().deciding().filter(organization=organization)
    deciders = User.objects.active().people().filter(pk__in=able.values("user"))
    count = deciders.count()
    if AclEntry.objects.filter(organization=organization, path=ROOT, role=Role.NO_ACCESS).exists():
        rights = [
            rights_of(user, organization.pk) for user in deciders
        ]  # seldom: the walk says who is denied
        count = sum(Scope.APPROVALS_DECIDE in held.at(ROOT) for held in rights)
    if count <= needed:
        raise Conflict(
            f"{needed} approvals need at least {needed + 1} people who may decide; there are {count}.",
            code="approvers_missing",
        )


def _insert(organization: Organization) -> None:
    try:
        with transaction.atomic():
            organization.save(force_insert=True)
    except IntegrityError:
        raise Conflict("This slug is taken; slugs are never reused.", code="slug_taken") from None
