"""`manage.py acl`: rules at the server's own command line, as the operator, and what they mean over HTTP at once."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from audit.models import Event
from fleets import entries, membership
from fleets.models import AclEntry, Organization, User
from tests.factories import (
    API,
    last_event,
    make_entry,
    make_fleet,
    make_group,
    make_machine,
    make_member,
    make_organization,
    make_person,
    make_role,
    make_technical_user,
    make_token,
    operator,
)
from tokens.models import Grant, Token

pytestmark = pytest.mark.django_db


def run(command: str, *words: str) -> tuple[str, str]:
    """What it prints to stdout and stderr; CommandError where it fails."""
    out, err = io.StringIO(), io.StringIO()
    call_command(command, *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def acl(*words: str) -> Any:
    """The one document of `manage.py acl … --format json`."""
    return json.loads(run("acl", *words, "--format", "json")[0])


@pytest.fixture
def alice(db: None) -> User:
    """A viewer of fleet edge; acme has a second fleet, and an administrator."""
    acme = make_organization("acme")
    alice = make_person("alice@example.org")
    membership.join(acme, user=alice, role="member", by=operator)
    for slug in ("edge", "core"):
        make_machine(make_fleet(acme, slug), f"{slug}-1")
    make_entry(acme, "/fleets/edge", "Viewer", user=alice)
    return alice


@pytest.fixture
def acme(alice: User) -> Organization:
    return alice.memberships.get().organization


def program(secret: str) -> APIClient:
    return APIClient(headers={"authorization": f"Bearer {secret}"})


# The end-to-end story


def test_a_token_that_is_granted_nothing_is_granted_one_fleet_and_loses_it_with_its_owner(
    alice: User, acme: Organization
) -> None:
    made = json.loads(
        run("token", "add", "alice@example.org", "backup", "--privsep", "1", "--format", "json")[0]
    )
    client = program(made["secret"])

    def reads() -> list[str]:
        answer = client.get(f"{API}machines/")
        assert answer.status_code in {200, 403}
        return [row["name"] for row in answer.json().get("results", [])]

    def gate(path: str, scope: str = "machines:read") -> int:
        address = f"/gate/verify?organization=acme&scope={scope}&path={path}"
        return client.get(address).status_code

    assert (made["grants"], reads(), gate("/fleets/edge")) == ([], [], 403)

    row = acl("modify", "/fleets/edge", "--token", "alice@example.org!backup", "--role", "Viewer")
    assert (row["path"], row["role"], row["propagate"], row["n"]) == ("/fleets/edge", "Viewer", True, 1)
    assert (reads(), gate("/fleets/edge"), gate("/fleets/core")) == (["edge-1"], 204, 403)
    assert gate("/fleets/edge", "machines:operate") == 403

    # never more than alice may
    acl("modify", "/", "--token", "alice@example.org!backup", "--role", "Administrator")
    assert (reads(), gate("/"), gate("/fleets/core")) == (["edge-1"], 403, 403)
    acl("modify", "/fleets/edge", "--token", "alice@example.org!backup", "--role", "Administrator")
    assert (gate("/fleets/edge"), gate("/fleets/edge", "machines:operate")) == (204, 403)

    acl("modify", "/fleets/edge", "--user", "alice@example.org", "--role", "Viewer", "--delete")

    assert (reads(), gate("/fleets/edge")) == ([], 403)
    assert client.get(f"{API}token/").status_code == 200, "the token itself is as it was"
    shown = client.get(f"{API}token/permissions/?path=/fleets/edge").json()
    assert (shown["scopes"], shown["paths"]) == ([], ["/", "/fleets/edge"])


# Tokens' own rows


@pytest.mark.parametrize("reason", ["a\x1b[8mb", "\u202eab", "x" * 1001, "a\rb"])
def test_a_reason_is_read_as_the_api_reads_it(alice: User, acme: Organization, reason: str) -> None:
    token = make_token(alice, "machines:read", grants=()).token

    with pytest.raises(CommandError, match="reason: "):
        acl(
            "modify",
            "/",
            "--token",
            f"alice@example.org!{token.name}",
            "--role",
            "Viewer",
            "--reason",
            reason,
        )

    assert not Grant.objects.exists()


def test_a_tokens_row_is_given_replaced_and_taken_as_the_operator(alice: User, acme: Organization) -> None:
    make_token(alice, "machines:read", "machines:operate", grants=())
    token = Token.objects.get()
    written = f"alice@example.org!{token.name}"

    acl("modify", "/fleets/core", "--token", written, "--role", "Viewer", "--reason", "they asked")
    shown = acl("modify", "/fleets/core", "--token", written, "--role", "Operator", "--propagate", "0")

    assert shown == {
        "n": 2,
        "path": "/fleets/core",
        "role": "Operator",
        "propagate": False,
        "organization": "acme",
        "user": None,
        "group": None,
        "token": written,
    }
    assert list(Grant.objects.values_list("path", "role", "propagate")) == [
        ("/fleets/core", "Operator", False)
    ]
    first = Event.objects.filter(action="token.edited").order_by("at", "id")[0]
    assert (first.actor_type, first.actor_id, first.on_behalf_of_label) == (
        "system",
        "operator",
        alice.username,
    )
    assert (first.reason, "@" in first.actor_label) == ("they asked", True)

    taken = acl("modify", "/fleets/core", "--token", written, "--delete")
    assert (taken["path"], Grant.objects.count()) == ("/fleets/core", 0)


def test_tokens_of_every_kind_of_owner_are_written(acme: Organization) -> None:
    group = make_group(acme, "crew")
    make_entry(acme, "/fleets/edge", "GroupUser", group=group)
    bot = make_technical_user(acme, "robot")
    owners: dict[str, Any] = {
        "fleet:edge": acme.fleets.get(slug="edge"),
        "group:crew": group,
        "organization:acme": acme,
        "technical:robot": bot,
    }

    for written, owner in owners.items():
        name = make_token(owner, "machines:read", grants=()).token.name
        row = acl("modify", "/fleets/edge", "--token", f"{written}!{name}", "--role", "Viewer")
        assert (row["token"], row["role"]) == (f"{written}!{name}", "Viewer")
    assert Grant.objects.count() == len(owners)


# Entries


def test_an_entry_is_set_changed_and_removed_as_the_operator(alice: User, acme: Organization) -> None:
    make_role(acme, "Restarter", "machines:operate")

    made = acl("modify", "/fleets/core", "--user", "ALICE@example.org", "--role", "Restarter")
    changed = acl(
        "modify", "/fleets/core", "--user", "alice@example.org", "--role", "NoAccess", "--propagate", "0"
    )

    entry = AclEntry.objects.get(path="/fleets/core")
    assert made == {
        "id": str(entry.pk),
        "organization": "acme",
        "path": "/fleets/core",
        "role": "Restarter",
        "propagate": True,
        "user": "alice@example.org",
        "group": None,
    }
    assert changed == {**made, "role": "NoAccess", "propagate": False}
    assert acl("modify", "/fleets/core", "--user", "alice@example.org", "--delete") == changed
    assert not AclEntry.objects.filter(path="/fleets/core").exists()
    actions = Event.objects.filter(action__startswith="entry.", target_id=str(entry.pk)).order_by("at", "id")
    assert [event.action for event in actions] == ["entry.set", "entry.changed", "entry.removed"]
    assert {event.on_behalf_of_label for event in actions} == {"alice@example.org"}


def test_groups_technical_users_and_vmids_are_named(acme: Organization) -> None:
    make_group(acme, "crew")
    make_technical_user(acme, "robot")
    machine = make_machine(acme.fleets.get(slug="edge"), vmid=7)

    of_group = acl("modify", "/vms/7", "--group", "crew", "--role", "Viewer")
    of_robot = acl("modify", "/", "--user", "robot", "--role", "Viewer")

    assert (of_group["path"], of_group["group"], of_group["user"]) == (machine.path, "crew", None)
    assert (of_robot["user"], of_robot["group"]) == ("robot", None)
    assert acl("modify", "/vms/7", "--group", "crew", "--delete")["path"] == machine.path


def test_an_entry_on_what_is_closed_can_be_taken_away(alice: User, acme: Organization) -> None:
    acme.fleets.filter(slug="edge").update(closed_at="2026-01-01T00:00:00Z")

    with pytest.raises(CommandError, match="There is no such fleet or machine"):
        acl("modify", "/fleets/edge", "--user", "alice@example.org", "--role", "Operator")
    acl("modify", "/fleets/edge", "--user", "alice@example.org", "--delete")

    assert not AclEntry.objects.exists()


# Listing


def test_everything_that_is_given_is_listed(alice: User, acme: Organization) -> None:
    issued = make_token(alice, "machines:read")
    globex = make_organization("globex")
    make_entry(globex, "/fleets", "Viewer", group=make_group(globex, "theirs"))
    written = f"alice@example.org!{issued.token.name}"

    listed = acl("list")
    assert [
        (row["organization"], row["path"], row["role"], row["user"], row["group"], row["token"])
        for row in listed
    ] == [
        ("acme", "/fleets/edge", "Viewer", "alice@example.org", None, None),
        ("acme", "/", None, None, None, written),
        ("globex", "/fleets", "Viewer", None, "theirs", None),
    ]
    assert acl("list", "--organization", "globex") == [listed[2]]
    assert acl("list", "/fleets/edge") == acl("list", "--user", "alice@example.org") == [listed[0]]
    assert acl("list", "--group", "theirs") == [listed[2]]
    assert acl("list", "--token", written) == acl("list", "/", "--token", written) == [listed[1]]
    assert acl("list", "/nowhere") == acl("list", "/fleets", "--token", written) == []


def test_people_read_tables(alice: User) -> None:
    out, err = run("acl", "list")

    assert out.splitlines()[0].split() == [
        "ORGANIZATION",
        "PATH",
        "ROLE",
        "PROPAGATE",
        "USER",
        "GROUP",
        "TOKEN",
    ]
    assert out.splitlines()[1].split() == [
        "acme",
        "/fleets/edge",
        "Viewer",
        "yes",
        "alice@example.org",
        "-",
        "-",
    ]
    assert err == ""
    assert run("acl", "list", "/nowhere")[0].strip() == "Nothing is given."
    out, err = run("acl", "modify", "/fleets/edge", "--user", "alice@example.org", "--role", "Operator")
    assert "Operator" in out
    assert err.startswith("Done as the operator, ")


# How it fails


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("modify", "/"), "one of the arguments --token --user --group is required"),
        (("modify", "/", "--user", "alice@example.org"), "Say --role ROLE, or --delete."),
        (
            ("modify", "/", "--user", "alice@example.org", "--role", "Viewer", "--delete"),
            "Nothing such is given",
        ),
        (
            ("modify", "/", "--user", "alice@example.org", "--group", "crew", "--role", "Viewer"),
            "not allowed",
        ),
        (("modify", "/", "--user", "nobody", "--role", "Viewer"), "There is no owner nobody"),
        (("modify", "/", "--user", "fleet:edge", "--role", "Viewer"), "fleet:edge is no user."),
        (("modify", "/", "--group", "crew", "--role", "Viewer"), "There is no owner group:crew"),
        (("modify", "/", "--token", "backup", "--role", "Viewer"), "Write a token as OWNER!NAME."),
        (
            ("modify", "/", "--token", "alice@example.org!none", "--role", "Viewer"),
            "has no token of the name none",
        ),
        (("modify", "/", "--user", "alice@example.org", "--role", "Emperor"), "role: There is no such role."),
        (
            ("modify", "nodes", "--user", "alice@example.org", "--role", "Viewer"),
            "path: a path starts with '/'",
        ),
        (
            ("modify", "/fleets/none", "--user", "alice@example.org", "--role", "Viewer"),
            "path: There is no such",
        ),
        (
            ("modify", "/", "--user", "alice@example.org", "--delete"),
            "Nothing such is given to alice@example.org at /.",
        ),
        (
            ("modify", "/", "--user", "alice@example.org", "--role", "Viewer", "--organization", "none"),
            "There is no",
        ),
        (("modify", "/", "--user", "a\x00b", "--role", "Viewer"), "There is no such owner."),
        (("list", "nodes"), "a path starts with '/'"),
        (("list", "--organization", "none"), "There is no organization none."),
    ],
)
def test_what_can_not_be_meant_is_said_in_one_line(alice: User, words: tuple[str, ...], says: str) -> None:
    before = list(AclEntry.objects.values())

    with pytest.raises(CommandError) as error:
        run("acl", *words)

    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert list(AclEntry.objects.values()) == before


def test_somebody_of_several_organizations_needs_one_named(alice: User) -> None:
    make_member(make_organization("globex"), user=alice)

    with pytest.raises(CommandError, match="say --organization, one of acme, globex"):
        run("acl", "modify", "/", "--user", "alice@example.org", "--role", "Viewer")
    acl("modify", "/", "--user", "alice@example.org", "--role", "Viewer", "--organization", "globex")

    assert AclEntry.objects.get(path="/").organization.slug == "globex"


def test_the_operator_gives_what_nobody_holds(alice: User, acme: Organization) -> None:
    """No right is needed and nothing is judged: whoever holds the host holds the database."""
    acl("modify", "/", "--user", "alice@example.org", "--role", "Administrator")

    assert last_event(action="entry.set").data["role"] == "Administrator"
    entries.remove_entry(AclEntry.objects.get(path="/"), by=operator)
    assert AclEntry.objects.count() == 1
