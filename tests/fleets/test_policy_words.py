"""The policy in words, of which pages, requests and their mails have the same."""

from typing import Any

import pytest

from fleets.organization_policy import DEFAULT
from fleets.policy_words import LABELS, change_in_words, whole


@pytest.mark.parametrize(
    ("part", "before", "after", "words"),
    [
        ("unused_limit_days", 1, 2, ("Disabled when unused", "after 1 day", "after 2 days")),
        ("unused_limit_days", None, 1, ("Disabled when unused", "never", "after 1 day")),
        ("maximum_lifetime_days", None, 1, ("Longest lifetime", "no limit", "1 day")),
        ("request_hours", 1, 24, ("Requests stay open", "1 hour", "24 hours")),
        ("approvals_needed.high", 2, 0, ("Approvals for high risk", "2", "none")),
        ("networks_required.low", True, False, ("Allowed networks are needed for low risk", "yes", "no")),
        (
            "allowed_kinds.member",
            None,
            ["personal", "technical_user"],
            ("Kinds of tokens of members", "all", "personal, technical user"),
        ),
        ("scope_ceilings.admin", [], None, ("Scopes of personal tokens of admins", "none", "all")),
        ("scope_risks.files:read", None, "high", ("Risk of files:read", "as built in", "high")),
        ("scope_risks.files:read", "high", None, ("Risk of files:read", "high", "as built in")),
        (
            "scope_risks",
            {"files:read": None, "introspect": None},
            {"files:read": "high", "introspect": "medium"},
            ("Risks of scopes", "as built in", "files:read high, introspect medium"),
        ),
        ("deciders", ["approver", "owner"], ["owner"], ("Who decides", "approvers and owners", "owners")),
    ],
)
def test_a_part_that_changes_says_what_it_was_and_becomes(
    part: str, before: Any, after: Any, words: tuple[str, str, str]
) -> None:
    assert change_in_words(part, before, after) == words


def test_every_part_has_its_name() -> None:
    assert LABELS.keys() == DEFAULT.as_json().keys()
    assert len(whole(DEFAULT)) == len(LABELS)
