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
    """A running collector; it also ends by itself when its starter dies."""

    def __init__(
        self,
        store: Path,
        *,
        listen: str = "127.0.0.1:0",
        max_spans: int = 2_000_000,
        argv: Sequence[str] = (sys.executable, "-m", "observability.collector"),
        start_timeout: float = 10.0,
    ) -> None:
        """Start it and wait until it listens; `start_timeout` is in seconds.

        Raises CollectorStartError.
        """
        self.store = store
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop
        self._process = subprocess.Popen(
            [
                *argv,
                *("--listen", listen),
                *("--store", str(store)),
                *("--max-spans", str(max_spans)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        self.info = self._ready(start_timeout)
        self.endpoint = self.info["endpoint"]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self, timeout: float = 2.0) -> int:
        """Let it write what it has, then end it; returns its exit code."""
        process = self._process
        if process.stdin is not None and not process.stdin.closed:
            process.stdin.close()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._said.close()
        return process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _ready(self, timeout: float) -> dict[str, str]:
        stdout = self._process.stdout
        assert stdout is not None
        until = monotonic() + timeout
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, until - monotonic())):
                    break
                chunk = os.read(stdout.fileno(), 4096)
                if not chunk:
                    break
                line += chunk
        if line.endswith(b"\n"):
            found: dict[str, str] = json.loads(line)
            return found
        said = self._give_up()
        message = f"the collector did not start within {timeout:g} s: {said}"
        raise CollectorStartError(message)

    def _give_up(self) -> str:
        self._process.kill()
        self._process.communicate()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        self._said.close()
        return said or "it said nothing"
