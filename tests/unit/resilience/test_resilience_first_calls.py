"""Threads whose first calls come together share what is made for the first."""

import contextlib
import threading

import pytest

from resilience import (
    AIMDConfig,
    BudgetConfig,
    BulkheadConfig,
    LimitConfig,
    ServerPolicy,
    SheddingConfig,
    ThrottleConfig,
    VegasConfig,
    _admission,
    _chain,
    policies,
)
from resilience._admission import Admission
from resilience._chain import Chain
from resilience._downstream import DOWNSTREAM

pytestmark = pytest.mark.resilience

THREADS = 4


def _together(work):
    """Run work(number) in threads; each of their errors is the test's."""
    errors = []

    def run(number):
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  # told below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [] == errors


class Meeting:
    """Makes the makers of shared things meet, where nothing keeps them apart."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch

    def at(self, module, name):
        make, barrier = getattr(module, name), threading.Barrier(THREADS)

        def made(*args, **kwargs):
            # Broken where the others are held off, as they should be.
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait(0.2)
            return make(*args, **kwargs)

        self._monkeypatch.setattr(module, name, made)


@pytest.fixture
def meeting(monkeypatch):
    return Meeting(monkeypatch)


@pytest.mark.parametrize("shedding", [None, SheddingConfig()])
def test_a_servers_first_calls_meet_one_limit(meeting, shedding):
    """Each place goes back to the limit it came from; none is held when all ended."""
    meeting.at(_admission, "AdaptiveLimiter")
    limit = LimitConfig(algorithm=VegasConfig(initial=20))
    admission = Admission(ServerPolicy(limit=limit, shedding=shedding))
    limiters = set()

    def call(_number):
        assert admission.enter("/a/b", None, tuple) is None
        request = DOWNSTREAM.get()
        limiters.add(request.limiter)
        admission.leave(request, "OK")

    _together(call)

    assert {admission.limiter} == limiters
    assert 0 == admission.limiter.in_flight
    for _ in range(50):
        assert admission.enter("/a/b", None, tuple) is None
        admission.leave(DOWNSTREAM.get(), "OK")


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("TokenBucket", "bucket"),
        ("Bulkhead", "bulkhead"),
        ("AdaptiveLimiter", "limiter"),
        ("ClientThrottle", "throttle"),
    ],
)
def test_a_clients_methods_share_what_their_target_has(meeting, name, attribute):
    """First calls of several methods at once leave one of each, not one a method."""
    meeting.at(_chain, name)
    chain = Chain(
        policies(
            "x",
            BudgetConfig(),
            BulkheadConfig(),
            LimitConfig(algorithm=AIMDConfig()),
            ThrottleConfig(),
        )
    )
    _together(lambda number: chain.slot(f"/a/m{number}"))

    found = {getattr(chain.slot(f"/a/m{n}"), attribute) for n in range(THREADS)}
    assert 1 == len(found)


def test_first_calls_of_a_method_share_its_slot(meeting):
    """Each thread gets the one slot, with the one breaker, that the chain keeps."""
    meeting.at(_chain, "Slot")
    chain = Chain(policies("x"))
    slots = set()
    _together(lambda _: slots.add(chain.slot("/a/b")))

    assert {chain.slot("/a/b")} == slots


def test_an_attempt_gives_its_place_back_where_it_took_it(monkeypatch):
    """A policy that drops the limit meanwhile leaves no place taken in it."""
    chain = Chain(policies("x", LimitConfig(algorithm=AIMDConfig())))
    slot = chain.slot("/a/b")
    limiter = slot.limiter
    acquire = limiter.acquire

    def meanwhile():
        place = acquire()
        slot.limiter = None
        return place

    monkeypatch.setattr(limiter, "acquire", meanwhile)
    slot.begin(None, streaming=False).settle("OK", 0.0)

    assert 0 == limiter.in_flight
