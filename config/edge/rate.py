"""How often: a counter that admits at most so many calls in any period, whatever process asks it.

It slides: what is counted are the calls admitted in the period that ends now. Up to SLOTS calls are remembered one by
one; more are remembered in that many parts of the period, each of which counts until its last call is out. So it never
admits more, and at most a 60th of the period late. One script in Valkey; where that is away, one row in the database,
and the window may begin anew once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import ceil

from django.db import transaction
from redis.commands.core import Script
from redis.exceptions import RedisError

from config.edge import clock
from config.edge.models import RateCounter
from config.edge.redis import breaker, state

SLOTS = 60
SPARED = timedelta(minutes=1)
EXACT = timedelta(milliseconds=1)  # which an instant survives as a number
SECOND = (
    1_000_000  # microseconds, in which this module counts: they fit into the numbers of Lua and JSON alike
)

# `consume` alone is what another script includes. It answers: admitted or not, how many more it would admit now,
# microseconds until it would admit one, microseconds until it would admit one more than now.
CONSUME = f"""
local function consume(key, count, period, now)
  local packed = redis.call('GET', key)
  local kept, total, was_set_back = {{}}, 0, false
  for _, entry in ipairs(packed and cmsgpack.unpack(packed) or {{}}) do
    local calls, last = entry[1], entry[2]
    if last > now then last, was_set_back = now, true end
    if last + period > now then
      kept[#kept + 1], total = {{calls, last}}, total + calls
    end
  end
  local is_admitted = total < count
  if is_admitted then
    local newest, width = kept[#kept], math.ceil(period / {SLOTS})
    total = total + 1
    if newest and count > {SLOTS} and math.floor(newest[2] / width) == math.floor(now / width) then
      newest[1], newest[2] = newest[1] + 1, now
    else
      kept[#kept + 1] = {{1, now}}
    end
  end
  local lasts = math.ceil(period / 1000) + 1000
  if is_admitted or was_set_back then
    redis.call('SET', key, cmsgpack.pack(kept), 'PX', lasts)
  else
    redis.call('PEXPIRE', key, lasts)  -- the period may have become longer
  end
  local left, wait = total, 0
  for _, entry in ipairs(kept) do
    if left < count then break end
    left, wait = left - entry[1], entry[2] + period - now
  end
  local grows = wait > 0 and wait or kept[1][2] + period - now
  return {{is_admitted and 1 or 0, math.max(count - total, 0), wait, grows}}
end
"""
SCRIPT = f"""{CONSUME}
local time = redis.call('TIME')
local now = tonumber(time[1]) * {SECOND} + tonumber(time[2]) + tonumber(ARGV[3])
return consume(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), now)
"""
Entries = list[list[int]]  # [calls, instant of the last one in microseconds], the oldest first


@dataclass(frozen=True, slots=True)
class Usage:
    """What asking came to. `retry_after` and `reset` are whole seconds: until a call would be admitted (0: now), and
    until `remaining` grows."""

    allowed: bool
    limit: int
    remaining: int
    retry_after: int
    reset: int


def consume(key: str, count: int, seconds: int) -> Usage:
    """Admit a call, and count it, if fewer than `count` were admitted in the last `seconds`. A key counts on where the
    period is another than before. Never open: where neither Valkey nor the database answers, it raises what the
    database raises."""
    try:
        return breaker.call(lambda: _in_valkey(key, count, seconds))
    except RedisError:
        return consume_in_database(key, count, seconds)


def consume_in_database(key: str, count: int, seconds: int) -> Usage:
    """The same for who knows already that Valkey is away."""
    with transaction.atomic():
        row = _locked(key) or _locked(_made(key, seconds))
        assert row is not None
        at, before = clock.now(), row.buckets.get("calls", [])  # after the lock was waited for
        entries, answer = slide(before, count, seconds * SECOND, int(at.timestamp() * SECOND))
        ends_at = datetime.fromtimestamp(entries[-1][1] / SECOND, UTC) + timedelta(seconds=seconds)
        if entries != before or ends_at > row.ends_at + EXACT:  # the period may have become longer
            row.buckets, row.ends_at = {"calls": entries}, ends_at
            row.save(update_fields=["buckets", "ends_at"])
    return _usage(count, answer)


def _locked(key: str) -> RateCounter | None:
    return RateCounter.objects.select_for_update().filter(pk=key).first()


def _made(key: str, seconds: int) -> str:
    """There is such a row now, whoever of several made it."""
    ends_at = clock.now() + timedelta(seconds=seconds)
    RateCounter.objects.bulk_create([RateCounter(key=key, ends_at=ends_at)], ignore_conflicts=True)
    return key


def headers(name: str, usage: Usage, seconds: int) -> dict[str, str]:
    """What an answer says of a limit (draft-ietf-httpapi-ratelimit-headers)."""
    return {
        "RateLimit": f'"{name}";r={usage.remaining};t={usage.reset}',
        "RateLimit-Policy": f'"{name}";q={usage.limit};w={seconds}',
    }


def forget() -> int:
    """Drop the rows that count nothing any more, but for those that somebody may be about to lock; how many."""
    return RateCounter.objects.filter(ends_at__lt=clock.now() - SPARED).delete()[0]


def slide(entries: Entries, count: int, period: int, now: int) -> tuple[Entries, tuple[int, int, int, int]]:
    """The same as the script, on plain values: what is remembered afterwards, and the answer."""
    kept = [[calls, min(last, now)] for calls, last in entries if min(last, now) + period > now]
    total = sum(calls for calls, _ in kept)
    is_admitted = total < count
    if is_admitted:
        width = -(-period // SLOTS)
        total += 1
        if kept and count > SLOTS and kept[-1][1] // width == now // width:
            kept[-1] = [kept[-1][0] + 1, now]
        else:
            kept.append([1, now])
    left, wait = total, 0
    for calls, last in kept:
        if left < count:
            break
        left, wait = left - calls, last + period - now
    return kept, (int(is_admitted), max(count - total, 0), wait, wait or kept[0][1] + period - now)


def _in_valkey(key: str, count: int, seconds: int) -> Usage:
    ahead = clock.ahead() // timedelta(microseconds=1)
    return _usage(count, _script()(keys=[f"rate:{key}"], args=[count, seconds * SECOND, ahead]))


@lru_cache(maxsize=1)
def _script() -> Script:
    return state().register_script(SCRIPT)


def _usage(count: int, answer: Sequence[int]) -> Usage:
    is_admitted, remaining, wait, grows = answer
    return Usage(bool(is_admitted), count, remaining, ceil(wait / SECOND), ceil(grows / SECOND))
