"""The walk is Proxmox VE's: its rules of inheritance as its manual states them, each with cases of its own.

What "User Management", section "Permission Management", says, in other words (pve.proxmox.com, pveum):

1. Objects are paths of a tree. A permission is an entry: a path, a role, and one user, group or token.
2. An entry is inherited by all that is below its path, as long as its propagate flag is set, which it is unless said.
3. A group's entries count for whoever is a member of it.
4. An entry that names the user goes before those of their groups; and one that names the token before both.
5. What stands on a deeper level replaces what comes from above, as a whole: it is not added to it.
6. Entries that count side by side, as those of several groups do, are added up.
7. NoAccess cancels all other roles on its path.
8. A token without privilege separation has the user's permissions; a separated one has entries of its own, and on
   no path more than its user has there.

Ours, beside these rules: what somebody holds without an entry (3-domain, "Who holds what") is added to the walk; a
NoAccess that wins empties that too, but not for owners; a token has a ceiling; a superuser holds everything.
"""

import pytest
from django.test import Client

from config.edge.refusals import Invalid
from fleets import holdings, machines, places
from fleets.authority import Entry, Holding, PrincipalRights, TokenRights
from fleets.models import Fleet, Group, Machine, Organization, User
from fleets.scopes import ALL_SCOPES, Scope
from tests.factories import (
    acting,
    make_entry,
    make_fleet,
    make_group,
    make_group_member,
    make_machine,
    make_member,
    make_organization,
    make_person,
    make_token,
    operator,
    token_client,
)
from tests.fleets.test_authority import entries
from tokens.issuance import GrantWish, Issued

READ, OPERATE, WRITE = Scope.MACHINES_READ, Scope.MACHINES_OPERATE, Scope.MACHINES_WRITE
SHORT = {"read": READ, "operate": OPERATE, "write": WRITE}

