"""Tokens, and the lists of them.

What each status may become is here (`MOVES`), the writers of a status too (`move_to`, and `end_all` for whole lists).
Everything that a verb does besides is in issuance, lifecycle and revocation.
"""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Lower

from approvals.models import ApprovalRequest
from audit.trail import Target
from config.edge.access import Actor
from config.edge.clock import now
from config.edge.refusals import IllegalMove
from fleets import currency
from fleets.models import (
    NAME,
    Application,
    Fleet,
    Group,
    Membership,
    Organization,
    User,
)
from fleets.paths import ROOT
from fleets.scopes import Risk, Scope
from tokens import secret
from tokens.decision import DerivedStatus, derive_status
from tokens.decision import Status as StoredStatus
from tokens.kinds import ACTS_AS_OWNER, COLUMN, OWNER_COLUMNS, Kind, Owner, label_of, of_owner
from tokens.restrictions import Restrictions, from_stored

# What extends an Admin of all machines, and the scope that each is.
EXTENDED: dict[str, Scope] = {
    "images": Scope.IMAGES_MANAGE,
    "networks": Scope.NETWORKS_MANAGE,
    "templates": Scope.TEMPLATES_MANAGE,
}


def is_expired(at: datetime) -> Q:
    """What has the derived status "expired" at that instant."""
    has_expired = Q(expires_at__lte=at) | Q(expired_at__isnull=False)
    return Q(status__in=[Token.Status.ACTIVE, Token.Status.DISABLED]) & has_expired


class TokenQuerySet(models.QuerySet["Token"]):
    def not_ended(self) -> "TokenQuerySet":
        return self.exclude(status__in=Token.ENDED)

    def ended(self) -> "TokenQuerySet":
        return self.filter(status__in=Token.ENDED)

    def with_status(self, status: str, at: datetime) -> "TokenQuerySet":
        """Tokens whose derived status it is: the same words as `decision.derive_status`."""
        if status == DerivedStatus.EXPIRED:
            return self.filter(is_expired(at))
        return self.filter(status=status).exclude(is_expired(at))

    def with_begun(self) -> "TokenQuerySet":
        """With `begun`: when its life began, at its approval, or at its issue where it needed none."""
        begun = Coalesce("approved_at", "created_at", output_field=models.DateTimeField())
        tokens: TokenQuerySet = self.alias(begun=begun)
        return tokens

    def expiring(self) -> "TokenQuerySet":
        """Alive, their expiry not recorded. With literals: SQLite takes a partial index only for what it can read."""
        rows: TokenQuerySet = self.filter(expired_at=None)
        return rows.extra(where=["tokens_token.status IN ('active', 'disabled')"])  # type: ignore[return-value]

    def in_use(self) -> "TokenQuerySet":
        """Active ones, by the index of their last use."""
        return self.extra(where=["tokens_token.status = 'active'"])  # type: ignore[return-value]

    def of_owner(self, owner: Owner) -> "TokenQuerySet":
        return self.filter(of_owner(owner))

    def matching(self, text: str) -> "TokenQuerySet":
        """A search: in name, id, owner and machines."""
        owner = Q(owner_user__username__icontains=text)
        for column in ("owner_fleet", "owner_group", "owner_application"):
            owner |= Q(**{f"{column}__slug__icontains": text})
        machine = Q(machine_rows__name__icontains=text)
        found = self.filter(Q(name__icontains=text) | Q(pk__startswith=text) | owner | machine)
        return self.filter(pk__in=found.values("pk"))

    def deciding(self) -> "TokenQuerySet":
        """With everything that deciding about a token needs, in a fixed number of queries.

        `owner_role`: of a person who owns it, in the organization, where they are active there.
        """
        related = self.select_related("organization", "principal", "open_emergency", *OWNER_COLUMNS)
        together = related.prefetch_related("scope_rows", "grants")
        return together.annotate(owner_role=_role_of_owner())

    def presented(self) -> "TokenQuerySet":
        """With everything that showing a token needs, in a fixed number of queries."""
        return (
            self.deciding()
            .select_related("open_emergency__started_by")
            .prefetch_related("machine_rows__machine__fleet")
        )


