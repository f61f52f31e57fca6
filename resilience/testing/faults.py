"""Fault injection for a channel or a server, aio and blocking, all four call kinds."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

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
from resilience.sync_calls import as_ended
from resilience.testing._server_faults import (
    TEXT,
    Source,
    aio_server_faults,
    server_faults,
)

_LATE = "Deadline Exceeded"


class _DetailFields(NamedTuple):
    method: Any
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Details(_DetailFields, grpc.ClientCallDetails):
    """The call details that blocking grpc reads by attribute."""


class _Plan(NamedTuple):
    """A client's fault against the call's own time."""

    wait_s: float
    code: str | None
    text: str
    timeout: float | None


def _plan(fault: Fault, timeout: float | None) -> _Plan:
    # The delay is the network's, so that it is spent of the call's time.
    if timeout is not None and fault.delay_s >= timeout:
        return _Plan(max(0.0, timeout), "DEADLINE_EXCEEDED", _LATE, 0.0)
    left = None if timeout is None else timeout - fault.delay_s
    return _Plan(fault.delay_s, fault.abort, TEXT, left)


def _faults(config: Source, rng: Any, listener: Listener | None) -> Faults:
    if isinstance(config, FaultConfig) and (config.after_messages or config.headers):
        raise ValueError("after_messages and headers are for a server's faults")
    return Faults(config, rng=rng, listener=listener)


def _error(code: str, text: str) -> aio.AioRpcError:
    return aio.AioRpcError(
        grpc.StatusCode[code], aio.Metadata(), aio.Metadata(), details=text
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
            plan = _plan(fault, details.timeout)
            try:
                await asyncio.sleep(plan.wait_s)
            finally:
                self.faults.over(fault)
            if plan.code is not None:
                return self.ended(_error(plan.code, plan.text))
            details = details._replace(timeout=plan.timeout)
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

    After the resilience interceptors in the list they look like the network's: a
    delay is part of the call's timeout. Raises ValueError for what is a server's.
    """
    faults = _faults(config, rng, listener)
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
            plan = _plan(fault, details.timeout)
            try:
                self._sleep(plan.wait_s)
            finally:
                self.faults.over(fault)
            if plan.code is not None:
                return as_ended(plan.code, plan.text)
            details = _Details(
                details.method,
                plan.timeout,
                details.metadata,
                details.credentials,
                details.wait_for_ready,
                details.compression,
            )
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
    """Return the interceptor that puts faults into a blocking channel's calls.

    As `aio_client_faults`; a delay holds the calling thread, of futures and streams,
    too.
    """
    return [_Client(_faults(config, rng, listener), sleep)]


__all__ = [
    "FaultConfig",
    "Faults",
    "aio_client_faults",
    "aio_server_faults",
    "client_faults",
    "server_faults",
]
