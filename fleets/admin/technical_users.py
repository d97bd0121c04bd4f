"""Technical users: those that were made by hand, and those of tokens, which come and go with them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from config.edge.access import Access
from config.edge.commands import Adding, CommandForm, ReasonForm, RowVerb
from config.edge.facts import Fact
from config.edge.form_fields import Line
from config.edge.remembering import seen_ids
from config.edge.scoped_admin import ScopedAdmin
from fleets import policy, technical_users, visibility
from fleets.admin.scope import OrganizationFilter, OrganizationForm, is_anywhere, organizations_where
from fleets.models import Organization, TechnicalUser


class MakingForm(OrganizationForm):
    username = Line(max_length=63)
    name = Line(max_length=150, required=False)

    def open_to(self, by: Access) -> list[Organization]:
        return organizations_where(by, policy.may_open_owner)


class NameForm(CommandForm):
    name = Line(max_length=150, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].initial = self.row.user.name


def may_change(by: Access, row: TechnicalUser) -> bool:
    return policy.may_open_owner(by, row.organization)


def was_made(row: TechnicalUser) -> bool:
    """By hand, and is still there."""
    return row.kind == TechnicalUser.Kind.TECHNICAL_USER and row.user.is_active


@admin.register(TechnicalUser)
class TechnicalUserAdmin(ScopedAdmin):
    list_display = ("label", "username", "kind", "owner", "standing", "organization")
    list_filter = (OrganizationFilter,)
    search_fields = ("user__username", "label")
    ordering = ("label", "pk")
    sortable_by = ("label", "username", "kind")
    place = 55
    about = "Who acts that is no person: made by hand, or of a single token. None of them can sign in."
    nothing = "There is no technical user that you oversee."
    adding = Adding(
        "New technical user",
        is_anywhere(policy.may_open_owner),
        MakingForm,
        lambda data, by: technical_users.make(**data, by=by),
        "Makes somebody whom several tokens can act as. What they may do is what entries give them.",
        "The technical user is there.",
    )
    verbs = (
        RowVerb(
            "rename",
            "Rename",
            may_change,
            lambda row, data, by: technical_users.rename(row, name=data["name"], by=by),
            lambda row: f"Changes what {row} is called. The username, {row.user.username}, stays.",
            "The technical user has its new name.",
            fits=was_made,
            form=NameForm,
        ),
        RowVerb(
            "remove",
            "Remove",
            may_change,
            lambda row, data, by: technical_users.remove(row, reason=data["reason"], by=by),
            lambda row: (
                f"Ends {row} for ever: its tokens are revoked and its entries removed. The username is never used "
                "again. This can’t be undone."
            ),
            "The technical user is removed.",
            fits=was_made,
            form=ReasonForm,
            is_grave=True,
            is_bound=False,
        ),
    )

    def visible(self, by: Access) -> QuerySet[TechnicalUser]:
        rows = visibility.technical_users(by, seen_ids(by))
        return rows.select_related("user", "organization", "fleet", "group", "application")

    def facts(self, row: TechnicalUser, by: Access) -> list[Fact]:
        return [
            Fact("Name", row.user.name or "–"),
            Fact("Username", row.user.username),
            Fact("Organization", row.organization),
            Fact("Kind", row.get_kind_display()),
            Fact("Stands for", row.owner or "–"),
            Fact("Role", row.role or "–"),
            Fact("Standing", self.standing(row)),
            Fact("Made", row.user.created_at),
        ]

    @admin.display(ordering="user__username")
    def username(self, row: TechnicalUser) -> str:
        return row.user.username

    @admin.display(description="stands for")
    def owner(self, row: TechnicalUser) -> str:
        return str(row.owner or "–")

    @admin.display()
    def standing(self, row: TechnicalUser) -> str:
        return "active" if row.user.is_active else "ended"
