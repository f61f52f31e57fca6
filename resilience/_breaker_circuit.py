"""The half of a breaker that is pybreaker's: its state, storage and listeners."""

import logging
from collections.abc import Sequence
from typing import Any

import pybreaker

_LOG = logging.getLogger(__name__)

CLOSED = pybreaker.STATE_CLOSED
OPEN = pybreaker.STATE_OPEN
HALF_OPEN = pybreaker.STATE_HALF_OPEN


class Circuit(pybreaker.CircuitBreaker):
    """pybreaker's breaker, of which only the state and the listeners are used.

    A listener that raises is logged and fails no call: pybreaker's own setter would
    stop half way and leave the old state in the storage.
    """

    def __init__(
        self,
        name: str,
        storage: pybreaker.CircuitBreakerStorage | None,
        listeners: Sequence[pybreaker.CircuitBreakerListener],
    ) -> None:
        self.storage = _Memory(CLOSED) if storage is None else storage
        super().__init__(
            name=name, state_storage=self.storage, listeners=list(listeners)
        )
        # Asked at every call: whether there is anybody to tell of its result.
        self.heard = bool(listeners)

    def add_listener(self, listener: Any) -> None:
        """Add *listener*; add_listeners comes through here too."""
        super().add_listener(listener)
        self.heard = True

    def go(self, state: str) -> None:
        """Change to *state*, and tell the listeners."""
        try:
            if state == OPEN:
                self.open()
            elif state == HALF_OPEN:
                self.half_open()
            else:
                self.close()
        except Exception:  # noqa: BLE001  # as in emit
            _LOG.exception("a listener of circuit %s failed", self.name)
            self.storage.state = state

    def tell(self, *, ok: bool) -> None:
        """Tell the listeners of a call's result."""
        for listener in self.listeners:
            try:
                if ok:
                    listener.success(self)
                else:
                    listener.failure(self, _RecordedFailure())
            except Exception:  # noqa: BLE001  # as in emit
                _LOG.exception("a listener of circuit %s failed", self.name)


class _Memory(pybreaker.CircuitMemoryStorage):
    """pybreaker's storage in memory, with a state that is read in nanoseconds."""

    # A plain attribute where the base class has a property; read at every call.
    state: str = CLOSED

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class _RecordedFailure(Exception):  # noqa: N818  # names what happened, is never raised
    """Stands for the failure in pybreaker's listener signature."""
