"""Two organizations that mirror each other: what an attacker has, and what they are after."""

from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Model

from approvals.models import ApprovalRequest
from approvals.subjects import digest_of
from audit.actions import Action
from audit.models import Event, WebhookEndpoint
from audit.trail import record
from fleets.machines import request_action, retag
from fleets.membership import invite, suspend
from fleets.models import (
    AclEntry,
    Application,
    ApplicationMembership,
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    Image,
    Invitation,
    Machine,
    MachineAction,
    MachineTemplate,
    Membership,
    Network,
    Organization,
    OrganizationRole,
    User,
)
from fleets.organization_policy import DEFAULT, parsed
from fleets.scopes import Scope, parse_scopes
from tests import factories
from tokens import emergency, issuance
from tokens.grants import give
from tokens.issuance import GrantWish, Issued, Wish
from tokens.lifecycle import disable

Row = TypeVar("Row", bound=Model)
EVERYTHING = tuple(sorted(scope.value for scope in Scope))
GUARDED = parsed({"approvals_needed": {"high": 1}, "never_allowed": False}, before=DEFAULT)
DIGEST = digest_of(  # of what `approval` asks for
    {"base": digest_of(GUARDED.as_json()), "changes": {"never_allowed": [False, True]}}
)


@dataclass(frozen=True)
class Side:
    """One organization and one of each thing in it."""

    organization: Organization
    owner: User
    admin: User
    member: Membership
    fleet: Fleet
    other_fleet: Fleet
    fleet_member: FleetMembership
    group: Group
    group_member: GroupMembership
    application: Application
    application_member: ApplicationMembership
    technical_user: User
    machine: Machine
    action: MachineAction
    token: Issued
    narrow: Issued
    personal: Issued
    separated: Issued
    granted: Issued
    disabled: Issued
    of_group: Issued
    of_organization: Issued
    of_application: Issued
    of_technical_user: Issued
    suspended: Membership
    invitation: Invitation
    entry: AclEntry
    entry_of_user: AclEntry
    role: OrganizationRole
    event: Event
    webhook: WebhookEndpoint
    template: MachineTemplate
    network: Network
    image: Image
    approval: ApprovalRequest  # a weaker policy, which the admin asked for
    own_approval: ApprovalRequest  # a new token, which the owner asked for


@dataclass(frozen=True)
class Estate:
    """`ours` is the attacker's own, `theirs` is out of bounds."""

    ours: Side
    theirs: Side
    superuser: User
    superuser_token: Issued


def as_stored(row: Row) -> Row:
    """The row read anew: verbs change the one that they get, and other tests share it."""
    return type(row)._default_manager.get(pk=row.pk)


