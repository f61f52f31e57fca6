"""The edge of a servicer: whatever leaves a handler becomes a proper gRPC status.

A plain wrapper around the methods, because every further grpc.aio interceptor costs
each call more than the translation does.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import grpc
from opentelemetry import trace

from observability import names
from services.runtime.errors import ShopError, retry_after_ms, translate

Context = grpc.aio.ServicerContext[Any, Any]


class Guarded:
    """A servicer whose methods never raise anything but an abort or a cancellation.

    A stream that is open when `draining` is set ends with UNAVAILABLE (DRAINING), so
    that its reader asks another process instead of holding this one up.
    """

    def __init__(self, servicer: object, draining: asyncio.Event) -> None:
        self._servicer = servicer
        self._draining = draining

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._servicer, name)
        if inspect.isasyncgenfunction(method):
            return _stream(method, self._draining)
        return _unary(method)


def _unary(method: Callable[..., Any]) -> Callable[..., Any]:
    async def serve(request: Any, context: Context) -> Any:
        try:
            return await method(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the edge
            await _abort(context, error)

    return serve


def _stream(
    method: Callable[..., AsyncGenerator[Any, None]], draining: asyncio.Event
) -> Callable[..., Any]:
    async def serve(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for response in _until(draining, method(request, context)):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the edge
            await _abort(context, error)

    return serve


async def _until(
    draining: asyncio.Event, responses: AsyncGenerator[Any, None]
) -> AsyncIterator[Any]:
    leaving = asyncio.ensure_future(draining.wait())
    following: asyncio.Future[Any] = leaving
    try:
        while True:
            following = asyncio.ensure_future(anext(responses))
            await asyncio.wait(
                {following, leaving}, return_when=asyncio.FIRST_COMPLETED
            )
            if not following.done():
                raise ShopError(
                    grpc.StatusCode.UNAVAILABLE,
                    "DRAINING",
                    "this process is leaving",
                    retry_after_s=0.1,
                )
            try:
                response = following.result()
            except StopAsyncIteration:
                return
            yield response
    finally:
        for task in (following, leaving):
            task.cancel()
        await asyncio.wait({following, leaving})
        await responses.aclose()


async def _abort(context: Context, error: Exception) -> None:
    status, message, trailers = translate(error)
    if (after_ms := retry_after_ms(trailers)) is not None:
        trace.get_current_span().set_attribute(names.RETRY_AFTER_MS, after_ms)
    await context.abort(status, message, trailers)
