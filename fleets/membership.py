"""Who belongs to an organization: join, invite, leave, suspend, resume, change role. And who to its fleets, groups and
applications: one way to join, leave and change role, under a verb for each."""

from typing import Any

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, IllegalMove, Invalid, require
from config.edge.taken import unless_taken
from fleets import consequences, currency, departures, entries, gains, invitations, policy
from fleets.models import (
    AclEntry,
    Application,
    ApplicationMembership,
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    Membership,
    Organization,
    User,
)

AnyBelonging = FleetMembership | GroupMembership | ApplicationMembership
OWNER = Membership.Role.OWNER
NOT_YOURS = "You may not give or take this role."
TAKEN = "This username is taken."


@verb(Action.MEMBER_JOINED)
def join(organization: Organization, *, user: User, role: str, by: Access) -> Membership:
    """Make a person a member. Conflict where they are one; rejoining resurrects nothing of before."""
    _require_not_for_itself(user, by)
    require(policy.may_give_role(by, organization, role), NOT_YOURS)
    if not user.is_person:
        raise Invalid.field("username", "Technical users are not members.")
    membership = Membership(user=user, organization=organization, role=role)
    _insert(membership, "This person is a member already.")
    currency.raise_(user)
    record(Action.MEMBER_JOINED, by=by, target=membership, data={"role": role})
    return membership


@verb(Action.MEMBER_INVITED)
def invite(
    organization: Organization, *, username: str, name: str, email: str = "", role: str, by: Access
) -> Membership:
    """Open an account for a new person, without a password, make them a member and tell them by mail.

    Who has an account is added only where they were a member before, or by who `may_add_known`: an invitation must
    not tell one organization who works for another.
    """
    require(policy.may_give_role(by, organization, role), NOT_YOURS)
    user = User.objects.people().named(username).first()
    if user is None:
        user = User(username=username, name=name, email=email)
        user.set_unusable_password()
        user.full_clean(exclude=["password"], validate_constraints=False)
        _insert(user, TAKEN, "username_taken")
        record(Action.MEMBER_INVITED, by=by, target=organization, data={"username": username})
    else:
        was_here = user.memberships.filter(organization=organization).exists()
        if not (was_here or policy.may_add_known(by)):
            raise Conflict(TAKEN, code="username_taken")
        invitations.readdress(user, email)
        _require_same_address(user, email, by)
    membership = join(organization, user=user, role=role, by=by)
    invitations.welcome(membership, by=by)
    return membership


@verb(Action.MEMBER_LEFT)
def leave(membership: Membership, *, by: Access, reason: str = "") -> None:
    """End a membership, and with it those of fleets, groups and applications, their entries and what lived by it."""
    _lock_organization(membership)
    require(policy.may_end_membership(by, membership), "You may not remove this member.")
    _require_another_owner(membership)
    user = membership.user
    _end(membership)
    for model in (FleetMembership, GroupMembership, ApplicationMembership):
        here = {f"{model.owner_column}__organization": membership.organization_id}
        model.objects.present().filter(user=user, **here).update(left_at=now())
    entries.remove_all(AclEntry.objects.filter(user=user, organization=membership.organization), by)
    currency.raise_(user)
    invitations.end_of(membership, by)
    record(Action.MEMBER_LEFT, by=by, target=membership, reason=reason)
    departures.tell(membership, consequences.member_left(membership, by), by)
    consequences.deciders_lost(membership.organization_id, by)


@verb(Action.MEMBER_SUSPENDED)
def suspend(membership: Membership, *, by: Access, reason: str = "") -> None:
    """Take away what a membership gives, until it is resumed. Their tokens only refuse meanwhile."""
    _lock_organization(membership)
    require(policy.may_take_role(by, membership), NOT_YOURS)
    if membership.left_at or membership.suspended_at:
        raise IllegalMove("This member is suspended already, or has left.")
    _require_another_owner(membership)
    _change(membership, suspended_at=now())
    currency.raise_(membership.user)
    record(Action.MEMBER_SUSPENDED, by=by, target=membership, reason=reason)
    consequences.deciders_lost(membership.organization_id, by)


