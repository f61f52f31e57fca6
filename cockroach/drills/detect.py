"""When a server counts as lost, and one question to it that ends in bounded time."""

from __future__ import annotations

import contextlib
import os
import select
import time
from dataclasses import dataclass

import psycopg
from psycopg import pq
from psycopg.pq import abc

# Wide and not compressible, so that a question takes room as real writing does: on a
# disk that is full it fails, where an update in place would not.
_QUESTION_BYTES = 900
_ASK = "insert into drill_probe (content) values ('{content}')"
_DONE = {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many failures in a row mean that a server is lost; times in seconds.

    `interval` runs from the start of one question to that of the next, `timeout`
    ends a question. Raises ValueError.
    """

    failures: int = 3
    interval: float = 0.2
    timeout: float = 0.5

    def __post_init__(self) -> None:
        if self.failures < 1 or self.interval <= 0 or self.timeout <= 0:
            raise ValueError(f"not a patience: {self}")


class Detector:
    """Counts failures in a row; pure. Once lost, a server stays lost."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures = 0
        self._lost_at: float | None = None

    def __repr__(self) -> str:
        state = "lost" if self.lost else "answering"
        return f"<Detector {state}, {self._failures}/{self._patience.failures} failed>"

    @property
    def lost(self) -> bool:
        """Whether the server counts as lost."""
        return self._lost_at is not None

    @property
    def lost_at(self) -> float | None:
        """When the failure came that decided it."""
        return self._lost_at

    def tell(self, *, answered: bool, now: float) -> None:
        """Take one question's outcome."""
        if self.lost:
            return
        self._failures = 0 if answered else self._failures + 1
        if self._failures >= self._patience.failures:
            self._lost_at = now


class Probe:
    """Writes a row through a link, as a customer would, and waits no longer than told.

    psycopg's own waits end in whole seconds, or by a cancel that itself may hang on a
    silent line; this asks libpq without blocking.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo.encode()
        self._connection: abc.PGconn | None = None

    def ask(self, timeout: float) -> bool:
        """Tell whether a row could be committed within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        try:
            answered = self._connect(deadline) and self._write(deadline)
        except (psycopg.Error, OSError):
            answered = False
        if not answered:
            self.close()
        return answered

    def close(self) -> None:
        """Drop the connection, however it stands."""
        if self._connection is not None:
            self._connection.finish()
            self._connection = None

    def _connect(self, deadline: float) -> bool:
        if self._connection is not None:
            return True
        made = self._connection = pq.PGconn.connect_start(self._conninfo)
        while True:
            status = made.connect_poll()
            if status == pq.PollingStatus.OK:
                made.nonblocking = 1
                return True
            writing = status == pq.PollingStatus.WRITING
            if status == pq.PollingStatus.FAILED:
                return False
            if not _wait(made.socket, deadline, writing=writing):
                return False

    def _write(self, deadline: float) -> bool:
        connection = self._connection
        assert connection is not None
        words = os.urandom(_QUESTION_BYTES).hex()
        connection.send_query(_ASK.format(content=words).encode())
        while connection.flush():
            if not _wait(connection.socket, deadline, writing=True):
                return False
        answered = True
        while True:
            while connection.is_busy():
                if not _wait(connection.socket, deadline):
                    return False
                connection.consume_input()
            result = connection.get_result()
            if result is None:
                return answered
            answered = answered and result.status in _DONE


def _wait(handle: int, deadline: float, *, writing: bool = False) -> bool:
    left = deadline - time.monotonic()
    if left <= 0:
        return False
    mask = select.POLLOUT if writing else select.POLLIN
    poll = select.poll()
    poll.register(handle, mask)
    with contextlib.suppress(InterruptedError):
        return bool(poll.poll(left * 1000))
    return False
