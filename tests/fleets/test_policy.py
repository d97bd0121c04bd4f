"""Who may do what to the estate: each predicate against each kind of caller."""

from collections.abc import Callable
from typing import Any

import pytest

from config.edge.access import Access
from fleets import policy
from fleets.models import Fleet, Group, Membership, Organization
from fleets.scopes import Scope
from tests.factories import (
    acting,
    fleet_member,
    make_application,
    make_entry,
    make_fleet,
    make_group,
    make_machine,
    make_member,
    make_organization,
    make_superuser,
    make_token,
    member,
    operator,
    owner_of,
    session,
)

pytestmark = pytest.mark.django_db
EVERYTHING = [scope.value for scope in Scope if scope is not Scope.APPROVALS_DECIDE]

CALLERS: dict[str, Callable[[Organization, Fleet], Access]] = {
    "operator": lambda _acme, _edge: operator,
    "superuser": lambda _acme, _edge: session(make_superuser()),
    "owner": lambda acme, _edge: session(owner_of(acme)),
    "admin": lambda acme, _edge: session(member(acme, "admin")),
    "approver": lambda acme, _edge: session(member(acme, "approver")),
    "auditor": lambda acme, _edge: session(member(acme, "auditor")),
    "member": lambda acme, _edge: session(member(acme)),
    "manager": lambda _acme, edge: session(fleet_member(edge, "manager")),
    "fleet operator": lambda _acme, edge: session(fleet_member(edge, "operator")),
    "viewer": lambda _acme, edge: session(fleet_member(edge, "viewer")),
    "superuser's token": lambda acme, _edge: acting(
        make_token(make_member(acme, user=make_superuser()).user, *EVERYTHING)
    ),
    "owner's token": lambda acme, _edge: acting(make_token(owner_of(acme), *EVERYTHING)),
    "owner's reader": lambda acme, _edge: acting(make_token(owner_of(acme), "machines:read")),
    "fleet token": lambda _acme, edge: acting(
        make_token(edge, "machines:write", "machines:configure", "machines:operate")
    ),
    "owner elsewhere": lambda _acme, _edge: session(owner_of(make_organization())),
}
EVERYBODY_HERE = "operator superuser owner admin approver auditor member manager fleet_operator viewer"
RULES: dict[str, tuple[Callable[[Access, Organization, Fleet, Group], bool], str]] = {
    "open an organization": (lambda by, *_: policy.may_open_organization(by), "operator superuser"),
    "add a person of another organization": (
        lambda by, *_: policy.may_add_known(by),
        "operator superuser",
    ),
    "change the organization": (
        lambda by, acme, *_: policy.may_change_organization(by, acme),
        "operator superuser owner admin",
    ),
    "set its policy": (
        lambda by, acme, *_: policy.may_set_policy(by, acme),
        "operator superuser owner admin",
    ),
    "open a fleet, group or application, make a technical user": (
        lambda by, acme, *_: policy.may_open_owner(by, acme),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "make an owner": (lambda by, acme, *_: policy.may_give_role(by, acme, "owner"), "operator owner"),
    "make an admin": (lambda by, acme, *_: policy.may_give_role(by, acme, "admin"), "operator owner"),
    "make an approver": (
        lambda by, acme, *_: policy.may_give_role(by, acme, "approver"),
        "operator superuser owner",
    ),
    "make a member": (
        lambda by, acme, *_: policy.may_give_role(by, acme, "member"),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "make a fleet manager": (
        lambda by, _acme, edge, _group: policy.may_give_role_of(by, edge, "manager"),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "end a fleet membership": (
        lambda by, _acme, edge, _group: policy.may_take_role_of(by, edge),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "end a group membership": (
        lambda by, _acme, _edge, group: policy.may_take_role_of(by, group),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "make a group admin": (
        lambda by, _acme, _edge, group: policy.may_give_role_of(by, group, "admin"),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "make an application owner": (
        lambda by, acme, *_: policy.may_give_role_of(by, make_application(acme), "owner"),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "change an application": (
        lambda by, acme, *_: policy.may_take_role_of(by, make_application(acme)),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "close a fleet": (
        lambda by, _acme, edge, _group: policy.may_close(by, edge),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "close a group": (
        lambda by, _acme, _edge, group: policy.may_close(by, group),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "set an entry": (
        lambda by, acme, *_: policy.may_set_entry(by, acme, "/", "Viewer"),
        "operator superuser owner admin owner's_token superuser's_token",
    ),
    "see members": (
        lambda by, acme, *_: policy.may_see_people(by, "/", acme.pk),
        f"{EVERYBODY_HERE} owner's_token superuser's_token",
    ),
    "register a machine": (
        lambda by, _acme, edge, _group: policy.may_register(by, edge),
        "operator superuser owner admin manager owner's_token superuser's_token fleet_token",
    ),
    "write a machine": (
        lambda by, _acme, edge, _group: policy.may_write(by, make_machine(edge)),
        "operator superuser owner admin manager owner's_token superuser's_token fleet_token",
    ),
    "configure a machine": (
        lambda by, _acme, edge, _group: policy.may_configure(by, make_machine(edge)),
        "operator superuser owner admin manager owner's_token superuser's_token fleet_token",
    ),
    "operate a machine": (
        lambda by, _acme, edge, _group: policy.may_operate(by, make_machine(edge)),
        "operator superuser owner admin manager fleet_operator owner's_token superuser's_token fleet_token",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_holds_for_exactly_these_callers(rule: str) -> None:
    acme = make_organization("acme")
    edge, group = make_fleet(acme), make_group(acme)
    may, expected = RULES[rule]

    allowed = {
        name.replace(" ", "_") for name, make in CALLERS.items() if may(make(acme, edge), acme, edge, group)
    }

    assert allowed == set(expected.split())


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("owner", {"owner", "themselves"}), ("member", {"owner", "admin", "token", "themselves"})],
)
def test_a_membership_is_ended_by_themselves_or_by_who_may_take_the_role(
    role: str, allowed: set[str]
) -> None:
    acme = make_organization("acme")
    row: Membership = make_member(acme, role)
    callers: dict[str, Any] = {
        "owner": session(owner_of(acme)),
        "admin": session(member(acme, "admin")),
        "member": session(member(acme)),
        "themselves": session(row.user),
        "token": acting(make_token(owner_of(acme), "permissions:manage")),
    }
    if role == "member":
        callers["their token"] = acting(make_token(row.user, "machines:read"))

    assert {name for name, by in callers.items() if policy.may_end_membership(by, row)} == allowed


GIFTS: dict[str, Callable[[Access, Organization, Fleet, Group], bool]] = {
    "an organization role": lambda by, acme, *_: policy.may_give_role(by, acme, "auditor"),
    "a fleet role": lambda by, _acme, edge, _group: policy.may_give_role_of(by, edge, "viewer"),
    "a group role": lambda by, _acme, _edge, group: policy.may_give_role_of(by, group, "user"),
    "an entry": lambda by, acme, *_: policy.may_set_entry(by, acme, "/", "Administrator"),
}


@pytest.mark.parametrize("gift", GIFTS)
def test_nobody_gives_by_a_path_above_what_they_are_denied_below(gift: str) -> None:
    acme = make_organization("acme")
    edge, group = make_fleet(acme, "edge"), make_group(acme)
    make_entry(acme, "/", "Viewer", group=group)
    secret = make_machine(edge)
    admin, blocked = member(acme, "admin"), member(acme, "admin")
    make_entry(acme, secret.path, "NoAccess", user=blocked)
    narrow = make_token(admin, "permissions:manage", "tokens:read", "audit:read", machines=[secret])

    may = GIFTS[gift]

    assert may(session(admin), acme, edge, group)
    assert not may(session(blocked), acme, edge, group)
    assert not may(acting(narrow), acme, edge, group)


def test_an_entry_for_one_path_alone_gives_nothing_below_it() -> None:
    acme = make_organization("acme")
    edge, blocked = make_fleet(acme, "edge"), member(acme, "admin")
    make_entry(acme, edge.path, "NoAccess", user=blocked)
    by = session(blocked)

    assert policy.may_set_entry(by, acme, "/", "Viewer", propagate=False)
    assert not policy.may_set_entry(by, acme, "/", "Viewer")
    assert not policy.may_set_entry(by, acme, edge.path, "Viewer", propagate=False)
