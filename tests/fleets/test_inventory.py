"""Templates, networks and images: who keeps them, what they may say, what machines get from them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from audit.models import Event
from config.edge.refusals import Conflict, IllegalMove, InsufficientScope, Invalid
from fleets import inventory, machines
from fleets.inventory import AnyItem
from fleets.models import Image, Machine, MachineTemplate, Network, Organization
from tests.factories import (
    API,
    acting,
    events,
    fleet_member,
    last_event,
    make_entry,
    make_fleet,
    make_image,
    make_machine,
    make_network,
    make_organization,
    make_template,
    make_token,
    member,
    operator,
    owner_of,
    session,
    session_client,
    token_client,
)

pytestmark = pytest.mark.django_db

KINDS: dict[str, tuple[type[AnyItem], Callable[..., AnyItem], str]] = {
    "template": (MachineTemplate, make_template, "templates:manage"),
    "network": (Network, make_network, "networks:manage"),
    "image": (Image, make_image, "images:manage"),
}
OWN: dict[str, dict[str, Any]] = {  # what only this kind says: its value at first, and another
    "template": {"configuration": ({"cpus": 2}, {"cpus": 4})},
    "network": {"cidr": ("10.1.0.0/16", "fd00::/8")},
    "image": {"operating_system": ("Debian 12", "Debian 13")},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
NOTHING_SET: dict[str, Any] = {"cpus": None, "memory": None, "disks": [], "networks": []}


@pytest.fixture
def acme() -> Organization:
    return make_organization("acme")


def resource(kind: str) -> str:
    return f"{API}{kind}s/"


def one(item: AnyItem) -> str:
    kind = next(name for name, (model, *_) in KINDS.items() if isinstance(item, model))
    return f"{resource(kind)}{item.pk}/"


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def fields(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.content
    return [(error["field"], error["code"]) for error in response.json()["errors"]]


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return sorted(row["name"] for row in response.data["results"])


def make_naming(organization: Organization, part: str, key: UUID) -> MachineTemplate:
    """A template that names an image or a network."""
    named: dict[str, Any] = {part: key}
    return make_template(organization, **named)


def instant(row: Any) -> str:
    return str(row.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"))


# The verbs

VERBS: dict[str, Callable[[str, AnyItem, Any], Any]] = {
    "add": lambda kind, item, by: getattr(inventory, f"add_{kind}")(item.organization, name="new", by=by),
    "change": lambda kind, item, by: getattr(inventory, f"change_{kind}")(
        item, changes={"description": "new"}, by=by
    ),
    "remove": lambda kind, item, by: getattr(inventory, f"remove_{kind}")(item, by=by),
}
PAST = {"add": "added", "change": "changed", "remove": "removed"}


@pytest.mark.parametrize("verb", VERBS)
@every_kind
def test_who_holds_the_scope_of_the_kind_at_the_root_does_it_and_nobody_else(
    acme: Organization, kind: str, verb: str
) -> None:
    model, make, scope = KINDS[kind]
    item = make(acme)
    others = [each for _, _, each in KINDS.values() if each != scope]
    owner = owner_of(acme)
    refused = [
        session(member(acme)),
        session(member(acme, "auditor")),
        session(fleet_member(make_fleet(acme, "edge"), "manager")),
        session(owner_of(make_organization("other"))),
        acting(make_token(owner, "machines:read", *others, "permissions:manage")),
    ]
    before = Event.objects.filter(action=f"{kind}.{PAST[verb]}").count()

    for by in refused:
        with pytest.raises(InsufficientScope) as refusal:
            VERBS[verb](kind, item, by)
        assert refusal.value.members == {"scope": scope, "path": "/"}

    item.refresh_from_db()
    assert (item.version, item.description, item.removed_at, model.objects.count()) == (1, "", None, 1)
    assert events(action=f"{kind}.{PAST[verb]}")[before:] == [f"{kind}.{PAST[verb]} denied"] * len(refused)
    VERBS[verb](kind, item, acting(make_token(owner, scope)))
    assert (last_event().action, last_event().outcome) == (f"{kind}.{PAST[verb]}", "allowed")


@every_kind
def test_a_scope_held_only_at_a_fleet_manages_nothing(acme: Organization, kind: str) -> None:
    _, make, scope = KINDS[kind]
    edge = make_fleet(acme, "edge")
    item = make(acme)
    of_fleet = make_token(edge, scope)
    assert acting(of_fleet).permits(scope, edge.path, acme.pk)

    for verb in VERBS.values():
        with pytest.raises(InsufficientScope):
            verb(kind, item, acting(of_fleet))
    client = token_client(of_fleet)
    answers = [
        client.get(one(item)),
        client.post(resource(kind), {"name": "new"}),
        client.patch(one(item), {"name": "new"}),
        client.delete(one(item)),
    ]

    assert [code(answer) for answer in answers] == [(403, "insufficient_scope")] * 4
    assert names(client.get(resource(kind))) == []
    assert [row.name for row in KINDS[kind][0].objects.present()] == [item.name]


@pytest.mark.parametrize("verb", ["change", "remove"])
@every_kind
def test_nothing_is_done_to_what_was_removed_or_has_changed_meanwhile(
    acme: Organization, kind: str, verb: str
) -> None:
    model, make, _ = KINDS[kind]
    item = make(acme)
    seen_by_another = model.objects.get(pk=item.pk)
    VERBS["change"](kind, item, operator)

    with pytest.raises(Conflict) as late:
        VERBS[verb](kind, seen_by_another, operator)
    VERBS["remove"](kind, item, operator)
    with pytest.raises(IllegalMove):
        VERBS[verb](kind, item, operator)

    assert late.value.code == "conflict"
    assert events(target_id=str(item.pk)) == [f"{kind}.{word} allowed" for word in PAST.values()]


@every_kind
def test_a_name_is_borne_once_among_what_is_present(acme: Organization, kind: str) -> None:
    model, make, _ = KINDS[kind]
    first, second = make(acme, "Small"), make(acme, "large")

    for attempt in (
        lambda: make(acme, "sMALL"),
        lambda: getattr(inventory, f"change_{kind}")(second, changes={"name": "small"}, by=operator),
    ):
        with pytest.raises(Conflict) as refusal:
            attempt()
        assert refusal.value.code == "name_taken"
    make(make_organization("other"), "small")
    VERBS["remove"](kind, first, operator)
    assert make(acme, "small").pk != first.pk
    assert sorted(
        model.objects.filter(organization=acme, removed_at=None).values_list("name", flat=True)
    ) == [
        "large",
        "small",
    ]


@every_kind
def test_the_trail_says_what_was_added_and_what_changed(acme: Organization, kind: str) -> None:
    _, make, _ = KINDS[kind]
    ((name, (first, second)),) = OWN[kind].items()
    item = make(acme, "small", **{name: first})
    added = last_event()

    getattr(inventory, f"change_{kind}")(
        item, changes={"name": "small", "description": "for tests", name: second}, by=operator
    )

    settled = [{**NOTHING_SET, **value} if kind == "template" else value for value in (first, second)]
    assert (added.target_type, added.target_label, added.organization_id) == (kind, "small", acme.pk)
    assert added.data[name] == settled[0]
    assert last_event().data == {"changes": {"description": ["", "for tests"], name: settled}}


@pytest.mark.parametrize("part", ["image", "network"])
def test_what_a_template_names_stays_as_long_as_it_does(acme: Organization, part: str) -> None:
    item, by_others = KINDS[part][1](acme), KINDS[part][1](acme)
    first, second = [make_naming(acme, part, item.pk) for _ in range(2)]
    make_naming(acme, part, by_others.pk)
    remove = getattr(inventory, f"remove_{part}")

    frees: list[Callable[[], None]] = [
        lambda: inventory.remove_template(first, by=operator),
        lambda: inventory.change_template(second, changes={part: None}, by=operator),
    ]
    for free in frees:
        with pytest.raises(Conflict) as refusal:
            remove(item, by=operator)
        assert refusal.value.code == "in_use"
        item.refresh_from_db()
        assert (item.version, item.removed_at) == (1, None)
        free()
    remove(item, by=operator)

    assert item.removed_at is not None
    assert events(action=f"{part}.removed") == [f"{part}.removed allowed"]


@pytest.mark.parametrize("part", ["image", "network"])
def test_a_template_names_only_what_is_present_in_its_organization(acme: Organization, part: str) -> None:
    make = KINDS[part][1]
    ours, gone, theirs = make(acme), make(acme), make(make_organization("other"))
    getattr(inventory, f"remove_{part}")(gone, by=operator)
    template = make_naming(acme, part, ours.pk)

    for key in (gone.pk, theirs.pk, uuid4()):
        with pytest.raises(Invalid) as adding:
            make_naming(acme, part, key)
        with pytest.raises(Invalid) as changing:
            inventory.change_template(template, changes={part: key}, by=operator)
        for refusal in (adding.value, changing.value):
            assert [(error.field, error.code) for error in refusal.errors] == [(part, "not_found")]

    kept = MachineTemplate.objects.get()
    assert (getattr(kept, part), kept.version) == (ours, 1)


# Quick machines


def test_a_quick_machine_starts_with_its_templates_configuration_and_keeps_it(acme: Organization) -> None:
    edge = make_fleet(acme, "edge")
    configuration = {"cpus": 4, "memory": 2**33, "disks": [{"name": "system"}], "networks": ["lan"]}
    template = make_template(acme, configuration=configuration)

    machine = make_machine(edge, template=template.pk)
    registered = last_event()
    machines.configure(machine, changes={"cpus": 8}, by=operator)
    inventory.change_template(template, changes={"configuration": {"memory": None}}, by=operator)
    inventory.remove_template(template, by=operator)

    machine.refresh_from_db()
    assert machine.template == template
    assert machine.configuration == {**configuration, "cpus": 8}
    assert registered.data["template"] == str(template.pk)
    assert MachineTemplate.objects.get().configuration == {**configuration, "memory": None}
    assert make_machine(edge).configuration == NOTHING_SET


def test_a_fleets_manager_makes_quick_machines_without_keeping_templates(acme: Organization) -> None:
    template = make_template(acme, configuration={"cpus": 4})
    edge = make_fleet(acme, "edge")
    manager, viewer = session_client(fleet_member(edge, "manager")), session_client(fleet_member(edge))
    body = {"fleet": "edge", "name": "quick", "template": str(template.pk)}

    assert code(viewer.post(f"{API}machines/", body)) == (403, "insufficient_scope")
    response = manager.post(f"{API}machines/", body)

    assert response.status_code == 201, response.content
    assert response.data["template"] == str(template.pk)
    assert response.json()["configuration"] == {**NOTHING_SET, "cpus": 4}
    listed = manager.get(f"{API}machines/").json()["results"]
    assert [(row["name"], row["template"]) for row in listed] == [("quick", str(template.pk))]
    assert code(manager.get(one(template))) == (403, "insufficient_scope")
    machine = f"{API}machines/{response.data['id']}/"
    assert fields(manager.patch(machine, {"template": None})) == [("template", "read_only")]
    assert Machine.objects.get().template == template


def test_a_machine_is_made_from_a_present_template_of_its_organization(acme: Organization) -> None:
    make_fleet(acme, "edge")
    gone, theirs = make_template(acme), make_template(make_organization("other"))
    inventory.remove_template(gone, by=operator)
    client = session_client(owner_of(acme))
    body = {"fleet": "edge", "name": "quick"}

    for key in (str(gone.pk), str(theirs.pk), str(uuid4())):
        refused = client.post(f"{API}machines/", {**body, "template": key})
        assert fields(refused) == [("template", "not_found")]
    wrong: list[Any] = ["small", 1.5, [], {}]
    for value in wrong:
        assert fields(client.post(f"{API}machines/", {**body, "template": value})) == [
            ("template", "invalid")
        ]

    assert Machine.objects.count() == 0
    plain = client.post(f"{API}machines/", {**body, "template": None})
    assert (plain.status_code, plain.data["template"]) == (201, None)


# The API


def test_each_is_written_as_the_contract_says(acme: Organization) -> None:
    image = make_image(acme, "debian", operating_system="Debian 12")
    network = make_network(acme, "lan", description="Everybody's", cidr="10.1.0.0/16")
    template = make_template(acme, "small", image=image.pk, network=network.pk, configuration={"cpus": 2})
    client = session_client(owner_of(acme))

    shared = {"organization": "acme", "description": ""}
    assert client.get(one(image)).json() == {
        **shared,
        "id": str(image.pk),
        "name": "debian",
        "operating_system": "Debian 12",
        "created_at": instant(image),
    }
    assert client.get(one(network)).json() == {
        **shared,
        "id": str(network.pk),
        "name": "lan",
        "description": "Everybody's",
        "cidr": "10.1.0.0/16",
        "created_at": instant(network),
    }
    assert client.get(one(template)).json() == {
        **shared,
        "id": str(template.pk),
        "name": "small",
        "configuration": {**NOTHING_SET, "cpus": 2},
        "image": str(image.pk),
        "network": str(network.pk),
        "created_at": instant(template),
    }


@pytest.mark.parametrize("caller", ["person", "token"])
@every_kind
def test_each_is_added_read_changed_and_removed(acme: Organization, kind: str, caller: str) -> None:
    model, _, scope = KINDS[kind]
    owner = owner_of(acme)
    client = session_client(owner) if caller == "person" else token_client(make_token(owner, scope))
    ((name, (first, second)),) = OWN[kind].items()
    before = len(events(target_type=kind))

    added = client.post(resource(kind), {"name": "small", "description": "d", name: first})
    assert added.status_code == 201, added.content
    address = f"{resource(kind)}{added.data['id']}/"
    assert (added["ETag"], client.get(address)["ETag"]) == ('"1"', '"1"')
    changed = client.patch(address, {name: second}, headers={"if-match": '"1"'})
    stale = client.patch(address, {"name": "late"}, headers={"if-match": '"1"'})
    same = client.patch(address, {})
    kept = client.delete(address, headers={"if-match": '"1"'})
    removed = client.delete(address, headers={"if-match": '"2"'})

    assert (changed.status_code, changed["ETag"], same["ETag"]) == (200, '"2"', '"2"')
    assert (changed.data["name"], changed.data["description"]) == ("small", "d")
    settled = {**NOTHING_SET, **second} if kind == "template" else second
    assert changed.json()[name] == settled
    assert [code(stale), code(kept)] == [(412, "precondition_failed")] * 2
    assert removed.status_code == 204
    gone = [client.get(address), client.patch(address, {"name": "x"}), client.delete(address)]
    assert [code(answer) for answer in gone] == [(404, "not_found")] * 3
    assert names(client.get(resource(kind))) == []
    assert model.objects.get().removed_at is not None
    assert events(target_type=kind)[before:] == [f"{kind}.{word} allowed" for word in PAST.values()]


@every_kind
def test_a_token_without_the_scope_is_told_so_before_its_body_is_read(acme: Organization, kind: str) -> None:
    model, make, scope = KINDS[kind]
    item = make(acme)
    owner = owner_of(acme)
    issued = make_token(owner, *(each for _, _, each in KINDS.values() if each != scope))
    client = token_client(issued)

    answers = [
        client.get(resource(kind)),
        client.get(one(item)),
        client.post(resource(kind), {"colour": "red"}),
        client.patch(one(item), {"colour": "red"}),
        client.delete(one(item)),
    ]

    for answer in answers:
        assert code(answer) == (403, "insufficient_scope")
        assert f'scope="{scope}"' in answer["WWW-Authenticate"]
    assert events(actor_id=issued.token.pk) == ["token.denied denied"] * 5
    assert model.objects.get().version == 1
    able = token_client(make_token(owner, scope))
    assert names(able.get(resource(kind))) == [item.name]
    assert fields(able.post(resource(kind), {"name": "x", "colour": "red"})) == [("colour", "unknown_field")]


@every_kind
def test_people_who_manage_none_get_an_empty_list_and_403(acme: Organization, kind: str) -> None:
    item = KINDS[kind][1](acme)
    person = member(acme, "auditor")
    client = session_client(person)

    assert names(client.get(resource(kind))) == []
    assert code(client.get(one(item))) == (403, "insufficient_scope")
    assert code(client.post(resource(kind), {"name": "x"})) == (403, "insufficient_scope")
    assert code(client.delete(one(item))) == (403, "insufficient_scope")
    assert code(APIClient().get(resource(kind))) == (401, "credential_missing")
    make_entry(acme, "/", "Administrator", user=person)
    assert names(client.get(resource(kind))) == [item.name]


@every_kind
def test_a_root_entry_that_does_not_reach_below_still_manages_the_inventory(
    acme: Organization, kind: str
) -> None:
    item = KINDS[kind][1](acme)
    person = member(acme)
    make_entry(acme, "/", "Administrator", user=person, propagate=False)

    assert names(session_client(person).get(resource(kind))) == [item.name]


@every_kind
def test_another_organizations_items_are_not_there(acme: Organization, kind: str) -> None:
    model, make, _ = KINDS[kind]
    ours, theirs = make(acme, "ours"), make(make_organization("other"), "theirs")
    client = session_client(owner_of(acme))

    for address in (one(theirs), one(ours).replace(str(ours.pk), str(uuid4()))):
        answers = [client.get(address), client.patch(address, {"name": "x"}), client.delete(address)]
        assert [code(answer) for answer in answers] == [(404, "not_found")] * 3
    assert code(client.get(f"{resource(kind)}?organization=other")) == (404, "not_found")
    assert code(client.post(resource(kind), {"organization": "other", "name": "x"})) == (404, "not_found")
    assert names(client.get(resource(kind))) == ["ours"]
    assert list(model.objects.filter(organization__slug="other").values_list("name", "version")) == [
        ("theirs", 1)
    ]
    assert client.get(one(ours)).status_code == 200


@every_kind
def test_the_list_is_filtered_by_name(acme: Organization, kind: str) -> None:
    for name in ("web-small", "web-large", "db"):
        KINDS[kind][1](acme, name)
    client = session_client(owner_of(acme))

    assert names(client.get(f"{resource(kind)}?search=WEB")) == ["web-large", "web-small"]
    assert names(client.get(f"{resource(kind)}?name=Db&organization=acme")) == ["db"]
    assert names(client.get(f"{resource(kind)}?search=_")) == []
    assert fields(client.get(f"{resource(kind)}?image=x")) == [("image", "unknown_parameter")]
    assert len(client.get(f"{resource(kind)}?limit=1").data["results"]) == 1


@every_kind
def test_a_list_takes_the_same_number_of_queries_for_few_and_for_many(acme: Organization, kind: str) -> None:
    _, make, scope = KINDS[kind]
    own: dict[str, Any] = (
        {"image": make_image(acme).pk, "network": make_network(acme).pk} if kind == "template" else {}
    )
    owner = owner_of(acme)
    people, program = session_client(owner), token_client(make_token(owner, scope))
    make(acme, **own)
    program.get(resource(kind))  # the first use of a token is also kept as its last
    taken = []
    for rows in (1, 30):
        for _ in range(KINDS[kind][0].objects.count(), rows):
            make(acme, **own)
        for client in (people, program):
            with CaptureQueriesContext(connection) as queries:
                assert len(client.get(resource(kind)).data["results"]) == rows
            taken.append(len(queries))

    assert taken[:2] == taken[2:]
    assert taken[0] == 10  # one of them asks for the session
    assert taken[1] <= 24  # how many of them verify the token is the tokens' own affair


@every_kind
def test_a_repeated_key_adds_once_and_replays_the_answer(acme: Organization, kind: str) -> None:
    client = session_client(owner_of(acme))

    first, again = [
        client.post(resource(kind), {"name": "small"}, headers={"idempotency-key": "one"}) for _ in range(2)
    ]

    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again["Idempotent-Replayed"] == "true"
    assert KINDS[kind][0].objects.count() == 1
    assert code(client.post(resource(kind), {"name": "SMALL"})) == (409, "name_taken")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("10.1.0.0/16", "10.1.0.0/16"),
        ("2001:DB8:0::/48", "2001:db8::/48"),
        ("::ffff:10.1.0.0/112", "10.1.0.0/16"),
        ("", ""),
    ],
)
def test_a_networks_addresses_are_kept_in_one_spelling(acme: Organization, written: str, kept: str) -> None:
    client = session_client(owner_of(acme))

    response = client.post(resource("network"), {"name": "lan", "cidr": written})

    assert (response.status_code, response.data["cidr"]) == (201, kept)
    assert Network.objects.get().cidr == kept


@pytest.mark.parametrize(
    "cidr", ["10.1.0.5/16", "10.1.0.0", "10.1.0.0/255.255.0.0", "lan", 10, None, [], "10.1.0.0/33"]
)
def test_what_is_no_network_is_400_and_host_bits_name_the_one_meant(acme: Organization, cidr: Any) -> None:
    network = make_network(acme, "lan", cidr="192.168.0.0/24")
    client = session_client(owner_of(acme))

    answers = [
        client.post(resource("network"), {"name": "new", "cidr": cidr}),
        client.patch(one(network), {"cidr": cidr}),
    ]

    for answer in answers:
        assert [field for field, _ in fields(answer)] == ["cidr"]
        assert ("10.1.0.0/16" in answer.json()["detail"]) == (cidr == "10.1.0.5/16")
    assert list(Network.objects.values_list("name", "cidr", "version")) == [("lan", "192.168.0.0/24", 1)]


@pytest.mark.parametrize(
    ("kind", "body", "field", "reason"),
    [
        *((kind, {}, "name", "required") for kind in KINDS),
        *((kind, {"name": ""}, "name", "blank") for kind in KINDS),
        *((kind, {"name": "a b"}, "name", "invalid") for kind in KINDS),
        *((kind, {"name": "x" * 64}, "name", "max_length") for kind in KINDS),
        *((kind, {"name": "x", "description": "d" * 501}, "description", "max_length") for kind in KINDS),
        *((kind, {"name": "x", "description": "a\u202eb"}, "description", "control") for kind in KINDS),
        *((kind, {"name": "x", "removed_at": None}, "removed_at", "unknown_field") for kind in KINDS),
        *((kind, {"name": "x", "created_at": None}, "created_at", "read_only") for kind in KINDS),
        ("image", {"name": "x", "operating_system": "o" * 64}, "operating_system", "max_length"),
        ("template", {"name": "x", "configuration": []}, "configuration", "invalid"),
        ("template", {"name": "x", "configuration": None}, "configuration", "null"),
        ("template", {"name": "x", "configuration": {"cpus": 0}}, "configuration.cpus", "min_value"),
        ("template", {"name": "x", "configuration": {"gpu": 1}}, "configuration.gpu", "unknown_field"),
        ("template", {"name": "x", "image": "debian"}, "image", "invalid"),
        ("template", {"name": "x", "cidr": "10.0.0.0/8"}, "cidr", "unknown_field"),
    ],
)
def test_a_field_that_can_not_be_meant_is_400_and_named(
    acme: Organization, kind: str, body: dict[str, Any], field: str, reason: str
) -> None:
    response = session_client(owner_of(acme)).post(resource(kind), body)

    assert fields(response) == [(field, reason)]
    assert KINDS[kind][0].objects.count() == 0


def test_an_image_in_use_is_409_over_http_and_free_again_without_the_template(acme: Organization) -> None:
    image = make_image(acme)
    template = make_template(acme, image=image.pk)
    client = session_client(owner_of(acme))

    refused = client.delete(one(image))

    assert code(refused) == (409, "in_use")
    assert template.name not in refused.json()["detail"]  # who keeps images need not see templates
    assert client.patch(one(template), {"image": None}).data["image"] is None
    assert client.delete(one(image)).status_code == 204
