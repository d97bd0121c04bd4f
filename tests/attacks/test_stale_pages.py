"""A form of the admin that was filled from what no longer holds changes nothing, and comes back with what holds now.

Nothing here lists pages: they come from the admin's registry. A model that is new there and not told here how to
change fails by name.
"""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import transaction
from django.forms import BaseForm
from django.test import Client

from audit.webhooks import endpoints
from config.edge.commands import RowVerb
from config.edge.scoped_admin import ScopedAdmin
from fleets import (
    entries,
    inventory,
    machines,
    membership,
    organizations,
    owners,
    role_changes,
    technical_users,
)
from fleets.models import TechnicalUser
from fleets.scopes import parse_scopes
from tests import factories
from tests.attacks.clients import browser
from tests.attacks.estate import Estate, Side, as_stored
from tests.attacks.tables import nothing_changes
from tokens import lifecycle
from tokens.lifecycle import Edit
from tokens.restrictions import Restrictions, parse_networks

pytestmark = pytest.mark.django_db
by = factories.operator


class Meanwhile(NamedTuple):
    """What somebody else does to a row, by a verb."""

    row: Callable[[Side], Any]
    change: Callable[[Any], object]


def _technical_user(side: Side) -> TechnicalUser:
    return TechnicalUser.objects.get(user=side.technical_user)


MEANWHILE: dict[str, Meanwhile] = {  # by the label of a model with a version
    "fleets.organization": Meanwhile(
        lambda side: side.organization, lambda row: organizations.rename(row, name="Narrower", by=by)
    ),
    "fleets.membership": Meanwhile(
        lambda side: side.member, lambda row: membership.change_role(row, role="auditor", by=by)
    ),
    "fleets.fleet": Meanwhile(
        lambda side: side.fleet, lambda row: owners.rename_fleet(row, name="Other", by=by)
    ),
    "fleets.group": Meanwhile(
        lambda side: side.group, lambda row: owners.rename_group(row, name="Other", by=by)
    ),
    "fleets.application": Meanwhile(
        lambda side: side.application,
        lambda row: owners.change_application(row, name="Other", description="Less", by=by),
    ),
    "fleets.fleetmembership": Meanwhile(
        lambda side: side.fleet_member, lambda row: membership.change_fleet_role(row, role="operator", by=by)
    ),
    "fleets.groupmembership": Meanwhile(
        lambda side: side.group_member, lambda row: membership.change_group_role(row, role="admin", by=by)
    ),
    "fleets.technicaluser": Meanwhile(
        _technical_user, lambda row: technical_users.rename(row, name="Other", by=by)
    ),
    "fleets.machine": Meanwhile(
        lambda side: side.machine, lambda row: machines.retag(row, tags=["other"], by=by)
    ),
    "fleets.machinetemplate": Meanwhile(
        lambda side: side.template,
        lambda row: inventory.change_template(row, changes={"description": "Less"}, by=by),
    ),
    "fleets.network": Meanwhile(
        lambda side: side.network,
        lambda row: inventory.change_network(row, changes={"cidr": "10.9.0.0/16"}, by=by),
    ),
    "fleets.image": Meanwhile(
        lambda side: side.image,
        lambda row: inventory.change_image(row, changes={"operating_system": "Debian"}, by=by),
    ),
    "fleets.aclentry": Meanwhile(
        lambda side: side.entry, lambda row: entries.change_entry(row, changes={"role": "NoAccess"}, by=by)
    ),
    "fleets.organizationrole": Meanwhile(
        lambda side: side.role,
        lambda row: role_changes.change(row, scopes=parse_scopes(["machines:operate"]), by=by),
    ),
    "tokens.token": Meanwhile(
        lambda side: side.granted.token,
        lambda row: lifecycle.edit(
            row,
            change=Edit(
                description="Less", restrictions=Restrictions(networks=parse_networks(["10.20.0.0/16"]))
            ),
            reason="An incident.",
            by=by,
        ),
    ),
    "audit.webhookendpoint": Meanwhile(
        lambda side: side.webhook, lambda row: endpoints.change(row, changes={"description": "Less"}, by=by)
    ),
}
ONLY_TAKE_AWAY = {  # so that none is ever lost to what somebody else changed
    ("tokens.token", "disable"),
    ("tokens.token", "revoke"),
    ("tokens.token", "stop-emergency"),
    ("fleets.membership", "suspend"),
    ("fleets.membership", "withdraw"),
    ("fleets.membership", "remove"),
    ("fleets.fleetmembership", "remove"),
    ("fleets.groupmembership", "remove"),
    ("fleets.applicationmembership", "remove"),
    ("fleets.technicaluser", "remove"),
    ("fleets.fleet", "close"),
    ("fleets.group", "close"),
    ("fleets.application", "close"),
    ("audit.webhookendpoint", "remove"),
    ("approvals.approvalrequest", "withdraw"),
}
SAY_THEMSELVES = {("approvals.approvalrequest", name) for name in ("approve", "approve-less", "reject")}
SHOW_WHAT_CHANGED = {  # the changes above are changes of what these forms are filled with
    ("tokens.token", "edit"),
    ("tokens.token", "security"),
    ("fleets.organization", "rename"),
    ("fleets.membership", "role"),
    ("fleets.fleet", "rename"),
    ("fleets.group", "rename"),
    ("fleets.application", "describe"),
    ("fleets.fleetmembership", "role"),
    ("fleets.groupmembership", "role"),
    ("fleets.technicaluser", "rename"),
    ("fleets.machine", "retag"),
    ("fleets.machinetemplate", "edit"),
    ("fleets.network", "edit"),
    ("fleets.image", "edit"),
    ("fleets.aclentry", "edit"),
    ("fleets.organizationrole", "edit"),
    ("audit.webhookendpoint", "edit"),
}
Page = tuple[str, RowVerb]
PAGES: list[Page] = [
    (model._meta.label_lower, verb)
    for model, page in admin.site._registry.items()
    if isinstance(page, ScopedAdmin) and hasattr(model, "version")
    for verb in page.verbs
]
BOUND = [(label, verb) for label, verb in PAGES if verb.is_bound]
every_form = pytest.mark.parametrize(
    ("label", "verb"), BOUND, ids=lambda value: value if isinstance(value, str) else value.name
)


