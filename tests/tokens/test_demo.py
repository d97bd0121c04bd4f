"""The demo organization: a believable shape, made through the verbs, in the order of time, without a secret kept."""

import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import transaction
from rest_framework.test import APIClient

from approvals.models import ApprovalRequest
from audit.models import Event
from config.edge.clock import now
from fleets.models import AclEntry, Fleet, Machine, MachineTemplate, Membership, Organization, User
from fleets.organization_policy import OrganizationPolicy, policy_of
from tokens import secret
from tokens.models import EmergencyAccess, Token, TokenSecret

PASSWORD = "given by the environment"


@pytest.fixture(scope="module")
def demo(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, str]]:
    """What the command printed; all tests of this module look at the same demo."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield run_demo()
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _looked_at(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test does to the shared demo is undone."""
    if "demo" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("demo")
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def run_demo(*options: str, password: str = PASSWORD) -> dict[str, str]:
    output = io.StringIO()
    with mock.patch.dict(os.environ, {"ADMIN_PASSWORD": password}):
        call_command("demo", *options, stdout=output)
    assert output.getvalue().count("\n") == 1
    printed: dict[str, str] = json.loads(output.getvalue())
    return printed


def events() -> list[Event]:
    return list(Event.objects.order_by("id"))


@pytest.mark.django_db
def test_an_empty_demo_is_one_owner_and_nothing_else() -> None:
    printed = run_demo("--empty", "--username", "root")

    assert printed == {"organization": "main", "username": "root", "fleet": None}
    assert User.objects.get().is_superuser
    assert Membership.objects.get().role == "owner"
    assert not Token.objects.exists()
    assert [str(event.action) for event in events()] == ["organization.opened", "demo.filled"]


@pytest.mark.django_db
def test_without_a_password_in_the_environment_one_is_made_and_printed() -> None:
    printed = run_demo("--empty", password="")

    assert len(printed["password"]) >= 12
    assert User.objects.get().check_password(printed["password"])


def test_the_printed_line_names_what_was_made(demo: dict[str, str]) -> None:
    assert demo == {
        "organization": "brightwater",
        "username": "admin",
        "fleet": "edge",
        "token": demo["token"],
    }
    assert secret.parse(demo["token"])


def test_the_printed_token_lists_the_machines_of_its_fleet_and_no_others(demo: dict[str, str]) -> None:
    client = APIClient(headers={"authorization": f"Bearer {demo['token']}"})

    answer = client.get("/api/v1/machines/")

    assert answer.status_code == 200
    names = {machine["name"] for machine in answer.data["results"]}
    live = Machine.objects.live().filter(fleet__slug="edge", organization__slug="brightwater")
    assert names == set(live.values_list("name", flat=True))


def test_the_given_password_signs_in(demo: dict[str, str]) -> None:
    assert User.objects.get(username="admin").check_password(PASSWORD)


def test_admin_is_a_superuser_and_owner_of_the_first_organization_only(demo: dict[str, str]) -> None:
    admin = User.objects.get(is_superuser=True)
    assert admin.username == "admin"
    memberships = admin.memberships.values_list("organization__slug", "role", "left_at", "suspended_at")
    assert list(memberships) == [("brightwater", "owner", None, None)]


def test_an_active_member_of_every_role_besides_admin(demo: dict[str, str]) -> None:
    others = (
        Membership.objects.active().filter(organization__slug="brightwater").exclude(user__username="admin")
    )
    assert set(others.values_list("role", flat=True)) == set(Membership.Role.values)


def test_somebody_left_and_somebody_is_suspended(demo: dict[str, str]) -> None:
    assert Membership.objects.exclude(left_at=None).count() == 1
    assert Membership.objects.present().exclude(suspended_at=None).count() == 1


def test_two_organizations_with_three_fleets_of_at_least_four_machines(demo: dict[str, str]) -> None:
    assert set(Organization.objects.values_list("slug", flat=True)) == {"brightwater", "kestrel"}
    machines = Counter(Machine.objects.live().values_list("fleet__organization__slug", "fleet__slug"))
    assert len(machines) == Fleet.objects.count() == 6
    assert min(machines.values()) >= 4
    assert sum(machines.values()) == 25


