"""How the first company is governed: since when approvals are needed, who decided what, and a night of an emergency."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from approvals import decisions, requests
from approvals.models import ApprovalRequest
from config.edge.clock import now
from fleets import organizations
from fleets.access import PersonAccess, system
from fleets.models import Organization
from fleets.scopes import parse_scopes
from tokens import emergency, lifecycle
from tokens.demo.lives import visit
from tokens.demo.plans import (
    BRIGHTWATER,
    CRANES,
    HANNA,
    NIGHTLY_RUN,
    PHONE,
    PRIYA,
    RUNBOOK,
    SOFIA,
)
from tokens.demo.script import Company, Decided, TokenPlan
from tokens.demo.stage import Stage
from tokens.demo.timeline import Scene
from tokens.lifecycle import Edit
from tokens.models import Token
from tokens.wishes import Wish

APPROVALS_SINCE = 12.4  # days ago
HALF_TIME = 1.5  # days after a request was opened
TIMERS = "timers"


def write_governance(stage: Stage, company: Company) -> None:
    founder = company.founder.username
    stage.at(APPROVALS_SINCE, founder, partial(_ask_for_approvals, stage, company))
    for plan in BRIGHTWATER:
        if plan.decided:
            _write_decision(stage, plan, plan.days_ago, plan.decided)
    _write_widenings(stage)
    _write_emergency(stage, company)


def _write_widenings(stage: Stage) -> None:
    """One that was agreed to, and one that waits."""
    longer = partial(_lengthen, 90)
    _write_change(stage, RUNBOOK, 5.3, SOFIA, "The night shifts stay until the summer", longer)
    _write_decision(stage, RUNBOOK, 5.3, Decided("approve", 5.12, HANNA, "As agreed in the shift meeting"))
    more = partial(_let_do_more, "machines:configure")
    _write_change(stage, NIGHTLY_RUN, 0.9, PRIYA, "The nightly run shall set up networks too", more)


def _write_emergency(stage: Stage, company: Company) -> None:
    """The line to the harbour was down: for an hour and a half the cranes reported over the mobile network."""
    visit(stage, company, CRANES, 4.36, PHONE)
    stage.at(4.34, "admin", partial(_start_emergency, stage))
    for days_ago in (4.33, 4.31, 4.29):
        visit(stage, company, CRANES, days_ago, PHONE)
    stage.at(4.27, "admin", partial(_stop_emergency, stage))
    visit(stage, company, CRANES, 4.26, PHONE)


def _write_change(
    stage: Stage, plan: TokenPlan, days_ago: float, by: str, reason: str, edit: Callable[[Token], Edit]
) -> None:
    stage.at(days_ago, by, partial(_edit, stage, plan, by, reason, edit))


def _write_decision(stage: Stage, plan: TokenPlan, opened: float, decided: Decided) -> None:
    if decided.what == "lapse":
        for days_ago, act in ((opened - HALF_TIME, _remind), (decided.days_ago, _lapse)):
            stage.timeline.add(stage.until - timedelta(days=days_ago), Scene(), partial(act, stage, plan))
    else:
        stage.at(decided.days_ago, decided.by, partial(_decide, stage, plan, decided))


def _ask_for_approvals(stage: Stage, company: Company) -> None:
    organizations.set_policy(
        Organization.objects.get(slug=company.slug),
        changes={"approvals_needed": {"high": 1}},
        reason="Since Hanna is here, somebody else can look at what is risky",
        by=stage.person(company.founder.username),
    )


def _decide(stage: Stage, plan: TokenPlan, decided: Decided) -> None:
    request = _request(stage, plan)
    verb = decisions.approve if decided.what == "approve" else decisions.reject
    verb(request, digest=request.diff_digest, comment=decided.comment, by=stage.person(decided.by))


def _remind(stage: Stage, plan: TokenPlan) -> None:
    requests.remind(_request(stage, plan), by=system(TIMERS))


def _lapse(stage: Stage, plan: TokenPlan) -> None:
    requests.lapse(_request(stage, plan), by=system(TIMERS))


def _edit(stage: Stage, plan: TokenPlan, by: str, reason: str, edit: Callable[[Token], Edit]) -> None:
    token = _token(stage, plan)
    lifecycle.edit(token, change=edit(token), reason=reason, by=stage.person(by))


def _lengthen(days: int, token: Token) -> Edit:
    assert token.expires_at
    return Edit(expires_at=token.expires_at + timedelta(days=days))


def _let_do_more(scope: str, token: Token) -> Edit:
    return Edit(wish=Wish(scopes=parse_scopes([*token.scopes, scope])))


def _start_emergency(stage: Stage) -> None:
    reason = "The line to the harbour is down; the cranes report over the mobile network until it is back"
    emergency.start(_token(stage, CRANES), hours=2, reason=reason, by=_checked(stage))


def _stop_emergency(stage: Stage) -> None:
    emergency.stop(_token(stage, CRANES), reason="The line is back", by=_checked(stage))


def _checked(stage: Stage) -> PersonAccess:
    """Whoever runs the installation, who has just given their password."""
    return PersonAccess(stage.person("admin").user, checked_at=now())


def _request(stage: Stage, plan: TokenPlan) -> ApprovalRequest:
    return ApprovalRequest.objects.open().get(subject_type="token", subject_id=stage.tokens[plan])


def _token(stage: Stage, plan: TokenPlan) -> Token:
    return Token.objects.presented().get(pk=stage.tokens[plan])
