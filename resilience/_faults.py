"""Faults put into calls on purpose, for tests; the fields are Envoy's HTTPFault."""

import math
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from resilience._events import FaultInjected, Listener, emit
from resilience._outcome import CODES

# What a client may ask for, as Envoy names it.
_DELAY: Final = "x-envoy-fault-delay-request"
_ABORT: Final = "x-envoy-fault-abort-grpc-request"
_DELAY_PERCENT: Final = "x-envoy-fault-delay-request-percentage"
_ABORT_PERCENT: Final = "x-envoy-fault-abort-request-percentage"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultConfig:
    """What happens to which share of the calls.

    *delay_percent* of the calls wait *delay_s* seconds first, *abort_percent* end with
    the status *abort* instead of being made or served; both can hit one call.
    *methods* (full names or their last part; None: all) narrows it down, and at most
    *max_active* delayed calls are held at once.

    A server's stream of responses is aborted after *after_messages* of them, or at
    its end. With *headers* a call may ask a server for its own fault by Envoy's
    metadata: x-envoy-fault-delay-request (milliseconds) and
    x-envoy-fault-abort-grpc-request (a status number), with
    x-envoy-fault-delay-request-percentage and x-envoy-fault-abort-request-percentage,
    which only lower what is configured. Raises ValueError.
    """

    delay_s: float = 0.0
    delay_percent: float = 100.0
    abort: str | None = None
    abort_percent: float = 100.0
    methods: frozenset[str] | None = None
    max_active: int | None = None
    after_messages: int = 0
    headers: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.delay_s < math.inf:
            raise ValueError("delay_s must be 0 or more seconds, and end")
        for name in ("delay_percent", "abort_percent"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} must be in [0, 100]")
        if self.abort == "OK":
            raise ValueError("a call cannot be aborted with OK")
        if self.abort is not None and self.abort not in CODES:
            raise ValueError(f"gRPC has no status {self.abort!r}")
        if self.max_active is not None and self.max_active < 1:
            raise ValueError("max_active must be at least 1, or None")
        if self.after_messages < 0:
            raise ValueError("after_messages must not be negative")


class Fault(NamedTuple):
    """What is to happen to one call."""

    delay_s: float
    abort: str | None
    after_messages: int = 0


def asked(config: FaultConfig, metadata: Iterable[tuple[str, Any]]) -> FaultConfig:
    """Return *config* as a call's metadata changes it; what is no number is ignored."""
    found: dict[str, Any] = {}
    for key, value in metadata:
        if not key.startswith("x-envoy-fault-"):
            continue
        try:
            number = int(value)
        except ValueError:
            continue
        if number < 0:
            continue
        if key == _DELAY:
            found["delay_s"] = number / 1000
        elif key == _ABORT and 0 < number < len(CODES):
            found["abort"] = CODES[number]
        elif key == _DELAY_PERCENT:
            found["delay_percent"] = min(number, config.delay_percent)
        elif key == _ABORT_PERCENT:
            found["abort_percent"] = min(number, config.abort_percent)
    return replace(config, **found) if found else config


class Faults:
    """Decides for each call; *config* is a value, or a callable asked each time.

    Safe between threads.
    """

    def __init__(
        self,
        config: FaultConfig | Callable[[], FaultConfig],
        *,
        rng: random.Random | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._config = config
        self._rng = rng or random.Random()  # noqa: S311  # chooses victims, no secret
        self._listener = listener
        self._lock = threading.Lock()
        self.active = 0

    def decide(
        self, method: str, metadata: Iterable[tuple[str, Any]] = ()
    ) -> Fault | None:
        """Return what happens to this call of *method*, None for nothing.

        A fault with a delay is active until `over` is called for it.
        """
        config = self._config() if callable(self._config) else self._config
        short = method.rpartition("/")[2]
        if config.methods is not None and not config.methods & {method, short}:
            return None
        if config.headers:
            config = asked(config, metadata)
        with self._lock:
            delay = 0.0
            if config.delay_s and self._rng.uniform(0, 100) < config.delay_percent:
                delay = config.delay_s
            abort = config.abort
            if abort and not self._rng.uniform(0, 100) < config.abort_percent:
                abort = None
            full = config.max_active is not None and self.active >= config.max_active
            if delay and full:
                delay = 0.0
            if not delay and abort is None:
                return None
            if delay:
                self.active += 1
        emit(self._listener, FaultInjected(method=method, delay_s=delay, code=abort))
        return Fault(delay, abort, config.after_messages)

    def over(self, fault: Fault) -> None:
        """End what `decide` began."""
        if fault.delay_s:
            with self._lock:
                self.active -= 1

    def __repr__(self) -> str:
        return f"<Faults {self.active} active>"
