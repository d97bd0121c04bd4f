"""Makes what tests are about, by the product's own verbs: `make_x(**overrides)`, and clients that act as somebody."""

import itertools
from typing import Any

from django.conf import settings
from django.test import Client
from rest_framework.test import APIClient

from approvals.models import ApprovalRequest
from audit.models import Event, WebhookEndpoint
from audit.organizations import Named
from audit.webhooks import endpoints
from config.edge.access import Access
from config.edge.clock import now
from fleets import (
    access,
    entries,
    inventory,
    machines,
    membership,
    organizations,
    owners,
    role_changes,
    technical_users,
)
from fleets.access import PersonAccess
from fleets.consequences import Consequences
from fleets.models import (
    AclEntry,
    Application,
    ApplicationMembership,
    Fleet,
    FleetMembership,
    Group,
    GroupMembership,
    Image,
    Machine,
    MachineTemplate,
    Membership,
    Network,
    Organization,
    OrganizationRole,
    User,
)
from fleets.scopes import parse_scopes
from tests.remembering import remembered
from tokens import credentials, issuance, verification
from tokens.authentication import TokenAccess
from tokens.credentials import Credential
from tokens.issuance import Issued, Wish
from tokens.kinds import Owner
from tokens.restrictions import UNRESTRICTED, Restrictions

API = "/api/v1/"
PASSWORD = "a password of some length"
operator = access.operator("root@tests")
_numbers = itertools.count(1)


@remembered
def make_person(username: str = "", **fields: Any) -> User:
    """Somebody who can sign in and belongs nowhere."""
    username = username or f"person-{next(_numbers)}"
    person = User(username=username, **{"name": username.title(), **fields})
    person.set_unusable_password()
    person.full_clean(exclude=["password"])
    person.save()
    return person


@remembered
def make_superuser(username: str = "", **fields: Any) -> User:
    return make_person(username or f"superuser-{next(_numbers)}", is_superuser=True, **fields)


@remembered
def make_organization(slug: str = "", *, name: str = "", owner: User | None = None) -> Organization:
    """An organization with an owner, who is found by `owner_of`."""
    slug = slug or f"organization-{next(_numbers)}"
    return organizations.open_organization(
        slug=slug, name=name or slug.title(), owner=owner or make_person(), by=operator
    )


@remembered
def owner_of(organization: Organization) -> User:
    return organization.memberships.select_related("user").filter(role="owner").earliest("joined_at").user


@remembered
def make_member(organization: Organization, role: str = "member", *, user: User | None = None) -> Membership:
    return membership.join(organization, user=user or make_person(), role=role, by=operator)


def member(organization: Organization, role: str = "member") -> User:
    """A person who is a member of that role."""
    return make_member(organization, role).user


@remembered
def make_fleet(organization: Organization, slug: str = "", *, name: str = "") -> Fleet:
    slug = slug or f"fleet-{next(_numbers)}"
    return owners.open_fleet(organization, slug=slug, name=name or slug.title(), by=operator)


@remembered
def make_group(organization: Organization, slug: str = "", *, name: str = "") -> Group:
    slug = slug or f"group-{next(_numbers)}"
    return owners.open_group(organization, slug=slug, name=name or slug.title(), by=operator)


@remembered
def make_fleet_member(fleet: Fleet, role: str = "viewer", *, user: User | None = None) -> FleetMembership:
    """A member of the fleet; a new person becomes a plain member of the organization first."""
    user = user or member(fleet.organization)
    return membership.join_fleet(fleet, user=user, role=role, by=operator)


def fleet_member(fleet: Fleet, role: str = "viewer") -> User:
    return make_fleet_member(fleet, role).user


@remembered
def make_group_member(group: Group, role: str = "user", *, user: User | None = None) -> GroupMembership:
    user = user or member(group.organization)
    return membership.join_group(group, user=user, role=role, by=operator)


@remembered
def make_application(organization: Organization, slug: str = "", *, name: str = "") -> Application:
    slug = slug or f"application-{next(_numbers)}"
    return owners.open_application(organization, slug=slug, name=name or slug.title(), by=operator)


@remembered
def make_application_member(application: Application, *, user: User | None = None) -> ApplicationMembership:
    """An owner of the application; a new person becomes a plain member of the organization first."""
    return membership.join_application(
        application, user=user or member(application.organization), by=operator
    )


def application_owner(application: Application) -> User:
    return make_application_member(application).user


@remembered
def make_technical_user(organization: Organization, username: str = "", *, name: str = "") -> User:
    """One that is made by hand, and shares its tokens."""
    username = username or f"technical-{next(_numbers)}"
    return technical_users.make(organization, username=username, name=name, by=operator).user


@remembered
def make_machine(fleet: Fleet, name: str = "", **fields: Any) -> Machine:
    return machines.register(fleet, name=name or f"machine-{next(_numbers)}", by=operator, **fields)


@remembered
def make_template(organization: Organization, name: str = "", **fields: Any) -> MachineTemplate:
    return inventory.add_template(
        organization, name=name or f"template-{next(_numbers)}", by=operator, **fields
    )


@remembered
def make_network(organization: Organization, name: str = "", **fields: Any) -> Network:
    return inventory.add_network(
        organization, name=name or f"network-{next(_numbers)}", by=operator, **fields
    )


@remembered
def make_image(organization: Organization, name: str = "", **fields: Any) -> Image:
    return inventory.add_image(organization, name=name or f"image-{next(_numbers)}", by=operator, **fields)


