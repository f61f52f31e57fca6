"""A clock that tests move by hand."""


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
