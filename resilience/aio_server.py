"""The server chain as one grpc.aio interceptor."""

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from resilience._admission import Admission, Refusal
from resilience._chain import MAX_METHODS
from resilience._downstream import DOWNSTREAM, Downstream
from resilience._events import Listener
from resilience._lag import LoopLag
from resilience._policy import ServerPolicySource
from resilience._wire import REFUSAL
from resilience.server_handlers import named, rebuild, wrap_blocking


class _Context:
    """The servicer's context, which adds the failure's origin to the trailers."""

    __slots__ = ("_context", "_downstream")

    def __init__(self, context: Any, downstream: Downstream) -> None:
        self._context = context
        self._downstream = downstream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Any = (),
    ) -> None:
        """End the call; see ServicerContext.abort."""
        extra = self._downstream.trailers(named(code))
        if extra:
            given = trailing_metadata or self._context.trailing_metadata()
            trailing_metadata = merged(given, extra)
        await self._context.abort(code, details, tuple(trailing_metadata or ()))

    def finish(self) -> str:
        """Add to the trailers what the handler's own calls ran into; name the code."""
        name = named(self._context.code())
        if not self._downstream.silent:
            extra = self._downstream.trailers(name)
            if extra and not self._context.done():
                given = self._context.trailing_metadata()
                self._context.set_trailing_metadata(merged(given, extra))
        return name


def merged(given: Any, extra: tuple[tuple[str, str], ...]) -> tuple[Any, ...]:
    """Return the trailers *given* and those of *extra* that they do not have."""
    held: tuple[Any, ...] = tuple(given or ())
    names = {name for name, _ in held}
    return held + tuple(item for item in extra if item[0] not in names)


class ServerChain(aio.ServerInterceptor):
    """Sets the current deadline, bounds the calls served, names origins."""

    def __init__(
        self, source: ServerPolicySource, *, listener: Listener | None = None
    ) -> None:
        self.admission = Admission(source, listener=listener)
        self._wrapped: dict[str, tuple[Any, Any]] = {}
        self._lag = LoopLag()

    def _leave(self, downstream: Downstream, code: str | None) -> None:
        if downstream.place is None:
            self.admission.leave(downstream, code)
            return
        # Whoever waits for a busy loop waits before the handler begins.
        self._lag.watch()
        self.admission.leave(downstream, code, queue_delay_s=self._lag.seconds)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler with the policies around it."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        held = self._wrapped.get(method)
        if held is not None and held[0] is handler:
            return held[1]
        wrapped = self._wrap(handler, method)
        # A generic handler may answer to any name.
        if len(self._wrapped) >= MAX_METHODS:
            self._wrapped.clear()
        self._wrapped[method] = (handler, wrapped)
        return wrapped

    def _wrap(self, handler: Any, method: str) -> Any:
        lasting = handler.request_streaming or handler.response_streaming

        def around(behaviour: Any) -> Any:
            if inspect.isasyncgenfunction(behaviour):
                return self._around_generator(behaviour, method)
            if inspect.iscoroutinefunction(behaviour):
                return self._around_coroutine(behaviour, method, lasting=lasting)
            return wrap_blocking(
                self.admission,
                behaviour,
                method,
                streams=handler.response_streaming,
                lasting=lasting,
            )

        return rebuild(handler, around)

    def _around_coroutine(self, behaviour: Any, method: str, *, lasting: bool) -> Any:
        admission, leave = self.admission, self._leave

        async def served(request: Any, context: Any) -> Any:
            refusal = admission.enter(
                method, context.time_remaining(), context.invocation_metadata
            )
            if refusal is not None:
                await _refuse(context, refusal)
            downstream = DOWNSTREAM.get()
            assert downstream is not None
            mine = _Context(context, downstream)
            code: str | None = "CANCELLED"
            try:
                response = await behaviour(request, mine)
                code = mine.finish()
            except Exception:
                # Without a status of its own, gRPC will say UNKNOWN.
                code = named(context.code() or grpc.StatusCode.UNKNOWN)
                raise
            finally:
                # How long a stream lives says nothing about the load.
                leave(downstream, None if lasting else code)
            return response

        return served

    def _around_generator(self, behaviour: Any, method: str) -> Any:
        admission, leave = self.admission, self._leave

        async def served(request: Any, context: Any) -> AsyncIterator[Any]:
            refusal = admission.enter(
                method, context.time_remaining(), context.invocation_metadata
            )
            if refusal is not None:
                await _refuse(context, refusal)
            downstream = DOWNSTREAM.get()
            assert downstream is not None
            mine = _Context(context, downstream)
            try:
                async with contextlib.aclosing(behaviour(request, mine)) as responses:
                    async for response in responses:
                        yield response
                mine.finish()
            finally:
                # How long a stream lives says nothing about the load.
                leave(downstream, None)

        return served

    def __repr__(self) -> str:
        return f"<ServerChain {self.admission.in_flight} in flight>"


async def _refuse(context: Any, refusal: Refusal) -> None:
    code = grpc.StatusCode[refusal.code]
    await context.abort(code, refusal.details, ((REFUSAL, refusal.word),))
