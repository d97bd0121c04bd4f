"""Entering the admin, and the estate's pages: every organization's rows are its own, everything goes through a verb."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from audit.models import Event, OutboxRow
from config.edge.clock import now
from config.edge.scoped_admin import ScopedAdmin
from fleets import mail, membership
from fleets.models import Fleet, FleetMembership, Group, Machine, Membership, Organization, User
from tests import factories
from tests.pages import browser, queries_of

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/"


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("acme")


@pytest.fixture
def owner(organization: Organization) -> User:
    return factories.owner_of(organization)


@pytest.fixture
def fleet(organization: Organization) -> Fleet:
    return factories.make_fleet(organization, "edge")


def with_password(user: User, password: str = factories.PASSWORD) -> User:
    user.set_password(password)
    user.save(update_fields=["password"])
    return user


def sign_in(user: User, password: str = factories.PASSWORD, **fields: str) -> Any:
    return Client().post(LOGIN, {"username": user.username, "password": password, **fields})


def page_of(row: Any, name: str = "change") -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{name}/"


def shown(response: Any) -> set[Any]:
    return {row.pk for row in response.context["cl"].result_list}


# Entering


def test_people_of_an_organization_sign_in_and_out(organization: Organization) -> None:
    user = with_password(factories.member(organization))
    client = Client()

    entered = client.post(LOGIN, {"username": user.username.upper(), "password": factories.PASSWORD})
    home = client.get("/admin/")
    left = client.post("/admin/logout/")

    assert (entered.status_code, home.status_code, left.status_code) == (302, 200, 200)
    assert client.get("/admin/").status_code == 302
    assert factories.events(actor_id=str(user.pk)) == ["session.started allowed", "session.ended allowed"]


def test_a_superuser_without_membership_enters() -> None:
    assert sign_in(with_password(factories.make_superuser())).status_code == 302


@pytest.mark.parametrize("state", ["nowhere", "suspended", "left", "inactive", "technical", "wrong password"])
def test_nobody_else_enters(organization: Organization, owner: User, fleet: Fleet, state: str) -> None:
    user = factories.make_person() if state == "nowhere" else factories.member(organization)
    present = Membership.objects.filter(user=user).first()
    if state == "suspended" and present:
        membership.suspend(present, by=factories.operator)
    if state == "left" and present:
        membership.leave(present, by=factories.operator)
    if state == "inactive":
        User.objects.filter(pk=user.pk).update(is_active=False)
    if state == "technical":
        user = factories.make_token(fleet, "machines:read").token.principal
    with_password(user)

    response = sign_in(user, "another" if state == "wrong password" else factories.PASSWORD)

    assert response.status_code == 200
    assert "do not match" in response.content.decode()
    assert "sessionid" not in response.cookies


def test_who_is_suspended_meanwhile_is_asked_to_sign_in(organization: Organization) -> None:
    present = factories.make_member(organization)
    client = browser(present.user)
    assert client.get("/admin/").status_code == 200

    membership.suspend(present, by=factories.operator)

    assert client.get("/admin/", follow=True).redirect_chain[0][0].startswith(LOGIN)


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "\\\\evil.example", "/%09/evil.example", "javascript:x"],
)
def test_signing_in_leads_nowhere_else(organization: Organization, target: str) -> None:
    user = with_password(factories.member(organization))

    response = sign_in(user, next=target)

    assert response.status_code == 302
    assert response["Location"].startswith("/")
    assert not response["Location"].startswith(("//", "/\\"))


def test_a_new_password_ends_the_other_sessions(organization: Organization) -> None:
    user = with_password(factories.member(organization))
    here, elsewhere = browser(user), browser(user)
    new = "a rather different one"

    response = here.post(
        "/admin/password_change/",
        {"old_password": factories.PASSWORD, "new_password1": new, "new_password2": new},
    )

    assert response.status_code == 302
    assert here.get("/admin/").status_code == 200
    assert elsewhere.get("/admin/").status_code == 302
    assert sign_in(user, new).status_code == 302
    changed = Event.objects.get(action="password.changed")
    assert (changed.actor_id, changed.target_id, changed.outcome) == (str(user.pk), str(user.pk), "allowed")


def test_a_password_that_can_not_be_recorded_is_not_changed(organization: Organization) -> None:
    user = with_password(factories.member(organization))
    client = browser(user)
    client.raise_request_exception = False
    new = "a rather different one"
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_event RENAME TO audit_event_away")

    response = client.post(
        "/admin/password_change/",
        {"old_password": factories.PASSWORD, "new_password1": new, "new_password2": new},
    )

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_event_away RENAME TO audit_event")
    user.refresh_from_db()
    assert (response.status_code, user.check_password(new)) == (503, False)


def test_who_proves_their_password_but_belongs_nowhere_is_refused_and_recorded(
    organization: Organization,
) -> None:
    user = with_password(factories.member(organization))
    user.memberships.update(left_at=now())

    assert sign_in(user).status_code == 200
    refused = Event.objects.get(action="session.refused")
    assert (refused.target_id, refused.outcome, refused.reason) == (str(user.pk), "denied", "no_organization")


# Every page of every model, for another organization's rows


@pytest.fixture
def foreign() -> dict[str, Any]:
    """One row of each model, in an organization of its own."""
    other = factories.make_organization("other", name="Elsewhere")
    fleet = factories.make_fleet(other, "foreign-fleet")
    group = factories.make_group(other, "foreign-group")
    application = factories.make_application(other, "foreign-application")
    token = factories.make_token(fleet, "machines:read").token
    event = factories.last_event(target_id=token.pk)
    factories.make_approver(other)
    factories.need_approvals(other, never_allowed=False)
    webhook = factories.make_webhook(other)
    rows = [
        other,
        factories.make_member(other),
        fleet,
        group,
        factories.make_fleet_member(fleet),
        factories.make_group_member(group),
        application,
        factories.make_application_member(application),
        factories.make_technical_user(other, "foreign-robot").technical,
        factories.make_machine(fleet, "foreign-machine"),
        factories.make_template(other, "foreign-template"),
        factories.make_network(other, "foreign-network"),
        factories.make_image(other, "foreign-image"),
        factories.make_role(other, "Foreign-role", "machines:read"),
        factories.make_entry(other, "/foreign-path", "Viewer", group=group),
        token,
        event,
        factories.make_request(other, never_allowed=True),
        webhook,
        webhook.deliveries.get(),
        OutboxRow.objects.create(kind=mail.KIND, payload={}, created_at=now(), dead_at=now()),
    ]
    return {row._meta.label_lower: row for row in rows}


# What is for who asked, or for superusers
NOT_FOR_OWNERS = {
    "approvalrequest/withdraw": 403,
    "token/start-emergency": 403,
    "token/stop-emergency": 403,
    **dict.fromkeys(("outboxrow/change", "outboxrow/retry", "outboxrow/drop"), 404),
}


def admin_patterns(resolver: Any = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    if resolver is None:
        resolver = next(
            entry for entry in get_resolver().url_patterns if getattr(entry, "app_name", "") == "admin"
        )
        prefix = "/admin/"
    for entry in resolver.url_patterns:
        address = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from admin_patterns(entry, address)
        else:
            yield address, entry


def test_every_registered_page_scopes_its_rows() -> None:
    pages = admin.site._registry

    assert pages
    assert all(isinstance(page, ScopedAdmin) and page.actions is None for page in pages.values())
    names = {entry.name for _, entry in admin_patterns()}
    assert not [name for name in names if name and name.endswith(("_delete", "_history"))]
    assert not names & {"autocomplete", "view_on_site"}


@pytest.mark.parametrize("role", ["owner", "admin", "auditor", "member"])
def test_another_organizations_rows_are_404_on_every_address(
    organization: Organization, owner: User, foreign: dict[str, Any], role: str
) -> None:
    client = browser(owner if role == "owner" else factories.member(organization, role))
    addresses = [address for address, _ in admin_patterns() if "<str:object_id>" in address]
    covered = set()
    before = Event.objects.filter(outcome="allowed").count()

    for address in addresses:
        _, _, app, model, *_ = address.split("/")
        row = foreign[f"{app}.{model}"]
        covered.add(f"{app}.{model}")
        for method in (client.get, client.post):
            response = method(address.replace("<str:object_id>", str(row.pk)))
            assert response.status_code == 404, address
            assert "foreign" not in response.content.decode()

    assert covered == set(foreign)
    assert Event.objects.filter(outcome="allowed").count() == before


def test_the_same_addresses_answer_their_own_people(foreign: dict[str, Any]) -> None:
    client = browser(factories.owner_of(foreign["fleets.organization"]))

    for address, _ in admin_patterns():
        if "<str:object_id>" in address:
            _, _, app, model, _, verb, *_ = address.split("/")
            key = str(foreign[f"{app}.{model}"].pk)
            status = client.get(address.replace("<str:object_id>", key)).status_code
            assert status == NOT_FOR_OWNERS.get(f"{model}/{verb}", 200), address


def test_lists_filters_choices_and_forms_name_nothing_of_another_organization(
    organization: Organization, owner: User, fleet: Fleet, foreign: dict[str, Any]
) -> None:
    factories.make_machine(fleet, "edge-1")
    client = browser(owner)

    for address, _ in admin_patterns():
        if "<" in address or address.startswith("/admin/^") or "logout" in address or "(?P" in address:
            continue
        response = client.get(address)
        text = response.content.decode()
        assert response.status_code in {200, 302, 403}, address
        assert "foreign" not in text, address
        assert "Elsewhere" not in text, address
    for query in (f"?fleet={foreign['fleets.fleet'].pk}", "?organization=other", "?q=foreign"):
        response = client.get(f"/admin/fleets/machine/{query}", follow=True)
        assert response.status_code in {200, 400}
        assert "foreign-machine" not in response.content.decode()


FILTERS = [  # a list, a filter of it, and a value that this one offers
    ("fleets/fleet", "organization", "acme"),
    ("fleets/machine", "fleet", "{fleet.pk}"),
    ("tokens/token", "organization", "acme"),
    ("tokens/token", "kind", "fleet"),
    ("tokens/token", "status", "active"),
    ("audit/event", "action", "fleet.opened"),
    ("audit/event", "outcome", "allowed"),
]


def test_a_value_that_a_filter_does_not_offer_matches_nothing(fleet: Fleet, foreign: dict[str, Any]) -> None:
    factories.make_machine(fleet)
    factories.make_token(fleet, "machines:read")
    client = browser(factories.make_superuser())
    unknown = [
        f"/admin/{address}/?{name}={value}"
        for address, name, _ in FILTERS
        for value in ("%00", "nowhere", "a%00b")
    ]
    offered = [f"/admin/{address}/?{name}={value.format(fleet=fleet)}" for address, name, value in FILTERS]

    answers = {address: client.get(address) for address in unknown}

    found = {address: (answer.status_code, shown(answer)) for address, answer in answers.items()}
    assert found == dict.fromkeys(unknown, (200, set()))
    assert [address for address in offered if not shown(client.get(address))] == []


def test_a_superuser_sees_every_organization(fleet: Fleet, foreign: dict[str, Any]) -> None:
    response = browser(factories.make_superuser()).get("/admin/fleets/fleet/")

    assert shown(response) == {fleet.pk, foreign["fleets.fleet"].pk}
    assert "Elsewhere" in response.content.decode()


def test_posted_choices_of_another_organization_are_refused(
    organization: Organization, owner: User, fleet: Fleet, foreign: dict[str, Any]
) -> None:
    client, machine = browser(owner), factories.make_machine(fleet, "edge-1")
    there = str(foreign["fleets.fleet"].pk)

    answers = [
        client.post("/admin/fleets/machine/add/", {"fleet": there, "name": "x", "kind": "virtual"}),
        client.post(page_of(machine, "move"), {"fleet": there}),
        client.post("/admin/fleets/fleet/add/", {"organization": "other", "slug": "x", "name": "X"}),
        client.post(
            page_of(fleet, "add-member"),
            {"username": foreign["fleets.membership"].user.username, "role": "viewer"},
        ),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200]
    assert Machine.objects.get(pk=machine.pk).fleet == fleet
    assert not Machine.objects.filter(name="x").exists()
    assert not Fleet.objects.filter(slug="x").exists()
    assert "There is no such member." in answers[3].content.decode()


@pytest.mark.parametrize("key", ["x", "00000000-0000-0000-0000-000000000000", "%00", "1", "a" * 3000])
def test_what_is_no_id_is_not_there(owner: User, key: str) -> None:
    assert browser(owner).get(f"/admin/fleets/fleet/{key}/change/").status_code == 404


# Verbs


def test_organizations_are_opened_by_superusers_and_renamed_by_their_admins(
    organization: Organization, owner: User
) -> None:
    opened = browser(factories.make_superuser()).post(
        "/admin/fleets/organization/add/", {"slug": "new", "name": "New"}
    )
    renamed = browser(owner).post(page_of(organization, "rename"), {"name": "Acme Ltd"})
    refused = browser(factories.member(organization)).post(page_of(organization, "rename"), {"name": "Mine"})

    assert (opened.status_code, renamed.status_code, refused.status_code) == (302, 302, 403)
    assert sorted(Organization.objects.values_list("name", flat=True)) == ["Acme Ltd", "New"]
    assert factories.events(action="organization.changed") == [
        "organization.changed allowed",
        "organization.changed denied",
    ]


def test_members_are_invited_changed_suspended_resumed_and_removed(
    organization: Organization, owner: User
) -> None:
    client = browser(owner)
    invited = {"organization": "acme", "username": "noor", "name": "Noor", "role": "member"}

    client.post("/admin/fleets/membership/add/", invited)
    member = Membership.objects.get(user__username="noor")
    steps = []
    for name, fields in (
        ("role", {"role": "auditor"}),
        ("suspend", {"reason": "Away"}),
        ("resume", {}),
        ("remove", {}),
    ):
        asked = client.get(page_of(member, name))
        done = client.post(page_of(member, name), fields)
        steps.append((name, asked.status_code, done.status_code))

    assert steps == [(name, 200, 302) for name in ("role", "suspend", "resume", "remove")]
    member.refresh_from_db()
    assert (member.role, member.left_at is None) == ("auditor", False)
    assert done["Location"] == "/admin/fleets/membership/"
    assert factories.events(target_id=str(member.pk)) == [
        "member.joined allowed",
        "member.role_changed allowed",
        "member.suspended allowed",
        "member.resumed allowed",
        "member.left allowed",
    ]
    assert not LogEntry.objects.exists()


def test_the_last_owner_stays_and_is_told_why(organization: Organization, owner: User) -> None:
    response = browser(owner).post(page_of(Membership.objects.get(user=owner), "remove"), {})

    assert response.status_code == 409
    assert "keeps at least one owner" in response.content.decode()


def test_an_admin_makes_no_admin(organization: Organization) -> None:
    admin_user, member = factories.member(organization, "admin"), factories.make_member(organization)

    response = browser(admin_user).post(page_of(member, "role"), {"role": "admin"})

    member.refresh_from_db()
    assert (response.status_code, member.role) == (403, "member")
    assert factories.events(action="member.role_changed") == ["member.role_changed denied"]


@pytest.mark.parametrize("kind", ["fleet", "group"])
def test_fleets_and_groups_are_opened_renamed_joined_and_left(
    organization: Organization, owner: User, kind: str
) -> None:
    client, person = browser(owner), factories.member(organization)
    model: Any = {"fleet": Fleet, "group": Group}[kind]
    roles = {"fleet": ("viewer", "operator"), "group": ("user", "admin")}[kind]

    client.post(f"/admin/fleets/{kind}/add/", {"organization": "acme", "slug": "lab", "name": "Lab"})
    row = model.objects.get(slug="lab")
    client.post(page_of(row, "rename"), {"name": "Laboratory"})
    client.post(page_of(row, "add-member"), {"username": person.username, "role": roles[0]})
    member = row.memberships.get(user=person)
    page = client.get(page_of(row)).content.decode()
    client.post(page_of(member, "role"), {"role": roles[1]})
    client.post(page_of(member, "remove"))

    row.refresh_from_db()
    member.refresh_from_db()
    assert row.name == "Laboratory"
    assert page_of(member) in page
    assert (member.role, member.left_at is None) == (roles[1], False)
    assert factories.events(target_id=str(member.pk)) == [
        f"{kind}_member.joined allowed",
        f"{kind}_member.role_changed allowed",
        f"{kind}_member.left allowed",
    ]


def test_machines_are_registered_retagged_moved_and_deregistered(
    organization: Organization, owner: User, fleet: Fleet
) -> None:
    client, core = browser(owner), factories.make_fleet(organization, "core")
    sent = {
        "fleet": str(fleet.pk),
        "name": "edge-1",
        "kind": "virtual",
        "vmid": "101",
        "tags": "gpu\n new-rack ",
    }

    client.post("/admin/fleets/machine/add/", sent)
    machine = Machine.objects.get()
    assert machine.tags == ["gpu", "new-rack"]
    client.post(page_of(machine, "retag"), {"tags": "gpu"})
    client.post(page_of(machine, "move"), {"fleet": str(core.pk)})
    page = client.get(page_of(machine)).content.decode()
    client.post(page_of(machine, "deregister"))

    machine = Machine.objects.get()
    assert (machine.tags, machine.fleet, machine.deregistered_at is None) == (["gpu"], core, False)
    assert "Configuration" in page
    assert client.get(page_of(machine)).status_code == 404
    assert factories.events(target_type="machine") == [
        "machine.registered allowed",
        "machine.retagged allowed",
        "machine.moved allowed",
        "machine.deregistered allowed",
    ]


def test_a_viewer_sees_machines_without_buttons_and_is_refused(fleet: Fleet) -> None:
    machine = factories.make_machine(fleet, "edge-1")
    client = browser(factories.fleet_member(fleet, "viewer"))

    page = client.get(page_of(machine))
    answers = [client.get(page_of(machine, "deregister")), client.post(page_of(machine, "deregister"))]

    assert page.context["buttons"] == []
    assert [answer.status_code for answer in answers] == [403, 403]
    assert Machine.objects.get().deregistered_at is None


@pytest.mark.parametrize(
    "name",
    ["rename organization", "suspend membership", "remove membership", "deregister machine", "rename fleet"],
)
def test_looking_at_a_verb_changes_nothing(
    organization: Organization, owner: User, fleet: Fleet, name: str
) -> None:
    verb, _, kind = name.partition(" ")
    rows = {
        "organization": organization,
        "membership": factories.make_member(organization),
        "machine": factories.make_machine(fleet),
        "fleet": fleet,
    }
    client = browser(owner)
    before = Event.objects.count()

    response = client.get(page_of(rows[kind], verb))

    assert response.status_code == 200
    assert Event.objects.count() == before


def test_a_fleet_manager_without_permissions_gives_no_roles(fleet: Fleet) -> None:
    client = browser(factories.fleet_member(fleet, "manager"))
    someone = factories.member(fleet.organization)

    response = client.post(page_of(fleet, "add-member"), {"username": someone.username, "role": "viewer"})

    assert response.status_code == 403
    assert not FleetMembership.objects.filter(user=someone).exists()


# Cost


def test_lists_cost_the_same_with_one_row_and_with_thirty(
    organization: Organization, owner: User, fleet: Fleet
) -> None:
    clients = {"owner": browser(owner), "superuser": browser(factories.make_superuser())}
    factories.make_group(organization)
    factories.make_machine(fleet)
    lists = {
        (who, where): (client, f"/admin/fleets/{where}/")
        for who, client in clients.items()
        for where in ("membership", "fleet", "group", "machine", "organization")
    }

    one = queries_of(lists)
    for _ in range(29):
        factories.make_machine(fleet)
        factories.make_member(organization)
        factories.make_fleet(organization)
        factories.make_group(organization)

    assert queries_of(lists) == one
    assert {page: cost for page, cost in one.items() if cost > 15} == {}
