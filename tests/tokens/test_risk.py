"""How risky a token is, and what counts as a reason."""

import pytest

from config.edge.parsing import has_words
from config.edge.refusals import Invalid
from fleets.organization_policy import DEFAULT, parsed
from fleets.scopes import BUILT_IN_RISK, Risk, Scope, parse_scopes
from tokens.risk import require_reason, risk_of


@pytest.mark.parametrize(
    ("scopes", "risk"),
    [
        ([], Risk.LOW),
        (["machines:read"], Risk.LOW),
        (["machines:read", "machines:operate"], Risk.MEDIUM),
        (["machines:operate", "machines:configure", "machines:read"], Risk.HIGH),
        (list(Scope), Risk.HIGH),
    ],
)
def test_a_token_is_as_risky_as_the_riskiest_scope_of_its_ceiling(scopes: list[str], risk: Risk) -> None:
    assert risk_of(parse_scopes(scopes), DEFAULT, privilege_separation=True) is risk


@pytest.mark.parametrize("scope", list(Scope))
def test_each_scope_alone_has_its_own_risk_and_without_separation_the_highest(scope: Scope) -> None:
    assert risk_of([scope], DEFAULT, privilege_separation=True) is BUILT_IN_RISK[scope]
    assert risk_of([scope], DEFAULT, privilege_separation=False) is Risk.HIGH


def test_a_scope_that_is_riskier_to_the_organization_makes_its_tokens_riskier() -> None:
    rules = parsed({"scope_risks": {"machines:read": "medium", "machines:operate": "high"}}, before=DEFAULT)

    assert risk_of([Scope.MACHINES_READ], rules, privilege_separation=True) is Risk.MEDIUM
    assert (
        risk_of([Scope.MACHINES_READ, Scope.MACHINES_OPERATE], rules, privilege_separation=True) is Risk.HIGH
    )
    assert risk_of([Scope.INTROSPECT], rules, privilege_separation=True) is Risk.LOW
    assert risk_of([Scope.INTROSPECT], rules, privilege_separation=False) is Risk.HIGH


@pytest.mark.parametrize("risk", list(Risk))
@pytest.mark.parametrize(
    "reason", ["", " ", "\n\t", "\u200b\u200d\ufeff", "\u3164\u2800", "\x00", "x", "理由"]
)
def test_more_than_low_risk_needs_a_reason_that_can_be_seen(risk: Risk, reason: str) -> None:
    if risk is Risk.LOW or has_words(reason):
        require_reason(risk, reason)
        return
    with pytest.raises(Invalid) as refused:
        require_reason(risk, reason)
    assert [(error.field, error.code) for error in refused.value.errors] == [("reason", "required")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("On call", True),
        ("x", True),
        ("4711", True),
        ("…", True),
        ("€", True),
        ("\u00e9", True),
        ("", False),
        ("   ", False),
        ("\u00a0\u2003\u3000", False),
        ("\u200b\u200c\u2060\u00ad", False),
        ("\u202e\u2066", False),
        ("\u115f\u1160\u3164\uffa0\u2800", False),
        ("\u0301", False),
        ("\u3164x", True),
    ],
)
def test_what_nobody_can_see_says_nothing(text: str, says: bool) -> None:
    assert has_words(text) is says
