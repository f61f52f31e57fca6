"""What one request's own calls ran into, so that its failure can name the origin.

A server interceptor opens one record per request; client interceptors write
failures into it; where the request then fails with the same status, the
server's trailers say that the failure was passed on.
"""

from contextvars import ContextVar
from typing import Any, NamedTuple

from resilience._wire import FALLBACK, NO_RETRY, ORIGIN, PUSHBACK, REFUSAL


class _Failure(NamedTuple):
    origin: str
    refusal: str | None
    no_retry: bool


class Downstream:
    """The failures of one request's calls, the latest of each status."""

    __slots__ = ("counted", "failures", "fallbacks", "limiter", "place")

    def __init__(self) -> None:
        self.counted = False
        # What an adaptive limit gave, and which one: the policy may change meanwhile.
        self.place: Any = None
        self.limiter: Any = None
        self.failures: dict[str, _Failure] | None = None
        self.fallbacks: set[str] | None = None

    def note(
        self, code: str, *, origin: str, refusal: str | None, no_retry: bool
    ) -> None:
        """Remember that a call failed for good."""
        if self.failures is None:
            self.failures = {}
        self.failures[code] = _Failure(origin, refusal, no_retry)

    def fell_back(self, target: str) -> None:
        """Remember that a second best answer of *target* was used."""
        if self.fallbacks is None:
            self.fallbacks = set()
        self.fallbacks.add(target)

    @property
    def silent(self) -> bool:
        """Whether there is nothing to add to the trailers, however it ends."""
        return self.failures is None and self.fallbacks is None

    def trailers(self, code: str) -> tuple[tuple[str, str], ...]:
        """Return what to add to the trailers of a request that fails with *code*."""
        if code == "OK":
            used = self.fallbacks
            return ((FALLBACK, ",".join(sorted(used))),) if used else ()
        failure = self.failures.get(code) if self.failures else None
        if failure is None:
            return ()
        trailers = [(ORIGIN, failure.origin)]
        if failure.refusal:
            trailers.append((REFUSAL, failure.refusal))
        if failure.no_retry:
            trailers.append((PUSHBACK, NO_RETRY))
        return tuple(trailers)


DOWNSTREAM: ContextVar[Downstream | None] = ContextVar(
    "resilience_downstream", default=None
)
