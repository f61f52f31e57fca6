"""The writer's process as its drill holds it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cockroach.drills import writer
from cockroach.drills.errors import DrillError
from cockroach.drills.records import Record, read_record
from cockroach.drills.writer import Orders

PROGRAM = (sys.executable, "-m", writer.__name__)
_POLL_S = 0.01
_STOP_S = 4.0


class WriterProcess:
    """Writes from its start to its stop, and dies with us."""

    def __init__(self, orders: Orders, *, program: Sequence[str] = PROGRAM) -> None:
        self._orders = orders
        self._program = list(program)
        self._path = Path(orders.record)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        self._process = subprocess.Popen(
            self._program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=kept,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._orders.to_json().encode() + b"\n")
        self._process.stdin.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    @property
    def record(self) -> Record:
        """What was sent and acknowledged until now."""
        return read_record(self._path)

    def first_after(self, moment: float, timeout: float) -> float | None:
        """Wait for an acknowledgement after a moment; give its time, or None."""
        deadline = time.monotonic() + timeout
        while True:
            times = self.record.acknowledged.values()
            later = [at for at in times if at > moment]
            if later:
                return min(later)
            if time.monotonic() > deadline:
                return None
            time.sleep(_POLL_S)

    def write_for(self, seconds: float) -> int:
        """Let it write this long from its first acknowledgement; give how many came.

        Raises DrillError when it does not get going.
        """
        began = self.first_after(0.0, 10.0)
        if began is None:
            raise DrillError("the writer did not get a row acknowledged in 10 s")
        return self.write_on(began + seconds - time.monotonic())

    def write_on(self, seconds: float) -> int:
        """Let it write this much longer; give how many rows were acknowledged."""
        time.sleep(max(0.0, seconds))
        return len(self.record.acknowledged)

    def stop(self) -> Record:
        """Let it finish what it has in hand; give the whole record."""
        process = self._process
        if process is not None:
            with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
                process.communicate(b"stop\n", timeout=_STOP_S)
        self.__exit__(None, None, None)
        return self.record
