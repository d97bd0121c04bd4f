"""Who has tokens besides people and fleets: a group, an application, a technical user, and the people around them."""

from dataclasses import dataclass

from fleets.models import Application, Group, Organization, User
from tests.factories import (
    application_owner,
    fleet_member,
    make_application,
    make_entry,
    make_group,
    make_group_member,
    make_superuser,
    make_technical_user,
    member,
)
from tests.remembering import remembered
from tests.tokens.conftest import World
from tokens.kinds import Owner

EDGE = "/fleets/edge"
KINDS = ("personal", "fleet", "group", "organization", "application", "technical_user")


@dataclass(frozen=True)
class Owning:
    """Group `ops` reaches fleet edge; application `shop` and technical user `bot` hold nothing of themselves."""

    ops: Group
    leader: User  # admin of ops
    follower: User  # user of ops
    shop: Application
    keeper: User  # owner of shop
    bot: User
    people: dict[str, User]

    def of_kind(self, kind: str, world: World) -> Owner:
        """An owner of each kind; the person is edge's manager."""
        found: dict[str, Owner] = {
            "personal": world.manager,
            "fleet": world.edge,
            "group": self.ops,
            "organization": world.acme,
            "application": self.shop,
            "technical_user": self.bot,
        }
        return found[kind]


@remembered
def owning(world: World) -> Owning:
    acme: Organization = world.acme
    ops, shop = make_group(acme, "ops"), make_application(acme, "shop")
    make_entry(acme, EDGE, "GroupUser", group=ops)
    leader, follower = make_group_member(ops, "admin").user, make_group_member(ops, "user").user
    keeper = application_owner(shop)
    people = {
        "owner": world.owner,
        "admin": world.admin,
        "approver": member(acme, "approver"),
        "auditor": world.auditor,
        "member": member(acme),
        "manager": world.manager,
        "viewer": fleet_member(world.edge),
        "leader": leader,
        "follower": follower,
        "keeper": keeper,
        "superuser": make_superuser(),
    }
    return Owning(ops, leader, follower, shop, keeper, make_technical_user(acme, "bot"), people)