# what | entries of the principal | rows of its token | path asked | scopes. An entry is `subject path role [once]`, its
# role read, operate, write, both (read and write), empty or NoAccess. `holds` is held without an entry. The rows are -
# where no token calls, `whole` where it is not separated, `none` where it has none; `only read` is a ceiling.
PURE = """
1: nobody said anything                               |                                                       | -                               | /nodes/n1    |
1: an entry speaks of its path                        | user /nodes/n1 read                                   | -                               | /nodes/n1    | read
1: an entry says nothing of its parent                | user /nodes/n1 both                                   | -                               | /nodes       |
1: an entry says nothing of its sibling               | user /nodes/n1 both                                   | -                               | /nodes/n2    |
1: a path is no prefix of letters                     | user /nodes/n1 both                                   | -                               | /nodes/n10   |
1: a path is told from another by its case            | user /nodes/n1 both                                   | -                               | /nodes/N1    |
1: a path that nothing names has what is above        | user /nodes read                                      | -                               | /nodes/x/y/z | read
1: a path under no entry has nothing                  | user /nodes read                                      | -                               | /storage/s1  |
2: propagate set, one level below                     | user /nodes both                                      | -                               | /nodes/n1    | read write
2: propagate set, many levels below                   | user / operate                                        | -                               | /a/b/c/d/e/f | operate
2: propagate unset, at the path                       | group /nodes both once                                | -                               | /nodes       | read write
2: propagate unset, below                             | group /nodes both once                                | -                               | /nodes/n1    |
2: propagate unset at the root, below                 | group / both once                                     | -                               | /nodes       |
2: an unset one lets the one above through            | group / read; group /nodes write once                 | -                               | /nodes/n1    | read
2: two unset ones let the one above them through      | user / read; user /a write once; user /a/b write once | -                               | /a/b/c       | read
2: two at a path, one propagates                      | user /a read; user /a write once                      | -                               | /a/b         | read
2: two at a path, both count there                    | user /a read; user /a write once                      | -                               | /a           | read write
3: a group's entry counts for its member              | group /nodes operate                                  | -                               | /nodes/n1    | operate
3: two groups on two branches                         | group /a read; group /b write                         | -                               | /b/c         | write
4: user over group                                    | group /a both; user /a operate                        | -                               | /a           | operate
4: user over group, below                             | group /a both; user /a operate                        | -                               | /a/b         | operate
4: user over several groups                           | group /a read; group /a write; user /a operate        | -                               | /a           | operate
4: a user's smaller role is smaller                   | group /a both; user /a read                           | -                               | /a           | read
4: a user's role without scopes hides the groups      | group /a both; user /a empty                          | -                               | /a           |
4: user without propagate over group, at the path     | group /a both; user /a read once                      | -                               | /a           | read
4: user without propagate over group, below           | group /a both; user /a operate once                   | -                               | /a/b         | read write
4: the level decides before the subject               | user /a operate; group /a/b read                      | -                               | /a/b         | read
4: and does so below as well                          | user / both; user /a write; group /a/b read           | -                               | /a/b/c       | read
4: the user again, deeper than the group              | user / read; group /a write; user /a/b operate        | -                               | /a/b         | operate
5: deeper replaces                                    | user /a read; user /a/b write                         | -                               | /a/b         | write
5: deeper replaces all above, not the last only       | user / read; user /a operate; user /a/b write         | -                               | /a/b/c       | write
5: deeper may give less                               | user / both; user /a/b read                           | -                               | /a/b/c       | read
5: deeper may give nothing                            | group / both; group /a empty                          | -                               | /a/b         |
5: beside the deeper the upper stays                  | user /a read; user /a/b write                         | -                               | /a/c         | read
5: at the upper the upper stays                       | user /a read; user /a/b write                         | -                               | /a           | read
5: a deeper one without propagate, at its path        | user /a read; user /a/b write once                    | -                               | /a/b         | write
5: a deeper one without propagate, below              | user /a read; user /a/b write once                    | -                               | /a/b/c       | read
6: three groups                                       | group /a read; group /a write; group /a operate       | -                               | /a/b         | read operate write
6: groups at two levels are not added up              | group /a read; group /a/b write; group /a/b operate   | -                               | /a/b         | operate write
6: of two groups the deeper alone                     | group / read; group /a write                          | -                               | /a/b         | write
6: one of the groups stays at the path                | group /a read once; group /a write                    | -                               | /a           | read write
6: and not below                                      | group /a read once; group /a write                    | -                               | /a/b         | write
6: the same role by two groups is that role           | group /a read; group /a read                          | -                               | /a           | read
7: NoAccess for the user                              | user / both; user /a NoAccess                         | -                               | /a/b         |
7: beside it all stays                                | user / both; user /a NoAccess                         | -                               | /b           | read write
7: above it all stays                                 | user / both; user /a NoAccess                         | -                               | /            | read write
7: NoAccess for a group                               | group / both; group /a NoAccess                       | -                               | /a           |
7: NoAccess in one of three groups                    | group /a read; group /a NoAccess; group /a write      | -                               | /a/b         |
7: NoAccess in a group against the user               | group /a NoAccess; user /a read                       | -                               | /a           | read
7: NoAccess in a group against the user above         | user / read; group /a NoAccess                        | -                               | /a           |
7: NoAccess for the user against the groups           | group /a both; group /a write; user /a NoAccess       | -                               | /a/b         |
7: NoAccess and another role of the user              | user /a both; user /a NoAccess                        | -                               | /a           |
7: deeper than NoAccess there is access again         | user / NoAccess; user /a/b read                       | -                               | /a/b/c       | read
7: between them there is none                         | user / NoAccess; user /a/b read                       | -                               | /a           |
7: NoAccess without propagate, at the path            | user / both; user /a NoAccess once                    | -                               | /a           |
7: NoAccess without propagate, below                  | user / both; user /a NoAccess once                    | -                               | /a/b         | read write
7: one of two groups denies at the path only          | group /a read; group /a NoAccess once                 | -                               | /a/b         | read
7: NoAccess empties what is held                      | holds / both; user /a NoAccess                        | -                               | /a/b         |
7: NoAccess of a group empties what is held           | holds / both; group /a NoAccess                       | -                               | /a           |
7: NoAccess that loses empties nothing that is held   | holds / write; group /a NoAccess; user /a read        | -                               | /a           | read write
7: NoAccess empties nothing that an owner holds       | owner; user /a NoAccess; group / NoAccess             | -                               | /a           | all
7: NoAccess empties nothing of a superuser            | superuser; user / NoAccess                            | -                               | /a           | all
ours: held and entered are added up                   | holds / operate; user /a read                         | -                               | /a/b         | read operate
ours: what is held is not replaced by what is deeper  | holds / operate; user /a empty                        | -                               | /a           | operate
ours: what is held here is not held there             | holds /a operate; user /b read                        | -                               | /b           | read
8: not separated, all of the user's                   | user /a both                                          | whole                           | /a/b         | read write
8: not separated, nothing where the user has nothing  | user /a both                                          | whole                           | /b           |
8: not separated, NoAccess of the user                | user / both; user /a NoAccess                         | whole                           | /a           |
8: not separated, the user's propagate                | user /a both once                                     | whole                           | /a/b         |
8: not separated, within the ceiling                  | user /a both                                          | only read; whole                | /a           | read
8: not separated, a superuser's                       | superuser                                             | only write; whole               | /any/where   | write
8: separated, without rows                            | user / both                                           | none                            | /            |
8: separated, without rows, an owner's                | owner                                                 | none                            | /a           |
8: separated, without rows, a superuser's             | superuser                                             | none                            | /a           |
8: separated, a superuser's with rows                 | superuser                                             | token /a both                   | /a/b         | read write
8: separated, a superuser's, elsewhere                | superuser                                             | token /a both                   | /b           |
8: the rows give more than the user has               | user / read                                           | token /a both                   | /a           | read
8: the user has more than the rows give               | user / both                                           | token /a write                  | /a           | write
8: rows and user have nothing in common               | user / read                                           | token / write                   | /a           |
8: privilege by privilege, not role by role           | user / read; user /a both                             | token / operate; token /a write | /a           | write
8: the rows at a path above the user's                | user /a/b both                                        | token / read                    | /a/b         | read
8: the rows at a path above the user's, between       | user /a/b both                                        | token / read                    | /a           |
8: the rows at a path below the user's                | user / both                                           | token /a/b read                 | /a/b/c       | read
8: the rows at a path below the user's, above         | user / both                                           | token /a/b read                 | /a           |
8: propagate: row set, user unset                     | user /a both once                                     | token /a both                   | /a/b         |
8: propagate: row unset, user set                     | user /a both                                          | token /a both once              | /a/b         |
8: propagate: both unset                              | user /a both once                                     | token /a both once              | /a/b         |
8: propagate: both set                                | user /a both                                          | token /a both                   | /a/b         | read write
8: propagate: both unset, at the path                 | user /a both once                                     | token /a both once              | /a           | read write
8: a deeper row replaces the token's upper row        | user / both                                           | token / both; token /a read     | /a/b         | read
8: a deeper row that the user can't fill replaces too | user / read                                           | token / read; token /a write    | /a           |
8: a row's NoAccess                                   | user / both                                           | token / both; token /a NoAccess | /a/b         |
8: a row below a row's NoAccess                       | user / both                                           | token / NoAccess; token /a read | /a/b         | read
8: NoAccess of the user under a row                   | user / both; user /a NoAccess                         | token /a both                   | /a           |
8: NoAccess of a group under a row                    | group / both; group /a NoAccess                       | token / both                    | /a           |
8: a row never goes before a user's NoAccess          | user /a NoAccess                                      | token /a both                   | /a           |
8: a row of the token is no entry of the user         |                                                       | token /a both                   | /a           |
8: what the user holds counts for the rows            | holds /a both                                         | token / read                    | /a/b         | read
8: the ceiling bounds a row                           | user / both                                           | only read; token / both         | /a           | read
8: the ceiling gives nothing by itself                | user / both                                           | only read; none                 | /a           |
"""  # noqa: E501 (a table)


