"""A listener and an observer that keep what they are told."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from resilience._outcome import Outcome

E = TypeVar("E")


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
