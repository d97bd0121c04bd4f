"""How people come in: invitations that wait to be accepted, and the sessions in which they are signed in."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from audit.trail import Target
from config.edge.clock import now
from config.edge.ids import uuid7
from fleets.models.people import Organization, User


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def waiting(self) -> "InvitationQuerySet":
        """Neither accepted nor withdrawn. What has lapsed can be renewed."""
        return self.filter(accepted_at=None, withdrawn_at=None)

    def open(self) -> "InvitationQuerySet":
        """Whose link still works."""
        return self.waiting().filter(expires_at__gt=now())


class Invitation(models.Model):
    """A link that lets a new person choose their password, once, within 72 hours. The link itself is not stored."""

    currency_kind: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="invitations")
    user = models.ForeignKey(User, models.PROTECT, related_name="invitations")
    version = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"],
                condition=Q(accepted_at=None, withdrawn_at=None),
                name="one_waiting_invitation",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} to {self.organization}"

    def audit_target(self) -> Target:
        return Target("invitation", str(self.pk), self.user.username, self.organization_id)


class SignedInSessionQuerySet(models.QuerySet["SignedInSession"]):
    def live(self) -> "SignedInSessionQuerySet":
        """Which nobody has ended. Whether its cookie still counts, Django's own session knows."""
        return self.filter(ended_at=None)


class SignedInSession(models.Model):
    """Where a person is signed in, for the list in which they end sessions. Never the session's own key."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="signed_in_sessions")
    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of the session's key, in hexadecimal
    address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(default=now)
    last_seen_at = models.DateTimeField(default=now)
    checked_at = models.DateTimeField(
        default=now
    )  # when it was last proven that its person is there: a password
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = SignedInSessionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.user} since {self.started_at:%Y-%m-%d %H:%M}"
