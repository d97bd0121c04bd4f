"""The estate: who there is, and what there is to reach.

Users and estate rows are never deleted by SQL: people leave, things close. Every row but a user belongs to exactly one
organization. Verbs are in membership, organizations, owners and machines; rights in authority and holdings.
"""

from fleets.models.entrance import Invitation, SignedInSession, SignedInSessionQuerySet
from fleets.models.machines import (
    Image,
    InventoryItem,
    Machine,
    MachineAction,
    MachineQuerySet,
    MachineTag,
    MachineTemplate,
    Network,
    no_configuration,
)
from fleets.models.owners import (
    Application,
    ApplicationMembership,
    Belonging,
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    OwnedByOrganization,
    TechnicalUser,
)
from fleets.models.people import (
    DECIDING_ROLES,
    NAME,
    SLUG,
    Membership,
    MembershipQuerySet,
    Organization,
    User,
    UserManager,
    UserQuerySet,
)
from fleets.models.rules import AccessRule, AclEntry, OrganizationRole

__all__ = [
    "DECIDING_ROLES",
    "NAME",
    "SLUG",
    "AccessRule",
    "AclEntry",
    "Application",
    "ApplicationMembership",
    "Belonging",
    "Fleet",
    "FleetMembership",
    "Group",
    "GroupMembership",
    "Image",
    "InventoryItem",
    "Invitation",
    "Machine",
    "MachineAction",
    "MachineQuerySet",
    "MachineTag",
    "MachineTemplate",
    "Membership",
    "MembershipQuerySet",
    "Network",
    "Organization",
    "OrganizationRole",
    "OwnedByOrganization",
    "SignedInSession",
    "SignedInSessionQuerySet",
    "TechnicalUser",
    "User",
    "UserManager",
    "UserQuerySet",
    "no_configuration",
]
