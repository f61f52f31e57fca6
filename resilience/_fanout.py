"""Several listeners or observers where the policies know one."""

import logging
from typing import Any, Protocol

from resilience._attempt import AttemptHandle, AttemptObserver
from resilience._events import Listener, emit
from resilience._outcome import Outcome

_LOG = logging.getLogger(__name__)


class CallObserver(Protocol):
    """What an observer of attempts may have as well: an eye on whole calls."""

    def call_finished(
        self,
        target: str,
        method: str,
        *,
        code: str | None,
        duration_s: float,
        retries: int = 0,
        hedges: int = 0,
        retry_delay_s: float = 0.0,
    ) -> None:
        """Take how a call ended for its caller, once per call.

        Of calls with one request and one response. *duration_s* covers all of it,
        *retry_delay_s* the waits between its attempts. A refused call has ended too,
        with the status of the refusal.
        """


class Listeners:
    """One listener that hands every event to each of several, in order.

    One that raises is logged, and the others get the event all the same.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def on_event(self, event: Any) -> None:
        """Hand *event* on."""
        for listener in self._listeners:
            emit(listener, event)

    def __repr__(self) -> str:
        return f"<Listeners {list(self._listeners)}>"


class Observers:
    """One observer for several; each may add to an attempt's metadata in turn.

    One that raises is logged and does not see that attempt. `call_finished`
    goes to those that have it.
    """

    def __init__(self, *observers: AttemptObserver) -> None:
        self._observers = observers
        self._of_calls: list[CallObserver] = [
            item  # type: ignore[misc]  # has the method: it was looked for
            for item in observers
            if hasattr(item, "call_finished")
        ]

    def attempt_started(
        self,
        target: str,
        method: str,
        attempt: int,
        metadata: list[tuple[str, str | bytes]],
    ) -> "_Handles":
        """Begin to watch; see AttemptObserver."""
        handles = []
        for observer in self._observers:
            try:
                handle = observer.attempt_started(target, method, attempt, metadata)
            except Exception:  # noqa: BLE001  # whatever a tracer raises is its own
                _LOG.exception("an observer failed to watch %s%s", target, method)
            else:
                handles.append(handle)
        return _Handles(handles)

    def call_finished(self, target: str, method: str, **told: Any) -> None:
        """Tell how a whole call ended; see CallObserver."""
        for observer in self._of_calls:
            try:
                observer.call_finished(target, method, **told)
            except Exception:  # noqa: BLE001
                _LOG.exception("an observer failed on a call of %s%s", target, method)

    def __repr__(self) -> str:
        return f"<Observers {list(self._observers)}>"


class _Handles:
    """The handles of one attempt."""

    __slots__ = ("_handles",)

    def __init__(self, handles: list[AttemptHandle]) -> None:
        self._handles = handles

    def finished(self, outcome: Outcome) -> None:
        """Tell each of them."""
        for handle in self._handles:
            try:
                handle.finished(outcome)
            except Exception:  # noqa: BLE001
                _LOG.exception("an observer failed on %r", outcome)
