"""Where an organization's events go: endpoints are added, changed and removed; their secrets rotated; what was given up
is sent again or dropped."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from django.db.models import F

from audit.actions import Action
from audit.models import WebhookDelivery, WebhookEndpoint
from audit.organizations import Named
from audit.policy import may_manage_webhooks
from audit.trail import differences, record
from audit.verbs import verb
from audit.webhooks import filters, queue, signing
from config.edge import destinations, misplaced
from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import ChangedMeanwhile, Conflict, IllegalMove, Invalid, Missing, require

OVERLAP = timedelta(hours=24)  # in which the secret before signs too
MOST = 50  # endpoints of one organization
NOT_YOURS = "Webhooks are for who manages the organization's permissions, in their own browser session."
BY_HAND = "Disabled by hand."


@dataclass(frozen=True)
class Revealed:
    """An endpoint and its secret, to be shown once."""

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


@verb(Action.WEBHOOK_ADDED)
def add(
    organization: Named,
    *,
    url: str,
    actions: Sequence[str],
    description: str = "",
    enabled: bool = True,
    by: Access,
) -> Revealed:
    """Add an endpoint; it gets what happens from now on."""
    _require_may(by, organization.id)
    if WebhookEndpoint.objects.present().filter(organization_id=organization.id).count() >= MOST:
        raise Conflict(f"There are {MOST} webhooks already.", code="too_many")
    endpoint = WebhookEndpoint(
        organization_id=organization.id,
        url=_checked(url),
        description=description,
        actions=filters.parsed(actions),
        enabled=enabled,
        disabled_reason="" if enabled else BY_HAND,
        pepper_id=signing.newest_pepper(),
        created_at=now(),
    )
    endpoint.save(force_insert=True)
    queue.forget_listeners()
    record(Action.WEBHOOK_ADDED, by=by, target=endpoint, data=_facts(endpoint))
    return Revealed(endpoint, signing.secret_of(endpoint))


@verb(Action.WEBHOOK_CHANGED)
def change(endpoint: WebhookEndpoint, *, changes: dict[str, Any], by: Access) -> None:
    """Change some of url, description, actions and enabled. Enabled again, it first gets what it was still owed."""
    _require_may(by, endpoint.organization_id)
    before, old_url, was_enabled = _facts(endpoint), endpoint.url, endpoint.enabled
    if "url" in changes:
        changes = {**changes, "url": _checked(changes["url"])}
    if "actions" in changes:
        changes = {**changes, "actions": filters.parsed(changes["actions"])}
    _claim(endpoint)
    for name, value in changes.items():
        setattr(endpoint, name, value)
    if "enabled" in changes:
        endpoint.disabled_reason = "" if endpoint.enabled else endpoint.disabled_reason or BY_HAND
    endpoint.save(update_fields=[*changes, "disabled_reason"])
    if (endpoint.enabled and not was_enabled) or endpoint.url != old_url:
        at = now()
        endpoint.deliveries.pending().update(attempts=0, owed_since=at, due_at=at)
    told = differences(before, _facts(endpoint))
    if endpoint.url != old_url:
        told["url"] = [before["url"], endpoint.origin]  # though only the path, which is not told, may differ
    queue.forget_listeners()
    record(Action.WEBHOOK_CHANGED, by=by, target=endpoint, data={"changes": told})


@verb(Action.WEBHOOK_REMOVED)
def remove(endpoint: WebhookEndpoint, *, by: Access) -> None:
    """End an endpoint. What it was owed is dropped."""
    _require_may(by, endpoint.organization_id)
    _claim(endpoint)
    endpoint.removed_at = now()
    endpoint.save(update_fields=["removed_at"])
    dropped, _ = endpoint.deliveries.pending().delete()
    queue.forget_listeners()
    record(Action.WEBHOOK_REMOVED, by=by, target=endpoint, data={"dropped": dropped})


@verb(Action.WEBHOOK_SECRET_ROTATED)
def rotate_secret(endpoint: WebhookEndpoint, *, by: Access) -> Revealed:
    """Give an endpoint a new secret. For a day messages bear the signatures of both, then of the new one alone."""
    _require_may(by, endpoint.organization_id)
    _claim(endpoint)
    endpoint.previous_key_version, endpoint.previous_pepper_id = endpoint.key_version, endpoint.pepper_id
    endpoint.previous_until = now() + OVERLAP
    endpoint.key_version, endpoint.pepper_id = endpoint.key_version + 1, signing.newest_pepper()
    endpoint.save(
        update_fields=[
            *("key_version", "pepper_id"),
            *("previous_key_version", "previous_pepper_id", "previous_until"),
        ]
    )
    data = {"previous_until": endpoint.previous_until.isoformat()}
    record(Action.WEBHOOK_SECRET_ROTATED, by=by, target=endpoint, data=data)
    return Revealed(endpoint, signing.secret_of(endpoint))


@verb(Action.WEBHOOK_TESTED)
def test(endpoint: WebhookEndpoint, *, by: Access) -> WebhookDelivery:
    """Send this test's own event to the endpoint, whatever actions it wants, behind what it is owed already."""
    _require_may(by, endpoint.organization_id)
    _require_present(endpoint)
    if not endpoint.enabled:
        raise Conflict("It is disabled: nothing is sent to it.", code="disabled")
    event = record(Action.WEBHOOK_TESTED, by=by, target=endpoint)
    queue.owe_to([endpoint], event.action, [event.pk])
    return endpoint.deliveries.get(event_id=event.pk)


