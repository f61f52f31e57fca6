"""The second best answer, for failures of the service and for nothing else."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from resilience._errors import ResilienceError
from resilience._events import FallbackServed, Listener, emit

V = TypeVar("V")

# What says that the service could not, not that the caller asked wrongly.
FALLBACK_CODES: Final = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Generic[V]):
    """An answer, and the reason when it is the second best one."""

    value: V
    fallback: bool = False
    reason: str = ""


class Fallback(Generic[V]):
    """Answers with *provide(error)* where the real answer fails with one of *codes*.

    *provide* may be sync or async; a fixed value is ``lambda _: value``. A
    caller's own bad request is never masked, nor is a cancellation.
    """

    def __init__(
        self,
        target: str,
        provide: Callable[[Exception], V | Awaitable[V]],
        *,
        method: str = "",
        codes: frozenset[str] = FALLBACK_CODES,
        listener: Listener | None = None,
    ) -> None:
        self.target = target
        self.method = method
        self.codes = codes
        self._provide = provide
        self._listener = listener

    async def run(self, primary: Callable[[], Awaitable[V]]) -> Served[V]:
        """Return *primary*'s answer, or the second best one, saying which."""
        try:
            return Served(value=await primary())
        except Exception as error:
            reason = self._reason(error)
            if reason is None:
                raise
            provided = self._provide(error)
            value: V = await provided if inspect.isawaitable(provided) else provided
        return self._served(value, reason)

    def run_blocking(self, primary: Callable[[], V]) -> Served[V]:
        """As `run`, for sync code. Raises TypeError when *provide* is async."""
        try:
            return Served(value=primary())
        except Exception as error:
            reason = self._reason(error)
            if reason is None:
                raise
            provided: Any = self._provide(error)
            if inspect.isawaitable(provided):
                raise TypeError("an async fallback needs run()") from error
        return self._served(provided, reason)

    def _reason(self, error: Exception) -> str | None:
        if isinstance(error, ResilienceError):
            return error.refusal
        code = status_name(error)
        return code if code in self.codes else None

    def _served(self, value: V, reason: str) -> Served[V]:
        event = FallbackServed(target=self.target, method=self.method, reason=reason)
        emit(self._listener, event)
        return Served(value=value, fallback=True, reason=reason)

    def __repr__(self) -> str:
        return f"<Fallback for {self.target}{self.method}, {len(self.codes)} codes>"


def status_name(error: BaseException) -> str | None:
    """Return the gRPC status name that *error* stands for, None when for none.

    Reads the shape (``grpc_status``, or ``code().name``), so that it works for
    every RpcError and for domain errors alike.
    """
    named = getattr(error, "grpc_status", None)
    if isinstance(named, str):
        return named
    code = getattr(error, "code", None)
    if isinstance(error, TimeoutError):
        return "DEADLINE_EXCEEDED"
    if callable(code):
        name = getattr(code(), "name", None)
        return name if isinstance(name, str) else None
    return None
