"""How an organization's policy is described: each part, what it means, and what it may be. Reading it is elsewhere."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.edge.serializers import StrictSerializer
from fleets.organization_policy import (
    DECIDERS,
    KINDS,
    LONGEST_LIFETIME,
    LONGEST_REQUEST,
    MOST_APPROVALS,
    ROLES,
)
from fleets.scopes import Risk, Scope

Schema = dict[str, Any]
RISKS = [risk.label for risk in Risk]


def _whole(least: int, most: int, *, or_none: bool = False) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most, **({"nullable": True} if or_none else {})}


def _some_of(choices: tuple[str, ...], **more: Any) -> Schema:
    items = {"type": "string", "enum": [str(choice) for choice in choices]}
    return {"type": "array", "uniqueItems": True, "items": items, **more}


def _each(keys: list[str], of: Schema) -> Schema:
    return _object(dict.fromkeys(keys, of))


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _risk_of(scope: Scope) -> Schema:
    raised = [risk.label for risk in Risk if risk >= scope.built_in_risk]
    return {"type": "string", "nullable": True, "enum": [*raised, None]}


PARTS: dict[str, Schema] = {
    "default_lifetime_days": {
        **_whole(1, LONGEST_LIFETIME),
        "description": "Of tokens that are issued without saying when they end; at most the maximum.",
    },
    "maximum_lifetime_days": {
        **_whole(1, LONGEST_LIFETIME, or_none=True),
        "description": "No token works longer, from its approval on, whenever it was issued. null: no limit.",
    },
    "never_allowed": {"type": "boolean", "description": "Whether tokens may be without an end."},
    "unused_limit_days": {
        **_whole(1, LONGEST_LIFETIME, or_none=True),
        "description": "Tokens that were not used for so long are disabled. null: never.",
    },
    "networks_required": {
        **_each(RISKS, {"type": "boolean"}),
        "description": "Per risk: whether a token needs allowed networks. 0.0.0.0/0 and ::/0 are none.",
    },
    "allowed_kinds": {
        **_each(list(ROLES), _some_of(KINDS, nullable=True)),
        "description": "Per organization role: the kinds of tokens that its people may issue, and have. null: all.",
    },
    "scope_ceilings": {
        **_each(list(ROLES), _some_of(tuple(Scope), nullable=True)),
        "description": "Per organization role: the most that its people's personal tokens may do. null: no limit.",
    },
    "scope_risks": {
        **_object({scope.value: _risk_of(scope) for scope in Scope}),
        "description": "Per scope: how risky it is here, never less than it is built in. null: as built in. What is "
        "raised holds at once for the tokens that there are, too.",
    },
    "approvals_needed": {
        **_each(RISKS, _whole(0, MOST_APPROVALS)),
        "description": "Per risk: how many people have to approve a token, and what widens one.",
    },
    "deciders": {
        **_some_of(tuple(DECIDERS), minItems=1),
        "description": "The organization roles whose people decide, where no entry denies it to them.",
    },
    "request_hours": {
        **_whole(1, LONGEST_REQUEST),
        "description": "How long a request for approval stays open.",
    },
    "narrowing_allowed": {
        "type": "boolean",
        "description": "Whether less than was asked for can be approved.",
    },
    "self_approval": {
        "type": "boolean",
        "description": "Whether people may approve what they asked for themselves.",
    },
}


@extend_schema_field({"type": "object", "additionalProperties": False, "properties": PARTS})
class PolicyChanges(serializers.DictField):
    """The parts to change, of maps the keys to change; the others stay. The verb reads and judges them."""


@extend_schema_field({"type": "object", "properties": PARTS, "required": list(PARTS)})
class Policy(serializers.SerializerMethodField):
    """The whole policy, as `organization_policy` writes it."""


class Waiting(StrictSerializer):
    """The answer where something waits for approval. What else was asked for at the same time is done."""

    approval = serializers.UUIDField(read_only=True, help_text="The request for approval that it waits for.")
