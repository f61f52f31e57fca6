"""Starts the collector as a process of its own and ends it again."""

import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self


class CollectorStartError(RuntimeError):
    """The collector did not come up; the message carries what it said."""


class CollectorProcess:
    """A collector as a child process; it also ends by itself when its starter dies."""

    def __init__(
        self,
        store: Path,
        *,
        listen: str = "127.0.0.1:0",
        max_spans: int = 2_000_000,
        argv: Sequence[str] = (sys.executable, "-m", "observability.collector"),
        start_timeout: float = 10.0,
    ) -> None:
        self.store = store
        self.endpoint = ""
        self.info: dict[str, str] = {}
        self._argv = [
            *argv,
            *("--listen", listen),
            *("--store", str(store)),
            *("--max-spans", str(max_spans)),
        ]
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it listens, for `start_timeout` seconds at most.

        Raises CollectorStartError.
        """
        # A file and not a pipe: nobody reads along, and it must never block.
        with tempfile.TemporaryFile() as said:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
            )
            line = self._first_line(self._process)
            if not line.endswith(b"\n"):
                self.stop(0.0)
                said.seek(0)
                reason = said.read().decode(errors="replace").strip() or "no word"
                message = f"the collector did not start: {reason}"
                raise CollectorStartError(message)
        self.info = json.loads(line)
        self.endpoint = self.info["endpoint"]
        return self

    @property
    def pid(self) -> int | None:
        """Its process id, None when it is not running."""
        return self._process.pid if self._process else None

    def stop(self, timeout: float = 2.0) -> int:
        """Let it write what it has, then end it; returns its exit code.

        Stopping one that does not run does nothing.
        """
        process = self._process
        if process is None:
            return 0
        self._process = None
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return process.returncode

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _first_line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        until = monotonic() + self._start_timeout
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, until - monotonic())):
                    break
                chunk = os.read(process.stdout.fileno(), 4096)
                if not chunk:
                    break
                line += chunk
        return line
