"""A servicer's context that remembers which status was given."""

from typing import Any

import grpc
from opentelemetry.trace import INVALID_SPAN, Span

from observability import names, rpc

CANCELLED = "CANCELLED"


class Watched:
    """What the contexts of handlers on the loop and in threads share."""

    __slots__ = ("_context", "seen", "span", "why")

    def __init__(self, context: Any) -> None:
        self._context = context
        self.span: Span = INVALID_SPAN
        self.seen = "OK"
        self.why: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def received(self, request: Any) -> None:
        """Note the size of a unary request, in bytes."""
        size = getattr(request, "ByteSize", None)
        if size is not None:
            self.span.set_attribute(names.PAYLOAD_BYTES, size())

    def cancelled(self) -> None:
        """Note that the caller left, or that the deadline passed."""
        left = self._context.time_remaining()
        self.seen = "DEADLINE_EXCEEDED" if left is not None and left <= 0 else CANCELLED
        self.span.set_attribute(
            names.CANCELLED_BY, "caller" if self.seen == CANCELLED else "deadline"
        )

    def failed(self, error: Exception) -> None:
        """Note what the handler raised, unless it was an abort."""
        if self.seen == "OK":
            self.seen = "UNKNOWN"
            self.why = type(error).__name__
            self.span.record_exception(error)

    def set_code(self, code: grpc.StatusCode) -> None:
        """Remember the status the handler will return with."""
        self.seen = rpc.named(code)
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        """Remember the reason."""
        self.why = details
        self._context.set_details(details)


class WatchedContext(Watched):
    """The context of a handler that runs on the loop."""

    __slots__ = ()

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> None:
        """Remember the status, then abort."""
        self.seen, self.why = rpc.named(code), details
        await self._context.abort(code, details, trailing_metadata)

    async def abort_with_status(self, status: Any) -> None:
        """Remember the status, then abort."""
        self.seen, self.why = rpc.named(status.code), status.details
        await self._context.abort_with_status(status)


class BlockingContext(Watched):
    """The context of a handler that runs in a thread."""

    __slots__ = ()

    def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> None:
        """Remember the status, then abort."""
        self.seen, self.why = rpc.named(code), details
        self._context.abort(code, details, tuple(trailing_metadata))

    def abort_with_status(self, status: Any) -> None:
        """Remember the status, then abort."""
        self.abort(status.code, status.details, status.trailing_metadata or ())