@verb(Action.MEMBER_RESUMED)
def resume(membership: Membership, *, by: Access) -> None:
    """Give back what a suspended membership gave."""
    _require_not_for_itself(membership.user, by)
    require(policy.may_give_role(by, membership.organization, membership.role), NOT_YOURS)
    if membership.left_at or not membership.suspended_at:
        raise IllegalMove("This member is not suspended.")
    _change(membership, suspended_at=None)
    currency.raise_(membership.user)
    record(Action.MEMBER_RESUMED, by=by, target=membership)


@verb(Action.MEMBER_ROLE_CHANGED)
def change_role(membership: Membership, *, role: str, by: Access) -> None:
    _require_not_for_itself(membership.user, by)
    _lock_organization(membership)
    may = policy.may_take_role(by, membership) and policy.may_give_role(by, membership.organization, role)
    require(may, NOT_YOURS)
    if membership.left_at:
        raise IllegalMove("This member has left.")
    if role != OWNER:
        _require_another_owner(membership)
    before = membership.role
    _change(membership, role=role)
    currency.raise_(membership.user)
    record(Action.MEMBER_ROLE_CHANGED, by=by, target=membership, data={"changes": {"role": [before, role]}})
    consequences.deciders_lost(membership.organization_id, by)


# Fleets, groups and applications


@verb(Action.FLEET_MEMBER_JOINED)
def join_fleet(fleet: Fleet, *, user: User, role: str, by: Access) -> FleetMembership:
    membership = FleetMembership(fleet=fleet, user=user, role=role)
    _join(membership, role, Action.FLEET_MEMBER_JOINED, by)
    return membership


@verb(Action.FLEET_MEMBER_LEFT)
def leave_fleet(membership: FleetMembership, *, by: Access) -> None:
    """End a fleet membership: at their next call a person's own tokens no longer reach the fleet."""
    _leave(membership, Action.FLEET_MEMBER_LEFT, by)


@verb(Action.FLEET_MEMBER_ROLE_CHANGED)
def change_fleet_role(membership: FleetMembership, *, role: str, by: Access) -> None:
    _change_role(membership, role, Action.FLEET_MEMBER_ROLE_CHANGED, by)


@verb(Action.GROUP_MEMBER_JOINED)
def join_group(group: Group, *, user: User, role: str, by: Access) -> GroupMembership:
    membership = GroupMembership(group=group, user=user, role=role)
    _join(membership, role, Action.GROUP_MEMBER_JOINED, by)
    return membership


@verb(Action.GROUP_MEMBER_LEFT)
def leave_group(membership: GroupMembership, *, by: Access) -> None:
    _leave(membership, Action.GROUP_MEMBER_LEFT, by)


@verb(Action.GROUP_MEMBER_ROLE_CHANGED)
def change_group_role(membership: GroupMembership, *, role: str, by: Access) -> None:
    _change_role(membership, role, Action.GROUP_MEMBER_ROLE_CHANGED, by)


@verb(Action.APPLICATION_MEMBER_JOINED)
def join_application(
    application: Application, *, user: User, role: str = ApplicationMembership.Role.OWNER, by: Access
) -> ApplicationMembership:
    """Make a person one of an application's owners: its tokens are theirs to manage, in their session."""
    membership = ApplicationMembership(
        application=application, user=user, role=ApplicationMembership.Role(role)
    )
    _join(membership, role, Action.APPLICATION_MEMBER_JOINED, by)
    return membership


@verb(Action.APPLICATION_MEMBER_LEFT)
def leave_application(membership: ApplicationMembership, *, by: Access) -> None:
    """End an ownership. The last owner may go too: then those who manage the organization's tokens are left."""
    _leave(membership, Action.APPLICATION_MEMBER_LEFT, by)


