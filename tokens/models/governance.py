"""What is kept about a token beside it: emergency access, who was told of its expiry, how often it was refused."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from config.edge.ids import uuid7
from fleets.models import User
from tokens.models.token import Token


class EmergencyAccess(models.Model):
    """A window in which a token's networks and access windows are lifted. It ends by the clock, whoever records it."""

    LONGEST: ClassVar[int] = 8  # hours

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    token = models.ForeignKey(Token, models.CASCADE, related_name="emergencies")
    started_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=1000)
    hours = models.PositiveSmallIntegerField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()  # half open: lifted while starts_at <= now < ends_at
    ended_at = models.DateTimeField(null=True)  # when it was stopped, or its end recorded
    ended_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")  # None: the clock

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["token"], condition=Q(ended_at=None), name="one_open_emergency_of_a_token"
            ),
            models.CheckConstraint(
                condition=Q(hours__gte=1, hours__lte=8), name="an_emergency_lasts_1_to_8_hours"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=models.F("starts_at")), name="an_emergency_ends_after_it_starts"
            ),
        ]
        indexes = [
            models.Index(fields=["ends_at"], name="emergency_by_end", condition=Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.hours} h from {self.starts_at:%Y-%m-%d %H:%M} UTC"

    def is_open(self, at: datetime) -> bool:
        """Whether it lifts anything at that instant."""
        return self.ended_at is None and self.starts_at <= at < self.ends_at


class ExpiryNotice(models.Model):
    """Somebody was told that a token expires so many days ahead: once for each expiry that it has had."""

    token = models.ForeignKey(Token, models.CASCADE, related_name="expiry_notices")
    days = models.PositiveSmallIntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["token", "days", "expires_at"], name="one_notice_of_an_expiry")
        ]

    def __str__(self) -> str:
        return f"{self.days} days"


class DenialTally(models.Model):
    """How often a token was refused for one reason from one address within one minute."""

    token = models.ForeignKey(Token, models.CASCADE, related_name="+")
    address = models.CharField(max_length=45, blank=True)
    code = models.CharField(max_length=40)
    door = models.CharField(max_length=36, blank=True)  # id of the other organization whose door was tried
    minute = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["token", "address", "code", "door", "minute"], name="one_tally_a_minute"
            )
        ]
        indexes = [models.Index(fields=["minute"], name="tally_by_minute")]

    def __str__(self) -> str:
        return f"{self.count} of {self.code}"
