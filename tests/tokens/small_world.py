"""One organization with everything that rights come from, and everybody who could want more than they have."""

from typing import Any

from rest_framework.test import APIClient

from config.edge.clock import now
from fleets.models import (
    AclEntry,
    Application,
    ApplicationMembership,
    Membership,
    OrganizationRole,
    TechnicalUser,
    User,
)
from fleets.scopes import parse_scopes
from tests.factories import (
    fleet_member,
    make_fleet,
    make_group,
    make_group_member,
    make_machine,
    make_organization,
    make_person,
    member,
    operator,
    owner_of,
    session_client,
    token_client,
)
from tests.second_reading import Pairs, Reading
from tokens import issuance
from tokens.issuance import GrantWish, Issued, Wish
from tokens.kinds import Owner
from tokens.models import Token

STEWARD = [
    "files:read",
    "machines:operate",
    "machines:read",
    "permissions:manage",
    "snapshots:read",
    "tokens:manage",
]


RULES = ["machines:read", "permissions:manage", "tokens:manage"]


class SmallWorld:
    """What an example does to it is undone by whoever tries the example."""

    def __init__(self) -> None:
        acme = self.acme = make_organization("small")
        self.edge, self.core = make_fleet(acme, "edge"), make_fleet(acme, "core")
        self.machines = [make_machine(self.edge, vmid=101), make_machine(self.edge), make_machine(self.core)]
        self.crew, self.night = make_group(acme, "crew"), make_group(acme, "night")
        self.people: dict[str, User] = {
            "owner": owner_of(acme),
            "admin": member(acme, "admin"),
            "denied admin": member(acme, "admin"),
            "approver": member(acme, "approver"),
            "auditor": member(acme, "auditor"),
            "manager": fleet_member(self.edge, "manager"),
            "denied manager": fleet_member(self.edge, "manager"),
            "shut manager": fleet_member(self.edge, "manager"),
            "steward": member(acme),
            "keeper": member(acme),
            "leader": make_group_member(self.crew, "admin").user,
            "worker": make_group_member(self.crew, "user").user,
            "suspended manager": fleet_member(self.edge, "manager"),
        }
        Membership.objects.filter(user=self.people["suspended manager"]).update(suspended_at=now())
        self.stranger = make_person("stranger")
        for name, scopes in {"Steward": STEWARD, "Files": ["files:read"], "Nothing": []}.items():
            OrganizationRole.objects.create(organization=acme, name=name, scopes=scopes)
        self._enter()
        self.app = Application.objects.create(organization=acme, slug="app", name="App")
        ApplicationMembership.objects.create(application=self.app, user=self.people["worker"])
        self.robot = self._technical("robot")
        self.entry("/fleets/core", "Operator", user=self.robot)
        self.owners: dict[str, Owner] = {
            "fleet:edge": self.edge,
            "fleet:core": self.core,
            "group:crew": self.crew,
            "organization:small": acme,
            "application:app": self.app,
            "technical:robot": self.robot,
        }
        self.tokens = self._tokens()
        self.entry("/nodes", "Files", user=self.tokens["of app"].token.principal)
        machines = [machine.path for machine in self.machines]
        self.named = [
            "/",
            "/nodes",
            "/nodes/n1",
            self.edge.path,
            self.core.path,
            f"{self.edge.path}/machines",
        ]
        self.named += machines
        self.paths = [*self.named, "/elsewhere", "/nodes/n2", "/nodes/n1/deeper", "/fleets", "/vms/999"]
        self.paths += [f"{self.core.path}/machines/{self.machines[0].pk}", "/vms/101"]
        self.clients: dict[str, APIClient] = {
            **{name: session_client(user) for name, user in self.people.items()},
            **{name: token_client(issued) for name, issued in self.tokens.items()},
        }

    def _enter(self) -> None:
        edge_2 = self.machines[1].path
        self.entry("/fleets/core", "NoAccess", user=self.people["denied admin"])
        self.entry("/fleets/edge", "NoAccess", user=self.people["denied manager"])
        self.entry("/", "NoAccess", user=self.people["shut manager"])
        self.entry("/", "Steward", user=self.people["steward"])
        self.entry("/fleets/core", "Steward", user=self.people["keeper"])
        self.entry("/fleets/edge", "Viewer", group=self.crew)
        self.entry("/nodes", "Files", group=self.crew, propagate=False)
        self.entry(edge_2, "NoAccess", group=self.night)
        for name in ("manager", "worker"):
            make_group_member(self.night, user=self.people[name])

    def entry(self, path: str, role: str, *, propagate: bool = True, **subject: Any) -> AclEntry:
        """Straight into the table: how it came there is not asked."""
        return AclEntry.objects.create(
            organization=self.acme, path=path, role=role, propagate=propagate, **subject
        )

    def _technical(self, username: str) -> User:
        user: User = User.objects.create(username=username, kind=User.Kind.TECHNICAL)
        TechnicalUser.objects.create(
            user=user, organization=self.acme, kind=TechnicalUser.Kind.TECHNICAL_USER, label=username
        )
        return user

    def issue(self, owner: Owner, wish: Wish) -> Issued:
        name = f"small-{Token.objects.count()}"
        return issuance.issue(self.acme, owner=owner, name=name, wish=wish, by=operator)

    def _tokens(self) -> dict[str, Issued]:
        at_core = (GrantWish("/fleets/core", "Administrator"),)
        return {
            "the admin's": self.issue(self.people["admin"], Wish(scopes=parse_scopes(RULES), grants=at_core)),
            "the steward's": self.issue(
                self.people["steward"], Wish(scopes=parse_scopes(RULES), privilege_separation=False)
            ),
            "the owner's reader": self.issue(self.people["owner"], Wish(role="Viewer")),
            "of edge": self.issue(self.edge, Wish(role="GroupAdmin")),
            "of crew": self.issue(self.crew, Wish(role="Operator")),
            "of small": self.issue(self.acme, Wish(role="Admin", extended=frozenset({"templates"}))),
            "of app": self.issue(self.app, Wish(scopes=parse_scopes(["machines:read", "files:read"]))),
            "of robot": self.issue(
                self.robot, Wish(scopes=parse_scopes(["machines:operate"]), privilege_separation=False)
            ),
        }

    def reading(self) -> Reading:
        return Reading(self.acme.pk)

    def caller(self, name: str, reading: Reading) -> Pairs:
        """What whoever calls may do at this moment."""
        if name in self.people:
            user_id = self.people[name].pk
            return reading.with_secrets(user_id, self.paths) if reading.may_act(user_id) else frozenset()
        token = self.tokens[name].token
        return reading.token(token.pk, self.paths) if reading.may_act(token.principal_id) else frozenset()
