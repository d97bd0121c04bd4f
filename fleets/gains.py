"""Nobody exceeds themselves, by effect: whatever anybody gains by a change, whoever makes it held before.

Entries and groups take away too (NoAccess, a narrower role further down), so what goes can give. Policy's predicates
say who may change something; this says, inside the verb, whether what came of it was theirs to give.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from config.edge.access import Access
from config.edge.refusals import Refused
from fleets import currency, holdings
from fleets.authority import exceeding
from fleets.models import Organization, User


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
            raise Refused(
                f"This would give {scope} on {path}, which you do not hold there.", code="exceeds_your_rights"
            )
