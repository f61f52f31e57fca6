"""Our refusals as errors that are AioRpcErrors too."""

from collections.abc import Callable
from typing import Any

import grpc
from grpc import aio

from resilience._errors import (
    BudgetSpentError,
    BulkheadFullError,
    CircuitOpenError,
    DeadlineSpentError,
    LimitReachedError,
    NoBackendError,
    ResilienceError,
    ThrottledError,
    rebuilt,
)
from resilience._wire import REFUSAL


class _RefusalShape:
    """The RpcError methods of a refusal; goes before AioRpcError in the bases."""

    def __init__(self, cause: ResilienceError) -> None:
        Exception.__init__(self, str(cause))  # type: ignore[arg-type]
        self.__dict__.update(cause.__dict__)
        self._status = grpc.StatusCode[cause.grpc_status]
        self._text = str(cause)
        self._trailers = aio.Metadata((REFUSAL, cause.refusal))

    def code(self) -> grpc.StatusCode:
        """Return the status that the refusal stands for."""
        return self._status

    def details(self) -> str:
        """Return which policy refused, and why."""
        return self._text

    def initial_metadata(self) -> aio.Metadata:
        """Return nothing: no peer was asked."""
        return aio.Metadata()

    def trailing_metadata(self) -> aio.Metadata:
        """Return the reason under x-seawall-refusal, as a peer would send it."""
        return self._trailers

    def debug_error_string(self) -> str:
        """Return the text once more."""
        return self._text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._status.name}: {self._text}>"

    def __reduce__(self) -> Any:
        return rebuilt, (type(self), self.args), self.__dict__  # type: ignore[attr-defined]


class AioCircuitOpenError(_RefusalShape, aio.AioRpcError, CircuitOpenError):  # type: ignore[misc]
    """The breaker refused the call."""


class AioBulkheadFullError(_RefusalShape, aio.AioRpcError, BulkheadFullError):  # type: ignore[misc]
    """The bulkhead refused the call."""


class AioDeadlineSpentError(_RefusalShape, aio.AioRpcError, DeadlineSpentError):  # type: ignore[misc]
    """The call was not sent: its time was up."""


class AioBudgetSpentError(_RefusalShape, aio.AioRpcError, BudgetSpentError):  # type: ignore[misc]
    """The retry budget refused the call."""


class AioThrottledError(_RefusalShape, aio.AioRpcError, ThrottledError):  # type: ignore[misc]
    """The client's own throttle refused the call."""


class AioLimitReachedError(_RefusalShape, aio.AioRpcError, LimitReachedError):  # type: ignore[misc]
    """The adaptive limit refused the call."""


class AioNoBackendError(_RefusalShape, aio.AioRpcError, NoBackendError):  # type: ignore[misc]
    """There was no backend to send the call to."""


_WIRE: dict[type[ResilienceError], Callable[[ResilienceError], aio.AioRpcError]] = {
    CircuitOpenError: AioCircuitOpenError,
    BulkheadFullError: AioBulkheadFullError,
    DeadlineSpentError: AioDeadlineSpentError,
    BudgetSpentError: AioBudgetSpentError,
    ThrottledError: AioThrottledError,
    LimitReachedError: AioLimitReachedError,
    NoBackendError: AioNoBackendError,
}


def as_rpc_error(cause: ResilienceError) -> aio.AioRpcError:
    """Return *cause* as an error that is an AioRpcError too."""
    return _WIRE[type(cause)](cause)
