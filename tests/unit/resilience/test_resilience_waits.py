"""What is waited for a place in the bulkhead is taken off the call's time."""

import asyncio
import threading
import time

import grpc
import pytest
from grpc import aio

from resilience import (
    BulkheadConfig,
    DeadlineSpentError,
    NoBackendError,
    RetryConfig,
    policies,
)
from resilience._chain import Chain
from resilience.aio_attempt import enter
from resilience.aio_unary import UnaryUnary
from resilience.sync_attempt import begin
from resilience.sync_calls import refused
from resilience.sync_client import ClientChain
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience

METHOD = "/h.Hop/Go"
POLICY = policies(
    "x",
    BulkheadConfig(limit=1, max_wait_s=60),
    RetryConfig(backoff_s=20, backoff_max_s=20, jitter="none"),
    timeout_s=60,
)


class Queued:
    """A call that waits behind another, in either flavour, for so many seconds."""

    def __init__(self):
        self.clock, self.listener = FakeClock(), RecordingListener()
        self.chain = Chain(POLICY, clock=self.clock, listener=self.listener)
        self.slot = self.chain.slot(METHOD)
        self.bulkhead = self.slot.bulkhead
        assert self.bulkhead.try_enter()

    def let_in(self, after_s):
        self.clock.advance(after_s)
        self.bulkhead.leave()

    async def aio(self, coroutine, after_s):
        task = asyncio.ensure_future(coroutine)
        for _ in range(1000):
            if self.bulkhead.waiting:
                break
            await asyncio.sleep(0)
        self.let_in(after_s)
        return await asyncio.wait_for(task, 5)

    def sync(self, function, after_s):
        found = []

        def run():
            try:
                found.append(function())
            except DeadlineSpentError as error:
                found.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        for _ in range(1000):
            if self.bulkhead.waiting:
                break
            time.sleep(0.005)
        self.let_in(after_s)
        thread.join(5)
        return found[0]

    def told(self):
        return [getattr(event, "reason", None) for event in self.listener.events]


@pytest.fixture
def queued():
    return Queued()


async def test_an_attempt_has_the_time_that_its_wait_left_it(queued):
    """45 of 60 seconds in the queue leave 15 to be sent with (grpc.aio)."""
    attempt = queued.slot.begin(60.0, streaming=False)
    await queued.aio(enter(queued.slot, attempt), 45)

    assert 15 == attempt.timeout_s
    attempt.settle("OK", queued.clock())
    assert {"x": 0} == queued.chain.held()


def test_a_blocking_attempt_has_the_time_that_its_wait_left_it(queued):
    """45 of 60 seconds in the queue leave 15 to be sent with (blocking grpc)."""
    attempt = queued.sync(lambda: begin(queued.slot, 60.0, streaming=False), 45)

    assert 15 == attempt.timeout_s
    attempt.settle("OK", queued.clock())
    assert {"x": 0} == queued.chain.held()


async def test_an_attempt_that_waited_too_long_is_refused(queued):
    """Let in with nothing left, it is not sent and holds no place (grpc.aio)."""
    attempt = queued.slot.begin(60.0, streaming=False)
    with pytest.raises(DeadlineSpentError):
        await queued.aio(enter(queued.slot, attempt), 60)

    assert {"x": 0} == queued.chain.held()


def test_a_blocking_attempt_that_waited_too_long_is_refused(queued):
    """Let in with nothing left, it is not sent and holds no place (blocking grpc)."""
    error = queued.sync(lambda: begin(queued.slot, 60.0, streaming=False), 60)

    assert isinstance(error, DeadlineSpentError)
    assert {"x": 0} == queued.chain.held()


async def test_a_wait_is_taken_off_the_time_for_retries(queued):
    """After 45 of 60 seconds there is no time to wait 20 for a retry (grpc.aio)."""

    async def fails(_details, _request):
        raise aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata()
        )

    details = aio.ClientCallDetails(METHOD, None, None, None, None)
    call = UnaryUnary(queued.chain).intercept_unary_unary(fails, details, b"")
    await queued.aio(call, 45)

    assert ["deadline"] == queued.told()


def test_a_wait_is_taken_off_the_time_for_blocking_retries(queued):
    """After 45 of 60 seconds there is no time to wait 20 for a retry (blocking)."""
    sleeps = []
    chain = ClientChain(queued.chain, sleep=sleeps.append)
    details = aio.ClientCallDetails(METHOD, None, None, None, None)
    queued.sync(
        lambda: chain.intercept_unary_unary(
            lambda *_: refused(NoBackendError("x")), details, b""
        ),
        45,
    )

    assert ["deadline"] == queued.told()
    assert [] == sleeps
