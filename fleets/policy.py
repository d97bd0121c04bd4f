"""Who may do what to the estate. Each predicate is one rule in words; verbs enforce them, edges ask what to show."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Model

from config.edge.access import Access
from fleets.authority import (
    Entry,
    Holding,
    PrincipalRights,
    Role,
    exceeding,
    fleet_holdings,
    group_holdings,
    organization_holdings,
)
from fleets.holdings import entries_of_group, entries_of_technical_users
from fleets.models import (
    AclEntry,
    Application,
    Belonging,
    Fleet,
    Group,
    Image,
    Invitation,
    Machine,
    MachineTemplate,
    Membership,
    Network,
    Organization,
    OwnedByOrganization,
    TechnicalUser,
)
from fleets.paths import ROOT
from fleets.roles import book
from fleets.scopes import Scope

RULED_BY_OWNERS = {Membership.Role.OWNER, Membership.Role.ADMIN}
MANAGED_BY: dict[type[Model], Scope] = {
    MachineTemplate: Scope.TEMPLATES_MANAGE,
    Network: Scope.NETWORKS_MANAGE,
    Image: Scope.IMAGES_MANAGE,
}


def may_open_organization(by: Access) -> bool:
    """A superuser in their browser session, or the operator."""
    return by.is_operator or (by.is_browser_session and by.user.is_superuser)


def may_add_known(by: Access) -> bool:
    """Who works elsewhere is added by who sees every organization: a superuser in their session, or the operator."""
    return may_open_organization(by)


def may_change_organization(by: Access, organization: Organization) -> bool:
    """Who manages its permissions at the root, in their own browser session: never a token."""
    return (by.is_operator or by.is_browser_session) and manages_permissions(by, ROOT, organization)


def may_set_policy(by: Access, organization: Organization) -> bool:
    """As its settings: in a person's own browser session only."""
    return may_change_organization(by, organization)


def may_open_owner(by: Access, organization: Organization) -> bool:
    """Fleets, groups, applications are opened, technical users made and removed, by who manages permissions at
    the root. Closing is `may_close`."""
    return manages_permissions(by, ROOT, organization)


def may_see_people(by: Access, path: str, organization_id: UUID) -> bool:
    """People's names are for the people of the organization in their own session, and for tokens that manage
    permissions at the path; never for a fleet's tokens."""
    if by.is_operator or by.is_browser_session:
        return organization_id in by.organization_ids()
    of_fleet = (
        by.user is not None and TechnicalUser.objects.filter(user=by.user, fleet__isnull=False).exists()
    )
    return not of_fleet and by.permits(Scope.PERMISSIONS_MANAGE, path, organization_id)


def may_give_role(by: Access, organization: Organization, role: str) -> bool:
    """Owners and admins are made by an owner in their session; else who manages permissions and holds all it gives."""
    if role in RULED_BY_OWNERS:
        return is_owner_in_session(by, organization)
    return manages_permissions(by, ROOT, organization) and lacks_nothing_of(
        by, organization.pk, organization_holdings(role)
    )


def may_take_role(by: Access, membership: Membership) -> bool:
    """Suspend, demote, remove: owners and admins only by an owner's session, others by who manages permissions."""
    if membership.role in RULED_BY_OWNERS:
        return is_owner_in_session(by, membership.organization)
    return manages_permissions(by, ROOT, membership.organization)


def may_end_membership(by: Access, membership: Membership) -> bool:
    """People leave by themselves, in their browser session, or are removed by who may take their role."""
    return is_themselves(by, membership) or may_take_role(by, membership)


def may_handle_invitation(by: Access, invitation: Invitation) -> bool:
    """Renew or withdraw it: who may take the role of the member who was invited. For who left, the state refuses."""
    present = Membership.objects.present().select_related("organization")
    member = present.filter(user=invitation.user_id, organization=invitation.organization_id).first()
    return may_take_role(by, member) if member else manages_permissions(by, ROOT, invitation.organization)


def may_give_role_of(by: Access, owner: OwnedByOrganization, role: str) -> bool:
    """Of a fleet, group or application: who takes its roles, and holds all that this one gives, wherever it does."""
    return may_take_role_of(by, owner) and lacks_nothing_of(by, owner.organization_id, gift_of(owner, role))


def may_take_role_of(by: Access, owner: OwnedByOrganization) -> bool:
    """Who manages permissions at a fleet; at the root for groups and applications."""
    return by.permits(Scope.PERMISSIONS_MANAGE, place_of(owner), owner.organization_id)


def may_close(by: Access, owner: OwnedByOrganization) -> bool:
    """Who manages permissions at the root, for a fleet too: what it holds ends with it."""
    return by.permits(Scope.PERMISSIONS_MANAGE, ROOT, owner.organization_id)


