"""Organizations and entries: opened, changed, set, and by whom."""

from contextlib import nullcontext

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.edge.refusals import Conflict, Invalid, Refused
from fleets import membership, organizations
from fleets.models import Organization
from fleets.organization_policy import policy_of
from tests.factories import (
    events,
    last_event,
    make_entry,
    make_group,
    make_group_member,
    make_member,
    make_organization,
    make_person,
    make_superuser,
    operator,
    owner_of,
    session,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def test_an_organization_opens_with_its_owner() -> None:
    ada = make_person("ada")

    organization = organizations.open_organization(
        slug="acme", name="Acme", owner=ada, by=session(make_superuser())
    )

    membership = organization.memberships.get()
    assert (membership.user, membership.role) == (ada, "owner")
    assert events(organization_id=organization.pk) == ["organization.opened allowed"]


def test_only_superusers_open_organizations() -> None:
    ada = make_person("ada")

    with pytest.raises(Refused):
        organizations.open_organization(slug="acme", name="Acme", owner=ada, by=session(ada))

    assert Organization.objects.count() == 0
    assert (last_event().action, last_event().outcome) == ("organization.opened", "denied")


def test_an_organizations_slug_is_never_reused(acme: Organization) -> None:
    with pytest.raises(Conflict) as refusal:
        make_organization("acme")

    assert refusal.value.code == "slug_taken"


def test_policy_changes_leave_what_was_and_what_is(acme: Organization) -> None:
    organizations.set_policy(
        acme,
        changes={"default_lifetime_days": 30, "request_hours": 72},
        reason="shorter lives",
        by=session(owner_of(acme)),
    )

    assert policy_of(Organization.objects.get()).default_lifetime_days == 30
    event = last_event(action="policy.changed")
    assert (event.reason, event.data) == ("shorter lives", {"changes": {"default_lifetime_days": [90, 30]}})


def test_a_policy_that_changes_nothing_leaves_no_event_and_no_version(acme: Organization) -> None:
    whole = policy_of(acme).as_json()

    organizations.set_policy(acme, changes=whole, by=session(owner_of(acme)))

    assert (Organization.objects.get().version, Organization.objects.get().policy) == (1, {})
    assert events(action="policy.changed") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"lifetime": 1},
        {"default_lifetime_days": 0},
        {"default_lifetime_days": 3651},
        {"default_lifetime_days": True},
        {"default_lifetime_days": "30"},
        {"approvals_needed": 1},
        {"approvals_needed": {"dire": 1}},
        {"approvals_needed": {"high": -1}},
        {"approvals_needed": {"high": 6}},
        {"approvals_needed": {"high": None}},
    ],
)
def test_a_policy_that_can_not_be_meant_is_refused(acme: Organization, changes: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refusal:
        organizations.set_policy(acme, changes=changes, by=operator)

    assert refusal.value.errors[0].field.startswith("policy.")
    assert Organization.objects.get().policy == {}


def test_approvals_need_one_more_decider_than_approvals(acme: Organization) -> None:
    changes = {"approvals_needed": {"high": 1}}

    with pytest.raises(Conflict) as refusal:
        organizations.set_policy(acme, changes=changes, by=operator)
    assert refusal.value.code == "approvers_missing"

    make_member(acme, "approver")
    organizations.set_policy(acme, changes=changes, by=operator)
    assert policy_of(acme).approvals_needed == (0, 0, 1)


@pytest.mark.parametrize(
    ("second", "suffices"),
    [
        ("owner", True),
        ("approver", True),
        ("superuser", True),
        ("admin", False),
        ("administrator by entry", False),
        ("suspended approver", False),
        ("inactive approver", False),
        ("approver elsewhere", False),
        ("superuser elsewhere", False),
        ("denied approver", False),
        ("denied owner", True),
        ("approver denied by a group", False),
    ],
)
def test_deciders_are_who_may_decide_now(acme: Organization, second: str, suffices: bool) -> None:
    role = next((role for role in ("owner", "admin", "approver") if role in second.split()), "member")
    place = make_organization("other") if "elsewhere" in second else acme
    user = make_superuser() if "superuser" in second else make_person(is_active="inactive" not in second)
    row = make_member(place, role, user=user)
    if "suspended" in second:
        membership.suspend(row, by=operator)
    if "administrator" in second:
        make_entry(acme, "/", "Administrator", user=user)
    if "group" in second:
        make_entry(acme, "/", "NoAccess", group=make_group_member(make_group(acme), user=user).group)
    elif "denied" in second:
        make_entry(acme, "/", "NoAccess", user=user)

    with nullcontext() if suffices else pytest.raises(Conflict, match="need at least 2 people"):
        organizations.set_policy(acme, changes={"approvals_needed": {"high": 1}}, by=operator)

    acme.refresh_from_db()
    assert (policy_of(acme).approvals_needed == (0, 0, 1)) is suffices


def test_counting_deciders_asks_as_little_of_many_members_as_of_few(acme: Organization) -> None:
    def queries(needed: int) -> int:
        with CaptureQueriesContext(connection) as context:
            organizations.set_policy(acme, changes={"approvals_needed": {"high": needed}}, by=operator)
        return len(context)

    make_member(acme, "approver")
    few = queries(1)
    for role in ("approver", "owner", "admin", "auditor", "member"):
        make_member(acme, role)

    assert queries(2) == few


def test_who_changes_one_organization_can_not_change_another(acme: Organization) -> None:
    with pytest.raises(Refused):
        organizations.rename(acme, name="Mine", by=session(owner_of(make_organization("other"))))

    assert Organization.objects.get(slug="acme").name == "Acme"
