"""Connections to Redis or Valkey with timeouts: the library's defaults wait for ever."""

from functools import lru_cache

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry


@lru_cache(maxsize=1)
def state() -> "Redis":
    """The logical database of versions and counters. Every call answers or fails within REDIS_TIMEOUT seconds."""
    client: Redis = Redis.from_url(
        settings.REDIS.state,
        socket_timeout=settings.REDIS_TIMEOUT,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    return client
