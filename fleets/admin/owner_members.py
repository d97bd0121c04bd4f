"""Who belongs to fleets, groups and applications. Their pages are reached from those of what they belong to."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet

from config.edge.access import Access
from config.edge.commands import CommandForm, RowVerb
from config.edge.facts import Fact, linked
from config.edge.scoped_admin import ScopedAdmin
from fleets import membership, policy
from fleets.admin.owners import owners_seen
from fleets.models import ApplicationMembership, FleetMembership, GroupMembership


class RoleForm(CommandForm):
    """Starts with the role that the row says. A subclass says which there are."""

    role = forms.ChoiceField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].initial = self.row.role


class FleetRoleForm(RoleForm):
    role = forms.ChoiceField(choices=FleetMembership.Role.choices)


class GroupRoleForm(RoleForm):
    role = forms.ChoiceField(choices=GroupMembership.Role.choices)


def changing_role(call: Callable[..., None], form: type[CommandForm]) -> RowVerb:
    return RowVerb(
        "role",
        "Change role",
        lambda by, row: policy.may_take_role_of(by, row.owner),
        lambda row, data, by: call(row, role=data["role"], by=by),
        lambda row: f"Gives {row.user} another role in {row.owner}. It holds at once, for their tokens too.",
        "They have the new role.",
        form=form,
    )


def removing(call: Callable[..., None], what: str, meaning: str) -> RowVerb:
    return RowVerb(
        "remove",
        "Remove",
        policy.may_leave_or_be_removed,
        lambda row, _, by: call(row, by=by),
        lambda row: f"{row.user} leaves {row.owner}. {meaning}",
        f"They have left the {what}.",
        is_grave=True,
        is_bound=False,
    )


class OwnerMemberAdmin(ScopedAdmin):
    """What the people of fleets, groups and applications share. Their pages are reached from there."""

    is_section = False
    search_fields = ("user__username", "user__name")
    ordering = ("user__name", "user__username")
    sortable_by = ()

    def visible(self, by: Access) -> QuerySet[Any]:
        """Of what the caller sees: in their session they see the people too."""
        column = self.model.owner_column
        owner: Any = self.model._meta.get_field(column).related_model
        rows: Any = self.model._default_manager.filter(left_at=None)
        here = rows.filter(**{f"{column}__in": owners_seen(by, owner)})
        return here.select_related("user", f"{column}__organization")  # type: ignore[no-any-return]

    def facts(self, row: Any, by: Access) -> list[Fact]:
        return [
            Fact("Name", row.user.name),
            Fact("Username", row.user.username),
            Fact(str(row.owner._meta.verbose_name).capitalize(), linked(row.owner)),
            Fact("Role", row.role),
            Fact("Since", row.joined_at),
        ]


@admin.register(FleetMembership)
class FleetMembershipAdmin(OwnerMemberAdmin):
    list_display = ("user", "fleet", "role", "joined_at")
    verbs = (
        changing_role(membership.change_fleet_role, FleetRoleForm),
        removing(
            membership.leave_fleet,
            "fleet",
            "Their personal tokens reach it no more, from their next call on.",
        ),
    )


@admin.register(GroupMembership)
class GroupMembershipAdmin(OwnerMemberAdmin):
    list_display = ("user", "group", "role", "joined_at")
    verbs = (
        changing_role(membership.change_group_role, GroupRoleForm),
        removing(membership.leave_group, "group", "They reach no more what it reaches."),
    )


@admin.register(ApplicationMembership)
class ApplicationMembershipAdmin(OwnerMemberAdmin):
    list_display = ("user", "application", "role", "joined_at")
    verbs = (
        removing(
            membership.leave_application,
            "application",
            "They manage its tokens no more. Those work on: rotate them where the secrets are to change.",
        ),
    )
