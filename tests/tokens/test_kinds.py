"""Tokens of every kind: who may issue them, whom they act as, what they can hold, how they end and who rotates them."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.edge.clock import now
from config.edge.refusals import Invalid
from fleets import membership
from fleets.authority import (
    ROLE_SCOPES,
    TECHNICAL_FLEET_SCOPES,
    TECHNICAL_ORGANIZATION_SCOPES,
    Role,
)
from fleets.models import GroupMembership, Membership, TechnicalUser, User
from fleets.scopes import PERSONAL_ONLY, Scope
from tests.factories import (
    acting,
    events,
    last_event,
    make_entry,
    make_group,
    make_member,
    make_token,
    member,
    operator,
    session,
    token_client,
)
from tests.tokens.conftest import World
from tests.tokens.issuing import issue, outcome, present, rows, wish
from tests.tokens.owning import EDGE, KINDS, Owning, owning
from tokens import lifecycle, policy, revocation
from tokens.issuance import Expiry, GrantWish, Issued, Wish
from tokens.models import Token

READS = wish("machines:read")
WHOAMI = "/api/v1/whoami/"
ADMINS = {"owner", "admin", "superuser"}
WITH_A_PRINCIPAL_OF_THEIR_OWN = ("fleet", "group", "organization", "application")


@pytest.fixture
def own(world: World) -> Owning:
    return owning(world)


def issued_of(kind: str, world: World, own: Owning, *scopes: str, **options: Any) -> Issued:
    """A token of that kind, made by the operator."""
    owner = own.of_kind(kind, world)
    return make_token(owner, *(scopes or ("machines:read",)), organization=world.acme, **options)


# Who may issue


@pytest.mark.parametrize(
    ("kind", "may"),
    [
        ("personal", {"manager"}),
        ("fleet", ADMINS | {"manager"}),
        ("group", ADMINS | {"leader"}),
        ("organization", ADMINS),
        ("application", ADMINS | {"keeper"}),
        ("technical_user", ADMINS),
    ],
)
def test_a_token_is_issued_by_whom_its_kind_says_in_their_session(
    world: World, own: Owning, kind: str, may: set[str]
) -> None:
    owner = own.of_kind(kind, world)
    answers = {
        name: outcome(issue, session(person), owner, READS, organization=world.acme)
        for name, person in own.people.items()
    }

    assert {name for name, answer in answers.items() if answer == "done"} == may
    assert {answer for name, answer in answers.items() if name not in may} == {"forbidden"}
    assert Token.objects.filter(kind=kind).count() == Token.objects.count() == len(may)
    allowed = events(action="token.issued").count("token.issued allowed")
    assert allowed == len(may)
    assert events(action="token.issued").count("token.issued denied") == len(own.people) - len(may)


def test_who_leads_does_so_in_a_browser_session_only(world: World, own: Owning) -> None:
    everything = sorted(ROLE_SCOPES[Role.GROUP_ADMIN])
    by_leader = acting(make_token(own.leader, *everything, "tokens:read", "tokens:manage"))
    by_keeper = acting(make_token(own.keeper, "tokens:read", "tokens:manage", "machines:read"))
    of_group, of_application = make_token(own.ops, "machines:read"), make_token(own.shop, "machines:read")

    assert outcome(issue, by_leader, own.ops, READS) == "forbidden"
    assert outcome(issue, by_keeper, own.shop, READS) == "forbidden"
    for by, issued in ((by_leader, of_group), (by_keeper, of_application)):
        assert not policy.visible_to(by, Token.objects.filter(pk=issued.token.pk)).exists()
        assert outcome(lifecycle.rotate, present(issued), by=by) == "forbidden"
        assert outcome(lifecycle.disable, present(issued), by=by) == "forbidden"
    for person, issued in ((own.leader, of_group), (own.keeper, of_application)):
        assert policy.visible_to(session(person), Token.objects.filter(pk=issued.token.pk)).exists()
        assert outcome(lifecycle.rotate, present(issued), by=session(person)) == "done"


@pytest.mark.parametrize("kind", ["group", "organization", "application", "technical_user"])
def test_an_admins_token_issues_what_it_manages_at_the_root(world: World, own: Owning, kind: str) -> None:
    owner = own.of_kind(kind, world)
    at_root = acting(make_token(world.admin, "tokens:manage", "machines:read"))
    below = acting(
        make_token(world.admin, "tokens:manage", "machines:read", grants=(GrantWish(EDGE, "Administrator"),))
    )

    assert outcome(issue, below, owner, READS, organization=world.acme) == "forbidden"
    assert outcome(issue, at_root, owner, READS, organization=world.acme) == "done"


def test_who_led_once_issues_nothing_more(world: World, own: Owning) -> None:
    membership.leave_group(GroupMembership.objects.get(user=own.leader), by=operator)
    membership.suspend(Membership.objects.get(user=own.keeper), by=operator)

    assert outcome(issue, session(own.leader), own.ops, READS) == "forbidden"
    assert outcome(issue, session(own.keeper), own.shop, READS) == "forbidden"
    assert not Token.objects.exists()


def test_a_group_admin_gives_no_more_than_they_hold(world: World, own: Owning) -> None:
    make_entry(world.acme, world.edge_1.path, "NoAccess", user=own.leader)

    assert outcome(issue, session(own.leader), own.ops, READS) == "exceeds_your_rights"
    narrower = wish("machines:read", machines=(world.edge_2.pk,))
    assert outcome(issue, session(own.leader), own.ops, narrower) == "done"


# Whom it acts as


@pytest.mark.parametrize("kind", WITH_A_PRINCIPAL_OF_THEIR_OWN)
def test_a_token_has_a_technical_user_of_its_own_that_signs_in_nowhere(
    world: World, own: Owning, kind: str
) -> None:
    one, other = issued_of(kind, world, own), issued_of(kind, world, own)

    first, second = present(one).principal, present(other).principal
    assert first != second
    assert (first.kind, first.username) == ("technical", f"{kind}+{one.token.pk}")
    assert not first.has_usable_password()
    assert not first.is_staff
    assert authenticate(username=first.username, password="") is None
    assert first.technical.kind == kind


def test_tokens_of_a_technical_user_share_it_and_it_stays_when_they_end(world: World, own: Owning) -> None:
    one, other = make_token(own.bot, "machines:read"), make_token(own.bot, "machines:read")

    revocation.revoke(present(one), by=operator)

    assert {present(issued).principal for issued in (one, other)} == {own.bot}
    assert User.objects.get(pk=own.bot.pk).is_active
    assert token_client(other).get(WHOAMI).status_code == 200
    assert token_client(one).get(WHOAMI).json()["code"] == "token_revoked"


@pytest.mark.parametrize("kind", WITH_A_PRINCIPAL_OF_THEIR_OWN)
def test_the_technical_user_goes_inactive_with_its_token(world: World, own: Owning, kind: str) -> None:
    issued, other = issued_of(kind, world, own), issued_of(kind, world, own)

    revocation.revoke(present(issued), by=operator)

    assert not present(issued).principal.is_active
    assert TechnicalUser.objects.filter(user=issued.token.principal).exists(), "the row is kept"
    assert present(other).principal.is_active


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "personal"])
def test_a_creator_who_leaves_changes_nothing(world: World, own: Owning, kind: str) -> None:
    creator = make_member(world.acme, "admin")
    issued = issue(session(creator.user), own.of_kind(kind, world), READS, organization=world.acme)
    before = present(issued)

    membership.leave(creator, by=operator)

    after = present(issued)
    assert (after.status, after.version, after.created_by) == ("active", before.version, creator.user)
    assert token_client(issued).get(WHOAMI).status_code == 200
    own_token = make_token(member(world.acme), "machines:read")
    leaver = Membership.objects.get(user=own_token.token.principal)
    membership.leave(leaver, by=operator)
    assert present(own_token).status == "revoked", "a person's own token does end"


# What it can hold

MOST: dict[str, frozenset[Scope]] = {
    "fleet": TECHNICAL_FLEET_SCOPES,
    "group": ROLE_SCOPES[Role.GROUP_ADMIN],
    "organization": TECHNICAL_ORGANIZATION_SCOPES[Role.ADMIN],
    "application": frozenset(Scope) - PERSONAL_ONLY,
    "technical_user": frozenset(Scope) - PERSONAL_ONLY,
}


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("kind", list(MOST))
def test_a_kind_holds_its_scopes_and_no_other(world: World, own: Owning, kind: str, scope: Scope) -> None:
    owner = own.of_kind(kind, world)

    if scope in MOST[kind]:
        assert present(make_token(owner, scope)).scopes == [scope]
        return
    with pytest.raises(Invalid) as refused:
        make_token(owner, "machines:read", scope)
    assert [(error.field, error.code) for error in refused.value.errors] == [("scopes", "scope_not_for_kind")]
    assert scope in refused.value.errors[0].detail
    assert not Token.objects.exists()
    assert not User.objects.filter(username__startswith=f"{kind}+").exists()


@pytest.mark.parametrize(
    ("kind", "scopes", "role"),
    [
        ("group", ["machines:read"], "user"),
        ("group", ["machines:read", "snapshots:read", "machines:operate"], "user"),
        ("group", ["machines:read", "machines:configure"], "admin"),
        ("group", ["commands:execute"], "admin"),
        ("organization", ["machines:read", "snapshots:read"], "Viewer"),
        ("organization", ["machines:operate"], "Admin"),
        ("organization", ["introspect"], "Admin"),
        ("organization", ["machines:create", "templates:manage"], "Admin"),
        ("fleet", ["machines:configure"], ""),
        ("application", ["machines:configure"], ""),
    ],
)
def test_its_technical_user_has_the_smallest_role_that_covers_the_ceiling(
    world: World, own: Owning, kind: str, scopes: list[str], role: str
) -> None:
    assert issued_of(kind, world, own, *scopes).token.principal.technical.role == role


def test_an_edit_suits_the_technical_user_to_the_new_ceiling(world: World, own: Owning) -> None:
    issued = make_token(own.ops, "machines:read")

    def edited(*scopes: str) -> str:
        lifecycle.edit(present(issued), change=lifecycle.Edit(wish=wish(*scopes)), by=operator)
        return present(issued).principal.technical.role

    assert [edited("machines:configure"), edited("machines:read")] == ["admin", "user"]
    assert acting(issued).rights(world.acme.pk).at(EDGE) == {"machines:read"}


def test_only_a_group_that_is_named_at_the_root_has_tokens_that_create_machines(world: World) -> None:
    everywhere = make_group(world.acme, "everywhere")
    make_entry(world.acme, "/", "GroupUser", group=everywhere)
    issued = make_token(everywhere, "machines:create")

    assert acting(issued).rights(world.acme.pk).at("/") == {"machines:create"}


def test_a_token_whose_group_lost_a_path_can_still_be_renamed_and_narrowed(world: World) -> None:
    everywhere = make_group(world.acme, "everywhere")
    entry = make_entry(world.acme, "/", "GroupUser", group=everywhere)
    issued = make_token(everywhere, "machines:create", "machines:read", "machines:operate")
    entry.delete()

    def edited(**change: Any) -> str:
        return outcome(
            lifecycle.edit,
            present(issued),
            change=lifecycle.Edit(**change),
            by=session(world.admin),
            reason="x",
        )

    assert edited(name="renamed") == "done"
    assert edited(wish=wish("machines:create", "machines:read")) == "done"
    assert edited(wish=wish("machines:create", "machines:configure")) == "invalid"
    assert edited(wish=wish("machines:read")) == "done"
    assert present(issued).principal.technical.role == "user"


# Where it starts from


def test_without_machines_or_grants_a_token_starts_from_its_owners_root(world: World, own: Owning) -> None:
    make_entry(world.acme, "/nodes", "GroupUser", group=own.ops)
    make_entry(world.acme, "/fleets/core", "NoAccess", group=own.ops)

    found = {kind: [row.path for row in rows(present(issued_of(kind, world, own)))] for kind in KINDS}

    assert found == {
        "personal": ["/"],
        "fleet": [EDGE],
        "group": [EDGE, "/nodes"],
        "organization": ["/"],
        "application": ["/"],
        "technical_user": ["/"],
    }


def test_a_group_that_reaches_nothing_has_no_tokens_yet(world: World) -> None:
    empty = make_group(world.acme, "empty")

    assert outcome(issue, session(world.admin), empty, READS) == "no_paths"
    assert outcome(issue, session(world.admin), empty, wish("machines:read", grants=())) == "done"


def test_what_a_group_reaches_later_its_tokens_do_not(world: World, own: Owning) -> None:
    issued = make_token(own.ops, "machines:read")

    make_entry(world.acme, "/fleets/core", "GroupUser", group=own.ops)

    rights = acting(issued).rights(world.acme.pk)
    assert rights.at(EDGE) == {"machines:read"}
    assert rights.at("/fleets/core") == frozenset()


def test_what_a_group_no_longer_reaches_its_tokens_do_not_either(world: World, own: Owning) -> None:
    issued = make_token(own.ops, "machines:read")
    assert acting(issued).rights(world.acme.pk).at(EDGE) == {"machines:read"}

    make_entry(world.acme, world.edge_1.path, "NoAccess", group=own.ops)

    rights = acting(issued).rights(world.acme.pk)
    assert rights.at(world.edge_1.path) == frozenset()
    assert rights.at(world.edge_2.path) == {"machines:read"}


@pytest.mark.parametrize("kind", ["application", "technical_user"])
def test_what_holds_nothing_of_itself_can_do_what_an_admin_grants_it(
    world: World, own: Owning, kind: str
) -> None:
    issued = issued_of(kind, world, own, "machines:read", "machines:operate")
    assert acting(issued).rights(world.acme.pk).anywhere == frozenset()

    make_entry(world.acme, EDGE, "Viewer", user=present(issued).principal)

    assert acting(issued).rights(world.acme.pk).at(EDGE) == {"machines:read"}
    assert acting(issued).rights(world.acme.pk).at("/fleets/core") == frozenset()


def test_only_a_person_and_a_technical_user_have_tokens_that_are_not_separated(
    world: World, own: Owning
) -> None:
    whole = wish("machines:read", privilege_separation=False)
    answers = {
        kind: outcome(issue, operator, own.of_kind(kind, world), whole, organization=world.acme)
        for kind in KINDS
    }

    assert {kind for kind, answer in answers.items() if answer == "done"} == {"personal", "technical_user"}
    assert set(answers.values()) == {"done", "invalid"}


# Secrets of others


@pytest.mark.parametrize(
    ("kind", "may"),
    [
        ("personal", {"manager"}),
        ("fleet", ADMINS | {"manager"}),
        ("group", ADMINS | {"leader"}),
        ("organization", ADMINS),
        ("application", ADMINS | {"keeper"}),
        ("technical_user", ADMINS),
    ],
)
def test_a_secret_is_given_to_who_could_issue_the_token_and_never_anothers_to_an_admin(
    world: World, own: Owning, kind: str, may: set[str]
) -> None:
    issued = issued_of(kind, world, own)

    answers = {
        name: outcome(lifecycle.rotate, present(issued), by=session(person))
        for name, person in own.people.items()
    }

    assert {name for name, answer in answers.items() if answer == "done"} == may
    assert {answer for name, answer in answers.items() if name not in may} == {"forbidden"}
    assert present(issued).secrets.count() == 1 + len(may)


@pytest.mark.parametrize("kind", ["fleet", "group", "organization", "application", "technical_user"])
def test_who_could_not_issue_it_as_it_is_rotates_it_no_more(world: World, own: Owning, kind: str) -> None:
    """An admin who is kept out of a machine that the token reaches: narrowing is theirs, its secret is not."""
    issued = issued_of(kind, world, own, "machines:read", "machines:operate")
    if kind in ("application", "technical_user"):
        make_entry(world.acme, EDGE, "Operator", user=present(issued).principal)
    make_entry(world.acme, world.edge_1.path, "NoAccess", user=world.admin)
    by = session(world.admin)

    assert outcome(lifecycle.rotate, present(issued), by=by) == "exceeds_your_rights"
    assert present(issued).secrets.count() == 1
    assert last_event(action="token.rotated").outcome == "denied"
    narrower = lifecycle.Edit(wish=Wish(machines=(world.edge_2.pk,)))
    assert outcome(lifecycle.edit, present(issued), change=narrower, by=by) == "done"
    assert outcome(lifecycle.rotate, present(issued), by=by) == "done"


@pytest.mark.parametrize("kind", KINDS)
def test_a_live_token_of_any_kind_rotates_itself(world: World, own: Owning, kind: str) -> None:
    issued = issued_of(kind, world, own)

    response = token_client(issued).post("/api/v1/token/rotate/", {})

    assert response.status_code == 200
    assert token_client(issued).get(WHOAMI).json()["code"] == "token_invalid"


# What a token issues, of every kind


@pytest.mark.parametrize("kind", ["group", "organization", "application", "technical_user"])
def test_what_a_token_issues_never_outlives_it_and_is_restricted_no_less(
    world: World, own: Owning, kind: str
) -> None:
    owner, end = own.of_kind(kind, world), now() + timedelta(days=10)
    around = (GrantWish("/", "Administrator"), GrantWish(world.edge_1.path, "NoAccess"))
    parent = make_token(world.admin, "tokens:manage", "machines:read", "machines:operate", grants=around)
    Token.objects.filter(pk=parent.token.pk).update(expires_at=end)
    by = acting(parent)

    def tried(asked: Wish, **options: Any) -> str:
        return outcome(issue, by, owner, asked, organization=world.acme, **options)

    assert tried(READS, expiry=Expiry(at=end + timedelta(seconds=1))) == "outlives_issuer"
    assert tried(READS, expiry=Expiry()) == "outlives_issuer"
    assert tried(wish("snapshots:read")) == "exceeds_your_rights"
    assert tried(wish("machines:read", machines="all")) == "exceeds_your_rights"
    assert tried(wish("machines:read", grants=(GrantWish(EDGE, "Viewer"),))) == "exceeds_your_rights"
    child = issue(by, owner, READS, organization=world.acme)

    assert child.token.expires_at == end
    kept = acting(child).proven.record.rights  # type: ignore[attr-defined]
    principal = present(child).principal
    if kind in ("application", "technical_user"):
        make_entry(world.acme, "/", "Administrator", user=principal)
        kept = acting(child).proven.record.rights  # type: ignore[attr-defined]
    assert kept.at(world.edge_1.path) == frozenset()
    assert kept.at(world.edge_2.path) == {"machines:read"}


# What deciding costs

VERIFICATION = {
    "personal": 11,
    "fleet": 9,
    "group": 11,
    "organization": 9,
    "application": 9,
    "technical_user": 9,
}


@pytest.mark.parametrize("kind", KINDS)
def test_deciding_about_a_token_asks_the_database_as_often_however_many_there_are(
    world: World, own: Owning, kind: str
) -> None:
    counts = []
    for more in (0, 29):
        for _ in range(more):
            issued_of(kind, world, own)
        issued = issued_of(kind, world, own, machines=[world.edge_1, world.edge_2])
        with CaptureQueriesContext(connection) as queries:
            acting(issued)
        counts.append(len(queries))

    assert counts == [VERIFICATION[kind]] * 2
