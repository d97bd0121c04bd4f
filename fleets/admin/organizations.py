"""Organizations and their members."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Prefetch, QuerySet

from config.edge.access import Access
from config.edge.clock import now
from config.edge.commands import Adding, CommandForm, ReasonForm, RowVerb
from config.edge.facts import Fact, written
from config.edge.form_fields import Line, MailAddress
from config.edge.refusals import IllegalMove
from config.edge.remembering import seen_ids
from config.edge.scoped_admin import ScopedAdmin
from fleets import invitations, membership, organizations, policy, policy_words, visibility
from fleets.admin.scope import OrganizationFilter, OrganizationForm, is_anywhere, organizations_where
from fleets.models import Invitation, Membership, Organization
from fleets.organization_policy import policy_of
from fleets.paths import ROOT


class OpeningForm(CommandForm):
    slug = Line(max_length=63, help_text="Lower-case letters, digits and hyphens. It never changes.")
    name = Line(max_length=150)


class RenameForm(CommandForm):
    name = Line(max_length=150)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].initial = self.row.name


def open_it(data: dict[str, Any], by: Access) -> Organization:
    return organizations.open_organization(slug=data["slug"], name=data["name"], owner=by.user, by=by)


@admin.register(Organization)
class OrganizationAdmin(ScopedAdmin):
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")
    ordering = ("name",)
    sortable_by = ("name", "slug", "created_at")
    place = 60
    about = "What each organization is called, and the rules it lays down for its tokens."
    adding = Adding(
        "New organization",
        policy.may_open_organization,
        OpeningForm,
        open_it,
        "Opens an organization. You become its first owner.",
        "The organization is open.",
    )
    verbs: ClassVar[tuple[RowVerb, ...]] = (
        RowVerb(
            "rename",
            "Rename",
            policy.may_change_organization,
            lambda row, data, by: organizations.rename(row, name=data["name"], by=by),
            lambda row: f"Changes what {row.name} is called. Its slug, {row.slug}, stays.",
            "The organization has its new name.",
            form=RenameForm,
        ),
    )

    def visible(self, by: Access) -> QuerySet[Organization]:
        return visibility.organizations(by)

    def facts(self, row: Organization, by: Access) -> list[Fact]:
        return [
            Fact("Name", row.name),
            Fact("Slug", row.slug),
            Fact("Opened", row.created_at),
            *(Fact(label, words) for label, words in policy_words.whole(policy_of(row))),
        ]


def may_invite(by: Access, organization: Organization) -> bool:
    return policy.may_give_role(by, organization, Membership.Role.MEMBER)


class InvitationForm(OrganizationForm):
    username = Line(max_length=63)
    name = Line(max_length=150)
    email = MailAddress(required=False)
    role = forms.ChoiceField(choices=Membership.Role.choices, initial=Membership.Role.MEMBER)

    def open_to(self, by: Access) -> list[Organization]:
        return organizations_where(by, may_invite)


class RoleForm(CommandForm):
    role = forms.ChoiceField(choices=Membership.Role.choices)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].initial = self.row.role


def waiting_invitation(row: Membership) -> Invitation | None:
    """Of those that `shown` has read with the row."""
    waiting: list[Invitation] = getattr(row.user, "waiting_invitations", [])
    return next((each for each in waiting if each.organization_id == row.organization_id), None)


def invitation_of(row: Membership) -> Invitation:
    found = waiting_invitation(row)
    if found is None:
        raise IllegalMove("No invitation of this member is waiting.")
    return found


def invitation_facts(row: Membership) -> list[Fact]:
    found = waiting_invitation(row)
    if found is None:
        return []
    verb = "Sent, works until" if found.expires_at > now() else "Lapsed at"
    return [Fact("Invitation", f"{verb} {written(found.expires_at)}")]


@admin.register(Membership)
class MembershipAdmin(ScopedAdmin):
    list_display = ("person", "username", "role", "standing", "organization", "joined_at")
    list_filter = (OrganizationFilter,)
    search_fields = ("user__username", "user__name")
    ordering = ("user__name", "user__username")
    sortable_by = ("person", "username", "role", "joined_at")
    place = 50
    heading = "Members"
    about = "The people of your organizations, and their roles."
    adding = Adding(
        "Invite a member",
        is_anywhere(may_invite),
        InvitationForm,
        lambda data, by: membership.invite(**data, by=by),
        "Opens an account for a new person and makes them a member. "
        "The link with which they choose their password goes to their mail address.",
        "They are a member now.",
    )
    verbs = (
        RowVerb(
            "role",
            "Change role",
            policy.may_take_role,
            lambda row, data, by: membership.change_role(row, role=data["role"], by=by),
            lambda row: (
                f"Gives {row.user} another role in {row.organization}. It holds at once, for their tokens too."
            ),
            "They have the new role.",
            form=RoleForm,
        ),
        RowVerb(
            "suspend",
            "Suspend",
            policy.may_take_role,
            lambda row, data, by: membership.suspend(row, reason=data["reason"], by=by),
            lambda row: (
                f"{row.user} can do nothing in {row.organization} until you resume them. "
                "Their personal tokens refuse meanwhile."
            ),
            "They are suspended.",
            fits=lambda row: row.suspended_at is None,
            form=ReasonForm,
            is_bound=False,
        ),
        RowVerb(
            "resume",
            "Resume",
            lambda by, row: policy.may_give_role(by, row.organization, row.role),
            lambda row, _, by: membership.resume(row, by=by),
            lambda row: (
                f"{row.user} gets back what they had in {row.organization}. Their personal tokens work again."
            ),
            "They are active again.",
            fits=lambda row: row.suspended_at is not None,
        ),
        RowVerb(
            "resend",
            "Resend invitation",
            policy.may_take_role,
            lambda row, _, by: invitations.resend(invitation_of(row), by=by),
            lambda row: (
                f"Sends {row.user} a new link, with which they choose their password within 72 hours. "
                "The link before no longer works."
            ),
            "The invitation is on its way.",
            fits=lambda row: bool(waiting_invitation(row)) and bool(row.user.email),
        ),
        RowVerb(
            "withdraw",
            "Withdraw invitation",
            policy.may_take_role,
            lambda row, _, by: invitations.withdraw(invitation_of(row), by=by),
            lambda row: (
                f"{row.user} can no longer use the link that was sent. They stay a member who can’t sign in; "
                "remove them to end that too."
            ),
            "The invitation is withdrawn.",
            fits=lambda row: bool(waiting_invitation(row)),
            is_grave=True,
            is_bound=False,
        ),
        RowVerb(
            "remove",
            "Remove",
            policy.may_end_membership,
            lambda row, data, by: membership.leave(row, reason=data["reason"], by=by),
            lambda row: (
                f"{row.user} leaves {row.organization} and all of its fleets and groups. "
                "Their personal tokens there are revoked for ever; tokens they made for fleets live on."
            ),
            "They have left.",
            form=ReasonForm,
            is_grave=True,
            is_bound=False,
        ),
    )

    def shown(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        waiting = Invitation.objects.waiting().select_related("user", "organization")
        return rows.prefetch_related(Prefetch("user__invitations", waiting, to_attr="waiting_invitations"))

    def visible(self, by: Access) -> QuerySet[Membership]:
        ids = [key for key in seen_ids(by) if policy.may_see_people(by, ROOT, key)]
        rows = Membership.objects.present().filter(organization__in=ids)
        return rows.select_related("user", "organization")

    def facts(self, row: Membership, by: Access) -> list[Fact]:
        return [
            Fact("Name", row.user.name),
            Fact("Username", row.user.username),
            Fact("Organization", row.organization),
            Fact("Role", row.role),
            Fact("Standing", self.standing(row)),
            Fact("Member since", row.joined_at),
            *invitation_facts(row),
        ]

    @admin.display(description="name", ordering="user__name")
    def person(self, row: Membership) -> str:
        return str(row.user)

    @admin.display(ordering="user__username")
    def username(self, row: Membership) -> str:
        return row.user.username

    @admin.display()
    def standing(self, row: Membership) -> str:
        return "suspended" if row.suspended_at else "active"
