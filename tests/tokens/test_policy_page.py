"""The page on which an organization's policy is changed: filled in, looked at, saved."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals.models import ApprovalRequest
from config.edge.clock import now
from fleets import organizations
from fleets.models import Organization, SignedInSession
from fleets.organization_policy import ROLES, policy_of
from fleets.scopes import Scope
from tests import pages
from tests.factories import events, last_event, make_token, member, operator
from tests.tokens.conftest import World
from tokens.kinds import Kind

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def browser(world: World) -> Client:
    return pages.browser(world.owner)


def address(world: World) -> str:
    return f"/admin/fleets/organization/{world.acme.pk}/policy/"


def filled(**changes: Any) -> dict[str, Any]:
    """The form as it is sent where the policy is the default, but for these."""
    sent: dict[str, Any] = {
        "default_lifetime_days": "90",
        "never_allowed": "on",
        "approvals_low": "0",
        "approvals_medium": "0",
        "approvals_high": "0",
        "deciders": ["owner", "approver"],
        "request_hours": "72",
        "narrowing_allowed": "on",
        "reason": "because",
    }
    for role in ROLES:
        sent |= {f"kinds_{role}": list(Kind), f"scopes_{role}": list(Scope)}
    sent |= changes
    return {name: value for name, value in sent.items() if value is not None}


def test_the_form_shows_the_policy_and_the_preview_names_tokens_before_anything_is_saved(
    world: World, browser: Client
) -> None:
    issued = make_token(world.edge, "commands:execute")
    form = browser.get(address(world)).content.decode()
    assert "What has to be approved" in form
    assert ">Preview</button>" in form
    assert form.count('type="checkbox"') == 5 * (6 + len(Scope)) + 3 + 2 + 3

    body = filled(networks_required=["high"], maximum_lifetime_days="30", scopes_auditor=["audit:read"])
    page = browser.post(address(world), body).content.decode()

    assert "1 token would feel it" in page
    assert issued.token.name in page
    assert "is refused until its networks are named" in page
    assert "30 days" in page
    assert "auditors: audit:read" in page
    assert policy_of(Organization.objects.get(pk=world.acme.pk)).as_json() == policy_of(world.acme).as_json()
    assert events(action="policy.changed") == []

    saved = browser.post(address(world), {**body, "save": "yes"}, follow=True)

    assert "The policy is changed." in saved.content.decode()
    event = last_event(action="policy.changed")
    assert (event.reason, event.actor_label) == ("because", world.owner.username)
    assert event.data["changes"].keys() == {"networks_required", "maximum_lifetime_days", "scope_ceilings"}
    rules = policy_of(Organization.objects.get(pk=world.acme.pk))
    assert (rules.maximum_lifetime_days, rules.networks_required) == (30, (False, False, True))
    assert rules.ceiling_of("auditor") == frozenset({"audit:read"})
    assert rules.ceiling_of("admin") is None
    assert "high risk" in saved.content.decode()


def test_what_was_changed_since_the_preview_is_not_saved(world: World, browser: Client) -> None:
    seen = str(world.acme.version)
    body = filled(maximum_lifetime_days="30", version=seen)
    preview = browser.post(address(world), body).content.decode()
    assert f'name="version" value="{seen}"' in preview, "it is sent on"
    organizations.set_policy(world.acme, changes={"default_lifetime_days": 30}, by=operator)

    answers = [
        browser.post(address(world), {**body, "version": version, **save})
        for version in (seen, "x")
        for save in ({}, {"save": "yes"})
    ]

    assert [answer.status_code for answer in answers] == [409] * 4
    for answer in answers:
        text = answer.content.decode()
        assert "changed meanwhile" in text
        assert 'name="default_lifetime_days" value="30"' in text
        assert "would feel it" not in text
    assert policy_of(Organization.objects.get(pk=world.acme.pk)).maximum_lifetime_days is None


def test_a_weaker_policy_is_said_to_be_one_and_waits(world: World, browser: Client) -> None:
    member(world.acme, "approver")
    changes = {"approvals_needed": {"high": 1}, "maximum_lifetime_days": 30}
    organizations.set_policy(world.acme, changes=changes, by=operator)
    body = filled(approvals_high="1", maximum_lifetime_days="")

    page = browser.post(address(world), body).content.decode()
    assert "Tokens may live without limit, not for 30 days." in page
    assert "1 other person has to approve it" in " ".join(page.split())
    saved = browser.post(address(world), {**body, "save": "yes"}, follow=True)

    assert "waits for approval" in saved.content.decode()
    request = ApprovalRequest.objects.get()
    assert (request.kind, request.reason, request.status) == ("policy_change", "because", "open")
    assert policy_of(Organization.objects.get(pk=world.acme.pk)).maximum_lifetime_days == 30


def test_a_scope_is_raised_and_taken_back_on_the_page(world: World, browser: Client) -> None:
    form = browser.get(address(world)).content.decode()
    assert 'name="risk_machines:operate"' in form
    assert 'name="risk_commands:execute"' not in form, "it can't be riskier"
    assert "medium, as built in" in form
    issued = make_token(world.edge, "machines:operate").token

    def save(**changes: Any) -> str:
        body = filled(**changes)
        preview = browser.post(address(world), body).content.decode()
        saved = browser.post(address(world), {**body, "save": "yes"}, follow=True)
        assert "The policy is changed." in saved.content.decode()
        return preview + saved.content.decode()

    raised = save(**{"risk_machines:operate": "high", "risk_introspect": "medium"})
    assert "Risks of scopes" in raised
    assert "machines:operate high" in raised
    assert type(issued).objects.get(pk=issued.pk).risk == 2
    assert 'value="high" selected' in browser.get(address(world)).content.decode()

    taken = save(**{"risk_machines:operate": "", "risk_introspect": "medium"})
    assert "The risk of machines:operate is medium, not high" in taken
    assert type(issued).objects.get(pk=issued.pk).risk == 1
    assert (
        policy_of(Organization.objects.get(pk=world.acme.pk)).as_json()["scope_risks"]["introspect"]
        == "medium"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "This is the policy already."),
        ({"approvals_high": "5"}, "5 approvals need at least 6 people"),
        ({"maximum_lifetime_days": "0"}, "greater than or equal to 1"),
        ({"deciders": None}, "A list with at least 1"),
        ({"scopes_member": ["root"]}, "not one of the available choices"),
        ({"risk_machines:operate": "low"}, "not one of the available choices"),
    ],
)
def test_what_can_not_be_saved_is_said_before_the_preview(
    world: World, browser: Client, changes: dict[str, Any], words: str
) -> None:
    page = browser.post(address(world), filled(**changes)).content.decode()

    assert words in page
    assert "would feel it" not in page
    assert events(action="policy.changed") == []


def test_only_who_may_set_the_policy_and_has_just_shown_who_they_are_gets_there(
    world: World, browser: Client
) -> None:
    stranger = Client()
    stranger.force_login(world.auditor)
    assert stranger.get(address(world)).status_code == 403
    assert stranger.post(address(world), filled(never_allowed=None)).status_code == 403
    SignedInSession.objects.update(checked_at=now() - 11 * MINUTE)

    for answer in (browser.get(address(world)), browser.post(address(world), filled(never_allowed=None))):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/check/?next=%2Fadmin%2Ffleets%2Forganization")
    assert policy_of(Organization.objects.get(pk=world.acme.pk)).never_allowed


def test_the_pages_take_few_queries(world: World, browser: Client) -> None:
    make_token(world.edge, "commands:execute")
    with CaptureQueriesContext(connection) as form:
        assert browser.get(address(world)).status_code == 200
    with CaptureQueriesContext(connection) as shown:
        seen = filled(networks_required=["high"], version=str(world.acme.version))
        assert browser.post(address(world), seen).status_code == 200
    assert max(len(form), len(shown)) <= 15


def test_a_choice_takes_no_template_of_its_own_and_reads_as_django_writes_it(
    world: World, browser: Client
) -> None:
    answer = browser.get(address(world))

    choices = [choice for field in answer.context["form"] if field.use_fieldset for choice in field]
    assert len(choices) == 5 * (6 + len(Scope)) + 3 + 2
    text = answer.content.decode()
    assert [choice.tag() for choice in choices if choice.tag() not in text] == []
    assert "django/forms/widgets/checkbox_option.html" not in [each.name for each in answer.templates]
