"""The second best answer of a whole call: a value, a function, an old answer.

Which failures may be answered so is the same question as for `Fallback`: the
service could not, never that the caller asked wrongly.
"""

import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from resilience._errors import ResilienceError
from resilience._events import FallbackServed, Listener, emit
from resilience._fallback import FALLBACK_CODES, status_name
from resilience._shared_calls import CallKey, request_bytes


class _Nothing:
    def __reduce__(self) -> str:
        # By its name: there is one, and a copy would not be it.
        return "NOTHING"

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackConfig:
    """Where the second best answer comes from, tried in this order.

    *stale_s*: the last good answer to the same request (as *key* tells), up to so
    many seconds old; for calls with a single request and response. *other*: the
    same method of another target, ``stub.GetProduct`` of another channel, called
    with the request and the time left. *provide*: a function of the request (None
    where requests are a stream) and the error. *value*: always the same.
    Functions may be coroutines for grpc.aio. For a method that answers with a
    stream, they give a sequence of messages. Failures with other *codes* are
    the caller's to see. Our own refusals are always answered, but for that of a
    call with too little time left to begin (DeadlineSpentError).
    Raises ValueError when nothing of it is given.
    """

    value: Any = NOTHING
    provide: Callable[[Any, Exception], Any] | None = None
    other: Callable[..., Any] | None = None
    stale_s: float = 0.0
    max_entries: int = 1024
    codes: frozenset[str] = FALLBACK_CODES
    key: CallKey = request_bytes

    def __post_init__(self) -> None:
        given = self.value is not NOTHING or self.provide or self.other
        if not given and not self.stale_s:
            raise ValueError("a fallback needs value, provide, other or stale_s")
        if self.stale_s < 0:
            raise ValueError("stale_s must not be negative")
        if self.max_entries < 1:
            raise ValueError("max_entries must be at least 1")


class CallFallback:
    """One method's fallback: its old answers, and which failures it is for."""

    def __init__(
        self,
        target: str,
        method: str,
        config: FallbackConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
    ) -> None:
        self.target = target
        self.method = method
        self.config = config
        self._clock = clock
        self._listener = listener
        self._lock = threading.Lock()
        self._answers: OrderedDict[Any, tuple[float, Any]] = OrderedDict()

    def reason(self, error: BaseException) -> str | None:
        """Return why *error* may be answered, None when it may not."""
        if isinstance(error, ResilienceError):
            return error.refusal
        code = status_name(error)
        return code if code in self.config.codes else None

    def remember(self, request: Any, metadata: Any, response: Any) -> None:
        """Keep a good answer, where old answers are wanted."""
        key = self._key(request, metadata)
        if key is None:
            return
        # What its caller does to the message must not be in the old answer.
        kept = copy.deepcopy(response)
        with self._lock:
            self._answers.pop(key, None)
            self._answers[key] = (self._clock(), kept)
            while len(self._answers) > self.config.max_entries:
                self._answers.popitem(last=False)

    def old_answer(self, request: Any, metadata: Any) -> Any:
        """Return the last good answer that is young enough, or NOTHING."""
        key = self._key(request, metadata)
        with self._lock:
            found = None if key is None else self._answers.get(key)
        if found is None or self._clock() - found[0] > self.config.stale_s:
            return NOTHING
        return copy.deepcopy(found[1])

    def served(self, reason: str) -> None:
        """Tell the listener that a second best answer was given."""
        emit(
            self._listener,
            FallbackServed(target=self.target, method=self.method, reason=reason),
        )

    def _key(self, request: Any, metadata: Any) -> Any:
        if not self.config.stale_s or request is None:
            return None
        return self.config.key(request, metadata)

    def __repr__(self) -> str:
        kept = f", {len(self._answers)} old answers" if self.config.stale_s else ""
        return f"<CallFallback {self.target}{self.method}{kept}>"
