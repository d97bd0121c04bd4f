"""Who may do what to the estate. Each predicate is one rule in words; verbs enforce them, edges ask what to show."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Model

from config.edge.access import Access
from fleets.authority import (
    Holding,
    PrincipalRights,
    Role,
    exceeding,
    fleet_holdings,
    group_holdings,
    organization_holdings,
    role_scopes,
)
from fleets.holdings import entries_of_group
from fleets.models import (
    Fleet,
    Group,
    Image,
    Invitation,
    Machine,
    MachineTemplate,
    Membership,
    Network,
    Organization,
    TechnicalUser,
)
from fleets.paths import ROOT
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
    """Fleets and groups are opened by who manages permissions at the root."""
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
    leaves = by.is_browser_session and by.user is not None and by.user.pk == membership.user_id
    return leaves or may_take_role(by, membership)


def may_handle_invitation(by: Access, invitation: Invitation) -> bool:
    """Renew or withdraw it: who may take the role of the member who was invited. For who left, the state refuses."""
    present = Membership.objects.present().select_related("organization")
    member = present.filter(user=invitation.user_id, organization=invitation.organization_id).first()
    return may_take_role(by, member) if member else manages_permissions(by, ROOT, invitation.organization)


def may_give_fleet_role(by: Access, fleet: Fleet, role: str) -> bool:
    """Who manages permissions at the fleet and holds all that the role gives there and below."""
    gift = fleet_holdings(role, fleet.slug)
    return may_take_fleet_role(by, fleet) and lacks_nothing_of(by, fleet.organization_id, gift)


def may_take_fleet_role(by: Access, fleet: Fleet) -> bool:
    """Who manages permissions at the fleet."""
    return by.permits(Scope.PERMISSIONS_MANAGE, fleet.path, fleet.organization_id)


def may_give_group_role(by: Access, group: Group, role: str) -> bool:
    """Who manages permissions at the root and holds what the group reaches, wherever it does."""
    if not may_take_group_role(by, group):
        return False
    entries = entries_of_group(group)
    gift = [Holding(entry.path, entry.scopes, entry.propagate) for entry in entries]
    return lacks_nothing_of(by, group.organization_id, [*group_holdings(role, entries), *gift])


def may_take_group_role(by: Access, group: Group) -> bool:
    """Who manages permissions at the root."""
    return by.permits(Scope.PERMISSIONS_MANAGE, ROOT, group.organization_id)


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
    gifts = [Holding(path, role_scopes(name, path), propagate) for name in given]
    return manages_permissions(by, path, organization) and lacks_nothing_of(by, organization.pk, gifts)


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
