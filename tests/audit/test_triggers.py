"""Triggers are there after a migration, come back when they are lost, and are missed when they are not there."""

import pytest
from django.core.management import call_command

from audit import readiness, triggers

pytestmark = pytest.mark.django_db
BOTH = ["audit_event_keeps", "audit_event_stays"]


def ours(names: list[str]) -> list[str]:
    return sorted(name for name in names if name.startswith("audit_event"))


def test_they_are_there_after_a_migration() -> None:
    assert triggers.missing() == []
    assert readiness.missing_triggers() is None


def test_readiness_and_the_system_check_name_those_that_are_missing() -> None:
    triggers.remove()

    assert ours(triggers.missing()) == BOTH
    assert "audit_event_keeps" in (readiness.missing_triggers() or "")
    assert [error.id for error in readiness.check_triggers(databases=["default"])] == ["tokenhouse.E010"]
    triggers.install()
    assert readiness.check_triggers(databases=["default"]) == []


@pytest.mark.django_db(transaction=True)
def test_migrating_brings_them_back() -> None:
    triggers.remove()

    call_command("migrate", verbosity=0)

    assert triggers.missing() == []


def test_installing_twice_changes_nothing() -> None:
    triggers.install()
    triggers.install()

    assert triggers.missing() == []
