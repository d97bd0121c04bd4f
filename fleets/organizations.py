"""Organizations and what they own: open, rename, set policy; open fleets and groups; entries for users and groups."""

from typing import Any, TypeVar

from django.db import IntegrityError, transaction

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.refusals import Conflict, Invalid, require
from fleets import currency, places, policy
from fleets.authority import ROLE_SCOPES, Role
from fleets.holdings import rights_of
from fleets.models import AclEntry, Fleet, Group, Membership, Organization, User
from fleets.organization_policy import parsed, policy_of
from fleets.paths import ROOT
from fleets.scopes import Scope

Owned = TypeVar("Owned", Fleet, Group)


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


@verb(Action.FLEET_OPENED)
def open_fleet(organization: Organization, *, slug: str, name: str, by: Access) -> Fleet:
    require(policy.may_open_owner(by, organization), "You may not open fleets here.")
    return _open(Fleet(organization=organization, slug=slug, name=name), Action.FLEET_OPENED, by)


@verb(Action.GROUP_OPENED)
def open_group(organization: Organization, *, slug: str, name: str, by: Access) -> Group:
    require(policy.may_open_owner(by, organization), "You may not open groups here.")
    return _open(Group(organization=organization, slug=slug, name=name), Action.GROUP_OPENED, by)


@verb(Action.FLEET_CHANGED)
def rename_fleet(fleet: Fleet, *, name: str, by: Access) -> None:
    require(policy.may_take_fleet_role(by, fleet), "You may not change this fleet.")
    _rename(fleet, name, Action.FLEET_CHANGED, by)


@verb(Action.GROUP_CHANGED)
def rename_group(group: Group, *, name: str, by: Access) -> None:
    require(policy.may_take_group_role(by, group), "You may not change this group.")
    _rename(group, name, Action.GROUP_CHANGED, by)


@verb(Action.ENTRY_SET)
def set_entry(
    organization: Organization,
    *,
    path: str,
    role: str,
    propagate: bool = True,
    user: User | None = None,
    group: Group | None = None,
    by: Access,
) -> AclEntry:
    """Give a user or a group a role at a path. Conflict where they have an entry there."""
    currency.lock(organization)  # registering a machine looks for entries on the path of its vmid
    path = places.resolved(organization.pk, path)
    if role not in ROLE_SCOPES:
        raise Invalid.field("role", "There is no such role.", "unknown_role")
    may = policy.may_set_entry(by, organization, path, role, propagate=propagate, to_group=group is not None)
    require(may, "You may not give this role there.")
    if user and user.is_person and not user.memberships.present().filter(organization=organization).exists():
        raise Invalid.field("user", "Not a member of the organization.")
    entry = AclEntry(
        organization=organization, path=path, role=role, propagate=propagate, user=user, group=group
    )
    try:
        with transaction.atomic():
            entry.save(force_insert=True)
    except IntegrityError:
        raise Conflict("There is an entry of this subject at this path.", code="entry_exists") from None
    currency.raise_(organization, *([user] if user else []))
    subject = user.username if user else f"group:{group.slug}" if group else ""
    data = {"path": path, "role": role, "propagate": propagate, "subject": subject}
    record(Action.ENTRY_SET, by=by, target=entry, data=data)
    return entry


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


def _open(row: Owned, action: Action, by: Access) -> Owned:
    row.full_clean(validate_unique=False, validate_constraints=False)
    _insert(row)
    record(action, by=by, target=row)
    return row


def _insert(row: Organization | Fleet | Group) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        raise Conflict("This slug is taken; slugs are never reused.", code="slug_taken") from None


def _rename(row: Fleet | Group, name: str, action: Action, by: Access) -> None:
    before = row.name
    currency.claim(row, closed_at=None)
    row.name = name
    row.save(update_fields=["name"])
    record(action, by=by, target=row, data={"changes": {"name": [before, name]}})
