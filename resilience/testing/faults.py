"""Fault injection for a channel or a server, aio and blocking, all four call kinds."""

import asyncio
import inspect
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, ClassVar

import grpc
from grpc import aio

from resilience._events import Listener
from resilience._faults import Fault, FaultConfig, Faults
from resilience.aio_calls import (
    EndedStreamStream,
    EndedStreamUnary,
    EndedUnaryStream,
    EndedUnaryUnary,
)
from resilience.server_handlers import rebuild
from resilience.sync_calls import as_ended

Source = FaultConfig | Callable[[], FaultConfig]
_TEXT = "fault filter abort"


def _error(code: str) -> aio.AioRpcError:
    return aio.AioRpcError(
        grpc.StatusCode[code], aio.Metadata(), aio.Metadata(), details=_TEXT
    )


class _AioFace:
    ended: ClassVar[type]

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    async def _call(self, continuation: Any, details: Any, request: Any) -> Any:
        method = details.method
        name = method.decode() if isinstance(method, bytes) else method
        fault = self.faults.decide(name)
        if fault is not None:
            try:
                await asyncio.sleep(fault.delay_s)
            finally:
                self.faults.over(fault)
            if fault.abort is not None:
                return self.ended(_error(fault.abort))
        return await continuation(details, request)


class _UnaryUnary(_AioFace, aio.UnaryUnaryClientInterceptor):
    ended = EndedUnaryUnary

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await self._call(continuation, client_call_details, request)


class _UnaryStream(_AioFace, aio.UnaryStreamClientInterceptor):
    ended = EndedUnaryStream

    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await self._call(continuation, client_call_details, request)


class _StreamUnary(_AioFace, aio.StreamUnaryClientInterceptor):
    ended = EndedStreamUnary

    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._call(continuation, client_call_details, request_iterator)


class _StreamStream(_AioFace, aio.StreamStreamClientInterceptor):
    ended = EndedStreamStream

    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._call(continuation, client_call_details, request_iterator)


def aio_client_faults(
    config: Source,
    *,
    rng: random.Random | None = None,
    listener: Listener | None = None,
) -> list[aio.ClientInterceptor]:
    """Return interceptors that put faults into a grpc.aio channel's calls.

    After the resilience interceptors in the list they look like the network's.
    """
    faults = Faults(config, rng=rng, listener=listener)
    return [
        _UnaryUnary(faults),
        _UnaryStream(faults),
        _StreamUnary(faults),
        _StreamStream(faults),
    ]


class _Client(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, faults: Faults, sleep: Callable[[float], None]) -> None:
        self.faults = faults
        self._sleep = sleep

    def _call(self, continuation: Any, details: Any, request: Any) -> Any:
        fault = self.faults.decide(details.method)
        if fault is not None:
            try:
                self._sleep(fault.delay_s)
            finally:
                self.faults.over(fault)
            if fault.abort is not None:
                return as_ended(fault.abort, _TEXT)
        return continuation(details, request)

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return self._call(continuation, client_call_details, request)

    def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return self._call(continuation, client_call_details, request)

    def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return self._call(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return self._call(continuation, client_call_details, request_iterator)


def client_faults(
    config: Source,
    *,
    rng: random.Random | None = None,
    listener: Listener | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[grpc.UnaryUnaryClientInterceptor]:
    """Return the interceptor that puts faults into a blocking channel's calls."""
    return [_Client(Faults(config, rng=rng, listener=listener), sleep)]


class _AioServer(aio.ServerInterceptor):
    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler: Any = await continuation(handler_call_details)
        fault = self.faults.decide(handler_call_details.method)
        if handler is None or fault is None:
            if fault is not None:
                self.faults.over(fault)
            return handler
        return rebuild(handler, lambda behaviour: self._around(behaviour, fault))

    def _around(self, behaviour: Any, fault: Fault) -> Any:
        async def strike(context: Any) -> None:
            try:
                await asyncio.sleep(fault.delay_s)
            finally:
                self.faults.over(fault)
            if fault.abort is not None:
                await context.abort(grpc.StatusCode[fault.abort], _TEXT)

        async def served(request: Any, context: Any) -> Any:
            await strike(context)
            return await behaviour(request, context)

        async def streamed(request: Any, context: Any) -> AsyncIterator[Any]:
            await strike(context)
            async for message in behaviour(request, context):
                yield message

        return streamed if inspect.isasyncgenfunction(behaviour) else served


def aio_server_faults(
    config: Source,
    *,
    rng: random.Random | None = None,
    listener: Listener | None = None,
) -> aio.ServerInterceptor:
    """Return the interceptor that puts faults into a grpc.aio server's calls.

    Handlers are coroutine functions or async generators.
    """
    return _AioServer(Faults(config, rng=rng, listener=listener))


class _Server(grpc.ServerInterceptor):
    def __init__(self, faults: Faults, sleep: Callable[[float], None]) -> None:
        self.faults = faults
        self._sleep = sleep

    def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        fault = self.faults.decide(handler_call_details.method)
        if handler is None or fault is None:
            if fault is not None:
                self.faults.over(fault)
            return handler

        def strike(context: Any) -> None:
            try:
                self._sleep(fault.delay_s)
            finally:
                self.faults.over(fault)
            if fault.abort is not None:
                context.abort(grpc.StatusCode[fault.abort], _TEXT)

        def around(behaviour: Any) -> Any:
            def served(request: Any, context: Any) -> Any:
                strike(context)
                return behaviour(request, context)

            def streamed(request: Any, context: Any) -> Iterator[Any]:
                strike(context)
                yield from behaviour(request, context)

            return streamed if handler.response_streaming else served

        return rebuild(handler, around)


def server_faults(
    config: Source,
    *,
    rng: random.Random | None = None,
    listener: Listener | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> grpc.ServerInterceptor:
    """Return the interceptor that puts faults into a blocking server's calls."""
    return _Server(Faults(config, rng=rng, listener=listener), sleep)


__all__ = [
    "FaultConfig",
    "Faults",
    "aio_client_faults",
    "aio_server_faults",
    "client_faults",
    "server_faults",
]
