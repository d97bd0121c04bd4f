"""Is the process up (`/healthz`), and is all that it needs well (`/readyz`)? Apps register what they need."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from config.edge import timers
from config.edge.clock import now
from config.edge.problems import problem

log = logging.getLogger("tokenhouse.health")
Check = Callable[[], str | None]
_checks: dict[str, tuple[Check, bool]] = {}
_due: dict[str, "Due"] = {}
SILENCE = timedelta(seconds=100)  # without a heartbeat, of which there is one every 30 seconds
WORKER_IS_AWAY = "worker or beat is away"
_since = now()  # when this process began to look


@dataclass(frozen=True)
class Due:
    """Work that nobody's call does: since when the oldest of it waits, and how long it may."""

    oldest: Callable[[], datetime | None]
    may_wait: timedelta


def register(name: str, check: Check, *, needed: bool = True) -> None:
    """`check` returns what is wrong, in words that hold no secret, or None. What is not `needed` only degrades."""
    _checks[name] = (check, needed)


def register_due(name: str, oldest: Callable[[], datetime | None], *, may_wait: timedelta) -> None:
    """Work that waits for the worker: late, it degrades readiness, for nothing that decides depends on it."""
    _due[name] = Due(oldest, may_wait)


def results() -> dict[str, str | None]:
    return {name: _outcome(name, check) for name, (check, _) in _checks.items()}


def ages() -> dict[str, float | None]:
    """Seconds for which the oldest work of each kind has waited; None where there is none, or nobody can tell."""
    return dict.fromkeys(_due) | known_ages()


def known_ages() -> dict[str, float | None]:
    """As `ages`, without those that nobody can tell: None is that nothing waits."""
    found: dict[str, float | None] = {}
    for name, due in _due.items():
        try:
            oldest = due.oldest()
        except Exception as error:
            log.warning("health check failed", extra={"check": name, "error": type(error).__name__})
            continue
        found[name] = None if oldest is None else max((now() - oldest).total_seconds(), 0.0)
    return found


def heartbeat() -> str | None:
    """Whether worker and beat are there, by the last sign of life. Who has just begun gives them the time to."""
    last = timers.last_heartbeat()
    is_silent = last is None or now() - last > SILENCE
    return WORKER_IS_AWAY if is_silent and now() - _since > SILENCE else None


def _outcome(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # whatever it is, the dependency is not well
        log.warning("health check failed", extra={"check": name, "error": type(error).__name__})
        return f"{type(error).__name__}"


@csrf_exempt
@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "up"})


@csrf_exempt
@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """200 when everything that is needed is well; a dependency that may be away shows as `degraded`."""
    found, waiting = results(), ages()
    for name, age in waiting.items():
        is_late = age is not None and age > _due[name].may_wait.total_seconds()
        found[name] = f"the oldest has waited for {age:.0f} s" if is_late else None
    failed = [name for name, (_, needed) in _checks.items() if needed and found[name]]
    degraded = [name for name, trouble in found.items() if trouble]
    checks = {name: trouble or "ok" for name, trouble in found.items()}
    if failed:
        detail = f"Not ready: {', '.join(failed)}."
        return problem(503, "unavailable", detail, headers={"Retry-After": "2"}, members={"checks": checks})
    told = {"oldest_due": waiting, "last_heartbeat": _told(timers.last_heartbeat())}
    return JsonResponse({"status": "degraded" if degraded else "ready", "checks": checks, **told})


def _told(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None
