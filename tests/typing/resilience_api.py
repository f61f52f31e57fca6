"""What the types of `resilience` promise; read by mypy alone, never run.

`assert_type` says what an expression is. A line that ends in an ignore is a
mistake that a user could make: where a signature gets looser, the ignore is
unused, and that is an error too.
"""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, assert_type

import grpc
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry

import resilience
from resilience import (
    Aged,
    AttemptHandle,
    AttemptObserver,
    BreakerChanged,
    BreakerConfig,
    BulkheadConfig,
    CacheConfig,
    Cached,
    CallObserver,
    CircuitBreaker,
    CircuitOpenError,
    ClientPolicy,
    CoalesceConfig,
    Coalescer,
    Criticality,
    Deadline,
    Fallback,
    FallbackConfig,
    HedgeConfig,
    Listener,
    Listeners,
    LoadLease,
    MethodPolicy,
    Observers,
    Outcome,
    Permit,
    PolicyFile,
    RetryConfig,
    Served,
    ServerPolicy,
    ServerPolicyFile,
    TokenBucket,
    dump_policies,
    idempotent_methods,
    load_policies,
    policies,
)
from resilience.contrib.opentelemetry import AttemptSpans, SpanEvents
from resilience.contrib.prometheus import PrometheusEvents
from resilience.testing import (
    FakeClock,
    PolicySwitch,
    RecordedAttempt,
    RecordingListener,
    RecordingObserver,
    Script,
)

POLICY = resilience.standard("catalog")


class Mine:
    """A listener and an observer by shape, without inheriting anything."""

    def on_event(self, event: object) -> None:
        """Take it."""

    def attempt_started(
        self,
        target: str,
        method: str,
        attempt: int,
        metadata: list[tuple[str, str | bytes]],
    ) -> "Mine":
        """Watch it."""
        return self

    def finished(self, outcome: Outcome) -> None:
        """See it end."""
        assert_type(outcome.code, str | None)
        assert_type(outcome.ok, bool)
        assert_type(outcome.verdict, Literal["success", "failure", "ignored"])
        outcome.code = "OK"  # type: ignore[misc]


def frozen() -> None:
    """Policies are frozen, and every option has its name."""
    assert_type(POLICY, ClientPolicy)
    assert_type(resilience.bare("catalog"), ClientPolicy)
    assert_type(POLICY.for_method("/a.B/C"), ClientPolicy)
    assert_type(POLICY.retry, RetryConfig | None)
    MethodPolicy(timeout_s=0.5, breaker=None)
    ClientPolicy("catalog")  # type: ignore[call-arg]
    ClientPolicy(target="catalog", tiemout_s=1.0)  # type: ignore[call-arg]
    ClientPolicy(target="catalog", timeout_s="2 s")  # type: ignore[arg-type]
    ClientPolicy(target="catalog", retry=BreakerConfig())  # type: ignore[arg-type]
    POLICY.timeout_s = 2.0  # type: ignore[misc]
    RetryConfig(jitter="some")  # type: ignore[arg-type]
    BreakerConfig(window="hours")  # type: ignore[arg-type]
    BulkheadConfig(3)  # type: ignore[call-arg]
    ServerPolicy(max_concurrent="3")  # type: ignore[arg-type]


def client() -> None:
    """A channel takes them as they are; a policy may be a value or its source."""
    mine = Mine()
    found = resilience.aio_client_interceptors(
        POLICY, listener=mine, observer=mine, clock=FakeClock(), rng=random.Random(1)
    )
    assert_type(found, list[grpc.aio.ClientInterceptor])
    grpc.aio.insecure_channel("a:1", interceptors=found)
    grpc.aio.insecure_channel(
        "a:1", interceptors=resilience.aio_client_interceptors(lambda: POLICY)
    )
    grpc.intercept_channel(
        grpc.insecure_channel("a:1"),
        *resilience.client_interceptors(PolicySwitch(POLICY), sleep=time.sleep),
    )
    resilience.aio_client_interceptors(ServerPolicy())  # type: ignore[arg-type]
    resilience.aio_client_interceptors("catalog")  # type: ignore[arg-type]
    resilience.aio_client_interceptors(POLICY, mine)  # type: ignore[call-arg]
    resilience.aio_client_interceptors(POLICY, listener=print)  # type: ignore[arg-type]
    resilience.client_interceptors(POLICY, observer=object())  # type: ignore[arg-type]
    resilience.client_interceptors(lambda: 3)  # type: ignore[arg-type, return-value]


def server() -> None:
    """A server takes the one interceptor of its kind."""
    policy = ServerPolicy(max_concurrent=3)
    found = resilience.aio_server_interceptor(policy, listener=Mine())
    assert_type(found, grpc.aio.ServerInterceptor)
    grpc.aio.server(interceptors=[found])
    blocking: grpc.ServerInterceptor = resilience.server_interceptor(lambda: policy)
    assert blocking
    resilience.aio_server_interceptor(POLICY)  # type: ignore[arg-type]
    resilience.server_interceptor(POLICY)  # type: ignore[arg-type]
    resilience.server_interceptor()  # type: ignore[call-arg]


async def coalescing(load: Callable[[], str]) -> None:
    """A coalescer's answers are of the type that its loads give."""
    prices: Coalescer[str, int] = Coalescer(CacheConfig(ttl_s=1.0))

    async def price() -> int:
        return 3

    async def aged() -> Aged[int]:
        return Aged(3, 0.5)

    async def name() -> str:
        return "tea"

    cached = await prices.get("tea", price)
    assert_type(cached, Cached[int])
    assert_type(cached.value, int)
    assert_type(cached.source, Literal["fresh", "hit", "stale", "joined"])
    assert_type((await prices.get("tea", aged)).value, int)
    await prices.get(3, price)  # type: ignore[arg-type]
    await prices.get("tea", name)  # type: ignore[arg-type]
    await prices.get("tea", load)  # type: ignore[arg-type]


