"""What a token may do at a path, and the entry that gives each scope."""

from typing import Any

from fleets import holdings
from fleets.authority import TokenRights
from fleets.scopes import RISK_OF, Scope
from tokens.models import Token
from tokens.rights import ceiling_of, rows_of


def permissions_of(token: Token, path: str) -> dict[str, Any]:
    """`{path, scopes, given_by: [{scope, risk, path, role, propagate}], paths}`: `paths` are those named by rows."""
    rights = rights_of_token(token)
    scopes = sorted(rights.at(path))
    rows = rights.winning(path)
    given_by = [
        {
            "scope": scope,
            "risk": RISK_OF[Scope(scope)].label,
            **next(
                (
                    {"path": row.path, "role": row.role or None, "propagate": row.propagate}
                    for row in rows
                    if scope in row.scopes
                ),
                {"path": None, "role": None, "propagate": None},  # by the principal's rights alone
            ),
        }
        for scope in scopes
    ]
    return {
        "path": path,
        "scopes": scopes,
        "given_by": given_by,
        "paths": sorted(row.path for row in rights.rows or ()),
    }


def rights_of_token(token: Token) -> TokenRights:
    ceiling = ceiling_of(token)
    principal = holdings.principal_of(token.principal, token.organization_id)
    return TokenRights(ceiling, rows_of(token, ceiling), principal.rights)
