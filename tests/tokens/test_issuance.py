"""Issuing: what is stored, what is recorded, what is refused; who may is for test_authority_of_issue."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from audit.models import Event
from config.edge import clock
from config.edge.clock import now
from config.edge.refusals import Conflict, Invalid, Missing
from fleets import membership, organizations
from fleets.authority import ROLE_SCOPES, TECHNICAL_FLEET_SCOPES
from fleets.models import Fleet, Membership, TechnicalUser, User
from fleets.scopes import parse_scopes
from tests.factories import (
    acting,
    events,
    fleet_member,
    last_event,
    make_machine,
    make_token,
    operator,
    session,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import ALL, REASON, issue, present, rows, wish
from tokens import lifecycle, secret
from tokens.issuance import Expiry, GrantWish, Wish
from tokens.models import Token, TokenSecret

READS = wish("machines:read")
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def test_a_fleet_token_is_the_fleets_and_acts_as_a_technical_user_of_its_own(world: World) -> None:
    token = present(
        issue(session(world.manager), world.edge, READS, name="ci", description="Builds", reason=REASON)
    )

    assert (token.kind, token.owner, token.name, token.description) == ("fleet", world.edge, "ci", "Builds")
    assert (token.status, token.risk, token.version) == ("active", 0, 1)
    assert (token.created_by, token.created_by_name) == (world.manager, world.manager.username)
    assert token.approved_at == token.created_at
    assert (token.scopes, token.role) == (["machines:read"], "")
    assert rows(token) == [GrantWish("/fleets/edge", "")]
    assert token.principal.kind == "technical"
    assert not token.principal.has_usable_password()
    technical = TechnicalUser.objects.get(user=token.principal)
    assert (technical.fleet, technical.organization) == (world.edge, world.acme)


def test_a_personal_token_acts_as_its_person_and_makes_no_other_user(world: World) -> None:
    users = User.objects.count()

    token = present(issue(session(world.manager), world.manager, READS))

    assert (token.kind, token.owner, token.principal) == ("personal", world.manager, world.manager)
    assert rows(token) == [GrantWish("/", "")]
    assert User.objects.count() == users


def test_every_fleet_token_has_a_technical_user_of_its_own(world: World) -> None:
    one, other = make_token(world.edge, "machines:read"), make_token(world.edge, "machines:read")

    assert one.token.principal != other.token.principal


def test_an_issue_is_one_event_that_says_all_but_the_secret(world: World) -> None:
    issued = issue(session(world.manager), world.edge, wish("machines:operate"), name="ci", reason="On call")

    event = last_event()
    assert (event.action, event.outcome, event.reason) == ("token.issued", "allowed", "On call")
    assert (event.actor_type, event.actor_id) == ("person", str(world.manager.pk))
    assert (event.target_type, event.target_id, event.target_label) == ("token", issued.token.pk, "ci")
    assert event.organization_id == world.acme.pk
    assert event.data == {
        "kind": "fleet",
        "owner": "fleet:edge",
        "scopes": ["machines:operate"],
        "grants": [{"path": "/fleets/edge", "role": None, "propagate": True}],
        "risk": "medium",
        "status": "active",
        "expires_at": event.data["expires_at"],
        "restrictions": {"allowed_networks": None, "rate_limit": None, "access_windows": None},
    }
    assert Event.objects.filter(action="token.issued").count() == 1


def test_of_the_secret_only_a_digest_under_the_newest_pepper_is_kept(world: World) -> None:
    issued = make_token(world.edge, "machines:read")
    text = issued.secret.reveal()

    kept = TokenSecret.objects.get(token=issued.token)

    assert text.startswith(f"thf_{issued.token.pk}_")
    newest = max(settings.PEPPERS)
    assert (kept.generation, kept.pepper_id, kept.valid_until, kept.last_used_at) == (1, newest, None, None)
    assert secret.matches(text, bytes(kept.digest), settings.PEPPERS[newest])
    stored = repr([list(model.objects.values_list()) for model in (Token, TokenSecret, Event)])
    assert text[21:] not in stored


@pytest.mark.parametrize(
    ("expiry", "expires_at"),
    [
        (None, NOON + timedelta(days=90)),
        (Expiry(lifetime=timedelta(days=7)), NOON + timedelta(days=7)),
        (Expiry(at=NOON + timedelta(hours=1)), NOON + timedelta(hours=1)),
        (Expiry(), None),
    ],
)
def test_a_token_expires_when_it_was_asked_to_or_after_the_default(
    world: World, expiry: Expiry | None, expires_at: datetime | None
) -> None:
    with clock.at(NOON):
        token = issue(session(world.manager), world.edge, READS, expiry=expiry).token

    if expires_at is None:
        assert token.expires_at is None
    else:
        assert token.expires_at is not None
        assert timedelta(0) <= token.expires_at - expires_at < timedelta(seconds=5)


def test_the_default_lifetime_is_the_organizations_own(world: World) -> None:
    organizations.set_policy(world.acme, changes={"default_lifetime_days": 10}, by=operator)

    token = make_token(world.edge, "machines:read").token

    assert token.expires_at is not None
    assert timedelta(0) <= now() + timedelta(days=10) - token.expires_at < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("asked", "ceiling", "role", "stored"),
    [
        (wish("machines:read"), {"machines:read"}, "", [GrantWish("/fleets/edge", "")]),
        (wish("machines:read", machines="all"), {"machines:read"}, "", [GrantWish("/fleets/edge", "")]),
        (Wish(role="Operator"), ROLE_SCOPES["Operator"], "Operator", [GrantWish("/fleets/edge", "")]),
        (
            wish("machines:read", grants=(GrantWish("/fleets/edge/machines", "Viewer", False),)),
            {"machines:read"},
            "",
            [GrantWish("/fleets/edge/machines", "Viewer", False)],
        ),
        (wish("machines:read", grants=()), {"machines:read"}, "", []),
        (Wish(grants=()), TECHNICAL_FLEET_SCOPES, "", []),
    ],
)
def test_what_was_asked_of_a_fleets_token_is_stored_as_ceiling_and_rows(
    world: World, asked: Wish, ceiling: set[str], role: str, stored: list[GrantWish]
) -> None:
    token = present(issue(session(world.manager), world.edge, asked))

    assert token.scopes == sorted(ceiling)
    assert token.role == role
    assert rows(token) == stored
    assert list(token.machine_rows.all()) == []


def test_a_token_for_machines_has_a_row_for_each_and_remembers_their_names(world: World) -> None:
    token = make_token(world.edge, "machines:read", machines=[world.edge_1, world.edge_2]).token

    assert rows(token) == [GrantWish(world.edge_1.path, ""), GrantWish(world.edge_2.path, "")]
    assert [(row.machine, row.name) for row in token.machine_rows.all()] == [
        (world.edge_1, "edge-1"),
        (world.edge_2, "edge-2"),
    ]


def test_an_unseparated_personal_token_has_no_rows_and_the_ceiling_of_now(world: World) -> None:
    token = present(issue(session(world.manager), world.manager, Wish(privilege_separation=False)))

    assert not token.privilege_separation
    assert rows(token) == []
    assert token.scopes == sorted(TECHNICAL_FLEET_SCOPES | {"tokens:read", "tokens:manage"})
    assert token.risk == 2


def test_a_vmid_is_stored_as_its_machines_path_and_a_free_one_as_it_is(world: World) -> None:
    bearer = make_machine(world.edge, vmid=100)
    asked = wish("machines:read", grants=(GrantWish("/vms/100", "Viewer"), GrantWish("/vms/101", "Viewer")))

    token = present(issue(session(world.owner), world.owner, asked))

    assert rows(token) == [GrantWish(bearer.path, "Viewer"), GrantWish("/vms/101", "Viewer")]


def grants(path: str, role: str = "Viewer") -> tuple[GrantWish, ...]:
    return (GrantWish(path, role),)


@pytest.mark.parametrize(
    ("owner", "asked", "field", "code"),
    [
        ("edge", Wish(), "scopes", "required"),
        ("edge", Wish(scopes=frozenset()), "scopes", "required"),
        ("edge", wish("machines:read", role="Viewer"), "role", "contradiction"),
        ("edge", Wish(role="NoAccess"), "role", "unknown_role"),
        ("edge", Wish(role="Emperor"), "role", "unknown_role"),
        ("edge", wish("machines:read", machines="all", grants=()), "machines", "contradiction"),
        ("edge", wish("machines:read", machines=()), "machines", "required"),
        ("edge", wish("tokens:read"), "scopes", "scope_not_for_kind"),
        ("edge", wish("approvals:decide"), "scopes", "scope_not_for_kind"),
        ("edge", Wish(role="Administrator"), "scopes", "scope_not_for_kind"),
        ("edge", wish("machines:read", privilege_separation=False), "privilege_separation", "contradiction"),
        ("edge", wish("machines:read", grants=grants("/")), "grants.0.path", "bad_path"),
        ("edge", wish("machines:read", grants=grants("/fleets/core")), "grants.0.path", "bad_path"),
        ("edge", wish("machines:read", grants=grants("/fleets/nowhere")), "grants.0.path", "unknown_path"),
        ("edge", wish("machines:read", grants=grants("/fleets/edge/")), "grants.0.path", "bad_path"),
        (
            "edge",
            wish("machines:read", grants=grants("/fleets/edge", "Boss")),
            "grants.0.role",
            "unknown_role",
        ),
        ("edge", wish("machines:read", grants=grants("/fleets/edge") * 2), "grants.1.path", "duplicate"),
        ("owner", wish("machines:read", grants=grants("/vms/0100")), "grants.0.path", "bad_path"),
        ("owner", wish("machines:read", grants=(), privilege_separation=False), "grants", "contradiction"),
        (
            "owner",
            wish("machines:read", machines=(), privilege_separation=False),
            "machines",
            "contradiction",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_by_field_and_leaves_nothing(
    world: World, owner: str, asked: Wish, field: str, code: str
) -> None:
    before = Event.objects.count(), User.objects.count()

    with pytest.raises(Invalid) as refused:
        issue(session(world.owner), getattr(world, owner), asked)

    assert [(error.field, error.code) for error in refused.value.errors] == [(field, code)]
    assert (Event.objects.count(), User.objects.count()) == before
    assert not Token.objects.exists()


def test_machines_are_taken_all_or_none(world: World) -> None:
    gone = make_machine(world.edge)
    for stranger in (world.core_1, gone):
        if stranger == gone:
            type(gone).objects.filter(pk=gone.pk).update(deregistered_at=now())
        with pytest.raises(Missing):
            issue(
                session(world.manager),
                world.edge,
                wish("machines:read", machines=(world.edge_1.pk, stranger.pk)),
            )

    assert not Token.objects.exists()
    issue(session(world.manager), world.edge, wish("machines:read", machines=(world.edge_1.pk,)))


@pytest.mark.parametrize("taken", ["ci", "CI"])
def test_a_name_is_an_owners_once_and_for_ever(world: World, taken: str) -> None:
    first = issue(session(world.manager), world.edge, READS, name="ci")
    lifecycle.revoke(first.token, by=operator)
    users = User.objects.count()

    with pytest.raises(Conflict) as refused:
        issue(session(world.manager), world.edge, READS, name=taken)

    assert refused.value.code == "name_taken"
    assert User.objects.count() == users, "no technical user is left over"
    for other in (world.core, world.owner):
        issue(session(world.owner), other, READS, name=taken)


@pytest.mark.parametrize(
    ("asked", "needs_one"),
    [
        (wish("machines:read", "snapshots:read"), False),
        (wish("machines:read", "machines:operate"), True),
        (wish("machines:configure"), True),
        (wish("machines:read", privilege_separation=False), True),
    ],
)
def test_medium_and_high_risk_need_a_reason(world: World, asked: Wish, needs_one: bool) -> None:
    by = session(world.owner)

    for blank in ("", " \n", "\u200b\u00ad", "\u3164"):
        if needs_one:
            with pytest.raises(Invalid) as refused:
                issue(by, world.owner, asked, reason=blank)
            assert refused.value.errors[0].field == "reason"
            assert not Token.objects.exists()
    issue(by, world.owner, asked, reason="Nightly builds" if needs_one else "")

    assert events(action="token.issued") == ["token.issued allowed"]


def test_the_operator_needs_no_reason_and_no_approval(world: World) -> None:
    organizations.set_policy(world.acme, changes={"approvals_needed": {"low": 0}}, by=operator)
    type(world.acme).objects.update(policy={"approvals_needed": {"low": 1, "medium": 1, "high": 1}})

    token = issue(operator, world.edge, wish("machines:configure"), reason="").token

    assert token.status == "active"
    event = last_event(action="token.issued")
    assert (event.actor_type, event.actor_id, event.actor_label) == ("system", "operator", "root@tests")


def test_a_token_whose_risk_wants_approval_waits_with_its_secret_and_its_lifetime(world: World) -> None:
    type(world.acme).objects.update(policy={"approvals_needed": {"low": 0, "medium": 1, "high": 1}})
    lifetime = timedelta(days=7)
    by = session(world.manager)  # who read the organization before the policy was set

    waiting = issue(by, world.edge, wish("machines:operate"), expiry=Expiry(lifetime=lifetime))
    at_once = issue(by, world.edge, READS)

    token = present(waiting)
    assert (token.status, token.approved_at, token.expires_at, token.lifetime) == (
        "pending",
        None,
        None,
        lifetime,
    )
    assert waiting.secret.reveal().startswith("thf_")
    assert token.secrets.count() == 1
    assert at_once.token.status == "active"


def test_an_absolute_expiry_stays_with_a_token_that_waits(world: World) -> None:
    type(world.acme).objects.update(policy={"approvals_needed": {"low": 1, "medium": 1, "high": 1}})
    end = now() + timedelta(days=3)

    token = present(issue(session(world.manager), world.edge, READS, expiry=Expiry(at=end)))

    assert (token.status, token.expires_at, token.lifetime) == ("pending", end, None)


@pytest.mark.parametrize("what", ["suspended", "left", "expired", "inactive"])
def test_who_is_no_active_member_gets_no_token(world: World, what: str) -> None:
    person = fleet_member(world.edge)
    place = Membership.objects.get(user=person)
    if what == "suspended":
        membership.suspend(place, by=operator)
    elif what == "left":
        membership.leave(place, by=operator)
    elif what == "expired":
        User.objects.filter(pk=person.pk).update(expires_at=now())
    else:
        User.objects.filter(pk=person.pk).update(is_active=False)

    with pytest.raises(Conflict) as refused:
        make_token(person, "machines:read", organization=world.acme)

    assert refused.value.code == "owner_inactive"
    assert not Token.objects.exists()
    make_token(world.manager, "machines:read")


def test_a_closed_fleet_gets_no_token(world: World) -> None:
    Fleet.objects.filter(pk=world.core.pk).update(closed_at=now())

    with pytest.raises(Conflict) as refused:
        make_token(world.core, "machines:read")

    assert refused.value.code == "owner_closed"
    assert not Token.objects.exists()
    make_token(world.edge, "machines:read")


def test_a_token_is_made_in_its_creators_name_by_whatever_it_is_made(world: World) -> None:
    parent = make_token(world.manager, *sorted(TECHNICAL_FLEET_SCOPES), "tokens:manage")

    child = issue(acting(parent), world.edge, READS).token

    assert (child.created_by, child.created_by_name) == (world.manager, world.manager.username)
    event = last_event(action="token.issued")
    assert (event.actor_type, event.actor_id) == ("token", parent.token.pk)
    assert (event.on_behalf_of_type, event.on_behalf_of_id) == ("person", str(world.manager.pk))


def test_every_scope_of_the_catalogue_can_be_in_some_ceiling(world: World) -> None:
    token = present(issue(session(world.owner), world.owner, Wish(scopes=ALL)))

    assert parse_scopes(token.scopes) == ALL


def test_a_rotation_interval_is_kept_and_says_when_it_is_due(world: World) -> None:
    options: dict[str, Any] = {"rotate_every": timedelta(days=30)}

    token = issue(session(world.manager), world.edge, READS, **options).token

    assert token.rotation_due_at == token.created_at + timedelta(days=30)
