"""How requests for approval are written in JSON, and what the verbs on them take."""

from dataclasses import dataclass
from typing import Any

from rest_framework import serializers

from approvals.models import ApprovalRequest, Decision
from approvals.standing import Standing
from config.edge.serializers import StrictSerializer, Text
from fleets.api.serializers import read_only_text
from fleets.scopes import Risk


@dataclass(frozen=True)
class StandingRequest:
    """A request as one caller sees it."""

    request: ApprovalRequest
    standing: Standing


class SubjectSerializer(StrictSerializer):
    type = read_only_text("subject_type")
    id = read_only_text("subject_id")
    label = read_only_text("subject_label")  # type: ignore[assignment]  # a field's own label is another thing


class DecisionSerializer(StrictSerializer):
    """Voided: the diff was changed since, or who decided may not any more."""

    user = read_only_text("user.username")
    verdict = serializers.ChoiceField(Decision.Verdict.choices, read_only=True)
    comment = read_only_text()
    decided_at = serializers.DateTimeField(read_only=True)
    voided_at = serializers.DateTimeField(read_only=True, allow_null=True)


class ApprovalSerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True, source="request.id")
    organization = read_only_text("request.organization.slug", help_text="The organization's slug.")
    kind = serializers.ChoiceField(ApprovalRequest.Kind.choices, read_only=True, source="request.kind")
    subject = SubjectSerializer(read_only=True, source="request")
    status = serializers.ChoiceField(
        ApprovalRequest.Status.choices, read_only=True, source="request.derived_status"
    )
    risk = serializers.ChoiceField(
        [risk.label for risk in Risk], read_only=True, source="request.get_risk_display"
    )
    reason = read_only_text("request.reason")
    diff = serializers.DictField(
        read_only=True, source="request.diff", help_text="All of it, canonical JSON of which is digested."
    )
    diff_words = serializers.ListField(
        child=serializers.CharField(), read_only=True, source="request.diff_words"
    )
    diff_digest = read_only_text("request.diff_digest", help_text="SHA-256, hexadecimal. Decisions name it.")
    needed = serializers.IntegerField(read_only=True, source="request.needed", help_text="Approvals.")
    granted = serializers.IntegerField(
        read_only=True, source="standing.granted", help_text="Approvals that count now."
    )
    decisions = DecisionSerializer(many=True, read_only=True, source="request.decisions.all")
    requested_by = read_only_text("request.requested_by.username")
    requested_at = serializers.DateTimeField(read_only=True, source="request.opened_at")
    expires_at = serializers.DateTimeField(
        read_only=True, source="request.expires_at", help_text="Until then it can be decided."
    )
    closed_at = serializers.DateTimeField(read_only=True, allow_null=True, source="request.closed_at")
    may_decide = serializers.BooleanField(
        read_only=True, source="standing.may_decide", help_text="Whether the caller may, now."
    )
    own_request = serializers.BooleanField(
        read_only=True,
        source="standing.own_request",
        help_text="Whether the caller is behind it, so that others decide.",
    )
    may_withdraw = serializers.BooleanField(
        read_only=True,
        source="standing.may_withdraw",
        help_text="Whether the caller may take it back, now: who asked for it; what a technical user asked for, also "
        "who manages the token that it is about, in a browser session.",
    )


def comment(**options: Any) -> Text:
    return Text(max_length=1000, multiline=True, **options)


class Rejection(StrictSerializer):
    comment = comment(help_text="Why; who asked reads it.")
    diff_digest = Text(max_length=64, help_text="Of what was seen: 409 where it is another by now.")


class Approval(StrictSerializer):
    comment = comment(required=False, allow_blank=True)
    diff_digest = Text(max_length=64, help_text="Of what was seen: 409 where it is another by now.")
    narrowed = serializers.DictField(
        required=False,
        help_text="Less than was asked for: of a token `{scopes: […]}` or other fields of an edit, "
        "of a policy `{changes: [the parts that are approved]}`.",
    )


class Withdrawal(StrictSerializer):
    reason = comment(required=False, allow_blank=True)
