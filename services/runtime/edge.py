"""The edge of a servicer: whatever leaves a handler becomes a proper gRPC status.

A plain wrapper around the methods, because every further grpc.aio interceptor costs
each call more than the translation does.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc

from services.runtime.errors import translate

S = TypeVar("S")


class Guarded:
    """A servicer whose methods never raise anything but an abort or a cancellation."""

    def __init__(self, servicer: object) -> None:
        self._servicer = servicer

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._servicer, name)
        if inspect.isasyncgenfunction(method):
            return _stream(method)
        return _unary(method)


def _unary(method: Callable[..., Any]) -> Callable[..., Any]:
    async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await method(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the edge
            await _abort(context, error)

    return serve


def _stream(method: Callable[..., Any]) -> Callable[..., Any]:
    async def serve(
        request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        try:
            async for response in method(request, context):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the edge
            await _abort(context, error)

    return serve


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
    status, message, trailers = translate(error)
    await context.abort(status, message, trailers)
