"""One text for one diff, one digest for one text; and a handler for every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals import subjects
from approvals.models import ApprovalRequest
from approvals.subjects import Proposal, canonical, check_registered, digest_of
from fleets.scopes import Risk

texts = st.text(st.characters(codec="utf-8"), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
diffs = st.dictionaries(texts, values, max_size=4)


def test_a_diff_is_written_in_one_way() -> None:
    diff = {"b": [1, None], "a": {"é": True, "Z": "„"}}

    assert canonical(diff) == '{"a":{"Z":"„","é":true},"b":[1,null]}'
    assert digest_of(diff) == Proposal(Risk.LOW, diff).digest
    assert digest_of({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"a": float("nan")})


@given(diffs, diffs)
def test_two_diffs_have_one_digest_only_if_they_are_the_same(
    one: dict[str, object], other: dict[str, object]
) -> None:
    assert digest_of(one) == digest_of(dict(reversed(one.items())))
    assert (digest_of(one) == digest_of(other)) == (repr_of(one) == repr_of(other))


def repr_of(value: object) -> str:
    """Python takes True for 1, JSON does not."""
    if isinstance(value, dict):
        return repr(sorted((key, repr_of(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return repr([repr_of(inner) for inner in value])
    return repr(value)


def test_a_kind_that_nobody_knows_is_an_error_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_registered() == []
    assert set(subjects._handlers) == set(ApprovalRequest.Kind)

    monkeypatch.setattr(subjects, "_handlers", {"policy_change": None})

    [error] = check_registered()
    assert (error.id, "token_issue, token_change" in str(error.msg)) == ("tokenhouse.E013", True)
