"""A circuit breaker that never holds a lock across a call.

States, storage and listeners are pybreaker's; admission, sliding windows,
the slow-call rate and half-open permits are ours, after resilience4j's
CircuitBreakerStateMachine. pybreaker's own ``call`` serialises its callers,
counts consecutive failures only and closes on an excluded error, so it is
never used.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence

import pybreaker

from resilience._breaker_circuit import CLOSED, HALF_OPEN, OPEN, Circuit
from resilience._breaker_config import BreakerConfig, Mode, Permit
from resilience._errors import CircuitOpenError
from resilience._events import (
    BreakerChanged,
    BreakerMetrics,
    BreakerThresholdExceeded,
    Listener,
    emit,
)
from resilience._outcome import CancelledBy, classify
from resilience._window import CountWindow, TimeWindow, Window

_STATE_NAMES = {CLOSED: "closed", OPEN: "open", HALF_OPEN: "half_open"}


class CircuitBreaker:
    """Admits calls while the callee seems to work, as *config* judges it.

    Every acquired permit is given back once: by `record` with what happened,
    or by `release` when what happened says nothing (cancelled, ignored).
    Safe between threads. *clock* is in monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        config: BreakerConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
        rng: random.Random | None = None,
        storage: pybreaker.CircuitBreakerStorage | None = None,
        circuit_listeners: Sequence[pybreaker.CircuitBreakerListener] = (),
    ) -> None:
        self.name = name
        self.config = config
        self._clock = clock
        self._listener = listener
        self._rng = rng or random.Random()  # noqa: S311  # spreads trials, no secret
        self._circuit = Circuit(name, storage, circuit_listeners)
        self._storage = self._circuit.storage
        self._lock = threading.RLock()
        self._mode: Mode = config.mode
        self._seen = self._circuit.current_state
        self._generation = 0
        self._window = self._new_window()
        self._not_permitted = 0
        self._openings = 1 if self._seen == OPEN else 0
        self._open_until = clock() + config.open_s if self._openings else 0.0
        self._trials = 0
        self._last_trial = clock()
        self._reported: set[str] = set()
        self._pending: list[object] = []
        self._telling = False

    @property
    def state(self) -> str:
        """closed, open or half_open, or the mode that overrules these."""
        if self._mode != "normal":
            return self._mode
        return _STATE_NAMES[self._circuit.current_state]

    @property
    def circuit(self) -> pybreaker.CircuitBreaker:
        """The half that is pybreaker's: its listeners can be added here."""
        return self._circuit

    @property
    def retry_after_s(self) -> float:
        """Seconds until an open breaker admits its first trial; 0 when it may now."""
        if self.state != "open":
            return 0.0
        return max(0.0, self._open_until - self._clock())

    def metrics(self) -> BreakerMetrics:
        """Return the window as it stands now."""
        with self._lock:
            self._window.refresh()
            return self._snapshot()

    def acquire(self) -> Permit:
        """Take a permit for one call.

        Raises CircuitOpenError, at once, when no call is admitted now.
        """
        # A closed breaker takes no lock. The generation is read first: whatever
        # changes after that only makes the permit void, as if taken before it.
        generation = self._generation
        if (
            self._seen == CLOSED
            and self._mode == "normal"
            and self._storage.state == CLOSED
        ):
            return Permit(generation, trial=False)
        return self._acquire_slowly()

    def _acquire_slowly(self) -> Permit:
        refusal: float | None = None
        with self._lock:
            trial = False
            if self._mode == "normal":
                if self._storage.state != self._seen:
                    self._adopt()
                if self._seen != CLOSED:
                    refusal = self._try_trial()
                    trial = True
            elif self._mode == "forced_open":
                refusal = self.config.open_s
            if refusal is None:
                permit = Permit(self._generation, trial=trial)
            else:
                self._not_permitted += 1
        if self._pending:
            self._flush()
        if refusal is not None:
            raise CircuitOpenError(self.name, refusal)
        return permit

    def record(self, permit: Permit, *, ok: bool, latency_s: float) -> None:
        """Give *permit* back with the call's result.

        A second time is ignored, as is a result from before the last change
        of state.
        """
        with self._lock:
            if permit.settled:
                return
            permit.settled = True
            if permit.generation != self._generation or self._mode == "disabled":
                return
            window = self._window
            window.add(
                failed=not ok,
                slow=latency_s > self.config.slow_after_s,
                latency_s=latency_s,
            )
            # Without a failed or a slow call no threshold can be reached.
            if window.failed or window.slow or permit.trial:
                self._judge(window, trial=permit.trial)
        if self._pending:
            self._flush()
        if self._circuit.heard:
            self._circuit.tell(ok=ok)

    def settle(
        self,
        permit: Permit,
        code: str | None,
        *,
        latency_s: float,
        cancelled_by: CancelledBy | None = None,
        passed_on: bool = False,
    ) -> None:
        """Give *permit* back with a status, judged as the configuration says."""
        if code == "OK":
            self.record(permit, ok=True, latency_s=latency_s)
            return
        config = self.config
        verdict = classify(
            code,
            cancelled_by=cancelled_by,
            passed_on=passed_on,
            failure_codes=config.failure_codes,
            ignored_codes=config.ignored_codes,
        )
        if verdict == "ignored":
            self.release(permit)
        else:
            self.record(permit, ok=verdict == "success", latency_s=latency_s)

    def release(self, permit: Permit) -> None:
        """Give *permit* back with nothing learnt; a trial may be made again."""
        with self._lock:
            if permit.settled:
                return
            permit.settled = True
            if permit.trial and permit.generation == self._generation:
                self._trials -= 1

    def open(self) -> None:
        """Open now, as if a threshold had been reached."""
        self._switch("normal", OPEN)

    def close(self) -> None:
        """Close now and forget what was counted."""
        self._switch("normal", CLOSED)

    def half_open(self) -> None:
        """Admit trials now. Raises ValueError from closed: there is nothing to try."""
        if self.state == "closed":
            raise ValueError(f"circuit {self.name} is closed, it cannot half-open")
        self._switch("normal", HALF_OPEN)

    def force_open(self) -> None:
        """Refuse everything until told otherwise."""
        self._switch("forced_open", OPEN)

    def disable(self) -> None:
        """Admit everything and record nothing until told otherwise."""
        self._switch("disabled", CLOSED)

    def watch_only(self) -> None:
        """Admit everything, record it, and only report when it would have opened."""
        self._switch("metrics_only", CLOSED)

    def _switch(self, mode: Mode, state: str) -> None:
        with self._lock:
            old = self.state
            self._mode = mode
            if old != self.state or state != self._seen:
                self._enter(state, "by hand", old=old)
        self._flush()

    def _try_trial(self) -> float | None:
        """Count a trial in and return None, or return how long to stay away."""
        config = self.config
        now = self._clock()
        if self._seen == HALF_OPEN and config.half_open_max_wait_s is not None:
            # resilience4j counts from the change of state; counted from the last
            # trial, sparse traffic whose trials all told does not reopen it.
            gave_up = self._last_trial + config.half_open_max_wait_s
            if now >= gave_up and self._trials > self._window.calls:
                self._enter(OPEN, "half_open_max_wait", at=gave_up)
        if self._seen == OPEN:
            if now < self._open_until:
                return self._open_until - now
            self._enter(HALF_OPEN, "open_interval_over")
        if self._trials < config.half_open_permits:
            self._trials += 1
            self._last_trial = now
            return None
        return config.open_s

    def _judge(self, window: Window, *, trial: bool) -> None:
        config, calls = self.config, window.calls
        if calls < self._least:
            return
        if window.failed >= config.failure_rate * calls:
            self._exceeded("failure_rate")
        elif window.slow >= config.slow_rate * calls:
            self._exceeded("slow_rate")
        elif trial:
            self._enter(CLOSED, "trials_succeeded")

    def _exceeded(self, reason: str) -> None:
        if self._mode == "normal":
            self._enter(OPEN, reason)
        elif reason not in self._reported:
            self._reported.add(reason)
            self._pending.append(
                BreakerThresholdExceeded(
                    name=self.name, reason=reason, metrics=self._snapshot()
                )
            )

    def _adopt(self) -> None:
        """Follow a state that another holder of the same storage has set."""
        state = self._circuit.current_state
        old = _STATE_NAMES[self._seen]
        self._arrive(state, at=self._clock())
        self._tell(old, _STATE_NAMES[state], "shared_storage")

    def _enter(
        self, state: str, reason: str, *, at: float | None = None, old: str = ""
    ) -> None:
        before = old or self.state
        self._circuit.go(state)
        metrics = self._snapshot()
        self._arrive(state, at=self._clock() if at is None else at)
        self._tell(before, self.state, reason, metrics)

    def _arrive(self, state: str, *, at: float) -> None:
        """Set up what the new *state* counts; earlier permits become void."""
        self._seen = state
        self._generation += 1
        if state == OPEN:
            # The window stays readable, so that an operator sees what opened it.
            self._openings += 1
            self._open_until = at + self._interval()
            return
        self._window = self._new_window(half_open=state == HALF_OPEN)
        self._not_permitted = 0
        self._reported.clear()
        if state == HALF_OPEN:
            self._trials = 0
            self._last_trial = at
        else:
            self._openings = 0

    def _interval(self) -> float:
        config = self.config
        # A float overflows after some thousand openings; the cap is long reached.
        grown = config.open_s * config.open_factor ** min(self._openings - 1, 100)
        # Room for the spread: cut off at the cap, half of them would meet there.
        most = config.open_max_s / (1 + config.open_jitter)
        interval = max(config.open_s, min(grown, most))
        spread = config.open_jitter * interval
        if spread:
            interval += self._rng.uniform(-spread, spread)
        return min(interval, max(config.open_s, config.open_max_s))

    def _new_window(self, *, half_open: bool = False) -> Window:
        config = self.config
        self._least = config.min_calls
        if half_open:
            # As resilience4j: half-open always counts, and judges by then.
            self._least = min(config.min_calls, config.half_open_permits)
            return CountWindow(config.half_open_permits)
        if config.window == "count":
            return CountWindow(config.window_size)
        return TimeWindow(config.window_size, self._clock)

    def _snapshot(self) -> BreakerMetrics:
        window, calls = self._window, self._window.calls
        known = calls >= self._least
        return BreakerMetrics(
            calls=calls,
            failed=window.failed,
            slow=window.slow,
            failure_rate=window.failed / calls if known else None,
            slow_rate=window.slow / calls if known else None,
            not_permitted=self._not_permitted,
            total_s=window.total_us / 1e6,
        )

    def _tell(
        self, old: str, new: str, reason: str, metrics: BreakerMetrics | None = None
    ) -> None:
        self._pending.append(
            BreakerChanged(
                name=self.name,
                old=old,
                new=new,
                reason=reason,
                metrics=metrics or self._snapshot(),
            )
        )

    def _flush(self) -> None:
        """Tell the listener what happened, outside the lock and in order."""
        while True:
            with self._lock:
                # Who is telling already tells this too: two would mix the order.
                if self._telling or not self._pending:
                    return
                self._telling = True
                events, self._pending = self._pending, []
            try:
                for event in events:
                    emit(self._listener, event)
            finally:
                self._telling = False

    def __repr__(self) -> str:
        metrics = self.metrics()
        words = [f"{self.name} {self.state}"]
        if self.state == "open":
            words.append(f"retry in {self.retry_after_s:.1f} s")
        words.append(f"{metrics.failed}/{metrics.calls} failed")
        if metrics.slow:
            words.append(f"{metrics.slow} slow")
        return f"<CircuitBreaker {', '.join(words)}>"
