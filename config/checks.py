"""System checks of the settings: combinations that would be unsafe, each with what to do about it."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from config.edge.networks import of_setting

SHORTEST_PEPPER = 32  # bytes: as long as the digest that it keys
WIDEST = {4: 8, 6: 16}  # prefix lengths: a network wider than this names nobody in particular

Apps = Sequence[AppConfig] | None


@register(Tags.security)
def check_peppers(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    short = sorted(number for number, key in settings.PEPPERS.items() if len(key) < SHORTEST_PEPPER)
    if not short:
        return []
    return [
        Error(
            f"Pepper {', '.join(map(str, short))} has fewer than {SHORTEST_PEPPER} bytes.",
            hint="Make one with `openssl rand -hex 32` and add it to TOKENHOUSE_PEPPERS under the next number.",
            id="tokenhouse.E001",
        )
    ]


@register(Tags.security)
def check_trusted_proxies(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    return _network_errors(
        "TRUSTED_PROXIES",
        "Name the addresses of your proxies in TRUSTED_PROXIES, such as 10.0.0.5 or 10.0.0.0/28.",
        malformed="E002",
        too_wide=("E003", "trusts {}: nearly everybody could choose the address that restrictions see."),
    )


@register(Tags.security)
def check_outgoing_networks(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    return _network_errors(
        "OUTGOING_NETWORKS",
        "Name the internal networks of your receivers in OUTGOING_NETWORKS, such as 10.20.0.0/16.",
        malformed="E014",
        too_wide=("E015", "allows {}: whoever adds a webhook could reach nearly everything from here."),
    )


@register(Tags.security)
def check_metrics_networks(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    return _network_errors(
        "METRICS_NETWORKS",
        "Name the networks of your Prometheus in METRICS_NETWORKS, such as 10.20.0.7/32.",
        malformed="E016",
    )


def _network_errors(
    setting: str, hint: str, *, malformed: str, too_wide: tuple[str, str] | None = None
) -> list[CheckMessage]:
    """What is wrong with a setting's networks. `too_wide`: the id, and what is wrong with one wider than WIDEST."""
    found: list[CheckMessage] = []
    for text in getattr(settings, setting):
        try:
            [network] = of_setting((text,))
        except ValueError as error:
            found.append(Error(f"{setting}: {error}.", hint=hint, id=f"tokenhouse.{malformed}"))
            continue
        if too_wide and network.prefixlen < WIDEST[network.version]:
            number, words = too_wide
            found.append(Error(f"{setting} {words.format(text)}", hint=hint, id=f"tokenhouse.{number}"))
    return found


@register(Tags.security)
def check_redis_databases(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    redis = settings.REDIS
    if len({redis.cache, redis.state, redis.broker}) == 3:
        return []
    return [
        Error(
            "The cache shares its Redis database with versions or the broker: clearing the cache would empty them.",
            hint="Let REDIS_URL name the first of three free databases, or set CACHE_URL, STATE_URL and BROKER_URL.",
            id="tokenhouse.E004",
        )
    ]


@register(Tags.security)
def check_debug(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    if not settings.DEBUG or _is_loopback(settings.BIND):
        return []
    return [
        Error(
            f"DEBUG is on while the server listens on {settings.BIND}: its error pages show settings and variables.",
            hint="Unset DEBUG, or bind to 127.0.0.1.",
            id="tokenhouse.E005",
        )
    ]


@register(Tags.security, deploy=True)
def check_public_url(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    if settings.PUBLIC_URL.startswith("https://"):
        return []
    return [
        checks.Warning(
            "PUBLIC_URL is not https: cookies and tokens travel in the clear, and cookies are not marked secure.",
            hint="Put a TLS proxy in front and set PUBLIC_URL=https://… (docs/security.md).",
            id="tokenhouse.W006",
        )
    ]


@register(Tags.security, deploy=True)
def check_mail(app_configs: Apps, **_kwargs: Any) -> list[CheckMessage]:
    if not settings.EMAIL_BACKEND.endswith("console.EmailBackend"):
        return []
    return [
        checks.Warning(
            "Mail goes into the worker's log, with the links that let people in.",
            hint="Set EMAIL_URL=smtp+tls://user:password@host:587 (docs/settings.md).",
            id="tokenhouse.W007",
        )
    ]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