@remembered
def make_entry(
    organization: Organization,
    path: str,
    role: str,
    *,
    user: User | None = None,
    group: Group | None = None,
    propagate: bool = True,
) -> AclEntry:
    return entries.set_entry(
        organization, path=path, role=role, user=user, group=group, propagate=propagate, by=operator
    )


@remembered
def make_role(organization: Organization, name: str, *scopes: str) -> OrganizationRole:
    return role_changes.add(organization, name=name, scopes=parse_scopes(scopes), by=operator)


@remembered
def make_token(
    owner: Owner,
    *scopes: str,
    organization: Organization | None = None,
    machines: list[Machine] | None = None,
    restrictions: Restrictions = UNRESTRICTED,
    **wish: Any,
) -> Issued:
    """A token and its secret; of the kind that the owner's have."""
    if organization is None:
        organization = organization_of(owner)
    ids = None if machines is None else tuple(machine.pk for machine in machines)
    return issuance.issue(
        organization,
        owner=owner,
        name=f"token-{next(_numbers)}",
        wish=Wish(scopes=parse_scopes(scopes), machines=ids, **wish),
        restrictions=restrictions,
        by=operator,
    )


def organization_of(owner: Owner) -> Organization:
    if isinstance(owner, Organization):
        return owner
    if not isinstance(owner, User):
        return owner.organization
    return owner.memberships.get().organization if owner.is_person else owner.technical.organization


@remembered
def make_approver(organization: Organization, **fields: Any) -> User:
    """Somebody who may decide on requests for approval there, with a mail address."""
    name = f"approver-{next(_numbers)}"
    user = make_person(**{"username": name, "email": f"{name}@example.org", **fields})
    return make_member(organization, "approver", user=user).user


@remembered
def need_approvals(organization: Organization, high: int = 1, **policy: Any) -> None:
    """Let whatever is of high risk, and a weaker policy, wait for this many approvals from now on."""
    changes = {"approvals_needed": {"high": high}, **policy}
    organizations.set_policy(as_stored(organization), changes=changes, by=operator)


def raise_risks(organization: Organization, **risks: str | None) -> None:
    """Let scopes be so risky there from now on, whoever would have to approve it; None is as they are built in."""
    organizations.set_policy(as_stored(organization), changes={"scope_risks": risks}, by=operator)


def make_request(
    organization: Organization, *, by: User | None = None, reason: str = "", **changes: Any
) -> ApprovalRequest:
    """A weaker policy that waits, which an admin asked for; approvals have to be needed there."""
    asked = changes or {"never_allowed": True, "self_approval": True}
    by_whom = session(by or member(organization, "admin"))
    key = organizations.set_policy(as_stored(organization), changes=asked, reason=reason, by=by_whom)
    assert key is not None, "nothing had to be approved"
    return ApprovalRequest.objects.get(pk=key)


def make_webhook(organization: Organization) -> WebhookEndpoint:
    """One that wants nothing that happens in tests, and is owed one test."""
    url = f"https://{organization.slug}.example/hook"
    named = Named(organization.pk, organization.slug)
    endpoint = endpoints.add(named, url=url, actions=["demo.filled"], by=operator).endpoint
    endpoints.test(endpoint, by=operator)
    return endpoint


def as_stored(organization: Organization) -> Organization:
    """Read anew: verbs want the version as it is."""
    return Organization.objects.get(pk=organization.pk)


def make_consequences(**heard: Any) -> Consequences:
    """Somebody above who is told of what the estate's changes end; of itself it ends nothing."""
    silent = {
        "member_left": lambda *_: [],
        "owner_closed": lambda *_: [],
        "has_grants_at": lambda *_: False,
        "naming_role": lambda *_: [],
        "risks_changed": lambda *_: None,
        "rights_changed": lambda *_: [],
    }
    return Consequences(**{**silent, **heard})


def session(user: User) -> Access:
    """The person in their browser session, as verbs see them."""
    return PersonAccess(User.objects.get(pk=user.pk))


def fresh_session(user: User) -> Access:
    """As `session`, by somebody who has just signed in."""
    return PersonAccess(User.objects.get(pk=user.pk), checked_at=now())


def acting(issued: Issued) -> Access:
    """The token, as verbs see it."""
    credential = credentials.extract({"HTTP_AUTHORIZATION": f"Bearer {issued.secret.reveal()}"})
    assert isinstance(credential, Credential)
    proven = verification.prove(credential)
    assert proven is not None
    return TokenAccess(proven)


def session_client(user: User, **options: Any) -> APIClient:
    """A browser in which the person is signed in."""
    client = APIClient(**options)
    sign_in(client, user)
    return client


def sign_in(client: Client, user: User) -> None:
    """As `force_login`, of a client that has no session yet."""
    client.cookies[settings.SESSION_COOKIE_NAME] = begin_session(user)


@remembered
def begin_session(user: User) -> str:
    """The key that a browser has whose person has just signed in."""
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def token_client(issued: Issued) -> APIClient:
    """A program that has the token's secret."""
    return APIClient(headers={"authorization": f"Bearer {issued.secret.reveal()}"})


def events(**fields: Any) -> list[str]:
    """What the trail says, oldest first, as `action outcome`."""
    return [
        f"{event.action} {event.outcome}" for event in Event.objects.filter(**fields).order_by("at", "id")
    ]


def last_event(**fields: Any) -> Event:
    return Event.objects.filter(**fields).order_by("-at", "-id")[0]