def pure() -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in PURE.strip().splitlines()]


def scopes(words: str) -> frozenset[Scope]:
    return ALL_SCOPES if words == "all" else frozenset(SHORT[word] for word in words.split())


def principal_of(words: str) -> PrincipalRights:
    said = [statement.strip() for statement in words.split(";") if statement.strip()]
    held = entries(*(each.replace("holds", "user") for each in said if each.startswith("holds")))
    holds = tuple(Holding(each.path, each.scopes, each.propagate) for each in held)
    if is_owner := "owner" in said:
        holds += (Holding("/", ALL_SCOPES),)
    named = entries(*(each for each in said if each.startswith(("user", "group"))))
    return PrincipalRights(holds, named, everything="superuser" in said, immune=is_owner)


def token_of(words: str, principal: PrincipalRights) -> TokenRights:
    said = [statement.strip() for statement in words.split(";")]
    ceiling = next(
        (scopes(each.removeprefix("only ")) for each in said if each.startswith("only")), ALL_SCOPES
    )
    rows: tuple[Entry, ...] | None = entries(*(each for each in said if each.startswith("token")))
    return TokenRights(ceiling, None if "whole" in said else rows, principal)


@pytest.mark.parametrize("case", pure(), ids=lambda case: case[0])
def test_the_walk_keeps_each_rule_of_proxmox_ve(case: list[str]) -> None:
    _, entered, rows, path, expected = case
    principal = principal_of(entered)

    rights = principal if rows == "-" else token_of(rows, principal)

    assert rights.at(path) == scopes(expected)


