"""Policies as values, fallbacks, deadlines, outcomes, and what the package exports."""

import asyncio
import subprocess
import sys

import grpc
import pytest

import resilience
from resilience import (
    BreakerConfig,
    CircuitOpenError,
    ClientPolicy,
    Deadline,
    Fallback,
    FallbackServed,
    MethodPolicy,
    Outcome,
    RetryConfig,
    ServerPolicy,
    current_deadline,
    deadline_scope,
)
from resilience.testing import FakeClock, PolicySwitch, RecordingListener, Script

pytestmark = pytest.mark.resilience


@pytest.mark.parametrize(
    ("code", "cancelled_by", "origin", "verdict"),
    [
        ("OK", None, None, "success"),
        ("NOT_FOUND", None, None, "success"),
        ("INVALID_ARGUMENT", None, None, "success"),
        ("FAILED_PRECONDITION", None, None, "success"),
        ("UNKNOWN", None, None, "success"),
        ("UNAVAILABLE", None, None, "failure"),
        ("DEADLINE_EXCEEDED", "deadline", None, "failure"),
        ("RESOURCE_EXHAUSTED", None, None, "failure"),
        ("INTERNAL", None, None, "failure"),
        ("ABORTED", None, None, "failure"),
        ("DATA_LOSS", None, None, "failure"),
        ("CANCELLED", "caller", None, "ignored"),
        ("CANCELLED", "peer", None, "ignored"),
        ("CANCELLED", None, None, "ignored"),
        ("UNAVAILABLE", None, "leaf", "ignored"),
        (None, None, None, "ignored"),
    ],
)
def test_outcomes_are_judged_as_envoy_does(code, cancelled_by, origin, verdict):
    """Only what speaks against the called hop itself is a failure."""
    outcome = Outcome(
        code=code, latency_s=0.1, cancelled_by=cancelled_by, origin=origin
    )

    assert verdict == outcome.verdict


def test_method_overrides_apply_by_full_and_by_short_name():
    """What a method gives replaces, what it does not give is inherited."""
    retry, breaker = RetryConfig(attempts=5), BreakerConfig()
    policy = ClientPolicy(
        target="catalog",
        timeout_s=1,
        retry=retry,
        breaker=breaker,
        methods={
            "/shop.v1.Catalog/GetProduct": MethodPolicy(timeout_s=9),
            "ListProducts": MethodPolicy(retry=None, breaker=None),
        },
    )

    get = policy.for_method("/shop.v1.Catalog/GetProduct")
    listed = policy.for_method("/shop.v1.Catalog/ListProducts")
    other = policy.for_method("/shop.v1.Catalog/Other")

    assert (9, retry, breaker) == (get.timeout_s, get.retry, get.breaker)
    assert (1, None, None) == (listed.timeout_s, listed.retry, listed.breaker)
    assert (1, retry, breaker) == (other.timeout_s, other.retry, other.breaker)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ClientPolicy(target=""),
        lambda: ClientPolicy(target="x", timeout_s=0),
        lambda: ClientPolicy(target="x", reserve_s=-1),
        lambda: ServerPolicy(max_concurrent=0),
        lambda: resilience.BulkheadConfig(limit=0),
        lambda: resilience.BulkheadConfig(max_wait_s=-1),
        lambda: resilience.CacheConfig(ttl_s=-1),
        lambda: resilience.CacheConfig(max_entries=0),
        lambda: resilience.CacheConfig(jitter=1),
        lambda: Script([]),
    ],
)
def test_values_that_make_no_sense_are_refused(make):
    """A policy is checked when it is made, not when it is needed."""
    with pytest.raises(ValueError):
        make()


def test_presets_are_what_they_say():
    """Bare has no policy at all; standard has every one."""
    bare, standard = resilience.bare("x"), resilience.standard("x")

    assert bare == ClientPolicy(target="x", propagate_deadline=False)
    assert all((standard.retry, standard.retry_budget, standard.breaker))
    assert standard.bulkhead
    assert standard.propagate_deadline


