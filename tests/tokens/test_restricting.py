"""Who restricts a token, why, and that no token lets out more than it may itself."""

import pytest

from config.edge.refusals import Invalid
from tests.factories import acting, events, make_token, operator, session
from tests.tokens.conftest import World
from tests.tokens.issuing import REASON, issue, present, wish
from tests.tokens.waiting import AT_HOME, STRICT, refusal
from tokens import lifecycle, restrictions
from tokens.changes import Edit
from tokens.restrictions import Restrictions, parse_networks, parse_rate


@pytest.mark.parametrize("by", ["manager", "operator"])
def test_another_restriction_always_says_why(world: World, by: str) -> None:
    issued = make_token(world.edge, "machines:read")
    access = operator if by == "operator" else session(world.manager)

    for blank in ("", " \n", "\u200b", "\u3164"):
        with pytest.raises(Invalid) as refused:
            lifecycle.restrict(present(issued), restrictions=AT_HOME, reason=blank, by=access)
        assert refused.value.errors[0].field == "reason"
    assert present(issued).restrictions == restrictions.UNRESTRICTED

    lifecycle.restrict(present(issued), restrictions=AT_HOME, reason="Only from here", by=access)
    assert present(issued).restrictions == AT_HOME


def test_what_a_token_issues_is_restricted_no_less_than_itself(world: World, at_home: None) -> None:
    parent = make_token(world.manager, "tokens:manage", "machines:read", restrictions=STRICT)
    reads = wish("machines:read")
    narrower = Restrictions(networks=parse_networks(["127.0.0.1"]))

    silent = issue(acting(parent), world.edge, reads).token
    asked = issue(acting(parent), world.edge, reads, restrictions=narrower).token

    assert silent.restrictions == STRICT
    assert asked.restrictions == Restrictions(narrower.networks, STRICT.rate, STRICT.windows)
    for looser in (
        Restrictions(networks=parse_networks(["127.0.0.0/8", "10.0.0.1"])),
        Restrictions(rate=parse_rate("1001/second")),
        Restrictions(rate=parse_rate("1001/minute"), networks=parse_networks(["0.0.0.0/0"])),
    ):
        assert refusal(issue, acting(parent), world.edge, reads, restrictions=looser) == "looser_than_issuer"
    assert events(action="token.issued", outcome="denied") == ["token.issued denied"] * 3


def test_a_token_neither_widens_nor_rotates_what_is_restricted_less_than_itself(
    world: World, at_home: None
) -> None:
    open_ = make_token(world.edge, "machines:read")
    shut = make_token(world.edge, "machines:read", restrictions=AT_HOME)
    parent = make_token(
        world.manager, "tokens:manage", "machines:read", "snapshots:read", restrictions=AT_HOME
    )
    more = Edit(wish=wish("machines:read", "snapshots:read"))

    assert refusal(lifecycle.edit, present(open_), change=more, by=acting(parent)) == "looser_than_issuer"
    assert refusal(lifecycle.rotate, present(open_), by=acting(parent)) == "looser_than_issuer"
    loosen = {"restrictions": restrictions.UNRESTRICTED, "reason": REASON}
    assert refusal(lifecycle.restrict, present(shut), **loosen, by=acting(parent)) == "looser_than_issuer"

    lifecycle.edit(present(shut), change=more, by=acting(parent))
    lifecycle.rotate(present(shut), by=acting(parent))
    assert present(shut).scopes == ["machines:read", "snapshots:read"]