def address(label: str, verb: RowVerb, row: Any) -> str:
    return f"/admin/{label.replace('.', '/')}/{row.pk}/{verb.name}/"


def person_for(estate: Estate, verb: RowVerb) -> Client:
    return browser(estate.superuser if "emergency" in verb.name else estate.ours.owner)


def as_opened(page: Any) -> dict[str, Any]:
    """What a browser sends of a form that nobody touched."""
    form: BaseForm = page.context["form"]
    data = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in data.items() if value not in (None, False)}
    return {**sent, "version": page.context.get("version", "")}


def filled_with(page: Any) -> dict[str, Any]:
    form: BaseForm = page.context["form"]
    return {name: form[name].value() for name in form.fields if name not in {"once", "reason"}}


def test_which_forms_do_not_say_what_they_were_filled_from_is_laid_down() -> None:
    loose = {(label, verb.name) for label, verb in PAGES if not verb.is_bound}

    assert loose == ONLY_TAKE_AWAY | SAY_THEMSELVES
    assert {label for label, _ in BOUND} == set(MEANWHILE), (
        f"say in {__file__} how rows of what is new change"
    )


@every_form
def test_a_form_filled_from_what_no_longer_holds_changes_nothing(
    label: str, verb: RowVerb, estate: Estate
) -> None:
    meanwhile, client = MEANWHILE[label], person_for(estate, verb)
    row = as_stored(meanwhile.row(estate.ours))
    here = address(label, verb, row)
    opened = client.get(here)
    sent = {**as_opened(opened), "reason": "Typed before."}
    assert sent["version"] == str(row.version)
    meanwhile.change(as_stored(row))

    with nothing_changes():
        answer = client.post(here, sent)
        bare = client.post(here, {name: value for name, value in sent.items() if name != "version"})
        forged = client.post(here, {**sent, "version": "0"})

    assert [answer.status_code, bare.status_code, forged.status_code] == [409, 409, 409]
    now = client.get(here)
    for page in (answer, bare, forged):
        text = page.content.decode()
        assert "changed meanwhile" in text
        assert filled_with(page) == filled_with(now)
        assert f'name="version" value="{as_stored(row).version}"' in text
        assert ("Typed before." in text) == ("reason" in page.context["form"].fields)
    shows = filled_with(opened) != filled_with(now)
    assert shows == ((label, verb.name) in SHOW_WHAT_CHANGED)


@every_form
def test_the_same_form_filled_from_what_holds_gets_to_its_verb(
    label: str, verb: RowVerb, estate: Estate
) -> None:
    client = person_for(estate, verb)
    here = address(label, verb, as_stored(MEANWHILE[label].row(estate.ours)))
    sent = as_opened(client.get(here))

    with transaction.atomic():
        answer = client.post(here, sent)
        transaction.set_rollback(True)

    assert "so nothing of what you sent was done" not in answer.content.decode()


@pytest.mark.parametrize("name", ["disable", "revoke"])
def test_what_only_takes_away_is_not_lost_to_what_somebody_else_changed(name: str, estate: Estate) -> None:
    client = browser(estate.ours.owner)
    token = as_stored(estate.ours.granted.token)
    here = f"/admin/tokens/token/{token.pk}/{name}/"
    sent = {**as_opened(client.get(here)), "word": "REVOKE"}
    MEANWHILE["tokens.token"].change(as_stored(token))

    assert client.post(here, sent).status_code == 302
    assert as_stored(token).status == f"{name}d"


def test_a_form_that_reveals_a_secret_and_is_sent_twice_says_that_it_is_done(estate: Estate) -> None:
    client = browser(estate.ours.owner)
    token = as_stored(estate.ours.token.token)
    here = f"/admin/tokens/token/{token.pk}/rotate/"
    sent = {**as_opened(client.get(here)), "overlap": "0"}

    done, again = client.post(here, sent), client.post(here, sent)
    stale = client.post(here, {**sent, "once": str(uuid4())})

    assert [done.status_code, again.status_code, stale.status_code] == [200, 409, 409]
    assert [page.context["title"] for page in (again, stale)] == ["Done already", f"Rotate secret: {token}"]
    assert token.secrets.count() == 2
