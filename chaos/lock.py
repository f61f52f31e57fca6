"""One experiment at a time: a lock that falls with the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class ExperimentRunningError(RuntimeError):
    """Another experiment holds the lab."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"another experiment is running: {holder or 'unknown'}")
        self.holder = holder


class ExperimentLock:
    """Held from `acquire` to `release`, or until the process ends, however it ends."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "experiment.lock"
        self._file: IO[str] | None = None

    def acquire(self, title: str) -> None:
        """Take the lock. Raises ExperimentRunningError, OSError."""
        file = self.path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise ExperimentRunningError(holder) from None
        file.truncate(0)
        told = {"pid": os.getpid(), "title": title, "since_s": round(time.time(), 3)}
        file.write(json.dumps(told))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