def test_the_table_is_large_and_says_nothing_twice() -> None:
    asked = [tuple(case[1:4]) for case in pure()]

    assert len(asked) >= 100
    assert len(set(asked)) == len(asked)
    assert {case[0].partition(":")[0] for case in pure()} == {*"12345678", "ours"}


# Through the database: entries, groups, machines and tokens that are really there

VIEWER = {"machines:read", "snapshots:read"}
OPERATOR = VIEWER | {"machines:operate"}
ADMIN = OPERATOR | {"machines:configure", "snapshots:write"}
GIVES: dict[str, set[str]] = {
    "": set(),
    "Viewer": VIEWER,
    "Operator": OPERATOR,
    "Admin": ADMIN,
    "Creator": ADMIN | {"machines:create"},
    "GroupUser": OPERATOR,
    "GroupAdmin": ADMIN | {"machines:write", "commands:execute"},
}

# As above; crew and night are groups of which the person is a plain member, led is one of which they are an admin. E
# and C are the fleets; m1 and m2 machines of E, c1 one of C; the vmid of m1 is 101, of c1 201, of nobody 999.
STORED = """
a fleet reaches its machine                     | user E Operator                      | -                                     | m1             | Operator
a fleet reaches its machine by the vmid         | user E Operator                      | -                                     | /vms/101       | Operator
a fleet does not reach another's machine        | user E Operator                      | -                                     | /vms/201       |
the alias is stored as the machine              | user /vms/101 Admin                  | -                                     | m1             | Admin
the alias is asked as the machine               | user m1 Admin                        | -                                     | /vms/101       | Admin
the alias replaces what the fleet gives         | user E Admin; user /vms/101 Viewer   | -                                     | m1             | Viewer
the alias denies the machine                    | user E Admin; user /vms/101 NoAccess | -                                     | m1             |
the alias of one machine denies no other        | user E Admin; user /vms/101 NoAccess | -                                     | m2             | Admin
a vmid that nobody bears is a free path         | user /vms/999 Viewer                 | -                                     | /vms/999       | Viewer
the root is above both                          | user / Viewer                        | -                                     | /vms/101       | Viewer
the root is above the free one                  | user / Viewer                        | -                                     | /vms/999       | Viewer
free paths need no estate                       | user /nodes/n1 Operator              | -                                     | /nodes/n1/qemu | Operator
Admin at the root creates machines              | user / Admin                         | -                                     | E              | Creator
Admin at a fleet creates none                   | user E Admin                         | -                                     | m1             | Admin
Admin at the root and at the fleet creates none | user / Admin; user E Admin           | -                                     | m1             | Admin
Admin at the root once creates at the root      | user / Admin once                    | -                                     | /              | Creator
Admin at the root once gives nothing below      | user / Admin once                    | -                                     | E              |
the user goes before the groups                 | crew E Admin; user E Viewer          | -                                     | m1             | Operator
several groups add up                           | crew E Viewer; night E Admin         | -                                     | m1             | Admin
one of several groups denies                    | crew E Admin; night E NoAccess       | -                                     | m1             |
one of several groups denies at the fleet alone | crew E Admin; night E NoAccess once  | -                                     | m1             | Admin
the deeper group replaces but is a group still  | crew E Admin; night m1 Viewer        | -                                     | m1             | Operator
a group's member is a GroupUser there           | crew E Viewer                        | -                                     | m1             | GroupUser
a group's admin is a GroupAdmin there           | led E Viewer                         | -                                     | m1             | GroupAdmin
and not elsewhere                               | led E Viewer                         | -                                     | c1             |
not separated: the person's                     | user E Admin                         | whole                                 | m1             | Admin
separated: the row within the person's          | user E Operator                      | token / GroupAdmin                    | m1             | Operator
separated: the role of the row                  | user E Admin                         | token E Viewer                        | m1             | Viewer
separated: the alias as a row                   | user E Admin                         | token /vms/101 Operator               | m1             | Operator
separated: the alias as a row, another machine  | user E Admin                         | token /vms/101 Operator               | m2             |
separated: a machine excepted                   | user E Admin                         | token E GroupAdmin; token m1 NoAccess | m1             |
separated: the others not                       | user E Admin                         | token E GroupAdmin; token m1 NoAccess | m2             | Admin
separated: propagate is the AND                 | user E Admin                         | token E Admin once                    | m1             |
separated: the other way round                  | user E Admin once                    | token E Admin                         | m1             |
separated: no rows                              | user / Admin                         | none                                  | /              |
separated: Admin at the root by the row alone   | user E Admin                         | token / Admin                         | m1             | Admin
separated: Admin at the root on both sides      | user / Admin                         | token / Admin                         | m1             | Creator
separated: what a group gives                   | crew E Viewer                        | token E Operator                      | /vms/101       | Operator
separated: what a group denies                  | crew E Viewer; night m1 NoAccess     | token E Operator                      | /vms/101       |
"""  # noqa: E501 (a table)


