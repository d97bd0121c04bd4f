"""The pages of templates, networks and images: there for who manages the kind, everything done by a verb."""

from typing import Any

import pytest

from fleets import inventory
from fleets.models import (
    AclEntry,
    Image,
    Machine,
    MachineTemplate,
    Network,
    Organization,
    OrganizationRole,
    User,
)
from tests import factories
from tests.factories import events, last_event
from tests.pages import browser, queries_of

pytestmark = pytest.mark.django_db
PAGES = {"machinetemplate": MachineTemplate, "network": Network, "image": Image}
every_section = pytest.mark.parametrize("section", PAGES)
MAKE: dict[str, Any] = {
    "machinetemplate": factories.make_template,
    "network": factories.make_network,
    "image": factories.make_image,
}


@pytest.fixture
def acme() -> Organization:
    return factories.make_organization("acme")


@pytest.fixture
def owner(acme: Organization) -> User:
    return factories.owner_of(acme)


def page_of(row: Any, name: str = "change") -> str:
    return f"/admin/fleets/{row._meta.model_name}/{row.pk}/{name}/"


def adding(section: str) -> str:
    return f"/admin/fleets/{section}/add/"


def who_manages(acme: Organization, *scopes: str) -> User:
    """A plain member whom an entry at the root gives only these scopes."""
    person = factories.member(acme)
    OrganizationRole.objects.create(organization=acme, name="Keeper", scopes=list(scopes))
    AclEntry.objects.create(organization=acme, path="/", role="Keeper", user=person)
    return person


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code in {200, 409}, response.content
    return {name: list(each) for name, each in response.context["form"].errors.items()}


@every_section
def test_each_is_added_looked_at_changed_and_removed(acme: Organization, owner: User, section: str) -> None:
    client, model = browser(owner), PAGES[section]

    added = client.post(adding(section), {"organization": "acme", "name": "small", "description": "First"})
    row: Any = model.objects.get()
    shown = client.get(page_of(row)).content.decode()
    listed = client.get(f"/admin/fleets/{section}/?q=SMA").content.decode()
    asked = client.get(page_of(row, "edit"))
    sent = {name: "" if value is None else value for name, value in asked.context["form"].initial.items()}
    changed = client.post(page_of(row, "edit"), {**sent, "name": "small", "description": "Second"})
    sure = client.get(page_of(row, "remove"))
    assert model.objects.get().removed_at is None, "asking removes nothing"
    removed = client.post(page_of(row, "remove"))

    assert (added.status_code, added["Location"]) == (302, page_of(row))
    assert "First" in shown
    assert page_of(row) in listed
    assert (changed.status_code, sure.status_code) == (302, 200)
    assert (removed.status_code, removed["Location"]) == (302, f"/admin/fleets/{section}/")
    row = model.objects.get()
    assert (row.description, row.version, row.removed_at is None) == ("Second", 3, False)
    assert client.get(page_of(row)).status_code == 404
    subject = row.audit_target().type
    assert events(target_id=str(row.pk)) == [
        f"{subject}.{word} allowed" for word in ("added", "changed", "removed")
    ]


@pytest.mark.parametrize("role", ["member", "auditor", "fleet manager"])
def test_who_manages_none_finds_no_page(acme: Organization, role: str) -> None:
    rows = {section: make(acme) for section, make in MAKE.items()}
    if role == "fleet manager":
        person = factories.fleet_member(factories.make_fleet(acme), "manager")
    else:
        person = factories.member(acme, role)
    client = browser(person)

    homes = [each.get("/admin/").content.decode() for each in (client, browser(factories.owner_of(acme)))]
    answers = {
        section: [
            client.get(f"/admin/fleets/{section}/").status_code,
            client.get(adding(section)).status_code,
            client.post(adding(section), {"organization": "acme", "name": "new"}).status_code,
            client.get(page_of(row)).status_code,
            client.post(page_of(row, "edit"), {"name": "new"}).status_code,
            client.post(page_of(row, "remove")).status_code,
        ]
        for section, row in rows.items()
    }

    assert answers == {section: [403, 403, 403, 404, 404, 404] for section in PAGES}
    told = [[section for section in PAGES if f"/admin/fleets/{section}/" in home] for home in homes]
    assert told == [[], list(PAGES)]
    left = {section: list(model.objects.values_list("name", "version")) for section, model in PAGES.items()}
    assert left == {section: [(row.name, 1)] for section, row in rows.items()}


