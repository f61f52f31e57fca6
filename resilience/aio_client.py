"""The client chain as grpc.aio interceptors: one chain, four thin faces.

grpc.aio files an interceptor under the first call kind its class has, so there
is one object for each kind; they share the chain, and each call passes one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from grpc import aio

from resilience._attempt import Attempt
from resilience._errors import ResilienceError
from resilience.aio_answers import fall_back
from resilience.aio_attempt import watch
from resilience.aio_calls import (
    EndedStreamStream,
    EndedStreamUnary,
    EndedUnaryStream,
)
from resilience.aio_face import Face
from resilience.aio_stream import LiveStreamStream, LiveUnaryStream


class UnaryStream(Face, aio.UnaryStreamClientInterceptor):
    """The chain for one request and many responses, but for coalescing and hedges."""

    async def intercept_unary_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Make the call and watch it to its end; again while no response came."""
        details = client_call_details
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=True)
        except ResilienceError as error:
            return EndedUnaryStream(error)

        async def begin(number: int) -> tuple[Attempt, Any]:
            left = timeout
            if number > 1 and timeout is not None:
                left = started + timeout - self.chain.clock()
            attempt = await self._begin(
                slot, details, left, streaming=True, request=request
            )
            call = await self._send(
                slot, continuation, details, request, attempt, number
            )
            return attempt, call

        try:
            attempt, call = await begin(1)
        except ResilienceError as error:
            if isinstance(error, aio.AioRpcError):
                raise
            return await self._refused(
                slot, error, EndedUnaryStream, request, details.metadata
            )
        started = attempt.started - attempt.waited_s
        return LiveUnaryStream(
            slot,
            attempt,
            call,
            begin=None if slot.retry is None else begin,
            fall_back=None
            if slot.fallback is None
            else partial(fall_back, slot, request, details.metadata),
        )


class StreamUnary(Face, aio.StreamUnaryClientInterceptor):
    """Deadline, breaker and limits for many requests and one response."""

    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Make the call and watch it to its end.

        A caller may write to the call only once this has returned, so nothing
        here waits for the response.
        """
        details = client_call_details
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=False)
        except ResilienceError as error:
            return EndedStreamUnary(error)
        try:
            attempt = await self._begin(slot, details, timeout, streaming=False)
        except ResilienceError as error:
            return await self._refused(slot, error, EndedStreamUnary)
        call = await self._send(slot, continuation, details, request_iterator, attempt)
        call.add_done_callback(partial(watch, slot, attempt))
        return call


class StreamStream(Face, aio.StreamStreamClientInterceptor):
    """Deadline, breaker and limits for streams both ways."""

    async def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Make the call and watch it to its end."""
        details = client_call_details
        slot = self.chain.slot(details.method)
        try:
            timeout = slot.timeout(details.timeout, streaming=True)
        except ResilienceError as error:
            return EndedStreamStream(error)
        try:
            attempt = await self._begin(slot, details, timeout, streaming=True)
        except ResilienceError as error:
            return await self._refused(slot, error, EndedStreamStream)
        call = await self._send(slot, continuation, details, request_iterator, attempt)
        return LiveStreamStream(slot, attempt, call)
