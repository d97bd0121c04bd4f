"""`/metrics` for Prometheus: read from the database at each scrape, so that every process tells the same.

Only for clients within METRICS_NETWORKS; for others there is nothing at this address.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from config.edge import context, health, timers
from config.edge.clock import now
from config.edge.networks import of_setting, parse_address
from config.edge.problems import problem

PREFIX = "tokenhouse_"


@dataclass(frozen=True)
class Figure:
    """One gauge; `values` by the words of its label, or under "" where it has none."""

    name: str
    about: str
    label: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


_figures: list[Callable[[], Figure]] = []


def register(figure: Callable[[], Figure]) -> None:
    """`figure` reads the database, in one query that bears being asked every few seconds."""
    if figure not in _figures:
        _figures.append(figure)


@csrf_exempt
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not _may_scrape(request):
        return problem(404, "not_found", "There is nothing at this address.")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AtThisMoment())
    text = generate_latest(registry)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


class AtThisMoment(Collector):
    """Asked once, by one scrape."""

    def collect(self) -> Iterator[Metric]:
        waiting = {name: age or 0.0 for name, age in health.known_ages().items()}
        yield _gauge(
            Figure("oldest_due_seconds", "How long the oldest due work has waited.", "work", waiting)
        )
        last = timers.last_heartbeat()
        if last is not None:
            age = max((now() - last).total_seconds(), 0.0)
            yield _gauge(
                Figure(
                    "heartbeat_age_seconds", "Since worker and beat last gave a sign of life.", "", {"": age}
                )
            )
        for figure in _figures:
            yield _gauge(figure())


def _gauge(figure: Figure) -> Metric:
    labels = [figure.label] if figure.label else []
    family = GaugeMetricFamily(PREFIX + figure.name, figure.about, labels=labels)
    for word, value in figure.values.items():
        family.add_metric([word] if figure.label else [], value)
    return family


def _may_scrape(request: HttpRequest) -> bool:
    """By the client's address. Who comes by a proxy that nobody has configured has none that counts."""
    address = parse_address(context.current().address or "")
    is_relayed = "HTTP_X_FORWARDED_FOR" in request.META and not settings.TRUSTED_PROXIES
    if address is None or is_relayed:
        return False
    return any(address in network for network in of_setting(tuple(settings.METRICS_NETWORKS)))
