"""The server's policies, without the transport.

Deadline, then criticality, then admission: a bound on calls, an adaptive limit, and
who is turned away first.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from resilience._criticality import (
    CURRENT_CRITICALITY,
    CURRENT_LEVEL,
    Criticality,
    parse_criticality,
    parse_level,
)
from resilience._deadline import CURRENT, Deadline
from resilience._downstream import DOWNSTREAM, Downstream
from resilience._events import CallRefused, DeadlineRefused, Listener, emit
from resilience._limiter import AdaptiveLimiter, limit_outcome
from resilience._policy import ServerPolicy, ServerPolicySource
from resilience._shedding import Shedder
from resilience._wire import CRITICALITY, CRITICALITY_LEVEL

# Sync gRPC says "no deadline" as about 9.2e18 seconds.
_FOREVER_S = 1e9


class Refusal(NamedTuple):
    """Why a call is not served: a status name, a text, and the refusal's word."""

    code: str
    details: str
    word: str


def _told(metadata: Any) -> tuple[Criticality | None, int | None]:
    criticality = level = None
    for key, value in metadata or ():
        if key == CRITICALITY:
            criticality = parse_criticality(value)
        elif key == CRITICALITY_LEVEL:
            level = parse_level(value)
    return criticality, level


class Admission:
    """Counts the calls being served and says which may not be."""

    def __init__(
        self,
        source: ServerPolicySource,
        *,
        listener: Listener | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._source = source if callable(source) else None
        self._fixed = None if callable(source) else source
        self._listener = listener
        self._lock = threading.Lock()
        self._rng = rng
        # Always set together: a shedder is one of its own limiter.
        self._limits: tuple[AdaptiveLimiter | None, Shedder | None] = (None, None)
        self.clock = clock
        self.in_flight = 0

    @property
    def limiter(self) -> AdaptiveLimiter | None:
        """The adaptive limit, once a call has met it."""
        return self._limits[0]

    def enter(
        self,
        method: str,
        remaining_s: float | None,
        metadata: Callable[[], Any],
        *,
        waited_s: float | None = None,
    ) -> Refusal | None:
        """Count a call in, or say why it is refused.

        Sets the deadline, the criticality and the failure record of the current
        context. *waited_s* is how long the call was queued before, if that is known.
        What is not refused must `leave`.
        """
        policy = self._fixed
        if policy is None:
            assert self._source is not None
            policy = self._source()
        deadline: Deadline | None = None
        if remaining_s is None or remaining_s >= _FOREVER_S:
            pass
        elif policy.propagate_deadline:
            if remaining_s <= 0:
                return self._late(method, remaining_s)
            deadline = Deadline(self.clock() + remaining_s, clock=self.clock)
        CURRENT.set(deadline)
        request = Downstream()
        DOWNSTREAM.set(request)
        told, level = None, None
        if policy.propagate_criticality:
            told, level = _told(metadata())
        CURRENT_CRITICALITY.set(told)
        CURRENT_LEVEL.set(level)
        if method in policy.exempt:
            # Not counted either: a health watcher lasts as long as its watcher.
            return None
        most = policy.max_concurrent
        with self._lock:
            full = most is not None and self.in_flight >= most
            if not full:
                self.in_flight += 1
                request.counted = True
        if full:
            return self._refuse(method, "limit", f"server is serving {most} calls")
        if policy.limit is not None:
            return self._enter_limit(policy, method, request, told, level, waited_s)
        return None

    def leave(
        self, request: Downstream, code: str | None, *, queue_delay_s: float = 0.0
    ) -> None:
        """Count a call out, if it was counted in, and learn from its status."""
        if request.counted:
            with self._lock:
                self.in_flight -= 1
        if request.place is not None:
            outcome = "ignored" if code is None else limit_outcome(code, "server")
            request.limiter.release(request.place, outcome, queue_delay_s=queue_delay_s)

    def _enter_limit(
        self,
        policy: ServerPolicy,
        method: str,
        request: Downstream,
        told: Any,
        level: int | None,
        waited_s: float | None,
    ) -> Refusal | None:
        limiter, shedder = self._follow(policy)
        if shedder is None:
            request.place = limiter.try_acquire()
        else:
            request.place = shedder.admit(
                told or policy.criticality, level, waited_s=waited_s
            )
        if request.place is not None:
            request.limiter = limiter
            return None
        with self._lock:
            self.in_flight -= 1
        request.counted = False
        if shedder is None:
            text = f"server bears {limiter.limit} calls at once"
            return self._refuse(method, "limit", text)
        word = (told or policy.criticality).value
        return self._refuse(method, "shed", f"server sheds {word} calls")

    def _follow(self, policy: ServerPolicy) -> tuple[AdaptiveLimiter, Shedder | None]:
        limiter, shedder = self._limits
        if limiter is not None and limiter.config == policy.limit:
            held = None if shedder is None else shedder.config
            if held == policy.shedding:
                return limiter, shedder
        with self._lock:
            return self._replace(policy)

    def _replace(self, policy: ServerPolicy) -> tuple[AdaptiveLimiter, Shedder | None]:
        assert policy.limit is not None
        limiter, shedder = self._limits
        if limiter is None or limiter.config != policy.limit:
            limiter = AdaptiveLimiter(
                "server", policy.limit, clock=self.clock, listener=self._listener
            )
            shedder = None
        if policy.shedding is None:
            shedder = None
        elif shedder is None or shedder.config != policy.shedding:
            shedder = Shedder(limiter, policy.shedding, clock=self.clock, rng=self._rng)
        self._limits = limiter, shedder
        return limiter, shedder

    def _refuse(self, method: str, word: str, details: str) -> Refusal:
        event = CallRefused(policy=word, target="", method=method, reason=details)
        emit(self._listener, event)
        return Refusal("RESOURCE_EXHAUSTED", details, word)

    def _late(self, method: str, remaining_s: float) -> Refusal:
        event = DeadlineRefused(target="", method=method, remaining_s=remaining_s)
        emit(self._listener, event)
        details = "deadline was spent before the call could be served"
        return Refusal("DEADLINE_EXCEEDED", details, "deadline")
