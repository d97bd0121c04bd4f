"""What token requests may say, and how tokens are shown. Never a digest; a secret only beside what was just issued."""

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from config.edge.problems import translated
from config.edge.serializers import StrictSerializer, Text
from fleets.api.rule_serializers import Scopes
from fleets.models import NAME, User
from fleets.scopes import Risk
from tokens import emergency, expiry
from tokens.api.fields import (
    AccessWindows,
    AllowedNetworks,
    Machines,
    RateLimit,
    Reason,
    Span,
    expires_at_field,
    rotate_every_field,
)
from tokens.changes import NOTHING_LEFT, UNCHANGED, Edit, Unchanged
from tokens.hints import hints_of, is_gone
from tokens.kinds import Kind, Owner, kind_of
from tokens.lifecycle import LONGEST_OVERLAP
from tokens.models import EXTENDED, Grant, Token
from tokens.restrictions import UNRESTRICTED, Restrictions
from tokens.spec import instant as instant  # as every answer writes one
from tokens.wishes import MOST_GRANTS, Expiry, GrantWish, Wish


class GrantSerializer(StrictSerializer):
    path = serializers.CharField(max_length=255, trim_whitespace=False)
    role = Text(max_length=63)
    propagate = serializers.BooleanField(default=True)


class KeptScopes(Scopes):
    """Those that are left of some: at least one."""

    def to_internal_value(self, data: Any) -> Any:
        if data == []:
            raise serializers.ValidationError(NOTHING_LEFT, code="nothing_left")
        return super().to_internal_value(data)


class AccessFields(StrictSerializer):
    """What a token shall reach: shared by issue and edit."""

    scopes = Scopes(required=False)
    role = Text(max_length=63, required=False, help_text="A built-in role, or one of the organization's own.")
    machines = Machines(required=False)
    grants = serializers.ListField(child=GrantSerializer(), required=False, max_length=MOST_GRANTS)
    extended = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(EXTENDED)), required=False, max_length=len(EXTENDED)
    )

    def validate_extended(self, names: list[str]) -> list[str]:
        if len(set(names)) != len(names):
            raise serializers.ValidationError("Name each once.", code="duplicate")
        return names

    def wish(self, *, privilege_separation: bool = True) -> Wish:
        data = self.validated_data
        rows = data.get("grants")
        return Wish(
            scopes=data.get("scopes"),
            role=data.get("role"),
            machines=data.get("machines"),
            grants=None if rows is None else tuple(GrantWish(**row) for row in rows),
            extended=frozenset(data["extended"]) if "extended" in data else None,
            privilege_separation=privilege_separation,
        )

    def says_something(self) -> bool:
        """Whether anything is to be different: a reason alone changes nothing."""
        return bool(self.validated_data.keys() - {"reason"})

    def says_access(self) -> bool:
        return bool({"scopes", "role", "machines", "grants", "extended"} & self.validated_data.keys())


