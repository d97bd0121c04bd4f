"""Is the process up (`/healthz`), and is all that it needs well (`/readyz`)? Apps register what they need."""

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from config.edge.problems import problem

log = logging.getLogger("tokenhouse.health")
Check = Callable[[], str | None]
_checks: dict[str, tuple[Check, bool]] = {}


def register(name: str, check: Check, *, needed: bool = True) -> None:
    """`check` returns what is wrong, in words that hold no secret, or None. What is not `needed` only degrades."""
    _checks[name] = (check, needed)


def results() -> dict[str, str | None]:
    return {name: _outcome(name, check) for name, (check, _) in _checks.items()}


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
    found = results()
    failed = [name for name, (_, needed) in _checks.items() if needed and found[name]]
    degraded = [name for name, trouble in found.items() if trouble]
    checks = {name: trouble or "ok" for name, trouble in found.items()}
    if failed:
        detail = f"Not ready: {', '.join(failed)}."
        return problem(503, "unavailable", detail, headers={"Retry-After": "2"}, members={"checks": checks})
    return JsonResponse({"status": "degraded" if degraded else "ready", "checks": checks})
