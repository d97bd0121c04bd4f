"""What owns tokens besides people: fleets, groups, applications; who belongs to each; the technical users that act.

Owners are never deleted by SQL: they close.
"""

from typing import Any, ClassVar
from uuid import UUID

from django.db import models
from django.db.models import Q

from audit.trail import Target
from config.edge.clock import now
from config.edge.ids import uuid7
from fleets import paths
from fleets.models.people import SLUG, Organization, User


class OwnedByOrganization(models.Model):
    """What fleets, groups and applications share: a slug that is never reused, a name, a version, and an end."""

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="%(class)ss")
    slug = models.CharField(max_length=63, validators=[SLUG])
    name = models.CharField(max_length=150)
    version = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(default=now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(fields=["organization", "slug"], name="one_%(class)s_of_a_slug"),
        ]

    def __str__(self) -> str:
        return self.name


class Fleet(OwnedByOrganization):
    """Machines that belong together, with the people and tokens that look after them."""

    @property
    def path(self) -> str:
        return paths.fleet_path(self.slug)

    def audit_target(self) -> Target:
        return Target("fleet", str(self.pk), self.slug, self.organization_id)


class Group(OwnedByOrganization):
    """People who share access: what they reach are the paths of the entries that name the group."""

    def audit_target(self) -> Target:
        return Target("group", str(self.pk), self.slug, self.organization_id)


class Application(OwnedByOrganization):
    """A program with owners who manage its tokens; what it reaches is what an admin grants its technical users."""

    description = models.CharField(max_length=500, blank=True)

    def audit_target(self) -> Target:
        return Target("application", str(self.pk), self.slug, self.organization_id)


class PresentQuerySet(models.QuerySet[Any]):
    def present(self) -> "PresentQuerySet":
        return self.filter(left_at=None)


class Belonging(models.Model):
    """What the memberships of fleets, groups and applications share. Rejoining makes a new row."""

    currency_kind: ClassVar[str] = ""
    owner_column: ClassVar[str]  # what they belong to: fleet, group or application

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.PositiveBigIntegerField(default=1)
    joined_at = models.DateTimeField(default=now)
    left_at = models.DateTimeField(null=True, blank=True)

    objects = PresentQuerySet.as_manager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.user} in {self.owner}"  # type: ignore[attr-defined]  # each has its own foreign key

    @property
    def owner(self) -> Any:
        return getattr(self, self.owner_column)

    @property
    def organization_id(self) -> UUID:
        found: UUID = self.owner.organization_id
        return found

    def audit_target(self) -> Target:
        label = f"{self.user.username} in {self.owner.slug}"  # type: ignore[attr-defined]
        return Target(f"{self.owner_column}_member", str(self.pk), label, self.organization_id)


class FleetMembership(Belonging):
    class Role(models.TextChoices):
        MANAGER = "manager"
        OPERATOR = "operator"
        VIEWER = "viewer"

    owner_column = "fleet"

    fleet = models.ForeignKey(Fleet, models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, models.PROTECT, related_name="fleet_memberships")
    role = models.CharField(max_length=10, choices=Role)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["fleet", "user"], condition=Q(left_at=None), name="one_present_fleet_membership"
            )
        ]


class GroupMembership(Belonging):
    class Role(models.TextChoices):
        ADMIN = "admin"
        USER = "user"

    owner_column = "group"

    group = models.ForeignKey(Group, models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, models.PROTECT, related_name="group_memberships")
    role = models.CharField(max_length=10, choices=Role)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["group", "user"], condition=Q(left_at=None), name="one_present_group_membership"
            )
        ]


class ApplicationMembership(Belonging):
    """Who owns an application: all its people do."""

    class Role(models.TextChoices):
        OWNER = "owner"

    owner_column = "application"

    application = models.ForeignKey(Application, models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, models.PROTECT, related_name="application_memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.OWNER)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["application", "user"],
                condition=Q(left_at=None),
                name="one_present_application_membership",
            )
        ]


class TechnicalUser(models.Model):
    """What a technical user stands for. No column points to tokens: a token points to its principal.

    Each token of a fleet, group, organization or application has one of its own; of the kind `technical_user` they
    are made by hand, and share their tokens. `role` is the group's (admin, user) or the organization's (Admin,
    Viewer) and empty for the others.
    """

    class Kind(models.TextChoices):
        FLEET = "fleet"
        GROUP = "group"
        ORGANIZATION = "organization"
        APPLICATION = "application"
        TECHNICAL_USER = "technical_user"

    user = models.OneToOneField(User, models.PROTECT, primary_key=True, related_name="technical")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="technical_users")
    kind = models.CharField(max_length=20, choices=Kind)
    fleet = models.ForeignKey(Fleet, models.PROTECT, null=True, blank=True, related_name="technical_users")
    group = models.ForeignKey(Group, models.PROTECT, null=True, blank=True, related_name="technical_users")
    application = models.ForeignKey(
        Application, models.PROTECT, null=True, blank=True, related_name="technical_users"
    )
    role = models.CharField(max_length=10, blank=True)
    label = models.CharField(max_length=150)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="fleet", fleet__isnull=False, group=None, application=None, role="")
                | Q(
                    kind="group",
                    fleet=None,
                    group__isnull=False,
                    application=None,
                    role__in=["admin", "user"],
                )
                | Q(
                    kind="organization",
                    fleet=None,
                    group=None,
                    application=None,
                    role__in=["Admin", "Viewer"],
                )
                | Q(kind="application", fleet=None, group=None, application__isnull=False, role="")
                | Q(kind="technical_user", fleet=None, group=None, application=None, role=""),
                name="a_technical_user_stands_for_what_its_kind_says",
            )
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def owner(self) -> Fleet | Group | Application | None:
        """What it stands for, if that can close."""
        return self.fleet or self.group or self.application

    @property
    def version(self) -> int:
        """That of who acts."""
        return self.user.version

    def audit_target(self) -> Target:
        return Target("technical_user", str(self.user_id), self.user.username, self.organization_id)
