"""Policy sources that follow a file."""

import logging
import threading
import time
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Generic, Self, TypeVar

from resilience._file import PolicyDocument, PolicyFileError, load_document
from resilience._policy import ClientPolicy, ServerPolicy

P = TypeVar("P")

_LOG = logging.getLogger(__name__)


class FollowedFile(Generic[P]):
    """A policy source: what a file says, as it was when last read and sound.

    Give it where a policy is asked for. `reload` reads the file anew; after
    `watch` every call looks by itself whether the file has another time, size or
    inode, at most once in an interval, and reads it if so. Policies are taken
    over in one assignment, only where their values differ, and breakers and
    buckets whose configuration did not change keep their state. A file that is
    gone or wrong is logged once and changes nothing; `error` says what is wrong.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        pick: Callable[[PolicyDocument], P],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the file. Raises PolicyFileError."""
        self.path = Path(path)
        self.error: str | None = None
        self._pick = pick
        self._clock = clock
        self._lock = threading.Lock()
        self._interval_s: float | None = None
        self._look_at = 0.0
        self._seen = self._stamp()
        self._policy = self._read()

    def __call__(self) -> P:
        """Return the policy in force."""
        if self._interval_s is not None and self._clock() >= self._look_at:
            self._look()
        return self._policy

    def watch(self, interval_s: float = 1.0) -> Self:
        """Follow the file from now on, one look in *interval_s*; return this source.

        Raises ValueError when *interval_s* is not more than 0.
        """
        if interval_s <= 0:
            raise ValueError("interval_s must be more than 0 seconds")
        self._interval_s = interval_s
        self._look_at = self._clock()
        return self

    def reload(self) -> bool:
        """Read the file now; return whether it is in force, changed or not."""
        with self._lock:
            self._seen = self._stamp()
            return self._take()

    def _look(self) -> None:
        # One caller looks, the others go on with what holds.
        if not self._lock.acquire(blocking=False):
            return
        try:
            assert self._interval_s is not None
            self._look_at = self._clock() + self._interval_s
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                self._take()
        finally:
            self._lock.release()

    def _take(self) -> bool:
        try:
            policy = self._read()
        except PolicyFileError as error:
            self.error = str(error)
            _LOG.error("policy file refused, the old one holds: %s", error)
            return False
        self.error = None
        if policy != self._policy:
            self._policy = policy
            _LOG.info("policies of %s in force: %r", self.path, policy)
        return True

    def _read(self) -> P:
        return self._pick(load_document(self.path))

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        # A file renamed into place within one tick of the clock has another inode.
        return stat.st_mtime_ns, stat.st_ino, stat.st_size

    def __repr__(self) -> str:
        kept = f", refused: {self.error}" if self.error else ""
        return f"<{type(self).__name__} {self.path}{kept}>"


class PolicyFile(FollowedFile[ClientPolicy]):
    """The client policy of one target in a file.

    >>> source = PolicyFile("policies.toml", "catalog").watch()  # doctest: +SKIP
    >>> aio_client_interceptors(source)                          # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | PathLike[str],
        target: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the file. Raises PolicyFileError, also where it has no such target."""
        self.target = target
        super().__init__(path, self._of_target, clock=clock)

    def _of_target(self, document: PolicyDocument) -> ClientPolicy:
        policy = document.targets.get(self.target)
        if policy is None:
            raise PolicyFileError([f"targets: no {self.target!r} in {self.path}"])
        return policy


class ServerPolicyFile(FollowedFile[ServerPolicy]):
    """The server policy in a file; one without a section has the default."""

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the file. Raises PolicyFileError."""
        super().__init__(path, lambda document: document.server, clock=clock)
