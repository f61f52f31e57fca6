"""The server's policies, without the transport: deadline, then a bound on calls."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from resilience._deadline import CURRENT, Deadline
from resilience._downstream import DOWNSTREAM, Downstream
from resilience._events import CallRefused, DeadlineRefused, Listener, emit
from resilience._policy import ServerPolicy, ServerPolicySource

# Sync gRPC says "no deadline" as about 9.2e18 seconds.
_FOREVER_S = 1e9


class Refusal(NamedTuple):
    """Why a call is not served: a status name, a text, and the refusal's word."""

    code: str
    details: str
    word: str


class Admission:
    """Counts the calls being served and says which may not be."""

    __slots__ = ("_fixed", "_listener", "_lock", "_source", "clock", "in_flight")

    def __init__(
        self,
        source: ServerPolicySource,
        *,
        listener: Listener | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source if callable(source) else None
        self._fixed = None if callable(source) else source
        self._listener = listener
        self._lock = threading.Lock()
        self.clock = clock
        self.in_flight = 0

    def enter(self, method: str, remaining_s: float | None) -> Refusal | None:
        """Count a call in, or say why it is refused.

        Sets the deadline and the failure record of the current context. What
        is not refused must `leave`.
        """
        policy = self._policy()
        if policy.propagate_deadline:
            deadline: Deadline | None = None
            if remaining_s is not None and remaining_s < _FOREVER_S:
                if remaining_s <= 0:
                    return self._late(method, remaining_s)
                deadline = Deadline(self.clock() + remaining_s, clock=self.clock)
            CURRENT.set(deadline)
        else:
            CURRENT.set(None)
        request = Downstream()
        DOWNSTREAM.set(request)
        if method in policy.exempt:
            # Not counted either: a health watcher lasts as long as its watcher.
            return None
        limit = policy.max_concurrent
        with self._lock:
            full = limit is not None and self.in_flight >= limit
            if not full:
                self.in_flight += 1
                request.counted = True
        return self._full(method, limit) if full else None

    def leave(self, request: Downstream) -> None:
        """Count a call out, if it was counted in."""
        if request.counted:
            with self._lock:
                self.in_flight -= 1

    def _policy(self) -> ServerPolicy:
        if self._fixed is not None:
            return self._fixed
        assert self._source is not None
        return self._source()

    def _full(self, method: str, limit: int | None) -> Refusal:
        details = f"server is serving {limit} calls, its limit"
        event = CallRefused(policy="limit", target="", method=method, reason=details)
        emit(self._listener, event)
        return Refusal("RESOURCE_EXHAUSTED", details, "limit")

    def _late(self, method: str, remaining_s: float) -> Refusal:
        event = DeadlineRefused(target="", method=method, remaining_s=remaining_s)
        emit(self._listener, event)
        details = "deadline was spent before the call could be served"
        return Refusal("DEADLINE_EXCEEDED", details, "deadline")
