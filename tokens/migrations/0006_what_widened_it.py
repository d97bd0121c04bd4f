"""A token says that a role or an entry lets it do more than when somebody last looked at it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tokens", "0005_who_disabled_it")]

    operations = [
        migrations.AddField(
            "token",
            "widened_by",
            models.CharField(
                blank=True, choices=[("role", "Role"), ("entry", "Entry")], default="", max_length=5
            ),
            preserve_default=False,
        ),
        migrations.AddField("token", "widened_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddConstraint(
            "token",
            models.CheckConstraint(
                condition=models.Q(widened_by="", widened_at=None)
                | (models.Q(widened_by__in=["role", "entry"]) & models.Q(widened_at__isnull=False)),
                name="what_widened_a_token_did_it_at_some_time",
            ),
        ),
    ]
