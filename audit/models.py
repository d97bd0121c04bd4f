"""The audit trail's rows, the outbox of effects that follow a committed change, and webhooks.

An event has no foreign key: it keeps plain ids and the labels of its day, so that nothing that happens later to what it
names can change it.
"""

from typing import Any, NoReturn

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from audit.actions import Action, Outcome
from audit.targets import Target
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
    owed_since = models.DateTimeField(db_default=Now())  # its time runs from here; anew when it is sent again
    attempts = models.PositiveIntegerField(db_default=0)
    last_error = models.CharField(
        max_length=200, blank=True, db_default=""
    )  # words of ours, never a server's
    dead_at = models.DateTimeField(null=True)  # given up; kept until somebody sends it again or drops it

    class Meta:
        indexes = [
            models.Index(fields=["kind", "id"], name="outbox_by_kind"),
            models.Index(
                fields=["due_at", "id"], name="outbox_by_due", condition=models.Q(dead_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def label(self) -> str:
        """Its kind, and the template of a mail: whom it is for is not said."""
        return f"{self.kind} {self.payload.get('template', '')}".strip()

    def audit_target(self) -> Target:
        return Target("delivery", str(self.pk), self.label)


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def present(self) -> "WebhookEndpointQuerySet":
        return self.filter(removed_at=None)

    def of_organizations(self, organization_ids: frozenset[Any]) -> "WebhookEndpointQuerySet":
        return self.filter(organization_id__in=organization_ids)


class WebhookEndpoint(models.Model):
    """Where an organization wants its events sent. The key that signs them is derived (`webhooks.signing`)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization_id = models.UUIDField()
    url = models.CharField(max_length=2000)  # its path may be a secret of the receiver's: not for the trail
    description = models.CharField(max_length=500, blank=True)
    actions = models.JSONField()  # names of actions, `subject.*` or `*`
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, blank=True)
    key_version = models.PositiveIntegerField(default=1)
    pepper_id = models.PositiveIntegerField()
    previous_key_version = models.PositiveIntegerField(null=True)  # signs too, until
    previous_pepper_id = models.PositiveIntegerField(null=True)
    previous_until = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True)  # one worker at a time delivers to it

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["organization_id", "id"],
                name="webhook_by_organization",
                condition=models.Q(removed_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return self.description or self.origin

    @property
    def origin(self) -> str:
        """Scheme, host and port of where it is: what anybody may read of its URL."""
        return "/".join(self.url.split("/", 3)[:3])

    def audit_target(self) -> Target:
        return Target("webhook", str(self.pk), self.origin, self.organization_id)


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def pending(self) -> "WebhookDeliveryQuerySet":
        return self.filter(state=WebhookDelivery.State.PENDING)

    def dead(self) -> "WebhookDeliveryQuerySet":
        return self.filter(state=WebhookDelivery.State.DEAD)


class WebhookDelivery(models.Model):
    """One event that an endpoint is owed, or was. Those of an endpoint are sent in the order of their ids."""

    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        DEAD = "dead"

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    event_id = models.UUIDField()
    action = models.CharField(max_length=50)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()  # not before
    owed_since = models.DateTimeField()  # its time runs from here; anew when it is sent again
    last_error = models.CharField(max_length=200, blank=True)  # words of ours, never the receiver's
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event_id"], name="one_delivery_of_an_event"),
            models.CheckConstraint(
                condition=models.Q(state="delivered", delivered_at__isnull=False)
                | (~models.Q(state="delivered") & models.Q(delivered_at__isnull=True)),
                name="delivered_since_an_instant",
            ),
        ]
        indexes = [
            models.Index(
                fields=["endpoint", "id"], name="webhook_queue", condition=models.Q(state="pending")
            ),
            models.Index(fields=["endpoint", "state", "-id"], name="delivery_by_state"),
            models.Index(fields=["state", "created_at"], name="delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.state}"

    def audit_target(self) -> Target:
        return self.endpoint.audit_target()
