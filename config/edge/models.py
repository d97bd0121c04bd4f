"""What the edge itself remembers: the idempotency keys that were used in the last day."""

from django.db import models

from config.edge.ids import uuid7


class IdempotencyKey(models.Model):
    """One key of one caller. Inserted in the transaction of the change that it stands for, answered afterwards."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    actor = models.CharField(max_length=100)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)  # SHA-256 of method, path and body, hexadecimal
    resource = models.CharField(max_length=100, blank=True)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)  # without any secret
    had_secret = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["actor", "key"], name="one_use_of_an_idempotency_key")]
        indexes = [models.Index(fields=["created_at"])]

    def __str__(self) -> str:
        return f"{self.actor} {self.key}"
