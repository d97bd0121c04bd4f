"""What a token may do at a path, and the entry that gives each scope."""

from typing import Any

from fleets import holdings
from fleets.authority import PrincipalRights, TokenRights
from fleets.organization_policy import policy_of
from fleets.scopes import Scope
from tokens.models import Token
from tokens.rights import ceiling_of, rows_of
from tokens.rules import kept


def permissions_of(token: Token, path: str) -> dict[str, Any]:
    """`{path, scopes, given_by: [{scope, risk, path, role, propagate}], paths}`: `paths` are those named by rows."""
    rules = policy_of(token.organization)
    ceiling = kept(ceiling_of(token), token, rules)
    principal = holdings.principal_of(token.principal, token.organization_id).rights
    rights = TokenRights(ceiling, rows_of(token, ceiling), principal)
    scopes = sorted(rights.at(path))
    return {
        "path": path,
        "scopes": scopes,
        "given_by": [
            {
                "scope": scope,
                "risk": rules.risk_of(Scope(scope)).label,
                **_giver(Scope(scope), rights, principal, path),
            }
            for scope in scopes
        ],
        "paths": sorted(row.path for row in rights.rows or ()),
    }


def _giver(scope: Scope, rights: TokenRights, principal: PrincipalRights, path: str) -> dict[str, Any]:
    """The token's own row; without privilege separation the entry that names its principal, or what that one is."""
    for row in (*rights.winning(path), *principal.winning(path)):
        if scope in row.scopes:
            return {"path": row.path, "role": row.role or None, "propagate": row.propagate}
    for holding in reversed(principal.holdings_at(path)):
        if scope in holding.scopes:
            return {"path": holding.path, "role": None, "propagate": holding.propagate}
    return {"path": None, "role": None, "propagate": None}  # a superuser's
