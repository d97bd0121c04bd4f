"""Notes who has seen the secrets of before 0003, which kept nobody: none of them approves what their token asks for."""

from collections import defaultdict
from typing import Any

from django.db import migrations

BATCH = 1000  # secrets
USES = ["token.used", "token.denied"]  # as the index without them says it
DONE = {"action": "token.rotated", "outcome": "allowed", "target_type": "token"}


def note_who_was_shown(apps: Any, _: Any) -> None:
    """Who made the token, and who rotated it or for whom: which generation was theirs, its events do not always tell."""
    secrets = apps.get_model("tokens", "TokenSecret").objects.filter(shown_to=[]).order_by("pk")
    events = apps.get_model("audit", "Event").objects
    last = 0
    while rows := list(secrets.filter(pk__gt=last).select_related("token").only("token__created_by")[:BATCH]):
        last = rows[-1].pk
        known: defaultdict[str, set[str]] = defaultdict(set)
        for row in rows:
            if row.token.created_by_id is not None:
                known[row.token_id].add(str(row.token.created_by_id))
        rotated = events.filter(**DONE, target_id__in={row.token_id for row in rows}).exclude(action__in=USES)
        for event in rotated.only(
            "target_id", "actor_type", "actor_id", "on_behalf_of_type", "on_behalf_of_id"
        ):
            if event.actor_type == "person":
                known[event.target_id].add(event.actor_id)
            if event.on_behalf_of_type == "person":
                known[event.target_id].add(event.on_behalf_of_id)
        for row in rows:
            row.shown_to = sorted(known[row.token_id])
        secrets.model.objects.bulk_update([row for row in rows if row.shown_to], ["shown_to"], batch_size=200)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0005_what_is_given_up"),
        ("tokens", "0003_governance"),
    ]

    operations = [migrations.RunPython(note_who_was_shown, migrations.RunPython.noop, elidable=True)]
