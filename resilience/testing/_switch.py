"""Turning policies off: one client's, or every client's of the process."""

import contextlib
from collections.abc import Iterator

from resilience import _switch
from resilience._policy import ClientPolicy, bare


@contextlib.contextmanager
def policies_off() -> Iterator[None]:
    """Let every client of this process call without any policy inside the block.

    For tests that want to see the service alone. Servers keep their policies.
    """
    before = _switch.ON
    _switch.ON = False
    try:
        yield
    finally:
        _switch.ON = before


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
