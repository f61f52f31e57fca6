"""How policies are composed, named, and kept in bounds."""

import gc
import tracemalloc

import pytest

import resilience
from protos.shop.v1 import catalog_pb2
from resilience import (
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    ClientPolicy,
    CoalesceConfig,
    FallbackConfig,
    HedgeConfig,
    LimitConfig,
    MethodPolicy,
    RetryConfig,
    ServerPolicy,
    SheddingConfig,
    ThrottleConfig,
    idempotent_methods,
    policies,
)
from resilience._chain import MAX_METHODS, Chain
from resilience._slot import MAX_CONTEXTS
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience


def test_parts_go_to_their_places_in_any_order():
    """Whatever order they are given in, a call meets them in the one right order."""
    parts = [
        BulkheadConfig(),
        ThrottleConfig(),
        LimitConfig(),
        BreakerConfig(),
        BudgetConfig(),
        HedgeConfig(delay_s=1),
        RetryConfig(),
        CoalesceConfig(),
        FallbackConfig(value=b""),
    ]
    composed = policies("catalog", *parts, timeout_s=2.0)

    assert composed == policies("catalog", *reversed(parts), timeout_s=2.0)
    assert (
        "<ClientPolicy catalog: deadline 2 s > fallback > coalesce > retry > hedge > "
        "retry budget > breaker > limit > throttle > bulkhead>"
    ) == repr(composed)


def test_a_base_gives_the_rest():
    """What is not given comes from the base, or is off."""
    base = resilience.standard("x")
    composed = policies("catalog", RetryConfig(attempts=7), base=base)

    assert "catalog" == composed.target
    assert (7, base.breaker) == (composed.retry.attempts, composed.breaker)
    assert policies("catalog") == resilience.bare("catalog")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: policies("a", RetryConfig(), RetryConfig()), "retry is given twice"),
        (lambda: policies("a", RetryConfig(), retry=None), "retry is given twice"),
        (lambda: policies("a", ServerPolicy()), "no policy of a client"),
        (lambda: policies("a", "breaker"), "no policy of a client"),
        (lambda: policies(""), "target must be named"),
        (lambda: ClientPolicy(target="a", needs_s=0), "needs_s"),
        (lambda: ClientPolicy(target="a", needs_percentile=1), "needs_percentile"),
        (lambda: ServerPolicy(shedding=SheddingConfig()), "shedding needs a limit"),
        (FallbackConfig, "needs value, provide, other or stale_s"),
        (lambda: FallbackConfig(value=1, stale_s=-1), "stale_s"),
        (lambda: FallbackConfig(value=1, max_entries=0), "max_entries"),
    ],
)
def test_what_cannot_be_composed_is_refused(make, says):
    """Each mistake is told in words, when the policy is made."""
    with pytest.raises(ValueError, match=says):
        make()


def test_an_unknown_field_is_refused():
    """A field that no policy has is a TypeError, as in any call."""
    with pytest.raises(TypeError):
        policies("a", timeouts=1)


def test_methods_that_may_not_be_repeated_get_none_of_it():
    """Retry, hedge and sharing are for idempotent methods; the rest is for all."""
    policy = policies(
        "shop",
        RetryConfig(),
        HedgeConfig(delay_s=1),
        BreakerConfig(),
        methods={"Pay": MethodPolicy(coalesce=CoalesceConfig())},
        idempotent=frozenset({"Get"}),
    )
    pay, get = policy.for_method("/shop.S/Pay"), policy.for_method("/shop.S/Get")

    assert (None, None, None) == (pay.retry, pay.hedge, pay.coalesce)
    assert pay.breaker is not None
    assert get.retry is not None
    assert get.hedge is not None


class _Options:
    def __init__(self, level):
        self.idempotency_level = level


class _Named:
    def __init__(self, name, level=0, methods=()):
        self.name = self.full_name = name
        self.methods = methods
        self._level = level

    def GetOptions(self):  # noqa: N802  # protobuf's name
        return _Options(self._level)


def test_protos_say_what_may_be_repeated():
    """NO_SIDE_EFFECTS is safe, IDEMPOTENT may be repeated, the rest may not."""
    service = _Named(
        "shop.S", methods=[_Named("Get", 1), _Named("Put", 2), _Named("Pay", 0)]
    )

    assert {"/shop.S/Get", "/shop.S/Put"} == idempotent_methods(service)
    assert {"/shop.S/Get"} == idempotent_methods(service, safe_only=True)
    assert isinstance(idempotent_methods(catalog_pb2.DESCRIPTOR), frozenset)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "calls", [180_000, pytest.param(1_000_000, marks=pytest.mark.soak)]
)
def test_many_calls_over_ten_thousand_keys_stay_in_bounds(calls):
    """Neither methods nor contexts nor the age of the process add memory."""
    clock = FakeClock()
    policy = policies(
        "shop",
        RetryConfig(),
        BudgetConfig(),
        BreakerConfig(window_size=20),
        BulkheadConfig(limit=100),
        ThrottleConfig(),
        breaker_key=lambda request, _metadata: request,
        needs_percentile=0.5,
        timeout_s=60.0,
    )
    chain = Chain(policy, clock=clock)
    methods = [f"/shop.S/M{n}" for n in range(3 * MAX_METHODS)]
    keys = [f"tenant-{n}" for n in range(10_000)]

    def call(number):
        slot = chain.slot(methods[0])
        clock.advance(0.001)
        attempt = slot.begin(60.0, streaming=False, request=keys[number % 10_000])
        attempt.started = clock()
        attempt.settle("OK", clock() + 0.001)
        slot.succeeded()

    for number in range(20_000):
        call(number)
    for method in methods:
        chain.slot(method)
    for number in range(20_000):
        call(number)
    for number in range(calls - 140_000):
        call(number)
    tracemalloc.start()
    # By the end of this every context kept was made while memory is traced.
    for number in range(20_000):
        call(number)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(80_000):
        call(number)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    (slot,) = [s for s in chain._slots.values() if s.method == methods[0]]
    assert MAX_METHODS == len(chain._slots)
    assert MAX_CONTEXTS == len(slot._contexts)
    assert grown < 200_000
