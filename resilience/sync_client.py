"""The client chain for blocking grpc: one interceptor for all four call kinds."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc

from resilience._attempt import Attempt
from resilience._chain import Chain, Tally
from resilience._errors import ResilienceError
from resilience._slot import Slot
from resilience.sync_answers import fall_back, shared
from resilience.sync_attempt import begin, prepared, settle, watch
from resilience.sync_calls import AnsweredCall, refused
from resilience.sync_stream import LiveStream


class ClientChain(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """The client chain for all four call kinds."""

    def __init__(
        self, chain: Chain, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.chain = chain
        self._sleep = sleep

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Make the call, and make it again where the policy says so.

        One that was asked for as a future is made once: waiting to repeat it
        would block its caller.
        """
        slot = self.chain.slot(client_call_details.method)
        tally = self.chain.tally()
        call = self._answered(slot, continuation, client_call_details, request, tally)
        if tally is not None:
            if _running(call):
                call.add_done_callback(
                    lambda ended: self.chain.finished(slot, tally, ended.code().name)
                )
            else:
                self.chain.finished(slot, tally, call.code().name)
        return call

    def _answered(
        self,
        slot: Slot,
        continuation: Any,
        details: Any,
        request: Any,
        tally: Tally | None,
    ) -> Any:
        try:
            timeout = slot.timeout(details.timeout, streaming=False)
        except ResilienceError as error:
            return refused(error)
        if slot.plain:
            return self._attempts(slot, continuation, details, request, tally, timeout)
        make = partial(self._attempts, slot, continuation, details, request, tally)
        if slot.coalesce is not None:
            call = shared(slot, details, request, timeout, make)
        else:
            call = make(timeout)
        if slot.fallback is None or _running(call):
            return call
        failed = call.exception()
        if failed is None:
            if slot.fallback.config.stale_s:
                slot.fallback.remember(request, details.metadata, call.result())
            return call
        answer = fall_back(slot, request, details.metadata, failed)
        return call if answer is None else AnsweredCall(answer)

    def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Make the call and watch it to its end; again while no response came."""
        details = client_call_details
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=True)
        except ResilienceError as error:
            return refused(error)
        started = self.chain.clock()

        def start(number: int) -> tuple[Attempt, Any]:
            left = timeout
            if number > 1 and timeout is not None:
                left = started + timeout - self.chain.clock()
            attempt = begin(
                slot, left, streaming=True, request=request, metadata=details.metadata
            )
            call = self._send(slot, continuation, details, request, attempt, number)
            return attempt, call

        try:
            attempt, call = start(1)
        except ResilienceError as error:
            return self._refused(slot, request, details.metadata, error)
        if not hasattr(type(call), "__next__"):
            settle(slot, attempt, call)
            return call
        return LiveStream(
            slot,
            attempt,
            call,
            begin=None if slot.retry is None else start,
            fall_back=None
            if slot.fallback is None
            else partial(fall_back, slot, request, details.metadata),
            sleep=self._sleep,
        )

    def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Make the call and watch it to its end."""
        return self._once(
            continuation, client_call_details, request_iterator, streaming=False
        )

    def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Make the call and watch it to its end."""
        return self._once(
            continuation, client_call_details, request_iterator, streaming=True
        )

    def _attempts(
        self,
        slot: Slot,
        continuation: Any,
        details: Any,
        request: Any,
        tally: Tally | None,
        timeout: float | None,
    ) -> Any:
        state = None
        ends_at: float | None = None
        left = timeout
        number = 1
        while True:
            try:
                attempt = begin(
                    slot,
                    slot.attempt_timeout(left),
                    streaming=False,
                    request=request,
                    metadata=details.metadata,
                )
            except ResilienceError as error:
                return refused(error)
            call = self._send(slot, continuation, details, request, attempt, number)
            if _running(call):
                watch(slot, attempt, call)
                return call
            failure = settle(slot, attempt, call)
            if failure is None:
                return call
            if number == 1:
                state = self.chain.retries(slot, attempt.started)
                began = attempt.started - attempt.waited_s
                ends_at = None if timeout is None else began + timeout
            delay = slot.failed(failure, state, attempt=number, ends_at=ends_at)
            if delay is None:
                return call
            if tally is not None:
                tally.retry(delay)
            self._sleep(delay)
            number += 1
            left = None if ends_at is None else ends_at - self.chain.clock()

    def _once(
        self, continuation: Any, details: Any, request: Any, *, streaming: bool
    ) -> Any:
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=streaming)
        except ResilienceError as error:
            return refused(error)
        try:
            attempt = begin(
                slot, timeout, streaming=streaming, metadata=details.metadata
            )
        except ResilienceError as error:
            return self._refused(slot, None, None, error)
        call = self._send(slot, continuation, details, request, attempt, 1)
        if _running(call):
            if streaming:
                return LiveStream(slot, attempt, call)
            watch(slot, attempt, call)
        else:
            failure = settle(slot, attempt, call)
            if failure is not None:
                slot.failed(failure, None, attempt=1, ends_at=None)
        return call

    def _refused(
        self, slot: Slot, request: Any, metadata: Any, error: ResilienceError
    ) -> Any:
        """Return the call that a refusal before the first attempt makes."""
        if slot.fallback is not None:
            answer = fall_back(slot, request, metadata, error)
            if answer is not None:
                return AnsweredCall(answer)
        return refused(error)

    def _send(
        self,
        slot: Slot,
        continuation: Any,
        details: Any,
        request: Any,
        attempt: Attempt,
        number: int,
    ) -> Any:
        try:
            return continuation(prepared(slot, details, attempt, number), request)
        except BaseException:
            attempt.settle(None, self.chain.clock())
            raise

    def __repr__(self) -> str:
        return f"<ClientChain {self.chain.breakers()}>"


def _running(call: Any) -> bool:
    """Whether gRPC gave us a call to watch, not one that has ended."""
    return hasattr(type(call), "__next__") and not isinstance(
        call, AnsweredCall | ResilienceError
    )
