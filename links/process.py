"""The engine in a process of its own, alive while its parent holds its stdin."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, Self

from links.control import LinkControl, control_address, start_control
from links.engine import Engine
from links.errors import ControlError
from links.spec import LinkSpec

Extra = Callable[[Engine], Awaitable[dict[str, str]]]


def serve(
    *,
    control: str = "127.0.0.1:0",
    specs: Sequence[LinkSpec] = (),
    extra: Extra | None = None,
    seed: int = 0,
) -> NoReturn:
    """Run an engine until stdin ends or SIGTERM comes; then exit at once.

    When everything listens, prints one line of JSON: the control address and what
    `extra` gave.
    SIGINT is ignored: on Ctrl-C the parent decides.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=_exit_with_stdin, daemon=True).start()
    asyncio.run(_serve(control, specs, extra, seed))
    raise AssertionError("the engine runs until the process ends")


def _exit_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    # No clean-up: the peers must see the links break, as they would when we crash.
    os._exit(0)


async def _serve(
    control: str, specs: Sequence[LinkSpec], extra: Extra | None, seed: int
) -> None:
    engine = Engine(seed=seed)
    for spec in specs:
        await engine.add(spec)
    server = await start_control(engine, control)
    ready = {"control": control_address(server)}
    if extra is not None:
        ready |= await extra(engine)
    # What is loaded by now stays; collections need not walk it again.
    gc.collect()
    gc.freeze()
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


class LinksProcess:
    """An engine's process: started, told what to do through `control`, stopped.

    It dies with us, even on `kill -9`.
    `info` is its ready line: the control address and what else it serves.
    """

    def __init__(
        self,
        argv: Sequence[str] = (sys.executable, "-m", "links"),
        *,
        timeout: float = 20.0,
        environ: Mapping[str, str] | None = None,
        stderr: int | None = None,
    ) -> None:
        self.info: dict[str, Any] = {}
        self._argv = list(argv)
        self._timeout = timeout
        self._environ = None if environ is None else dict(environ)
        self._stderr = stderr
        self._process: subprocess.Popen[bytes] | None = None
        self._control: LinkControl | None = None

    @property
    def control(self) -> LinkControl:
        """The line to the engine; raises ControlError before the start."""
        if self._control is None:
            raise ControlError("the links' process is not started")
        return self._control

    @property
    def pid(self) -> int | None:
        """The process id, None before the start."""
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """Give the exit code, None while it runs and before the start."""
        return self._process.poll() if self._process else None

    def start(self) -> Self:
        """Start it and wait for its ready line.

        Raises ControlError when it ends or is not ready in time.
        """
        self._process = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=self._environ,
        )
        try:
            self.info = self._ready(self._process, time.monotonic() + self._timeout)
            self._control = LinkControl(self.info["control"])
        except BaseException:
            self.stop(timeout=0.0)
            raise
        return self

    def stop(self, timeout: float = 2.0) -> None:
        """End the process and wait for it; nothing when it does not run."""
        if self._control is not None:
            self._control.close()
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @staticmethod
    def _ready(process: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
        assert process.stdout is not None
        pipe, line = process.stdout.fileno(), b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise ControlError("the links' process was not ready in time")
            got = os.read(pipe, 65536)
            if not got:
                raise ControlError(f"the links' process ended: {process.wait()}")
            line += got
        ready: dict[str, Any] = json.loads(line)
        return ready
