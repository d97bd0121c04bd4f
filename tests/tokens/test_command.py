"""`manage.py token`: what it does as the operator, what it prints, and how it fails."""

import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import Event
from config.edge.clock import now
from fleets import membership, organizations
from fleets.models import Organization
from tests import environment
from tests.factories import (
    last_event,
    make_application,
    make_entry,
    make_fleet,
    make_group,
    make_machine,
    make_organization,
    make_person,
    make_technical_user,
    operator,
    owner_of,
    session_client,
)
from tests.servers.command_line import CommandLine
from tokens import secret
from tokens.models import Token, TokenSecret


@dataclass
class Ran:
    """One command's output and exit status."""

    out: str
    err: str
    status: int = 0

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line that a failure prints."""
        assert self.status != 0
        assert self.out == ""
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        return self.err


def token(*words: str) -> Ran:
    """The command in this process; CommandError where it fails."""
    out, err = io.StringIO(), io.StringIO()
    call_command("token", *words, stdout=out, stderr=err)
    return Ran(out.getvalue(), err.getvalue())


def as_json(*words: str) -> Any:
    return token(*words, "--format", "json").document


@pytest.fixture
def acme(db: None) -> Organization:
    """Ada owns it, Grace is a plain member who holds nothing; fleet edge has two machines."""
    acme = make_organization("acme", owner=make_person("ada"))
    membership.join(acme, user=make_person("grace"), role="member", by=operator)
    edge = make_fleet(acme, "edge")
    make_machine(edge, "one", vmid=101)
    make_machine(edge, "two")
    return acme


# Adding


def test_the_secret_is_printed_once_and_works(acme: Organization) -> None:
    added = as_json("add", "fleet:edge", "ci", "--scope", "machines:read", "--scope", "machines:operate")

    parsed = secret.parse(added["secret"])
    assert parsed is not None
    assert parsed.token_id == added["id"]
    assert added["secret"] not in token("info", "fleet:edge", "ci").out
    assert added["scopes"] == ["machines:operate", "machines:read"]
    assert added["status"] == "active"


def test_the_document_has_the_fields_of_the_api(acme: Organization) -> None:
    added = as_json("add", "ada", "cli", "--role", "Viewer")

    by_api = session_client(owner_of(acme)).get(f"/api/v1/tokens/{added['id']}/").json()
    assert added == by_api | {"secret": added["secret"]}
    assert as_json("info", "ada", "cli") == by_api


def test_it_acts_as_the_operator_on_behalf_of_the_user_and_says_so(acme: Organization) -> None:
    ran = token("add", "ada", "cli", "--role", "Viewer", "--reason", "asked by phone")

    event = last_event(action="token.issued")
    assert (event.actor_type, event.actor_id) == ("system", "operator")
    assert "@" in event.actor_label
    assert (event.on_behalf_of_type, event.on_behalf_of_label) == ("person", "ada")
    assert event.reason == "asked by phone"
    assert event.request_id
    assert f"as the operator, {event.actor_label}, without approval" in ran.err


def test_neither_approval_nor_reason_is_needed(acme: Organization) -> None:
    membership.join(acme, user=make_person("edsger"), role="approver", by=operator)
    organizations.set_policy(acme, changes={"approvals_needed": {"high": 1}}, by=operator)

    added = as_json("add", "fleet:edge", "ci", "--scope", "commands:execute")

    assert (added["status"], added["risk"]) == ("active", "high")


def test_the_user_need_not_hold_what_is_asked_and_gains_nothing_by_it(acme: Organization) -> None:
    added = as_json("add", "grace", "wide", "--scope", "machines:write")

    assert added["scopes"] == ["machines:write"]
    assert as_json("permissions", "grace", "wide", "--path", "/fleets/edge")["scopes"] == []


def test_scopes_alone_reach_the_root_of_the_owner(acme: Organization) -> None:
    of_fleet = as_json("add", "fleet:edge", "a", "--role", "Viewer")
    of_person = as_json("add", "ada", "a", "--scope", "machines:read", "--privsep", "1")

    assert [grant["path"] for grant in of_fleet["grants"]] == ["/fleets/edge"]
    assert [grant["path"] for grant in of_person["grants"]] == ["/"]
    assert of_person["privilege_separation"] is True


@pytest.mark.parametrize("options", [[], ["--privsep", "1"]])
def test_privilege_separation_alone_can_do_nothing_until_it_is_granted(
    acme: Organization, options: list[str]
) -> None:
    ran = token("add", "ada", "bare", *options, "--format", "json")

    assert ran.document["grants"] == []
    assert "machines:read" in ran.document["scopes"]
    assert as_json("permissions", "ada", "bare")["scopes"] == []
    assert "nothing until" in ran.err


def test_no_privilege_separation_goes_by_the_rights_of_the_owner(acme: Organization) -> None:
    added = as_json("add", "ada", "all", "--privsep", "0")

    assert (added["privilege_separation"], added["risk"], added["grants"]) == (False, "high", [])
    assert "machines:write" in as_json("permissions", "ada", "all")["scopes"]


def test_machines_narrow_a_token_to_themselves(acme: Organization) -> None:
    machine = acme.machines.get(name="one")

    added = as_json("add", "fleet:edge", "ci", "--role", "Viewer", "--machines", str(machine.pk))

    assert [row["name"] for row in added["machines"]] == ["one"]
    assert [grant["path"] for grant in added["grants"]] == [machine.path]


@pytest.mark.parametrize(
    ("words", "days"),
    [([], 90), (["--expire", "30d"], 30), (["--expire", "never"], None)],
)
def test_expiry_is_the_default_a_lifetime_or_never(
    acme: Organization, words: list[str], days: int | None
) -> None:
    added = as_json("add", "ada", "cli", "--role", "Viewer", *words)

    expires_at = Token.objects.get(pk=added["id"]).expires_at
    if days is None:
        assert expires_at is None
    else:
        assert expires_at is not None
        assert abs(expires_at - now() - timedelta(days=days)) < timedelta(minutes=1)


def test_a_date_ends_validity_at_its_first_instant(acme: Organization) -> None:
    added = as_json("add", "ada", "cli", "--role", "Viewer", "--expire", "2099-12-31")

    assert added["expires_at"] == "2099-12-31T00:00:00Z"


# What follows


def test_list_shows_those_of_an_owner_or_all_and_ended_ones_only_when_asked(acme: Organization) -> None:
    for owner, name in (("ada", "a"), ("fleet:edge", "b"), ("ada", "c")):
        token("add", owner, name, "--role", "Viewer")
    token("revoke", "ada", "c")

    assert [row["name"] for row in as_json("list", "ada")] == ["a"]
    assert {row["name"] for row in as_json("list")} == {"a", "b"}
    assert {row["name"] for row in as_json("list", "ada", "--all")} == {"a", "c"}
    assert as_json("list", "grace") == []
    assert "fleet:edge" in token("list").out


def test_modify_changes_what_is_named_and_nothing_else(acme: Organization) -> None:
    before = as_json("add", "fleet:edge", "ci", "--role", "Operator")
    del before["secret"]

    words = (
        "--scope",
        "machines:read",
        "--description",
        "reads",
        "--rotate-every",
        "30d",
        "--expire",
        "never",
    )
    after = as_json("modify", "fleet:edge", "ci", *words)

    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        *("scopes", "role", "access_level", "risk", "description"),
        *("rotate_every", "rotation_due_at", "expires_at", "hints"),
    }
    assert as_json("modify", "fleet:edge", "ci", "--rotate-every", "never")["rotate_every"] is None
    assert as_json("modify", "fleet:edge", "ci", "--name", "robot")["name"] == "robot"


def test_rotate_prints_a_new_secret_and_until_when_the_old_one_is_valid(acme: Organization) -> None:
    first = as_json("add", "ada", "cli", "--role", "Viewer")["secret"]

    second = as_json("rotate", "ada", "cli", "--overlap", "2h")
    third = as_json("rotate", "ada", "cli")

    assert len({first, second["secret"], third["secret"]}) == 3
    assert second["previous_valid_until"].endswith("Z")
    assert third["previous_valid_until"] is None
    assert TokenSecret.objects.live(now()).count() == 1


def test_disable_enable_and_delete_are_the_verbs_of_the_api(acme: Organization) -> None:
    token("add", "ada", "cli", "--role", "Viewer")

    assert as_json("disable", "ada", "cli", "--reason", "holiday")["status"] == "disabled"
    assert as_json("enable", "ada", "cli")["status"] == "active"
    deleted = as_json("delete", "ada", "cli", "--reason", "gone")

    assert (deleted["status"], deleted["status_reason"]) == ("revoked", "by_hand")
    assert list(
        Event.objects.filter(target_id=deleted["id"]).order_by("id").values_list("action", "reason")
    ) == [
        ("token.issued", ""),
        ("token.disabled", "holiday"),
        ("token.enabled", ""),
        ("token.revoked", "gone"),
    ]


def test_permissions_name_the_entry_that_gives_each_scope(acme: Organization) -> None:
    token("add", "fleet:edge", "ci", "--scope", "machines:read")

    found = as_json("permissions", "fleet:edge", "ci", "--path", "/vms/101")

    assert found["path"] == acme.machines.get(vmid=101).path
    assert [(by["scope"], by["path"]) for by in found["given_by"]] == [("machines:read", "/fleets/edge")]


def test_an_owner_in_several_organizations_needs_one_named(acme: Organization) -> None:
    other = make_organization("other", owner=owner_of(acme))

    with pytest.raises(CommandError, match="say --organization, one of acme, other"):
        token("add", "ada", "cli", "--role", "Viewer")
    added = as_json("add", "ada", "cli", "--role", "Viewer", "--organization", "other")

    assert added["organization"] == "other"
    assert Token.objects.get().organization == other


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("add nobody x --role Viewer", "no owner nobody"),
        ("add fleet:nope x --role Viewer", "no owner fleet:nope"),
        ("add group:ops x --role Viewer", "no owner group:ops"),
        ("add organization:nope x --role Viewer", "no owner organization:nope"),
        ("add application:app x --role Viewer", "no owner application:app"),
        ("add technical:bot x --role Viewer", "no owner technical:bot"),
        ("add technical:ada x --role Viewer", "no owner technical:ada"),
        ("add ada x --role Viewer --organization nope", "no organization nope"),
        ("add ada x --role Nope", "role"),
        ("add ada x --scope machines:*", "scopes: unknown scope"),
        ("add ada x --scope machines:read --role Viewer", "not both"),
        ("add ada x/y --role Viewer", "name: Letters"),
        ("add ada x --role Viewer --expire 2020-01-01", "expires_at: .* future"),
        ("add ada x --role Viewer --expire tomorrow", "expires_at: Write a date"),
        ("add ada x --role Viewer --machines all --privsep 1 --rotate-every 5", "rotate_every"),
        ("add ada x --role Viewer --machines 12", "machines"),
        ("add fleet:edge x --privsep 0", "always separated"),
        ("add fleet:edge x --scope tokens:manage", "can't hold"),
        ("add grace x --privsep 0", "at least one scope"),
        ("info ada nope", "no token of the name nope"),
        ("modify ada cli", "Say what shall be different"),
        ("modify ada cli --scope nope", "unknown scope"),
        ("rotate ada cli --overlap 8d", "At most 7d"),
        ("enable ada cli", "can't be enabled"),
        ("permissions ada cli --path //", "path"),
        ("permissions ada cli --path /fleets/nope", "no such fleet"),
        ("list nobody", "no owner nobody"),
    ],
)
def test_what_can_not_be_done_is_said_and_changes_nothing(acme: Organization, words: str, what: str) -> None:
    token("add", "ada", "cli", "--role", "Viewer")
    before = list(Token.objects.values()), Event.objects.count()

    with pytest.raises(CommandError, match=what) as raised:
        token(*words.split())

    assert "\n" not in str(raised.value)
    assert (list(Token.objects.values()), Event.objects.count()) == before


# Owners of every kind


@pytest.fixture
def owners(acme: Organization) -> dict[str, str]:
    """An owner of each kind as the command line writes it, and who the token acts on behalf of."""
    ops = make_group(acme, "ops")
    make_entry(acme, "/fleets/edge", "GroupUser", group=ops)
    make_application(acme, "shop")
    make_technical_user(acme, "bot")
    return {
        "personal": "ada",
        "fleet": "fleet:edge",
        "group": "group:ops",
        "organization": "organization:acme",
        "application": "application:shop",
        "technical_user": "technical:bot",
    }


KINDS = ("personal", "fleet", "group", "organization", "application", "technical_user")


@pytest.mark.parametrize("kind", KINDS)
def test_the_life_of_a_token_of_every_kind(owners: dict[str, str], kind: str) -> None:
    owner = owners[kind]

    added = as_json("add", owner, "ci", "--role", "Operator", "--expire", "30d")
    assert (added["kind"], added["status"], added["role"]) == (kind, "active", "Operator")
    assert added["owner"]["type"] == ("person" if kind == "personal" else kind)
    assert secret.parse(added["secret"])
    assert [row["id"] for row in as_json("list", owner)] == [added["id"]]
    assert owner in token("list", owner).out
    assert owner in token("info", owner, "ci").out
    assert as_json("modify", owner, "ci", "--scope", "machines:read")["scopes"] == ["machines:read"]
    assert as_json("rotate", owner, "ci")["secret"] != added["secret"]
    assert as_json("disable", owner, "ci")["status"] == "disabled"
    assert as_json("enable", owner, "ci")["status"] == "active"
    assert as_json("permissions", owner, "ci")["path"] in ("/", "/fleets/edge")
    deleted = token("delete", owner, "ci", "--format", "json")

    assert deleted.document["status"] == "revoked"
    assert "ended for ever" in deleted.err
    behind = {"personal": "ada", "technical_user": "bot"}.get(kind, "")
    assert last_event(action="token.revoked").on_behalf_of_label == behind


def test_an_owner_of_each_kind_has_a_name_of_its_own(owners: dict[str, str]) -> None:
    for owner in owners.values():
        token("add", owner, "ci", "--role", "Viewer")

    assert {row["kind"] for row in as_json("list")} == set(KINDS)
    for kind, owner in owners.items():
        assert as_json("info", owner, "ci")["kind"] == kind


def test_extended_permissions_are_for_admin_on_all_machines(owners: dict[str, str]) -> None:
    words = ("add", "organization:acme", "ci", "--role", "Admin", "--machines", "all")
    added = as_json(*words, "--extended", "templates", "--extended", "images")
    assert (added["access_level"], added["extended"]) == ("admin", ["images", "templates"])

    assert as_json("modify", "organization:acme", "ci", "--extended", "images")["extended"] == ["images"]
    assert as_json("modify", "organization:acme", "ci", "--extended", "none")["extended"] == []
    as_json("modify", "organization:acme", "ci", "--extended", "images")
    assert as_json("modify", "organization:acme", "ci", "--role", "Operator")["extended"] == []
    with pytest.raises(CommandError, match=r"extended: .* role Admin on all machines"):
        token("modify", "organization:acme", "ci", "--extended", "images")
    with pytest.raises(CommandError, match="invalid choice"):
        token("modify", "organization:acme", "ci", "--extended", "snapshots")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("add group:ops x --scope tokens:read", "group's token can't hold tokens:read"),
        ("add technical:bot x --scope approvals:decide", "personal tokens only"),
        ("add technical:bot x --privsep 0", "at least one scope"),
        ("add organization:acme x --privsep 0", "always separated"),
        ("add group:acme x --role Viewer", "no owner group:acme"),
        ("add group:shop x --role Viewer", "no owner group:shop"),
        ("add technical:ada x --role Viewer", "no owner technical:ada"),
        ("add bot x --role Viewer", "no owner bot"),
        ("add group: x --role Viewer", "no owner group:"),
        ("add nothing:acme x --role Viewer", "no owner nothing:acme"),
        ("list application:nope", "no owner application:nope"),
        ("revoke technical:bot nope", "no token of the name nope"),
    ],
)
def test_what_an_owner_can_not_have_is_said_and_changes_nothing(
    owners: dict[str, str], words: str, what: str
) -> None:
    with pytest.raises(CommandError, match=what):
        token(*words.split())

    assert not Token.objects.exists()
    assert not Event.objects.filter(action__startswith="token.", outcome="allowed").exists()


def test_what_is_wrong_is_said_with_the_field_that_it_is_in(acme: Organization) -> None:
    words = ("--scope", "machines:read", "--scope", "a\x00", "--machines", "x", "--rotate-every", "y")

    with pytest.raises(CommandError) as refused:
        token("add", "ada", "ci", *words)

    fields = [each.partition(": ")[0] for each in str(refused.value).split("; ")]
    assert fields == ["scopes.1", "machines", "rotate_every"]


def test_a_group_of_the_same_slug_elsewhere_needs_the_organization_named(owners: dict[str, str]) -> None:
    other = make_organization("other")
    make_entry(other, "/nodes", "GroupUser", group=make_group(other, "ops"))

    with pytest.raises(CommandError, match="say --organization, one of acme, other"):
        token("add", "group:ops", "ci", "--role", "Viewer")
    added = as_json("add", "group:ops", "ci", "--role", "Viewer", "--organization", "other")

    assert (added["organization"], [row["path"] for row in added["grants"]]) == ("other", ["/nodes"])


# In a process of its own


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as `make run` leaves it before anything is in its database."""
    data = tmp_path_factory.mktemp("da ta")
    pepper = secrets.token_hex(32)
    settings = (
        f"SECRET_KEY={secrets.token_hex(30)}\nTOKENHOUSE_PEPPERS=1:{pepper}\nREDIS_URL=unix:///nowhere?db=0\n"
    )
    (data / "settings.env").write_text(settings, encoding="utf-8")
    if template := os.environ.get(environment.TEMPLATE_FILE):
        shutil.copyfile(template, data / "tokenhouse.sqlite3")
    return data


