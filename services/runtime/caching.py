"""Caches of a process: their settings, and what a span says of a read."""

from collections.abc import Callable
from typing import Any

from opentelemetry import trace

from observability import names
from resilience import CacheConfig, Cached
from services.runtime.policy import PolicySet
from services.runtime.wiring import Derived

# A healthy database answers well within this, and nobody needs to see an old page.
STALE_WAIT_S = 0.05
# Copies made together must not expire together.
JITTER = 0.1


def cache_config(policies: Callable[[], PolicySet]) -> Callable[[], CacheConfig]:
    """Return the source of a cache's settings, always those in force."""
    return Derived(policies, _config)


def _config(policies: PolicySet) -> CacheConfig:
    return CacheConfig(
        ttl_s=policies.cache_ttl_s,
        stale_s=policies.stale_s,
        jitter=JITTER if policies.single_flight else 0.0,
        single_flight=policies.single_flight,
        stale_while_revalidate=policies.stale_s > 0,
        stale_wait_s=STALE_WAIT_S,
        load_timeout_s=policies.rpc_timeout_s,
    )


def note(cached: Cached[Any]) -> None:
    """Write on the current span where an answer came from and how old it is."""
    span = trace.get_current_span()
    span.set_attribute(names.CACHE_SOURCE, cached.source)
    span.set_attribute(names.CACHE_AGE_MS, round(cached.age_s * 1000, 1))
