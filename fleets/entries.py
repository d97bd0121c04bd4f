"""Access entries: a role for a user or a group at a path. Set, change, remove; who may see them.

Nobody exceeds themselves, judged twice: the setter holds what the role says (policy), and by effect whatever anybody
gains, also where an entry that denied or narrowed goes and what is above it counts again. The events name the live
tokens that may do more.
"""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from audit.actions import Action
from audit.trail import differences, record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.refusals import Invalid, Missing, require
from config.edge.taken import unless_taken
from fleets import consequences, currency, gains, places, policy
from fleets.models import AclEntry, Group, GroupMembership, Organization, TechnicalUser, User
from fleets.paths import ROOT
from fleets.roles import book

NOT_THERE = "You may not give this role there."


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
    gains.queue(organization, by)
    path = places.canonical(organization.pk, path)
    _require_role(organization, role)
    entry = AclEntry(
        organization=organization, path=path, role=role, propagate=propagate, user=user, group=group
    )
    _require_not_for_itself(entry, by)
    _require_may_set(entry, by)
    places.require_living(organization.pk, path)  # asked last: who may set nothing there learns nothing of it
    _require_subject(entry)
    with gains.judged(by, entry.organization_id, _affected(entry)) as change:
        _insert(entry)
    _raise(entry)
    data = {**_said(entry), **consequences.rights_changed(change)}
    record(Action.ENTRY_SET, by=by, target=entry, data=data)
    _tell_deciders(entry, by)
    return entry


@verb(Action.ENTRY_CHANGED)
def change_entry(entry: AclEntry, *, changes: dict[str, Any], by: Access) -> None:
    """Change an entry's role, whether it propagates, or both."""
    gains.queue(entry.organization, by)
    before = _said(entry)
    for name, value in changes.items():
        setattr(entry, name, value)
    _require_role(entry.organization, entry.role)
    _require_not_for_itself(entry, by)
    _require_may_set(entry, by)
    places.require_living(entry.organization_id, entry.path)  # where it went dead, it is only taken away
    with gains.judged(by, entry.organization_id, _affected(entry)) as change:
        currency.claim(entry)
        entry.save(update_fields=["role", "propagate"])
    _raise(entry)
    after = _said(entry)
    data = {**after, "changes": differences(before, after), **consequences.rights_changed(change)}
    record(Action.ENTRY_CHANGED, by=by, target=entry, data=data)
    _tell_deciders(entry, by)


@verb(Action.ENTRY_REMOVED)
def remove_entry(entry: AclEntry, *, by: Access) -> None:
    """Take an entry away. Entries are rules, no estate rows: it is deleted, and the trail keeps what it said."""
    gains.queue(entry.organization, by)
    _require_not_for_itself(entry, by)
    require(policy.may_take_entry(by, entry), "You may not take this entry away.")
    target, said = entry.audit_target(), _said(entry)
    with gains.judged(by, entry.organization_id, _affected(entry)) as change:
        currency.claim(entry)
        AclEntry.objects.filter(pk=entry.pk).delete()
    _raise(entry)
    data = {**said, **consequences.rights_changed(change)}
    record(Action.ENTRY_REMOVED, by=by, target=target, data=data)
    _tell_deciders(entry, by)


def seen(organization: Organization, by: Access) -> QuerySet[AclEntry]:
    """The entries that the caller may see: one question to the database for the paths, none for each of them."""
    rows = AclEntry.objects.filter(organization=organization)
    if policy.may_see_entries(by, ROOT, organization.pk):
        return rows
    named = rows.order_by("path").values_list("path", flat=True).distinct()
    paths = [path for path in named if policy.may_see_entries(by, path, organization.pk)]
    return rows.filter(path__in=paths)


def user_named(username: str, organization: Organization) -> User:
    """A person of the organization, or one of its technical users; Missing alike for anybody else."""
    named: Any = User.objects.named(username)
    found = named.filter(technical__organization=organization, is_active=True).first()
    found = found or User.objects.present_in(organization.pk).named(username).first()
    if found is None:
        raise Missing("There is no such user.")
    user: User = found
    return user


def group_named(slug: str, organization: Organization) -> Group:
    """An open group of the organization; Missing where there is none."""
    found = Group.objects.filter(organization=organization, slug=slug, closed_at=None).first()
    if found is None:
        raise Missing("There is no such group.")
    return found


def remove_all(entries: QuerySet[AclEntry], by: Access) -> int:
    """Those of a user or group that leaves, closes or is removed: how many. For the verb that ends whom they name,
    which has queued and judges what it does itself."""
    named = list(entries.select_related("user", "group").order_by("path"))
    for entry in named:
        record(Action.ENTRY_REMOVED, by=by, target=entry, data=_said(entry))
        entry.delete()
    return len(named)


def _require_role(organization: Organization, role: str) -> None:
    if role not in book(organization.pk, [role]):
        raise Invalid.field("role", "There is no such role.", "unknown_role")


def _require_may_set(entry: AclEntry, by: Access) -> None:
    may = policy.may_set_entry(
        by,
        entry.organization,
        entry.path,
        entry.role,
        propagate=entry.propagate,
        to_group=entry.group_id is not None,
    )
    require(may, NOT_THERE)


def _require_not_for_itself(entry: AclEntry, by: Access) -> None:
    """A token writes no entry for its principal, for who made it, nor for a group that one of them belongs to."""
    if by.token_id is None:
        return
    is_theirs = entry.user_id in by.behind
    if entry.group_id is not None:
        members = GroupMembership.objects.present().filter(group=entry.group_id, user__in=by.behind)
        technical = TechnicalUser.objects.filter(group=entry.group_id, user__in=by.behind)
        is_theirs = members.exists() or technical.exists()
    require(
        not is_theirs, "A token writes no entries for its principal or for who made it.", "writes_for_itself"
    )


def _require_subject(entry: AclEntry) -> None:
    """Somebody of the organization: a present member, a technical user that was not removed, an open group."""
    if entry.group is not None:
        currency.lock_open(entry.group)
    if entry.user is None:
        return
    if entry.user.is_person:
        is_here = entry.user.memberships.present().filter(organization=entry.organization).exists()
    else:
        is_here = TechnicalUser.objects.filter(
            user=entry.user, user__is_active=True, organization=entry.organization
        ).exists()
    if not is_here:
        raise Invalid.field("user", "Nobody of the organization.", "not_found")


def _affected(entry: AclEntry) -> Iterable[User]:
    """Those whose rights the entry has a part in."""
    if entry.user is not None:
        return [entry.user]
    rows: Iterable[User] = User.objects.filter(gains.of_groups([entry.group_id]))
    return rows


def _insert(entry: AclEntry) -> None:
    with unless_taken("There is an entry of this subject at this path.", "entry_exists"):
        entry.save(force_insert=True)


def _raise(entry: AclEntry) -> None:
    """A user's entry concerns their tokens alone, a group's whoever belongs to it."""
    currency.raise_(entry.user or entry.organization)


def _tell_deciders(entry: AclEntry, by: Access) -> None:
    """One at the root can deny that somebody decides; where a user's goes, their group's may."""
    if entry.path == ROOT:
        consequences.deciders_lost(entry.organization_id, by)


def _said(entry: AclEntry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "role": entry.role,
        "propagate": entry.propagate,
        "subject": entry.subject_label,
    }
