"""For tests of services that use these policies: a clock, a script, a recorder."""

import contextlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from resilience._outcome import Outcome
from resilience._policy import ClientPolicy, bare

E = TypeVar("E")


class FakeClock:
    """A monotonic clock that moves only when told to.

    >>> clock = FakeClock()
    >>> clock.advance(1.5)
    >>> clock()
    1.5
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the seconds that have passed."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass. Raises ValueError for a step back."""
        if seconds < 0:
            raise ValueError("a monotonic clock never goes back")
        self.now += seconds

    def __repr__(self) -> str:
        return f"<FakeClock {self.now:g} s>"


class RecordingListener:
    """A listener that keeps every event, for assertions."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_event(self, event: Any) -> None:
        """Keep *event*."""
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one class, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def transitions(self) -> list[tuple[str, str]]:
        """Return every breaker's changes of state as (old, new)."""
        return [
            (event.old, event.new)
            for event in self.events
            if type(event).__name__ == "BreakerChanged"
        ]


@dataclass(slots=True)
class RecordedAttempt:
    """One attempt that a RecordingObserver saw."""

    target: str
    method: str
    attempt: int
    metadata: list[tuple[str, str | bytes]]
    outcomes: list[Outcome] = field(default_factory=list)

    def finished(self, outcome: Outcome) -> None:
        """Keep *outcome*; a second one is a bug that the test will see."""
        self.outcomes.append(outcome)

    @property
    def outcome(self) -> Outcome:
        """The one outcome. Raises AssertionError when there is none, or two."""
        assert len(self.outcomes) == 1, f"{len(self.outcomes)} outcomes: {self}"
        return self.outcomes[0]


class RecordingObserver:
    """An observer that keeps every attempt with its outcome."""

    def __init__(self) -> None:
        self.attempts: list[RecordedAttempt] = []

    def attempt_started(
        self,
        target: str,
        method: str,
        attempt: int,
        metadata: list[tuple[str, str | bytes]],
    ) -> RecordedAttempt:
        """Keep the attempt; see AttemptObserver."""
        recorded = RecordedAttempt(target, method, attempt, list(metadata))
        self.attempts.append(recorded)
        return recorded


class Script:
    """What a scripted server does, call by call; the last step repeats.

    A step is a status name, a response, or a callable that is given the
    request. `next` returns the step and counts the call under *method*.
    """

    def __init__(self, steps: Iterable[Any]) -> None:
        self._steps = deque(steps)
        if not self._steps:
            raise ValueError("a script needs at least one step")
        self.calls: Counter[str] = Counter()

    def next(self, method: str = "") -> Any:
        """Return what this call is to do."""
        self.calls[method] += 1
        if len(self._steps) > 1:
            return self._steps.popleft()
        return self._steps[0]

    @property
    def total(self) -> int:
        """How many calls came, of all methods."""
        return sum(self.calls.values())


class PolicySwitch:
    """A policy source that tests can turn off, and on again.

    >>> switch = PolicySwitch(ClientPolicy(target="catalog", timeout_s=1.0))
    >>> with switch.off():
    ...     switch().timeout_s is None
    True
    """

    def __init__(self, policy: ClientPolicy) -> None:
        self._policy = policy
        self._now = policy

    def __call__(self) -> ClientPolicy:
        """Return the policy, or none of it while turned off."""
        return self._now

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Let calls pass without any policy inside the block."""
        self._now = bare(self._policy.target)
        try:
            yield
        finally:
            self._now = self._policy