def _join(membership: AnyBelonging, role: str, action: Action, by: Access) -> None:
    owner, user = membership.owner, membership.user
    _require_not_for_itself(user, by)
    gains.queue(owner.organization, by)
    require(policy.may_give_role_of(by, owner, role), NOT_YOURS)
    currency.lock_open(owner)
    _require_member(user, owner.organization_id)
    with gains.none_beyond(by, owner.organization_id, [user]):
        _insert(membership, f"This person belongs to the {owner._meta.verbose_name} already.")
    currency.raise_(user)
    record(action, by=by, target=membership, data={"role": role})
    if isinstance(owner, Group):  # whose entries may deny
        consequences.deciders_lost(owner.organization_id, by)


def _leave(membership: AnyBelonging, action: Action, by: Access) -> None:
    gains.queue(membership.owner.organization, by)
    require(policy.may_leave_or_be_removed(by, membership), NOT_YOURS)
    with gains.none_beyond(by, membership.organization_id, [membership.user]):  # a group's entries deny, too
        _end(membership)
    currency.raise_(membership.user)
    record(action, by=by, target=membership)


def _change_role(
    membership: FleetMembership | GroupMembership, role: str, action: Action, by: Access
) -> None:
    _require_not_for_itself(membership.user, by)
    gains.queue(membership.owner.organization, by)
    require(policy.may_give_role_of(by, membership.owner, role), NOT_YOURS)
    currency.lock_open(membership.owner)
    before = membership.role
    with gains.none_beyond(by, membership.organization_id, [membership.user]):
        _change(membership, role=role)
    currency.raise_(membership.user)
    record(action, by=by, target=membership, data={"changes": {"role": [before, role]}})


# What they share


def _require_not_for_itself(user: User, by: Access) -> None:
    """A token gives no role to its principal or to who made it, whatever it may give to others."""
    require(
        user.pk not in by.behind,
        "A token gives no roles to its principal or to who made it.",
        "writes_for_itself",
    )


def _require_same_address(user: User, email: str, by: Access) -> None:
    """Whoever names an address means the person who reads there; the first link must go to nobody else.

    Of somebody who has been in, who may not add known people learns nothing by it: their address is not used.
    """
    if not email or email.casefold() == user.email.casefold():
        return
    if policy.may_add_known(by) or not user.has_usable_password():
        raise Conflict("This account has another mail address.", code="address_differs")


def _lock_organization(membership: Membership) -> None:
    """Departures and demotions queue here, so that two owners can't go at the same time."""
    currency.lock(membership.organization)


def _require_another_owner(membership: Membership) -> None:
    if membership.role != OWNER:
        return
    others = Membership.objects.active().filter(organization=membership.organization_id, role=OWNER)
    if not others.exclude(pk=membership.pk).exists():
        raise Conflict("An organization keeps at least one owner.", code="last_owner")


def _require_member(user: User, organization_id: Any) -> None:
    """Locks the membership, so that a departure under way is waited for."""
    if (
        not Membership.objects.select_for_update(no_key=True)
        .active()
        .filter(user=user, organization=organization_id)
        .exists()
    ):
        raise Invalid.field("username", "Not an active member of the organization.")


def _insert(row: User | Membership | AnyBelonging, taken: str, code: str = "already_member") -> None:
    """Conflict where another was faster than the check before."""
    with unless_taken(taken, code):
        row.save(force_insert=True)


def _end(membership: Membership | AnyBelonging) -> None:
    """Claim the row as one that has not ended, and end it."""
    if membership.left_at:
        raise IllegalMove("This membership has ended.")
    currency.claim(membership, left_at=None)
    membership.left_at = now()
    membership.save(update_fields=["left_at"])


def _change(membership: Membership | AnyBelonging, **changes: Any) -> None:
    if membership.left_at:
        raise IllegalMove("This membership has ended.")
    currency.claim(membership, left_at=None)
    for name, value in changes.items():
        setattr(membership, name, value)
    membership.save(update_fields=list(changes))
