"""What token requests may say, and how tokens are shown. Never a digest; a secret only beside what was just issued."""

from datetime import datetime, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.edge.clock import now
from config.edge.serializers import StrictSerializer, Text
from fleets.api.rule_serializers import Scopes
from fleets.models import NAME, User
from fleets.scopes import Risk
from tokens import expiry
from tokens.changes import UNCHANGED, Edit, Unchanged
from tokens.hints import hints_of, is_gone
from tokens.kinds import Kind, Owner, kind_of
from tokens.lifecycle import LONGEST_OVERLAP
from tokens.models import EXTENDED, Grant, Token
from tokens.wishes import MOST_GRANTS, MOST_MACHINES, Expiry, GrantWish, Wish

NOT_YET = "Not available yet: nothing is stored that is not enforced."


@extend_schema_field({"nullable": True, "description": NOT_YET, "deprecated": True})
class NotAvailable(serializers.Field[Any, Any, Any, Any]):
    """A field of the contract that is not enforced yet, so not taken."""

    default_error_messages = {"not_available": NOT_YET}

    def __init__(self) -> None:
        super().__init__(required=False, write_only=True, allow_null=True)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is not serializers.empty:
            self.fail("not_available")
        raise serializers.SkipField

    def to_internal_value(self, data: Any) -> Any:  # pragma: no cover - run_validation never gets here
        raise serializers.SkipField


class Reason(Text):
    """Why it is done; kept with the event."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=1000, required=False, allow_blank=True, multiline=True, **options)


class Span(serializers.CharField):
    """A written span of time, read by a function of `tokens.expiry`."""

    def __init__(self, read: Any, **options: Any) -> None:
        self.read = read
        super().__init__(max_length=60, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is serializers.empty or (data is None and self.allow_null):
            return super().run_validation(data)
        return self.to_internal_value(data)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return self.read(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="invalid") from None


def expires_at_field(**options: Any) -> Span:
    return Span(lambda text: expiry.parse_expires_at(text, now()), required=False, allow_null=True, **options)


def rotate_every_field() -> Span:
    return Span(expiry.parse_rotate_every, required=False, allow_null=True)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "enum": ["all"]},
            {"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": MOST_MACHINES},
        ]
    }
)
class Machines(serializers.Field[Any, Any, Any, Any]):
    """ "all", or a list of machine ids."""

    default_error_messages = {
        "invalid": 'Write "all" or a list of machine ids.',
        "empty": 'Name at least one machine, or "all".',
        "duplicate": "Name each machine once.",
        "too_many": f"At most {MOST_MACHINES}.",
    }

    def to_internal_value(self, data: Any) -> Any:
        if data == "all":
            return "all"
        if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
            self.fail("invalid")
        if not data:
            self.fail("empty")
        if len(data) > MOST_MACHINES:
            self.fail("too_many")
        ids = tuple(serializers.UUIDField().run_validation(item) for item in data)
        if len(set(ids)) != len(ids):
            self.fail("duplicate")
        return ids

    def to_representation(self, value: Any) -> Any:  # pragma: no cover - commands are not shown
        return value


class GrantSerializer(StrictSerializer):
    path = serializers.CharField(max_length=255, trim_whitespace=False)
    role = Text(max_length=63)
    propagate = serializers.BooleanField(default=True)


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
    allowed_networks = NotAvailable()
    rate_limit = NotAvailable()
    access_windows = NotAvailable()

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


class EditSerializer(AccessFields):
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


class SelfEditSerializer(AccessFields):
    """What a token may change of itself: it only narrows."""

    expires_at = expires_at_field()
    reason = Reason()

    def edit(self) -> Edit:
        data = self.validated_data
        wish: Wish | Unchanged = self.wish() if self.says_access() else UNCHANGED
        return Edit(wish=wish, expires_at=data.get("expires_at", UNCHANGED))


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
        "restrictions": {"allowed_networks": None, "rate_limit": None, "access_windows": None},
        "emergency_access": None,
        "hints": hints_of(token),
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


def instant(value: datetime | None) -> str | None:
    """As every answer writes one: RFC 3339, in UTC."""
    return value.isoformat().replace("+00:00", "Z") if value else None


def _days(value: timedelta | None) -> str | None:
    return expiry.format_days(value) if value else None
