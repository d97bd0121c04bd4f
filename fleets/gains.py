"""Nobody exceeds themselves, by effect: whatever anybody gains by a change, whoever makes it held before.

Entries and groups take away too (NoAccess, a narrower role further down), so what goes can give. Policy's predicates
say who may change something; this says, inside the verb, whether what came of it was theirs to give.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db.models import Q, QuerySet

from config.edge.access import Access
from config.edge.refusals import Refused
from fleets import currency, holdings
from fleets.authority import NONE, exceeding
from fleets.models import AclEntry, Fleet, GroupMembership, Machine, Organization, User
from fleets.paths import ancestors, machine_path

CODE = "exceeds_your_rights"


def queue(organization: Organization, by: Access) -> None:
    """One change of an organization's entries, or of who belongs where, at a time: each is judged by what the others
    left. Registering a machine queues here too, for it looks for entries on the path of its vmid; so do departures.
    """
    currency.lock(organization)
    by.refresh()


@contextmanager
def none_beyond(by: Access, organization_id: UUID, affected: Iterable[User]) -> Iterator[None]:
    """Refuse what is done inside where it gives one of these a scope at a path that the caller did not hold there
    before. Who is suspended counts as if they were not: who resumes them looks at nothing of this.
    """
    if by.is_operator:
        yield
        return
    held, affected = by.rights(organization_id), list(affected)
    before = holdings.rights_but_for_suspension(affected, organization_id)
    yield
    after = holdings.rights_but_for_suspension(affected, organization_id)
    for user_id, rights in after.items():
        if beyond := exceeding(rights, before[user_id], held):
            scope, path = beyond[0]
            raise Refused(f"This would give {scope} on {path}, which you do not hold there.", code=CODE)


@contextmanager
def none_beyond_on(machine: Machine, *, to: Fleet, by: Access) -> Iterator[None]:
    """Refuse the move to a fleet, done inside, by which somebody may do to a machine what neither they nor the caller
    might before; the caller too, whom their own token's rows may let do more there.

    Its path is another one afterwards, and entries on the two sleep and wake: so the machine is compared, not a path.
    """
    if by.is_operator:
        yield
        return
    organization_id, old, new = machine.organization_id, machine.path, machine_path(to.slug, machine.pk)
    held, affected = by.rights(organization_id).at(old), list(_met_between(old, new, to))
    before = holdings.rights_but_for_suspension(affected, organization_id)
    yield
    after = holdings.rights_but_for_suspension(affected, organization_id)
    by.refresh()
    gained = NONE.union(*(rights.at(new) - before[user_id].at(old) for user_id, rights in after.items()))
    if beyond := sorted((gained | by.rights(organization_id).at(new)) - held):
        raise Refused(
            f"This would give {beyond[0]} on the machine, which you do not hold on {old}.", code=CODE
        )


def _met_between(old: str, new: str, fleet: Fleet) -> QuerySet[User]:
    """Those who can hold more at the one path than at the other: whom the fleet there lets in, and whom entries name
    that are above only one of the two. What is above both reaches both."""
    between = AclEntry.objects.filter(
        organization=fleet.organization_id, path__in=set(ancestors(old)) ^ set(ancestors(new))
    )
    groups = between.exclude(group=None).values("group")
    users: QuerySet[User] = User.objects.filter(
        Q(pk__in=fleet.memberships.present().values("user"))
        | Q(pk__in=between.exclude(user=None).values("user"))
        | Q(technical__fleet=fleet)
        | Q(technical__group__in=groups)
        | Q(pk__in=GroupMembership.objects.present().filter(group__in=groups).values("user"))
    )
    return users