def unhashable(_: Coalescer[list[str], int]) -> None:  # type: ignore[type-var]
    """A key that cannot be a key of a dict is refused."""


async def falling_back(lease: LoadLease[int]) -> None:
    """A fallback gives what the real answer would have been, and says which."""
    fallback: Fallback[int] = Fallback("catalog", lambda _: 0, listener=Mine())

    async def primary() -> int:
        return 3

    async def other() -> str:
        return "three"

    served = await fallback.run(primary)
    assert_type(served, Served[int])
    assert_type(served.value, int)
    assert_type(served.reason, str)
    assert_type(fallback.run_blocking(lambda: 3), Served[int])
    await fallback.run(other)  # type: ignore[arg-type]
    await fallback.run(lambda: 3)  # type: ignore[arg-type, return-value]
    fallback = Fallback("a", lambda _: "none")  # type: ignore[arg-type, return-value]
    assert_type(await lease.load("k", primary), int | Aged[int])


def alone(listener: Listener) -> None:
    """Every policy can be used by itself, without gRPC."""
    breaker = CircuitBreaker("a", BreakerConfig(), listener=listener)
    permit = breaker.acquire()
    assert_type(permit, Permit)
    breaker.record(permit, ok=True, latency_s=0.1)
    assert_type(breaker.state, str)
    breaker.record(permit)  # type: ignore[call-arg]
    breaker.record(permit, True, 0.1)  # type: ignore[call-arg]
    assert_type(TokenBucket(resilience.BudgetConfig()).failed(), bool)
    assert_type(resilience.current_deadline(), Deadline | None)
    with resilience.deadline_scope(0.5) as deadline:
        assert_type(deadline, Deadline | None)
    with resilience.deadline_scope("0.5"):  # type: ignore[arg-type]
        pass
    try:
        breaker.acquire()
    except CircuitOpenError as error:
        assert_type(error.retry_after_s, float | None)
        assert_type(error.name, str)


def files(path: Path) -> None:
    """Policies from a file are policies, and their sources are sources."""
    assert_type(load_policies(path), dict[str, ClientPolicy])
    assert_type(dump_policies({"a": POLICY}), str)
    source = PolicyFile(path, "catalog").watch(2.0)
    assert_type(source, PolicyFile)
    assert_type(source(), ClientPolicy)
    assert_type(source.reload(), bool)
    resilience.aio_client_interceptors(source)
    resilience.aio_server_interceptor(ServerPolicyFile(path))
    resilience.aio_server_interceptor(source)  # type: ignore[arg-type]
    PolicyFile(path)  # type: ignore[call-arg]
    load_policies(3)  # type: ignore[arg-type]


def call_observer(_: CallObserver) -> None:
    """Take what watches whole calls."""


def attempt_handle(_: AttemptHandle) -> None:
    """Take what watches one attempt."""


def watching(tracer: Tracer) -> None:
    """Adapters fit where a listener or an observer is asked for, several too."""
    metrics = PrometheusEvents(registry=CollectorRegistry())
    observer: AttemptObserver = Observers(AttemptSpans(tracer), metrics)
    listener: Listener = Listeners(SpanEvents(tracer), metrics, RecordingListener())
    resilience.client_interceptors(POLICY, listener=listener, observer=observer)
    call_observer(metrics)
    attempt_handle(metrics.attempt_started("a", "/a.B/C", 1, []))
    Listeners(AttemptSpans(tracer))  # type: ignore[arg-type]
    Observers(SpanEvents(tracer))  # type: ignore[arg-type]
    SpanEvents()  # type: ignore[call-arg]
    PrometheusEvents(CollectorRegistry())  # type: ignore[call-arg]


def testing() -> None:
    """The helpers for tests tell their types too."""
    CircuitBreaker("a", BreakerConfig(), clock=FakeClock(1.0))
    listener = RecordingListener()
    assert_type(listener.of(BreakerChanged), list[BreakerChanged])
    assert_type(listener.transitions(), list[tuple[str, str]])
    assert_type(RecordingObserver().attempts, list[RecordedAttempt])
    attempts: Sequence[RecordedAttempt] = RecordingObserver().attempts
    assert_type(attempts[0].outcome, Outcome)
    assert_type(Script(["OK"]).total, int)
    with PolicySwitch(POLICY).off():
        pass
    FakeClock().advance("1")  # type: ignore[arg-type]
    PolicySwitch(ServerPolicy())  # type: ignore[arg-type]


def composing() -> None:
    """`policies` takes configurations in any order, and gives a client's policy."""
    composed = policies(
        "catalog",
        BreakerConfig(),
        RetryConfig(),
        HedgeConfig(delay_s=0.1),
        FallbackConfig(value=b""),
        base=POLICY,
        methods={"Get": MethodPolicy(coalesce=CoalesceConfig())},
        timeout_s=1.0,
    )
    assert_type(composed, ClientPolicy)
    assert_type(composed.for_method("/a.B/Get"), ClientPolicy)
    assert_type(composed.criticality, Criticality | None)
    assert_type(idempotent_methods(object()), frozenset[str])
    policies(methods={})  # type: ignore[call-arg]
    policies("catalog", methods={"Get": RetryConfig()})  # type: ignore[dict-item]
    policies("catalog", base=ServerPolicy())  # type: ignore[arg-type]
