"""The estate: who there is, and what there is to reach.

Users and estate rows are never deleted by SQL: people leave, things close. Every row but a user belongs to exactly one
organization. Verbs are in membership, organizations and machines; rights in authority and holdings.
"""

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
from fleets import paths
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

    def deciding(self) -> "MembershipQuerySet":
        """Whose role lets them decide on approvals; no entry gives that to anybody else."""
        return self.filter(Q(role__in=DECIDING_ROLES) | Q(user__is_superuser=True))


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


class OwnedByOrganization(models.Model):
    """What fleets and groups share: a slug that is never reused, a name, a version, and an end."""

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


class PresentQuerySet(models.QuerySet[Any]):
    def present(self) -> "PresentQuerySet":
        return self.filter(left_at=None)


class FleetMembership(models.Model):
    class Role(models.TextChoices):
        MANAGER = "manager"
        OPERATOR = "operator"
        VIEWER = "viewer"

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    fleet = models.ForeignKey(Fleet, models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, models.PROTECT, related_name="fleet_memberships")
    role = models.CharField(max_length=10, choices=Role)
    version = models.PositiveBigIntegerField(default=1)
    joined_at = models.DateTimeField(default=now)
    left_at = models.DateTimeField(null=True, blank=True)

    objects = PresentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["fleet", "user"], condition=Q(left_at=None), name="one_present_fleet_membership"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.fleet}"

    @property
    def organization_id(self) -> UUID:
        return self.fleet.organization_id

    def audit_target(self) -> Target:
        label = f"{self.user.username} in {self.fleet.slug}"
        return Target("fleet_member", str(self.pk), label, self.fleet.organization_id)


class GroupMembership(models.Model):
    class Role(models.TextChoices):
        ADMIN = "admin"
        USER = "user"

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    group = models.ForeignKey(Group, models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, models.PROTECT, related_name="group_memberships")
    role = models.CharField(max_length=10, choices=Role)
    version = models.PositiveBigIntegerField(default=1)
    joined_at = models.DateTimeField(default=now)
    left_at = models.DateTimeField(null=True, blank=True)

    objects = PresentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["group", "user"], condition=Q(left_at=None), name="one_present_group_membership"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.group}"

    @property
    def organization_id(self) -> UUID:
        return self.group.organization_id

    def audit_target(self) -> Target:
        label = f"{self.user.username} in {self.group.slug}"
        return Target("group_member", str(self.pk), label, self.group.organization_id)


class MachineQuerySet(models.QuerySet["Machine"]):
    def live(self) -> "MachineQuerySet":
        return self.filter(deregistered_at=None, fleet__closed_at=None)


def no_configuration() -> dict[str, Any]:
    return {"cpus": None, "memory": None, "disks": [], "networks": []}


class Machine(models.Model):
    """A machine of a fleet. A later one with the same name is another machine."""

    class Kind(models.TextChoices):
        VIRTUAL = "virtual"
        PHYSICAL = "physical"

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="machines")
    fleet = models.ForeignKey(Fleet, models.PROTECT, related_name="machines")
    name = models.CharField(max_length=63, validators=[NAME])
    vmid = models.PositiveIntegerField(null=True, blank=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.VIRTUAL)
    configuration = models.JSONField(default=no_configuration, blank=True)
    version = models.PositiveBigIntegerField(default=1)
    registered_at = models.DateTimeField(default=now)
    deregistered_at = models.DateTimeField(null=True, blank=True)

    objects = MachineQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "vmid"],
                condition=Q(deregistered_at=None),
                name="one_live_machine_of_a_vmid",
            ),
            models.UniqueConstraint(
                "fleet", Lower("name"), condition=Q(deregistered_at=None), name="one_live_machine_of_a_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        return paths.machine_path(self.fleet.slug, self.pk)

    @property
    def tags(self) -> list[str]:
        """Sorted; prefetch `tag_rows` for lists."""
        return sorted(row.tag for row in self.tag_rows.all())

    def audit_target(self) -> Target:
        return Target("machine", str(self.pk), self.name, self.organization_id)


class MachineTag(models.Model):
    """A tag of a machine; rows, so that both databases can filter by one."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="tag_rows")
    tag = models.CharField(max_length=63)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["machine", "tag"], name="a_machine_bears_a_tag_once")]
        indexes = [models.Index(fields=["tag"])]

    def __str__(self) -> str:
        return self.tag


class MachineAction(models.Model):
    """A recorded request to start, stop, pause, resume or restart, for the fleet's controller."""

    class Action(models.TextChoices):
        START = "start"
        STOP = "stop"
        PAUSE = "pause"
        RESUME = "resume"
        RESTART = "restart"

    class State(models.TextChoices):
        REQUESTED = "requested"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    machine = models.ForeignKey(Machine, models.PROTECT, related_name="actions")
    action = models.CharField(max_length=10, choices=Action)
    requested_by = models.ForeignKey(User, models.PROTECT, null=True)
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    requested_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return f"{self.action} {self.machine}"


class TechnicalUser(models.Model):
    """What a technical user stands for. No column points to tokens: a token points to its principal."""

    user = models.OneToOneField(User, models.PROTECT, primary_key=True, related_name="technical")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="technical_users")
    fleet = models.ForeignKey(Fleet, models.PROTECT, null=True, blank=True, related_name="technical_users")
    label = models.CharField(max_length=150)

    def __str__(self) -> str:
        return self.label


class AccessRule(models.Model):
    """What an entry for a user or group and a token's grant share: a role at a path."""

    path = models.CharField(max_length=paths.MAX_LENGTH)
    propagate = models.BooleanField(default=True)

    class Meta:
        abstract = True


class AclEntry(AccessRule):
    """An explicit entry: a role for a user or a group at a path."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
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

    def audit_target(self) -> Target:
        return Target("entry", str(self.pk), str(self), self.organization_id)
