"""A disabled token says whether it was disabled from above its owner: then its owner does not enable it.

Of those that are disabled already the trail tells who did it last. Where that does not say that it was the owner
themselves, or the policy, it counts as from above: one person more is asked, and nothing comes back by itself.
"""

from typing import Any

from django.db import migrations, models

BATCH = 1000  # tokens
DONE = {"action": "token.disabled", "outcome": "allowed", "target_type": "token"}
USES = ["token.used", "token.denied"]  # as the index without them says it
NOBODY_ABOVE = ["organization", "technical_user"]


def say_who_disabled_it(apps: Any, _: Any) -> None:
    tokens = (
        apps.get_model("tokens", "Token").objects.filter(status="disabled").exclude(kind__in=NOBODY_ABOVE)
    )
    events = apps.get_model("audit", "Event").objects.filter(**DONE).exclude(action__in=USES)
    last = ""
    while rows := list(tokens.filter(pk__gt=last).order_by("pk").only("pk", "owner_user")[:BATCH]):
        last = rows[-1].pk
        latest = {
            event.target_id: event
            for event in events.filter(target_id__in=[row.pk for row in rows]).order_by("id")
        }
        for row in rows:
            row.status_reason = reason_of(row, latest.get(row.pk))
        tokens.model.objects.bulk_update(rows, ["status_reason"], batch_size=200)


def reason_of(token: Any, event: Any) -> str:
    if event is None:
        return "by_overseer"
    if (event.actor_type, event.actor_id) == ("system", "timers"):
        return "unused"
    acting = event.actor_id if event.actor_type == "person" else event.on_behalf_of_id
    is_operator = event.actor_type == "system"
    is_owner = token.owner_user_id is not None and acting == str(token.owner_user_id)
    return "" if is_owner and not is_operator else "by_overseer"


def forget(apps: Any, _: Any) -> None:
    apps.get_model("tokens", "Token").objects.filter(status="disabled").update(status_reason="")


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0005_what_is_given_up"),
        ("tokens", "0004_who_was_shown"),
    ]

    operations = [
        migrations.RemoveConstraint("token", "an_ended_token_says_why"),
        migrations.AddConstraint(
            "token",
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "active", "disabled"], status_reason="")
                | models.Q(status="disabled", status_reason__in=["by_overseer", "unused"])
                | (
                    models.Q(status__in=["rejected", "revoked"])
                    & ~models.Q(status_reason__in=["", "by_overseer", "unused"])
                ),
                name="an_ended_token_says_why",
            ),
        ),
        migrations.RunPython(say_who_disabled_it, forget, elidable=True),
    ]
