"""What another risk of scopes means for the tokens that hold them: theirs is stored, and becomes another with it."""

from itertools import groupby
from operator import attrgetter

from django.db.models import Case, Exists, F, OuterRef, PositiveSmallIntegerField, Q, Value, When

from audit.actions import Action
from audit.trail import record_all
from config.edge.access import Access
from fleets import currency
from fleets.models import Organization
from fleets.organization_policy import OrganizationPolicy
from fleets.scopes import Risk, Scope
from tokens.models import Token, TokenScope


def risks_changed(organization: Organization, rules: OrganizationPolicy, reason: str, by: Access) -> None:
    """For the verb that holds the organization's lock and has changed the risk of scopes: every token that has not
    ended is as risky as its ceiling is now, and says so in the trail.

    Ceilings are written under that lock too (`waiting.rules_under_lock`), so that none is missed. What waits about a
    token stays as it was asked for; whether it can still be decided is asked then.
    """
    theirs = Token.objects.filter(organization=organization).not_ended()
    others = theirs.annotate(becomes=risk_under(rules)).exclude(risk=F("becomes"))
    locked = currency.lock_all(others)
    pair = attrgetter("risk", "becomes")
    for (was, becomes), rows in groupby(sorted(locked, key=pair), key=pair):
        changed = list(rows)
        currency.change_all(changed, risk=becomes)
        data = {"changes": {"risk": [Risk(was).label, Risk(becomes).label]}}
        record_all(Action.TOKEN_EDITED, by=by, targets=changed, reason=reason, data=data)


def risk_under(rules: OrganizationPolicy) -> Case:
    """The risk of a token of the organization whose policy it is, in a query: as `risk.risk_of`."""
    return Case(
        When(Q(privilege_separation=False) | _holds(Risk.HIGH, rules), then=Value(Risk.HIGH.value)),
        When(_holds(Risk.MEDIUM, rules), then=Value(Risk.MEDIUM.value)),
        default=Value(Risk.LOW.value),
        output_field=PositiveSmallIntegerField(),
    )


def _holds(risk: Risk, rules: OrganizationPolicy) -> Exists:
    scopes = [scope for scope in Scope if rules.risk_of(scope) is risk]
    return Exists(TokenScope.objects.filter(token=OuterRef("pk"), scope__in=scopes))