class IssueSerializer(AccessFields):
    """The request to issue a token."""

    organization = serializers.CharField(max_length=63, required=False)
    kind = serializers.ChoiceField(choices=Kind.choices, required=False)
    owner = serializers.CharField(max_length=80, required=False)
    name = Text(max_length=63, validators=[NAME])
    description = Text(max_length=500, required=False, allow_blank=True, multiline=True)
    privilege_separation = serializers.BooleanField(default=True)
    expires_at = expires_at_field()
    expires_in = Span(expiry.parse_expires_in, required=False)
    rotate_every = rotate_every_field()
    reason = Reason()
    allowed_networks = AllowedNetworks(required=False)
    rate_limit = RateLimit(required=False)
    access_windows = AccessWindows(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "expires_at" in attrs and "expires_in" in attrs:
            raise serializers.ValidationError(
                {"expires_in": serializers.ErrorDetail("Say one of the two.", "contradiction")}
            )
        return attrs

    def expiry(self) -> Expiry | None:
        """None where nothing was said; null and "never" are never."""
        data = self.validated_data
        if "expires_at" in data:
            return Expiry(at=data["expires_at"])
        return Expiry(lifetime=data["expires_in"]) if "expires_in" in data else None

    def restrictions(self) -> Restrictions:
        return named_restrictions(self.validated_data, UNRESTRICTED)


class EditedAccess(AccessFields):
    """What a token that is there shall reach."""

    scopes = KeptScopes(required=False)


class EditSerializer(EditedAccess):
    """The request to edit a token: what is not named stays."""

    name = Text(max_length=63, validators=[NAME], required=False)
    description = Text(max_length=500, required=False, allow_blank=True, multiline=True)
    expires_at = expires_at_field()
    rotate_every = rotate_every_field()
    reason = Reason()

    def edit(self) -> Edit:
        data = self.validated_data
        wish: Wish | Unchanged = self.wish() if self.says_access() else UNCHANGED
        named = {
            name: data[name] for name in ("name", "description", "expires_at", "rotate_every") if name in data
        }
        return Edit(wish=wish, **named)


class SelfEditSerializer(EditedAccess):
    """What a token may change of itself: it only narrows."""

    expires_at = expires_at_field()
    reason = Reason()

    def edit(self) -> Edit:
        data = self.validated_data
        wish: Wish | Unchanged = self.wish() if self.says_access() else UNCHANGED
        return Edit(wish=wish, expires_at=data.get("expires_at", UNCHANGED))


class NarrowingSerializer(EditedAccess):
    """How much of a request is approved: the fields that shall be less than what was asked for."""

    expires_at = expires_at_field()
    allowed_networks = AllowedNetworks(required=False)
    rate_limit = RateLimit(required=False)
    access_windows = AccessWindows(required=False)

    def edit_of(self, asked: Restrictions) -> Edit:
        """As an edit of what was asked for, which is restricted like this."""
        data = self.validated_data
        wish: Wish | Unchanged = self.wish() if self.says_access() else UNCHANGED
        less = named_restrictions(data, asked)
        return Edit(
            wish=wish,
            expires_at=data.get("expires_at", UNCHANGED),
            restrictions=UNCHANGED if less == asked else less,
        )


def read_narrowing(narrowed: dict[str, Any], asked: Restrictions) -> Edit:
    """For the handlers of requests: how much is approved, by `NarrowingSerializer`; Invalid names the fields."""
    body = NarrowingSerializer(data=narrowed)
    try:
        body.is_valid(raise_exception=True)
    except serializers.ValidationError as error:
        refusal = translated(error)
        assert refusal is not None
        raise refusal from None
    return body.edit_of(asked)


def named_restrictions(data: dict[str, Any], others: Restrictions) -> Restrictions:
    """Those that were named, and beside them the others."""
    return Restrictions(
        networks=data.get("allowed_networks", others.networks),
        rate=data.get("rate_limit", others.rate),
        windows=data.get("access_windows", others.windows),
    )


class RotateSerializer(StrictSerializer):
    overlap = Span(lambda text: expiry.parse_duration(text, maximum=LONGEST_OVERLAP), required=False)


class ReasonSerializer(StrictSerializer):
    reason = Reason()


# Representations


def represent(token: Token, *, names_people: bool = True) -> dict[str, Any]:
    """A token as every answer shows it. Without `names_people`, who made it is not said."""
    return {
        "id": token.pk,
        "organization": token.organization.slug,
        "kind": token.kind,
        "owner": represent_owner(token.owner),
        "principal": token.principal.username,
        "name": token.name,
        "description": token.description,
        "status": str(token.derived_status),
        "status_reason": token.status_reason or None,
        "risk": Risk(token.risk).label,
        "scopes": token.scopes,
        "role": token.role or None,
        "machines": represent_machines(token),
        "grants": [represent_grant(grant) for grant in token.grants.all()],
        "privilege_separation": token.privilege_separation,
        "access_level": token.access_level,
        "extended": token.extended,
        "created_at": instant(token.created_at),
        "created_by": token.created_by_name if names_people else None,
        "approved_at": instant(token.approved_at),
        "expires_at": instant(token.expires_at),
        "rotate_every": _days(token.rotate_every),
        "last_used_at": instant(token.last_used_at),
        "last_used_address": token.last_used_address if names_people else None,
        "rotated_at": instant(token.rotated_at),
        "rotation_due_at": instant(token.rotation_due_at),
        "secret_hint": token.secret_hint,
        "restrictions": token.restrictions.as_json(),
        "approval": str(token.open_request_id) if token.open_request_id else None,
        "emergency_access": represent_emergency(token, names_people=names_people),
        "hints": hints_of(token),
    }


def represent_emergency(token: Token, *, names_people: bool) -> dict[str, Any] | None:
    """The window in which its networks and access windows are lifted, where there is one now."""
    window = emergency.open_window(token)
    if window is None:
        return None
    return {
        "id": str(window.pk),
        "reason": window.reason,
        "started_by": window.started_by.username if names_people else None,
        "starts_at": instant(window.starts_at),
        "ends_at": instant(window.ends_at),
    }


def represent_grant(grant: Grant) -> dict[str, Any]:
    """A row of a token. Without a role it gives the whole ceiling."""
    return {"n": grant.number, "path": grant.path, "role": grant.role or None, "propagate": grant.propagate}


def represent_owner(owner: Owner) -> dict[str, str]:
    """`type` is the token's kind, but that a personal token's owner is a person."""
    kind = kind_of(owner)
    name = owner.username if isinstance(owner, User) else owner.slug
    return {"type": "person" if kind is Kind.PERSONAL else kind, "id": str(owner.pk), "name": name}


def represent_machines(token: Token) -> Any:
    """ "all", or the machines that it was issued for; one that is gone from its place says so. None once it ended."""
    rows = list(token.machine_rows.all())
    if rows or token.is_ended:
        return [{"id": str(row.machine_id), "name": row.name, "gone": is_gone(row, token)} for row in rows]
    return "all" if token.all_machines or not token.privilege_separation else []


def _days(value: timedelta | None) -> str | None:
    return expiry.format_days(value) if value else None