def environment_of(data: Path) -> dict[str, str]:
    """As a person's shell has it, with nothing exported but the data folder."""
    return environment.without_product_settings() | {"TOKENHOUSE_DATA": str(data)}


@pytest.fixture(scope="module")
def shell(data: Path) -> Iterator[Callable[[str], Ran]]:
    """Runs commands on it one after the other, beginning with an empty organization."""
    with CommandLine(environment_of(data)) as command_line:

        def run(words: str) -> Ran:
            status, out, err = command_line.run(*words.split())
            return Ran(out, err, status)

        for words in ("migrate -v0", "demo --empty --username ada", "token add ada first --role Viewer"):
            assert run(words).status == 0
        yield run


def manage(repository: Path, data: Path, words: str, **variables: str) -> Ran:
    """manage.py from the interpreter's start on."""
    done = subprocess.run(
        [sys.executable, "manage.py", *words.split()],
        cwd=repository,
        env=environment_of(data) | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.stdout, done.stderr, done.returncode)


@pytest.mark.usefixtures("shell")
def test_a_process_prints_one_document_and_exits_with_zero(repository: Path, data: Path) -> None:
    ran = manage(repository, data, "token add ada cli --role Viewer --format json")

    assert ran.status == 0
    assert secret.parse(ran.document["secret"])
    assert ran.out.count("\n") == 1
    assert ran.document["secret"] not in ran.err


