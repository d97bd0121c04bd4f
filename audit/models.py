"""The audit trail's rows, and the outbox of effects that follow a committed change.

An event has no foreign key: it keeps plain ids and the labels of its day, so that nothing that happens later to what it
names can change it.
"""

from typing import Any, NoReturn

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from audit.actions import Action, Outcome
from config.edge.ids import uuid7

# By far the most events; a token's changes are found among them by an index of their own.
USES = [Action.TOKEN_USED.value, Action.TOKEN_DENIED.value]


class AppendOnly(Exception):
    """Somebody tried to change or to delete an event."""


class EventQuerySet(models.QuerySet["Event"]):
    def of_organizations(self, organization_ids: frozenset[Any]) -> "EventQuerySet":
        return self.filter(organization_id__in=organization_ids)

    def about_token(self, token_id: str) -> "EventQuerySet":
        """What the token did and what was done to it."""
        did = models.Q(actor_type="token", actor_id=token_id)
        was_done = models.Q(target_type="token", target_id=token_id)
        return self.filter(did | was_done)

    def changes_of(self, target_type: str, target_id: str) -> "EventQuerySet":
        """What was done to something, without its uses and without what was refused."""
        done = self.filter(target_type=target_type, target_id=target_id, outcome=Outcome.ALLOWED)
        return done.exclude(action__in=USES)

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Events are append-only.")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Events are append-only.")

    def delete(self) -> NoReturn:
        raise AppendOnly("Events are append-only.")

    def _raw_delete(self, using: str | None) -> NoReturn:
        raise AppendOnly("Events are append-only.")


class Event(models.Model):
    """One thing that happened, was refused or failed. Append-only: by model, by queryset and by database trigger."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sequence = models.BigIntegerField(null=True, unique=True, editable=False)
    at = models.DateTimeField()
    action = models.CharField(max_length=50)  # one of Action; without choices, a new word remakes no table
    outcome = models.CharField(max_length=10, choices=Outcome)
    reason = models.CharField(max_length=1000, blank=True)
    organization_id = models.UUIDField(null=True)
    actor_type = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=100)
    actor_label = models.CharField(max_length=200)
    on_behalf_of_type = models.CharField(max_length=20, blank=True)
    on_behalf_of_id = models.CharField(max_length=100, blank=True)
    on_behalf_of_label = models.CharField(max_length=200, blank=True)
    target_type = models.CharField(max_length=30)
    target_id = models.CharField(max_length=100)
    target_label = models.CharField(max_length=200)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    request_id = models.CharField(max_length=64)
    client_request_id = models.CharField(max_length=64, blank=True)
    data = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization_id", "-id"], name="event_by_organization"),
            models.Index(fields=["target_type", "target_id", "-id"], name="event_by_target"),
            models.Index(
                fields=["target_type", "target_id", "-id"],
                name="event_of_change",
                condition=~models.Q(action__in=USES),
            ),
            models.Index(fields=["actor_type", "actor_id", "-id"], name="event_by_actor"),
            models.Index(fields=["organization_id", "-at"], name="event_by_time"),
            models.Index(fields=["request_id"], name="event_by_request"),
            models.Index(
                fields=["client_request_id"],
                name="event_by_client_request",
                condition=~models.Q(client_request_id=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.outcome} {self.target_label}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly("Events are append-only.")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Events are append-only.")


class OutboxRow(models.Model):
    """One effect outside the database that a committed change still owes: carries ids and versions, never a secret."""

    kind = models.CharField(max_length=30)
    payload = models.JSONField()
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(db_default=Now())  # not before; moved on by each attempt of the worker

    class Meta:
        indexes = [models.Index(fields=["kind", "id"], name="outbox_by_kind")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
