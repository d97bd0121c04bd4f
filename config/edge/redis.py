"""Connections to Redis or Valkey with timeouts: the library's defaults wait for ever. And a pause for what fails."""

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import RedisError
from redis.retry import Retry

T = TypeVar("T")
FAILURES = 3  # in a row, each of which may take REDIS_TIMEOUT
PAUSE = 2.0  # seconds


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


class CircuitBreaker:
    """Leaves a server alone that fails: after FAILURES in a row nobody asks it for PAUSE seconds, then one call does.

    For callers that have another way. One for all threads of a process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self._failures = 0
        self._open_until = 0.0

    def call(self, ask: Callable[[], T]) -> T:
        """What the server answers; RedisError where it fails, or is left alone."""
        if not self._may_try():
            raise Unreachable("It failed several times in a row, and is left alone for a moment.")
        try:
            answer = ask()
        except (RedisError, OSError) as error:
            self._failed()
            raise error if isinstance(error, RedisError) else Unreachable(str(error)) from error
        self._failures = 0
        return answer

    def _may_try(self) -> bool:
        with self._lock:
            if self._failures < FAILURES:
                return True
            if time.monotonic() < self._open_until:
                return False
            self._open_until = time.monotonic() + PAUSE  # whoever comes while this one tries does not
            return True

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            self._open_until = time.monotonic() + PAUSE


breaker = CircuitBreaker()
