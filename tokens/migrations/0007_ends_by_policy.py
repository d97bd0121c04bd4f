"""The notices find by when it was approved which tokens their organization's longest lifetime ends."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tokens", "0006_what_widened_it")]

    operations = [
        migrations.AddIndex(
            "token",
            models.Index(
                fields=["organization", "approved_at"],
                name="token_by_approval",
                condition=models.Q(status__in=["active", "disabled"], expired_at=None),
            ),
        ),
    ]
