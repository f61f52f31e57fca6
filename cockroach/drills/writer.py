"""Writes rows at a fixed rate and records what was acknowledged: a process of its own.

Its orders come as one line of JSON on standard input, which its parent keeps open:
at the end of it, which even `kill -9` of the parent brings, it leaves. A second line,
`stop`, asks it to finish what it has in hand and to print how it went.

The pace is open: what could not be sent in an outage is not made good afterwards. A
row is sent once; one whose commit was not acknowledged stays unknown for ever, as it
would for the customer.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from cockroach.drills.records import RecordFile, content

INSERT = "insert into drill_rows (number, content) values (%s, %s)"
# A session that lost its line tries again after this, at random up to twice as long.
_RETRY_S = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What to write, where and how fast; `first` is the number of the first row.

    Raises ValueError.
    """

    conninfo: str
    record: str
    seed: int
    first: int
    rate: float
    sessions: int

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.sessions < 1:
            raise ValueError("a writer needs a rate above 0 and a session")

    def to_json(self) -> str:
        """Give the orders as one line."""
        return json.dumps(asdict(self))


class Writer:
    """Sessions that share one pace. `commit` is how a row becomes durable."""

    def __init__(self, orders: Orders, record: RecordFile) -> None:
        self._orders = orders
        self._record = record
        self._lock = threading.Lock()
        self._leave = threading.Event()
        self._began = time.monotonic()
        self._next = self._began
        self._number = orders.first
        self._random = random.Random(orders.seed)  # noqa: S311 - no secret
        self._threads = [
            # A line that swallows everything must not keep the process alive.
            threading.Thread(target=self._run, daemon=True)
            for _ in range(orders.sessions)
        ]

    def start(self) -> None:
        """Begin to write."""
        for one in self._threads:
            one.start()

    def stop(self, patience: float) -> bool:
        """Stop; tell whether every session had finished within `patience` seconds."""
        self._leave.set()
        deadline = time.monotonic() + patience
        for one in self._threads:
            one.join(max(0.0, deadline - time.monotonic()))
        return not any(one.is_alive() for one in self._threads)

    def write(self, session: psycopg.Connection[Any], number: int) -> None:
        """Write one row; only what the server has committed is acknowledged.

        Raises psycopg.Error.
        """
        session.execute(INSERT, (number, content(self._orders.seed, number)))
        session.commit()
        self._record.acknowledged(number, time.monotonic())

    def _run(self) -> None:
        while not self._leave.is_set():
            with contextlib.suppress(psycopg.Error):
                self._write_until_it_breaks()
            with self._lock:
                delay = _RETRY_S * (1 + self._random.random())
            self._leave.wait(delay)

    def _write_until_it_breaks(self) -> None:
        session = psycopg.connect(self._orders.conninfo)
        try:
            while not self._leave.wait(max(0.0, self._turn() - time.monotonic())):
                number = self._take()
                self._record.sent(number)
                self.write(session, number)
        finally:
            session.close()

    def _turn(self) -> float:
        with self._lock:
            now = time.monotonic()
            # Turns that passed while nobody could take them are gone.
            self._next = max(self._next, now - 1 / self._orders.rate)
            mine = self._next
            self._next += 1 / self._orders.rate
            return mine

    def _take(self) -> int:
        with self._lock:
            self._number += 1
            return self._number - 1


def main(kind: type[Writer] = Writer) -> None:
    """Follow the orders on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = Orders(**_line())
    with RecordFile(Path(orders.record)) as record:
        writer = kind(orders, record)
        writer.start()
        if sys.stdin.readline().strip() == "stop":
            finished = writer.stop(2.0)
            sys.stdout.write(json.dumps({"finished": finished}) + "\n")
            sys.stdout.flush()
        # Sessions may hang on a dead line: there is nothing more to wait for.
        os._exit(0)


def _line() -> Mapping[str, Any]:
    values: dict[str, Any] = json.loads(sys.stdin.readline())
    return values


if __name__ == "__main__":
    main()
