"""What a verb or an edge can refuse, one exception class a meaning; only the edge turns them into answers."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One field of a request that is wrong: `field` is its name, dotted where it is nested."""

    field: str
    code: str
    detail: str


class DomainError(Exception):
    """Something that may not be done, with a stable `code` for programs and a `detail` for people."""

    status: int = 400
    default_code: ClassVar[str] = "invalid"

    def __init__(
        self, detail: str, *, code: str = "", errors: tuple[FieldError, ...] = (), **members: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.errors = errors
        self.members = members  # further members of the problem document
        self.headers: dict[str, str] = {}


class Invalid(DomainError):
    """The request says something that can't be meant."""

    @classmethod
    def field(cls, field: str, detail: str, code: str = "invalid") -> "Invalid":
        return cls(f"{field}: {detail}", errors=(FieldError(field, code, detail),))


class NotAuthenticated(DomainError):
    """No credential, or one that does not count."""

    status = 401
    default_code = "credential_missing"


class Refused(DomainError):
    """The caller may not do this. @verb records it as a denial."""

    status = 403
    default_code = "forbidden"


class InsufficientScope(Refused):
    """The caller lacks a scope at a path (RFC 6750, 3.1)."""

    default_code = "insufficient_scope"

    def __init__(self, scope: str, path: str) -> None:
        super().__init__(f"This needs the scope {scope} on {path}.", scope=scope, path=path)
        self.headers["WWW-Authenticate"] = (
            f'Bearer realm="tokenhouse", error="insufficient_scope", scope="{scope}"'
        )


class Missing(DomainError):
    """There is no such thing, or none that the caller may know of."""

    status = 404
    default_code = "not_found"


class Conflict(DomainError):
    """The state of things does not allow it (now)."""

    status = 409
    default_code = "conflict"


class ChangedMeanwhile(Conflict):
    """Somebody was faster: the row is not what was read."""

    def __init__(self) -> None:
        super().__init__("It was changed meanwhile. Read it again, then decide.")


class IllegalMove(Conflict):
    """A status that can't be reached from the present one."""

    default_code = "illegal_move"


class StaleVersion(DomainError):
    """If-Match names a version that is no longer the present one."""

    status = 412
    default_code = "precondition_failed"


class TooLarge(DomainError):
    """A body that is longer than any request has reason to be."""

    status = 413
    default_code = "body_too_large"


class Unprocessable(DomainError):
    """An Idempotency-Key that was used for another request."""

    status = 422
    default_code = "idempotency_key_reused"


class Unavailable(DomainError):
    """Something that is needed is busy or away; nothing was changed."""

    status = 503
    default_code = "unavailable"

    def __init__(self, detail: str, *, retry_after: int = 2, **members: Any) -> None:
        super().__init__(detail, **members)
        self.headers["Retry-After"] = str(retry_after)


def require(allowed: bool, detail: str, code: str = "") -> None:
    """Refuse unless `allowed`."""
    if not allowed:
        raise Refused(detail, code=code)
