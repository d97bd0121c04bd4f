"""Fills an empty database: the companies, their tokens, and a month of use, as one verb.

Everything is done by the person whose task it is, through the verb that the API calls too.
"""

from dataclasses import dataclass, field
from functools import partial

from audit.actions import Action
from audit.trail import record
from audit.verbs import verb
from config.edge.access import Access
from config.edge.refusals import Conflict
from fleets import organizations
from fleets.access import PersonAccess
from fleets.models import Fleet, Organization, User
from tokens.demo import estate, governance, inventory, lives, plans
from tokens.demo.script import BRIGHTWATER, KESTREL
from tokens.demo.stage import ADMINISTRATOR, Stage
from tokens.models import Token
from tokens.secret import Secret


@dataclass(frozen=True)
class Filled:
    """What was made. `secret` is that of a token that reads the machines of `fleet`."""

    organization: Organization
    user: User
    fleet: Fleet | None = None
    secret: Secret | None = field(default=None, repr=False)


@verb(Action.DEMO_FILLED)
def open_empty(*, username: str, password: str, by: Access) -> Filled:
    """One superuser who owns one organization, and nothing else."""
    _require_empty()
    user = User.objects.create_superuser(username, password, name="Administrator")
    organization = organizations.open_organization(
        slug="main", name="My organization", owner=user, by=PersonAccess(user)
    )
    record(Action.DEMO_FILLED, by=by, target=organization, data={"empty": True})
    return Filled(organization, user)


@verb(Action.DEMO_FILLED)
def fill(*, username: str, password: str, by: Access) -> Filled:
    """Two companies with four months of history; the superuser owns the first."""
    _require_empty()
    stage = Stage(username)
    stage.soon(ADMINISTRATOR, partial(estate.begin, stage, password))
    for company, tokens in ((BRIGHTWATER, plans.BRIGHTWATER), (KESTREL, plans.KESTREL)):
        estate.write_company(stage, company)
        for plan in tokens:
            lives.write_token(stage, company, plan)
    governance.write_governance(stage, BRIGHTWATER)
    estate.write_daily_life(stage)
    inventory.write_inventory(stage)
    stage.timeline.play()
    organization = stage.organizations[BRIGHTWATER.slug]
    record(Action.DEMO_FILLED, by=by, target=organization, data={"tokens": Token.objects.count()})
    shown = plans.BRIGHTWATER[0]
    fleet = stage.fleets[BRIGHTWATER.slug, shown.owner.removeprefix("fleet:")]
    return Filled(organization, stage.people[username], fleet, stage.secrets[shown])


def _require_empty() -> None:
    if User.objects.exists() or Organization.objects.exists():
        raise Conflict("The database is not empty; the demo is only for a new one.", code="not_empty")
