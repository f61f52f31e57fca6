"""Calls that were over before gRPC saw them, with an error or an answer."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, NoReturn

import grpc

from resilience._answer import Answer
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


class Metadatum(NamedTuple):
    """One trailer, in the shape that blocking grpc gives it."""

    key: str
    value: Any


class _Over:
    """What every call says that has ended without being sent."""

    def debug_error_string(self) -> str:
        """Return nothing: gRPC saw no error."""
        return ""

    def cancel(self) -> bool:
        """Do nothing: the call has ended."""
        return False

    def cancelled(self) -> bool:
        """Return False: it was ended otherwise."""
        return False

    def running(self) -> bool:
        """Return False: the call has ended."""
        return False

    def is_active(self) -> bool:
        """Return False: the call has ended."""
        return False

    def done(self) -> bool:
        """Return True: the call has ended."""
        return True

    def time_remaining(self) -> float | None:
        """Return None: nothing is being waited for."""
        return None

    def add_callback(self, _callback: Callable[[], None]) -> bool:
        """Return False, as any call does that has ended."""
        return False

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call *fn* now."""
        fn(self)


class AnsweredCall(_Over, grpc.Call, grpc.Future):  # type: ignore[type-arg,misc]
    """A call of any kind that was answered without being sent."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._left = list(answer.responses)

    def code(self) -> grpc.StatusCode:
        """Return OK."""
        return grpc.StatusCode.OK

    def details(self) -> str:
        """Return nothing."""
        return ""

    def initial_metadata(self) -> tuple[Metadatum, ...]:
        """Return the metadata that the answer came with, if any."""
        return tuple(Metadatum(key, value) for key, value in self._answer.initial)

    def trailing_metadata(self) -> tuple[Metadatum, ...]:
        """Return the answer's trailers, which say where it is from."""
        return tuple(Metadatum(key, value) for key, value in self._answer.trailers)

    def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002
        """Return the response."""
        return self._answer.responses[0]

    def exception(self, timeout: float | None = None) -> None:
        """Return None: there was none."""

    def traceback(self, timeout: float | None = None) -> TracebackType | None:
        """Return None: there was no error."""

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if not self._left:
            raise StopIteration
        return self._left.pop(0)

    def __repr__(self) -> str:
        return f"<AnsweredCall {self._answer!r}>"


class _RefusedCall(_Over):
    """Error, call and future in one, as blocking grpc's own failed calls are."""

    def __init__(self, cause: ResilienceError) -> None:
        Exception.__init__(self, str(cause))  # type: ignore[arg-type]
        self.__dict__.update(cause.__dict__)
        self._status = grpc.StatusCode[cause.grpc_status]
        self._text = str(cause)
        self._trailers: tuple[Metadatum, ...] = (Metadatum(REFUSAL, cause.refusal),)

    def code(self) -> grpc.StatusCode:
        """Return the status that the refusal stands for."""
        return self._status

    def details(self) -> str:
        """Return which policy refused, and why."""
        return self._text

    def initial_metadata(self) -> tuple[Metadatum, ...]:
        """Return nothing: no peer was asked."""
        return ()

    def trailing_metadata(self) -> tuple[Metadatum, ...]:
        """Return the reason under x-seawall-refusal, as a peer would send it."""
        return self._trailers

    def debug_error_string(self) -> str:
        """Return the text once more."""
        return self._text

    def result(self, timeout: float | None = None) -> NoReturn:  # noqa: ARG002
        """Raise the refusal."""
        raise self  # type: ignore[misc]

    def exception(self, timeout: float | None = None) -> Any:  # noqa: ARG002
        """Return the refusal."""
        return self

    def traceback(
        self,
        timeout: float | None = None,  # noqa: ARG002
    ) -> TracebackType | None:
        """Return where the refusal was raised, if it was."""
        return getattr(self, "__traceback__", None)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> NoReturn:
        raise self  # type: ignore[misc]

    def __reduce__(self) -> Any:
        return rebuilt, (type(self), self.args), self.__dict__  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._status.name}: {self._text}>"


class SyncCircuitOpenError(  # type: ignore[misc]
    _RefusedCall,
    grpc.RpcError,
    grpc.Call,
    grpc.Future,  # type: ignore[type-arg]
    CircuitOpenError,
):
    """The breaker refused the call."""


class SyncBulkheadFullError(  # type: ignore[misc]
    _RefusedCall,
    grpc.RpcError,
    grpc.Call,
    grpc.Future,  # type: ignore[type-arg]
    BulkheadFullError,
):
    """The bulkhead refused the call."""


class SyncDeadlineSpentError(  # type: ignore[misc]
    _RefusedCall,
    grpc.RpcError,
    grpc.Call,
    grpc.Future,  # type: ignore[type-arg]
    DeadlineSpentError,
):
    """The call was not sent: its time was up."""


class SyncBudgetSpentError(  # type: ignore[misc]
    _RefusedCall,
    grpc.RpcError,
    grpc.Call,
    grpc.Future,  # type: ignore[type-arg]
    BudgetSpentError,
):
    """The retry budget refused the call."""


class SyncThrottledError(  # type: ignore[misc]
    _RefusedCall,
    grpc.RpcError,
    grpc.Call,
    grpc.Future,  # type: ignore[type-arg]
    ThrottledError,
):
    """The client's own throttle refused the call."""


class SyncLimitReachedError(  # type: ignore[misc]
    _RefusedCall,
    grpc.RpcError,
    grpc.Call,
    grpc.Future,  # type: ignore[type-arg]
    LimitReachedError,
):
    """The adaptive limit refused the call."""


class SyncNoBackendError(  # type: ignore[misc]
    _RefusedCall,
    grpc.RpcError,
    grpc.Call,
    grpc.Future,  # type: ignore[type-arg]
    NoBackendError,
):
    """There was no backend to send the call to."""


_WIRE: dict[type[ResilienceError], Callable[[ResilienceError], Any]] = {
    CircuitOpenError: SyncCircuitOpenError,
    BulkheadFullError: SyncBulkheadFullError,
    DeadlineSpentError: SyncDeadlineSpentError,
    BudgetSpentError: SyncBudgetSpentError,
    ThrottledError: SyncThrottledError,
    LimitReachedError: SyncLimitReachedError,
    NoBackendError: SyncNoBackendError,
}


def refused(cause: ResilienceError) -> Any:
    """Return *cause* as a call that has ended with it."""
    return _WIRE[type(cause)](cause)


class _StatusError(  # type: ignore[misc]
    _RefusedCall,
    grpc.RpcError,
    grpc.Call,
    grpc.Future,  # type: ignore[type-arg]
):
    """A call that was ended with a status, without being sent."""

    def __init__(self, code: str, details: str) -> None:
        Exception.__init__(self, details)
        self._status = grpc.StatusCode[code]
        self._text = details
        self._trailers = ()


def as_ended(code: str, details: str) -> Any:
    """Return a call of any kind that has ended with *code*."""
    return _StatusError(code, details)