@verb(Action.DELIVERY_RETRIED)
def retry(delivery: WebhookDelivery, *, by: Access) -> None:
    """Send again, now, what was given up or still waits, with all its tries anew. It keeps its place in the order."""
    endpoint = delivery.endpoint
    _require_may(by, endpoint.organization_id)
    _require_present(endpoint)
    at = now()
    changes = {"state": WebhookDelivery.State.PENDING, "attempts": 0, "owed_since": at, "due_at": at}
    if not _undelivered(delivery).update(**changes):
        raise IllegalMove("It was delivered, or dropped.")
    delivery.refresh_from_db()
    record(Action.DELIVERY_RETRIED, by=by, target=endpoint, data=_about(delivery))


@verb(Action.DELIVERY_DROPPED)
def drop(delivery: WebhookDelivery, *, by: Access) -> None:
    """Never send it. The event stays in the trail."""
    endpoint = delivery.endpoint
    _require_may(by, endpoint.organization_id)
    if not _undelivered(delivery).delete()[0]:
        raise IllegalMove("It was delivered, or dropped.")
    record(Action.DELIVERY_DROPPED, by=by, target=endpoint, data=_about(delivery))


def _require_may(by: Access, organization_id: UUID) -> None:
    require(may_manage_webhooks(by, organization_id), NOT_YOURS)


def _require_present(endpoint: WebhookEndpoint) -> None:
    if not WebhookEndpoint.objects.present().filter(pk=endpoint.pk).exists():
        raise Missing("There is no such webhook.")


def _claim(endpoint: WebhookEndpoint) -> None:
    """Raise the version if it still is what was read; else Conflict."""
    here = WebhookEndpoint.objects.present().filter(pk=endpoint.pk, version=endpoint.version)
    if not here.update(version=F("version") + 1):
        raise ChangedMeanwhile
    endpoint.version += 1


def _undelivered(delivery: WebhookDelivery) -> Any:
    return WebhookDelivery.objects.filter(pk=delivery.pk).exclude(state=WebhookDelivery.State.DELIVERED)


def _checked(url: str) -> str:
    """The URL, if a call could ever be made to it. Its name is judged by what it resolves to, at each call."""
    try:
        destinations.parse(url)
    except destinations.NotAllowed as refusal:
        raise Invalid.field("url", str(refusal)) from None
    misplaced.require_none(unquote(url), "url")
    return url


def _facts(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """What can be said of it in an event: of the URL no more than where it leads."""
    return {
        "url": endpoint.origin,
        "description": endpoint.description,
        "actions": endpoint.actions,
        "enabled": endpoint.enabled,
    }


def _about(delivery: WebhookDelivery) -> dict[str, Any]:
    return {"event": str(delivery.event_id), "action": delivery.action}