def test_a_template_says_what_machines_start_with(acme: Organization, owner: User) -> None:
    image, network = factories.make_image(acme, "debian"), factories.make_network(acme, "lan")
    client = browser(owner)
    form = {
        "organization": "acme",
        "name": "small",
        "cpus": "4",
        "memory": "8192",
        "disks": 'system\r\n\r\n{"name": "data", "size": 10}\r\n',
        "networks": "lan",
        "image": str(image.pk),
        "network": str(network.pk),
    }

    response = client.post(adding("machinetemplate"), form)

    assert response.status_code == 302, errors(response)
    template = MachineTemplate.objects.get()
    assert template.configuration == {
        "cpus": 4,
        "memory": 2**33,
        "disks": ["system", {"name": "data", "size": 10}],
        "networks": ["lan"],
    }
    assert (template.image, template.network) == (image, network)
    page = client.get(page_of(template)).content.decode()
    assert page_of(image) in page
    assert page_of(network) in page
    assert page_of(template) in client.get(page_of(image)).content.decode()


def test_only_what_a_form_says_anew_is_changed(acme: Organization, owner: User) -> None:
    odd = 2**30 + 1  # bytes that no number of MiB says
    image = factories.make_image(acme)
    template = factories.make_template(
        acme, configuration={"cpus": 2, "memory": odd, "disks": [{"a": 1}, "b"]}, image=image.pk
    )
    client = browser(owner)
    fields = client.get(page_of(template, "edit")).context["form"]
    as_shown = {field.name: "" if field.initial is None else field.initial for field in fields}
    as_shown["disks"] = as_shown["disks"].replace("\n", "\r\n")

    same = client.post(page_of(template, "edit"), as_shown)
    assert (same.status_code, MachineTemplate.objects.get().version) == (302, 1)
    client.post(page_of(template, "edit"), {**as_shown, "cpus": "3", "image": ""})

    changed = MachineTemplate.objects.get()
    assert changed.configuration == {"cpus": 3, "memory": odd, "disks": [{"a": 1}, "b"], "networks": []}
    assert changed.image is None
    assert set(last_event().data["changes"]) == {"configuration", "image"}
    assert events(action="template.changed") == ["template.changed allowed"]


@pytest.mark.parametrize(
    ("section", "form", "field"),
    [
        ("network", {"cidr": "10.0.0.1/8"}, "cidr"),
        ("network", {"cidr": "lan"}, "cidr"),
        ("network", {"name": "a b"}, "name"),
        ("network", {"name": "TAKEN"}, "__all__"),
        ("image", {"name": ""}, "name"),
        ("image", {"organization": "other"}, "organization"),
        ("machinetemplate", {"cpus": "0"}, "cpus"),
        ("machinetemplate", {"memory": str(2**53)}, "memory"),
        ("machinetemplate", {"disks": "{"}, "disks"),
        ("machinetemplate", {"disks": '{"a": {}}'}, "disks"),
        ("machinetemplate", {"disks": '{"a": 1, "a": 2}'}, "disks"),
        ("machinetemplate", {"networks": "n\n" * 65}, "networks"),
        ("machinetemplate", {"networks": "n" * 201}, "networks"),
        ("machinetemplate", {"image": "00000000-0000-0000-0000-000000000000"}, "image"),
        ("machinetemplate", {"image": "x"}, "image"),
    ],
)
def test_what_can_not_be_meant_is_said_at_its_field(
    acme: Organization, owner: User, section: str, form: dict[str, str], field: str
) -> None:
    factories.make_organization("other")
    factories.make_network(acme, "taken")

    response = browser(owner).post(adding(section), {"organization": "acme", "name": "new", **form})

    assert list(errors(response)) == [field]
    assert not PAGES[section].objects.filter(name="new").exists()


def test_what_a_template_names_is_not_removed_and_the_page_says_why(acme: Organization, owner: User) -> None:
    network = factories.make_network(acme)
    factories.make_template(acme, network=network.pk)

    response = browser(owner).post(page_of(network, "remove"))

    assert response.status_code == 409
    assert "1 template names it" in response.content.decode()
    assert Network.objects.get().removed_at is None


