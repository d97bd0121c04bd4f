"""Nobody exceeds themselves: what whoever issues, widens or rotates a token may give.

What a verb asks here is asked under the locks of `lock_owner`, with rights that were read after them.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, QuerySet

from config.edge.access import Access
from config.edge.clock import now
from config.edge.refusals import Conflict, Refused, require
from fleets.authority import PrincipalRights, exceeding
from fleets.models import Application, Membership, Organization, OwnedByOrganization, User
from fleets.organization_policy import policy_of
from fleets.paths import ROOT
from tokens import policy, restrictions
from tokens.kinds import Owner, kind_of
from tokens.models import Token
from tokens.restrictions import Restrictions
from tokens.rules import effective_expiry
from tokens.wishes import Expiry, Settled, issuing_token, settled_of


def lock_list(organization: Organization, owner: Owner) -> Model | None:
    """Lock the row behind which all of an owner's tokens queue: whoever adds one, gives one a new secret, ends all of
    them or takes the owner away. None where nothing of the owner is there any more."""
    rows: QuerySet[Any]
    if isinstance(owner, OwnedByOrganization):
        rows = type(owner)._default_manager.filter(pk=owner.pk, organization=organization)
    elif isinstance(owner, Organization):
        rows = Organization.objects.filter(pk=organization.pk)
    elif owner.is_person:
        here = Membership.objects.present().filter(user=owner, organization=organization)
        rows = here.select_related("user")
    else:
        rows = User.objects.filter(pk=owner.pk, technical__organization=organization)
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_owner(organization: Organization, owner: Owner, by: Access) -> None:
    """Queue behind a departure or closing that is under way; Conflict where it has happened.

    It may have changed what the caller holds, so that is read again.
    """
    if not _is_there(lock_list(organization, owner)):
        if not isinstance(owner, User):
            raise Conflict(f"This {kind_of(owner)} is closed.", code="owner_closed")
        who = (
            "person is no active member of the organization"
            if owner.is_person
            else "technical user was removed"
        )
        raise Conflict(f"This {who}.", code="owner_inactive")
    by.refresh()


def _is_there(row: Model | None) -> bool:
    if isinstance(row, OwnedByOrganization):
        return row.closed_at is None
    if isinstance(row, Membership):
        return row.suspended_at is None and row.user.is_live()
    return row.is_live() if isinstance(row, User) else row is not None


def require_within(
    organization: Organization, owner: Owner, settled: Settled, principal: PrincipalRights, by: Access
) -> None:
    """Refuse a token that could do what its issuer can't; or that, should its principal's rights grow, could do what
    the token that issues it could not.

    An application's owners hold nothing of what its tokens can do: an admin gave that to the technical user which the
    token acts as, knowing that its secrets and its ceiling are the owners' to have and to widen. A new one has nothing.
    """
    if by.is_operator:
        return
    if not (isinstance(owner, Application) and policy.owns(by, owner)):
        held = by.rights(organization.pk)
        _refuse([(scope, ROOT) for scope in sorted(settled.ceiling - held.anywhere)])
        _refuse(exceeding(settled.effective(organization.pk, principal), held))
    if issuer := issuing_token(by):
        _refuse(exceeding(settled.granted, settled_of(issuer).granted))


def bounded(expiry: Expiry | None, default: timedelta, by: Access) -> Expiry:
    """The expiry, never beyond that of a token that issues: the default shrinks to it, asking for more is refused."""
    limit = _limit(by)
    if limit is None:
        return expiry or Expiry(lifetime=default)
    if expiry is None:
        return Expiry(at=min(limit, now() + default))
    end = expiry.at if expiry.lifetime is None else now() + expiry.lifetime
    require_no_later(end, by)
    return Expiry(at=end)  # an instant: an approval later on must not move it past the limit


def require_no_later(expires_at: datetime | None, by: Access) -> None:
    """Refuse to a token that it gives what outlives it."""
    limit = _limit(by)
    is_within = limit is None or (expires_at is not None and expires_at <= limit)
    require(is_within, "A token gives nothing that outlives it.", "outlives_issuer")


def inherited(asked: Restrictions, by: Access) -> Restrictions:
    """The restrictions of what is issued: of a token's child those that are missing are the token's own."""
    issuer = issuing_token(by)
    if issuer is None:
        return asked
    whole = restrictions.inherited(asked, issuer.restrictions)
    require_no_looser(whole, by)
    return whole


def require_no_looser(asked: Restrictions, by: Access) -> None:
    """Refuse to a token that it gives what is restricted less than itself."""
    issuer = issuing_token(by)
    if issuer and (words := restrictions.exceeding(asked, issuer.restrictions)):
        raise Refused(
            f"A token gives nothing that is restricted less than itself: {words[0]}.",
            code="looser_than_issuer",
        )


def _limit(by: Access) -> datetime | None:
    if by.token_id is None:
        return None
    token = Token.objects.select_related("organization").get(pk=by.token_id)
    return effective_expiry(token, policy_of(token.organization))


def _refuse(pairs: list[tuple[str, str]]) -> None:
    if pairs:
        scope, path = pairs[0]
        raise Refused(f"You do not hold {scope} on {path}, so you can't give it.", code="exceeds_your_rights")