def test_a_deadline_shrinks_and_never_grows_inside_a_scope():
    """An inner scope may only be earlier, unless it lifts the deadline."""
    assert None is current_deadline()
    with deadline_scope(1) as outer:
        with deadline_scope(5) as inner:
            assert inner is outer
        with deadline_scope(0.5) as inner:
            assert inner.at < outer.at
        with deadline_scope(None):
            assert None is current_deadline()
        assert outer is current_deadline()
    assert None is current_deadline()


def test_a_deadline_tells_what_is_left():
    """Remaining seconds, a reserve, and whether it has passed, on any clock."""
    clock = FakeClock()
    deadline = Deadline.after(2, clock=clock)
    clock.advance(0.5)

    assert 1.5 == deadline.remaining()
    assert 1.2 == pytest.approx(deadline.shrink(0.3).remaining())
    clock.advance(1.5)
    assert deadline.expired


async def test_a_deadline_follows_into_tasks():
    """A task begun inside a scope has the deadline, one begun outside has not."""
    with deadline_scope(1) as deadline:
        inside = asyncio.create_task(_current())
    outside = asyncio.create_task(_current())

    assert [deadline, None] == [await inside, await outside]


async def _current():
    return current_deadline()


class _Rpc(grpc.RpcError):
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code


async def test_a_fallback_answers_for_a_failed_service():
    """UNAVAILABLE gets the second best answer, marked, with an event."""
    listener = RecordingListener()
    fallback = Fallback("catalog", lambda error: "old", listener=listener)

    async def down():
        raise _Rpc(grpc.StatusCode.UNAVAILABLE)

    served = await fallback.run(down)

    assert ("old", True, "UNAVAILABLE") == (
        served.value,
        served.fallback,
        served.reason,
    )
    assert [("catalog", "UNAVAILABLE")] == [
        (event.target, event.reason) for event in listener.of(FallbackServed)
    ]


async def test_a_fallback_never_masks_a_bad_request():
    """NOT_FOUND, a bug and a cancellation reach the caller as they are."""
    fallback = Fallback("catalog", lambda error: "old")
    for error in (
        _Rpc(grpc.StatusCode.NOT_FOUND),
        LookupError(),
        asyncio.CancelledError(),
    ):

        async def fail(error=error):
            raise error

        with pytest.raises(type(error)):
            await fallback.run(fail)


async def test_a_fallback_may_be_async_and_answers_our_refusals():
    """An open breaker is a reason; its word is the reason given."""

    async def provide(error):
        return f"after {error.retry_after_s}"

    async def refused():
        raise CircuitOpenError("x", 2.0)

    served = await Fallback("catalog", provide).run(refused)

    assert ("after 2.0", "breaker_open") == (served.value, served.reason)


def test_a_blocking_fallback_refuses_an_async_answer():
    """run_blocking answers, or says that run() is needed; no coroutine gets out."""

    def down():
        raise TimeoutError

    assert 7 == Fallback("x", lambda _: 7).run_blocking(down).value
    assert 3 == Fallback("x", lambda _: 7).run_blocking(lambda: 3).value

    class Later:
        def __await__(self):
            yield

    with pytest.raises(TypeError, match="needs run"):
        Fallback("x", lambda _: Later()).run_blocking(down)


def test_the_switch_turns_every_policy_off_for_a_while():
    """Users' tests can run their services without any policy."""
    switch = PolicySwitch(resilience.standard("x"))
    with switch.off():
        assert resilience.bare("x") == switch()

    assert resilience.standard("x") == switch()


def test_exports_are_sorted_and_all_there():
    """Every exported name exists, and the list is in order."""
    for name in resilience.__all__:
        assert getattr(resilience, name)
    constants = [name for name in resilience.__all__ if name.isupper()]
    classes = [n for n in resilience.__all__ if n[0].isupper() and not n.isupper()]
    functions = [name for name in resilience.__all__ if name[0].islower()]
    expected = sorted(constants) + sorted(classes) + sorted(functions)
    assert expected == resilience.__all__


def test_the_core_imports_no_transport():
    """Who uses a breaker alone never loads grpc."""
    code = "import sys, resilience, resilience.testing; print('grpc' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "False" == done.stdout.strip()
