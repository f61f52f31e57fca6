"""Copies of answers by key: which may be served, and which are to be loaded anew.

The bookkeeping that both coalescers share; pure, and not safe between threads.
"""

import itertools
import math
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Literal, NamedTuple, TypeVar

from resilience._checks import refuse_nan

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Source = Literal["fresh", "hit", "stale", "joined"]
# "failing" is stale too, and its load failed so lately that none is to be begun.
Verdict = Literal["fresh", "early", "stale", "failing", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """How long an answer lives, and who loads it.

    An answer is fresh for *ttl_s* seconds, shortened by up to the fraction
    *jitter* so that keys loaded together do not expire together. For *stale_s*
    more it may still be served: with one load behind it (*stale_while_revalidate*),
    by those for whom that load is not done within *stale_wait_s* seconds; or else
    only where the load fails. Without
    *single_flight* every caller loads for itself. A shared load belongs to no
    caller, so it runs without their deadlines, for *load_timeout_s* at most.

    With *early_refresh_beta* above 0 a reader begins a load before the copy expires,
    the likelier the nearer that is and the longer loads take: XFetch (Vattani,
    Chierichetti and Lowenstein, VLDB 2015), whose best beta is 1. A load's error is
    told to later readers for *error_ttl_s* seconds instead of another load; where an
    old copy may still be served they get that, and no load is begun either.
    """

    ttl_s: float = 5.0
    stale_s: float = 0.0
    max_entries: int = 1024
    jitter: float = 0.1
    single_flight: bool = True
    stale_while_revalidate: bool = True
    stale_wait_s: float = 0.0
    load_timeout_s: float | None = None
    early_refresh_beta: float = 0.0
    error_ttl_s: float = 0.0

    def __post_init__(self) -> None:
        refuse_nan(self)
        if min(self.ttl_s, self.stale_s, self.stale_wait_s, self.error_ttl_s) < 0:
            raise ValueError(
                "ttl_s, stale_s, stale_wait_s and error_ttl_s must not be negative"
            )
        if self.max_entries < 1:
            raise ValueError("max_entries must be at least 1")
        if not 0 <= self.jitter < 1:
            raise ValueError("jitter must be in [0, 1)")
        if self.early_refresh_beta < 0:
            raise ValueError("early_refresh_beta must not be negative")
        if self.load_timeout_s is not None and self.load_timeout_s <= 0:
            raise ValueError("load_timeout_s must be more than 0, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached(Generic[V]):
    """An answer, its age in seconds, and where it came from.

    *source* is "fresh" (this call loaded it), "hit", "stale", or "joined"
    (another call was loading it already).
    """

    value: V
    age_s: float
    stale: bool
    source: Source


@dataclass(frozen=True, slots=True)
class Aged(Generic[V]):
    """What a load fetched from somebody who had loaded it *age_s* seconds before."""

    value: V
    age_s: float


class LoadCancelledError(Exception):
    """A shared load was cancelled from within; its readers were not."""


class Copy(Generic[V]):
    """One answer and its times, on the owner's clock."""

    __slots__ = ("fresh_until", "load_s", "loaded_at", "stale_until", "value")

    def __init__(
        self,
        value: V,
        loaded_at: float,
        fresh_until: float,
        stale_until: float,
        load_s: float,
    ) -> None:
        self.value = value
        self.loaded_at = loaded_at
        self.fresh_until = fresh_until
        self.stale_until = stale_until
        self.load_s = load_s


class _Error(NamedTuple):
    error: Exception
    # Every raise adds to an error's traceback; told from here it stays as short.
    traceback: TracebackType | None
    until: float


class Copies(Generic[K, V]):
    """At most `max_entries` copies, the least recently read dropped first."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._copies: dict[K, Copy[V]] = {}
        self._errors: dict[K, _Error] = {}

    def look(
        self, key: K, config: CacheConfig, now: float
    ) -> tuple[Verdict, Copy[V] | None]:
        """Return what may be done with the copy of *key*, and the copy.

        Raises the error of the last load while that is to be told, and no copy will do.
        """
        failed = self._told(key, now) if self._errors else None
        copy = self._copies.get(key)
        if copy is not None:
            verdict = self._judge(copy, config, now)
            if verdict != "gone":
                # Back in at the end: the first copy is the least recently read.
                del self._copies[key]
                self._copies[key] = copy
                if failed is not None:
                    verdict = "failing" if verdict == "stale" else "fresh"
                return verdict, copy
        if failed is not None:
            raise failed.error.with_traceback(failed.traceback)
        return "gone", None

    def _told(self, key: K, now: float) -> _Error | None:
        failed = self._errors.get(key)
        if failed is not None and now >= failed.until:
            del self._errors[key]
            failed = None
        # Keys that nobody asks for again: an error keeps what its frames held.
        for other in list(itertools.islice(self._errors, 2)):
            if now >= self._errors[other].until:
                del self._errors[other]
        return failed

    def _judge(self, copy: Copy[V], config: CacheConfig, now: float) -> Verdict:
        if now < copy.fresh_until:
            beta = config.early_refresh_beta
            if beta:
                chance = 1.0 - self._rng.random()
                if now - copy.load_s * beta * math.log(chance) >= copy.fresh_until:
                    return "early"
            return "fresh"
        until = min(copy.stale_until, copy.loaded_at + config.ttl_s + config.stale_s)
        return "stale" if now < until else "gone"

    def keep(
        self,
        key: K,
        found: Aged[V],
        started: float,
        config: CacheConfig,
        *,
        replaced: bool,
    ) -> None:
        """Keep what a load begun at *started* found.

        *replaced* says that the key was expired or loaded anew meanwhile.
        """
        load_s = self._clock() - started
        started -= found.age_s
        lifetime = config.ttl_s * (1 - config.jitter * self._rng.random())
        held = self._copies.pop(key, None)
        self._errors.pop(key, None)
        if replaced and held is not None and held.loaded_at > started:
            self._copies[key] = held
            return
        self._copies[key] = Copy(
            found.value,
            started,
            # What was expired while it was being loaded may be the old value.
            started if replaced else started + lifetime,
            started + config.ttl_s + config.stale_s,
            load_s,
        )
        while len(self._copies) > config.max_entries:
            del self._copies[next(iter(self._copies))]

    def failed(self, key: K, error: Exception, config: CacheConfig) -> None:
        """Keep a load's error for as long as it is to be told."""
        if not config.error_ttl_s:
            return
        self._errors.pop(key, None)
        until = self._clock() + config.error_ttl_s
        self._errors[key] = _Error(error, error.__traceback__, until)
        while len(self._errors) > config.max_entries:
            del self._errors[next(iter(self._errors))]

    def expire(self, key: K | None = None) -> None:
        """Make the copy of *key*, or every copy, stale now."""
        now = self._clock()
        if key is None:
            self._errors.clear()
            held = list(self._copies.values())
        else:
            self._errors.pop(key, None)
            held = [self._copies[key]] if key in self._copies else []
        for copy in held:
            copy.fresh_until = min(copy.fresh_until, now)

    def clear(self) -> None:
        """Forget everything."""
        self._copies.clear()
        self._errors.clear()

    def __len__(self) -> int:
        return len(self._copies)
