"""What is measured: one line a variant, built only in the process that measures it.

A builder raises AttributeError or ImportError where the thing does not exist; the
variant is then left out and the reason told.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import resilience
from lab.bench import rivals

BARE: Final = "bare"
AGAIN: Final = "bare again"
FULL: Final = "ours in full"
THREE: Final = "ours: deadline, retry, breaker"
KIT: Final = "grpc-client-kit: timeout, retry, breaker"

ANCHORS: Final = frozenset({BARE, AGAIN, FULL, KIT})
"""What verdicts rest on: measured in every block, the others once a round."""

Build = Callable[[], list[Any]]


@dataclass(frozen=True, slots=True)
class Variant:
    """A way of making (or serving) calls.

    *unary_only*: it has nothing for streams. *in_kit*: measured in the interpreter
    of grpc-client-kit too.
    """

    name: str
    build: Build
    unary_only: bool = False
    in_kit: bool = False
    kit_only: bool = False


def _ours(*parts: str, **changes: Any) -> Build:
    """Return a builder of our chain with *parts*: names of configurations."""

    def build() -> list[Any]:
        configs = [_CONFIGS[part]() for part in parts]
        policy = resilience.policies("bench", *configs, **changes)
        return resilience.aio_client_interceptors(policy)

    return build


_CONFIGS: Final[Mapping[str, Callable[[], Any]]] = {
    "retry": lambda: resilience.RetryConfig(attempts=3),
    "budget": lambda: resilience.BudgetConfig(max_tokens=10),
    "breaker": lambda: resilience.BreakerConfig(slow_rate=0.5, slow_after_s=1.0),
    "bulkhead": lambda: resilience.BulkheadConfig(limit=100),
    "limit": lambda: resilience.LimitConfig(algorithm=_roomy()),
    "throttle": lambda: resilience.ThrottleConfig(k=2.0),
    # Far beyond any answer: what is measured is being ready to hedge.
    "hedge": lambda: resilience.HedgeConfig(delay_s=1.0),
    "fallback": lambda: resilience.FallbackConfig(value=b""),
    # Each call is its own: shared ones would cost next to nothing.
    "coalesce": lambda: resilience.CoalesceConfig(key=_unlike_any_other()),
}

_DEADLINE: Final = {"timeout_s": 5.0, "stream_timeout_s": 60.0}


def _unlike_any_other() -> Callable[[Any, Any], int]:
    numbers = itertools.count()
    return lambda _request, _metadata: next(numbers)


def _roomy() -> Any:
    """Return an algorithm whose limit 32 calls in flight never meet."""
    return resilience.Gradient2Config(initial=400, least=300, most=500)


def _criticality() -> list[Any]:
    level = resilience.Criticality.CRITICAL
    policy = resilience.policies("bench", criticality=level)
    return resilience.aio_client_interceptors(policy)


def _full() -> list[Any]:
    return resilience.aio_client_interceptors(resilience.standard("bench"))


def _everything() -> list[Any]:
    parts = [_CONFIGS[name]() for name in ("limit", "throttle", "hedge", "fallback")]
    policy = resilience.policies(
        "bench",
        *parts,
        base=resilience.standard("bench"),
        criticality=resilience.Criticality.CRITICAL,
    )
    return resilience.aio_client_interceptors(policy)


CLIENT: Final = (
    Variant(BARE, list, in_kit=True),
    Variant(AGAIN, list, in_kit=True),
    Variant("no-op interceptor", rivals.no_op, in_kit=True),
    Variant("textbook pybreaker + tenacity", rivals.textbook, True, True),  # noqa: FBT003
    Variant(KIT, rivals.kit, in_kit=True, kit_only=True),
    Variant("OpenTelemetry", rivals.open_telemetry),
    Variant("ours: no policy", _ours()),
    Variant("ours: deadline", _ours(**_DEADLINE)),
    Variant("ours: retry", _ours("retry")),
    Variant("ours: retry, budget", _ours("retry", "budget")),
    Variant("ours: breaker", _ours("breaker")),
    Variant("ours: bulkhead", _ours("bulkhead")),
    Variant("ours: adaptive limit", _ours("limit")),
    Variant("ours: throttle", _ours("throttle")),
    Variant("ours: hedge", _ours("hedge")),
    Variant("ours: criticality", _criticality),
    Variant("ours: coalescing", _ours("coalesce"), unary_only=True),
    Variant("ours: fallback", _ours("fallback")),
    Variant(THREE, _ours("retry", "breaker", **_DEADLINE), in_kit=True),
    Variant(FULL, _full, in_kit=True),
    Variant("ours in full, attempt spans", rivals.ours_with_attempt_spans),
    Variant("ours in full, OpenTelemetry", rivals.ours_with_open_telemetry),
    Variant("ours, every policy", _everything),
)

BLOCKING: Final = (
    Variant(BARE, list),
    Variant(AGAIN, list),
    Variant("no-op interceptor", rivals.blocking_no_op),
    Variant(FULL, lambda: resilience.client_interceptors(resilience.standard("bench"))),
)


def _served(**changes: Any) -> Build:
    def build() -> list[Any]:
        policy = resilience.ServerPolicy(max_concurrent=1000, **changes)
        return [resilience.aio_server_interceptor(policy)]

    return build


def _shedding() -> list[Any]:
    return _served(limit=_CONFIGS["limit"](), shedding=resilience.SheddingConfig())()


SERVER: Final = (
    Variant(BARE, list),
    Variant(AGAIN, list),
    Variant("no-op interceptor", rivals.server_no_op),
    Variant("OpenTelemetry", rivals.server_open_telemetry),
    Variant(FULL, _served()),
    Variant("ours in full, adaptive limit, shedding", _shedding),
    Variant("ours in full, OpenTelemetry", rivals.served_with_open_telemetry),
)

TABLES: Final[Mapping[str, tuple[Variant, ...]]] = {
    "client": CLIENT,
    "server": SERVER,
    "blocking": BLOCKING,
}
NAMES: Final = tuple(dict.fromkeys(v.name for table in TABLES.values() for v in table))
