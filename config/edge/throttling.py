"""What one address may try, whoever is behind it: django-ratelimit in one place, with the database where Redis is away.

IPv6 is counted by /64, which is what one household or host has; whose address nobody knows shares one counter. A limit
never opens because its counter is away. A token's own rate is another thing, in config.edge.rate.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from ipaddress import IPv6Address, ip_network

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django_ratelimit import ALL
from django_ratelimit.core import get_usage
from redis.exceptions import RedisError

from config.edge import context, problems, rate
from config.edge.networks import parse_address
from config.edge.redis import breaker
from config.edge.refusals import DomainError

View = Callable[..., HttpResponseBase]


class Guard(StrEnum):
    """What is counted: the names of settings.LIMITS."""

    SIGN_IN = "sign_in"  # passwords sent to the sign-in page
    CREDENTIALS = "credentials"  # credentials that are no token's
    LINKS = "links"  # of invitations and password resets
    API = "api"  # requests without a token


class TooManyAttempts(DomainError):
    """This address has tried too often. Nothing was looked at."""

    status = 429
    default_code = "too_many_attempts"

    def __init__(self, wait: int) -> None:
        super().__init__("Too many attempts from this address. Try again later.")
        self.headers["Retry-After"] = str(wait)


def attempt(guard: Guard) -> int | None:
    """Count one more from where this request comes; the seconds to wait where that is too many, else None."""
    count, seconds = settings.LIMITS[guard]
    address = _counted_as(context.current().address)
    try:
        usage = breaker.call(
            lambda: get_usage(
                None,  # it would only be asked for what is said here
                group=f"address:{guard}",
                key=lambda *_: address,
                rate=(count, seconds),
                method=ALL,
                increment=True,
            )
        )
    except RedisError:
        in_database = rate.consume_in_database(f"address:{guard}:{address}", count, seconds)
        return None if in_database.allowed else in_database.retry_after
    return max(usage["time_left"], 1) if usage["should_limit"] else None


def require(guard: Guard) -> None:
    """Refuse what is too many."""
    wait = attempt(guard)
    if wait is not None:
        raise TooManyAttempts(wait)


def guarded(guard: Guard, *methods: str) -> Callable[[View], View]:
    """Let a page be asked with these methods only as often as the guard allows."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            try:
                if request.method in methods:
                    require(guard)
            except TooManyAttempts:
                return problems.server_error(request)
            return view(request, *args, **kwargs)

        return inner

    return decorate


def _counted_as(text: str | None) -> str:
    address = parse_address(text) if text else None
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address or "unknown")
