"""A database that is filled once for a module: hundreds of attacks, each undone by its test, can share it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from audit import triggers
from tests.attacks.clients import signed_in
from tests.attacks.climbing import House
from tests.attacks.estate import Estate, make_estate
from tests.attacks.tables import Attempt, undone


@pytest.fixture(scope="module")
def filled(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Estate]:
    """Two organizations in a transaction around the module's tests, which never commits; who attacks is signed in."""
    with django_db_blocker.unblock(), transaction.atomic():
        estate = make_estate()
        with signed_in(estate.ours.owner, estate.ours.admin, estate.superuser):
            yield estate
        transaction.set_rollback(True)


@pytest.fixture
def estate(filled: Estate, db: None) -> Estate:
    """For one test: what it does to the two organizations is undone."""
    return filled


@pytest.fixture(scope="module")
def built(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[House]:
    """In a transaction around the module's tests, which never commits."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield House()
        transaction.set_rollback(True)


@pytest.fixture
def house(built: House, db: None) -> House:
    """For one test: what it does is undone."""
    return built


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Estate]:
    """Two organizations that other processes see too, shared by a module, whose own `db` takes this."""
    with django_db_blocker.unblock():
        try:
            yield make_estate()
        finally:
            if connection.vendor == "sqlite":  # which empties tables by DELETE; post_migrate brings them back
                triggers.remove()
            call_command("flush", interactive=False, verbosity=0)
            connection.close()


@pytest.fixture
def attempt(subtests: pytest.Subtests) -> Attempt:
    """One of many attacks in a test: `with attempt(name)`. What it does is undone, the others are tried whatever
    becomes of it, and each that fails is reported by its name.
    """

    @contextmanager
    def attempted(name: str) -> Iterator[None]:
        try:
            with undone():
                yield
        except (Exception, pytest.fail.Exception):
            with subtests.test(name):  # of those that fail alone: each costs as much as a test
                raise

    return attempted