class Estate:
    """Two fleets with machines, a person, and their groups."""

    def __init__(self) -> None:
        self.acme: Organization = make_organization("acme")
        self.fleets: dict[str, Fleet] = {
            "E": make_fleet(self.acme, "edge"),
            "C": make_fleet(self.acme, "core"),
        }
        edge, core = self.fleets.values()
        self.machines: dict[str, Machine] = {
            "m1": make_machine(edge, vmid=101),
            "m2": make_machine(edge),
            "c1": make_machine(core, vmid=201),
        }
        self.person: User = make_person("walker")
        make_member(self.acme, user=self.person)
        self.groups: dict[str, Group] = {
            name: make_group(self.acme, name) for name in ("crew", "night", "led")
        }
        for name, group in self.groups.items():
            make_group_member(group, "admin" if name == "led" else "user", user=self.person)

    def path(self, word: str) -> str:
        named = self.fleets.get(word) or self.machines.get(word)
        return named.path if named else word

    def enter(self, words: str) -> None:
        for statement in filter(None, map(str.strip, words.split(";"))):
            subject, path, role, *reach = statement.split()
            whom = {"user": self.person} if subject == "user" else {"group": self.groups[subject]}
            make_entry(self.acme, self.path(path), role, propagate=reach != ["once"], **whom)

    def token(self, words: str) -> Issued:
        if words == "whole":
            return make_token(self.person, *ALL, privilege_separation=False)
        rows = []
        for statement in filter(None, map(str.strip, words.removeprefix("none").split(";"))):
            _, path, role, *reach = statement.split()
            rows.append(GrantWish(self.path(path), role, propagate=reach != ["once"]))
        return make_token(self.person, *ALL, grants=tuple(rows))


