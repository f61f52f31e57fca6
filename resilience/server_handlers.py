"""Wrapping a method's handler, whatever its kind, and blocking ones in threads."""

import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from resilience._admission import Admission, Refusal
from resilience._downstream import DOWNSTREAM, Downstream
from resilience._lag import queue_delay
from resilience._outcome import CODES
from resilience._wire import REFUSAL

_KINDS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def rebuild(handler: Any, around: Callable[[Any], Any]) -> Any:
    """Return *handler* with its behaviour replaced by *around* of it."""
    name, build = _KINDS[handler.request_streaming, handler.response_streaming]
    return build(
        around(getattr(handler, name)),
        handler.request_deserializer,
        handler.response_serializer,
    )


class BlockingContext:
    """A sync servicer's context, which adds the failure's origin to the trailers."""

    __slots__ = ("_context", "downstream", "waited_s")

    def __init__(self, context: Any, downstream: Downstream, waited_s: float) -> None:
        self._context = context
        self.downstream = downstream
        self.waited_s = waited_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def abort(
        self, code: grpc.StatusCode, details: str, *trailing_metadata: Any
    ) -> None:
        """End the call; see ServicerContext.abort."""
        # grpc.aio gives its blocking handlers a context that takes trailers here.
        if trailing_metadata:
            self._context.set_trailing_metadata(tuple(trailing_metadata[0]))
        self._mark(named(code))
        self._context.abort(code, details)

    def abort_with_status(self, status: Any) -> None:
        """End the call; see ServicerContext.abort_with_status."""
        # The status brings trailers that would replace ours: set both, then abort.
        extra = self.downstream.trailers(status.code.name)
        if not extra:
            self._context.abort_with_status(status)
            return
        self._context.set_trailing_metadata((*(status.trailing_metadata or ()), *extra))
        self._context.abort(status.code, status.details)

    def status(self, otherwise: str) -> str:
        """Name the status that was set or aborted with, or say *otherwise*."""
        code = getattr(self._context, "code", lambda: None)()
        return str(getattr(code, "name", "UNKNOWN")) if code else otherwise

    def finish(self) -> None:
        """Add to the trailers what the handler's own calls ran into."""
        if not self.downstream.silent:
            code = getattr(self._context, "code", lambda: None)()
            self._mark(str(getattr(code, "name", "UNKNOWN")) if code else "OK")

    def _mark(self, name: str) -> None:
        extra = self.downstream.trailers(name)
        if extra:
            read = getattr(self._context, "trailing_metadata", tuple)
            given = tuple(read() or ())
            self._context.set_trailing_metadata((*given, *extra))


def wrap_blocking(
    admission: Admission, behaviour: Any, method: str, *, streams: bool, lasting: bool
) -> Any:
    """Return *behaviour*, a plain function or generator, with the policies around it.

    *streams* says that it gives many responses, *lasting* that it is a stream at all.

    Each call runs in a context of its own, because server threads are reused.
    """

    def enter(context: Any) -> tuple[contextvars.Context, BlockingContext]:
        own = contextvars.copy_context()
        waited = queue_delay(admission.clock())
        refusal = own.run(
            admission.enter,
            method,
            context.time_remaining(),
            context.invocation_metadata,
            waited_s=waited,
        )
        if refusal is not None:
            _refuse(context, refusal)
        downstream = own[DOWNSTREAM]
        assert downstream is not None
        return own, BlockingContext(context, downstream, waited)

    def served(request: Any, context: Any) -> Any:
        own, mine = enter(context)
        code = "UNKNOWN"
        try:
            response = own.run(behaviour, request, mine)
            mine.finish()
            code = mine.status("OK")
        except Exception:
            code = mine.status("UNKNOWN")
            raise
        finally:
            # How long a stream lives says nothing about the load.
            learnt = None if lasting else code
            admission.leave(mine.downstream, learnt, queue_delay_s=mine.waited_s)
        return response

    def served_stream(request: Any, context: Any) -> Iterator[Any]:
        own, mine = enter(context)
        try:
            responses = iter(own.run(behaviour, request, mine))
            while True:
                try:
                    # Each message may be made in another thread of the pool.
                    response = own.run(next, responses)
                except StopIteration:
                    break
                yield response
            mine.finish()
        finally:
            # How long a stream lives says nothing about the load.
            admission.leave(mine.downstream, None)

    return served_stream if streams else served


def named(code: Any) -> str:
    """Return the status name of what a handler set: a status, its number, nothing."""
    if not code:
        return "OK"
    if isinstance(code, int):
        return CODES[code] if 0 <= code < len(CODES) else "UNKNOWN"
    return getattr(code, "name", "UNKNOWN")


def _refuse(context: Any, refusal: Refusal) -> None:
    context.set_trailing_metadata(((REFUSAL, refusal.word),))
    context.abort(grpc.StatusCode[refusal.code], refusal.details)