@functools.cache
def _role_of_owner() -> Subquery:
    """Built once: it costs as much as a small query, and every verification has it."""
    theirs = Membership.objects.active().filter(
        user=OuterRef("owner_user"), organization=OuterRef("organization")
    )
    return Subquery(theirs.values("role")[:1])


def _owned_by(column: str, of_kind: Q) -> Q:
    """Of that kind, with that owner and no other."""
    owners = {f"{name}__isnull": name != column for name in OWNER_COLUMNS}
    return of_kind & Q(**owners)


class Token(models.Model):
    """A token without its secrets. `id` is public."""

    Kind = Kind

    class Status(models.TextChoices):
        PENDING = StoredStatus.PENDING.value
        ACTIVE = StoredStatus.ACTIVE.value
        DISABLED = StoredStatus.DISABLED.value
        REJECTED = StoredStatus.REJECTED.value
        REVOKED = StoredStatus.REVOKED.value

    class Reason(models.TextChoices):
        """Why a token ended, or is disabled where not its own people did it."""

        BY_HAND = "by_hand"
        BY_ITSELF = "by_itself"
        OWNER_LEFT = "owner_left"
        OWNER_CLOSED = "owner_closed"
        REJECTED = "rejected"  # of a pending token, as the next two: by its approvers,
        WITHDRAWN = "withdrawn"  # by who asked for it,
        LAPSED = "lapsed"  # by nobody in time
        BY_OVERSEER = "by_overseer"  # of a disabled one, as the next: by who oversees all tokens there,
        UNUSED = "unused"  # by its organization's policy

    class Widening(models.TextChoices):
        """What let it do more, though nobody edited it."""

        ROLE = "role"
        ENTRY = "entry"

    class AccessLevel(models.TextChoices):
        """Ceiling and rows in their plainest form: a built-in role on all or selected machines; else custom."""

        OPERATOR = "operator"
        ADMIN = "admin"
        CUSTOM = "custom"

    MOVES: ClassVar[dict[str, frozenset[str]]] = {
        Status.PENDING: frozenset({Status.ACTIVE, Status.REJECTED, Status.REVOKED}),
        Status.ACTIVE: frozenset({Status.DISABLED, Status.REVOKED}),
        Status.DISABLED: frozenset({Status.ACTIVE, Status.REVOKED}),
    }
    ENDED: ClassVar[frozenset[str]] = frozenset({Status.REJECTED, Status.REVOKED})
    currency_kind: ClassVar[str] = "token"

    id = models.CharField(primary_key=True, max_length=16, default=secret.generate_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="tokens")
    kind = models.CharField(max_length=20, choices=Kind)
    owner_user = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="tokens")
    owner_fleet = models.ForeignKey(Fleet, models.PROTECT, null=True, blank=True, related_name="tokens")
    owner_group = models.ForeignKey(Group, models.PROTECT, null=True, blank=True, related_name="tokens")
    owner_application = models.ForeignKey(
        Application, models.PROTECT, null=True, blank=True, related_name="tokens"
    )
    principal = models.ForeignKey(User, models.PROTECT, related_name="tokens_acting")
    name = models.CharField(max_length=63, validators=[NAME])
    description = models.CharField(max_length=500, blank=True)
    role = models.CharField(
        max_length=63, blank=True
    )  # the role that the ceiling was expanded from, if it was
    privilege_separation = models.BooleanField(default=True)
    access_level = models.CharField(max_length=10, choices=AccessLevel, default=AccessLevel.CUSTOM)
    all_machines = models.BooleanField(default=False)
    extended_templates = models.BooleanField(default=False)
    extended_networks = models.BooleanField(default=False)
    extended_images = models.BooleanField(default=False)
    risk = models.PositiveSmallIntegerField(choices=[(risk.value, risk.label) for risk in Risk])
    status = models.CharField(max_length=10, choices=Status)
    status_reason = models.CharField(max_length=20, blank=True)
    version = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="tokens_created")
    created_by_name = models.CharField(max_length=200)
    approved_at = models.DateTimeField(null=True, blank=True)
    lifetime = models.DurationField(null=True, blank=True)  # of a pending token: counts from its approval
    expires_at = models.DateTimeField(null=True, blank=True)
    expired_at = models.DateTimeField(
        null=True, blank=True
    )  # when the sweep recorded it: from then on no clock
    allowed_networks = models.JSONField(
        null=True, blank=True
    )  # these three are read through tokens.restrictions
    rate_limit = models.CharField(max_length=30, blank=True)
    access_windows = models.JSONField(null=True, blank=True)
    open_request = models.ForeignKey(
        ApprovalRequest, models.SET_NULL, null=True, blank=True, related_name="+"
    )  # of its issue while it is pending, else of a change that waits
    open_emergency = models.ForeignKey(
        "EmergencyAccess", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    widened_by = models.CharField(max_length=5, choices=Widening, blank=True)
    widened_at = models.DateTimeField(null=True, blank=True)
    rotate_every = models.DurationField(null=True, blank=True)
    rotated_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_address = models.GenericIPAddressField(null=True, blank=True)

    objects = TokenQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=_owned_by("owner_user", Q(kind__in=ACTS_AS_OWNER, owner_user=models.F("principal")))
                | _owned_by("owner_fleet", Q(kind=Kind.FLEET))
                | _owned_by("owner_group", Q(kind=Kind.GROUP))
                | _owned_by("owner_application", Q(kind=Kind.APPLICATION))
                | _owned_by("", Q(kind=Kind.ORGANIZATION)),
                name="a_token_has_the_owner_of_its_kind",
            ),
            models.CheckConstraint(
                condition=Q(privilege_separation=True) | Q(kind__in=ACTS_AS_OWNER),
                name="only_who_exists_goes_unseparated",
            ),
            models.CheckConstraint(
                condition=Q(access_level="admin", all_machines=True)
                | Q(extended_templates=False, extended_networks=False, extended_images=False),
                name="extended_permissions_need_admin_of_all_machines",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "active", "disabled"], status_reason="")
                | Q(status="disabled", status_reason__in=["by_overseer", "unused"])
                | (
                    Q(status__in=["rejected", "revoked"])
                    & ~Q(status_reason__in=["", "by_overseer", "unused"])
                ),
                name="an_ended_token_says_why",
            ),
            models.CheckConstraint(
                condition=Q(widened_by="", widened_at=None)
                | (Q(widened_by__in=["role", "entry"]) & Q(widened_at__isnull=False)),
                name="what_widened_a_token_did_it_at_some_time",
            ),
            models.CheckConstraint(
                condition=Q(lifetime=None) | Q(status__in=["pending", "rejected", "revoked"]),
                name="a_lifetime_counts_from_approval",
            ),
            models.UniqueConstraint(
                "organization",
                "owner_user",
                Lower("name"),
                name="one_token_of_a_user_of_a_name",
                condition=Q(owner_user__isnull=False),
            ),
            models.UniqueConstraint(
                "owner_fleet",
                Lower("name"),
                name="one_fleet_token_of_a_name",
                condition=Q(owner_fleet__isnull=False),
            ),
            models.UniqueConstraint(
                "owner_group",
                Lower("name"),
                name="one_group_token_of_a_name",
                condition=Q(owner_group__isnull=False),
            ),
            models.UniqueConstraint(
                "owner_application",
                Lower("name"),
                name="one_application_token_of_a_name",
                condition=Q(owner_application__isnull=False),
            ),
            models.UniqueConstraint(
                "organization",
                Lower("name"),
                name="one_organization_token_of_a_name",
                condition=Q(kind=Kind.ORGANIZATION),
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-created_at"], name="token_by_organization"),
            models.Index(
                fields=["expires_at"],
                name="token_by_coming_expiry",
                condition=Q(status__in=["active", "disabled"], expired_at=None),
            ),
            models.Index(
                fields=["organization", "approved_at"],
                name="token_by_approval",
                condition=Q(status__in=["active", "disabled"], expired_at=None),
            ),
            models.Index(
                fields=["organization", "last_used_at"],
                name="token_by_last_use",
                condition=Q(status="active"),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    edit_waits = False  # said of the row that a verb returns: what it was asked for waits. No column

    def validate_columns(self) -> None:
        """ValidationError names the columns whose values can't be. That the rows are there which it refers to, the
        database holds by its constraints: nothing is asked."""
        related = [field.name for field in self._meta.fields if field.is_relation]
        self.full_clean(exclude=related, validate_unique=False, validate_constraints=False)

    def presented(self) -> "Token":
        """Itself with all that showing it needs. Verbs return this: once they commit, an answer reads nothing more."""
        return Token.objects.presented().get(pk=self.pk)

    @property
    def owner(self) -> Owner:
        owner: Owner = getattr(self, COLUMN[Kind(self.kind)])
        return owner

    @property
    def owner_label(self) -> str:
        """The owner as the command line writes it."""
        return label_of(self.owner)

    @property
    def default_path(self) -> str:
        """The path that is meant where somebody asks without one."""
        return self.owner_fleet.path if self.owner_fleet else ROOT

    @property
    def extended(self) -> list[str]:
        """The extended permissions, sorted: images, networks, templates."""
        return [name for name in EXTENDED if getattr(self, f"extended_{name}")]

    @property
    def scopes(self) -> list[str]:
        """The ceiling, sorted."""
        return sorted(row.scope for row in self.scope_rows.all())

    @property
    def restrictions(self) -> Restrictions:
        """From where, how often and when it may be used."""
        return from_stored(self.allowed_networks, self.rate_limit, self.access_windows)

    @property
    def has_waiting_change(self) -> bool:
        """Whether a change of it waits for approval, and what it may do now stays until then."""
        return self.open_request_id is not None and self.status != self.Status.PENDING

    @property
    def secret_hint(self) -> str:
        return secret.hint(self.kind, self.pk)

    @property
    def rotation_due_at(self) -> datetime | None:
        if self.rotate_every is None:
            return None
        return (self.rotated_at or self.created_at) + self.rotate_every

    @property
    def derived_status(self) -> DerivedStatus:
        return derive_status(StoredStatus(self.status), self.expires_at, now(), self.expired_at)

    @property
    def is_ended(self) -> bool:
        return self.status in self.ENDED

    def move_to(self, status: str, **changes: Any) -> None:
        """Move to a status that this one allows, by compare-and-set; else IllegalMove or Conflict."""
        if status not in self.MOVES.get(self.status, ()):
            raise IllegalMove(f"A token that is {self.status} can't become {status}.")
        self.claim()
        self.status = status
        for name, value in changes.items():
            setattr(self, name, value)
        self.save(update_fields=["status", *changes])

    @classmethod
    def end_all(cls, locked: Sequence["Token"], status_reason: str) -> None:
        """Revoke many at once: the other writer of a status, for lists that are too long to go row by row.

        It needs no compare-and-set, for the caller holds the locks of all the rows and read them under these; and no
        look at MOVES for each, for whatever has not ended may be revoked. What has ended is an IllegalMove here too.
        """
        if ended := [token for token in locked if token.is_ended]:
            raise IllegalMove(f"A token that is {ended[0].status} can't become {cls.Status.REVOKED}.")
        currency.change_all(locked, status=cls.Status.REVOKED, status_reason=status_reason, open_request=None)

    def claim(self) -> None:
        """Raise the version if status and version are still those that were read; else Conflict."""
        currency.claim(self, status=self.status)

    def as_actor(self) -> Actor:
        return Actor("token", self.pk, self.name)

    def audit_target(self) -> Target:
        return Target("token", self.pk, self.name, self.organization_id)
