"""What is done to the roles of an organization's own: add, change, remove. What one gives is for `roles`."""

from dataclasses import replace

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, IllegalMove, Invalid, require
from config.edge.taken import unless_taken
from fleets import consequences, currency, gains, policy, roles
from fleets.models import AclEntry, Organization, OrganizationRole, User
from fleets.scopes import PERSONAL_ONLY, Scope

NOT_YOURS = "Roles are for who manages permissions everywhere and holds all that the role gives, in their own session."


@verb(Action.ROLE_ADDED)
def add(organization: Organization, *, name: str, scopes: frozenset[Scope], by: Access) -> OrganizationRole:
    """Make a role. Conflict where there is one of this name, built in ones included, or was."""
    require(policy.may_rule_roles(by, organization, scopes), NOT_YOURS)
    _require_possible(scopes)
    role = OrganizationRole(organization=organization, name=name, scopes=sorted(scopes))
    role.full_clean(validate_unique=False, validate_constraints=False)
    if roles.is_reserved(name):
        raise Conflict("This is the name of a built-in role.", code="name_taken")
    with unless_taken("There is, or was, a role of this name.", "name_taken"):
        role.save(force_insert=True)
    record(Action.ROLE_ADDED, by=by, target=role, data={"scopes": role.scopes})
    return role


@verb(Action.ROLE_CHANGED)
def change(role: OrganizationRole, *, scopes: frozenset[Scope], by: Access) -> None:
    """Give a role other scopes. It holds at once wherever the role is named, in a token's rows up to its ceiling.

    The event names the live tokens that may do more by it: by a row of theirs, or an entry of whom they act as.
    """
    organization = currency.lock(role.organization)
    by.refresh()
    before = roles.scopes_of(role)
    require(policy.may_rule_roles(by, organization, before | scopes), NOT_YOURS)
    _require_possible(scopes)
    currency.raise_(organization)
    _claim(role)
    named = AclEntry.objects.filter(organization=organization, role=role.name)
    with gains.watched(organization.pk, User.objects.filter(gains.named_by(named))) as change:
        role.scopes = sorted(scopes)
        role.save(update_fields=["scopes"])
    of_role = replace(change, role=role.name, gave=before)
    data = {
        "changes": {"scopes": [sorted(before), role.scopes]},
        **consequences.rights_changed(of_role),
    }
    record(Action.ROLE_CHANGED, by=by, target=role, data=data)


@verb(Action.ROLE_REMOVED)
def remove(role: OrganizationRole, *, by: Access) -> None:
    """End a role; Conflict while an entry or a token's row names it."""
    organization = currency.lock(role.organization)  # setting an entry queues here
    by.refresh()
    require(policy.may_rule_roles(by, organization, roles.scopes_of(role)), NOT_YOURS)
    entries = AclEntry.objects.filter(organization=organization, role=role.name).count()
    tokens = len(consequences.naming_role(organization.pk, role.name))
    if entries or tokens:
        detail = f"Entries that name it: {entries}; tokens: {tokens}. Change or remove these first."
        raise Conflict(detail, code="role_in_use")
    currency.raise_(organization)
    _claim(role)
    role.removed_at = now()
    role.save(update_fields=["removed_at"])
    record(Action.ROLE_REMOVED, by=by, target=role, data={"scopes": role.scopes})


def _require_possible(scopes: frozenset[Scope]) -> None:
    if not scopes:
        raise Invalid.field("scopes", "A role gives at least one scope.", "required")
    if personal := sorted(scopes & PERSONAL_ONLY):
        raise Invalid.field(
            "scopes", f"{personal[0]} comes with what a person is, by no role.", "not_in_roles"
        )


def _claim(role: OrganizationRole) -> None:
    if role.removed_at:
        raise IllegalMove("This role was removed.")
    currency.claim(role, removed_at=None)
