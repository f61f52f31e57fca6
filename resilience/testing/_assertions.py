"""What tests of a service's resilience assert most often, with messages that help."""

from collections.abc import Iterable, Sequence
from typing import Any

from resilience._outcome import Outcome
from resilience.testing._recorders import RecordingListener, RecordingObserver


def assert_one_outcome(
    observer: RecordingObserver, *, code: str | None, cancelled_by: str | None = None
) -> Outcome:
    """Assert that one attempt was made and ended as said; return its outcome."""
    assert len(observer.attempts) == 1, f"{len(observer.attempts)} attempts, not 1"
    outcome = observer.attempts[0].outcome
    found = (outcome.code, outcome.cancelled_by)
    assert found == (code, cancelled_by), f"{found}, not {(code, cancelled_by)}"
    return outcome


def assert_attempts(observer: RecordingObserver, codes: Sequence[str | None]) -> None:
    """Assert that attempts were made and ended with *codes*, in that order."""
    found = [attempt.outcome.code for attempt in observer.attempts]
    assert found == list(codes), f"attempts ended with {found}, not {list(codes)}"


def assert_no_permits_held(interceptors: Iterable[Any]) -> None:
    """Assert that no call of these interceptors holds a place any more.

    Clients' and servers', one or many; interceptors of others hold none.
    """
    for interceptor in interceptors:
        held = {name: n for name, n in _held(interceptor).items() if n}
        assert not held, f"places are still held: {held}"


def _held(interceptor: Any) -> dict[str, int]:
    chain = getattr(interceptor, "chain", None)
    if chain is not None:
        found: dict[str, int] = chain.held()
        return found
    admission = getattr(interceptor, "admission", None)
    if admission is None:
        return {}
    limiter = admission.limiter
    return {
        "server": admission.in_flight,
        "limit": 0 if limiter is None else limiter.in_flight,
    }


def assert_transitions(
    listener: RecordingListener, expected: Sequence[tuple[str, str]]
) -> None:
    """Assert that the breakers changed their states so, in that order."""
    found = listener.transitions()
    assert found == list(expected), f"breakers went {found}, not {list(expected)}"
