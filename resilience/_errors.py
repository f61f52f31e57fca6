"""Our own refusals, as one tree.

* ResilienceError
  * CircuitOpenError      UNAVAILABLE          breaker_open
  * BulkheadFullError     RESOURCE_EXHAUSTED   bulkhead
  * DeadlineSpentError    DEADLINE_EXCEEDED    deadline
  * BudgetSpentError      UNAVAILABLE          budget
  * ThrottledError        UNAVAILABLE          throttle
  * LimitReachedError     RESOURCE_EXHAUSTED   limit
  * NoBackendError        UNAVAILABLE          no_backend

The gRPC adapters raise subclasses that are RpcErrors as well, so that both
``except CircuitOpenError`` and ``except grpc.RpcError`` do what they say.
"""

from typing import Any, ClassVar


def rebuilt(kind: Any, args: tuple[Any, ...]) -> Any:
    """Return a bare error of *kind*, as a copy or a pickle needs it.

    What its own ``__init__`` takes is not what it holds; the rest is set after.
    """
    return kind.__new__(kind, *args)


class ResilienceError(Exception):
    """A call that was refused by a policy of ours, not by the service."""

    grpc_status: ClassVar[str] = "UNAVAILABLE"
    refusal: ClassVar[str] = "refused"

    def __init__(
        self, message: str, *, name: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.name = name
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> Any:
        return rebuilt, (type(self), self.args), self.__dict__


class CircuitOpenError(ResilienceError):
    """The breaker *name* is open; ask again after *retry_after_s* seconds."""

    grpc_status: ClassVar[str] = "UNAVAILABLE"
    refusal: ClassVar[str] = "breaker_open"

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(
            f"circuit {name} is open, retry in {retry_after_s:.3g} s",
            name=name,
            retry_after_s=retry_after_s,
        )


class BulkheadFullError(ResilienceError):
    """*limit* calls to *name* are in flight and none ended within the wait."""

    grpc_status: ClassVar[str] = "RESOURCE_EXHAUSTED"
    refusal: ClassVar[str] = "bulkhead"

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(f"bulkhead {name} is full: {limit} in flight", name=name)
        self.limit = limit


class DeadlineSpentError(ResilienceError):
    """Too little of the caller's time is left to make the call."""

    grpc_status: ClassVar[str] = "DEADLINE_EXCEEDED"
    refusal: ClassVar[str] = "deadline"

    def __init__(self, name: str, remaining_s: float) -> None:
        super().__init__(
            f"deadline spent before calling {name}: {remaining_s:.3g} s left",
            name=name,
        )
        self.remaining_s = remaining_s


class BudgetSpentError(ResilienceError):
    """The retry budget of *name* is spent."""

    grpc_status: ClassVar[str] = "UNAVAILABLE"
    refusal: ClassVar[str] = "budget"

    def __init__(self, name: str) -> None:
        super().__init__(f"retry budget of {name} is spent", name=name)


class ThrottledError(ResilienceError):
    """The callee refuses so much that *probability* of the calls are not sent."""

    grpc_status: ClassVar[str] = "UNAVAILABLE"
    refusal: ClassVar[str] = "throttle"

    def __init__(self, name: str, probability: float) -> None:
        super().__init__(
            f"{name} refuses too much, {probability:.0%} of the calls are not sent",
            name=name,
        )
        self.probability = probability


class LimitReachedError(ResilienceError):
    """*limit* calls of *name* are in flight, as many as it seems to bear."""

    grpc_status: ClassVar[str] = "RESOURCE_EXHAUSTED"
    refusal: ClassVar[str] = "limit"

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(f"limit of {name} reached: {limit} in flight", name=name)
        self.limit = limit


class NoBackendError(ResilienceError):
    """No backend of *name* may be asked now."""

    grpc_status: ClassVar[str] = "UNAVAILABLE"
    refusal: ClassVar[str] = "no_backend"

    def __init__(self, name: str) -> None:
        super().__init__(f"no backend of {name} may be asked now", name=name)
