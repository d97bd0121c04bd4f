"""People and their organizations. Users are never deleted by SQL: people leave."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Lower
from django.db.models.lookups import Exact

from audit.trail import Target
from config.edge.access import Actor
from config.edge.clock import now
from config.edge.ids import uuid7
from fleets.authority import ORGANIZATION_SCOPES
from fleets.scopes import Scope

NAME = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}\Z",
    "Letters, digits and . _ @ + - only, at most 63, a letter or digit first.",
)
SLUG = RegexValidator(r"\A[a-z0-9][a-z0-9-]{0,62}\Z", "Lower-case letters, digits and hyphens, at most 63.")

DECIDING_ROLES = [role for role, scopes in ORGANIZATION_SCOPES.items() if Scope.APPROVALS_DECIDE in scopes]


class UserQuerySet(models.QuerySet["User"]):
    def active(self) -> "UserQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now()), is_active=True)

    def people(self) -> "UserQuerySet":
        return self.filter(kind=User.Kind.PERSON)

    def named(self, username: str) -> "UserQuerySet":
        """Usernames are compared without case, as the index that keeps them unique does."""
        return self.filter(Exact(Lower("username"), Lower(Value(username))))

    def present_in(self, organization_id: UUID) -> "UserQuerySet":
        """The people of the organization: who has not left, suspended or not."""
        return self.people().filter(memberships__organization=organization_id, memberships__left_at=None)


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    def get_by_natural_key(self, username: str | None) -> "User":
        user: User = self.people().named(username or "").get()
        return user

    def create_superuser(self, username: str, password: str | None = None, **fields: Any) -> "User":
        """For `manage.py createsuperuser`."""
        user = User(username=username, is_superuser=True, **fields)
        user.set_password(password)
        user.full_clean()
        user.save()
        return user


class User(AbstractBaseUser):
    """Whoever can act: a person, or a technical user that stands for an owner and can't log in."""

    class Kind(models.TextChoices):
        PERSON = "person"
        TECHNICAL = "technical"

    currency_kind: ClassVar[str] = "principal"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = models.CharField(max_length=63, validators=[NAME])
    name = models.CharField(max_length=150, blank=True)
    email = models.EmailField(blank=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PERSON)
    is_active = models.BooleanField(default=True)
    is_superuser = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(default=now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("username"), name="one_user_of_a_name"),
            models.CheckConstraint(
                condition=Q(kind="person") | Q(is_superuser=False), name="technical_users_are_no_superusers"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.username

    @property
    def is_person(self) -> bool:
        return self.kind == self.Kind.PERSON

    @property
    def is_staff(self) -> bool:
        """The admin is everyone's user interface; what each may see there is decided page by page."""
        return self.is_person

    def is_live(self) -> bool:
        return self.is_active and (self.expires_at is None or now() < self.expires_at)

    def has_perm(self, permission: str, obj: object = None) -> bool:
        """Django's own permissions are not used: what a superuser sees in the admin is decided there."""
        return self.is_active and self.is_superuser

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_person

    def as_actor(self) -> Actor:
        return Actor("person" if self.is_person else "technical_user", str(self.pk), self.username)

    def audit_target(self) -> Target:
        return Target("person" if self.is_person else "technical_user", str(self.pk), self.username)


class Organization(models.Model):
    currency_kind: ClassVar[str] = "organization"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.CharField(max_length=63, unique=True, validators=[SLUG])
    name = models.CharField(max_length=150)
    version = models.PositiveBigIntegerField(default=1)
    policy = models.JSONField(default=dict, blank=True)  # read through organization_policy
    created_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return self.name

    def audit_target(self) -> Target:
        return Target("organization", str(self.pk), self.slug, self.pk)


class MembershipQuerySet(models.QuerySet["Membership"]):
    def present(self) -> "MembershipQuerySet":
        """Who has not left, suspended or not."""
        return self.filter(left_at=None)

    def active(self) -> "MembershipQuerySet":
        return self.present().filter(suspended_at=None)


class Membership(models.Model):
    """A person in an organization. Rejoining makes a new row."""

    class Role(models.TextChoices):
        OWNER = "owner"
        ADMIN = "admin"
        APPROVER = "approver"
        AUDITOR = "auditor"
        MEMBER = "member"

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="memberships")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    version = models.PositiveBigIntegerField(default=1)
    joined_at = models.DateTimeField(default=now)
    suspended_at = models.DateTimeField(null=True, blank=True)
    left_at = models.DateTimeField(null=True, blank=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization"], condition=Q(left_at=None), name="one_present_membership"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"

    def audit_target(self) -> Target:
        return Target("member", str(self.pk), self.user.username, self.organization_id)
