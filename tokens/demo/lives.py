"""The lives of the demo's tokens: issued, used by their clients for a month, rotated, disabled, revoked."""

from datetime import datetime, timedelta
from functools import partial

from config.edge.clock import now
from fleets import entries, machines
from fleets.authority import role_scopes
from fleets.models import Machine, Organization
from fleets.paths import ROOT
from fleets.scopes import AREA, Scope, parse_scopes
from tokens import expiry, issuance, lifecycle, owners, secret, verification
from tokens.authentication import TokenAccess
from tokens.credentials import Credential
from tokens.decision import Ask
from tokens.demo.script import Client, Company, TokenPlan, Turn
from tokens.demo.stage import MINUTE, Stage
from tokens.demo.timeline import Scene
from tokens.issuance import Expiry, Wish
from tokens.models import Token
from tokens.restrictions import Restrictions, parse_networks, parse_rate, parse_windows

MONTH = 31  # days of use
ON_MACHINES = {
    "machines",
    "snapshots",
    "commands",
    "files",
    "agent",
}  # areas whose scopes are used on a machine


def write_token(stage: Stage, company: Company, plan: TokenPlan) -> None:
    stage.at(plan.days_ago, plan.by, partial(_issue, stage, company, plan))
    for turn in plan.turns:
        stage.at(turn.days_ago, turn.by, partial(_turn, stage, plan, turn))
    for start in _visits(stage, plan):
        visit = _Visit(stage, company, plan)
        acts = [visit.begin, *[visit.go_on] * (plan.pace.calls - 1)]
        scene = Scene(plan.client.address, plan.client.agent, "GET", "/api/v1/machines/")
        stage.timeline.add(start, scene, *acts, gap=timedelta(seconds=stage.chance.choice((1, 2, 3, 20))))


def _issue(stage: Stage, company: Company, plan: TokenPlan) -> None:
    organization = Organization.objects.get(slug=company.slug)  # with the policy of the day
    wish = Wish(
        scopes=parse_scopes(plan.scopes) if plan.scopes else None,
        role=plan.role,
        machines=tuple(stage.machines[name].pk for name in plan.machines) or None,
        extended=frozenset(plan.extended) or None,
        privilege_separation=plan.separated,
    )
    issued = issuance.issue(
        organization,
        owner=owners.one(stage.name(plan.owner), organization, None),
        name=plan.name,
        description=plan.purpose,
        wish=wish,
        expiry=Expiry(lifetime=expiry.parse_expires_in(plan.lifetime)) if plan.lifetime else None,
        rotate_every=timedelta(days=plan.rotate_days) if plan.rotate_days else None,
        restrictions=restrictions_of(plan),
        reason=plan.purpose,
        by=stage.person(plan.by),
    )
    stage.tokens[plan], stage.secrets[plan] = issued.token.pk, issued.secret
    for path, role in plan.entries:
        boss = stage.person(company.boss)
        entries.set_entry(organization, path=path, role=role, user=issued.token.principal, by=boss)


def restrictions_of(plan: TokenPlan) -> Restrictions:
    windows = [{"days": list(days), "start": start, "end": end} for days, start, end in plan.windows]
    return Restrictions(
        parse_networks(list(plan.networks)) if plan.networks else None,
        parse_rate(plan.rate) if plan.rate else None,
        parse_windows(windows) if windows else None,
    )


def visit(stage: Stage, company: Company, plan: TokenPlan, at: float, client: Client) -> None:
    """Days ago, once, another program comes with the token than the one that it was made for."""
    start, coming = stage.until - timedelta(days=at), _Visit(stage, company, plan, client)
    scene = Scene(client.address, client.agent, "GET", "/api/v1/machines/")
    stage.timeline.add(start, scene, coming.begin, coming.go_on)


