"""The server chain as one interceptor for blocking grpc."""

from collections.abc import Callable
from typing import Any

import grpc

from resilience._admission import Admission
from resilience._chain import MAX_METHODS
from resilience._events import Listener
from resilience._lag import ARRIVED
from resilience._policy import ServerPolicySource
from resilience.server_handlers import rebuild, wrap_blocking


class ServerChain(grpc.ServerInterceptor):
    """Sets the current deadline, bounds the calls served, names origins."""

    def __init__(
        self, source: ServerPolicySource, *, listener: Listener | None = None
    ) -> None:
        self.admission = Admission(source, listener=listener)
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler with the policies around it."""
        # The handler runs in this context, once a thread of the pool is free.
        ARRIVED.set(self.admission.clock())
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        held = self._wrapped.get(method)
        if held is not None and held[0] is handler:
            return held[1]
        wrapped = rebuild(
            handler,
            lambda behaviour: wrap_blocking(
                self.admission,
                behaviour,
                method,
                streams=handler.response_streaming,
                lasting=handler.request_streaming or handler.response_streaming,
            ),
        )
        # A generic handler may answer to any name.
        if len(self._wrapped) >= MAX_METHODS:
            self._wrapped.clear()
        self._wrapped[method] = (handler, wrapped)
        return wrapped

    def __repr__(self) -> str:
        return f"<ServerChain {self.admission.in_flight} in flight>"