def make_side(name: str, *, vmid: int) -> Side:
    owner = factories.make_person(f"{name}-owner")
    organization = factories.make_organization(name, owner=owner)
    admin = factories.make_person(f"{name}-admin")
    factories.make_member(organization, "admin", user=admin)
    fleet = factories.make_fleet(organization, f"{name}-edge")
    group = factories.make_group(organization, f"{name}-crew")
    application = factories.make_application(organization, f"{name}-billing")
    machine = factories.make_machine(fleet, f"{name}-machine", vmid=vmid)
    retag(machine, tags=[f"{name}-tag"], by=factories.session(owner))
    disabled = factories.make_token(fleet, "machines:read")
    disable(disabled.token, by=factories.operator)
    suspended = factories.make_member(organization, user=factories.make_person(f"{name}-suspended"))
    suspend(suspended, by=factories.operator)
    viewer = factories.make_person(f"{name}-viewer")
    factories.make_member(organization, user=viewer)
    entry = factories.make_entry(organization, fleet.path, "Viewer", group=group)
    technical_user = factories.make_technical_user(organization, f"{name}-robot")
    return Side(
        organization=organization,
        owner=owner,
        admin=admin,
        member=factories.make_member(organization, user=factories.make_person(f"{name}-member")),
        fleet=fleet,
        other_fleet=factories.make_fleet(organization, f"{name}-core"),
        fleet_member=factories.make_fleet_member(fleet, user=viewer),
        group=group,
        group_member=factories.make_group_member(group, user=viewer),
        application=application,
        application_member=factories.make_application_member(application, user=viewer),
        technical_user=technical_user,
        entry=entry,
        entry_of_user=factories.make_entry(organization, "/nodes", "Viewer", user=admin),
        role=factories.make_role(organization, f"{name}-role", "machines:read"),
        machine=machine,
        action=request_action(machine, action="start", by=factories.operator),
        token=factories.make_token(fleet, "machines:read"),
        narrow=factories.make_token(fleet, "machines:read", machines=[machine]),
        personal=factories.make_token(owner, *EVERYTHING, privilege_separation=False),
        disabled=disabled,
        of_group=factories.make_token(group, "machines:read"),
        of_organization=factories.make_token(organization, "machines:read"),
        of_application=factories.make_token(application, "machines:read"),
        of_technical_user=factories.make_token(technical_user, "machines:read"),
        suspended=suspended,
        invitation=make_invitation(organization, f"{name}-invited"),
        separated=factories.make_token(owner, "machines:read"),
        granted=make_granted(fleet, number=vmid // 50),
        network=(network := factories.make_network(organization, f"{name}-lan")),
        image=(image := factories.make_image(organization, f"{name}-linux")),
        template=factories.make_template(
            organization, f"{name}-template", image=image.pk, network=network.pk
        ),
        webhook=factories.make_webhook(organization),
        event=Event.objects.filter(organization_id=organization.pk).latest("id"),
        **make_approvals(organization, fleet, admin, owner),
    )


def make_approvals(
    organization: Organization, fleet: Fleet, admin: User, owner: User
) -> dict[str, ApprovalRequest]:
    factories.make_approver(organization, username=f"{organization.slug}-approver")
    factories.need_approvals(organization, never_allowed=False)
    pending = issuance.issue(
        organization,
        owner=fleet,
        name="pending",
        wish=Wish(scopes=parse_scopes(["commands:execute", "machines:read"])),
        reason="because",
        by=factories.session(owner),
    )
    own = pending.token.open_request
    assert own is not None
    approval = factories.make_request(organization, by=admin, never_allowed=True)
    assert approval.diff_digest == DIGEST
    return {"approval": approval, "own_approval": own}


def make_invitation(organization: Organization, username: str) -> Invitation:
    email = f"{username}@example.org"
    member = invite(
        organization, username=username, name="", email=email, role="member", by=factories.operator
    )
    return member.user.invitations.get()


def make_granted(fleet: Fleet, *, number: int) -> Issued:
    """A token whose one row has this number, so that each organization has a number that the other has not."""
    issued = factories.make_token(fleet, "machines:read", grants=())
    for role in ("Viewer", "Operator") * (number // 2):
        row = GrantWish(fleet.path, role)
        give(as_stored(issued.token), row=row, replaces=True, by=factories.operator)
    return issued


def make_estate() -> Estate:
    ours, theirs = make_side("acme", vmid=100), make_side("globex", vmid=200)
    superuser = factories.make_superuser("root")
    factories.make_member(ours.organization, user=superuser)
    for side in (ours, theirs):
        token, by = as_stored(side.granted.token), factories.fresh_session(superuser)
        window = emergency.start(token, hours=1, reason="An outage.", by=by)
        needed_it = {"emergency": str(window.pk), "bypassed": ["network"]}
        record(Action.TOKEN_USED, by=factories.acting(side.granted), target=token, data=needed_it)
    return Estate(
        ours=ours,
        theirs=theirs,
        superuser=superuser,
        superuser_token=factories.make_token(superuser, *EVERYTHING, privilege_separation=False),
    )


def who_adds(where: str, estate: Estate) -> User:
    """Who may open the page of the admin that makes something."""
    for_superusers = where in {"fleets/organization/add/", "audit/outboxrow/add/"}
    return estate.superuser if for_superusers else estate.ours.owner


def request_for(name: str, estate: Estate) -> tuple[ApprovalRequest, User]:
    """A request about which this verb is offered, and to whom."""
    ours = estate.ours
    approver = User.objects.get(username="acme-approver")
    return {
        "approve-less": (ours.own_approval, approver),
        "withdraw": (ours.approval, ours.admin),
    }.get(name, (ours.approval, approver))