ALL = sorted(GIVES["GroupAdmin"] | {"machines:create"})


def stored() -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in STORED.strip().splitlines()]


@pytest.fixture
def estate(db: None) -> Estate:
    return Estate()


@pytest.mark.parametrize("case", stored(), ids=lambda case: case[0])
def test_what_is_stored_is_walked_by_the_same_rules(case: list[str], estate: Estate) -> None:
    _, entered, rows, asked, expected = case
    estate.enter(entered)
    issued = None if rows == "-" else estate.token(rows)

    path = places.resolved(estate.acme.pk, estate.path(asked))
    if issued:
        held = acting(issued).rights(estate.acme.pk).at(path)
    else:
        held = holdings.rights_of(User.objects.get(pk=estate.person.pk), estate.acme.pk).at(path)

    assert held == GIVES[expected]


def test_the_second_table_says_nothing_twice() -> None:
    asked = [tuple(case[1:4]) for case in stored()]

    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize(
    "asked", ["/fleets/nowhere", "/fleets/edge/machines/0190f3a0-0000-7000-8000-00000000ffff"]
)
def test_a_path_under_no_fleet_or_machine_can_be_neither_entered_nor_asked(
    asked: str, estate: Estate
) -> None:
    estate.enter("user / Administrator")
    issued = estate.token("token / GroupAdmin")

    with pytest.raises(Invalid):
        make_entry(estate.acme, asked, "Viewer", user=make_member(estate.acme).user)

    assert at_the_gate(issued, asked) == 403
    assert at_the_gate(issued, "/fleets/edge") == 204


@pytest.mark.parametrize(
    "asked",
    ["/vms", "/vms/0101", "/vms/+101", "/vms/101/", "/vms/101/config", "/vms/x", "/vms/1e2", "/vms/١٠١"],
)
def test_an_alias_has_one_spelling_and_every_other_is_a_denial(asked: str, estate: Estate) -> None:
    estate.enter("user / Administrator")
    issued = estate.token("token / GroupAdmin")

    assert at_the_gate(issued, asked) == 403
    assert at_the_gate(issued, "/vms/101") == 204


def test_an_alias_means_whoever_bears_the_vmid_now(estate: Estate) -> None:
    estate.enter("user /vms/101 Operator")
    issued = estate.token("token /vms/101 GroupAdmin")
    assert at_the_gate(issued, "/vms/101") == 204

    machines.deregister(estate.machines["m1"], by=operator)
    assert at_the_gate(issued, "/vms/101") == 403, "the entry died with the machine that it named"

    make_machine(estate.fleets["C"], vmid=101)
    assert at_the_gate(issued, "/vms/101") == 403, "the next one of the vmid is another machine"


def test_an_entry_on_a_machine_dies_when_it_moves_and_comes_back_with_it(estate: Estate) -> None:
    estate.enter("user /vms/101 Operator; user C Viewer")
    issued = estate.token("token / GroupAdmin")
    machine = estate.machines["m1"]

    machines.move(machine, fleet=estate.fleets["C"], by=operator)
    assert at_the_gate(issued, "/vms/101", "machines:operate") == 403
    assert at_the_gate(issued, "/vms/101", "machines:read") == 204, "in core the person is a viewer"

    machines.move(Machine.objects.get(pk=machine.pk), fleet=estate.fleets["E"], by=operator)
    assert at_the_gate(issued, "/vms/101", "machines:operate") == 204


def at_the_gate(issued: Issued, path: str, scope: str = "machines:read") -> int:
    client: Client = token_client(issued)
    return client.get("/gate/verify", {"organization": "acme", "scope": scope, "path": path}).status_code
