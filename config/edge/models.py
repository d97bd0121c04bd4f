"""What the edge itself remembers: idempotency keys, counters for while Redis is away, when each timer last ran."""

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


class RateCounter(models.Model):
    """How often something happened lately, counted here while Redis is away. Read and written under the row's lock."""

    key = models.CharField(primary_key=True, max_length=200)
    buckets = models.JSONField(default=dict)
    ends_at = models.DateTimeField(db_index=True)  # from then on it counts nothing

    def __str__(self) -> str:
        return self.key


class Timer(models.Model):
    """One periodic task: which run is taken, and how the last one ended. Two beats take one run of a slot."""

    name = models.CharField(primary_key=True, max_length=60)
    taken_at = models.DateTimeField(null=True)  # by whoever runs it now, or ran it last
    done_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
