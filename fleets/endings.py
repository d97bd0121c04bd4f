"""What ends inside the estate with who leaves, is removed or closes: the entries that name them.

Entries are rules, no estate rows: they are deleted, and the trail keeps what they said. A fleet's path needs nothing:
it is never used again, and entries on it reach nothing any more (places.living).
"""

from audit.actions import Action
from audit.trail import record
from config.edge.access import Access
from fleets.models import AclEntry, Group, Organization, User


def remove_entries_of_user(user: User, organization: Organization, by: Access) -> int:
    """The number of those that there were."""
    rows = AclEntry.objects.filter(user=user, organization=organization)
    return _remove(list(rows.order_by("path")), user.username, by)


def remove_entries_of_group(group: Group, by: Access) -> int:
    return _remove(list(AclEntry.objects.filter(group=group).order_by("path")), f"group:{group.slug}", by)


def _remove(entries: list[AclEntry], subject: str, by: Access) -> int:
    for entry in entries:
        data = {"path": entry.path, "role": entry.role, "propagate": entry.propagate, "subject": subject}
        record(Action.ENTRY_REMOVED, by=by, target=entry, data=data)
        entry.delete()
    return len(entries)