def _turn(stage: Stage, plan: TokenPlan, turn: Turn) -> None:
    token = Token.objects.presented().get(pk=stage.tokens[plan])
    by = stage.person(turn.by)
    if turn.what == "rotate":
        overlap = timedelta(hours=turn.overlap_hours)
        stage.secrets[plan] = lifecycle.rotate(token, overlap=overlap, by=by).secret
    elif turn.what == "revoke_itself":
        proven = verification.prove(_credential(stage, plan))
        assert proven is not None
        lifecycle.revoke(token, by=TokenAccess(proven))
    else:
        verbs = {"disable": lifecycle.disable, "enable": lifecycle.enable, "revoke": lifecycle.revoke}
        verbs[turn.what](token, reason=turn.reason, by=by)


def _visits(stage: Stage, plan: TokenPlan) -> list[datetime]:
    """The instants within the last month at which the client comes."""
    pace = plan.pace
    works_since = plan.decided.days_ago if plan.decided else plan.days_ago
    first = stage.until - timedelta(days=min(works_since, MONTH)) + 10 * MINUTE
    last = stage.until - timedelta(days=plan.last_use)
    starts = []
    for day in range(MONTH + 1):
        if stage.chance.random() >= pace.visits_a_day:
            continue
        midnight = (stage.until - timedelta(days=day)).replace(hour=0, minute=0, second=0)
        seconds = stage.chance.randrange(pace.hours[0] * 3600, pace.hours[1] * 3600)
        start = midnight + timedelta(seconds=seconds, microseconds=stage.chance.randrange(10**6))
        is_workday = start.weekday() < 5 or not pace.only_weekdays
        if first <= start <= last and is_workday:
            starts.append(start)
    return [*starts, last] if plan.last_use else starts  # the last call finds out that it is over


def _credential(stage: Stage, plan: TokenPlan) -> Credential:
    return Credential(secret.parse(stage.secrets[plan].reveal()), "bearer")


def _machine_of(stage: Stage, plan: TokenPlan, company: Company) -> Machine | None:
    """One of the machines that the client asks for."""
    slug = plan.fleet or plan.owner.removeprefix("fleet:")
    named = [stage.machines[name] for name in plan.machines if name in stage.machines]
    fleet = stage.fleets.get((company.slug, slug))
    of_fleet = [machine for machine in stage.machines.values() if fleet and machine.fleet_id == fleet.pk]
    return stage.chance.choice(named or of_fleet) if fleet or named else None


class _Visit:
    """A client's few calls in a row with one token: the first proves it, the others follow in the same minute."""

    def __init__(self, stage: Stage, company: Company, plan: TokenPlan, client: Client | None = None) -> None:
        self.stage, self.company, self.plan = stage, company, plan
        self.client = client or plan.client
        self.proven: verification.Proven | None = None
        self.scope: str = ""
        self.machine: Machine | None = None
        self.path = ROOT

    def begin(self) -> None:
        self._choose()
        ask = Ask(self.scope, self.path, now(), self.client.address)
        proven, verdict = verification.verify(_credential(self.stage, self.plan), ask)
        if proven and verdict.is_allowed:
            self.proven = proven
            self._use(proven)

    def go_on(self) -> None:
        if self.proven:
            self._use(self.proven)

    def _use(self, proven: verification.Proven) -> None:
        verification.record_use(proven, scope=self.scope, path=self.path)
        if self.scope == Scope.MACHINES_OPERATE and self.machine and self.stage.chance.random() < 0.3:
            action = self.stage.chance.choice(("restart", "restart", "start", "stop"))
            machines.request_action(self.machine, action=action, by=TokenAccess(proven))

    def _choose(self) -> None:
        """Mostly what the token is for; now and then something that it may not do."""
        chance, plan = self.stage.chance, self.plan
        scopes = plan.scopes or sorted(role_scopes(plan.role or "", ROOT))
        self.scope = chance.choice([scopes[0], *scopes])
        if chance.random() < 0.025:
            self.scope = Scope.MACHINES_CONFIGURE
        self.machine = _machine_of(self.stage, plan, self.company)
        if self.machine and AREA[Scope(self.scope)] in ON_MACHINES:
            self.path = self.machine.path
        elif plan.owner.startswith("fleet:") and self.machine:
            self.path = self.machine.fleet.path