def test_another_organizations_items_are_neither_shown_nor_offered(acme: Organization, owner: User) -> None:
    other = factories.make_organization("other", name="Elsewhere")
    theirs = [make(other, "foreign-thing") for make in MAKE.values()]
    factories.make_fleet(acme, "edge")
    factories.make_template(acme, "ours")
    client = browser(owner)

    for section in PAGES:
        for address in (f"/admin/fleets/{section}/", f"/admin/fleets/{section}/?q=foreign", adding(section)):
            assert "foreign-thing" not in client.get(address).content.decode()
    for row in theirs:
        for name in ("change", "edit", "remove"):
            assert client.get(page_of(row, name)).status_code == 404
            assert client.post(page_of(row, name)).status_code == 404
    registering = client.get("/admin/fleets/machine/add/").content.decode()
    assert "ours" in registering
    assert "foreign" not in registering
    _, network, image = theirs
    sent = {"organization": "acme", "name": "new", "image": str(image.pk), "network": str(network.pk)}
    assert set(errors(client.post(adding("machinetemplate"), sent))) == {"image", "network"}
    superuser = browser(factories.make_superuser())
    answer = superuser.post(adding("machinetemplate"), {**sent, "network": ""})
    assert errors(answer) == {"image": ["There is no such image."]}
    assert {row.name for row in MachineTemplate.objects.all()} == {"ours", "foreign-thing"}


def test_who_keeps_templates_alone_sees_no_names_of_images(acme: Organization) -> None:
    image = factories.make_image(acme, "secret-plan")
    factories.make_image(acme, "other-plan")
    template = factories.make_template(acme, image=image.pk)
    client = browser(who_manages(acme, "templates:manage"))

    page, form = client.get(page_of(template)), client.get(page_of(template, "edit"))
    shown = page.content.decode() + form.content.decode() + client.get("/admin/").content.decode()

    assert str(image.pk) in shown
    assert "-plan" not in shown
    assert "/admin/fleets/image/" not in shown
    fields = {field.name: "" if field.initial is None else field.initial for field in form.context["form"]}
    sent = client.post(page_of(template, "edit"), {**fields, "description": "New"})
    assert sent.status_code == 302, errors(sent)
    kept = MachineTemplate.objects.get()
    assert (kept.description, kept.image) == ("New", image)


def test_who_keeps_images_alone_sees_no_templates(acme: Organization) -> None:
    image = factories.make_image(acme)
    template = factories.make_template(acme, "secret-plan", image=image.pk)

    shown = browser(who_manages(acme, "images:manage")).get(page_of(image)).content.decode()

    assert "secret-plan" not in shown
    assert template.name in browser(factories.owner_of(acme)).get(page_of(image)).content.decode()


def test_a_machine_is_registered_from_a_template_and_says_so(acme: Organization, owner: User) -> None:
    edge = factories.make_fleet(acme, "edge")
    template = factories.make_template(acme, "small", configuration={"cpus": 4})
    client = browser(owner)
    sent = {"fleet": str(edge.pk), "name": "quick", "kind": "virtual", "template": str(template.pk)}

    assert client.post("/admin/fleets/machine/add/", sent).status_code == 302
    machine = Machine.objects.get()
    linked = client.get(page_of(machine)).content.decode()
    inventory.remove_template(template, by=factories.operator)
    unlinked = client.get(page_of(machine)).content.decode()

    assert (machine.template, machine.configuration["cpus"]) == (template, 4)
    assert page_of(template) in linked
    assert page_of(template) not in unlinked
    assert "small" in unlinked


def test_who_sees_no_template_registers_machines_without_being_asked_for_one(acme: Organization) -> None:
    edge = factories.make_fleet(acme, "edge")
    template = factories.make_template(acme, "small")
    client = browser(factories.fleet_member(edge, "manager"))

    asked = client.get("/admin/fleets/machine/add/")
    sent = client.post(
        "/admin/fleets/machine/add/",
        {"fleet": str(edge.pk), "name": "x", "kind": "virtual", "template": str(template.pk)},
    )

    assert "template" not in asked.context["form"].fields
    assert sent.status_code == 302
    assert Machine.objects.get().template is None


def test_pages_cost_the_same_with_one_row_and_with_thirty(acme: Organization, owner: User) -> None:
    clients = {"owner": browser(owner), "superuser": browser(factories.make_superuser())}
    image, network = factories.make_image(acme), factories.make_network(acme)
    parts: dict[str, Any] = {"image": image.pk, "network": network.pk}
    template = factories.make_template(acme, **parts)
    one: dict[str, Any] = {"machinetemplate": template, "network": network, "image": image}

    pages = {
        (who, address): (client, address)
        for who, client in clients.items()
        for section, row in one.items()
        for address in (
            f"/admin/fleets/{section}/",
            page_of(row),
            adding(section),
            page_of(row, "edit"),
        )
    }

    few = queries_of(pages)
    for _ in range(29):
        factories.make_template(acme, **parts)
        for make in MAKE.values():
            make(acme)
    many = queries_of(pages)

    assert many == few
    assert {page: cost for page, cost in many.items() if cost > 15} == {}