def may_leave_or_be_removed(by: Access, membership: Belonging) -> bool:
    """People leave by themselves, in their browser session, or are removed by who takes the roles there."""
    return is_themselves(by, membership) or may_take_role_of(by, membership.owner)


def place_of(owner: OwnedByOrganization) -> str:
    """Where its roles are ruled."""
    return owner.path if isinstance(owner, Fleet) else ROOT


def gift_of(owner: OwnedByOrganization, role: str) -> list[Holding]:
    """What a role of it leads to: a fleet's what it gives there; a group's also what its entries say; an application's
    owners hold nothing by it, but get secrets with which its technical users' rights are used."""
    if isinstance(owner, Fleet):
        return [*fleet_holdings(role, owner.slug)]
    if isinstance(owner, Group):
        entries = entries_of_group(owner)
        return [*group_holdings(role, entries), *_as_holdings(entries)]
    assert isinstance(owner, Application)
    return _as_holdings(entries_of_technical_users(owner))


def may_rule_roles(by: Access, organization: Organization, scopes: Iterable[Scope]) -> bool:
    """Make, change, remove a role: as the organization's settings, by who holds all that it gives, everywhere."""
    gift = Holding(ROOT, frozenset(scopes))
    return may_change_organization(by, organization) and lacks_nothing_of(by, organization.pk, [gift])


def may_set_entry(
    by: Access,
    organization: Organization,
    path: str,
    role: str,
    *,
    propagate: bool = True,
    to_group: bool = False,
) -> bool:
    """Who manages permissions at the path and holds all that the role gives, there and as far as it reaches.

    An entry that names a group gives its admins GroupAdmin there, whatever role it says.
    """
    given = [role] if role == Role.NO_ACCESS or not to_group else [role, Role.GROUP_ADMIN]
    roles = book(organization.pk, given)
    gifts = [Holding(path, roles.scopes(name, path), propagate) for name in given]
    return manages_permissions(by, path, organization) and lacks_nothing_of(by, organization.pk, gifts)


def may_take_entry(by: Access, entry: AclEntry) -> bool:
    """Who manages permissions at its path. What is uncovered when it goes is judged by effect."""
    return manages_permissions(by, entry.path, entry.organization)


def may_see_entries(by: Access, path: str, organization_id: UUID) -> bool:
    """Who manages permissions at the root sees all of them, else at the paths where they do."""
    rights = by.rights(organization_id)
    return Scope.PERMISSIONS_MANAGE in rights.at(ROOT) | rights.at(path)


def may_register(by: Access, fleet: Fleet) -> bool:
    """Who holds machines:write at the fleet."""
    return by.permits(Scope.MACHINES_WRITE, fleet.path, fleet.organization_id)


def may_write(by: Access, machine: Machine) -> bool:
    """Retag, move, deregister: who holds machines:write at the machine."""
    return by.permits(Scope.MACHINES_WRITE, machine.path, machine.organization_id)


def may_configure(by: Access, machine: Machine) -> bool:
    """Who holds machines:configure at the machine."""
    return by.permits(Scope.MACHINES_CONFIGURE, machine.path, machine.organization_id)


def may_operate(by: Access, machine: Machine) -> bool:
    """Who holds machines:operate at the machine."""
    return by.permits(Scope.MACHINES_OPERATE, machine.path, machine.organization_id)


def may_manage_inventory(by: Access, kind: type[Model], organization: Organization) -> bool:
    """See, add, change and remove templates, networks, images: who holds the scope of that kind at the root."""
    return by.permits(MANAGED_BY[kind], ROOT, organization.pk)


def manages_permissions(by: Access, path: str, organization: Organization) -> bool:
    return by.permits(Scope.PERMISSIONS_MANAGE, path, organization.pk)


def is_themselves(by: Access, membership: Any) -> bool:
    """A person about their own membership, in their browser session."""
    return by.is_browser_session and by.user is not None and by.user.pk == membership.user_id


def lacks_nothing_of(by: Access, organization_id: UUID, gift: Iterable[Holding]) -> bool:
    """Nobody exceeds themselves: whoever gives this holds each scope of it on each path where it would be held."""
    return not exceeding(PrincipalRights(tuple(gift)), by.rights(organization_id))


def is_owner_in_session(by: Access, organization: Organization) -> bool:
    """An owner of the organization in their own browser session, or the operator."""
    if by.is_operator:
        return True
    if not by.is_browser_session:
        return False
    owners = Membership.objects.active().filter(organization=organization, role=Membership.Role.OWNER)
    return owners.filter(user=by.user).exists()


def _as_holdings(entries: Iterable[Entry]) -> list[Holding]:
    return [Holding(entry.path, entry.scopes, entry.propagate) for entry in entries]
