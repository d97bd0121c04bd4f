"""Nobody exceeds themselves, by effect: whatever anybody gains by a change, whoever makes it held before.

Entries and groups take away too (NoAccess, a narrower role further down), so what goes can give. Policy's predicates
say who may change something; this says, inside the verb, whether what came of it was theirs to give.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from config.edge.access import Access
from config.edge.refusals import Refused
from fleets import currency, holdings
from fleets.authority import NONE, exceeding
from fleets.consequences import RightsChange
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
def watched(organization_id: UUID, affected: Iterable[User]) -> Iterator[RightsChange]:
    """What these hold before and after what is done inside. Who is suspended counts as if they were not: who resumes
    them looks at nothing of this."""
    affected = list(affected)
    change = RightsChange(organization_id, holdings.rights_but_for_suspension(affected, organization_id))
    yield change
    change.after = holdings.rights_but_for_suspension(affected, organization_id)


@contextmanager
def none_beyond(by: Access, organization_id: UUID, affected: Iterable[User]) -> Iterator[None]:
    """Refuse what is done inside where it gives one of these a scope at a path that the caller did not hold there
    before."""
    if by.is_operator:
        yield
        return
    with judged(by, organization_id, affected):
        yield


@contextmanager
def judged(by: Access, organization_id: UUID, affected: Iterable[User]) -> Iterator[RightsChange]:
    """As `none_beyond`, for who also tells what they hold before and after, whoever does it."""
    held = by.rights(organization_id)
    with watched(organization_id, affected) as change:
        yield change
    for user_id, rights in change.after.items():
        if beyond := exceeding(rights, change.before[user_id], held):
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


def named_by(entries: QuerySet[AclEntry]) -> Q:
    """Users in whose rights these entries have a part, be it by a group of theirs."""
    groups = entries.exclude(group=None).values("group")
    return Q(pk__in=entries.exclude(user=None).values("user")) | of_groups(groups)


def of_groups(groups: Any) -> Q:
    """Users who belong to one of these groups now, or stand for it."""
    members = GroupMembership.objects.present().filter(group__in=groups)
    return Q(pk__in=members.values("user")) | Q(technical__group__in=groups)


def _met_between(old: str, new: str, fleet: Fleet) -> QuerySet[User]:
    """Those who can hold more at the one path than at the other: whom the fleet there lets in, and whom entries name
    that are above only one of the two. What is above both reaches both."""
    between = AclEntry.objects.filter(
        organization=fleet.organization_id, path__in=set(ancestors(old)) ^ set(ancestors(new))
    )
    of_fleet = Q(pk__in=fleet.memberships.present().values("user")) | Q(technical__fleet=fleet)
    users: QuerySet[User] = User.objects.filter(of_fleet | named_by(between))
    return users