def test_what_other_processes_could_not_be_told_is_said_but_done(shell: Callable[[str], Ran]) -> None:
    shell("token add ada off --role Viewer")

    ran = shell("token disable ada off --format json")

    assert (ran.status, ran.document["status"]) == (0, "disabled")
    assert "could not be told yet" in ran.err


def test_every_command_says_what_other_processes_could_not_be_told(shell: Callable[[str], Ran]) -> None:
    organization = shell("token list --format json").document[0]["organization"]
    lifted = shell("token add ada lifted --role Viewer --format json").document["id"]

    for words, how in (
        (f"user invite grace --organization {organization}", ""),
        (f"emergency start {lifted} --hours 1 --reason Fire --as ada", ", on behalf of ada"),
        ("token disable ada lifted", ", without approval"),
    ):
        ran = shell(words)

        assert (ran.status, words) == (0, words), ran.err
        said = [line for line in ran.err.splitlines() if not line.startswith("{")]  # but the log
        assert re.fullmatch(f"Done as the operator, [^ ,]+@[^ ,]+{how}.", said[0])
        assert "could not be told yet" in said[1]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("token", "arguments are required"),
        ("token frobnicate", "invalid choice"),
        ("token add ada", "NAME"),
        ("token add ada x --format xml", "invalid choice: 'xml'"),
        ("token add ada x --privsep 2", "invalid choice"),
        ("token add ada x --bogus", "unrecognized arguments"),
        ("token info ada nope", "no token of the name nope"),
        ("token add ada x --scope nope --format json", "unknown scope"),
        ("demo", "not empty"),
    ],
)
def test_a_process_fails_in_one_line(shell: Callable[[str], Ran], words: str, what: str) -> None:
    assert what in shell(words).error


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({"DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing"}, "database can't be used"),
        ({"TOKENHOUSE_PEPPERS": f"1:{'ab' * 32}"}, "pepper"),
        ({"TOKENHOUSE_PEPPERS": "nonsense"}, "TOKENHOUSE_PEPPERS must read"),
    ],
)
def test_a_house_in_disorder_is_one_line_too(
    repository: Path, data: Path, variables: dict[str, str], what: str
) -> None:
    ran = manage(repository, data, "token add ada x --role Viewer", **variables)

    assert what in ran.error


def test_a_folder_without_settings_is_one_line(repository: Path, tmp_path: Path) -> None:
    assert "SECRET_KEY is not set" in manage(repository, tmp_path, "token list").error


def test_a_database_that_was_never_migrated_is_one_line(repository: Path, tmp_path: Path, data: Path) -> None:
    (tmp_path / "settings.env").write_text(
        (data / "settings.env").read_text(encoding="utf-8"), encoding="utf-8"
    )

    assert "database can't be used" in manage(repository, tmp_path, "token list").error


@pytest.mark.usefixtures("shell")
def test_undecodable_arguments_are_refused(repository: Path, data: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    assert manage(repository, data, f"token info {name} {name}").error
    assert manage(repository, data, f"token add ada {name} --role Viewer").error