def test_every_machine_has_tags_and_a_configuration(demo: dict[str, str]) -> None:
    for machine in Machine.objects.all():
        assert machine.tags
        assert machine.configuration["cpus"]
        assert machine.configuration["memory"]
    assert Machine.objects.exclude(vmid=None).count() > 15


def test_the_first_organization_has_templates_that_name_its_images_and_networks(demo: dict[str, str]) -> None:
    templates = MachineTemplate.objects.select_related("organization", "image", "network")

    assert len(templates) == 3
    for template in templates:
        assert template.organization.slug == demo["organization"]
        assert template.image
        assert template.network
    assert len(Event.objects.filter(action__in=["template.added", "network.added", "image.added"])) == 8


def test_high_risk_needs_one_approval_in_the_first_organization_and_all_else_is_the_default(
    demo: dict[str, str],
) -> None:
    first, second = Organization.objects.order_by("slug")
    assert policy_of(first) == OrganizationPolicy(approvals_needed=(0, 0, 1))
    assert policy_of(second) == OrganizationPolicy()
    changed = Event.objects.get(action="policy.changed")
    joined = Event.objects.filter(action="member.joined", target_label__contains="hanna").earliest("at")
    assert joined.at < changed.at < now() - timedelta(days=10)


def test_there_are_requests_in_every_state_that_there_can_be(demo: dict[str, str]) -> None:
    requests = ApprovalRequest.objects.order_by("opened_at")
    assert {(row.kind, row.status) for row in requests} == {
        ("token_issue", "approved"),
        ("token_issue", "rejected"),
        ("token_issue", "lapsed"),
        ("token_issue", "open"),
        ("token_change", "approved"),
        ("token_change", "open"),
    }
    assert all(row.is_in_time for row in requests if row.is_open)
    assert [row for row in requests if row.status == "lapsed" and row.reminded_at]
    waiting = {token.name for token in Token.objects.exclude(open_request=None)}
    assert waiting == {"autoscaler", "ansible-nightly"}
    first = Token.objects.filter(organization__slug="brightwater", risk=2).exclude(approved_at=None)
    since = Event.objects.get(action="policy.changed").at
    approved = {row.subject_id for row in requests if row.status == "approved"}
    assert {token.pk for token in first if token.created_at > since} <= approved
    assert Event.objects.filter(action="approval.granted", actor_label__contains="hanna").exists()


def test_tokens_are_restricted_and_a_past_emergency_lifted_one(demo: dict[str, str]) -> None:
    restricted = [token.restrictions for token in Token.objects.all()]
    assert len([row for row in restricted if row.networks]) >= 5
    assert {
        len([row for row in restricted if row.rate]),
        len([row for row in restricted if row.windows]),
    } == {2}
    window = EmergencyAccess.objects.get()
    assert window.ended_at
    assert window.ended_at < window.ends_at < now()
    about = Event.objects.filter(target_id=window.token_id).order_by("id")
    needed = [
        event for event in about if event.data.get("emergency") == str(window.pk) and "bypassed" in event.data
    ]
    assert len(needed) == 6
    assert {tuple(event.data["bypassed"]) for event in needed} == {("network",)}
    refused = [event.at for event in about if event.reason == "network_not_allowed"]
    assert refused[0] < window.starts_at < needed[0].at < needed[-1].at < window.ended_at < refused[-1]


def test_a_group_with_members_has_paths(demo: dict[str, str]) -> None:
    entries = AclEntry.objects.filter(group__slug="on-call", organization__slug="brightwater")
    assert set(entries.values_list("path", "role")) == {
        ("/fleets/harbour", "GroupUser"),
        ("/fleets/lab", "GroupUser"),
    }


def test_tokens_of_every_kind_in_every_status(demo: dict[str, str]) -> None:
    tokens = list(Token.objects.all())
    assert 65 <= len(tokens) <= 85
    first = Token.objects.filter(organization__slug="brightwater")
    assert {token.kind for token in first} == set(Token.Kind.values)
    statuses = Counter(str(token.derived_status) for token in tokens)
    assert set(statuses) == {"active", "pending", "disabled", "expired", "revoked", "rejected"}
    assert statuses["active"] > len(tokens) / 2
    reasons = set(Token.objects.filter(status="revoked").values_list("status_reason", flat=True))
    assert reasons == {"by_hand", "by_itself", "owner_left"}


