"""Published behaviour as data: what a source says happens, and what happens here.

Cases stand in the modules `conformance_*.py` beside this one, which are found by
their name; each registers its own with `case`. `python -m
tests.unit.resilience.conformance_page` prints them as docs/resilience/conformance.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resilience import BreakerConfig, CircuitBreaker, CircuitOpenError
from resilience.testing import FakeClock, RecordingListener

OWN = "this package"
R4J = "resilience4j CircuitBreakerStateMachineTest"

# resilience4j's CircuitBreakerStateMachineTest sets its breaker up like this.
REFERENCE: dict[str, Any] = {
    "failure_rate": 0.5,
    "slow_rate": 0.5,
    "slow_after_s": 4.0,
    "window": "time",
    "window_size": 20,
    "min_calls": 5,
    "open_s": 5.0,
    "half_open_permits": 4,
    "half_open_max_wait_s": 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One published fact: *run* gives what happens here, *expected* what should.

    *differs* says why ours is another answer on purpose; *expected* is then ours.
    """

    id: str
    source: str
    what: str
    expected: Any
    run: Callable[[], Any]
    differs: str = ""


CASES: list[Case] = []


def case(
    number: str, source: str, what: str, expected: Any, *, differs: str = ""
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register the function below as what happens here."""

    def register(run: Callable[[], Any]) -> Callable[[], Any]:
        CASES.append(
            Case(
                id=number,
                source=source,
                what=what,
                expected=expected,
                run=run,
                differs=differs,
            )
        )
        return run

    return register


def show(value: Any) -> str:
    """Return *value* as a table shows it."""
    if isinstance(value, tuple | list):
        return ", ".join(show(part) for part in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def markdown(cases: list[Case]) -> str:
    """Return the table of *cases*, each with its result as it is right now."""
    rows = ["| case | source | what | result |", "|---|---|---|---|"]
    for one in cases:
        happened = one.run()
        word = "as promised" if one.source == OWN else "as published"
        if one.differs:
            word = "differs on purpose"
        if happened != one.expected:
            word = f"**FAILS**, expected {show(one.expected)}"
        why = f": {one.differs}" if one.differs else ""
        rows.append(
            f"| {one.id} | {one.source} | {one.what} | {show(happened)} ({word}{why}) |"
        )
    return "\n".join(rows) + "\n"


class Bench:
    """A breaker under a fake clock, fed with letters: F, S, s (slow S), I."""

    def __init__(self, **changes: Any) -> None:
        self.clock = FakeClock()
        self.listener = RecordingListener()
        self.breaker = CircuitBreaker(
            "reference",
            BreakerConfig(**(REFERENCE | changes)),
            clock=self.clock,
            listener=self.listener,
        )

    def feed(self, letters: str, *, every_s: float = 0.0) -> "Bench":
        """Make one call a letter, *every_s* seconds apart."""
        for letter in letters:
            permit = self.breaker.acquire()
            if letter == "I":
                self.breaker.release(permit)
            else:
                latency = 5.0 if letter in "sf" else 0.1
                self.breaker.record(permit, ok=letter not in "Ff", latency_s=latency)
            self.clock.advance(every_s)
        return self

    def opened(self, *, wait_s: float = 0.0) -> "Bench":
        """Open it as the reference does, and let *wait_s* seconds pass."""
        self.feed("FFFSS")
        assert "open" == self.breaker.state
        self.clock.advance(wait_s)
        return self

    def admits(self, times: int = 1) -> int:
        """Return how many of *times* callers are admitted; they never tell."""
        admitted = 0
        for _ in range(times):
            try:
                self.breaker.acquire()
            except CircuitOpenError:
                continue
            admitted += 1
        return admitted

    @property
    def view(self) -> tuple[str, float | None, int, int, int]:
        """State, failure rate in percent, ok, failed and counted calls."""
        m = self.breaker.metrics()
        rate = None if m.failure_rate is None else 100 * m.failure_rate
        return self.breaker.state, rate, m.calls - m.failed, m.failed, m.calls
