"""A blocking stream of responses that is watched, and begun anew while nothing came.

gRFC A6: a call is committed once a response was seen; until then it may be made
again. What a caller holds is one call, whatever number of attempts is behind it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc

from resilience._answer import Answer
from resilience._attempt import Attempt
from resilience._errors import ResilienceError
from resilience._retry import RetryState
from resilience._slot import Failure, Slot
from resilience.sync_attempt import watch
from resilience.sync_calls import AnsweredCall, refused

_Begin = Callable[[int], tuple[Attempt, Any]]
_FallBack = Callable[[Exception], Answer | None]


class Counts:
    """What the watcher of an attempt and the stream's reader tell each other.

    It refers to neither, so that dropping the stream ends it. The end is told on a
    thread of grpc's, or, where the reader is just waiting for a message, by the reader:
    that message, if it comes, is to be counted before the outcome is told.
    """

    def __init__(self, *, renewable: bool) -> None:
        self.messages = 0
        self.renewable = renewable
        self.failure: Failure | None = None
        self._lock = threading.Lock()
        self._reading = False
        self._ended = False
        self._tell: Callable[[], None] | None = None

    def watched(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Return what grpc is to call at the end; *tell* settles the attempt."""
        self._tell = tell
        return self._over

    def _over(self) -> None:
        with self._lock:
            self._ended = True
            if not self._reading and self._tell is not None:
                self._tell()

    def begin(self) -> None:
        """Note that the reader asks for a message."""
        with self._lock:
            self._reading = True

    def end(self, *, over: bool) -> None:
        """Note that the reader has its answer; *over* says that it was the end."""
        with self._lock:
            self._reading = False
            if (self._ended or over) and self._tell is not None:
                self._tell()


class LiveStream(grpc.Call, grpc.Future):  # type: ignore[type-arg]
    """A watched stream of responses; reading it makes it again where that is right."""

    def __init__(
        self,
        slot: Slot,
        attempt: Attempt,
        call: Any,
        *,
        begin: _Begin | None = None,
        fall_back: _FallBack | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._slot = slot
        self._begin = begin
        self._fall_back = fall_back
        self._sleep = sleep
        self._number = 1
        self._state: RetryState | None = None
        self._first_started = attempt.started
        timeout = attempt.timeout_s
        self._ends_at = None if timeout is None else attempt.started + timeout
        self._follow(attempt, call)

    def _follow(self, attempt: Attempt, call: Any) -> None:
        self._call = call
        renewable = self._begin is not None or self._fall_back is not None
        self._counts = Counts(renewable=renewable)
        self._attempt = attempt
        watch(self._slot, attempt, call, counts=self._counts)

    def __iter__(self) -> "LiveStream":
        return self

    def __next__(self) -> Any:
        while True:
            counts = self._counts
            counts.begin()
            try:
                message = next(self._call)
            except grpc.RpcError as error:
                counts.end(over=True)
                if not self._renew(error):
                    raise
                continue
            except BaseException as error:
                # An interrupted reader leaves the call running.
                counts.end(over=isinstance(error, StopIteration))
                raise
            if not counts.messages:
                self._attempt.delivered()
            counts.messages += 1
            counts.end(over=False)
            return message

    def _renew(self, error: grpc.RpcError) -> bool:
        """Begin the call again, or answer it otherwise; False when neither is right."""
        counts, slot = self._counts, self._slot
        if not counts.renewable or counts.messages:
            return False
        failure, counts.failure = counts.failure, None
        counts.renewable = False
        if failure is None:
            return False
        # The watcher, on grpc's thread, could not ask; here the call is over.
        if self._call.initial_metadata():
            failure = replace(failure, headers_seen=True)
        if self._begin is not None and self._state is None:
            self._state = slot.chain.retries(slot, self._first_started)
        state = self._state if self._begin is not None else None
        delay = slot.failed(failure, state, attempt=self._number, ends_at=self._ends_at)
        last: Exception = error
        if delay is not None:
            self._sleep(delay)
            self._number += 1
            assert self._begin is not None
            try:
                self._follow(*self._begin(self._number))
            except ResilienceError as refusal:
                last = refusal
                self._call = refused(refusal)
            else:
                return True
        answer = None if self._fall_back is None else self._fall_back(last)
        if answer is not None:
            self._call = AnsweredCall(answer)
        return answer is not None or last is not error

    def code(self) -> Any:
        """Wait for the end and return the status."""
        return self._call.code()

    def details(self) -> Any:
        """Wait for the end and return the status's text."""
        return self._call.details()

    def debug_error_string(self) -> Any:
        """Return gRPC's description of the error."""
        return self._call.debug_error_string()

    def initial_metadata(self) -> Any:
        """Wait for the headers and return them."""
        return self._call.initial_metadata()

    def trailing_metadata(self) -> Any:
        """Wait for the end and return the trailers."""
        return self._call.trailing_metadata()

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call *callback* at the end of the attempt at hand; see grpc.Call."""
        found: bool = self._call.add_callback(callback)
        return found

    def is_active(self) -> bool:
        """Whether the attempt at hand still runs."""
        found: bool = self._call.is_active()
        return found

    def time_remaining(self) -> Any:
        """Return the seconds the attempt at hand has left, None without a limit."""
        return self._call.time_remaining()

    def cancel(self) -> bool:
        """End the call; it is not made again."""
        self._counts.renewable = False
        done: bool = self._call.cancel()
        return done

    def cancelled(self) -> bool:
        """Whether its caller cancelled it."""
        found: bool = self._call.cancelled()
        return found

    def running(self) -> bool:
        """Whether the attempt at hand still runs."""
        return not self.done()

    def done(self) -> bool:
        """Whether the attempt at hand has ended."""
        found: bool = self._call.done()
        return found

    def result(self, timeout: float | None = None) -> Any:
        """See grpc.Future.result."""
        return self._call.result(timeout)

    def exception(self, timeout: float | None = None) -> Any:
        """See grpc.Future.exception."""
        return self._call.exception(timeout)

    def traceback(self, timeout: float | None = None) -> Any:
        """See grpc.Future.traceback."""
        return self._call.traceback(timeout)

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call *fn* with this call at the end of the attempt at hand."""
        self._call.add_done_callback(lambda _: fn(self))

    def __repr__(self) -> str:
        return f"<LiveStream attempt {self._number}, {self._call!r}>"