def test_tokens_of_every_kind_are_issued_by_who_may_and_their_technical_users_suit_them(
    demo: dict[str, str],
) -> None:
    acting = Token.objects.not_ended().filter(organization__slug="brightwater")
    roles = acting.values_list("kind", "principal__technical__role").distinct()
    assert {tuple(pair) for pair in roles} >= {
        ("group", "user"),
        ("group", "admin"),
        ("organization", "Viewer"),
        ("organization", "Admin"),
        ("application", ""),
        ("technical_user", ""),
    }
    assert {token.name: token.extended for token in acting if token.extended} == {
        "provisioner": ["images", "templates"]
    }
    issuers = dict(acting.values_list("name", "created_by__username"))
    assert (issuers["runbook"], issuers["planner"]) == ("sofia.marquez", "daniel.okafor")
    used = Event.objects.filter(action="token.used").values_list("target_id", flat=True).distinct()
    assert {token.kind for token in acting.filter(pk__in=used)} == set(Token.Kind.values)


def test_two_tokens_are_in_the_overlap_of_a_rotation(demo: dict[str, str]) -> None:
    overlapping = TokenSecret.objects.filter(valid_until__gt=now())
    assert overlapping.count() == 2


def test_every_token_has_the_event_of_its_issue_and_its_creator(demo: dict[str, str]) -> None:
    issued = Event.objects.filter(action="token.issued", outcome="allowed")
    assert sorted(issued.values_list("target_id", flat=True)) == sorted(
        Token.objects.values_list("pk", flat=True)
    )
    creators = dict(Token.objects.values_list("pk", "created_by__username"))
    assert {event.target_id: event.actor_label for event in issued} == creators


def test_events_are_in_the_order_of_time_over_months_and_never_in_the_future(demo: dict[str, str]) -> None:
    instants = [event.at for event in events()]
    assert instants == sorted(instants)
    assert instants[-1] <= now()
    assert instants[-1] - instants[0] > timedelta(days=100)
    for event in events():
        milliseconds = int(event.at.timestamp() * 1000)
        assert abs((event.id.int >> 80) - milliseconds) < 1000


def test_a_month_of_use_by_realistic_clients(demo: dict[str, str]) -> None:
    used = Event.objects.filter(action="token.used")
    assert 1000 <= used.count() <= 3000
    assert len({event.at.date() for event in used}) >= 28
    assert not used.filter(address=None).exists()
    assert not used.filter(user_agent="").exists()
    assert used.values("target_id").distinct().count() > 40


def test_refused_calls_are_in_the_trail_too(demo: dict[str, str]) -> None:
    denied = set(Event.objects.filter(action="token.denied").values_list("reason", flat=True))
    assert denied >= {
        "insufficient_scope",
        "token_expired",
        "token_disabled",
        "token_revoked",
        "owner_inactive",
        "network_not_allowed",
    }


def test_the_last_use_is_the_one_of_the_trail(demo: dict[str, str]) -> None:
    for token in Token.objects.exclude(last_used_at=None):
        last = Event.objects.filter(action="token.used", target_id=token.pk).latest("at")
        assert token.last_used_at is not None
        assert abs(last.at - token.last_used_at) <= timedelta(minutes=1)


def test_every_event_names_its_request(demo: dict[str, str]) -> None:
    assert all(event.request_id for event in events())


def test_no_secret_is_stored(demo: dict[str, str]) -> None:
    for model in apps.get_models():
        for row in model._default_manager.values():
            assert not secret.PATTERN.search(json.dumps(row, default=str))
            assert PASSWORD not in json.dumps(row, default=str)


def test_a_second_demo_is_refused_and_changes_nothing(demo: dict[str, str]) -> None:
    before = Event.objects.count()
    with pytest.raises(CommandError, match="not empty"):
        run_demo()
    assert Event.objects.count() == before


def test_only_the_demo_sets_the_clock(repository: Path) -> None:
    sources = [
        path for app in ("config", "audit", "fleets", "tokens") for path in (repository / app).rglob("*.py")
    ]
    setting = [
        path for path in sources if re.search(r"\bclock\.at\(|import.*\bat\b.*clock", path.read_text())
    ]
    assert [path.relative_to(repository).as_posix() for path in setting] == ["tokens/demo/timeline.py"]
