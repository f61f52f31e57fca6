"""Faults in the calls that a server serves, aio and blocking, all four call kinds."""

import asyncio
import contextlib
import inspect
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice
from typing import Any, Final

import grpc
from grpc import aio

from resilience._events import Listener
from resilience._faults import Fault, FaultConfig, Faults
from resilience.server_handlers import rebuild

Source = FaultConfig | Callable[[], FaultConfig]
TEXT: Final = "fault filter abort"


def _decide(faults: Faults, method: str, context: Any) -> Fault | None:
    # Decided when the handler begins: a call that died in the queue has none.
    return faults.decide(method, context.invocation_metadata() or ())


def _aio(faults: Faults, behaviour: Any, method: str) -> Any:
    async def begin(context: Any) -> Fault | None:
        fault = _decide(faults, method, context)
        if fault is not None:
            try:
                await asyncio.sleep(fault.delay_s)
            finally:
                faults.over(fault)
        return fault

    async def served(request: Any, context: Any) -> Any:
        fault = await begin(context)
        if fault is not None and fault.abort is not None:
            await context.abort(grpc.StatusCode[fault.abort], TEXT)
        return await behaviour(request, context)

    async def streamed(request: Any, context: Any) -> AsyncIterator[Any]:
        fault = await begin(context)
        abort = None if fault is None else fault.abort
        left = math.inf if fault is None or abort is None else fault.after_messages
        if left:
            async with contextlib.aclosing(behaviour(request, context)) as responses:
                async for message in responses:
                    yield message
                    left -= 1
                    if not left:
                        break
        if abort is not None:
            await context.abort(grpc.StatusCode[abort], TEXT)

    return streamed if inspect.isasyncgenfunction(behaviour) else served


def _blocking(
    faults: Faults,
    behaviour: Any,
    method: str,
    sleep: Callable[[float], None],
    *,
    streams: bool,
) -> Any:
    def begin(context: Any) -> Fault | None:
        fault = _decide(faults, method, context)
        if fault is not None:
            try:
                sleep(fault.delay_s)
            finally:
                faults.over(fault)
        return fault

    def served(request: Any, context: Any) -> Any:
        fault = begin(context)
        if fault is not None and fault.abort is not None:
            context.abort(grpc.StatusCode[fault.abort], TEXT)
        return behaviour(request, context)

    def streamed(request: Any, context: Any) -> Iterator[Any]:
        fault = begin(context)
        if fault is None or fault.abort is None:
            yield from behaviour(request, context)
            return
        if fault.after_messages:
            yield from islice(behaviour(request, context), fault.after_messages)
        context.abort(grpc.StatusCode[fault.abort], TEXT)

    return streamed if streams else served


class _AioServer(aio.ServerInterceptor):
    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method

        def around(behaviour: Any) -> Any:
            if inspect.isasyncgenfunction(behaviour) or inspect.iscoroutinefunction(
                behaviour
            ):
                return _aio(self.faults, behaviour, method)
            streams = handler.response_streaming
            # grpc.aio runs it in a thread, which may sleep.
            return _blocking(
                self.faults, behaviour, method, time.sleep, streams=streams
            )

        return rebuild(handler, around)


def aio_server_faults(
    config: Source,
    *,
    rng: random.Random | None = None,
    listener: Listener | None = None,
) -> aio.ServerInterceptor:
    """Return the interceptor that puts faults into a grpc.aio server's calls."""
    return _AioServer(Faults(config, rng=rng, listener=listener))


class _Server(grpc.ServerInterceptor):
    def __init__(self, faults: Faults, sleep: Callable[[float], None]) -> None:
        self.faults = faults
        self._sleep = sleep

    def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method, streams = handler_call_details.method, handler.response_streaming
        return rebuild(
            handler,
            lambda behaviour: _blocking(
                self.faults, behaviour, method, self._sleep, streams=streams
            ),
        )


def server_faults(
    config: Source,
    *,
    rng: random.Random | None = None,
    listener: Listener | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> grpc.ServerInterceptor:
    """Return the interceptor that puts faults into a blocking server's calls."""
    return _Server(Faults(config, rng=rng, listener=listener), sleep)
