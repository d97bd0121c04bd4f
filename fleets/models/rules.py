"""Roles of an organization's own making, and the entries that name roles at paths."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from audit.trail import Target
from config.edge.clock import now
from config.edge.ids import uuid7
from fleets import paths
from fleets.models.owners import Group
from fleets.models.people import NAME, Organization, User


class OrganizationRoleQuerySet(models.QuerySet["OrganizationRole"]):
    def present(self) -> "OrganizationRoleQuerySet":
        return self.filter(removed_at=None)


class OrganizationRole(models.Model):
    """A role of an organization's own, beside the built-in ones. Its name is never reused."""

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="roles")
    name = models.CharField(max_length=63, validators=[NAME])
    scopes = models.JSONField(default=list)  # sorted names
    version = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(default=now)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = OrganizationRoleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint("organization", Lower("name"), name="one_role_of_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    def audit_target(self) -> Target:
        return Target("role", str(self.pk), self.name, self.organization_id)


class AccessRule(models.Model):
    """What an entry for a user or group and a token's grant share: a role at a path."""

    path = models.CharField(max_length=paths.MAX_LENGTH)
    propagate = models.BooleanField(default=True)

    class Meta:
        abstract = True


class AclEntry(AccessRule):
    """An explicit entry: a role for a user or a group at a path."""

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.PositiveBigIntegerField(default=1)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="entries")
    role = models.CharField(max_length=63)
    user = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="entries")
    group = models.ForeignKey(Group, models.PROTECT, null=True, blank=True, related_name="entries")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=(Q(user=None) & ~Q(group=None)) | (~Q(user=None) & Q(group=None)),
                name="an_entry_names_a_user_or_a_group",
            ),
            models.UniqueConstraint(
                fields=["organization", "path", "user"],
                condition=~Q(user=None),
                name="one_entry_of_a_user_at_a_path",
            ),
            models.UniqueConstraint(
                fields=["organization", "path", "group"],
                condition=~Q(group=None),
                name="one_entry_of_a_group_at_a_path",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} on {self.path}"

    @property
    def subject(self) -> User | Group:
        found = self.user or self.group
        assert found is not None, "an entry names a user or a group"
        return found

    @property
    def subject_label(self) -> str:
        """The user or group as the command line writes an owner."""
        return self.subject.username if isinstance(self.subject, User) else f"group:{self.subject.slug}"

    def audit_target(self) -> Target:
        return Target("entry", str(self.pk), str(self), self.organization_id)
