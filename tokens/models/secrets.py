"""Digests of secrets, and how the peppers behind them are known to be right. No secret is stored."""

from datetime import datetime

from django.db import models
from django.db.models import Q

from tokens.models.token import Token


class TokenSecretQuerySet(models.QuerySet["TokenSecret"]):
    def live(self, at: datetime) -> "TokenSecretQuerySet":
        return self.filter(Q(valid_until=None) | Q(valid_until__gt=at))


class TokenSecret(models.Model):
    """The digest of one generation of a token's secret. At most two are live: the newest, and one in its overlap."""

    token = models.ForeignKey(Token, models.CASCADE, related_name="secrets")
    generation = models.PositiveIntegerField()
    digest = models.BinaryField(max_length=32)
    pepper_id = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    valid_until = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    last_used_address = models.GenericIPAddressField(null=True)
    ended_at = models.DateTimeField(null=True)  # when the sweep recorded the end of its overlap
    shown_to = models.JSONField(
        default=list
    )  # ids of the users who have seen it: none of them approves the token

    objects = TokenSecretQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["token", "generation"], name="one_secret_of_a_generation"),
            models.UniqueConstraint(
                fields=["token"], condition=Q(valid_until=None), name="one_newest_secret"
            ),
        ]
        indexes = [
            models.Index(
                fields=["valid_until"],
                name="secret_by_end",
                condition=Q(ended_at=None, valid_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"generation {self.generation}"


class PepperCheck(models.Model):
    """What each pepper makes of a known text: a wrong key is noticed before it calls every token invalid."""

    pepper_id = models.PositiveIntegerField(primary_key=True)
    check_value = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return f"pepper {self.pepper_id}"
