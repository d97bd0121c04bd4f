"""What one address may try, whoever is behind it: django-ratelimit in one place, with the database where Redis is away.

IPv6 is counted by /64; whose address nobody knows shares one counter. What a signed-in person asks of the API counts
for the person, so that no stranger of their address uses it up. A limit never opens because its counter is away. A
token's own rate is another thing, in config.edge.rate.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django_ratelimit import ALL
from django_ratelimit.core import get_usage
from redis.exceptions import RedisError

from config.edge import context, problems, rate
from config.edge.networks import counted_as
from config.edge.redis import breaker
from config.edge.refusals import DomainError

View = Callable[..., HttpResponseBase]


class Guard(StrEnum):
    """What is counted: the names of settings.LIMITS."""

    SIGN_IN = "sign_in"  # passwords sent to the sign-in page
    CREDENTIALS = "credentials"  # credentials that are no token's
    LINKS = "links"  # of invitations and password resets; of approvals that somebody is not shown
    API = "api"  # requests without a token: of a person, or of an address


class TooManyAttempts(DomainError):
    """This address, or this person, has tried too often. Nothing was looked at."""

    status = 429
    default_code = "too_many_attempts"

    def __init__(self, wait: int, what: str = "Too many attempts from this address.") -> None:
        super().__init__(f"{what} Try again later.")
        self.headers["Retry-After"] = str(wait)


def attempt(guard: Guard, *, person: UUID | None = None) -> int | None:
    """Count one more of this person, or from where this request comes; the seconds to wait where that is too many,
    else None."""
    count, seconds = settings.LIMITS[guard]
    source = f"user:{person}" if person else counted_as(context.current().address) or "unknown"
    try:
        usage = breaker.call(
            lambda: get_usage(
                None,  # it would only be asked for what is said here
                group=f"address:{guard}",
                key=lambda *_: source,
                rate=(count, seconds),
                method=ALL,
                increment=True,
            )
        )
    except RedisError:
        in_database = rate.consume_in_database(f"address:{guard}:{source}", count, seconds)
        return None if in_database.allowed else in_database.retry_after
    return max(usage["time_left"], 1) if usage["should_limit"] else None


def require(guard: Guard) -> None:
    """Refuse what is too many."""
    wait = attempt(guard)
    if wait is not None:
        raise TooManyAttempts(wait)


def require_of_person(guard: Guard, person: UUID) -> None:
    """Refuse what is too many of somebody who is signed in, wherever they are."""
    wait = attempt(guard, person=person)
    if wait is not None:
        raise TooManyAttempts(wait, "Too many requests of this account.")


def anybody(_request: HttpRequest) -> bool:
    return True


def guarded(
    guard: Guard, *methods: str, counts: Callable[[HttpRequest], bool] = anybody
) -> Callable[[View], View]:
    """Let a page be asked with these methods only as often as the guard allows, by those whom it `counts`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            try:
                if request.method in methods and counts(request):
                    require(guard)
            except TooManyAttempts as error:
                return problems.refused(request, error)
            return view(request, *args, **kwargs)

        return inner

    return decorate
